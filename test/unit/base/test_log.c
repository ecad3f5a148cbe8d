/*
 * The log writes to descriptor 2; each test puts a pipe, a file or a socket
 * there and reads what came out.
 */
#include "../check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"

static int saved_stderr;
static int reader;
static char got[4 * LOG_BUFFER_BYTES];

static void
stderr_is(int fd)
{
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	close(fd);
}

static void
start(const char *destination, enum log_format format)
{
	struct errtext et = { "" };

	if (log_open("weir", "test", destination, format, &et) != OK)
		fail_msg("%s", et.text);
}

static void
start_pipe(enum log_format format)
{
	int p[2];

	assert_int_equal(pipe(p), 0);
	reader = p[0];
	assert_int_equal(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
	stderr_is(p[1]);
	start("stderr", format);
}

/* All that can be read now, terminated. */
static size_t
take(void)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(reader, got + len, sizeof(got) - 1 - len)) > 0)
		len += (size_t)n;
	got[len] = '\0';
	return len;
}

static int
teardown(void **state)
{
	(void)state;
	dup2(saved_stderr, STDERR_FILENO);
	if (reader > 0)
		close(reader);
	reader = 0;
	return 0;
}

/* What comes out now, after a tag with our pid if tagged. */
static void
expect_text(bool tagged, const char *text)
{
	char want[8192];
	char tag[64] = "";

	if (tagged)
		snprintf(tag, sizeof(tag), "weir/test[%d]: ", (int)getpid());
	snprintf(want, sizeof(want), "%s%s", tag, text);
	log_flush();
	take();
	assert_string_equal(got, want);
}

static void
test_plain(void **state)
{
	(void)state;
	start_pipe(LOG_POSTFIX);
	log_info("connect from %s[%s]", "unknown", "10.0.0.1");
	assert_int_equal(take(), 0); /* only at the flush */
	expect_text(true, "connect from unknown[10.0.0.1]\n");
	log_warning("w");
	expect_text(true, "warning: w\n");
	log_error("e");
	expect_text(true, "error: e\n");
	log_message(123, "removed");
	expect_text(true, "123: removed\n");
	log_info("a\nforged\r\x1b[0m \xc3\xa9");
	expect_text(true, "a\\x0aforged\\x0d\\x1b[0m \\xc3\\xa9\n");
}

static void
one_delivery(void)
{
	struct log_line l;

	log_begin(&l, LOG_LEVEL_INFO, 7, "delivery");
	log_field(&l, "to", "<%s>", "a\"\n@b");
	log_field(&l, "relay", "none");
	log_field_number(&l, "size", 42);
	log_note(&l, "250 %s", "ok");
	log_end(&l);
}

static void
test_fields(void **state)
{
	const char *head = "{\"time\":\"";
	const char *tail = "\",\"level\":\"info\",\"id\":\"7\","
			   "\"event\":\"delivery\",\"to\":\"a\\\"\\u000a@b\","
			   "\"relay\":\"none\",\"size\":42,"
			   "\"note\":\"250 ok\"}\n";

	(void)state;
	start_pipe(LOG_POSTFIX);
	one_delivery();
	expect_text(true, "7: to=<a\"\\x0a@b>, relay=none, size=42 "
			  "(250 ok)\n");

	start_pipe(LOG_JSON);
	one_delivery();
	log_flush();
	take();
	assert_memory_equal(got, head, strlen(head));
	assert_non_null(strstr(got, "Z\",\"name\":\"weir\",\"role\":\"test\","
				    "\"pid\":"));
	assert_non_null(strstr(got, tail + 2));
	log_warning("x\"y");
	log_flush();
	take();
	assert_non_null(strstr(got, "\"level\":\"warning\","
				    "\"text\":\"x\\\"y\"}\n"));
}

static void
test_qmail(void **state)
{
	(void)state;
	start_pipe(LOG_QMAIL);
	log_qmail("status: local 0/10 remote 0/20");
	expect_text(false, "status: local 0/10 remote 0/20\n");
	log_warning("w");
	expect_text(false, "warning: w\n");
	log_error("e");
	expect_text(false, "alert: e\n");
	/* What is not one of qmail's lines does not begin like one. */
	log_info("new msg 1");
	expect_text(false, "test: new msg 1\n");
	log_message(7, "removed");
	expect_text(false, "test: 7: removed\n");
}

