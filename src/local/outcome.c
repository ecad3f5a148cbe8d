/*
 * outcome: texts and statuses of deliveries.
 */
#include "local/outcome.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

bool
outcome_set(struct outcome *o, enum job_status status, const char *dsn,
    const char *fmt, ...)
{
	va_list ap;

	ASSERT(strlen(dsn) < sizeof(o->dsn));
	o->status = status;
	o->limit = OUTCOME_LIMIT_NONE;
	memcpy(o->dsn, dsn, strlen(dsn) + 1);
	va_start(ap, fmt);
	vsnprintf(o->text, sizeof(o->text), fmt, ap);
	va_end(ap);
	return status == JOB_SENT;
}

static const char *
errno_dsn(int errnum)
{
	switch (errnum) {
	case EDQUOT:
	case EFBIG: return "4.2.2";
	case ENOSPC: return "4.3.1";
	case EACCES:
	case EPERM:
	case ELOOP:
	case ENOTDIR:
	case EISDIR:
	case ENOENT:
	case EEXIST:
	case ENAMETOOLONG: return "4.2.0";
	default: return "4.3.0";
	}
}

bool
outcome_errno(struct outcome *o, int errnum, const char *fmt, ...)
{
	char what[OUTCOME_TEXT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return outcome_set(o, JOB_DEFERRED, errno_dsn(errnum), "%s: %s", what,
	    strerror(errnum));
}

bool
outcome_full(struct outcome *o, bool bounces, const char *fmt, ...)
{
	char what[OUTCOME_TEXT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (bounces)
		return outcome_set(o, JOB_FAILED, "5.2.2", "%s", what);
	return outcome_set(o, JOB_DEFERRED, "4.2.2", "%s", what);
}
