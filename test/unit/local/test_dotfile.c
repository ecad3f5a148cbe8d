/*
 * dotfile: which file serves whom, and what comes of it; real files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "local/dotfile.h"
#include "tmpdir.h"

enum { TEST_ID = 23456, FILES_MAX = 6 };

/* ---- a home ---- */

/* As root we are the user while his files are read; else we are he anyway. */
static void
be_user(void)
{
	if (getuid() == 0) {
		assert_int_equal(setegid(TEST_ID), 0);
		assert_int_equal(seteuid(TEST_ID), 0);
	}
}

static void
be_ourselves(void)
{
	if (getuid() == 0) {
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(setegid(0), 0);
	}
}

static int
home_setup(void **state)
{
	struct tmpdir *t;

	if (tmpdir_setup(state) != 0)
		return -1;
	t = *state;
	if (getuid() == 0)
		assert_int_equal(fchown(t->fd, TEST_ID, TEST_ID), 0);
	assert_int_equal(fchmod(t->fd, 0755), 0);
	return 0;
}

static void
make_file(const struct tmpdir *t, const char *name, const char *text,
    mode_t mode)
{
	tmpdir_write(t, name, text);
	assert_int_equal(fchmodat(t->fd, name, mode, 0), 0);
	if (getuid() == 0)
		assert_int_equal(fchownat(t->fd, name, TEST_ID, TEST_ID, 0), 0);
}

/* ---- what came ---- */

static struct {
	char text[100000];
	size_t len;
	unsigned count;
} got;

static const char *const kind_names[ACTION_KINDS] = {
	[ACTION_QMAIL] = "qmail",
	[ACTION_FORWARD] = "forward",
	[ACTION_SET_DEFAULT] = "default-is",
	[ACTION_SET_SENDER] = "sender-is",
	[ACTION_DEFAULT] = "DEFAULT",
	[ACTION_MBOX] = "mbox",
	[ACTION_MAILDIR] = "maildir",
	[ACTION_COMMAND] = "command",
	[ACTION_ADDRESS] = "address",
	[ACTION_USER] = "user",
};

/* "kind(text)"; paths below the home are shown from there. */
static void
put(void *arg, enum action_kind kind, uint32_t line, struct slice text)
{
	const struct tmpdir *t = arg;
	size_t len = strlen(t->path);

	(void)line;
	got.count++;
	if (kind == ACTION_FORWARD && text.len > len &&
	    memcmp(text.data, t->path, len) == 0)
		text = slice_sub(text, len + 1, text.len);
	if (sizeof(got.text) - got.len > text.len + 32)
		got.len += (size_t)snprintf(got.text + got.len,
		    sizeof(got.text) - got.len, "%s(%.*s) ", kind_names[kind],
		    SLICE_ARGS(text));
}

static struct request
request(const struct tmpdir *t)
{
	return (struct request){
		.verb = REQUEST_PLAN,
		.base = slice_str(t->path),
		.sender = SLICE_LIT("a@b.test"),
		.address = SLICE_LIT("joe@x.test"),
		.user = SLICE_LIT("joe"),
		.dot_files = SLICE_LIT(".qmail .forward"),
		.forward_path = SLICE_LIT(
		    "$home/.forward${recipient_delimiter}${extension}, "
		    "$home/.forward"),
		.actions_max = 100,
		.flags = REQUEST_ALLOW_COMMANDS | REQUEST_ALLOW_FILES,
	};
}

/* Actions, then status and text. */
static const char *
plan(const struct tmpdir *t, const struct request *q, bool loops,
    struct outcome *o)
{
	const struct action_sink to = { put, (void *)(uintptr_t)t };

	got.len = got.count = 0;
	got.text[0] = '\0';
	be_user();
	dotfile_plan(q, loops, &to, o);
	be_ourselves();
	if (got.len > 0)
		got.text[got.len - 1] = '\0';
	return got.text;
}

