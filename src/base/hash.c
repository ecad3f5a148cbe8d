#include "base/hash.h"

#include "base/assert.h"
#include "base/mem.h"

enum { BUCKETS_MAX = 1 << 24 };

static uint32_t
round_to_power(uint32_t n)
{
	uint32_t power = 1;

	while (power < n)
		power *= 2;
	return power;
}

enum err
hash_init(struct hash *h, struct acct *a, uint32_t bucket_count)
{
	ASSERT(bucket_count <= BUCKETS_MAX);
	bucket_count = round_to_power(bucket_count);
	*h = (struct hash){ .acct = a };
	h->buckets = mem_alloc_array(a, bucket_count, sizeof(*h->buckets));
	if (h->buckets == NULL)
		return ERR_FULL;
	h->bucket_count = bucket_count;
	return OK;
}

void
hash_fini(struct hash *h)
{
	mem_free(h->acct, h->buckets);
	*h = (struct hash){ .acct = h->acct };
}

static struct hash_node **
bucket(const struct hash *h, uint64_t hash)
{
	return &h->buckets[hash & (h->bucket_count - 1)];
}

void
hash_add(struct hash *h, struct hash_node *n, uint64_t hash)
{
	struct hash_node **b = bucket(h, hash);

	n->hash = hash;
	n->next = *b;
	*b = n;
	h->count++;
}

void
hash_remove(struct hash *h, struct hash_node *n)
{
	struct hash_node **at = bucket(h, n->hash);

	while (*at != NULL && *at != n)
		at = &(*at)->next;
	ASSERT(*at == n);
	*at = n->next;
	n->next = NULL;
	h->count--;
}

static struct hash_node *
same_hash(struct hash_node *n, uint64_t hash)
{
	while (n != NULL && n->hash != hash)
		n = n->next;
	return n;
}

struct hash_node *
hash_first(const struct hash *h, uint64_t hash)
{
	return same_hash(*bucket(h, hash), hash);
}

struct hash_node *
hash_next(const struct hash_node *n)
{
	return same_hash(n->next, n->hash);
}
