/*
 * jobs: assembling jobs, and answering them.
 *
 * Happy path: extents and recipients are gathered in the job's arena; with
 * JOB each recipient becomes a delivery into a mailbox, or a plan; with the
 * last result JOB_RESULTS and JOB_DONE are sent and the job is freed.
 *
 * Failure modes: a frame that makes no sense closes the channel, the master
 * restarts the queue, and everything is forgotten: no worker publishes what
 * it has not yet, and the queue will ask again.  A full channel: the answers
 * wait for room.  Memory refused: the job is answered with a deferral.
 */
#include "local/jobs_internal.h"

#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "conf/conf.h"
#include "ev/loop.h"
#include "ipc/frames.h"
#include "ipc/job.h"
#include "local/check.h"
#include "local/party.h"
#include "local/passwd.h"
#include "local/pipes.h"
#include "local/plan.h"
#include "local/settings.h"
#include "proto/envelope.h"

enum {
	CHUNK_BYTES = 16 * 1024,
	QUEUE_BYTES_MAX = 1 << 20,
	BUCKETS = 256,
};

/* ---- life of a job ---- */

static struct job *
find_job(struct jobs *js, uint32_t tag)
{
	uint64_t h = hash_u64(tag);
	struct hash_node *n;

	for (n = hash_first(&js->by_tag, h); n != NULL; n = hash_next(n))
		if (CONTAINER(n, struct job, hash)->tag == tag)
			return CONTAINER(n, struct job, hash);
	return NULL;
}

static struct job *
new_job(struct jobs *js, uint32_t tag)
{
	struct job *j = pool_get(&js->pool);

	if (j == NULL)
		return NULL;
	j->jobs = js;
	j->tag = tag;
	j->extents_end = &j->extents;
	j->rcpts_end = &j->rcpts;
	arena_init(&j->arena, js->acct, CHUNK_BYTES, JOB_BYTES_MAX);
	hash_add(&js->by_tag, &j->hash, hash_u64(tag));
	list_push_back(&js->all, &j->node);
	return j;
}

/* Nobody may call back into memory that goes. */
static void
abandon_plans(struct job *j)
{
	struct rcpt_piece *p;
	uint32_t i;

	for (p = j->rcpts; p != NULL; p = p->next)
		for (i = 0; i < p->count; i++)
			if (p->deliveries[i].plan != NULL)
				plan_abandon(p->deliveries[i].plan);
}

void
job_free(struct job *j)
{
	struct jobs *js = j->jobs;

	abandon_plans(j);
	list_remove(&j->node);
	list_remove(&j->answer);
	hash_remove(&js->by_tag, &j->hash);
	arena_fini(&j->arena);
	pool_put(&js->pool, j);
}

/* ---- from job to deliveries ---- */

static bool
flatten_extents(struct job *j)
{
	struct piece *p;
	uint32_t n = 0;

	if (j->extents != NULL && j->extents->next == NULL) {
		j->all_extents = j->extents->extents;
		return true;
	}
	j->all_extents = arena_alloc(&j->arena,
	    (j->extent_count + 1) * sizeof(*j->all_extents));
	if (j->all_extents == NULL)
		return false;
	for (p = j->extents; p != NULL; p = p->next) {
		memcpy(j->all_extents + n, p->extents,
		    p->count * sizeof(*p->extents));
		n += p->count;
	}
	return true;
}

static bool
no_memory(struct job_delivery *jd)
{
	return outcome_set(&jd->d.outcome, JOB_DEFERRED, "4.3.1",
	    "out of memory");
}

/* The whole message into t. */
static void
prepare_mailbox(struct job *j, struct job_delivery *jd, const struct target *t)
{
	struct request *q = &jd->d.request;

	jd->d.owner = t->owner;
	body_source_init(&jd->d.body, &j->jobs->segments, j->all_extents,
	    j->extent_count, UINT64_MAX);
	q->verb = REQUEST_DELIVER;
	q->kind = t->kind;
	q->flags = t->flags;
	q->base = t->base;
	q->path = t->path;
	q->sender = j->envelope.sender;
	q->address = jd->rcpt.address;
	q->original = jd->rcpt.original;
	q->body_bytes = jd->d.body.left_bytes;
	settings_of_mailbox(j->jobs->env->conf, q);
}

/* No dot file is looked for, and no command gets it. */
static bool
simply_into_mailbox(const struct jobs *js)
{
	const struct conf *c = js->env->conf;

	return c->dot_files.count == 0 && c->mailbox_command[0] == '\0' &&
	       js->commands.count == 0;
}

