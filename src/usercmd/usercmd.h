/*
 * usercmd: the commands for users and their .qmail files: maildirmake,
 * maildir2mbox, mbox2maildir, forward, bouncesaying, condredirect, except,
 * preline.
 *
 * Each takes the words behind its name and returns its exit status: 0, 99
 * (condredirect: redirected), 100 for a permanent error, 111 for a temporary
 * one.  Messages go to standard error as "NAME: fatal: TEXT".  They run as the
 * user, between his shell and his mail; memory is charged to u->acct.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

struct conf;

enum {
	USERCMD_OK = 0,
	USERCMD_DONE = 99, /* delivered; the lines below do not count */
	USERCMD_PERM = 100,
	USERCMD_TEMP = 111,
};

struct usercmd {
	const char *name; /* "forward" */
	struct acct *acct;
	/* The configuration, or NULL after a message; for those who send. */
	const struct conf *(*conf)(void *arg);
	void *arg;
	char **words; /* words[count] is NULL */
	int count;
};

/* forward address...: the message on standard input, with $DTLINE in front,
 * from $NEWSENDER. */
int usercmd_forward(struct usercmd *u);
/* condredirect address program [arg...]: to the address, from $SENDER, if
 * program exits 0. */
int usercmd_condredirect(struct usercmd *u);
/* bouncesaying text [program [arg...]]: refuse, if program exits 0. */
int usercmd_bouncesaying(struct usercmd *u);
/* except program [arg...]: the reverse of program. */
int usercmd_except(struct usercmd *u);
/* preline [-fFrRdD] program [arg...]: the program's input gets $UFLINE,
 * $RPLINE and $DTLINE in front. */
int usercmd_preline(struct usercmd *u);
/* maildirmake directory */
int usercmd_maildirmake(struct usercmd *u);
/* maildir2mbox: all of $MAILDIR to the end of $MAIL, by way of $MAILTMP. */
int usercmd_maildir2mbox(struct usercmd *u);
/* mbox2maildir [mbox maildir]: all of $MAIL into $MAILDIR. */
int usercmd_mbox2maildir(struct usercmd *u);
