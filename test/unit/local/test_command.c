/*
 * command: environment, verdicts, and real processes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "local/command.h"
#include "tmpdir.h"

static const struct command_world world = { .conf_path = "",
	.bin_path = "",
	.channel_fd = -1 };

static struct request
request(const struct tmpdir *t, const char *command)
{
	return (struct request){
		.verb = REQUEST_COMMAND,
		.base = slice_str(t->path),
		.sender = SLICE_LIT("a@b.test"),
		.new_sender = SLICE_LIT("a@b.test"),
		.address = SLICE_LIT("joe-list-x@sub.x.test"),
		.user = SLICE_LIT("joe"),
		.extension = SLICE_LIT("list-x"),
		.command = slice_str(command),
		.time_limit_ms = 60 * 1000,
	};
}

/* ---- environment ---- */

static const char *
variable(const struct command_env *e, const char *name)
{
	size_t len = strlen(name);
	unsigned i;

	for (i = 0; i < e->count; i++)
		if (strncmp(e->vars[i], name, len) == 0 &&
		    e->vars[i][len] == '=')
			return e->vars[i] + len + 1;
	return NULL;
}

static void
variables(void **state)
{
	static const struct {
		const char *name, *value;
	} rows[] = {
		{ "PATH", "/usr/local/bin:/usr/bin:/bin" },
		{ "USER", "joe" },
		{ "LOGNAME", "joe" },
		{ "SHELL", "/bin/sh" },
		{ "SENDER", "a@b.test" },
		{ "NEWSENDER", "joe-list-owner-@sub.x.test-@[]" },
		{ "RECIPIENT", "joe-list-x@sub.x.test" },
		{ "ORIGINAL_RECIPIENT", "joe-list-x@sub.x.test" },
		{ "LOCAL", "joe-list-x" },
		{ "DOMAIN", "sub.x.test" },
		{ "HOST", "sub.x.test" },
		{ "HOST2", "sub.x" },
		{ "HOST3", "sub" },
		{ "HOST4", "sub" },
		{ "EXTENSION", "list-x" },
		{ "EXT", "list-x" },
		{ "EXT2", "x" },
		{ "EXT3", "" },
		{ "EXT4", "" },
		{ "DEFAULT", "x" },
		{ "DTLINE", "Delivered-To: joe-list-x@sub.x.test\n" },
		{ "RPLINE", "Return-Path: <a@b.test>\n" },
		{ "WEIR_CONF", NULL },
		{ "WEIR_XTEXT_SENDER", NULL },
		{ "WEIR_XTEXT_NEWSENDER", NULL },
		{ "IFS", NULL },
	};
	static struct command_env e;
	struct tmpdir *t = *state;
	struct request q = request(t, "x");
	const char *got, *line;
	size_t i;

	q.new_sender = SLICE_LIT("joe-list-owner-@sub.x.test-@[]");
	q.flags = REQUEST_HAS_DEFAULT;
	q.default_extension = SLICE_LIT("x");
	command_env_make(&e, &q, &world);
	assert_null(e.vars[e.count]);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		got = variable(&e, rows[i].name);
		if (rows[i].value == NULL)
			assert_null(got);
		else if (got == NULL || strcmp(got, rows[i].value) != 0)
			fail_msg("%s is \"%s\"", rows[i].name, got);
	}
	assert_string_equal(variable(&e, "HOME"), t->path);
	line = variable(&e, "UFLINE");
	assert_true(strncmp(line, "From a@b.test ", 14) == 0);
	assert_int_equal(line[strlen(line) - 1], '\n');
	assert_int_equal(strlen(line), 14 + 24 + 1);
	/* Not set is not empty. */
	q.flags = 0;
	q.sender = SLICE_NONE;
	q.shell = SLICE_LIT("/bin/bash");
	command_env_make(&e, &q,
	    &(struct command_world){ "/etc/w.conf", "/w/bin", -1 });
	assert_null(variable(&e, "DEFAULT"));
	assert_string_equal(variable(&e, "SENDER"), "");
	assert_string_equal(variable(&e, "SHELL"), "/bin/bash");
	assert_string_equal(variable(&e, "WEIR_CONF"), "/etc/w.conf");
	assert_string_equal(variable(&e, "PATH"),
	    "/w/bin:/usr/local/bin:/usr/bin:/bin");
	assert_true(
	    strncmp(variable(&e, "UFLINE"), "From MAILER-DAEMON ", 19) == 0);
}