/* False with the outcome set: it is over already. */
static bool
prepare(struct job *j, struct job_delivery *jd)
{
	const struct target_env *env = j->jobs->env;
	struct outcome *o = &jd->d.outcome;
	struct target t = { 0 };
	struct party party;

	if (!slice_eq(j->transport, SLICE_LIT("local")))
		goto mailbox;
	if (jd->rcpt.mailbox.len == 0) {
		jd->plan = plan_new(jd, NULL);
		return jd->plan != NULL || no_memory(jd);
	}
	switch (party_find(env, jd->rcpt.mailbox, jd->rcpt.address, &j->arena,
	    &party, o)) {
	case PARTY_NONE: goto mailbox;
	case PARTY_FAILED: return false;
	case PARTY_FOUND: break;
	}
	if (!simply_into_mailbox(j->jobs)) {
		jd->plan = plan_new(jd, &party);
		return jd->plan != NULL || no_memory(jd);
	}
	if (!target_default(env, &party, &j->arena, &t, o))
		return false;
	prepare_mailbox(j, jd, &t);
	return true;

mailbox:
	if (!target_find(env, j->transport, &jd->rcpt, &j->arena, &t, o))
		return false;
	prepare_mailbox(j, jd, &t);
	return true;
}

static void
defer_all(struct job *j, const char *dsn, const char *why)
{
	struct rcpt_piece *p;
	uint32_t i;

	for (p = j->rcpts; p != NULL; p = p->next)
		for (i = 0; i < p->count; i++)
			outcome_set(&p->deliveries[i].d.outcome, JOB_DEFERRED,
			    dsn, "%s", why);
}

static void
submit(struct job *j, struct job_delivery *jd)
{
	if (!prepare(j, jd))
		return;
	j->open_count++;
	if (jd->plan != NULL)
		plan_begin(jd->plan);
	else
		workers_submit(j->jobs->workers, &jd->d);
}

/* open_count is held at one more until all are submitted. */
static void
begin(struct job *j)
{
	struct rcpt_piece *p;
	const struct conf_pipe *pipe;
	uint32_t i;

	if (j->jobs->draining) {
		defer_all(j, "4.3.2", "the system is shutting down");
		job_over(j);
		return;
	}
	if (!flatten_extents(j)) {
		defer_all(j, "4.3.1", "out of memory");
		job_over(j);
		return;
	}
	pipe = conf_pipe_find(j->jobs->env->conf, j->transport);
	j->open_count = 1;
	if (pipe != NULL)
		pipes_submit(j, pipe);
	for (p = j->rcpts; p != NULL && pipe == NULL; p = p->next) {
		for (i = 0; i < p->count; i++) {
			submit(j, &p->deliveries[i]);
		}
	}
	if (--j->open_count == 0)
		job_over(j);
}

/* ---- frames ---- */

/* No memory for the job, or what came of it. */
static void
refuse(struct job *j)
{
	j->refused = true;
	j->extents = NULL;
	j->rcpts = NULL;
	arena_reset(&j->arena);
}

/* Not even for remembering it. */
static void
refuse_unknown(struct jobs *js, struct chan *c, struct frame *f)
{
	struct fr_job_done done = { .site = SITE_NEUTRAL,
		.text = SLICE_LIT("out of memory") };

	js->dropped = true;
	if (f->type == FRAME_JOB && send_job_done(c, f->tag, &done, -1) != OK)
		chan_bad(c, "more jobs than can be answered");
}

static void
on_job(struct jobs *js, struct chan *c, struct frame *f)
{
	struct job *j = find_job(js, f->tag);
	enum err e;

	if (j == NULL)
		j = new_job(js, f->tag);
	if (j == NULL) {
		refuse_unknown(js, c, f);
		return;
	}
	j->dropped_others = js->dropped;
	e = j->begun ? ERR_PROTOCOL : job_assemble(j, f);
	if (e == ERR_PROTOCOL) {
		chan_bad(c, "job does not fit together");
		return;
	}
	if (e != OK)
		refuse(j);
	if (f->type != FRAME_JOB)
		return;
	j->begun = true;
	j->began = ev_now(js->loop);
	if (j->refused)
		job_over(j);
	else
		begin(j);
}

static void
on_segment(struct jobs *js, struct chan *c, struct frame *f)
{
	struct fr_segment segment;
	int fd = f->fd;

	if (!get_segment(f, &segment) || fd < 0) {
		chan_bad(c, "segment without descriptor");
		return;
	}
	f->fd = -1;
	if (segments_add(&js->segments, segment.number, fd) != OK)
		chan_bad(c, "more segments than the limit");
}

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	struct jobs *js = arg;
	struct fr_segment_drop drop;

	switch (f->type) {
	case FRAME_SEGMENT: on_segment(js, c, f); break;
	case FRAME_SEGMENT_DROP:
		if (get_segment_drop(f, &drop))
			segments_drop(&js->segments, drop.number);
		else
			chan_bad(c, "malformed SEGMENT_DROP");
		break;
	case FRAME_JOB_EXTENTS:
	case FRAME_JOB_RCPTS:
	case FRAME_JOB: on_job(js, c, f); break;
	case FRAME_TXN_READY:
	case FRAME_TXN_CREDIT:
	case FRAME_TXN_DONE: forwards_on_frame(js->forwards, f); break;
	default: chan_bad(c, "frame that is not for local");
	}
}

