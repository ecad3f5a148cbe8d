/*
 * inject: a message from standard input to the running server, over its local
 * socket.  Unlike sendmail it leaves the header as it is.
 *
 * Happy path: MAIL, RCPT for all, BDAT with dtline, BDAT for each piece.  Every
 * recipient must be taken before the message begins.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "alias/sender.h"
#include "conf/conf.h"
#include "proto/address.h"
#include "sendmail/client.h"
#include "sendmail/input.h"
#include "sendmail/talk.h"
#include "usercmd/int.h"

struct injection {
	struct usercmd *u;
	const struct conf *conf;
	struct talk talk;
	struct errtext et;
};

/* The server refused, or the connection is gone. */
static int
refused(struct injection *x, bool heard)
{
	if (!heard)
		return say_fatal(x->u, USERCMD_TEMP, "%s", x->et.text);
	return say_fatal(x->u,
	    x->talk.code / 100 == 5 ? USERCMD_PERM : USERCMD_TEMP, "%s",
	    x->talk.text);
}

/* Send what was put and wait for a reply of this class. */
static int
command(struct injection *x, int class)
{
	bool heard = talk_flush(&x->talk) && talk_read_reply(&x->talk);

	return heard && x->talk.code / 100 == class ? 0 : refused(x, heard);
}

/* text as an address of SMTP, with our domain if it has none. */
static int
canonical(struct injection *x, struct slice text, unsigned allow,
    struct out *out, bool *utf8)
{
	char buf[ADDRESS_BYTES_MAX];
	struct address a;
	enum err e;

	e = address_parse(text, allow | ADDRESS_BARE | ADDRESS_UTF8, buf, &a);
	if (e == OK) {
		*utf8 = *utf8 || a.utf8;
		out_put(out, a.text);
		if (a.text.len > 0 && a.domain.len == 0) {
			out_char(out, '@');
			out_put(out, slice_str(x->conf->myorigin));
		}
	}
	if (e != OK || out->full)
		return say_fatal(x->u, USERCMD_PERM, "bad address %.*s",
		    SLICE_ARGS(text));
	return 0;
}

static int
send_body(struct injection *x, const char *dtline)
{
	static char piece[INPUT_PIECE_BYTES];
	static struct input in;
	size_t len = strcspn(dtline, "\r\n");
	int e;

	if (len > 0) {
		talk_put(&x->talk, "BDAT %zu\r\n%.*s\r\n", len + 2, (int)len,
		    dtline);
		e = command(x, 2);
		if (e != 0)
			return e;
	}
	input_init(&in, STDIN_FILENO, false);
	do {
		if (input_read(&in, piece, &len) != OK)
			return say_fatal(x->u, USERCMD_TEMP,
			    "unable to read message");
		talk_put(&x->talk, "BDAT %zu%s\r\n", len,
		    len == 0 ? " LAST" : "");
		if (!talk_flush(&x->talk) || !talk_write(&x->talk, piece, len))
			return refused(x, false);
		e = command(x, 2);
		if (e != 0)
			return e;
	} while (len > 0);
	return 0;
}

/* One transaction. */
static int
transact(struct injection *x, struct slice sender, const char *dtline,
    char **to, int count)
{
	char buf[ADDRESS_BYTES_MAX + 256];
	bool utf8 = false;
	struct out o;
	int e;

	/* All of them first: nothing is sent if one is no address. */
	for (int i = 0; i < count; i++) {
		out_init(&o, buf, sizeof(buf));
		e = canonical(x, slice_str(to[i]), 0, &o, &utf8);
		if (e != 0)
			return e;
	}
	out_init(&o, buf, sizeof(buf));
	e = canonical(x, sender, ADDRESS_NULL, &o, &utf8);
	if (e != 0)
		return e;
	talk_put(&x->talk, "MAIL FROM:<%.*s> BODY=8BITMIME%s\r\n",
	    SLICE_ARGS(out_text(&o)), utf8 ? " SMTPUTF8" : "");
	e = command(x, 2);
	for (int i = 0; i < count && e == 0; i++) {
		out_init(&o, buf, sizeof(buf));
		e = canonical(x, slice_str(to[i]), 0, &o, &utf8);
		if (e != 0)
			break;
		talk_put(&x->talk, "RCPT TO:<%.*s>\r\n",
		    SLICE_ARGS(out_text(&o)));
		e = command(x, 2);
	}
	return e == 0 ? send_body(x, dtline) : e;
}

/* The id in "250 2.0.0 Ok: queued as 17". */
static const char *
queue_id(const struct talk *t)
{
	const char *id = strrchr(t->text, ' ');

	return id != NULL ? id + 1 : t->text;
}

static int
transact_all(struct injection *x, const char *sender, const char *dtline,
    char **to, int count)
{
	struct slice from = slice_str(sender);
	bool verp = sender_is_verp(from);
	off_t begin = lseek(STDIN_FILENO, 0, SEEK_CUR);
	char buf[2 * ADDRESS_BYTES_MAX];
	struct out o;
	int e = 0;

	/* A double bounce has no sender that SMTP could say. */
	if (slice_eq(from, SLICE_LIT("#@[]")))
		from = SLICE_NONE;
	if (!verp) {
		e = transact(x, from, dtline, to, count);
		if (e == 0)
			fprintf(stderr, "%s: qp %s\n", x->u->name,
			    queue_id(&x->talk));
		return e;
	}
	/* A sender for each recipient: a message for each. */
	for (int i = 0; i < count && e == 0; i++) {
		if (i > 0 && lseek(STDIN_FILENO, begin, SEEK_SET) < 0)
			return say_errno(x->u, "unable to rewind");
		out_init(&o, buf, sizeof(buf));
		sender_verp(from, slice_str(to[i]), &o);
		e = transact(x, out_text(&o), dtline, to + i, 1);
		if (e == 0)
			fprintf(stderr, "%s: qp %s\n", x->u->name,
			    queue_id(&x->talk));
	}
	return e;
}

int
inject(struct usercmd *u, const char *sender, const char *dtline, char **to,
    int count)
{
	static struct injection x;
	int fd, e;

	x.u = u;
	x.conf = u->conf(u->arg);
	if (x.conf == NULL)
		return USERCMD_TEMP;
	e = client_connect(x.conf->queue_directory, &fd, &x.et);
	if (e == EX_UNAVAILABLE)
		return say_fatal(u, USERCMD_TEMP, "no server runs in %s",
		    x.conf->queue_directory);
	if (e != EX_OK)
		return say_fatal(u, USERCMD_TEMP, "%s", x.et.text);
	x.talk = (struct talk){ .fd = fd, .et = &x.et };
	e = command(&x, 2);
	if (e == 0) {
		talk_put(&x.talk, "EHLO localhost\r\n");
		e = command(&x, 2);
	}
	if (e == 0)
		e = transact_all(&x, sender, dtline, to, count);
	if (e == 0) {
		talk_put(&x.talk, "QUIT\r\n");
		(void)talk_flush(&x.talk);
	}
	(void)close(fd);
	return e;
}
