/*
 * Who is a recipient and where mail goes, with a user database and addresses
 * of the test's own.
 */
#include "../check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alias/srs.h"
#include "base/mem.h"
#include "base/time.h"
#include "conf/conf.h"
#include "lookup/internal.h"
#include "lookup/system.h"

static struct acct test_acct;
static struct conf_report report;
static struct resolver resolver;
static unsigned user_asked;
static bool alias_exists; /* the user alias */
static unsigned checks_asked;

static enum err
find_user(void *arg, const char *name, uint32_t *uid_out, struct errtext *et)
{
	static const struct {
		const char *name;
		uint32_t uid;
	} users[] = {
		{ "root", 0 },
		{ "alice", 1000 },
		{ "bob+work", 1001 },
		{ "mary-jane", 1002 },
		{ "a b", 1003 },
	};

	(void)arg;
	user_asked++;
	if (strcmp(name, "broken") == 0)
		return err_set(et, ERR_LOOKUP, "no answer");
	if (alias_exists && strcmp(name, "alias") == 0) {
		*uid_out = 1004;
		return OK;
	}
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		if (strcmp(users[i].name, name) == 0) {
			*uid_out = users[i].uid;
			return OK;
		}
	}
	return ERR_NOTFOUND;
}

static bool
is_own(void *arg, const struct net_addr *a)
{
	static const uint8_t own[4] = { 192, 0, 2, 1 };

	(void)arg;
	return a->family == 4 && memcmp(a->octets, own, 4) == 0;
}

/* What users want mail for. */
static enum err
check(void *arg, struct slice user, struct slice extension, struct errtext *et)
{
	(void)arg;
	checks_asked++;
	if (user.len == 0)
		return slice_eq(extension, SLICE_LIT("joe-list"))
			   ? OK
			   : ERR_NOTFOUND;
	if (slice_eq(extension, SLICE_LIT("yes")))
		return OK;
	if (slice_eq(extension, SLICE_LIT("wait")))
		return ERR_AGAIN;
	if (slice_eq(extension, SLICE_LIT("away")))
		return err_set(et, ERR_LOOKUP, "local is away");
	return ERR_NOTFOUND;
}

static const struct resolve_system asking = { find_user, is_own, NULL, check };
static const struct resolve_system fake = { find_user, is_own, NULL, NULL };

static const char base[] =
    "myhostname = mail.example.org\n"
    "mydestination = example.org, .sub.example.org, inline:{ tab.test = x }\n"
    "virtual_mailbox_domains = virt.test, inline:{ vtab.test = x }\n"
    "virtual_mailbox_base = /var/vmail\n"
    "virtual_mailbox_maps = inline:{ joe@virt.test = virt/joe/,"
    " ann+x@virt.test = virt/annx/, ann@virt.test = virt/ann,"
    " @vtab.test = %d/%u/, pm@virt.test = /lead/%s/%%/,"
    " up@virt.test = ../up/, odd@virt.test = odd%z/, end@virt.test = x% }\n"
    "relay_domains = relay.test, .rsub.test\n";

static const struct conf *
open_with(const char *more)
{
	char text[8192];
	const struct conf *c = NULL;
	struct errtext et;

	if (test_acct.name == NULL)
		acct_init(&test_acct, NULL, "test", 64 << 20, false, "");
	memset(&report, 0, sizeof(report));
	(void)snprintf(text, sizeof(text), "%s%s", base, more);
	if (conf_load_text(&test_acct, slice_str(text), "f", &report, &c) != OK)
		fail_msg("%s", report.messages[0].text);
	if (resolver_open(&resolver, &test_acct, c, &fake, &et) != OK)
		fail_msg("%s", et.text);
	return c;
}

static void
close_all(const struct conf *c)
{
	resolver_close(&resolver);
	conf_free(c);
	assert_int_equal(test_acct.used_bytes, 0);
}

struct row {
	const char *why, *address;
	int verdict, code;
	const char *transport, *nexthop, *mailbox; /* or status, text */
};

static void
check_row(const struct row *row)
{
	struct fr_resolved f;

	print_message("%s\n", row->why);
	resolve(&resolver, RESOLVE_RCPT, slice_str(row->address), SLICE_NONE,
	    &f);
	if (f.verdict == RESOLVE_REFUSE)
		print_message("%u %.*s %.*s\n", (unsigned)f.code,
		    SLICE_ARGS(f.status), SLICE_ARGS(f.text));
	else
		print_message("%.*s %.*s %.*s\n", SLICE_ARGS(f.transport),
		    SLICE_ARGS(f.nexthop), SLICE_ARGS(f.mailbox));
	assert_int_equal(f.verdict, row->verdict);
	assert_int_equal(f.code, row->code);
	if (f.verdict == RESOLVE_REFUSE) {
		assert_true(slice_eq(f.status, slice_str(row->transport)));
		assert_true(slice_eq(f.text, slice_str(row->nexthop)));
		assert_int_equal(f.transport.len, 0);
		return;
	}
	assert_true(slice_eq(f.transport, slice_str(row->transport)));
	assert_true(slice_eq(f.nexthop, slice_str(row->nexthop)));
	assert_true(slice_eq(f.mailbox, slice_str(row->mailbox)));
}

#define OKAY	    RESOLVE_OK, 0
#define REMOTE	    RESOLVE_REMOTE, 0
#define NO(code)    RESOLVE_REFUSE, code
#define REJECTED(a) "<" a ">: Recipient address rejected: "
#define NO_USER(a)  "5.1.1", REJECTED(a) "User unknown in local recipient table"
#define NO_MAILBOX(a) \
	"5.1.1", REJECTED(a) "User unknown in virtual mailbox table"
#define SYNTAX	  NO(501), "5.1.3", "Bad recipient address syntax"
#define FAILED(a) NO(451), "4.3.0", REJECTED(a) "Temporary lookup failure"

static void
test_classes(void **state)
{
	static const struct row rows[] = {
		{ "a user", "alice@example.org", OKAY, "local", "example.org",
		    "alice" },
		{ "case does not matter", "ALICE@Example.ORG", OKAY, "local",
		    "example.org", "alice" },
		{ "no such user", "nobody@example.org", NO(550),
		    NO_USER("nobody@example.org") },
		{ "an extension", "alice+lists@example.org", OKAY, "local",
		    "example.org", "alice" },
		{ "several", "alice+a+b@example.org", OKAY, "local",
		    "example.org", "alice" },
		{ "a user whose name has the delimiter", "bob+work@example.org",
		    OKAY, "local", "example.org", "bob+work" },
		{ "and an extension of that", "bob+work+x@example.org", OKAY,
		    "local", "example.org", "bob+work" },
		{ "the part before it is no user", "bob+x@example.org", NO(550),
		    NO_USER("bob+x@example.org") },
		{ "a delimiter in front is none", "+alice@example.org", NO(550),
		    NO_USER("+alice@example.org") },
		{ "below the domain", "alice@a.sub.example.org", OKAY, "local",
		    "a.sub.example.org", "alice" },
		{ "a domain from a table", "alice@tab.test", OKAY, "local",
		    "tab.test", "alice" },
		{ "quoted", "\"a b\"@example.org", NO(550),
		    NO_USER("\"a b\"@example.org") },
		{ "no domain", "alice", REMOTE, "smtp", "mail.example.org",
		    "" },
		{ "our address", "alice@[192.0.2.1]", OKAY, "local",
		    "[192.0.2.1]", "alice" },
		{ "another machine's address", "alice@[192.0.2.2]", REMOTE,
		    "smtp", "[192.0.2.2]", "" },
		{ "root is not delivered to", "root@example.org", OKAY, "local",
		    "example.org", "postmaster" },
		{ "the database does not answer", "broken@example.org",
		    FAILED("broken@example.org") },
		{ "relay", "x@relay.test", OKAY, "relay", "relay.test", "" },
		{ "below a relay domain", "x@a.rsub.test", OKAY, "relay",
		    "a.rsub.test", "" },
		{ "not below it", "x@rsub.test", REMOTE, "smtp", "rsub.test",
		    "" },
		{ "remote", "X@Else.TEST", REMOTE, "smtp", "else.test", "" },
	};
	const struct conf *c = open_with("");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	close_all(c);
}

