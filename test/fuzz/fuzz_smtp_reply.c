/*
 * smtp_reply: whole and in two pieces give the same reply, within its limits.
 */
#include <string.h>

#include "base/assert.h"
#include "fuzz.h"
#include "proto/smtp_reply.h"

/* Feed a and then b; returns what was consumed. */
static size_t
feed(struct smtp_reply *r, struct slice a, struct slice b)
{
	size_t used;

	smtp_reply_init(r);
	used = smtp_reply_feed(r, a);
	ASSERT(used <= a.len);
	if (r->state == SMTP_REPLY_MORE) {
		ASSERT(used == a.len);
		used += smtp_reply_feed(r, b);
	}
	return used;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct smtp_reply whole, split;
	char status[SMTP_STATUS_BYTES];
	struct slice rest, line;
	size_t at, used, lines = 0;

	if (size == 0)
		return 0;
	at = data[0] % size;
	data++;
	size--;
	if (at > size)
		at = size;
	used = feed(&whole, slice_of(data, size), SLICE_NONE);
	ASSERT(feed(&split, slice_of(data, at),
		   slice_of(data + at, size - at)) == used ||
	       whole.state == SMTP_REPLY_BAD);
	ASSERT(whole.state == split.state);
	if (whole.state == SMTP_REPLY_BAD)
		return 0;
	ASSERT(whole.code == split.code);
	ASSERT(whole.text_len == split.text_len);
	ASSERT(memcmp(whole.text, split.text, whole.text_len) == 0);
	if (whole.state != SMTP_REPLY_DONE)
		return 0;
	ASSERT(whole.code >= 200 && whole.code <= 599);
	smtp_reply_status(&whole, status);
	ASSERT(strlen(status) >= 5);
	rest = smtp_reply_text(&whole);
	while (smtp_reply_line(&rest, &line))
		lines++;
	ASSERT(lines <= SMTP_REPLY_LINES_MAX);
	return 0;
}
