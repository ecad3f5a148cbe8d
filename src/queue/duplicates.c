/*
 * duplicates: who is given twice in a transaction gets one copy.
 *
 * Two recipients are one when all is alike that delivery and reports depend
 * on: the address (case folded, as where mail is forwarded), NOTIFY, ORCPT and
 * the alias it came of.  duplicate_filter_limit of them are remembered.
 */
#include "base/assert.h"
#include "base/hash.h"
#include "queue/internal.h"

enum {
	LIMIT_MAX = 10000,    /* duplicate_filter_limit's range ends there */
	PLACES_MAX = 1 << 15, /* a power of two, so that a third is free */
};

/* For one transaction at a time: offset + 1 in what is kept; 0: free. */
static uint32_t places[PLACES_MAX];

static struct envelope_rcpt
rcpt_at(struct slice encoded)
{
	struct rd rd = rd_of(encoded);
	struct envelope_rcpt r;

	ASSERT(envelope_rcpt_get(&rd, &r)); /* it was decoded when it came */
	return r;
}

static bool
same(const struct envelope_rcpt *a, const struct envelope_rcpt *b)
{
	return slice_eq_nocase(a->address, b->address) &&
	       a->notify == b->notify && slice_eq(a->orcpt, b->orcpt) &&
	       slice_eq(a->original, b->original);
}

/* Of all that same() compares: one address with a thousand ORCPTs has a
 * thousand places to begin at. */
static uint64_t
hash_of(const struct envelope_rcpt *r)
{
	uint64_t h = hash_bytes_nocase(r->address.data, r->address.len);

	h = hash_u64(h ^ r->notify) ^ hash_bytes(r->orcpt.data, r->orcpt.len);
	return hash_u64(h) ^ hash_bytes(r->original.data, r->original.len);
}

/* Where r is, or would be. */
static uint32_t *
place_of(struct slice kept, const struct envelope_rcpt *r, uint32_t mask)
{
	uint32_t i = (uint32_t)hash_of(r);
	struct envelope_rcpt other;

	for (i &= mask; places[i] != 0; i = (i + 1) & mask) {
		other = rcpt_at(slice_sub(kept, places[i] - 1, kept.len));
		if (same(&other, r))
			break;
	}
	return &places[i];
}

uint32_t
duplicates_drop(struct buf *rcpts, uint32_t count, uint32_t limit,
    bool *full_out)
{
	struct slice all = buf_data(rcpts);
	char *at = rcpts->data + rcpts->first;
	uint32_t size = 4, remembered = 0, dropped = 0;
	size_t kept = 0, next;
	struct rd rd = rd_of(all);

	_Static_assert(PLACES_MAX > LIMIT_MAX * 3 / 2, "a search ends");
	*full_out = false;
	if (count < 2 || limit == 0)
		return 0;
	ASSERT(limit <= LIMIT_MAX);
	if (limit > count)
		limit = count;
	while (size < limit + limit / 2 + 1)
		size *= 2;
	memset(places, 0, size * sizeof(places[0]));
	for (size_t from = 0; from < all.len; from = next) {
		struct envelope_rcpt r;
		uint32_t *place;

		ASSERT(envelope_rcpt_get(&rd, &r));
		next = all.len - rd.left;
		place = place_of(slice_of(at, kept), &r, size - 1);
		if (*place != 0) {
			dropped++;
			continue;
		}
		if (remembered < limit) {
			*place = (uint32_t)kept + 1;
			remembered++;
		} else {
			*full_out = true;
		}
		if (kept < from)
			memmove(at + kept, at + from, next - from);
		kept += next - from;
	}
	buf_drop_end(rcpts, all.len - kept);
	return dropped;
}