static void
test_virtual(void **state)
{
	static const struct row rows[] = {
		{ "an entry", "joe@virt.test", OKAY, "virtual", "virt.test",
		    "virt/joe/" },
		{ "with extension, its own entry", "ann+x@virt.test", OKAY,
		    "virtual", "virt.test", "virt/annx/" },
		{ "with extension, without entry", "Ann+y@virt.test", OKAY,
		    "virtual", "virt.test", "virt/ann" },
		{ "no entry", "nobody@virt.test", NO(550),
		    NO_MAILBOX("nobody@virt.test") },
		{ "a system user is nobody here", "alice@virt.test", NO(550),
		    NO_MAILBOX("alice@virt.test") },
		{ "a whole domain", "Any+x@VTab.test", OKAY, "virtual",
		    "vtab.test", "vtab.test/any/" },
		{ "%s, %% and a slash in front", "pm@virt.test", OKAY,
		    "virtual", "virt.test", "lead/pm@virt.test/%/" },
		{ "an unknown letter stays", "odd@virt.test", OKAY, "virtual",
		    "virt.test", "odd%z/" },
		{ "a percent sign at the end stays", "end@virt.test", OKAY,
		    "virtual", "virt.test", "x%" },
		{ "an entry that leaves the base is our fault", "up@virt.test",
		    FAILED("up@virt.test") },
	};
	const struct conf *c = open_with("");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	close_all(c);
}

/* Attack 20: what an address may put into a path. */
static void
test_attack_20_paths(void **state)
{
	static const struct {
		const char *why, *local, *value, *path; /* NULL: refused */
	} rows[] = {
		{ "plain", "joe", "%u/Maildir/", "joe/Maildir/" },
		{ "case", "JOE", "%u/", "joe/" },
		{ "harmless signs", "a.b-c_d=e~f!g", "%u/", "a.b-c_d=e~f!g/" },
		{ "%2f is text", "a%2fb", "%u/", "a%2fb/" },
		{ "%u in an address is text", "%u", "%u/", "%u/" },
		{ "dots", "..", "%u/", NULL },
		{ "a dot", ".", "%u/", NULL },
		{ "hidden", ".ssh", "%u/", NULL },
		{ "up and away", "../../etc", "%u/", NULL },
		{ "a slash", "a/b", "%u/", NULL },
		{ "a slash at the end", "a/", "%u", NULL },
		{ "a backslash", "a\\b", "%u/", NULL },
		{ "a blank", "a b", "%u/", NULL },
		{ "a control character", "a\nb", "%u/", NULL },
		{ "UTF-8", "j\xc3\xb6rg", "%u/", NULL },
		{ "not even UTF-8", "a\xff", "%u/", NULL },
		{ "nothing", "", "%u/", NULL },
		{ "dots meet dots of the table", ".", ".%u/", NULL },
	};
	static const char *const bad_values[] = { "", "/", "//", "a//b", "..",
		"../x", "a/../b", "./a", "a/./b", "a/.." };
	char buf[64];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct table_address k = { slice_str(rows[i].local),
			slice_str(rows[i].local), SLICE_LIT("d.test") };
		enum err e = mailpath_make(slice_str(rows[i].value), &k, buf,
		    sizeof(buf), &len);

		print_message("%s\n", rows[i].why);
		assert_int_equal(e, rows[i].path != NULL ? OK : ERR_NOTFOUND);
		if (e == OK)
			assert_true(slice_eq(slice_of(buf, len),
			    slice_str(rows[i].path)));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad_values); i++) {
		struct table_address k = { SLICE_LIT("a"), SLICE_LIT("a"),
			SLICE_LIT("d.test") };

		print_message("%s\n", bad_values[i]);
		assert_int_equal(mailpath_make(slice_str(bad_values[i]), &k,
				     buf, sizeof(buf), &len),
		    ERR_CONFIG);
	}
}

/* A piece of 255 bytes is a name, one of 256 is none; and no path grows past
 * its buffer. */
static void
test_path_bounds(void **state)
{
	char local[300], buf[300];
	size_t len;

	(void)state;
	memset(local, 'a', sizeof(local));
	for (size_t n = 254; n <= 256; n++) {
		struct table_address k = { slice_of(local, n),
			slice_of(local, n), SLICE_LIT("d") };

		assert_int_equal(mailpath_make(SLICE_LIT("%u/x"), &k, buf,
				     sizeof(buf), &len),
		    n <= 255 ? OK : ERR_NOTFOUND);
	}
	for (size_t n = 9; n <= 11; n++) {
		struct table_address k = { slice_of(local, 5),
			slice_of(local, 5), SLICE_LIT("d") };
		enum err e;

		e = mailpath_make(SLICE_LIT("%u%u"), &k, buf, n, &len);
		assert_int_equal(e, n >= 10 ? OK : ERR_NOTFOUND);
		/* A table that says too much says so for every address. */
		e = mailpath_make(SLICE_LIT("0123456789"), &k, buf, n, &len);
		assert_int_equal(e, n >= 10 ? OK : ERR_CONFIG);
	}
}

static void
test_postmaster(void **state)
{
	static const struct row rows[] = {
		{ "alone, though myorigin is elsewhere", "postmaster", OKAY,
		    "local", "mail.example.org", "postmaster" },
		{ "in capitals", "PostMaster", OKAY, "local",
		    "mail.example.org", "postmaster" },
		{ "of a local domain", "postmaster@example.org", OKAY, "local",
		    "example.org", "postmaster" },
		{ "of a virtual domain without entry", "postmaster@virt.test",
		    OKAY, "local", "virt.test", "postmaster" },
		{ "of a virtual domain with one", "postmaster@vtab.test", OKAY,
		    "virtual", "vtab.test", "vtab.test/postmaster/" },
		{ "of our address", "postmaster@[192.0.2.1]", OKAY, "local",
		    "[192.0.2.1]", "postmaster" },
		{ "of a relay domain: not ours", "postmaster@relay.test", OKAY,
		    "relay", "relay.test", "" },
		{ "of a stranger: not ours", "postmaster@else.test", REMOTE,
		    "smtp", "else.test", "" },
	};
	const struct conf *c = open_with("");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	close_all(c);
}

/* Attack 44: what looks like a route is a name. */
static void
test_attack_44_routes(void **state)
{
	static const struct row rows[] = {
		{ "percent hack", "u%else.test@example.org", NO(550),
		    NO_USER("u%else.test@example.org") },
		{ "bang path", "else.test!u@example.org", NO(550),
		    NO_USER("else.test!u@example.org") },
		{ "quoted address", "\"u@else.test\"@example.org", NO(550),
		    NO_USER("\"u@else.test\"@example.org") },
		{ "two at signs: the last one counts",
		    "u@else.test@example.org", SYNTAX },
		{ "a source route that nobody stripped",
		    "@example.org:u@else.test", SYNTAX },
		{ "control characters", "a\nb@example.org", SYNTAX },
		{ "delete", "a\x7f@example.org", SYNTAX },
		{ "nothing", "", SYNTAX },
		{ "no local part", "@example.org", SYNTAX },
		{ "no domain after the at sign", "alice@", SYNTAX },
		{ "a domain that is none", "alice@ex..ample", SYNTAX },
		{ "a literal that is none", "alice@[192.0.2]", SYNTAX },
	};
	const struct conf *c = open_with("");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	close_all(c);
}

