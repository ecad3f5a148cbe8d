#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bounce/compose.h"

static char text[4 * COMPOSE_PIECE_BYTES_MAX];
static struct envelope envelope;
static struct compose c;

static void
start(enum report_kind kind, enum compose_format format)
{
	envelope = (struct envelope){ .sender = SLICE_LIT("a@b.example"),
		.envid = SLICE_LIT("x+2By"),
		.body_bytes = 1000 };
	c = (struct compose){ .format = format,
		.kind = kind,
		.id = 42,
		.report_id = 43,
		.boundary = { 0xabc, 0xdef },
		.now = { 1000000000000 },
		.arrival_ms = 999999000000,
		.expires_ms = 1000432000000,
		.hostname = SLICE_LIT("mx.example"),
		.from_local = SLICE_LIT("MAILER-DAEMON"),
		.from_host = SLICE_LIT("from.example"),
		.to = SLICE_LIT("a@b.example"),
		.envelope = &envelope,
		.original = true };
}

/* The whole report with one recipient, the original between its marks. */
static void
compose(const struct job_result *r)
{
	char *piece = text;
	struct wr w = wr_of(piece, COMPOSE_PIECE_BYTES_MAX);

	compose_head(&c, &w);
	compose_rcpt_text(&c, r, &w);
	compose_status_head(&c, &w);
	compose_rcpt_status(&c, r, &w);
	compose_original(&c, &w);
	if (c.original)
		wr_raw(&w, SLICE_LIT("Subject: original\r\n\r\nbody\r\n"));
	compose_tail(&c, false, &w);
	assert_false(w.full);
	text[w.len] = '\0';
}

static void
has(const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("missing: %s\nin: %s", part, text);
}

static void
has_not(const char *part)
{
	if (strstr(text, part) != NULL)
		fail_msg("should not be there: %s\nin: %s", part, text);
}

/* Only CRLF, no other control characters, ASCII, lines of RFC 5322. */
static void
clean(void)
{
	size_t line = 0;

	for (const char *s = text; *s != '\0'; s++) {
		if (*s == '\r') {
			assert_int_equal(s[1], '\n');
			assert_true(line <= 998);
			line = 0;
			s++;
			continue;
		}
		if (*s < ' ' || *s > '~')
			fail_msg("byte %02x", (unsigned char)*s);
		line++;
	}
}

static const struct job_result failed = {
	.status = JOB_FAILED,
	.dsn = SLICE_LIT("5.1.1"),
	.relay = SLICE_LIT("mx.other[192.0.2.1]:25"),
	.text = SLICE_LIT("host mx.other[192.0.2.1] said: 550 5.1.1 no such"
			  " user (in reply to RCPT TO command)"),
	.address = SLICE_LIT("c@other"),
	.orcpt = SLICE_LIT("rfc822;c+2Bx@other"),
};

static void
test_failed(void **state)
{
	(void)state;
	start(REPORT_FAILED, COMPOSE_RFC3464);
	compose(&failed);
	clean();
	has("Received: by mx.example (Weir)\r\n    id 43; Sun, 9 Sep 2001"
	    " 01:46:40 +0000\r\n");
	has("\r\nFrom: Mail Delivery System <MAILER-DAEMON@from.example>\r\n");
	has("\r\nTo: <a@b.example>\r\n");
	has("\r\nAuto-Submitted: auto-replied\r\n");
	has("multipart/report; report-type=delivery-status;\r\n"
	    "    boundary=\"=_weir_0000000000000abc0000000000000def\"\r\n");
	has("\r\n<c@other>:\r\n    host mx.other[192.0.2.1] said: 550");
	has("\r\nContent-Type: message/delivery-status\r\n\r\n"
	    "Reporting-MTA: dns; mx.example\r\n"
	    "Original-Envelope-Id: x+y\r\n"
	    "X-Weir-Queue-ID: 42\r\n"
	    "X-Weir-Sender: rfc822; a@b.example\r\n"
	    "Arrival-Date: Sun, 9 Sep 2001 01:30:00 +0000\r\n"
	    "\r\nFinal-Recipient: rfc822; c@other\r\n"
	    "Original-Recipient: rfc822; c+x@other\r\n"
	    "Action: failed\r\nStatus: 5.1.1\r\n"
	    "Remote-MTA: dns; mx.other\r\n"
	    "Diagnostic-Code: smtp; 550 5.1.1 no such user");
	has("\r\nContent-Type: message/rfc822\r\n\r\n"
	    "Return-Path: <a@b.example>\r\nSubject: original\r\n");
	has("\r\n--=_weir_0000000000000abc0000000000000def--\r\n");
	assert_int_equal(compose_flags(&c), 0);
}

static void
test_kinds(void **state)
{
	struct job_result r = failed;

	(void)state;
	start(REPORT_DELAYED, COMPOSE_RFC3464);
	c.header_only = true;
	compose(&r);
	clean();
	has("Action: delayed");
	has("Will-Retry-Until: Fri, 14 Sep 2001 01:46:40 +0000\r\n");
	has("Content-Type: text/rfc822-headers");

	start(REPORT_DELIVERED, COMPOSE_RFC3464);
	r.status = JOB_SENT;
	compose(&r);
	has("Action: relayed");
	r.relay = SLICE_LIT("local");
	compose(&r);
	has("Action: delivered");
	has_not("Remote-MTA");

	start(REPORT_DOUBLE, COMPOSE_RFC3464);
	c.original = false;
	compose(&failed);
	has("Subject: Undelivered Report\r\n");
	has_not("message/rfc822");
}

