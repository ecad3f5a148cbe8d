/*
 * tcprules: compile rules from standard input into a cdb for tcpserver.
 *
 * Happy path: everything is written to the temporary file and synced, and only
 * then renamed.  After any failure the cdb is what it was.
 */
#include <cdb.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/tool.h"
#include "tcpserver/rule_text.h"

static struct cdb_make maker;

static void
add(struct rule *r, const char *tmp)
{
	for (unsigned n = 0; n < rule_key_count(r); n++) {
		struct slice key = rule_key(r, n);

		/* Of two rules with one address the first counts. */
		if (cdb_make_add(&maker, key.data, (unsigned)key.len, r->data,
			(unsigned)r->data_len) != 0)
			tool_die(TOOL_TEMP, errno, "unable to write to %s",
			    tmp);
	}
}

static void
take_line(struct slice line, const char *tmp)
{
	static struct rule r;
	bool colon;

	line = rule_trim(line);
	switch (rule_parse(line, &r, &colon)) {
	case OK: add(&r, tmp); break;
	case ERR_NOTFOUND:
		if (!colon)
			tool_warn(0, "ignored, there is no colon in it: %.*s",
			    SLICE_ARGS(line));
		break;
	default:
		tool_die(TOOL_PERM, 0, "unable to parse this line: %.*s",
		    SLICE_ARGS(line));
	}
}

/* Lines are handed on as they come; the last may lack its newline. */
static void
read_rules(const char *tmp)
{
	static char buf[RULE_LINE_BYTES_MAX];
	size_t have = 0;
	ssize_t n;

	do {
		struct slice rest;

		n = read(STDIN_FILENO, buf + have, sizeof(buf) - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			tool_die(TOOL_TEMP, errno, "unable to read input");
		have += (size_t)n;
		rest = slice_of(buf, have);
		for (size_t at; (at = slice_find(rest, '\n')) < rest.len;
		     rest = slice_sub(rest, at + 1, rest.len))
			take_line(slice_sub(rest, 0, at), tmp);
		if (n == 0 && rest.len > 0)
			take_line(rest, tmp);
		if (rest.len == sizeof(buf))
			tool_die(TOOL_PERM, 0,
			    "a line is longer than %d bytes: %.60s...",
			    RULE_LINE_BYTES_MAX - 1, buf);
		memmove(buf, rest.data, rest.len);
		have = rest.len;
	} while (n != 0);
}

/* The new name must survive a power cut, too. */
static void
sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[4096];
	int fd;

	(void)snprintf(folder, sizeof(folder), "%.*s",
	    slash == NULL ? 1 : (int)(slash - path) + 1,
	    slash == NULL ? "." : path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return; /* not readable: then it is as safe as it can be */
	(void)fsync(fd);
	(void)close(fd);
}

int
main(int argc, char **argv)
{
	const char *to, *tmp;
	int fd;

	tool_name_set("tcprules");
	if (argc != 3) {
		tool_say("usage: tcprules rules.cdb rules.tmp");
		return TOOL_PERM;
	}
	to = argv[1];
	tmp = argv[2];
	fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		tool_die(TOOL_TEMP, errno, "unable to create %s", tmp);
	if (cdb_make_start(&maker, fd) != 0)
		tool_die(TOOL_TEMP, errno, "unable to write to %s", tmp);
	read_rules(tmp);
	if (cdb_make_finish(&maker) != 0 || fsync(fd) != 0 || close(fd) != 0)
		tool_die(TOOL_TEMP, errno, "unable to write to %s", tmp);
	if (rename(tmp, to) != 0)
		tool_die(TOOL_TEMP, errno, "unable to move %s to %s", tmp, to);
	sync_folder_of(to);
	return 0;
}
