/*
 * smtp_params: what MAIL and RCPT say, RFC 5321 4.1.1.11.
 *
 * Each parameter may come once.  Values are checked here and kept as they
 * are (xtext stays encoded), so that nothing later has to doubt them.
 */
#include "proto/smtp_command.h"

#include "base/err.h"
#include "proto/xtext.h"

struct param {
	struct slice name;
	struct slice value;
	bool has_value;
};

/* The parameters still to be read, and which were seen. */
struct params {
	struct slice rest;
	unsigned seen;
};

/* False at the end. */
static bool
next_param(struct params *p, struct param *out)
{
	struct slice word;
	size_t eq;

	if (!slice_word(&p->rest, " \t", &word))
		return false;
	eq = slice_find(word, '=');
	out->name = slice_sub(word, 0, eq);
	out->has_value = eq < word.len;
	out->value = slice_sub(word, eq + 1, word.len);
	return true;
}

static bool
is_named(const struct param *p, const char *name)
{
	return slice_eq_nocase(p->name, slice_str(name));
}

/* True the first time that this bit is seen. */
static bool
once(struct params *p, unsigned bit)
{
	bool first = !(p->seen & bit);

	p->seen |= bit;
	return first;
}

static enum smtp_fault
path_fault(enum err e)
{
	switch (e) {
	case OK: return SMTP_FAULT_NONE;
	case ERR_TOOBIG: return SMTP_FAULT_LONG;
	case ERR_UNSUPPORTED: return SMTP_FAULT_UTF8;
	default: return SMTP_FAULT_ADDRESS;
	}
}

