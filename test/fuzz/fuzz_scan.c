/*
 * scan: the body and the header as they come from the wire: the result is the
 * same wherever the pieces are cut, nothing ends a body but CRLF.CRLF, and no
 * bare CR or LF comes out of a body that is normalised.
 */
#include <string.h>

#include "base/assert.h"
#include "fuzz.h"
#include "proto/body_scan.h"
#include "proto/header_scan.h"

enum { SCAN_MAX = 4096, OUT_MAX = 2 * SCAN_MAX + 2 * BODY_SCAN_SLACK_BYTES };

struct result {
	struct body_scan body;
	struct header_scan header;
	size_t used, body_len, header_len;
	char text[OUT_MAX];
};

static const struct header_limits limits = {
	.field_bytes_max = 40,
	.total_bytes_max = 500,
	.count_max = 9,
	.hop_count_max = 3,
};

static void
scan(const char *in, size_t len, size_t cut, unsigned how, struct result *r)
{
	size_t at = 0;

	memset(r, 0, sizeof(*r));
	body_scan_init(&r->body, how & 1,
	    how & 2 ? BODY_NORMALISE : BODY_REFUSE);
	while (at < len && !r->body.ended) {
		size_t piece = at < cut ? cut - at : len - at, out = 0;

		at += body_scan(&r->body, in + at, piece, r->text + r->body_len,
		    &out);
		r->body_len += out;
	}
	r->used = at;
	if (!(how & 1)) /* the end of DATA is in the octets */
		r->body_len +=
		    body_scan_finish(&r->body, r->text + r->body_len);
	ASSERT(r->body_len + 1 < sizeof(r->text));
}

static void
scan_header(struct result *r, size_t cut)
{
	size_t first = cut < r->body_len ? cut : r->body_len, kept, more;

	header_scan_init(&r->header);
	kept = header_scan(&r->header, &limits, r->text, first);
	more = header_scan(&r->header, &limits, r->text + first,
	    r->body_len - first);
	ASSERT(kept <= first && more <= r->body_len - first);
	memmove(r->text + kept, r->text + first, more);
	r->header_len = kept + more;
	r->header_len +=
	    header_scan_finish(&r->header, r->text + r->header_len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct result whole, split;
	size_t cut;

	if (size < 2 || size > SCAN_MAX)
		return 0;
	cut = data[0] * (size - 2) / 255;
	scan((const char *)data + 2, size - 2, 0, data[1], &whole);
	scan((const char *)data + 2, size - 2, cut, data[1], &split);
	ASSERT(whole.used == split.used && whole.body_len == split.body_len);
	ASSERT(memcmp(whole.text, split.text, whole.body_len) == 0);
	ASSERT(whole.body.flags == split.body.flags &&
	       whole.body.ended == split.body.ended);
	if (whole.body.ended)
		ASSERT(memcmp(data + 2 + whole.used - 3, ".\r\n", 3) == 0);
	if (data[1] & 2)
		for (size_t i = 0; i < whole.body_len; i++)
			ASSERT(whole.text[i] != '\n' ||
			       (i > 0 && whole.text[i - 1] == '\r'));
	scan_header(&whole, 0);
	scan_header(&split, cut);
	ASSERT(whole.header.fault == split.header.fault);
	if (whole.header.fault != HEADER_OK)
		return 0;
	ASSERT(whole.header_len == split.header_len);
	ASSERT(memcmp(whole.text, split.text, whole.header_len) == 0);
	ASSERT(slice_eq(header_scan_message_id(&whole.header),
	    header_scan_message_id(&split.header)));
	return 0;
}
