/*
 * head: where the header ends, in pieces; what goes and what is added.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "sendmail/head.h"

static const struct {
	const char *why, *message;
	size_t end; /* of the header */
} ends[] = {
	{ "fields and body", "A: b\r\nC: d\r\n\r\nbody\r\n", 12 },
	{ "no body", "A: b\r\n", 6 },
	{ "nothing at all", "", 0 },
	{ "an empty line first", "\r\nA: b\r\n", 0 },
	{ "text without header", "Hello Joe,\r\nhow are you\r\n", 0 },
	{ "text after a header without empty line", "A: b\r\nhello\r\n", 6 },
	{ "folded field", "A: b\r\n c\r\n\td\r\n\r\nx", 14 },
	{ "a blank line first is no continuation", " A: b\r\n\r\n", 0 },
	{ "a blank before the colon", "A : b\r\n\r\n", 7 },
	{ "a separator of an mbox", "From joe Sun Nov 22\r\nA: b\r\n\r\nx",
	    27 },
	{ "From: with a blank", "From : joe\r\n\r\n", 12 },
	{ "a separator is only one at the beginning",
	    "A: b\r\nFrom joe Sun\r\n\r\n", 6 },
	{ "a name of one character", "A:b\r\n\r\n", 5 },
	{ "no name", ": b\r\n\r\n", 0 },
	{ "a name with 8-bit characters", "\xc3\xa4: b\r\n\r\n", 0 },
	{ "an address is no field", "http://x.test/\r\n", 16 },
	{ "a beginning of From", "Fro\r\n", 0 },
};

static void
ends_in_pieces(void **state)
{
	struct head_scan s;
	size_t i, a, len;

	(void)state;
	for (i = 0; i < ARRAY_LEN(ends); i++) {
		len = strlen(ends[i].message);
		for (a = 0; a <= len; a++) {
			head_scan_init(&s);
			(void)head_scan_more(&s, slice_of(ends[i].message, a),
			    false);
			if (!head_scan_more(&s, slice_of(ends[i].message, len),
				true) ||
			    s.end != ends[i].end)
				fail_msg("%s: piece %zu: %zu", ends[i].why, a,
				    s.end);
		}
	}
}

/* A text of one endless line is not taken for a field name. */
static void
endless_line(void **state)
{
	char text[HEAD_NAME_BYTES_MAX + 10];
	struct head_scan s;

	(void)state;
	memset(text, 'x', sizeof(text));
	head_scan_init(&s);
	assert_false(
	    head_scan_more(&s, slice_of(text, HEAD_NAME_BYTES_MAX), false));
	assert_true(
	    head_scan_more(&s, slice_of(text, HEAD_NAME_BYTES_MAX + 1), false));
	assert_int_equal(s.end, 0);
}

static struct acct account;

static const struct {
	const char *why, *header, *rewritten, *recipients;
} fields[] = {
	{ "recipients of three fields",
	    "To: a@x, b@x\r\nCc: C <c@x>\r\nBcc: d@x\r\nSubject: s\r\n",
	    "To: a@x, b@x\r\nCc: C <c@x>\r\nSubject: s\r\n",
	    "a@x b@x c@x d@x " },
	{ "several fields of a name", "To: a@x\r\nTO: b@x\r\n",
	    "To: a@x\r\nTO: b@x\r\n", "a@x b@x " },
	{ "folded Bcc goes whole", "bcc: a@x,\r\n b@x\r\nA: b\r\n", "A: b\r\n",
	    "a@x b@x " },
	{ "an empty Bcc", "To: a@x\r\nBcc:\r\n", "To: a@x\r\n", "a@x " },
	{ "Return-Path and Content-Length go",
	    "Return-Path: <z@x>\r\nContent-Length: 5\r\nTo: a@x\r\n",
	    "To: a@x\r\n", "a@x " },
	{ "a separator of an mbox goes",
	    "From joe Sun Nov 22 08:00:00 2026\r\nTo: a@x\r\n", "To: a@x\r\n",
	    "a@x " },
	{ "resent: only its own recipients",
	    "Resent-To: r@x\r\nResent-Bcc: s@x\r\nTo: a@x\r\n",
	    "Resent-To: r@x\r\nTo: a@x\r\n", "r@x s@x " },
	{ "resent without recipients", "Resent-From: r@x\r\nTo: a@x\r\n",
	    "Resent-From: r@x\r\nTo: a@x\r\n", "" },
	{ "a field without end", "To: a@x", "To: a@x\r\n", "a@x " },
	{ "names that only begin alike", "To-Do: a@x\r\nBcc-Note: x\r\n",
	    "To-Do: a@x\r\nBcc-Note: x\r\n", "" },
	{ "a bad list", "To: a b@x\r\n", "To: a b@x\r\n", NULL },
};

