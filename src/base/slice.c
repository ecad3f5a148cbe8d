#include "base/slice.h"

static unsigned char
lower(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? (unsigned char)(u | 0x20) : u;
}

static bool
same_nocase(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (lower(a[i]) != lower(b[i]))
			return false;
	return true;
}

bool
slice_eq_nocase(struct slice a, struct slice b)
{
	return a.len == b.len && same_nocase(a.data, b.data, a.len);
}

bool
slice_starts_nocase(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len &&
	       same_nocase(s.data, prefix.data, prefix.len);
}

bool
slice_ends_nocase(struct slice s, struct slice suffix)
{
	if (s.len < suffix.len)
		return false;
	if (suffix.len == 0)
		return true;
	return same_nocase(s.data + (s.len - suffix.len), suffix.data,
	    suffix.len);
}

size_t
slice_find(struct slice s, char c)
{
	const char *p;

	if (s.len == 0)
		return 0;
	p = memchr(s.data, c, s.len);
	return p == NULL ? s.len : (size_t)(p - s.data);
}

size_t
slice_rfind(struct slice s, char c)
{
	const char *p;

	if (s.len == 0)
		return 0;
	p = memrchr(s.data, c, s.len);
	return p == NULL ? s.len : (size_t)(p - s.data);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct slice
slice_trim(struct slice s)
{
	size_t from = 0;
	size_t to = s.len;

	while (from < to && is_blank(s.data[from]))
		from++;
	while (to > from && is_blank(s.data[to - 1]))
		to--;
	return slice_sub(s, from, to);
}

struct slice
slice_sub(struct slice s, size_t from, size_t to)
{
	if (to > s.len)
		to = s.len;
	if (from > to)
		from = to;
	if (s.data == NULL)
		return SLICE_NONE;
	return (struct slice){ s.data + from, to - from };
}

static bool
is_separator(char c, const char *separators)
{
	return c != '\0' && strchr(separators, c) != NULL;
}

bool
slice_word(struct slice *s, const char *separators, struct slice *word_out)
{
	size_t from = 0;
	size_t to;

	while (from < s->len && is_separator(s->data[from], separators))
		from++;
	to = from;
	while (to < s->len && !is_separator(s->data[to], separators))
		to++;
	*word_out = slice_sub(*s, from, to);
	*s = slice_sub(*s, to, s->len);
	return to > from;
}

bool
slice_to_u64(struct slice s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)(unsigned char)s.data[i] - '0';

		if (digit > 9 || v > max / 10)
			return false;
		v *= 10;
		if (digit > max - v)
			return false;
		v += digit;
	}
	*out = v;
	return true;
}

bool
slice_copy(struct slice s, char *buf, size_t size)
{
	if (size == 0)
		return false;
	buf[0] = '\0';
	if (s.len >= size)
		return false;
	if (s.len == 0)
		return true;
	if (memchr(s.data, '\0', s.len) != NULL)
		return false;
	memcpy(buf, s.data, s.len);
	buf[s.len] = '\0';
	return true;
}
