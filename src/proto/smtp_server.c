/*
 * smtp_server: states, the loop over the input, and the driver's answers.
 *
 * Happy path: GREET -EHLO-> READY -MAIL-> MAIL -RCPT-> RCPT -DATA-> OPENING
 * -354-> DATA -dot-> COMMIT -durable-> ANSWER -250-> READY.
 *
 * Failure modes:
 *   a command that is wrong        a reply, nothing changes, one error more
 *   too many errors                421 in place of the reply, CLOSED
 *   a body that may not be         ABORT once, read on to its end, then the
 *                                  reply; with bare CR or LF then CLOSED
 *   no reservation                 DATA: the refusal, back to RCPT;
 *                                  BDAT: the chunk is read, then the refusal
 *   the driver fails a transaction the same as a body that may not be
 *
 * Commands are answered in the order in which they came.  Only RCPT may
 * overlap: its replies wait in a ring; any other command waits until the ring
 * is empty.
 */
#include "proto/smtp_server.h"

#include <stdio.h>

#include "proto/smtp_server_internal.h"

/* Where each state may go.  Anything else is a bug in these files. */
static const uint16_t next_ok[SMTPS_STATE_COUNT] = {
	[SMTPS_GREET] = SMTPS_IN(READY) | SMTPS_IN(CHUNK) | SMTPS_IN(CLOSED),
	[SMTPS_READY] = SMTPS_IN(READY) | SMTPS_IN(MAIL) | SMTPS_IN(CHUNK) |
			SMTPS_IN(CLOSED),
	[SMTPS_MAIL] = SMTPS_IN(READY) | SMTPS_IN(RCPT) | SMTPS_IN(CHUNK) |
		       SMTPS_IN(CLOSED),
	[SMTPS_RCPT] = SMTPS_IN(READY) | SMTPS_IN(OPENING) | SMTPS_IN(CHUNK) |
		       SMTPS_IN(CLOSED),
	[SMTPS_OPENING] = SMTPS_IN(RCPT) | SMTPS_IN(DATA) | SMTPS_IN(CHUNK) |
			  SMTPS_IN(CLOSED),
	[SMTPS_DATA] = SMTPS_IN(COMMIT) | SMTPS_IN(ANSWER) | SMTPS_IN(CLOSED),
	[SMTPS_CHUNK] = SMTPS_IN(GREET) | SMTPS_IN(READY) | SMTPS_IN(MAIL) |
			SMTPS_IN(CHUNKED) | SMTPS_IN(COMMIT) |
			SMTPS_IN(ANSWER) | SMTPS_IN(CLOSED),
	[SMTPS_CHUNKED] = SMTPS_IN(READY) | SMTPS_IN(CHUNK) | SMTPS_IN(CLOSED),
	[SMTPS_COMMIT] = SMTPS_IN(ANSWER) | SMTPS_IN(CLOSED),
	[SMTPS_ANSWER] = SMTPS_IN(READY) | SMTPS_IN(CLOSED),
	[SMTPS_CLOSED] = SMTPS_IN(CLOSED),
};

void
smtps_go(struct smtps *s, enum smtps_state to)
{
	ASSERT(s->state < SMTPS_STATE_COUNT);
	ASSERT(next_ok[s->state] & (1u << to));
	s->state = (uint8_t)to;
}

const char *
smtps_state_name(enum smtps_state st)
{
	static const char *const names[SMTPS_STATE_COUNT] = {
#define X(name) #name,
		SMTPS_STATES(X)
#undef X
	};

	ASSERT(st < SMTPS_STATE_COUNT);
	return names[st];
}

void
smtps_init(struct smtps *s, const struct smtps_conf *conf, bool lmtp,
    bool normalise)
{
	ASSERT(conf->line_max > 0 && conf->rcpt_max > 0);
	*s = (struct smtps){
		.conf = conf,
		.state = SMTPS_GREET,
		.verb = SMTP_UNKNOWN,
		.lmtp = lmtp,
		.normalise = normalise,
	};
}

/* ---- lines ---- */

static void
take(struct smtps_io *io, size_t n)
{
	ASSERT(n <= io->in_len);
	io->in += n;
	io->in_len -= n;
}

