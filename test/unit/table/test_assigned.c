/*
 * qmail's users/assign, as a text and as the cdb that qmail-newu makes of it:
 * the same answers.
 */
#include "../check.h"

#include <cdb.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "table/assigned.h"

static struct acct test_acct;
static char top[] = "/tmp/test_assigned.XXXXXX";
static char text_path[64], cdb_path[64];

static void
write_text(const char *text)
{
	FILE *f = fopen(text_path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* As qmail-newu: of two lines for the same the first holds. */
static void
write_cdb(const char *text)
{
	struct slice rest = slice_str(text);
	struct assign_line l;
	struct cdb_make m;
	char key[ASSIGN_KEY_BYTES_MAX], value[ASSIGN_VALUE_BYTES_MAX];
	char ends[256];
	unsigned end_count = 0;
	int fd = open(cdb_path, O_RDWR | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(cdb_make_start(&m, fd), 0);
	while (rest.len > 0) {
		size_t n = slice_find(rest, '\n');

		if (assign_parse_line(slice_sub(rest, 0, n), &l, NULL) != OK)
			break;
		assert_true(cdb_make_put(&m, key, (unsigned)assign_key(&l, key),
				value, (unsigned)assign_value(&l, value),
				CDB_PUT_INSERT) >= 0);
		if (l.wild && l.local.len > 0)
			ends[end_count++] = l.local.data[l.local.len - 1];
		rest = slice_sub(rest, n + 1, rest.len);
	}
	assert_int_equal(cdb_make_add(&m, "", 0, ends, end_count), 0);
	assert_int_equal(cdb_make_finish(&m), 0);
	close(fd);
}

static const char example[] = "=joe:jd:1001:101:/home/joe:::\n"
			      "+joe-:jd:1001:101:/home/joe:-::\n"
			      "=joe-list:listman:1002:102:/home/list:-:joe:\n"
			      "+joe-list-:listman:1002:102:/home/list:-:joe-:\n"
			      "=Big:Big:1003:103:/home/big:::\n"
			      "=joe:second:9:9:/:::\n"
			      "+:alias:7790:2108:/var/qmail/alias:-::\n"
			      ".\n"
			      "=after:x:9:9:/:::\n";

static const struct {
	const char *why, *local, *user, *dash, *extension;
	unsigned uid;
	unsigned line;
} rows[] = {
	{ "exact; the first of two", "joe", "jd", "", "", 1001, 1 },
	{ "whatever its case", "JOE", "jd", "", "", 1001, 1 },
	{ "a prefix; the case of the rest is kept", "joe-Fun", "jd", "-", "Fun",
	    1001, 2 },
	{ "the whole prefix", "joe-", "jd", "-", "", 1001, 2 },
	{ "exact before prefix", "joe-list", "listman", "-", "joe", 1002, 3 },
	{ "the longest prefix; its own ext in front", "joe-list-x-y", "listman",
	    "-", "joe-x-y", 1002, 4 },
	{ "capitals in the file", "big", "Big", "", "", 1003, 5 },
	{ "everybody else", "nobody", "alias", "-", "nobody", 7790, 7 },
	{ "behind the dot there is nothing", "after", "alias", "-", "after",
	    7790, 7 },
};

static void
check_rows(struct assigned *as, bool has_lines)
{
	struct assigned_user u;
	struct errtext et;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("%s\n", rows[i].why);
		assert_int_equal(
		    assigned_find(as, slice_str(rows[i].local), &u, &et), OK);
		assert_true(slice_eq(u.to.user, slice_str(rows[i].user)));
		assert_true(slice_eq(u.to.dash, slice_str(rows[i].dash)));
		assert_true(
		    slice_eq(u.extension, slice_str(rows[i].extension)));
		assert_int_equal(u.to.uid, rows[i].uid);
		assert_int_equal(u.line, has_lines ? rows[i].line : 0);
	}
}

static void
test_find(void **state)
{
	struct assigned *as;

	(void)state;
	write_text(example);
	write_cdb(example);
	assert_int_equal(assigned_open(&test_acct, text_path, &as), OK);
	check_rows(as, true);
	assigned_close(as);
	assert_int_equal(assigned_open(&test_acct, cdb_path, &as), OK);
	check_rows(as, false);
	assigned_close(as);
	assert_int_equal(test_acct.used_bytes, 0);
}

static void
expect(struct assigned *as, const char *local, enum err e, const char *text)
{
	struct assigned_user u;
	struct errtext et = { "" };

	assert_int_equal(assigned_find(as, slice_str(local), &u, &et), e);
	print_message("%s\n", et.text);
	assert_non_null(strstr(et.text, text));
}

/* Nobody is refused because of a file in the making. */
static void
test_faults(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "", "does not end with a line that is a dot" },
		{ "=joe:jd:1001:101:/home/joe:::\n",
		    "does not end with a line that is a dot" },
		{ "=joe:jd:1001:101:/home/joe:::\n=ann:x:0:1:/:::\n.\n",
		    ":2: \"0\" is no user id" },
		{ "# no comments\n.\n", ":1: neither" },
		{ "=joe:jd:1001:101:home:::\n.\n", ":1: no absolute home" },
		{ "=joe:jd:1001\n.\n", ":1: fewer than seven colons" },
	};
	struct assigned *as;
	char long_local[300];

	(void)state;
	(void)unlink(text_path);
	assert_int_equal(assigned_open(&test_acct, text_path, &as), OK);
	expect(as, "joe", ERR_LOOKUP, "cannot open");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		write_text(bad[i].text);
		expect(as, "joe", ERR_LOOKUP, bad[i].says);
	}
	write_text("=joe:jd:1001:101:/home/joe:::\n.");
	expect(as, "joe", OK, "");
	expect(as, "ann", ERR_NOTFOUND, "");
	expect(as, "", ERR_NOTFOUND, "");
	memset(long_local, 'x', sizeof(long_local));
	long_local[sizeof(long_local) - 1] = '\0';
	expect(as, long_local, ERR_NOTFOUND, "");
	/* It changes under us. */
	write_text("=ann:ann:1001:101:/home/ann:::\n.\n");
	expect(as, "ann", OK, "");
	expect(as, "joe", ERR_NOTFOUND, "");
	assigned_close(as);
	assert_int_equal(test_acct.used_bytes, 0);
}

