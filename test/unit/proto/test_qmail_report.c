/* What qmail's readers know by heart, made from our own results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/qmail_report.h"

#define REMOTE "mx.example[192.0.2.1]:25"
#define HOST   "host mx.example[192.0.2.1] "

static const struct {
	const char *why;
	bool sent;
	const char *relay, *dsn, *text;
	const char *safe; /* as the log has it */
} rows[] = {
	{ "taken by another server", true, REMOTE, "2.0.0",
	    "250 2.0.0 queued as 42",
	    "192.0.2.1_accepted_message./"
	    "Remote_host_said:_250_2.0.0_queued_as_42/" },
	{ "IPv6", true, "mx[2001:db8::1]:25", "2.0.0", "250 ok",
	    "2001:db8::1_accepted_message./Remote_host_said:_250_ok/" },
	{ "a mailbox", true, "local", "2.0.0", "delivered to maildir",
	    "did_1+0+0/" },
	{ "a dot file", true, "local", "2.0.0", "did 1+2+1/qp 701",
	    "did_1+2+1/qp_701/" },
	{ "an alias", true, "local", "2.0.0", "forwarded as 701",
	    "did_0+1+0/qp_701/" },
	{ "a command", true, "local", "2.0.0", "delivered to command: x",
	    "did_0+0+1/" },
	{ "a transport", true, "x", "2.0.0", "delivered via x service",
	    "did_0+0+1/" },
	{ "recipient, later", false, REMOTE, "4.7.1",
	    HOST "said: 451 4.7.1 greylisted (in reply to RCPT TO command)",
	    "192.0.2.1_does_not_like_recipient./"
	    "Remote_host_said:_451_4.7.1_greylisted/"
	    "Giving_up_on_192.0.2.1./" },
	{ "recipient, in two lines", false, REMOTE, "5.1.1",
	    HOST "said: 550-5.1.1 no such user 550 go away"
		 " (in reply to RCPT TO command)",
	    "192.0.2.1_does_not_like_recipient./"
	    "Remote_host_said:_550-5.1.1_no_such_user/550_go_away/"
	    "Giving_up_on_192.0.2.1./" },
	{ "three lines, other numbers among the words", false, REMOTE, "5.1.1",
	    HOST "said: 550-a 250 b 550-c 550d 550 e (in reply to DATA"
		 " command)",
	    "192.0.2.1_failed_on_DATA_command./"
	    "Remote_host_said:_550-a_250_b/550-c_550d/550_e/" },
	{ "lines without a last one", false, REMOTE, "5.1.1",
	    HOST "said: 550-a b 55 (in reply to DATA command)",
	    "192.0.2.1_failed_on_DATA_command./"
	    "Remote_host_said:_550-a_b_55/" },
	{ "sender", false, REMOTE, "5.7.1",
	    HOST "said: 550 no (in reply to MAIL FROM command)",
	    "Connected_to_192.0.2.1_but_sender_was_rejected./"
	    "Remote_host_said:_550_no/" },
	{ "message", false, REMOTE, "5.7.1",
	    HOST "said: 554 spam (in reply to end of DATA command)",
	    "192.0.2.1_failed_after_I_sent_the_message./"
	    "Remote_host_said:_554_spam/" },
	{ "a greeting of 554 is for later", false, REMOTE, "4.0.0",
	    HOST "refused to talk to me: 554 no way",
	    "Connected_to_192.0.2.1_but_greeting_failed./"
	    "Remote_host_said:_554_no_way/" },
	{ "our name", false, REMOTE, "5.0.0",
	    HOST "refused to talk to me: 550 who",
	    "Connected_to_192.0.2.1_but_my_name_was_rejected./"
	    "Remote_host_said:_550_who/" },
	{ "nobody there", false, "none", "4.4.1",
	    "connect to mx.example[192.0.2.1]:25: Connection refused",
	    "Sorry,_I_wasn't_able_to_establish_an_SMTP_connection._(#4.4.1)/"
	    "connect_to_mx.example[192.0.2.1]:25:_Connection_refused/" },
	{ "lost", false, REMOTE, "4.4.2",
	    "lost connection with mx[192.0.2.1] while sending RCPT TO",
	    "Connected_to_192.0.2.1_but_connection_died._(#4.4.2)/"
	    "lost_connection_with_mx[192.0.2.1]_while_sending_RCPT_TO/" },
	{ "lost after the dot", false, REMOTE, "4.4.2",
	    "conversation with mx[192.0.2.1] timed out while sending end of"
	    " data -- message may be sent more than once",
	    "Connected_to_192.0.2.1_but_connection_died."
	    "_Possible_duplicate!_(#4.4.2)/"
	    "conversation_with_mx[192.0.2.1]_timed_out_while_sending_end_of"
	    "_data_--_message_may_be_sent_more_than_once/" },
	{ "no such mailbox", false, "local", "5.1.1", "unknown user: \"x\"",
	    "Sorry,_no_mailbox_here_by_that_name._(#5.1.1)/"
	    "unknown_user:_\"x\"/" },
	{ "no such domain", false, "none", "5.4.4",
	    "Host or domain name not found. no.example does not exist",
	    "Sorry,_I_couldn't_find_a_mail_exchanger_or_IP_address._(#5.4.4)/"
	    "Host_or_domain_name_not_found._no.example_does_not_exist/" },
	{ "no resolver", false, "none", "4.4.3",
	    "Host or domain name not found. The resolver does not answer",
	    "Sorry,_I_couldn't_find_any_host_by_that_name._(#4.1.2)/"
	    "Host_or_domain_name_not_found._The_resolver_does_not_answer/" },
	{ "too long in the queue", false, REMOTE, "5.4.7",
	    "delivery time expired: " HOST
	    "said: 451 later (in reply to RCPT TO command)",
	    "192.0.2.1_does_not_like_recipient./Remote_host_said:_451_later/"
	    "Giving_up_on_192.0.2.1./"
	    "I'm_not_going_to_try_again;_this_message_has_been_in_the_queue"
	    "_too_long./" },
	{ "words of a program", false, "local", "4.3.0",
	    "Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0)",
	    "Uh-oh:_.qmail_has_prog_delivery_but_has_x_bit_set._(#4.7.0)/" },
	{ "words of ours", false, "local", "4.3.0", "no\nhome\n\n",
	    "no/home/(#4.3.0)/" },
	{ "what a terminal obeys, percent, 8-bit", false, "local", "4.3.0",
	    "a\x1b[1m%s\t\xc3\xa9(#4.3.0)", "a_[1m_s___(#4.3.0)/" },
	{ "nothing said", false, "local", "4.3.0", "", "" },
	{ "a bracket that does not close", true, "mx[", "2.0.0", "250",
	    "_accepted_message./Remote_host_said:_250/" },
};

