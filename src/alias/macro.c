#include "alias/macro.h"

#include <string.h>

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_';
}

/* One $... at the front of a text. */
struct macro {
	struct slice name; /* empty: a dollar sign itself */
	char test;	   /* '?', ':', or 0 */
	struct slice text; /* behind it */
};

/* Place of the brace that closes what text is inside of; text.len: none. */
static size_t
find_close(struct slice text, char open, char close)
{
	size_t depth = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == open)
			depth++;
		else if (text.data[i] == close && depth-- == 0)
			return i;
	}
	return text.len;
}

static size_t
name_length(struct slice text)
{
	size_t n = 0;

	while (n < text.len && is_name_char(text.data[n]))
		n++;
	return n;
}

/* *rest begins with a dollar sign; it is taken with what belongs to it. */
static enum err
parse(struct slice *rest, struct macro *out, struct errtext *et)
{
	struct slice text = slice_sub(*rest, 1, rest->len);
	char open = text.len > 0 ? text.data[0] : '\0';
	size_t end, n;

	*out = (struct macro){ .test = 0 };
	if (open == '$') {
		*rest = slice_sub(text, 1, text.len);
		return OK;
	}
	if (open != '{' && open != '(') {
		n = name_length(text);
		if (n == 0)
			return err_set(et, ERR_CONFIG,
			    "a $ without a name; write $$ for a dollar sign");
		out->name = slice_sub(text, 0, n);
		*rest = slice_sub(text, n, text.len);
		return OK;
	}
	text = slice_sub(text, 1, text.len);
	end = find_close(text, open, open == '{' ? '}' : ')');
	if (end == text.len)
		return err_set(et, ERR_CONFIG, "$%c is not closed", open);
	*rest = slice_sub(text, end + 1, text.len);
	text = slice_sub(text, 0, end);
	n = name_length(text);
	out->name = slice_sub(text, 0, n);
	if (n < text.len && (text.data[n] == '?' || text.data[n] == ':')) {
		out->test = text.data[n];
		out->text = slice_sub(text, n + 1, text.len);
	} else if (n < text.len) {
		n = 0;
	}
	if (n == 0)
		return err_set(et, ERR_CONFIG, "\"%.*s\" is not a name",
		    SLICE_ARGS(text));
	return OK;
}

static const struct macro_var *
find(const struct macro_vars *vars, struct slice name)
{
	for (size_t i = 0; i < vars->count; i++)
		if (slice_eq(name, slice_str(vars->vars[i].name)))
			return &vars->vars[i];
	return NULL;
}

static bool
is_path_piece(struct slice value)
{
	if (slice_eq(value, SLICE_LIT(".")) || slice_eq(value, SLICE_LIT("..")))
		return false;
	for (size_t i = 0; i < value.len; i++)
		if (value.data[i] == '/' || (unsigned char)value.data[i] < ' ')
			return false;
	return true;
}

static enum err
put_value(struct slice value, enum macro_guard guard, struct out *out)
{
	if (guard == MACRO_PATH && !is_path_piece(value))
		return ERR_DENIED;
	if (guard != MACRO_COMMAND) {
		out_put(out, value);
		return OK;
	}
	for (size_t i = 0; i < value.len; i++) {
		char c = value.data[i];
		bool safe = c != '\0' && strchr(MACRO_COMMAND_SAFE, c) != NULL;

		out_char(out, safe ? c : '_');
	}
	return OK;
}

static enum err
expand(struct slice text, const struct macro_vars *vars, enum macro_guard guard,
    unsigned depth, struct out *out, struct errtext *et)
{
	enum err e = OK;

	while (text.len > 0 && e == OK) {
		size_t n = slice_find(text, '$');
		const struct macro_var *var;
		struct macro m;

		out_put(out, slice_sub(text, 0, n));
		text = slice_sub(text, n, text.len);
		if (text.len == 0)
			break;
		e = parse(&text, &m, et);
		if (e != OK)
			return e;
		if (m.name.len == 0) {
			out_char(out, '$');
			continue;
		}
		var = find(vars, m.name);
		if (var == NULL)
			return err_set(et, ERR_CONFIG, "unknown name $%.*s",
			    SLICE_ARGS(m.name));
		if (m.test == 0)
			e = put_value(var->value, guard, out);
		else if (depth == MACRO_DEPTH_MAX)
			return err_set(et, ERR_CONFIG, "$ nested too deep");
		else if ((var->value.len > 0) == (m.test == '?'))
			e = expand(m.text, vars, guard, depth + 1, out, et);
	}
	return e;
}

enum err
macro_expand(struct slice text, const struct macro_vars *vars,
    enum macro_guard guard, struct out *out, struct errtext *et)
{
	enum err e = expand(text, vars, guard, 0, out, et);

	if (e == OK && out->full)
		return err_set(et, ERR_TOOBIG, "too long when expanded");
	return e;
}

bool
macro_uses(struct slice text, const char *name)
{
	struct slice wanted = slice_str(name);

	/* Within the braces of another name it counts as well. */
	while (text.len > 0) {
		size_t n = slice_find(text, '$');

		text = slice_sub(text, n + 1, text.len);
		if (text.len > 0 && text.data[0] == '$') {
			text = slice_sub(text, 1, text.len);
			continue;
		}
		if (text.len > 0 &&
		    (text.data[0] == '{' || text.data[0] == '('))
			text = slice_sub(text, 1, text.len);
		if (slice_eq(slice_sub(text, 0, name_length(text)), wanted))
			return true;
	}
	return false;
}
