/*
 * gather: the frames of a job, kept until it is complete, then decoded.
 *
 * Happy path: JOB_RCPTS and JOB_EXTENTS in any number, then JOB; all of the
 * same tag.
 * Failure modes: no room for the job, or in it: it is answered as deferred;
 * what does not decode: false, and the channel is closed as malformed.
 */
#include <stdio.h>

#include "ipc/chan.h"
#include "smtp/agent.h"
#include "smtp/job.h"

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
	job_start(j);
	return true;
}
