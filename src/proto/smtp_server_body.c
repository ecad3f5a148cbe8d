/*
 * smtp_server_body: DATA and BDAT, from the command to the reply at the end.
 *
 * A body that fails is read to its end all the same, so that nothing of it is
 * taken for a command (RFC 3030 2: the octets of a refused chunk are read and
 * dropped, then the reply is sent).
 */
#include <inttypes.h>
#include <stdio.h>

#include "proto/smtp_server_internal.h"

static void
fail(struct smtps_txn *t, enum smtps_reply r)
{
	if (!t->failed)
		t->why = smtps_why(r);
	t->failed = true;
}

static void
drop(struct smtps_io *io, size_t n)
{
	io->in += n;
	io->in_len -= n;
}

/* ---- the commands ---- */

enum smtps_step
smtps_on_data(struct smtps *s, struct smtps_io *io)
{
	/* A client that sends text before the 354 is no SMTP client (RFC 2920
	 * 3.1: DATA is the last of a group). */
	if (io->in_len > 0 && !s->conf->early_text) {
		smtps_hangup(s, io, SMTPS_REPLY_PIPELINED);
		return SMTPS_STEP_AGAIN;
	}
	s->txn->chunked = false;
	smtps_go(s, SMTPS_OPENING);
	return SMTPS_STEP_OPEN;
}

/* A chunk that belongs to no transaction: its octets are dropped. */
static enum smtps_step
drop_chunk(struct smtps *s, enum smtps_reply r)
{
	s->back = s->state;
	s->chunk_reply = (uint8_t)r;
	smtps_go(s, SMTPS_CHUNK);
	return SMTPS_STEP_AGAIN;
}

static enum smtps_step
next_chunk(struct smtps *s)
{
	struct smtps_txn *t = s->txn;
	bool reserved = t->reserved && !t->failed;

	smtps_go(s, SMTPS_CHUNK);
	if (t->failed || s->conf->size_max == 0 ||
	    t->body.bytes + s->chunk_left <= s->conf->size_max)
		return SMTPS_STEP_AGAIN;
	fail(t, SMTPS_REPLY_BODY_SIZE);
	return reserved ? SMTPS_STEP_ABORT : SMTPS_STEP_AGAIN;
}

enum smtps_step
smtps_on_bdat(struct smtps *s, struct smtps_io *io, struct slice arg)
{
	bool last;

	/* Without a count nobody knows where the next command begins; and what
	 * is far too large is not worth being read. */
	if (!smtp_bdat_parse(arg, &s->chunk_left, &last)) {
		smtps_say(s, io, SMTPS_REPLY_BDAT_SYNTAX);
		smtps_go(s, SMTPS_CLOSED);
		return SMTPS_STEP_AGAIN;
	}
	if (s->conf->size_max > 0 &&
	    s->chunk_left / SMTPS_CHUNK_FACTOR > s->conf->size_max) {
		smtps_say(s, io, SMTPS_REPLY_SIZE);
		smtps_go(s, SMTPS_CLOSED);
		return SMTPS_STEP_AGAIN;
	}
	switch ((enum smtps_state)s->state) {
	case SMTPS_GREET: return drop_chunk(s, SMTPS_REPLY_HELO_FIRST);
	case SMTPS_READY: return drop_chunk(s, SMTPS_REPLY_NEED_MAIL);
	case SMTPS_MAIL:
		return drop_chunk(s, s->txn->rcpt_tried > 0
					 ? SMTPS_REPLY_NO_RCPT
					 : SMTPS_REPLY_NEED_RCPT);
	case SMTPS_CHUNKED:
		/* Nobody who means well cuts a message so small. */
		if (!last && s->chunk_left < SMTPS_CHUNK_TINY &&
		    smtps_junk(s, io))
			return SMTPS_STEP_AGAIN;
		s->txn->last = last;
		return next_chunk(s);
	default: break;
	}
	ASSERT(s->state == SMTPS_RCPT);
	s->txn->chunked = true;
	s->txn->last = last;
	if (s->conf->size_max > 0 && s->chunk_left > s->conf->size_max) {
		fail(s->txn, SMTPS_REPLY_BODY_SIZE);
		smtps_go(s, SMTPS_CHUNK);
		return SMTPS_STEP_AGAIN;
	}
	smtps_go(s, SMTPS_OPENING);
	return SMTPS_STEP_OPEN;
}

