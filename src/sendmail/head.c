/*
 * head: fields of a header in memory.
 */
#include "sendmail/head.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* RFC 5322 2.2: printable, not a colon. */
static bool
is_name_char(char c)
{
	return c > ' ' && c < 127 && c != ':';
}

/* ---- where the header ends ---- */

enum line_kind { LINE_UNKNOWN, LINE_FIELD, LINE_OTHER };

/* The separator of an mbox, which some programs leave in front. */
static bool
is_mbox_line(struct slice line)
{
	size_t i = 5;

	if (line.len < 5 || memcmp(line.data, "From ", 5) != 0)
		return false;
	while (i < line.len && is_blank(line.data[i]))
		i++;
	return i < line.len && line.data[i] != ':';
}

/* By its beginning, which may be all that is there yet. */
static enum line_kind
kind_of_line(const struct head_scan *s, struct slice line, bool over)
{
	size_t i;

	if (line.len > 0 && is_blank(line.data[0]))
		return s->fields ? LINE_FIELD : LINE_OTHER;
	if (s->line_start == 0 && is_mbox_line(line))
		return LINE_FIELD;
	for (i = 0; i < line.len && i <= HEAD_NAME_BYTES_MAX; i++)
		if (!is_name_char(line.data[i]))
			break;
	if (i > HEAD_NAME_BYTES_MAX)
		return LINE_OTHER;
	/* RFC 5322 4.5: blanks before the colon. */
	while (i > 0 && i < line.len && is_blank(line.data[i]))
		i++;
	if (i == line.len && !over)
		return LINE_UNKNOWN;
	return i > 0 && i < line.len && line.data[i] == ':' ? LINE_FIELD
							    : LINE_OTHER;
}

void
head_scan_init(struct head_scan *s)
{
	*s = (struct head_scan){ .found = false };
}

bool
head_scan_more(struct head_scan *s, struct slice all, bool over)
{
	struct slice rest;
	enum line_kind kind;
	size_t eol;

	while (!s->found) {
		rest = slice_sub(all, s->line_start, all.len);
		if (rest.len == 0 && !over)
			return false;
		kind = rest.len == 0 ? LINE_OTHER : kind_of_line(s, rest, over);
		if (kind == LINE_UNKNOWN)
			return false;
		if (kind == LINE_OTHER) {
			s->end = s->line_start;
			s->found = true;
			break;
		}
		eol = slice_find(rest, '\n');
		if (eol == rest.len && !over)
			return false;
		if (s->line_start > 0 || !is_mbox_line(rest))
			s->fields = true;
		s->line_start += eol < rest.len ? eol + 1 : eol;
	}
	return true;
}

/* ---- fields ---- */

/* Bytes of the field at the beginning of s, with what continues it. */
static size_t
field_bytes(struct slice s)
{
	size_t at = 0;

	do {
		at += slice_find(slice_sub(s, at, s.len), '\n') + 1;
	} while (at < s.len && is_blank(s.data[at]));
	return at < s.len ? at : s.len;
}

bool
head_next(struct slice *rest, struct head_field *out)
{
	size_t n, colon;

	while (rest->len > 0) {
		n = field_bytes(*rest);
		out->all = slice_sub(*rest, 0, n);
		*rest = slice_sub(*rest, n, rest->len);
		colon = slice_find(out->all, ':');
		out->name = slice_trim(slice_sub(out->all, 0, colon));
		out->body = slice_sub(out->all, colon + 1, n);
		if (colon < n && slice_find(out->name, ' ') == out->name.len)
			return true;
	}
	return false;
}

static bool
is(const struct head_field *f, const char *name)
{
	return slice_eq_nocase(f->name, slice_str(name));
}

void
head_look(struct slice header, struct head_facts *out)
{
	struct head_field f;

	*out = (struct head_facts){ .has_from = false };
	while (head_next(&header, &f)) {
		out->has_from |= is(&f, "From");
		out->has_date |= is(&f, "Date");
		out->has_message_id |= is(&f, "Message-ID");
		out->has_resent_from |= is(&f, "Resent-From");
		out->has_resent_date |= is(&f, "Resent-Date");
		out->has_resent_message_id |= is(&f, "Resent-Message-ID");
		out->resent |=
		    slice_starts_nocase(f.name, SLICE_LIT("Resent-"));
	}
}

static bool
names_recipients(const struct head_field *f, bool resent)
{
	if (resent)
		return is(f, "Resent-To") || is(f, "Resent-Cc") ||
		       is(f, "Resent-Bcc");
	return is(f, "To") || is(f, "Cc") || is(f, "Bcc");
}

