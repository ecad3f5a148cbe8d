/*
 * check: see check.h.
 *
 * Happy path: CHECK -> the user is looked up -> REQUEST_CHECK to his worker ->
 * its result is the verdict -> CHECKED.
 *
 * Failure modes: too many at once, no memory, a worker that does not answer in
 * time, an answer that is a deferral: "unknown", the client is asked to try
 * again.  Lookup goes away: the worker's answer is dropped when it comes.  The
 * queue goes away, and the workers are let go for that: "unknown".
 */
#include "local/check.h"

#include "base/list.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "ev/loop.h"
#include "ipc/chan.h"
#include "ipc/frames.h"
#include "local/party.h"
#include "local/plan.h"
#include "local/workers.h"

enum { CHECK_ARENA_BYTES = 4096 };

struct check {
	struct list_node node;
	struct checks *all;
	struct delivery d;
	struct arena arena;
	struct ev_timer timer;
	struct chan *chan; /* NULL: answered, or nobody waits */
	uint32_t tag;
};

struct checks {
	struct ev_loop *loop;
	struct acct *acct;
	const struct target_env *env;
	struct workers *workers;
	struct workers_events events;
	struct pool pool;
	struct list list;
};

static void
answer(struct chan *c, uint32_t tag, enum check_verdict verdict)
{
	struct fr_checked f = { .verdict = (uint8_t)verdict };

	if (send_checked(c, tag, &f, -1) == ERR_FULL)
		chan_bad(c, "does not read what it is sent");
}

static void
check_answer(struct check *k, enum check_verdict verdict)
{
	if (k->chan != NULL)
		answer(k->chan, k->tag, verdict);
	k->chan = NULL;
	ev_timer_clear(&k->timer);
}

static void
check_free(struct check *k)
{
	struct checks *cs = k->all;

	ev_timer_clear(&k->timer);
	list_remove(&k->node);
	arena_fini(&k->arena);
	pool_put(&cs->pool, k);
}

static enum check_verdict
verdict_of(const struct outcome *o)
{
	switch (o->status) {
	case JOB_SENT: return CHECK_EXISTS;
	case JOB_FAILED: return CHECK_MISSING;
	default: return CHECK_UNKNOWN;
	}
}

static void
on_done(void *arg, struct delivery *d)
{
	struct check *k = CONTAINER(d, struct check, d);

	(void)arg;
	check_answer(k, verdict_of(&d->outcome));
	check_free(k);
}

static void
on_timer(void *arg, struct ev_timer *t)
{
	(void)t;
	check_answer(arg, CHECK_UNKNOWN);
}

/* Put the question to the worker; else the verdict. */
static bool
begin(struct check *k, const struct fr_check *f, enum check_verdict *out)
{
	struct checks *cs = k->all;
	struct party party;
	struct outcome o;

	switch (party_with_extension(cs->env, f->user, f->extension, &k->arena,
	    &party, &o)) {
	case PARTY_NONE: *out = CHECK_MISSING; return false;
	case PARTY_FAILED: *out = CHECK_UNKNOWN; return false;
	case PARTY_FOUND: break;
	}
	k->d.events = &cs->events;
	if (!plan_request_dot_file(cs->env, &party, REQUEST_CHECK, &k->arena,
		&k->d)) {
		*out = CHECK_UNKNOWN;
		return false;
	}
	workers_submit(cs->workers, &k->d);
	return true;
}

void
checks_on_frame(struct checks *cs, struct chan *c, struct frame *f)
{
	enum check_verdict verdict;
	struct fr_check in;
	struct check *k;

	if (!get_check(f, &in)) {
		chan_bad(c, "malformed CHECK");
		return;
	}
	k = pool_get(&cs->pool);
	if (k == NULL) {
		answer(c, f->tag, CHECK_UNKNOWN);
		return;
	}
	k->all = cs;
	k->chan = c;
	k->tag = f->tag;
	arena_init(&k->arena, cs->acct, CHECK_ARENA_BYTES,
	    4 * CHECK_ARENA_BYTES);
	ev_timer_init(&k->timer, cs->loop, on_timer, k);
	list_push_back(&cs->list, &k->node);
	if (begin(k, &in, &verdict)) {
		ev_timer_set(&k->timer, CHECK_TIMEOUT_MS);
		return;
	}
	check_answer(k, verdict);
	check_free(k);
}

void
checks_forget(struct checks *cs)
{
	struct list_node *n;

	for (n = list_first(&cs->list); n != NULL; n = list_next(&cs->list, n))
		CONTAINER(n, struct check, node)->chan = NULL;
}

void
checks_abandon(struct checks *cs)
{
	struct list_node *n;
	struct check *k;

	while ((n = list_first(&cs->list)) != NULL) {
		k = CONTAINER(n, struct check, node);
		check_answer(k, CHECK_UNKNOWN);
		check_free(k);
	}
}

enum err
checks_new(struct ev_loop *loop, struct acct *a, const struct target_env *env,
    struct workers *workers, struct checks **out)
{
	struct checks *cs = mem_alloc(a, sizeof(*cs));

	if (cs == NULL)
		return ERR_FULL;
	cs->loop = loop;
	cs->acct = a;
	cs->env = env;
	cs->workers = workers;
	cs->events = (struct workers_events){ .on_done = on_done };
	list_init(&cs->list);
	pool_init(&cs->pool, a, "checks of users", "", sizeof(struct check),
	    CHECKS_MAX);
	*out = cs;
	return OK;
}

void
checks_free(struct checks *cs)
{
	if (cs == NULL)
		return;
	checks_abandon(cs);
	pool_fini(&cs->pool);
	mem_free(cs->acct, cs);
}
