#include "alias/srs.h"

#include <nettle/hmac.h>
#include <string.h>

#include "base/assert.h"

enum { DAY_COUNT = 1024 }; /* two digits of base32 */

static const char BASE32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char BASE64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
srs_init(struct srs *srs, struct slice domain, const struct slice *secrets,
    size_t count)
{
	*srs = (struct srs){
		.domain = domain,
		.hash_chars = SRS_HASH_CHARS_DEFAULT,
		.days = SRS_DAYS_DEFAULT,
	};
	while (srs->secret_count < count &&
	       srs->secret_count < SRS_SECRET_COUNT_MAX) {
		srs->secrets[srs->secret_count] = secrets[srs->secret_count];
		srs->secret_count++;
	}
}

uint32_t
srs_day(int64_t wall_ms)
{
	return wall_ms > 0 ? (uint32_t)(wall_ms / 86400000) : 0;
}

static char
lower_char(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Mail servers on the way may have changed the case. */
static void
update(struct hmac_sha1_ctx *ctx, struct slice s)
{
	uint8_t part[64];

	while (s.len > 0) {
		size_t n = s.len < sizeof(part) ? s.len : sizeof(part);

		for (size_t i = 0; i < n; i++)
			part[i] = (uint8_t)lower_char(s.data[i]);
		hmac_sha1_update(ctx, n, part);
		s = slice_sub(s, n, s.len);
	}
}

/* The hash of the three, all SRS_HASH_CHARS_MAX of it. */
static void
make_hash(struct slice secret, struct slice a, struct slice b, struct slice c,
    char hash[static SRS_HASH_CHARS_MAX])
{
	uint8_t digest[SHA1_DIGEST_SIZE + 1] = { 0 };
	struct hmac_sha1_ctx ctx;

	hmac_sha1_set_key(&ctx, secret.len, (const uint8_t *)secret.data);
	update(&ctx, a);
	update(&ctx, b);
	update(&ctx, c);
	hmac_sha1_digest(&ctx, SHA1_DIGEST_SIZE, digest);
	for (unsigned i = 0; i < SRS_HASH_CHARS_MAX; i++) {
		unsigned bit = i * 6;
		unsigned two =
		    (unsigned)digest[bit / 8] << 8 | digest[bit / 8 + 1];

		hash[i] = BASE64[two >> (10 - bit % 8) & 63];
	}
}

/* In time that depends on the length alone. */
static bool
same_hash(struct slice given, const char *made)
{
	unsigned differ = 0;

	for (size_t i = 0; i < given.len; i++)
		differ |= (unsigned char)lower_char(given.data[i]) ^
			  (unsigned char)lower_char(made[i]);
	return differ == 0;
}

static enum err
check_hash(const struct srs *srs, struct slice given, struct slice a,
    struct slice b, struct slice c)
{
	char made[SRS_HASH_CHARS_MAX];
	bool good = false;

	if (given.len < srs->hash_chars || given.len > sizeof(made))
		return ERR_DENIED;
	for (size_t i = 0; i < srs->secret_count; i++) {
		make_hash(srs->secrets[i], a, b, c, made);
		good |= same_hash(given, made);
	}
	return good ? OK : ERR_DENIED;
}

static enum err
check_conf(const struct srs *srs)
{
	ASSERT(srs->secret_count <= SRS_SECRET_COUNT_MAX);
	ASSERT(srs->hash_chars >= SRS_HASH_CHARS_MIN);
	ASSERT(srs->hash_chars <= SRS_HASH_CHARS_MAX);
	ASSERT(srs->days <= SRS_DAYS_MAX);
	for (size_t i = 0; i < srs->secret_count; i++)
		if (srs->secrets[i].len == 0)
			return ERR_CONFIG;
	return srs->secret_count > 0 && srs->domain.len > 0 ? OK : ERR_CONFIG;
}

/* 0, 1: SRS0, SRS1; -1: neither. */
static int
kind_of(struct slice local)
{
	if (local.len < 5 || !slice_starts_nocase(local, SLICE_LIT("srs")) ||
	    (local.data[4] != '=' && local.data[4] != '+' &&
		local.data[4] != '-'))
		return -1;
	return local.data[3] == '0' ? 0 : local.data[3] == '1' ? 1 : -1;
}

bool
srs_is_ours(struct slice local)
{
	return kind_of(local) >= 0;
}

/* Take what stands before the next "=" from *rest.  False: there is none, or
 * nothing stands there. */
static bool
take(struct slice *rest, struct slice *out)
{
	size_t n = slice_find(*rest, '=');

	if (n == 0 || n == rest->len)
		return false;
	*out = slice_sub(*rest, 0, n);
	*rest = slice_sub(*rest, n + 1, rest->len);
	return true;
}

static void
put_hash(const struct srs *srs, struct slice a, struct slice b, struct slice c,
    struct out *out)
{
	char hash[SRS_HASH_CHARS_MAX];

	make_hash(srs->secrets[0], a, b, c, hash);
	out_put(out, slice_of(hash, srs->hash_chars));
}

/* SRS1=HASH=host=rest@domain; rest begins with its separator. */
static void
put_srs1(const struct srs *srs, struct slice host, struct slice rest,
    struct out *out)
{
	out_put(out, SLICE_LIT("SRS1="));
	put_hash(srs, host, rest, SLICE_NONE, out);
	out_char(out, '=');
	out_put(out, host);
	out_char(out, '=');
	out_put(out, rest);
}

static void
put_srs0(const struct srs *srs, struct slice local, struct slice domain,
    uint32_t day, struct out *out)
{
	char stamp[2];

	day %= DAY_COUNT;
	stamp[0] = BASE32[day >> 5];
	stamp[1] = BASE32[day & 31];
	out_put(out, SLICE_LIT("SRS0="));
	put_hash(srs, slice_of(stamp, 2), domain, local, out);
	out_char(out, '=');
	out_put(out, slice_of(stamp, 2));
	out_char(out, '=');
	out_put(out, domain);
	out_char(out, '=');
	out_put(out, local);
}

enum err
srs_forward(const struct srs *srs, struct slice local, struct slice domain,
    uint32_t day, struct out *out)
{
	struct slice rest, hash, host;
	enum err e = check_conf(srs);

	if (e != OK)
		return e;
	if (local.len == 0 || domain.len == 0)
		return ERR_SYNTAX;
	rest = slice_sub(local, 5, local.len);
	if (slice_eq_nocase(domain, srs->domain)) {
		out_put(out, local);
		out_char(out, '@');
		out_put(out, domain);
		return out->full ? ERR_TOOBIG : OK;
	}
	if (kind_of(local) == 0)
		put_srs1(srs, domain, slice_sub(local, 4, local.len), out);
	else if (kind_of(local) == 1 && take(&rest, &hash) &&
		 take(&rest, &host))
		put_srs1(srs, host, rest, out);
	else
		put_srs0(srs, local, domain, day, out);
	out_char(out, '@');
	out_put(out, srs->domain);
	return out->full ? ERR_TOOBIG : OK;
}

static int
digit32(char c)
{
	const char *at;

	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	at = c != '\0' ? strchr(BASE32, c) : NULL;
	return at != NULL ? (int)(at - BASE32) : -1;
}

static enum err
check_stamp(const struct srs *srs, struct slice stamp, uint32_t day)
{
	int high, low;

	if (stamp.len != 2)
		return ERR_SYNTAX;
	high = digit32(stamp.data[0]);
	low = digit32(stamp.data[1]);
	if (high < 0 || low < 0)
		return ERR_SYNTAX;
	day = (day + DAY_COUNT - ((uint32_t)high << 5 | (uint32_t)low)) %
	      DAY_COUNT;
	return day <= srs->days ? OK : ERR_TIMEOUT;
}

static enum err
reverse0(const struct srs *srs, struct slice rest, uint32_t day,
    struct out *out)
{
	struct slice hash, stamp, domain;
	enum err e;

	if (!take(&rest, &hash) || !take(&rest, &stamp) ||
	    !take(&rest, &domain) || rest.len == 0)
		return ERR_SYNTAX;
	e = check_hash(srs, hash, stamp, domain, rest);
	if (e == OK)
		e = check_stamp(srs, stamp, day);
	if (e != OK)
		return e;
	out_put(out, rest);
	out_char(out, '@');
	out_put(out, domain);
	return OK;
}

/* Back to the first forwarder, who made the SRS0. */
static enum err
reverse1(const struct srs *srs, struct slice rest, struct out *out)
{
	struct slice hash, host;
	enum err e;

	if (!take(&rest, &hash) || !take(&rest, &host) || rest.len == 0)
		return ERR_SYNTAX;
	e = check_hash(srs, hash, host, rest, SLICE_NONE);
	if (e != OK)
		return e;
	out_put(out, SLICE_LIT("SRS0"));
	out_put(out, rest);
	out_char(out, '@');
	out_put(out, host);
	return OK;
}

enum err
srs_reverse(const struct srs *srs, struct slice local, uint32_t day,
    struct out *out)
{
	int kind = kind_of(local);
	struct slice rest = slice_sub(local, 5, local.len);
	enum err e = check_conf(srs);

	if (e != OK)
		return e;
	if (kind < 0)
		return ERR_SYNTAX;
	e = kind == 0 ? reverse0(srs, rest, day, out)
		      : reverse1(srs, rest, out);
	return e == OK && out->full ? ERR_TOOBIG : e;
}
