/*
 * Happy path of a report: JOB_EXTENTS and REPORT_RCPTS are gathered under its
 * tag; REPORT completes it and opens the transaction; TXN_READY gives the id;
 * pieces are composed and sent as far as the credit goes, then the original,
 * read from its segments; TXN_COMMIT; TXN_DONE ends it.
 *
 * Failure modes: no memory or slot, an unreadable segment, a refused
 * transaction: REPORT_FAILED, the queue asks again.  The queue goes away:
 * everything is forgotten, it has what is owed in its log.
 */
#include "bounce/reporter.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "bounce/compose.h"
#include "conf/conf.h"
#include "ev/loop.h"
#include "ipc/chan.h"
#include "ipc/frames.h"

enum {
	REPORTS_MAX = 8, /* the queue has at most 4 at once */
	SEGMENTS_MAX = 1024,
	CHAN_QUEUE_BYTES = 128 << 10,
	EXTENTS_BYTES_MAX = 8192 * EXTENT_BYTES,
	RCPTS_BYTES_MAX = 1 << 20,
	READ_BYTES = 16384,
	/* A header that is longer than this is cut. */
	HEADER_BYTES_MAX = 128 << 10,
};

enum stage {
	STAGE_GATHER, /* until REPORT */
	STAGE_OPEN,   /* TXN_READY is awaited */
	STAGE_HEAD,
	STAGE_TEXT, /* of each recipient */
	STAGE_STATUS_HEAD,
	STAGE_STATUS, /* of each recipient */
	STAGE_ORIGINAL_HEAD,
	STAGE_ORIGINAL,
	STAGE_TAIL,
	STAGE_COMMIT,
	STAGE_DONE, /* TXN_DONE is awaited */
};

struct segment {
	struct list_node node;
	uint64_t number;
	int fd;
};

struct report {
	bool used;
	uint32_t tag;
	uint8_t stage; /* enum stage */
	struct buf extents, rcpts;
	uint32_t extent_count, rcpt_count;
	char *envelope_bytes; /* encoded; charged */
	char *to;	      /* charged; of c.to */
	struct envelope envelope;
	struct compose c;
	struct buf out;	     /* composed, not sent */
	size_t rcpt_at;	     /* in rcpts: next recipient */
	size_t extent_at;    /* in extents: next piece */
	uint32_t piece_done; /* bytes of that piece that were read */
	uint32_t newlines;   /* STAGE_ORIGINAL: state of the header's end */
	bool ends_crlf;
	uint64_t header_bytes;
	uint64_t body_bytes; /* sent */
	uint32_t credit;
};

struct reporter {
	struct reporter_env env;
	const struct conf *conf;
	struct chan *chan;
	struct list segments; /* newest first */
	unsigned segment_count;
	struct report reports[REPORTS_MAX];
	struct ev_timer idle;
	unsigned char *piece; /* COMPOSE_PIECE_BYTES_MAX */
};

/* ---- reports ---- */

static bool
all_idle(const struct reporter *p)
{
	for (unsigned i = 0; i < REPORTS_MAX; i++)
		if (p->reports[i].used)
			return false;
	return true;
}

static void
report_free(struct reporter *p, struct report *r)
{
	buf_fini(&r->extents);
	buf_fini(&r->rcpts);
	buf_fini(&r->out);
	mem_free(p->env.acct, r->envelope_bytes);
	mem_free(p->env.acct, r->to);
	*r = (struct report){ 0 };
	if (all_idle(p))
		ev_timer_set(&p->idle, REPORTER_IDLE_MS);
}

static struct report *
report_get(struct reporter *p, uint32_t tag, bool make)
{
	struct report *r = NULL;

	for (unsigned i = 0; i < REPORTS_MAX; i++) {
		if (p->reports[i].used && p->reports[i].tag == tag)
			return &p->reports[i];
		if (!p->reports[i].used)
			r = &p->reports[i];
	}
	if (!make || r == NULL)
		return NULL;
	*r = (struct report){ .used = true, .tag = tag };
	buf_init(&r->extents, p->env.acct, 64, EXTENTS_BYTES_MAX);
	buf_init(&r->rcpts, p->env.acct, 512, RCPTS_BYTES_MAX);
	buf_init(&r->out, p->env.acct, 4096, COMPOSE_PIECE_BYTES_MAX * 2);
	ev_timer_clear(&p->idle);
	return r;
}