/* ENVID: what the xtext means is printable ASCII (RFC 3461 4.4). */
static bool
envid_ok(struct slice value)
{
	char text[ENVID_BYTES_MAX];
	size_t len;

	if (value.len == 0 || value.len > ENVID_BYTES_MAX ||
	    !xtext_decode(value, text, sizeof(text), &len))
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

/* ORCPT: "rfc822;" xtext; RFC 6533 adds the type utf-8, unencoded under
 * SMTPUTF8.  What it means holds no control characters. */
static bool
orcpt_ok(struct slice value, bool utf8)
{
	char text[ORCPT_BYTES_MAX];
	size_t semicolon = slice_find(value, ';'), len;
	struct slice type = slice_sub(value, 0, semicolon);
	struct slice address = slice_sub(value, semicolon + 1, value.len);

	if (value.len > ORCPT_BYTES_MAX || type.len == 0 || address.len == 0)
		return false;
	for (size_t i = 0; i < type.len; i++) {
		char c = type.data[i];

		if (c <= ' ' || c > '~' || c == '+' || c == '=')
			return false;
	}
	if (utf8 && slice_eq_nocase(type, SLICE_LIT("utf-8")) &&
	    utf8_valid(address))
		return true;
	if (!xtext_decode(address, text, sizeof(text), &len))
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return true;
}

static enum smtp_fault
mail_param(struct params *ps, const struct param *p, struct smtp_mail *out)
{
	bool good;

	if (is_named(p, "SIZE")) {
		good = once(ps, 1) &&
		       slice_to_u64(p->value, INT64_MAX, &out->size_bytes);
	} else if (is_named(p, "BODY")) {
		out->body_8bitmime =
		    slice_eq_nocase(p->value, SLICE_LIT("8BITMIME"));
		good = once(ps, 2) &&
		       (out->body_8bitmime ||
			   slice_eq_nocase(p->value, SLICE_LIT("7BIT")));
	} else if (is_named(p, "SMTPUTF8")) {
		out->utf8 = true;
		good = once(ps, 4) && !p->has_value;
	} else if (is_named(p, "RET")) {
		if (slice_eq_nocase(p->value, SLICE_LIT("FULL")))
			out->ret = RET_FULL;
		else if (slice_eq_nocase(p->value, SLICE_LIT("HDRS")))
			out->ret = RET_HDRS;
		good = once(ps, 8) && out->ret != RET_NONE;
	} else if (is_named(p, "ENVID")) {
		out->envid = p->value;
		good = once(ps, 16) && envid_ok(p->value);
	} else {
		return SMTP_FAULT_UNSUPPORTED;
	}
	return good ? SMTP_FAULT_NONE : SMTP_FAULT_PARAMETER;
}

enum smtp_fault
smtp_mail_parse(struct slice arg, char buf[static ADDRESS_BYTES_MAX],
    struct smtp_mail *out)
{
	static const struct slice from = { "FROM:", 5 };
	struct params ps = { 0 };
	enum smtp_fault fault;
	struct param p;

	*out = (struct smtp_mail){ 0 };
	if (!slice_starts_nocase(arg, from))
		return SMTP_FAULT_SYNTAX;
	/* Whether UTF-8 may stand in the path is said after it. */
	fault = path_fault(address_parse_path(slice_sub(arg, from.len, arg.len),
	    ADDRESS_UTF8 | ADDRESS_NULL | ADDRESS_BARE, buf, &out->sender,
	    &ps.rest));
	if (fault != SMTP_FAULT_NONE)
		return fault;
	while (next_param(&ps, &p))
		if ((fault = mail_param(&ps, &p, out)) != SMTP_FAULT_NONE)
			return fault;
	return out->sender.utf8 && !out->utf8 ? SMTP_FAULT_UTF8
					      : SMTP_FAULT_NONE;
}

/* NEVER alone, or any of the others, each once (RFC 3461 4.1). */
static bool
notify_parse(struct slice value, uint8_t *notify_out)
{
	static const struct {
		struct slice word;
		uint8_t bit;
	} words[] = {
		{ { "NEVER", 5 }, NOTIFY_NEVER },
		{ { "SUCCESS", 7 }, NOTIFY_SUCCESS },
		{ { "FAILURE", 7 }, NOTIFY_FAILURE },
		{ { "DELAY", 5 }, NOTIFY_DELAY },
	};
	uint8_t set = 0;

	for (;;) {
		size_t comma = slice_find(value, ',');
		struct slice word = slice_sub(value, 0, comma);
		uint8_t bit = 0;

		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			if (slice_eq_nocase(word, words[i].word))
				bit = words[i].bit;
		if (bit == 0 || (set & bit))
			return false;
		set |= bit;
		if (comma == value.len)
			break;
		value = slice_sub(value, comma + 1, value.len);
	}
	*notify_out = set;
	return !(set & NOTIFY_NEVER) || set == NOTIFY_NEVER;
}

enum smtp_fault
smtp_rcpt_parse(struct slice arg, bool utf8, char buf[static ADDRESS_BYTES_MAX],
    struct smtp_rcpt *out)
{
	static const struct slice to = { "TO:", 3 };
	struct params ps = { 0 };
	enum smtp_fault fault;
	struct param p;

	*out = (struct smtp_rcpt){ 0 };
	if (!slice_starts_nocase(arg, to))
		return SMTP_FAULT_SYNTAX;
	fault = path_fault(address_parse_path(slice_sub(arg, to.len, arg.len),
	    ADDRESS_BARE | (utf8 ? ADDRESS_UTF8 : 0), buf, &out->rcpt,
	    &ps.rest));
	if (fault != SMTP_FAULT_NONE)
		return fault;
	while (next_param(&ps, &p)) {
		bool good;

		if (is_named(&p, "NOTIFY")) {
			good =
			    once(&ps, 1) && notify_parse(p.value, &out->notify);
		} else if (is_named(&p, "ORCPT")) {
			out->orcpt = p.value;
			good = once(&ps, 2) && orcpt_ok(p.value, utf8);
		} else {
			return SMTP_FAULT_UNSUPPORTED;
		}
		if (!good)
			return SMTP_FAULT_PARAMETER;
	}
	return SMTP_FAULT_NONE;
}