static void
foreign_values(void **state)
{
	static const struct {
		const char *why;
		struct slice sender;
		const char *value, *xtext; /* NULL: the value says it all */
	} rows[] = {
		{ "a plain one", SLICE_LIT("Joe.User+x=y_z@b-c.test"),
		    "Joe.User+x=y_z@b-c.test", NULL },
		{ "a function for the shell", SLICE_LIT("() { :;}; rm -rf /@x"),
		    "_____:____rm_-rf_/@x",
		    "+28+29+20+7B+20:+3B+7D+3B+20rm+20-rf+20/@x" },
		{ "separators and substitutions",
		    SLICE_LIT("a;b|c&d`e`$(f)<g>@x"), "a_b_c_d_e___f__g_@x",
		    "a+3Bb+7Cc+26d+60e+60+24+28f+29+3Cg+3E@x" },
		{ "a newline", SLICE_LIT("a\nb@x"), "a_b@x", "a+0Ab@x" },
		{ "a null byte", SLICE_LIT("a\0b@x"), "a_b@x", "a+00b@x" },
		{ "quotes and a backslash", SLICE_LIT("\"a\\'b\"@x"),
		    "_a__b_@x", "+22a+5C+27b+22@x" },
		{ "patterns", SLICE_LIT("*?[a]~@x"), "___a__@x",
		    "+2A+3F+5Ba+5D+7E@x" },
		{ "an option", SLICE_LIT("-f/etc/passwd@x"), "_f/etc/passwd@x",
		    "-f/etc/passwd@x" },
		{ "an apostrophe", SLICE_LIT("o'brien@x"), "o_brien@x",
		    "o+27brien@x" },
		{ "UTF-8", SLICE_LIT("\xc3\xa4@x"), "__@x", "+C3+A4@x" },
		{ "qmail's double bounces", SLICE_LIT("#@[]"), "#@[]", NULL },
		{ "VERP", SLICE_LIT("l-@h-@[]"), "l-@h-@[]", NULL },
		{ "VERP with something in it", SLICE_LIT("l$-@h-@[]"),
		    "l_-@h-@[]", "l+24-@h-@+5B+5D" },
	};
	static struct command_env e;
	struct tmpdir *t = *state;
	struct request q = request(t, "x");
	const char *sender, *xtext;
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		q.sender = rows[i].sender;
		command_env_make(&e, &q, &world);
		sender = variable(&e, "SENDER");
		xtext = variable(&e, "WEIR_XTEXT_SENDER");
		/* Whatever came, of this nothing is left. */
		if (strpbrk(sender, "(){};|&`$<>\n\\'\"*?~ ") != NULL)
			fail_msg("%s: %s", rows[i].why, sender);
		if (strcmp(sender, rows[i].value) != 0)
			fail_msg("%s: %s", rows[i].why, sender);
		if (rows[i].xtext == NULL)
			assert_null(xtext);
		else
			assert_string_equal(xtext, rows[i].xtext);
	}
	/* The same for every other that holds what they wrote. */
	q = request(t, "x");
	q.address = SLICE_LIT("joe-$(x)@`y`.z");
	q.original = SLICE_LIT("a b@c");
	q.extension = SLICE_LIT("$(x)");
	q.default_extension = SLICE_LIT("-;");
	q.new_sender = SLICE_LIT("$(x)@y");
	q.flags = REQUEST_HAS_DEFAULT;
	command_env_make(&e, &q, &world);
	for (i = 0; i < e.count; i++)
		if (strpbrk(e.vars[i], "(){};|&`$\\'\"*?~") != NULL)
			fail_msg("%s", e.vars[i]);
	assert_string_equal(variable(&e, "DEFAULT"), "__");
	assert_string_equal(variable(&e, "DTLINE"),
	    "Delivered-To: joe-__x_@_y_.z\n");
}