static void
forget_all(struct jobs *js)
{
	struct list_node *n;

	workers_abandon(js->workers);
	checks_abandon(js->checks);
	forwards_set_queue(js->forwards, NULL);
	while ((n = list_first(&js->all)) != NULL)
		job_free(CONTAINER(n, struct job, node));
	segments_clear(&js->segments);
	if (js->queue != NULL)
		chan_close(js->queue);
	js->queue = NULL;
	jobs_check_idle(js);
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct jobs *js = arg;

	(void)c;
	forget_all(js);
	if (bad && js->on_bad != NULL)
		js->on_bad(js->bad_arg, why);
}

static void
on_room(void *arg, struct chan *c)
{
	struct jobs *js = arg;

	(void)c;
	job_answer_all(js);
	forwards_on_room(js->forwards);
}

/* ---- all of it ---- */

static void
on_action(void *arg, struct delivery *d, const struct result *r)
{
	struct plan *p = CONTAINER(d, struct job_delivery, d)->plan;

	(void)arg;
	if (p != NULL)
		plan_on_action(p, r);
}

/* Whoever started us has checked them. */
static void
open_tables(struct jobs *js)
{
	struct errtext et = { "" };

	tables_close(&js->commands);
	if (tables_open(&js->commands, js->acct,
		&js->env->conf->mailbox_command_maps, &et) != OK)
		log_error("mailbox_command_maps: %s", et.text);
}

static void
set_forks(struct jobs *js)
{
	const struct conf *c = js->env->conf;

	workers_set_forks(js->workers, (unsigned)c->fork_attempts,
	    c->fork_delay_ms);
}

static enum err
make_parts(struct jobs *js, const char *program)
{
	enum err e = hash_init(&js->by_tag, js->acct, BUCKETS);

	if (e == OK)
		e = workers_new(js->loop, js->acct, program, &js->copies,
		    (unsigned)js->env->conf->concurrency_local, &js->events,
		    &js->workers);
	if (e == OK)
		set_forks(js);
	if (e == OK)
		e = forwards_new(js->loop, js->acct, js->env, &js->forwards);
	if (e == OK)
		e = expander_new(js->loop, js->acct, &js->expander);
	if (e == OK)
		e = checks_new(js->loop, js->acct, js->env, js->workers,
		    &js->checks);
	if (e == OK)
		expander_set_checks(js->expander, js->checks);
	return e;
}

enum err
jobs_new(struct ev_loop *loop, struct acct *a, const struct target_env *env,
    const char *program, struct jobs **out)
{
	struct jobs *js = mem_alloc(a, sizeof(*js));

	if (js == NULL)
		return ERR_FULL;
	js->loop = loop;
	js->acct = a;
	js->env = env;
	list_init(&js->all);
	list_init(&js->answers);
	segments_init(&js->segments, a);
	pool_init(&js->pool, a, "jobs", "", sizeof(struct job), JOBS_MAX);
	limits_row(LIMIT_COUNT, "actions of a plan", "", 0, PLAN_ACTIONS_MAX);
	jobs_limits_show(js);
	passwd_limits();
	copies_prepare(&js->copies, env->conf->queue_directory);
	open_tables(js);
	js->events = (struct workers_events){
		.on_done = job_on_done,
		.on_written = job_on_written,
		.on_action = on_action,
		.arg = js,
	};
	*out = js;
	return make_parts(js, program);
}

enum err
jobs_set_queue(struct jobs *js, int fd, unsigned index)
{
	static const struct chan_events events = { on_frame, on_closed,
		on_room };
	enum err e;

	forget_all(js);
	e = chan_open(js->loop, js->acct, fd, ROLE_LOCAL, ROLE_QUEUE, index,
	    &events, js, QUEUE_BYTES_MAX, &js->queue);
	if (e == OK)
		forwards_set_queue(js->forwards, js->queue);
	return e;
}

enum err
jobs_set_lookup(struct jobs *js, int fd, unsigned index)
{
	return expander_set_lookup(js->expander, fd, index);
}

void
jobs_reload(struct jobs *js)
{
	workers_set_limit(js->workers,
	    (unsigned)js->env->conf->concurrency_local);
	set_forks(js);
	jobs_limits_show(js);
	open_tables(js);
}

void
jobs_drain(struct jobs *js, void (*on_idle)(void *arg), void *arg)
{
	js->draining = true;
	js->on_idle = on_idle;
	js->idle_arg = arg;
	jobs_check_idle(js);
}

void
jobs_on_bad(struct jobs *js, void (*on_bad)(void *arg, const char *why),
    void (*on_bad_lookup)(void *arg, const char *why), void *arg)
{
	js->on_bad = on_bad;
	js->bad_arg = arg;
	expander_on_bad(js->expander, on_bad_lookup, arg);
}

void
jobs_reap(struct jobs *js)
{
	workers_reap(js->workers);
}

void
jobs_free(struct jobs *js)
{
	if (js == NULL)
		return;
	js->draining = false;
	forget_all(js);
	expander_free(js->expander);
	checks_free(js->checks);
	forwards_free(js->forwards);
	workers_free(js->workers);
	copies_fini(&js->copies);
	tables_close(&js->commands);
	pool_fini(&js->segments.pool);
	pool_fini(&js->pool);
	hash_fini(&js->by_tag);
	mem_free(js->acct, js);
}
