/*
 * inject_options: the command lines of qmail-inject, and of sendmail in its
 * manner.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sendmail/qmail_inject.h"

enum { MAIL_NAME_BYTES = 512 };

/* The value of an option at *at: the rest of its word, or the next word. */
static const char *
value_of(int argc, char **argv, int *word, const char *at)
{
	if (at[1] != '\0')
		return at + 1;
	if (*word + 1 == argc)
		return NULL;
	return argv[++*word];
}

/* True while words are options: "-" alone is none, "--" ends them. */
static bool
is_option(int argc, char **argv, int *word)
{
	if (*word == argc || argv[*word][0] != '-' || argv[*word][1] == '\0')
		return false;
	if (strcmp(argv[*word], "--") != 0)
		return true;
	++*word;
	return false;
}

static void
take_words(struct inject_options *out, int argc, char **argv, int word)
{
	out->recipients = argv + word;
	out->recipient_count = (size_t)(argc - word);
}

enum err
inject_options_parse(int argc, char **argv, struct inject_options *out)
{
	int word = 0;

	*out = (struct inject_options){ .to = INJECT_ARGS_OR_HEADER };
	for (; is_option(argc, argv, &word); word++) {
		const char *at = argv[word] + 1;

		for (; *at != '\0'; at++) {
			switch (*at) {
			case 'a': out->to = INJECT_ARGS; break;
			case 'h': out->to = INJECT_HEADER; break;
			case 'H': out->to = INJECT_BOTH; break;
			case 'A': out->to = INJECT_ARGS_OR_HEADER; break;
			case 'n': out->print = true; break;
			case 'N': out->print = false; break;
			case 'f':
				out->sender = value_of(argc, argv, &word, at);
				break;
			default: return ERR_SYNTAX;
			}
			if (*at == 'f')
				break;
		}
		if (*at == 'f' && out->sender == NULL)
			return ERR_SYNTAX;
	}
	take_words(out, argc, argv, word);
	return OK;
}

/* -f also says who writes: joe@host is QMAILUSER and QMAILHOST. */
static enum err
set_user(const char *sender)
{
	char user[MAIL_NAME_BYTES];
	const char *at = strrchr(sender, '@');
	size_t len = at != NULL ? (size_t)(at - sender) : strlen(sender);

	if (!slice_copy(slice_of(sender, len), user, sizeof(user)))
		return ERR_SYNTAX;
	if (setenv("QMAILUSER", user, 1) != 0 ||
	    (at != NULL && setenv("QMAILHOST", at + 1, 1) != 0))
		return ERR_NOMEM;
	return OK;
}

static enum err
set_mode(const char *text, enum qmail_sendmail_mode *mode)
{
	switch (text[0]) {
	case 'm': *mode = QMAIL_SENDMAIL_INJECT; return OK;
	case 's': *mode = QMAIL_SENDMAIL_SMTP; return OK;
	case 'p': *mode = QMAIL_SENDMAIL_QREAD; return OK;
	default: return ERR_SYNTAX;
	}
}

static enum err
set_value(char letter, const char *value, struct inject_options *out,
    enum qmail_sendmail_mode *mode)
{
	if (value == NULL)
		return ERR_SYNTAX;
	switch (letter) {
	case 'f':
	case 'r': out->sender = value; return set_user(value);
	case 'F': return setenv("QMAILNAME", value, 1) == 0 ? OK : ERR_NOMEM;
	case 'b': return set_mode(value, mode);
	default: return OK; /* of no meaning here */
	}
}

enum err
qmail_sendmail_parse(int argc, char **argv, struct inject_options *out,
    enum qmail_sendmail_mode *mode_out)
{
	int word = 0;

	*out = (struct inject_options){ .to = INJECT_ARGS };
	*mode_out = QMAIL_SENDMAIL_INJECT;
	for (; is_option(argc, argv, &word); word++) {
		const char *at = argv[word] + 1;

		for (; *at != '\0'; at++) {
			if (*at == 't') {
				out->to = INJECT_BOTH;
			} else if (strchr("frFbopBEJ", *at) != NULL) {
				char letter = *at;
				enum err e = set_value(letter,
				    value_of(argc, argv, &word, at), out,
				    mode_out);

				if (e != OK)
					return e;
				break;
			} else if (strchr("ivxme", *at) == NULL) {
				return ERR_SYNTAX;
			}
		}
	}
	take_words(out, argc, argv, word);
	return OK;
}
