/*
 * alias/target: an automaton over bytes collects the raw text of a target;
 * what the text means is decided when it is whole.
 *
 * Happy path: BEGIN skips blanks and separators, BODY collects up to a comma
 * or the end of a line, target_of() looks at what was collected.
 *
 * Failure modes: a mistake inside a target (a quote, a parenthesis or an angle
 * bracket that is not closed, a NUL, no room) moves to SKIP, which ends where
 * the target would have ended, so that the targets behind it are found.
 */
#include "alias/target.h"

#include <string.h>

enum { PAREN_DEPTH_MAX = 16 };

static const char TOO_LONG[] = "too long";

void
alias_scan_init(struct alias_scan *s, enum alias_source source)
{
	s->source = source;
	s->state = ALIAS_SCAN_BEGIN;
	s->line_begun = s->raw = false;
	s->depth = 0;
	s->line = 1;
	s->first_line = 1;
	s->mistake = NULL;
	s->len = 0;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool
is_end(char c)
{
	return c == ',' || c == '\n';
}

static enum alias_scan_state
fail(struct alias_scan *s, const char *mistake)
{
	s->mistake = mistake;
	return ALIAS_SCAN_SKIP;
}

static enum alias_scan_state
keep(struct alias_scan *s, char c, enum alias_scan_state next)
{
	if (c == '\0')
		return fail(s, "a null byte");
	if (s->len == sizeof(s->text))
		return fail(s, TOO_LONG);
	s->text[s->len++] = c;
	return next;
}

static bool
begins_raw(char c)
{
	return c == '|' || c == '/' || c == ':';
}

/* ---- one step for each state; c is taken ---- */

static enum alias_scan_state
step_begin(struct alias_scan *s, char c)
{
	if (is_blank(c) || is_end(c))
		return ALIAS_SCAN_BEGIN;
	if (c == '#' && s->source == ALIAS_SOURCE_FILE && !s->line_begun)
		return ALIAS_SCAN_HASH;
	s->len = 0;
	s->raw = begins_raw(c);
	s->first_line = s->line;
	s->depth = 1;
	if (c == '(')
		return ALIAS_SCAN_PAREN;
	return keep(s, c,
	    c == '"'		  ? ALIAS_SCAN_QUOTED
	    : c == '<' && !s->raw ? ALIAS_SCAN_ANGLE
				  : ALIAS_SCAN_BODY);
}

static enum alias_scan_state
step_body(struct alias_scan *s, char c)
{
	s->depth = 1;
	if (c == '"')
		return keep(s, c, ALIAS_SCAN_QUOTED);
	if (!s->raw && c == '(')
		return ALIAS_SCAN_PAREN;
	if (!s->raw && c == '<')
		return keep(s, c, ALIAS_SCAN_ANGLE);
	return keep(s, c, ALIAS_SCAN_BODY);
}

static enum alias_scan_state
step_quoted(struct alias_scan *s, char c)
{
	if (c == '\n')
		return s->source == ALIAS_SOURCE_FILE
			   ? ALIAS_SCAN_FOLD
			   : fail(s, "a quote is missing");
	if (s->len == 1 && begins_raw(c))
		s->raw = true;
	return keep(s, c,
	    c == '"'	? ALIAS_SCAN_BODY
	    : c == '\\' ? ALIAS_SCAN_ESCAPED
			: ALIAS_SCAN_QUOTED);
}

static enum alias_scan_state
step_paren(struct alias_scan *s, char c)
{
	if (c == '\n')
		return fail(s, "a parenthesis is missing");
	if (c == '\\')
		return ALIAS_SCAN_PAREN_ESC;
	if (c == '(' && ++s->depth > PAREN_DEPTH_MAX)
		return fail(s, "too many parentheses");
	if (c == ')' && --s->depth == 0)
		return keep(s, ' ', ALIAS_SCAN_BODY);
	return ALIAS_SCAN_PAREN;
}

static enum alias_scan_state
step(struct alias_scan *s, char c)
{
	switch (s->state) {
	case ALIAS_SCAN_BEGIN: return step_begin(s, c);
	case ALIAS_SCAN_BODY: return step_body(s, c);
	case ALIAS_SCAN_QUOTED: return step_quoted(s, c);
	case ALIAS_SCAN_ESCAPED:
		if (c == '\n')
			return fail(s, "a quote is missing");
		return keep(s, c, ALIAS_SCAN_QUOTED);
	case ALIAS_SCAN_PAREN: return step_paren(s, c);
	case ALIAS_SCAN_PAREN_ESC: return ALIAS_SCAN_PAREN;
	case ALIAS_SCAN_ANGLE:
		if (c == '\n')
			return fail(s, "an angle bracket is missing");
		return keep(s, c,
		    c == '>' ? ALIAS_SCAN_BODY : ALIAS_SCAN_ANGLE);
	case ALIAS_SCAN_HASH:
		return c == '\n' ? ALIAS_SCAN_BEGIN : ALIAS_SCAN_HASH;
	case ALIAS_SCAN_FOLD:
	case ALIAS_SCAN_SKIP: break;
	}
	return s->state;
}

/* ---- what a whole target means ---- */

/* The quoted string that is all of text, without its quotes, in place; false
 * if text is not one quoted string. */
static bool
unquote(struct slice text, char *at, struct slice *out)
{
	size_t kept = 0, i;

	if (text.len < 2 || text.data[0] != '"')
		return false;
	for (i = 1; i < text.len && text.data[i] != '"'; i++)
		if (text.data[i] == '\\')
			i++;
	if (i != text.len - 1)
		return false;
	for (i = 1; i < text.len - 1; i++) {
		if (text.data[i] == '\\')
			i++;
		at[kept++] = text.data[i];
	}
	*out = slice_of(at, kept);
	return true;
}

/* The place of s in the scanner's text, which is ours to write. */
static char *
own(struct alias_scan *s, struct slice part)
{
	return s->text + (part.data - s->text);
}

/* What stands between angle brackets; false if they do not end the text. */
static bool
angle(struct slice text, struct slice *out)
{
	bool quoted = false;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];

		if (c == '\\' && quoted)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (c == '<' && !quoted) {
			if (text.data[text.len - 1] != '>')
				return false;
			*out = slice_trim(slice_sub(text, i + 1, text.len - 1));
			return true;
		}
	}
	*out = text;
	return true;
}