static void
test_transport_maps(void **state)
{
	static const struct row rows[] = {
		{ "a domain", "x@t1.test", REMOTE, "smtp", "[gw.test]:26", "" },
		{ "an address beats it", "vip@t1.test", REMOTE, "relay",
		    "vip.test", "" },
		{ "below a domain", "x@a.b.t2.test", REMOTE, "lmtp",
		    "unix:/run/LMTP", "" },
		{ "transport only: the domain stays", "x@t3.test", REMOTE,
		    "relay", "t3.test", "" },
		{ "next hop only: the transport stays", "x@relay.test", OKAY,
		    "relay", "[h.test]", "" },
		{ "neither: nothing changes", "x@t4.test", REMOTE, "smtp",
		    "t4.test", "" },
		{ "error with status", "x@t5.test", NO(550), "5.1.6",
		    REJECTED("x@t5.test") "moved" },
		{ "error without", "x@t6.test", NO(550), "5.1.0",
		    REJECTED("x@t6.test") "not here" },
		{ "error, temporary", "x@t7.test", NO(450), "4.2.1",
		    REJECTED("x@t7.test") "later" },
		{ "error without a word", "x@t8.test", NO(550), "5.1.0",
		    REJECTED("x@t8.test") "Mail is not accepted" },
		{ "discard", "x@t9.test", REMOTE, "discard", "t9.test", "" },
		{ "discard of a user who does not exist",
		    "spamtrap@example.org", OKAY, "discard", "example.org",
		    "" },
		{ "a local domain to another server, known user",
		    "alice@tab.test", OKAY, "smtp", "[in.test]", "" },
		{ "and an unknown one", "nobody@tab.test", NO(550),
		    NO_USER("nobody@tab.test") },
		{ "to the virtual transport", "joe@t10.test", NO(550),
		    NO_MAILBOX("joe@t10.test") },
		{ "to a transport that does not exist", "x@t11.test",
		    FAILED("x@t11.test") },
		{ "a next hop that is none", "x@t13.test",
		    FAILED("x@t13.test") },
		{ "without a colon", "x@t12.test", FAILED("x@t12.test") },
	};
	const struct conf *c = open_with(
	    "transport_maps = inline:{ t1.test=smtp:[gw.test]:26, "
	    "vip@t1.test=relay:vip.test, .t2.test=lmtp:unix:/run/LMTP, "
	    "t3.test=relay:, relay.test=:[H.test], t4.test=:, "
	    "{t5.test=error:5.1.6 moved}, {t6.test=error:not here}, "
	    "{t7.test=error:4.2.1 later}, t8.test=error:, t9.test=discard:, "
	    "spamtrap@example.org=discard:, tab.test=smtp:[in.test], "
	    "t13.test=smtp:[x, t10.test=virtual:, t11.test=uucp:x, "
	    "t12.test=smtp }\n");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	close_all(c);
}

static void
check_rows(const char *conf_text, const struct row *rows, size_t count)
{
	const struct conf *c = open_with(conf_text);

	for (size_t i = 0; i < count; i++)
		check_row(&rows[i]);
	close_all(c);
}

static void
test_class_transports(void **state)
{
	static const struct row mailbox[] = {
		{ "a user", "Alice+x@example.org", OKAY, "lmtp",
		    "unix:/run/LMTP", "" },
		{ "nobody", "nobody@example.org", NO(550),
		    NO_USER("nobody@example.org") },
		{ "root's mail is postmaster's", "root@example.org", OKAY,
		    "local", "example.org", "postmaster" },
		{ "postmaster without a user", "postmaster@example.org", OKAY,
		    "local", "example.org", "postmaster" },
		{ "transport_maps beats it", "alice@tab.test", OKAY, "smtp",
		    "[in.test]", "" },
		{ "virtual mailboxes are not meant", "joe@virt.test", OKAY,
		    "virtual", "virt.test", "virt/joe/" },
	};
	static const struct row virtual[] = {
		{ "an entry", "joe@virt.test", OKAY, "lmtp",
		    "inet:[127.0.0.1]:2424", "" },
		{ "an entry that is no path", "up@virt.test", OKAY, "lmtp",
		    "inet:[127.0.0.1]:2424", "" },
		{ "no entry", "nobody@virt.test", NO(550),
		    NO_MAILBOX("nobody@virt.test") },
		{ "postmaster has one always", "postmaster@virt.test", OKAY,
		    "local", "virt.test", "postmaster" },
		{ "users are not meant", "alice@example.org", OKAY, "local",
		    "example.org", "alice" },
	};
	static const struct row any[] = {
		{ "without tables everybody is a recipient",
		    "whoever@virt.test", OKAY, "lmtp", "unix:private/lmtp",
		    "" },
		{ "postmaster as well", "postmaster@virt.test", OKAY, "lmtp",
		    "unix:private/lmtp", "" },
	};
	static const struct row no_hop[] = {
		{ "no next hop: the domain", "joe@virt.test", OKAY, "lmtp",
		    "virt.test", "" },
	};
	static const struct row fallback[] = {
		{ "nobody", "Nobody@example.org", OKAY, "relay", "[old.test]",
		    "" },
		{ "a user", "alice@example.org", OKAY, "local", "example.org",
		    "alice" },
		{ "the database does not answer", "broken@example.org",
		    FAILED("broken@example.org") },
		{ "postmaster without a user", "postmaster@example.org", OKAY,
		    "local", "example.org", "postmaster" },
	};

	(void)state;
	check_rows("mailbox_transport = lmtp:unix:/run/LMTP\n"
		   "transport_maps = inline:{ tab.test=smtp:[in.test] }\n",
	    mailbox, ARRAY_LEN(mailbox));
	check_rows("virtual_transport = lmtp:inet:[127.0.0.1]:2424\n", virtual,
	    ARRAY_LEN(virtual));
	check_rows("virtual_transport = lmtp:unix:private/lmtp\n"
		   "virtual_mailbox_maps =\nvirtual_mailbox_base =\n",
	    any, ARRAY_LEN(any));
	check_rows("virtual_transport = lmtp\n", no_hop, ARRAY_LEN(no_hop));
	check_rows("fallback_transport = relay:[OLD.test]\n", fallback,
	    ARRAY_LEN(fallback));
}

static void
test_relayhost(void **state)
{
	static const struct row rows[] = {
		{ "remote", "x@else.test", REMOTE, "smtp", "[gw.test]:587",
		    "" },
		{ "relay domains too", "x@relay.test", OKAY, "relay",
		    "[gw.test]:587", "" },
		{ "not what is ours", "alice@example.org", OKAY, "local",
		    "example.org", "alice" },
		{ "a table beats it", "x@own.test", REMOTE, "smtp", "own.test",
		    "" },
	};
	const struct conf *c =
	    open_with("relayhost = [GW.test]:587\n"
		      "transport_maps = inline:{ own.test = smtp: }\n");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	close_all(c);
}

static void
test_smtproutes(void **state)
{
	static const struct row rows[] = {
		{ "a domain", "x@A.test", REMOTE, "smtp", "[gw.a]", "" },
		{ "with a port", "x@b.test", REMOTE, "smtp", "[gw.b]:26", "" },
		{ "below it", "x@sub.a.test", REMOTE, "smtp", "[gw.sub]", "" },
		{ "the longer suffix", "x@x.deep.a.test", REMOTE, "smtp",
		    "[192.0.2.9]:27", "" },
		{ "no host: the domain's MX", "x@mx.test", REMOTE, "smtp",
		    "mx.test", "" },
		{ "an IPv6 address", "x@six.test", REMOTE, "smtp",
		    "[2001:db8::1]", "" },
		{ "in brackets, with a port", "x@six-port.test", REMOTE, "smtp",
		    "[2001:db8::2]:26", "" },
		{ "as an address literal", "x@six-lit.test", REMOTE, "smtp",
		    "[ipv6:2001:db8::3]", "" },
		{ "a host in brackets", "x@br.test", REMOTE, "smtp", "[gw.br]",
		    "" },
		{ "relay domains too", "x@relay.test", OKAY, "relay",
		    "[gw.all]", "" },
		{ "all others, before relayhost", "x@else.test", REMOTE, "smtp",
		    "[gw.all]", "" },
		{ "not what is ours", "alice@example.org", OKAY, "local",
		    "example.org", "alice" },
		{ "a table beats it", "x@own.test", REMOTE, "smtp", "own.test",
		    "" },
	};
	const struct conf *c = open_with(
	    "relayhost = unused.test\n"
	    "smtproutes = a.test:gw.a b.test:gw.b:26 .a.test:gw.sub "
	    ".deep.a.test:[192.0.2.9]:27 mx.test: :gw.all a.test:second "
	    "six.test:2001:db8::1 six-port.test:[2001:db8::2]:26 "
	    "six-lit.test:[IPv6:2001:db8::3] br.test:[gw.br]\n"
	    "transport_maps = inline:{ own.test = smtp: }\n");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	close_all(c);
}

