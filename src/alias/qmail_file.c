#include "alias/qmail_file.h"

#include <string.h>

void
qmail_scan_init(struct qmail_scan *s, bool executable)
{
	s->forward_only = executable;
	s->empty = true;
	s->over = s->stopped = false;
	s->line = 1;
	s->len = 0;
}

static enum err
stop(struct qmail_scan *s, struct errtext *et, const char *text)
{
	s->stopped = true;
	return err_set(et, ERR_CONFIG, "%s", text);
}

static enum err
deliver(struct qmail_scan *s, enum qmail_action action, struct slice text,
    struct qmail_line *out, struct errtext *et)
{
	if (s->forward_only && action == QMAIL_COMMAND)
		return stop(s, et,
		    "Uh-oh: .qmail has prog delivery but has x bit set. "
		    "(#4.7.0)");
	if (s->forward_only && action != QMAIL_FORWARD)
		return stop(s, et,
		    "Uh-oh: .qmail has file delivery but has x bit set. "
		    "(#4.7.0)");
	if (action == QMAIL_FORWARD && text.len == 0)
		return stop(s, et,
		    "Uh-oh: .qmail forwards to nobody: & alone. (#4.2.1)");
	*out = (struct qmail_line){ action, text, s->line };
	return OK;
}

/* A whole line; ERR_AGAIN if it says nothing. */
static enum err
take_line(struct qmail_scan *s, struct qmail_line *out, struct errtext *et)
{
	struct slice text;

	if (s->over)
		return stop(s, et,
		    "Uh-oh: a line of .qmail is too long. (#4.2.1)");
	while (s->len > 0 &&
	       (s->text[s->len - 1] == ' ' || s->text[s->len - 1] == '\t'))
		s->len--;
	text = slice_of(s->text, s->len);
	if (text.len == 0)
		return s->line > 1 ? ERR_AGAIN
				   : stop(s, et,
					 "Uh-oh: first line of .qmail file is "
					 "blank. (#4.2.1)");
	if (memchr(text.data, '\0', text.len) != NULL)
		return stop(s, et,
		    "Uh-oh: a line of .qmail holds a null byte. (#4.2.1)");
	switch (text.data[0]) {
	case '#': return ERR_AGAIN;
	case '+':
		if (slice_eq(text, SLICE_LIT("+list")))
			s->forward_only = true;
		return ERR_AGAIN;
	case '.':
	case '/':
		return deliver(s,
		    text.data[text.len - 1] == '/' ? QMAIL_MAILDIR : QMAIL_MBOX,
		    text, out, et);
	case '|':
		return deliver(s, QMAIL_COMMAND, slice_sub(text, 1, text.len),
		    out, et);
	case '&':
		return deliver(s, QMAIL_FORWARD, slice_sub(text, 1, text.len),
		    out, et);
	default: return deliver(s, QMAIL_FORWARD, text, out, et);
	}
}

static enum err
end_line(struct qmail_scan *s, struct qmail_line *out, struct errtext *et)
{
	enum err e = take_line(s, out, et);

	s->line++;
	s->len = 0;
	s->over = false;
	return e;
}

enum err
qmail_scan_next(struct qmail_scan *s, struct slice *in, bool last,
    struct qmail_line *out, struct errtext *et)
{
	enum err e;

	while (!s->stopped && in->len > 0) {
		size_t n = slice_find(*in, '\n');
		bool whole = n < in->len;
		struct slice part = slice_sub(*in, 0, n);

		s->empty = false;
		if (part.len > sizeof(s->text) - s->len)
			s->over = true;
		else if (part.len > 0)
			memcpy(s->text + s->len, part.data, part.len);
		if (!s->over)
			s->len += part.len;
		*in = slice_sub(*in, n + whole, in->len);
		if (!whole)
			break;
		e = end_line(s, out, et);
		if (e != ERR_AGAIN)
			return e;
	}
	if (s->stopped)
		return ERR_NOTFOUND;
	if (!last)
		return ERR_AGAIN;
	if (s->len == 0 && !s->over)
		return ERR_NOTFOUND;
	e = end_line(s, out, et);
	return e == ERR_AGAIN ? ERR_NOTFOUND : e;
}
