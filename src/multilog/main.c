/*
 * multilog: lines from standard input into logs.
 *
 * Happy path: read what there is, give each line to the actions, write what
 * they took, wait.
 *
 * TERM: what was read is processed; after that single bytes are read up to the
 * end of the line, so that what follows stays for whoever reads next.  ALRM:
 * the files are closed as if they were full.
 */
#include <errno.h>
#include <unistd.h>

#include "base/tool.h"
#include "multilog/pause.h"
#include "multilog/script.h"

static void
run(struct script *s)
{
	static char buf[65536];

	while (!pause_term() || s->in_line) {
		ssize_t n;
		bool readable = pause_for_input();

		if (pause_take_alrm())
			script_rotate(s);
		if (!readable)
			continue;
		n = read(STDIN_FILENO, buf, pause_term() ? 1 : sizeof(buf));
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			tool_warn(errno, "unable to read input");
		if (n <= 0)
			break;
		script_feed(s, slice_of(buf, (size_t)n));
		script_flush(s);
	}
}

int
main(int argc, char **argv)
{
	static struct script s;
	struct acct acct;

	tool_name_set("multilog");
	pause_init();
	acct_init(&acct, NULL, "multilog", 0, true, "");
	script_open(&s, &acct, argc - 1, argv + 1);
	run(&s);
	script_close(&s);
	return 0;
}
