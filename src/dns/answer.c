#include "dns/answer.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

enum {
	HEADER_BYTES = 12,
	CLASS_IN = 1,
	POINTER = 0xc0,
	LABELS_MAX = 128, /* and as many jumps: a name has no more labels */
};

/* A message with a place in it; wire.h is little-endian, DNS is not. */
struct packet {
	const uint8_t *data;
	size_t len, at;
	bool bad;
};

static uint16_t
get_u16(struct packet *p)
{
	uint16_t v;

	if (p->bad || p->len - p->at < 2) {
		p->bad = true;
		return 0;
	}
	v = (uint16_t)(p->data[p->at] << 8 | p->data[p->at + 1]);
	p->at += 2;
	return v;
}

static void
skip(struct packet *p, size_t n)
{
	if (p->bad || p->len - p->at < n)
		p->bad = true;
	else
		p->at += n;
}

/* Letters of a host name, and what people use besides them. */
static bool
is_host_octet(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '/';
}

/* One label to the text.  False: it does not fit. */
static bool
put_label(char *buf, size_t *len, const uint8_t *label, unsigned count,
    bool *host)
{
	if (*len + count + 2 > DNS_NAME_BYTES)
		return false;
	if (*len > 0)
		buf[(*len)++] = '.';
	for (unsigned i = 0; i < count; i++) {
		*host &= is_host_octet(label[i]);
		buf[(*len)++] = (char)label[i];
	}
	return true;
}

/*
 * The name at p->at, which moves behind it; host says whether it could be one
 * of a host.  A pointer leads only backwards, so that a walk ends.
 */
static void
get_name(struct packet *p, char buf[static DNS_NAME_BYTES], bool *host)
{
	size_t at = p->at, len = 0, least = p->at;
	bool jumped = false;

	*host = true;
	buf[0] = '\0';
	for (unsigned i = 0; i < LABELS_MAX && !p->bad; i++) {
		unsigned n = at < p->len ? p->data[at] : POINTER - 1;

		if (n == 0) {
			buf[len] = '\0';
			if (!jumped)
				p->at = at + 1;
			return;
		}
		if ((n & POINTER) == POINTER && p->len - at >= 2) {
			size_t to = (size_t)(n & ~(unsigned)POINTER) << 8 |
				    p->data[at + 1];

			if (!jumped)
				p->at = at + 2;
			jumped = true;
			if (to >= least)
				break;
			at = least = to;
			continue;
		}
		if ((n & POINTER) != 0 || p->len - at - 1 < n ||
		    !put_label(buf, &len, p->data + at + 1, n, host))
			break;
		at += n + 1;
	}
	p->bad = true;
}

/* A record's head, up to its data. */
struct head {
	char owner[DNS_NAME_BYTES];
	uint16_t type, class, length;
};

static void
get_head(struct packet *p, struct head *h)
{
	bool host;

	get_name(p, h->owner, &host);
	h->type = get_u16(p);
	h->class = get_u16(p);
	skip(p, 4); /* time to live: libunbound keeps it */
	h->length = get_u16(p);
	if (!p->bad && p->len - p->at < h->length)
		p->bad = true;
}

static bool
same_name(const char *a, const char *b)
{
	struct slice x = slice_str(a), y = slice_str(b);

	if (x.len > 0 && x.data[x.len - 1] == '.')
		x.len--;
	if (y.len > 0 && y.data[y.len - 1] == '.')
		y.len--;
	return slice_eq_nocase(x, y);
}

/* The data of a record; false: not usable, but not damaged either. */
static bool
get_record(struct packet *p, const struct head *h, struct dns_record *r)
{
	bool host = true;

	memset(r, 0, sizeof(*r));
	switch (h->type) {
	case DNS_TYPE_A:
	case DNS_TYPE_AAAA: {
		size_t n = h->type == DNS_TYPE_A ? 4 : 16;

		if (h->length != n)
			return false;
		memcpy(r->octets, p->data + p->at, n);
		return true;
	}
	case DNS_TYPE_MX:
		r->preference = get_u16(p);
		get_name(p, r->name, &host);
		return host && !p->bad;
	default: get_name(p, r->name, &host); return host && !p->bad;
	}
}

