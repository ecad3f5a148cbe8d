/*
 * stored: what other programs left for us to decode: dropped files, envelopes
 * and recipients, extents, jobs and results.  What decodes encodes to the
 * same octets; and the header of a message that a user submits.
 */
#include <string.h>

#include "base/assert.h"
#include "base/wire.h"
#include "fuzz.h"
#include "ipc/job.h"
#include "proto/drop_file.h"
#include "proto/envelope.h"
#include "proto/xtext.h"
#include "sendmail/head.h"

static unsigned char again[65536];

/* What was read is what would be written. */
static void
same(struct slice in, const struct rd *r, struct wr *w)
{
	struct slice out = wr_done(w);

	ASSERT(!w->full && out.len == in.len - r->left);
	ASSERT(memcmp(out.data, in.data, out.len) == 0);
}

static void
records(unsigned kind, struct slice in)
{
	struct wr w = wr_of(again, sizeof(again));
	struct rd r = rd_of(in);
	struct drop_file d;
	struct envelope e;
	struct envelope_rcpt er;
	struct extent x;
	struct job_rcpt jr;
	struct job_result res;
	struct slice address;
	uint64_t bytes;
	uint8_t notify;

	switch (kind) {
	case 0:
		if (!drop_file_get(&r, &d))
			return;
		drop_file_put(&w, &d);
		break;
	case 1:
		if (!drop_file_rcpt_get(&r, &notify, &address))
			return;
		drop_file_rcpt_put(&w, notify, address);
		break;
	case 2:
		if (!drop_file_trailer_get(&r, &bytes))
			return;
		drop_file_trailer_put(&w, bytes);
		break;
	case 3:
		if (!envelope_get(&r, &e))
			return;
		envelope_put(&w, &e);
		break;
	case 4:
		if (!envelope_rcpt_get(&r, &er))
			return;
		envelope_rcpt_put(&w, &er);
		break;
	case 5:
		if (!extent_get(&r, &x))
			return;
		extent_put(&w, &x);
		break;
	case 6:
		if (!job_rcpt_get(&r, &jr))
			return;
		job_rcpt_put(&w, &jr);
		break;
	default:
		if (!job_result_get(&r, &res))
			return;
		job_result_put(&w, &res);
		break;
	}
	same(in, &r, &w);
}

/* Fields lie within the header, one behind the other. */
static void
head(struct slice in)
{
	struct head_scan s;
	struct head_facts facts;
	struct head_field f;
	struct slice rest;
	const char *at;

	head_scan_init(&s);
	if (!head_scan_more(&s, in, true))
		return;
	ASSERT(s.end <= in.len);
	rest = slice_sub(in, 0, s.end);
	head_look(rest, &facts);
	for (at = rest.data; head_next(&rest, &f);) {
		ASSERT(f.all.data >= at &&
		       f.all.data + f.all.len <= in.data + s.end);
		at = f.all.data + f.all.len;
		ASSERT(f.name.len <= HEAD_NAME_BYTES_MAX);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char plain[512];
	size_t len;

	if (size == 0 || size > 8192)
		return 0;
	if (data[0] % 10 < 8)
		records(data[0] % 10, slice_of(data + 1, size - 1));
	else if (data[0] % 10 == 8)
		head(slice_of(data + 1, size - 1));
	else if (xtext_decode(slice_of(data + 1, size - 1), plain,
		     sizeof(plain), &len))
		ASSERT(len < size && len <= sizeof(plain));
	return 0;
}
