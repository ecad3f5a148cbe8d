/*
 * Every row of params.def is complete and its default is its own best
 * example: inside the range, and the same after rendering and parsing.
 */
#include "conf_test.h"

#include "conf/load.h"
#include "conf/param.h"

static const char roles[] =
    "master smtpd queue smtp dns lookup local bounce pickup sendmail "
    "newaliases postmap postalias";

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < CONF_ID_COUNT; i++) {
		const struct conf_param *p = &conf_params[i];
		struct slice rest = slice_str(p->roles), word, all, known;
		bool found;

		print_message("%s\n", p->name);
		assert_ptr_equal(conf_param_find(slice_str(p->name)), p);
		assert_true(strlen(p->text) > 10);
		assert_int_equal(p->text[strlen(p->text) - 1], '.');
		assert_non_null(conf_group_title(p->group));
		assert_true(p->roles[0] != '\0');
		while (slice_word(&rest, " ", &word)) {
			all = slice_str(roles);
			found = false;
			while (slice_word(&all, " ", &known))
				found = found || slice_eq(known, word);
			assert_true(found);
		}
		if (p->check == CONF_CHECK_WORDS)
			assert_true(p->values[0] != '\0');
	}
}

static void
test_ranges(void **state)
{
	(void)state;
	for (size_t i = 0; i < CONF_ID_COUNT; i++) {
		const struct conf_param *p = &conf_params[i];
		int64_t least, most, def;

		if (p->least == NULL)
			continue;
		print_message("%s\n", p->name);
		assert_int_equal(
		    conf_number_parse(p, slice_str(p->least), &least, NULL),
		    OK);
		assert_int_equal(
		    conf_number_parse(p, slice_str(p->most), &most, NULL), OK);
		assert_true(least < most);
		/* 0 is explained if and only if it is allowed. */
		assert_int_equal(least <= 0, p->zero[0] != '\0');
		if (p->def[0] == '$')
			continue;
		assert_int_equal(
		    conf_number_check(p, slice_str(p->def), &def, NULL), OK);
	}
}

static void
test_each_bound(void **state)
{
	(void)state;
	/* limit - 1, limit, limit + 1 of both ends of every number. */
	for (size_t i = 0; i < CONF_ID_COUNT; i++) {
		const struct conf_param *p = &conf_params[i];
		int64_t ends[2], n;
		const char *unit = p->type == CONF_TYPE_TIME ? "ms" : "";
		char text[64];

		if (p->least == NULL)
			continue;
		assert_int_equal(
		    conf_number_parse(p, slice_str(p->least), &ends[0], NULL),
		    OK);
		assert_int_equal(
		    conf_number_parse(p, slice_str(p->most), &ends[1], NULL),
		    OK);
		for (int64_t d = -1; d <= 1; d++) {
			for (int end = 0; end < 2; end++) {
				int64_t want = ends[end] + d;
				bool inside =
				    want >= ends[0] && want <= ends[1];
				enum err e;

				if (want < 0)
					continue;
				(void)snprintf(text, sizeof(text), "%lld%s",
				    (long long)want, unit);
				e = conf_number_check(p, slice_str(text), &n,
				    NULL);
				assert_int_equal(e, inside ? OK : ERR_CONFIG);
				if (inside)
					assert_int_equal(n, want);
			}
		}
	}
}

static void
test_defaults_load(void **state)
{
	const struct conf *c = test_load("");

	(void)state;
	if (c == NULL)
		print_message("%s\n", test_report.messages[0].text);
	assert_non_null(c);
	assert_int_equal(test_report.count, 0);
	assert_int_equal(c->smtpd_timeout_ms, 300000);
	assert_int_equal(c->commit_delay_ms, 1);
	assert_int_equal(c->maximal_queue_lifetime_ms, 5LL * 86400 * 1000);
	assert_int_equal(c->message_size_limit_bytes, 10240000);
	assert_int_equal(c->memory_budget_bytes, 128 << 20);
	assert_int_equal(c->unproven_share, 80);
	assert_false(c->soft_bounce);
	assert_int_equal(c->mynetworks.count, 2);
	assert_int_equal(c->smtpd_client_event_limit_exceptions.count, 2);
	assert_string_equal(c->postmaster_mailbox,
	    "/var/lib/weir/postmaster/Maildir/");
	assert_int_equal(c->local_destination_concurrency_limit, 2);
	assert_int_equal(c->smtp_destination_concurrency_limit, 20);
	test_end(c);
}

