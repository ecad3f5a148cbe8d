/*
 * text: the words of a report, and foreign text within them.
 */
#include "bounce/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"

void
text_put(struct wr *w, const char *text)
{
	wr_raw(w, slice_str(text));
}

void
text_putf(struct wr *w, const char *fmt, ...)
{
	char buf[1024];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	ASSERT(len >= 0 && (size_t)len < sizeof(buf));
	wr_raw(w, slice_of(buf, (size_t)len));
}

/* A byte of foreign text: as it is, or as \xNN. */
static void
put_byte(struct wr *w, unsigned char c)
{
	if (c >= ' ' && c <= '~')
		wr_u8(w, c);
	else
		text_putf(w, "\\x%02X", c);
}

void
text_put_word(struct wr *w, struct slice s)
{
	size_t start = w->len;

	for (size_t i = 0; i < s.len; i++) {
		if (w->len - start > TEXT_WORD_BYTES_MAX) {
			text_put(w, "\r\n ");
			start = w->len;
		}
		put_byte(w, (unsigned char)s.data[i]);
	}
}

void
text_put_folded(struct wr *w, struct slice s)
{
	enum { SOFT = 72, HARD = 400 };
	size_t column = 30;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c == '\r' || c == '\n' || c == '\t')
			c = ' ';
		if ((c == ' ' && column >= SOFT) || column >= HARD) {
			text_put(w, "\r\n    ");
			column = 4;
			if (c == ' ')
				continue;
		}
		put_byte(w, c);
		column += c >= ' ' && c <= '~' ? 1 : 4;
	}
}

void
text_put_lines(struct wr *w, struct slice s, const char *before, size_t soft)
{
	size_t column = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c == '\n' || (column > soft && c == ' ') || column > 400) {
			text_put(w, "\r\n");
			column = 0;
		}
		if (column == 0 && c != '\n')
			text_put(w, before);
		if (c == '\n' || c == '\r' || (column == 0 && c == ' '))
			continue;
		put_byte(w, c == '\t' ? ' ' : c);
		column += c >= ' ' && c <= '~' ? 1 : 4;
	}
	if (column > 0)
		text_put(w, "\r\n");
}

bool
text_is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.data[i] >= 0x80)
			return false;
	return true;
}

/* One character of UTF-8 that is known to be valid; its length. */
static size_t
decode_utf8(struct slice s, uint32_t *out)
{
	unsigned char c = (unsigned char)s.data[0];
	size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	uint32_t v = len == 1 ? c : c & (0x7fu >> len);

	if (len > s.len)
		len = s.len;
	for (size_t i = 1; i < len; i++)
		v = v << 6 | ((unsigned char)s.data[i] & 0x3f);
	*out = v;
	return len;
}

void
text_put_address(struct wr *w, struct slice address)
{
	size_t start;

	if (text_is_ascii(address)) {
		text_put(w, "rfc822; ");
		text_put_word(w, address);
		return;
	}
	text_put(w, "utf-8; ");
	start = w->len;
	for (size_t i = 0; i < address.len;) {
		uint32_t c;

		if (w->len - start > TEXT_WORD_BYTES_MAX) {
			text_put(w, "\r\n ");
			start = w->len;
		}
		i += decode_utf8(slice_sub(address, i, address.len), &c);
		if (c > ' ' && c <= '~' && c != '\\' && c != '+' && c != '=')
			wr_u8(w, (uint8_t)c);
		else
			text_putf(w, "\\x{%" PRIX32 "}", c);
	}
}
