/*
 * The queue's commands against a queue that is played here: its answers are
 * put into the socket before the question is asked.
 */
#include "../check.h"

#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/wire.h"
#include "proto/envelope.h"
#include "weir/queue_cat.h"
#include "weir/queue_list.h"
#include "weir/queue_req.h"
#include "weir/queue_show.h"

#include "capture.h"

const struct command commands[] = { { .name = NULL } };
static const struct command command = { .name = "queue", .args = "" };

static struct cli cli;
static struct ctl *client, *server;
static int server_fd;

static int
setup(void **state)
{
	int fd[2];

	(void)state;
	setenv("TZ", "UTC", 1);
	cli = (struct cli){ .command = &command, .self = "weir" };
	acct_init(&cli.acct, NULL, "test", 0, false, "");
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
	client = ctl_on(&cli, fd[0]);
	server = ctl_on(&cli, fd[1]);
	server_fd = fd[1];
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ctl_close(client);
	ctl_close(server);
	acct_fini(&cli.acct);
	return 0;
}

static void
say_item(uint64_t id, uint8_t status, const char *sender)
{
	struct fr_ctl_item f = {
		.id = id,
		.status = status,
		.attempts = 2,
		.arrival_ms = 1795337757000,
		.next_ms = status == CTL_DEFERRED ? 1795337757000 + 600000 : 0,
		.size_bytes = 2048,
		.rcpt_count = 2,
		.sender = slice_str(sender),
	};

	assert_int_equal(send_ctl_item(ctl_chan(server), 1, &f, -1), OK);
}

static void
say_rcpt(uint8_t rcpt_state, const char *address, const char *reason)
{
	struct fr_ctl_rcpt f = {
		.state = rcpt_state,
		.notify = NOTIFY_FAILURE | NOTIFY_DELAY,
		.address = slice_str(address),
		.reason = slice_str(reason),
	};

	assert_int_equal(send_ctl_rcpt(ctl_chan(server), 1, &f, -1), OK);
}

static void
say_end(enum err e, uint32_t count, const char *text)
{
	struct fr_ctl_end f = {
		.error = (uint8_t)e,
		.count = count,
		.text = slice_str(text),
	};

	assert_int_equal(send_ctl_end(ctl_chan(server), 1, &f, -1), OK);
}

static void
say_two_messages(void)
{
	say_item(7, CTL_DEFERRED, "a@b.example");
	say_rcpt(CTL_RCPT_DONE, "done@x.example", "");
	say_rcpt(CTL_RCPT_WAITING, "one@x.example",
	    "host x: 450 \x1b[2J later");
	say_rcpt(CTL_RCPT_WAITING, "two@x.example",
	    "host x: 450 \x1b[2J later");
	say_item(1234567, CTL_HOLD, "");
	say_rcpt(CTL_RCPT_WAITING, "h\xc3\xa9@y.example", "");
	say_end(OK, 2, "");
}

static const struct queue_filter all = { .status = 0 };

static void
test_lines(void **state)
{
	struct queue_lines q = { .now_ms = 1795337757000 + 60000 };
	struct ctl_visitor v = queue_lines(&q);
	uint32_t count;

	(void)state;
	say_two_messages();
	capture_begin();
	assert_int_equal(queue_list(client, &all, &v, &count), EX_OK);
	queue_lines_end(&q);
	capture_expect(
	    "ID           STATUS      AGE      SIZE TRIES   NEXT  FROM -> TO\n"
	    "7            deferred     1m     2 KiB     2     9m  a@b.example "
	    "-> one@x.example and 1 more\n"
	    "1234567      hold         1m     2 KiB     2         <> "
	    "-> h\\xc3\\xa9@y.example\n");
	assert_int_equal(count, 2);
	assert_int_equal(q.shown_count, 2);
}