static void
test_virtual_aliases(void **state)
{
	static const struct row rows[] = {
		{ "to a user", "info@al.test", OKAY, "local", "example.org",
		    "alice" },
		{ "in two steps", "two@al.test", OKAY, "local", "example.org",
		    "alice" },
		{ "to another server, for anybody", "out@al.test", OKAY, "smtp",
		    "far.test", "" },
		{ "but not from a domain that is not ours", "x@away.test",
		    REMOTE, "smtp", "far.test", "" },
		{ "an extension is kept", "info+ext@al.test", OKAY, "local",
		    "example.org", "alice" },
		{ "a whole domain, the local part kept", "ann+x@dom.test", OKAY,
		    "virtual", "virt.test", "virt/annx/" },
		{ "an entry before that of the domain", "one@dom.test", OKAY,
		    "virtual", "virt.test", "virt/joe/" },
		{ "a bare user", "chief@example.org", OKAY, "local",
		    "example.org", "alice" },
		{ "is not for other domains", "chief@al.test", NO(550), "5.1.1",
		    REJECTED("chief@al.test") "User unknown in virtual alias "
					      "table" },
		{ "one that stands for itself", "alice@example.org", OKAY,
		    "local", "example.org", "alice" },
		{ "to a bare user, himself an alias", "bare@al.test", OKAY,
		    "local", "example.org", "alice" },
		{ "nobody there: the client reads what it gave", "gone@al.test",
		    NO(550), NO_USER("gone@al.test") },
		{ "for ever", "loop@al.test", NO(550), "5.4.6",
		    REJECTED("loop@al.test") "alias database loop for "
					     "loop@al.test" },
		{ "ever longer", "grow@al.test", FAILED("grow@al.test") },
		{ "no address", "bad@al.test", FAILED("bad@al.test") },
		{ "postmaster of an alias domain", "postmaster@al.test", OKAY,
		    "local", "al.test", "postmaster" },
	};
	const struct conf *c = open_with(
	    "myorigin = mail.example.org\n"
	    "mydestination = example.org mail.example.org\n"
	    "virtual_alias_maps = inline:{ al.test = x, dom.test = x,"
	    " info@al.test = alice@example.org, two@al.test = info@al.test,"
	    " out@al.test = x@far.test, x@away.test = y@far.test,"
	    " @dom.test = @virt.test, one@dom.test = joe@virt.test,"
	    " chief = alice@example.org, alice = alice@example.org,"
	    " bare@al.test = alice, gone@al.test = nobody@example.org,"
	    " loop@al.test = pool@al.test, pool@al.test = loop@al.test,"
	    " grow@al.test = grow+x@al.test,"
	    " bad@al.test = a b c }\n");
	struct fr_resolved out;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	resolve(&resolver, RESOLVE_RCPT, SLICE_LIT("info+ext@al.test"),
	    SLICE_NONE, &out);
	assert_true(slice_eq(out.address, SLICE_LIT("alice+ext@example.org")));
	resolve(&resolver, RESOLVE_RCPT, SLICE_LIT("ann+x@dom.test"),
	    SLICE_NONE, &out);
	assert_true(slice_eq(out.address, SLICE_LIT("ann+x@virt.test")));
	close_all(c);
}

#define LOOP(a) NO(550), "5.4.6", REJECTED(a) "alias database loop for " a
#define EXPANDS OKAY, "local", "example.org", ""

static const char aliases[] =
    "myorigin = example.org\nrecipient_delimiter = +-\n"
    "alias_maps = inline:{ boss = alice, chief = boss, far = x@far.test,"
    " {two = alice, mary-jane}, dir = /var/mail/dir/, run = |true,"
    " inc = :include:/nowhere, user = \\alice, list = alice,"
    " owner-list = boss, owner-gone = nobody, alice = alice,"
    " ring = gnir, gnir = ring, {bad = alice <}, none = nobody,"
    " virt = joe@virt.test, postmaster = boss, bob+work = boss,"
    " ext = alice, ext+a = mary-jane, self-request = boss, self = far,"
    " odd name = boss }\n"
    "virtual_alias_maps = inline:{ {v@virt.test = boss, joe@virt.test},"
    " w@virt.test = chief, {out@far.test = x@a.test, y@b.test},"
    " {me@virt.test = me@virt.test, boss}, x@vd.test = boss }\n"
    "virtualdomains = vd.test:alice\n"
    "transport_maps = inline:{ sub.sub.example.org = smtp:[192.0.2.9] }\n";

static void
test_alias_maps(void **state)
{
	static const struct row rows[] = {
		{ "one address is followed", "boss@example.org", OKAY, "local",
		    "example.org", "alice" },
		{ "whatever its case", "BOSS@example.org", OKAY, "local",
		    "example.org", "alice" },
		{ "in steps", "chief@example.org", OKAY, "local", "example.org",
		    "alice" },
		{ "to another server, for anybody", "far@example.org", OKAY,
		    "smtp", "far.test", "" },
		{ "to a virtual mailbox", "virt@example.org", OKAY, "virtual",
		    "virt.test", "virt/joe/" },
		{ "two are expanded later", "two@example.org", EXPANDS },
		{ "a directory too", "dir@example.org", EXPANDS },
		{ "and a command", "run@example.org", EXPANDS },
		{ "and a file of addresses", "inc@example.org", EXPANDS },
		{ "and a mailbox", "user@example.org", EXPANDS },
		{ "and one address with an owner", "list@example.org",
		    EXPANDS },
		{ "an owner alone makes no list", "gone@example.org", NO(550),
		    NO_USER("gone@example.org") },
		{ "the owner is an alias as others", "owner-list@example.org",
		    OKAY, "local", "example.org", "alice" },
		{ "one that stands for itself is the user", "alice@example.org",
		    OKAY, "local", "example.org", "alice" },
		{ "nothing but each other", "ring@example.org",
		    LOOP("ring@example.org") },
		{ "no syntax: mail waits", "bad@example.org",
		    FAILED("bad@example.org") },
		{ "to nobody", "none@example.org", NO(550),
		    NO_USER("none@example.org") },
		{ "postmaster may have one", "postmaster@example.org", OKAY,
		    "local", "example.org", "alice" },
		{ "without a domain too", "postmaster", OKAY, "local",
		    "example.org", "alice" },
		{ "that of a virtual domain as well", "postmaster@virt.test",
		    OKAY, "local", "example.org", "alice" },
		{ "an alias before the user", "bob+work@example.org", OKAY,
		    "local", "example.org", "alice" },
		{ "without the extension", "ext+b@example.org", OKAY, "local",
		    "example.org", "alice" },
		{ "with it first", "ext+a@example.org", OKAY, "local",
		    "example.org", "mary-jane" },
		{ "a name that is no user with extension",
		    "self-request@example.org", OKAY, "local", "example.org",
		    "alice" },
		{ "in quotes", "\"odd name\"@example.org", OKAY, "local",
		    "example.org", "alice" },
		{ "only in mydestination", "boss@virt.test", NO(550),
		    NO_MAILBOX("boss@virt.test") },
		{ "not where another transport has the domain",
		    "boss@sub.sub.example.org", OKAY, "smtp", "[192.0.2.9]",
		    "" },
		{ "a virtual alias to an alias", "w@virt.test", OKAY, "local",
		    "example.org", "alice" },
		{ "a virtual alias to two", "v@virt.test", OKAY, "local",
		    "virt.test", "" },
		{ "not for anybody if the domain is not ours", "out@far.test",
		    REMOTE, "local", "far.test", "" },
		{ "itself and another", "me@virt.test", OKAY, "local",
		    "virt.test", "" },
		{ "before virtualdomains", "x@vd.test", OKAY, "local",
		    "example.org", "alice" },
	};
	const struct conf *c = open_with(aliases);
	struct fr_resolved out;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	(void)resolve(&resolver, RESOLVE_RCPT, SLICE_LIT("chief@example.org"),
	    SLICE_NONE, &out);
	assert_true(slice_eq(out.address, SLICE_LIT("alice@example.org")));
	(void)resolve(&resolver, RESOLVE_RCPT, SLICE_LIT("v@virt.test"),
	    SLICE_NONE, &out);
	assert_true(slice_eq(out.address, SLICE_LIT("v@virt.test")));
	close_all(c);
}

