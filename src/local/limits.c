/*
 * limits: what a delivery may be, shown in the limits page, and the line that
 * names a limit when it was hit.
 *
 * Each transport that is a pipe has a row of its own for its time; a row lives
 * as long as this process, also when a reload takes its transport away.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "conf/conf.h"
#include "local/jobs_internal.h"

/* "NAME_time_limit"; the row has the beginning of a long one. */
enum { PARAMETER_BYTES = USER_NAME_BYTES_MAX + 16 };

struct row {
	enum limit_kind kind;
	const char *name, *parameter;
	int64_t limit;
};

static void
show(struct jobs_limit *l, const struct row *r)
{
	if (l->row == NULL)
		l->row =
		    limits_row(r->kind, r->name, r->parameter, 0, r->limit);
	else
		limit_set_limit(l->row, r->limit);
}

/* The row of a pipe's time; NULL: it has none, and there is room for none. */
static struct jobs_limit *
pipe_limit(struct jobs *js, const char *parameter)
{
	unsigned i = 0;

	for (; i < JOBS_PIPE_LIMITS_MAX && js->pipe_limits[i].row != NULL; i++)
		if (strncmp(js->pipe_limits[i].row->parameter, parameter,
			LIMITS_NAME_BYTES - 1) == 0)
			return &js->pipe_limits[i];
	return i < JOBS_PIPE_LIMITS_MAX ? &js->pipe_limits[i] : NULL;
}

static void
pipe_parameter(const char *transport, char out[static PARAMETER_BYTES])
{
	snprintf(out, PARAMETER_BYTES, "%s_time_limit", transport);
}

static void
show_pipe(struct jobs *js, const struct conf_pipe *p)
{
	char name[PARAMETER_BYTES], parameter[PARAMETER_BYTES];
	const struct row r = { LIMIT_DEADLINE, name, parameter,
		p->time_limit_ms };
	struct jobs_limit *l;

	snprintf(name, sizeof(name), "command of %s", p->name);
	pipe_parameter(p->name, parameter);
	l = pipe_limit(js, parameter);
	if (l != NULL)
		show(l, &r);
}

void
jobs_limits_show(struct jobs *js)
{
	const struct conf *c = js->env->conf;
	const struct row rows[JOBS_ROWS] = {
		[JOBS_ROW_FILTER] = { LIMIT_COUNT, "addresses remembered",
		    "duplicate_filter_limit", c->duplicate_filter_limit },
		[JOBS_ROW_COMMAND] = { LIMIT_DEADLINE, "command",
		    "command_time_limit", c->command_time_limit_ms },
		[JOBS_ROW_LOCK] = { LIMIT_COUNT, "attempts at a lock",
		    "deliver_lock_attempts", c->deliver_lock_attempts },
		[JOBS_ROW_STALE] = { LIMIT_DEADLINE, "age of a lock file",
		    "stale_lock_time", c->stale_lock_time_ms },
		[JOBS_ROW_SIZE] = { LIMIT_SIZE, "mbox file",
		    "mailbox_size_limit", c->mailbox_size_limit_bytes },
		[JOBS_ROW_MEMORY] = { LIMIT_SIZE, "process of a command",
		    "command_memory_limit", c->command_memory_limit_bytes },
		[JOBS_ROW_PROCESSES] = { LIMIT_COUNT,
		    "processes of a command's user", "command_process_limit",
		    c->command_process_limit },
	};

	for (unsigned i = 0; i < JOBS_ROWS; i++)
		show(&js->limits[i], &rows[i]);
	for (size_t i = 0; i < c->pipe_count; i++)
		show_pipe(js, &c->pipes[i]);
}

static void
hit(const struct job_delivery *jd, struct jobs_limit *l, const char *action)
{
	struct jobs *js = jd->job->jobs;
	char who[ADDRESS_BYTES_MAX + 64];
	int len = snprintf(who, sizeof(who), "message %" PRIu64 " to %.*s",
	    jd->job->id, SLICE_ARGS(jd->rcpt.address));

	limit_refused(l->row);
	log_limit_row(&l->site, ev_now(js->loop), l->row,
	    slice_of(who, (size_t)len), action);
}

void
jobs_limit_hit(const struct job_delivery *jd, enum jobs_row which,
    const char *action)
{
	hit(jd, &jd->job->jobs->limits[which], action);
}

static void
time_hit(const struct job_delivery *jd)
{
	struct jobs *js = jd->job->jobs;
	struct jobs_limit *l = &js->limits[JOBS_ROW_COMMAND], *own;
	char transport[USER_NAME_BYTES_MAX + 1];
	char parameter[PARAMETER_BYTES];

	if (jd->is_pipe &&
	    slice_copy(jd->job->transport, transport, sizeof(transport))) {
		pipe_parameter(transport, parameter);
		own = pipe_limit(js, parameter);
		l = own != NULL && own->row != NULL ? own : l;
	}
	hit(jd, l, "its command was ended");
}

void
jobs_limits_count(const struct job_delivery *jd)
{
	switch (jd->d.outcome.limit) {
	case OUTCOME_LIMIT_TIME: time_hit(jd); break;
	case OUTCOME_LIMIT_LOCK:
		jobs_limit_hit(jd, JOBS_ROW_LOCK,
		    "deferred, the mailbox is locked");
		break;
	case OUTCOME_LIMIT_SIZE:
		jobs_limit_hit(jd, JOBS_ROW_SIZE,
		    jd->d.outcome.status == JOB_FAILED
			? "returned, the mailbox is full"
			: "deferred, the mailbox is full");
		break;
	case OUTCOME_LIMIT_STALE:
		jobs_limit_hit(jd, JOBS_ROW_STALE, "the lock file is removed");
		break;
	default: break;
	}
}