static void
test_objects(void **state)
{
	struct queue_objects q = { .message = { .open = false } };
	struct ctl_visitor v;

	(void)state;
	say_two_messages();
	capture_begin();
	v = queue_objects(&q);
	assert_int_equal(queue_list(client, &all, &v, NULL), EX_OK);
	queue_objects_end(&q);
	capture_expect(
	    "{\"queue_name\":\"deferred\",\"queue_id\":\"7\","
	    "\"arrival_time\":1795337757,\"message_size\":2048,"
	    "\"forced_expire\":false,\"sender\":\"a@b.example\","
	    "\"attempts\":2,\"next_attempt\":1795338357,\"recipients\":["
	    "{\"address\":\"one@x.example\","
	    "\"delay_reason\":\"host x: 450 \\u001b[2J later\"},"
	    "{\"address\":\"two@x.example\","
	    "\"delay_reason\":\"host x: 450 \\u001b[2J later\"}]}\n"
	    "{\"queue_name\":\"hold\",\"queue_id\":\"1234567\","
	    "\"arrival_time\":1795337757,\"message_size\":2048,"
	    "\"forced_expire\":false,\"sender\":\"\",\"attempts\":2,"
	    "\"next_attempt\":0,\"recipients\":["
	    "{\"address\":\"h\\u00e9@y.example\"}]}\n");
}

static void
test_mailq(void **state)
{
	struct queue_mailq q = { .message = { .open = false } };
	struct ctl_visitor v = queue_mailq(&q);

	(void)state;
	say_two_messages();
	capture_begin();
	assert_int_equal(queue_list(client, &all, &v, NULL), EX_OK);
	queue_mailq_end(&q);
	capture_expect(
	    "-Queue ID- --Size-- ----Arrival Time---- "
	    "-Sender/Recipient-------\n"
	    "7              2048 Sun Nov 22 08:55:57  a@b.example\n"
	    "                                                   "
	    "(host x: 450 \\x1b[2J later)\n"
	    "                                         one@x.example\n"
	    "                                         two@x.example\n"
	    "\n"
	    "1234567!       2048 Sun Nov 22 08:55:57  MAILER-DAEMON\n"
	    "                                         "
	    "h\\xc3\\xa9@y.example\n"
	    "\n"
	    "-- 4 Kbytes in 2 Requests.\n");
}

static void
test_mailq_empty(void **state)
{
	struct queue_mailq q = { .message = { .open = false } };
	struct ctl_visitor v = queue_mailq(&q);

	(void)state;
	say_end(OK, 0, "");
	capture_begin();
	assert_int_equal(queue_list(client, &all, &v, NULL), EX_OK);
	queue_mailq_end(&q);
	capture_expect("Mail queue is empty\n");
}

static void
test_show(void **state)
{
	struct envelope e = {
		.origin = ORIGIN_SMTP,
		.client_name = SLICE_LIT("mail.x.example"),
		.client_address = SLICE_LIT("192.0.2.1"),
		.helo = SLICE_LIT("x"),
		.protocol = SLICE_LIT("ESMTP"),
	};
	unsigned char room[ENVELOPE_BYTES_MAX];
	struct wr w = wr_of(room, sizeof(room));
	struct fr_ctl_envelope f;
	struct queue_shown shown;
	char *got;

	(void)state;
	envelope_put(&w, &e);
	f.envelope = wr_done(&w);
	for (int as_json = 0; as_json <= 1; as_json++) {
		say_item(7, CTL_DEFERRED, "a@b.example");
		assert_int_equal(send_ctl_envelope(ctl_chan(server), 1, &f, -1),
		    OK);
		say_rcpt(CTL_RCPT_DONE, "done@x.example", "");
		say_rcpt(CTL_RCPT_WAITING, "one@x.example", "later");
		say_end(OK, 1, "");
		capture_begin();
		assert_int_equal(
		    queue_show(client, 7,
			as_json == 1 ? QUEUE_SHOW_JSON : QUEUE_SHOW_PEOPLE,
			stdout, &shown),
		    EX_OK);
		got = capture_end();
		assert_non_null(strstr(got,
		    as_json == 1 ? "\"client_name\":\"mail.x.example\","
				   "\"client_address\":\"192.0.2.1\""
				 : "client      mail.x.example[192.0.2.1]\n"));
		assert_non_null(strstr(got,
		    as_json == 1 ? "{\"address\":\"one@x.example\",\"state\":"
				   "\"waiting\",\"notify\":\"FAILURE,DELAY\","
				   "\"delay_reason\":\"later\"}]}\n"
				 : "waiting     one@x.example\n"
				   "  notify    FAILURE,DELAY\n"
				   "  reason    later\n"));
		assert_string_equal(shown.status, "deferred");
		free(got);
	}
}