static void
test_defaults_round(void **state)
{
	const struct conf *c = test_load(""), *again;
	char *text, *text2;

	(void)state;
	assert_non_null(c);
	text = test_render(c, NULL, 0);
	again = test_load(text);
	assert_non_null(again);
	text2 = test_render(again, NULL, 0);
	assert_string_equal(text, text2);
	free(text2);
	for (size_t i = 0; i < CONF_ID_COUNT; i++)
		assert_true(slice_eq(conf_all_of(c)->values[i].expanded,
		    conf_all_of(again)->values[i].expanded));
	/* Nothing differs from the defaults but the names of the system,
	 * which are now written out. */
	text2 = test_render(c, NULL, CONF_RENDER_CHANGED);
	assert_string_equal(text2, "");
	free(text2);
	free(text);
	conf_free(again);
	test_end(c);
}

static void
test_nearest(void **state)
{
	static const struct {
		const char *why, *name, *near;
	} rows[] = {
		{ "a transposition", "smtpd_tiemout", "smtpd_timeout" },
		{ "a letter too few", "mydestinaton", "mydestination" },
		{ "a letter too many", "myhostnamee", "myhostname" },
		{ "a control file", "concurencylocal", "concurrencylocal" },
		{ "the common plural", "relay_domain", "relay_domains" },
		{ "nothing is near", "frobnicate", NULL },
		{ "too short to be a slip of anything", "x", NULL },
		{ "longer than any name",
		    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		    "aaaaaaaaaaaaaaaaaaaaaaaa",
		    NULL },
		{ "empty", "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *near = conf_param_nearest(slice_str(rows[i].name));

		print_message("%s\n", rows[i].why);
		if (rows[i].near == NULL)
			assert_null(near);
		else
			assert_string_equal(near, rows[i].near);
	}
}

static void
test_control_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < conf_control_count; i++) {
		const struct conf_control *k = &conf_controls[i];
		const struct conf_param *p = &conf_params[k->id];
		int64_t n;

		print_message("%s\n", k->file);
		if (k->kind != CONF_CONTROL_NUMBER)
			continue;
		assert_non_null(k->def);
		assert_int_equal(
		    conf_number_check(p, slice_str(k->def), &n, NULL), OK);
	}
}

static void
test_transports(void **state)
{
	const struct conf *c =
	    test_load("smtp_destination_concurrency_limit = 7\n"
		      "local_destination_recipient_limit = 9\n"
		      "initial_destination_concurrency = 4\n");

	(void)state;
	assert_non_null(c);
	assert_int_equal(conf_transport_limit(c, SLICE_LIT("smtp"),
			     CONF_TRANSPORT_CONCURRENCY),
	    7);
	assert_int_equal(conf_transport_limit(c, SLICE_LIT("relay"),
			     CONF_TRANSPORT_CONCURRENCY),
	    20);
	assert_int_equal(conf_transport_limit(c, SLICE_LIT("local"),
			     CONF_TRANSPORT_RECIPIENTS),
	    9);
	assert_int_equal(conf_transport_limit(c, SLICE_LIT("virtual"),
			     CONF_TRANSPORT_INITIAL),
	    4);
	assert_int_equal(conf_transport_limit(c, SLICE_LIT("nosuch"),
			     CONF_TRANSPORT_RECIPIENTS),
	    50);
	assert_true(conf_transport_known(SLICE_LIT("discard")));
	assert_false(conf_transport_known(SLICE_LIT("disc")));
	test_end(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_each_bound),
		cmocka_unit_test(test_defaults_load),
		cmocka_unit_test(test_defaults_round),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_control_rows),
		cmocka_unit_test(test_transports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