struct row {
	const char *why;
	struct {
		const char *name, *text;
		mode_t mode; /* 0: 0644 */
	} files[FILES_MAX];
	const char *extension; /* NULL: none */
	const char *delimiter; /* NULL: "-" */
	const char *dot_files; /* NULL: both */
	uint32_t flags;
	enum job_status status;
	const char *dsn;     /* NULL: not looked at */
	const char *actions; /* of a plan that is complete */
	const char *text;    /* somewhere in the outcome's; NULL: any */
};

static void
run_row(const struct tmpdir *t, const struct row *r)
{
	struct request q = request(t);
	char address[64];
	struct outcome o, check;
	size_t i;

	for (i = 0; i < FILES_MAX && r->files[i].name != NULL; i++)
		make_file(t, r->files[i].name, r->files[i].text,
		    r->files[i].mode != 0 ? r->files[i].mode : 0644);
	q.flags |= r->flags;
	if (r->extension != NULL) {
		q.extension = slice_str(r->extension);
		q.dash = SLICE_LIT("-");
		q.delimiter =
		    slice_str(r->delimiter != NULL ? r->delimiter : "-");
		snprintf(address, sizeof(address), "joe%.1s%.40s@x.test",
		    q.delimiter.data, r->extension);
		q.address = slice_str(address);
	}
	if (r->dot_files != NULL)
		q.dot_files = slice_str(r->dot_files);
	plan(t, &q, false, &o);
	if (o.status != r->status ||
	    (r->dsn != NULL && strcmp(o.dsn, r->dsn) != 0) ||
	    (r->text != NULL && strstr(o.text, r->text) == NULL) ||
	    (r->actions != NULL && strcmp(got.text, r->actions) != 0))
		fail_msg("%s: [%s] %d %s %s", r->why, got.text, o.status, o.dsn,
		    o.text);
	/* What is planned exists; what does not exist is not planned. */
	q.verb = REQUEST_CHECK;
	be_user();
	dotfile_check(&q, &check);
	be_ourselves();
	if (o.status == JOB_SENT || strcmp(o.dsn, "5.1.1") == 0)
		assert_int_equal(check.status, o.status);
	else
		assert_int_not_equal(check.status, JOB_FAILED);
	for (i = 0; i < FILES_MAX && r->files[i].name != NULL; i++)
		assert_int_equal(unlinkat(t->fd, r->files[i].name, 0), 0);
}

/* ---- which ---- */

