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
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "alias/out.h"
#include "base/time.h"
#include "base/tool.h"
#include "conf/conf.h"
#include "proto/address.h"
#include "sendmail/head.h"
#include "sendmail/message.h"
#include "sendmail/qmail_queue.h"
#include "sendmail/qualify.h"

enum {
	RAW_BYTES = 2 * ADDRESS_BYTES_MAX,
	ID_BYTES = HOST_BYTES_MAX + 80,
	NAME_BYTES_MAX = 255,
	QQ_TEXT_FD = 6,
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
	bool any_to;	 /* a To or Cc field (their Resent- forms) */
	bool has_sender; /* -f, or a Return-Path field */
	bool from_path;	 /* the latter */
	char sender[RAW_BYTES];
	char from[ADDRESS_BYTES_MAX + 1];
	char date[64], id[ID_BYTES];
	struct errtext et;
};

/* ---- the environment ---- */

/* The first of these variables that is set and not empty. */
static const char *
variable(const char *const *names, const char *otherwise)
{
	for (; *names != NULL; names++) {
		const char *value = getenv(*names);

		if (value != NULL && value[0] != '\0')
			return value;
	}
	return otherwise;
}

#define VARIABLE(otherwise, ...) \
	variable((const char *const[]){ __VA_ARGS__, NULL }, otherwise)

static bool
has_letter(const struct inject *x, char letter)
{
	return strchr(x->letters, letter) != NULL;
}

static void
read_environment(struct inject *x)
{
	const struct conf *c = x->conf;

	x->letters = VARIABLE("", "QMAILINJECT");
	x->q = (struct qualify){
		.defaulthost =
		    slice_str(VARIABLE(c->defaulthost, "QMAILDEFAULTHOST")),
		.defaultdomain =
		    slice_str(VARIABLE(c->defaultdomain, "QMAILDEFAULTDOMAIN")),
		.plusdomain =
		    slice_str(VARIABLE(c->plusdomain, "QMAILPLUSDOMAIN")),
	};
}

/* ---- recipients ---- */

static enum err
add_rcpt(void *arg, struct slice address)
{
	struct inject *x = arg;
	char raw[RAW_BYTES];
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

/* Only to see whether it is one. */
static enum err
look_at(void *arg, struct slice address)
{
	char raw[RAW_BYTES];
	struct out o;

	(void)arg;
	out_init(&o, raw, sizeof(raw));
	return qualify_raw(address, &o) ? OK : ERR_SYNTAX;
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

/* The sender in text, the last address of it; none: the null sender. */
static enum err
set_sender(void *arg, struct slice address)
{
	struct inject *x = arg;
	struct out o;

	out_init(&o, x->sender, sizeof(x->sender) - 1);
	if (!qualify_raw(address, &o))
		return ERR_SYNTAX;
	x->sender[o.len] = '\0';
	return OK;
}

static enum err
put_field(struct inject *x, const struct head_field *f, unsigned flags)
{
	bool is_list = (flags & LIST) &&
		       qualify_list(&x->q, f->body, NULL, look_at, x) == OK;
	bool names_rcpts = (flags & RCPT) && is_list && wants_header_rcpts(x) &&
			   !(flags & RESENT) == !x->facts.resent;
	struct buf *out = flags & GONE ? NULL : &x->m.head;
	enum err e = OK;

	if (is_list) {
		size_t name = f->all.len - f->body.len;

		if (out != NULL)
			e = buf_put(out, slice_sub(f->all, 0, name));
		if (e == OK && (out != NULL || names_rcpts))
			e = qualify_list(&x->q, f->body, out,
			    names_rcpts ? add_rcpt : NULL, x);
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
			x->from_path = !has_letter(x, 's') &&
				       qualify_list(&x->q, f.body, NULL,
					   set_sender, x) == OK;
			continue;
		}
		if (concerns_us && (((flags & FROM) && has_letter(x, 'f')) ||
				       ((flags & ID) && has_letter(x, 'i'))))
			continue;
		x->any_to |= concerns_us && (flags & TO);
		e = put_field(x, &f, flags);
	}
	return e;
}

/* ---- what is missing ---- */

static void
tell_time(struct inject *x)
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
	    (long)getpid(), VARIABLE(x->conf->idhost, "QMAILIDHOST"));
}

/* user@host as an address of SMTP and, if raw_out is given, of qmail. */
static enum err
make_address(struct inject *x, const char *user, const char *host,
    char text[static ADDRESS_BYTES_MAX + 1])
{
	char quoted[LOCAL_PART_BYTES_MAX], suffix[RAW_BYTES];
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
	return look_at(x, out_text(&o));
}