enum err
head_recipients(struct slice header, const struct head_facts *facts,
    int64_t token_max, header_address_fn *fn, void *arg, struct errtext *et)
{
	struct header_addresses h;
	struct head_field f;
	enum err e;

	while (head_next(&header, &f)) {
		if (!names_recipients(&f, facts->resent))
			continue;
		header_addresses_init(&h, fn, arg);
		h.token_max = token_max;
		e = header_addresses_feed(&h, f.body);
		if (e == OK)
			e = header_addresses_end(&h);
		if (token_max > 0 && h.token_count > token_max)
			return err_set(et, e,
			    "the field %.*s has more than %lld words and "
			    "signs (header_address_token_limit)",
			    SLICE_ARGS(f.name), (long long)token_max);
		if (e == ERR_SYNTAX || e == ERR_TOOBIG)
			return err_set(et, e,
			    "the field %.*s holds no valid list of addresses",
			    SLICE_ARGS(f.name));
		if (e != OK)
			return e;
	}
	return OK;
}

static bool
must_go(const struct head_field *f)
{
	return is(f, "Bcc") || is(f, "Resent-Bcc") || is(f, "Return-Path") ||
	       is(f, "Content-Length");
}

enum err
head_rewrite(struct slice header, struct buf *out)
{
	struct head_field f;
	enum err e;

	while (head_next(&header, &f)) {
		if (must_go(&f))
			continue;
		e = buf_put(out, f.all);
		/* The very last line of a message may lack its end. */
		if (e == OK && f.all.data[f.all.len - 1] != '\n')
			e = buf_put(out, SLICE_LIT("\r\n"));
		if (e != OK)
			return e;
	}
	return OK;
}

/* ---- what is missing ---- */

/* A full name as a phrase: quoted, or as an encoded word (RFC 2047) when it
 * is not ASCII.  Cut where it would become longer than a line may be. */
static enum err
put_phrase(struct slice name, struct buf *out)
{
	static const char hex[] = "0123456789ABCDEF";
	char text[256];
	size_t i, n = 0;
	bool ascii = true;
	unsigned char c;

	for (i = 0; i < name.len; i++) {
		c = (unsigned char)name.data[i];
		if (c < ' ' || c == 127)
			return ERR_SYNTAX;
		ascii &= c < 127;
	}
	text[n++] = ascii ? '"' : '=';
	if (!ascii) {
		memcpy(text + n, "?utf-8?q?", 9);
		n += 9;
	}
	for (i = 0; i < name.len && n < (ascii ? sizeof(text) - 8 : 70); i++) {
		c = (unsigned char)name.data[i];
		if (ascii) {
			if (c == '"' || c == '\\')
				text[n++] = '\\';
			text[n++] = (char)c;
		} else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			   (c >= '0' && c <= '9')) {
			text[n++] = (char)c;
		} else {
			text[n++] = '=';
			text[n++] = hex[c >> 4];
			text[n++] = hex[c & 15];
		}
	}
	memcpy(text + n, ascii ? "\" " : "?= ", ascii ? 2 : 3);
	return buf_put(out, slice_of(text, n + (ascii ? 2 : 3)));
}

static enum err
put_from(const char *prefix, const struct head_added *a, struct buf *out)
{
	char text[ADDRESS_BYTES_MAX + 8];
	enum err e;
	int n;

	e = buf_put(out, slice_str(prefix));
	if (e == OK)
		e = buf_put(out, SLICE_LIT("From: "));
	if (e == OK && a->full_name.len > 0)
		e = put_phrase(a->full_name, out);
	if (e != OK)
		return e;
	n = snprintf(text, sizeof(text), "<%.*s>\r\n", SLICE_ARGS(a->from));
	ASSERT(n > 0 && (size_t)n < sizeof(text));
	return buf_put(out, slice_of(text, (size_t)n));
}

static enum err
put_field(const char *prefix, const char *name, struct slice value,
    struct buf *out)
{
	enum err e = buf_put(out, slice_str(prefix));

	if (e == OK)
		e = buf_put(out, slice_str(name));
	if (e == OK)
		e = buf_put(out, SLICE_LIT(": "));
	if (e == OK)
		e = buf_put(out, value);
	return e == OK ? buf_put(out, SLICE_LIT("\r\n")) : e;
}

enum err
head_add(const struct head_facts *facts, const struct head_added *a,
    struct buf *out)
{
	enum err e = OK;

	if (!facts->has_from)
		e = put_from("", a, out);
	if (e == OK && !facts->has_date)
		e = put_field("", "Date", a->date, out);
	if (e == OK && !facts->has_message_id)
		e = put_field("", "Message-ID", a->message_id, out);
	if (!facts->resent)
		return e;
	if (e == OK && !facts->has_resent_from)
		e = put_from("Resent-", a, out);
	if (e == OK && !facts->has_resent_date)
		e = put_field("Resent-", "Date", a->date, out);
	if (e == OK && !facts->has_resent_message_id)
		e = put_field("Resent-", "Message-ID", a->message_id, out);
	return e;
}