static const struct row which_rows[] = {
	{ "no file at all: the default delivery", .actions = "DEFAULT()" },
	{ "the user's own", { { ".qmail", "&x@y\n" } },
	    .actions = "qmail(.qmail) address(x@y)" },
	{ ".qmail comes first",
	    { { ".qmail", "&x@y\n" }, { ".forward", "z@y\n" } },
	    .actions = "qmail(.qmail) address(x@y)" },
	{ "unless dot_files says otherwise",
	    { { ".qmail", "&x@y\n" }, { ".forward", "z@y\n" } },
	    .dot_files = ".forward .qmail",
	    .actions = "forward(.forward) address(z@y)" },
	{ "one language only",
	    { { ".qmail", "&x@y\n" }, { ".forward", "z@y\n" } },
	    .dot_files = ".forward",
	    .actions = "forward(.forward) address(z@y)" },
	{ "none at all", { { ".qmail", "&x@y\n" }, { ".forward", "z@y\n" } },
	    .dot_files = "", .actions = "DEFAULT()" },
	{ "an extension of its own", { { ".qmail-list", "&x@y\n" } },
	    .extension = "list", .actions = "qmail(.qmail-list) address(x@y)" },
	{ "in any case, dots as colons", { { ".qmail-a:b:c", "&x@y\n" } },
	    .extension = "A.b.C",
	    .actions = "qmail(.qmail-a:b:c) address(x@y)" },
	{ "the longest default",
	    { { ".qmail-a-default", "&1@y\n" }, { ".qmail-default", "&2@y\n" },
		{ ".qmail-a-b-default", "&3@y\n" } },
	    .extension = "a-b-C",
	    .actions = "qmail(.qmail-a-b-default) default-is(C) address(3@y)" },
	{ "the next one", { { ".qmail-a-default", "&1@y\n" } },
	    .extension = "a-b-C",
	    .actions = "qmail(.qmail-a-default) default-is(b-C) "
		       "address(1@y)" },
	{ "the last one", { { ".qmail-default", "&2@y\n" } },
	    .extension = "a-b",
	    .actions = "qmail(.qmail-default) default-is(a-b) address(2@y)" },
	{ "default serves no plain user", { { ".qmail-default", "&2@y\n" } },
	    .actions = "DEFAULT()" },
	{ "with + the file is named with a dash all the same",
	    { { ".qmail-list", "&x@y\n" } }, .extension = "list",
	    .delimiter = "+", .actions = "qmail(.qmail-list) address(x@y)" },
	{ "Postfix's name of it", { { ".forward+list", "x@y\n" } },
	    .extension = "list", .delimiter = "+",
	    .actions = "forward(.forward+list) address(x@y)" },
	{ "lower case there too", { { ".forward+list", "x@y\n" } },
	    .extension = "LIST", .delimiter = "+",
	    .actions = "forward(.forward+list) address(x@y)" },
	{ "an extension without a file means the user: his .forward",
	    { { ".forward", "x@y\n" } }, .extension = "list", .delimiter = "+",
	    .actions = "forward(.forward) address(x@y)" },
	{ "or his .qmail", { { ".qmail", "&x@y\n" } }, .extension = "list",
	    .delimiter = "+", .actions = "qmail(.qmail) address(x@y)" },
	{ "or his mailbox", .extension = "list", .delimiter = "+",
	    .actions = "DEFAULT()" },
	{ "strictly it does not exist", { { ".qmail", "&x@y\n" } },
	    .extension = "list", .flags = REQUEST_EXTENSION_STRICT,
	    .status = JOB_FAILED, .dsn = "5.1.1",
	    .text = "Sorry, no mailbox here by that name. (#5.1.1)" },
	{ "strictly it does with a file", { { ".qmail-list", "&x@y\n" } },
	    .extension = "list", .flags = REQUEST_EXTENSION_STRICT,
	    .actions = "qmail(.qmail-list) address(x@y)" },
	{ "an empty extension is one", { { ".qmail-", "&x@y\n" } },
	    .extension = "", .flags = REQUEST_EXTENSION_STRICT,
	    .actions = "qmail(.qmail-) address(x@y)" },
	{ "no way out of the home", { { ".qmail-default", "&x@y\n" } },
	    .extension = "../../etc", .flags = REQUEST_EXTENSION_STRICT,
	    .status = JOB_FAILED, .dsn = "5.1.1" },
	{ "nor for .forward", { { ".forward", "x@y\n" } }, .extension = "/../x",
	    .delimiter = "+", .actions = "forward(.forward) address(x@y)" },
	{ "two dots are two colons", { { ".qmail-::", "&x@y\n" } },
	    .extension = "..", .actions = "qmail(.qmail-::) address(x@y)" },
};

/* ---- what ---- */

