/*
 * qcrowd: runs in which one to three next hops are slow or say nothing and
 * most mail is for them, while nothing else is wrong: what is for the others
 * is tried at once.
 */
#include "qsim.h"

enum {
	HOPS_MAX = 3,
	/* From the acknowledgement to the first attempt. */
	TRIED_MS = 1000,
	HEALTHY_ONE_IN = 6,
};

void
q_crowd_begin(void)
{
	w.crowd = true;
	w.hops = 1 + (unsigned)q_chance(HOPS_MAX);
	for (unsigned d = 0; d < Q_DESTS; d++)
		w.kind[d] = d < Q_DESTS - w.hops ? KIND_FAST
			    : q_chance(2)	 ? KIND_SILENT
						 : KIND_SLOW;
}

/* The healthy ones in turn: none of them has two to deliver at once. */
unsigned
q_crowd_dest(void)
{
	if (q_chance(HEALTHY_ONE_IN) == 0)
		return w.turn++ % (Q_DESTS - w.hops);
	return Q_DESTS - 1 - (unsigned)q_chance(w.hops);
}

void
q_crowd_check(void)
{
	if (!w.crowd)
		return;
	for (unsigned i = 0; i < w.rcpt_count; i++) {
		const struct q_rcpt *r = &w.rcpts[i];
		const struct q_msg *m = &w.msgs[r->msg];

		if (!m->acked || r->tried || r->dest >= Q_DESTS - w.hops ||
		    w.now_ms - m->acked_ms <= TRIED_MS)
			continue;
		q_fail("recipient %u of a healthy destination waits since "
		       "%lld, with %u of %u messages and %u of %u recipients",
		    i, (long long)m->acked_ms, w.q->active_count,
		    w.q->active_max, w.q->rcpt_count, w.q->rcpt_max);
	}
}
