/*
 * Configuration from files: weir.conf, -o, a control directory, a
 * descriptor; what beats what, and where a value is said to come from.
 */
#include "conf_test.h"

#include <errno.h>
#include <ftw.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/load.h"

static char dir[64];

static const char *
path(const char *name)
{
	static char buf[4][256];
	static unsigned n;

	n = (n + 1) % 4;
	(void)snprintf(buf[n], sizeof(buf[n]), "%s/%s", dir, name);
	return buf[n];
}

static void
write_file(const char *name, const char *text)
{
	FILE *f = fopen(path(name), "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int
remove_one(const char *name, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(name);
}

static int
setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/weir-conf-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	return mkdir(path("control"), 0755);
}

static int
teardown(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const struct conf *
load(const char *file, const char *const *options, size_t count)
{
	const struct conf *c = NULL;
	struct conf_input in = { file, options, count };

	test_begin();
	if (conf_load(&test_acct, &in, &test_report, &c) != OK) {
		assert_true(test_report.error_count > 0);
		return NULL;
	}
	return c;
}

/* weir.conf that names the control directory. */
static const struct conf *
load_control(const char *rest)
{
	char text[1024];

	(void)snprintf(text, sizeof(text), "control_directory = %s\n%s",
	    path("control"), rest);
	write_file("weir.conf", text);
	return load(path("weir.conf"), NULL, 0);
}

static const char *
source(const struct conf *c, const char *name)
{
	static char buf[CONF_SOURCE_BYTES];

	conf_source(c, name, buf);
	return buf;
}

static void
test_missing(void **state)
{
	const struct conf *c = load(path("nosuch.conf"), NULL, 0);

	(void)state;
	assert_null(c);
	assert_non_null(strstr(test_report.messages[0].text,
	    "nosuch.conf:0: weir.conf: value \""));
	assert_non_null(strstr(test_report.messages[0].text,
	    "cannot open: No such file or directory; give the path of a "
	    "readable file with -c"));
	assert_null(load(dir, NULL, 0));
	assert_non_null(strstr(test_report.messages[0].text,
	    "not a regular file; give the path"));
	assert_int_equal(test_acct.used_bytes, 0);
}

static void
test_not_text(void **state)
{
	FILE *f = fopen(path("nul.conf"), "w");

	(void)state;
	assert_int_equal(fwrite("a\0b", 1, 3, f), 3);
	assert_int_equal(fclose(f), 0);
	assert_null(load(path("nul.conf"), NULL, 0));
	assert_non_null(strstr(test_report.messages[0].text,
	    "holds a NUL byte; it must be plain text"));
	assert_int_equal(test_acct.used_bytes, 0);
}

static void
test_file_bound(void **state)
{
	(void)state;
	for (int d = -1; d <= 1; d++) {
		const struct conf *c;
		FILE *f = fopen(path("big.conf"), "w");

		for (int i = 0; i < CONF_FILE_BYTES_MAX + d; i++)
			(void)fputc(i % 64 == 63 ? '\n' : '#', f);
		assert_int_equal(fclose(f), 0);
		c = load(path("big.conf"), NULL, 0);
		assert_int_equal(c != NULL, d <= 0);
		if (c == NULL)
			assert_non_null(strstr(test_report.messages[0].text,
			    "larger than 1048576 bytes"));
		test_end(c);
	}
}

static void
test_options(void **state)
{
	static const char *const options[] = { "hopcount_limit=7",
		"smtpd_timeout = 9s", "helohost=o.o" };
	static const char *const bad[] = { "hopcount_limit=7", "nosuch=1",
		"smtpd_timeout" };
	const struct conf *c;

	(void)state;
	write_file("weir.conf", "hopcount_limit = 5\n\nsmtpd_timeout = 4s\n"
				"smtp_helo_name = f.f\nqueue_run_delay = 7s\n");
	c = load(path("weir.conf"), options, ARRAY_LEN(options));
	assert_non_null(c);
	assert_int_equal(c->hopcount_limit, 7);
	assert_int_equal(c->smtpd_timeout_ms, 9000);
	assert_string_equal(c->smtp_helo_name, "o.o");
	assert_string_equal(source(c, "smtpd_timeout"), "-o:2");
	assert_string_equal(source(c, "hopcount_limit"), "-o:1");
	assert_string_equal(source(c, "smtpd_soft_error_limit"), "default");
	assert_string_equal(source(c, "queue_run_delay") + strlen(dir),
	    "/weir.conf:5");
	assert_int_equal(test_report.count, 0);
	test_end(c);

	assert_null(load(path("weir.conf"), bad, ARRAY_LEN(bad)));
	assert_int_equal(test_report.error_count, 2);
	assert_string_equal(test_report.messages[0].text,
	    "-o:2: nosuch: value \"1\": unknown parameter; weir.conf(5) lists "
	    "those there are");
	assert_string_equal(test_report.messages[1].text,
	    "-o:3: smtpd_timeout: value \"smtpd_timeout\": no = in it; write "
	    "name = value");
}

static void
test_tables_must_exist(void **state)
{
	char text[512];
	const struct conf *c;

	(void)state;
	(void)snprintf(text, sizeof(text), "transport_maps = text:%s\n",
	    path("map"));
	write_file("weir.conf", text);
	assert_null(load(path("weir.conf"), NULL, 0));
	assert_non_null(strstr(test_report.messages[0].text,
	    "cannot read the file: No such file or directory; write the path "
	    "of a readable file"));
	write_file("map", "");
	c = load(path("weir.conf"), NULL, 0);
	assert_non_null(c);
	test_end(c);

	(void)snprintf(text, sizeof(text), "transport_maps = cdb:%s\n",
	    path("map"));
	write_file("weir.conf", text);
	assert_null(load(path("weir.conf"), NULL, 0));
	assert_non_null(strstr(test_report.messages[0].text,
	    "write the path without .cdb and make the file with postmap "
	    "cdb:PATH"));
	write_file("map.cdb", "");
	c = load(path("weir.conf"), NULL, 0);
	assert_non_null(c);
	test_end(c);

	(void)snprintf(text, sizeof(text), "transport_maps = lmdb:%s\n",
	    path("map"));
	write_file("weir.conf", text);
	assert_null(load(path("weir.conf"), NULL, 0));
	assert_non_null(strstr(test_report.messages[0].text,
	    "write the path without .lmdb and make the file with postmap "
	    "lmdb:PATH"));
}

/* ---- control directory ---- */

static void
test_control_defaults(void **state)
{
	const struct conf *c;

	(void)state;
	write_file("control/rcpthosts", "");
	c = load_control("myhostname = h.example\n");
	assert_non_null(c);
	assert_int_equal(c->maximal_queue_lifetime_ms, 604800000);
	assert_int_equal(c->bounce_queue_lifetime_ms, 604800000);
	assert_int_equal(c->smtpd_timeout_ms, 1200000);
	assert_int_equal(c->smtp_connect_timeout_ms, 60000);
	assert_int_equal(c->smtp_mail_timeout_ms, 1200000);
	assert_int_equal(c->smtp_quit_timeout_ms, 1200000);
	assert_int_equal(c->message_size_limit_bytes, 0);
	assert_int_equal(c->concurrency_local, 10);
	assert_int_equal(c->concurrency_remote, 20);
	assert_string_equal(c->recipient_delimiter, "-");
	assert_string_equal(c->smtpd_banner, "h.example ESMTP");
	assert_string_equal(c->defaulthost, "h.example");
	assert_string_equal(c->defaultdomain, "h.example"); /* not mydomain */
	assert_string_equal(c->plusdomain, "h.example");
	assert_string_equal(c->idhost, "h.example");
	assert_int_equal(c->mydestination.count, 1);
	assert_int_equal(c->relay_domains.count, 0);
	assert_true(c->rcpthosts_decide);
	assert_int_equal(c->morercpthosts.count, 0);
	assert_int_equal(c->percenthack.count, 0);
	assert_string_equal(c->localiphost, "h.example");
	assert_string_equal(source(c, "smtpd_timeout"), "qmail default");
	assert_int_equal(test_report.count, 0);
	test_end(c);
}

static void
test_control_files(void **state)
{
	const struct conf *c;

	(void)state;
	write_file("control/me", "me.example \t\nsecond line\n");
	write_file("control/locals", "# comment\nA.example\n\n b.example \n");
	write_file("control/rcpthosts", "r.example\n.sub.example\n");
	write_file("control/smtproutes",
	    "a.example:b.example:26\n:c.example\n");
	write_file("control/concurrencyremote", "255\n");
	write_file("control/queuelifetime", "3600");
	write_file("control/timeoutremote", "77\n");
	write_file("control/defaultdomain", "d.example\n");
	write_file("control/idhost", "id.example\n");
	write_file("control/smtpgreeting", "greet.example $NO relay\n");
	c = load_control("smtp_rcpt_timeout = 5s\n");
	assert_non_null(c);
	assert_string_equal(c->myhostname, "me.example");
	assert_string_equal(c->smtp_helo_name, "me.example");
	assert_string_equal(c->doublebouncehost, "me.example");
	assert_string_equal(c->defaultdomain, "d.example");
	assert_string_equal(c->idhost, "id.example");
	assert_string_equal(c->plusdomain, "me.example");
	assert_int_equal(c->mydestination.count, 2);
	assert_true(
	    conf_list_has_domain(&c->mydestination, SLICE_LIT("a.EXAMPLE")));
	assert_true(conf_list_has_domain(&c->relay_domains,
	    SLICE_LIT("x.sub.example")));
	assert_false(
	    conf_list_has_domain(&c->relay_domains, SLICE_LIT("sub.example")));
	assert_int_equal(c->smtproutes.count, 2);
	assert_int_equal(c->concurrency_remote, 255);
	assert_int_equal(c->maximal_queue_lifetime_ms, 3600000);
	assert_int_equal(c->smtp_mail_timeout_ms, 77000);
	assert_int_equal(c->smtp_rcpt_timeout_ms, 5000); /* set itself */
	assert_string_equal(c->smtpd_banner, "greet.example $NO relay ESMTP");
	assert_string_equal(source(c, "queue_directory"), "default");
	assert_string_equal(source(c, "concurrency_remote") + strlen(dir),
	    "/control/concurrencyremote:1");
	assert_int_equal(test_report.count, 0);
	test_end(c);

	/* weir.conf, also by the name of the file, beats the file. */
	c = load_control("concurrencyremote = 3\nqueuelifetime = 60\n");
	assert_non_null(c);
	assert_int_equal(c->concurrency_remote, 3);
	assert_int_equal(c->maximal_queue_lifetime_ms, 60000);
	test_end(c);
}

static void
test_control_warnings(void **state)
{
	static const struct {
		const char *why, *file, *text, *message;
	} rows[] = {
		{ "too small is raised", "timeoutsmtpd", "0\n",
		    "smtpd_timeout: value \"0\": out of bounds; 1s holds, "
		    "write 1s to 1d" },
		{ "too large is lowered", "concurrencylocal", "100000\n",
		    "concurrency_local: value \"100000\": out of bounds; 2000 "
		    "holds, write 0 to 2000" },
		{ "far too large", "concurrencylocal",
		    "99999999999999999999999999999999999999999999999999\n",
		    "concurrency_local: value \"999999999999999999999999999999"
		    "99999999999999999999\": out of bounds; 2000 holds, write "
		    "0 to 2000" },
		{ "empty", "databytes", "",
		    "message_size_limit: value \"\": empty; 0 holds, as in "
		    "qmail" },
		{ "text behind it", "timeoutsmtpd", "60 seconds\n",
		    "smtpd_timeout: value \"60 seconds\": text after the "
		    "number; write the number alone" },
		{ "fits no sender", "badmailfrom", "@a.example\nb.example\n",
		    "control/badmailfrom:2: badmailfrom: value \"b.example\": "
		    "not a sender; write USER@DOMAIN or @DOMAIN" },
		{ "not made", "morercpthosts", "a.example\n",
		    "morercpthosts: value \"\": there is no "
		    "morercpthosts.cdb, so it has no effect; make it with "
		    "qmail-newmrh" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char name[64];
		const struct conf *c;

		print_message("%s\n", rows[i].why);
		(void)snprintf(name, sizeof(name), "control/%s", rows[i].file);
		write_file(name, rows[i].text);
		c = load_control("");
		assert_non_null(c);
		assert_int_equal(test_report.warning_count, 1);
		assert_int_equal(test_report.error_count, 0);
		if (strstr(test_report.messages[0].text, rows[i].message) ==
		    NULL)
			fail_msg("%s", test_report.messages[0].text);
		test_end(c);
		assert_int_equal(unlink(path(name)), 0);
	}
}

static void
test_control_errors(void **state)
{
	static char many[80000];
	char want[512];

	(void)state;
	write_file("control/locals", "ok.example\nnot ok\n");
	assert_null(load_control(""));
	(void)snprintf(want, sizeof(want),
	    "%s/control/locals:2: mydestination: value \"not ok\": not a "
	    "domain; write DOMAIN, .SUFFIX or a table such as text:/PATH",
	    dir);
	assert_string_equal(test_report.messages[0].text, want);
	assert_int_equal(test_report.error_count, 1);
	assert_int_equal(unlink(path("control/locals")), 0);

	/* What qmail takes from me is not told as well. */
	write_file("control/me", "two words\n");
	assert_null(load_control(""));
	assert_int_equal(test_report.error_count, 1);
	assert_non_null(strstr(test_report.messages[0].text,
	    "/control/me:1: myhostname: value \"two words\": not a host "
	    "name"));
	assert_int_equal(unlink(path("control/me")), 0);

	/* Only what may be tables is told to become one. */
	for (size_t i = 0; i + 21 < sizeof(many); i += 21)
		(void)snprintf(many + i, sizeof(many) - i, "%013zu.test:x\n",
		    i);
	write_file("control/virtualdomains", many);
	assert_null(load_control(""));
	assert_non_null(strstr(test_report.messages[0].text,
	    "/control/virtualdomains:1: virtualdomains: value \"\": longer "
	    "than 65536 bytes; write fewer items"));
	assert_int_equal(unlink(path("control/virtualdomains")), 0);

	write_file("control/concurrencylocal", "-1\n");
	assert_null(load_control(""));
	assert_non_null(strstr(test_report.messages[0].text,
	    "/control/concurrencylocal:1: concurrency_local: value \"-1\": "
	    "not a number; write one, or remove the file"));
	assert_int_equal(unlink(path("control/concurrencylocal")), 0);

	write_file("control/helohost", "not..ok\n");
	assert_null(load_control(""));
	assert_non_null(strstr(test_report.messages[0].text,
	    "/control/helohost:1: smtp_helo_name: value \"not..ok\": not a "
	    "host name"));
	assert_int_equal(unlink(path("control/helohost")), 0);

	assert_int_equal(mkdir(path("control/helohost"), 0755), 0);
	assert_null(load_control(""));
	assert_non_null(strstr(test_report.messages[0].text,
	    "/control/helohost:1: smtp_helo_name: value \"\": not a regular "
	    "file; make it a readable file, or remove it"));
	assert_int_equal(rmdir(path("control/helohost")), 0);

	write_file("weir.conf", "control_directory = /nosuch\n");
	assert_null(load(path("weir.conf"), NULL, 0));
	assert_non_null(strstr(test_report.messages[0].text,
	    "weir.conf:1: control_directory: value \"/nosuch\": cannot read "
	    "it; write the path of a directory that exists"));
	assert_int_equal(test_acct.used_bytes, 0);
}

/* qmail relays for everybody without rcpthosts. */
static void
test_control_rcpthosts(void **state)
{
	const struct conf *c;
	char want[512];

	(void)state;
	(void)unlink(path("control/rcpthosts"));
	assert_null(load_control("mydestination = own.example\n"));
	(void)snprintf(want, sizeof(want),
	    "%s/control/rcpthosts:1: rcpthosts: value \"\": missing, with "
	    "which "
	    "qmail relays for everybody; write the domains that mail is "
	    "accepted for into it, one a line: those in locals and "
	    "virtualdomains",
	    dir);
	assert_string_equal(test_report.messages[0].text, want);
	assert_int_equal(test_report.count, 1);

	/* Whoever says it in weir.conf says it in the manner of weir.conf. */
	c = load_control("relay_domains =\n");
	assert_non_null(c);
	assert_false(c->rcpthosts_decide);
	test_end(c);
	write_file("control/rcpthosts", "a.example\n");
	c = load_control("rcpthosts = b.example\n");
	assert_non_null(c);
	assert_false(c->rcpthosts_decide);
	assert_true(conf_list_has(&c->relay_domains, SLICE_LIT("b.example")));
	test_end(c);
	c = load_control("rcpthosts_decide = no\n");
	assert_non_null(c);
	assert_false(c->rcpthosts_decide);
	test_end(c);

	write_file("control/morercpthosts", "# many\n");
	write_file("control/morercpthosts.cdb", "");
	c = load_control("");
	assert_non_null(c);
	(void)snprintf(want, sizeof(want), "cdb:%s/control/morercpthosts", dir);
	assert_true(conf_list_has(&c->morercpthosts, slice_str(want)));
	assert_int_equal(test_report.count, 0);
	test_end(c);
	assert_int_equal(unlink(path("control/morercpthosts")), 0);
	assert_int_equal(unlink(path("control/morercpthosts.cdb")), 0);
}

static void
test_no_qmqp(void **state)
{
	(void)state;
	write_file("control/qmqpservers", "192.0.2.1\n");
	assert_null(load_control(""));
	assert_non_null(strstr(test_report.messages[0].text,
	    "/control/qmqpservers:1: qmqpservers: value \"\": QMQP is not "
	    "served here; remove the file, and write that server into "
	    "smtproutes or relayhost"));
	assert_int_equal(unlink(path("control/qmqpservers")), 0);
	assert_null(load_control("qmqpservers = 192.0.2.1\n"));
	assert_non_null(strstr(test_report.messages[0].text,
	    "qmqpservers: value \"192.0.2.1\": QMQP is not served here; "
	    "write relayhost"));
}

/* ---- rendering ---- */

static void
test_render_forms(void **state)
{
	static const char text[] = "hopcount_limit = 5\n"
				   "smtp_helo_name = x.$mydomain\n"
				   "mydomain = e.e\n"
				   "smtpd_timeout = 5m\n"
				   "smtpd_banner = \"q\" \\ $$5\n";
	const struct conf *c = test_load(text);
	char *s;

	(void)state;
	assert_non_null(c);
	s = test_render(c, "smtp_helo_name", 0);
	assert_string_equal(s, "smtp_helo_name = x.$mydomain\n");
	free(s);
	s = test_render(c, "smtp_helo_name", CONF_RENDER_EXPANDED);
	assert_string_equal(s, "smtp_helo_name = x.e.e\n");
	free(s);
	s = test_render(c, "smtp_helo_name", CONF_RENDER_SOURCE);
	assert_string_equal(s, "f:2: smtp_helo_name = x.$mydomain\n");
	free(s);
	s = test_render(c, "helohost", 0); /* a control file's name */
	assert_string_equal(s, "smtp_helo_name = x.$mydomain\n");
	free(s);
	s = test_render(c, "relayhost", CONF_RENDER_SOURCE);
	assert_string_equal(s, "default: relayhost =\n");
	free(s);
	/* 5m is the default of 300s in other words. */
	s = test_render(c, NULL, CONF_RENDER_CHANGED);
	assert_string_equal(s, "mydomain = e.e\n"
			       "smtpd_banner = \"q\" \\ $$5\n"
			       "smtp_helo_name = x.$mydomain\n"
			       "hopcount_limit = 5\n");
	free(s);
	s = test_render(c, "smtpd_banner", CONF_RENDER_JSON);
	assert_string_equal(s,
	    "[{\"name\": \"smtpd_banner\", \"value\": \"\\\"q\\\" \\\\ $$5\", "
	    "\"expanded\": \"\\\"q\\\" \\\\ $5\", \"default\": \"$myhostname "
	    "ESMTP Weir\", \"source\": \"file\", \"file\": \"f\", \"line\": "
	    "5}]\n");
	free(s);
	s = test_render(c, "relayhost", CONF_RENDER_JSON);
	assert_string_equal(s,
	    "[{\"name\": \"relayhost\", \"value\": \"\", \"expanded\": \"\", "
	    "\"default\": \"\", \"source\": \"default\"}]\n");
	free(s);
	test_end(c);
}

static void
test_render_unknown(void **state)
{
	static const char *const names[] = { "relayhost", "relayhots",
		"frobnicate" };
	const struct conf *c = test_load("");
	struct errtext et;
	struct buf b;

	(void)state;
	buf_init(&b, &test_acct, 64, 4096);
	assert_int_equal(conf_render(c, names, 2, 0, &b, &et), ERR_NOTFOUND);
	assert_string_equal(et.text,
	    "unknown parameter relayhots; did you mean relayhost?");
	assert_int_equal(buf_data(&b).len, 0);
	assert_int_equal(conf_render(c, names + 2, 1, 0, &b, &et),
	    ERR_NOTFOUND);
	assert_string_equal(et.text, "unknown parameter frobnicate; "
				     "weir.conf(5) lists those there are");
	buf_fini(&b);
	/* No room: an error, never half a configuration taken for whole. */
	buf_init(&b, &test_acct, 64, 128);
	assert_int_equal(conf_render(c, NULL, 0, 0, &b, &et), ERR_TOOBIG);
	buf_fini(&b);
	test_end(c);
}

/* What the master hands to a role: the same values, however they came. */
static void
test_hand_over(void **state)
{
	static const char *const options[] = { "soft_bounce=yes" };
	const struct conf *c, *again;
	struct conf_input in;
	struct errtext et;
	char *text, conf_text[512];
	int fd;

	(void)state;
	write_file("control/databytes", "12345");
	write_file("control/smtpgreeting", "$x ${y} $$\n");
	(void)snprintf(conf_text, sizeof(conf_text),
	    "control_directory = %s\nmaximal_backoff_time = 9s\n"
	    "mynetworks =\n  10.0.0.0/8\n  !10.1.0.0/16\n"
	    "virtual_mailbox_maps = inline:{ a@b = c d, {e@f = g} }\n",
	    path("control"));
	write_file("weir.conf", conf_text);
	in = (struct conf_input){ path("weir.conf"), options, 1 };
	test_begin();
	assert_int_equal(conf_load(&test_acct, &in, &test_report, &c), OK);
	text = test_render(c, NULL, 0);
	fd = memfd_create("conf", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(conf_load_fd(&test_acct, fd, &again, &et), OK);
	for (size_t i = 0; i < CONF_ID_COUNT; i++) {
		print_message("%s\n", conf_params[i].name);
		assert_true(slice_eq(conf_all_of(c)->values[i].expanded,
		    conf_all_of(again)->values[i].expanded));
	}
	assert_int_equal(again->message_size_limit_bytes, 12345);
	assert_int_equal(again->minimal_backoff_time_ms, 9000);
	assert_true(again->soft_bounce);
	assert_string_equal(again->smtpd_banner, "$x ${y} $$ ESMTP");
	assert_null(conf_restart_needed(c, again, 0));
	conf_free(again);

	/* Cut off in the middle: refused, and the text says why. */
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, "smtpd_timeout = 0\n", 18, 0), 18);
	assert_int_equal(conf_load_fd(&test_acct, fd, &again, &et), ERR_CONFIG);
	assert_string_equal(et.text, "configuration:1: smtpd_timeout: value "
				     "\"0\": below the least; write 1s to 1d");
	assert_int_equal(close(fd), 0);
	free(text);
	assert_int_equal(unlink(path("control/databytes")), 0);
	assert_int_equal(unlink(path("control/smtpgreeting")), 0);
	test_end(c);
}

static void
test_restart_needed(void **state)
{
	const struct conf *a = test_load("smtp_listen = *:26\n"
					 "smtpd_timeout = 1s\n");
	const struct conf *b = test_load("memory_budget = 64M\n");

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_string_equal(conf_restart_needed(a, b, 0), "smtp_listen");
	assert_string_equal(conf_restart_needed(a, b, 1), "memory_budget");
	assert_null(conf_restart_needed(a, b, 2));
	assert_null(conf_restart_needed(a, a, 0));
	conf_free(b);
	test_end(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_not_text),
		cmocka_unit_test(test_file_bound),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_tables_must_exist),
		cmocka_unit_test(test_control_defaults),
		cmocka_unit_test(test_control_warnings),
		cmocka_unit_test(test_control_errors),
		cmocka_unit_test(test_control_rcpthosts),
		cmocka_unit_test(test_no_qmqp),
		cmocka_unit_test(test_control_files),
		cmocka_unit_test(test_render_forms),
		cmocka_unit_test(test_render_unknown),
		cmocka_unit_test(test_hand_over),
		cmocka_unit_test(test_restart_needed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