static const struct row what_rows[] = {
	{ "every kind of line",
	    { { ".qmail", "# c\n|cat >x  \n./Mailbox\n./Maildir/\n"
			  "&a@b\nc@d\n/var/x\n" } },
	    .actions = "qmail(.qmail) command(cat >x) mbox(Mailbox) "
		       "maildir(Maildir) address(a@b) address(c@d) "
		       "mbox(/var/x)" },
	{ "not one byte: the default delivery", { { ".qmail", "" } },
	    .actions = "qmail(.qmail) DEFAULT()" },
	{ "comments only: nothing", { { ".qmail", "#\n" } },
	    .actions = "qmail(.qmail)" },
	{ "no newline at the end", { { ".qmail", "&a@b" } },
	    .actions = "qmail(.qmail) address(a@b)" },
	{ "first line blank", { { ".qmail", "\n&a@b\n" } },
	    .status = JOB_DEFERRED, .dsn = "4.2.1",
	    .text = "Uh-oh: first line of .qmail file is blank. (#4.2.1)" },
	{ "execute bit: a file", { { ".qmail", "./Mailbox\n", 0744 } },
	    .status = JOB_DEFERRED, .dsn = "4.7.0",
	    .text = "Uh-oh: .qmail has file delivery but has x bit set. "
		    "(#4.7.0)" },
	{ "execute bit: a command", { { ".qmail", "|x\n", 0744 } },
	    .status = JOB_DEFERRED, .dsn = "4.7.0",
	    .text = "Uh-oh: .qmail has prog delivery but has x bit set. "
		    "(#4.7.0)" },
	{ "execute bit: a forward", { { ".qmail", "&a@b\n", 0744 } },
	    .actions = "qmail(.qmail) address(a@b)" },
	{ "+list: from there on", { { ".qmail", "|x\n+list\n&a@b\n" } },
	    .actions = "qmail(.qmail) command(x) address(a@b)" },
	{ "+list: no command", { { ".qmail", "+list\n|x\n" } },
	    .status = JOB_DEFERRED, .dsn = "4.7.0" },
	{ "the owner of a list",
	    { { ".qmail-l", "&a@b\n" }, { ".qmail-l-owner", "&c@d\n" } },
	    .extension = "l",
	    .actions = "qmail(.qmail-l) sender-is(joe-l-owner@x.test) "
		       "address(a@b)" },
	{ "and of each of its members",
	    { { ".qmail-l", "&a@b\n" }, { ".qmail-l-owner", "&c@d\n" },
		{ ".qmail-l-owner-default", "&c@d\n" } },
	    .extension = "l",
	    .actions = "qmail(.qmail-l) sender-is(joe-l-owner-@x.test-@[]) "
		       "address(a@b)" },
	{ "-default alone is nobody's owner",
	    { { ".qmail-l", "&a@b\n" },
		{ ".qmail-l-owner-default", "&c@d\n" } },
	    .extension = "l", .actions = "qmail(.qmail-l) address(a@b)" },
	{ "paths are tidied", { { ".qmail", ".//./a///b/\n" } },
	    .actions = "qmail(.qmail) maildir(a/b)" },
	{ "paths do not climb", { { ".qmail", "./a/../../b\n" } },
	    .status = JOB_DEFERRED, .dsn = "4.2.1",
	    .text = "line 1: mailbox path" },
	{ "nor are they nothing", { { ".qmail", "./\n" } },
	    .status = JOB_DEFERRED, .dsn = "4.2.1" },
	{ "writable for all", { { ".qmail", "&a@b\n", 0646 } },
	    .status = JOB_DEFERRED, .dsn = "4.7.0",
	    .text = "Uh-oh: .qmail file is writable. (#4.7.0)" },
	{ "writable for the user's own group", { { ".qmail", "&a@b\n", 0664 } },
	    .actions = "qmail(.qmail) address(a@b)" },

	{ "every kind of target",
	    { { ".forward", "# c\na@b, \"|cat >x\"\n\\joe\n\\ann\n/var/x, "
			    "/var/m/\n" } },
	    .actions = "forward(.forward) address(a@b) command(cat >x) "
		       "DEFAULT() user(ann) mbox(/var/x) maildir(/var/m)" },
	{ "the user himself, in his own words",
	    { { ".forward", "joe, JOE@X.TEST\njoe@y.test\n" } },
	    .actions = "forward(.forward) DEFAULT() DEFAULT() "
		       "address(joe@y.test)" },
	{ "with an extension he is still himself",
	    { { ".forward", "joe@x.test, joe+list@x.test\n" } },
	    .extension = "list", .delimiter = "+",
	    .actions = "forward(.forward) DEFAULT() DEFAULT()" },
	{ "nothing but comments: as if it were not there",
	    { { ".forward", "# x\n" } },
	    .actions = "forward(.forward) DEFAULT()" },
	{ "empty", { { ".forward", "" } },
	    .actions = "forward(.forward) DEFAULT()" },
	{ "writable for all", { { ".forward", "a@b\n", 0646 } },
	    .status = JOB_DEFERRED, .dsn = "4.7.0",
	    .text = ".forward is writable for others" },
	{ "a quote without its fellow", { { ".forward", "\"|cat\n" } },
	    .status = JOB_DEFERRED, .dsn = "4.7.0", .text = ".forward: " },
	{ "no such :include:", { { ".forward", ":include:/nonexistent/x\n" } },
	    .status = JOB_DEFERRED, .dsn = "4.7.0",
	    .text = "there is no file /nonexistent/x" },
	{ "a directory is no file", { { ".forward", ":include:/\n" } },
	    .status = JOB_DEFERRED },
};