/* QMAILINJECT m and r: a sender for each message, for each recipient. */
static enum err
make_sender(struct inject *x, const char *user, const char *host)
{
	char own[NAME_BYTES_MAX + 64], text[ADDRESS_BYTES_MAX + 1];
	struct wall now = clock_system.wall(&clock_system);
	char more[64] = "";
	struct out o;
	enum err e;
	int n;

	if (has_letter(x, 'm'))
		(void)snprintf(more, sizeof(more), "-%lld.%ld",
		    (long long)(now.ms / 1000), (long)getpid());
	n = snprintf(own, sizeof(own), "%s%s%s", user, more,
	    has_letter(x, 'r') ? "-" : "");
	if (n < 0 || (size_t)n >= sizeof(own))
		return ERR_TOOBIG;
	e = make_address(x, own, host, text);
	if (e != OK)
		return e;
	out_init(&o, x->sender, sizeof(x->sender) - 1);
	if (!qualify_raw(slice_str(text), &o))
		return ERR_SYNTAX;
	if (has_letter(x, 'r'))
		out_put(&o, SLICE_LIT("-@[]"));
	x->sender[o.len] = '\0';
	return o.full ? ERR_TOOBIG : OK;
}

static enum err
find_sender(struct inject *x)
{
	const char *user =
	    VARIABLE("anonymous", "QMAILUSER", "MAILUSER", "USER", "LOGNAME");
	const char *host =
	    VARIABLE(x->q.defaulthost.data, "QMAILHOST", "MAILHOST");
	const char *given = x->o->sender;
	enum err e = make_address(x, user, host, x->from);

	if (e != OK)
		err_set(&x->et, e, "%s@%s is no address", user, host);
	if (e != OK || (x->from_path && given == NULL))
		return e;
	if (given == NULL) {
		e = make_sender(x, VARIABLE(user, "QMAILSUSER"),
		    VARIABLE(host, "QMAILSHOST"));
	} else {
		x->sender[0] = '\0';
		e = qualify_list(&x->q, slice_str(given), NULL, set_sender, x);
	}
	if (e != OK)
		err_set(&x->et, e, "sender \"%s\": %s",
		    given != NULL ? given : user, err_text(e));
	return e;
}

/* "From: joe@host (Joe)": QMAILINJECT c. */
static enum err
put_from_comment(struct inject *x, const char *name)
{
	char text[ADDRESS_BYTES_MAX + NAME_BYTES_MAX + 32];
	size_t n;

	n = (size_t)snprintf(text, sizeof(text), "%sFrom: %s (%.255s",
	    x->facts.resent ? "Resent-" : "", x->from, name);
	for (size_t i = n - strnlen(name, NAME_BYTES_MAX); i < n; i++)
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
	const char *name = VARIABLE("", "QMAILNAME", "MAILNAME", "NAME");
	struct head_facts *f = &x->facts;
	bool *has_from = f->resent ? &f->has_resent_from : &f->has_from;
	bool *has_id =
	    f->resent ? &f->has_resent_message_id : &f->has_message_id;
	struct head_added added = {
		.from = slice_str(x->from),
		.full_name = slice_sub(slice_str(name), 0, NAME_BYTES_MAX),
		.date = slice_str(x->date),
		.message_id = slice_str(x->id),
	};
	enum err e = OK;

	*has_from &= !has_letter(x, 'f');
	*has_id &= !has_letter(x, 'i');
	/* A message that is sent again keeps what it has, and lacks. */
	if (f->resent)
		f->has_from = f->has_date = f->has_message_id = true;
	if (!*has_from && name[0] != '\0' && has_letter(x, 'c')) {
		e = put_from_comment(x, name);
		*has_from = true;
	}
	if (e == OK)
		e = head_add(f, &added, &x->m.head);
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
	tell_time(x);
	e = take_words(x);
	if (e == OK)
		e = rewrite(x, header);
	if (e == OK)
		e = find_sender(x);
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

/* ---- out ---- */

static bool
write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

/* The message with the line ends of this system.  Every LF in a piece has a
 * CR before it, if only in the piece before: a CR at its end waits. */
static bool
write_message(struct inject *x, int fd)
{
	static char text[MESSAGE_PIECE_BYTES + 1];
	struct slice piece;
	bool last = false, cr = false;

	while (!last) {
		size_t n = 0;

		if (message_next(&x->m, &piece, &last) != OK)
			return false;
		for (size_t i = 0; i < piece.len; i++) {
			if (cr && piece.data[i] != '\n')
				text[n++] = '\r';
			cr = piece.data[i] == '\r';
			if (!cr)
				text[n++] = piece.data[i];
		}
		if (!write_all(fd, text, n))
			return false;
	}
	return true;
}

static bool
write_envelope(struct inject *x, int fd)
{
	struct slice rcpts = buf_data(&x->envelope);

	return write_all(fd, "F", 1) &&
	       write_all(fd, x->sender, strlen(x->sender) + 1) &&
	       write_all(fd, rcpts.data, rcpts.len) && write_all(fd, "", 1);
}

/* ---- qmail-queue ---- */

enum { MESSAGE, ENVELOPE, WHY, PIPES };

/* In the child: its descriptors, and no others. */
static _Noreturn void
be_queue(const struct inject *x, int pipes[static PIPES][2],
    const char *drop_program)
{
	const char *program = getenv("QMAILQUEUE");
	int fds[PIPES] = { pipes[MESSAGE][0], pipes[ENVELOPE][0],
		pipes[WHY][1] };

	/* Out of the way of 0, 1 and 6 first. */
	for (int i = 0; i < PIPES; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD, 10);
		if (fds[i] < 0)
			_exit(QQ_EXEC);
	}
	if (dup2(fds[MESSAGE], STDIN_FILENO) < 0 ||
	    dup2(fds[ENVELOPE], STDOUT_FILENO) < 0 ||
	    dup2(fds[WHY], QQ_TEXT_FD) < 0 || close_range(3, 5, 0) < 0 ||
	    close_range(7, ~0u, 0) < 0)
		_exit(QQ_EXEC);
	if (program == NULL || program[0] == '\0')
		_exit(qmail_queue(x->conf, x->acct, drop_program));
	(void)signal(SIGPIPE, SIG_DFL);
	(void)execlp(program, program, (char *)NULL);
	_exit(QQ_EXEC);
}

