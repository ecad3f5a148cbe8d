/*
 * address: the grammar of RFC 5321 4.1.2, read from left to right once.
 *
 * A parse copies into the caller's buffer while it reads, so that the
 * canonical text exists at the end or not at all.
 */
#include "proto/address.h"

#include "base/assert.h"

/* The bytes still to be read and the text made so far. */
struct parse {
	struct slice in;
	unsigned allow;
	char *out; /* ADDRESS_BYTES_MAX bytes */
	size_t len;
	bool utf8; /* a byte above 127 was seen */
};

/* RFC 5322 3.2.3 */
static bool
is_atext(unsigned char c)
{
	static const char special[] = "!#$%&'*+-/=?^_`{|}~";

	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') ||
	       (c != '\0' && memchr(special, c, sizeof(special) - 1) != NULL);
}

static bool
is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

static void
skip(struct slice *s, size_t n)
{
	s->data += n;
	s->len -= n;
}

static enum err
put(struct parse *p, const char *bytes, size_t n)
{
	if (n > ADDRESS_BYTES_MAX - p->len)
		return ERR_TOOBIG;
	memcpy(p->out + p->len, bytes, n);
	p->len += n;
	return OK;
}

/* Copy one UTF-8 character that stands at the front of the input. */
static enum err
copy_utf8(struct parse *p)
{
	size_t n = utf8_char(p->in);
	enum err e;

	if (n == 0)
		return ERR_SYNTAX;
	if (!(p->allow & ADDRESS_UTF8))
		return ERR_UNSUPPORTED;
	p->utf8 = true;
	if ((e = put(p, p->in.data, n)) != OK)
		return e;
	skip(&p->in, n);
	return OK;
}

/* Atoms with single dots between them. */
static enum err
dot_string(struct parse *p)
{
	bool after_dot = true;
	enum err e;

	while (p->in.len > 0) {
		unsigned char c = (unsigned char)*p->in.data;

		if (c >= 0x80) {
			if ((e = copy_utf8(p)) != OK)
				return e;
			after_dot = false;
			continue;
		}
		if (c != '.' && !is_atext(c))
			break;
		if (c == '.' && after_dot)
			return ERR_SYNTAX;
		after_dot = c == '.';
		if ((e = put(p, p->in.data, 1)) != OK)
			return e;
		skip(&p->in, 1);
	}
	return after_dot ? ERR_SYNTAX : OK;
}

/* A quoted string, its meaning copied without quotes and backslashes. */
static enum err
quoted_string(struct parse *p)
{
	enum err e;

	skip(&p->in, 1);
	while (p->in.len > 0) {
		unsigned char c = (unsigned char)*p->in.data;

		if (c == '"') {
			skip(&p->in, 1);
			return OK;
		}
		if (c == '\\') {
			skip(&p->in, 1);
			if (p->in.len == 0)
				break;
			c = (unsigned char)*p->in.data;
			if (c >= 0x80)
				return ERR_SYNTAX;
		}
		if (c >= 0x80) {
			if ((e = copy_utf8(p)) != OK)
				return e;
			continue;
		}
		if (is_control(c))
			return ERR_SYNTAX;
		if ((e = put(p, p->in.data, 1)) != OK)
			return e;
		skip(&p->in, 1);
	}
	return ERR_SYNTAX;
}

static bool
is_dot_string(struct slice raw)
{
	bool after_dot = true;

	for (size_t i = 0; i < raw.len; i++) {
		unsigned char c = (unsigned char)raw.data[i];

		if (c == '.' ? after_dot : (c < 0x80 && !is_atext(c)))
			return false;
		after_dot = c == '.';
	}
	return !after_dot;
}

