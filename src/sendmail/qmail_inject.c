/*
 * qmail_inject: the header of a message completed, and the message handed to
 * qmail-queue.
 *
 * Happy path: read the header; make the addresses of its fields whole and take
 * recipients from them; leave out Bcc and the like; add what is missing; run
 * qmail-queue with message and envelope on pipes, and say what its exit code
 * means.
 *
 * Failure modes: a recipient of the command line that is no address, none at
 * all, or a header that is too long: 100; a field that is no list of addresses
 * is passed on as it is; anything else 111.  Nothing is handed over in part:
 * the envelope comes behind the message.
 */
#include "sendmail/qmail_inject.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/tool.h"
#include "conf/conf.h"
#include "sendmail/inject_int.h"
#include "sendmail/qmail_queue.h"

/* ---- the environment ---- */

static void
read_environment(struct inject *x)
{
	const struct conf *c = x->conf;

	x->letters = INJECT_VARIABLE("", "QMAILINJECT");
	x->q = (struct qualify){
		.defaulthost = slice_str(
		    INJECT_VARIABLE(c->defaulthost, "QMAILDEFAULTHOST")),
		.defaultdomain = slice_str(
		    INJECT_VARIABLE(c->defaultdomain, "QMAILDEFAULTDOMAIN")),
		.plusdomain = slice_str(
		    INJECT_VARIABLE(c->plusdomain, "QMAILPLUSDOMAIN")),
	};
}

/* ---- recipients ---- */

static enum err
add_rcpt(void *arg, struct slice address)
{
	struct inject *x = arg;
	char raw[INJECT_RAW_BYTES];
	struct out o;
	enum err e;

	out_init(&o, raw, sizeof(raw));
	out_char(&o, 'T');
	if (!qualify_raw(address, &o))
		return ERR_SYNTAX;
	out_char(&o, '\0');
	e = buf_put(&x->envelope, out_text(&o));
	x->rcpt_count += e == OK;
	return e;
}

static enum err
take_words(struct inject *x)
{
	const struct inject_options *o = x->o;
	enum err e = OK;

	if (o->to == INJECT_HEADER)
		return OK;
	for (size_t i = 0; i < o->recipient_count && e == OK; i++) {
		e = qualify_list(&x->q, slice_str(o->recipients[i]), NULL,
		    add_rcpt, x);
		if (e != OK)
			err_set(&x->et, e, "recipient \"%s\": %s",
			    o->recipients[i], err_text(e));
	}
	return e;
}

static bool
wants_header_rcpts(const struct inject *x)
{
	switch (x->o->to) {
	case INJECT_ARGS: return false;
	case INJECT_ARGS_OR_HEADER: return x->o->recipient_count == 0;
	default: return true;
	}
}

/* ---- the header ---- */

enum { LIST = 1, RCPT = 2, RESENT = 4, GONE = 8, TO = 16, FROM = 32, ID = 64 };

static const struct {
	const char *name;
	unsigned flags;
} fields[] = {
	{ "To", LIST | RCPT | TO },
	{ "Cc", LIST | RCPT | TO },
	{ "Bcc", LIST | RCPT | GONE },
	{ "Apparently-To", LIST | RCPT },
	{ "Resent-To", LIST | RCPT | TO | RESENT },
	{ "Resent-Cc", LIST | RCPT | TO | RESENT },
	{ "Resent-Bcc", LIST | RCPT | GONE | RESENT },
	{ "From", LIST | FROM },
	{ "Sender", LIST },
	{ "Reply-To", LIST },
	{ "Errors-To", LIST },
	{ "Return-Receipt-To", LIST },
	{ "Resent-From", LIST | FROM | RESENT },
	{ "Resent-Sender", LIST | RESENT },
	{ "Resent-Reply-To", LIST | RESENT },
	{ "Message-ID", ID },
	{ "Resent-Message-ID", ID | RESENT },
	{ "Content-Length", GONE },
};

static unsigned
flags_of(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (slice_eq_nocase(name, slice_str(fields[i].name)))
			return fields[i].flags;
	return 0;
}

