/*
 * Commands, parameters, xtext and the trace field.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/received.h"
#include "proto/smtp_command.h"
#include "proto/xtext.h"

static void
test_verbs(void **state)
{
	static const struct {
		const char *line;
		bool good;
		enum smtp_verb verb;
		const char *arg;
	} rows[] = {
		{ "HELO a", true, SMTP_HELO, "a" },
		{ "ehlo\ta ", true, SMTP_EHLO, "a" },
		{ "  Mail FROM:<>", true, SMTP_MAIL, "FROM:<>" },
		{ "MAILX", true, SMTP_UNKNOWN, "" },
		{ "MAI", true, SMTP_UNKNOWN, "" },
		{ "starttls", true, SMTP_OTHER, "" },
		{ "DATA", true, SMTP_DATA, "" },
		{ "\xff\xfe", true, SMTP_UNKNOWN, "" },
		{ "", false, 0, NULL },
		{ " \t", false, 0, NULL },
		{ "NOOP\001", false, 0, NULL },
		{ "NOOP \r", false, 0, NULL },
		{ "NOOP \177", false, 0, NULL },
	};
	struct smtp_command cmd;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool good = smtp_command_parse(slice_str(rows[i].line), &cmd);

		assert_int_equal(good, rows[i].good);
		if (!good)
			continue;
		assert_int_equal(cmd.verb, rows[i].verb);
		assert_true(slice_eq(cmd.arg, slice_str(rows[i].arg)));
	}
	assert_false(smtp_command_parse(slice_of("NOOP \0x", 7), &cmd));
}

static void
test_mail_parameters(void **state)
{
	static char long_envid[200];
	static const struct {
		const char *why, *arg;
		enum smtp_fault fault;
	} rows[] = {
		{ "plain", "FROM:<a@b>", SMTP_FAULT_NONE },
		{ "no FROM", "TO:<a@b>", SMTP_FAULT_SYNTAX },
		{ "blank before the colon", "FROM :<a@b>", SMTP_FAULT_SYNTAX },
		{ "bad path", "FROM:<a@@b>", SMTP_FAULT_ADDRESS },
		{ "size 0", "FROM:<> SIZE=0", SMTP_FAULT_NONE },
		{ "largest size", "FROM:<> SIZE=9223372036854775807",
		    SMTP_FAULT_NONE },
		{ "size too large", "FROM:<> SIZE=9223372036854775808",
		    SMTP_FAULT_PARAMETER },
		{ "size signed", "FROM:<> SIZE=+1", SMTP_FAULT_PARAMETER },
		{ "size empty", "FROM:<> SIZE=", SMTP_FAULT_PARAMETER },
		{ "size alone", "FROM:<> SIZE", SMTP_FAULT_PARAMETER },
		{ "twice", "FROM:<> RET=FULL ret=FULL", SMTP_FAULT_PARAMETER },
		{ "BINARYMIME", "FROM:<> BODY=BINARYMIME",
		    SMTP_FAULT_PARAMETER },
		{ "SMTPUTF8 with a value", "FROM:<> SMTPUTF8=1",
		    SMTP_FAULT_PARAMETER },
		{ "AUTH", "FROM:<> AUTH=<>", SMTP_FAULT_UNSUPPORTED },
		{ "no name", "FROM:<> =1", SMTP_FAULT_UNSUPPORTED },
		{ "envid empty", "FROM:<> ENVID=", SMTP_FAULT_PARAMETER },
		{ "envid not xtext", "FROM:<> ENVID=a+2b",
		    SMTP_FAULT_PARAMETER },
		{ "envid hides a line feed", "FROM:<> ENVID=a+0A",
		    SMTP_FAULT_PARAMETER },
		{ "envid too long", long_envid, SMTP_FAULT_PARAMETER },
		{ "UTF-8 declared", "FROM:<\xc3\xbc@b> SMTPUTF8",
		    SMTP_FAULT_NONE },
		{ "UTF-8 not declared", "FROM:<\xc3\xbc@b>", SMTP_FAULT_UTF8 },
		{ "Latin-1", "FROM:<\xfc@b> SMTPUTF8", SMTP_FAULT_ADDRESS },
	};
	char buf[ADDRESS_BYTES_MAX];
	struct smtp_mail m;

	(void)state;
	memset(long_envid, 'x', sizeof(long_envid) - 1);
	memcpy(long_envid, "FROM:<> ENVID=", 14);
	long_envid[14 + ENVID_BYTES_MAX + 1] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("  %s\n", rows[i].why);
		assert_int_equal(
		    smtp_mail_parse(slice_str(rows[i].arg), buf, &m),
		    rows[i].fault);
	}
	long_envid[14 + ENVID_BYTES_MAX] = '\0';
	assert_int_equal(smtp_mail_parse(slice_str(long_envid), buf, &m),
	    SMTP_FAULT_NONE);
	assert_int_equal(m.envid.len, ENVID_BYTES_MAX);
}

static void
test_rcpt_parameters(void **state)
{
	static const struct {
		const char *why, *arg;
		bool utf8;
		enum smtp_fault fault;
		uint8_t notify;
	} rows[] = {
		{ "plain", "TO:<a@b>", false, SMTP_FAULT_NONE, 0 },
		{ "null", "TO:<>", false, SMTP_FAULT_ADDRESS, 0 },
		{ "never", "TO:<a@b> NOTIFY=never", false, SMTP_FAULT_NONE,
		    NOTIFY_NEVER },
		{ "all", "TO:<a@b> NOTIFY=SUCCESS,FAILURE,DELAY", false,
		    SMTP_FAULT_NONE,
		    NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY },
		{ "never and more", "TO:<a@b> NOTIFY=DELAY,NEVER", false,
		    SMTP_FAULT_PARAMETER, 0 },
		{ "one twice", "TO:<a@b> NOTIFY=DELAY,DELAY", false,
		    SMTP_FAULT_PARAMETER, 0 },
		{ "comma last", "TO:<a@b> NOTIFY=DELAY,", false,
		    SMTP_FAULT_PARAMETER, 0 },
		{ "empty", "TO:<a@b> NOTIFY=", false, SMTP_FAULT_PARAMETER, 0 },
		{ "orcpt", "TO:<a@b> ORCPT=rfc822;a+2Bb@c", false,
		    SMTP_FAULT_NONE, 0 },
		{ "orcpt without type", "TO:<a@b> ORCPT=a@b", false,
		    SMTP_FAULT_PARAMETER, 0 },
		{ "orcpt hides a line feed", "TO:<a@b> ORCPT=rfc822;a+0Ab",
		    false, SMTP_FAULT_PARAMETER, 0 },
		{ "orcpt UTF-8", "TO:<a@b> ORCPT=utf-8;\xc3\xbc@b", true,
		    SMTP_FAULT_NONE, 0 },
		{ "orcpt UTF-8, not declared",
		    "TO:<a@b> ORCPT=utf-8;\xc3\xbc@b", false,
		    SMTP_FAULT_PARAMETER, 0 },
		{ "SIZE is none of RCPT's", "TO:<a@b> SIZE=1", false,
		    SMTP_FAULT_UNSUPPORTED, 0 },
	};
	char buf[ADDRESS_BYTES_MAX];
	struct smtp_rcpt r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("  %s\n", rows[i].why);
		assert_int_equal(smtp_rcpt_parse(slice_str(rows[i].arg),
				     rows[i].utf8, buf, &r),
		    rows[i].fault);
		if (rows[i].fault == SMTP_FAULT_NONE)
			assert_int_equal(r.notify, rows[i].notify);
	}
}

static void
test_bdat(void **state)
{
	static const struct {
		const char *arg;
		bool good, last;
		uint64_t count;
	} rows[] = {
		{ "0", true, false, 0 },
		{ "12 LAST", true, true, 12 },
		{ "9223372036854775807 last", true, true, INT64_MAX },
		{ "9223372036854775808", false, false, 0 },
		{ "18446744073709551616", false, false, 0 },
		{ "-1", false, false, 0 },
		{ "0x10", false, false, 0 },
		{ "", false, false, 0 },
		{ "LAST", false, false, 0 },
		{ "5 LAST LAST", false, false, 0 },
		{ "5 FIRST", false, false, 0 },
	};
	uint64_t count;
	bool last;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(
		    smtp_bdat_parse(slice_str(rows[i].arg), &count, &last),
		    rows[i].good);
		if (!rows[i].good)
			continue;
		assert_true(count == rows[i].count);
		assert_int_equal(last, rows[i].last);
	}
}

static void
test_xtext(void **state)
{
	static const char *const bad[] = { "+", "+2", "+2b", "a=b", "a b",
		"\xc3\xbc", "+G0", "\n" };
	char raw[256], coded[1000], again[256];
	size_t len, back;

	(void)state;
	for (int i = 0; i < 256; i++)
		raw[i] = (char)i;
	assert_true(xtext_encode(slice_of(raw, 256), coded, 1000, &len));
	assert_true(xtext_valid(slice_of(coded, len)));
	assert_true(xtext_decode(slice_of(coded, len), again, 256, &back));
	assert_int_equal(back, 256);
	assert_memory_equal(raw, again, 256);
	assert_false(xtext_decode(slice_of(coded, len), again, 255, &back));
	assert_false(xtext_encode(slice_of(raw, 256), coded, len - 1, &back));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(xtext_valid(slice_str(bad[i])));
	assert_true(xtext_valid(slice_str("")));
}

static void
test_received(void **state)
{
	static char name[HOST_BYTES_MAX], address[ADDRESS_BYTES_MAX];
	char buf[RECEIVED_BYTES_MAX + 1];
	struct received r = {
		.origin = ORIGIN_SMTP,
		.helo = SLICE_LIT("evil)\r\nX: y(\xc3\xbc"),
		.client_name = SLICE_LIT("c.example"),
		.client_address = SLICE_LIT("2001:db8::1"),
		.hostname = SLICE_LIT("h.example"),
		.protocol = SLICE_LIT("ESMTP"),
		.id = 18446744073709551615u,
		.rcpt = SLICE_LIT("a@b"),
		.when = { 0 },
	};
	size_t n;

	(void)state;
	buf[received_put(&r, buf)] = '\0';
	assert_string_equal(buf,
	    "Received: from evil???X:?y??? (c.example [IPv6:2001:db8::1])\r\n"
	    "\tby h.example (Weir) with ESMTP id 18446744073709551615\r\n"
	    "\tfor <a@b>; Thu, 1 Jan 1970 00:00:00 +0000\r\n");
	r.origin = ORIGIN_LOCAL;
	r.uid = 1000;
	r.id = 7;
	r.rcpt = SLICE_NONE;
	buf[received_put(&r, buf)] = '\0';
	assert_string_equal(buf,
	    "Received: by h.example (Weir, from userid 1000)\r\n\tid 7; "
	    "Thu, 1 Jan 1970 00:00:00 +0000\r\n");
	/* The longest of everything fits. */
	memset(name, 'x', sizeof(name));
	memset(address, 'y', sizeof(address));
	r.origin = ORIGIN_SMTP;
	r.helo = r.client_name = r.hostname = slice_of(name, sizeof(name));
	r.client_address = slice_of(name, 64);
	r.rcpt = slice_of(address, sizeof(address));
	n = received_put(&r, buf);
	assert_true(n < RECEIVED_BYTES_MAX);
	assert_true(slice_eq(received_protocol(ORIGIN_SMTP, true, true),
	    SLICE_LIT("UTF8SMTP")));
	assert_true(slice_eq(received_protocol(ORIGIN_LMTP, true, false),
	    SLICE_LIT("LMTP")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_mail_parameters),
		cmocka_unit_test(test_rcpt_parameters),
		cmocka_unit_test(test_bdat),
		cmocka_unit_test(test_xtext),
		cmocka_unit_test(test_received),
	};

	return cmocka_run_group_tests_name("smtp_command", tests, NULL, NULL);
}
