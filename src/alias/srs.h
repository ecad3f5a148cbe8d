/*
 * alias/srs: the Sender Rewriting Scheme, so that what we forward passes SPF
 * and its bounces come back through us.
 *
 *   joe@a.example forwarded by b.example:
 *     SRS0=HASH=TT=a.example=joe@b.example
 *   that forwarded by c.example:
 *     SRS1=HASH=b.example==HASH=TT=a.example=joe@c.example
 *
 * HASH is HMAC-SHA-1 over the rest in lower case, in base64, cut; TT is the
 * day, modulo 1024, in base32.  The form is that of libsrs2 and PostSRSd, so
 * that secrets can be taken over and hosts of both kinds can share them.  Only
 * addresses with a good hash are turned back: we are no relay for invented
 * ones.  Addresses here are unquoted text; a caller with a canonical address
 * takes its parts apart first.
 */
#pragma once

#include <stdint.h>

#include "alias/out.h"
#include "base/err.h"
#include "base/slice.h"

enum {
	SRS_SECRET_COUNT_MAX = 8,
	SRS_SECRET_BYTES_MAX = 256,
	SRS_HASH_CHARS_MIN = 4,
	SRS_HASH_CHARS_MAX = 27, /* all of SHA-1 */
	SRS_HASH_CHARS_DEFAULT = 4,
	SRS_DAYS_DEFAULT = 21,
	SRS_DAYS_MAX = 1023,
};

struct srs {
	struct slice domain; /* srs_domain */
	/* The first makes hashes, all verify them. */
	struct slice secrets[SRS_SECRET_COUNT_MAX];
	size_t secret_count;
	unsigned hash_chars; /* made, and the least that is taken */
	unsigned days;	     /* how long a bounce may take */
};

/* The usual hash and time; the first SRS_SECRET_COUNT_MAX secrets, borrowed. */
void srs_init(struct srs *srs, struct slice domain, const struct slice *secrets,
    size_t count);

/* Days of wall time since 1970, for the functions below. */
uint32_t srs_day(int64_t wall_ms);

/*
 * srs_forward(srs, local, domain, day, out):
 * The sender for a forwarded message.  A sender of srs->domain stays as it
 * is.  ERR_TOOBIG when it does not fit into out; ERR_SYNTAX for an empty
 * local part or domain (the null sender stays; do not ask); ERR_CONFIG
 * without secret.
 */
MUST_CHECK enum err srs_forward(const struct srs *srs, struct slice local,
    struct slice domain, uint32_t day, struct out *out);

/* Does the local part look as if we had made it?  SRS0= or SRS1=, also with
 * + or - and in any case. */
bool srs_is_ours(struct slice local);

/*
 * srs_reverse(srs, local, day, out):
 * The address that a local part at srs->domain stands for.  ERR_DENIED: its
 * hash is of no secret of ours; ERR_TIMEOUT: it is too old; ERR_SYNTAX: it
 * is malformed.  These three are for good: refuse the recipient.  ERR_TOOBIG,
 * ERR_CONFIG as above.
 */
MUST_CHECK enum err srs_reverse(const struct srs *srs, struct slice local,
    uint32_t day, struct out *out);
