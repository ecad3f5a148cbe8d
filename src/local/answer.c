/*
 * answer: the results of a job, back to the queue.
 *
 * Happy path: when all deliveries of a job are written the queue is told, so
 * that it gives the slot to another one; when all are over JOB_RESULTS and
 * JOB_DONE are sent and the job is freed.
 *
 * Failure modes: a full channel: answers wait for room, in the order of their
 * ends; what is only written is then not told.
 */
#include "base/assert.h"
#include "ev/loop.h"
#include "ipc/frames.h"
#include "local/jobs_internal.h"
#include "local/pipes.h"

static void
result_of(const struct job *j, const struct job_delivery *jd,
    struct job_result *r)
{
	*r = (struct job_result){
		.index = jd->rcpt.index,
		.status = (uint8_t)jd->d.outcome.status,
		.dsn = slice_str(jd->d.outcome.dsn),
		.relay = j->transport,
		.text = slice_str(jd->d.outcome.text),
	};
}

/* As many results as fit into one frame, from the job's mark on; moves the
 * mark to piece_out and index_out. */
static struct slice
pack_results(const struct job *j, struct rcpt_piece **piece_out,
    uint32_t *index_out)
{
	static unsigned char buffer[49152];
	struct wr w = wr_of(buffer, sizeof(buffer));
	struct rcpt_piece *p = j->answer_piece;
	uint32_t i = j->answer_index;
	struct job_result r;
	size_t whole = 0;

	while (p != NULL) {
		if (i == p->count) {
			p = p->next;
			i = 0;
			continue;
		}
		result_of(j, &p->deliveries[i], &r);
		job_result_put(&w, &r);
		if (w.full)
			break;
		whole = w.len;
		i++;
	}
	*piece_out = p;
	*index_out = i;
	return slice_of(buffer, whole);
}

/* False when the channel is full: go on when it has room. */
static bool
answer(struct job *j)
{
	struct jobs *js = j->jobs;
	struct fr_job_results results;
	struct fr_job_done done = { .site = SITE_OK };
	struct rcpt_piece *p;
	uint32_t i;

	while (j->answer_piece != NULL) {
		results.results = pack_results(j, &p, &i);
		if (results.results.len > 0 &&
		    send_job_results(js->queue, j->tag, &results, -1) != OK)
			return false;
		j->answer_piece = p;
		j->answer_index = i;
	}
	done.transfer_ms = (uint32_t)mono_sub(ev_now(js->loop), j->began);
	if (j->refused)
		done.text = SLICE_LIT("out of memory");
	return send_job_done(js->queue, j->tag, &done, -1) == OK;
}

void
jobs_check_idle(struct jobs *js)
{
	if (js->draining && js->on_idle != NULL && list_empty(&js->all))
		js->on_idle(js->idle_arg);
}

void
job_answer_all(struct jobs *js)
{
	struct list_node *n;
	struct job *j;

	while ((n = list_first(&js->answers)) != NULL) {
		j = CONTAINER(n, struct job, answer);
		if (!answer(j))
			return;
		job_free(j);
	}
	jobs_check_idle(js);
}

void
job_over(struct job *j)
{
	j->answer_piece = j->rcpts;
	j->answer_index = 0;
	list_push_back(&j->jobs->answers, &j->answer);
	job_answer_all(j->jobs);
}

/* The queue need not keep a slot for a job that waits for the disk alone. */
static void
tell_written(struct job *j)
{
	struct fr_job_written f = { 0 };

	if (j->told || j->open_count == 0 || j->written_count < j->open_count)
		return;
	/* A full channel: it keeps the slot until the job is over. */
	j->told = true;
	(void)!send_job_written(j->jobs->queue, j->tag, &f, -1);
}

void
job_on_written(void *arg, struct delivery *d)
{
	struct job_delivery *jd = CONTAINER(d, struct job_delivery, d);

	(void)arg;
	/* What follows in its plan needs the slot. */
	if (jd->plan != NULL && !plan_is_last(jd->plan)) {
		d->written = false;
		return;
	}
	jd->job->written_count++;
	tell_written(jd->job);
}

void
job_delivery_over(struct job_delivery *jd)
{
	struct job *j = jd->job;

	ASSERT(j->open_count > 0);
	if (--j->open_count == 0)
		job_over(j);
	else
		tell_written(j);
}

void
job_on_done(void *arg, struct delivery *d)
{
	struct job_delivery *jd = CONTAINER(d, struct job_delivery, d);

	(void)arg;
	jd->job->written_count -= d->written;
	d->written = false;
	jobs_limits_count(jd);
	if (jd->plan != NULL)
		plan_on_done(jd->plan);
	else if (jd->is_pipe)
		pipes_on_done(jd);
	else
		job_delivery_over(jd);
}