/* All as long as it may be, and all of it to be replaced. */
static void
largest_environment(void **state)
{
	static char text[PATH_BYTES_MAX];
	static struct command_env e;
	struct tmpdir *t = *state;
	struct request q = request(t, "x");
	struct slice address = slice_of(text, ADDRESS_BYTES_MAX);

	memset(text, '$', sizeof(text));
	text[0] = '/';
	q.base = q.shell = slice_of(text, PATH_BYTES_MAX);
	q.sender = q.new_sender = q.address = q.original = address;
	q.extension = q.default_extension = slice_of(text, EXTENSION_BYTES_MAX);
	q.user = slice_of(text, USER_NAME_BYTES_MAX);
	q.flags = REQUEST_HAS_DEFAULT;
	command_env_make(&e, &q,
	    &(struct command_world){ "/etc/w.conf", "/w/bin", -1 });
	assert_non_null(variable(&e, "UFLINE"));
}

/* ---- verdicts ---- */

static void
qmail_codes(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t, "prog -x");
	int code;

	q.flags = REQUEST_QMAIL;
	for (code = 0; code < 256; code++) {
		static const int failed[] = { 100, 64, 65, 70, 76, 77, 78,
			112 };
		enum job_status want =
		    code == 0 || code == 99 ? JOB_SENT : JOB_DEFERRED;
		struct command_end end = { .status = code << 8,
			.output = SLICE_LIT("one\ntwo\r\n\n") };
		struct outcome o;
		size_t i;

		for (i = 0; i < ARRAY_LEN(failed); i++)
			if (code == failed[i])
				want = JOB_FAILED;
		assert_int_equal(command_verdict(&q, &end, &o), code == 99);
		assert_int_equal(o.status, want);
		assert_string_equal(o.text, "one/two");
		end.output = SLICE_NONE;
		(void)command_verdict(&q, &end, &o);
		if (want == JOB_SENT)
			assert_string_equal(o.text, "");
		else
			assert_non_null(strstr(o.text, ": \"prog -x\""));
	}
}

static void
sysexits_codes(void **state)
{
	static const struct {
		int code;
		const char *output;
		enum job_status status;
		const char *dsn, *text;
	} rows[] = {
		{ 0, "noise", JOB_SENT, "2.0.0",
		    "delivered to command: prog -x" },
		{ 99, "", JOB_SENT, "2.0.0", "delivered to command: prog -x" },
		{ 64, "", JOB_FAILED, "5.3.0", "command line usage error" },
		{ 65, "", JOB_FAILED, "5.6.0", "data format error" },
		{ 66, "", JOB_FAILED, "5.3.0", "cannot open input" },
		{ 67, "", JOB_FAILED, "5.1.1", "user unknown" },
		{ 68, "", JOB_FAILED, "5.1.2", "host name unknown" },
		{ 69, "", JOB_FAILED, "5.3.0", "service unavailable" },
		{ 70, "", JOB_FAILED, "5.3.0", "internal software error" },
		{ 71, "", JOB_DEFERRED, "4.3.0", "system resource problem" },
		{ 72, "", JOB_FAILED, "5.3.0", "critical OS file missing" },
		{ 73, "", JOB_FAILED, "5.2.0",
		    "can't create user output file" },
		{ 74, "", JOB_FAILED, "5.3.0", "input/output error" },
		{ 75, "", JOB_DEFERRED, "4.3.0", "temporary failure" },
		{ 76, "", JOB_FAILED, "5.5.0", "remote error in protocol" },
		{ 77, "", JOB_FAILED, "5.7.0", "permission denied" },
		{ 78, "", JOB_FAILED, "5.3.5", "local configuration error" },
		{ 63, "", JOB_FAILED, "5.3.0",
		    "Command died with status 63: \"prog -x\"" },
		{ 79, "", JOB_FAILED, "5.3.0",
		    "Command died with status 79: \"prog -x\"" },
		{ 1, "oh\nno\n", JOB_FAILED, "5.3.0",
		    "Command died with status 1: \"prog -x\". Command output: "
		    "oh/no" },
		{ 100, "", JOB_FAILED, "5.3.0",
		    "Command died with status 100: \"prog -x\"" },
		{ 111, "", JOB_FAILED, "5.3.0",
		    "Command died with status 111: \"prog -x\"" },
		{ 127, "sh: x: not found", JOB_FAILED, "5.3.0",
		    "Command died with status 127: \"prog -x\". Command "
		    "output: sh: x: not found" },
		{ 67, "no joe\n", JOB_FAILED, "5.1.1",
		    "user unknown. Command output: no joe" },
		{ 75, "5.7.1 no such list\n", JOB_FAILED, "5.7.1",
		    "temporary failure. Command output: no such list" },
		{ 1, "4.2.2 full\n", JOB_DEFERRED, "4.2.2",
		    "Command died with status 1: \"prog -x\". Command output: "
		    "full" },
		{ 67, "5.7.1", JOB_FAILED, "5.7.1", "user unknown" },
		{ 67, "5.7.123 x", JOB_FAILED, "5.7.123",
		    "user unknown. Command output: x" },
		{ 67, "2.0.0 fine", JOB_FAILED, "5.1.1",
		    "user unknown. Command output: 2.0.0 fine" },
		{ 67, "4.7.1x", JOB_FAILED, "5.1.1",
		    "user unknown. Command output: 4.7.1x" },
		{ 67, "4.1234.1 x", JOB_FAILED, "5.1.1",
		    "user unknown. Command output: 4.1234.1 x" },
		{ 67, "4.7", JOB_FAILED, "5.1.1",
		    "user unknown. Command output: 4.7" },
		{ 67, "4..1 x", JOB_FAILED, "5.1.1",
		    "user unknown. Command output: 4..1 x" },
	};
	struct tmpdir *t = *state;
	struct request q = request(t, "prog -x");
	struct command_end end;
	struct outcome o;
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		end = (struct command_end){ .status = rows[i].code << 8,
			.output = slice_str(rows[i].output) };
		assert_int_equal(command_verdict(&q, &end, &o),
		    rows[i].code == 99);
		if (o.status != rows[i].status ||
		    strcmp(o.dsn, rows[i].dsn) != 0 ||
		    strcmp(o.text, rows[i].text) != 0)
			fail_msg("%d \"%s\": %d %s %s", rows[i].code,
			    rows[i].output, o.status, o.dsn, o.text);
	}
}

