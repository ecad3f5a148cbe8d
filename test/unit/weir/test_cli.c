#include "../check.h"

#include <string.h>
#include <sysexits.h>

#include "weir/cli.h"
#include "weir/master_args.h"
#include "weir/try.h"

#include "capture.h"

const struct command commands[] = {
	{ .name = "run", .summary = "x" },
	{ .name = "queue", .summary = "x" },
	{ .name = "status", .summary = "x" },
	{ .name = "mailq" },
	{ .name = NULL },
};

static const struct command command = {
	.name = "test",
	.args = "[-n] WORD",
	.summary = "a command",
	.help = "  -n  a flag\n",
};

static struct cli cli;
static bool flag_n, flag_json;
static const char *value_f;
static char order[64];

static int
on_each(void *arg, char letter, const char *text)
{
	size_t len = strlen(order);

	(void)arg;
	snprintf(order + len, sizeof(order) - len, "%c%s ", letter,
	    text != NULL ? text : "");
	return CLI_GO;
}

static int
parse(char **argv)
{
	const struct cli_option options[] = {
		{ .letter = 'n', .flag = &flag_n },
		{ .name = "json", .flag = &flag_json },
		{ .letter = 'f', .name = "from", .value = &value_f },
		{ .letter = 'd', .each = on_each, .each_value = true },
		{ .letter = 'e', .each = on_each },
	};

	cli = (struct cli){ .command = &command, .self = "weir" };
	flag_n = flag_json = false;
	value_f = NULL;
	order[0] = '\0';
	while (argv[cli.argc] != NULL)
		cli.argc++;
	cli.argv = argv;
	return cli_parse(&cli, options, ARRAY_LEN(options));
}

#define ARGV(...) ((char *[]){ __VA_ARGS__, NULL })

static void
test_options(void **state)
{
	(void)state;
	assert_int_equal(parse(ARGV("a", "-n", "b", "--json", "c")), CLI_GO);
	assert_int_equal(cli.argc, 3);
	assert_string_equal(cli.argv[2], "c");
	assert_true(flag_n && flag_json);

	assert_int_equal(parse(ARGV("-nfx@y", "w")), CLI_GO);
	assert_true(flag_n);
	assert_string_equal(value_f, "x@y");
	assert_int_equal(cli.argc, 1);

	assert_int_equal(parse(ARGV("--from=", "w")), CLI_GO);
	assert_string_equal(value_f, "");
	assert_int_equal(parse(ARGV("--from", "-n")), CLI_GO);
	assert_string_equal(value_f, "-n");

	/* "-" is a word, and after "--" everything is. */
	assert_int_equal(parse(ARGV("-", "--", "-n", "--json")), CLI_GO);
	assert_int_equal(cli.argc, 3);
	assert_false(flag_n);

	assert_int_equal(parse(ARGV("-d", "1", "-e", "-d2", "-ed3")), CLI_GO);
	assert_string_equal(order, "d1 e d2 e d3 ");
}

static void
test_common(void **state)
{
	struct master_args m;

	(void)state;
	assert_int_equal(parse(ARGV("x", "-c", "/conf", "-o", "a=b", "-oc=d")),
	    CLI_GO);
	assert_string_equal(cli.conf_path, "/conf");
	assert_int_equal(cli.override_count, 2);
	assert_string_equal(cli.overrides[1], "c=d");
	assert_int_equal(cli.argc, 1);
	master_args(&cli, &m);
	assert_int_equal(m.count, 7);
	assert_string_equal(m.argv[0], "weir-master");
	assert_string_equal(m.argv[2], "/conf");
	assert_string_equal(m.argv[6], "c=d");
	assert_null(m.argv[7]);
}