/* Lines near and past the limit: cut, marked, and never two lines. */
static void
test_long(void **state)
{
	char text[LOG_LINE_BYTES * 2];
	size_t tag_len, fits;

	(void)state;
	start_pipe(LOG_POSTFIX);
	log_info("%s", "");
	log_flush();
	tag_len = take() - 1;
	fits = LOG_LINE_BYTES - 1 - 8 - tag_len;
	for (size_t len = fits - 1; len <= fits + 1; len++) {
		memset(text, 'x', len);
		text[len] = '\0';
		log_info("%s", text);
		log_flush();
		take();
		assert_int_equal(strlen(got),
		    len <= fits ? tag_len + len + 1 : tag_len + fits + 3 + 1);
		assert_int_equal(strstr(got, "...\n") != NULL, len > fits);
	}
	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	log_flush();
	take();
	assert_ptr_equal(strchr(got, '\n'), got + strlen(got) - 1);
	assert_true(strlen(got) <= LOG_LINE_BYTES);
}

/* A field of any length leaves one whole JSON object. */
static void
test_long_json(void **state)
{
	char text[LOG_LINE_BYTES];

	(void)state;
	start_pipe(LOG_JSON);
	for (size_t len = LOG_LINE_BYTES - 250; len < LOG_LINE_BYTES; len++) {
		struct log_line l;
		size_t end;
		unsigned quote_count = 0;

		memset(text, 'x', len);
		text[len] = '\0';
		log_begin(&l, LOG_LEVEL_INFO, 1, "e");
		log_field(&l, "first", "%s", text);
		log_field(&l, "second", "12345");
		log_field_number(&l, "third", 12345);
		log_note(&l, "note");
		log_end(&l);
		log_flush();
		end = take();
		assert_true(end <= LOG_LINE_BYTES);
		assert_string_equal(got + end - 2, "}\n");
		for (size_t i = 0; i < end; i++)
			quote_count += got[i] == '"';
		assert_int_equal(quote_count % 2, 0);
		assert_null(strstr(got, ",}"));
	}
}

/* Nobody reads: the log returns at once, keeps what it can, counts the rest
 * and says so when there is room. */
static void
test_slow_reader(void **state)
{
	uint64_t lost_before = log_lost_count();
	char text[200];
	char want[80];
	unsigned whole_count = 0;
	uint64_t lost;

	(void)state;
	start_pipe(LOG_QMAIL);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 2000; i++)
		log_qmail("%s", text);
	log_flush();
	lost = log_lost_count() - lost_before;
	assert_true(lost > 0);
	for (int i = 0; i < 100; i++) {
		size_t len = take();

		for (size_t at = 0; at < len; at += sizeof(text)) {
			if (got[at] != 'x')
				break;
			assert_int_equal(got[at + sizeof(text) - 1], '\n');
			whole_count++;
		}
		snprintf(want, sizeof(want),
		    "warning: log: %llu lines were lost:",
		    (unsigned long long)lost);
		if (strstr(got, want) != NULL)
			break;
		log_flush();
	}
	assert_non_null(strstr(got, want));
	assert_int_equal(whole_count + lost, 2000);
	log_qmail("again");
	log_flush();
	take();
	assert_string_equal(got, "again\n");
}

/* What the parent shares stays as it was. */
static void
test_flags_untouched(void **state)
{
	(void)state;
	start_pipe(LOG_POSTFIX);
	log_qmail("x");
	log_flush();
	assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
}

static void
test_reader_gone(void **state)
{
	uint64_t lost = log_lost_count();

	(void)state;
	start_pipe(LOG_POSTFIX);
	close(reader);
	reader = 0;
	log_qmail("x");
	log_flush();
	assert_int_equal(log_lost_count(), lost + 1);
	log_flush();
	assert_int_equal(log_lost_count(), lost + 1);
	log_qmail("y"); /* a probe; the report waits until one gets through */
	log_flush();
	assert_int_equal(log_lost_count(), lost + 2);
	log_close(1000); /* nothing to wait for */

	start_pipe(LOG_QMAIL);
	log_qmail("z");
	expect_text(false,
	    "warning: log: 2 lines were lost: the log could not be "
	    "written\nz\n");
}

static void
test_file(void **state)
{
	char path[] = "/tmp/weir-test-log.XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	reader = open(path, O_RDONLY);
	unlink(path);
	assert_int_equal(write(fd, "before\n", 7), 7);
	stderr_is(fd);
	start("stderr", LOG_QMAIL);
	log_qmail("a");
	log_flush();
	/* The place in the file is shared with other writers. */
	assert_int_equal(write(STDERR_FILENO, "between\n", 8), 8);
	log_qmail("b");
	log_flush();
	take();
	assert_string_equal(got, "before\na\nbetween\nb\n");
}