static void
other_ends(void **state)
{
	static const struct {
		const char *why;
		uint32_t flags;
		int status;
		bool timed_out;
		enum job_status want;
		const char *dsn, *text;
	} rows[] = {
		{ "a signal", 0, SIGKILL, false, JOB_DEFERRED, "4.3.0",
		    "Command died with signal 9: \"prog\". Command output: x" },
		{ "a signal, for qmail", REQUEST_QMAIL, SIGSEGV, false,
		    JOB_DEFERRED, "4.3.0",
		    "Command died with signal 11: \"prog\". Command output: "
		    "x" },
		{ "out of time", 0, SIGTERM, true, JOB_DEFERRED, "4.3.0",
		    "Command time limit exceeded: \"prog\". Command output: "
		    "x" },
		{ "even when it then exits 0", REQUEST_QMAIL, 0, true,
		    JOB_DEFERRED, "4.3.0",
		    "Command time limit exceeded: \"prog\". Command output: "
		    "x" },
		{ "the administrator wants it back", REQUEST_TIMEOUT_BOUNCES,
		    SIGTERM, true, JOB_FAILED, "5.3.0",
		    "Command time limit exceeded: \"prog\". Command output: "
		    "x" },
		{ "but not after a crash", REQUEST_TIMEOUT_BOUNCES, SIGTERM,
		    false, JOB_DEFERRED, "4.3.0",
		    "Command died with signal 15: \"prog\". Command output: "
		    "x" },
	};
	struct tmpdir *t = *state;
	struct request q = request(t, "prog");
	struct command_end end;
	struct outcome o;
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		end = (struct command_end){ rows[i].status, rows[i].timed_out,
			SLICE_LIT("x\n") };
		q.flags = rows[i].flags;
		assert_false(command_verdict(&q, &end, &o));
		if (o.status != rows[i].want ||
		    strcmp(o.dsn, rows[i].dsn) != 0 ||
		    strcmp(o.text, rows[i].text) != 0)
			fail_msg("%s: %d %s %s", rows[i].why, o.status, o.dsn,
			    o.text);
	}
}

/* ---- processes ---- */

static struct command_end end;

