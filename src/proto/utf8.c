/*
 * utf8: the strict form of RFC 3629.
 */
#include "proto/address.h"

/* Bounds of the second byte by the first; the others are 80..BF. */
static bool
second_ok(unsigned char first, unsigned char second)
{
	switch (first) {
	case 0xe0: return second >= 0xa0 && second <= 0xbf; /* overlong */
	case 0xed: return second >= 0x80 && second <= 0x9f; /* surrogates */
	case 0xf0: return second >= 0x90 && second <= 0xbf; /* overlong */
	case 0xf4: return second >= 0x80 && second <= 0x8f; /* > 10FFFF */
	default: return second >= 0x80 && second <= 0xbf;
	}
}

size_t
utf8_char(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.data;
	size_t need;

	if (s.len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		need = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		need = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		need = 4;
	else
		return 0;
	if (s.len < need || !second_ok(p[0], p[1]))
		return 0;
	for (size_t i = 2; i < need; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return need;
}

bool
utf8_valid(struct slice s)
{
	while (s.len > 0) {
		size_t n = utf8_char(s);

		if (n == 0)
			return false;
		s.data += n;
		s.len -= n;
	}
	return true;
}
