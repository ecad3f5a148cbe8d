/* qagents: what smtp and local make of the deliveries that they are given. */
#include <stdlib.h>
#include <string.h>

#include "qsim.h"

static void
must(enum err e)
{
	if (e != OK && e != ERR_CLOSED && e != ERR_FULL)
		q_fail("a frame could not be sent: %s", err_name(e));
}

static struct q_job *
job_of(unsigned agent, uint32_t tag)
{
	struct q_job *none = NULL;

	for (unsigned i = 0; i < Q_JOBS_MAX; i++) {
		struct q_job *j = &w.jobs[i];

		if (j->used && j->agent == agent && j->tag == tag)
			return j;
		if (!j->used && none == NULL)
			none = j;
	}
	if (none == NULL)
		q_fail("too many deliveries");
	*none = (struct q_job){ .used = true, .agent = agent, .tag = tag };
	return none;
}

static void
take_rcpts(struct q_job *j, struct slice data)
{
	struct rd rd = rd_of(data);
	struct job_rcpt r;

	while (rd.left > 0) {
		if (!job_rcpt_get(&rd, &r) || j->rcpt_count == Q_RCPTS_EACH_MAX)
			q_fail("JOB_RCPTS");
		j->index[j->rcpt_count] = r.index;
		j->rcpts[j->rcpt_count++] = q_rcpt_of(r.orcpt);
	}
}

static unsigned
at_dest(unsigned dest)
{
	unsigned n = 0;

	for (unsigned i = 0; i < Q_JOBS_MAX; i++)
		n +=
		    w.jobs[i].used && w.jobs[i].whole && w.jobs[i].dest == dest;
	return n;
}

static enum q_kind
mood(unsigned dest)
{
	return w.kind[dest] == KIND_FLAKY ? (enum q_kind)q_chance(KIND_FLAKY)
					  : w.kind[dest];
}

/* All of it has come: how long will it take? */
static void
begin(struct q_job *j)
{
	unsigned slot = (unsigned)(j - w.jobs);
	struct fr_job_written written = { 0 };
	int64_t ms;

	j->whole = true;
	j->dest = w.rcpts[j->rcpts[0]].dest;
	for (unsigned i = 1; i < j->rcpt_count; i++)
		if (w.rcpts[j->rcpts[i]].dest != j->dest)
			q_fail("a delivery to two destinations");
	switch (mood(j->dest)) {
	case KIND_SLOW: ms = 1000 + (int64_t)q_chance(8000); break;
	case KIND_DEAD: ms = 100 + (int64_t)q_chance(3000); break;
	case KIND_SILENT: ms = 30000; break;
	default: ms = (int64_t)q_chance(400); break;
	}
	if (j->agent == 2 && q_chance(3) == 0)
		must(send_job_written(w.agent[2], j->tag, &written, -1));
	q_after(ms, DO_JOB, slot, j->tag);
}

static void
agent_frame(void *arg, struct chan *c, struct frame *f)
{
	unsigned agent = (unsigned)((struct chan **)arg - w.agent);
	struct fr_job_rcpts rcpts;
	struct fr_job job;
	struct q_job *j;

	(void)c;
	if (f->type == FRAME_SEGMENT || f->type == FRAME_SEGMENT_DROP)
		return;
	j = job_of(agent, f->tag);
	if (j->whole)
		q_fail("a delivery that has begun is sent again");
	if (f->type == FRAME_JOB_RCPTS && get_job_rcpts(f, &rcpts)) {
		take_rcpts(j, rcpts.rcpts);
	} else if (f->type == FRAME_JOB) {
		if (!get_job(f, &job) || job.rcpt_count != j->rcpt_count)
			q_fail("JOB");
		begin(j);
	}
}

static void
on_gone(void *arg, struct chan *c, bool bad, const char *why)
{
	unsigned agent = (unsigned)((struct chan **)arg - w.agent);

	(void)c;
	if (bad)
		q_fail("the queue sent nonsense: %s", why);
	q_agent_close(agent);
	q_after(100 + (int64_t)q_chance(3000), DO_AGENT, agent, 0);
}

static const struct chan_events agent_events = { agent_frame, on_gone, NULL };

void
q_agent_open(unsigned agent)
{
	if (w.q == NULL || w.agent[agent] != NULL)
		return;
	q_connect(agent == 2 ? ROLE_LOCAL : ROLE_SMTP, agent % 2,
	    &w.agent[agent], &agent_events, &w.agent[agent]);
}

void
q_agent_close(unsigned agent)
{
	chan_close(w.agent[agent]);
	w.agent[agent] = NULL;
	for (unsigned i = 0; i < Q_JOBS_MAX; i++)
		if (w.jobs[i].used && w.jobs[i].agent == agent)
			w.jobs[i].used = false;
}

/* ---- the end of a delivery ---- */

static struct job_result
result_of(uint32_t index)
{
	struct job_result r = { .index = index,
		.status = JOB_SENT,
		.dsn = SLICE_LIT("2.0.0"),
		.relay = SLICE_LIT("mx[192.0.2.1]:25"),
		.text = SLICE_LIT("250 ok") };
	uint64_t n = w.healing ? 99 : q_chance(100);

	if (n < 6) {
		r.status = JOB_FAILED;
		r.dsn = SLICE_LIT("5.1.1");
		r.text = SLICE_LIT("550 unknown");
	} else if (n < 12) {
		r.status = JOB_DEFERRED;
		r.dsn = SLICE_LIT("4.2.2");
		r.text = SLICE_LIT("mailbox full");
	} else if (n < 14) {
		r.status = JOB_SENT_DSN;
	}
	return r;
}

/* False: the channel takes no more now. */
static bool
send_results(struct q_job *j, bool some)
{
	static unsigned char buf[49152];
	struct wr p = wr_of(buf, sizeof(buf));
	struct fr_job_results f;
	unsigned end =
	    some ? (unsigned)q_chance(j->rcpt_count + 1) : j->rcpt_count;
	enum err e;

	for (unsigned i = 0; i < end; i++) {
		struct job_result r = result_of(j->index[i]);

		job_result_put(&p, &r);
	}
	f.results = wr_done(&p);
	if (f.results.len == 0)
		return true;
	e = send_job_results(w.agent[j->agent], j->tag, &f, -1);
	must(e);
	return e != ERR_FULL;
}

void
q_job_end(unsigned job, uint32_t tag)
{
	struct q_job *j = &w.jobs[job];
	struct fr_job_done done = { .site = SITE_OK };
	enum q_kind kind;
	enum err e;

	if (!j->used || j->tag != tag || w.agent[j->agent] == NULL)
		return;
	kind = mood(j->dest);
	if (kind == KIND_SILENT && !w.crowd && q_chance(3) == 0) {
		/* The master ends an agent that hangs. */
		unsigned agent = j->agent;

		q_agent_close(agent);
		q_after(1000, DO_AGENT, agent, 0);
		return;
	}
	if (kind == KIND_DEAD || kind == KIND_SILENT ||
	    (kind == KIND_BUSY && at_dest(j->dest) > 2)) {
		done.site = SITE_FAILED;
		done.text = SLICE_LIT("connection refused");
		if (q_chance(4) == 0 && !send_results(j, true)) {
			q_after(50, DO_JOB, job, tag);
			return;
		}
	} else if (!send_results(j, !w.healing && q_chance(20) == 0)) {
		q_after(50, DO_JOB, job, tag);
		return;
	}
	e = send_job_done(w.agent[j->agent], j->tag, &done, -1);
	if (e == ERR_FULL)
		q_fail("no room for JOB_DONE");
	must(e);
	j->used = false;
}
