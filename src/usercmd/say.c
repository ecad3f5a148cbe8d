#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "usercmd/int.h"

int
say_usage(const struct usercmd *u, const char *text)
{
	fprintf(stderr, "%s: usage: %s %s\n", u->name, u->name, text);
	return USERCMD_PERM;
}

static void PRINTF(3, 0)
    print(const struct usercmd *u, int errnum, const char *fmt, va_list ap)
{
	char text[2048], safe[4096];
	struct slice s;
	size_t n;

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	s = slice_str(text);
	n = slice_escape(&s, safe, sizeof(safe));
	fprintf(stderr, "%s: fatal: %.*s%s%s\n", u->name, (int)n, safe,
	    errnum != 0 ? ": " : "", errnum != 0 ? strerror(errnum) : "");
}

int
say_fatal(const struct usercmd *u, int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print(u, 0, fmt, ap);
	va_end(ap);
	return status;
}

int
say_errno(const struct usercmd *u, const char *fmt, ...)
{
	int errnum = errno;
	va_list ap;

	va_start(ap, fmt);
	print(u, errnum, fmt, ap);
	va_end(ap);
	return USERCMD_TEMP;
}

const char *
say_getenv(const struct usercmd *u, const char *variable)
{
	const char *value = getenv(variable);

	if (value == NULL)
		(void)say_fatal(u, 0, "%s not set", variable);
	return value;
}
