/* simlog: the log (base/log.h): with -v lines go to standard output. */
#include <stdio.h>

#include "base/limits.h"
#include "base/log.h"
#include "qsim.h"

#define SAY(prefix, fmt)                                         \
	do {                                                     \
		va_list ap;                                      \
                                                                 \
		if (!q_verbose)                                  \
			return;                                  \
		printf("%lld: %s", (long long)w.now_ms, prefix); \
		va_start(ap, fmt);                               \
		vprintf(fmt, ap);                                \
		va_end(ap);                                      \
		printf("\n");                                    \
	} while (0)

void
log_info(const char *fmt, ...)
{
	SAY("", fmt);
}

void
log_qmail(const char *fmt, ...)
{
	SAY("", fmt);
}

void
log_warning(const char *fmt, ...)
{
	SAY("warning: ", fmt);
}

void
log_error(const char *fmt, ...)
{
	SAY("error: ", fmt);
}

void
log_message(uint64_t id, const char *fmt, ...)
{
	if (q_verbose)
		printf("%llu ", (unsigned long long)id);
	SAY("", fmt);
}

void
log_begin(struct log_line *l, enum log_level level, uint64_t id,
    const char *event)
{
	l->level = level;
	if (q_verbose)
		printf("%lld: %llu %s", (long long)w.now_ms,
		    (unsigned long long)id, event);
}

void
log_field(struct log_line *l, const char *key, const char *fmt, ...)
{
	va_list ap;

	(void)l;
	if (!q_verbose)
		return;
	printf(" %s=", key);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}

void
log_field_number(struct log_line *l, const char *key, int64_t value)
{
	(void)l;
	if (q_verbose)
		printf(" %s=%lld", key, (long long)value);
}

void
log_note(struct log_line *l, const char *fmt, ...)
{
	(void)l;
	SAY("note: ", fmt);
}

void
log_end(struct log_line *l)
{
	(void)l;
	if (q_verbose)
		printf("\n");
}

/* No line is ever due. */
bool
log_limit_is_quiet(struct log_limit_site *site, struct mono now)
{
	(void)site, (void)now;
	return true;
}

void
log_limit(struct log_limit_site *site, struct mono now, const char *name,
    int64_t value, struct slice who, const char *action)
{
	(void)site;
	(void)now;
	q_say("limit %s (%lld) reached by %.*s: %s", name, (long long)value,
	    SLICE_ARGS(who), action);
}

void
log_limit_row(struct log_limit_site *site, struct mono now,
    const struct limit_row *row, struct slice who, const char *action)
{
	log_limit(site, now, row->parameter, row->limit, who, action);
}
