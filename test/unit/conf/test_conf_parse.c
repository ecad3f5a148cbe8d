/*
 * The syntax of weir.conf: what it means, and the message of every error.
 */
#include "conf_test.h"

#include "conf/load.h"

static void
test_syntax(void **state)
{
	static const struct {
		const char *why, *text, *helo;
	} rows[] = {
		{ "plain", "smtp_helo_name = a.b\n", "a.b" },
		{ "no newline at the end", "smtp_helo_name = a.b", "a.b" },
		{ "no blanks", "smtp_helo_name=a.b\n", "a.b" },
		{ "blanks at the end", "smtp_helo_name = a.b \t \n", "a.b" },
		{ "CRLF", "smtp_helo_name = a.b\r\n", "a.b" },
		{ "the value on the next line", "smtp_helo_name =\n  a.b\n",
		    "a.b" },
		{ "comments and empty lines within a definition",
		    "smtp_helo_name =\n# one\n\n  # two\n\ta.b\n", "a.b" },
		{ "name by name",
		    "myhostname = x.y\n"
		    "smtp_helo_name = m.$myhostname\n",
		    "m.x.y" },
		{ "the order does not matter",
		    "smtp_helo_name = ${myhostname}\nmyhostname = x.y\n",
		    "x.y" },
		{ "the domain follows the name",
		    "myhostname = x.y.z\nsmtp_helo_name = $mydomain\n", "y.z" },
		{ "a name without a domain",
		    "myhostname = x\nsmtp_helo_name = $mydomain\n",
		    "localdomain" },
		{ "the name follows the domain, as in Postfix",
		    "mydomain = y.z\nmyhostname = m.$mydomain\n", "m.y.z" },
		{ "if set",
		    "relayhost = r\n"
		    "smtp_helo_name = ${relayhost?yes.y}\n",
		    "yes.y" },
		{ "if not set", "smtp_helo_name = ${relayhost:no.n}\n",
		    "no.n" },
		{ "one or the other, set",
		    "relayhost = r\n"
		    "smtp_helo_name = ${relayhost?{y.y}:{n.n}}\n",
		    "y.y" },
		{ "one or the other, not set",
		    "smtp_helo_name = ${relayhost?{y.y}:{n.n}}\n", "n.n" },
		{ "names within",
		    "smtp_helo_name = "
		    "${relayhost:${smtp_bind_address:$mydomain}}\n"
		    "mydomain = q.q\n",
		    "q.q" },
		{ "the last one holds",
		    "smtp_helo_name = a\n"
		    "smtp_helo_name = b\n",
		    "b" },
		{ "the name of a control file", "helohost = c.c\n", "c.c" },
		{ "the parameter's own name beats it",
		    "smtp_helo_name = d.d\nhelohost = c.c\n", "d.d" },
		{ "an address literal", "smtp_helo_name = [192.0.2.1]\n",
		    "[192.0.2.1]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct conf *c = test_load(rows[i].text);

		print_message("%s\n", rows[i].why);
		if (c == NULL)
			print_message("%s\n", test_report.messages[0].text);
		assert_non_null(c);
		assert_string_equal(c->smtp_helo_name, rows[i].helo);
		test_end(c);
	}
}

static const struct {
	const char *text, *message;
} errors[] = {
	/* syntax */
	{ "smtpd_timeout 5s\n",
	    "f:1: smtpd_timeout: value \"smtpd_timeout 5s\": no = in it; write "
	    "name = value" },
	{ "\n\n= 5s\n",
	    "f:3: : value \"5s\": not a name before the =; write name = "
	    "value" },
	{ "two words = 5s\n",
	    "f:1: two words: value \"5s\": not a name before the =; write name "
	    "= value" },
	{ "  x = y\n",
	    "f:1: : value \"x = y\": it continues a line, and there is none "
	    "above; begin it in the first column" },
	{ "smtpd_tiemout = 5s\n",
	    "f:1: smtpd_tiemout: value \"5s\": unknown parameter; did you mean "
	    "smtpd_timeout?" },
	{ "frobnicate = 1\n",
	    "f:1: frobnicate: value \"1\": unknown parameter; weir.conf(5) "
	    "lists those there are" },
	{ "x\x1b[2J = \x07\xff\n",
	    "f:1: x\\x1b[2J: value \"\\x07\\xff\": not a name before the =; "
	    "write name = value" },
	/* names */
	{ "myorigin = $myhostnam\n",
	    "f:1: myorigin: value \"$myhostnam\": $myhostnam is no parameter; "
	    "did you mean $myhostname?" },
	{ "myorigin = $frobnicate\n",
	    "f:1: myorigin: value \"$frobnicate\": $frobnicate is no "
	    "parameter; write its value, or $$ for a dollar sign" },
	{ "myorigin = a$\n",
	    "f:1: myorigin: value \"a$\": no name after $; write $$ for a "
	    "dollar sign" },
	{ "myorigin = ${myhostname\n",
	    "f:1: myorigin: value \"${myhostname\": no } after ${; write "
	    "${name}" },
	{ "myorigin = ${}\n",
	    "f:1: myorigin: value \"${}\": no name after ${; write ${name}, "
	    "${name?text} or ${name:text}" },
	{ "myorigin = ${myhostname!x}\n",
	    "f:1: myorigin: value \"${myhostname!x}\": no name after ${; write "
	    "${name}, ${name?text} or ${name:text}" },
	{ "myorigin = $myorigin\n",
	    "f:1: myorigin: value \"$myorigin\": $names stand for each other "
	    "more than 16 deep; write a value that does not lead back to "
	    "itself" },
	/* numbers */
	{ "smtpd_timeout = soon\n",
	    "f:1: smtpd_timeout: value \"soon\": not a time; write a number "
	    "with ms, s, m, h, d or w" },
	{ "smtpd_timeout =\n",
	    "f:1: smtpd_timeout: value \"\": not a time; write a number with "
	    "ms, s, m, h, d or w" },
	{ "smtpd_timeout = 5x\n",
	    "f:1: smtpd_timeout: value \"5x\": unknown unit; write a number "
	    "with ms, s, m, h, d or w" },
	{ "smtpd_timeout = 999ms\n",
	    "f:1: smtpd_timeout: value \"999ms\": below the least; write 1s to "
	    "1d" },
	{ "smtpd_timeout = 25h\n",
	    "f:1: smtpd_timeout: value \"25h\": above the most; write 1s to "
	    "1d" },
	{ "smtpd_timeout = 99999999999999999999s\n",
	    "f:1: smtpd_timeout: value \"99999999999999999999s\": above the "
	    "most; write 1s to 1d" },
	{ "smtpd_timeout = 9223372036854775807w\n",
	    "f:1: smtpd_timeout: value \"9223372036854775807w\": above the "
	    "most; write 1s to 1d" },
	{ "memory_budget = 31M\n",
	    "f:1: memory_budget: value \"31M\": below the least; write 32M to "
	    "1T" },
	{ "memory_budget = 1B\n",
	    "f:1: memory_budget: value \"1B\": unknown unit; write a number, "
	    "with K, M, G or T if you like" },
	{ "hopcount_limit = -1\n",
	    "f:1: hopcount_limit: value \"-1\": not a number; write a "
	    "number" },
	{ "hopcount_limit = 0\n",
	    "f:1: hopcount_limit: value \"0\": below the least; write 1 to "
	    "10000" },
	{ "hopcount_limit = 1k\n",
	    "f:1: hopcount_limit: value \"1k\": unknown unit; write a "
	    "number" },
	{ "unproven_share = 101 %\n",
	    "f:1: unproven_share: value \"101 %\": above the most; write 1 to "
	    "100" },
	{ "soft_bounce = maybe\n",
	    "f:1: soft_bounce: value \"maybe\": neither yes nor no; write one "
	    "of them" },
	{ "log_format = xml\n",
	    "f:1: log_format: value \"xml\": unknown word; write one of: "
	    "postfix qmail json" },
	{ "log_destination = /var/log/x\n",
	    "f:1: log_destination: value \"/var/log/x\": unknown word; write "
	    "stderr, syslog or multilog:/DIR [sSIZE] [nNUM]" },
	{ "retry_schedule = linear\n",
	    "f:1: retry_schedule: value \"linear\": unknown word; write one "
	    "of: exponential quadratic" },
	/* texts */
	{ "smtpd_banner = a\x01\n",
	    "f:1: smtpd_banner: value \"a\\x01\": not printable ASCII; write "
	    "plain text" },
	{ "syslog_name = a b\n",
	    "f:1: syslog_name: value \"a b\": a character that cannot be here; "
	    "write letters, digits, - _ and ." },
	{ "syslog_name =\n",
	    "f:1: syslog_name: value \"\": empty; write letters, digits, - _ "
	    "and ." },
	{ "syslog_name = 123456789012345678901234567890123\n",
	    "f:1: syslog_name: value \"123456789012345678901234567890123\": "
	    "too long; write letters, digits, - _ and ." },
	{ "myhostname = a..b\n",
	    "f:1: myhostname: value \"a..b\": not a host name; write a name "
	    "such as mail.example.org" },
	{ "doublebounceto = a@b\n",
	    "f:1: doublebounceto: value \"a@b\": a character that cannot be "
	    "here; write what stands before the @ of an address" },
	{ "recipient_delimiter = @\n",
	    "f:1: recipient_delimiter: value \"@\": a character that cannot be "
	    "here; write some of + - _ = . # ~ ^, or nothing" },
	{ "queue_directory = spool\n",
	    "f:1: queue_directory: value \"spool\": not an absolute path; "
	    "write one that begins with /" },
	{ "queue_directory =\n",
	    "f:1: queue_directory: value \"\": not an absolute path; write one "
	    "that begins with /" },
	{ "home_mailbox = /x/\n",
	    "f:1: home_mailbox: value \"/x/\": an absolute path; write one "
	    "below the home directory" },
	{ "home_mailbox = a/../../x/\n",
	    "f:1: home_mailbox: value \"a/../../x/\": it leaves the home "
	    "directory; write a path without .." },
	{ "smtp_bind_address = ::1\n",
	    "f:1: smtp_bind_address: value \"::1\": not an IPv4 address; write "
	    "one, or nothing" },
	{ "smtp_bind_address6 = 127.0.0.1\n",
	    "f:1: smtp_bind_address6: value \"127.0.0.1\": not an IPv6 "
	    "address; write one, or nothing" },
	{ "relayhost = [mail.example.org\n",
	    "f:1: relayhost: value \"[mail.example.org\": no ]; write "
	    "[HOST]:PORT" },
	/* lists: the item is named, not the whole list */
	{ "mynetworks = 127.0.0.0/8, 10.0.0.1/8\n",
	    "f:1: mynetworks: value \"10.0.0.1/8\": bits are set after the "
	    "first 8; write the network's own address, with zeros there" },
	{ "mynetworks = 10.0.0.0/33\n",
	    "f:1: mynetworks: value \"10.0.0.0/33\": not a prefix length; "
	    "write 0 to 32 after the slash" },
	{ "mynetworks = host\n",
	    "f:1: mynetworks: value \"host\": not an address or network; write "
	    "192.0.2.0/24, [2001:db8::]/32 or an address" },
	{ "smtp_listen = 127.0.0.1\n",
	    "f:1: smtp_listen: value \"127.0.0.1\": no port; write "
	    "ADDRESS:PORT, *:PORT, [IPv6]:PORT or unix:/PATH" },
	{ "smtp_listen = 127.0.0.1:0\n",
	    "f:1: smtp_listen: value \"127.0.0.1:0\": not a port; write a "
	    "number from 1 to 65535 after the last colon" },
	{ "smtp_listen = localhost:25\n",
	    "f:1: smtp_listen: value \"localhost:25\": not an address; write "
	    "an IPv4 address, [IPv6] or * before the port" },
	{ "smtp_listen = unix:sock\n",
	    "f:1: smtp_listen: value \"unix:sock\": the path of a socket is "
	    "absolute; write unix:/PATH" },
	{ "resolver_addresses = ns.example.org\n",
	    "f:1: resolver_addresses: value \"ns.example.org\": not an "
	    "address; write ADDRESS, ADDRESS:PORT or [IPv6]:PORT" },
	{ "mydestination = a b_c, d..e\n",
	    "f:1: mydestination: value \"d..e\": not a domain; write DOMAIN, "
	    ".SUFFIX or a table such as text:/PATH" },
	{ "transport_maps = x\n",
	    "f:1: transport_maps: value \"x\": not a table; write text:, cdb:, "
	    "lmdb:, hash:, inline: or static: with what belongs to it" },
	{ "transport_maps = text:etc/transport\n",
	    "f:1: transport_maps: value \"text:etc/transport\": not an "
	    "absolute path; write one that begins with /" },
	{ "transport_maps = text:\n",
	    "f:1: transport_maps: value \"text:\": nothing after the colon; "
	    "write TYPE:PATH, inline:{ key = value } or static:VALUE" },
	{ "transport_maps = inline:{ a = b\n",
	    "f:1: transport_maps: value \"inline:{ a = b\": braces do not "
	    "match; write a } for every {" },
	{ "transport_maps = inline:a=b\n",
	    "f:1: transport_maps: value \"inline:a=b\": no braces; write "
	    "inline:{ key = value, ... }" },
	{ "transport_maps = inline:{ a = b, {c = d}, e }\n",
	    "f:1: transport_maps: value \"inline:{ a = b, {c = d}, e }\": "
	    "entry 3 has no key or no value; write key = value, separated by "
	    "commas" },
	{ "mydestination = a } b\n",
	    "f:1: mydestination: value \"} b\": braces do not match; write a } "
	    "for every {" },
	{ "badmailfrom = a@b.test, example.org\n",
	    "f:1: badmailfrom: value \"example.org\": not a sender; write "
	    "USER@DOMAIN or @DOMAIN" },
	{ "badmailfrom = a@b..c\n",
	    "f:1: badmailfrom: value \"a@b..c\": not a sender; write "
	    "USER@DOMAIN or @DOMAIN" },
	{ "smtproutes = example.org\n",
	    "f:1: smtproutes: value \"example.org\": no colon; write "
	    "DOMAIN:HOST or DOMAIN:HOST:PORT" },
	{ "smtproutes = a..b:c\n",
	    "f:1: smtproutes: value \"a..b:c\": not a domain before the "
	    "colon; write DOMAIN, .SUFFIX or nothing there" },
	{ "smtproutes = a:b..c\n",
	    "f:1: smtproutes: value \"a:b..c\": not a host after the colon; "
	    "write HOST, [ADDRESS] or nothing there" },
	{ "virtualdomains = example.org\n",
	    "f:1: virtualdomains: value \"example.org\": no colon; write "
	    "DOMAIN:PREPEND or USER@DOMAIN:PREPEND" },
	{ "virtualdomains = a..b:joe\n",
	    "f:1: virtualdomains: value \"a..b:joe\": not a domain before "
	    "the colon; write USER@DOMAIN, DOMAIN, .SUFFIX or nothing there" },
	{ "virtualdomains = a.test:jo@e\n",
	    "f:1: virtualdomains: value \"a.test:jo@e\": not the beginning "
	    "of a local part after the colon; write a user name, or nothing "
	    "for an exception" },
	{ "smtproutes = a:b:smtp\n",
	    "f:1: smtproutes: value \"a:b:smtp\": not a port; write a number "
	    "from 1 to 65535 after the last colon" },
	{ "defer_transports = smtp, uucp\n",
	    "f:1: defer_transports: value \"smtp, uucp\": there is no "
	    "transport uucp; write local, virtual, smtp, lmtp, relay, error or "
	    "discard, or define it: transport uucp = pipe ..." },
	{ "transport procmail = pipe user=u argv=/x\n"
	  "defer_transports = procmal\n",
	    "f:2: defer_transports: value \"procmal\": there is no transport "
	    "procmal; did you mean procmail?" },
	{ "virtual_transport = lmpt:unix:/run/x\n",
	    "f:1: virtual_transport: value \"lmpt:unix:/run/x\": there is "
	    "no transport lmpt; did you mean lmtp?" },
	{ "mailbox_transport = error:no\n",
	    "f:1: mailbox_transport: value \"error:no\": transport error is "
	    "for transport_maps; write TRANSPORT:NEXTHOP, such as "
	    "lmtp:unix:/PATH" },
	{ "mailbox_transport = lmtp:unix:\n",
	    "f:1: mailbox_transport: value \"lmtp:unix:\": the path of a "
	    "socket is absolute; write unix:/PATH" },
	{ "fallback_transport = relay:[h\n",
	    "f:1: fallback_transport: value \"relay:[h\": no ]; write "
	    "[HOST]:PORT" },
	/* transports */
	{ "transport smtp = pipe user=u argv=/x\n",
	    "f:1: transport: value \"smtp\": the name is taken; write another "
	    "one" },
	{ "transport command = pipe user=u argv=/x\n",
	    "f:1: transport: value \"command\": the name is taken; write "
	    "another one" },
	{ "transport a b = pipe user=u argv=/x\n",
	    "f:1: transport: value \"a b\": not the name of a transport; write "
	    "letters, digits, - and _" },
	{ "transport t23456789012345678901234567890123 = pipe user=u argv=/x\n",
	    "f:1: transport: value \"t23456789012345678901234567890123\": the "
	    "name of a transport has 1 to 32 characters; write transport NAME "
	    "= pipe ..." },
	{ "transport t = local\n",
	    "f:1: transport t: value \"local\": not a pipe; write pipe "
	    "user=NAME argv=/path arguments" },
	{ "transport t =\n",
	    "f:1: transport t: value \"\": not a pipe; write pipe user=NAME "
	    "argv=/path arguments" },
	{ "\ntransport t =\n  pipe user=u\n",
	    "f:2: transport t: value \"pipe user=u\": argv= is missing; write "
	    "pipe user=NAME argv=/path arguments" },
	{ "transport t = pipe argv=/x user=u\n",
	    "f:1: transport t: value \"pipe argv=/x user=u\": user= is "
	    "missing; "
	    "write pipe user=NAME argv=/path arguments" },
	{ "transport t = pipe user=root argv=/x\n",
	    "f:1: transport t: value \"pipe user=root argv=/x\": commands are "
	    "never run as root; write the name of another user" },
	{ "transport t = pipe user=u: argv=/x\n",
	    "f:1: transport t: value \"pipe user=u: argv=/x\": not a user "
	    "after "
	    "user=; write user=NAME or user=NAME:GROUP" },
	{ "transport t = pipe user=u user=v argv=/x\n",
	    "f:1: transport t: value \"pipe user=u user=v argv=/x\": user= "
	    "twice; write it once" },
	{ "transport t = pipe user=u flags=DZ argv=/x\n",
	    "f:1: transport t: value \"pipe user=u flags=DZ argv=/x\": unknown "
	    "flag \"Z\"; write some of BDFORXhqu.>" },
	{ "transport t = pipe user=u argv=x\n",
	    "f:1: transport t: value \"pipe user=u argv=x\": argv= begins with "
	    "the absolute path of a program; write argv=/path arguments" },
	{ "transport t = pipe user=u argv=\n",
	    "f:1: transport t: value \"pipe user=u argv=\": argv= begins with "
	    "the absolute path of a program; write argv=/path arguments" },
	{ "transport t = pipe user=u argv=/$user\n",
	    "f:1: transport t: value \"pipe user=u argv=/$user\": argv= begins "
	    "with the absolute path of a program; write argv=/path arguments" },
	{ "transport t = pipe user=u argv=/x ${recipent}\n",
	    "f:1: transport t: value \"pipe user=u argv=/x ${recipent}\": "
	    "unknown name $recipent in an argument; weir.conf(5) lists the "
	    "names, and $$ is a dollar sign" },
	{ "transport t = pipe user=u argv=/x {a b\n",
	    "f:1: transport t: value \"pipe user=u argv=/x {a b\": braces do "
	    "not match; write {words of one argument}" },
	{ "transport t = pipe user=u directory=x argv=/x\n",
	    "f:1: transport t: value \"pipe user=u directory=x argv=/x\": not "
	    "an absolute path after directory=; write directory=/PATH" },
	{ "transport t = pipe user=u chroot=/x argv=/x\n",
	    "f:1: transport t: value \"pipe user=u chroot=/x argv=/x\": "
	    "unknown "
	    "word chroot=/x; write user=, flags=, directory=, null_sender= "
	    "and, last, argv=" },
	{ "transport t = pipe user=u flags=DR argv=/x\n",
	    "f:1: transport t: value \"pipe user=u flags=DR argv=/x\": flags D "
	    "and O need one recipient at a time; write "
	    "t_destination_recipient_limit = 1" },
	{ "t_time_limit = 0\ntransport t = pipe user=u argv=/x\n",
	    "f:1: t_time_limit: value \"0\": below the least; write 1s to 1d" },
	/* t_time_limit is wrong only because of it: one message */
	{ "command_time_limit = 5x\ntransport t = pipe user=u argv=/x\n",
	    "f:1: command_time_limit: value \"5x\": unknown unit; write a "
	    "number with ms, s, m, h, d or w" },
	{ "smpt_destination_concurrency_limit = 3\n",
	    "f:1: smpt_destination_concurrency_limit: value \"3\": unknown "
	    "parameter; did you mean smtp_destination_concurrency_limit?" },
	{ "transport = pipe user=u argv=/x\n",
	    "f:1: transport: value \"pipe user=u argv=/x\": unknown parameter; "
	    "weir.conf(5) lists those there are" },
	{ "authorized_queue_users = a:b\n",
	    "f:1: authorized_queue_users: value \"a:b\": a character that "
	    "cannot be here; write user names" },
	{ "mailbox_delivery_lock = lockf\n",
	    "f:1: mailbox_delivery_lock: value \"lockf\": unknown word; write "
	    "one of: fcntl flock dotlock" },
	/* several values together */
	{ "minimal_backoff_time = 10s\nmaximal_backoff_time = 9s\n",
	    "f:1: minimal_backoff_time: value \"10s\": more than "
	    "maximal_backoff_time (9s); write less, or raise that" },
	{ "mydestination = a.b\nvirtual_mailbox_domains = A.b\n"
	  "virtual_mailbox_base = /x\nvirtual_mailbox_maps = static:%u/\n",
	    "f:2: virtual_mailbox_domains: value \"A.b\": A.b is also in "
	    "mydestination; write a domain in one of them" },
	{ "virtual_mailbox_domains = a.b\n"
	  "virtual_mailbox_maps = static:%u/\n",
	    "f:1: virtual_mailbox_domains: value \"a.b\": "
	    "virtual_mailbox_base is needed, too; write there the directory "
	    "of the mailboxes" },
	{ "virtual_mailbox_domains = a.b\nvirtual_mailbox_base = /x\n",
	    "f:1: virtual_mailbox_domains: value \"a.b\": "
	    "virtual_mailbox_maps is needed, too; write there a table such as "
	    "text:/etc/weir/mailboxes" },
	{ "home_mailbox =\nmail_spool_directory =\n",
	    "f:2: mail_spool_directory: value \"\": home_mailbox is empty too, "
	    "so users have no mailbox; write a directory" },
	{ "mailbox_delivery_lock =\n",
	    "f:1: mailbox_delivery_lock: value \"\": no lock at all would mix "
	    "messages in an mbox file; write fcntl, dotlock or both" },
	{ "inet_protocols =\n",
	    "f:1: inet_protocols: value \"\": no protocol at all; write "
	    "all" },
	{ "queue_directory = /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
	    "f:1: queue_directory: value \"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\": longer "
	    "than 90 bytes, too long for the sockets in it; write a shorter "
	    "path" },
};

static void
test_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		assert_null(test_load(errors[i].text));
		if (test_report.error_count != 1)
			print_message("%s\n", errors[i].text);
		assert_int_equal(test_report.error_count, 1);
		assert_true(test_report.messages[0].is_error);
		assert_string_equal(test_report.messages[0].text,
		    errors[i].message);
		assert_int_equal(test_acct.used_bytes, 0);
	}
}

