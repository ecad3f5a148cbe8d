/*
 * What aliases stand for: lists, files, commands, loops, limits.
 */
#include "../check.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "lookup/expand.h"
#include "lookup/internal.h"

static struct acct test_acct;
static struct conf_report report;
static struct resolver resolver;
static struct expand expand;
static char top[] = "/tmp/test_expand.XXXXXX";

static enum err
find_user(void *arg, const char *name, uint32_t *uid_out, struct errtext *et)
{
	(void)arg;
	if (strcmp(name, "broken") == 0)
		return err_set(et, ERR_LOOKUP, "no answer");
	if (strcmp(name, "alice") != 0 && strcmp(name, "bob") != 0)
		return ERR_NOTFOUND;
	*uid_out = 1000;
	return OK;
}

static bool
is_own(void *arg, const struct net_addr *a)
{
	(void)arg;
	(void)a;
	return false;
}

static const struct resolve_system fake = { find_user, is_own, NULL, NULL };

static const struct conf *
open_with(const char *more)
{
	static char text[65536];
	const struct conf *c = NULL;
	struct errtext et;

	if (test_acct.name == NULL)
		acct_init(&test_acct, NULL, "test", 64 << 20, false, "");
	memset(&report, 0, sizeof(report));
	(void)snprintf(text, sizeof(text),
	    "myhostname = mail.x.test\nmyorigin = x.test\n"
	    "mydestination = x.test\nvirtual_mailbox_domains = virt.test\n"
	    "virtual_mailbox_base = /v\n"
	    "virtual_mailbox_maps = inline:{ joe@virt.test = joe/ }\n%s",
	    more);
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

/* "KIND text, ..." of all targets, in their order; their number. */
static unsigned
run(const char *address, char *list, size_t size)
{
	static const char kinds[] = "AUCFDI";
	struct alias_target t;
	unsigned count = 0;
	size_t n = 0;
	enum err e;

	list[0] = '\0';
	assert_int_equal(expand_open(&expand, &resolver, &test_acct,
			     slice_str(address), NULL, NULL),
	    OK);
	while ((e = expand_next(&expand, &t)) != ERR_NOTFOUND) {
		if (e == ERR_AGAIN)
			continue;
		assert_int_equal(e, OK);
		if (n < size)
			n += (size_t)snprintf(list + n, size - n, "%s%c %.*s",
			    count > 0 ? ", " : "", kinds[t.kind],
			    SLICE_ARGS(t.text));
		count++;
	}
	return count;
}

struct row {
	const char *why, *address, *list, *owner;
	int code;
	const char *status, *text;
};

static void
check_row(const struct row *row)
{
	char list[2048];

	print_message("%s\n", row->why);
	(void)run(row->address, list, sizeof(list));
	print_message("%s | %.*s\n", list, SLICE_ARGS(expand.end.text));
	assert_int_equal(expand.end.code, row->code);
	assert_int_equal(expand.end.error != OK, row->code != 0);
	if (row->code != 0) {
		assert_true(
		    slice_eq(expand.end.status, slice_str(row->status)));
		assert_non_null(strstr(expand.text, row->text));
		assert_int_equal(expand.end.owner.len, 0);
	} else {
		assert_string_equal(list, row->list);
		assert_true(slice_eq(expand.end.owner,
		    slice_str(row->owner == NULL ? "" : row->owner)));
	}
	expand_close(&expand);
}

#define GOOD(list)	  list, NULL, 0, NULL, NULL
#define BAD(code, status) NULL, NULL, code, status

static void
write_file(const char *name, const char *text, mode_t mode)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", top, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static const char aliases[] =
    "two: ann, z@far.test\n"
    "twice: z@far.test, Z@FAR.test,ann, ann@x.test\n"
    "deep: deeper, w@far.test\n"
    "deeper: two\n"
    "kinds: bob2, \\alice, \"|true \\\"a b\\\"\", /f, /d/, \\alice\n"
    "null: /dev/null\n"
    "list: ann\n"
    "owner-list: boss@far.test\n"
    "lists: ann, list\n"
    "bob: z@far.test, bob\n"
    "alice: friends\n"
    "friends: y@far.test, alice\n"
    "ring: gnir, y@far.test\n"
    "gnir: ring\n"
    "a: b, c\n"
    "b: a\n"
    "c: b, a\n"
    "ways: way1, way2\n"
    "way1: bob1, end@far.test\n"
    "way2: bob1, end@far.test\n"
    "bob1: end@far.test\n"
    "tov: v2@virt.test, q@far.test\n"
    "both: z@far.test, self\n"
    "owner-self: ann\n"
    "self: self, alice\n"
    "unknown: no1, no2\n"
    "bad: alice <, bob\n"
    "bads: two, bad\n"
    "missing: :include:/nonexistent/file\n"
    "broken: broken, broken2\n"
    "broken2: broken\n"
    "away: two@sub.test, ann\n"
    "moved: ann@vd.test, ann\n";

static const char maps[] =
    "virtual_alias_maps = inline:{ {v@virt.test = joe@virt.test, y@b.test},"
    " {joe@virt.test = joe@virt.test, y@b.test},"
    " {nobox@virt.test = nobox@virt.test, y@b.test},"
    " {w@far.test = w@far.test, y@b.test},"
    " {v2@virt.test = y@b.test, z@b.test},"
    " {both@x.test = both@x.test, y@b.test} }\n"
    "mydestination = x.test sub.test\n"
    "transport_maps = inline:{ sub.test = smtp:[192.0.2.1] }\n"
    "virtualdomains = vd.test:two\nrecipient_delimiter = +\n";

static const struct conf *
open_aliases(const char *more)
{
	char text[4096];

	(void)snprintf(text, sizeof(text), "alias_maps = text:%s/aliases\n%s",
	    top, more);
	return open_with(text);
}

static void
test_lists(void **state)
{
	static const struct row rows[] = {
		{ "two", "two@x.test", GOOD("A ann@x.test, A z@far.test") },
		{ "each once, whatever its case", "twice@x.test",
		    GOOD("A z@far.test, A ann@x.test") },
		{ "aliases in it are replaced", "deep@x.test",
		    GOOD("A w@far.test, A y@b.test, A ann@x.test, "
			 "A z@far.test") },
		{ "all kinds", "kinds@x.test",
		    GOOD("A bob2@x.test, U alice, C true \"a b\", F /f, "
			 "D /d/") },
		{ "nothing at all", "null@x.test", GOOD("") },
		{ "an owner is the sender", "list@x.test", "A ann@x.test",
		    "owner-list@x.test", 0, NULL, NULL },
		{ "a list in a list has its own owner", "lists@x.test",
		    GOOD("A ann@x.test, A list@x.test") },
		{ "a name among its own targets keeps its mailbox",
		    "bob@x.test", GOOD("A z@far.test, A bob@x.test") },
		{ "also when it comes back later", "alice@x.test",
		    GOOD("A y@far.test, A alice@x.test") },
		{ "if it has none the others get the mail", "ring@x.test",
		    GOOD("A y@far.test") },
		{ "nothing but each other is a loop", "a@x.test",
		    BAD(554, "5.4.6"), "alias database loop for a@x.test" },
		{ "twice by two ways is no loop", "ways@x.test",
		    GOOD("A end@far.test") },
		{ "virtual aliases in it too", "tov@x.test",
		    GOOD("A q@far.test, A y@b.test, A z@b.test") },
		{ "a virtual alias", "v@virt.test",
		    GOOD("A y@b.test, A joe@virt.test") },
		{ "whose own mailbox is one of them", "joe@virt.test",
		    GOOD("A joe@virt.test, A y@b.test") },
		{ "that has no mailbox", "nobox@virt.test",
		    GOOD("A y@b.test") },
		{ "another server's address and a copy", "w@far.test",
		    GOOD("A w@far.test, A y@b.test") },
		{ "with its extension", "v2+e@virt.test",
		    GOOD("A y+e@b.test, A z+e@b.test") },
		{ "what comes of an alias is not checked", "unknown@x.test",
		    GOOD("A no1@x.test, A no2@x.test") },
		{ "no alias any more", "plain@x.test", BAD(451, "4.3.0"),
		    "<plain@x.test> is no alias any more" },
		{ "no syntax: file and line", "bad@x.test", BAD(451, "4.3.0"),
		    "/aliases:27: an angle" },
		{ "no syntax further down", "bads@x.test", BAD(451, "4.3.0"),
		    "/aliases:27: an angle" },
		{ "nothing to read", "missing@x.test", BAD(451, "4.2.4"),
		    "cannot open /nonexistent/file" },
		{ "the users are not known now", "broken@x.test",
		    BAD(451, "4.3.0"), "temporary lookup failure" },
		{ "another transport has the domain", "away@x.test",
		    GOOD("A two@sub.test, A ann@x.test") },
		{ "a domain of a user, who is an alias", "moved@x.test",
		    GOOD("A ann@x.test, A z@far.test") },
		{ "an alias of both kinds", "both@x.test",
		    GOOD("A y@b.test, A z@far.test, A self@x.test") },
	};
	const struct conf *c;

	(void)state;
	write_file("aliases", aliases, 0644);
	c = open_aliases(maps);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	close_all(c);
}

/* Files, and what may stand in them. */
static void
test_files(void **state)
{
	static const struct row rows[] = {
		{ "lines, commas, comments", "one@x.test",
		    GOOD("A ann@x.test, A bob@x.test, A c@far.test, "
			 "A d@far.test") },
		{ "a file in a file", "outer@x.test",
		    GOOD("A e@far.test, A ann@x.test, A bob@x.test, "
			 "A c@far.test, A d@far.test") },
		{ "each file once", "self@x.test", GOOD("A s@far.test") },
		{ "empty", "empty@x.test", GOOD("") },
		{ "a file of itself alone is a loop", "alone@x.test",
		    BAD(554, "5.4.6"), "alias database loop for :include:/" },
		{ "and so are two of each other", "ping@x.test",
		    BAD(554, "5.4.6"), "/ping" },
		{ "a file twice is none", "twice@x.test", GOOD("") },
		{ "an alias in it", "names@x.test",
		    GOOD("A z@far.test, A ann@x.test, A bob@x.test, "
			 "A c@far.test, A d@far.test") },
		{ "the list itself in it", "me@x.test", GOOD("A z@far.test") },
		{ "not everybody may write", "open@x.test", BAD(451, "4.2.4"),
		    "open is writable for everybody" },
		{ "no directory", "dir@x.test", BAD(451, "4.2.4"),
		    "is not a regular file" },
		{ "no pipe", "pipe@x.test", BAD(451, "4.2.4"),
		    "is not a regular file" },
		{ "file and line of a mistake", "wrong@x.test",
		    BAD(451, "4.2.4"), "/wrong: line 3: " },
		{ "and of a bad address", "noaddr@x.test", BAD(451, "4.2.4"),
		    "/noaddr: line 2: \"a@b@c\" is not an address" },
		{ "commands are not for files", "cmd@x.test", BAD(550, "5.7.1"),
		    "mail to command is restricted" },
		{ "nor are files", "mbox@x.test", BAD(550, "5.7.1"),
		    "mail to file is restricted" },
		{ "an owner with a file", "mem@x.test",
		    "A ann@x.test, A bob@x.test, A c@far.test, A d@far.test",
		    "owner-mem@x.test", 0, NULL, NULL },
	};
	static const char *const names[] = { "one", "outer", "self", "empty",
		"names", "me", "open", "dir", "pipe", "wrong", "noaddr", "cmd",
		"mbox", "alone", "ping", "twice" };
	char text[4096], path[128];
	const struct conf *c;
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
		    "%s: :include:%s/%s\n", names[i], top, names[i]);
	(void)snprintf(text + n, sizeof(text) - n,
	    "mem: :include:%s/one\nowner-mem: ann\n", top);
	write_file("aliases", text, 0644);
	write_file("one", "# members\nann, bob\n\n  c@far.test\nd@far.test",
	    0644);
	(void)snprintf(text, sizeof(text), "e@far.test\n:include:%s/one\n",
	    top);
	write_file("outer", text, 0644);
	(void)snprintf(text, sizeof(text), "s@far.test\n:include:%s/self\n",
	    top);
	write_file("self", text, 0644);
	(void)snprintf(text, sizeof(text), ":include:%s/alone\n", top);
	write_file("alone", text, 0644);
	(void)snprintf(text, sizeof(text), ":include:%s/pong\n", top);
	write_file("ping", text, 0644);
	(void)snprintf(text, sizeof(text), ":include:%s/ping\n", top);
	write_file("pong", text, 0644);
	(void)snprintf(text, sizeof(text),
	    ":include:%s/empty\n:include:%s/empty\n", top, top);
	write_file("twice", text, 0644);
	write_file("empty", "# nobody\n", 0644);
	write_file("names", "one\nz@far.test\n", 0644);
	write_file("me", "me\nz@far.test\n", 0644);
	write_file("open", "ann\n", 0666);
	write_file("wrong", "ann\nbob\n<ann\n", 0644);
	write_file("noaddr", "ann\na@b@c\n", 0644);
	write_file("cmd", "ann\n|true\n", 0644);
	write_file("mbox", "ann\n/var/mbox\n", 0644);
	(void)snprintf(path, sizeof(path), "%s/dir", top);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/pipe", top);
	assert_int_equal(mkfifo(path, 0644), 0);
	c = open_aliases("");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	close_all(c);
}

