/*
 * qbetween: between the queue and its parts.
 *
 * The linker puts the functions __wrap_X below between the queue and X
 * (--wrap): they see each start and each outcome, and may plant a bug, so
 * that a test can see that it is found.
 */
#include "qsim.h"
#include "queue/dest.h"

static bool
strikes(enum q_plant p, unsigned one_in)
{
	return q_plant == p && q_chance(one_in) == 0;
}

bool __real_sched_next(struct sched *s, struct mono now, struct mono deadline,
    struct sched_job *job);
bool __wrap_sched_next(struct sched *s, struct mono now, struct mono deadline,
    struct sched_job *job);
bool
__wrap_sched_next(struct sched *s, struct mono now, struct mono deadline,
    struct sched_job *job)
{
	if (!__real_sched_next(s, now, deadline, job))
		return false;
	q_check_start(job);
	return true;
}

void __real_result_set(struct queue *q, struct rcpt *r,
    const struct result *res);
void __wrap_result_set(struct queue *q, struct rcpt *r,
    const struct result *res);
void
__wrap_result_set(struct queue *q, struct rcpt *r, const struct result *res)
{
	__real_result_set(q, r, res);
	q_note_outcome(r, res);
}

void __real_result_give_up(struct queue *q, struct msg *m);
void __wrap_result_give_up(struct queue *q, struct msg *m);
void
__wrap_result_give_up(struct queue *q, struct msg *m)
{
	struct result res = { .status = JOB_FAILED };
	struct list_node *n;

	__real_result_give_up(q, m);
	for (n = list_first(&m->rcpts); n != NULL;
	     n = list_next(&m->rcpts, n)) {
		const struct rcpt *r = CONTAINER(n, struct rcpt, node);
		const struct q_rcpt *x = &w.rcpts[q_rcpt_of(rcpt_orcpt(r))];

		if (r->state == RCPT_OVER && r->status != STORE_WAITING &&
		    !x->over && !x->owed && !x->running)
			q_note_outcome(r, &res);
	}
}

void __real_sched_done(struct sched *s, struct sched_job *job,
    enum job_site site, struct slice reason, struct mono now);
void __wrap_sched_done(struct sched *s, struct sched_job *job,
    enum job_site site, struct slice reason, struct mono now);
void
__wrap_sched_done(struct sched *s, struct sched_job *job, enum job_site site,
    struct slice reason, struct mono now)
{
	if (!job->written && strikes(PLANT_SLOT, 20))
		job->dest->in_flight++;
	__real_sched_done(s, job, site, reason, now);
}

void __real_gate_leave(struct gate *g, struct gate_slot *s);
void __wrap_gate_leave(struct gate *g, struct gate_slot *s);
void
__wrap_gate_leave(struct gate *g, struct gate_slot *s)
{
	if (s->held && strikes(PLANT_GATE, 20))
		g->in_use++;
	__real_gate_leave(g, s);
}

void __real_window_good(struct window *win, unsigned in_use, unsigned initial);
void __wrap_window_good(struct window *win, unsigned in_use, unsigned initial);
void
__wrap_window_good(struct window *win, unsigned in_use, unsigned initial)
{
	if (strikes(PLANT_WINDOW, 5))
		win->size++;
	else
		__real_window_good(win, in_use, initial);
}

enum err __real_sched_add(struct sched *s, struct sched_msg *m,
    struct sched_rcpt *r, struct slice transport, struct slice nexthop,
    struct mono now, struct sched_refusal *why);
enum err __wrap_sched_add(struct sched *s, struct sched_msg *m,
    struct sched_rcpt *r, struct slice transport, struct slice nexthop,
    struct mono now, struct sched_refusal *why);
enum err
__wrap_sched_add(struct sched *s, struct sched_msg *m, struct sched_rcpt *r,
    struct slice transport, struct slice nexthop, struct mono now,
    struct sched_refusal *why)
{
	if (strikes(PLANT_LOST, 50))
		return OK;
	return __real_sched_add(s, m, r, transport, nexthop, now, why);
}

void __real_sched_set_room(struct sched *s, uint32_t msgs, uint32_t rcpts);
void __wrap_sched_set_room(struct sched *s, uint32_t msgs, uint32_t rcpts);
void
__wrap_sched_set_room(struct sched *s, uint32_t msgs, uint32_t rcpts)
{
	if (q_plant == PLANT_HOP)
		msgs = rcpts = UINT32_MAX;
	__real_sched_set_room(s, msgs, rcpts);
}