static const struct {
	const char *text, *message;
} warnings[] = {
	{ "hopcount_limit = 5\n\nhopcount_limit = 6\n",
	    "f:3: hopcount_limit: value \"6\": defined again; this one holds, "
	    "that of f:1 does not" },
	{ "maximal_backoff_time = 9s\n",
	    "default:0: minimal_backoff_time: value \"300s\": the default "
	    "cannot hold beside maximal_backoff_time, so 9s holds" },
	{ "minimal_backoff_time = 2h\n",
	    "default:0: maximal_backoff_time: value \"4000s\": the default "
	    "cannot hold beside minimal_backoff_time, so 2h holds" },
	{ "delay_warning_time = 5d\n",
	    "f:1: delay_warning_time: value \"5d\": not before "
	    "maximal_queue_lifetime, so there is never a notice; write less" },
	{ "header_size_limit = 1048577\n",
	    "f:1: header_size_limit: value \"1048577\": more than "
	    "header_total_size_limit, so it bounds nothing; write at most "
	    "that" },
	{ "queue_size_limit = 10239999\n",
	    "f:1: queue_size_limit: value \"10239999\": less than "
	    "message_size_limit, so a message that is allowed may never fit; "
	    "write more, or lower that" },
	{ "mailbox_size_limit = 10239999\n",
	    "f:1: mailbox_size_limit: value \"10239999\": less than "
	    "message_size_limit, so a message that is allowed may never fit; "
	    "write more, or lower that" },
	{ "header_total_size_limit = 10240001\n",
	    "f:1: header_total_size_limit: value \"10240001\": more than "
	    "message_size_limit, so it bounds nothing; write less" },
	{ "smtpd_soft_error_limit = 21\n",
	    "f:1: smtpd_soft_error_limit: value \"21\": more than "
	    "smtpd_hard_error_limit, so no reply is ever slowed down; write "
	    "less" },
	{ "qmgr_message_recipient_limit = 999\n",
	    "f:1: qmgr_message_recipient_limit: value \"999\": less than "
	    "smtpd_recipient_limit, so one message can fill it; write more, "
	    "or lower that" },
	{ "smtpd_recipient_limit = 99\n",
	    "f:1: smtpd_recipient_limit: value \"99\": RFC 5321 4.5.3.1.8 asks "
	    "for at least 100; write 100 or more" },
	{ "initial_destination_concurrency = 21\n",
	    "f:1: initial_destination_concurrency: value \"21\": more than "
	    "default_destination_concurrency_limit, which holds instead; "
	    "write at most that" },
	{ "concurrency_incoming = 9\n"
	  "smtpd_client_connection_count_limit = 10\n",
	    "f:2: smtpd_client_connection_count_limit: value \"10\": more than "
	    "concurrency_incoming, so it bounds nothing; write less" },
	{ "virtual_mailbox_domains = a.b\nrelay_domains = A.B\n"
	  "virtual_mailbox_base = /x\nvirtual_mailbox_maps = static:%u/\n",
	    "f:2: relay_domains: value \"A.B\": a.b is also in "
	    "virtual_mailbox_domains, which holds; write it there only" },
};

