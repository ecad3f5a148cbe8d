/*
 * qmail_queue: descriptors in, exit code out.
 *
 * Happy path: all of the message is read before the envelope (its writer
 * writes one after the other): from a file in place, else through an unlinked
 * file in $TMPDIR.  Then it is submitted as sendmail does, its header as it
 * is.
 *
 * Failure modes: each has its code.  A recipient that the server does not know
 * is no failure: the message goes to pickup, and the queue sends a report.
 * A sender that ends in -@[] (VERP), or more recipients than
 * extract_recipient_limit, make several messages; if a later one of them
 * fails, those before it stay.
 */
#include "sendmail/qmail_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "alias/sender.h"
#include "conf/conf.h"
#include "sendmail/message.h"
#include "sendmail/output.h"
#include "sendmail/sendmail.h"

enum { QQ_SECONDS_MAX = 86400, QQ_TEXT_FD = 6, COPY_BYTES = 65536 };

/* ---- the envelope ---- */

enum { WANT_SENDER, IN_SENDER, WANT_RCPT, IN_RCPT };

void
qmail_envelope_init(struct qmail_envelope *e, struct acct *a)
{
	*e = (struct qmail_envelope){ .state = WANT_SENDER };
	buf_init(&e->text, a, 4096, QMAIL_ENVELOPE_BYTES_MAX);
}

/* A letter in front of an address, or the end. */
static enum qmail_queue_code
take_letter(struct qmail_envelope *e, char c)
{
	e->address_len = 0;
	if (e->state == WANT_SENDER && c == 'F')
		e->state = IN_SENDER;
	else if (e->state == WANT_RCPT && c == 'T')
		e->state = IN_RCPT;
	else if (e->state == WANT_RCPT && c == '\0')
		e->done = true;
	else
		return QQ_ENVELOPE;
	return QQ_OK;
}

/* Bytes of an address, up to its NUL if that is there. */
static enum qmail_queue_code
take_address(struct qmail_envelope *e, struct slice *piece)
{
	size_t len = slice_find(*piece, '\0');
	bool whole = len < piece->len;

	e->address_len += len;
	if (e->address_len > ADDRESS_BYTES_MAX)
		return QQ_LONG;
	len += whole;
	if (buf_put(&e->text, slice_sub(*piece, 0, len)) != OK)
		return QQ_NOMEM;
	*piece = slice_sub(*piece, len, piece->len);
	if (whole) {
		e->rcpt_count += e->state == IN_RCPT;
		e->state = WANT_RCPT;
	}
	return QQ_OK;
}

enum qmail_queue_code
qmail_envelope_feed(struct qmail_envelope *e, struct slice piece)
{
	enum qmail_queue_code code = QQ_OK;

	while (code == QQ_OK && piece.len > 0 && !e->done) {
		if (e->state == IN_SENDER || e->state == IN_RCPT) {
			code = take_address(e, &piece);
		} else {
			code = take_letter(e, piece.data[0]);
			piece = slice_sub(piece, 1, piece.len);
		}
	}
	return code;
}