static void
test_allowed(void **state)
{
	static const struct row none[] = {
		{ "no command", "cmd@x.test", BAD(550, "5.7.1"),
		    "cmd@x.test: mail to command is restricted" },
		{ "no file", "mbox@x.test", BAD(550, "5.7.1"),
		    "mbox@x.test: mail to file is restricted" },
		{ "no directory", "dir@x.test", BAD(550, "5.7.1"),
		    "mail to file is restricted" },
		{ "nothing goes nowhere", "null@x.test", GOOD("") },
	};
	static const struct row all[] = {
		{ "all from files", "inc@x.test",
		    GOOD("C true, F /mbox, D /dir/") },
	};
	char text[512];
	const struct conf *c;

	(void)state;
	(void)snprintf(text, sizeof(text),
	    "cmd: |true\nmbox: /mbox\ndir: /dir/\nnull: /dev/null\n"
	    "inc: :include:%s/inc\n",
	    top);
	write_file("aliases", text, 0644);
	write_file("inc", "|true\n/mbox\n/dir/\n", 0644);
	c = open_aliases("allow_mail_to_commands =\n"
			 "allow_mail_to_files = forward include\n");
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		check_row(&none[i]);
	close_all(c);
	c = open_aliases("allow_mail_to_commands = include\n"
			 "allow_mail_to_files = include\n");
	check_row(all);
	close_all(c);
}

