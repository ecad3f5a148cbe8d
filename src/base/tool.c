#include "base/tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/slice.h"

enum { TEXT_BYTES = 2048, LINE_BYTES = 4 * TEXT_BYTES };

static const char *tool_name = "weir";

void
tool_name_set(const char *name)
{
	tool_name = name;
}

static const struct {
	int errnum;
	const char *text;
} texts[] = {
	{ ENOENT, "file does not exist" },
	{ EACCES, "access denied" },
	{ EPERM, "permission denied" },
	{ EEXIST, "file already exists" },
	{ EISDIR, "is a directory" },
	{ ENOTDIR, "not a directory" },
	{ ENOTEMPTY, "directory not empty" },
	{ EINTR, "interrupted system call" },
	{ ENOMEM, "out of memory" },
	{ EIO, "input/output error" },
	{ ETXTBSY, "text busy" },
	{ EINVAL, "invalid argument" },
	{ EFBIG, "file too big" },
	{ ENOSPC, "out of disk space" },
	{ EDQUOT, "disk quota exceeded" },
	{ EROFS, "read-only file system" },
	{ ENAMETOOLONG, "file name too long" },
	{ EMFILE, "process cannot open more files" },
	{ ENFILE, "system cannot open more files" },
	{ EAGAIN, "temporary failure" },
	{ EPIPE, "broken pipe" },
	{ EPROTO, "protocol error" },
	{ E2BIG, "argument list too long" },
	{ ENOEXEC, "exec format error" },
	{ EXDEV, "cross-device link" },
	{ EBADF, "file descriptor not open" },
	{ ETIMEDOUT, "timed out" },
	{ ECONNREFUSED, "connection refused" },
	{ ECONNRESET, "connection reset" },
	{ ENOTCONN, "not connected" },
	{ ENOBUFS, "out of buffer space" },
	{ EADDRINUSE, "address already used" },
	{ EADDRNOTAVAIL, "address not available" },
	{ EAFNOSUPPORT, "address family not supported" },
	{ ENETUNREACH, "network unreachable" },
	{ EHOSTUNREACH, "host unreachable" },
};

const char *
tool_errno_text(int errnum)
{
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].errnum == errnum)
			return texts[i].text;
	return strerror(errnum);
}

static void PRINTF(3, 0)
    print(const char *kind, int errnum, const char *fmt, va_list ap)
{
	char text[TEXT_BYTES], line[LINE_BYTES];
	struct slice s;
	size_t len = 0;
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	if (n < 0)
		return;
	len = (size_t)snprintf(line, 128, "%s: %s", tool_name, kind);
	s = slice_str(text);
	len += slice_escape(&s, line + len, sizeof(line) - len - 256);
	if (errnum != 0)
		len += (size_t)snprintf(line + len, 128, ": %s",
		    tool_errno_text(errnum));
	line[len++] = '\n';
	while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
}

void
tool_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print("", 0, fmt, ap);
	va_end(ap);
}

void
tool_warn(int errnum, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print("warning: ", errnum, fmt, ap);
	va_end(ap);
}

void
tool_die(int status, int errnum, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print("fatal: ", errnum, fmt, ap);
	va_end(ap);
	exit(status);
}
