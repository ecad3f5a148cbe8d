/*
 * qmail_run: qmail-start and qmail-send, by which old run scripts start the
 * server.  They become the master, in the foreground, so that whoever
 * supervises them has its signals: TERM, ALRM and HUP mean what they mean to
 * qmail-send.
 *
 * Under these names tcpserver owns the ports, the control directory is qmail's,
 * and the log has qmail's lines and goes to standard output.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/param.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/master_args.h"

enum {
	EXIT_MISUSE = 100, /* qmail's for what a retry does not mend */
	EXIT_LATER = 111,
	OVERRIDE_BYTES = 4096,
};

/* ---- parameters ---- */

static bool
has_override(const struct cli *cli, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < cli->override_count; i++)
		if (strncmp(cli->overrides[i], name, len) == 0 &&
		    (cli->overrides[i][len] == '=' ||
			cli->overrides[i][len] == ' '))
			return true;
	return false;
}

/* What -o says itself stays.  False: out of memory. */
static bool
set(struct cli *cli, const char *name, const char *value)
{
	char text[OVERRIDE_BYTES];
	char *copy;
	int len = snprintf(text, sizeof(text), "%s=%s", name, value);

	if (has_override(cli, name))
		return true;
	if (len < 0 || (size_t)len >= sizeof(text) ||
	    cli->override_count == CLI_OVERRIDE_COUNT_MAX)
		return false;
	copy = mem_alloc(&cli->acct, (size_t)len + 1);
	if (copy == NULL)
		return false;
	memcpy(copy, text, (size_t)len + 1);
	cli->overrides[cli->override_count++] = copy;
	return true;
}

/* What nobody has written himself is as with qmail. */
static bool
set_default(struct cli *cli, const struct conf *c, const char *name,
    const char *value)
{
	char source[CONF_SOURCE_BYTES];

	conf_source(c, name, source);
	return strcmp(source, "default") != 0 || set(cli, name, value);
}

static bool
close_ports(struct cli *cli)
{
	static const char suffix[] = "_listen";

	for (size_t i = 0; i < CONF_ID_COUNT; i++) {
		const char *name = conf_params[i].name;
		size_t len = strlen(name);

		if (len > sizeof(suffix) - 1 &&
		    strcmp(name + len - (sizeof(suffix) - 1), suffix) == 0 &&
		    !set(cli, name, ""))
			return false;
	}
	return true;
}

/* CLI_GO or an exit status. */
static int
set_qmail(struct cli *cli)
{
	const struct conf *c;
	bool ok = set(cli, "control_directory", "/var/qmail/control") &&
		  set(cli, "log_format", "qmail") &&
		  set(cli, "log_destination", "stderr") && close_ports(cli);

	if (ok) {
		c = cli_conf(cli);
		if (c == NULL)
			return EXIT_LATER;
		ok = set_default(cli, c, "retry_schedule", "quadratic") &&
		     set_default(cli, c, "bounce_format", "qmail");
		conf_free(c);
	}
	if (!ok)
		cli_say(cli, "fatal: out of memory");
	return ok ? CLI_GO : EXIT_LATER;
}

/* ---- the default delivery ---- */

/* |dot-forward .forward, wherever that program lies. */
static bool
is_dot_forward(struct slice line)
{
	struct slice program, rest = slice_sub(line, 1, line.len);
	size_t slash;

	if (line.data[0] != '|' || !slice_word(&rest, " \t", &program))
		return false;
	slash = slice_rfind(program, '/');
	if (slash < program.len)
		program = slice_sub(program, slash + 1, program.len);
	return slice_eq(program, SLICE_LIT("dot-forward")) &&
	       slice_eq(slice_trim(rest), SLICE_LIT(".forward"));
}

/* The one instruction in text; the others are done anyway, or are none.
 * False: there are more, or none. */
static bool
find_instruction(struct slice text, struct slice *out)
{
	struct slice line;
	unsigned count = 0;

	while (slice_word(&text, "\n", &line)) {
		line = slice_trim(line);
		/* dot_files has .forward, too. */
		if (line.len == 0 || line.data[0] == '#' ||
		    is_dot_forward(line))
			continue;
		*out = line;
		count++;
	}
	return count == 1;
}