static bool
has_blank(struct slice text)
{
	bool quoted = false;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];

		if (c == '\\' && quoted)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && is_blank(c))
			return true;
	}
	return false;
}

static const char *
address_of(struct slice text, struct alias_target *out)
{
	out->kind = ALIAS_ADDRESS;
	if (!angle(text, &text))
		return "something behind the angle brackets";
	if (text.len == 0)
		return "an empty address";
	if (has_blank(text))
		return "two words; separate addresses by commas";
	out->text = text;
	return NULL;
}

/* A path or a command may be quoted behind its sign as well. */
static struct slice
inner(struct alias_scan *s, struct slice text)
{
	text = slice_trim(text);
	(void)unquote(text, text.len > 0 ? own(s, text) : NULL, &text);
	return text;
}

static const char *
file_of(struct slice path, struct alias_target *out)
{
	out->kind = path.data[path.len - 1] == '/' ? ALIAS_MAILDIR : ALIAS_MBOX;
	out->text = path;
	return NULL;
}

/* A mistake, or NULL.  whole: text was one quoted string. */
static const char *
target_of(struct alias_scan *s, struct slice text, struct alias_target *out)
{
	switch (text.data[0]) {
	case '|':
		out->kind = ALIAS_COMMAND;
		out->text = inner(s, slice_sub(text, 1, text.len));
		return out->text.len > 0 ? NULL : "an empty command";
	case '/': return file_of(text, out);
	case ':':
		if (!slice_starts_nocase(text, SLICE_LIT(":include:")))
			return "neither an address nor :include:";
		out->kind = ALIAS_INCLUDE;
		out->text = inner(s, slice_sub(text, 9, text.len));
		return out->text.len > 0 && out->text.data[0] == '/'
			   ? NULL
			   : ":include: without an absolute path";
	case '\\':
		out->kind = ALIAS_USER;
		out->text = slice_sub(text, 1, text.len);
		return out->text.len > 0 && !has_blank(out->text)
			   ? NULL
			   : "a backslash without a user";
	default: return address_of(text, out);
	}
}

/* text[0..len) is one whole quoted string.  An address keeps its quotes where
 * they are those of a local part. */
