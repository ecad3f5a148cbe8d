/*
 * The reader of DNS messages: good ones, damaged ones, bombs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/hash.h"
#include "dns/answer.h"

#define BYTES(s)                 \
	{                        \
		s, sizeof(s) - 1 \
	}
/* Head: a question, so many answers; then "y.test" of type MX. */
#define HEAD(answers) \
	"\0\1\x81\x80\0\1\0" answers "\0\0\0\0\1y\4test\0\0\x0f\0\1"
/* A record's head: the question's name, by a pointer. */
#define RR(type, length) "\xc0\x0c\0" type "\0\1\0\0\0\x3c\0" length

static const struct {
	const char *why;
	struct slice packet;
	enum dns_type type;
	bool ok;
	const char *found; /* "PREFERENCE NAME|..." */
} rows[] = {
	{ "no answer", BYTES(HEAD("\0")), DNS_TYPE_MX, true, "" },
	{ "one MX", BYTES(HEAD("\1") RR("\x0f", "\6") "\0\x0a\1m\xc0\x0c"),
	    DNS_TYPE_MX, true, "10 m.y.test|" },
	{ "null MX", BYTES(HEAD("\1") RR("\x0f", "\3") "\0\0\0"), DNS_TYPE_MX,
	    true, "0 |" },
	{ "a record longer than its length",
	    BYTES(HEAD("\3") RR("\x0f", "\4") "\0\x1e\1a\0" RR("\x0f",
		"\5") "\0\x0a\1b\0" RR("\x0f", "\5") "\0\x14\1c\0"),
	    DNS_TYPE_MX, false, NULL },
	{ "several, sorted by preference",
	    BYTES(HEAD("\3") RR("\x0f", "\5") "\0\x1e\1a\0" RR("\x0f",
		"\5") "\0\x0a\1b\0" RR("\x0f", "\5") "\0\x14\1c\0"),
	    DNS_TYPE_MX, true, "10 b|20 c|30 a|" },
	{ "through an alias",
	    BYTES(HEAD("\2")
		    RR("\5", "\3") "\1z\0"
				   "\1z\0\0\x0f\0\1\0\0\0\x3c\0\5\0\1\1m\0"),
	    DNS_TYPE_MX, true, "1 m|" },
	{ "an alias of itself", BYTES(HEAD("\1") RR("\5", "\2") "\xc0\x0c"),
	    DNS_TYPE_MX, true, "" },
	{ "a record of another name is not ours",
	    BYTES(HEAD("\1") "\1z\0\0\x0f\0\1\0\0\0\x3c\0\5\0\1\1m\0"),
	    DNS_TYPE_MX, true, "" },
	{ "a name that is no host name is left out",
	    BYTES(HEAD("\1") RR("\x0f", "\7") "\0\1\3a\nb\0"), DNS_TYPE_MX,
	    true, "" },
	{ "a pointer to itself",
	    BYTES(HEAD("\1") RR("\x0f", "\4") "\0\1\xc0\x27"), DNS_TYPE_MX,
	    false, NULL },
	{ "a pointer forwards",
	    BYTES(HEAD("\1") RR("\x0f", "\4") "\0\1\xc0\x40"), DNS_TYPE_MX,
	    false, NULL },
	{ "an A record of five octets is left out",
	    BYTES(HEAD("\1") RR("\1", "\5") "\1\2\3\4\5"), DNS_TYPE_A, true,
	    "" },
	{ "cut in the header", BYTES("\0\1\x81\x80\0\1\0"), DNS_TYPE_MX, false,
	    NULL },
	{ "two questions",
	    BYTES("\0\1\x81\x80\0\2\0\0\0\0\0\0\0\0\1\0\1\0\0\1\0\1"),
	    DNS_TYPE_MX, false, NULL },
};

static void
test_rows(void **state)
{
	static struct dns_answer a;
	char found[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = 0;
		bool ok = dns_answer_parse(rows[i].packet, "Y.test",
		    rows[i].type, &a);

		if (ok != rows[i].ok)
			fail_msg("%s: %d", rows[i].why, ok);
		if (!ok)
			continue;
		found[0] = '\0';
		for (unsigned n = 0; n < a.count; n++)
			len += (size_t)snprintf(found + len,
			    sizeof(found) - len, "%u %s|",
			    a.records[n].preference, a.records[n].name);
		if (strcmp(found, rows[i].found) != 0)
			fail_msg("%s: %s", rows[i].why, found);
	}
}

/* A message of count records of 18 octets: MX of preference count - i. */
static size_t
make_bomb(uint8_t *buf, unsigned count)
{
	static const char head[] = HEAD("\0");
	static const char rr[] = RR("\x0f", "\5");
	size_t len = sizeof(head) - 1;

	memcpy(buf, head, len);
	buf[6] = (uint8_t)(count >> 8);
	buf[7] = (uint8_t)count;
	for (unsigned i = 0; i < count; i++) {
		unsigned preference = count - i;

		memcpy(buf + len, rr, sizeof(rr) - 1);
		len += sizeof(rr) - 1;
		buf[len++] = (uint8_t)(preference >> 8);
		buf[len++] = (uint8_t)preference;
		memcpy(buf + len, "\1m", 3);
		len += 3;
	}
	return len;
}

/* Attack 34: a thousand MX records: the best are kept. */
static void
test_row_34_a_thousand_mx(void **state)
{
	static const unsigned counts[] = { DNS_MX_MAX - 1, DNS_MX_MAX,
		DNS_MX_MAX + 1, 1000 };
	static struct dns_answer a;
	static uint8_t buf[65536];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		size_t len = make_bomb(buf, counts[i]);

		assert_true(dns_answer_parse(slice_of(buf, len), "y.test",
		    DNS_TYPE_MX, &a));
		assert_int_equal(a.count,
		    counts[i] < DNS_MX_MAX ? counts[i] : DNS_MX_MAX);
		assert_int_equal(a.more, counts[i] > DNS_MX_MAX);
		for (unsigned n = 0; n < a.count; n++)
			assert_int_equal(a.records[n].preference, n + 1);
	}
}

/* Whatever is cut off or changed, the reader ends and stays in bounds. */
static void
test_row_34_damaged_messages(void **state)
{
	static struct dns_answer a;
	static uint8_t good[65536], bad[65536];
	size_t len = make_bomb(good, 30);

	(void)state;
	random_seed(7);
	for (size_t cut = 0; cut < len; cut++)
		(void)dns_answer_parse(slice_of(good, cut), "y.test",
		    DNS_TYPE_MX, &a);
	for (int round = 0; round < 20000; round++) {
		memcpy(bad, good, len);
		for (int n = 0; n < 4; n++)
			bad[random_u64() % len] = (uint8_t)random_u64();
		(void)dns_answer_parse(slice_of(bad, len), "y.test",
		    DNS_TYPE_MX, &a);
		assert_true(a.count <= DNS_RECORDS_MAX);
	}
}

static void
test_reverse(void **state)
{
	static const uint8_t v4[4] = { 192, 0, 2, 1 };
	static const uint8_t v6[16] = { 0x20, 1, 0x0d, 0xb8, [15] = 0x1f };
	char buf[DNS_NAME_BYTES];

	(void)state;
	dns_reverse_name(v4, 4, buf);
	assert_string_equal(buf, "1.2.0.192.in-addr.arpa");
	dns_reverse_name(v6, 16, buf);
	assert_string_equal(buf,
	    "f.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2."
	    "ip6.arpa");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_row_34_a_thousand_mx),
		cmocka_unit_test(test_row_34_damaged_messages),
		cmocka_unit_test(test_reverse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
