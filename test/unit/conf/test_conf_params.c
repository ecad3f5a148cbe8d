/*
 * Every row of params.def is complete and its default is its own best
 * example: inside the range, and the same after rendering and parsing.
 */
#include "conf_test.h"

#include "alias/pipe_args.h"
#include "conf/load.h"
#include "conf/param.h"

static const char roles[] =
    "master smtpd queue smtp dns lookup local bounce pickup sendmail "
    "newaliases postmap postalias qmail-inject";

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
	assert_true(conf_transport_known(c, SLICE_LIT("discard")));
	assert_false(conf_transport_known(c, SLICE_LIT("disc")));
	test_end(c);
}

static void
test_pipes(void **state)
{
	const struct conf *c =
	    test_load("filter_time_limit = 7\n"
		      "mailbox_transport = filter:hop\n"
		      "transport filter = pipe user=vmail:mail flags=Rhu.\n"
		      "  null_sender= directory=/tmp\n"
		      "  argv=/bin/x -r ${recipient} {two words} {} user=x\n"
		      "transport b = pipe user=u argv=/y\n"
		      "filter_destination_recipient_limit = 3\n"
		      "command_time_limit = 33s\n"
		      "b_initial_destination_concurrency = 2\n");
	static const char *const argv[] = { "/bin/x", "-r", "${recipient}",
		"two words", "", "user=x" };
	const struct conf_pipe *p;

	(void)state;
	assert_non_null(c);
	assert_int_equal(c->pipe_count, 2);
	p = conf_pipe_find(c, SLICE_LIT("filter"));
	assert_non_null(p);
	assert_string_equal(p->user, "vmail");
	assert_string_equal(p->group, "mail");
	assert_string_equal(p->directory, "/tmp");
	assert_string_equal(p->null_sender, "");
	assert_int_equal(p->flags, PIPE_RETURN_PATH | PIPE_LOWER_DOMAIN |
				       PIPE_LOWER_LOCAL | PIPE_DOTS);
	assert_int_equal(p->argv_count, ARRAY_LEN(argv));
	for (size_t i = 0; i < ARRAY_LEN(argv); i++) {
		assert_string_equal(p->argv[i].data, argv[i]);
		assert_int_equal(p->argv[i].len, strlen(argv[i]));
	}
	assert_int_equal(p->time_limit_ms, 7000);
	assert_int_equal(conf_transport_limit(c, SLICE_LIT("filter"),
			     CONF_TRANSPORT_RECIPIENTS),
	    3);
	p = conf_pipe_find(c, SLICE_LIT("b"));
	assert_int_equal(p->time_limit_ms, 33000);
	assert_int_equal(p->concurrency_limit, 20);
	assert_int_equal(p->recipient_limit, 50);
	assert_int_equal(p->initial_concurrency, 2);
	assert_string_equal(p->group, "");
	assert_string_equal(p->null_sender, "MAILER-DAEMON");
	assert_true(conf_transport_known(c, SLICE_LIT("b")));
	assert_false(conf_transport_known(c, SLICE_LIT("c")));
	test_end(c);
}

/* The text for the roles holds them. */
static void
test_pipes_rendered(void **state)
{
	static const char want[] =
	    "command_time_limit = 5s\n"
	    "transport f = pipe user=u argv=/x $recipient\n"
	    "f_time_limit = 9\n";
	static const char *const names[] = { "f_destination_recipient_limit",
		"transport f" };
	const struct conf *c = test_load(want);
	struct errtext et;
	struct buf b;

	(void)state;
	assert_non_null(c);
	buf_init(&b, &test_acct, 128, 1 << 20);
	assert_int_equal(conf_render(c, NULL, 0, CONF_RENDER_CHANGED, &b, &et),
	    OK);
	assert_true(slice_eq(buf_data(&b), slice_str(want)));
	buf_fini(&b);
	buf_init(&b, &test_acct, 128, 1 << 20);
	assert_int_equal(
	    conf_render(c, names, 2, CONF_RENDER_EXPANDED, &b, &et), OK);
	assert_true(slice_eq(buf_data(&b),
	    SLICE_LIT("f_destination_recipient_limit = 50\n"
		      "transport f = pipe user=u argv=/x $recipient\n")));
	buf_fini(&b);
	test_end(c);
}

static void
test_end_if(const struct conf *c, bool loads)
{
	assert_true((c != NULL) == loads);
	test_end(c);
}

/* Limit - 1, limit, limit + 1. */
static void
test_pipe_limits(void **state)
{
	char text[8192];

	(void)state;
	for (int count = CONF_PIPE_COUNT_MAX - 1;
	     count <= CONF_PIPE_COUNT_MAX + 1; count++) {
		size_t len = 0;

		for (int i = 0; i < count; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
			    "transport t%d = pipe user=u argv=/x\n", i);
		test_end_if(test_load(text), count <= CONF_PIPE_COUNT_MAX);
	}
	for (int count = CONF_PIPE_WORDS_MAX - 1;
	     count <= CONF_PIPE_WORDS_MAX + 1; count++) {
		size_t len = (size_t)snprintf(text, sizeof(text),
		    "transport t = pipe user=u argv=/x");

		for (int i = 1; i < count; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
			    " a");
		test_end_if(test_load(text), count <= CONF_PIPE_WORDS_MAX);
	}
	for (int bytes = CONF_PIPE_TEXT_BYTES_MAX - 1;
	     bytes <= CONF_PIPE_TEXT_BYTES_MAX + 1; bytes++) {
		static const char value[] = "pipe user=u argv=/";

		snprintf(text, sizeof(text), "transport t = %s%0*d", value,
		    bytes - (int)strlen(value), 0);
		test_end_if(test_load(text), bytes <= CONF_PIPE_TEXT_BYTES_MAX);
	}
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
		cmocka_unit_test(test_pipes),
		cmocka_unit_test(test_pipes_rendered),
		cmocka_unit_test(test_pipe_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
