/*
 * plan_forward: what a plan forwards, to whom, and in whose name.
 *
 * An address that was met before is not taken again.  duplicate_filter_limit
 * addresses are remembered; beyond it duplicates may pass, which is logged.
 */
#include <string.h>

#include "base/hash.h"
#include "conf/conf.h"
#include "local/jobs_internal.h"
#include "local/plan.h"
#include "proto/address.h"

static const struct conf *
conf_of(const struct plan *p)
{
	return p->jd->job->jobs->env->conf;
}

static bool
defer(struct plan *p, const char *dsn, const char *why)
{
	return outcome_set(&p->jd->d.outcome, JOB_DEFERRED, dsn, "%s", why);
}

/* ---- addresses ---- */

/* In canonical form, whole.  False: it is none. */
static bool
parse(const struct plan *p, struct slice text, char buf[ADDRESS_BYTES_MAX],
    struct address *out)
{
	struct slice origin = slice_str(conf_of(p)->myorigin);
	size_t len;

	if (address_parse(slice_trim(text), ADDRESS_BARE | ADDRESS_UTF8, buf,
		out) != OK)
		return false;
	if (out->domain.len > 0)
		return true;
	len = out->text.len;
	if (len + 1 + origin.len > ADDRESS_BYTES_MAX)
		return false;
	buf[len] = '@';
	memcpy(buf + len + 1, origin.data, origin.len);
	address_split(slice_of(buf, len + 1 + origin.len), out);
	return true;
}

bool
plan_is_self(const struct plan *p, struct slice text)
{
	char buf[ADDRESS_BYTES_MAX];
	struct address a, rcpt;

	if (!parse(p, text, buf, &a))
		return false;
	if (slice_eq_nocase(a.text, p->jd->rcpt.address))
		return true;
	address_split(p->jd->rcpt.address, &rcpt);
	return p->party.extension.len == 0 &&
	       slice_eq_nocase(a.local, rcpt.local) &&
	       conf_list_has_domain(&conf_of(p)->mydestination, a.domain) &&
	       conf_list_has_domain(&conf_of(p)->mydestination, rcpt.domain);
}

/* ---- the filter ---- */

/* Where address is, or would be. */
static uint32_t
filter_place(const struct plan *p, struct slice address)
{
	uint64_t h = hash_bytes_nocase(address.data, address.len);
	uint32_t i = (uint32_t)(h % p->filter_size);

	while (p->filter[i] != NULL &&
	       !slice_eq_nocase(p->filter[i]->address, address))
		i = (i + 1) % p->filter_size;
	return i;
}

static bool
filter_has(struct plan *p, struct slice address)
{
	return p->filter != NULL && p->filter[filter_place(p, address)] != NULL;
}

static void
filter_full(struct plan *p)
{
	if (!p->filter_told)
		jobs_limit_hit(p->jd, JOBS_ROW_FILTER,
		    "further addresses may get it twice");
	p->filter_told = true;
}

/* Twice as many places as addresses, so that a search ends. */
static void
filter_add(struct plan *p, struct forward_rcpt *r)
{
	uint32_t limit = (uint32_t)conf_of(p)->duplicate_filter_limit;

	if (limit == 0)
		return;
	if (limit > PLAN_ACTIONS_MAX)
		limit = PLAN_ACTIONS_MAX;
	if (p->filter == NULL) {
		if (limit > p->action_count)
			limit = p->action_count;
		p->filter = arena_alloc(&p->jd->job->arena,
		    2 * limit * sizeof(struct forward_rcpt *));
		p->filter_size = 2 * limit;
	}
	if (p->filter == NULL || p->filter_count == p->filter_size / 2) {
		filter_full(p);
		return;
	}
	p->filter[filter_place(p, r->address)] = r;
	p->filter_count++;
}

/* ---- recipients ---- */

