/*
 * received: RFC 5321 4.4.
 */
#include "proto/received.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"

enum { INFO_BYTES_MAX = 64 };

struct text {
	char *buf;
	size_t len;
};

struct slice
received_protocol(uint8_t origin, bool esmtp, bool utf8)
{
	switch (origin) {
	case ORIGIN_LOCAL: return SLICE_LIT("local");
	case ORIGIN_LMTP:
		return utf8 ? SLICE_LIT("UTF8LMTP") : SLICE_LIT("LMTP");
	default: break;
	}
	if (utf8)
		return SLICE_LIT("UTF8SMTP");
	return esmtp ? SLICE_LIT("ESMTP") : SLICE_LIT("SMTP");
}

static void
put(struct text *t, struct slice s)
{
	ASSERT(s.len <= RECEIVED_BYTES_MAX - t->len);
	memcpy(t->buf + t->len, s.data, s.len);
	t->len += s.len;
}

/* A name from outside, where the grammar has a domain or literal. */
static void
put_name(struct text *t, struct slice s)
{
	for (size_t i = 0; i < s.len && i < HOST_BYTES_MAX; i++) {
		char c = s.data[i];
		bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c >= '0' && c <= '9') ||
			    (c != '\0' && strchr(".-_:[]", c) != NULL);

		put(t, good ? slice_of(&c, 1) : SLICE_LIT("?"));
	}
}

static void
put_client(struct text *t, const struct received *r)
{
	bool v6 = slice_find(r->client_address, ':') < r->client_address.len;

	put(t, SLICE_LIT("Received: from "));
	if (r->helo.len > 0)
		put_name(t, r->helo);
	else
		put(t, SLICE_LIT("unknown"));
	put(t, SLICE_LIT(" ("));
	if (r->client_info.len > 0) {
		put_name(t, slice_sub(r->client_info, 0, INFO_BYTES_MAX));
		put(t, SLICE_LIT("@"));
	}
	put_name(t, r->client_name);
	put(t, v6 ? SLICE_LIT(" [IPv6:") : SLICE_LIT(" ["));
	put_name(t, r->client_address);
	put(t, SLICE_LIT("])\r\n\tby "));
	put_name(t, r->hostname);
	put(t, SLICE_LIT(" (Weir) with "));
	put(t, r->protocol);
}

static void
put_local(struct text *t, const struct received *r)
{
	char uid[32];

	put(t, SLICE_LIT("Received: by "));
	put_name(t, r->hostname);
	if (r->origin == ORIGIN_REPORT) {
		put(t, SLICE_LIT(" (Weir)"));
		return;
	}
	snprintf(uid, sizeof(uid), " (Weir, from userid %" PRIu32 ")", r->uid);
	put(t, slice_str(uid));
}

size_t
received_put(const struct received *r, char buf[static RECEIVED_BYTES_MAX])
{
	struct text t = { .buf = buf };
	char id[32], date[TIME_RFC5322_BYTES];
	bool local = r->origin == ORIGIN_LOCAL || r->origin == ORIGIN_REPORT;

	if (local)
		put_local(&t, r);
	else
		put_client(&t, r);
	snprintf(id, sizeof(id), " id %" PRIu64, r->id);
	if (local)
		put(&t, SLICE_LIT("\r\n\t"));
	put(&t, slice_str(local ? id + 1 : id));
	if (r->rcpt.len > 0 && r->rcpt.len <= ADDRESS_BYTES_MAX) {
		put(&t, SLICE_LIT("\r\n\tfor <"));
		put(&t, r->rcpt);
		put(&t, SLICE_LIT(">"));
	}
	time_rfc5322(r->when, date);
	put(&t, SLICE_LIT("; "));
	put(&t, slice_str(date));
	put(&t, SLICE_LIT("\r\n"));
	return t.len;
}
