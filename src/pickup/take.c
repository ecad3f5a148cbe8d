/*
 * take: a transaction with the queue for each file.
 *
 * Happy path: open the file, TXN_OPEN, its recipients in TXN_RCPT frames,
 * TXN_READY gives the id; the trace field and the message as TXN_BODY within
 * the credit; TXN_COMMIT; with TXN_DONE the message is durable, the file is
 * removed, the directory synced, the next file begun.
 *
 * Failure modes: a file that is no message is set aside under a name that
 * begins with "bad.", with a line in the log; a refusal by the queue (full,
 * no memory) leaves it where it is and is tried again after RETRY_MS; a queue
 * that goes away is waited for.  When a file cannot be removed or renamed
 * nothing more is begun, so that none is taken in twice.
 */
#include "pickup/take.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "conf/conf.h"
#include "ev/loop.h"
#include "ipc/frames.h"
#include "pickup/drop_dir.h"
#include "pickup/dropped.h"
#include "proto/body_scan.h"
#include "proto/envelope.h"
#include "proto/header_scan.h"
#include "proto/received.h"

enum {
	RCPTS_BLOB_BYTES = 49152,
	PIECE_BYTES = 16 * 1024,
	BODY_BYTES = 2 * PIECE_BYTES + BODY_SCAN_SLACK_BYTES + 8,
	QUEUE_BYTES_MAX = 512 * 1024,
	RETRY_MS = 30 * 1000,
};

_Static_assert((int)BODY_BYTES > (int)RECEIVED_BYTES_MAX,
    "the trace field fits where the body passes");

enum take_state {
	IDLE,	    /* looking for the next file, or nothing to do */
	OPENING,    /* TXN_OPEN and recipients are being sent */
	SENDING,    /* the message */
	COMMITTING, /* TXN_DONE is awaited */
	WAITING,    /* for the timer, or for a queue */
};

struct take {
	struct ev_loop *loop;
	struct acct *acct;
	const struct conf *conf;
	const struct take_events *events;
	int dir_fd;
	struct chan *queue; /* NULL: none */
	struct ev_task task;
	struct ev_timer timer;
	uint8_t state; /* enum take_state */
	bool draining;
	bool stuck;  /* the directory cannot be changed: begin nothing */
	bool opened; /* TXN_OPEN was sent */
	uint32_t tag;
	uint64_t id;
	int64_t credit;
	uint64_t sent_bytes;
	char name[DROP_NAME_BYTES]; /* of the file */
	struct dropped file;
	struct body_scan scan;
	struct header_scan header;
	bool file_over;	 /* all of it was read */
	size_t held_len; /* bytes in held that wait for credit */
	char held[BODY_BYTES];
};

static void step(struct take *t);

static void
go_on(struct take *t)
{
	ev_defer(t->loop, &t->task);
}

/* ---- the end of a file ---- */

static void
next(struct take *t)
{
	dropped_close(&t->file);
	t->state = IDLE;
	go_on(t);
}

static void
abort_transaction(struct take *t)
{
	struct fr_txn_abort f = { 0 };

	if (t->opened && t->queue != NULL &&
	    send_txn_abort(t->queue, t->tag, &f, -1) != OK)
		chan_bad(t->queue, "TXN_ABORT does not fit");
	t->opened = false;
}

/* It will never be a message. */
static void
set_aside(struct take *t, const char *why)
{
	abort_transaction(t);
	t->stuck = !drop_dir_set_aside(t->dir_fd, t->name, why);
	next(t);
}

/* Not now. */
static void
try_later(struct take *t, const char *why)
{
	abort_transaction(t);
	log_warning("drop/%s: %s; next attempt in %d s", t->name, why,
	    RETRY_MS / 1000);
	dropped_close(&t->file);
	t->state = WAITING;
	ev_timer_set(&t->timer, RETRY_MS);
}

static void
file_failed(struct take *t, enum err e, const struct errtext *et)
{
	if (e == ERR_CORRUPT)
		set_aside(t, et->text);
	else
		try_later(t, et->text);
}

static void
taken(struct take *t)
{
	t->opened = false;
	t->stuck = !drop_dir_remove(t->dir_fd, t->name, t->id);
	next(t);
}

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
	return send_txn_open(t->queue, t->tag, &f, -1);
}

