/*
 * Users of the system, with their extensions, and users/assign before them.
 */
#include "../check.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "local/party.h"
#include "table/assigned.h"

static struct acct test_acct;
static struct arena arena;
static struct conf_report report;
static struct target_env env;
static char path[] = "/tmp/test_party.XXXXXX";

static void
open_env(const char *conf, const char *assign)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(assign, f) >= 0);
	assert_int_equal(fclose(f), 0);
	env = (struct target_env){ .is_root = true, .own = { 1, 1, 1 } };
	if (conf_load_text(&test_acct, slice_str(conf), "f", &report,
		&env.conf) != OK)
		fail_msg("%s", report.messages[0].text);
	arena_init(&arena, &test_acct, 4096, 65536);
	if (assign[0] != '\0')
		assert_int_equal(assigned_open(&test_acct, path, &env.assigned),
		    OK);
}

static void
close_env(void)
{
	assigned_close(env.assigned);
	conf_free(env.conf);
	arena_fini(&arena);
	assert_int_equal(test_acct.used_bytes, 0);
}

static const char assign[] = "=jo:jd:1001:101:/home/jd:::\n"
			     "+jo-:jd:1001:101:/home/jd:-:pre-:\n"
			     "=daemon:other:1002:102:/o:::\n.\n";

static const struct {
	const char *why, *mailbox, *address;
	enum party_result result;
	const char *user, *dash, *extension;
	unsigned uid;
	bool strict;
} rows[] = {
	{ "assigned", "jd", "jo@x.test", PARTY_FOUND, "jd", "", "", 1001,
	    false },
	{ "his extensions", "jd", "jo-Ext@x.test", PARTY_FOUND, "jd", "-",
	    "pre-Ext", 1001, true },
	{ "before the system's", "other", "daemon@x.test", PARTY_FOUND, "other",
	    "", "", 1002, false },
	{ "another one is meant", "daemon", "jo@x.test", PARTY_FOUND, "daemon",
	    "", "", 1, false },
	{ "of the system", "daemon", "daemon-a@x.test", PARTY_FOUND, "daemon",
	    "-", "a", 1, true },
	{ "in the manner of Postfix", "daemon", "daemon+a@x.test", PARTY_FOUND,
	    "daemon", "-", "a", 1, false },
	{ "nobody", "nosuchuser", "nosuchuser@x.test", PARTY_NONE, "", "", "",
	    0, false },
	{ "never root", "root", "root@x.test", PARTY_FAILED, "", "", "", 0,
	    false },
};

static void
test_find(void **state)
{
	struct party p;
	struct outcome o;

	(void)state;
	open_env("recipient_delimiter = +-\n", assign);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("%s\n", rows[i].why);
		assert_int_equal(party_find(&env, slice_str(rows[i].mailbox),
				     slice_str(rows[i].address), &arena, &p,
				     &o),
		    rows[i].result);
		if (rows[i].result != PARTY_FOUND)
			continue;
		assert_true(slice_eq(p.user, slice_str(rows[i].user)));
		assert_true(
		    slice_eq(p.extension, slice_str(rows[i].extension)));
		if (p.extension.len > 0)
			assert_true(slice_eq(p.dash, slice_str(rows[i].dash)));
		assert_int_equal(p.owner.uid, rows[i].uid);
		assert_int_equal(p.strict, rows[i].strict);
	}
	close_env();
}

/* As CHECK asks. */
static void
test_extension(void **state)
{
	struct party p;
	struct outcome o;

	(void)state;
	open_env("recipient_delimiter = +-\n", assign);
	assert_int_equal(party_with_extension(&env, SLICE_LIT("daemon"),
			     SLICE_LIT("a"), &arena, &p, &o),
	    PARTY_FOUND);
	assert_true(p.strict);
	assert_true(slice_eq(p.extension, SLICE_LIT("a")));
	assert_int_equal(party_with_extension(&env, SLICE_NONE,
			     SLICE_LIT("jo-b"), &arena, &p, &o),
	    PARTY_FOUND);
	assert_true(p.strict);
	assert_true(slice_eq(p.extension, SLICE_LIT("pre-b")));
	assert_true(slice_eq(p.home, SLICE_LIT("/home/jd")));
	assert_int_equal(party_with_extension(&env, SLICE_NONE,
			     SLICE_LIT("daemon-b"), &arena, &p, &o),
	    PARTY_NONE);
	close_env();
	open_env("dot_files = .forward\n", assign);
	assert_int_equal(party_with_extension(&env, SLICE_NONE,
			     SLICE_LIT("jo-b"), &arena, &p, &o),
	    PARTY_FOUND);
	assert_false(p.strict);
	close_env();
}

/* A file in the making makes mail wait; so does what we may not become. */
static void
test_deferred(void **state)
{
	struct party p;
	struct outcome o;

	(void)state;
	open_env("", "=jo:jd:1001:101:/home/jd:::\n");
	assert_int_equal(party_find(&env, SLICE_LIT("jd"),
			     SLICE_LIT("jo@x.test"), &arena, &p, &o),
	    PARTY_FAILED);
	assert_int_equal(o.status, JOB_DEFERRED);
	close_env();
	open_env("", assign);
	env.is_root = false;
	assert_int_equal(party_find(&env, SLICE_LIT("jd"),
			     SLICE_LIT("jo@x.test"), &arena, &p, &o),
	    PARTY_FAILED);
	assert_int_equal(o.status, JOB_DEFERRED);
	close_env();
}

static int
setup(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	acct_init(&test_acct, NULL, "test", 8 << 20, false, "");
	return fd < 0 ? -1 : close(fd);
}

static int
teardown(void **state)
{
	(void)state;
	return unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_extension),
		cmocka_unit_test(test_deferred),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