static void
rows(const struct tmpdir *t, const struct row *r, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		run_row(t, &r[i]);
}

static void
which(void **state)
{
	rows(*state, which_rows, ARRAY_LEN(which_rows));
}

static void
what(void **state)
{
	rows(*state, what_rows, ARRAY_LEN(what_rows));
}

static void
senders_that_stay(void **state)
{
	static const char *const stay[] = { "", "#@[]" };
	struct tmpdir *t = *state;
	struct request q = request(t);
	struct outcome o;
	size_t i;

	make_file(t, ".qmail-l", "&a@b\n", 0644);
	make_file(t, ".qmail-l-owner", "&a@b\n", 0644);
	q.extension = SLICE_LIT("l");
	q.dash = SLICE_LIT("-");
	q.address = SLICE_LIT("joe-l@x.test");
	for (i = 0; i < ARRAY_LEN(stay); i++) {
		q.sender = slice_str(stay[i]);
		assert_string_equal(plan(t, &q, false, &o),
		    "qmail(.qmail-l) address(a@b)");
		assert_int_equal(o.status, JOB_SENT);
	}
}

static void
loops(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t);
	struct outcome o;

	assert_string_equal(plan(t, &q, true, &o), "");
	assert_int_equal(o.status, JOB_FAILED);
	assert_string_equal(o.dsn, "5.4.6");
	assert_string_equal(o.text, "mail forwarding loop for joe@x.test");
	make_file(t, ".qmail", "&a@b\n", 0644);
	assert_string_equal(plan(t, &q, true, &o), "");
	assert_int_equal(o.status, JOB_FAILED);
	assert_string_equal(o.text,
	    "This message is looping: it already has my Delivered-To line. "
	    "(#5.4.6)");
}

static void
homes(void **state)
{
	static const struct {
		const char *why;
		mode_t mode;
		bool file;
		const char *dot_files;
		enum job_status status;
		const char *text;
	} homes[] = {
		{ "a home as it should be", 0750, true, ".qmail", JOB_SENT,
		    "" },
		{ "writable for all", 0757, false, ".qmail", JOB_DEFERRED,
		    "Uh-oh: home directory is writable. (#4.7.0)" },
		{ "writable for all, no .qmail asked for", 0757, true,
		    ".forward", JOB_DEFERRED,
		    "Uh-oh: home directory is writable. (#4.7.0)" },
		{ "sticky: being edited", 01755, false, ".qmail .forward",
		    JOB_DEFERRED,
		    "Home directory is sticky: user is editing his .qmail "
		    "file. (#4.2.1)" },
		{ "sticky says nothing without .qmail", 01755, true, ".forward",
		    JOB_SENT, "" },
		{ "writable for the user's own group", 0775, true, ".qmail",
		    JOB_SENT, "" },
	};
	struct tmpdir *t = *state;
	struct request q = request(t);
	struct outcome o;
	size_t i;

	make_file(t, ".qmail", "&a@b\n", 0644);
	for (i = 0; i < ARRAY_LEN(homes); i++) {
		if (getuid() != 0 && homes[i].mode == 0775)
			continue; /* needs a group of our own */
		assert_int_equal(fchmod(t->fd, homes[i].mode), 0);
		q.dot_files = slice_str(homes[i].dot_files);
		plan(t, &q, false, &o);
		if (o.status != homes[i].status ||
		    strstr(o.text, homes[i].text) == NULL)
			fail_msg("%s: %d %s", homes[i].why, o.status, o.text);
	}
	assert_int_equal(fchmod(t->fd, 0755), 0);
	q.base = SLICE_LIT("/nonexistent/home");
	assert_string_equal(plan(t, &q, false, &o), "DEFAULT()");
	assert_int_equal(o.status, JOB_SENT);
}

