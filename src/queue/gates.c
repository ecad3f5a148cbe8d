/* The gates of deliveries: concurrency_local and concurrency_remote. */
#include "queue/internal.h"

/* What was asked for, or what there are descriptors for. */
static unsigned
fitting(const struct queue *q, const char *name, int64_t asked, unsigned most)
{
	if (most == 0 || asked <= (int64_t)most)
		return (unsigned)asked;
	log_warning("%s is %u instead of %lld: RLIMIT_NOFILE is %lld", name,
	    most, (long long)asked, (long long)q->env.nofile_max);
	return most;
}

static unsigned
gate_limit(const struct queue *q, enum sched_class c)
{
	if (c == SCHED_LOCAL)
		return fitting(q, "concurrency_local",
		    q->conf->concurrency_local, q->env.local_max);
	return fitting(q, "concurrency_remote", q->conf->concurrency_remote,
	    q->env.remote_max);
}

void
gates_init(struct queue *q)
{
	const unsigned local = gate_limit(q, SCHED_LOCAL);
	const unsigned remote = gate_limit(q, SCHED_REMOTE);

	gate_init(&q->gates[SCHED_LOCAL], "local", "concurrency_local", local,
	    sched_reserved(local));
	gate_init(&q->gates[SCHED_REMOTE], "remote", "concurrency_remote",
	    remote, sched_reserved(remote));
}

void
gates_reload(struct queue *q)
{
	for (unsigned c = 0; c < SCHED_CLASS_COUNT; c++) {
		unsigned limit = gate_limit(q, (enum sched_class)c);

		gate_set_limit(&q->gates[c], limit, sched_reserved(limit));
	}
}
