/*
 * xtext: RFC 3461 4.
 */
#include "proto/xtext.h"

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
is_xchar(char c)
{
	return c >= '!' && c <= '~' && c != '+' && c != '=';
}

/* One encoded octet at the front of *s; -1: none. */
static int
next_octet(struct slice *s)
{
	int high, low, octet;

	if (is_xchar(*s->data)) {
		octet = *s->data;
		*s = slice_sub(*s, 1, s->len);
		return octet;
	}
	if (*s->data != '+' || s->len < 3)
		return -1;
	high = hex_value(s->data[1]);
	low = hex_value(s->data[2]);
	if (high < 0 || low < 0)
		return -1;
	*s = slice_sub(*s, 3, s->len);
	return high * 16 + low;
}

bool
xtext_valid(struct slice s)
{
	while (s.len > 0)
		if (next_octet(&s) < 0)
			return false;
	return true;
}

bool
xtext_decode(struct slice s, char *buf, size_t size, size_t *len_out)
{
	size_t len = 0;

	while (s.len > 0) {
		int octet = next_octet(&s);

		if (octet < 0 || len == size)
			return false;
		buf[len++] = (char)octet;
	}
	*len_out = len;
	return true;
}

bool
xtext_encode(struct slice s, char *buf, size_t size, size_t *len_out)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t len = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (len + (is_xchar(s.data[i]) ? 1 : 3) > size)
			return false;
		if (is_xchar(s.data[i])) {
			buf[len++] = s.data[i];
		} else {
			buf[len++] = '+';
			buf[len++] = hex[c >> 4];
			buf[len++] = hex[c & 15];
		}
	}
	*len_out = len;
	return true;
}
