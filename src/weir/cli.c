#include "weir/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/slice.h"
#include "conf/conf.h"

static void PRINTF(2, 0) say(const char *self, const char *fmt, va_list ap)
{
	char text[1024];
	char safe[2048];
	struct slice s;
	int len = vsnprintf(text, sizeof(text), fmt, ap);
	size_t n;

	if (len < 0)
		return;
	s = slice_str(text);
	n = slice_escape(&s, safe, sizeof(safe));
	fflush(stdout);
	fprintf(stderr, "%s: %.*s\n", self, (int)n, safe);
}

void
cli_say(const struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(cli->self, fmt, ap);
	va_end(ap);
}

/* "weir queue", or the name alone where it is a known name itself. */
static const char *
full_name(const struct cli *cli, char *buf, size_t size)
{
	if (strcmp(cli->self, "weir") != 0)
		return cli->self;
	snprintf(buf, size, "weir %s", cli->command->name);
	return buf;
}

static void
print_usage(FILE *to, const struct cli *cli)
{
	const char *args = cli->command->args;
	char name[64];

	fprintf(to, "usage: %s%s%s\n", full_name(cli, name, sizeof(name)),
	    args[0] != '\0' ? " " : "", args);
}

int
cli_usage(const struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(cli->self, fmt, ap);
	va_end(ap);
	print_usage(stderr, cli);
	return EX_USAGE;
}

void
cli_take_common(struct cli *cli)
{
	while (cli->argc >= 2 && (strcmp(cli->argv[0], "-c") == 0 ||
				     strcmp(cli->argv[0], "-o") == 0)) {
		if (cli->argv[0][1] == 'c')
			cli->conf_path = cli->argv[1];
		else if (cli->override_count < CLI_OVERRIDE_COUNT_MAX)
			cli->overrides[cli->override_count++] = cli->argv[1];
		cli->argv += 2;
		cli->argc -= 2;
	}
}

int
cli_help(const struct cli *cli)
{
	const struct command *c = cli->command;

	print_usage(stdout, cli);
	if (c->summary != NULL)
		printf("\n%s\n", c->summary);
	if (c->help != NULL)
		printf("\n%s", c->help);
	if (!c->own_options)
		printf(
		    "\n"
		    "  -c FILE        the configuration (%s)\n"
		    "  -o name=value  a parameter, above what the file says\n",
		    CONF_PATH_DEFAULT);
	return EX_OK;
}

static const struct cli_option *
find_long(const struct cli_option *options, size_t count, const char *name,
    size_t len)
{
	for (size_t i = 0; i < count; i++)
		if (options[i].name != NULL && strlen(options[i].name) == len &&
		    memcmp(options[i].name, name, len) == 0)
			return &options[i];
	return NULL;
}

static const struct cli_option *
find_letter(const struct cli_option *options, size_t count, char letter)
{
	for (size_t i = 0; i < count; i++)
		if (options[i].letter == letter && letter != 0)
			return &options[i];
	return NULL;
}

static bool
wants_value(const struct cli_option *o)
{
	return o->value != NULL || (o->each != NULL && o->each_value);
}

static int
apply(const struct cli_option *o, const char *text)
{
	if (o->flag != NULL)
		*o->flag = true;
	if (o->value != NULL)
		*o->value = text;
	return o->each != NULL ? o->each(o->arg, o->letter, text) : CLI_GO;
}

static int
add_override(struct cli *cli, const char *text)
{
	if (cli->override_count == CLI_OVERRIDE_COUNT_MAX)
		return cli_usage(cli, "more than %d -o options",
		    CLI_OVERRIDE_COUNT_MAX);
	cli->overrides[cli->override_count++] = text;
	return CLI_GO;
}

static int
unknown_option(const struct cli *cli, const struct cli_option *options,
    size_t count, const char *name, size_t len)
{
	char typed[64];
	const char *near = NULL;
	unsigned best = CLI_NEAR;

	snprintf(typed, sizeof(typed), "%.*s", (int)len, name);
	for (size_t i = 0; i < count; i++)
		if (options[i].name != NULL &&
		    cli_nearer(typed, options[i].name, &best))
			near = options[i].name;
	if (near != NULL)
		return cli_usage(cli,
		    "unknown option --%.*s; did you mean "
		    "--%s?",
		    (int)len, name, near);
	return cli_usage(cli, "unknown option --%.*s", (int)len, name);
}