static unsigned
count_of(const char *address)
{
	char list[64];

	return run(address, list, sizeof(list));
}

/* A list of many, in a file, and the limit of them. */
static void
test_many(void **state)
{
	static const struct {
		unsigned lines, limit;
		bool fits;
	} rows[] = {
		{ 10000, 10000, true },
		{ 10001, 10000, false },
		{ 9999, 10000, true },
		{ 1, 1, true },
		{ 2, 1, false },
		{ 5000, 10000, true },
	};
	static char text[10001 * 24 + 1];
	char more[128];

	(void)state;
	(void)snprintf(more, sizeof(more), "many: :include:%s/many\n", top);
	write_file("aliases", more, 0644);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct conf *c;
		size_t n = 0;

		for (unsigned k = 0; k < rows[i].lines; k++)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    "m%u@far.test\n", k);
		write_file("many", text, 0644);
		(void)snprintf(more, sizeof(more), "expansion_limit = %u\n",
		    rows[i].limit);
		c = open_aliases(more);
		if (rows[i].fits)
			assert_int_equal(count_of("many@x.test"),
			    rows[i].lines);
		else
			(void)count_of("many@x.test");
		assert_int_equal(expand.end.code, rows[i].fits ? 0 : 451);
		assert_int_equal(expand.too_many, !rows[i].fits);
		expand_close(&expand);
		close_all(c);
	}
}

