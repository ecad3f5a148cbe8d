/*
 * tcprulescheck: say what tcpserver would do with the client that the
 * environment describes: TCPREMOTEIP, TCPREMOTEHOST, TCPREMOTEINFO.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/tool.h"
#include "tcpserver/rules.h"

static void
print(const struct rules *r)
{
	struct slice data = r->data;
	struct rules_step step;

	if (r->found)
		printf("rule %s:\n", r->key);
	else
		puts("default:");
	while (r->found && rules_step(&data, &step)) {
		if (step.what == 'D') {
			puts("deny connection");
			return;
		}
		printf("set environment variable %s\n", step.variable);
	}
	puts("allow connection");
}

int
main(int argc, char **argv)
{
	static struct rules r;
	struct rules_client client;
	int fd;

	tool_name_set("tcprulescheck");
	if (argc < 2) {
		tool_say("usage: tcprulescheck rules.cdb");
		return TOOL_PERM;
	}
	client.ip = slice_str(getenv("TCPREMOTEIP"));
	client.host = slice_str(getenv("TCPREMOTEHOST"));
	client.info = slice_str(getenv("TCPREMOTEINFO"));
	if (client.ip.data == NULL)
		client.ip = SLICE_LIT("");
	fd = open(argv[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || rules_find(&r, fd, &client) != OK)
		tool_die(TOOL_TEMP, errno, "unable to read %s", argv[1]);
	print(&r);
	if (fflush(stdout) != 0)
		tool_die(TOOL_TEMP, errno, "unable to write output");
	return 0;
}
