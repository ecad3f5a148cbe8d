/*
 * envelope: the encoding that frames carry and the log stores.
 *
 * Fields stand in the order of the struct, strings with their length in
 * front.  What is read may come from a damaged disk or a broken role: every
 * bound is checked, and so is every byte of a string, since addresses and
 * names end up in commands, header fields and log lines.
 */
#include "proto/envelope.h"

#include "base/assert.h"

enum { CLIENT_ADDRESS_BYTES_MAX = 64, PROTOCOL_BYTES_MAX = 32 };

static const uint32_t flags_known = ENVELOPE_8BIT | ENVELOPE_UTF8 |
				    ENVELOPE_DOT_LINE | ENVELOPE_BODY_8BITMIME |
				    ENVELOPE_HEADER_CUT | ENVELOPE_NO_FINAL_EOL;
static const uint8_t notify_known =
    NOTIFY_NEVER | NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY;

_Static_assert(4 + 1 + 1 + 8 + 8 + 4 + 4 + 6 * 2 + ADDRESS_BYTES_MAX +
		       ENVID_BYTES_MAX + 2 * HOST_BYTES_MAX +
		       CLIENT_ADDRESS_BYTES_MAX + PROTOCOL_BYTES_MAX <=
		   ENVELOPE_BYTES_MAX,
    "every legal envelope fits");
_Static_assert(1 + 3 * 2 + 2 * ADDRESS_BYTES_MAX + ORCPT_BYTES_MAX <=
		   ENVELOPE_RCPT_BYTES_MAX,
    "every legal recipient fits");

void
envelope_put(struct wr *w, const struct envelope *e)
{
	ASSERT(e->origin < ORIGIN_COUNT);
	ASSERT(e->ret <= RET_HDRS);
	ASSERT((e->flags & ~flags_known) == 0);

	wr_u32(w, e->flags);
	wr_u8(w, e->origin);
	wr_u8(w, e->ret);
	wr_u64(w, e->arrival_ms);
	wr_u64(w, e->body_bytes);
	wr_u32(w, e->longest_line_bytes);
	wr_u32(w, e->uid);
	wr_str(w, e->sender, ADDRESS_BYTES_MAX);
	wr_str(w, e->envid, ENVID_BYTES_MAX);
	wr_str(w, e->client_name, HOST_BYTES_MAX);
	wr_str(w, e->client_address, CLIENT_ADDRESS_BYTES_MAX);
	wr_str(w, e->helo, HOST_BYTES_MAX);
	wr_str(w, e->protocol, PROTOCOL_BYTES_MAX);
}

void
envelope_rcpt_put(struct wr *w, const struct envelope_rcpt *r)
{
	ASSERT((r->notify & ~notify_known) == 0);

	wr_u8(w, r->notify);
	wr_str(w, r->address, ADDRESS_BYTES_MAX);
	wr_str(w, r->orcpt, ORCPT_BYTES_MAX);
	wr_str(w, r->original, ADDRESS_BYTES_MAX);
}

/* A string without control characters. */
static struct slice
get_text(struct rd *r, size_t max)
{
	struct slice s = rd_str(r, max);

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c < 0x20 || c == 0x7f) {
			r->bad = true;
			return SLICE_NONE;
		}
	}
	return s;
}

bool
envelope_get(struct rd *r, struct envelope *e)
{
	*e = (struct envelope){ 0 };
	e->flags = rd_u32(r);
	e->origin = rd_u8(r);
	e->ret = rd_u8(r);
	e->arrival_ms = rd_u64(r);
	e->body_bytes = rd_u64(r);
	e->longest_line_bytes = rd_u32(r);
	e->uid = rd_u32(r);
	e->sender = get_text(r, ADDRESS_BYTES_MAX);
	e->envid = get_text(r, ENVID_BYTES_MAX);
	e->client_name = get_text(r, HOST_BYTES_MAX);
	e->client_address = get_text(r, CLIENT_ADDRESS_BYTES_MAX);
	e->helo = get_text(r, HOST_BYTES_MAX);
	e->protocol = get_text(r, PROTOCOL_BYTES_MAX);
	if ((e->flags & ~flags_known) != 0 || e->origin >= ORIGIN_COUNT ||
	    e->ret > RET_HDRS)
		r->bad = true;
	return !r->bad;
}

bool
envelope_rcpt_get(struct rd *r, struct envelope_rcpt *rcpt)
{
	*rcpt = (struct envelope_rcpt){ 0 };
	rcpt->notify = rd_u8(r);
	rcpt->address = get_text(r, ADDRESS_BYTES_MAX);
	rcpt->orcpt = get_text(r, ORCPT_BYTES_MAX);
	rcpt->original = get_text(r, ADDRESS_BYTES_MAX);
	if ((rcpt->notify & ~notify_known) != 0 ||
	    ((rcpt->notify & NOTIFY_NEVER) && rcpt->notify != NOTIFY_NEVER) ||
	    rcpt->address.len == 0)
		r->bad = true;
	return !r->bad;
}
