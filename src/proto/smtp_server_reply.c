/*
 * smtp_server_reply: how replies are written and counted.
 *
 * One place, so that soft_bounce, the count of errors, the pause past the
 * soft limit and the log of refusals hold for every reply.
 */
#include "proto/smtp_server_internal.h"

#include <stdio.h>

static const struct {
	const char *status, *text;
	uint16_t code;
	uint8_t flags;
} replies[SMTPS_REPLY_COUNT] = {
#define REPLY(NAME, code, status, text, flags) \
	[SMTPS_REPLY_##NAME] = { status, text, code, flags },
#include "proto/smtp_server_reply.def"
#undef REPLY
};

/* What a reply is made of. */
struct line {
	unsigned code;
	const char *status;
	struct slice who; /* "<who>: " before the text, or empty */
	struct slice text;
	enum smtps_reply fixed; /* which of the fixed replies, or NONE */
	bool log;
};

static void
put(struct smtps_io *io, const char *bytes, size_t n)
{
	ASSERT(n <= io->out_size - io->out_len);
	memcpy(io->out + io->out_len, bytes, n);
	io->out_len += n;
}

/* Text from elsewhere: no control characters, 8-bit only under SMTPUTF8. */
static void
put_text(const struct smtps *s, struct smtps_io *io, struct slice text,
    size_t max)
{
	bool utf8 = s->txn != NULL && s->txn->utf8;

	for (size_t i = 0; i < text.len && i < max; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c < ' ' || c == 0x7f || (c >= 0x80 && !utf8))
			put(io, "?", 1);
		else
			put(io, text.data + i, 1);
	}
}

/* Code and status after soft_bounce. */
static void
soften(const struct smtps *s, struct line *l, char status[static 16])
{
	snprintf(status, 16, "%s", l->status);
	if (!s->conf->soft_bounce || l->code < 500)
		return;
	l->code -= 100;
	if (status[0] == '5')
		status[0] = '4';
}

static void
write_reply(struct smtps *s, struct smtps_io *io, struct line l)
{
	size_t start = io->out_len;
	char status[16], head[32];

	soften(s, &l, status);
	snprintf(head, sizeof(head), "%u %s%s", l.code, status,
	    status[0] != '\0' ? " " : "");
	put(io, head, strlen(head));
	if (l.who.len > 0) {
		put(io, "<", 1);
		put_text(s, io, l.who, ADDRESS_BYTES_MAX);
		put(io, ">: ", 3);
	}
	put_text(s, io, l.text, SMTPS_REPLY_BYTES - 2 - (io->out_len - start));
	if (l.log) {
		io->reject = slice_of(io->out + start, io->out_len - start);
		io->reject_reply = l.fixed;
		io->reject_verb = (enum smtp_verb)s->verb;
		io->reject_at_end = s->state == SMTPS_ANSWER;
	}
	put(io, "\r\n", 2);
	if (s->error_count > s->conf->soft_errors)
		s->pause = true;
}

void
smtps_good(struct smtps *s)
{
	s->counts[s->verb].good++;
}

bool
smtps_error(struct smtps *s, struct smtps_io *io)
{
	s->errors_new++;
	if (++s->error_count < s->conf->hard_errors)
		return false;
	smtps_hangup(s, io, SMTPS_REPLY_ERRORS);
	return true;
}

bool
smtps_junk(struct smtps *s, struct smtps_io *io)
{
	if (s->junk_count++ < s->conf->junk_max)
		return false;
	if (s->junk_new < UINT16_MAX)
		s->junk_new++;
	return smtps_error(s, io);
}

void
smtps_say_text(struct smtps *s, struct smtps_io *io, unsigned code,
    const char *status, struct slice text)
{
	if (code < 400)
		smtps_good(s);
	write_reply(s, io,
	    (struct line){ .code = code, .status = status, .text = text });
}

void
smtps_say_line(struct smtps_io *io, unsigned code, bool last, struct slice text)
{
	char head[8];

	snprintf(head, sizeof(head), "%u%c", code % 1000, last ? ' ' : '-');
	put(io, head, strlen(head));
	put(io, text.data, text.len);
	put(io, "\r\n", 2);
}

void
smtps_say_why(struct smtps *s, struct smtps_io *io,
    const struct smtps_refusal *why, struct slice rcpt)
{
	struct line l = {
		.code = why->code,
		.status = why->status,
		.text = why->text,
		.log = true,
	};
	bool error = why->code >= 500;

	if (why->fixed != SMTPS_REPLY_NONE) {
		uint8_t flags = replies[why->fixed].flags;

		l.code = replies[why->fixed].code;
		l.status = replies[why->fixed].status;
		l.text = slice_str(replies[why->fixed].text);
		l.fixed = (enum smtps_reply)why->fixed;
		l.log = flags & R_LOG;
		if (flags & R_WHO)
			l.who = rcpt;
		error = flags & R_ERR;
	}
	/* One error for all the replies of LMTP. */
	if (error && s->answer_count <= 1 && smtps_error(s, io))
		return;
	write_reply(s, io, l);
	if (io->reject.len > 0)
		io->reject_rcpt = rcpt;
	if (l.code == 421)
		smtps_go(s, SMTPS_CLOSED);
}

void
smtps_say(struct smtps *s, struct smtps_io *io, enum smtps_reply r)
{
	struct smtps_refusal why = smtps_why(r);

	if (replies[r].code < 400)
		smtps_say_text(s, io, replies[r].code, replies[r].status,
		    slice_str(replies[r].text));
	else
		smtps_say_why(s, io, &why, SLICE_NONE);
}

void
smtps_banner(struct smtps *s, struct smtps_io *io)
{
	write_reply(s, io,
	    (struct line){ .code = 220,
		.status = "",
		.text = s->conf->banner });
}

void
smtps_hangup(struct smtps *s, struct smtps_io *io, enum smtps_reply r)
{
	if (s->state == SMTPS_CLOSED)
		return;
	write_reply(s, io,
	    (struct line){
		.code = replies[r].code,
		.status = replies[r].status,
		.text = slice_str(replies[r].text),
		.fixed = r,
		.log = replies[r].flags & R_LOG,
	    });
	smtps_go(s, SMTPS_CLOSED);
}

struct smtps_refusal
smtps_why(enum smtps_reply r)
{
	ASSERT(r < SMTPS_REPLY_COUNT);
	return (struct smtps_refusal){
		.code = replies[r].code,
		.fixed = (uint8_t)r,
	};
}

/* "x.y.z" of the class of the code, digits and dots only. */
static bool
status_ok(unsigned code, struct slice status)
{
	if (status.len < 5 || status.len >= SMTPS_STATUS_BYTES ||
	    (unsigned)(status.data[0] - '0') != code / 100)
		return false;
	for (size_t i = 0; i < status.len; i++)
		if ((status.data[i] < '0' || status.data[i] > '9') &&
		    status.data[i] != '.')
			return false;
	return true;
}

struct smtps_refusal
smtps_why_text(unsigned code, struct slice status, struct slice text)
{
	struct smtps_refusal why = { .code = 451, .text = text };

	if (code >= 400 && code <= 599)
		why.code = (uint16_t)code;
	if (!status_ok(why.code, status) ||
	    !slice_copy(status, why.status, sizeof(why.status)))
		snprintf(why.status, sizeof(why.status), "%u.3.0",
		    why.code / 100u);
	return why;
}
