/* domain_cache: see domain_cache.h. */
#include "ipc/domain_cache.h"

#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "ipc/frames.h"

enum {
	DOMAIN_BYTES_MAX = 255,
	TRANSPORT_BYTES_MAX = 32, /* as in RESOLVED */
	NEXTHOP_BYTES_MAX = 300,
};

struct entry {
	struct mono until;
	uint16_t domain_len; /* 0: free */
	uint16_t nexthop_len;
	uint8_t transport_len;
	uint8_t verdict;
	char domain[DOMAIN_BYTES_MAX]; /* in lower case */
	char transport[TRANSPORT_BYTES_MAX];
	char nexthop[NEXTHOP_BYTES_MAX];
};

struct domain_cache {
	struct acct *acct;
	struct entry entries[DOMAIN_CACHE_COUNT];
};

enum err
domain_cache_new(struct acct *a, struct domain_cache **out)
{
	struct domain_cache *c = mem_alloc(a, sizeof(*c));

	if (c == NULL)
		return ERR_NOMEM;
	c->acct = a;
	(void)limits_row(LIMIT_COUNT, "domains remembered", "",
	    sizeof(struct entry), DOMAIN_CACHE_COUNT);
	*out = c;
	return OK;
}

void
domain_cache_free(struct domain_cache *c)
{
	if (c != NULL)
		mem_free(c->acct, c);
}

void
domain_cache_clear(struct domain_cache *c)
{
	for (unsigned i = 0; i < DOMAIN_CACHE_COUNT; i++)
		c->entries[i].domain_len = 0;
}

/* The domain of an address, in lower case; false: none that may be kept. */
static bool
domain_of(struct slice address, char domain[static DOMAIN_BYTES_MAX],
    size_t *len_out)
{
	size_t at = slice_rfind(address, '@');
	struct slice d = slice_sub(address, at + 1, address.len);

	if (at >= address.len || d.len == 0 || d.len > DOMAIN_BYTES_MAX ||
	    d.data[0] == '[')
		return false;
	for (size_t i = 0; i < d.len; i++) {
		char ch = d.data[i];

		domain[i] =
		    ch >= 'A' && ch <= 'Z' ? (char)(ch - 'A' + 'a') : ch;
	}
	*len_out = d.len;
	return true;
}

static struct entry *
place_of(struct domain_cache *c, const char *domain, size_t len)
{
	return &c->entries[hash_bytes(domain, len) % DOMAIN_CACHE_COUNT];
}

bool
domain_cache_find(struct domain_cache *c, struct mono now, struct slice address,
    struct fr_resolved *out)
{
	char domain[DOMAIN_BYTES_MAX];
	const struct entry *e;
	size_t len;

	if (!domain_of(address, domain, &len))
		return false;
	e = place_of(c, domain, len);
	if (e->domain_len != len || memcmp(e->domain, domain, len) != 0 ||
	    mono_sub(e->until, now) <= 0)
		return false;
	*out = (struct fr_resolved){
		.verdict = e->verdict,
		.transport = slice_of(e->transport, e->transport_len),
		.nexthop = slice_of(e->nexthop, e->nexthop_len),
		.address = address,
	};
	return true;
}

void
domain_cache_keep(struct domain_cache *c, struct mono now, struct slice address,
    const struct fr_resolved *answer)
{
	char domain[DOMAIN_BYTES_MAX];
	struct entry *e;
	size_t len;

	/* Another address than was asked is an answer for that one only. */
	if (answer->domain_ms == 0 || answer->verdict == RESOLVE_REFUSE ||
	    answer->mailbox.len > 0 || answer->code != 0 ||
	    !slice_eq(answer->address, address) ||
	    answer->transport.len > TRANSPORT_BYTES_MAX ||
	    answer->nexthop.len > NEXTHOP_BYTES_MAX ||
	    !domain_of(address, domain, &len))
		return;
	e = place_of(c, domain, len);
	e->until = mono_add(now, answer->domain_ms);
	e->verdict = answer->verdict;
	e->domain_len = (uint16_t)len;
	memcpy(e->domain, domain, len);
	e->transport_len = (uint8_t)answer->transport.len;
	memcpy(e->transport, answer->transport.data, answer->transport.len);
	e->nexthop_len = (uint16_t)answer->nexthop.len;
	memcpy(e->nexthop, answer->nexthop.data, answer->nexthop.len);
}