/* Needs root: files and homes of others, groups that are shared. */
static void
strangers(void **state)
{
	static const struct {
		const char *why;
		uid_t home_uid, uid;
		gid_t home_gid, gid;
		mode_t home_mode, mode;
		enum job_status status;
		const char *text;
	} rows[] = {
		{ "root's file", TEST_ID, 0, TEST_ID, 0, 0755, 0644, JOB_SENT,
		    "" },
		{ "root's file, writable for root's group", TEST_ID, 0, TEST_ID,
		    0, 0755, 0664, JOB_DEFERRED, ".qmail file is writable" },
		{ "root's home", 0, TEST_ID, 0, TEST_ID, 0755, 0644, JOB_SENT,
		    "" },
		{ "somebody else's file", TEST_ID, 34567, TEST_ID, 34567, 0755,
		    0644, JOB_DEFERRED, "belongs to user id 34567" },
		{ "somebody else's home", 34567, TEST_ID, 34567, TEST_ID, 0755,
		    0644, JOB_DEFERRED, "home directory does not belong" },
		{ "a shared group may write the file", TEST_ID, TEST_ID,
		    TEST_ID, 100, 0755, 0664, JOB_DEFERRED,
		    ".qmail file is writable" },
		{ "a shared group may write the home", TEST_ID, TEST_ID, 100,
		    TEST_ID, 0775, 0644, JOB_DEFERRED,
		    "home directory is writable" },
		{ "he may not read it", TEST_ID, 0, TEST_ID, 0, 0755, 0600,
		    JOB_DEFERRED, "Unable to open .qmail: Permission denied" },
		{ "nor enter his home", 0, TEST_ID, 0, TEST_ID, 0700, 0644,
		    JOB_DEFERRED, "Permission denied" },
		{ "he may pass, but not list it", 0, TEST_ID, 0, TEST_ID, 0711,
		    0644, JOB_SENT, "" },
	};
	struct tmpdir *t = *state;
	struct request q = request(t);
	struct outcome o;
	size_t i;

	if (getuid() != 0) {
		print_message("skipped: needs root to give files away\n");
		skip();
	}
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		make_file(t, ".qmail", "&a@b\n", rows[i].mode);
		assert_int_equal(
		    fchownat(t->fd, ".qmail", rows[i].uid, rows[i].gid, 0), 0);
		assert_int_equal(
		    fchown(t->fd, rows[i].home_uid, rows[i].home_gid), 0);
		assert_int_equal(fchmod(t->fd, rows[i].home_mode), 0);
		plan(t, &q, false, &o);
		if (o.status != rows[i].status ||
		    strstr(o.text, rows[i].text) == NULL)
			fail_msg("%s: %d %s", rows[i].why, o.status, o.text);
	}
}

static void
hostile_files(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t);
	struct outcome o;

	/* Out of the home: refused; within it: followed. */
	assert_int_equal(symlinkat("/etc/passwd", t->fd, ".qmail"), 0);
	plan(t, &q, false, &o);
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_non_null(strstr(o.text, "Unable to open .qmail"));
	assert_int_equal(unlinkat(t->fd, ".qmail", 0), 0);
	assert_int_equal(symlinkat("../x/../../etc/passwd", t->fd, ".qmail"),
	    0);
	plan(t, &q, false, &o);
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_int_equal(unlinkat(t->fd, ".qmail", 0), 0);
	make_file(t, "kept", "&a@b\n", 0644);
	assert_int_equal(symlinkat("kept", t->fd, ".qmail"), 0);
	assert_string_equal(plan(t, &q, false, &o),
	    "qmail(.qmail) address(a@b)");
	assert_int_equal(unlinkat(t->fd, ".qmail", 0), 0);
	/* To itself. */
	assert_int_equal(symlinkat(".qmail", t->fd, ".qmail"), 0);
	plan(t, &q, false, &o);
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_int_equal(unlinkat(t->fd, ".qmail", 0), 0);

	/* Neither waits for a writer nor reads for ever. */
	assert_int_equal(mkfifoat(t->fd, ".qmail", 0644), 0);
	if (getuid() == 0)
		assert_int_equal(fchownat(t->fd, ".qmail", TEST_ID, TEST_ID, 0),
		    0);
	plan(t, &q, false, &o);
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_non_null(strstr(o.text, "not a regular file"));
	assert_int_equal(unlinkat(t->fd, ".qmail", 0), 0);
	assert_int_equal(mkdirat(t->fd, ".forward", 0755), 0);
	plan(t, &q, false, &o);
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_non_null(strstr(o.text, "not a regular file"));
	assert_int_equal(unlinkat(t->fd, ".forward", AT_REMOVEDIR), 0);
	q.forward_path = SLICE_LIT("/dev/zero");
	plan(t, &q, false, &o);
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_non_null(strstr(o.text, "not a regular file"));
}