/* What came out of an expansion. */
static void
test_purposes(void **state)
{
	static const struct {
		const char *why;
		enum resolve_purpose purpose;
		const char *address, *transport, *mailbox;
	} rows[] = {
		{ "an alias is not followed again", RESOLVE_EXPANDED,
		    "alice@example.org", "local", "alice" },
		{ "but a list with an owner is one by itself", RESOLVE_EXPANDED,
		    "list@example.org", "local", "" },
		{ "no virtual alias either", RESOLVE_EXPANDED, "x@vd.test",
		    "local", "alice" },
		{ "as it would be for a client", RESOLVE_ROUTE, "x@vd.test",
		    "local", "alice" },
		{ "not even a list, when it names itself", RESOLVE_ITSELF,
		    "list@example.org", "", "" },
		{ "the mailbox behind an alias", RESOLVE_ITSELF,
		    "bob+work@example.org", "local", "bob+work" },
	};
	const struct conf *c = open_with(aliases);
	struct fr_resolved f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("%s\n", rows[i].why);
		assert_true(resolve(&resolver, rows[i].purpose,
		    slice_str(rows[i].address), SLICE_NONE, &f));
		assert_true(
		    slice_eq(f.transport, slice_str(rows[i].transport)));
		assert_true(slice_eq(f.mailbox, slice_str(rows[i].mailbox)));
	}
	close_all(c);
}

/* Chains of aliases up to the limit, and one longer. */
static void
test_alias_depth(void **state)
{
	char more[4096];
	size_t n;

	(void)state;
	for (unsigned steps = RESOLVE_ALIAS_DEPTH_MAX - 1;
	     steps <= RESOLVE_ALIAS_DEPTH_MAX + 1; steps++) {
		const struct conf *c;
		struct fr_resolved f;

		n = (size_t)snprintf(more, sizeof(more),
		    "myorigin = example.org\nalias_maps = inline:{ ");
		for (unsigned i = 1; i < steps; i++)
			n += (size_t)snprintf(more + n, sizeof(more) - n,
			    "a%u = a%u, ", i, i + 1);
		(void)snprintf(more + n, sizeof(more) - n, "a%u = alice }\n",
		    steps);
		c = open_with(more);
		(void)resolve(&resolver, RESOLVE_RCPT,
		    SLICE_LIT("a1@example.org"), SLICE_NONE, &f);
		assert_int_equal(f.code,
		    steps <= RESOLVE_ALIAS_DEPTH_MAX ? 0 : 451);
		close_all(c);
	}
}

static void
test_luser_relay(void **state)
{
	static const struct row rows[] = {
		{ "a user is a user", "alice@example.org", OKAY, "local",
		    "example.org", "alice" },
		{ "nobody's mail goes elsewhere", "nobody@example.org", OKAY,
		    "smtp", "far.test", "" },
		{ "only in mydestination", "nobody@virt.test", NO(550),
		    NO_MAILBOX("nobody@virt.test") },
		{ "no address comes of it", "\"a b\"@example.org", NO(550),
		    NO_USER("\"a b\"@example.org") },
	};
	static const struct row again[] = {
		{ "its own target is unknown", "nobody@example.org", NO(550),
		    NO_USER("nobody@example.org") },
	};
	static const struct row by_user[] = {
		{ "to a user", "nobody@example.org", OKAY, "local",
		    "example.org", "alice" },
		{ "not what has a way of its own", "x@sub.sub.example.org",
		    NO(550), NO_USER("x@sub.sub.example.org") },
	};
	const struct conf *c =
	    open_with("luser_relay = $user+${extension}@far.test\n");
	struct fr_resolved f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	(void)resolve(&resolver, RESOLVE_RCPT, SLICE_LIT("no+body@example.org"),
	    SLICE_NONE, &f);
	assert_true(slice_eq(f.address, SLICE_LIT("no+body@far.test")));
	close_all(c);
	c = open_with("luser_relay = unknown@example.org\n");
	check_row(again);
	close_all(c);
	c = open_with("luser_relay = alice@example.org\n"
		      "transport_maps = inline:{ sub.sub.example.org = "
		      "smtp:[192.0.2.9] }\n");
	for (size_t i = 0; i < ARRAY_LEN(by_user); i++)
		check_row(&by_user[i]);
	close_all(c);
	c = open_with("luser_relay = $nonsense\n");
	(void)resolve(&resolver, RESOLVE_RCPT, SLICE_LIT("nobody@example.org"),
	    SLICE_NONE, &f);
	assert_int_equal(f.code, 451);
	close_all(c);
}

/* What we made comes back, what anybody else made does not. */
static void
test_srs(void **state)
{
	static const char path[] = "srs-secrets.tmp";
	const struct slice secret = SLICE_LIT("abc");
	char made[512], text[600], cwd[400];
	const struct conf *c;
	struct fr_resolved f;
	struct srs srs;
	struct out out;
	FILE *file = fopen(path, "w");

	(void)state;
	assert_non_null(file);
	fprintf(file, "new\nabc\n");
	fclose(file);
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	(void)snprintf(text, sizeof(text),
	    "srs_domain = example.org\nsrs_secrets = %s/%s\n", cwd, path);
	c = open_with(text);
	srs_init(&srs, SLICE_LIT("example.org"), &secret, 1);
	out_init(&out, made, sizeof(made));
	assert_int_equal(
	    srs_forward(&srs, SLICE_LIT("joe"), SLICE_LIT("far.test"),
		srs_day(clock_system.wall(&clock_system).ms), &out),
	    OK);
	(void)resolve(&resolver, RESOLVE_RCPT, out_text(&out), SLICE_NONE, &f);
	assert_int_equal(f.verdict, RESOLVE_OK);
	assert_true(slice_eq(f.address, SLICE_LIT("joe@far.test")));
	assert_true(slice_eq(f.nexthop, SLICE_LIT("far.test")));
	/* One character of the hash. */
	made[5] = made[5] == 'x' ? 'y' : 'x';
	(void)resolve(&resolver, RESOLVE_RCPT, out_text(&out), SLICE_NONE, &f);
	assert_int_equal(f.code, 550);
	(void)resolve(&resolver, RESOLVE_RCPT, SLICE_LIT("SRS0=x@example.org"),
	    SLICE_NONE, &f);
	assert_int_equal(f.code, 550);
	assert_int_equal(remove(path), 0);
	made[5] = 'z';
	(void)resolve(&resolver, RESOLVE_RCPT, out_text(&out), SLICE_NONE, &f);
	assert_int_equal(f.code, 451);
	close_all(c);
}

struct check_row {
	const char *why;
	enum resolve_purpose purpose;
	const char *address;
	int code; /* -1: not known yet */
	const char *transport, *mailbox;
	unsigned asked;
};

static void
check_checks(const char *more, bool alias, const struct check_row *rows,
    size_t count)
{
	const struct conf *c = open_with(more);
	struct fr_resolved f;

	alias_exists = alias;
	resolver.sys = &asking;
	for (size_t i = 0; i < count; i++) {
		const struct check_row *row = &rows[i];
		bool known;

		print_message("%s\n", row->why);
		checks_asked = 0;
		known = resolve(&resolver, row->purpose,
		    slice_str(row->address), SLICE_NONE, &f);
		assert_int_equal(known, row->code >= 0);
		assert_int_equal(checks_asked, row->asked);
		if (!known)
			continue;
		assert_int_equal(f.code, row->code);
		if (row->code != 0)
			continue;
		assert_true(slice_eq(f.transport, slice_str(row->transport)));
		assert_true(slice_eq(f.mailbox, slice_str(row->mailbox)));
	}
	alias_exists = false;
	close_all(c);
}

#define RCPT  RESOLVE_RCPT
#define ROUTE RESOLVE_ROUTE
#define CHECKS(more, alias, rows)                                    \
	check_checks("recipient_delimiter = +-\n" more, alias, rows, \
	    ARRAY_LEN(rows))