static void
begin(struct take *t)
{
	struct errtext et = { .text = "" };
	enum err e = dropped_open(&t->file, t->dir_fd, t->name, &et);
	int64_t limit = t->conf->message_size_limit_bytes;

	if (e != OK) {
		file_failed(t, e, &et);
		return;
	}
	if (limit != 0 && t->file.message_bytes > (uint64_t)limit) {
		set_aside(t, "it is larger than message_size_limit");
		return;
	}
	t->tag++;
	t->id = 0;
	t->credit = 0;
	t->sent_bytes = 0;
	t->held_len = 0;
	t->file_over = false;
	body_scan_init(&t->scan, false, BODY_NORMALISE);
	header_scan_init(&t->header);
	t->state = OPENING;
	e = send_open(t);
	if (e != OK) {
		try_later(t, err_text(e));
		return;
	}
	t->opened = true;
	go_on(t);
}

/* Recipients, as long as the channel takes them. */
static void
send_rcpts(struct take *t)
{
	static unsigned char buf[RCPTS_BLOB_BYTES];
	struct errtext et = { .text = "" };
	struct fr_txn_rcpt f;
	struct wr w;
	enum err e;

	while (
	    t->file.rcpts_left > 0 && chan_room(t->queue) > sizeof(buf) + 64) {
		w = wr_of(buf, sizeof(buf));
		e = dropped_rcpts(&t->file, &w, &et);
		if (e != OK) {
			file_failed(t, e, &et);
			return;
		}
		f.rcpts = wr_done(&w);
		e = send_txn_rcpt(t->queue, t->tag, &f, -1);
		if (e != OK) {
			try_later(t, err_text(e));
			return;
		}
	}
}

/* ---- the message ---- */

static void
hold_trace(struct take *t)
{
	struct dropped *d = &t->file;
	struct received r = {
		.origin = ORIGIN_LOCAL,
		.helo = SLICE_LIT("localhost"),
		.client_name = SLICE_LIT("localhost"),
		.uid = d->uid,
		.hostname = slice_str(t->conf->myhostname),
		.protocol = received_protocol(ORIGIN_LOCAL, false, d->utf8),
		.id = t->id,
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
		file_failed(t, e, &et);
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
	set_aside(t, fault_text(t->header.fault));
	return false;
}

static void
commit(struct take *t)
{
	struct slice id = header_scan_message_id(&t->header);
	uint32_t flags = 0;
	struct fr_txn_commit f;
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
	f = (struct fr_txn_commit){
		.body_bytes = t->sent_bytes,
		.flags = flags,
		.longest_line_bytes =
		    t->scan.longest_line_bytes > UINT32_MAX
			? UINT32_MAX
			: (uint32_t)t->scan.longest_line_bytes,
	};
	if (id.len == 0)
		id = SLICE_LIT("<>");
	log_message(t->id, "uid=%" PRIu32 " from=<%.*s>", t->file.uid,
	    SLICE_ARGS(t->file.head.sender));
	log_message(t->id, "message-id=%.*s", SLICE_ARGS(id));
	e = send_txn_commit(t->queue, t->tag, &f, -1);
	if (e != OK)
		try_later(t, err_text(e));
	else
		t->state = COMMITTING;
}

/* As much of the message as credit and channel allow. */
static void
send_message(struct take *t)
{
	struct fr_txn_body f;
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
		if ((int64_t)t->held_len > t->credit)
			return; /* TXN_CREDIT goes on */
		f.data = slice_of(t->held, t->held_len);
		e = send_txn_body(t->queue, t->tag, &f, -1);
		if (e == ERR_FULL)
			return; /* on_room goes on */
		if (e != OK) {
			try_later(t, err_text(e));
			return;
		}
		t->credit -= (int64_t)t->held_len;
		t->sent_bytes += t->held_len;
		t->held_len = 0;
	}
}

/* ---- what moves it ---- */

static void
step(struct take *t)
{
	if (t->state == OPENING) {
		send_rcpts(t);
	} else if (t->state == SENDING) {
		send_message(t);
	} else if (t->state == IDLE) {
		if (t->queue == NULL && !t->draining)
			return; /* a channel will come */
		if (!t->draining && !t->stuck &&
		    drop_dir_next(t->dir_fd, t->name))
			begin(t);
		else
			t->events->on_empty(t->events->arg);
	}
}

static void
on_task(void *arg, struct ev_task *task)
{
	(void)task;
	step(arg);
}