/* An envelope that cannot be read is said, not believed. */
static void
test_show_damaged(void **state)
{
	struct fr_ctl_envelope f = { .envelope = SLICE_LIT("\x01\x02") };
	struct queue_shown shown;
	char *got;

	(void)state;
	say_item(7, CTL_ACTIVE, "");
	assert_int_equal(send_ctl_envelope(ctl_chan(server), 1, &f, -1), OK);
	say_end(OK, 1, "");
	capture_begin();
	assert_int_equal(queue_show(client, 7, QUEUE_SHOW_JSON, stdout, &shown),
	    EX_OK);
	got = capture_end();
	assert_non_null(
	    strstr(got, "\"recipients\":[],\"damaged_envelope\":true}\n"));
	free(got);
}

static void
test_errors(void **state)
{
	struct ctl_visitor none = { .on_item = NULL };
	uint32_t count;

	(void)state;
	say_end(ERR_NOTFOUND, 0, "no such message");
	assert_int_equal(queue_list(client, &all, &none, &count), EX_DATAERR);
	say_end(ERR_DENIED, 0, "");
	assert_int_equal(queue_list(client, &all, &none, &count), EX_NOPERM);
	/* A frame that nobody asked for, or no frame at all. */
	say_item(1, 0, "");
	assert_int_equal(queue_list(client, &all, &none, &count), EX_TEMPFAIL);
	assert_int_equal(send(server_fd, "xx", 2, 0), 2);
	assert_int_equal(queue_list(client, &all, &none, &count), EX_TEMPFAIL);
	assert_int_equal(shutdown(server_fd, SHUT_RDWR), 0);
	assert_int_equal(queue_list(client, &all, &none, &count), EX_TEMPFAIL);
}

/* Ids go in frames of 6144; each answer counts. */
static void
test_change_many(void **state)
{
	static const size_t counts[] = { 1, 6143, 6144, 6145 };
	static uint64_t ids[6145];
	static unsigned char room[CHAN_FRAME_BYTES_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = i + 1;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		struct fr_ctl_change change;
		struct frame f = { .type = FRAME_CTL_CHANGE };
		uint64_t count;
		size_t frames = counts[i] > 6144 ? 2 : 1;
		size_t bytes = 0;

		for (size_t k = 0; k < frames; k++)
			say_end(OK, 5, "");
		assert_int_equal(queue_change(client, CTL_VERB_HOLD, &all, ids,
				     counts[i], &count),
		    EX_OK);
		assert_int_equal(count, 5 * frames);
		for (size_t k = 0; k < frames; k++) {
			ssize_t n = recv(server_fd, room, sizeof(room), 0);

			assert_true(n > CHAN_HEADER_BYTES);
			f.fields = slice_of(room + CHAN_HEADER_BYTES,
			    (size_t)n - CHAN_HEADER_BYTES);
			assert_true(get_ctl_change(&f, &change));
			assert_int_equal(change.verb, CTL_VERB_HOLD);
			bytes += change.ids.len;
		}
		assert_int_equal(bytes, counts[i] * 8);
	}
}

static void
test_filter(void **state)
{
	static const struct {
		const char *why;
		struct queue_filter_text text;
		int status;
	} rows[] = {
		{ "nothing", { NULL }, CLI_GO },
		{ "all",
		    { .from = "<>",
			.to = "a@b",
			.domain = "b",
			.age = "2h",
			.status = "hold,active",
			.limit = "10" },
		    CLI_GO },
		{ "no sender", { .from = "" }, CLI_GO },
		{ "an empty address", { .to = "" }, EX_USAGE },
		{ "a bad time", { .age = "2 h" }, EX_USAGE },
		{ "a bad status", { .status = "hold,gone" }, EX_USAGE },
		{ "no status", { .status = "," }, EX_USAGE },
		{ "limit 0", { .limit = "0" }, EX_USAGE },
		{ "limit 1", { .limit = "1" }, CLI_GO },
		{ "the highest limit", { .limit = "4294967295" }, CLI_GO },
		{ "one more", { .limit = "4294967296" }, EX_USAGE },
	};
	struct queue_filter f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("%s\n", rows[i].why);
		assert_int_equal(queue_filter_parse(&cli, &rows[i].text, &f),
		    rows[i].status);
	}
	assert_int_equal(queue_filter_parse(&cli, &rows[0].text, &f), CLI_GO);
	assert_false(f.given);
	assert_int_equal(queue_filter_parse(&cli, &rows[1].text, &f), CLI_GO);
	assert_true(f.given);
	assert_int_equal(f.status, 1u << CTL_HOLD | 1u << CTL_ACTIVE);
	assert_int_equal(f.age_min_ms, 7200000);
	assert_int_equal(f.limit, 10);
}