/* Aliases in one another, and how many. */
static void
test_depth(void **state)
{
	static char text[EXPAND_REPLACED_MAX * 32];
	const struct conf *c;
	size_t n;

	(void)state;
	for (unsigned depth = EXPAND_DEPTH_MAX - 1;
	     depth <= EXPAND_DEPTH_MAX + 1; depth++) {
		n = 0;
		for (unsigned i = 0; i + 1 < depth; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    "a%u: a%u, b%u\n", i, i + 1, i);
		(void)snprintf(text + n, sizeof(text) - n, "a%u: ann, end\n",
		    depth - 1);
		write_file("aliases", text, 0644);
		c = open_aliases("");
		if (depth <= EXPAND_DEPTH_MAX)
			assert_int_equal(count_of("a0@x.test"), depth + 1);
		else
			(void)count_of("a0@x.test");
		assert_int_equal(expand.end.code,
		    depth <= EXPAND_DEPTH_MAX ? 0 : 451);
		expand_close(&expand);
		close_all(c);
	}
	for (unsigned count = EXPAND_REPLACED_MAX - 1;
	     count <= EXPAND_REPLACED_MAX + 1; count++) {
		/* The first one counts, too. */
		n = (size_t)snprintf(text, sizeof(text), "all: z0");
		for (unsigned i = 1; i + 1 < count; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    ", z%u", i);
		for (unsigned i = 0; i + 1 < count; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    "\nz%u: ann", i);
		write_file("aliases", text, 0644);
		c = open_aliases("");
		(void)count_of("all@x.test");
		assert_int_equal(expand.end.code,
		    count <= EXPAND_REPLACED_MAX ? 0 : 451);
		expand_close(&expand);
		close_all(c);
	}
}

