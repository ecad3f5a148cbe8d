/*
 * report: the results of a job on their way to the queue.
 *
 * As many records as fit into a frame; when the channel is full the job waits
 * in agent.reporting and goes on where it was.
 */
#include "base/assert.h"
#include "ipc/chan.h"
#include "ipc/frames.h"
#include "smtp/agent.h"
#include "smtp/job.h"

enum { RESULTS_BYTES_MAX = 49152 }; /* of JOB_RESULTS, frames.def */

_Static_assert(RESULTS_BYTES_MAX <= (int)BODY_PIECE_BYTES,
    "results are encoded in the buffer of the bodies");

static void
put(const struct job *j, unsigned i, struct wr *w)
{
	const struct job_outcome *o = &j->outcomes[i];
	struct job_result r = {
		.index = o->index,
		.status = o->known ? o->status : j->trouble.status,
		.dsn = slice_str(o->known ? o->dsn : j->trouble.dsn),
		.relay = o->known ? o->relay : j->trouble.relay,
		.text = o->known ? o->text : j->trouble.text,
	};

	job_result_put(w, &r);
}

/* One frame of results.  False: no room now. */
static bool
send_some(struct job *j)
{
	struct wr w = wr_of(j->agent->piece, RESULTS_BYTES_MAX);
	struct fr_job_results f;
	unsigned i = j->reported;

	while (i < j->rcpt_count && w.size - w.len >= JOB_RESULT_BYTES_MAX)
		put(j, i++, &w);
	ASSERT(!w.full);
	f.results = wr_done(&w);
	if (send_job_results(j->agent->queue, j->tag, &f, -1) != OK)
		return false;
	j->reported = i;
	return true;
}

static enum job_site
site(const struct job *j)
{
	if (j->session_count > 0)
		return SITE_OK;
	return j->handshake_failed ? SITE_FAILED : SITE_NEUTRAL;
}

static uint32_t
ms(struct mono from, struct mono to)
{
	int64_t d = mono_sub(to, from);

	return d < 0 ? 0 : d > UINT32_MAX ? UINT32_MAX : (uint32_t)d;
}

static bool
send_done(struct job *j)
{
	struct mono now = ev_now(j->agent->loop);
	bool had_session = j->ready.ms != 0;
	struct fr_job_done f = {
		.site = (uint8_t)site(j),
		.setup_ms = ms(j->started, had_session ? j->ready : now),
		.transfer_ms = had_session ? ms(j->ready, now) : 0,
		/* Needed only when the recipients could not be kept. */
		.text = j->rcpt_count == 0 ? j->trouble.text : SLICE_NONE,
	};

	return send_job_done(j->agent->queue, j->tag, &f, -1) == OK;
}

void
job_report(struct job *j)
{
	struct agent *g = j->agent;

	ASSERT(j->conn == NULL);
	ev_timer_clear(&j->timer);
	if (j->trouble.text.len == 0)
		j->trouble = (struct job_trouble){
			.status = JOB_DEFERRED,
			.dsn = "4.3.0",
			.text = SLICE_LIT("delivery ended without a result"),
		};
	j->state = JOB_REPORTING;
	if (g->queue == NULL) {
		job_free(j);
		return;
	}
	while (j->reported < j->rcpt_count)
		if (!send_some(j))
			goto wait;
	if (!send_done(j))
		goto wait;
	job_free(j);
	return;
wait:
	list_push_back(&g->reporting, &j->reporting);
}
