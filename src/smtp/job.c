/*
 * Happy path: frames are gathered; an idle connection for the next hop is
 * taken, else route finds hosts and a connection is made; the transaction
 * runs; every recipient gets its result; report sends them and frees the job.
 *
 * Failure modes: a host that cannot be reached or does not shake hands, and a
 * temporary result while there are more hosts: the next one; nothing left:
 * deferred (or failed) with the last reason.  An idle connection that dies
 * before the reply to MAIL says nothing about anybody: the job starts again
 * without it.  Memory ran out: the whole job is deferred.
 */
#include "smtp/job.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "conf/conf.h"
#include "smtp/agent.h"
#include "smtp/conn.h"
#include "smtp/path.h"
#include "smtp/route.h"

/* ---- start ---- */

static uint64_t
body_bytes(const struct job *j)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < j->extent_count; i++)
		n += j->extents[i].length;
	return n;
}

void
job_start(struct job *j)
{
	j->txn = (struct smtp_client_txn){
		.sender = j->envelope.sender,
		.envid = j->envelope.envid,
		.ret = j->envelope.ret,
		.flags = j->envelope.flags,
		.size_bytes =
		    body_bytes(j) +
		    (j->envelope.flags & ENVELOPE_NO_FINAL_EOL ? 2 : 0),
		.rcpts = j->rcpts,
		.rcpt_count = j->rcpt_count,
	};
	if (j->nexthop.host.len == 0 && j->nexthop.path.len == 0) {
		job_fail(j, JOB_FAILED, "5.4.4", SLICE_NONE,
		    "Host or domain name not found. Not a valid next hop");
		return;
	}
	if (!j->fresh_only && conn_reuse(j))
		return;
	route_start(j);
}

/* ---- hosts, one after the other ---- */

bool
job_has_next(const struct job *j)
{
	int64_t limit = j->agent->conf->smtp_mx_session_limit;

	return j->host_next < j->host_count &&
	       (limit == 0 || j->session_count < limit);
}

void
job_set_trouble(struct job *j, enum job_status status, const char *dsn,
    struct slice relay, const char *text)
{
	j->trouble.status = (uint8_t)status;
	(void)slice_copy(slice_str(dsn), j->trouble.dsn,
	    sizeof(j->trouble.dsn));
	j->trouble.relay = relay;
	j->trouble.text = job_keep(j, text);
}

void
job_routed(struct job *j)
{
	ev_timer_clear(&j->timer);
	job_next(j);
}

/* Connect to the next host that lets itself be tried. */
static bool
connect_next(struct job *j)
{
	while (job_has_next(j)) {
		const struct job_host *h = &j->hosts[j->host_next++];
		struct errtext et;
		enum err e;

		if (!j->fresh_only && conn_reuse_host(j, h))
			return true;
		if (j->nexthop.path.len > 0) {
			path_start(j);
			return true;
		}
		j->state = JOB_CONNECTING;
		e = conn_open(j, h, &et);
		if (e == OK)
			return true;
		log_message(j->id, "%s", et.text);
		job_set_trouble(j, JOB_DEFERRED, "4.4.1", SLICE_NONE, et.text);
		/* A limit of ours says nothing about the destination. */
		if (err_class(e) != ERR_CLASS_FULL)
			j->handshake_failed = true;
	}
	return false;
}

void
job_give_up_hosts(struct job *j)
{
	j->host_next = j->host_count;
}

void
job_start_fresh(struct job *j)
{
	j->fresh_only = true;
	j->session_count--;
	if (j->host_count == 0) {
		route_start(j);
		return;
	}
	j->host_next--; /* that host was not really asked */
	job_next(j);
}

static bool
all_final(const struct job *j)
{
	for (unsigned i = 0; i < j->rcpt_count; i++)
		if (!j->outcomes[i].final)
			return false;
	return true;
}

void
job_next(struct job *j)
{
	ASSERT(j->conn == NULL);
	if (all_final(j) || !connect_next(j))
		job_report(j);
}

void
job_ready(struct job *j)
{
	j->state = JOB_SESSION;
	j->session_count++;
	j->relay = job_keep(j, j->conn->relay);
	if (j->ready.ms == 0)
		j->ready = ev_now(j->agent->loop);
	for (unsigned i = 0; i < j->rcpt_count; i++)
		j->rcpts[i].state =
		    j->outcomes[i].final ? SMTP_RCPT_DONE : SMTP_RCPT_OPEN;
	body_init(&j->body, j->extents, j->extent_count);
}

/* ---- results ---- */

struct slice
job_keep(struct job *j, const char *text)
{
	size_t len = strnlen(text, JOB_TEXT_BYTES_MAX);
	char *copy = arena_copy(&j->arena, text, len);

	return copy != NULL ? slice_of(copy, len)
			    : SLICE_LIT("out of memory for the reason");
}

static void
note_one(struct job_outcome *o, const struct job_trouble *result, bool final)
{
	if (o->final)
		return;
	o->known = true;
	o->final = final;
	o->status = result->status;
	memcpy(o->dsn, result->dsn, sizeof(o->dsn));
	o->relay = result->relay;
	o->text = result->text;
}

void
job_note(struct job *j, bool all, unsigned rcpt,
    const struct job_trouble *result, bool retry)
{
	bool final = !retry || !job_has_next(j);

	if (!all) {
		note_one(&j->outcomes[rcpt], result, final);
		return;
	}
	for (unsigned i = 0; i < j->rcpt_count; i++)
		if (j->rcpts[i].state == SMTP_RCPT_RESULT)
			note_one(&j->outcomes[i], result, final);
}

void
job_fail(struct job *j, enum job_status status, const char *dsn,
    struct slice relay, const char *text)
{
	job_set_trouble(j, status, dsn, relay, text);
	job_report(j);
}

void
job_drop(struct job *j)
{
	if (j->conn != NULL)
		conn_close(j->conn);
	job_free(j);
}

void
job_free(struct job *j)
{
	struct agent *g = j->agent;

	ASSERT(j->conn == NULL);
	ev_timer_clear(&j->timer);
	hash_remove(&g->jobs_by_tag, &j->by_tag);
	list_remove(&j->link);
	list_remove(&j->reporting);
	arena_fini(&j->arena);
	pool_put(&g->job_pool, j);
	agent_check_drained(g);
}