static struct forward_rcpt *
new_rcpt(struct plan *p, struct slice address)
{
	struct arena *arena = &p->jd->job->arena;
	struct forward_rcpt *r = arena_alloc(arena, sizeof(*r));
	char *copy = arena_copy(arena, address.data, address.len);

	if (r == NULL || copy == NULL)
		return NULL;
	r->address = slice_of(copy, address.len);
	if (p->is_alias)
		r->original = p->jd->rcpt.address;
	return r;
}

bool
plan_add_address(struct plan *p, struct slice text)
{
	char buf[ADDRESS_BYTES_MAX];
	struct forward_rcpt *r;
	struct address a;

	if (!parse(p, text, buf, &a))
		return outcome_set(&p->jd->d.outcome, JOB_DEFERRED, "4.3.5",
		    "\"%.*s\" is not an address",
		    SLICE_ARGS(slice_sub(text, 0, 200)));
	if (filter_has(p, a.text))
		return true;
	r = new_rcpt(p, a.text);
	if (r == NULL)
		return defer(p, "4.3.1", "out of memory");
	if (p->is_alias && slice_eq_nocase(a.text, p->jd->rcpt.address)) {
		p->self = r;
		return true;
	}
	filter_add(p, r);
	*p->rcpts_end = r;
	p->rcpts_end = &r->next;
	p->rcpt_count++;
	return true;
}

/* ---- the message ---- */

/* RFC 3461 5.2.7: as long as the sender stays, his wishes go along; a list
 * reports to its owner, who has none. */
static void
set_notify(struct plan *p, struct forward_rcpt *rcpts)
{
	bool only_forwards = p->file_count == 0 && p->command_count == 0;
	const struct job_rcpt *from = &p->jd->rcpt;
	uint8_t notify = from->notify;
	struct forward_rcpt *r;

	if (p->has_sender)
		notify &= NOTIFY_NEVER;
	else if (!only_forwards && notify == NOTIFY_SUCCESS)
		notify = NOTIFY_NEVER;
	else if (!only_forwards)
		notify &= (uint8_t)~NOTIFY_SUCCESS;
	for (r = rcpts; r != NULL; r = r->next) {
		r->notify = notify;
		r->orcpt = p->has_sender ? SLICE_NONE : from->orcpt;
	}
}

static bool
any_utf8(const struct forward_rcpt *r)
{
	for (; r != NULL; r = r->next)
		for (size_t i = 0; i < r->address.len; i++)
			if ((unsigned char)r->address.data[i] >= 0x80)
				return true;
	return false;
}

static void
on_done(struct forward *f)
{
	plan_on_forwarded(CONTAINER(f, struct plan, forward));
}

static void
submit(struct plan *p, struct forward_rcpt *rcpts, uint32_t count,
    struct slice delivered_to)
{
	struct job *j = p->jd->job;
	struct forward *f = &p->forward;

	set_notify(p, rcpts);
	f->envelope = j->envelope;
	f->envelope.sender = p->sender;
	if (p->has_sender) {
		f->envelope.envid = SLICE_NONE;
		f->envelope.ret = RET_NONE;
	}
	if (any_utf8(rcpts))
		f->envelope.flags |= ENVELOPE_UTF8;
	f->rcpts = rcpts;
	f->rcpt_count = count;
	f->delivered_to = delivered_to;
	f->on_done = on_done;
	body_source_init(&f->body, &j->jobs->segments, j->all_extents,
	    j->extent_count, UINT64_MAX);
	p->forward_count += count;
	forward_submit(j->jobs->forwards, f);
}

bool
plan_forward(struct plan *p)
{
	struct forward_rcpt *r = p->rcpts;

	if (r != NULL) {
		p->rcpts = NULL;
		submit(p, r, p->rcpt_count, p->jd->rcpt.address);
		return true;
	}
	/* The alias that is also a mailbox: with a Delivered-To of the same
	 * address this would look like a loop. */
	r = p->self;
	if (r == NULL)
		return false;
	p->self = NULL;
	submit(p, r, 1, SLICE_NONE);
	return true;
}