static void
report_failed(struct reporter *p, struct report *r, enum err e, const char *why,
    bool abort)
{
	struct fr_report_failed f = { .error = (uint8_t)e,
		.text = slice_str(why) };
	struct fr_txn_abort gone = { 0 };

	if (p->chan != NULL && abort)
		(void)!send_txn_abort(p->chan, r->tag, &gone, -1);
	/* Not sent: the queue's own deadline ends it. */
	if (p->chan != NULL)
		(void)!send_report_failed(p->chan, r->tag, &f, -1);
	report_free(p, r);
}

/* ---- segments ---- */

static struct segment *
segment_find(struct reporter *p, uint64_t number)
{
	struct list_node *n = list_first(&p->segments);

	for (; n != NULL; n = list_next(&p->segments, n)) {
		struct segment *s = CONTAINER(n, struct segment, node);

		if (s->number == number)
			return s;
	}
	return NULL;
}

static void
segment_free(struct reporter *p, struct segment *s)
{
	(void)close(s->fd);
	list_remove(&s->node);
	p->segment_count--;
	mem_free(p->env.acct, s);
}

static void
on_segment(struct reporter *p, struct frame *f)
{
	struct fr_segment in;
	struct segment *s;

	if (!get_segment(f, &in) || f->fd < 0) {
		chan_bad(p->chan, "SEGMENT");
		return;
	}
	s = segment_find(p, in.number);
	if (s != NULL)
		segment_free(p, s);
	s = p->segment_count < SEGMENTS_MAX ? mem_alloc(p->env.acct, sizeof(*s))
					    : NULL;
	if (s == NULL)
		return; /* the report that needs it fails */
	s->number = in.number;
	s->fd = f->fd;
	f->fd = -1;
	list_push_front(&p->segments, &s->node);
	p->segment_count++;
}

/* The next bytes of the original into buf: how many; 0: no more; -1: they
 * cannot be read (errno). */
static ssize_t
read_original(struct reporter *p, struct report *r, char *buf, size_t size)
{
	for (;;) {
		struct slice all = buf_data(&r->extents);
		struct rd rd = rd_of(slice_sub(all, r->extent_at, all.len));
		struct segment *s;
		struct extent e;
		ssize_t got;

		if (rd.left == 0)
			return 0;
		if (!extent_get(&rd, &e)) {
			errno = EPROTO;
			return -1;
		}
		if (r->piece_done == e.length) {
			r->extent_at += EXTENT_BYTES;
			r->piece_done = 0;
			continue;
		}
		s = segment_find(p, e.segment);
		if (s == NULL) {
			errno = ENOENT;
			return -1;
		}
		if (size > e.length - r->piece_done)
			size = e.length - r->piece_done;
		got = pread(s->fd, buf, size, (off_t)e.offset + r->piece_done);
		if (got == 0)
			errno = EIO; /* the segment is shorter than that */
		if (got <= 0)
			return -1;
		r->piece_done += (uint32_t)got;
		return got;
	}
}

/* ---- composing ---- */

/* Length of what belongs to the header in data; *end: it ends there. */
static size_t
header_part(struct report *r, const char *data, size_t len, bool *end)
{
	/* newlines counts the bytes of CRLF CRLF seen so far; at the start of
	 * the message an empty line ends it at once. */
	for (size_t i = 0; i < len; i++) {
		char want = r->newlines % 2 == 0 ? '\r' : '\n';

		if (data[i] == want)
			r->newlines++;
		else
			r->newlines = data[i] == '\r' ? 1 : 0;
		if (r->newlines == 4 || ++r->header_bytes == HEADER_BYTES_MAX) {
			*end = true;
			return i + 1;
		}
	}
	return len;
}

/* Some of the original into out; false: it cannot be read. */
static bool
compose_body(struct reporter *p, struct report *r)
{
	char *to;
	size_t room;
	ssize_t got;
	size_t len;
	bool end = false;

	if (buf_room(&r->out, READ_BYTES, &to, &room) != OK) {
		errno = ENOMEM;
		return false;
	}
	got = read_original(p, r, to, READ_BYTES);
	if (got < 0)
		return false;
	len = (size_t)got;
	if (r->c.header_only)
		len = header_part(r, to, len, &end);
	if (len > 0) {
		r->ends_crlf = to[len - 1] == '\n';
		buf_grew(&r->out, len);
	}
	if (got == 0 || end)
		r->stage = STAGE_TAIL;
	return true;
}

