/*
 * The entries of a text, as the commands that make tables read them; and that
 * these are the ones a text table finds.
 */
#include "../check.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "table/impl.h"
#include "table/source.h"

static struct acct test_acct;

static int
setup(void **state)
{
	(void)state;
	acct_init(&test_acct, NULL, "test", 256 << 20, false, "");
	return 0;
}

static int
file_of(const void *text, size_t len)
{
	int fd = memfd_create("source", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* "line key=value;" or "line !fault;" for every entry. */
static void
render_fd(int fd, enum table_syntax syntax, bool fold, char *out, size_t size)
{
	struct source_entry entry;
	struct source *s;
	size_t at = 0;
	enum err e;

	out[0] = '\0';
	assert_int_equal(source_open(&test_acct, fd, syntax, fold, &s), OK);
	while ((e = source_next(s, &entry, NULL)) == OK) {
		if (entry.fault != NULL)
			at += (size_t)snprintf(out + at, size - at, "%u !%s;",
			    entry.line, entry.fault);
		else
			at += (size_t)snprintf(out + at, size - at,
			    "%u %.*s=%.*s;", entry.line, SLICE_ARGS(entry.key),
			    SLICE_ARGS(entry.value));
	}
	assert_int_equal(e, ERR_NOTFOUND);
	source_close(s);
	(void)close(fd);
	assert_int_equal(test_acct.used_bytes, 0);
}

static void
render(const char *text, size_t len, enum table_syntax syntax, bool fold,
    char *out, size_t size)
{
	render_fd(file_of(text, len), syntax, fold, out, size);
}

/* The same, read in two pieces: a packet is what one read gives. */
static void
render_split(const char *text, size_t len, size_t at, enum table_syntax syntax,
    char *out, size_t size)
{
	int fd[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
	if (at > 0)
		assert_int_equal(write(fd[1], text, at), (ssize_t)at);
	if (at < len)
		assert_int_equal(write(fd[1], text + at, len - at),
		    (ssize_t)(len - at));
	(void)close(fd[1]);
	render_fd(fd[0], syntax, true, out, size);
}

static const struct {
	const char *why, *text, *want;
	enum table_syntax syntax;
} rows[] = {
	{ "key and value", "a b\n", "1 a=b;", TABLE_SYNTAX_MAP },
	{ "no newline at the end", "a b", "1 a=b;", TABLE_SYNTAX_MAP },
	{ "CRLF", "a b\r\nc d\r\n", "1 a=b;2 c=d;", TABLE_SYNTAX_MAP },
	{ "continued, over comments and empty lines",
	    "a b\n# x\n\n  c\n \td \nx y\n", "1 a=b c d;6 x=y;",
	    TABLE_SYNTAX_MAP },
	{ "an indented comment", "a b\n  # c\nd e\n", "1 a=b;3 d=e;",
	    TABLE_SYNTAX_MAP },
	{ "capitals in keys only", "AbC DeF\n", "1 abc=DeF;",
	    TABLE_SYNTAX_MAP },
	{ "a quoted key with a blank", "\"a b\"@x c\n", "1 a b@x=c;",
	    TABLE_SYNTAX_MAP },
	{ "a quote within quotes", "\"a\\\"b\"@x c\n", "1 a\"b@x=c;",
	    TABLE_SYNTAX_MAP },
	{ "a backslash outside quotes is itself", "a\\b c\n", "1 a\\b=c;",
	    TABLE_SYNTAX_MAP },
	{ "quotes in a value stay", "a \"b c\"\n", "1 a=\"b c\";",
	    TABLE_SYNTAX_MAP },
	{ "a missing quote", "\"a b\nc d\n", "1 !a quote is missing;2 c=d;",
	    TABLE_SYNTAX_MAP },
	{ "nothing between the quotes", "\"\" b\n", "1 !not a key and a value;",
	    TABLE_SYNTAX_MAP },
	{ "a key alone", "a\nb c\n", "1 !not a key and a value;2 b=c;",
	    TABLE_SYNTAX_MAP },
	{ "a continuation of nothing", "# x\n  a b\nc d\n",
	    "2 !not a key and a value;3 c=d;", TABLE_SYNTAX_MAP },
	{ "nothing", "", "", TABLE_SYNTAX_MAP },
	{ "only comments and blanks", "#a b\n\n \t\n", "", TABLE_SYNTAX_MAP },
	{ "duplicates are the maker's affair", "a b\nA c\n", "1 a=b;2 a=c;",
	    TABLE_SYNTAX_MAP },

	{ "an alias", "Joe: a, b\n", "1 joe=a, b;", TABLE_SYNTAX_ALIASES },
	{ "blanks before the colon", "joe : a\n", "1 joe=a;",
	    TABLE_SYNTAX_ALIASES },
	{ "no blank behind it", "joe:a\n", "1 joe=a;", TABLE_SYNTAX_ALIASES },
	{ "a colon in the value", "joe: :include:/x\n", "1 joe=:include:/x;",
	    TABLE_SYNTAX_ALIASES },
	{ "a list over lines", "joe: a,\n   b,\n# not c\n   d\n",
	    "1 joe=a, b, d;", TABLE_SYNTAX_ALIASES },
	{ "a quoted name", "\"joe smith\": a\n", "1 joe smith=a;",
	    TABLE_SYNTAX_ALIASES },
	{ "a colon in a quoted name", "\"a:b\": c\n", "1 a:b=c;",
	    TABLE_SYNTAX_ALIASES },
	{ "no colon", "joe a\n", "1 !not a key and a value;",
	    TABLE_SYNTAX_ALIASES },
	{ "two words as a name", "joe smith: a\n", "1 !not a key and a value;",
	    TABLE_SYNTAX_ALIASES },
	{ "nothing behind the colon", "joe:\n", "1 !not a key and a value;",
	    TABLE_SYNTAX_ALIASES },
};

static void
test_entries(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char got[512];

		print_message("%s\n", rows[i].why);
		render(rows[i].text, strlen(rows[i].text), rows[i].syntax, true,
		    got, sizeof(got));
		assert_string_equal(got, rows[i].want);
	}
}

static void
test_entries_at_every_split(void **state)
{
	char got[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].text);

		print_message("%s\n", rows[i].why);
		for (size_t at = 0; at <= len; at++) {
			render_split(rows[i].text, len, at, rows[i].syntax, got,
			    sizeof(got));
			assert_string_equal(got, rows[i].want);
		}
	}
}