/* The addresses of a field whose rest, past header_address_token_limit, stays
 * as it is: said, and an error if they were to be the recipients. */
static enum err
too_many(struct inject *x, const struct head_field *f, bool names_rcpts)
{
	const long long max = (long long)x->conf->header_address_token_limit;

	if (names_rcpts)
		return err_set(&x->et, ERR_TOOBIG,
		    "field %.*s has more than %lld words and signs "
		    "(header_address_token_limit)",
		    SLICE_ARGS(f->name), max);
	tool_say("warning: limit header_address_token_limit (%lld) reached by "
		 "field %.*s: its rest is not rewritten",
	    max, SLICE_ARGS(f->name));
	return OK;
}

static enum err
put_field(struct inject *x, const struct head_field *f, unsigned flags)
{
	struct qualify q = x->q;
	enum err list = ERR_SYNTAX, e = OK;
	struct buf *out = flags & GONE ? NULL : &x->m.head;
	bool is_list, names_rcpts;

	q.token_max = x->conf->header_address_token_limit;
	if (flags & LIST)
		list = qualify_list(&q, f->body, NULL, inject_look_at, x);
	is_list = list == OK || list == ERR_FULL;
	names_rcpts = (flags & RCPT) && is_list && wants_header_rcpts(x) &&
		      !(flags & RESENT) == !x->facts.resent;
	if (list == ERR_FULL)
		e = too_many(x, f, names_rcpts);
	if (e == OK && is_list && (flags & TO) && !(flags & RESENT))
		e = qualify_list(&q, f->body, NULL, inject_lists_look, x);
	if (e != OK && e != ERR_FULL)
		return e;
	e = OK;
	if (is_list) {
		size_t name = f->all.len - f->body.len;

		if (out != NULL)
			e = buf_put(out, slice_sub(f->all, 0, name));
		if (e == OK && (out != NULL || names_rcpts))
			e = qualify_list(&q, f->body, out,
			    names_rcpts ? add_rcpt : NULL, x);
		if (e == ERR_FULL)
			e = OK;
	} else if (out != NULL) {
		e = buf_put(out, f->all);
	}
	/* The very last line of a message may lack its end. */
	if (e == OK && out != NULL && f->all.data[f->all.len - 1] != '\n')
		e = buf_put(out, SLICE_LIT("\r\n"));
	return e;
}

static enum err
rewrite(struct inject *x, struct slice header)
{
	struct head_field f;
	enum err e = OK;

	while (e == OK && head_next(&header, &f)) {
		unsigned flags = flags_of(f.name);
		bool concerns_us = !(flags & RESENT) == !x->facts.resent;

		if (slice_eq_nocase(f.name, SLICE_LIT("Return-Path"))) {
			x->sender[0] = '\0';
			x->from_path = !inject_has_letter(x, 's') &&
				       qualify_list(&x->q, f.body, NULL,
					   inject_set_sender, x) == OK;
			continue;
		}
		if (concerns_us &&
		    (((flags & FROM) && inject_has_letter(x, 'f')) ||
			((flags & ID) && inject_has_letter(x, 'i'))))
			continue;
		x->any_to |= concerns_us && (flags & TO);
		x->has_followup |=
		    slice_eq_nocase(f.name, SLICE_LIT("Mail-Followup-To"));
		e = put_field(x, &f, flags);
	}
	return e;
}

/* ---- what is missing ---- */

/* "From: joe@host (Joe)": QMAILINJECT c. */
static enum err
put_from_comment(struct inject *x, const char *name)
{
	char text[ADDRESS_BYTES_MAX + INJECT_NAME_BYTES_MAX + 32];
	size_t n;

	n = (size_t)snprintf(text, sizeof(text), "%sFrom: %s (%.255s",
	    x->facts.resent ? "Resent-" : "", x->from, name);
	for (size_t i = n - strnlen(name, INJECT_NAME_BYTES_MAX); i < n; i++)
		if (strchr("()\\", text[i]) != NULL ||
		    (unsigned char)text[i] < ' ')
			text[i] = '_';
	if (buf_put(&x->m.head, slice_of(text, n)) != OK)
		return ERR_TOOBIG;
	return buf_put(&x->m.head, SLICE_LIT(")\r\n"));
}

