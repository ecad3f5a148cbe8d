/*
 * What qmail-smtpd says of a connection: every row whole, and cut at every
 * octet; RELAYCLIENT behind recipients.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/handover.h"

#define M HANDOVER_MAGIC "\0"
#define PACKET(text)                   \
	{                              \
		text, sizeof(text) - 1 \
	}

static const struct {
	const char *why;
	struct slice packet;
	bool good;
	const char *ip, *host, *info, *relay; /* NULL: not set */
	int64_t size;			      /* -1: not set */
} rows[] = {
	{ "nothing is set", PACKET(M), true, .size = -1 },
	{ "all of it",
	    PACKET(M "TCPREMOTEIP=192.0.2.1\0TCPREMOTEHOST=h.example\0"
		     "TCPREMOTEINFO=joe\0RELAYCLIENT=@fixme\0"
		     "DATABYTES=100\0"),
	    true, "192.0.2.1", "h.example", "joe", "@fixme", 100 },
	{ "set, and empty", PACKET(M "RELAYCLIENT=\0"), true, .relay = "",
	    .size = -1 },
	{ "an equals sign in a value", PACKET(M "TCPREMOTEINFO=a=b\0"), true,
	    .info = "a=b", .size = -1 },
	{ "no limit", PACKET(M "DATABYTES=0\0"), true, .size = 0 },
	{ "empty is 0, as in qmail", PACKET(M "DATABYTES=\0"), true,
	    .size = 0 },
	{ "blanks around", PACKET(M "DATABYTES= 7 \0"), true, .size = 7 },
	{ "no number", PACKET(M "DATABYTES=7x\0"), false },
	{ "too large a number", PACKET(M "DATABYTES=9223372036854775808\0"),
	    false },
	{ "empty", PACKET(""), false },
	{ "another magic", PACKET("weir session 2\0"), false },
	{ "no NUL at the end", PACKET(M "DATABYTES=1"), false },
	{ "no equals sign", PACKET(M "DATABYTES\0"), false },
	{ "no name", PACKET(M "=1\0"), false },
	{ "a name that means nothing", PACKET(M "PATH=/\0"), false },
	{ "twice", PACKET(M "DATABYTES=1\0DATABYTES=2\0"), false },
	{ "an empty variable", PACKET(M "\0"), false },
	{ "a blank in addresses", PACKET(M "RELAYCLIENT=@a b\0"), false },
	{ "a line end in addresses", PACKET(M "RELAYCLIENT=@a\n\0"), false },
	{ "no domain", PACKET(M "RELAYCLIENT=@\0"), false },
	{ "no domain name", PACKET(M "RELAYCLIENT=@a<b\0"), false },
};

static void
check(struct slice got, const char *want, const char *why)
{
	if (!slice_eq(got, slice_str(want != NULL ? want : "")))
		fail_msg("%s: \"%.*s\"", why, (int)got.len, got.data);
}

static void
test_rows(void **state)
{
	struct handover h;
	const char *fault;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *why = rows[i].why;
		bool good = handover_get(rows[i].packet, &h, &fault);

		if (good != rows[i].good || (fault == NULL) != good)
			fail_msg("%s: %s", why, good ? "taken" : fault);
		if (!good)
			continue;
		check(h.ip, rows[i].ip, why);
		check(h.host, rows[i].host, why);
		check(h.info, rows[i].info, why);
		check(h.relay, rows[i].relay, why);
		assert_int_equal(h.relays, rows[i].relay != NULL);
		assert_int_equal(h.has_size, rows[i].size >= 0);
		if (h.has_size)
			assert_int_equal(h.size, rows[i].size);
	}
}

/* A packet that lost its end is never taken for more than was whole. */
static void
test_cut(void **state)
{
	struct slice all = rows[1].packet;
	struct handover h;
	const char *fault;

	(void)state;
	for (size_t n = 0; n < all.len; n++) {
		bool ends = n >= sizeof(M) - 1 && all.data[n - 1] == '\0';

		assert_int_equal(handover_get(slice_sub(all, 0, n), &h, &fault),
		    ends);
		assert_true(!ends || !h.has_size);
	}
}

static void
test_bounds(void **state)
{
	char packet[HANDOVER_BYTES_MAX] = M "TCPREMOTEINFO=";
	size_t head = sizeof(M "TCPREMOTEINFO=") - 1;
	struct handover h;
	const char *fault;

	(void)state;
	for (size_t n = HANDOVER_VALUE_BYTES_MAX - 1;
	     n <= HANDOVER_VALUE_BYTES_MAX + 1; n++) {
		memset(packet + head, 'x', n);
		packet[head + n] = '\0';
		assert_int_equal(
		    handover_get(slice_of(packet, head + n + 1), &h, &fault),
		    n <= HANDOVER_VALUE_BYTES_MAX);
	}
}

static void
test_rcpt(void **state)
{
	static const struct {
		const char *address, *relay, *want; /* NULL: none */
	} r[] = {
		{ "a@b.example", "@fixme", "\"a@b.example\"@fixme" },
		{ "joe", "@fixme", "joe@fixme" },
		{ "\"a b\"@c", "@d", "\"a b@c\"@d" },
		{ "a@b", ".uucp", "a@b.uucp" },
		{ "joe", "-x", "joe-x" },
		{ "a@b", "@[192.0.2.1]", "\"a@b\"@[192.0.2.1]" },
		{ "a@b", "@-", NULL },
		{ "a@b", "<", NULL },
	};
	char buf[ADDRESS_BYTES_MAX], local[300];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		bool good = handover_rcpt(slice_str(r[i].address),
		    slice_str(r[i].relay), buf, &len);

		if (good != (r[i].want != NULL))
			fail_msg("%s%s", r[i].address, r[i].relay);
		if (good)
			check(slice_of(buf, len), r[i].want, r[i].address);
	}
	/* The longest local part, which is longer with a domain in it. */
	memset(local, 'x', sizeof(local));
	memcpy(local + 250, "@b", 2);
	assert_true(
	    handover_rcpt(slice_of(local, 252), SLICE_LIT(".c"), buf, &len));
	assert_int_equal(len, 254);
	assert_true(
	    handover_rcpt(slice_of(local, 252), SLICE_LIT("@c"), buf, &len));
	memcpy(local + 254, "@b", 2);
	local[250] = local[251] = 'x';
	assert_false(
	    handover_rcpt(slice_of(local, 256), SLICE_LIT("@c"), buf, &len));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_rcpt),
	};

	return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
