/*
 * qualify: addresses as users write them, made whole: joe, joe@host, joe@host+.
 */
#pragma once

#include <stdbool.h>

#include "alias/out.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "proto/header_addresses.h"

struct qualify {
	struct slice defaulthost;   /* of an address without one */
	struct slice defaultdomain; /* behind a host without a dot */
	struct slice plusdomain;    /* in place of a + at the end of a host */
	int64_t token_max; /* header_address_token_limit; 0: no limit */
};

/* What is put behind an address to make it whole, and how many bytes of its
 * end go before (0, or 1: a +).  out->full when it does not fit. */
size_t qualify_suffix(const struct qualify *q, struct slice address,
    struct out *out);

/*
 * qualify_list(q, body, out, fn, arg):
 * The text of an address list, with each address in it made whole, appended
 * to out; names, comments, groups and line ends stay.  fn gets each whole
 * address.  NULL: out, fn.  ERR_FULL past token_max: out has all of the text,
 * the rest of it as it was.  ERR_SYNTAX when it is no such list, or errors of
 * out and fn: then what was appended is of no use.
 */
MUST_CHECK enum err qualify_list(const struct qualify *q, struct slice body,
    struct buf *out, header_address_fn *fn, void *arg);

/*
 * qualify_raw(address, out):
 * A whole address as qmail's envelopes have it: without quotes.  False: it is
 * none.
 */
bool qualify_raw(struct slice address, struct out *out);