static int
read_envelope(struct qmail_envelope *e, int fd)
{
	char bytes[4096];
	int code = QQ_OK;
	ssize_t n;

	while (code == QQ_OK && !e->done) {
		n = read(fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return QQ_READ;
		code = qmail_envelope_feed(e, slice_of(bytes, (size_t)n));
	}
	return code;
}

/* ---- the message ---- */

struct job {
	const struct conf *conf;
	struct acct *acct;
	const char *drop_program;
	int fd;	     /* can be rewound */
	off_t begin; /* of the message in it */
	struct errtext et;
};

static int
copy_message(struct job *j)
{
	static char bytes[COPY_BYTES];
	int64_t limit = j->conf->message_size_limit_bytes, total = 0;
	ssize_t n;

	while ((n = read(STDIN_FILENO, bytes, sizeof(bytes))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return QQ_READ;
		total += n;
		if (limit > 0 && total > limit) {
			err_set(&j->et, ERR_TOOBIG,
			    "message larger than message_size_limit");
			return QQ_REFUSED;
		}
		if (!output_write(j->fd, bytes, (size_t)n))
			return QQ_WRITE;
	}
	return QQ_OK;
}

static int
take_message(struct job *j)
{
	const char *directory = getenv("TMPDIR");
	struct stat st;

	j->fd = STDIN_FILENO;
	if (fstat(j->fd, &st) != 0)
		return QQ_READ;
	j->begin = lseek(j->fd, 0, SEEK_CUR);
	if (S_ISREG(st.st_mode) && j->begin >= 0)
		return QQ_OK;
	if (directory == NULL || directory[0] != '/')
		directory = "/tmp";
	j->begin = 0;
	j->fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return j->fd < 0 ? QQ_WRITE : copy_message(j);
}

/* ---- handing it in ---- */

static int
code_of(const struct message *m, int status)
{
	if (status == EX_OK)
		return QQ_OK;
	if (m->refused_code / 100 == 5 || status == EX_DATAERR)
		return QQ_REFUSED;
	return status == EX_IOERR ? QQ_READ : QQ_LATER;
}

/* One message: to count recipients, whose text begins at *rcpts. */
static int
hand_in(struct job *j, struct slice sender, const char **rcpts, size_t count)
{
	static const struct sendmail_options options = { .dot_is_data = true,
		.all_or_drop = true };
	static struct message m;
	int status;

	if (lseek(j->fd, j->begin, SEEK_SET) < 0)
		return QQ_READ;
	message_init(&m, j->conf, j->acct, &options, j->fd);
	status = message_address_raw(&m, sender, true, &j->et);
	for (size_t i = 0; i < count && status == EX_OK; i++) {
		struct slice rcpt = slice_str(*rcpts);

		status = message_address_raw(&m, rcpt, false, &j->et);
		*rcpts += rcpt.len + 1;
	}
	if (status == EX_OK)
		status = sendmail_submit(&m, j->drop_program, &j->et);
	status = code_of(&m, status);
	message_fini(&m);
	return status;
}

static int
hand_in_all(struct job *j, const struct qmail_envelope *e)
{
	const char *at = buf_data(&e->text).data;
	struct slice sender = slice_str(at);
	bool verp = sender_is_verp(sender);
	size_t most = (size_t)j->conf->extract_recipient_limit;
	char own[2 * ADDRESS_BYTES_MAX];
	int code = QQ_OK;
	struct out o;

	at += sender.len + 1;
	/* A double bounce has no sender that SMTP could say. */
	if (slice_eq(sender, SLICE_LIT("#@[]")))
		sender = SLICE_NONE;
	for (size_t left = e->rcpt_count, n; left > 0 && code == QQ_OK;
	     left -= n) {
		n = verp ? 1 : left < most ? left : most;
		out_init(&o, own, sizeof(own));
		if (verp)
			sender_verp(sender, slice_str(at), &o);
		code = hand_in(j, verp ? out_text(&o) : sender, &at, n);
	}
	return code;
}

/* Why, for callers that listen on descriptor 6. */
static int
say_why(const struct job *j, int code)
{
	bool temporary = qmail_queue_is_temporary(code);
	struct stat st;
	char text[600];
	int n;

	if ((code != QQ_REFUSED && code != QQ_LATER) || j->et.text[0] == '\0' ||
	    fstat(QQ_TEXT_FD, &st) != 0 || !S_ISFIFO(st.st_mode) ||
	    (fcntl(QQ_TEXT_FD, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return code;
	n = snprintf(text, sizeof(text), "%c%s (#%s)", temporary ? 'Z' : 'D',
	    j->et.text, temporary ? "4.3.0" : "5.3.0");
	if (n < 0 || (size_t)n >= sizeof(text))
		return code;
	return output_write(QQ_TEXT_FD, text, (size_t)n) ? QQ_TEXT : code;
}

static void
on_alarm(int signum)
{
	(void)signum;
	_exit(QQ_TIMEOUT);
}

int
qmail_queue(const struct conf *conf, struct acct *a, const char *drop_program)
{
	struct job j = { .conf = conf,
		.acct = a,
		.drop_program = drop_program };
	struct qmail_envelope e;
	int code;

	if (conf == NULL)
		return QQ_CONFIG;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGALRM, on_alarm);
	(void)alarm(QQ_SECONDS_MAX);
	qmail_envelope_init(&e, a);
	code = take_message(&j);
	if (code == QQ_OK)
		code = read_envelope(&e, STDOUT_FILENO);
	if (code == QQ_OK)
		code = hand_in_all(&j, &e);
	buf_fini(&e.text);
	return say_why(&j, code);
}

/* ---- what a code means ---- */

bool
qmail_queue_is_temporary(int code)
{
	return code < 11 || code > 40;
}

const char *
qmail_queue_text(int code)
{
	static const struct {
		int code;
		const char *text;
	} texts[] = {
		{ 11, "envelope address too long for qq (#5.1.3)" },
		{ 115, "envelope address too long for qq (#5.1.3)" },
		{ 31, "mail server permanently rejected message (#5.3.0)" },
		{ 51, "qq out of memory (#4.3.0)" },
		{ 52, "qq timeout (#4.3.0)" },
		{ 53, "qq write error or disk full (#4.3.0)" },
		{ 54, "qq read error (#4.3.0)" },
		{ 55, "qq unable to read configuration (#4.3.0)" },
		{ 56, "qq trouble making network connection (#4.3.0)" },
		{ 61, "qq trouble in home directory (#4.3.0)" },
		{ 63, "qq trouble creating files in queue (#4.3.0)" },
		{ 71, "mail server temporarily rejected message (#4.3.0)" },
		{ 72, "connection to mail server timed out (#4.4.1)" },
		{ 73, "connection to mail server rejected (#4.4.1)" },
		{ 74, "communication with mail server failed (#4.4.2)" },
		{ 81, "qq internal bug (#4.3.0)" },
		{ 91, "qq internal bug (#4.3.0)" },
		{ 120, "unable to exec qq (#4.3.0)" },
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].code == code)
			return texts[i].text;
	return qmail_queue_is_temporary(code) ? "qq temporary problem (#4.3.0)"
					      : "qq permanent problem (#5.3.0)";
}