/* Keep a record; MX stay sorted, and the worst goes when there are more. */
static void
keep(struct dns_answer *a, enum dns_type type, const struct dns_record *r)
{
	unsigned max = type == DNS_TYPE_MX ? DNS_MX_MAX : DNS_ADDRESSES_MAX;
	unsigned at = a->count;

	if (type == DNS_TYPE_MX)
		while (at > 0 && a->records[at - 1].preference > r->preference)
			at--;
	if (a->count == max)
		a->more = true;
	else
		a->count++;
	if (at >= max)
		return;
	memmove(&a->records[at + 1], &a->records[at],
	    (a->count - at - 1) * sizeof(*r));
	a->records[at] = *r;
}

/* The records of name; true with its alias in name if that is all there is. */
static bool
scan(struct packet p, unsigned count, char name[static DNS_NAME_BYTES],
    enum dns_type type, struct dns_answer *out, bool *bad)
{
	char alias[DNS_NAME_BYTES];
	bool has_alias = false;

	for (unsigned i = 0; i < count && !p.bad; i++) {
		struct dns_record r;
		struct head h;
		size_t end;

		get_head(&p, &h);
		end = p.at + h.length;
		if (!p.bad && h.class == CLASS_IN && same_name(h.owner, name)) {
			if (h.type == type && get_record(&p, &h, &r))
				keep(out, type, &r);
			else if (h.type == DNS_TYPE_CNAME && !has_alias)
				has_alias = get_record(&p, &h, &r) &&
					    slice_copy(slice_str(r.name), alias,
						sizeof(alias));
		}
		p.at = end;
	}
	*bad = p.bad;
	if (p.bad || out->count > 0 || !has_alias)
		return false;
	memcpy(name, alias, sizeof(alias));
	return true;
}

bool
dns_answer_parse(struct slice packet, const char *name, enum dns_type type,
    struct dns_answer *out)
{
	struct packet p = { (const uint8_t *)packet.data, packet.len, 0,
		false };
	char current[DNS_NAME_BYTES], question[DNS_NAME_BYTES];
	unsigned questions, count;
	bool host, bad = false;

	memset(out, 0, offsetof(struct dns_answer, records));
	if (packet.len < HEADER_BYTES ||
	    !slice_copy(slice_str(name), current, sizeof(current)))
		return false;
	out->rcode = p.data[3] & 15;
	p.at = 4;
	questions = get_u16(&p);
	count = get_u16(&p);
	p.at = HEADER_BYTES;
	if (questions > 1)
		return false;
	if (questions == 1) {
		get_name(&p, question, &host);
		skip(&p, 4);
	}
	if (p.bad)
		return false;
	if (count > DNS_SCAN_MAX)
		count = DNS_SCAN_MAX;
	for (int i = 0; i < DNS_ALIASES_MAX; i++)
		if (!scan(p, count, current, type, out, &bad))
			break;
	return !bad;
}

void
dns_reverse_name(const uint8_t *o, unsigned count,
    char buf[static DNS_NAME_BYTES])
{
	size_t len = 0;

	ASSERT(count == 4 || count == 16);
	if (count == 4) {
		snprintf(buf, DNS_NAME_BYTES, "%u.%u.%u.%u.in-addr.arpa", o[3],
		    o[2], o[1], o[0]);
		return;
	}
	for (int i = 15; i >= 0; i--)
		len += (size_t)snprintf(buf + len, DNS_NAME_BYTES - len,
		    "%x.%x.", o[i] & 15, o[i] >> 4);
	snprintf(buf + len, DNS_NAME_BYTES - len, "ip6.arpa");
}