/* The end of a line that was too long is being looked for. */
static enum smtps_step
skip_line(struct smtps *s, struct smtps_io *io)
{
	const char *lf = memchr(io->in, '\n', io->in_len);

	if (lf == NULL) {
		take(io, io->in_len);
		return SMTPS_STEP_MORE;
	}
	take(io, (size_t)(lf - io->in) + 1);
	s->skipping = false;
	s->verb = SMTP_UNKNOWN;
	s->counts[SMTP_UNKNOWN].all++;
	smtps_say(s, io, SMTPS_REPLY_LINE_LONG);
	return SMTPS_STEP_AGAIN;
}

/*
 * One command line.  An LF alone does not end a line (RFC 5321 2.3.8): it is
 * a fault that closes the session, except for clients whose line ends are
 * mended.
 */
static enum smtps_step
read_line(struct smtps *s, struct smtps_io *io)
{
	size_t line_max = s->conf->line_max, len;
	const char *line = io->in, *lf;
	bool is_crlf;

	if (io->in_len == 0)
		return SMTPS_STEP_MORE;
	lf = memchr(line, '\n', io->in_len);
	len = lf != NULL ? (size_t)(lf - line) : io->in_len;
	if (lf == NULL && len < line_max + 2)
		return SMTPS_STEP_MORE;
	s->greeted = true;
	if (lf == NULL) {
		s->skipping = true;
		return SMTPS_STEP_AGAIN;
	}
	take(io, len + 1);
	is_crlf = len > 0 && line[len - 1] == '\r';
	len -= is_crlf;
	if (len > line_max || (!is_crlf && !s->normalise)) {
		s->verb = SMTP_UNKNOWN;
		s->counts[SMTP_UNKNOWN].all++;
		smtps_say(s, io,
		    len > line_max ? SMTPS_REPLY_LINE_LONG
				   : SMTPS_REPLY_BARE_LF);
		if (len <= line_max)
			smtps_go(s, SMTPS_CLOSED);
		return SMTPS_STEP_AGAIN;
	}
	return smtps_command(s, io, slice_of(line, len));
}

/*
 * True when the line at the front of the input may not be answered yet,
 * because RCPTs before it are not: only another sound RCPT, with room in the
 * ring and within the limit, may overlap them.
 */
static bool
must_wait(const struct smtps *s, const struct smtps_io *io)
{
	const struct smtps_txn *t = s->txn;
	struct smtp_command cmd;
	const char *lf;
	size_t len;

	if (t == NULL || t->ring_count == 0 || io->in_len == 0)
		return false;
	if (s->skipping || t->ring_count == SMTPS_PENDING_MAX ||
	    t->rcpt_asked >= s->conf->rcpt_max)
		return true;
	lf = memchr(io->in, '\n', io->in_len);
	if (lf == NULL)
		return io->in_len >= s->conf->line_max + 2;
	len = (size_t)(lf - io->in);
	if (len > 0 && io->in[len - 1] == '\r')
		len--;
	else if (!s->normalise)
		return true;
	return len > s->conf->line_max ||
	       !smtp_command_parse(slice_of(io->in, len), &cmd) ||
	       cmd.verb != SMTP_RCPT;
}

static enum smtps_step
on_lines(struct smtps *s, struct smtps_io *io)
{
	if (smtps_rcpt_replies(s, io))
		return SMTPS_STEP_AGAIN;
	if (must_wait(s, io))
		return SMTPS_STEP_WAIT;
	if (s->skipping)
		return skip_line(s, io);
	return read_line(s, io);
}

/* ---- the loop ---- */

static enum smtps_step
advance(struct smtps *s, struct smtps_io *io)
{
	switch ((enum smtps_state)s->state) {
	case SMTPS_GREET:
	case SMTPS_READY:
	case SMTPS_MAIL:
	case SMTPS_RCPT:
	case SMTPS_CHUNKED: return on_lines(s, io);
	case SMTPS_OPENING: return smtps_on_opening(s, io);
	case SMTPS_DATA: return smtps_on_data_bytes(s, io);
	case SMTPS_CHUNK: return smtps_on_chunk_bytes(s, io);
	case SMTPS_COMMIT: return smtps_on_commit(s, io);
	case SMTPS_ANSWER: return smtps_on_answer(s, io);
	case SMTPS_CLOSED: return SMTPS_STEP_CLOSE;
	case SMTPS_STATE_COUNT: break;
	}
	ASSERT(!"a state without a handler");
	return SMTPS_STEP_CLOSE;
}

