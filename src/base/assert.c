#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * The line goes straight to descriptor 2: the log's buffer may be what is
 * broken.  A full pipe may block here, but the process is lost anyway and the
 * line is below PIPE_BUF, so that at most one reader's pause is waited for.
 */
_Noreturn void
assert_failed(const char *cond, const char *file, int line, const char *func)
{
	char text[512];
	int len;

	len = snprintf(text, sizeof(text),
	    "weir[%ld]: bug: %s:%d: %s: assertion failed: %s\n", (long)getpid(),
	    file, line, func, cond);
	if (len > 0) {
		size_t n = (size_t)len;

		if (n >= sizeof(text)) {
			n = sizeof(text) - 1;
			text[n - 1] = '\n';
		}
		if (write(STDERR_FILENO, text, n) < 0)
			abort(); /* nobody to tell */
	}
	abort();
}
