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
#include "ipc/chan.h"
#include "smtp/agent.h"
#include "smtp/conn.h"
#include "smtp/route.h"

/* ---- gathering ---- */

static struct job *
find(struct agent *g, uint32_t tag)
{
	struct hash_node *n = hash_first(&g->jobs_by_tag, hash_u64(tag));

	for (; n != NULL; n = hash_next(n)) {
		struct job *j = CONTAINER(n, struct job, by_tag);

		if (j->tag == tag)
			return j;
	}
	return NULL;
}

/* The job that gathers frames of this tag, a new one if there is none; NULL
 * with *bad_out when the tag is in use, else when there is no room. */
static struct job *
gather(struct agent *g, uint32_t tag, bool *bad_out)
{
	struct job *j = find(g, tag);

	*bad_out = j != NULL && j->state != JOB_GATHERING;
	if (*bad_out)
		return NULL;
	if (j != NULL)
		return j;
	j = pool_get(&g->job_pool);
	if (j == NULL)
		return NULL;
	j->agent = g;
	j->tag = tag;
	arena_init(&j->arena, &g->job_acct, JOB_CHUNK_BYTES, JOB_ARENA_BYTES);
	hash_add(&g->jobs_by_tag, &j->by_tag, hash_u64(tag));
	list_push_back(&g->jobs, &j->link);
	return j;
}

static struct slice
keep_bytes(struct job *j, struct slice s)
{
	char *copy = arena_copy(&j->arena, s.data, s.len);

	if (copy == NULL)
		j->refused = true;
	return slice_of(copy, copy != NULL ? s.len : 0);
}

static void
keep_piece(struct job *j, struct job_pieces *list, struct slice data)
{
	struct job_piece *p = arena_alloc(&j->arena, sizeof(*p));

	if (p == NULL) {
		j->refused = true;
		return;
	}
	p->data = keep_bytes(j, data);
	if (list->last != NULL)
		list->last->next = p;
	else
		list->first = p;
	list->last = p;
}

bool
job_on_rcpts(struct agent *g, const struct frame *f)
{
	struct fr_job_rcpts r;
	struct job *j;
	bool bad;

	if (!get_job_rcpts(f, &r))
		return false;
	j = gather(g, f->tag, &bad);
	if (j != NULL)
		keep_piece(j, &j->rcpt_pieces, r.rcpts);
	return !bad;
}

bool
job_on_extents(struct agent *g, const struct frame *f)
{
	struct fr_job_extents x;
	struct job *j;
	bool bad;

	if (!get_job_extents(f, &x))
		return false;
	j = gather(g, f->tag, &bad);
	if (j != NULL)
		keep_piece(j, &j->extent_pieces, x.extents);
	return !bad;
}

/* ---- decoding ---- */

/* Fewer than announced: the rest came when there was no room. */
static bool
decode_rcpts(struct job *j)
{
	unsigned n = 0;

	for (struct job_piece *p = j->rcpt_pieces.first; p; p = p->next) {
		struct rd r = rd_of(p->data);

		while (r.left > 0) {
			struct job_rcpt in;

			if (n == j->rcpt_count || !job_rcpt_get(&r, &in))
				return false;
			j->rcpts[n] = (struct smtp_client_rcpt){
				.address = in.address,
				.orcpt = in.orcpt,
				.notify = in.notify,
			};
			j->outcomes[n++].index = in.index;
		}
	}
	j->refused |= n < j->rcpt_count;
	return true;
}

static bool
decode_extents(struct job *j)
{
	unsigned n = 0;

	for (struct job_piece *p = j->extent_pieces.first; p; p = p->next) {
		struct rd r = rd_of(p->data);

		while (r.left > 0)
			if (n == j->extent_count ||
			    !extent_get(&r, &j->extents[n++]))
				return false;
	}
	j->refused |= n < j->extent_count;
	return true;
}

/* Copy what the frame lends and decode the rest.  False: malformed. */
static bool
decode(struct job *j, const struct fr_job *in)
{
	struct slice envelope = keep_bytes(j, in->envelope);
	struct slice nexthop = keep_bytes(j, in->nexthop);
	struct rd r = rd_of(envelope);

	/* Sizes that no honest count can have; 0 is for the arena to say. */
	if (in->rcpt_count == 0 || in->rcpt_count > JOB_ARENA_BYTES ||
	    in->extent_count > JOB_ARENA_BYTES)
		return false;
	j->rcpt_count = in->rcpt_count;
	j->extent_count = in->extent_count;
	j->rcpts = arena_alloc(&j->arena, j->rcpt_count * sizeof(*j->rcpts));
	j->outcomes =
	    arena_alloc(&j->arena, j->rcpt_count * sizeof(*j->outcomes));
	j->extents =
	    arena_alloc(&j->arena, j->extent_count * sizeof(*j->extents) + 1);
	if (j->refused || j->rcpts == NULL || j->outcomes == NULL ||
	    j->extents == NULL) {
		j->refused = true;
		return true;
	}
	if (!envelope_get(&r, &j->envelope) || !rd_done(&r) ||
	    !decode_rcpts(j) || !decode_extents(j))
		return false;
	j->lmtp = slice_eq(in->transport, SLICE_LIT("lmtp"));
	if (net_nexthop_parse(nexthop, &j->nexthop, NULL) != OK)
		j->nexthop = (struct net_nexthop){ .port = 0 };
	snprintf(j->key, sizeof(j->key), "%s:%.*s", j->lmtp ? "lmtp" : "smtp",
	    SLICE_ARGS(nexthop));
	for (char *c = j->key; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	return true;
}

static uint64_t
body_bytes(const struct job *j)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < j->extent_count; i++)
		n += j->extents[i].length;
	return n;
}

static void
start(struct job *j)
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

/* There is no object for the job: answer in its place. */
static bool
refuse(struct agent *g, uint32_t tag)
{
	struct fr_job_done done = {
		.site = SITE_NEUTRAL,
		.text = SLICE_LIT("too many deliveries at once"),
	};

	/* When even that finds no room, the queue is in error: it sent more
	 * jobs than it may, and reads no answers. */
	return send_job_done(g->queue, tag, &done, -1) == OK;
}

bool
job_on_job(struct agent *g, const struct frame *f)
{
	struct fr_job in;
	struct job *j;
	bool bad;

	if (!get_job(f, &in))
		return false;
	j = gather(g, f->tag, &bad);
	if (bad)
		return false;
	if (j == NULL)
		return refuse(g, f->tag);
	j->id = in.id;
	j->started = ev_now(g->loop);
	if (!decode(j, &in)) {
		job_free(j);
		return false;
	}
	if (j->refused) {
		j->rcpt_count = 0;
		job_fail(j, JOB_DEFERRED, "4.3.1", SLICE_NONE,
		    "out of memory for the delivery");
		return true;
	}
	start(j);
	return true;
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
