/*
 * log_line: events made into lines of the three formats.
 *
 * A line is built escaped, in place, in a struct log_line; TAIL_BYTES are kept
 * free for what ends it, so that a line that is cut still ends well: text with
 * "...", JSON as an object.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/log_sink.h"

enum {
	TAIL_BYTES = 8,
	LINE_MAX_BYTES = LOG_LINE_BYTES - 1, /* a newline follows */
	FACILITY_MAIL = 2 * 8,		     /* RFC 5424 section 6.2.1 */
};

static bool
is_json(void)
{
	return log_style()->format == LOG_JSON;
}

bool
log_is_json(void)
{
	return is_json();
}

static int
severity(enum log_level level)
{
	return level == LOG_LEVEL_ERROR	    ? 3
	       : level == LOG_LEVEL_WARNING ? 4
					    : 6;
}

/* Is this line to be one as qmail-send writes them? */
static bool
is_qmail(void)
{
	const struct log_style *s = log_style();

	return s->format == LOG_QMAIL && !s->syslog && !s->bare;
}

static const char *
level_name(enum log_level level)
{
	return level == LOG_LEVEL_ERROR	    ? is_qmail() ? "alert" : "error"
	       : level == LOG_LEVEL_WARNING ? "warning"
					    : "info";
}

static size_t
room(const struct log_line *l)
{
	size_t max = LINE_MAX_BYTES - TAIL_BYTES;

	return l->len < max ? max - l->len : 0;
}

/* Add bytes as they are, all or nothing; nothing after the line was cut. */
static bool
put_raw(struct log_line *l, const char *text, size_t len)
{
	if (l->cut || len > room(l)) {
		l->cut = true;
		return false;
	}
	memcpy(l->text + l->len, text, len);
	l->len += len;
	return true;
}

static bool
put_lit(struct log_line *l, const char *text)
{
	return put_raw(l, text, strlen(text));
}

/* Add foreign text, escaped, as much as fits. */
static void
put_foreign(struct log_line *l, struct slice s)
{
	char *at = l->text + l->len;

	if (l->cut)
		return;
	l->len += is_json() ? slice_json(&s, at, room(l))
			    : slice_escape(&s, at, room(l));
	l->cut = s.len > 0;
}

static void PRINTF(2, 0)
    put_format(struct log_line *l, const char *fmt, va_list ap)
{
	char text[LOG_LINE_BYTES];
	int len = vsnprintf(text, sizeof(text), fmt, ap);

	if (len < 0)
		return;
	put_foreign(l,
	    slice_of(text,
		(size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1));
}

/* ,"key":" */
static bool
json_key(struct log_line *l, const char *key, bool string)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "%s\"%s\":%s",
	    l->text[l->len - 1] == '{' ? "" : ",", key, string ? "\"" : "");

	return put_raw(l, text, (size_t)len);
}

static void
json_string(struct log_line *l, const char *key, struct slice value)
{
	if (l->cut || !json_key(l, key, true))
		return;
	put_foreign(l, value);
	/* TAIL_BYTES hold this quote and the closing brace. */
	l->text[l->len++] = '"';
}

static void
json_head(struct log_line *l)
{
	const struct log_style *s = log_style();
	char date[TIME_RFC5322_BYTES];
	char pid[16];

	put_lit(l, "{");
	time_iso8601(clock_system.wall(&clock_system), date);
	json_string(l, "time", slice_str(date));
	json_string(l, "name", slice_str(s->bare ? "weir" : s->name));
	if (!s->bare)
		json_string(l, "role", slice_str(s->role));
	snprintf(pid, sizeof(pid), "%d", s->pid);
	if (!s->bare && json_key(l, "pid", false))
		put_lit(l, pid);
	json_string(l, "level", slice_str(level_name(l->level)));
}

/* "<22>Nov 22 08:55:57 " in UTC: the form of RFC 3164, which every reader of
 * /dev/log takes; most put their own date in its place. */
static void
syslog_head(struct log_line *l)
{
	char date[TIME_RFC5322_BYTES];
	char head[48];
	int len;

	time_asctime(clock_system.wall(&clock_system), date);
	len = snprintf(head, sizeof(head), "<%d>%.15s ",
	    FACILITY_MAIL | severity(l->level), date + 4);
	put_raw(l, head, (size_t)len);
}

/* Everything in front of the text. */
static void
line_start(struct log_line *l, enum log_level level, uint64_t id)
{
	const struct log_style *s = log_style();
	char text[32];

	l->level = level;
	l->id = id;
	l->len = 0;
	l->field_count = 0;
	l->cut = false;
	if (s->syslog) {
		syslog_head(l);
	} else if (s->levels) {
		snprintf(text, sizeof(text), "<%d>", severity(level));
		put_lit(l, text);
	}
	/* Under format qmail a line is read by qmail's own tools, that know
	 * its first words; syslog wants a tag in every format. */
	if (is_qmail()) {
		if (level == LOG_LEVEL_INFO && !l->qmail) {
			put_lit(l, s->role);
			put_lit(l, ": ");
		}
	} else if (!is_json() || s->syslog) {
		put_lit(l, s->tag);
	}
	if (is_json()) {
		json_head(l);
	} else if (level != LOG_LEVEL_INFO) {
		put_lit(l, level_name(level));
		put_lit(l, ": ");
	}
	if (id == 0)
		return;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)id);
	if (is_json()) {
		json_string(l, "id", slice_str(text));
	} else {
		put_lit(l, text);
		put_lit(l, ": ");
	}
}

