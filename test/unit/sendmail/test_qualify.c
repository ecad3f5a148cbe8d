/*
 * Lists of addresses made whole: text that stays, addresses that come out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "sendmail/qualify.h"

static const struct qualify q = {
	.defaulthost = { "dh", 2 },
	.defaultdomain = { "dd.example", 10 },
	.plusdomain = { "pd.example", 10 },
};

static const struct {
	const char *why, *in, *out, *addresses; /* out NULL: refused */
} rows[] = {
	{ "whole already", " a@b.c\r\n", " a@b.c\r\n", "a@b.c," },
	{ "no host", " joe", " joe@dh.dd.example", "joe@dh.dd.example," },
	{ "no dot", "joe@h", "joe@h.dd.example", "joe@h.dd.example," },
	{ "a plus sign", "joe@h+", "joe@h.pd.example", "joe@h.pd.example," },
	{ "a plus sign behind a dot", "joe@a.b+", "joe@a.b.pd.example",
	    "joe@a.b.pd.example," },
	{ "a literal", "joe@[192.0.2.1]", "joe@[192.0.2.1]",
	    "joe@[192.0.2.1]," },
	{ "several, with names and comments",
	    " Joe (J <x>) <joe>,\r\n\t\"A, B\" <a@h> , c (c)\r\n",
	    " Joe (J <x>) <joe@dh.dd.example>,\r\n\t\"A, B\" "
	    "<a@h.dd.example> , c@dh.dd.example (c)\r\n",
	    "joe@dh.dd.example,a@h.dd.example,c@dh.dd.example," },
	{ "a group", "friends: a, b@h;",
	    "friends: a@dh.dd.example, "
	    "b@h.dd.example;",
	    "a@dh.dd.example,b@h.dd.example," },
	{ "nobody", "recipient list not shown: ;",
	    "recipient list not shown: ;", "" },
	{ "a quoted local part", "\"a b\"", "\"a b\"@dh.dd.example",
	    "a b@dh.dd.example," },
	{ "an at sign in quotes", "\"a@b\"", "\"a@b\"@dh.dd.example",
	    "a@b@dh.dd.example," },
	{ "blanks around the at sign", "joe @ h", "joe @ h.dd.example",
	    "joe@h.dd.example," },
	{ "the null path", "<>", "<>", "" },
	{ "two words", "a b", NULL, NULL },
	{ "open", "<a", NULL, NULL },
	{ "a control character", "a\001@b.c", NULL, NULL },
};

static enum err
gather(void *arg, struct slice address)
{
	struct out *o = arg;

	if (!qualify_raw(address, o))
		return ERR_SYNTAX;
	out_char(o, ',');
	return OK;
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char addresses[500];
		struct acct a;
		struct buf out;
		struct out o;
		enum err e;

		acct_init(&a, NULL, "test", 0, false, "");
		buf_init(&out, &a, 16, 1000);
		out_init(&o, addresses, sizeof(addresses));
		e = qualify_list(&q, slice_str(rows[i].in), &out, gather, &o);
		if ((e == OK) != (rows[i].out != NULL))
			fail_msg("%s: %s", rows[i].why, err_text(e));
		if (e == OK &&
		    (!slice_eq(buf_data(&out), slice_str(rows[i].out)) ||
			!slice_eq(out_text(&o), slice_str(rows[i].addresses))))
			fail_msg("%s: \"%.*s\" %.*s", rows[i].why,
			    SLICE_ARGS(buf_data(&out)),
			    SLICE_ARGS(out_text(&o)));
		buf_fini(&out);
		acct_fini(&a);
	}
}

/* A host that makes an address longer than it may be. */
static void
test_long(void **state)
{
	char host[ADDRESS_BYTES_MAX];
	struct qualify far = q;

	(void)state;
	memset(host, 'h', sizeof(host));
	for (size_t n = ADDRESS_BYTES_MAX - 14; n <= ADDRESS_BYTES_MAX - 12;
	     n++) {
		far.defaulthost = slice_of(host, n);
		assert_int_equal(
		    qualify_list(&far, SLICE_LIT("j"), NULL, NULL, NULL),
		    n <= ADDRESS_BYTES_MAX - 13 ? OK : ERR_TOOBIG);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests_name("qualify", tests, NULL, NULL);
}