static bool
run_with(const struct tmpdir *t, const struct request *q,
    const struct command_world *w, struct outcome *o)
{
	int message_fd;
	bool ok;

	tmpdir_write(t, "message", "A: b\n\nbody\n");
	message_fd = openat(t->fd, "message", O_RDONLY);
	ok = command_run(q, w, t->fd, message_fd, &end, o);
	close(message_fd);
	assert_int_equal(unlinkat(t->fd, "message", 0), 0);
	return ok;
}

/* Output of a command that ends by itself, terminated. */
static const char *
run(const struct tmpdir *t, const struct request *q)
{
	static char text[COMMAND_OUTPUT_BYTES_MAX + 1];
	struct outcome o;

	assert_true(run_with(t, q, &world, &o));
	assert_true(slice_copy(end.output, text, sizeof(text)));
	return text;
}

static int64_t
now_ms(void)
{
	return clock_system.mono(&clock_system).ms;
}

/* The process whose number is in the file; waits until it is there. */
static pid_t
pid_in(const struct tmpdir *t, const char *name)
{
	const char *text;
	int i;

	for (i = 0; i < 2000; i++) {
		text = tmpdir_read(t, name);
		if (text != NULL && strchr(text, '\n') != NULL)
			return (pid_t)atoi(text);
		poll(NULL, 0, 5);
	}
	fail_msg("no %s", name);
	return 0;
}

/* It ends soon, and may be a zombie of ours. */
static bool
is_gone(pid_t pid)
{
	int i;

	for (i = 0; i < 2000; i++) {
		(void)waitpid(pid, NULL, WNOHANG);
		if (kill(pid, 0) < 0 && errno == ESRCH)
			return true;
		poll(NULL, 0, 5);
	}
	return false;
}

static void
surroundings(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t, "cat; cat; pwd; echo $SENDER >&2; "
				      "echo $PWD; exit 3");
	char want[256];

	snprintf(want, sizeof(want), "A: b\n\nbody\n%s\na@b.test\n%s\n",
	    t->path, t->path);
	assert_string_equal(run(t, &q), want);
	assert_int_equal(WEXITSTATUS(end.status), 3);
	assert_false(end.timed_out);

	/* Nothing open but 0, 1, 2 (and ls's own); a session of its own. */
	assert_true(dup2(t->fd, 77) == 77);
	q.command = SLICE_LIT("echo /proc/self/fd/*; ps -o sid= -p $$; "
			      "echo $$; umask; ulimit -c");
	snprintf(want, sizeof(want), "%s", run(t, &q));
	close(77);
	assert_true(
	    strncmp(want, "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2",
		47) == 0);
	assert_null(strstr(want, "/77"));
	assert_non_null(strstr(want, "\n0077\n0\n"));

	/* The environment is ours alone. */
	assert_int_equal(setenv("LD_PRELOAD", "", 1), 0);
	assert_int_equal(setenv("SECRET", "x", 1), 0);
	q.command = SLICE_LIT("env | grep -c -e LD_PRELOAD -e SECRET");
	assert_string_equal(run(t, &q), "0\n");
	unsetenv("LD_PRELOAD");
}

static void
no_shell_where_none_is_needed(void **state)
{
	static const struct {
		const char *why, *command;
		uint32_t flags;
		const char *parent; /* of the command that asks */
	} rows[] = {
		{ "plain words", "cat /proc/self/comm", 0, "cat\n" },
		{ "a shell's character", "cat /proc/self/comm;true", 0,
		    "cat\n" },
		{ "not found", "nonexistent-program x", 0,
		    "nonexistent-program: No such file or directory\n" },
		{ "not found by the shell", "nonexistent-program x",
		    REQUEST_SHELL, "sh: 1: nonexistent-program: not found\n" },
		{ "qmail's always has a shell", "nonexistent-program x",
		    REQUEST_QMAIL, "sh: 1: nonexistent-program: not found\n" },
	};
	struct tmpdir *t = *state;
	struct request q;
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		q = request(t, rows[i].command);
		q.flags = rows[i].flags;
		if (strcmp(run(t, &q), rows[i].parent) != 0)
			fail_msg("%s: %s", rows[i].why, run(t, &q));
		if (i >= 2)
			assert_int_equal(WEXITSTATUS(end.status), 127);
	}
}