static void
test_checks(void **state)
{
	static const struct check_row plain[] = {
		{ "a file says yes", RCPT, "alice-yes@example.org", 0, "local",
		    "alice", 1 },
		{ "none says no", RCPT, "alice-no@example.org", 550, NULL, NULL,
		    1 },
		{ "not known yet", RCPT, "alice-wait@example.org", -1, NULL,
		    NULL, 1 },
		{ "not known at all", RCPT, "alice-away@example.org", 451, NULL,
		    NULL, 1 },
		{ "the user himself", RCPT, "alice@example.org", 0, "local",
		    "alice", 0 },
		{ "a user with a hyphen", RCPT, "mary-jane@example.org", 0,
		    "local", "mary-jane", 0 },
		{ "in the manner of Postfix all exist", RCPT,
		    "alice+no@example.org", 0, "local", "alice", 0 },
		{ "who delivers reads the file anyway", ROUTE,
		    "alice-no@example.org", 0, "local", "alice", 0 },
		{ "nobody", RCPT, "none-no@example.org", 550, NULL, NULL, 0 },
		{ "postmaster", RCPT, "postmaster@example.org", 0, "local",
		    "postmaster", 0 },
	};
	static const struct check_row with_alias[] = {
		{ "the alias user has a file", RCPT, "yes@example.org", 0,
		    "local", "alias", 1 },
		{ "he has none", RCPT, "no@example.org", 550, NULL, NULL, 1 },
		{ "not known yet", RCPT, "wait@example.org", -1, NULL, NULL,
		    1 },
		{ "not known at all", RCPT, "away@example.org", 451, NULL, NULL,
		    1 },
		{ "not for a user's extension", RCPT, "alice-no@example.org",
		    550, NULL, NULL, 1 },
		{ "he does not catch users", RCPT, "alice@example.org", 0,
		    "local", "alice", 0 },
		{ "who delivers will see", ROUTE, "no@example.org", 0, "local",
		    "alias", 0 },
		{ "postmaster without a file", RCPT, "postmaster@example.org",
		    0, "local", "postmaster", 1 },
		{ "also when it is delivered", ROUTE, "postmaster@example.org",
		    0, "local", "postmaster", 1 },
	};
	static const struct check_row no_files[] = {
		{ "nobody has such files", RCPT, "alice-no@example.org", 0,
		    "local", "alice", 0 },
		{ "nor the alias user", RCPT, "yes@example.org", 550, NULL,
		    NULL, 0 },
	};
	static const struct check_row handed_over[] = {
		{ "another program has the mailboxes", RCPT,
		    "alice-no@example.org", 0, "lmtp", "", 0 },
		{ "and not those of the alias user", RCPT, "yes@example.org",
		    550, NULL, NULL, 0 },
	};
	static const struct check_row fallback[] = {
		{ "the file beats the fallback", ROUTE, "yes@example.org", 0,
		    "local", "alias", 1 },
		{ "what nobody wants", ROUTE, "no@example.org", 0, "smtp", "",
		    1 },
		{ "not even a user", ROUTE, "alice-no@example.org", 0, "smtp",
		    "", 1 },
		{ "not known yet", ROUTE, "wait@example.org", -1, NULL, NULL,
		    1 },
	};

	(void)state;
	CHECKS("", false, plain);
	CHECKS("", true, with_alias);
	CHECKS("dot_files = .forward\n", true, no_files);
	CHECKS("mailbox_transport = lmtp:unix:/run/lmtp\n", true, handed_over);
	CHECKS("fallback_transport = smtp:[192.0.2.1]\n", true, fallback);
	CHECKS("luser_relay = x@far.test\n", true, fallback);
}

static void
test_users_assign(void **state)
{
	static const struct check_row rows[] = {
		{ "an assigned user", RCPT, "joe@example.org", 0, "local", "jd",
		    0 },
		{ "his extensions are files", RCPT, "joe-list@example.org", 0,
		    "local", "jd", 1 },
		{ "or nothing", RCPT, "joe-none@example.org", 550, NULL, NULL,
		    1 },
		{ "before the system's own", RCPT, "alice@example.org", 0,
		    "local", "other", 0 },
		{ "who else there is", RCPT, "mary-jane@example.org", 0,
		    "local", "mary-jane", 0 },
		{ "nobody", RCPT, "none@example.org", 550, NULL, NULL, 0 },
	};
	static const struct row missing[] = {
		{ "no file: mail waits", "alice@example.org",
		    FAILED("alice@example.org") },
	};
	char path[] = "/tmp/test_assign.XXXXXX", more[128];
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");
	const struct conf *c;

	(void)state;
	assert_non_null(f);
	assert_true(fputs("=joe:jd:1001:101:/home/jd:::\n"
			  "+joe-:jd:1001:101:/home/jd:-::\n"
			  "=alice:other:1002:102:/home/other:::\n.\n",
			f) >= 0);
	assert_int_equal(fclose(f), 0);
	(void)snprintf(more, sizeof(more),
	    "recipient_delimiter = -\nusers_assign = %s\n", path);
	check_checks(more, false, rows, ARRAY_LEN(rows));
	assert_int_equal(unlink(path), 0);
	c = open_with(more);
	check_row(missing);
	close_all(c);
}

/* As qmail-send rewrites (its own examples among them). */
static void
test_virtualdomains(void **state)
{
	static const struct row rows[] = {
		{ "a domain", "list@v.test", OKAY, "local", "v.test", "alice" },
		{ "case does not matter", "list@V.Test", OKAY, "local",
		    "v.test", "alice" },
		{ "an address before its domain", "jane@v.test", OKAY, "local",
		    "v.test", "mary-jane" },
		{ "below a suffix only", "x@a.wild.test", OKAY, "local",
		    "a.wild.test", "bob+work" },
		{ "not the suffix itself", "x@wild.test", REMOTE, "smtp",
		    "wild.test", "" },
		{ "the longest suffix", "x@b.deep.wild.test", OKAY, "local",
		    "b.deep.wild.test", "alice" },
		{ "an exception", "x@exc.wild.test", REMOTE, "smtp",
		    "exc.wild.test", "" },
		{ "mydestination first", "alice@example.org", OKAY, "local",
		    "example.org", "alice" },
		{ "a quoted local part", "\"b c\"@v.test", OKAY, "local",
		    "v.test", "alice" },
		{ "the client reads what it gave", "x@none.test", NO(550),
		    NO_USER("x@none.test") },
	};
	const struct conf *c = open_with(
	    "recipient_delimiter = -\n"
	    "virtualdomains = v.test:alice jane@v.test:mary-jane "
	    ".wild.test:bob+work .deep.wild.test:alice exc.wild.test: "
	    "none.test:nobody v.test:second\n");
	struct fr_resolved out;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	resolve(&resolver, RESOLVE_RCPT, SLICE_LIT("list@v.test"), SLICE_NONE,
	    &out);
	assert_true(slice_eq(out.address, SLICE_LIT("alice-list@v.test")));
	resolve(&resolver, RESOLVE_RCPT, SLICE_LIT("\"b c\"@v.test"),
	    SLICE_NONE, &out);
	assert_true(slice_eq(out.address, SLICE_LIT("\"alice-b c\"@v.test")));
	close_all(c);
	c = open_with("virtualdomains = :alice\n"); /* the delimiter is + */
	resolve(&resolver, RESOLVE_RCPT, SLICE_LIT("x@any.test"), SLICE_NONE,
	    &out);
	assert_true(slice_eq(out.address, SLICE_LIT("alice+x@any.test")));
	assert_true(slice_eq(out.mailbox, SLICE_LIT("alice")));
	close_all(c);
}