/* One recipient's piece; false: that was the last one before. */
static bool
compose_rcpt(struct report *r, struct wr *w)
{
	struct slice all = buf_data(&r->rcpts);
	struct rd rd = rd_of(slice_sub(all, r->rcpt_at, all.len));
	struct job_result j;

	if (rd.left == 0) {
		r->rcpt_at = 0;
		return false;
	}
	if (!job_result_get(&rd, &j))
		ASSERT(!"it decoded when it came");
	r->rcpt_at = all.len - rd.left;
	if (r->stage == STAGE_TEXT)
		compose_rcpt_text(&r->c, &j, w);
	else
		compose_rcpt_status(&r->c, &j, w);
	return true;
}

/* The next piece into out. */
static bool
compose_next(struct reporter *p, struct report *r)
{
	struct wr w = wr_of(p->piece, COMPOSE_PIECE_BYTES_MAX);

	switch (r->stage) {
	case STAGE_HEAD:
		compose_head(&r->c, &w);
		r->stage++;
		break;
	case STAGE_TEXT:
	case STAGE_STATUS:
		if (!compose_rcpt(r, &w))
			r->stage++;
		break;
	case STAGE_STATUS_HEAD:
		compose_status_head(&r->c, &w);
		r->stage++;
		break;
	case STAGE_ORIGINAL_HEAD:
		compose_original(&r->c, &w);
		r->stage = r->c.original ? STAGE_ORIGINAL : STAGE_TAIL;
		r->newlines = 2; /* at the beginning of a line */
		r->ends_crlf = true;
		break;
	case STAGE_ORIGINAL: return compose_body(p, r);
	default:
		compose_tail(&r->c, !r->ends_crlf, &w);
		r->stage = STAGE_COMMIT;
		break;
	}
	ASSERT(!w.full);
	errno = ENOMEM;
	return buf_put(&r->out, wr_done(&w)) == OK;
}

/* ---- sending ---- */

/* Send what is composed as far as credit and channel go.  False: wait. */
static bool
send_out(struct reporter *p, struct report *r)
{
	while (r->out.len > 0) {
		struct fr_txn_body f = { .data = buf_data(&r->out) };

		f.data = slice_sub(f.data, 0, READ_BYTES);
		f.data = slice_sub(f.data, 0, r->credit);
		if (f.data.len == 0 ||
		    send_txn_body(p->chan, r->tag, &f, -1) != OK)
			return false;
		r->credit -= (uint32_t)f.data.len;
		r->body_bytes += f.data.len;
		buf_take(&r->out, f.data.len);
	}
	return true;
}

static void
advance(struct reporter *p, struct report *r)
{
	struct fr_txn_commit f = { 0 };

	if (r->stage < STAGE_HEAD || r->stage == STAGE_DONE)
		return;
	for (;;) {
		if (p->chan == NULL || !send_out(p, r))
			return;
		if (r->stage == STAGE_COMMIT)
			break;
		if (!compose_next(p, r)) {
			report_failed(p, r, err_from_errno(errno),
			    "the original cannot be read", true);
			return;
		}
	}
	f.body_bytes = r->body_bytes;
	f.flags = compose_flags(&r->c);
	f.longest_line_bytes = 1000;
	if (send_txn_commit(p->chan, r->tag, &f, -1) == OK)
		r->stage = STAGE_DONE;
}

/* ---- frames ---- */

static bool
valid_rcpts(struct slice data, uint32_t *count)
{
	struct rd rd = rd_of(data);
	struct job_result j;

	for (; rd.left > 0; ++*count)
		if (!job_result_get(&rd, &j))
			return false;
	return true;
}

static void
gather(struct reporter *p, struct frame *f)
{
	struct report *r = report_get(p, f->tag, true);
	struct fr_job_extents extents;
	struct fr_report_rcpts rcpts;
	enum err e = OK;

	if (r == NULL)
		return; /* REPORT is answered with REPORT_FAILED */
	if (r->stage != STAGE_GATHER) {
		chan_bad(p->chan, "a frame after REPORT");
	} else if (f->type == FRAME_JOB_EXTENTS &&
		   get_job_extents(f, &extents) &&
		   extents.extents.len % EXTENT_BYTES == 0) {
		r->extent_count +=
		    (uint32_t)(extents.extents.len / EXTENT_BYTES);
		e = buf_put(&r->extents, extents.extents);
	} else if (f->type == FRAME_REPORT_RCPTS &&
		   get_report_rcpts(f, &rcpts) &&
		   valid_rcpts(rcpts.rcpts, &r->rcpt_count)) {
		e = buf_put(&r->rcpts, rcpts.rcpts);
	} else {
		chan_bad(p->chan, "a part of a report");
	}
	/* REPORT finds no such report then. */
	if (e != OK)
		report_free(p, r);
}

