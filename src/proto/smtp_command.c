/*
 * smtp_command: verbs and the form of a line.
 */
#include "proto/smtp_command.h"

#include "base/assert.h"
#include "base/err.h"

static const struct {
	const char *lower, *upper;
} names[SMTP_VERB_COUNT] = {
	[SMTP_HELO] = { "helo", "HELO" },
	[SMTP_EHLO] = { "ehlo", "EHLO" },
	[SMTP_LHLO] = { "lhlo", "LHLO" },
	[SMTP_MAIL] = { "mail", "MAIL" },
	[SMTP_RCPT] = { "rcpt", "RCPT" },
	[SMTP_DATA] = { "data", "DATA" },
	[SMTP_BDAT] = { "bdat", "BDAT" },
	[SMTP_RSET] = { "rset", "RSET" },
	[SMTP_NOOP] = { "noop", "NOOP" },
	[SMTP_VRFY] = { "vrfy", "VRFY" },
	[SMTP_HELP] = { "help", "HELP" },
	[SMTP_QUIT] = { "quit", "QUIT" },
	[SMTP_OTHER] = { "other", "OTHER" },
	[SMTP_UNKNOWN] = { "unknown", "UNKNOWN" },
};

/* Verbs that clients may know from elsewhere: 502, not 500 (RFC 5321
 * 4.2.4). */
static const char *const others[] = { "EXPN", "ETRN", "TURN", "ATRN", "SEND",
	"SOML", "SAML", "AUTH", "STARTTLS" };

const char *
smtp_verb_name(enum smtp_verb v)
{
	ASSERT(v < SMTP_VERB_COUNT);
	return names[v].lower;
}

const char *
smtp_verb_upper(enum smtp_verb v)
{
	ASSERT(v < SMTP_VERB_COUNT);
	return names[v].upper;
}

static enum smtp_verb
verb_of(struct slice word)
{
	for (unsigned v = 0; v < SMTP_OTHER; v++)
		if (slice_eq_nocase(word, slice_of(names[v].upper, 4)))
			return (enum smtp_verb)v;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (slice_eq_nocase(word, slice_str(others[i])))
			return SMTP_OTHER;
	return SMTP_UNKNOWN;
}

bool
smtp_command_parse(struct slice line, struct smtp_command *out)
{
	struct slice word = { line.data, 0 };

	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.data[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	line = slice_trim(line);
	if (line.len == 0)
		return false;
	word.data = line.data;
	while (word.len < line.len && line.data[word.len] != ' ' &&
	       line.data[word.len] != '\t')
		word.len++;
	out->verb = verb_of(word);
	out->arg = slice_trim(slice_sub(line, word.len, line.len));
	return true;
}

bool
smtp_bdat_parse(struct slice arg, uint64_t *count_out, bool *last_out)
{
	struct slice count, last;

	if (!slice_word(&arg, " \t", &count) ||
	    !slice_to_u64(count, INT64_MAX, count_out))
		return false;
	*last_out = slice_word(&arg, " \t", &last);
	if (*last_out && !slice_eq_nocase(last, SLICE_LIT("LAST")))
		return false;
	return slice_trim(arg).len == 0;
}
