/*
 * pipes: jobs of pipe transports: one command for all recipients of a job, or
 * as few as their addresses fit into.
 *
 * The recipients of one command share its outcome.  Memory is the job's arena.
 */
#pragma once

struct conf_pipe;
struct job;
struct job_delivery;

/* Submit all recipients of j; open_count is raised by each that is not over
 * at once. */
void pipes_submit(struct job *j, const struct conf_pipe *p);
/* The command that jd was submitted with is over. */
void pipes_on_done(struct job_delivery *jd);
