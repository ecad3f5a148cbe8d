/*
 * jobs_internal: a job, for jobs.c, which runs it, assemble.c, which puts it
 * together, and answer.c, which says what became of it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "ipc/job.h"
#include "local/copies.h"
#include "local/expand.h"
#include "local/forward.h"
#include "local/jobs.h"
#include "local/plan.h"
#include "local/workers.h"
#include "proto/envelope.h"
#include "table/table.h"

/* Some of a job's extents, in the order in which they came. */
struct piece {
	struct piece *next;
	uint32_t count;
	struct extent *extents;
};

struct job_delivery {
	struct delivery d;
	struct job *job;
	struct job_rcpt rcpt;
	struct plan *plan; /* NULL: it goes simply into a mailbox */
	bool is_pipe;	   /* it carries the command of a pipe */
	struct job_delivery *next_member; /* that shares the command */
};

struct rcpt_piece {
	struct rcpt_piece *next;
	uint32_t count;
	struct job_delivery *deliveries;
};

/* Rows of the limits page. */
enum jobs_row {
	JOBS_ROW_FILTER,
	JOBS_ROW_COMMAND,
	JOBS_ROW_LOCK,
	JOBS_ROW_SIZE,
	JOBS_ROW_STALE,
	/* The system tells these two to the command alone: nothing is counted.
	 */
	JOBS_ROW_MEMORY,
	JOBS_ROW_PROCESSES,
	JOBS_ROWS
};

enum { JOBS_PIPE_LIMITS_MAX = 32 };

struct jobs_limit {
	struct limit_row *row; /* NULL: not used */
	struct log_limit_site site;
};

struct jobs {
	struct ev_loop *loop;
	struct acct *acct;
	const struct target_env *env;
	struct chan *queue; /* NULL: none now */
	struct segments segments;
	struct copies copies;
	struct workers *workers;
	struct workers_events events;
	struct forwards *forwards;
	struct tables commands; /* mailbox_command_maps */
	struct expander *expander;
	struct checks *checks;
	struct pool pool;
	struct hash by_tag;
	struct list all, answers;
	struct jobs_limit limits[JOBS_ROWS];
	struct jobs_limit pipe_limits[JOBS_PIPE_LIMITS_MAX];
	bool draining;
	/* Frames of a job were dropped, for there was no memory even to
	 * remember it: a job that does not fit together is no fault now. */
	bool dropped;
	void (*on_idle)(void *arg);
	void *idle_arg;
	void (*on_bad)(void *arg, const char *why);
	void *bad_arg;
};

struct job {
	struct hash_node hash;
	struct list_node node;	 /* in jobs.all */
	struct list_node answer; /* in jobs.answers when it is over */
	struct jobs *jobs;
	uint32_t tag;
	/* Frames of some job were dropped: see struct jobs. */
	bool dropped_others;
	bool refused; /* memory was: forget what comes, then defer */
	bool begun;   /* JOB came */
	struct arena arena;
	struct piece *extents, **extents_end;
	struct rcpt_piece *rcpts, **rcpts_end;
	uint32_t extent_count, rcpt_count;
	uint32_t open_count;	    /* deliveries that are not over */
	uint32_t written_count;	    /* of these, that wait for the disk */
	bool told;		    /* JOB_WRITTEN was sent */
	struct extent *all_extents; /* contiguous */
	struct envelope envelope;
	uint64_t id; /* of the message */
	struct slice transport, nexthop;
	struct mono began;
	/* How far the results were sent. */
	struct rcpt_piece *answer_piece;
	uint32_t answer_index;
};

/*
 * job_assemble(j, f):
 * Take in one of JOB_EXTENTS, JOB_RCPTS and JOB.  ERR_PROTOCOL: it does not
 * fit together; ERR_FULL: no memory.
 */
MUST_CHECK enum err job_assemble(struct job *j, struct frame *f);

/* ---- jobs.c ---- */

/* Its memory, and its place in every list. */
void job_free(struct job *j);

/* ---- limits.c ---- */

/* Make the rows, or set them to the configuration. */
void jobs_limits_show(struct jobs *js);
/* A limit was hit by this delivery; action: what was done. */
void jobs_limit_hit(const struct job_delivery *jd, enum jobs_row which,
    const char *action);
/* A worker is done with it: the limit that its outcome names, if any. */
void jobs_limits_count(const struct job_delivery *jd);

/* ---- answer.c ---- */

/* Every delivery of it is over: answer as soon as the channel has room. */
void job_over(struct job *j);
/* jd is over, its outcome is set; it was counted in open_count. */
void job_delivery_over(struct job_delivery *jd);
/* Send what waits for the channel. */
void job_answer_all(struct jobs *js);
/* Tell who waits for the end that no job is left. */
void jobs_check_idle(struct jobs *js);
/* See struct workers_events; arg is not used. */
void job_on_written(void *arg, struct delivery *d);
void job_on_done(void *arg, struct delivery *d);
