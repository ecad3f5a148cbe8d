/*
 * domain_cache: what lookup answered for a whole domain, for a moment.
 *
 * Where no table is involved, the class and the way of an address of another
 * server's follow from its domain alone; lookup says so (domain_ms of
 * RESOLVED).  Who asks keeps such answers here and does not ask again for the
 * next address of the domain.  A place is found by the hash of the domain, and
 * the last comer has it: a peer that makes domains up only makes the others be
 * asked again.
 *
 * A change of the configuration reaches lookup and those who ask at
 * different moments, so nothing is kept longer than lookup said, and all of it
 * is forgotten at a reload.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/time.h"

struct acct;
struct domain_cache;
struct fr_resolved;

enum { DOMAIN_CACHE_COUNT = 128 }; /* domains remembered */

/* About 80 KiB of a, in use as far as there are domains.  ERR_NOMEM. */
MUST_CHECK enum err domain_cache_new(struct acct *a, struct domain_cache **out);
void domain_cache_free(struct domain_cache *c); /* NULL is allowed */
void domain_cache_clear(struct domain_cache *c);

/* The answer for address in *out, which borrows from the cache until the next
 * call and from address.  False: lookup has to be asked. */
MUST_CHECK bool domain_cache_find(struct domain_cache *c, struct mono now,
    struct slice address, struct fr_resolved *out);
/* Keep an answer for address, if it holds for the domain at all. */
void domain_cache_keep(struct domain_cache *c, struct mono now,
    struct slice address, const struct fr_resolved *answer);