/* As qmail-smtpd lets in what rcpthosts and morercpthosts name. */
static void
test_rcpthosts_decide(void **state)
{
	static const struct row rows[] = {
		{ "a local domain that is not named", "alice@example.org",
		    REMOTE, "local", "example.org", "alice" },
		{ "one that is", "alice@sub.example.org", OKAY, "local",
		    "sub.example.org", "alice" },
		{ "a virtual domain", "joe@virt.test", REMOTE, "local",
		    "virt.test", "alice" },
		{ "all domains to one user", "x@any.test", REMOTE, "local",
		    "any.test", "alice" },
		{ "one of these is named", "x@relay.test", OKAY, "local",
		    "relay.test", "alice" },
		{ "and one in a table", "x@More.test", OKAY, "local",
		    "more.test", "alice" },
		{ "below a suffix in a table", "x@a.b.deep.test", OKAY, "local",
		    "a.b.deep.test", "alice" },
		{ "not the suffix itself", "x@deep.test", REMOTE, "local",
		    "deep.test", "alice" },
		{ "an exception that is named", "x@exc.test", OKAY, "smtp",
		    "exc.test", "" },
		{ "an exception that is not", "x@exc2.test", REMOTE, "smtp",
		    "exc2.test", "" },
		{ "without a domain", "alice", OKAY, "local",
		    "mail.example.org", "alice" },
		{ "postmaster, too", "postmaster", OKAY, "local",
		    "mail.example.org", "postmaster" },
		{ "an alias of a domain that is not named", "v@example.org",
		    REMOTE, "local", "sub.example.org", "alice" },
		{ "an alias of one that is", "v@sub.example.org", OKAY, "local",
		    "example.org", "alice" },
	};
	static const struct row more[] = {
		{ "more relay domains", "x@more.test", OKAY, "relay",
		    "more.test", "" },
		{ "and no others", "x@moremore.test", REMOTE, "smtp",
		    "moremore.test", "" },
	};
	static const char tables[] =
	    "morercpthosts = inline:{ more.test = x, .deep.test = x }\n";
	const struct conf *c;
	char text[1024];

	(void)state;
	(void)snprintf(text, sizeof(text),
	    "%srcpthosts_decide = yes\nvirtualdomains = :alice exc.test: "
	    "exc2.test:\n"
	    "relay_domains = exc.test relay.test sub.example.org "
	    "mail.example.org\n"
	    "mydestination = example.org, sub.example.org, mail.example.org\n"
	    "virtual_alias_maps = inline:{ v@example.org = "
	    "alice@sub.example.org, v@sub.example.org = alice@example.org }\n"
	    "virtual_alias_domains =\n",
	    tables);
	c = open_with(text);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	close_all(c);
	c = open_with(tables);
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		check_row(&more[i]);
	close_all(c);
}

/* localiphost and percenthack. */
static void
test_rewritten(void **state)
{
	static const struct row rows[] = {
		{ "an address of this machine", "joe@[192.0.2.1]", OKAY,
		    "virtual", "virt.test", "virt/joe/" },
		{ "not one of another", "joe@[192.0.2.2]", REMOTE, "smtp",
		    "[192.0.2.2]", "" },
		{ "a percent sign", "joe%virt.test@hack.test", OKAY, "virtual",
		    "virt.test", "virt/joe/" },
		{ "twice", "joe%virt.test%hack.test@HACK.test", OKAY, "virtual",
		    "virt.test", "virt/joe/" },
		{ "the last one only, where that is not listed",
		    "a%b%relay.test@hack.test", OKAY, "relay", "relay.test",
		    "" },
		{ "no open relay", "x%far.test@hack.test", REMOTE, "smtp",
		    "far.test", "" },
		{ "none in it", "x@hack.test", OKAY, "relay", "hack.test", "" },
		{ "with nothing before it", "%far.test@hack.test", OKAY,
		    "relay", "hack.test", "" },
		{ "a domain that is not listed", "x%far.test@relay.test", OKAY,
		    "relay", "relay.test", "" },
		{ "what comes of it is no address", "x%a..b@hack.test", NO(501),
		    "5.1.3", "Bad recipient address syntax" },
		{ "nothing behind it", "x%@hack.test", NO(501), "5.1.3",
		    "Bad recipient address syntax" },
		{ "a quoted one is a letter", "\"x%far.test\"@hack.test", OKAY,
		    "relay", "hack.test", "" },
		{ "a literal behind it", "alice%[192.0.2.1]@hack.test", OKAY,
		    "local", "[192.0.2.1]", "alice" },
	};
	const struct conf *c =
	    open_with("localiphost = virt.test\n"
		      "percenthack = hack.test other.test\n"
		      "relay_domains = relay.test hack.test\n");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	close_all(c);
}

/* With a control directory the delimiter is a dash: the longest user wins,
 * and a flood of dashes costs a bounded number of questions. */
static void
test_dash(void **state)
{
	static const struct row rows[] = {
		{ "a user with a dash", "mary-jane@example.org", OKAY, "local",
		    "example.org", "mary-jane" },
		{ "and an extension", "mary-jane-list@example.org", OKAY,
		    "local", "example.org", "mary-jane" },
		{ "simple", "alice-a-b@example.org", OKAY, "local",
		    "example.org", "alice" },
		{ "as many as are tried", "alice-1-2-3-4-5-6-7-8@example.org",
		    OKAY, "local", "example.org", "alice" },
		{ "more: the first ones count",
		    "alice-1-2-3-4-5-6-7-8-9@example.org", OKAY, "local",
		    "example.org", "alice" },
		{ "a flood", "x------------------------@example.org", NO(550),
		    NO_USER("x------------------------@example.org") },
	};
	const struct conf *c = open_with("recipient_delimiter = -\n");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		user_asked = 0;
		check_row(&rows[i]);
		assert_true(user_asked <= RESOLVE_USER_TRIES_MAX + 2);
	}
	close_all(c);
}

static void
test_no_delimiter(void **state)
{
	static const struct row rows[] = {
		{ "no extensions", "alice+x@example.org", NO(550),
		    NO_USER("alice+x@example.org") },
		{ "nor in tables", "ann+y@virt.test", NO(550),
		    NO_MAILBOX("ann+y@virt.test") },
	};
	const struct conf *c = open_with("recipient_delimiter =\n");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	close_all(c);
}

static void
test_owner(void **state)
{
	static const struct {
		const char *why, *maps;
		enum err e;
		uint32_t uid, gid;
	} rows[] = {
		{ "no maps: Weir's own", "", OK, 0, 0 },
		{ "static",
		    "virtual_uid_maps = static:5000\n"
		    "virtual_gid_maps = static:5001\n",
		    OK, 5000, 5001 },
		{ "the least", "virtual_uid_maps = static:100\n", OK, 100, 0 },
		{ "one less", "virtual_uid_maps = static:99\n", ERR_LOOKUP, 0,
		    0 },
		{ "root", "virtual_uid_maps = static:0\n", ERR_LOOKUP, 0, 0 },
		{ "group of root", "virtual_gid_maps = static:0\n", ERR_LOOKUP,
		    0, 0 },
		{ "not a number", "virtual_uid_maps = static:joe\n", ERR_LOOKUP,
		    0, 0 },
		{ "the largest", "virtual_uid_maps = static:4294967294\n", OK,
		    4294967294u, 0 },
		{ "no user has this one",
		    "virtual_uid_maps = static:4294967295\n", ERR_LOOKUP, 0,
		    0 },
		{ "no entry for this one",
		    "virtual_uid_maps = inline:{ x@y.test = 5000 }\n",
		    ERR_LOOKUP, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct conf *c = open_with(rows[i].maps);
		struct fr_resolved f;

		print_message("%s\n", rows[i].why);
		resolve(&resolver, RESOLVE_RCPT, SLICE_LIT("joe@virt.test"),
		    SLICE_NONE, &f);
		if (rows[i].e == OK) {
			assert_int_equal(f.verdict, RESOLVE_OK);
			assert_int_equal(f.uid, rows[i].uid);
			assert_int_equal(f.gid, rows[i].gid);
		} else {
			assert_int_equal(f.verdict, RESOLVE_REFUSE);
			assert_int_equal(f.code, 451);
		}
		close_all(c);
	}
}

static void
test_badmailfrom(void **state)
{
	static const struct {
		const char *why, *sender, *address;
		int code;
	} rows[] = {
		{ "in the list", "spam@bad.test", "alice@example.org", 553 },
		{ "case does not matter", "SPAM@Bad.Test", "alice@example.org",
		    553 },
		{ "another user", "ham@bad.test", "alice@example.org", 0 },
		{ "a whole domain", "any@worse.test", "alice@example.org",
		    553 },
		{ "not below it", "any@sub.worse.test", "alice@example.org",
		    0 },
		{ "the null sender", "", "alice@example.org", 0 },
		{ "a sender without a domain", "spam", "alice@example.org", 0 },
		{ "remote recipients too", "spam@bad.test", "x@else.test",
		    553 },
		{ "another reason comes first", "spam@bad.test",
		    "nobody@example.org", 550 },
	};
	const struct conf *c =
	    open_with("badmailfrom = spam@bad.test @worse.test\n");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fr_resolved f;

		print_message("%s\n", rows[i].why);
		resolve(&resolver, RESOLVE_RCPT, slice_str(rows[i].address),
		    slice_str(rows[i].sender), &f);
		assert_int_equal(f.code, rows[i].code);
		if (f.code == 553) {
			assert_int_equal(f.verdict, RESOLVE_REFUSE);
			assert_true(slice_eq(f.status, SLICE_LIT("5.7.1")));
			assert_true(slice_eq(f.text,
			    SLICE_LIT("sorry, your envelope sender is in my "
				      "badmailfrom list")));
		}
	}
	close_all(c);
}