/* At the limit, and one byte above. */
static void
long_files(void **state)
{
	static char text[DOT_FILE_BYTES_MAX + 2];
	struct tmpdir *t = *state;
	struct request q = request(t);
	struct outcome o;

	memset(text, '#', DOT_FILE_BYTES_MAX);
	for (size_t i = 99; i < DOT_FILE_BYTES_MAX; i += 100)
		text[i] = '\n';
	text[DOT_FILE_BYTES_MAX] = '\0';
	make_file(t, ".qmail", text, 0644);
	plan(t, &q, false, &o);
	assert_int_equal(o.status, JOB_SENT);
	text[DOT_FILE_BYTES_MAX] = '#';
	make_file(t, ".qmail", text, 0644);
	plan(t, &q, false, &o);
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_non_null(strstr(o.text, "longer than 1048576 bytes"));
}

static void
many_actions(void **state)
{
	static char text[16 * 1024];
	struct tmpdir *t = *state;
	struct request q = request(t);
	struct outcome o;
	size_t len = 0;
	int i;

	for (i = 0; i < 100; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "&u%d@list.test\n", i);
	make_file(t, ".qmail", text, 0644);
	plan(t, &q, false, &o);
	assert_int_equal(o.status, JOB_SENT);
	assert_int_equal(got.count, 101);
	q.actions_max = 99;
	plan(t, &q, false, &o);
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_non_null(strstr(o.text, "more than 99"));
}

static void
allowances(void **state)
{
	static const struct {
		const char *why, *forward, *include;
		uint32_t flags;
		enum job_status status;
	} rows[] = {
		{ "a command is not allowed", "|x\n", "", REQUEST_ALLOW_FILES,
		    JOB_FAILED },
		{ "a file is not allowed", "/x\n", "", REQUEST_ALLOW_COMMANDS,
		    JOB_FAILED },
		{ "in an include nothing is, by default", NULL, "|x\n",
		    REQUEST_ALLOW_FILES | REQUEST_ALLOW_COMMANDS, JOB_FAILED },
		{ "nor a file", NULL, "/x\n",
		    REQUEST_ALLOW_FILES | REQUEST_ALLOW_COMMANDS, JOB_FAILED },
		{ "in an include a command is", NULL, "|x\n",
		    REQUEST_ALLOW_INCLUDE_COMMANDS, JOB_SENT },
		{ "in an include a file is", NULL, "/x\n",
		    REQUEST_ALLOW_INCLUDE_FILES, JOB_SENT },
		{ "an address always is", NULL, "a@b\n", 0, JOB_SENT },
	};
	struct tmpdir *t = *state;
	struct request q = request(t);
	char text[128];
	struct outcome o;
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(text, sizeof(text), ":include:%s/in\n", t->path);
		make_file(t, ".forward",
		    rows[i].forward != NULL ? rows[i].forward : text, 0644);
		make_file(t, "in", rows[i].include, 0644);
		q.flags = rows[i].flags;
		plan(t, &q, false, &o);
		if (o.status != rows[i].status)
			fail_msg("%s: %d %s", rows[i].why, o.status, o.text);
		if (o.status == JOB_FAILED)
			assert_string_equal(o.dsn, "5.7.1");
	}
}