/* What strangers wrote ends no field, no part and no line. */
static void
test_hostile(void **state)
{
	struct job_result r = failed;

	(void)state;
	start(REPORT_FAILED, COMPOSE_RFC3464);
	r.text = SLICE_LIT("550 a\r\nBcc: x@y\r\n\r\n--=_weir\r\n.\r\n\033[2J"
			   "\xff\0z");
	r.relay = SLICE_LIT("e\r\nvil[1]:25");
	r.dsn = SLICE_LIT("5\r\nX: y");
	r.orcpt = SLICE_LIT("rfc822;a+0D+0AEvil:+20x");
	compose(&r);
	clean();
	has_not("\r\nBcc");
	has_not("\r\nX: y");
	has_not("\r\nEvil");
	has_not("\r\n--=_weir\r\n");
	has("\\x1B[2J\\xFF\\x00z");
	r.orcpt = SLICE_LIT("no semicolon");
	compose(&r);
	has_not("Original-Recipient");
}

/* The longest of everything fits. */
static void
test_longest(void **state)
{
	static char big[1000];
	struct job_result r = { .status = JOB_FAILED };

	(void)state;
	memset(big, 0xff, sizeof(big));
	start(REPORT_DELAYED, COMPOSE_RFC3464);
	r.text = slice_of(big, JOB_TEXT_BYTES_MAX);
	r.relay = slice_of(big, JOB_RELAY_BYTES_MAX);
	r.dsn = slice_of(big, JOB_DSN_BYTES_MAX);
	envelope.envid = slice_of("a", 1);
	compose(&r);
	clean();
	memset(big, 'a', sizeof(big));
	r.address = slice_of(big, ADDRESS_BYTES_MAX);
	compose(&r);
	for (int f = 0; f < 2; f++) {
		start(REPORT_FAILED, (enum compose_format)f);
		memset(big, '\n', sizeof(big));
		r.address = SLICE_LIT("a@b");
		r.text = slice_of(big, JOB_TEXT_BYTES_MAX);
		compose(&r);
		clean();
	}
}

static void
test_utf8(void **state)
{
	struct job_result r = failed;

	(void)state;
	start(REPORT_FAILED, COMPOSE_RFC3464);
	r.address = SLICE_LIT("j\xc3\xb6rg@b\xc3\xbc.example");
	r.orcpt = SLICE_NONE;
	compose(&r);
	clean();
	has("Final-Recipient: utf-8; j\\x{F6}rg@b\\x{FC}.example\r\n");
	/* A cut character does no harm. */
	r.address = SLICE_LIT("j\xf0\x9f");
	compose(&r);
	clean();
	c.to = SLICE_LIT("j\xc3\xb6rg@b.example");
	assert_int_equal(compose_flags(&c) & ENVELOPE_UTF8, ENVELOPE_UTF8);
}

static void
test_qmail(void **state)
{
	(void)state;
	start(REPORT_FAILED, COMPOSE_QMAIL);
	compose(&failed);
	clean();
	has("\r\nFrom: MAILER-DAEMON@from.example\r\nTo: a@b.example\r\n");
	has("\r\nSubject: failure notice\r\n");
	has("\r\n\r\nHi. This is the qmail-send program at mx.example.\r\n"
	    "I'm afraid I wasn't able to deliver your message to the following"
	    " addresses.\r\n"
	    "This is a permanent error; I've given up. Sorry it didn't work"
	    " out.\r\n\r\n<c@other>:\r\n192.0.2.1 does not like recipient.\r\n"
	    "Remote host said: 550 5.1.1 no such user\r\n"
	    "Giving up on 192.0.2.1.\r\n\r\n"
	    "--- Below this line is a copy of the message.\r\n");
	has("\r\n\r\n--- Below this line is a copy of the message.\r\n\r\n"
	    "Return-Path: <a@b.example>\r\nSubject: original\r\n");
	has_not("MIME");
	start(REPORT_DOUBLE, COMPOSE_QMAIL);
	compose(&failed);
	has("I tried to deliver a bounce message to this address, but the"
	    " bounce bounced!");
	has("--- Below this line is the original bounce.");
}

static void
test_header_only(void **state)
{
	static const struct {
		const char *why;
		enum report_kind kind;
		uint8_t ret;
		uint64_t bytes;
		bool header_only;
	} rows[] = {
		{ "below the limit", REPORT_FAILED, RET_NONE, 49999, false },
		{ "at the limit", REPORT_FAILED, RET_NONE, 50000, false },
		{ "above it", REPORT_FAILED, RET_NONE, 50001, true },
		{ "RET=HDRS", REPORT_FAILED, RET_HDRS, 10, true },
		{ "RET=FULL", REPORT_FAILED, RET_FULL, 10, false },
		{ "RET=FULL of a large one", REPORT_FAILED, RET_FULL, 1000000,
		    true },
		{ "delays return no body", REPORT_DELAYED, RET_FULL, 10, true },
		{ "success neither", REPORT_DELIVERED, RET_FULL, 10, true },
		{ "double bounce", REPORT_DOUBLE, RET_NONE, 10, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (compose_header_only(rows[i].kind, rows[i].ret,
			rows[i].bytes, 50000) != rows[i].header_only)
			fail_msg("%s", rows[i].why);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_qmail),
		cmocka_unit_test(test_header_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