static void
test_override_limit(void **state)
{
	static char *argv[2 * CLI_OVERRIDE_COUNT_MAX + 3];
	static char o[] = "-o", v[] = "a=b";
	struct master_args m;

	(void)state;
	for (int extra = -1; extra <= 1; extra++) {
		int n = CLI_OVERRIDE_COUNT_MAX + extra;

		memset(argv, 0, sizeof(argv));
		for (int i = 0; i < n; i++) {
			argv[2 * i] = o;
			argv[2 * i + 1] = v;
		}
		assert_int_equal(parse(argv), extra <= 0 ? CLI_GO : EX_USAGE);
		if (extra == 0)
			master_args(&cli, &m);
	}
}

static void
test_wrong(void **state)
{
	(void)state;
	assert_int_equal(parse(ARGV("-x")), EX_USAGE);
	assert_int_equal(parse(ARGV("--nix")), EX_USAGE);
	assert_int_equal(parse(ARGV("--js")), EX_USAGE);
	assert_int_equal(parse(ARGV("--json=yes")), EX_USAGE);
	assert_int_equal(parse(ARGV("-f")), EX_USAGE);
	assert_int_equal(parse(ARGV("--from")), EX_USAGE);
	assert_int_equal(parse(ARGV("-c")), EX_USAGE);
}

static void
test_help(void **state)
{
	char *got;

	(void)state;
	capture_begin();
	assert_int_equal(parse(ARGV("--help", "-x")), EX_OK);
	got = capture_end();
	assert_ptr_equal(strstr(got, "usage: weir test [-n] WORD\n"), got);
	assert_non_null(strstr(got, "  -n  a flag\n"));
	free(got);
}

static void
test_nearest(void **state)
{
	static const struct {
		const char *why, *a, *b;
		unsigned distance;
	} rows[] = {
		{ "equal", "queue", "queue", 0 },
		{ "one changed", "queue", "qieue", 1 },
		{ "one left out", "queue", "quee", 1 },
		{ "one too many", "run", "runn", 1 },
		{ "two changed places", "queue", "qeuue", 1 },
		{ "empty", "", "abc", 3 },
		{ "nothing in common", "abc", "xyz", 3 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("%s\n", rows[i].why);
		assert_int_equal(cli_distance(rows[i].a, rows[i].b),
		    rows[i].distance);
		assert_int_equal(cli_distance(rows[i].b, rows[i].a),
		    rows[i].distance);
	}
	assert_string_equal(cli_nearest("stauts"), "status");
	assert_string_equal(cli_nearest("rnu"), "run");
	assert_string_equal(cli_nearest("malq"), "mailq");
	assert_null(cli_nearest("explode"));
	assert_null(cli_nearest(""));
	/* Words longer than the table are cut, not overrun. */
	assert_null(cli_nearest("queuequeuequeuequeuequeuequeuequeuequeue"));
	assert_ptr_equal(cli_find("queue"), &commands[1]);
	assert_null(cli_find("que"));
}

static void
test_status(void **state)
{
	(void)state;
	/* Whatever fails, a script can tell: never 0. */
	for (int e = 1; e < ERR_COUNT; e++)
		assert_int_not_equal(cli_status((enum err)e), EX_OK);
	assert_int_equal(cli_status(ERR_DENIED), EX_NOPERM);
	assert_int_equal(cli_status(ERR_NOTFOUND), EX_DATAERR);
	assert_int_equal(cli_status(ERR_FULL), EX_TEMPFAIL);
}

static void
test_try_conf(void **state)
{
	char text[8192];

	(void)state;
	assert_true(try_conf_text("/tmp/a$b", text, sizeof(text)));
	assert_non_null(strstr(text, "queue_directory = /tmp/a$$b/queue\n"));
	assert_non_null(
	    strstr(text, "virtual_mailbox_maps = static:%u/Maildir/\n"));
	assert_false(try_conf_text("/tmp/a\nb", text, sizeof(text)));
	assert_false(try_conf_text("/tmp", text, 10));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_common),
		cmocka_unit_test(test_override_limit),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_try_conf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