static void
test_warnings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(warnings); i++) {
		const struct conf *c = test_load(warnings[i].text);

		assert_non_null(c);
		assert_int_equal(test_report.error_count, 0);
		assert_int_equal(test_report.warning_count, 1);
		assert_false(test_report.messages[0].is_error);
		assert_string_equal(test_report.messages[0].text,
		    warnings[i].message);
		test_end(c);
	}
}

static void
test_all_errors_are_told(void **state)
{
	char text[8192] = "";

	(void)state;
	assert_null(test_load("nosuch = 1\nhopcount_limit = x\n"
			      "mynetworks = a, 127.0.0.1, b\n"));
	assert_int_equal(test_report.error_count, 4);
	/* One more than is kept: counted, not kept. */
	for (int i = 0; i <= CONF_MESSAGE_COUNT_MAX; i++)
		strcat(text, "nosuch = 1\n");
	assert_null(test_load(text));
	assert_int_equal(test_report.error_count, CONF_MESSAGE_COUNT_MAX + 1);
	assert_int_equal(test_report.count, CONF_MESSAGE_COUNT_MAX);
}

/* A definition of exactly n bytes in several lines. */
static void
test_line_bound(void **state)
{
	(void)state;
	for (int d = -1; d <= 1; d++) {
		size_t n = (size_t)(CONF_LINE_BYTES_MAX + d);
		char *text = calloc(1, n + 2);
		const struct conf *c;

		/* "mydestination = a a a ... " of whole items */
		memset(text, ' ', n);
		memcpy(text, "mydestination =", 15);
		text[n - 1] = 'a';
		text[n] = '\n';
		c = test_load(text);
		assert_int_equal(c != NULL, d <= 0);
		if (c == NULL)
			assert_non_null(strstr(test_report.messages[0].text,
			    "longer than 65536 bytes; put lists into "
			    "tables"));
		test_end(c);
		free(text);
	}
}