static void
test_stream_socket(void **state)
{
	int s[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	reader = s[0];
	fcntl(reader, F_SETFL, O_NONBLOCK);
	stderr_is(s[1]);
	start("stderr", LOG_QMAIL);
	for (int i = 0; i < 20000; i++)
		log_qmail("0123456789012345678901234567890123456789");
	log_flush();
	assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
	while (take() > 0)
		log_flush();
	/* All is out, the report of what was lost too. */
	assert_int_equal(got[0], '\0');
	log_qmail("x");
	expect_text(false, "x\n");
}

static void
test_syslog(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/weir-test-log.XXXXXX";
	char want[64];
	struct errtext et;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/log", dir);
	log_syslog_path(at.sun_path);
	assert_int_equal(log_open("weir", "test", "syslog", LOG_POSTFIX, &et),
	    ERR_SYS);

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	reader = fd;
	start("syslog", LOG_QMAIL);
	log_info("one");
	log_warning("two");
	log_flush();
	snprintf(want, sizeof(want), " weir/test[%d]: one", (int)getpid());
	assert_true(recv(fd, got, sizeof(got), 0) > 0);
	assert_memory_equal(got, "<22>", 4);
	assert_memory_equal(got + 4 + 15, want, strlen(want));
	memset(got, 0, 100);
	assert_true(recv(fd, got, sizeof(got), 0) > 0);
	assert_memory_equal(got, "<20>", 4);
	assert_non_null(strstr(got, "]: warning: two"));
	assert_null(strchr(got, '\n'));

	/* The daemon is restarted: the next line finds it. */
	close(fd);
	unlink(at.sun_path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	reader = fd;
	log_info("three");
	log_flush();
	assert_true(recv(fd, got, sizeof(got), 0) > 0);
	assert_non_null(strstr(got, "three"));
	log_reopen();
	log_info("four");
	log_flush();
	assert_true(recv(fd, got, sizeof(got), 0) > 0);
	assert_non_null(strstr(got, "four"));
	unlink(at.sun_path);
	rmdir(dir);
	log_syslog_path("/dev/log");
}

static void
test_unknown_destination(void **state)
{
	struct errtext et;

	(void)state;
	assert_int_equal(log_open("w", "t", "printer", LOG_POSTFIX, &et),
	    ERR_UNSUPPORTED);
	assert_non_null(strstr(et.text, "must be stderr, syslog or"));
}

/* One line a minute, with the count of what was not said. */
static void
test_limit_site(void **state)
{
	struct log_limit_site site = { .seen = false };
	struct slice who = SLICE_LIT("10.0.0.1");
	struct mono t = { -5000 }; /* any instant may be the first */

	(void)state;
	start_pipe(LOG_POSTFIX);
	assert_false(log_limit_is_quiet(&site, t));
	log_limit(&site, t, "smtpd_recipient_limit", 1000, who, "452");
	expect_text(true, "warning: limit smtpd_recipient_limit (1000) "
			  "reached by 10.0.0.1: 452 (1 time)\n");
	log_limit(&site, mono_add(t, 1), "l", 1, who, "452");
	log_limit(&site, mono_add(t, 59998), "l", 1, who, "452");
	assert_true(log_limit_is_quiet(&site, mono_add(t, 59999)));
	expect_text(false, "");
	assert_false(log_limit_is_quiet(&site, mono_add(t, 60000)));
	log_limit(&site, mono_add(t, 60000), "l", 1, who, "452");
	expect_text(true, "warning: limit l (1) reached by 10.0.0.1: 452 "
			  "(4 times)\n");
}

/* With name and value of a row of the limits page; a time has its unit. */
static void
test_limit_row(void **state)
{
	struct log_limit_site site = { .seen = false };
	struct limit_row row = { .parameter = "a_limit",
		.kind = LIMIT_COUNT,
		.limit = 7 };
	struct slice who = SLICE_LIT("message 1");
	struct mono t = { 0 };

	(void)state;
	start_pipe(LOG_POSTFIX);
	log_limit_row(&site, t, &row, who, "waits");
	expect_text(true, "warning: limit a_limit (7) reached by message 1: "
			  "waits (1 time)\n");
	row.kind = LIMIT_DEADLINE;
	log_limit_row(&site, mono_add(t, 60000), &row, who, "waits");
	expect_text(true, "warning: limit a_limit (7 ms) reached by message 1: "
			  "waits (1 time)\n");
	assert_int_equal(row.refused, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_plain, teardown),
		cmocka_unit_test_teardown(test_fields, teardown),
		cmocka_unit_test_teardown(test_qmail, teardown),
		cmocka_unit_test_teardown(test_long, teardown),
		cmocka_unit_test_teardown(test_long_json, teardown),
		cmocka_unit_test_teardown(test_slow_reader, teardown),
		cmocka_unit_test_teardown(test_flags_untouched, teardown),
		cmocka_unit_test_teardown(test_reader_gone, teardown),
		cmocka_unit_test_teardown(test_file, teardown),
		cmocka_unit_test_teardown(test_stream_socket, teardown),
		cmocka_unit_test_teardown(test_syslog, teardown),
		cmocka_unit_test_teardown(test_unknown_destination, teardown),
		cmocka_unit_test_teardown(test_limit_site, teardown),
		cmocka_unit_test_teardown(test_limit_row, teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	saved_stderr = dup(STDERR_FILENO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