bool __real_store_durable(struct store *s, struct store_ticket t);
bool __wrap_store_durable(struct store *s, struct store_ticket t);
bool
__wrap_store_durable(struct store *s, struct store_ticket t)
{
	return q_plant == PLANT_ACK || __real_store_durable(s, t);
}

/* What was committed last, for the answers. */
static struct {
	uint64_t id;
	struct store_ticket ticket;
} commits[Q_TXNS_MAX];

enum err __real_store_commit(struct store *s, struct store_msg *m,
    const struct store_commit *c, struct store_ticket *t);
enum err __wrap_store_commit(struct store *s, struct store_msg *m,
    const struct store_commit *c, struct store_ticket *t);
enum err
__wrap_store_commit(struct store *s, struct store_msg *m,
    const struct store_commit *c, struct store_ticket *t)
{
	enum err e = __real_store_commit(s, m, c, t);

	if (e == OK) {
		commits[m->id % Q_TXNS_MAX].id = m->id;
		commits[m->id % Q_TXNS_MAX].ticket = *t;
	}
	return e;
}

/* The answer is given now: the disk must have the message now. */
enum err __real_send_txn_done(struct chan *c, uint32_t tag,
    const struct fr_txn_done *f, int fd);
enum err __wrap_send_txn_done(struct chan *c, uint32_t tag,
    const struct fr_txn_done *f, int fd);
enum err
__wrap_send_txn_done(struct chan *c, uint32_t tag, const struct fr_txn_done *f,
    int fd)
{
	const unsigned at = f->id % Q_TXNS_MAX;

	if (f->error == OK && commits[at].id == f->id &&
	    !__real_store_durable(w.q->store, commits[at].ticket))
		q_fail("message %llu is acknowledged and is not durable",
		    (unsigned long long)f->id);
	return __real_send_txn_done(c, tag, f, fd);
}

enum err __real_store_result_append(struct store *s, struct store_msg *m,
    const struct store_update *u, struct store_ticket *t);
enum err __wrap_store_result_append(struct store *s, struct store_msg *m,
    const struct store_update *u, struct store_ticket *t);
enum err
__wrap_store_result_append(struct store *s, struct store_msg *m,
    const struct store_update *u, struct store_ticket *t)
{
	struct store_update less = *u;

	if (u->result_count > 0 && strikes(PLANT_RESULT, 4))
		less.result_count--;
	return __real_store_result_append(s, m, &less, t);
}

int64_t __real_retry_delay_ms(const struct retry_conf *conf, int64_t age_ms,
    bool local, uint64_t random);
int64_t __wrap_retry_delay_ms(const struct retry_conf *conf, int64_t age_ms,
    bool local, uint64_t random);
int64_t
__wrap_retry_delay_ms(const struct retry_conf *conf, int64_t age_ms, bool local,
    uint64_t random)
{
	if (strikes(PLANT_LATE, 20))
		return 3600000;
	if (strikes(PLANT_EARLY, 20))
		return 1;
	return __real_retry_delay_ms(conf, age_ms, local, random);
}

bool __real_msg_room(const struct queue *q, bool deferred);
bool __wrap_msg_room(const struct queue *q, bool deferred);
bool
__wrap_msg_room(const struct queue *q, bool deferred)
{
	if (q_plant == PLANT_SHARE)
		deferred = false;
	return q_plant == PLANT_CROWD || __real_msg_room(q, deferred);
}

/* Limits sixteen times smaller, as in sim_store. */
enum err __real_store_open(const struct store_conf *c, struct store **out,
    struct errtext *et);
enum err __wrap_store_open(const struct store_conf *c, struct store **out,
    struct errtext *et);
enum err
__wrap_store_open(const struct store_conf *c, struct store **out,
    struct errtext *et)
{
	struct store_conf small = *c;

	small.segment_bytes = (1 << 20) / STORE_SCALE;
	small.batch_bytes = small.segment_bytes / 2;
	small.spare_count = 2;
	small.unindexed_max = 16;
	return __real_store_open(&small, out, et);
}

enum err __real_store_close(struct store *s);
enum err __wrap_store_close(struct store *s);
enum err
__wrap_store_close(struct store *s)
{
	if (!w.abandon)
		return __real_store_close(s);
	store_abandon(s);
	return OK;
}
