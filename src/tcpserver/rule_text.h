/*
 * rule_text: one line of a rules file, as tcprules reads it:
 *	ADDRESS:allow|deny[,VAR="VALUE"]...
 *
 * ADDRESS may hold one range of numbers: 10.0.0.7-9, 10.2-3. ; an address with
 * @ or = in it does not.  An IPv6 address is written as it is, also in square
 * brackets, and may have the length of a prefix behind it: 2001:db8::/32.
 *
 * The quote is whatever follows the equals sign, up to its next occurrence.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

enum { RULE_LINE_BYTES_MAX = 65536, RULE_KEY_BYTES_MAX = 512 };

struct rule {
	struct slice address; /* in the line; brackets taken off */
	unsigned low, high;   /* of the range */
	size_t range_at;      /* its place in address ... */
	size_t range_len;     /* ... and length; 0: no range */
	char key[RULE_KEY_BYTES_MAX];
	size_t data_len;
	char data[RULE_LINE_BYTES_MAX]; /* as in the cdb */
};

/* A line without the blanks at its end. */
struct slice rule_trim(struct slice line);

/*
 * rule_parse(line, rule_out):
 * line was trimmed and is borrowed while the rule is used.
 *
 * OK; ERR_NOTFOUND if there is no rule in it: empty, a comment, or (colon_out
 * false) text without a colon; ERR_SYNTAX.
 */
MUST_CHECK enum err rule_parse(struct slice line, struct rule *rule_out,
    bool *colon_out);

/* The n-th key of the rule, n in [0, rule_key_count); valid until the next
 * call. */
unsigned rule_key_count(const struct rule *r);
struct slice rule_key(struct rule *r, unsigned n);