/* CLI_GO or an exit status. */
static int
set_delivery(struct cli *cli, const char *text)
{
	struct slice how = SLICE_NONE;
	char value[OVERRIDE_BYTES] = "";
	const char *name = NULL;

	if (find_instruction(slice_str(text), &how)) {
		if (how.len > 2 && how.data[0] == '.' && how.data[1] == '/') {
			name = "home_mailbox";
			how = slice_sub(how, 2, how.len);
		} else if (how.len > 1 && how.data[0] == '|') {
			name = "mailbox_command";
		}
	}
	if (name == NULL || !slice_copy(how, value, sizeof(value))) {
		cli_say(cli,
		    "fatal: default delivery \"%s\": write ./Maildir/, "
		    "./Mailbox or |COMMAND, one of them; the rest goes into a "
		    "user's .qmail",
		    text);
		return EXIT_MISUSE;
	}
	if (set(cli, name, value))
		return CLI_GO;
	cli_say(cli, "fatal: default delivery: too long");
	return EXIT_MISUSE;
}

/* ---- the logger ---- */

/* As qmail's user for that, where there is one. */
static bool
become_logger(void)
{
	struct passwd *pw;

	if (geteuid() != 0)
		return true;
	pw = getpwnam("qmaill");
	if (pw == NULL)
		pw = getpwnam("nobody");
	return pw != NULL && setgroups(0, NULL) == 0 &&
	       setgid(pw->pw_gid) == 0 && setuid(pw->pw_uid) == 0;
}

static _Noreturn void
logger_run(const struct cli *cli, char **argv, int in)
{
	if (dup2(in, STDIN_FILENO) < 0 || !become_logger()) {
		cli_say(cli, "fatal: logger: %s", strerror(errno));
		_exit(EXIT_LATER);
	}
	execvp(argv[0], argv);
	cli_say(cli, "fatal: unable to run %s: %s", argv[0], strerror(errno));
	_exit(EXIT_LATER);
}

/* Standard output goes to a process that is nobody's child, for the master
 * knows its own. */
static bool
logger_start(const struct cli *cli, char **argv)
{
	int ends[2], status = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		pid = fork();
		if (pid != 0)
			_exit(pid < 0 ? EXIT_LATER : 0);
		logger_run(cli, argv, ends[0]);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
		return false;
	close(ends[0]);
	return dup2(ends[1], STDOUT_FILENO) >= 0 && close(ends[1]) == 0;
}

/* ---- the commands ---- */

static int
become_master(struct cli *cli, char **logger)
{
	struct master_args m;
	int status;

	if (logger[0] != NULL && !logger_start(cli, logger)) {
		cli_say(cli, "fatal: unable to start the logger: %s",
		    strerror(errno));
		return EXIT_LATER;
	}
	/* The log is what our standard output is, for mistakes in the control
	 * files, too. */
	if (dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
		return EXIT_LATER;
	status = set_qmail(cli);
	if (status != CLI_GO)
		return status;
	master_args(cli, &m);
	(void)cli_exec(cli, "master", m.argv);
	return EXIT_LATER;
}

int
cmd_qmail_start(struct cli *cli)
{
	int status;

	cli_take_common(cli);
	if (cli->argc >= 1 && strcmp(cli->argv[0], "--help") == 0)
		return cli_help(cli);
	if (cli->argc < 1 || cli->argv[0][0] == '-') {
		cli_say(cli, "usage: qmail-start defaultdelivery "
			     "[logger arg ...]");
		return EXIT_MISUSE;
	}
	status = set_delivery(cli, cli->argv[0]);
	return status == CLI_GO ? become_master(cli, cli->argv + 1) : status;
}

int
cmd_qmail_send(struct cli *cli)
{
	cli_take_common(cli);
	if (cli->argc >= 1 && strcmp(cli->argv[0], "--help") == 0)
		return cli_help(cli);
	if (cli->argc > 0) {
		cli_say(cli, "usage: qmail-send");
		return EXIT_MISUSE;
	}
	return become_master(cli, cli->argv);
}