enum smtps_step
smtps_on_opening(struct smtps *s, struct smtps_io *io)
{
	struct smtps_txn *t = s->txn;

	if (!s->answered)
		return SMTPS_STEP_WAIT;
	s->answered = false;
	if (t->failed && !t->chunked) {
		t->failed = false; /* it may be tried again */
		smtps_go(s, SMTPS_RCPT);
		smtps_say_why(s, io, &t->why, SLICE_NONE);
		return SMTPS_STEP_AGAIN;
	}
	body_scan_init(&t->body, !t->chunked,
	    s->normalise ? BODY_NORMALISE : BODY_REFUSE);
	header_scan_init(&t->header);
	if (t->chunked) {
		smtps_go(s, SMTPS_CHUNK);
	} else {
		smtps_go(s, SMTPS_DATA);
		smtps_say_line(io, 354, true,
		    SLICE_LIT("End data with <CR><LF>.<CR><LF>"));
	}
	return SMTPS_STEP_AGAIN;
}

/* ---- the bytes ---- */

/* Limits of what was read so far. */
static void
check(struct smtps *s)
{
	struct smtps_txn *t = s->txn;

	if (!s->normalise && (t->body.flags & (BODY_BARE_CR | BODY_BARE_LF)))
		fail(t, SMTPS_REPLY_BARE_BODY);
	else if (t->header.fault == HEADER_LOOP)
		fail(t, SMTPS_REPLY_HOPS);
	else if (t->header.fault != HEADER_OK)
		fail(t, SMTPS_REPLY_HEADERS);
	else if (s->conf->size_max > 0 && t->body.bytes > s->conf->size_max)
		fail(t, SMTPS_REPLY_BODY_SIZE);
}

/* The next at most max bytes of the input as part of the body. */
static enum smtps_step
piece(struct smtps *s, struct smtps_io *io, size_t max, size_t *used_out)
{
	struct smtps_txn *t = s->txn;
	bool failed = t->failed;
	char *out = io->in;
	size_t n = io->in_len < max ? io->in_len : max, made;

	if (s->normalise) {
		size_t most = (io->spare_size - BODY_SCAN_SLACK_BYTES) / 2;

		out = io->spare;
		if (n > most)
			n = most;
	}
	*used_out = body_scan(&t->body, io->in, n, out, &made);
	drop(io, *used_out);
	if (failed)
		return SMTPS_STEP_AGAIN;
	made = header_scan(&t->header, &s->conf->headers, out, made);
	check(s);
	if (t->failed)
		return SMTPS_STEP_ABORT;
	io->body = slice_of(out, made);
	return made > 0 ? SMTPS_STEP_BODY : SMTPS_STEP_AGAIN;
}

static void
body_over(struct smtps *s)
{
	s->answer_count = s->lmtp ? s->txn->rcpt_count : 1;
	smtps_go(s, s->txn->failed ? SMTPS_ANSWER : SMTPS_COMMIT);
}

enum smtps_step
smtps_on_data_bytes(struct smtps *s, struct smtps_io *io)
{
	enum smtps_step step;
	size_t used;

	if (io->in_len == 0)
		return SMTPS_STEP_MORE;
	step = piece(s, io, SIZE_MAX, &used);
	if (s->txn->body.ended)
		body_over(s);
	return step;
}

