/*
 * The split of memory_budget: what fits, what does not and what is said then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "role/plan.h"

#define MIB ((int64_t)1 << 20)

static struct acct mem;
static const struct conf *defaults;

static int
setup(void **state)
{
	struct conf_report *report;
	enum err e;

	(void)state;
	acct_init(&mem, NULL, "test", 16 * MIB, false, "");
	report = conf_report_new(&mem);
	e = conf_load_text(&mem, slice_str(""), "test", report, &defaults);
	conf_report_free(&mem, report);
	return e == OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	conf_free(defaults);
	acct_fini(&mem);
	return 0;
}

static int64_t
sum(const struct plan *p)
{
	int64_t n = p->client_page_bytes + p->socket_bytes;

	for (unsigned r = 0; r < ROLE_COUNT; r++)
		n += p->parts[r].count *
		     (p->parts[r].floor_bytes + p->parts[r].fixed_bytes +
			 p->parts[r].shared_bytes);
	return n;
}

/* The classic limits fit into the default budget and into 32M, on any usual
 * machine, and nothing is planned twice. */
static void
test_defaults_fit(void **state)
{
	static const int64_t budgets[] = { 32 * MIB, 64 * MIB, 128 * MIB,
		4096 * MIB };

	(void)state;
	for (size_t b = 0; b < 4; b++) {
		for (unsigned cpus = 1; cpus <= 4; cpus++) {
			struct conf c = *defaults;
			struct errtext et = { "" };
			struct plan p;

			c.memory_budget_bytes = budgets[b];
			if (plan_make(&c, cpus, 1 << 20, &p, &et) != OK)
				fail_msg("%s", et.text);
			assert_true(sum(&p) <= budgets[b]);
			assert_true(sum(&p) > budgets[b] * 9 / 10);
			assert_true(
			    p.concurrency_incoming >= PLAN_SESSIONS_MIN);
			assert_int_equal(p.parts[ROLE_SMTPD].count,
			    budgets[b] / (16 * MIB) < cpus
				? budgets[b] / (16 * MIB)
				: cpus);
			assert_int_equal(p.parts[ROLE_QUEUE].count, 1);
			assert_int_equal(p.clamped_from, 0);
		}
	}
}

/* 10,000 strangers who sit there, in unproven_share of the sessions. */
static void
test_default_budget_carries_thousands(void **state)
{
	struct errtext et;
	struct plan p;

	(void)state;
	assert_int_equal(plan_make(defaults, 2, 1 << 20, &p, &et), OK);
	assert_true(
	    p.concurrency_incoming * defaults->unproven_share / 100 >= 10000);
	assert_true(
	    plan_account_bytes(&p, ROLE_QUEUE) >=
	    20000 * (PLAN_ACTIVE_MESSAGE_BYTES + PLAN_ACTIVE_RCPT_BYTES));
}

/* No ceiling but memory and descriptors: qmail's were 120, 255 and 509. */
static void
test_deliveries(void **state)
{
	static const struct {
		int64_t nofile;
		unsigned local, remote;
	} rows[] = { { 64, 1, 1 }, { 1024, 232, 1856 },
		{ 20000, 4976, 39808 } };
	struct conf c = *defaults;
	struct errtext et = { "" };
	struct plan p;

	(void)state;
	c.concurrency_remote = 2000;
	if (plan_make(&c, 2, 1 << 20, &p, &et) != OK)
		fail_msg("%s", et.text);
	assert_int_equal(p.parts[ROLE_SMTP].count, 2);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(plan_fit(&p, ROLE_LOCAL, rows[i].nofile),
		    rows[i].local);
		assert_int_equal(plan_fit(&p, ROLE_SMTP, rows[i].nofile),
		    rows[i].remote);
	}
}

