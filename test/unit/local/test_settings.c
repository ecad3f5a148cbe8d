/*
 * settings: what the configuration says, in requests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "conf/conf.h"
#include "local/settings.h"

static void
mailbox(void **state)
{
	static const struct slice locks[] = { { "flock", 5 }, { "flock", 5 },
		{ "dotlock", 7 } };
	struct conf conf = {
		.deliver_lock_attempts = 5,
		.deliver_lock_delay_ms = 1000,
		.stale_lock_time_ms = 500000,
		.mailbox_size_limit_bytes = 51200000,
		.mailbox_full_action = CONF_FULL_BOUNCE,
	};
	struct request q = { .flags = REQUEST_HOME };

	(void)state;
	conf.mailbox_delivery_lock =
	    (struct conf_list){ locks, ARRAY_LEN(locks) };
	settings_of_mailbox(&conf, &q);
	assert_int_equal(q.locks.order[0], LOCK_FLOCK);
	assert_int_equal(q.locks.order[1], LOCK_DOTLOCK);
	assert_int_equal(q.locks.order[2], LOCK_NONE);
	assert_int_equal(q.locks.attempts, 5);
	assert_int_equal(q.locks.delay_ms, 1000);
	assert_int_equal(q.locks.stale_ms, 500000);
	assert_true(q.size_limit_bytes == 51200000);
	assert_int_equal(q.flags, REQUEST_HOME | REQUEST_FULL_BOUNCES);
	conf.mailbox_full_action = CONF_FULL_DEFER;
	settings_of_mailbox(&conf, &q);
	assert_int_equal(q.flags, REQUEST_HOME);
}

static void
plan(void **state)
{
	static const struct slice files[] = { { ".forward", 8 },
		{ ".qmail", 6 }, { ".forward", 8 } };
	static const struct slice both[] = { { "alias", 5 }, { "forward", 7 } };
	static const struct slice include[] = { { "include", 7 } };
	struct conf conf = {
		.dot_files = { files, ARRAY_LEN(files) },
		.forward_path = "$home/.forward",
		.allow_mail_to_commands = { both, ARRAY_LEN(both) },
		.allow_mail_to_files = { include, ARRAY_LEN(include) },
	};
	struct request q = { .flags = REQUEST_ALLOW_FILES };
	struct acct acct;
	struct arena arena;

	(void)state;
	acct_init(&acct, NULL, "test", 1024 * 1024, false, NULL);
	arena_init(&arena, &acct, 4096, 64 * 1024);
	assert_int_equal(settings_of_plan(&conf, &arena, &q), OK);
	assert_true(slice_eq(q.dot_files, SLICE_LIT(".forward .qmail ")));
	assert_true(slice_eq(q.forward_path, SLICE_LIT("$home/.forward")));
	assert_int_equal(q.flags,
	    REQUEST_ALLOW_COMMANDS | REQUEST_ALLOW_INCLUDE_FILES);
	conf.dot_files.count = 0;
	assert_int_equal(settings_of_plan(&conf, &arena, &q), OK);
	assert_int_equal(q.dot_files.len, 0);
	arena_fini(&arena);
	/* No memory. */
	acct_init(&acct, NULL, "test", 1, false, NULL);
	arena_init(&arena, &acct, 4096, 64 * 1024);
	assert_int_not_equal(settings_of_plan(&conf, &arena, &q), OK);
	arena_fini(&arena);
}

static void
command(void **state)
{
	struct conf conf = {
		.command_time_limit_ms = 1000000,
		.command_memory_limit_bytes = 64 << 20,
		.command_process_limit = 500,
		.command_timeout_action = CONF_TIMEOUT_BOUNCE,
	};
	struct request q = { .flags = REQUEST_QMAIL };

	(void)state;
	settings_of_command(&conf, &q);
	assert_int_equal(q.time_limit_ms, 1000000);
	assert_true(q.memory_limit_bytes == 64 << 20);
	assert_int_equal(q.process_max, 500);
	assert_int_equal(q.flags, REQUEST_QMAIL | REQUEST_TIMEOUT_BOUNCES);
	conf.command_timeout_action = CONF_TIMEOUT_DEFER;
	settings_of_command(&conf, &q);
	assert_int_equal(q.flags, REQUEST_QMAIL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mailbox),
		cmocka_unit_test(plan),
		cmocka_unit_test(command),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
