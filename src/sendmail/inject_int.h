/*
 * inject_int: one run of qmail-inject, shared by its files.
 */
#pragma once

#include "base/buf.h"
#include "sendmail/head.h"
#include "sendmail/message.h"
#include "sendmail/qmail_inject.h"
#include "sendmail/qualify.h"

enum {
	INJECT_RAW_BYTES = 2 * ADDRESS_BYTES_MAX,
	INJECT_ID_BYTES = HOST_BYTES_MAX + 80,
	INJECT_NAME_BYTES_MAX = 255,
	INJECT_LISTS_BYTES_MAX = 65536,
};

struct inject {
	const struct inject_options *o;
	const struct conf *conf;
	struct acct *acct;
	struct qualify q;
	const char *letters; /* $QMAILINJECT */
	struct message m;    /* header and body as they come and go */
	struct head_facts facts;
	struct buf envelope; /* recipients, as qmail-queue wants them */
	size_t rcpt_count;
	bool any_to;	     /* a To or Cc field (their Resent- forms) */
	bool has_sender;     /* -f, or a Return-Path field */
	bool from_path;	     /* the latter */
	struct slice lists;  /* of $QMAILMFTFILE; or empty */
	struct buf followup; /* addresses of To and Cc, while there are lists */
	bool to_list;	     /* one of them is a list */
	bool has_followup;   /* such a field is there, or would be too long */
	char sender[INJECT_RAW_BYTES];
	char from[ADDRESS_BYTES_MAX + 1];
	char date[64], id[INJECT_ID_BYTES];
	struct errtext et;
};

/* ---- inject_sender.c ---- */

/* The first of these variables (ended by NULL) that is set and not empty. */
const char *inject_variable(const char *const *names, const char *otherwise);
#define INJECT_VARIABLE(otherwise, ...) \
	inject_variable((const char *const[]){ __VA_ARGS__, NULL }, otherwise)
/* A letter of $QMAILINJECT. */
bool inject_has_letter(const struct inject *x, char letter);
/* Is it an address?  A header_address_fn; arg is not used. */
enum err inject_look_at(void *arg, struct slice address);
/* x->sender becomes this address; a header_address_fn. */
enum err inject_set_sender(void *arg, struct slice address);
/* x->date and x->id. */
void inject_tell_time(struct inject *x);
/* x->from, and x->sender unless a Return-Path field said it.  ERR_SYNTAX or
 * ERR_TOOBIG with x->et. */
MUST_CHECK enum err inject_find_sender(struct inject *x);

/* ---- inject_lists.c ---- */

/* $QMAILMFTFILE, if it is set and there.  Errors with x->et. */
MUST_CHECK enum err inject_lists_read(struct inject *x);
/* An address of To or Cc; a header_address_fn. */
enum err inject_lists_look(void *arg, struct slice address);
/* Mail-Followup-To, if it is due.  Errors of the header's buf. */
MUST_CHECK enum err inject_lists_add(struct inject *x);

/* ---- inject_queue.c ---- */

/* The message with the line ends of this system; false: errno, or it cannot be
 * read. */
bool inject_write_message(struct inject *x, int fd);
/* Run qmail-queue, and wait: an exit status, with x->et. */
int inject_run_queue(struct inject *x, const char *drop_program);