static enum err
add_missing(struct inject *x)
{
	const char *name = INJECT_VARIABLE("", "QMAILNAME", "MAILNAME", "NAME");
	struct head_facts *f = &x->facts;
	bool *has_from = f->resent ? &f->has_resent_from : &f->has_from;
	bool *has_id =
	    f->resent ? &f->has_resent_message_id : &f->has_message_id;
	struct head_added added = {
		.from = slice_str(x->from),
		.full_name =
		    slice_sub(slice_str(name), 0, INJECT_NAME_BYTES_MAX),
		.date = slice_str(x->date),
		.message_id = slice_str(x->id),
	};
	enum err e = OK;

	*has_from &= !inject_has_letter(x, 'f');
	*has_id &= !inject_has_letter(x, 'i');
	/* A message that is sent again keeps what it has, and lacks. */
	if (f->resent)
		f->has_from = f->has_date = f->has_message_id = true;
	if (!*has_from && name[0] != '\0' && inject_has_letter(x, 'c')) {
		e = put_from_comment(x, name);
		*has_from = true;
	}
	if (e == OK)
		e = head_add(f, &added, &x->m.head);
	if (e == OK)
		e = inject_lists_add(x);
	if (e == OK && !x->any_to)
		e = buf_put(&x->m.head,
		    f->resent
			? SLICE_LIT(
			      "Resent-Cc: recipient list not shown: ;\r\n")
			: SLICE_LIT("Cc: recipient list not shown: ;\r\n"));
	return e == OK ? buf_put(&x->m.head, SLICE_LIT("\r\n")) : e;
}

static int
compose(struct inject *x)
{
	struct slice header;
	int status = message_read_header(&x->m, &header, &x->et);
	enum err e;

	if (status != EX_OK)
		return status == EX_DATAERR ? QMAIL_PERM : QMAIL_TEMP;
	head_look(header, &x->facts);
	inject_tell_time(x);
	e = take_words(x);
	if (e == OK)
		e = inject_lists_read(x);
	if (e == OK)
		e = rewrite(x, header);
	if (e == OK)
		e = inject_find_sender(x);
	if (e == OK)
		e = add_missing(x);
	if (e == OK && x->rcpt_count == 0 && !x->o->print)
		e = err_set(&x->et, ERR_SYNTAX, "no recipients");
	if (e == OK) {
		message_drop_header(&x->m, header.len);
		return QMAIL_INJECT_OK;
	}
	if (x->et.text[0] == '\0')
		err_set(&x->et, e, "header: %s", err_text(e));
	return e == ERR_SYNTAX || e == ERR_TOOBIG ? QMAIL_PERM : QMAIL_TEMP;
}

int
qmail_inject(const struct inject_options *options, const struct conf *conf,
    struct acct *a, const char *drop_program)
{
	static const struct sendmail_options as_it_is = { .dot_is_data = true };
	static struct inject x;
	int status;

	tool_name_set("qmail-inject");
	if (conf == NULL)
		return QMAIL_TEMP;
	(void)signal(SIGPIPE, SIG_IGN);
	x.o = options;
	x.conf = conf;
	x.acct = a;
	read_environment(&x);
	message_init(&x.m, conf, a, &as_it_is, STDIN_FILENO);
	buf_init(&x.envelope, a, 4096, QMAIL_ENVELOPE_BYTES_MAX);
	buf_init(&x.followup, a, 1024, INJECT_LISTS_BYTES_MAX);
	status = compose(&x);
	if (status == QMAIL_INJECT_OK && options->print) {
		if (!inject_write_message(&x, STDOUT_FILENO)) {
			(void)err_sys(&x.et, errno, "unable to write");
			status = QMAIL_TEMP;
		}
	} else if (status == QMAIL_INJECT_OK) {
		status = inject_run_queue(&x, drop_program);
	}
	if (status != QMAIL_INJECT_OK)
		tool_say("fatal: %s", x.et.text);
	buf_fini(&x.envelope);
	message_fini(&x.m);
	return status;
}
