/*
 * conf/report: messages about a configuration, bounded and printable.
 */
#include <stdarg.h>
#include <stdio.h>

#include "conf/load.h"

enum { NAME_SHOWN_MAX = 64, VALUE_SHOWN_MAX = 100, DETAIL_BYTES = 256 };

struct conf_report *
conf_report_new(struct acct *a)
{
	return mem_alloc(a, sizeof(struct conf_report));
}

void
conf_report_free(struct acct *a, struct conf_report *r)
{
	mem_free(a, r);
}

struct text {
	char *at;
	size_t left; /* with room for the terminator */
};

static void
text_put(struct text *t, const char *s, size_t len)
{
	if (len >= t->left)
		len = t->left - 1;
	memcpy(t->at, s, len);
	t->at += len;
	t->left -= len;
	*t->at = '\0';
}

/* At most shown bytes of s, the others as "...". */
static void
text_escaped(struct text *t, struct slice s, size_t shown)
{
	struct slice part = slice_sub(s, 0, shown);
	char escaped[64];

	while (part.len > 0) {
		size_t n = slice_escape(&part, escaped, sizeof(escaped));

		text_put(t, escaped, n);
	}
	if (s.len > shown)
		text_put(t, "...", 3);
}

void
conf_report_add(struct conf_report *r, bool is_error, struct conf_place at,
    struct slice name, struct slice value, const char *fmt, ...)
{
	struct conf_message *m;
	struct text t;
	char detail[DETAIL_BYTES];
	va_list ap;

	if (is_error)
		r->error_count++;
	else
		r->warning_count++;
	if (r->count == CONF_MESSAGE_COUNT_MAX)
		return;
	m = &r->messages[r->count++];
	m->is_error = is_error;
	t = (struct text){ m->text, sizeof(m->text) };

	text_escaped(&t, slice_str(at.file), CONF_MESSAGE_BYTES / 4);
	(void)snprintf(detail, sizeof(detail), ":%u: ", at.line);
	text_put(&t, detail, strlen(detail));
	text_escaped(&t, name, NAME_SHOWN_MAX);
	text_put(&t, ": value \"", 9);
	text_escaped(&t, value, VALUE_SHOWN_MAX);
	text_put(&t, "\": ", 3);
	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	text_escaped(&t, slice_str(detail), sizeof(detail));
}
