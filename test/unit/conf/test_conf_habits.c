/*
 * What somebody writes who comes from another mail system: the message says
 * what is right here.
 */
#include "conf_test.h"

static const struct {
	const char *text;
	const char *message;
	bool is_warning;
} rows[] = {
	/* names of Postfix */
	{ "inet_interfaces = loopback-only\n",
	    "f:1: inet_interfaces: value \"loopback-only\": a parameter of "
	    "Postfix (smtp_listen has addresses with their ports, such as "
	    "*:25 or 127.0.0.1:25); leave it out",
	    false },
	{ "smtpd_recipient_restrictions = permit_mynetworks\n",
	    "f:1: smtpd_recipient_restrictions: value \"permit_mynetworks\": a "
	    "parameter of Postfix (built in: known recipients, and relaying "
	    "for mynetworks only; tests that go further have no counterpart); "
	    "leave it out",
	    false },
	{ "smtpd_tls_cert_file = /x\n",
	    "f:1: smtpd_tls_cert_file: value \"/x\": a parameter of Postfix "
	    "(no TLS and no sign-in yet); leave it out",
	    false },
	{ "readme_directory = no\n",
	    "f:1: readme_directory: value \"no\": a parameter of Postfix "
	    "without meaning here; leave it out",
	    false },
	{ "smtpd_banner = $myhostname ESMTP $mail_name\n",
	    "f:1: smtpd_banner: value \"$myhostname ESMTP $mail_name\": "
	    "$mail_name is no parameter; write its value, or $$ for a dollar "
	    "sign",
	    false },
	/* tables and files */
	{ "virtual_alias_maps = mysql:/etc/x.cf\n",
	    "f:1: virtual_alias_maps: value \"mysql:/etc/x.cf\": there are no "
	    "tables of this type; write text:, cdb:, lmdb:, hash:, inline: or "
	    "static: with what belongs to it",
	    false },
	{ "transport_maps = /etc/transport\n",
	    "f:1: transport_maps: value \"/etc/transport\": no type before the "
	    "path; write text:/etc/transport, or cdb: or lmdb: for what "
	    "postmap makes of it",
	    false },
	{ "mydestination = a.b, /etc/names\n",
	    "f:1: mydestination: value \"/etc/names\": no type before the "
	    "path; write text:/etc/names, and in the file a domain and any "
	    "value in each line",
	    false },
	{ "myorigin = /etc/mailname\n",
	    "f:1: myorigin: value \"/etc/mailname\": a file is not read here; "
	    "write the name that stands in it",
	    false },
	/* next hops */
	{ "relayhost = smtp:[a.b]:587\n",
	    "f:1: relayhost: value \"smtp:[a.b]:587\": a transport cannot "
	    "stand here; write [a.b]:587",
	    false },
	{ "mailbox_transport = unix:/run/lmtp\n",
	    "f:1: mailbox_transport: value \"unix:/run/lmtp\": no transport "
	    "before it; write lmtp: or smtp: and then this",
	    false },
	/* comments behind values */
	{ "mydestination = a.b # my own\n",
	    "f:1: mydestination: value \"#\": a comment cannot stand behind a "
	    "value; write it on a line of its own",
	    false },
	{ "soft_bounce = no # yet\n",
	    "f:1: soft_bounce: value \"no # yet\": a comment cannot stand "
	    "behind a value; write it on a line of its own",
	    false },
	/* mailboxes */
	{ "home_mailbox = ~/Maildir/\n",
	    "f:1: home_mailbox: value \"~/Maildir/\": it begins in the home "
	    "directory by itself; write it without ~/",
	    false },
	{ "home_mailbox = Maildir\n",
	    "f:1: home_mailbox: value \"Maildir\": without a slash at its end "
	    "it is an mbox file; write Maildir/ for a Maildir",
	    true },
	{ "mail_spool_directory = /var/mail\n",
	    "f:1: mail_spool_directory: value \"/var/mail\": not used while "
	    "home_mailbox is Maildir/, its default; write home_mailbox = with "
	    "nothing behind it, too",
	    true },
	/* trust */
	{ "default_privs = root\n",
	    "f:1: default_privs: value \"root\": commands are never run as "
	    "root; write the name of another user",
	    false },
	{ "mynetworks = !192.0.2.1, 0.0.0.0/0\n",
	    "f:1: mynetworks: value \"!192.0.2.1, 0.0.0.0/0\": 0.0.0.0/0 is "
	    "everybody, who may then send to any domain through this server; "
	    "write your own networks",
	    true },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct conf *c = test_load(rows[i].text);

		print_message("%s\n", rows[i].text);
		assert_int_equal(c != NULL, rows[i].is_warning);
		assert_int_equal(test_report.count, 1);
		assert_int_equal(test_report.error_count, !rows[i].is_warning);
		assert_string_equal(test_report.messages[0].text,
		    rows[i].message);
		test_end(c);
	}
}

/* What looks like one of them and is right. */
static void
test_silent(void **state)
{
	static const char *const texts[] = {
		"smtpd_banner = $myhostname is # 1\n",
		"home_mailbox =\nmail_spool_directory = /var/mail\n",
		"home_mailbox = Maildir/\nmail_spool_directory = /var/mail\n",
		"mynetworks = !0.0.0.0/0\n",
		"mailbox_transport = lmtp:unix:/run/lmtp\n",
		"relayhost = smtp:25\n", /* a host of that name */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const struct conf *c = test_load(texts[i]);

		print_message("%s\n", texts[i]);
		assert_non_null(c);
		assert_int_equal(test_report.count, 0);
		test_end(c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
