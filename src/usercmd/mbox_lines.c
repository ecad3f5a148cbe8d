#include <string.h>

#include "usercmd/int.h"

static const char FROM[] = "From ";
enum { FROM_BYTES = sizeof(FROM) - 1 };

void
mbox_lines_init(struct mbox_lines *m, enum mbox_way way)
{
	*m = (struct mbox_lines){ .way = way, .at_start = true };
}

static bool
pass(struct mbox_lines *m, struct slice text, mbox_put_fn *put, void *arg)
{
	if (text.len == 0)
		return true;
	m->last = text.data[text.len - 1];
	return put(arg, text);
}

/* What was held at the start of a line; is_from: it is a From_ line. */
static bool
release(struct mbox_lines *m, bool is_from, mbox_put_fn *put, void *arg)
{
	static const char marks[] = ">>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>";
	uint64_t count = m->held_count;
	bool good = true;

	if (is_from && m->way == MBOX_QUOTE)
		count++;
	else if (is_from && count > 0)
		count--;
	while (count > 0 && good) {
		size_t n = count < sizeof(marks) - 1 ? (size_t)count
						     : sizeof(marks) - 1;

		good = pass(m, slice_of(marks, n), put, arg);
		count -= n;
	}
	good = good && pass(m, slice_of(FROM, m->matched), put, arg);
	m->held_count = m->matched = 0;
	m->at_start = false;
	return good;
}

bool
mbox_lines_feed(struct mbox_lines *m, struct slice text, mbox_put_fn *put,
    void *arg)
{
	while (text.len > 0) {
		char c = text.data[0];
		size_t n;

		if (m->at_start && m->matched == 0 && c == '>') {
			m->held_count++;
			text = slice_sub(text, 1, text.len);
			continue;
		}
		if (m->at_start && c == FROM[m->matched]) {
			text = slice_sub(text, 1, text.len);
			if (++m->matched == FROM_BYTES &&
			    !release(m, true, put, arg))
				return false;
			continue;
		}
		if (m->at_start && !release(m, false, put, arg))
			return false;
		n = slice_find(text, '\n');
		n += n < text.len;
		if (!pass(m, slice_sub(text, 0, n), put, arg))
			return false;
		m->at_start = m->last == '\n';
		text = slice_sub(text, n, text.len);
	}
	return true;
}

bool
mbox_lines_end(struct mbox_lines *m, mbox_put_fn *put, void *arg)
{
	return !m->at_start || release(m, false, put, arg);
}