/* An option with two dashes; *at is its place, and moves past its value. */
static int
parse_long(struct cli *cli, const struct cli_option *options, size_t count,
    int *at)
{
	const char *name = cli->argv[*at] + 2;
	size_t len = strcspn(name, "=");
	const struct cli_option *o = find_long(options, count, name, len);
	const char *text = name[len] == '=' ? name + len + 1 : NULL;

	if (o == NULL)
		return unknown_option(cli, options, count, name, len);
	if (!wants_value(o)) {
		if (text != NULL)
			return cli_usage(cli, "--%s takes no value", o->name);
		return apply(o, NULL);
	}
	if (text == NULL) {
		if (*at + 1 >= cli->argc)
			return cli_usage(cli, "--%s needs a value", o->name);
		text = cli->argv[++*at];
	}
	return apply(o, text);
}

/* A bundle of letters; the first that wants a value takes the rest of the
 * word, or the next word. */
static int
parse_letters(struct cli *cli, const struct cli_option *options, size_t count,
    int *at)
{
	for (const char *p = cli->argv[*at] + 1; *p != '\0'; p++) {
		const struct cli_option *o = find_letter(options, count, *p);
		bool common = o == NULL && (*p == 'c' || *p == 'o');
		const char *text = NULL;
		int status;

		if (o == NULL && !common)
			return cli_usage(cli, "unknown option -%c", *p);
		if (common || wants_value(o)) {
			if (p[1] != '\0')
				text = p + 1;
			else if (*at + 1 < cli->argc)
				text = cli->argv[++*at];
			else
				return cli_usage(cli, "-%c needs a value", *p);
		}
		if (!common)
			status = apply(o, text);
		else if (*p == 'o')
			status = add_override(cli, text);
		else {
			cli->conf_path = text;
			status = CLI_GO;
		}
		if (status != CLI_GO || text != NULL)
			return status;
	}
	return CLI_GO;
}

int
cli_parse(struct cli *cli, const struct cli_option *options, size_t count)
{
	bool only_words = false;
	int kept = 0;

	for (int at = 0; at < cli->argc; at++) {
		char *word = cli->argv[at];
		int status = CLI_GO;

		if (only_words || word[0] != '-' || word[1] == '\0')
			cli->argv[kept++] = word;
		else if (strcmp(word, "--") == 0)
			only_words = true;
		else if (strcmp(word, "--help") == 0)
			return cli_help(cli);
		else if (word[1] == '-')
			status = parse_long(cli, options, count, &at);
		else
			status = parse_letters(cli, options, count, &at);
		if (status != CLI_GO)
			return status;
	}
	cli->argc = kept;
	return CLI_GO;
}

int
cli_parse_alone(struct cli *cli, const struct cli_option *options, size_t count)
{
	int status = cli_parse(cli, options, count);

	if (status == CLI_GO && cli->argc > 0)
		return cli_usage(cli, "unexpected word \"%s\"", cli->argv[0]);
	return status;
}

bool
cli_program(const char *program, char *path, size_t size)
{
	ssize_t len = readlink("/proc/self/exe", path, size - 1);
	char *slash;

	if (len > 0) {
		path[len] = '\0';
		slash = strrchr(path, '/');
		if (slash != NULL) {
			size_t dir = (size_t)(slash - path);

			snprintf(path + dir, size - dir, "/weir-%s", program);
			if (access(path, X_OK) == 0)
				return true;
			/* As installed, whatever the prefix. */
			snprintf(path + dir, size - dir,
			    "/../libexec/weir/weir-%s", program);
			if (access(path, X_OK) == 0)
				return true;
		}
	}
	snprintf(path, size, "%s/weir-%s", WEIR_LIBEXECDIR, program);
	return access(path, X_OK) == 0;
}

int
cli_exec(const struct cli *cli, const char *program, char *const argv[])
{
	char path[4096];

	if (!cli_program(program, path, sizeof(path))) {
		cli_say(cli, "%s: %s", path, strerror(errno));
		return EX_UNAVAILABLE;
	}
	fflush(stdout);
	execv(path, argv);
	cli_say(cli, "%s: %s", path, strerror(errno));
	return EX_UNAVAILABLE;
}

int
cli_status(enum err e)
{
	switch (e) {
	case OK: return EX_OK;
	case ERR_DENIED: return EX_NOPERM;
	case ERR_NOTFOUND: return EX_DATAERR;
	case ERR_CONFIG: return EX_CONFIG;
	case ERR_IO: return EX_IOERR;
	case ERR_SYNTAX: return EX_USAGE;
	default: return EX_TEMPFAIL;
	}
}