/* The octets of the last chunk are over: what was held back comes out. */
static enum smtps_step
last_chunk(struct smtps *s, struct smtps_io *io)
{
	struct smtps_txn *t = s->txn;
	size_t n = body_scan_finish(&t->body, io->small);

	n = header_scan(&t->header, &s->conf->headers, io->small, n);
	n += header_scan_finish(&t->header, io->small + n);
	check(s);
	body_over(s);
	if (t->failed)
		return SMTPS_STEP_ABORT;
	io->body = slice_of(io->small, n);
	return n > 0 ? SMTPS_STEP_BODY : SMTPS_STEP_AGAIN;
}

static enum smtps_step
chunk_over(struct smtps *s, struct smtps_io *io)
{
	struct smtps_txn *t = s->txn;

	if (t->failed) {
		s->answer_count = s->lmtp && t->last ? t->rcpt_count : 1;
		smtps_go(s, SMTPS_ANSWER);
		return SMTPS_STEP_AGAIN;
	}
	if (t->last)
		return last_chunk(s, io);
	smtps_go(s, SMTPS_CHUNKED);
	smtps_say(s, io, SMTPS_REPLY_OK);
	return SMTPS_STEP_AGAIN;
}

enum smtps_step
smtps_on_chunk_bytes(struct smtps *s, struct smtps_io *io)
{
	size_t n = io->in_len < s->chunk_left ? io->in_len : s->chunk_left;
	bool foreign = s->chunk_reply != SMTPS_REPLY_NONE;
	enum smtps_step step = SMTPS_STEP_AGAIN;

	if (s->chunk_left > 0 && n == 0)
		return SMTPS_STEP_MORE;
	if (foreign || s->txn->failed)
		drop(io, n);
	else if (n > 0)
		step = piece(s, io, n, &n);
	s->chunk_left -= n;
	if (s->chunk_left > 0 || step != SMTPS_STEP_AGAIN)
		return step;
	if (!foreign)
		return chunk_over(s, io);
	smtps_go(s, (enum smtps_state)s->back);
	smtps_say(s, io, (enum smtps_reply)s->chunk_reply);
	s->chunk_reply = SMTPS_REPLY_NONE;
	return SMTPS_STEP_AGAIN;
}

/* ---- the end ---- */

enum smtps_step
smtps_on_commit(struct smtps *s, struct smtps_io *io)
{
	(void)io;
	if (s->answered) {
		s->answered = s->asked = false;
		smtps_go(s, SMTPS_ANSWER);
		return SMTPS_STEP_AGAIN;
	}
	if (s->txn->failed) { /* by the driver, since the last byte */
		smtps_go(s, SMTPS_ANSWER);
		return SMTPS_STEP_AGAIN;
	}
	if (s->asked)
		return SMTPS_STEP_WAIT;
	s->asked = true;
	return SMTPS_STEP_COMMIT;
}

/* The transaction was answered. */
static enum smtps_step
transaction_over(struct smtps *s)
{
	bool close =
	    s->txn->failed && s->txn->why.fixed == SMTPS_REPLY_BARE_BODY;

	s->txn = NULL;
	smtps_go(s, close ? SMTPS_CLOSED : SMTPS_READY);
	return SMTPS_STEP_RESET;
}

enum smtps_step
smtps_on_answer(struct smtps *s, struct smtps_io *io)
{
	char text[64];

	if (s->answer_count == 0)
		return transaction_over(s);
	if (s->txn->failed) {
		smtps_say_why(s, io, &s->txn->why, SLICE_NONE);
		s->answer_count--;
		return SMTPS_STEP_AGAIN;
	}
	s->error_count = s->junk_count = 0;
	snprintf(text, sizeof(text), "Ok: queued as %" PRIu64, s->id);
	smtps_say_text(s, io, 250, "2.0.0", slice_str(text));
	/* One good command, whatever the number of replies. */
	if (--s->answer_count > 0)
		s->counts[s->verb].good--;
	return SMTPS_STEP_AGAIN;
}
