/*
 * The server machine under any bytes: whole and in pieces, with answers at
 * once and late, the replies and the bodies are the same.
 *
 * Input: flags (1 LMTP, 2 normalise), a seed for the pieces, then what the
 * client sends.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/smtp_server.h"

#include "fuzz.h"

enum { OUT_MAX = 1 << 20, IN_MAX = 1 << 15 };

struct run {
	struct smtps s;
	struct smtps_io io;
	struct smtps_txn txn;
	bool has_txn, late, closed, asked[SMTPS_PENDING_MAX];
	bool refuse[SMTPS_PENDING_MAX];
	bool opening, committing;
	char names[SMTPS_PENDING_MAX][ADDRESS_BYTES_MAX];
	char text[OUT_MAX]; /* all replies, then nothing */
	size_t text_len;
	char body[OUT_MAX];
	size_t body_len;
	char out[4096], spare[256], in[IN_MAX];
};

static const struct smtps_conf conf = {
	.hostname = { "h", 1 },
	.banner = { "h", 1 },
	.headers = { 64, 1000, 10, 3 },
	.size_max = 2000,
	.line_max = 100,
	.rcpt_max = 6,
	.soft_errors = 20,
	.hard_errors = 40,
	.junk_max = 100,
};

static void
keep(char *to, size_t *len, struct slice s)
{
	if (s.len > OUT_MAX - *len)
		abort();
	if (s.len > 0)
		memcpy(to + *len, s.data, s.len);
	*len += s.len;
}

static void
answer(struct run *r, unsigned slot)
{
	struct smtps_refusal why = smtps_why(SMTPS_REPLY_RELAY);

	r->asked[slot] = false;
	if (r->refuse[slot])
		smtps_rcpt_refuse(&r->s, slot, &why);
	else
		smtps_rcpt_accept(&r->s, slot);
}

static bool
answer_one(struct run *r)
{
	for (unsigned i = SMTPS_PENDING_MAX; i-- > 0;)
		if (r->asked[i]) {
			answer(r, i);
			return true;
		}
	if (r->opening) {
		r->opening = false;
		smtps_opened(&r->s);
	} else if (r->committing) {
		r->committing = false;
		smtps_committed(&r->s, 1);
	} else {
		return false;
	}
	return true;
}

static void
on_rcpt(struct run *r)
{
	unsigned slot = r->io.slot;
	struct slice a = r->io.rcpt.rcpt.text;

	memcpy(r->names[slot], a.data, a.len);
	smtps_rcpt_keep(&r->s, slot, slice_of(r->names[slot], a.len));
	r->refuse[slot] = a.len % 3 == 0;
	r->asked[slot] = true;
	if (!r->late)
		answer(r, slot);
}

static size_t
feed(struct run *r, size_t len)
{
	r->io.in = r->in;
	r->io.in_len = len;
	for (;;) {
		enum smtps_step step = smtps_next(&r->s, &r->io);

		switch (step) {
		case SMTPS_STEP_MAIL:
			if (r->has_txn)
				abort();
			memset(&r->txn, 0, sizeof(r->txn));
			r->has_txn = true;
			smtps_mail_accept(&r->s, &r->io, &r->txn);
			break;
		case SMTPS_STEP_RCPT: on_rcpt(r); break;
		case SMTPS_STEP_OPEN:
			r->opening = true;
			if (!r->late)
				answer_one(r);
			break;
		case SMTPS_STEP_COMMIT:
			r->committing = true;
			if (!r->late)
				answer_one(r);
			break;
		case SMTPS_STEP_BODY:
			keep(r->body, &r->body_len, r->io.body);
			break;
		case SMTPS_STEP_ABORT: r->body_len = 0; break;
		case SMTPS_STEP_HELO:
		case SMTPS_STEP_RESET: r->has_txn = false; break;
		case SMTPS_STEP_WAIT:
			if (!answer_one(r))
				abort();
			break;
		case SMTPS_STEP_MORE:
			if (answer_one(r))
				break;
			__attribute__((fallthrough));
		case SMTPS_STEP_FLUSH:
		case SMTPS_STEP_CLOSE:
			keep(r->text, &r->text_len,
			    slice_of(r->io.out, r->io.out_len));
			r->io.out_len = 0;
			if (step == SMTPS_STEP_FLUSH)
				break;
			r->closed = step == SMTPS_STEP_CLOSE;
			return r->closed ? 0 : r->io.in_len;
		default: break;
		}
	}
}

static void
play(struct run *r, const uint8_t *data, size_t len, unsigned flags,
    unsigned seed, bool late)
{
	size_t have = 0, at = 0;

	memset(r, 0, offsetof(struct run, text));
	r->text_len = r->body_len = 0;
	r->closed = false;
	r->late = late;
	r->io.out = r->out;
	r->io.out_size = sizeof(r->out);
	r->io.spare = r->spare;
	r->io.spare_size = sizeof(r->spare);
	smtps_init(&r->s, &conf, flags & 1, flags & 2);
	while (at < len && !r->closed) {
		size_t n = len - at, left;

		seed = seed * 1103515245 + 12345;
		if (late && n > 1 + (seed >> 16) % 23)
			n = 1 + (seed >> 16) % 23;
		if (n > sizeof(r->in) - have)
			abort();
		memcpy(r->in + have, data + at, n);
		at += n;
		left = feed(r, have + n);
		memmove(r->in, r->in + have + n - left, left);
		have = left;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run whole, parts;

	if (size < 2 || size > IN_MAX / 2)
		return 0;
	play(&whole, data + 2, size - 2, data[0], data[1], false);
	play(&parts, data + 2, size - 2, data[0], data[1], true);
	/* Text that comes too early is seen only when it is there. */
	whole.text[whole.text_len] = '\0';
	if (strstr(whole.text, "synchronization") != NULL)
		return 0;
	if (whole.text_len != parts.text_len ||
	    memcmp(whole.text, parts.text, whole.text_len) != 0 ||
	    whole.closed != parts.closed)
		abort();
	if (whole.s.state < SMTPS_OPENING &&
	    (whole.body_len != parts.body_len ||
		memcmp(whole.body, parts.body, whole.body_len) != 0))
		abort();
	return 0;
}