static void
test_address_limit(void **state)
{
	char address[514];

	(void)state;
	for (size_t len = 511; len <= 513; len++) {
		struct queue_filter_text text = { .to = address };
		struct queue_filter f;

		memset(address, 'a', len);
		address[len] = '\0';
		assert_int_equal(queue_filter_parse(&cli, &text, &f),
		    len <= 512 ? CLI_GO : EX_USAGE);
	}
}

static void
test_ids(void **state)
{
	char *good[] = { "1", "18446744073709551615" };
	char *bad[] = { "1", "x" };
	char *zero[] = { "0" };
	uint64_t *ids = NULL;
	size_t count = 0;

	(void)state;
	assert_int_equal(queue_ids(&cli, good, 2, &ids, &count), EX_OK);
	assert_int_equal(count, 2);
	assert_true(ids[1] == UINT64_MAX);
	mem_free(&cli.acct, ids);
	assert_int_equal(queue_ids(&cli, bad, 2, &ids, &count), EX_USAGE);
	assert_int_equal(queue_ids(&cli, zero, 1, &ids, &count), EX_USAGE);
	mem_fail_after(1);
	assert_int_equal(queue_ids(&cli, good, 2, &ids, &count), EX_USAGE);
}

/* The same text whole, byte by byte and at every split. */
static void
test_cat(void **state)
{
	static const struct {
		const char *why, *in;
		unsigned parts;
		bool raw;
		const char *out;
	} rows[] = {
		{ "lines end with LF", "A: b\r\n\r\nx\r\n", CAT_ALL, false,
		    "A: b\n\nx\n" },
		{ "raw", "A: b\r\n\r\nx\r\n", CAT_ALL, true,
		    "A: b\r\n\r\nx\r\n" },
		{ "header", "A: b\r\n c\r\n\r\nx\r\n\r\ny", CAT_HEADER, false,
		    "A: b\n c\n\n" },
		{ "body", "A: b\r\n c\r\n\r\nx\r\n\r\ny", CAT_BODY, false,
		    "x\n\ny" },
		{ "a lone CR stays", "a\rb\r\r\nc\r", CAT_ALL, false,
		    "a\rb\r\nc\r" },
		{ "only a header", "A: b\r\n", CAT_BODY, false, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice in = slice_str(rows[i].in);

		print_message("%s\n", rows[i].why);
		for (size_t cut = 0; cut <= in.len; cut++) {
			struct queue_cat q;

			capture_begin();
			queue_cat_init(&q, stdout, rows[i].parts, rows[i].raw);
			queue_cat_put(&q, slice_sub(in, 0, cut));
			queue_cat_put(&q, slice_sub(in, cut, in.len));
			queue_cat_end(&q);
			capture_expect(rows[i].out);
		}
		capture_begin();
		{
			struct queue_cat q;

			queue_cat_init(&q, stdout, rows[i].parts, rows[i].raw);
			for (size_t at = 0; at < in.len; at++)
				queue_cat_put(&q, slice_sub(in, at, at + 1));
			queue_cat_end(&q);
		}
		capture_expect(rows[i].out);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lines),
		TEST(test_objects),
		TEST(test_mailq),
		TEST(test_mailq_empty),
		TEST(test_show),
		TEST(test_show_damaged),
		TEST(test_errors),
		TEST(test_change_many),
		TEST(test_filter),
		TEST(test_address_limit),
		TEST(test_ids),
		TEST(test_cat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