/* 2^20 ways to one name take a hundred steps. */
static void
test_bomb(void **state)
{
	char text[2048], list[64];
	const struct conf *c;
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
		    "b%u: c%u, d%u\nc%u: b%u\nd%u: b%u\n", i, i, i, i, i + 1, i,
		    i + 1);
	(void)snprintf(text + n, sizeof(text) - n, "b20: ann\n");
	write_file("aliases", text, 0644);
	c = open_aliases("");
	(void)run("b5@x.test", list, sizeof(list));
	assert_string_equal(list, "A ann@x.test");
	assert_in_range(expand.replaced, 15 * 2, 15 * 3 + 1);
	expand_close(&expand);
	close_all(c);
}

/* Every refusal of memory ends the expansion, and leaves nothing. */
static void
test_no_memory(void **state)
{
	const struct conf *c;
	bool done = false;

	(void)state;
	write_file("aliases", "two: ann, z@far.test, three\nthree: a, b\n",
	    0644);
	c = open_aliases("");
	(void)count_of("two@x.test"); /* the table is read now */
	expand_close(&expand);
	for (unsigned n = 1; !done; n++) {
		struct alias_target t;
		enum err e;

		(void)mem_fail_after(n);
		e = expand_open(&expand, &resolver, &test_acct,
		    SLICE_LIT("two@x.test"), NULL, NULL);
		if (e == OK) {
			while (expand_next(&expand, &t) != ERR_NOTFOUND)
				continue;
			done = mem_fail_after(0) > 0;
			assert_int_equal(expand.end.code, done ? 0 : 451);
			expand_close(&expand);
		}
		(void)mem_fail_after(0);
		assert_in_range(n, 1, 100);
	}
	close_all(c);
}

static void
count_steps(void *arg, const char *place, const char *text)
{
	unsigned *count = arg;

	print_message("%s: %s\n", place, text);
	++*count;
}

static void
test_steps(void **state)
{
	const struct conf *c;
	struct alias_target t;
	unsigned count = 0;

	(void)state;
	write_file("aliases", "two: ann, three\nthree: a, b\nowner-two: x\n",
	    0644);
	c = open_aliases("");
	assert_int_equal(expand_open(&expand, &resolver, &test_acct,
			     SLICE_LIT("two@x.test"), count_steps, &count),
	    OK);
	while (expand_next(&expand, &t) != ERR_NOTFOUND)
		continue;
	expand_close(&expand);
	/* three, and its line in the table. */
	assert_int_equal(count, 1);
	close_all(c);
}

static int
make_top(void **state)
{
	(void)state;
	return mkdtemp(top) == NULL ? -1 : 0;
}

static int
remove_top(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -r %s", top);
	return system(command);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_steps),
	};

	return cmocka_run_group_tests(tests, make_top, remove_top);
}