static enum err
take(void *arg, struct slice address)
{
	char *text = arg;
	size_t len = strlen(text);

	memcpy(text + len, address.data, address.len);
	memcpy(text + len + address.len, " ", 2);
	return OK;
}

static void
fields_of_a_header(void **state)
{
	struct head_facts facts;
	struct errtext et;
	struct slice header;
	char found[256];
	struct buf out;
	size_t i;
	enum err e;

	(void)state;
	for (i = 0; i < ARRAY_LEN(fields); i++) {
		header = slice_str(fields[i].header);
		buf_init(&out, &account, 256, 4096);
		head_look(header, &facts);
		assert_int_equal(head_rewrite(header, &out), OK);
		if (!slice_eq(buf_data(&out), slice_str(fields[i].rewritten)))
			fail_msg("%s: \"%.*s\"", fields[i].why,
			    SLICE_ARGS(buf_data(&out)));
		found[0] = '\0';
		e = head_recipients(header, &facts, 0, take, found, &et);
		if (fields[i].recipients == NULL
			? e != ERR_SYNTAX || strstr(et.text, "To") == NULL
			: e != OK || strcmp(found, fields[i].recipients) != 0)
			fail_msg("%s: \"%s\"", fields[i].why, found);
		buf_fini(&out);
	}
}

static const struct {
	const char *why, *header, *full_name, *added;
} additions[] = {
	{ "all is missing", "", "Joe Smith",
	    "From: \"Joe Smith\" <joe@x>\r\nDate: D\r\nMessage-ID: <M>\r\n" },
	{ "all is there", "From: x\r\nDate: y\r\nMessage-Id: z\r\n", "", "" },
	{ "no name", "Date: y\r\nmessage-id: z\r\n", "", "From: <joe@x>\r\n" },
	{ "quotes in a name", "Date: y\r\nMessage-ID: z\r\n",
	    "Joe \"J\\\" Smith",
	    "From: \"Joe \\\"J\\\\\\\" Smith\" <joe@x>\r\n" },
	{ "a name that is not ASCII", "Date: y\r\nMessage-ID: z\r\n",
	    "J\xc3\xb6 B", "From: =?utf-8?q?J=C3=B6=20B?= <joe@x>\r\n" },
	{ "resent", "From: a\r\nDate: b\r\nMessage-ID: c\r\nResent-To: d\r\n",
	    "",
	    "Resent-From: <joe@x>\r\nResent-Date: D\r\n"
	    "Resent-Message-ID: <M>\r\n" },
	{ "a line break in a name", "", "Joe\r\nBcc: x", NULL },
};

static void
what_is_missing(void **state)
{
	struct head_added added = { .from = SLICE_LIT("joe@x"),
		.date = SLICE_LIT("D"),
		.message_id = SLICE_LIT("<M>") };
	struct head_facts facts;
	struct buf out;
	size_t i;
	enum err e;

	(void)state;
	for (i = 0; i < ARRAY_LEN(additions); i++) {
		buf_init(&out, &account, 256, 4096);
		head_look(slice_str(additions[i].header), &facts);
		added.full_name = slice_str(additions[i].full_name);
		e = head_add(&facts, &added, &out);
		if (additions[i].added == NULL
			? e != ERR_SYNTAX
			: e != OK || !slice_eq(buf_data(&out),
					 slice_str(additions[i].added)))
			fail_msg("%s: \"%.*s\"", additions[i].why,
			    SLICE_ARGS(buf_data(&out)));
		buf_fini(&out);
	}
}

static void
names_of_any_length(void **state)
{
	struct head_added added = { .from = SLICE_LIT("joe@x"),
		.date = SLICE_LIT("D"),
		.message_id = SLICE_LIT("<M>") };
	struct head_facts facts;
	char name[600];
	struct buf out;
	size_t len;
	int fill;

	(void)state;
	head_look(SLICE_NONE, &facts);
	for (fill = 0; fill < 3; fill++) {
		memset(name, "x\"\xc3"[fill], sizeof(name));
		for (len = 0; len <= sizeof(name); len++) {
			buf_init(&out, &account, 256, 4096);
			added.full_name = slice_of(name, len);
			assert_int_equal(head_add(&facts, &added, &out), OK);
			buf_fini(&out);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_in_pieces),
		cmocka_unit_test(endless_line),
		cmocka_unit_test(fields_of_a_header),
		cmocka_unit_test(what_is_missing),
		cmocka_unit_test(names_of_any_length),
	};

	acct_init(&account, NULL, "test", 0, false, "");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
