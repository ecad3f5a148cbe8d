/*
 * random: the process's secret key; SipHash-2-4 (Aumasson and Bernstein, 2012)
 * under it, as hash for tables that strangers fill and, over a counter, as
 * source of random bits.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/hash.h"

static struct {
	uint64_t key[2];    /* of hashes */
	uint64_t stream[2]; /* of random_u64 */
	uint64_t counter;
	bool ready;
} secret;

static void
secret_make(void)
{
	size_t got = 0;
	uint64_t bits[4];

	while (got < sizeof(bits)) {
		ssize_t n =
		    getrandom((char *)bits + got, sizeof(bits) - got, 0);

		/* Nothing but a signal can fail this. */
		ASSERT(n > 0 || errno == EINTR);
		if (n > 0)
			got += (size_t)n;
	}
	memcpy(secret.key, bits, sizeof(secret.key));
	memcpy(secret.stream, bits + 2, sizeof(secret.stream));
	secret.ready = true;
}

void
random_init(void)
{
	if (!secret.ready)
		secret_make();
}

void
random_seed(uint64_t seed)
{
	secret.key[0] = seed;
	secret.key[1] = ~seed;
	secret.stream[0] = seed ^ 0x9e3779b97f4a7c15;
	secret.stream[1] = seed;
	secret.counter = 0;
	secret.ready = true;
}

struct sip {
	uint64_t v[4];
};

static uint64_t
rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static void
sip_round(struct sip *s)
{
	s->v[0] += s->v[1];
	s->v[2] += s->v[3];
	s->v[1] = rotate(s->v[1], 13) ^ s->v[0];
	s->v[3] = rotate(s->v[3], 16) ^ s->v[2];
	s->v[0] = rotate(s->v[0], 32);
	s->v[2] += s->v[1];
	s->v[0] += s->v[3];
	s->v[1] = rotate(s->v[1], 17) ^ s->v[2];
	s->v[3] = rotate(s->v[3], 21) ^ s->v[0];
	s->v[2] = rotate(s->v[2], 32);
}

static void
sip_word(struct sip *s, uint64_t word)
{
	s->v[3] ^= word;
	sip_round(s);
	sip_round(s);
	s->v[0] ^= word;
}

static struct sip
sip_start(const uint64_t key[2])
{
	return (struct sip){ { key[0] ^ 0x736f6d6570736575,
	    key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
	    key[1] ^ 0x7465646279746573 } };
}

static uint64_t
sip_end(struct sip *s)
{
	s->v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(s);
	return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

/* ASCII upper case of eight bytes at once to lower.  In each byte below 0x80
 * the top bit tells after the addition whether the byte reached the bound. */
static uint64_t
fold_word(uint64_t w)
{
	const uint64_t ones = 0x0101010101010101;
	uint64_t low = w & (0x7f * ones);
	uint64_t from_a = low + (0x80 - 'A') * ones;
	uint64_t above_z = low + (0x7f - 'Z') * ones;
	uint64_t upper = from_a & ~above_z & ~w & (0x80 * ones);

	return w | upper >> 2;
}

static uint64_t
sip_bytes(const uint64_t key[2], const void *data, size_t len, bool fold)
{
	struct sip s = sip_start(key);
	const char *p = data;
	uint64_t word;
	size_t left;

	for (left = len; left >= 8; p += 8, left -= 8) {
		memcpy(&word, p, 8);
		sip_word(&s, fold ? fold_word(word) : word);
	}
	word = 0;
	if (left > 0)
		memcpy(&word, p, left);
	if (fold)
		word = fold_word(word);
	sip_word(&s, word | (uint64_t)len << 56);
	return sip_end(&s);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
    "words are read as they lie in memory");

uint64_t
hash_bytes(const void *data, size_t len)
{
	random_init();
	return sip_bytes(secret.key, data, len, false);
}

uint64_t
hash_bytes_nocase(const void *data, size_t len)
{
	random_init();
	return sip_bytes(secret.key, data, len, true);
}

uint64_t
hash_keyed(const uint64_t key[2], const void *data, size_t len)
{
	return sip_bytes(key, data, len, false);
}

uint64_t
hash_u64(uint64_t v)
{
	return hash_bytes(&v, sizeof(v));
}

uint64_t
random_u64(void)
{
	random_init();
	secret.counter++;
	return sip_bytes(secret.stream, &secret.counter, 8, false);
}