/* The order of the actions is that of the text. */
static void
includes(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t);
	char text[256];
	struct outcome o;
	int fds, i;

	snprintf(text, sizeof(text), "1@x\n:include:%s/in\n4@x\n", t->path);
	make_file(t, ".forward", text, 0644);
	snprintf(text, sizeof(text), "2@x, :include:%s/in2, 3@x\n", t->path);
	make_file(t, "in", text, 0644);
	make_file(t, "in2", "deep@x", 0644);
	assert_string_equal(plan(t, &q, false, &o),
	    "forward(.forward) address(1@x) address(2@x) address(deep@x) "
	    "address(3@x) address(4@x)");
	/* A link is not followed here: it may have been planted anywhere. */
	assert_int_equal(unlinkat(t->fd, "in2", 0), 0);
	assert_int_equal(symlinkat(".forward", t->fd, "in2"), 0);
	plan(t, &q, false, &o);
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_int_equal(unlinkat(t->fd, "in2", 0), 0);
	/* A file that includes itself; no descriptor stays open. */
	snprintf(text, sizeof(text), ":include:%s/in2\n", t->path);
	make_file(t, "in2", text, 0644);
	fds = dup(0);
	close(fds);
	plan(t, &q, false, &o);
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_non_null(strstr(o.text, "too many :include:"));
	i = dup(0);
	close(i);
	assert_int_equal(i, fds);
}

/* A bush of includes, never deep: bounded too. */
static void
include_bomb(void **state)
{
	static char text[DOT_INCLUDES_MAX * 100];
	struct tmpdir *t = *state;
	struct request q = request(t);
	struct outcome o;
	size_t len = 0;
	int i;

	make_file(t, "in", "# nothing\n", 0644);
	for (i = 0; i < DOT_INCLUDES_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    ":include:%s/in\n", t->path);
	make_file(t, ".forward", text, 0644);
	assert_string_equal(plan(t, &q, false, &o),
	    "forward(.forward) DEFAULT()");
	snprintf(text + len, sizeof(text) - len, ":include:%s/in\n", t->path);
	make_file(t, ".forward", text, 0644);
	plan(t, &q, false, &o);
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_non_null(strstr(o.text, "too many :include:"));
}

static void
forward_paths(void **state)
{
	static const struct {
		const char *why, *template;
		enum job_status status;
		const char *actions;
	} rows[] = {
		{ "somewhere else", "$home/mail/forward", JOB_SENT,
		    "forward(mail/forward) address(m@x)" },
		{ "by the user's name",
		    "${home}/mail/$user.fwd, $home/.forward", JOB_SENT,
		    "forward(mail/joe.fwd) address(j@x)" },
		{ "by his domain", "$home/mail/${domain}", JOB_SENT,
		    "forward(mail/x.test) address(d@x)" },
		{ "an unknown name", "$home/$nobody", JOB_DEFERRED, "" },
		{ "not absolute", ".forward", JOB_DEFERRED, "" },
		{ "no path at all", "", JOB_SENT, "DEFAULT()" },
		{ "only for extensions", "$home/mail/$extension", JOB_SENT,
		    "DEFAULT()" },
	};
	struct tmpdir *t = *state;
	struct request q = request(t);
	struct outcome o;
	size_t i;

	assert_int_equal(mkdirat(t->fd, "mail", 0755), 0);
	make_file(t, "mail/forward", "m@x\n", 0644);
	make_file(t, "mail/joe.fwd", "j@x\n", 0644);
	make_file(t, "mail/x.test", "d@x\n", 0644);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		q.forward_path = slice_str(rows[i].template);
		plan(t, &q, false, &o);
		if (o.status != rows[i].status ||
		    strcmp(got.text, rows[i].actions) != 0)
			fail_msg("%s: [%s] %d %s", rows[i].why, got.text,
			    o.status, o.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, home_setup, tmpdir_teardown)
		T(which),
		T(what),
		T(senders_that_stay),
		T(loops),
		T(homes),
		T(strangers),
		T(hostile_files),
		T(long_files),
		T(many_actions),
		T(allowances),
		T(includes),
		T(include_bomb),
		T(forward_paths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
