/*
 * options: one word after the other, as getopt does, but without a state of
 * the process and with texts that say what is wrong.
 */
#include "sendmail/options.h"

#include <string.h>

#include "base/slice.h"
#include "proto/envelope.h"

/* Options with a value, in the same word or the next. */
static const char with_value[] = "ABCFLNORVXbcefhopr";
/* Without, and of no meaning to Weir: verbosity, "me too", queueing. */
static const char ignored[] = "GTUmnvx7";

struct words {
	int argc;
	char **argv;
	int at;
};

static enum err
parse_notify(const char *text, uint8_t *out, struct errtext *et)
{
	static const struct {
		const char *word;
		uint8_t flag;
	} words[] = {
		{ "never", NOTIFY_NEVER },
		{ "success", NOTIFY_SUCCESS },
		{ "failure", NOTIFY_FAILURE },
		{ "delay", NOTIFY_DELAY },
	};
	struct slice rest = slice_str(text), word;
	uint8_t flags = 0;
	size_t i;

	while (slice_word(&rest, ", ", &word)) {
		for (i = 0; i < ARRAY_LEN(words); i++)
			if (slice_eq_nocase(word, slice_str(words[i].word)))
				break;
		if (i == ARRAY_LEN(words))
			return err_set(et, ERR_SYNTAX,
			    "-N %s: not never, success, failure or delay",
			    text);
		flags |= words[i].flag;
	}
	if (flags == 0 || ((flags & NOTIFY_NEVER) && flags != NOTIFY_NEVER))
		return err_set(et, ERR_SYNTAX,
		    "-N %s: never stands alone (RFC 3461 4.1)", text);
	*out = flags;
	return OK;
}

static enum err
parse_ret(const char *text, uint8_t *out, struct errtext *et)
{
	if (slice_eq_nocase(slice_str(text), SLICE_LIT("full")))
		*out = RET_FULL;
	else if (slice_eq_nocase(slice_str(text), SLICE_LIT("hdrs")))
		*out = RET_HDRS;
	else
		return err_set(et, ERR_SYNTAX, "-R %s: not full or hdrs", text);
	return OK;
}

static enum err
parse_mode(const char *text, struct sendmail_options *o, struct errtext *et)
{
	switch (text[0]) {
	case 'm': o->mode = SENDMAIL_DELIVER; return OK;
	case 's': o->mode = SENDMAIL_SMTP; return OK;
	case 'p': o->mode = SENDMAIL_MAILQ; return OK;
	case 'i': o->mode = SENDMAIL_ALIASES; return OK;
	case 'd':
	case 'D':
	case 'l':
		return err_set(et, ERR_SYNTAX,
		    "-b%s: the server is started by \"weir run\"", text);
	case 'v':
		return err_set(et, ERR_SYNTAX,
		    "-bv: ask \"weir explain ADDRESS\" instead");
	default: return err_set(et, ERR_SYNTAX, "-b%s: unknown mode", text);
	}
}

/* An option with its value. */
static enum err
take_value(char letter, char *value, struct sendmail_options *o,
    struct errtext *et)
{
	switch (letter) {
	case 'b': return parse_mode(value, o, et);
	case 'C':
	case 'c': o->conf_path = value; break;
	case 'F': o->full_name = value; break;
	case 'f':
	case 'r': o->sender = value; break;
	case 'N': return parse_notify(value, &o->notify, et);
	case 'R': return parse_ret(value, &o->ret, et);
	case 'V': o->envid = value; break;
	case 'o':
		if (strcmp(value, "i") == 0)
			o->dot_is_data = true;
		break;
	default: break; /* of no meaning here */
	}
	return OK;
}

/* One word of options, "-tif" and the like. */
static enum err
take_word(struct words *w, struct sendmail_options *o, struct errtext *et)
{
	char *at = w->argv[w->at] + 1, letter;

	if (*at == '-')
		return err_set(et, ERR_SYNTAX, "unknown option %s",
		    w->argv[w->at]);
	for (; *at != '\0'; at++) {
		letter = *at;
		if (letter == 't') {
			o->from_header = true;
		} else if (letter == 'i') {
			o->dot_is_data = true;
		} else if (letter == 'I') {
			o->mode = SENDMAIL_ALIASES;
		} else if (letter == 'q') {
			/* -q30m, -qRdomain: the server runs its queue itself.
			 */
			if (at[1] != '\0')
				return err_set(et, ERR_SYNTAX,
				    "-q%s: only -q, which retries everything",
				    at + 1);
			o->mode = SENDMAIL_FLUSH;
		} else if (strchr(with_value, letter) != NULL) {
			if (at[1] != '\0')
				return take_value(letter, at + 1, o, et);
			if (++w->at == w->argc)
				return err_set(et, ERR_SYNTAX,
				    "option -%c needs a value", letter);
			return take_value(letter, w->argv[w->at], o, et);
		} else if (strchr(ignored, letter) == NULL) {
			return err_set(et, ERR_SYNTAX, "unknown option -%c",
			    letter);
		}
	}
	return OK;
}

enum err
sendmail_options_parse(int argc, char **argv, struct sendmail_options *out,
    struct errtext *et)
{
	struct words w = { argc, argv, 0 };
	bool options_over = false;
	enum err e;

	*out = (struct sendmail_options){ .recipients = argv };
	for (; w.at < argc; w.at++) {
		if (!options_over && strcmp(argv[w.at], "--") == 0) {
			options_over = true;
		} else if (!options_over && argv[w.at][0] == '-' &&
			   argv[w.at][1] != '\0') {
			e = take_word(&w, out, et);
			if (e != OK)
				return e;
		} else {
			/* Never ahead of the word that is read. */
			out->recipients[out->recipient_count++] = argv[w.at];
		}
	}
	return OK;
}
