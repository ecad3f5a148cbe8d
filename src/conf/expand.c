/*
 * conf/expand: $name, ${name}, ${name?text}, ${name:text}, $$.
 *
 * ${name?text} is text if name has a value, ${name:text} if it has none;
 * both may be combined as ${name?{text}:{other}}.  Values are expanded when
 * they are used, whatever the order of their definitions.  The depth, the
 * steps and the bytes of one expansion are bounded, so that neither a loop
 * nor a nest of names can run away.
 */
#include "conf/load.h"

enum { STEPS_MAX = 20000 };

struct expander {
	const struct conf_all *all;
	struct buf *out;
	struct errtext *et;
	unsigned steps;
	bool only_counting; /* to see whether a value is empty */
	size_t byte_count;
};

static enum err expand(struct expander *x, struct slice raw, unsigned depth);

static enum err
emit(struct expander *x, struct slice s)
{
	enum err e;

	if (s.len > CONF_VALUE_BYTES_MAX - x->byte_count)
		return err_set(x->et, ERR_CONFIG,
		    "longer than %d bytes when expanded; put lists into "
		    "tables",
		    CONF_VALUE_BYTES_MAX);
	x->byte_count += s.len;
	if (x->only_counting || s.len == 0)
		return OK;
	e = buf_put(x->out, s);
	return e == OK ? OK : err_set(x->et, e, "no memory to expand it");
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_';
}

static size_t
name_length(struct slice s)
{
	size_t n = 0;

	while (n < s.len && is_name_char(s.data[n]))
		n++;
	return n;
}

/* Index of the brace that closes the one before s; s.len: there is none. */
static size_t
find_close(struct slice s)
{
	unsigned depth = 1;

	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] == '{')
			depth++;
		else if (s.data[i] == '}' && --depth == 0)
			return i;
	}
	return s.len;
}

static enum err
expand_name(struct expander *x, struct slice name, unsigned depth)
{
	const struct conf_param *p = conf_param_find(name);
	const char *near;

	if (p != NULL)
		return expand(x, x->all->values[p - conf_params].raw,
		    depth + 1);
	near = conf_param_nearest(name);
	if (near != NULL)
		return err_set(x->et, ERR_CONFIG,
		    "$%.*s is no parameter; did you mean $%s?",
		    SLICE_ARGS(slice_sub(name, 0, 64)), near);
	return err_set(x->et, ERR_CONFIG,
	    "$%.*s is no parameter; write its value, or $$ for a dollar sign",
	    SLICE_ARGS(slice_sub(name, 0, 64)));
}

static enum err
has_value(struct expander *x, struct slice name, unsigned depth, bool *out)
{
	bool was_counting = x->only_counting;
	size_t before = x->byte_count;
	enum err e;

	x->only_counting = true;
	e = expand_name(x, name, depth);
	*out = x->byte_count > before;
	x->only_counting = was_counting;
	x->byte_count = before;
	return e;
}

/* "{text}" at the start of s: without its braces, s moved behind it. */
static bool
take_group(struct slice *s, struct slice *text_out)
{
	size_t close;

	*s = slice_trim(*s);
	if (s->len == 0 || s->data[0] != '{')
		return false;
	*s = slice_sub(*s, 1, s->len);
	close = find_close(*s);
	*text_out = slice_sub(*s, 0, close);
	*s = slice_sub(*s, close + 1, s->len);
	return true;
}

/* What stands within ${ }. */
static enum err
expand_braces(struct expander *x, struct slice inner, unsigned depth)
{
	size_t n = name_length(inner);
	struct slice name = slice_sub(inner, 0, n);
	struct slice rest = slice_sub(inner, n, inner.len);
	struct slice then = SLICE_NONE, other = SLICE_NONE, tail;
	bool value;
	enum err e;

	if (rest.len == 0 && n > 0)
		return expand_name(x, name, depth);
	if (n == 0 || (rest.data[0] != '?' && rest.data[0] != ':'))
		return err_set(x->et, ERR_CONFIG,
		    "no name after ${; write ${name}, ${name?text} or "
		    "${name:text}");
	tail = slice_sub(rest, 1, rest.len);
	if (rest.data[0] == ':') {
		if (!take_group(&tail, &other))
			other = slice_sub(rest, 1, rest.len);
	} else if (!take_group(&tail, &then)) {
		then = slice_sub(rest, 1, rest.len);
	} else if (tail.len > 0 && tail.data[0] == ':') {
		tail = slice_sub(tail, 1, tail.len);
		if (!take_group(&tail, &other))
			other = tail;
	}
	e = has_value(x, name, depth, &value);
	if (e != OK)
		return e;
	return expand(x, value ? then : other, depth + 1);
}

/* s begins after a dollar sign; used_out: how much of it was part of it. */
static enum err
expand_dollar(struct expander *x, struct slice s, unsigned depth,
    size_t *used_out)
{
	size_t n;

	if (s.len > 0 && s.data[0] == '$') {
		*used_out = 1;
		return emit(x, SLICE_LIT("$"));
	}
	if (s.len > 0 && s.data[0] == '{') {
		s = slice_sub(s, 1, s.len);
		n = find_close(s);
		if (n == s.len)
			return err_set(x->et, ERR_CONFIG,
			    "no } after ${; write ${name}");
		*used_out = n + 2;
		return expand_braces(x, slice_sub(s, 0, n), depth);
	}
	n = name_length(s);
	if (n == 0)
		return err_set(x->et, ERR_CONFIG,
		    "no name after $; write $$ for a dollar sign");
	*used_out = n;
	return expand_name(x, slice_sub(s, 0, n), depth);
}

static enum err
expand(struct expander *x, struct slice raw, unsigned depth)
{
	size_t used = 0;
	enum err e;

	if (depth > CONF_EXPAND_DEPTH_MAX)
		return err_set(x->et, ERR_CONFIG,
		    "$names stand for each other more than %d deep; write a "
		    "value that does not lead back to itself",
		    CONF_EXPAND_DEPTH_MAX);
	while (raw.len > 0) {
		size_t dollar = slice_find(raw, '$');

		if (++x->steps > STEPS_MAX)
			return err_set(x->et, ERR_CONFIG,
			    "more than %d $names to replace; write it "
			    "shorter",
			    STEPS_MAX);
		e = emit(x, slice_sub(raw, 0, dollar));
		if (e != OK || dollar == raw.len)
			return e;
		raw = slice_sub(raw, dollar + 1, raw.len);
		e = expand_dollar(x, raw, depth, &used);
		if (e != OK)
			return e;
		raw = slice_sub(raw, used, raw.len);
	}
	return OK;
}

enum err
conf_expand(const struct conf_all *all, struct slice raw, struct buf *out,
    struct errtext *et)
{
	struct expander x = { .all = all, .out = out, .et = et };

	return expand(&x, raw, 0);
}

enum err
conf_expand_quote(struct slice text, struct buf *out)
{
	enum err e = OK;

	while (text.len > 0 && e == OK) {
		size_t n = slice_find(text, '$');

		if (n > 0)
			e = buf_put(out, slice_sub(text, 0, n));
		if (n < text.len && e == OK)
			e = buf_put(out, SLICE_LIT("$$"));
		text = slice_sub(text, n + 1, text.len);
	}
	return e;
}
