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
#include "bounce/reporter_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "conf/conf.h"

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
report_failed(struct reporter *p, struct report *r, enum err e, const char *why)
{
	struct fr_report_failed f = { .error = (uint8_t)e,
		.text = slice_str(why) };

	if (p->chan != NULL)
		txn_client_abort(&r->txn);
	/* Not sent: the queue's own deadline ends it. */
	if (p->chan != NULL)
		(void)!send_report_failed(p->chan, r->tag, &f, -1);
	report_free(p, r);
}

/* ---- sending ---- */

/* Send what is composed as far as credit and channel go.  False: wait. */
static bool
send_out(struct report *r)
{
	size_t sent;

	while (r->out.len > 0) {
		if (txn_client_body(&r->txn,
			slice_sub(buf_data(&r->out), 0, READ_BYTES),
			&sent) != OK)
			return false;
		buf_take(&r->out, sent);
	}
	return true;
}

static void
advance(struct reporter *p, struct report *r)
{
	if (r->stage < STAGE_HEAD || r->stage == STAGE_DONE)
		return;
	for (;;) {
		if (p->chan == NULL || !send_out(r))
			return;
		if (r->stage == STAGE_COMMIT)
			break;
		if (!report_compose(p, r)) {
			report_failed(p, r, err_from_errno(errno),
			    "the original cannot be read");
			return;
		}
	}
	if (txn_client_commit(&r->txn, compose_flags(&r->c), 1000) == OK)
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
	enum err err;

	envelope_put(&ew, &e);
	envelope_rcpt_put(&rw, &to);
	if (ew.full || rw.full)
		return ERR_TOOBIG;
	open.envelope = wr_done(&ew);
	err = txn_client_open(&r->txn, p->chan, r->tag, &open);
	return err == OK ? txn_client_rcpts(&r->txn, wr_done(&rw)) : err;
}

/* It was only its size. */
static void
say_too_large(struct reporter *p, uint64_t id)
{
	char who[32];
	int len = snprintf(who, sizeof(who), "message %" PRIu64, id);

	limit_refused(p->size_row);
	log_limit_row(&p->size_site, ev_now(p->env.loop), p->size_row,
	    slice_of(who, (size_t)len), "its report has only the header");
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
		report_failed(p, r, e, err_text(e));
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
		.from_local = slice_str(p->conf->bouncefrom),
		.from_host = slice_str(p->conf->bouncehost),
		.to = slice_of(r->to, in.report_to.len),
		.envelope = &r->envelope,
		.original = in.extent_count > 0,
		.header_only = compose_header_only(in.kind, r->envelope.ret,
		    r->envelope.body_bytes, p->conf->bounce_size_limit_bytes),
	};
	if (r->c.header_only && !compose_header_only(in.kind, r->envelope.ret,
				    r->envelope.body_bytes, INT64_MAX))
		say_too_large(p, in.id);
	r->stage = STAGE_OPEN;
	e = open_txn(p, r);
	if (e != OK)
		report_failed(p, r, e, err_text(e));
}

static void
on_txn(struct reporter *p, struct frame *f)
{
	struct report *r = report_get(p, f->tag, false);

	if (r == NULL)
		return; /* it failed meanwhile */
	switch (txn_client_on_frame(&r->txn, f)) {
	case TXN_CLIENT_READY:
		r->c.report_id = r->txn.id;
		r->stage = STAGE_HEAD;
		advance(p, r);
		break;
	case TXN_CLIENT_CREDIT: advance(p, r); break;
	case TXN_CLIENT_DONE: report_free(p, r); break;
	case TXN_CLIENT_REFUSED:
		report_failed(p, r, r->txn.error,
		    r->stage == STAGE_DONE ? "the queue could not store it"
					   : "the queue does not take it");
		break;
	case TXN_CLIENT_IGNORE:
	case TXN_CLIENT_BAD: chan_bad(p->chan, "an answer out of turn"); break;
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
	case FRAME_SEGMENT: segment_on_frame(p, f); break;
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
	p->size_row = limits_row(LIMIT_SIZE, "original in a report",
	    "bounce_size_limit", 0, p->conf->bounce_size_limit_bytes);
	ev_timer_init(&p->idle, env->loop, idle_fired, p);
	ev_timer_set(&p->idle, REPORTER_IDLE_MS);
	*out = p;
	return OK;
}

void
reporter_reload(struct reporter *p, const struct conf *conf)
{
	p->conf = conf;
	limit_set_limit(p->size_row, conf->bounce_size_limit_bytes);
	/* Those under way must not point into the old configuration. */
	for (unsigned i = 0; i < REPORTS_MAX; i++) {
		struct compose *c = &p->reports[i].c;

		c->hostname = slice_str(conf->myhostname);
		c->from_local = slice_str(conf->bouncefrom);
		c->from_host = slice_str(conf->bouncehost);
	}
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