/* What cannot fit is an error that names the parameter to lower. */
static void
test_errors(void **state)
{
	static const struct {
		const char *parameter;
		int64_t active, rcpts, local, remote, incoming;
	} rows[] = {
		{ "qmgr_message_active_limit", 10000000, 20000, 10, 20, 0 },
		{ "qmgr_message_recipient_limit", 20000, 10000000, 10, 20, 0 },
		{ "concurrency_local", 20000, 20000, 2000, 20, 0 },
		{ "concurrency_remote", 20000, 20000, 10, 10000, 0 },
		{ "concurrency_incoming", 20000, 20000, 10, 20, 100000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf c = *defaults;
		struct errtext et = { "" };
		struct plan p;

		c.qmgr_message_active_limit = rows[i].active;
		c.qmgr_message_recipient_limit = rows[i].rcpts;
		c.concurrency_local = rows[i].local;
		c.concurrency_remote = rows[i].remote;
		c.concurrency_incoming = rows[i].incoming;
		assert_int_equal(plan_make(&c, 2, 1 << 20, &p, &et),
		    ERR_CONFIG);
		if (strstr(et.text, rows[i].parameter) == NULL)
			fail_msg("%s: %s", rows[i].parameter, et.text);
	}
}

/* The value that is said to fit does. */
static void
test_value_that_fits(void **state)
{
	static const struct {
		const char *why;
		int64_t active, rcpts, local, remote, queries, proven, incoming;
		int smtpd, smtp;
	} rows[] = {
		{ "active", 200000, 20000, 10, 20, 32, 4096, 0, 0, 0 },
		{ "recipients", 20000, 200000, 10, 20, 32, 4096, 0, 0, 0 },
		{ "local", 20000, 20000, 100, 20, 32, 4096, 0, 0, 0 },
		{ "remote", 20000, 20000, 10, 2000, 32, 4096, 0, 0, 0 },
		{ "queries", 20000, 20000, 10, 20, 1000, 4096, 0, 0, 0 },
		{ "proven", 20000, 20000, 10, 20, 32, 1000000, 0, 0, 0 },
		{ "sessions", 20000, 20000, 10, 20, 32, 4096, 50000, 0, 0 },
		{ "smtpd", 20000, 20000, 10, 20, 32, 4096, 0, 60, 0 },
		{ "smtp", 20000, 20000, 10, 20, 32, 4096, 0, 0, 60 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf c = *defaults;
		struct errtext et = { "" };
		const char *to;
		int64_t value;
		struct plan p;

		c.memory_budget_bytes = 32 * MIB;
		c.qmgr_message_active_limit = rows[i].active;
		c.qmgr_message_recipient_limit = rows[i].rcpts;
		c.concurrency_local = rows[i].local;
		c.concurrency_remote = rows[i].remote;
		c.dns_query_limit = rows[i].queries;
		c.proven_table_size = rows[i].proven;
		c.concurrency_incoming = rows[i].incoming;
		c.smtpd_processes = rows[i].smtpd;
		c.smtp_processes = rows[i].smtp;
		assert_int_equal(plan_make(&c, 2, 1 << 20, &p, &et),
		    ERR_CONFIG);
		to = strstr(et.text, ", to ");
		if (to == NULL)
			fail_msg("%s: %s", rows[i].why, et.text);
		value = strtoll(to + 5, NULL, 10);
		if (c.qmgr_message_active_limit > 20000)
			c.qmgr_message_active_limit = value;
		else if (c.qmgr_message_recipient_limit > 20000)
			c.qmgr_message_recipient_limit = value;
		else if (c.concurrency_local > 10)
			c.concurrency_local = value;
		else if (c.concurrency_remote > 20)
			c.concurrency_remote = value;
		else if (c.dns_query_limit > 32)
			c.dns_query_limit = value;
		else if (c.proven_table_size > 4096)
			c.proven_table_size = value;
		else if (c.concurrency_incoming > 0)
			c.concurrency_incoming = value;
		else if (c.smtpd_processes > 0)
			c.smtpd_processes = value;
		else
			c.smtp_processes = value;
		if (plan_make(&c, 2, 1 << 20, &p, &et) != OK)
			fail_msg("%s %lld: %s", rows[i].why, (long long)value,
			    et.text);
	}
}

/* Too few descriptors to run at all. */
static void
test_too_few_descriptors(void **state)
{
	struct conf c = *defaults;
	struct errtext et = { "" };
	struct plan p;

	(void)state;
	assert_int_equal(plan_make(&c, 2, PLAN_NOFILE_MIN - 1, &p, &et), OK);
	assert_int_equal(plan_check_nofile(&p, PLAN_NOFILE_MIN, &et), OK);
	assert_int_equal(plan_check_nofile(&p, PLAN_NOFILE_MIN - 1, &et),
	    ERR_CONFIG);
	assert_string_equal(et.text,
	    "RLIMIT_NOFILE is 63, and 64 are needed at least; raise what "
	    "ulimit -n, LimitNOFILE= sets");
	c.smtpd_processes = 20;
	assert_int_equal(plan_make(&c, 2, 64, &p, &et), OK);
	assert_int_equal(plan_check_nofile(&p, 64, &et), ERR_CONFIG);
}

static void
test_processes(void **state)
{
	struct conf c = *defaults;
	struct errtext et;
	struct plan p;

	(void)state;
	c.smtpd_processes = 3;
	c.smtp_processes = 1;
	assert_int_equal(plan_make(&c, 2, 1 << 20, &p, &et), OK);
	assert_int_equal(p.parts[ROLE_SMTPD].count, 3);
	assert_int_equal(p.parts[ROLE_SMTP].count, 1);
	c.smtpd_processes = 64;
	c.memory_budget_bytes = 32 * MIB;
	assert_int_equal(plan_make(&c, 2, 1 << 20, &p, &et), ERR_CONFIG);
	assert_non_null(strstr(et.text, "smtpd_processes"));
}

/* Descriptors are outside the operator's file: clamped, not an error. */
static void
test_descriptors(void **state)
{
	static const struct slice users[] = { SLICE_LIT("qmaild") };
	struct conf c = *defaults;
	struct errtext et;
	struct plan p;

	(void)state;
	c.concurrency_incoming = 2000;
	assert_int_equal(plan_make(&c, 2, 1024, &p, &et), OK);
	assert_int_equal(p.clamped_from, 2000);
	assert_int_equal(p.concurrency_incoming, 960);
	assert_int_equal(p.nofile_needed, 1024);
	assert_int_equal(plan_make(&c, 2, 2064, &p, &et), OK);
	assert_int_equal(p.clamped_from, 0);
	assert_int_equal(p.concurrency_incoming, 2000);
	/* Sessions that may be handed over have two each. */
	c.authorized_session_users = (struct conf_list){ users, 1 };
	assert_int_equal(plan_make(&c, 2, 2064, &p, &et), OK);
	assert_int_equal(p.clamped_from, 2000);
	assert_int_equal(p.concurrency_incoming, 1000);
	assert_int_equal(p.nofile_needed, 2064);
	assert_int_equal(plan_make(&c, 2, 4063, &p, &et), OK);
	assert_int_equal(p.concurrency_incoming, 1999);
	assert_int_equal(plan_make(&c, 2, 4064, &p, &et), OK);
	assert_int_equal(p.clamped_from, 0);
}

/* A role that is given what was derived makes the same plan. */
static void
test_stable(void **state)
{
	struct conf c = *defaults;
	struct errtext et;
	struct plan p, q;

	(void)state;
	assert_int_equal(plan_make(&c, 2, 1 << 20, &p, &et), OK);
	c.concurrency_incoming = p.concurrency_incoming;
	c.smtpd_processes = c.smtp_processes = 2;
	assert_int_equal(plan_make(&c, 7, 1 << 20, &q, &et), OK);
	assert_memory_equal(&p, &q, sizeof(p));
}

static void
on_line(void *arg, const char *line)
{
	unsigned *lines = arg;

	assert_true(strlen(line) < 100);
	++*lines;
}

static void
test_print(void **state)
{
	struct errtext et;
	unsigned lines = 0;
	struct plan p;

	(void)state;
	assert_int_equal(plan_make(defaults, 2, 1 << 20, &p, &et), OK);
	plan_print(&p, on_line, &lines);
	/* Head, what it carries, nine roles, sockets. */
	assert_int_equal(lines, 3 + 9);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults_fit),
		cmocka_unit_test(test_default_budget_carries_thousands),
		cmocka_unit_test(test_deliveries),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_value_that_fits),
		cmocka_unit_test(test_too_few_descriptors),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_stable),
		cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
