/*
 * lookup/say: steps for whoever wants to know, and refusals.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "lookup/internal.h"

struct slice
resolve_given(const struct resolver *r)
{
	return slice_of(r->given, r->given_len);
}

static void PRINTF(3, 0)
    say(struct resolver *r, const char *place, const char *fmt, va_list ap)
{
	char text[900];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	r->step(r->step_arg, place, text);
}

void
resolve_say(struct resolver *r, const char *place, const char *fmt, ...)
{
	va_list ap;

	if (r->step == NULL)
		return;
	va_start(ap, fmt);
	say(r, place, fmt, ap);
	va_end(ap);
}

void
resolve_say_param(struct resolver *r, const char *parameter, const char *fmt,
    ...)
{
	char source[CONF_SOURCE_BYTES], place[CONF_SOURCE_BYTES + 64];
	va_list ap;

	if (r->step == NULL)
		return;
	conf_source(r->conf, parameter, source);
	(void)snprintf(place, sizeof(place), "%s: %s", source, parameter);
	va_start(ap, fmt);
	say(r, place, fmt, ap);
	va_end(ap);
}

void
resolve_say_table(struct resolver *r, const char *parameter,
    const struct table_answer *a)
{
	char place[512];

	if (r->step == NULL)
		return;
	if (strncmp(a->table, "inline:", 7) == 0 ||
	    strncmp(a->table, "static:", 7) == 0) {
		/* The table is its own place: weir.conf. */
		resolve_say_param(r, parameter, "%.*s is %.*s",
		    SLICE_ARGS(a->key),
		    SLICE_ARGS(slice_sub(a->value, 0, 400)));
		return;
	}
	if (a->line > 0)
		(void)snprintf(place, sizeof(place), "%s:%u", a->table,
		    a->line);
	else
		(void)snprintf(place, sizeof(place), "%s", a->table);
	resolve_say(r, place, "%s: %.*s is %.*s", parameter, SLICE_ARGS(a->key),
	    SLICE_ARGS(slice_sub(a->value, 0, 400)));
}

void
resolve_refuse(struct resolver *r, struct fr_resolved *out, int code,
    const char *status, const char *fmt, ...)
{
	va_list ap;
	size_t n = 0;

	out->verdict = RESOLVE_REFUSE;
	out->code = (uint16_t)code;
	(void)snprintf(r->status, sizeof(r->status), "%s", status);
	out->status = slice_str(r->status);
	if (code != 501 && code != 553)
		n = (size_t)snprintf(r->reply, sizeof(r->reply),
		    "<%.*s>: Recipient address rejected: ",
		    SLICE_ARGS(slice_sub(resolve_given(r), 0, 256)));
	va_start(ap, fmt);
	(void)vsnprintf(r->reply + n, sizeof(r->reply) - n, fmt, ap);
	va_end(ap);
	out->text = slice_str(r->reply);
	out->transport = out->nexthop = out->mailbox = SLICE_NONE;
}

void
resolve_fail(struct resolver *r, struct fr_resolved *out,
    const struct errtext *et)
{
	static struct log_limit_site site;
	struct mono now = clock_system.mono(&clock_system);

	/* At most one line a minute: a missing table concerns every mail. */
	if (!site.seen || mono_sub(now, site.next) >= 0) {
		log_warning("lookup of <%.*s>: %s",
		    SLICE_ARGS(resolve_given(r)), et->text);
		site.seen = true;
		site.next = mono_add(now, 60000);
	}
	resolve_say(r, "", "temporary failure: %s", et->text);
	resolve_refuse(r, out, 451, "4.3.0", "Temporary lookup failure");
}