static void
much_output(void **state)
{
	struct tmpdir *t = *state;
	struct request q =
	    request(t, "head -c 5000000 /dev/zero | tr '\\0' x; exit 7");

	assert_int_equal(strlen(run(t, &q)), COMMAND_OUTPUT_BYTES_MAX);
	/* It was not stopped by a full pipe, nor by a closed one. */
	assert_int_equal(WEXITSTATUS(end.status), 7);
}

static void
memory_limit(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t, "head -c 100000000 /dev/zero | "
				      "tail -c 100000000 | wc -c");

	q.memory_limit_bytes = 16 << 20;
	assert_null(strstr(run(t, &q), "100000000"));
	q.memory_limit_bytes = 0;
	assert_non_null(strstr(run(t, &q), "100000000"));
}

static void
process_limit(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t, "ulimit -p 2>/dev/null || ulimit -u");

	q.process_max = 123;
	assert_string_equal(run(t, &q), "123\n");
}

/* TERM is enough. */
static void
time_limit(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t, "echo begun; sleep 1000");
	int64_t before = now_ms();

	q.time_limit_ms = 200;
	assert_string_equal(run(t, &q), "begun\n");
	assert_true(end.timed_out);
	assert_true(now_ms() - before < COMMAND_GRACE_MS / 2);
}

/* It ignores TERM, and so do those that it has started. */
static void
stubborn(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t, "trap '' TERM; (echo $$; "
				      "exec sleep 1000) & echo $! >kid; "
				      "while :; do sleep 1000; done");
	int64_t before = now_ms();

	q.time_limit_ms = 200;
	(void)run(t, &q);
	assert_true(end.timed_out);
	assert_true(now_ms() - before < COMMAND_GRACE_MS);
	assert_int_equal(WTERMSIG(end.status), SIGKILL);
	assert_true(is_gone(pid_in(t, "kid")));
}

/* A session of its own does not save it when the time is over. */
static void
runaway_is_killed(void **state)
{
	struct tmpdir *t = *state;
	struct request q =
	    request(t, "setsid sh -c 'trap \"\" TERM; "
		       "(setsid sh -c \"trap : TERM; echo \\$\\$ "
		       ">deep; while :; do sleep 1000; done\") &"
		       " echo $$ >kid; "
		       "while :; do sleep 1000; done' & "
		       "while test ! -s deep; do sleep 0.01; "
		       "done; sleep 1000");

	q.time_limit_ms = 2000;
	(void)run(t, &q);
	assert_true(end.timed_out);
	assert_true(is_gone(pid_in(t, "kid")));
	assert_true(is_gone(pid_in(t, "deep")));
}

/* A daemon that keeps the pipe open does not hold us. */
static void
daemon_left_behind(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t, "setsid sh -c 'echo $$ >kid; "
				      "exec sleep 1000' & echo done; "
				      "while test ! -s kid; do sleep 0.01; "
				      "done; exit 0");
	int64_t before = now_ms();
	pid_t kid;

	assert_string_equal(run(t, &q), "done\n");
	assert_int_equal(end.status, 0);
	assert_false(end.timed_out);
	assert_true(now_ms() - before < 30 * 1000);
	kid = pid_in(t, "kid");
	assert_int_equal(kill(kid, 0), 0);
	assert_int_equal(kill(kid, SIGKILL), 0);
	/* The next command reaps it. */
	q.command = SLICE_LIT("exit 0");
	(void)run(t, &q);
	assert_true(is_gone(kid));
}

static void
hang_up(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t, "echo $$ >kid; "
				      "while :; do sleep 1000; done");
	struct command_world w = world;
	struct outcome o;
	int ends[2], status;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		(void)pid_in(t, "kid");
		_exit(0);
	}
	close(ends[1]);
	w.channel_fd = ends[0];
	assert_false(run_with(t, &q, &w, &o));
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_true(is_gone(pid_in(t, "kid")));
	close(ends[0]);
	(void)waitpid(pid, &status, 0);
}

/* ---- the whole ---- */

static struct {
	const char *at;
	size_t left;
} fake;

static size_t
read_body(void *arg, char *buf, size_t size)
{
	(void)arg;
	if (size > fake.left)
		size = fake.left;
	memcpy(buf, fake.at, size);
	fake.at += size;
	fake.left -= size;
	return size;
}

