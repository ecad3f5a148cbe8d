/*
 * header_addresses: whole and in two pieces give the same addresses; nothing
 * longer than an address comes out.
 */
#include <string.h>

#include "base/assert.h"
#include "fuzz.h"
#include "proto/header_addresses.h"

struct seen {
	size_t count;
	uint64_t sum;
};

static enum err
take(void *arg, struct slice address)
{
	struct seen *s = arg;
	size_t i;

	ASSERT(address.len > 0 && address.len <= ADDRESS_BYTES_MAX);
	for (i = 0; i < address.len; i++)
		s->sum = s->sum * 31 + (unsigned char)address.data[i];
	s->count++;
	return OK;
}

static enum err
parse(struct slice a, struct slice b, struct seen *s)
{
	struct header_addresses h;
	enum err e;

	*s = (struct seen){ 0 };
	header_addresses_init(&h, take, s);
	e = header_addresses_feed(&h, a);
	if (e == OK)
		e = header_addresses_feed(&h, b);
	return e == OK ? header_addresses_end(&h) : e;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole, split;
	size_t at;
	enum err e;

	if (size == 0)
		return 0;
	at = data[0] % size;
	e = parse(slice_of(data + 1, size - 1), SLICE_NONE, &whole);
	ASSERT(e == parse(slice_of(data + 1, at),
			slice_of(data + 1 + at, size - 1 - at), &split));
	ASSERT(whole.count == split.count && whole.sum == split.sum);
	return 0;
}