/* What a program says of itself when it exits with QQ_TEXT. */
static int
say_text(struct inject *x, int fd)
{
	char text[512];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	if (n < 1 || (text[0] != 'D' && text[0] != 'Z')) {
		(void)err_set(&x->et, ERR_SYS, "%s", qmail_queue_text(QQ_TEXT));
		return QMAIL_TEMP;
	}
	text[n] = '\0';
	(void)err_set(&x->et, ERR_DENIED, "%s", text + 1);
	return text[0] == 'D' ? QMAIL_PERM : QMAIL_TEMP;
}

static int
wait_for_queue(struct inject *x, pid_t pid, int why)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) {
			(void)err_sys(&x->et, errno, "waiting for qmail-queue");
			return QMAIL_TEMP;
		}
	}
	if (!WIFEXITED(status)) {
		(void)err_set(&x->et, ERR_SYS, "qq crashed (#4.3.0)");
		return QMAIL_TEMP;
	}
	status = WEXITSTATUS(status);
	if (status == 0)
		return QMAIL_INJECT_OK;
	if (status == QQ_TEXT)
		return say_text(x, why);
	(void)err_set(&x->et, ERR_SYS, "%s", qmail_queue_text(status));
	return qmail_queue_is_temporary(status) ? QMAIL_TEMP : QMAIL_PERM;
}

static int
run_queue(struct inject *x, const char *drop_program)
{
	int pipes[PIPES][2], status;
	bool whole;
	pid_t pid;

	for (int i = 0; i < PIPES; i++) {
		if (pipe2(pipes[i], O_CLOEXEC) != 0) {
			(void)err_sys(&x->et, errno, "pipe");
			return QMAIL_TEMP;
		}
	}
	pid = fork();
	if (pid < 0) {
		(void)err_sys(&x->et, errno, "fork");
		return QMAIL_TEMP;
	}
	if (pid == 0)
		be_queue(x, pipes, drop_program);
	close(pipes[MESSAGE][0]);
	close(pipes[ENVELOPE][0]);
	close(pipes[WHY][1]);
	/* Of a message that could not be read no envelope is written: it is
	 * not sent. */
	whole = write_message(x, pipes[MESSAGE][1]);
	close(pipes[MESSAGE][1]);
	if (whole)
		(void)write_envelope(x, pipes[ENVELOPE][1]);
	close(pipes[ENVELOPE][1]);
	status = wait_for_queue(x, pid, pipes[WHY][0]);
	close(pipes[WHY][0]);
	return status;
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
	status = compose(&x);
	if (status == QMAIL_INJECT_OK && options->print) {
		if (!write_message(&x, STDOUT_FILENO)) {
			(void)err_sys(&x.et, errno, "unable to write");
			status = QMAIL_TEMP;
		}
	} else if (status == QMAIL_INJECT_OK) {
		status = run_queue(&x, drop_program);
	}
	if (status != QMAIL_INJECT_OK)
		tool_say("fatal: %s", x.et.text);
	return status;
}