/* A table that cannot be read: temporary, for every address whose way
 * depends on it, and for no other. */
static void
test_missing_table(void **state)
{
	static const struct row rows[] = {
		{ "a domain found before it", "alice@example.org", OKAY,
		    "local", "example.org", "alice" },
		{ "a domain that may be in it", "x@else.test",
		    FAILED("x@else.test") },
	};
	const struct conf *c =
	    open_with("relay_domains = relay.test, text:/nosuch/relay\n");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	close_all(c);
	c = open_with("transport_maps = text:/nosuch/transport\n");
	check_row(&(const struct row){ "the way of all", "alice@example.org",
	    FAILED("alice@example.org") });
	close_all(c);
}

static void
test_length_bounds(void **state)
{
	const struct conf *c = open_with("");
	char address[ADDRESS_BYTES_MAX + 2];

	(void)state;
	/* A local part at its bound and past it; a text past its bound. */
	for (size_t n = LOCAL_PART_BYTES_MAX - 1; n <= LOCAL_PART_BYTES_MAX + 1;
	     n++) {
		struct fr_resolved f;

		memset(address, 'a', n);
		memcpy(address + n, "@example.org", 12);
		resolve(&resolver, RESOLVE_RCPT, slice_of(address, n + 12),
		    SLICE_NONE, &f);
		assert_int_equal(f.verdict, RESOLVE_REFUSE);
		assert_int_equal(f.code, n <= LOCAL_PART_BYTES_MAX ? 550 : 501);
	}
	for (size_t n = sizeof(address) - 2; n <= sizeof(address); n++) {
		struct fr_resolved f;

		memset(address, 'a', sizeof(address));
		resolve(&resolver, RESOLVE_RCPT, slice_of(address, n),
		    SLICE_NONE, &f);
		assert_int_equal(f.code, 501);
	}
	close_all(c);
}

/* ---- explain ---- */

struct steps {
	char text[2048];
};

static void
add_step(void *arg, const char *place, const char *text)
{
	struct steps *s = arg;
	size_t n = strlen(s->text);

	(void)snprintf(s->text + n, sizeof(s->text) - n, "%s|%s\n", place,
	    text);
}

static void
test_explain(void **state)
{
	static const struct {
		const char *address, *steps;
	} rows[] = {
		{ "alice+x@example.org",
		    "f:2: mydestination|has example.org\n"
		    "f:7: transport_maps|example.org is local:\n"
		    "system|no user alice+x\n"
		    "system|user alice has id 1000\n" },
		{ "joe@vtab.test",
		    "f:3: virtual_mailbox_domains|vtab.test is x\n"
		    "f:5: virtual_mailbox_maps|@vtab.test is %d/%u/\n"
		    "f:8: virtual_uid_maps|joe@vtab.test is 5000\n" },
		{ "x@relay.test", "f:6: relay_domains|has relay.test\n"
				  "f:9: relayhost|is gw.test\n" },
		{ "a@b.test",
		    "|b.test is in none of mydestination, "
		    "virtual_mailbox_domains and relay_domains: another "
		    "server's\n"
		    "f:9: relayhost|is gw.test\n" },
	};
	const struct conf *c;

	(void)state;
	c = open_with("transport_maps = inline:{ example.org = local: }\n"
		      "virtual_uid_maps = static:5000\n"
		      "relayhost = gw.test\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct steps s = { "" };
		struct fr_resolved f;

		resolve_explain(&resolver, slice_str(rows[i].address), &f,
		    add_step, &s);
		assert_string_equal(s.text, rows[i].steps);
		assert_int_not_equal(f.verdict, RESOLVE_REFUSE);
	}
	close_all(c);
}

/* The system's own answers, remembered for a moment and no longer. */
static void
test_system(void **state)
{
	static struct system_facts f;
	struct net_addr a;
	struct errtext et;
	uint32_t uid = 7;

	(void)state;
	system_facts_init(&f);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(f.ops.user(f.ops.arg, "root", &uid, &et), OK);
		assert_int_equal(uid, 0);
		assert_int_equal(
		    f.ops.user(f.ops.arg, "no-such-user", &uid, &et),
		    ERR_NOTFOUND);
	}
	for (size_t i = 0; i < SYSTEM_CACHE_COUNT; i++)
		f.users[i].uid = 99;
	assert_int_equal(f.ops.user(f.ops.arg, "root", &uid, &et), OK);
	assert_int_equal(uid, 99); /* remembered */
	for (size_t i = 0; i < SYSTEM_CACHE_COUNT; i++)
		f.users[i].expires.ms = 0;
	assert_int_equal(f.ops.user(f.ops.arg, "root", &uid, &et), OK);
	assert_int_equal(uid, 0); /* asked again */

	assert_true(net_addr_parse(SLICE_LIT("127.1.2.3"), &a));
	assert_true(f.ops.is_own(f.ops.arg, &a));
	assert_true(net_addr_parse(SLICE_LIT("192.0.2.1"), &a));
	assert_false(f.ops.is_own(f.ops.arg, &a));
	assert_true(f.own_count > 0);
	assert_true(f.ops.is_own(f.ops.arg, &f.own[f.own_count - 1]));
}

static void
test_open_errors(void **state)
{
	const struct conf *c = NULL;
	char text[2048] = "transport_maps =";
	struct errtext et;

	(void)state;
	for (int i = 0; i <= TABLE_COUNT_MAX; i++)
		strcat(text, " static:x");
	memset(&report, 0, sizeof(report));
	assert_int_equal(
	    conf_load_text(&test_acct, slice_str(text), "f", &report, &c), OK);
	assert_int_equal(resolver_open(&resolver, &test_acct, c, &fake, &et),
	    ERR_CONFIG);
	assert_string_equal(et.text, "more than 64 tables");
	conf_free(c);
	assert_int_equal(test_acct.used_bytes, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_virtual),
		cmocka_unit_test(test_attack_20_paths),
		cmocka_unit_test(test_path_bounds),
		cmocka_unit_test(test_postmaster),
		cmocka_unit_test(test_attack_44_routes),
		cmocka_unit_test(test_transport_maps),
		cmocka_unit_test(test_class_transports),
		cmocka_unit_test(test_relayhost),
		cmocka_unit_test(test_smtproutes),
		cmocka_unit_test(test_virtual_aliases),
		cmocka_unit_test(test_alias_maps),
		cmocka_unit_test(test_purposes),
		cmocka_unit_test(test_alias_depth),
		cmocka_unit_test(test_luser_relay),
		cmocka_unit_test(test_srs),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_users_assign),
		cmocka_unit_test(test_virtualdomains),
		cmocka_unit_test(test_rcpthosts_decide),
		cmocka_unit_test(test_rewritten),
		cmocka_unit_test(test_dash),
		cmocka_unit_test(test_no_delimiter),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_badmailfrom),
		cmocka_unit_test(test_missing_table),
		cmocka_unit_test(test_length_bounds),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_system),
		cmocka_unit_test(test_open_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
