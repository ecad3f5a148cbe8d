/*
 * domain: names and address literals after the @, RFC 5321 4.1.2, 4.1.3.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "proto/address.h"

enum { LABEL_CHARS_MAX = 63 }; /* RFC 1035 2.3.4 */

static bool
let_dig(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_';
}

/*
 * The label at the front of s up to a dot or the end; its length in bytes,
 * 0 when it is none.  A U-label is counted in characters: its A-label is
 * longer still, so one with more than 63 cannot exist.
 */
static size_t
label(struct slice s, bool allow_utf8)
{
	size_t at = 0, chars = 0;

	while (at < s.len && s.data[at] != '.') {
		unsigned char c = (unsigned char)s.data[at];
		size_t n = 1;

		if (c >= 0x80) {
			n = allow_utf8 ? utf8_char(slice_sub(s, at, s.len)) : 0;
			if (n == 0)
				return 0;
		} else if (!let_dig(c) && c != '-') {
			return 0;
		}
		at += n;
		if (++chars > LABEL_CHARS_MAX)
			return 0;
	}
	if (at == 0 || s.data[0] == '-' || s.data[at - 1] == '-')
		return 0;
	return at;
}

bool
domain_valid(struct slice domain, bool allow_utf8)
{
	if (domain.len == 0 || domain.len > DOMAIN_BYTES_MAX)
		return false;
	for (;;) {
		size_t n = label(domain, allow_utf8);

		if (n == 0)
			return false;
		if (n == domain.len)
			return true;
		domain = slice_sub(domain, n + 1, domain.len);
		if (domain.len == 0) /* a dot at the end */
			return false;
	}
}

bool
address_literal_valid(struct slice literal)
{
	static const struct slice ipv6 = { "IPv6:", 5 };
	struct in_addr in4;
	struct in6_addr in6;
	char text[INET6_ADDRSTRLEN];

	if (literal.len < 2 || literal.data[0] != '[' ||
	    literal.data[literal.len - 1] != ']')
		return false;
	literal = slice_sub(literal, 1, literal.len - 1);
	if (slice_starts_nocase(literal, ipv6))
		return slice_copy(slice_sub(literal, 5, literal.len), text,
			   sizeof(text)) &&
		       inet_pton(AF_INET6, text, &in6) == 1;
	return slice_copy(literal, text, sizeof(text)) &&
	       inet_pton(AF_INET, text, &in4) == 1;
}
