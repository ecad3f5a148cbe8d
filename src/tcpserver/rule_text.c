#include "tcpserver/rule_text.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/assert.h"

static const struct slice words[] = { SLICE_LIT("allow"), SLICE_LIT("deny") };

static bool
starts(struct slice s, struct slice with)
{
	return s.len >= with.len && memcmp(s.data, with.data, with.len) == 0;
}

struct slice
rule_trim(struct slice s)
{
	while (s.len > 0 && strchr(" \t\n", s.data[s.len - 1]) != NULL &&
	       s.data[s.len - 1] != '\0')
		s.len--;
	return s;
}

/* Are these instructions?  Only their first word is looked at. */
static bool
is_instructions(struct slice s)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (starts(s, words[i]) &&
		    (s.len == words[i].len || s.data[words[i].len] == ','))
			return true;
	return false;
}

/* The length of a prefix, in canonical digits, of at most 128. */
static bool
is_prefix_length(struct slice s)
{
	uint64_t n;

	return slice_to_u64(s, 128, &n) && (s.len == 1 || s.data[0] != '0');
}

/* Make the text of an IPv6 address canonical, so that the key is what is
 * looked for; the bits behind the prefix are cleared. */
static enum err
canonical_v6(struct slice text, char *key, size_t size, size_t *len_out)
{
	size_t slash = slice_find(text, '/');
	struct slice tail = slice_sub(text, slash, text.len);
	struct in6_addr a;
	uint64_t bits = 128;
	char address[INET6_ADDRSTRLEN];

	if (!slice_copy(slice_sub(text, 0, slash), address, sizeof(address)) ||
	    inet_pton(AF_INET6, address, &a) != 1)
		return ERR_SYNTAX;
	if (tail.len > 0 && !is_prefix_length(slice_sub(tail, 1, tail.len)))
		return ERR_SYNTAX;
	if (tail.len > 0)
		(void)slice_to_u64(slice_sub(tail, 1, tail.len), 128, &bits);
	for (unsigned i = 0; i < 128; i++)
		if (i >= bits)
			a.s6_addr[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	if (inet_ntop(AF_INET6, &a, address, sizeof(address)) == NULL)
		return ERR_SYNTAX;
	*len_out = (size_t)snprintf(key, size, "%s%.*s", address,
	    bits == 128 ? 0 : (int)tail.len, tail.data);
	return OK;
}

/* Split "ADDRESS:INSTRUCTIONS" where the address may hold colons itself. */
static enum err
split(struct slice line, struct slice *address, struct slice *rest)
{
	size_t at = slice_find(line, ':');
	struct slice tail = slice_sub(line, at + 1, line.len);

	*address = slice_sub(line, 0, at);
	*rest = tail;
	while (at < line.len && !is_instructions(tail)) {
		at += 1 + slice_find(tail, ':');
		tail = slice_sub(line, at + 1, line.len);
	}
	if (at >= line.len)
		return OK; /* what is behind the first colon is wrong */
	*address = slice_sub(line, 0, at);
	*rest = tail;
	return OK;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Find "LOW-HIGH" in an address of numbers and dots. */
static enum err
find_range(struct rule *r)
{
	struct slice a = r->address, low, high;
	size_t dash = slice_find(a, '-'), from = dash, to = dash + 1;
	uint64_t l, h;

	if (dash == a.len || slice_find(a, '=') < a.len ||
	    slice_find(a, '@') < a.len)
		return OK;
	while (from > 0 && a.data[from - 1] != '.')
		from--;
	while (to < a.len && is_digit(a.data[to]))
		to++;
	low = slice_sub(a, from, dash);
	high = slice_sub(a, dash + 1, to);
	if (!slice_to_u64(low, 255, &l) || !slice_to_u64(high, 255, &h) ||
	    l > h || (to < a.len && a.data[to] != '.'))
		return ERR_SYNTAX;
	r->low = (unsigned)l;
	r->high = (unsigned)h;
	r->range_at = from;
	r->range_len = to - from;
	return OK;
}

static enum err
parse_address(struct rule *r, struct slice address)
{
	size_t at = slice_find(address, '@'), len;
	struct slice ip;

	/* info@ in front of an address, not of a name. */
	at = at < address.len ? at + 1 : 0;
	ip = slice_sub(address, at, address.len);
	r->range_len = 0;
	r->address = address;
	if (ip.len > 1 && ip.data[0] == '[' && ip.data[ip.len - 1] == ']')
		ip = slice_sub(ip, 1, ip.len - 1);
	else if (slice_find(ip, ':') == ip.len || ip.data[0] == '=')
		return address.len >= sizeof(r->key) - 8 ? ERR_SYNTAX
							 : find_range(r);
	if (at + INET6_ADDRSTRLEN + 8 > sizeof(r->key))
		return ERR_SYNTAX;
	memcpy(r->key, address.data, at);
	if (canonical_v6(ip, r->key + at, sizeof(r->key) - at, &len) != OK)
		return ERR_SYNTAX;
	r->address = slice_of(r->key, at + len);
	return OK;
}

static void
put(struct rule *r, const char *data, size_t len)
{
	/* What is put is never more than was read of the line. */
	ASSERT(r->data_len + len <= sizeof(r->data));
	memcpy(r->data + r->data_len, data, len);
	r->data_len += len;
}

/* ,VAR="VALUE" from the front of *s. */
static enum err
parse_variable(struct rule *r, struct slice *s)
{
	size_t equals = slice_find(*s, '='), end;
	struct slice value;

	if (s->data[0] != ',' || equals + 1 >= s->len)
		return ERR_SYNTAX;
	value = slice_sub(*s, equals + 2, s->len);
	end = slice_find(value, s->data[equals + 1]);
	if (end == value.len)
		return ERR_SYNTAX;
	put(r, "+", 1);
	put(r, s->data + 1, equals);
	put(r, value.data, end);
	put(r, "", 1);
	*s = slice_sub(value, end + 1, value.len);
	return OK;
}

static enum err
parse_instructions(struct rule *r, struct slice s)
{
	enum err e = OK;

	r->data_len = 0;
	if (starts(s, words[0])) {
		s = slice_sub(s, words[0].len, s.len);
	} else if (starts(s, words[1])) {
		s = slice_sub(s, words[1].len, s.len);
		put(r, "D", 2);
	} else {
		return ERR_SYNTAX;
	}
	while (s.len > 0 && e == OK)
		e = parse_variable(r, &s);
	return e;
}

enum err
rule_parse(struct slice line, struct rule *r, bool *colon_out)
{
	struct slice address, rest;
	enum err e;

	*colon_out = true;
	if (line.len == 0 || line.data[0] == '#')
		return ERR_NOTFOUND;
	*colon_out = slice_find(line, ':') < line.len;
	if (!*colon_out)
		return ERR_NOTFOUND;
	/* A zero would end a variable early, and a long line fit nowhere. */
	if (slice_find(line, '\0') < line.len ||
	    line.len + 2 > RULE_LINE_BYTES_MAX)
		return ERR_SYNTAX;
	e = split(line, &address, &rest);
	if (e == OK)
		e = parse_instructions(r, rest);
	return e == OK ? parse_address(r, address) : e;
}

unsigned
rule_key_count(const struct rule *r)
{
	return r->range_len == 0 ? 1 : r->high - r->low + 1;
}

struct slice
rule_key(struct rule *r, unsigned n)
{
	struct slice a = r->address, tail;
	int len;

	ASSERT(n < rule_key_count(r));
	if (r->range_len == 0)
		return a;
	tail = slice_sub(a, r->range_at + r->range_len, a.len);
	len = snprintf(r->key, sizeof(r->key), "%.*s%u%.*s", (int)r->range_at,
	    a.data, r->low + n, SLICE_ARGS(tail));
	ASSERT(len > 0 && (size_t)len < sizeof(r->key));
	return slice_of(r->key, (size_t)len);
}
