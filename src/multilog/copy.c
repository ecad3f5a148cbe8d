#include "multilog/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/tool.h"

static struct {
	size_t len;
	char buf[65536];
} out;

static void
flush(void)
{
	size_t done = 0;

	while (done < out.len) {
		ssize_t n =
		    write(STDOUT_FILENO, out.buf + done, out.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			exit(TOOL_TEMP); /* silent, as the original */
		done += (size_t)n;
	}
	out.len = 0;
}

void
copy_put(struct slice text)
{
	while (text.len > 0) {
		size_t room = sizeof(out.buf) - out.len;
		size_t len = text.len < room ? text.len : room;

		memcpy(out.buf + out.len, text.data, len);
		out.len += len;
		text = slice_sub(text, len, text.len);
		if (out.len == sizeof(out.buf))
			flush();
	}
}

int
copy_run(void (*take)(struct slice piece))
{
	static char in[65536];

	for (;;) {
		ssize_t n = read(STDIN_FILENO, in, sizeof(in));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return TOOL_TEMP;
		take(slice_of(in, (size_t)n));
		flush();
		if (n == 0)
			return 0;
	}
}