/* A cdb cut short anywhere, and any bit of it changed: an answer or an error,
 * never more. */
static void
test_damaged_cdb(void **state)
{
	struct assigned_user u;
	struct errtext et;
	struct assigned *as;
	char whole[8192];
	ssize_t len;
	int fd;

	(void)state;
	write_cdb(example);
	fd = open(cdb_path, O_RDWR);
	assert_true(fd >= 0);
	len = read(fd, whole, sizeof(whole));
	assert_in_range(len, 2048, sizeof(whole) - 1);
	assert_int_equal(assigned_open(&test_acct, cdb_path, &as), OK);
	for (ssize_t at = 0; at < len; at += 7) {
		char changed = (char)(whole[at] ^ (1 << at % 8));

		assert_int_equal(pwrite(fd, &changed, 1, at), 1);
		(void)!assigned_find(as, SLICE_LIT("joe-list-x"), &u, &et);
		assert_int_equal(pwrite(fd, whole + at, 1, at), 1);
	}
	for (ssize_t cut = len; cut >= 0; cut -= 41) {
		enum err e;

		assert_int_equal(ftruncate(fd, cut), 0);
		e = assigned_find(as, SLICE_LIT("joe-list-x"), &u, &et);
		assert_true(e == OK || e == ERR_LOOKUP || e == ERR_NOTFOUND);
	}
	close(fd);
	assigned_close(as);
	assert_int_equal(test_acct.used_bytes, 0);
}

static int
setup(void **state)
{
	(void)state;
	acct_init(&test_acct, NULL, "test", 8 << 20, false, "");
	if (mkdtemp(top) == NULL)
		return -1;
	(void)snprintf(text_path, sizeof(text_path), "%s/assign", top);
	(void)snprintf(cdb_path, sizeof(cdb_path), "%s/cdb", top);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(text_path);
	(void)unlink(cdb_path);
	return rmdir(top);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_damaged_cdb),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