static bool
serve(const struct tmpdir *t, struct request *q, const char *message,
    size_t missing, struct outcome *o, bool *stop)
{
	static const struct worker_io io = { .read_body = read_body };
	struct body y;
	char path[64];
	int fds[REQUEST_COPY_FDS];
	bool ok;

	fake.at = message;
	fake.left = strlen(message);
	q->body_bytes = fake.left + missing;
	body_begin(&y, &io, q->body_bytes);
	fds[0] = openat(t->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fds[0] >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	fds[1] = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fds[1] >= 0);
	ok = command_serve(q, &world, &y, fds, o, stop);
	assert_int_equal(fds[0], -1);
	close(fds[1]);
	return ok;
}

static void
messages(void **state)
{
	static const char message[] = "A: b\r\n\r\nFrom me\r\nlast";
	struct tmpdir *t = *state;
	struct request q = request(t, "cat >got");
	struct outcome o;
	const char *got;
	bool stop;

	q.flags = REQUEST_QMAIL;
	assert_true(serve(t, &q, message, 0, &o, &stop));
	assert_int_equal(o.status, JOB_SENT);
	assert_false(stop);
	assert_string_equal(tmpdir_read(t, "got"), "A: b\n\nFrom me\nlast");

	q.flags = 0;
	q.original = SLICE_LIT("info@x.test");
	assert_true(serve(t, &q, message, 0, &o, &stop));
	assert_string_equal(o.text, "delivered to command: cat >got");
	got = tmpdir_read(t, "got");
	assert_true(strncmp(got, "From a@b.test ", 14) == 0);
	assert_non_null(strstr(got,
	    "\nReturn-Path: <a@b.test>\nX-Original-To: info@x.test\n"
	    "Delivered-To: joe-list-x@sub.x.test\nA: b\n\nFrom me\nlast"));

	q.flags = REQUEST_QMAIL;
	q.command = SLICE_LIT("exit 99");
	assert_true(serve(t, &q, message, 0, &o, &stop));
	assert_true(stop);

	/* It may be read twice, and not be written. */
	q.command = SLICE_LIT("cat <&0 >/dev/null; "
			      "test -w /proc/self/fd/0 || true; "
			      "echo x >&0 && exit 1; "
			      "perl -e 'seek STDIN,0,0; print <STDIN>' >got");
	assert_true(serve(t, &q, message, 0, &o, &stop));
	assert_int_equal(o.status, JOB_SENT);
	assert_string_equal(tmpdir_read(t, "got"), "A: b\n\nFrom me\nlast");
}

static void
nothing_is_run(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t, "touch ran");
	struct outcome o;
	bool stop;

	assert_true(serve(t, &q, "Delivered-To: joe-list-x@sub.x.test\r\n\r\nx",
	    0, &o, &stop));
	assert_int_equal(o.status, JOB_FAILED);
	assert_string_equal(o.dsn, "5.4.6");
	assert_false(serve(t, &q, "A: b\r\n\r\nx", 1, &o, &stop));
	q.base = SLICE_LIT("/nonexistent/home");
	assert_true(serve(t, &q, "A: b\r\n\r\nx", 0, &o, &stop));
	assert_int_equal(o.status, JOB_DEFERRED);
	q.base = slice_str(t->path);
	q.flags = REQUEST_HOME;
	assert_int_equal(fchmod(t->fd, 0777), 0);
	assert_true(serve(t, &q, "A: b\r\n\r\nx", 0, &o, &stop));
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_int_equal(fchmod(t->fd, 0700), 0);
	assert_null(tmpdir_read(t, "ran"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, tmpdir_setup, tmpdir_teardown)
		T(variables),
		T(foreign_values),
		T(largest_environment),
		T(qmail_codes),
		T(sysexits_codes),
		T(other_ends),
		T(surroundings),
		T(no_shell_where_none_is_needed),
		T(much_output),
		T(memory_limit),
		T(process_limit),
		T(time_limit),
		T(stubborn),
		T(runaway_is_killed),
		T(daemon_left_behind),
		T(hang_up),
		T(messages),
		T(nothing_is_run),
	};

	if (!command_prepare())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
