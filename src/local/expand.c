/*
 * expand: questions to lookup.
 *
 * Happy path: EXPAND; any number of EXPANDED; EXPAND_END.
 *
 * Failure modes: lookup dies (its channel closes: every question ends with
 * ERR_CLOSED), does not answer (a timer: ERR_TIMEOUT; its late answer has a
 * tag that nobody waits for), or breaks the rules of the frames (its channel
 * is closed, the master restarts it).
 */
#include "local/expand.h"

#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "ipc/chan.h"
#include "ipc/frames.h"
#include "local/check.h"

enum { BUCKETS = 256, QUEUE_BYTES_MAX = 256 << 10 };

struct expander {
	struct ev_loop *loop;
	struct acct *acct;
	struct chan *lookup; /* NULL: none now */
	struct checks *checks;
	struct hash by_tag;
	uint32_t next_tag;
	void (*on_bad)(void *arg, const char *why);
	void *bad_arg;
};

static struct expand *
find(struct expander *ex, uint32_t tag)
{
	struct hash_node *n = hash_first(&ex->by_tag, hash_u64(tag));

	for (; n != NULL; n = hash_next(n))
		if (CONTAINER(n, struct expand, hash)->tag == tag)
			return CONTAINER(n, struct expand, hash);
	return NULL;
}

void
expander_cancel(struct expand *x)
{
	if (x->all == NULL)
		return;
	hash_remove(&x->all->by_tag, &x->hash);
	ev_timer_clear(&x->timer);
	x->all = NULL;
}

static void
end_with(struct expand *x, enum err e, const char *text)
{
	struct fr_expand_end f = {
		.error = (uint8_t)e,
		.code = 451,
		.status = SLICE_LIT("4.3.0"),
		.text = slice_str(text),
	};

	expander_cancel(x);
	x->on_end(x, &f);
}

static void
on_timer(void *arg, struct ev_timer *t)
{
	(void)t;
	end_with(arg, ERR_TIMEOUT, "aliases were not answered in time");
}

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	struct expander *ex = arg;
	struct expand *x = find(ex, f->tag);
	struct fr_expanded target;
	struct fr_expand_end end;

	if (f->type == FRAME_CHECK) {
		if (ex->checks != NULL)
			checks_on_frame(ex->checks, c, f);
		return;
	}
	if (f->type == FRAME_EXPANDED && get_expanded(f, &target)) {
		if (x != NULL)
			x->on_target(x, target.kind, target.text);
	} else if (f->type == FRAME_EXPAND_END && get_expand_end(f, &end)) {
		if (x != NULL) {
			expander_cancel(x);
			x->on_end(x, &end);
		}
	} else {
		chan_bad(c, "frame that is not for local");
	}
}

static void
lose_lookup(struct expander *ex)
{
	struct hash_node *n;

	if (ex->lookup == NULL)
		return;
	if (ex->checks != NULL)
		checks_forget(ex->checks);
	chan_close(ex->lookup);
	ex->lookup = NULL;
	for (uint32_t i = 0; i < ex->by_tag.bucket_count; i++)
		while ((n = ex->by_tag.buckets[i]) != NULL)
			end_with(CONTAINER(n, struct expand, hash), ERR_CLOSED,
			    "aliases cannot be looked up now");
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct expander *ex = arg;

	(void)c;
	lose_lookup(ex);
	if (bad && ex->on_bad != NULL)
		ex->on_bad(ex->bad_arg, why);
}

enum err
expander_new(struct ev_loop *loop, struct acct *a, struct expander **out)
{
	struct expander *ex = mem_alloc(a, sizeof(*ex));

	if (ex == NULL)
		return ERR_FULL;
	ex->loop = loop;
	ex->acct = a;
	limits_row(LIMIT_DEADLINE, "answer about an alias", "", 0,
	    EXPAND_TIMEOUT_MS);
	*out = ex;
	return hash_init(&ex->by_tag, a, BUCKETS);
}

void
expander_free(struct expander *ex)
{
	if (ex == NULL)
		return;
	lose_lookup(ex);
	hash_fini(&ex->by_tag);
	mem_free(ex->acct, ex);
}

void
expander_set_checks(struct expander *ex, struct checks *checks)
{
	ex->checks = checks;
}

void
expander_on_bad(struct expander *ex, void (*on_bad)(void *arg, const char *why),
    void *arg)
{
	ex->on_bad = on_bad;
	ex->bad_arg = arg;
}

enum err
expander_set_lookup(struct expander *ex, int fd, unsigned index)
{
	static const struct chan_events events = { on_frame, on_closed, NULL };

	lose_lookup(ex);
	return chan_open(ex->loop, ex->acct, fd, ROLE_LOCAL, ROLE_LOOKUP, index,
	    &events, ex, QUEUE_BYTES_MAX, &ex->lookup);
}

enum err
expander_ask(struct expander *ex, struct expand *x, struct slice address)
{
	struct fr_expand f = { .address = address };
	enum err e;

	if (ex->lookup == NULL)
		return ERR_CLOSED;
	x->tag = ++ex->next_tag;
	e = send_expand(ex->lookup, x->tag, &f, -1);
	if (e != OK)
		return e;
	x->all = ex;
	hash_add(&ex->by_tag, &x->hash, hash_u64(x->tag));
	ev_timer_init(&x->timer, ex->loop, on_timer, x);
	ev_timer_set(&x->timer, EXPAND_TIMEOUT_MS);
	return OK;
}