bool
address_local_quote(struct slice raw, char buf[static LOCAL_PART_BYTES_MAX],
    size_t *len_out)
{
	bool quote = !is_dot_string(raw);
	size_t len = 0;

	if (raw.len == 0)
		return false;
	if (quote)
		buf[len++] = '"';
	for (size_t i = 0; i < raw.len; i++) {
		char c = raw.data[i];
		bool escape = c == '"' || c == '\\';

		if (is_control((unsigned char)c))
			return false;
		/* With the escape and the quote at the end. */
		if (len + 1 + escape + quote > LOCAL_PART_BYTES_MAX)
			return false;
		if (escape)
			buf[len++] = '\\';
		buf[len++] = c;
	}
	if (quote)
		buf[len++] = '"';
	*len_out = len;
	return true;
}

bool
address_local_unquote(struct slice local, char buf[static LOCAL_PART_BYTES_MAX],
    size_t *len_out)
{
	char text[ADDRESS_BYTES_MAX];
	struct parse p = { .in = local, .allow = ADDRESS_UTF8, .out = text };
	enum err e;

	if (local.len == 0)
		return false;
	e = local.data[0] == '"' ? quoted_string(&p) : dot_string(&p);
	if (e != OK || p.in.len != 0 || p.len == 0 ||
	    p.len > LOCAL_PART_BYTES_MAX)
		return false;
	memcpy(buf, text, p.len);
	*len_out = p.len;
	return true;
}

/* The local part: read its meaning, then write its canonical form. */
static enum err
local_part(struct parse *p)
{
	char quoted[LOCAL_PART_BYTES_MAX];
	size_t start = p->len, len;
	enum err e;

	if (p->in.len > 0 && *p->in.data == '"')
		e = quoted_string(p);
	else
		e = dot_string(p);
	if (e != OK)
		return e;
	if (p->len == start)
		return ERR_SYNTAX;
	if (!address_local_quote(slice_of(p->out + start, p->len - start),
		quoted, &len))
		return ERR_TOOBIG;
	p->len = start;
	return put(p, quoted, len);
}

static enum err
address_literal(struct parse *p)
{
	size_t n = slice_find(p->in, ']');
	struct slice literal = slice_sub(p->in, 0, n + 1);
	enum err e;

	if (n == p->in.len || !address_literal_valid(literal))
		return ERR_SYNTAX;
	if ((e = put(p, literal.data, literal.len)) != OK)
		return e;
	skip(&p->in, literal.len);
	return OK;
}

/* The bytes that may belong to a domain; what they mean is checked whole. */
static enum err
domain_name(struct parse *p)
{
	struct slice name = { p->in.data, 0 };
	enum err e;

	while (name.len < p->in.len &&
	       memchr(" \t<>@:,;\"\\[]()", p->in.data[name.len], 14) == NULL &&
	       !is_control((unsigned char)p->in.data[name.len]))
		name.len++;
	for (size_t i = 0; i < name.len && !p->utf8; i++)
		p->utf8 = (unsigned char)name.data[i] >= 0x80;
	skip(&p->in, name.len);
	if (name.len > 1 && name.data[name.len - 1] == '.')
		name.len--;
	if (name.len > DOMAIN_BYTES_MAX)
		return ERR_TOOBIG;
	if (!domain_valid(name, true))
		return ERR_SYNTAX;
	if (p->utf8 && !(p->allow & ADDRESS_UTF8))
		return ERR_UNSUPPORTED;
	if ((e = put(p, name.data, name.len)) != OK)
		return e;
	return OK;
}

/* local@domain at the front of the input; the rest stays there. */
static enum err
mailbox(struct parse *p, struct address *out)
{
	size_t local_len;
	enum err e;

	if ((e = local_part(p)) != OK)
		return e;
	local_len = p->len;
	*out = (struct address){ .local = { p->out, local_len } };
	if (p->in.len > 0 && *p->in.data == '@') {
		if ((e = put(p, "@", 1)) != OK)
			return e;
		skip(&p->in, 1);
		out->literal = p->in.len > 0 && *p->in.data == '[';
		e = out->literal ? address_literal(p) : domain_name(p);
		if (e != OK)
			return e;
		out->domain =
		    slice_of(p->out + local_len + 1, p->len - local_len - 1);
	} else if (!(p->allow & ADDRESS_BARE)) {
		return ERR_SYNTAX;
	}
	out->text = slice_of(p->out, p->len);
	out->utf8 = p->utf8;
	ASSERT(out->text.len <= ADDRESS_BYTES_MAX);
	return OK;
}

