/*
 * The envelope of qmail-queue: every row whole, byte by byte and at every
 * split.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proto/envelope.h"
#include "sendmail/qmail_queue.h"

#define TEXT(text)                     \
	{                              \
		text, sizeof(text) - 1 \
	}

static const struct {
	const char *why;
	struct slice in;
	enum qmail_queue_code code;
	bool done;
	size_t rcpts;
	struct slice text;
} rows[] = {
	{ "one recipient", TEXT("Fa@b\0Tc@d\0\0"), QQ_OK, true, 1,
	    TEXT("a@b\0c@d\0") },
	{ "null sender", TEXT("F\0Tc\0\0"), QQ_OK, true, 1, TEXT("\0c\0") },
	{ "two, and what follows is not looked at",
	    TEXT("Fa\0Tb\0Tc\0\0garbage"), QQ_OK, true, 2, TEXT("a\0b\0c\0") },
	{ "nobody", TEXT("Fa\0\0"), QQ_OK, true, 0, TEXT("a\0") },
	{ "an empty recipient is an address", TEXT("Fa\0T\0\0"), QQ_OK, true, 1,
	    TEXT("a\0\0") },
	{ "not over", TEXT("Fa\0Tb\0"), QQ_OK, false, 1, TEXT("a\0b\0") },
	{ "in an address", TEXT("Fa\0Tb"), QQ_OK, false, 0, TEXT("a\0b") },
	{ "no sender", TEXT("Ta\0\0"), QQ_ENVELOPE, false, 0, TEXT("") },
	{ "two senders", TEXT("Fa\0Fb\0\0"), QQ_ENVELOPE, false, 0,
	    TEXT("a\0") },
	{ "the end at once", TEXT("\0"), QQ_ENVELOPE, false, 0, TEXT("") },
	{ "another letter", TEXT("Fa\0Xb\0\0"), QQ_ENVELOPE, false, 0,
	    TEXT("a\0") },
};

static void
feed(size_t row, size_t first, size_t step)
{
	struct slice in = rows[row].in;
	struct qmail_envelope e;
	enum qmail_queue_code code = QQ_OK;
	struct acct a;

	acct_init(&a, NULL, "test", 0, false, "");
	qmail_envelope_init(&e, &a);
	for (size_t at = 0, n = first; at < in.len && code == QQ_OK;
	     at += n, n = step)
		code = qmail_envelope_feed(&e, slice_sub(in, at, at + n));
	if (code != rows[row].code || e.done != rows[row].done ||
	    e.rcpt_count != rows[row].rcpts ||
	    !slice_eq(buf_data(&e.text), rows[row].text))
		fail_msg("%s, cut at %zu, then each %zu: %d", rows[row].why,
		    first, step, code);
	buf_fini(&e.text);
	acct_fini(&a);
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		feed(i, rows[i].in.len, 1);
		feed(i, 1, 1);
		for (size_t cut = 1; cut < rows[i].in.len; cut++)
			feed(i, cut, rows[i].in.len);
	}
}

static void
test_long(void **state)
{
	char text[ADDRESS_BYTES_MAX + 3];

	(void)state;
	for (size_t n = ADDRESS_BYTES_MAX - 1; n <= ADDRESS_BYTES_MAX + 1;
	     n++) {
		struct qmail_envelope e;
		struct acct a;

		memset(text, 'x', sizeof(text));
		text[0] = 'F';
		acct_init(&a, NULL, "test", 0, false, "");
		qmail_envelope_init(&e, &a);
		assert_int_equal(qmail_envelope_feed(&e, slice_of(text, n + 1)),
		    n <= ADDRESS_BYTES_MAX ? QQ_OK : QQ_LONG);
		buf_fini(&e.text);
		acct_fini(&a);
	}
}

static void
test_no_memory(void **state)
{
	struct qmail_envelope e;
	struct acct a;

	(void)state;
	acct_init(&a, NULL, "test", 1000, false, "");
	qmail_envelope_init(&e, &a);
	assert_int_equal(qmail_envelope_feed(&e, SLICE_LIT("Fabc")), QQ_NOMEM);
	buf_fini(&e.text);
	acct_fini(&a);
}

static void
test_codes(void **state)
{
	(void)state;
	for (int code = 0; code < 256; code++)
		assert_non_null(qmail_queue_text(code));
	assert_false(qmail_queue_is_temporary(11));
	assert_false(qmail_queue_is_temporary(40));
	assert_true(qmail_queue_is_temporary(10));
	assert_true(qmail_queue_is_temporary(41));
	assert_string_equal(qmail_queue_text(33),
	    "qq permanent problem (#5.3.0)");
	assert_string_equal(qmail_queue_text(99),
	    "qq temporary problem (#4.3.0)");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_codes),
	};

	return cmocka_run_group_tests_name("qmail_queue", tests, NULL, NULL);
}