static void
on_timer(void *arg, struct ev_timer *timer)
{
	struct take *t = arg;

	(void)timer;
	if (t->state == WAITING)
		t->state = IDLE;
	go_on(t);
}

static void
on_ready(struct take *t, const struct fr_txn_ready *f)
{
	if (t->state != OPENING) {
		chan_bad(t->queue, "TXN_READY out of place");
		return;
	}
	if (f->error != OK) {
		t->opened = false;
		try_later(t, f->error < ERR_COUNT ? err_text((enum err)f->error)
						  : "refused");
		return;
	}
	/* The envelope's recipients must all have been read. */
	if (t->file.rcpts_left > 0) {
		chan_bad(t->queue, "TXN_READY before the last recipient");
		return;
	}
	t->id = f->id;
	t->credit = f->credit_bytes;
	hold_trace(t);
	t->state = SENDING;
	go_on(t);
}

static void
on_done(struct take *t, const struct fr_txn_done *f)
{
	if (f->error == OK && t->state == COMMITTING) {
		taken(t);
		return;
	}
	if (f->error == OK) {
		chan_bad(t->queue, "TXN_DONE out of place");
		return;
	}
	t->opened = false;
	try_later(t,
	    f->error < ERR_COUNT ? err_text((enum err)f->error) : "refused");
}

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	struct take *t = arg;
	struct fr_txn_ready ready;
	struct fr_txn_credit credit;
	struct fr_txn_done done;

	/* An answer to what was given up. */
	if (f->tag != t->tag || !t->opened)
		return;
	if (f->type == FRAME_TXN_READY && get_txn_ready(f, &ready)) {
		on_ready(t, &ready);
	} else if (f->type == FRAME_TXN_CREDIT && get_txn_credit(f, &credit)) {
		t->credit += credit.bytes;
		go_on(t);
	} else if (f->type == FRAME_TXN_DONE && get_txn_done(f, &done)) {
		on_done(t, &done);
	} else {
		chan_bad(c, "frame that is not for pickup");
	}
}

static void
lose_queue(struct take *t)
{
	if (t->queue != NULL)
		chan_close(t->queue);
	t->queue = NULL;
	t->opened = false;
	if (t->state == IDLE || t->state == WAITING)
		return;
	dropped_close(&t->file);
	t->state = IDLE;
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct take *t = arg;

	(void)c;
	lose_queue(t);
	t->events->on_bad(t->events->arg, bad ? why : NULL);
	if (t->draining)
		go_on(t);
}

static void
on_room(void *arg, struct chan *c)
{
	(void)c;
	go_on(arg);
}

/* ---- all of it ---- */

enum err
take_new(struct ev_loop *loop, struct acct *a, int dir_fd,
    const struct take_events *events, struct take **out)
{
	struct take *t = mem_alloc(a, sizeof(*t));

	if (t == NULL) {
		close(dir_fd);
		return ERR_FULL;
	}
	t->loop = loop;
	t->acct = a;
	t->events = events;
	t->dir_fd = dir_fd;
	t->file.fd = -1;
	t->state = IDLE;
	ev_task_init(&t->task, on_task, t);
	ev_timer_init(&t->timer, loop, on_timer, t);
	*out = t;
	return OK;
}

void
take_free(struct take *t)
{
	if (t == NULL)
		return;
	lose_queue(t);
	ev_task_cancel(&t->task);
	ev_timer_clear(&t->timer);
	close(t->dir_fd);
	mem_free(t->acct, t);
}

void
take_set_conf(struct take *t, const struct conf *conf)
{
	t->conf = conf;
}

enum err
take_set_queue(struct take *t, int fd, unsigned index)
{
	static const struct chan_events events = { on_frame, on_closed,
		on_room };
	enum err e;

	lose_queue(t);
	e = chan_open(t->loop, t->acct, fd, ROLE_PICKUP, ROLE_QUEUE, index,
	    &events, t, QUEUE_BYTES_MAX, &t->queue);
	if (e == OK)
		go_on(t);
	return e;
}

void
take_scan(struct take *t)
{
	if (t->state == IDLE)
		go_on(t);
}

void
take_drain(struct take *t)
{
	t->draining = true;
	if (t->state == WAITING)
		t->state = IDLE;
	if (t->state != COMMITTING) {
		/* The file stays; the queue forgets. */
		abort_transaction(t);
		dropped_close(&t->file);
		t->state = IDLE;
	}
	go_on(t);
}
