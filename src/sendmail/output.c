/*
 * output: see output.h.
 */
#include "sendmail/output.h"

#include <errno.h>
#include <unistd.h>

bool
output_write(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}