enum err
address_parse(struct slice in, unsigned allow,
    char buf[static ADDRESS_BYTES_MAX], struct address *out)
{
	struct parse p = { .in = in, .allow = allow, .out = buf };
	enum err e;

	if (in.len == 0) {
		*out = (struct address){ .text = { buf, 0 } };
		return allow & ADDRESS_NULL ? OK : ERR_SYNTAX;
	}
	if ((e = mailbox(&p, out)) != OK)
		return e;
	return p.in.len == 0 ? OK : ERR_SYNTAX;
}

/* "@a,@b:" in front of a mailbox: read and forgotten (RFC 5321 appendix C:
 * a server should ignore it). */
static enum err
source_route(struct parse *p)
{
	struct parse hop;
	enum err e;
	char drop[ADDRESS_BYTES_MAX];

	while (p->in.len > 0 && *p->in.data == '@') {
		hop = (struct parse){ .in = slice_sub(p->in, 1, p->in.len),
			.allow = p->allow,
			.out = drop };
		if (hop.in.len > 0 && *hop.in.data == '[')
			e = address_literal(&hop);
		else
			e = domain_name(&hop);
		if (e != OK)
			return e;
		p->in = hop.in;
		if (p->in.len == 0)
			return ERR_SYNTAX;
		if (*p->in.data == ':') {
			skip(&p->in, 1);
			return OK;
		}
		if (*p->in.data != ',')
			return ERR_SYNTAX;
		skip(&p->in, 1);
	}
	return ERR_SYNTAX;
}

enum err
address_parse_path(struct slice in, unsigned allow,
    char buf[static ADDRESS_BYTES_MAX], struct address *out,
    struct slice *rest_out)
{
	struct parse p = { .in = in, .allow = allow, .out = buf };
	bool bracket;
	enum err e;

	while (p.in.len > 0 && (*p.in.data == ' ' || *p.in.data == '\t'))
		skip(&p.in, 1);
	bracket = p.in.len > 0 && *p.in.data == '<';
	if (bracket)
		skip(&p.in, 1);
	if (bracket && p.in.len > 0 && *p.in.data == '>') {
		*out = (struct address){ .text = { buf, 0 } };
		e = allow & ADDRESS_NULL ? OK : ERR_SYNTAX;
	} else {
		e = OK;
		if (bracket && p.in.len > 0 && *p.in.data == '@')
			e = source_route(&p);
		if (e == OK)
			e = mailbox(&p, out);
	}
	if (e != OK)
		return e;
	if (bracket) {
		if (p.in.len == 0 || *p.in.data != '>')
			return ERR_SYNTAX;
		skip(&p.in, 1);
	}
	if (p.in.len > 0 && *p.in.data != ' ' && *p.in.data != '\t')
		return ERR_SYNTAX;
	*rest_out = p.in;
	return OK;
}

void
address_split(struct slice text, struct address *out)
{
	size_t at = slice_rfind(text, '@');

	*out = (struct address){ .text = text, .local = text };
	for (size_t i = 0; i < text.len && !out->utf8; i++)
		out->utf8 = (unsigned char)text.data[i] >= 0x80;
	/* In canonical form no domain holds a quote or an @, so the last @
	 * separates, unless it stands inside a quoted local part. */
	if (at == text.len || (text.len > 0 && text.data[text.len - 1] == '"'))
		return;
	out->local = slice_sub(text, 0, at);
	out->domain = slice_sub(text, at + 1, text.len);
	out->literal = out->domain.len > 0 && out->domain.data[0] == '[';
}