static enum err
keep(struct reporter *p, struct report *r, const struct fr_report *f)
{
	struct rd rd;

	r->envelope_bytes = mem_alloc(p->env.acct, f->envelope.len + 1);
	r->to = mem_alloc(p->env.acct, f->report_to.len + 1);
	if (r->envelope_bytes == NULL || r->to == NULL)
		return ERR_NOMEM;
	memcpy(r->envelope_bytes, f->envelope.data, f->envelope.len);
	memcpy(r->to, f->report_to.data, f->report_to.len);
	rd = rd_of(slice_of(r->envelope_bytes, f->envelope.len));
	return envelope_get(&rd, &r->envelope) ? OK : ERR_CORRUPT;
}

static uint64_t
size_hint(const struct report *r)
{
	uint64_t body = !r->c.original	   ? 0
			: r->c.header_only ? HEADER_BYTES_MAX
					   : r->envelope.body_bytes;

	return body + 16384 + 4 * buf_data(&r->rcpts).len;
}

static enum err
open_txn(struct reporter *p, struct report *r)
{
	char env[512], rcpt[ENVELOPE_RCPT_BYTES_MAX];
	struct wr ew = wr_of(env, sizeof(env)), rw = wr_of(rcpt, sizeof(rcpt));
	struct envelope e = { .origin = ORIGIN_REPORT,
		.arrival_ms = (uint64_t)r->c.now.ms,
		.protocol = SLICE_LIT("local") };
	struct envelope_rcpt to = { .address = r->c.to };
	struct fr_txn_open open = { .size_hint_bytes = size_hint(r),
		.rcpt_count = 1 };
	struct fr_txn_rcpt list;
	enum err err;

	envelope_put(&ew, &e);
	envelope_rcpt_put(&rw, &to);
	if (ew.full || rw.full)
		return ERR_TOOBIG;
	open.envelope = wr_done(&ew);
	list.rcpts = wr_done(&rw);
	err = send_txn_open(p->chan, r->tag, &open, -1);
	return err == OK ? send_txn_rcpt(p->chan, r->tag, &list, -1) : err;
}

static void
on_report(struct reporter *p, struct frame *f)
{
	struct clock *clock = ev_clock(p->env.loop);
	struct report *r = report_get(p, f->tag, false);
	struct fr_report_failed failed = { .error = ERR_FULL,
		.text = SLICE_LIT("no memory for it") };
	struct fr_report in;
	enum err e;

	if (!get_report(f, &in) || in.kind >= REPORT_KIND_COUNT) {
		chan_bad(p->chan, "REPORT");
		return;
	}
	if (r == NULL || r->extent_count < in.extent_count) {
		(void)!send_report_failed(p->chan, f->tag, &failed, -1);
		return;
	}
	if (r->stage != STAGE_GATHER || r->rcpt_count != in.rcpt_count) {
		chan_bad(p->chan, "REPORT and its parts");
		return;
	}
	e = keep(p, r, &in);
	if (e != OK) {
		report_failed(p, r, e, err_text(e), false);
		return;
	}
	r->c = (struct compose){
		.format = (enum compose_format)p->conf->bounce_format,
		.kind = in.kind,
		.id = in.id,
		.boundary = { random_u64(), random_u64() },
		.now = clock->wall(clock),
		.arrival_ms = in.arrival_ms,
		.expires_ms = in.expires_ms,
		.hostname = slice_str(p->conf->myhostname),
		.to = slice_of(r->to, in.report_to.len),
		.envelope = &r->envelope,
		.original = in.extent_count > 0,
		.header_only = compose_header_only(in.kind, r->envelope.ret,
		    r->envelope.body_bytes, p->conf->bounce_size_limit_bytes),
	};
	r->stage = STAGE_OPEN;
	e = open_txn(p, r);
	if (e != OK)
		report_failed(p, r, e, err_text(e), true);
}

