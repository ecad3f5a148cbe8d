/*
 * assemble: a job's extents, recipients and envelope out of its frames.
 */
#include <string.h>

#include "ipc/frames.h"
#include "local/jobs_internal.h"

enum { JOB_EXTENT_BYTES = 16 /* encoded */ };

static enum err
add_extents(struct job *j, struct slice blob)
{
	uint32_t count = (uint32_t)(blob.len / JOB_EXTENT_BYTES);
	struct piece *p = arena_alloc(&j->arena, sizeof(*p));
	struct rd r = rd_of(blob);
	uint32_t i;

	if (count == 0)
		return ERR_PROTOCOL;
	if (p == NULL)
		return ERR_FULL;
	p->extents = arena_alloc(&j->arena, count * sizeof(*p->extents));
	if (p->extents == NULL)
		return ERR_FULL;
	for (i = 0; i < count; i++)
		if (!extent_get(&r, &p->extents[i]))
			return ERR_PROTOCOL;
	p->count = count;
	*j->extents_end = p;
	j->extents_end = &p->next;
	j->extent_count += count;
	return rd_done(&r) ? OK : ERR_PROTOCOL;
}

/* 0 when malformed. */
static uint32_t
count_rcpts(struct slice blob)
{
	struct rd r = rd_of(blob);
	struct job_rcpt rcpt;
	uint32_t n = 0;

	while (r.left > 0 && job_rcpt_get(&r, &rcpt)) {
		if (rcpt.address.len > ADDRESS_BYTES_MAX ||
		    rcpt.original.len > ADDRESS_BYTES_MAX)
			return 0;
		n++;
	}
	return r.bad ? 0 : n;
}

static bool
keep(struct arena *a, struct slice *s)
{
	char *copy = arena_copy(a, s->data, s->len);

	s->data = copy;
	return copy != NULL;
}

static enum err
add_rcpts(struct job *j, struct slice blob)
{
	struct rcpt_piece *p = arena_alloc(&j->arena, sizeof(*p));
	uint32_t count = count_rcpts(blob), i;
	struct rd r = rd_of(blob);
	struct job_rcpt *rcpt;

	if (count == 0 || j->rcpt_count + count > JOB_RCPTS_MAX)
		return ERR_PROTOCOL;
	if (p == NULL)
		return ERR_FULL;
	p->count = count;
	p->deliveries = arena_alloc(&j->arena, count * sizeof(*p->deliveries));
	if (p->deliveries == NULL)
		return ERR_FULL;
	for (i = 0; i < count; i++) {
		rcpt = &p->deliveries[i].rcpt;
		p->deliveries[i].job = j;
		if (!job_rcpt_get(&r, rcpt))
			return ERR_PROTOCOL;
		if (!keep(&j->arena, &rcpt->address) ||
		    !keep(&j->arena, &rcpt->original) ||
		    !keep(&j->arena, &rcpt->mailbox))
			return ERR_FULL;
	}
	*j->rcpts_end = p;
	j->rcpts_end = &p->next;
	j->rcpt_count += count;
	return OK;
}

static enum err
set_job(struct job *j, const struct fr_job *f)
{
	struct slice blob = f->envelope;
	struct rd r;

	j->id = f->id;
	j->transport = f->transport;
	j->nexthop = f->nexthop;
	if (!keep(&j->arena, &j->transport) || !keep(&j->arena, &j->nexthop) ||
	    !keep(&j->arena, &blob))
		return ERR_FULL;
	r = rd_of(blob);
	if (!envelope_get(&r, &j->envelope) || !rd_done(&r))
		return ERR_PROTOCOL;
	if (j->rcpt_count != f->rcpt_count ||
	    j->extent_count != f->extent_count || j->rcpt_count == 0)
		return j->dropped_others ? ERR_FULL : ERR_PROTOCOL;
	return OK;
}

enum err
job_assemble(struct job *j, struct frame *f)
{
	struct fr_job_extents extents;
	struct fr_job_rcpts rcpts;
	struct fr_job job;

	if (j->refused)
		return OK;
	if (f->type == FRAME_JOB_EXTENTS)
		return get_job_extents(f, &extents)
			   ? add_extents(j, extents.extents)
			   : ERR_PROTOCOL;
	if (f->type == FRAME_JOB_RCPTS)
		return get_job_rcpts(f, &rcpts) ? add_rcpts(j, rcpts.rcpts)
						: ERR_PROTOCOL;
	return get_job(f, &job) ? set_job(j, &job) : ERR_PROTOCOL;
}