static void
test_rows(void **state)
{
	char buf[QMAIL_REPORT_BYTES_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wr w = wr_of(buf, sizeof(buf) - 1);
		const struct qmail_report r = {
			.sent = rows[i].sent,
			.relay = slice_str(rows[i].relay),
			.dsn = slice_str(rows[i].dsn),
			.text = slice_str(rows[i].text),
		};

		qmail_report_put(&r, &w);
		assert_false(w.full);
		qmail_safe(buf, w.len);
		buf[w.len] = '\0';
		if (strcmp(buf, rows[i].safe) != 0)
			fail_msg("%s: %s", rows[i].why, buf);
	}
}

/* The longest text that may come, cut anywhere and full of lines: always
 * within the bound, no empty line. */
static void
test_longest(void **state)
{
	char text[1100], buf[QMAIL_REPORT_BYTES_MAX];
	static const char *const begins[] = { "connect to ", HOST "said: 550-",
		"delivery time expired: " HOST "said: 550-", "\n\n", "",
		"conversation with " };

	(void)state;
	for (size_t b = 0; b < sizeof(begins) / sizeof(begins[0]); b++)
		for (size_t len = 0; len < sizeof(text); len++) {
			struct wr w = wr_of(buf, sizeof(buf));
			struct qmail_report r = {
				.relay = SLICE_LIT(REMOTE),
				.dsn = SLICE_LIT("5.1.1"),
			};
			size_t head = strlen(begins[b]);

			memset(text, ' ', sizeof(text));
			for (size_t i = 0; i + 5 < sizeof(text); i += 5)
				memcpy(text + i, " 550-", 5);
			memcpy(text, begins[b], head);
			r.text = slice_of(text, len);
			qmail_report_put(&r, &w);
			assert_false(w.full);
			for (size_t i = 1; i < w.len; i++)
				assert_false(
				    buf[i] == '\n' && buf[i - 1] == '\n');
			assert_true(w.len == 0 || buf[w.len - 1] == '\n');
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
