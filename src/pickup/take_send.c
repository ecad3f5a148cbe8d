/*
 * take_send: what goes to the queue for a file: envelope, recipients, trace
 * field, message, commit.
 */
#include <inttypes.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/time.h"
#include "conf/conf.h"
#include "ipc/frames.h"
#include "pickup/take_int.h"
#include "proto/envelope.h"

enum { RCPTS_BLOB_BYTES = 49152 };

/* ---- the beginning ---- */

static enum err
send_open(struct take *t)
{
	unsigned char buf[ENVELOPE_BYTES_MAX];
	struct wr w = wr_of(buf, sizeof(buf));
	struct dropped *d = &t->file;
	struct envelope env = {
		.flags = ENVELOPE_BODY_8BITMIME,
		.origin = ORIGIN_LOCAL,
		.ret = d->head.ret,
		.arrival_ms = (uint64_t)d->dropped_ms,
		.uid = d->uid,
		.sender = d->head.sender,
		.envid = d->head.envid,
		.client_name = SLICE_LIT("localhost"),
		.helo = SLICE_LIT("localhost"),
		.protocol = SLICE_LIT("local"),
	};
	struct fr_txn_open f = {
		.size_hint_bytes = d->message_bytes + RECEIVED_BYTES_MAX,
		.rcpt_count = d->head.rcpt_count,
	};

	envelope_put(&w, &env);
	ASSERT(!w.full);
	f.envelope = wr_done(&w);
	return txn_client_open(&t->txn, t->queue, ++t->tag, &f);
}

void
take_begin(struct take *t)
{
	struct errtext et = { .text = "" };
	enum err e = dropped_open(&t->file, t->dir_fd, t->name, &et);
	int64_t limit = t->conf->message_size_limit_bytes;

	if (e != OK) {
		take_file_failed(t, e, &et);
		return;
	}
	if (limit != 0 && t->file.message_bytes > (uint64_t)limit) {
		take_set_aside(t, "it is larger than message_size_limit");
		return;
	}
	t->held_len = 0;
	t->file_over = false;
	body_scan_init(&t->scan, false, BODY_NORMALISE);
	header_scan_init(&t->header);
	t->state = OPENING;
	e = send_open(t);
	if (e != OK) {
		take_try_later(t, err_text(e));
		return;
	}
	take_go_on(t);
}

void
take_send_rcpts(struct take *t)
{
	static unsigned char buf[RCPTS_BLOB_BYTES];
	struct errtext et = { .text = "" };
	struct wr w;
	enum err e;

	while (
	    t->file.rcpts_left > 0 && chan_room(t->queue) > sizeof(buf) + 64) {
		w = wr_of(buf, sizeof(buf));
		e = dropped_rcpts(&t->file, &w, &et);
		if (e != OK) {
			take_file_failed(t, e, &et);
			return;
		}
		e = txn_client_rcpts(&t->txn, wr_done(&w));
		if (e != OK) {
			take_try_later(t, err_text(e));
			return;
		}
	}
}

/* ---- the message ---- */

void
take_hold_trace(struct take *t)
{
	struct dropped *d = &t->file;
	struct received r = {
		.origin = ORIGIN_LOCAL,
		.helo = SLICE_LIT("localhost"),
		.client_name = SLICE_LIT("localhost"),
		.uid = d->uid,
		.hostname = slice_str(t->conf->myhostname),
		.protocol = received_protocol(ORIGIN_LOCAL, false, d->utf8),
		.id = t->txn.id,
		.rcpt = slice_of(d->only_rcpt, d->only_rcpt_len),
		.when = clock_system.wall(&clock_system),
	};

	t->held_len = received_put(&r, t->held);
}

static const char *
fault_text(uint8_t fault)
{
	switch (fault) {
	case HEADER_TOO_MANY:
		return "it has more header fields than header_count_limit";
	case HEADER_TOO_BIG:
		return "its header is larger than header_total_size_limit";
	case HEADER_LOOP:
		return "it has more Received fields than hopcount_limit";
	default: return NULL;
	}
}

/* The next piece of the message into t->held.  False: the file is done for. */
static bool
fill(struct take *t)
{
	static char raw[PIECE_BYTES];
	const struct conf *c = t->conf;
	struct header_limits limits = {
		.field_bytes_max = (uint32_t)c->header_size_limit_bytes,
		.total_bytes_max = (uint64_t)c->header_total_size_limit_bytes,
		.count_max = (uint32_t)c->header_count_limit,
		.hop_count_max = (uint32_t)c->hopcount_limit,
	};
	struct errtext et = { .text = "" };
	size_t len, out = 0;
	enum err e;

	e = dropped_read(&t->file, raw, sizeof(raw), &len, &et);
	if (e != OK) {
		take_file_failed(t, e, &et);
		return false;
	}
	(void)body_scan(&t->scan, raw, len, t->held, &out);
	if (len == 0) {
		out += body_scan_finish(&t->scan, t->held + out);
		t->file_over = true;
	}
	t->held_len = header_scan(&t->header, &limits, t->held, out);
	if (t->file_over)
		t->held_len +=
		    header_scan_finish(&t->header, t->held + t->held_len);
	if (fault_text(t->header.fault) == NULL)
		return true;
	take_set_aside(t, fault_text(t->header.fault));
	return false;
}

static void
commit(struct take *t)
{
	struct slice id = header_scan_message_id(&t->header);
	uint64_t longest = t->scan.longest_line_bytes;
	uint32_t flags = 0;
	enum err e;

	if (t->scan.flags & BODY_8BIT)
		flags |= ENVELOPE_8BIT;
	if (t->scan.flags & BODY_DOT_LINE)
		flags |= ENVELOPE_DOT_LINE;
	if (t->header.cut)
		flags |= ENVELOPE_HEADER_CUT;
	if (t->file.utf8)
		flags |= ENVELOPE_UTF8;
	if (body_scan_lacks_eol(&t->scan))
		flags |= ENVELOPE_NO_FINAL_EOL;
	if (id.len == 0)
		id = SLICE_LIT("<>");
	log_message(t->txn.id, "uid=%" PRIu32 " from=<%.*s>", t->file.uid,
	    SLICE_ARGS(t->file.head.sender));
	log_message(t->txn.id, "message-id=%.*s", SLICE_ARGS(id));
	e = txn_client_commit(&t->txn, flags,
	    longest > UINT32_MAX ? UINT32_MAX : (uint32_t)longest);
	if (e != OK)
		take_try_later(t, err_text(e));
	else
		t->state = COMMITTING;
}

void
take_send_message(struct take *t)
{
	size_t sent;
	enum err e;

	for (;;) {
		if (t->held_len == 0 && t->file_over) {
			commit(t);
			return;
		}
		if (t->held_len == 0 && !fill(t))
			return;
		if (t->held_len == 0)
			continue;
		/* Whole pieces: what is left needs no moving. */
		if (t->held_len > t->txn.credit_bytes)
			return; /* TXN_CREDIT goes on */
		e = txn_client_body(&t->txn, slice_of(t->held, t->held_len),
		    &sent);
		if (e == ERR_FULL)
			return; /* on_room goes on */
		if (e != OK) {
			take_try_later(t, err_text(e));
			return;
		}
		ASSERT(sent == t->held_len);
		t->held_len = 0;
	}
}