static void
test_item_bound(void **state)
{
	char *text = calloc(1, 65536);

	(void)state;
	for (size_t n = CONF_ITEM_COUNT_MAX - 1; n <= CONF_ITEM_COUNT_MAX + 1;
	     n++) {
		const struct conf *c;

		strcpy(text, "mydestination =");
		for (size_t i = 0; i < n; i++)
			memcpy(text + 15 + 2 * i, " a", 3);
		c = test_load(text);
		assert_int_equal(c != NULL, n <= CONF_ITEM_COUNT_MAX);
		if (c != NULL)
			assert_int_equal(c->mydestination.count, n);
		else
			assert_non_null(strstr(test_report.messages[0].text,
			    "too many items; put the list into a table"));
		test_end(c);
	}
	free(text);
}

/* Names that double at every level: stopped by the bytes; names that stand
 * for nothing, many times: stopped by the steps. */
static void
test_expansion_bounds(void **state)
{
	char *text = calloc(1, 65536), *at = text;

	(void)state;
	at += sprintf(at, "smtpd_banner = ");
	for (int i = 0; i < 4000; i++)
		at += sprintf(at, "$myhostname ");
	(void)sprintf(at, "\nmyhostname = mailserver.example.org\n");
	assert_null(test_load(text));
	assert_non_null(strstr(test_report.messages[0].text,
	    "longer than 65536 bytes when expanded"));

	at = text + sprintf(text, "relayhost = ");
	for (int i = 0; i < 3000; i++)
		at += sprintf(at, "$smtp_bind_address");
	at += sprintf(at, "\nsmtpd_banner = ");
	for (int i = 0; i < 10; i++)
		at += sprintf(at, "$relayhost");
	assert_null(test_load(text));
	assert_non_null(strstr(test_report.messages[0].text,
	    "more than 20000 $names to replace"));
	free(text);
}

/* Every allocation fails once: ERR_NOMEM, nothing kept. */
static void
test_no_memory(void **state)
{
	const struct conf *c = NULL;
	enum err e = ERR_NOMEM;
	unsigned n;

	(void)state;
	test_begin();
	for (n = 1; n < 1000 && e != OK; n++) {
		mem_fail_after(n);
		e = conf_load_text(&test_acct,
		    SLICE_LIT("mynetworks = 10.0.0.0/8, 127.0.0.1\n"
			      "helohost = $mydomain\n"),
		    "f", &test_report, &c);
		mem_fail_after(0);
		if (e != OK)
			assert_int_equal(e, ERR_NOMEM);
		assert_int_equal(test_report.error_count, 0);
	}
	assert_int_equal(e, OK);
	assert_true(n > 3);
	test_end(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_all_errors_are_told),
		cmocka_unit_test(test_line_bound),
		cmocka_unit_test(test_item_bound),
		cmocka_unit_test(test_expansion_bounds),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