/* Ends in the TAIL_BYTES that room() keeps. */
static void
line_finish(struct log_line *l)
{
	if (is_json()) {
		l->text[l->len++] = '}';
	} else if (l->cut) {
		memcpy(l->text + l->len, "...", 3);
		l->len += 3;
	}
	ASSERT(l->len <= LINE_MAX_BYTES);
	log_sink_line(l->text, l->len);
}

static void PRINTF(4, 0) plain(enum log_level level, uint64_t id, bool qmail,
    const char *fmt, va_list ap)
{
	struct log_line l;

	l.qmail = qmail;
	line_start(&l, level, id);
	if (is_json() && !json_key(&l, "text", true))
		return;
	put_format(&l, fmt, ap);
	if (is_json())
		l.text[l.len++] = '"';
	line_finish(&l);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	plain(LOG_LEVEL_INFO, 0, false, fmt, ap);
	va_end(ap);
}

void
log_qmail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	plain(LOG_LEVEL_INFO, 0, true, fmt, ap);
	va_end(ap);
}

void
log_warning(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	plain(LOG_LEVEL_WARNING, 0, false, fmt, ap);
	va_end(ap);
}

void
log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	plain(LOG_LEVEL_ERROR, 0, false, fmt, ap);
	va_end(ap);
}

void
log_message(uint64_t id, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	plain(LOG_LEVEL_INFO, id, false, fmt, ap);
	va_end(ap);
}

void
log_begin(struct log_line *l, enum log_level level, uint64_t id,
    const char *event)
{
	l->qmail = false;
	line_start(l, level, id);
	if (is_json())
		json_string(l, "event", slice_str(event));
}

/* Angle brackets are part of the text form only: JSON has its quotes. */
static struct slice
without_brackets(struct slice s)
{
	if (s.len >= 2 && s.data[0] == '<' && s.data[s.len - 1] == '>')
		return slice_sub(s, 1, s.len - 1);
	return s;
}

void
log_field(struct log_line *l, const char *key, const char *fmt, ...)
{
	char text[LOG_LINE_BYTES];
	struct slice value;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	value = slice_of(text,
	    (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
	if (is_json()) {
		json_string(l, key, without_brackets(value));
		return;
	}
	if (l->field_count++ > 0)
		put_lit(l, ", ");
	put_lit(l, key);
	put_lit(l, "=");
	put_foreign(l, value);
}

void
log_field_number(struct log_line *l, const char *key, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	if (!is_json()) {
		log_field(l, key, "%s", text);
	} else if (!l->cut && room(l) > strlen(key) + 32 &&
		   json_key(l, key, false)) {
		put_lit(l, text);
	}
}

void
log_note(struct log_line *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!is_json()) {
		put_lit(l, " (");
		put_format(l, fmt, ap);
		put_lit(l, ")");
	} else if (!l->cut && json_key(l, "note", true)) {
		put_format(l, fmt, ap);
		l->text[l->len++] = '"';
	}
	va_end(ap);
}

void
log_end(struct log_line *l)
{
	line_finish(l);
}

bool
log_limit_is_quiet(struct log_limit_site *site, struct mono now)
{
	if (!site->seen || mono_sub(site->next, now) <= 0)
		return false;
	site->suppressed_count++;
	return true;
}

static void
say_limit(struct log_limit_site *site, struct mono now, const char *name,
    int64_t value, const char *unit, struct slice who, const char *action)
{
	uint64_t count = site->suppressed_count + 1;

	if (log_limit_is_quiet(site, now))
		return;
	site->seen = true;
	site->next = mono_add(now, 60000);
	site->suppressed_count = 0;
	log_warning("limit %s (%lld%s) reached by %.*s: %s (%llu %s)", name,
	    (long long)value, unit, SLICE_ARGS(who), action,
	    (unsigned long long)count, count == 1 ? "time" : "times");
}

void
log_limit(struct log_limit_site *site, struct mono now, const char *name,
    int64_t value, struct slice who, const char *action)
{
	say_limit(site, now, name, value, "", who, action);
}

void
log_limit_row(struct log_limit_site *site, struct mono now,
    const struct limit_row *row, struct slice who, const char *action)
{
	say_limit(site, now, row->parameter, row->limit,
	    row->kind == LIMIT_DEADLINE ? " ms" : "", who, action);
}
