/*
 * The queue role: opening, housekeeping, reload, drain and closing.
 *
 * See internal.h for the life of a message.
 */
#include "queue/queue.h"

#include <unistd.h>

#include "base/assert.h"
#include "ipc/domain_cache.h"
#include "queue/internal.h"

enum {
	SECOND_MS = 1000,
	TRIM_SECONDS = 10,
	POLLS_PER_TURN = 64, /* of a store without threads */
	TXN_HASH_BUCKETS = 1024,
	JOB_HASH_BUCKETS = 256,
	/* When all that is deferred is made due. */
	DUE_AT_ONCE = 50,
	DUE_EACH_MS = 20,
	DUE_SPREAD_MS_MAX = 60000,
};

struct wall
queue_wall(const struct queue *q)
{
	struct clock *c = ev_clock(q->loop);

	return c->wall(c);
}

struct mono
queue_mono(const struct queue *q)
{
	return ev_now(q->loop);
}

void
queue_close_fd(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

/* ---- configuration ---- */

/* Declare a transport, or change its figures. */
static void
set_transport(struct queue *q, struct slice name, enum sched_class class)
{
	struct sched_transport t = { .class = class };
	int64_t rcpts =
	    conf_transport_limit(q->conf, name, CONF_TRANSPORT_RECIPIENTS);

	slice_copy(name, t.name, sizeof(t.name));
	t.window_max = (unsigned)conf_transport_limit(q->conf, name,
	    CONF_TRANSPORT_CONCURRENCY);
	t.window_initial = (unsigned)conf_transport_limit(q->conf, name,
	    CONF_TRANSPORT_INITIAL);
	t.rcpts_max = rcpts == 0 || rcpts > JOB_RCPTS_MAX ? JOB_RCPTS_MAX
							  : (unsigned)rcpts;
	queue_limits_transport(q, &t);
	/* Those of earlier configurations stay, in case mail waits for them;
	 * only many reloads with new names can fill the table. */
	if (sched_transport_set(&q->sched, &t) != OK)
		log_warning("transport %s: more than %d since the start; its "
			    "mail waits for the next one",
		    t.name, SCHED_TRANSPORTS_MAX);
}

static void
set_transports(struct queue *q)
{
	static const struct {
		const char *name;
		enum sched_class class;
	} rows[] = {
		{ "local", SCHED_LOCAL },
		{ "virtual", SCHED_LOCAL },
		{ "smtp", SCHED_REMOTE },
		{ "relay", SCHED_REMOTE },
		{ "lmtp", SCHED_REMOTE },
	};

	queue_limits_show(q);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		set_transport(q, slice_str(rows[i].name), rows[i].class);
	for (size_t i = 0; i < q->conf->pipe_count; i++)
		set_transport(q, slice_str(q->conf->pipes[i].name),
		    SCHED_LOCAL);
}

static void
set_conf(struct queue *q, const struct conf *c)
{
	q->conf = c;
	q->retry = (struct retry_conf){
		.schedule = (enum retry_schedule)c->retry_schedule,
		.min_ms = c->minimal_backoff_time_ms,
		.max_ms = c->maximal_backoff_time_ms,
		.lifetime_ms = c->maximal_queue_lifetime_ms,
		.bounce_lifetime_ms = c->bounce_queue_lifetime_ms,
		.delay_warning_ms = c->delay_warning_time_ms,
	};
}

static void
store_limits(const struct conf *c, struct store_conf *s)
{
	s->commit_delay_ms = (unsigned)c->commit_delay_ms;
	s->minfree_bytes = c->queue_minfree_bytes;
	s->size_limit_bytes = c->queue_size_limit_bytes;
	s->message_limit = c->queue_message_limit;
}

/* ---- the store's callbacks ---- */

static void
on_durable(void *arg)
{
	struct queue *q = arg;

	txn_on_durable(q);
	result_on_durable(q);
	result_parts(q);
	control_step_all(q);
}

static void
on_room(void *arg)
{
	struct queue *q = arg;

	q->store_full = false;
	txn_on_room(q);
	control_step_all(q);
	if (!list_empty(&q->dirty))
		ev_defer(q->loop, &q->write_task);
}

static void
on_segment_drop(void *arg, uint64_t number)
{
	segments_drop(arg, number);
}

static void
on_poisoned(void *arg, enum err e, const char *why)
{
	struct queue *q = arg;

	log_error("the message log cannot be written (%s): %s", err_text(e),
	    why);
	queue_store_failed(q, e);
}

static void
on_damage(void *arg, const struct store_damage *d)
{
	(void)arg;
	if (d->kind == STORE_DAMAGE_TAIL)
		log_info("segment %llu: the end from %llu on was cut: %s",
		    (unsigned long long)d->segment,
		    (unsigned long long)d->offset, d->text);
	else if (d->kind == STORE_DAMAGE_UNREADABLE)
		log_error("segment %llu at %llu: %s",
		    (unsigned long long)d->segment,
		    (unsigned long long)d->offset, d->text);
	else
		log_error("damage in segment %llu at %llu (message %llu): %s",
		    (unsigned long long)d->segment,
		    (unsigned long long)d->offset, (unsigned long long)d->id,
		    d->text);
}

/* Nothing else was done meanwhile. */
static void
on_index_made(void *arg, const char *why, int64_t took_ms)
{
	(void)arg;
	log_warning("the index of the queue was made anew in %lld ms: %s",
	    (long long)took_ms, why);
}

static const struct store_events store_events = { on_durable, on_room,
	on_segment_drop, on_poisoned, on_damage, on_index_made };

void
queue_store_failed(struct queue *q, enum err e)
{
	if (q->dead)
		return;
	q->dead = true;
	/* Clients read 452 4.3.0, whatever it was. */
	(void)e;
	txn_fail_all(q, ERR_IO);
	q->env.die(q->env.arg, "the message log failed: recovery follows");
}

/* ---- turns ---- */

static void
store_readable(void *arg, struct ev_io *io, unsigned ready)
{
	struct queue *q = arg;

	(void)io;
	(void)ready;
	if (!q->dead)
		(void)store_poll(q->store);
}

static void
store_timer_fired(void *arg, struct ev_timer *t)
{
	/* Only to make a turn: its end calls store_turn. */
	(void)arg;
	(void)t;
}

static void
turn_end(void *arg, struct ev_task *t)
{
	struct queue *q = arg;
	int64_t again_ms;

	(void)t;
	if (q->dead || q->store == NULL)
		return;
	again_ms = store_turn(q->store, txn_ending(q));
	for (unsigned i = 0; !q->env.threads && i < POLLS_PER_TURN; i++)
		if (q->dead || !store_poll(q->store))
			break;
	if (again_ms != INT64_MAX)
		ev_timer_set(&q->store_timer, again_ms);
}

/* Everything deferred is due: also when the clock went back.  A herd of them
 * takes some seconds, so that servers that were away are not run over. */
static void
all_due(struct queue *q)
{
	int64_t spread_ms = (int64_t)q->counts.deferred_count * DUE_EACH_MS;

	if (q->counts.deferred_count <= DUE_AT_ONCE)
		spread_ms = 0;
	if (spread_ms > DUE_SPREAD_MS_MAX)
		spread_ms = DUE_SPREAD_MS_MAX;
	if (store_due_all(q->store, queue_wall(q), spread_ms) != OK) {
		q->flush_owed = true; /* the next second */
		return;
	}
	q->flush_owed = false;
	due_now(q);
}

int64_t
queue_age_ms(struct queue *q, uint64_t arrival_ms)
{
	struct wall wall = queue_wall(q);
	int64_t jump_ms = retry_clock_look(&q->clock, queue_mono(q), wall);

	if (jump_ms != 0)
		log_warning("the system's clock jumped by %lld s",
		    (long long)(jump_ms / 1000));
	if (jump_ms < 0)
		q->flush_owed = true;
	return retry_age_ms(&q->clock, arrival_ms, wall);
}

/* After a flood its memory is for other things again. */
static void
trim(struct queue *q)
{
	bool msgs = pool_trim(&q->msg_pool), txns = pool_trim(&q->txn_pool);
	bool jobs = pool_trim(&q->job_pool), peers = sched_trim(&q->sched);
	bool changes = store_trim(q->store);

	if (msgs || txns || jobs || peers || changes)
		mem_trim();
}

static void
second_fired(void *arg, struct ev_timer *t)
{
	struct queue *q = arg;

	ev_timer_set(t, SECOND_MS);
	if (q->dead || !q->running)
		return;
	(void)queue_age_ms(q, 0);
	if (q->flush_owed)
		all_due(q);
	peer_open_owed(q);
	route_tick(q);
	report_tick(q);
	result_parts(q);
	status_tick(q);
	control_tick(q);
	shortage_check_disk(q);
	shortage_check_memory(q);
	if (q->seconds % 5 == 0)
		due_count(q);
	if (q->seconds % TRIM_SECONDS == 0)
		trim(q);
	if (++q->seconds % 60 == 0)
		for (unsigned c = 0; c < SCHED_CLASS_COUNT; c++)
			(void)gate_recount(&q->gates[c], queue_mono(q));
}

/* ---- opening ---- */

static void
init_lists(struct queue *q)
{
	list_init(&q->active);
	list_init(&q->recent);
	list_init(&q->stalled);
	list_init(&q->committing);
	list_init(&q->routing);
	list_init(&q->owed);
	ev_task_init(&q->route_task, route_task, q);
	ev_task_init(&q->sched_task, job_task, q);
	ev_task_init(&q->report_task, report_task, q);
	ev_task_init(&q->turn, turn_end, q);
	ev_timer_init(&q->store_timer, q->loop, store_timer_fired, q);
	ev_timer_init(&q->second, q->loop, second_fired, q);
	ev_timer_init(&q->drain_timer, q->loop, queue_drain_over, q);
	due_init(q);
}

/* Shares of what the store left of the role's memory. */
static void
init_accounts(struct queue *q)
{
	int64_t room = acct_room(q->env.acct);
	int64_t body =
	    room / 8 < BODY_WAIT_BYTES_MAX ? room / 8 : BODY_WAIT_BYTES_MAX;

	q->memory_max = room;
	q->share_max = q->env.acct->max_bytes;
	acct_init(&q->msg_acct, q->env.acct, "messages", room * 6 / 10, true,
	    "memory_budget");
	acct_init(&q->deferred_acct, &q->msg_acct,
	    "messages that were deferred", q->msg_acct.max_bytes / 2, true, "");
	acct_init(&q->txn_acct, q->env.acct, "transactions", room * 2 / 10,
	    true, "memory_budget");
	acct_init(&q->body_acct, q->env.acct, "bodies that wait", body, true,
	    "");
	acct_init(&q->txn_unproven_acct, &q->txn_acct,
	    "transactions of unproven clients",
	    q->txn_acct.max_bytes / 100 * UNPROVEN_PERCENT, true, "");
	acct_init(&q->body_unproven_acct, &q->body_acct,
	    "bodies of unproven clients", body / 100 * UNPROVEN_PERCENT, true,
	    "");
	acct_init(&q->control_acct, q->env.acct, "control", room / 20, true,
	    "");
	acct_init(&q->chan_acct, q->env.acct, "channels", 0, true, "");
}

static enum err
init_tables(struct queue *q)
{
	struct sched_conf sc = { .msgs_max = q->active_max,
		.rcpts_max = q->rcpt_max,
		.dead_ms = q->retry.min_ms };
	enum err e;

	pool_init(&q->msg_pool, &q->msg_acct, "messages",
	    "qmgr_message_active_limit", sizeof(struct msg),
	    q->active_max + TXNS_MAX);
	pool_init(&q->txn_pool, &q->txn_acct, "transactions", "",
	    sizeof(struct txn), TXNS_MAX);
	pool_init(&q->job_pool, &q->msg_acct, "deliveries", "",
	    sizeof(struct job), JOBS_MAX);
	e = hash_init(&q->txns, &q->chan_acct, TXN_HASH_BUCKETS);
	if (e == OK)
		e = hash_init(&q->jobs, &q->chan_acct, JOB_HASH_BUCKETS);
	if (e == OK)
		e = sched_init(&q->sched, &q->msg_acct, &sc,
		    &q->gates[SCHED_LOCAL], &q->gates[SCHED_REMOTE]);
	if (e == OK)
		e = domain_cache_new(&q->chan_acct, &q->domains);
	q->scratch = mem_alloc(&q->chan_acct, SCRATCH_BYTES);
	if (e == OK && q->scratch == NULL)
		e = ERR_NOMEM;
	return e == OK ? result_init(q) : e;
}

/* A part of the role's memory, between a quarter of what is best and that. */
static size_t
share(const struct queue *q, size_t best, unsigned divisor)
{
	size_t part = (size_t)acct_room(q->env.acct) / divisor;

	part = part < best / 4 ? best / 4 : part;
	return (part < best ? part : best) & ~(size_t)4095;
}

static enum err
open_store(struct queue *q, struct errtext *et)
{
	struct store_conf sc;
	enum err e;

	store_conf_default(&sc);
	sc.disk = q->env.disk;
	sc.index_dir = q->env.index_dir;
	sc.clock = ev_clock(q->loop);
	sc.acct = q->env.acct;
	sc.events = &store_events;
	sc.arg = q;
	sc.threads = q->env.threads;
	sc.segment_bytes = (uint64_t)q->conf->queue_segment_size_bytes;
	sc.held_max = q->active_max + TXNS_MAX;
	store_limits(q->conf, &sc);
	sc.index_heap_bytes = share(q, sc.index_heap_bytes, 8);
	sc.batch_bytes = share(q, sc.batch_bytes, 16);
	/* A batch lies in one segment; of the smallest it is half. */
	if (sc.batch_bytes > sc.segment_bytes / 2)
		sc.batch_bytes = sc.segment_bytes / 2;
	e = store_open(&sc, &q->store, et);
	if (e == OK)
		q->store_conf = sc;
	return e;
}

enum err
queue_open(const struct queue_env *env, struct queue **out, struct errtext *et)
{
	struct queue *q = mem_alloc(env->acct, sizeof(*q));
	enum err e;

	if (q == NULL)
		return err_set(et, ERR_NOMEM, "memory for the queue");
	q->env = *env;
	q->loop = env->loop;
	q->listen_fd = -1;
	peer_owed_init(q);
	set_conf(q, env->conf);
	q->active_max = (unsigned)q->conf->qmgr_message_active_limit;
	q->rcpt_max = (uint32_t)q->conf->qmgr_message_recipient_limit;
	init_lists(q);
	e = open_store(q, et);
	if (e != OK) {
		mem_free(env->acct, q);
		return e;
	}
	init_accounts(q);
	gates_init(q);
	e = init_tables(q);
	if (e != OK) /* the process ends: nothing to undo */
		return err_set(et, e, "memory for the tables of the queue");
	status_init(q);
	ladder_init(&q->ladder);
	set_transports(q);
	job_init(q);
	if (store_fd(q->store) >= 0) {
		ev_io_init(&q->store_io, q->loop, store_fd(q->store),
		    store_readable, q);
		ev_io_want(&q->store_io, EV_RD);
	}
	ev_each_turn(q->loop, &q->turn);
	ev_timer_set(&q->second, SECOND_MS);
	*out = q;
	return OK;
}

void
queue_channel(struct queue *q, enum role peer, unsigned index, int fd)
{
	peer_open(q, peer, index, fd);
}

void
queue_listen(struct queue *q, int fd)
{
	control_listen(q, fd);
}

void
queue_go(struct queue *q)
{
	q->running = true;
	shortage_check_disk(q);
	(void)retry_clock_look(&q->clock, queue_mono(q), queue_wall(q));
	status_changed(q);
	due_now(q);
	ev_defer(q->loop, &q->route_task);
	ev_defer(q->loop, &q->sched_task);
}

/* The role's share of memory may have changed. */
static void
share_anew(struct queue *q)
{
	q->memory_max += q->env.acct->max_bytes - q->share_max;
	q->share_max = q->env.acct->max_bytes;
	if (q->memory_max < 1)
		q->memory_max = 1;
}

void
queue_reload(struct queue *q, const struct conf *conf)
{
	set_conf(q, conf);
	share_anew(q);
	domain_cache_clear(q->domains);
	q->sched.dead_ms = q->retry.min_ms;
	gates_reload(q);
	status_limits(q);
	set_transports(q);
	store_limits(conf, &q->store_conf);
	store_reconf(q->store, &q->store_conf);
	status_changed(q);
	ev_defer(q->loop, &q->sched_task);
}

void
queue_flush(struct queue *q)
{
	if (q->dead)
		return;
	sched_revive(&q->sched);
	all_due(q);
}

/* ---- ending ---- */

void
queue_check_drained(struct queue *q)
{
	if (!q->draining || q->drained || q->dead || q->closing)
		return;
	if (q->jobs.count > 0 || q->txn_pool.in_use > 0 ||
	    report_running(q) > 0)
		return;
	q->drained = true;
	/* Not from inside whatever just ended. */
	ev_timer_set(&q->drain_timer, 1);
}

void
queue_drain_over(void *arg, struct ev_timer *t)
{
	struct queue *q = arg;

	(void)t;
	q->drained = true;
	q->env.drained(q->env.arg);
}

void
queue_drain(struct queue *q, unsigned grace_ms)
{
	q->draining = true;
	if (qlog_on(q))
		status_write(q);
	control_stop(q);
	ev_timer_set(&q->drain_timer, grace_ms > 0 ? grace_ms : 1);
	queue_check_drained(q);
}

/* What is unwritten is written; what runs is abandoned. */
static void
close_messages(struct queue *q)
{
	struct list_node *n;

	peer_close_all(q); /* ends transactions and jobs */
	while ((n = list_first(&q->active)) != NULL) {
		struct msg *m = CONTAINER(n, struct msg, node);

		if (m->state == MSG_ACTIVE)
			msg_withdraw(q, m);
		if (!q->dead)
			result_task(q, NULL);
		if (list_first(&q->active) == n)
			msg_free(q, m);
	}
	while ((n = list_first(&q->committing)) != NULL)
		txn_drop(q, CONTAINER(n, struct txn, waiting));
	while ((n = list_first(&q->ending)) != NULL)
		msg_free(q, CONTAINER(n, struct msg, node));
}

void
queue_close(struct queue *q)
{
	struct acct *a;
	enum err e;

	if (q == NULL)
		return;
	a = q->env.acct;
	q->closing = true;
	q->draining = true;
	control_close(q);
	close_messages(q);
	ev_io_fini(&q->store_io);
	ev_timer_clear(&q->store_timer);
	ev_timer_clear(&q->second);
	ev_timer_clear(&q->drain_timer);
	due_fini(q);
	ev_task_cancel(&q->route_task);
	ev_task_cancel(&q->sched_task);
	ev_task_cancel(&q->report_task);
	ev_each_turn_stop(q->loop, &q->turn);
	e = store_close(q->store);
	if (e != OK)
		log_error("the message log was not closed clean: %s",
		    err_text(e));
	status_exiting(q);
	sched_fini(&q->sched);
	result_fini(q);
	mem_free(&q->chan_acct, q->scratch);
	domain_cache_free(q->domains);
	hash_fini(&q->txns);
	hash_fini(&q->jobs);
	pool_fini(&q->job_pool);
	pool_fini(&q->txn_pool);
	pool_fini(&q->msg_pool);
	acct_fini(&q->deferred_acct);
	acct_fini(&q->msg_acct);
	acct_fini(&q->txn_unproven_acct);
	acct_fini(&q->body_unproven_acct);
	acct_fini(&q->txn_acct);
	acct_fini(&q->body_acct);
	acct_fini(&q->control_acct);
	acct_fini(&q->chan_acct);
	mem_free(a, q);
}
