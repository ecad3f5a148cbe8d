/*
 * smtp_client: whatever a server says, in whatever pieces, a session ends in
 * bounds, every recipient has at most one result, and what is sent is whole
 * commands.
 *
 * The input is cut at each octet 0xff: a piece is what arrives in one turn.
 */
#include <string.h>

#include "base/assert.h"
#include "fuzz.h"
#include "proto/smtp_client.h"

enum { RCPTS = 3, MESSAGES = 3 };

struct run {
	struct smtp_client c;
	struct smtp_client_txn txn;
	struct smtp_client_rcpt rcpts[RCPTS];
	unsigned messages, results[RCPTS];
	bool over;
};

static void
next_message(struct run *r)
{
	static const char *const addresses[RCPTS] = { "b@y", "\"c d\"@y",
		"bad>@y" };

	if (r->messages++ == MESSAGES) {
		smtp_client_quit(&r->c);
		return;
	}
	for (unsigned i = 0; i < RCPTS; i++) {
		r->rcpts[i] = (struct smtp_client_rcpt){
			.address = slice_str(addresses[i]),
			.orcpt = SLICE_LIT("rfc822;x@y"),
			.notify = NOTIFY_FAILURE,
		};
		r->results[i] = 0;
	}
	r->txn = (struct smtp_client_txn){ .sender = SLICE_LIT("a@x"),
		.size_bytes = 100,
		.flags = ENVELOPE_8BIT,
		.rcpts = r->rcpts,
		.rcpt_count = RCPTS };
	smtp_client_begin(&r->c, &r->txn);
}

static void
count_results(struct run *r)
{
	for (unsigned i = 0; i < RCPTS; i++)
		if (r->rcpts[i].state == SMTP_RCPT_RESULT)
			ASSERT(++r->results[i] == 1);
}

static void
act(struct run *r, enum smtp_client_step step)
{
	switch (step) {
	case SMTP_STEP_READY: next_message(r); break;
	case SMTP_STEP_RESULT: count_results(r); break;
	case SMTP_STEP_BODY: smtp_client_body_sent(&r->c); break;
	case SMTP_STEP_END:
		for (unsigned i = 0; i < RCPTS; i++)
			ASSERT(r->results[i] == 1);
		next_message(r);
		break;
	default: r->over = true;
	}
}

static void
turn(struct run *r, struct slice in)
{
	char buf[SMTP_CLIENT_COMMAND_BYTES];
	enum smtp_client_step step;
	size_t n;

	while (
	    !r->over && (step = smtp_client_step(&r->c, &in)) != SMTP_STEP_MORE)
		act(r, step);
	if (r->over)
		return;
	ASSERT(in.len == 0);
	while ((n = smtp_client_output(&r->c, buf, sizeof(buf))) > 0)
		ASSERT(n >= 3 && memcmp(buf + n - 2, "\r\n", 2) == 0);
	ASSERT(smtp_client_doing(&r->c) != NULL);
	(void)smtp_client_waits(&r->c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run r;
	struct slice rest = slice_of(data, size);

	if (size == 0)
		return 0;
	memset(&r, 0, sizeof(r));
	smtp_client_init(&r.c, data[0] == 'L', SLICE_LIT("me"));
	rest = slice_sub(rest, 1, rest.len);
	while (rest.len > 0 && !r.over) {
		size_t n = slice_find(rest, '\xff');

		turn(&r, slice_sub(rest, 0, n));
		rest = slice_sub(rest, n + 1, rest.len);
	}
	return 0;
}