enum smtps_step
smtps_next(struct smtps *s, struct smtps_io *io)
{
	enum smtps_step step;

	ASSERT(io->out_size >= 2 * SMTPS_REPLY_BYTES);
	ASSERT(io->spare_size >= 64 || !s->normalise);

	io->reject = io->reject_rcpt = io->body = SLICE_NONE;
	do {
		if (s->pause && s->state != SMTPS_CLOSED) {
			s->pause = false;
			return SMTPS_STEP_PAUSE;
		}
		if (io->out_size - io->out_len < SMTPS_REPLY_BYTES)
			return SMTPS_STEP_FLUSH;
		step = advance(s, io);
	} while (step == SMTPS_STEP_AGAIN && io->reject.len == 0);
	return step;
}

/* ---- answers of the driver ---- */

void
smtps_mail_accept(struct smtps *s, struct smtps_io *io, struct smtps_txn *txn)
{
	ASSERT(s->txn == NULL);
	txn->size_declared = io->mail.size_bytes;
	txn->utf8 = io->mail.utf8;
	s->txn = txn;
	smtps_go(s, SMTPS_MAIL);
	smtps_say(s, io, SMTPS_REPLY_SENDER_OK);
}

static struct smtps_pending *
pending(struct smtps *s, unsigned slot)
{
	ASSERT(s->txn != NULL && slot < SMTPS_PENDING_MAX);
	ASSERT(s->txn->ring[slot].state == PENDING_ASKED);
	return &s->txn->ring[slot];
}

void
smtps_rcpt_keep(struct smtps *s, unsigned slot, struct slice address)
{
	pending(s, slot)->address = address;
}

void
smtps_rcpt_accept(struct smtps *s, unsigned slot)
{
	pending(s, slot)->state = PENDING_ACCEPTED;
}

void
smtps_rcpt_refuse(struct smtps *s, unsigned slot,
    const struct smtps_refusal *why)
{
	struct smtps_pending *p = pending(s, slot);

	p->state = PENDING_REFUSED;
	p->why = *why;
	s->txn->rcpt_asked--;
}

void
smtps_opened(struct smtps *s)
{
	ASSERT(s->state == SMTPS_OPENING && !s->answered);
	s->answered = true;
	s->txn->reserved = true;
}

void
smtps_committed(struct smtps *s, uint64_t id)
{
	ASSERT(s->state == SMTPS_COMMIT && !s->answered);
	s->answered = true;
	s->id = id;
}

void
smtps_refuse(struct smtps *s, struct smtps_io *io,
    const struct smtps_refusal *why)
{
	if (s->txn == NULL) {
		ASSERT(s->state == SMTPS_READY && io != NULL);
		smtps_say_why(s, io, why, SLICE_NONE);
		return;
	}
	ASSERT(s->state >= SMTPS_OPENING && s->state <= SMTPS_COMMIT);
	if (!s->txn->failed)
		s->txn->why = *why;
	s->txn->failed = true;
	s->answered = s->state == SMTPS_OPENING || s->state == SMTPS_COMMIT;
}

/* ---- what the driver may ask ---- */

bool
smtps_is_waiting(const struct smtps *s)
{
	return (s->state == SMTPS_OPENING || s->state == SMTPS_COMMIT)
		   ? !s->answered
		   : s->txn != NULL && s->txn->ring_count > 0;
}

bool
smtps_in_body(const struct smtps *s)
{
	return s->state == SMTPS_DATA || s->state == SMTPS_CHUNK;
}

void
smtps_doing(const struct smtps *s, char *buf, size_t size)
{
	if (!s->greeted)
		snprintf(buf, size, "CONNECT");
	else if (smtps_in_body(s) && s->txn != NULL)
		snprintf(buf, size, "%s (%llu bytes)",
		    smtp_verb_upper((enum smtp_verb)s->verb),
		    (unsigned long long)s->txn->body.bytes);
	else
		snprintf(buf, size, "%s",
		    smtp_verb_upper((enum smtp_verb)s->verb));
}