static void
on_txn(struct reporter *p, struct frame *f)
{
	struct report *r = report_get(p, f->tag, false);
	struct fr_txn_ready ready;
	struct fr_txn_credit credit;
	struct fr_txn_done done;

	if (r == NULL)
		return; /* it failed meanwhile */
	if (f->type == FRAME_TXN_READY && get_txn_ready(f, &ready) &&
	    r->stage == STAGE_OPEN) {
		if (ready.error != OK) {
			report_failed(p, r,
			    ready.error < ERR_COUNT ? (enum err)ready.error
						    : ERR_SYS,
			    "the queue does not take it", false);
			return;
		}
		r->c.report_id = ready.id;
		r->credit = ready.credit_bytes;
		r->stage = STAGE_HEAD;
		advance(p, r);
	} else if (f->type == FRAME_TXN_CREDIT && get_txn_credit(f, &credit) &&
		   r->stage >= STAGE_HEAD) {
		r->credit += credit.bytes;
		advance(p, r);
	} else if (f->type == FRAME_TXN_DONE && get_txn_done(f, &done)) {
		if (done.error != OK)
			report_failed(p, r, ERR_SYS,
			    "the queue could not store it", false);
		else
			report_free(p, r);
	} else {
		chan_bad(p->chan, "an answer out of turn");
	}
}

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	struct reporter *p = arg;
	struct fr_segment_drop drop;
	struct segment *s;

	(void)c;
	switch (f->type) {
	case FRAME_SEGMENT: on_segment(p, f); break;
	case FRAME_SEGMENT_DROP:
		s = get_segment_drop(f, &drop) ? segment_find(p, drop.number)
					       : NULL;
		if (s != NULL)
			segment_free(p, s);
		break;
	case FRAME_JOB_EXTENTS:
	case FRAME_REPORT_RCPTS: gather(p, f); break;
	case FRAME_REPORT: on_report(p, f); break;
	default: on_txn(p, f); break;
	}
}

static void
on_room(void *arg, struct chan *c)
{
	struct reporter *p = arg;

	(void)c;
	for (unsigned i = 0; i < REPORTS_MAX; i++)
		if (p->reports[i].used)
			advance(p, &p->reports[i]);
}

/* ---- the channel ---- */

static void
forget_all(struct reporter *p)
{
	struct list_node *n;

	for (unsigned i = 0; i < REPORTS_MAX; i++)
		if (p->reports[i].used)
			report_free(p, &p->reports[i]);
	while ((n = list_first(&p->segments)) != NULL)
		segment_free(p, CONTAINER(n, struct segment, node));
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct reporter *p = arg;

	p->chan = NULL;
	forget_all(p);
	if (bad)
		p->env.bad_queue(p->env.arg, why);
	chan_close(c);
}

static const struct chan_events events = { on_frame, on_closed, on_room };

void
reporter_channel(struct reporter *p, int fd)
{
	if (p->chan != NULL) {
		chan_close(p->chan);
		p->chan = NULL;
		forget_all(p);
	}
	if (chan_open(p->env.loop, p->env.acct, fd, ROLE_BOUNCE, ROLE_QUEUE, 0,
		&events, p, CHAN_QUEUE_BYTES, &p->chan) != OK)
		(void)close(fd);
}

static void
idle_fired(void *arg, struct ev_timer *t)
{
	struct reporter *p = arg;

	(void)t;
	p->env.idle(p->env.arg);
}

enum err
reporter_open(const struct reporter_env *env, struct reporter **out)
{
	struct reporter *p = mem_alloc(env->acct, sizeof(*p));

	if (p == NULL)
		return ERR_NOMEM;
	p->env = *env;
	p->conf = env->conf;
	p->piece = mem_alloc(env->acct, COMPOSE_PIECE_BYTES_MAX);
	if (p->piece == NULL) {
		mem_free(env->acct, p);
		return ERR_NOMEM;
	}
	list_init(&p->segments);
	ev_timer_init(&p->idle, env->loop, idle_fired, p);
	ev_timer_set(&p->idle, REPORTER_IDLE_MS);
	*out = p;
	return OK;
}

void
reporter_reload(struct reporter *p, const struct conf *conf)
{
	p->conf = conf;
	/* Those under way must not point into the old configuration. */
	for (unsigned i = 0; i < REPORTS_MAX; i++)
		p->reports[i].c.hostname = slice_str(conf->myhostname);
}

void
reporter_close(struct reporter *p)
{
	if (p == NULL)
		return;
	chan_close(p->chan);
	p->chan = NULL;
	forget_all(p);
	ev_timer_clear(&p->idle);
	mem_free(p->env.acct, p->piece);
	mem_free(p->env.acct, p);
}