static const char *
quoted_target(struct alias_scan *s, struct slice raw, struct alias_target *out)
{
	struct slice text;
	char first = raw.data[1];

	/* "\user": who writes it means \user, not user. */
	if (first == '\\' && raw.data[2] != '\\' && raw.data[2] != '"')
		return target_of(s, slice_sub(raw, 1, raw.len - 1), out);
	if (first != '|' && first != '/' && first != ':' && first != '\\' &&
	    slice_find(raw, '@') == raw.len)
		return raw.len > 2 ? address_of(raw, out) : "an empty address";
	(void)unquote(raw, s->text, &text);
	return target_of(s, text, out);
}

/* The target in s->text; false if it is empty. */
static bool
finish(struct alias_scan *s, struct alias_target *out)
{
	struct slice raw, unused;
	char scratch[ALIAS_TARGET_BYTES_MAX];

	while (s->len > 0 && is_blank(s->text[s->len - 1]))
		s->len--;
	raw = slice_trim(slice_of(s->text, s->len));
	s->len = 0;
	if (raw.len == 0)
		return false;
	out->line = s->first_line;
	if (unquote(raw, scratch, &unused))
		s->mistake = quoted_target(s, raw, out);
	else
		s->mistake = target_of(s, raw, out);
	return true;
}

static enum err
say(struct alias_scan *s, struct errtext *et)
{
	const char *mistake = s->mistake;

	s->mistake = NULL;
	s->len = 0;
	return err_set(et, ERR_CONFIG, "line %u: %s", s->first_line, mistake);
}

/* c, or the end (-1), ends what was collected: OK with *out, ERR_CONFIG, or
 * ERR_AGAIN if it was nothing. */
static enum err
end_target(struct alias_scan *s, struct alias_target *out, struct errtext *et)
{
	enum alias_scan_state state = s->state;

	s->state = ALIAS_SCAN_BEGIN;
	switch (state) {
	case ALIAS_SCAN_BEGIN:
	case ALIAS_SCAN_HASH: return ERR_AGAIN;
	case ALIAS_SCAN_QUOTED:
	case ALIAS_SCAN_ESCAPED:
	case ALIAS_SCAN_FOLD: s->mistake = "a quote is missing"; break;
	case ALIAS_SCAN_PAREN:
	case ALIAS_SCAN_PAREN_ESC:
		s->mistake = "a parenthesis is missing";
		break;
	case ALIAS_SCAN_ANGLE:
		s->mistake = "an angle bracket is missing";
		break;
	case ALIAS_SCAN_SKIP: break;
	case ALIAS_SCAN_BODY:
		if (!finish(s, out))
			return ERR_AGAIN;
		break;
	}
	return s->mistake != NULL ? say(s, et) : OK;
}

/* A quoted target goes on in a line that begins with a blank.  False: it
 * does not, and c is not taken. */
static bool
unfold(struct alias_scan *s, char c)
{
	if (!is_blank(c))
		return false;
	s->state = ALIAS_SCAN_QUOTED;
	return true;
}

static void
count_line(struct alias_scan *s, char c)
{
	if (c == '\n') {
		s->line++;
		s->line_begun = false;
	} else if (!is_blank(c)) {
		s->line_begun = true;
	}
}

enum err
alias_scan_next(struct alias_scan *s, struct slice *in, bool last,
    struct alias_target *out, struct errtext *et)
{
	enum err e;

	while (in->len > 0) {
		char c = in->data[0];

		if (s->state == ALIAS_SCAN_FOLD && !unfold(s, c)) {
			e = end_target(s, out, et);
			if (e != ERR_AGAIN)
				return e;
			continue;
		}
		*in = slice_sub(*in, 1, in->len);
		if (is_end(c) && (s->state == ALIAS_SCAN_BODY ||
				     s->state == ALIAS_SCAN_SKIP)) {
			e = end_target(s, out, et);
			count_line(s, c);
			if (e != ERR_AGAIN)
				return e;
			continue;
		}
		if (s->state != ALIAS_SCAN_FOLD)
			s->state = step(s, c);
		count_line(s, c);
		/* The mistake may have been the end of the line. */
		if (c == '\n' && s->state == ALIAS_SCAN_SKIP)
			return end_target(s, out, et);
	}
	if (!last)
		return ERR_AGAIN;
	e = end_target(s, out, et);
	return e == ERR_AGAIN ? ERR_NOTFOUND : e;
}
