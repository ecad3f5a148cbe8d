/*
 * What weir-local and its workers, who are users, say to each other: what
 * decodes lies in the input, is in its bounds, and encodes to the same octets.
 * And the search for our own Delivered-To in the header of a message, whole
 * and in two pieces.
 * Input: u8 (1: a result, 2: a header, else a request), then the octets.
 */
#include <string.h>

#include "base/assert.h"
#include "fuzz.h"
#include "local/header.h"
#include "local/request.h"

static unsigned char again[64 << 10];

static void
same(struct slice made, struct slice was)
{
	ASSERT(made.len <= was.len);
	ASSERT(memcmp(made.data, was.data, made.len) == 0);
}

static void
try_request(struct slice in)
{
	struct rd r = rd_of(in);
	struct wr w = wr_of(again, sizeof(again));
	struct request q;

	if (!request_get(&r, &q))
		return;
	ASSERT(q.verb < REQUEST_VERBS);
	ASSERT(q.command.len <= COMMAND_BYTES_MAX);
	ASSERT(q.verb != REQUEST_DELIVER || path_is_safe(q.path));
	request_put(&w, &q);
	ASSERT(!w.full);
	same(wr_done(&w), in);
}

static void
try_result(struct slice in)
{
	struct rd r = rd_of(in);
	struct result res;

	while (r.left > 0 && result_get(&r, &res)) {
		ASSERT(res.status < RESULT_STATUS_COUNT);
		ASSERT(res.status != RESULT_ACTION ||
		       (res.action < ACTION_KINDS &&
			   res.text.len <= ACTION_TEXT_BYTES_MAX));
	}
}

static bool
search(struct slice a, struct slice b)
{
	static struct loop_scan s;

	loop_scan_init(&s, SLICE_LIT("u@x.y"));
	(void)loop_scan_feed(&s, a);
	(void)loop_scan_feed(&s, b);
	return loop_scan_end(&s);
}

static void
try_header(struct slice in)
{
	size_t at = in.len > 0 ? (unsigned char)in.data[0] % in.len : 0;

	ASSERT(search(in, SLICE_NONE) ==
	       search(slice_sub(in, 0, at), slice_sub(in, at, in.len)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in;

	if (size == 0)
		return 0;
	in = slice_of(data + 1, size - 1);
	if (data[0] == 1)
		try_result(in);
	else if (data[0] == 2)
		try_header(in);
	else
		try_request(in);
	return 0;
}
