/*
 * options: the command line of sendmail.
 *
 * Words are taken as they are and never parsed again; "--" ends the options.
 * What other sendmails know and Weir has no use for is accepted in silence,
 * what would need an answer that Weir cannot give is refused with a text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum sendmail_mode {
	SENDMAIL_DELIVER, /* -bm: a message on standard input */
	SENDMAIL_SMTP,	  /* -bs: SMTP on standard input and output */
	SENDMAIL_MAILQ,	  /* -bp */
	SENDMAIL_FLUSH,	  /* -q */
	SENDMAIL_ALIASES, /* -bi, -I: nothing to rebuild */
};

struct sendmail_options {
	enum sendmail_mode mode;
	bool from_header;      /* -t */
	bool dot_is_data;      /* -i, -oi: a lone dot ends nothing */
	bool all_or_drop;      /* unless all recipients are taken, drop it: the
				  queue tells the sender of the others */
	const char *sender;    /* -f, -r; NULL: the user */
	const char *full_name; /* -F; NULL: from the user database */
	const char *envid;     /* -V, as given; NULL: none */
	uint8_t notify;	       /* -N: enum envelope_notify */
	uint8_t ret;	       /* -R: enum envelope_ret */
	const char *conf_path; /* -C, -c; NULL: the default */
	char **recipients;     /* the words; borrowed */
	size_t recipient_count;
};

/*
 * sendmail_options_parse(argc, argv, out, et):
 * argv without the command's name; its words may be moved.  Everything in out
 * is borrowed from it.  ERR_SYNTAX (exit status 64) with et.
 */
MUST_CHECK enum err sendmail_options_parse(int argc, char **argv,
    struct sendmail_options *out, struct errtext *et);
