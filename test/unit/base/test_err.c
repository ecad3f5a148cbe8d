#include "../check.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

/* What a client reads must agree with the class: full and temporary errors
 * never answer 5xx, permanent ones always do. */
static void
test_table(void **state)
{
	(void)state;
	for (int i = 1; i < ERR_COUNT; i++) {
		enum err e = (enum err)i;
		char first = err_class(e) == ERR_CLASS_PERM ? '5' : '4';

		assert_int_equal(err_status(e)[0], first);
		assert_int_equal(err_smtp_code(e) / 100, first - '0');
		assert_true(strlen(err_text(e)) > 0);
		assert_true(strlen(err_name(e)) > 0);
	}
	assert_int_equal(err_smtp_code(OK), 250);
	assert_int_equal(err_class(OK), ERR_CLASS_NONE);
	assert_string_equal(err_name(ERR_FULL), "FULL");
	assert_string_equal(err_name(OK), "OK");
}

static void
test_errno(void **state)
{
	static const struct {
		int errnum;
		enum err e;
	} rows[] = {
		{ ENOSPC, ERR_NOSPACE },
		{ EDQUOT, ERR_NOSPACE },
		{ ENOMEM, ERR_NOMEM },
		{ EMFILE, ERR_NOFD },
		{ ENFILE, ERR_NOFD },
		{ EAGAIN, ERR_AGAIN },
		{ EIO, ERR_IO },
		{ ENOENT, ERR_SYS },
		{ 99999, ERR_SYS },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(err_from_errno(rows[i].errnum), rows[i].e);
		/* A local fault is never permanent. */
		assert_int_not_equal(err_class(rows[i].e), ERR_CLASS_PERM);
	}
}

static void
test_text(void **state)
{
	struct errtext et;
	char longer[ERRTEXT_BYTES * 2];

	(void)state;
	assert_int_equal(err_set(&et, ERR_IO, "%s:%d", "file", 7), ERR_IO);
	assert_string_equal(et.text, "file:7");
	assert_int_equal(err_set(NULL, ERR_IO, "x"), ERR_IO);
	assert_int_equal(err_sys(&et, ENOENT, "open %s", "/x"), ERR_SYS);
	assert_string_equal(et.text, "open /x: No such file or directory");
	assert_int_equal(err_sys(NULL, ENOSPC, "x"), ERR_NOSPACE);

	memset(longer, 'a', sizeof(longer));
	for (size_t len = ERRTEXT_BYTES - 2; len <= ERRTEXT_BYTES; len++) {
		err_sys(&et, EIO, "%.*s", (int)len, longer);
		assert_int_equal(strlen(et.text), ERRTEXT_BYTES - 1);
		err_set(&et, ERR_IO, "%.*s", (int)len, longer);
		assert_int_equal(strlen(et.text),
		    len < ERRTEXT_BYTES ? len : ERRTEXT_BYTES - 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
