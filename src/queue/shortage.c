/*
 * What runs short: room on the disk, memory.  smtpd is told when it begins and
 * when it is over, and answers 452 to MAIL meanwhile; a transaction that was
 * let in before is refused here.
 */
#include "queue/internal.h"

void
shortage_tell(struct peer *p)
{
	struct queue *q = p->q;
	struct fr_queue_state f = {
		.error = q->short_of_disk		   ? ERR_NOSPACE
			 : q->ladder.step >= LADDER_REFUSE ? ERR_FULL
							   : OK,
	};
	const char *name;
	int64_t value;
	enum err e;

	if (q->short_of_disk) {
		(void)store_why_short(q->store, &name, &value);
		f.limit = slice_str(name);
		f.value = (uint64_t)value;
	}
	e = send_queue_state(p->chan, 0, &f, -1);
	if (e != OK)
		peer_stuck(p, e);
}

static void
tell_all(struct queue *q)
{
	for (unsigned i = 0; i < PEERS_MAX; i++)
		if (q->peers[i] != NULL && q->peers[i]->chan != NULL &&
		    q->peers[i]->role == ROLE_SMTPD)
			shortage_tell(q->peers[i]);
}

void
shortage_check_disk(struct queue *q)
{
	bool is_short = store_reserve(q->store, NULL, 0) == ERR_NOSPACE;

	if (q->short_of_disk == is_short)
		return;
	q->short_of_disk = is_short;
	/* Each MAIL that is refused is counted and named by smtpd, which knows
	 * whose it is. */
	if (!is_short)
		log_info("there is room for new mail again");
	tell_all(q);
}

void
shortage_check_memory(struct queue *q)
{
	enum ladder_step was = q->ladder.step;
	int64_t used = q->memory_max - acct_room(q->env.acct);

	if (!ladder_look(&q->ladder, 0,
		used > 0 ? (unsigned)(used * 100 / q->memory_max) : 0,
		queue_mono(q)))
		return;
	if ((was >= LADDER_REFUSE) != (q->ladder.step >= LADDER_REFUSE))
		tell_all(q);
	if (was == LADDER_PAUSE)
		ev_defer(q->loop, &q->sched_task);
}

void
shortage_refused(struct queue *q)
{
	const char *name;
	int64_t value;
	enum store_short why = store_why_short(q->store, &name, &value);

	log_limit(&q->short_sites[why], queue_mono(q), name, value,
	    SLICE_LIT("new mail"), "refused with 452");
	shortage_check_disk(q);
}