static void
test_case_is_kept_when_asked(void **state)
{
	char got[64];

	(void)state;
	render("AbC DeF\n", 8, TABLE_SYNTAX_MAP, false, got, sizeof(got));
	assert_string_equal(got, "1 AbC=DeF;");
}

/* The same entries as in memory, with the first of equal keys. */
static void
test_text_tables_agree(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct source_entry entry;
		struct source *s;
		char data[512];
		size_t len = strlen(rows[i].text);
		uint32_t bad, first_bad = 0;
		struct map m;
		int fd;

		print_message("%s\n", rows[i].why);
		memcpy(data, rows[i].text, len);
		map_init(&m, &test_acct);
		assert_int_equal(
		    text_parse(&m, data, len, rows[i].syntax, &bad), OK);
		fd = file_of(rows[i].text, len);
		assert_int_equal(
		    source_open(&test_acct, fd, rows[i].syntax, true, &s), OK);
		while (source_next(s, &entry, NULL) == OK) {
			const struct map_entry *e;

			if (entry.fault != NULL) {
				first_bad = first_bad ? first_bad : entry.line;
				continue;
			}
			e = map_find(&m, entry.key);
			assert_non_null(e);
			assert_true(e->line < entry.line ||
				    slice_eq(e->value, entry.value));
		}
		assert_int_equal(bad, first_bad);
		source_close(s);
		(void)close(fd);
		map_fini(&m);
	}
}

/* limit - 1, limit, limit + 1 of keys, values and whole entries; the entry
 * behind is always found, with its line. */
static void
test_bounds(void **state)
{
	static char text[400000];
	static const struct {
		const char *why;
		enum table_syntax syntax;
		size_t key, value;
	} limits[] = {
		{ "a key", TABLE_SYNTAX_MAP, TABLE_KEY_BYTES_MAX, 1 },
		{ "a value", TABLE_SYNTAX_MAP, 1, TABLE_VALUE_BYTES_MAX },
		{ "a list", TABLE_SYNTAX_ALIASES, 1,
		    TABLE_ALIAS_VALUE_BYTES_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		for (int d = -1; d <= 1; d++) {
			size_t k = limits[i].key, v = limits[i].value, n;
			struct source_entry entry;
			struct source *s;
			int fd;

			if (k > 1)
				k += (size_t)d;
			else
				v += (size_t)d;
			memset(text, 'k', k);
			text[k] = ':';
			n = k + (limits[i].syntax == TABLE_SYNTAX_ALIASES);
			text[n++] = ' ';
			memset(text + n, 'v', v);
			n += v;
			memcpy(text + n, "\nz: z\n", 6);
			fd = file_of(text, n + 6);
			assert_int_equal(source_open(&test_acct, fd,
					     limits[i].syntax, true, &s),
			    OK);
			print_message("%s %d\n", limits[i].why, d);
			assert_int_equal(source_next(s, &entry, NULL), OK);
			assert_int_equal(entry.fault == NULL, d <= 0);
			assert_int_equal(entry.too_long, d > 0);
			assert_int_equal(source_next(s, &entry, NULL), OK);
			assert_int_equal(entry.line, 2);
			assert_null(entry.fault);
			source_close(s);
			(void)close(fd);
		}
	}
	/* Far past everything. */
	memset(text, 'x', sizeof(text));
	memcpy(text + sizeof(text) - 5, "\nz z\n", 5);
	{
		char got[128];

		render(text, sizeof(text), TABLE_SYNTAX_MAP, true, got,
		    sizeof(got));
		assert_string_equal(got, "1 !the entry is too long;2 z=z;");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_entries_at_every_split),
		cmocka_unit_test(test_case_is_kept_when_asked),
		cmocka_unit_test(test_text_tables_agree),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
