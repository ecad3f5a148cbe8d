/*
 * inject_sender: who writes, and when.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alias/out.h"
#include "base/time.h"
#include "conf/conf.h"
#include "proto/address.h"
#include "sendmail/inject_int.h"

const char *
inject_variable(const char *const *names, const char *otherwise)
{
	for (; *names != NULL; names++) {
		const char *value = getenv(*names);

		if (value != NULL && value[0] != '\0')
			return value;
	}
	return otherwise;
}

bool
inject_has_letter(const struct inject *x, char letter)
{
	return strchr(x->letters, letter) != NULL;
}

enum err
inject_look_at(void *arg, struct slice address)
{
	char raw[INJECT_RAW_BYTES];
	struct out o;

	(void)arg;
	out_init(&o, raw, sizeof(raw));
	return qualify_raw(address, &o) ? OK : ERR_SYNTAX;
}

enum err
inject_set_sender(void *arg, struct slice address)
{
	struct inject *x = arg;
	struct out o;

	out_init(&o, x->sender, sizeof(x->sender) - 1);
	if (!qualify_raw(address, &o))
		return ERR_SYNTAX;
	x->sender[o.len] = '\0';
	return OK;
}

void
inject_tell_time(struct inject *x)
{
	struct wall now = clock_system.wall(&clock_system);
	time_t t = (time_t)(now.ms / 1000);
	char stamp[32];
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	(void)strftime(x->date, sizeof(x->date), "%-d %b %Y %H:%M:%S -0000",
	    &tm);
	(void)strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", &tm);
	(void)snprintf(x->id, sizeof(x->id), "<%s.%ld.qmail@%.255s>", stamp,
	    (long)getpid(), INJECT_VARIABLE(x->conf->idhost, "QMAILIDHOST"));
}

/* user@host as an address of SMTP and, if raw_out is given, of qmail. */
static enum err
make_address(struct inject *x, const char *user, const char *host,
    char text[static ADDRESS_BYTES_MAX + 1])
{
	char quoted[LOCAL_PART_BYTES_MAX], suffix[INJECT_RAW_BYTES];
	struct out o, s;
	size_t len, cut;

	out_init(&o, text, ADDRESS_BYTES_MAX);
	out_init(&s, suffix, sizeof(suffix));
	if (!address_local_quote(slice_str(user), quoted, &len))
		return ERR_SYNTAX;
	out_put(&o, slice_of(quoted, len));
	out_char(&o, '@');
	out_put(&o, slice_str(host));
	cut = qualify_suffix(&x->q, out_text(&o), &s);
	o.len -= cut;
	out_put(&o, out_text(&s));
	if (o.full || s.full)
		return ERR_TOOBIG;
	text[o.len] = '\0';
	return inject_look_at(x, out_text(&o));
}

/* QMAILINJECT m and r: a sender for each message, for each recipient. */
static enum err
make_sender(struct inject *x, const char *user, const char *host)
{
	char own[INJECT_NAME_BYTES_MAX + 64], text[ADDRESS_BYTES_MAX + 1];
	struct wall now = clock_system.wall(&clock_system);
	char more[64] = "";
	struct out o;
	enum err e;
	int n;

	if (inject_has_letter(x, 'm'))
		(void)snprintf(more, sizeof(more), "-%lld.%ld",
		    (long long)(now.ms / 1000), (long)getpid());
	n = snprintf(own, sizeof(own), "%s%s%s", user, more,
	    inject_has_letter(x, 'r') ? "-" : "");
	if (n < 0 || (size_t)n >= sizeof(own))
		return ERR_TOOBIG;
	e = make_address(x, own, host, text);
	if (e != OK)
		return e;
	out_init(&o, x->sender, sizeof(x->sender) - 1);
	if (!qualify_raw(slice_str(text), &o))
		return ERR_SYNTAX;
	if (inject_has_letter(x, 'r'))
		out_put(&o, SLICE_LIT("-@[]"));
	x->sender[o.len] = '\0';
	return o.full ? ERR_TOOBIG : OK;
}

enum err
inject_find_sender(struct inject *x)
{
	const char *user = INJECT_VARIABLE("anonymous", "QMAILUSER", "MAILUSER",
	    "USER", "LOGNAME");
	const char *host =
	    INJECT_VARIABLE(x->q.defaulthost.data, "QMAILHOST", "MAILHOST");
	const char *given = x->o->sender;
	enum err e = make_address(x, user, host, x->from);

	if (e != OK)
		err_set(&x->et, e, "%s@%s is no address", user, host);
	if (e != OK || (x->from_path && given == NULL))
		return e;
	if (given == NULL) {
		e = make_sender(x, INJECT_VARIABLE(user, "QMAILSUSER"),
		    INJECT_VARIABLE(host, "QMAILSHOST"));
	} else {
		x->sender[0] = '\0';
		e = qualify_list(&x->q, slice_str(given), NULL,
		    inject_set_sender, x);
	}
	if (e != OK)
		err_set(&x->et, e, "sender \"%s\": %s",
		    given != NULL ? given : user, err_text(e));
	return e;
}
