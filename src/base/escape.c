/*
 * escape: foreign text made printable, for logs and for JSON.
 */
#include "base/slice.h"

static const char hex[] = "0123456789abcdef";

/* "\xNN" at at; its length. */
static size_t
put_byte(char *at, unsigned char c)
{
	at[0] = '\\';
	at[1] = 'x';
	at[2] = hex[c >> 4];
	at[3] = hex[c & 15];
	return 4;
}

size_t
slice_escape(struct slice *s, char *buf, size_t size)
{
	size_t len = 0;

	while (s->len > 0) {
		unsigned char c = (unsigned char)s->data[0];
		bool plain = c >= 0x20 && c < 0x7f;

		if (size - len < (plain ? 1 : 4))
			break;
		if (plain)
			buf[len++] = (char)c;
		else
			len += put_byte(buf + len, c);
		s->data++;
		s->len--;
	}
	return len;
}

/*
 * Decode one UTF-8 sequence (RFC 3629: shortest form, no surrogates, at most
 * U+10FFFF).  Its length, or 0 when the bytes are not UTF-8.
 */
static size_t
utf8_decode(const char *data, size_t len, uint32_t *point_out)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char c = (unsigned char)data[0];
	uint32_t point;
	size_t need;

	if (c >= 0xc2 && c <= 0xdf) {
		need = 2;
		point = c & 0x1fu;
	} else if (c >= 0xe0 && c <= 0xef) {
		need = 3;
		point = c & 0x0fu;
	} else if (c >= 0xf0 && c <= 0xf4) {
		need = 4;
		point = c & 0x07u;
	} else {
		return 0;
	}
	if (need > len)
		return 0;
	for (size_t i = 1; i < need; i++) {
		c = (unsigned char)data[i];
		if ((c & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (c & 0x3fu);
	}
	if (point < least[need] || point > 0x10ffff ||
	    (point >= 0xd800 && point <= 0xdfff))
		return 0;
	*point_out = point;
	return need;
}

/* "\uNNNN" at at; its length. */
static size_t
put_unit(char *at, uint32_t unit)
{
	at[0] = '\\';
	at[1] = 'u';
	for (int i = 0; i < 4; i++)
		at[2 + i] = hex[unit >> (12 - 4 * i) & 15];
	return 6;
}

/*
 * One character of s as JSON text into piece (at most 12 bytes); how many
 * bytes of s it took goes to used_out.
 */
static size_t
json_piece(const char *data, size_t left, char piece[static 12],
    size_t *used_out)
{
	unsigned char c = (unsigned char)data[0];
	uint32_t point;
	size_t used;

	*used_out = 1;
	if (c == '"' || c == '\\') {
		piece[0] = '\\';
		piece[1] = (char)c;
		return 2;
	}
	if (c >= 0x20 && c < 0x7f) {
		piece[0] = (char)c;
		return 1;
	}
	if (c < 0x80)
		return put_unit(piece, c);
	used = utf8_decode(data, left, &point);
	if (used == 0) {
		piece[0] = '\\';
		return 1 + put_byte(piece + 1, c);
	}
	*used_out = used;
	if (point < 0x10000)
		return put_unit(piece, point);
	point -= 0x10000;
	put_unit(piece, 0xd800 + (point >> 10));
	put_unit(piece + 6, 0xdc00 + (point & 0x3ff));
	return 12;
}

size_t
slice_json(struct slice *s, char *buf, size_t size)
{
	char piece[12];
	size_t len = 0;

	while (s->len > 0) {
		size_t used;
		size_t n = json_piece(s->data, s->len, piece, &used);

		if (size - len < n)
			break;
		memcpy(buf + len, piece, n);
		len += n;
		s->data += used;
		s->len -= used;
	}
	return len;
}
