/*
 * Lookup tables: their syntax, what they find, and that a table that cannot
 * be read is never taken for an empty one.
 */
#include "../check.h"

#include <cdb.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "table/impl.h"

static struct acct test_acct;
static char dir[64];

static int
setup(void **state)
{
	(void)state;
	acct_init(&test_acct, NULL, "test", 256 << 20, false, "");
	strcpy(dir, "/tmp/weir-table-XXXXXX");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static const char *
path(const char *name)
{
	static char buf[128];

	(void)snprintf(buf, sizeof(buf), "%s/%s", dir, name);
	return buf;
}

static void
write_file(const char *name, const char *text)
{
	FILE *f = fopen(path(name), "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static struct table *
open_table(const char *type, const char *name)
{
	char spec[256];
	struct table *t;

	(void)snprintf(spec, sizeof(spec), "%s:%s", type, path(name));
	assert_int_equal(table_open(&test_acct, slice_str(spec), &t, NULL), OK);
	return t;
}

/* Expect a value; NULL: not found. */
static void
expect(struct table *t, const char *key, const char *value)
{
	struct table_answer a;
	struct errtext et = { "" };
	enum err e = table_lookup(t, slice_str(key), &a, &et);

	print_message("%s: %s\n", key, et.text);
	assert_int_equal(e, value != NULL ? OK : ERR_NOTFOUND);
	if (value != NULL && !slice_eq(a.value, slice_str(value)))
		fail_msg("%.*s", SLICE_ARGS(a.value));
}

static void
test_text_syntax(void **state)
{
	static const struct {
		const char *why, *text, *key, *value;
		uint32_t line, bad_line;
	} rows[] = {
		{ "plain", "a b\n", "a", "b", 1, 0 },
		{ "no newline at the end", "a b", "a", "b", 1, 0 },
		{ "CRLF", "a b\r\nc d\r\n", "c", "d", 2, 0 },
		{ "blanks around", "a \t b c \t\n", "a", "b c", 1, 0 },
		{ "keys are folded", "AbC Def\n", "abc", "Def", 1, 0 },
		{ "comments and empty lines", "# x y\n\n  # z\na b\n", "a", "b",
		    4, 0 },
		{ "a comment is no key", "#a b\n", "#a", NULL, 0, 0 },
		{ "continued", "a\n  b\n\tc\n", "a", "b c", 1, 0 },
		{ "continued over a comment", "a b\n# x\n\n c\n", "a", "b c", 1,
		    0 },
		{ "the entry after a continued one", "a b\n c\nd e\n", "d", "e",
		    3, 0 },
		{ "the first of equal keys holds", "a 1\nA 2\na 3\n", "a", "1",
		    1, 0 },
		{ "a key alone is told", "x y\na\nz w\n", "a", NULL, 0, 2 },
		{ "and hurts nobody else", "x y\na\nz w\n", "z", "w", 3, 2 },
		{ "a continuation of nothing is told", "  a b\nc d\n", "c", "d",
		    2, 1 },
		{ "empty", "", "a", NULL, 0, 0 },
		{ "only blanks", " \n \t\n", "a", NULL, 0, 0 },
		{ "NUL and high bytes are bytes", "a\xff b\xfe\n", "a\xff",
		    "b\xfe", 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char data[256];
		const struct map_entry *e;
		uint32_t bad;
		struct map m;

		print_message("%s\n", rows[i].why);
		strcpy(data, rows[i].text);
		map_init(&m, &test_acct);
		assert_int_equal(text_parse(&m, data, strlen(rows[i].text),
				     TABLE_SYNTAX_MAP, &bad),
		    OK);
		assert_int_equal(bad, rows[i].bad_line);
		e = map_find(&m, slice_str(rows[i].key));
		assert_int_equal(e != NULL, rows[i].value != NULL);
		if (e != NULL) {
			assert_true(
			    slice_eq(e->value, slice_str(rows[i].value)));
			assert_int_equal(e->line, rows[i].line);
		}
		map_fini(&m);
	}
	assert_int_equal(test_acct.used_bytes, 0);
}

/* limit - 1, limit, limit + 1 of a key and of a value. */
static void
test_text_bounds(void **state)
{
	static char data[TABLE_VALUE_BYTES_MAX + TABLE_KEY_BYTES_MAX + 16];

	(void)state;
	for (int key = 0; key < 2; key++) {
		for (int d = -1; d <= 1; d++) {
			size_t k = key ? (size_t)(TABLE_KEY_BYTES_MAX + d) : 1;
			size_t v =
			    key ? 1 : (size_t)(TABLE_VALUE_BYTES_MAX + d);
			struct map m;
			uint32_t bad;

			memset(data, 'x', k + 1 + v);
			data[k] = ' ';
			map_init(&m, &test_acct);
			assert_int_equal(text_parse(&m, data, k + 1 + v,
					     TABLE_SYNTAX_MAP, &bad),
			    OK);
			assert_int_equal(m.count, d <= 0);
			assert_int_equal(bad, d > 0);
			map_fini(&m);
		}
	}
}

static void
test_map_sorts(void **state)
{
	enum { COUNT = 2000 };
	static char keys[COUNT][8];
	struct map m;

	(void)state;
	map_init(&m, &test_acct);
	for (uint32_t i = 0; i < COUNT; i++) {
		(void)snprintf(keys[i], sizeof(keys[i]), "%u",
		    (i * 7919) % COUNT / 2);
		assert_int_equal(
		    map_add(&m, slice_str(keys[i]), SLICE_LIT("v"), i + 1), OK);
	}
	map_sort(&m);
	for (uint32_t i = 0; i < COUNT; i++) {
		const struct map_entry *e = map_find(&m, slice_str(keys[i]));

		assert_non_null(e);
		assert_true(e->line <= i + 1);
	}
	for (uint32_t i = 1; i < COUNT; i++)
		if (slice_eq(m.entries[i - 1].key, m.entries[i].key))
			assert_true(m.entries[i - 1].line < m.entries[i].line);
	assert_null(map_find(&m, SLICE_LIT("1000")));
	assert_null(map_find(&m, SLICE_LIT("")));
	assert_int_equal(map_reserve(&m, TABLE_ENTRY_COUNT_MAX + 1),
	    ERR_TOOBIG);
	map_fini(&m);
}

static void
test_text_changes(void **state)
{
	struct table *t = open_table("text", "changing");
	struct table_answer a;
	struct errtext et;
	char other[128];

	(void)state;
	/* Not there yet: temporary, not "not found". */
	assert_int_equal(table_lookup(t, SLICE_LIT("a"), &a, &et), ERR_LOOKUP);
	assert_non_null(strstr(et.text, "No such file"));
	write_file("changing", "a 1\n");
	expect(t, "a", "1");
	expect(t, "A", "1");
	expect(t, "b", NULL);
	/* The same size within the same tick of the clock. */
	write_file("changing", "a 2\n");
	expect(t, "a", "2");
	write_file("changing", "a 3\n");
	expect(t, "a", "3");
	/* Replaced by rename, the times of the new file being old. */
	write_file("new", "a 4\n");
	strcpy(other, path("new"));
	assert_int_equal(rename(other, path("changing")), 0);
	expect(t, "a", "4");
	expect(t, "a", "4");
	/* Gone, a directory, there again. */
	assert_int_equal(unlink(path("changing")), 0);
	assert_int_equal(table_lookup(t, SLICE_LIT("a"), &a, &et), ERR_LOOKUP);
	assert_int_equal(mkdir(path("changing"), 0755), 0);
	assert_int_equal(table_lookup(t, SLICE_LIT("a"), &a, &et), ERR_LOOKUP);
	assert_non_null(strstr(et.text, "is not a regular file"));
	assert_int_equal(rmdir(path("changing")), 0);
	write_file("changing", "a 5\n");
	expect(t, "a", "5");
	table_close(t);
	assert_int_equal(test_acct.used_bytes, 0);
}

/* A file that has been quiet is not read again, only looked at. */
static void
test_text_settles(void **state)
{
	struct timespec old[2] = { { 1000000000, 5 }, { 1000000000, 5 } };
	struct table_file f = { 0 };
	int fd;

	(void)state;
	write_file("quiet", "a 1\n");
	f.path = path("quiet");
	/* Its change time is now, so it is read at every look ... */
	assert_int_equal(utimensat(AT_FDCWD, f.path, old, 0), 0);
	assert_int_equal(file_open_changed(&f, &fd, NULL), OK);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_false(f.settled);
	assert_int_equal(file_open_changed(&f, &fd, NULL), OK);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	/* ... until it has been quiet: then nothing is opened. */
	f.settled = true;
	assert_int_equal(file_open_changed(&f, &fd, NULL), OK);
	assert_int_equal(fd, -1);
	/* A change of time alone is a change. */
	assert_int_equal(utimensat(AT_FDCWD, f.path, NULL, 0), 0);
	assert_int_equal(file_open_changed(&f, &fd, NULL), OK);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}

/* No memory for a table: temporary, and it recovers. */
static void
test_text_memory(void **state)
{
	struct table *t = open_table("hash", "mem");
	struct table_answer a;
	struct errtext et;
	enum err e = ERR_LOOKUP;

	(void)state;
	write_file("mem", "a 1\nb 2\nc 3\n");
	for (unsigned n = 1; n < 10 && e != OK; n++) {
		mem_fail_after(n);
		e = table_lookup(t, SLICE_LIT("c"), &a, &et);
		mem_fail_after(0);
		assert_true(e == OK || e == ERR_LOOKUP);
		assert_true(e == OK || strstr(et.text, "no memory") != NULL);
	}
	assert_int_equal(e, OK);
	table_close(t);
	assert_int_equal(test_acct.used_bytes, 0);
}

static void
make_cdb(const char *name, const char *value)
{
	struct cdb_make m;
	int fd = open(path(name), O_RDWR | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(cdb_make_start(&m, fd), 0);
	assert_int_equal(
	    cdb_make_add(&m, "a", 1, value, (unsigned)strlen(value)), 0);
	assert_int_equal(cdb_make_add(&m, "nul", 4, "with nul", 9), 0);
	assert_int_equal(cdb_make_add(&m, "empty", 5, "", 0), 0);
	assert_int_equal(cdb_make_finish(&m), 0);
	assert_int_equal(close(fd), 0);
}

static void
test_cdb(void **state)
{
	struct table *t = open_table("cdb", "db");
	struct table *same = open_table("cdb", "db.cdb");
	struct table_answer a;
	struct errtext et;
	static char large[TABLE_VALUE_BYTES_MAX + 2];
	struct stat st;

	(void)state;
	assert_int_equal(table_lookup(t, SLICE_LIT("a"), &a, &et), ERR_LOOKUP);
	make_cdb("db.cdb", "one");
	expect(t, "a", "one");
	expect(t, "A", "one");
	expect(t, "nul", "with nul");
	expect(t, "empty", "");
	expect(t, "b", NULL);
	expect(same, "a", "one");
	make_cdb("db.cdb", "two");
	expect(t, "a", "two");
	/* A value at its bound, and one byte more. */
	memset(large, 'x', sizeof(large) - 1);
	large[TABLE_VALUE_BYTES_MAX] = '\0';
	make_cdb("db.cdb", large);
	expect(t, "a", large);
	large[TABLE_VALUE_BYTES_MAX] = 'x';
	make_cdb("db.cdb", large);
	assert_int_equal(table_lookup(t, SLICE_LIT("a"), &a, &et), ERR_LOOKUP);
	/* Cut short anywhere: an error, never death or "not found". */
	make_cdb("db.cdb", "three");
	assert_int_equal(stat(path("db.cdb"), &st), 0);
	for (off_t n = st.st_size - 1; n >= 0; n -= 3) {
		assert_int_equal(truncate(path("db.cdb"), n), 0);
		assert_int_equal(table_lookup(t, SLICE_LIT("a"), &a, &et),
		    ERR_LOOKUP);
	}
	make_cdb("db.cdb", "four");
	expect(t, "a", "four");
	table_close(same);
	table_close(t);
	assert_int_equal(test_acct.used_bytes, 0);
}

static void
test_inline_and_static(void **state)
{
	static const struct {
		const char *why, *spec, *key, *value;
	} rows[] = {
		{ "one entry", "inline:{ a = b }", "a", "b" },
		{ "without blanks", "inline:{a=b}", "a", "b" },
		{ "by commas or grouped",
		    "inline:{ a = b c, { d e = f, g } , h=i }", "d e", "f, g" },
		{ "the entry after a group", "inline:{ {a = b}, c = d }", "c",
		    "d" },
		{ "value with =", "inline:{ a = b=c }", "a", "b=c" },
		{ "keys are folded", "inline:{ A@B = c }", "a@b", "c" },
		{ "nothing in it", "inline:{ }", "a", NULL },
		{ "another key", "inline:{ a = b }", "b", NULL },
		{ "static", "static:x y", "anything", "x y" },
		{ "an empty key is in no table", "static:x", "", NULL },
	};
	static const struct {
		const char *spec, *message;
	} bad[] = {
		{ "inline:a=b",
		    "no braces; write inline:{ key = value, ... }" },
		{ "inline:", "no braces; write inline:{ key = value, ... }" },
		{ "inline:{ a }", "entry 1 is not key = value" },
		{ "inline:{ a = b, c = }", "entry 2 is not key = value" },
		{ "inline:{ = b }", "entry 1 is not key = value" },
		{ "text:relative", "no absolute path in it" },
		{ "nosuch:/x", "not a table" },
		{ "text", "not a table" },
		{ "", "not a table" },
	};
	struct table *t;
	struct errtext et;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("%s\n", rows[i].why);
		assert_int_equal(
		    table_open(&test_acct, slice_str(rows[i].spec), &t, &et),
		    OK);
		expect(t, rows[i].key, rows[i].value);
		table_close(t);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		print_message("%s\n", bad[i].spec);
		assert_int_equal(
		    table_open(&test_acct, slice_str(bad[i].spec), &t, &et),
		    ERR_CONFIG);
		assert_string_equal(et.text, bad[i].message);
	}
	assert_int_equal(test_acct.used_bytes, 0);
}

static void
test_open_memory(void **state)
{
	struct table *t = NULL;
	struct errtext et;
	enum err e = ERR_NOMEM;

	(void)state;
	for (unsigned n = 1; n < 10 && e != OK; n++) {
		mem_fail_after(n);
		e = table_open(&test_acct, SLICE_LIT("inline:{ a = b }"), &t,
		    &et);
		mem_fail_after(0);
		assert_true(e == OK || e == ERR_NOMEM);
	}
	assert_int_equal(e, OK);
	table_close(t);
	assert_int_equal(test_acct.used_bytes, 0);
}

/* ---- keys of an address ---- */

static void
test_address_order(void **state)
{
	static const struct {
		const char *why, *table;
		enum table_order order;
		const char *value;
	} rows[] = {
		{ "the whole first", "u+x@d.e=1, u@d.e=2, @d.e=3",
		    TABLE_ORDER_MAILBOX, "1" },
		{ "then without extension", "u@d.e=2, @d.e=3",
		    TABLE_ORDER_MAILBOX, "2" },
		{ "then the domain", "@d.e=3, d.e=4", TABLE_ORDER_MAILBOX,
		    "3" },
		{ "not the bare domain", "d.e=4, u=5", TABLE_ORDER_MAILBOX,
		    NULL },
		{ "transport: the whole first", "u+x@d.e=1, u@d.e=2, d.e=3",
		    TABLE_ORDER_TRANSPORT, "1" },
		{ "transport: the domain", "d.e=3, .d.e=4, *=9",
		    TABLE_ORDER_TRANSPORT, "3" },
		{ "transport: not a domain with @", "@d.e=3",
		    TABLE_ORDER_TRANSPORT, NULL },
		{ "transport: above the domain", ".e=4, *=9",
		    TABLE_ORDER_TRANSPORT, "4" },
		{ "transport: .domain is only what is below", ".d.e=4, *=9",
		    TABLE_ORDER_TRANSPORT, "9" },
		{ "nothing", "x=1", TABLE_ORDER_TRANSPORT, NULL },
	};
	const struct table_address address = {
		.local = SLICE_LIT("U+x"),
		.user = SLICE_LIT("U"),
		.domain = SLICE_LIT("D.e"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char spec[256];
		struct slice item;
		struct conf_list list = { &item, 1 };
		struct tables ts;
		struct table_answer a;
		enum err e;

		print_message("%s\n", rows[i].why);
		(void)snprintf(spec, sizeof(spec), "inline:{ %s }",
		    rows[i].table);
		item = slice_str(spec);
		assert_int_equal(tables_open(&ts, &test_acct, &list, NULL), OK);
		e = tables_lookup_address(&ts, rows[i].order, &address, &a,
		    NULL);
		assert_int_equal(e, rows[i].value != NULL ? OK : ERR_NOTFOUND);
		if (e == OK)
			assert_true(
			    slice_eq(a.value, slice_str(rows[i].value)));
		tables_close(&ts);
	}
	assert_int_equal(test_acct.used_bytes, 0);
}

/* An error of one table ends the search: the next could give a wrong
 * answer. */
static void
test_error_ends_search(void **state)
{
	struct slice items[] = {
		SLICE_LIT("example.org"), /* a domain, not a table */
		SLICE_LIT("inline:{ first = 1 }"),
		SLICE_LIT("text:/nosuch/table"),
		SLICE_LIT("static:last"),
	};
	struct conf_list list = { items, ARRAY_LEN(items) };
	struct tables ts;
	struct table_answer a;
	struct errtext et;

	(void)state;
	assert_int_equal(tables_open(&ts, &test_acct, &list, &et), OK);
	assert_int_equal(ts.count, 3);
	assert_int_equal(tables_lookup(&ts, SLICE_LIT("first"), &a, &et), OK);
	assert_string_equal(a.table, "inline:{ first = 1 }");
	assert_int_equal(tables_lookup(&ts, SLICE_LIT("x"), &a, &et),
	    ERR_LOOKUP);
	tables_close(&ts);
	items[3] = SLICE_LIT("inline:broken");
	assert_int_equal(tables_open(&ts, &test_acct, &list, &et), ERR_CONFIG);
	assert_int_equal(test_acct.used_bytes, 0);
}

static void
test_table_count(void **state)
{
	struct slice items[TABLE_COUNT_MAX + 1];
	struct conf_list list = { items, TABLE_COUNT_MAX };
	struct tables ts;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(items); i++)
		items[i] = SLICE_LIT("inline:{ a = b }");
	assert_int_equal(tables_open(&ts, &test_acct, &list, NULL), OK);
	tables_close(&ts);
	list.count++;
	assert_int_equal(tables_open(&ts, &test_acct, &list, NULL), ERR_CONFIG);
	assert_int_equal(test_acct.used_bytes, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_syntax),
		cmocka_unit_test(test_text_bounds),
		cmocka_unit_test(test_map_sorts),
		cmocka_unit_test(test_text_changes),
		cmocka_unit_test(test_text_settles),
		cmocka_unit_test(test_text_memory),
		cmocka_unit_test(test_cdb),
		cmocka_unit_test(test_inline_and_static),
		cmocka_unit_test(test_open_memory),
		cmocka_unit_test(test_address_order),
		cmocka_unit_test(test_error_ends_search),
		cmocka_unit_test(test_table_count),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
