/*
 * cli: what every command of weir does in the same way: options, help,
 * messages, the configuration.
 *
 * Options may stand anywhere among the words; "--" ends them.  Every command
 * takes -c FILE, -o name=value and --help.  Exit codes are those of
 * sysexits.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

struct conf;

/* What cli_parse returns when the command is to go on. */
enum { CLI_GO = -1 };

enum { CLI_OVERRIDE_COUNT_MAX = 256 };

/* Words less than this apart are near: two slips at most. */
enum { CLI_NEAR = 3 };

struct cli;

struct command {
	const char *name;
	const char *args;    /* "[--json] [NAME...]" */
	const char *summary; /* one line for `weir help`; NULL: a known name of
			      * another mail system */
	const char *help;    /* more lines for --help, each with its newline */
	int (*run)(struct cli *cli);
	bool own_options; /* -c and -o mean what they mean elsewhere */
};

/* One invocation of a command. */
struct cli {
	const struct command *command;
	const char *self;    /* how messages begin: "weir" or "postqueue" */
	const char *program; /* argv[0] */
	int argc; /* words in argv; after cli_parse without options */
	char **argv;
	const char *conf_path; /* -c, $WEIR_CONF; NULL: the default */
	const char *overrides[CLI_OVERRIDE_COUNT_MAX]; /* -o */
	size_t override_count;
	struct acct acct; /* all memory of the process */
};

/* An option of one command.  It sets flag, or value to the text given with
 * it; count, if not NULL, tells how often it came. */
struct cli_option {
	char letter;	  /* 0: only the long name */
	const char *name; /* without dashes; NULL: only the letter */
	bool *flag;
	const char **value;
	/* For options whose order matters: called with the text (or NULL for
	 * one without). */
	int (*each)(void *arg, char letter, const char *text);
	bool each_value;
	void *arg;
};

/* The table of commands, ended by one without name. */
extern const struct command commands[];

/* By its exact name; NULL: none. */
const struct command *cli_find(const char *name);
/* The known command whose name is nearest; NULL: none is near. */
const char *cli_nearest(const char *name);
/* Whether candidate is near to name, and nearer than *best; then *best is
 * how near.  *best is CLI_NEAR at first. */
bool cli_nearer(const char *name, const char *candidate, unsigned *best);
/* Edit distance; a transposition of neighbours counts one. */
unsigned cli_distance(const char *a, const char *b);

/*
 * cli_parse(cli, options, count):
 * Take the options out of cli->argv; what is left are words.  CLI_GO, or the
 * exit status: 0 after --help, EX_USAGE after a message.
 */
int cli_parse(struct cli *cli, const struct cli_option *options, size_t count);
/* The same for a command that takes no words: one is EX_USAGE. */
int cli_parse_alone(struct cli *cli, const struct cli_option *options,
    size_t count);

/* For commands whose further options are not ours: -c FILE and -o name=value
 * in front of all others are taken; an -o too many is passed over. */
void cli_take_common(struct cli *cli);

/* "weir: text" on standard error; foreign bytes are escaped. */
void cli_say(const struct cli *cli, const char *fmt, ...) PRINTF(2, 3);
/* EX_USAGE, after a message and where to read more. */
int cli_usage(const struct cli *cli, const char *fmt, ...) PRINTF(2, 3);

/* What --help prints; EX_OK. */
int cli_help(const struct cli *cli);

/* The configuration; NULL after messages: return EX_CONFIG. */
const struct conf *cli_conf(struct cli *cli);
/* The same for qmail's programs: where weir.conf names no control_directory,
 * qmail's own holds if there is one, as under qmail-start. */
const struct conf *cli_conf_qmail(struct cli *cli);

/*
 * cli_exec(cli, program, argv):
 * Become the program NAME (weir-NAME), which lies beside this one or in
 * libexec.  Returns only on failure: EX_UNAVAILABLE after a message.
 */
int cli_exec(const struct cli *cli, const char *program, char *const argv[]);
/* Its path; false if it is in neither place. */
bool cli_program(const char *program, char *path, size_t size);

/* Exit status for an error: 69, 75, 77, 78, ... */
int cli_status(enum err e);
