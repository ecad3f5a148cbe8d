/*
 * The server machine: dialogues.  A row is what a client sends and every line
 * that it must read.  Each is played whole, byte by byte, cut once at every
 * place, and with the answers of the driver late and in reverse order; the
 * replies are the same every time.
 *
 * The driver here knows recipients by name: "no..." is refused with 550,
 * "later..." with 451, "relay..." with 554; a sender "full..." finds no memory,
 * "closed..." no reservation, "lost..." loses the queue in the body,
 * "broken..." fails at the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "proto/smtp_server.h"

enum { SENT_MAX = 1 << 16 };

struct driver {
	struct smtps s;
	struct smtps_conf conf;
	struct smtps_io io;
	struct smtps_txn txn;
	bool has_txn;
	char sender[64];
	bool late; /* answer only when the machine waits */
	char names[SMTPS_PENDING_MAX][64];
	bool asked[SMTPS_PENDING_MAX];
	bool opening, committing;
	char sent[SENT_MAX]; /* all replies */
	size_t sent_len;
	char body[SENT_MAX];
	size_t body_len;
	unsigned pauses, rejects, aborts, resets;
	bool closed;
	char out[4096], spare[256];
};

static void
answer_rcpt(struct driver *d, unsigned slot)
{
	const char *name = d->names[slot];
	struct smtps_refusal why;

	d->asked[slot] = false;
	if (!strncmp(name, "no", 2))
		why = smtps_why_text(550, slice_str("5.1.1"),
		    slice_str("<no@v>: no such user"));
	else if (!strncmp(name, "later", 5))
		why = smtps_why(SMTPS_REPLY_LOOKUP);
	else if (!strncmp(name, "relay", 5))
		why = smtps_why(SMTPS_REPLY_RELAY);
	else {
		smtps_rcpt_accept(&d->s, slot);
		return;
	}
	smtps_rcpt_refuse(&d->s, slot, &why);
}

static void
answer_open(struct driver *d)
{
	struct smtps_refusal why = smtps_why(SMTPS_REPLY_STORAGE);

	d->opening = false;
	if (!strncmp(d->sender, "closed", 6))
		smtps_refuse(&d->s, NULL, &why);
	else
		smtps_opened(&d->s);
}

static void
answer_commit(struct driver *d)
{
	struct smtps_refusal why = smtps_why(SMTPS_REPLY_QUEUE);

	d->committing = false;
	if (!strncmp(d->sender, "broken", 6))
		smtps_refuse(&d->s, NULL, &why);
	else
		smtps_committed(&d->s, 42);
}

/* Give one of the answers that are due, the newest first; false: none. */
static bool
answer_one(struct driver *d)
{
	for (unsigned i = SMTPS_PENDING_MAX; i-- > 0;)
		if (d->asked[i]) {
			answer_rcpt(d, i);
			return true;
		}
	if (d->opening)
		answer_open(d);
	else if (d->committing)
		answer_commit(d);
	else
		return false;
	return true;
}

static void
on_mail(struct driver *d)
{
	struct smtps_refusal why = smtps_why(SMTPS_REPLY_FULL);

	snprintf(d->sender, sizeof(d->sender), "%.*s",
	    SLICE_ARGS(d->io.mail.sender.text));
	if (!strncmp(d->sender, "full", 4)) {
		smtps_refuse(&d->s, &d->io, &why);
		return;
	}
	assert_false(d->has_txn);
	memset(&d->txn, 0, sizeof(d->txn));
	d->has_txn = true;
	smtps_mail_accept(&d->s, &d->io, &d->txn);
}

static void
on_rcpt(struct driver *d)
{
	unsigned slot = d->io.slot;

	assert_false(d->asked[slot]);
	snprintf(d->names[slot], sizeof(d->names[slot]), "%.*s",
	    SLICE_ARGS(d->io.rcpt.rcpt.text));
	smtps_rcpt_keep(&d->s, slot, slice_str(d->names[slot]));
	d->asked[slot] = true;
	if (!d->late)
		answer_rcpt(d, slot);
}

static void
on_body(struct driver *d)
{
	struct smtps_refusal why = smtps_why(SMTPS_REPLY_QUEUE);

	memcpy(d->body + d->body_len, d->io.body.data, d->io.body.len);
	d->body_len += d->io.body.len;
	if (!strncmp(d->sender, "lost", 4))
		smtps_refuse(&d->s, NULL, &why);
}

static void
flush(struct driver *d)
{
	assert_true(d->sent_len + d->io.out_len < SENT_MAX);
	memcpy(d->sent + d->sent_len, d->io.out, d->io.out_len);
	d->sent_len += d->io.out_len;
	d->io.out_len = 0;
}

/* Run until the machine has no use for the input; what it left unread. */
static size_t
run(struct driver *d, char *in, size_t len)
{
	d->io.in = in;
	d->io.in_len = len;
	for (int turns = 0;; turns++) {
		enum smtps_step step = smtps_next(&d->s, &d->io);

		assert_true(turns < 100000);
		d->rejects += d->io.reject.len > 0;
		switch (step) {
		case SMTPS_STEP_MAIL: on_mail(d); break;
		case SMTPS_STEP_RCPT: on_rcpt(d); break;
		case SMTPS_STEP_BODY: on_body(d); break;
		case SMTPS_STEP_PAUSE: d->pauses++; break;
		case SMTPS_STEP_FLUSH: flush(d); break;
		case SMTPS_STEP_ABORT: d->aborts++; break;
		case SMTPS_STEP_AGAIN: break;
		case SMTPS_STEP_OPEN:
			d->opening = true;
			if (!d->late)
				answer_open(d);
			break;
		case SMTPS_STEP_COMMIT:
			d->committing = true;
			if (!d->late)
				answer_commit(d);
			break;
		case SMTPS_STEP_HELO:
		case SMTPS_STEP_RESET:
			d->has_txn = false;
			d->resets++;
			break;
		case SMTPS_STEP_WAIT:
			assert_true(smtps_is_waiting(&d->s));
			assert_true(answer_one(d));
			break;
		case SMTPS_STEP_MORE:
			/* An answer may be due while it reads. */
			if (answer_one(d))
				break;
			flush(d);
			return d->io.in_len;
		case SMTPS_STEP_CLOSE:
			flush(d);
			d->closed = true;
			return 0;
		}
	}
}

enum { LMTP = 1, NORMALISE = 2, SOFT = 4, DRAINING = 8, HELD = 16 };

static void
driver_init(struct driver *d, unsigned flags)
{
	memset(d, 0, sizeof(*d));
	d->conf = (struct smtps_conf){
		.hostname = SLICE_LIT("h"),
		.banner = SLICE_LIT("h ESMTP"),
		.headers = { 1000, 3000, 20, 3 },
		.size_max = 500,
		.line_max = 100,
		.rcpt_max = 5,
		.soft_errors = 7,
		.hard_errors = 9,
		.junk_max = 6,
		.soft_bounce = flags & SOFT,
	};
	smtps_init(&d->s, &d->conf, flags & LMTP, flags & NORMALISE);
	d->s.draining = flags & DRAINING;
}

#define CRUMBS "BDAT 1\r\nxBDAT 1\r\nxBDAT 1\r\nxBDAT 1\r\nxBDAT 1\r\nx"
#define OK5                                                        \
	"250 2.0.0 Ok\n250 2.0.0 Ok\n250 2.0.0 Ok\n250 2.0.0 Ok\n" \
	"250 2.0.0 Ok\n"
#define EHLO                                                             \
	"250-h\n250-SIZE 500\n250-PIPELINING\n250-ENHANCEDSTATUSCODES\n" \
	"250-8BITMIME\n250-DSN\n250-SMTPUTF8\n250 CHUNKING\n"
#define OPENED EHLO "250 2.1.0 Ok\n250 2.1.5 Ok\n"
#define START  "EHLO a\r\nMAIL FROM:<x@y>\r\nRCPT TO:<u@v>\r\n"
#define GO354  "354 End data with <CR><LF>.<CR><LF>\n"
#define QUEUED "250 2.0.0 Ok: queued as 42\n"
#define BYE    "221 2.0.0 Bye\n"
#define BARE   "550 5.5.2 Error: bare <CR> or <LF> received\n"
#define X10    "xxxxxxxxxx"
#define X100   X10 X10 X10 X10 X10 X10 X10 X10 X10 X10

/* DATA has to be the last of what is sent before its reply: "|" marks the
 * places where the client waits. */
static const struct {
	const char *why;
	unsigned flags;
	const char *in, *out;
	const char *body; /* NULL: not looked at */
} rows[] = {
	{ "a message", 0, START "DATA\r\n|A: b\r\n\r\n..c\r\n.\r\nQUIT\r\n",
	    OPENED GO354 QUEUED BYE, "A: b\r\n\r\n.c\r\n" },
	{ "an empty message", 0, START "DATA\r\n|.\r\nQUIT\r\n",
	    OPENED GO354 QUEUED BYE, "" },
	{ "two messages", 0,
	    START "DATA\r\n|a\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<u@v>\r\n"
		  "DATA\r\n|b\r\n.\r\n",
	    OPENED GO354 QUEUED "250 2.1.0 Ok\n250 2.1.5 Ok\n" GO354 QUEUED,
	    "a\r\nb\r\n" },
	{ "HELO", 0, "HELO a\r\n", "250 h\n", NULL },
	{ "case and blanks", 0, "ehLO  a \r\nmail from: <x@y>\r\nnoop x y\r\n",
	    EHLO "250 2.1.0 Ok\n250 2.0.0 Ok\n", NULL },
	{ "a name is needed", 0, "EHLO\r\nHELO \r\nEHLO a b\r\n",
	    "501 5.5.4 Syntax: EHLO hostname\n"
	    "501 5.5.4 Syntax: HELO hostname\n"
	    "501 5.5.4 Syntax: EHLO hostname\n",
	    NULL },
	{ "order", 0,
	    "MAIL FROM:<x@y>\r\nEHLO a\r\nRCPT TO:<u@v>\r\nDATA\r\n"
	    "MAIL FROM:<x@y>\r\nMAIL FROM:<x@y>\r\nDATA\r\n",
	    "503 5.5.1 Error: send HELO/EHLO first\n" EHLO
	    "503 5.5.1 Error: need MAIL command\n"
	    "503 5.5.1 Error: need MAIL command\n"
	    "250 2.1.0 Ok\n503 5.5.1 Error: nested MAIL command\n"
	    "503 5.5.1 Error: need RCPT command\n",
	    NULL },
	{ "RSET and EHLO forget", 0,
	    START "RSET\r\nRCPT TO:<u@v>\r\nMAIL FROM:<x@y>\r\nEHLO b\r\n"
		  "RCPT TO:<u@v>\r\n",
	    OPENED "250 2.0.0 Ok\n503 5.5.1 Error: need MAIL command\n"
		   "250 2.1.0 Ok\n" EHLO "503 5.5.1 Error: need MAIL command\n",
	    NULL },
	{ "unknown, not offered, empty, control", 0,
	    "XYZZY\r\nSTARTTLS\r\n\r\nNOOP \001\r\nN\001OP\r\n",
	    "500 5.5.2 Error: command not recognized\n"
	    "502 5.5.1 Error: command not implemented\n"
	    "500 5.5.2 Error: bad syntax\n500 5.5.2 Error: bad syntax\n"
	    "500 5.5.2 Error: bad syntax\n",
	    NULL },
	{ "VRFY HELP", 0, "VRFY x\r\nVRFY\r\nHELP me\r\nRSET x\r\n",
	    "252 2.0.0 Cannot verify, but will take a message\n"
	    "501 5.5.4 Syntax: VRFY address\n"
	    "214 2.0.0 HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP "
	    "QUIT\n"
	    "501 5.5.4 Error: no argument is allowed\n",
	    NULL },
	{ "recipients refused, in order", 0,
	    "EHLO a\r\nMAIL FROM:<x@y>\r\nRCPT TO:<no@v>\r\nRCPT TO:<u@v>\r\n"
	    "RCPT TO:<later@v>\r\nRCPT TO:<b@d@e>\r\nRCPT TO:<relay@w>\r\n"
	    "DATA\r\n|x\r\n.\r\n",
	    EHLO "250 2.1.0 Ok\n550 5.1.1 <no@v>: no such user\n"
		 "250 2.1.5 Ok\n451 4.3.0 <later@v>: Temporary lookup "
		 "failure\n501 5.1.3 Bad recipient address syntax\n"
		 "554 5.7.1 <relay@w>: Relay access denied\n" GO354 QUEUED,
	    "x\r\n" },
	{ "no valid recipient", 0,
	    "EHLO a\r\nMAIL FROM:<x@y>\r\nRCPT TO:<no@v>\r\nDATA\r\n"
	    "RCPT TO:<u@v>\r\nDATA\r\n|.\r\n",
	    EHLO
	    "250 2.1.0 Ok\n550 5.1.1 <no@v>: no such user\n"
	    "554 5.5.1 Error: no valid recipients\n250 2.1.5 Ok\n" GO354 QUEUED,
	    "" },
	{ "recipient limit: one below, at, above", 0,
	    START "RCPT TO:<u@v>\r\nRCPT TO:<u@v>\r\nRCPT TO:<no@v>\r\n"
		  "RCPT TO:<u@v>\r\nRCPT TO:<u@v>\r\nRCPT TO:<u@v>\r\n"
		  "RCPT TO:<u@v>\r\nDATA\r\n|.\r\n",
	    OPENED "250 2.1.5 Ok\n250 2.1.5 Ok\n550 5.1.1 <no@v>: no such "
		   "user\n250 2.1.5 Ok\n250 2.1.5 Ok\n"
		   "452 4.5.3 Error: too many recipients\n"
		   "452 4.5.3 Error: too many recipients\n" GO354 QUEUED,
	    "" },
	{ "parameters", 0,
	    "EHLO a\r\nMAIL FROM:<x@y> SIZE=501\r\nMAIL FROM:<x@y> SIZE=x\r\n"
	    "MAIL FROM:<x@y> SIZE=1 SIZE=1\r\nMAIL FROM:<x@y> FOO=1\r\n"
	    "MAIL FROM:<\xc3\xbc@y>\r\n"
	    "MAIL FROM:<\xc3\xbc@y> SMTPUTF8 BODY=8BITMIME SIZE=500 RET=hdrs "
	    "ENVID=a+2Bb\r\nRCPT TO:<u@v> NOTIFY=NEVER,DELAY\r\n"
	    "RCPT TO:<u@v> NOTIFY=DELAY,failure ORCPT=rfc822;a+2Bb\r\n",
	    EHLO "552 5.3.4 Message size exceeds fixed limit\n"
		 "501 5.5.4 Error: bad parameter\n"
		 "501 5.5.4 Error: bad parameter\n"
		 "555 5.5.4 Error: unsupported parameter\n"
		 "553 5.6.7 Address needs SMTPUTF8\n250 2.1.0 Ok\n"
		 "501 5.5.4 Error: bad parameter\n250 2.1.5 Ok\n",
	    NULL },
	{ "memory short at MAIL", 0,
	    "EHLO a\r\nMAIL FROM:<full@y>\r\nMAIL FROM:<x@y>\r\n",
	    EHLO "452 4.3.1 Insufficient system resources\n250 2.1.0 Ok\n",
	    NULL },
	{ "storage short at DATA: the transaction stays", 0,
	    "EHLO a\r\nMAIL FROM:<closed@y>\r\nRCPT TO:<u@v>\r\nDATA\r\n"
	    "DATA\r\nQUIT\r\n",
	    EHLO "250 2.1.0 Ok\n250 2.1.5 Ok\n"
		 "554 5.5.0 Error: SMTP protocol synchronization\n",
	    NULL },
	{ "storage short at DATA", 0,
	    "EHLO a\r\nMAIL FROM:<closed@y>\r\nRCPT TO:<u@v>\r\nDATA\r\n|"
	    "DATA\r\n|QUIT\r\n",
	    EHLO "250 2.1.0 Ok\n250 2.1.5 Ok\n"
		 "452 4.3.1 Insufficient system storage\n"
		 "452 4.3.1 Insufficient system storage\n" BYE,
	    NULL },
	{ "storage short at BDAT: the chunk is dropped", 0,
	    "EHLO a\r\nMAIL FROM:<closed@y>\r\nRCPT TO:<u@v>\r\n"
	    "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nQUIT\r\n",
	    EHLO "250 2.1.0 Ok\n250 2.1.5 Ok\n"
		 "452 4.3.1 Insufficient system storage\n"
		 "503 5.5.1 Error: need MAIL command\n" BYE,
	    "" },
	{ "queue lost in the body", 0,
	    "EHLO a\r\nMAIL FROM:<lost@y>\r\nRCPT TO:<u@v>\r\nDATA\r\n|"
	    "a\r\n.\r\nNOOP\r\n",
	    EHLO "250 2.1.0 Ok\n250 2.1.5 Ok\n" GO354
		 "451 4.3.0 Error: queue file write error\n250 2.0.0 Ok\n",
	    NULL },
	{ "queue fails at the end", 0,
	    "EHLO a\r\nMAIL FROM:<broken@y>\r\nRCPT TO:<u@v>\r\nDATA\r\n|"
	    "a\r\n.\r\nNOOP\r\n",
	    EHLO "250 2.1.0 Ok\n250 2.1.5 Ok\n" GO354
		 "451 4.3.0 Error: queue file write error\n250 2.0.0 Ok\n",
	    "a\r\n" },
	{ "text before 354", 0, START "DATA\r\nx", /* see test_synchronous */
	    OPENED "554 5.5.0 Error: SMTP protocol synchronization\n", NULL },
	{ "only CRLF.CRLF ends DATA", 0,
	    START "DATA\r\n|a\n.\nMAIL FROM:<evil@y>\r\n.\r\nNOOP\r\n",
	    OPENED GO354 BARE, NULL },
	{ "LF.CRLF", 0, START "DATA\r\n|a\n.\r\nQUIT\r\n.\r\nNOOP\r\n",
	    OPENED GO354 BARE, NULL },
	{ "CRLF.LF", 0, START "DATA\r\n|a\r\n.\nQUIT\r\n.\r\nNOOP\r\n",
	    OPENED GO354 BARE, NULL },
	{ "CR.CRLF", 0, START "DATA\r\n|a\r.\r\nQUIT\r\n.\r\nNOOP\r\n",
	    OPENED GO354 BARE, NULL },
	{ "CRLF.CR", 0, START "DATA\r\n|a\r\n.\rQUIT\r\n.\r\nNOOP\r\n",
	    OPENED GO354 BARE, NULL },
	{ "normalised", NORMALISE, START "DATA\r\n|a\n.\nb\rc\r\n.\r\nNOOP\r\n",
	    OPENED GO354 QUEUED "250 2.0.0 Ok\n", "a\r\n.\r\nb\r\nc\r\n" },
	{ "commands that end with LF, normalised", NORMALISE, "EHLO a\nNOOP\n",
	    EHLO "250 2.0.0 Ok\n", NULL },
	{ "commands that end with LF", 0, "EHLO a\nNOOP\n",
	    "550 5.5.2 Error: bare <LF> received\n", NULL },
	{ "line length at its limit", 0,
	    "NOOP " X10 X10 X10 X10 X10 X10 X10 X10 X10 "12345\r\n"
	    "NOOP " X10 X10 X10 X10 X10 X10 X10 X10 X10 "123456\r\n"
	    "NOOP " X100 X100 X100 X100 "\r\nNOOP\r\n",
	    "250 2.0.0 Ok\n500 5.5.2 Error: command too long\n"
	    "500 5.5.2 Error: command too long\n250 2.0.0 Ok\n",
	    NULL },
	{ "too long behind a RCPT", 0,
	    START "RCPT TO:<u@v> " X100 "\r\nRCPT TO:<u@v>\r\n",
	    OPENED "500 5.5.2 Error: command too long\n250 2.1.5 Ok\n", NULL },
	{ "hard error limit", 0,
	    "A\r\nB\r\nC\r\nD\r\nE\r\nF\r\nG\r\nH\r\nI\r\nJ\r\n",
	    "500 5.5.2 Error: command not recognized\n"
	    "500 5.5.2 Error: command not recognized\n"
	    "500 5.5.2 Error: command not recognized\n"
	    "500 5.5.2 Error: command not recognized\n"
	    "500 5.5.2 Error: command not recognized\n"
	    "500 5.5.2 Error: command not recognized\n"
	    "500 5.5.2 Error: command not recognized\n"
	    "500 5.5.2 Error: command not recognized\n"
	    "421 4.7.0 too many errors\n",
	    NULL },
	{ "size limit at its limit", 0,
	    START "DATA\r\n|" X100 X100 X100 X100
		  "12345678901234567890123456789012345678901234567890"
		  "123456789012345678901234567890123456789012345678\r\n.\r\n",
	    OPENED GO354 QUEUED, NULL },
	{ "size limit, one above", 0,
	    START "DATA\r\n|" X100 X100 X100 X100
		  "12345678901234567890123456789012345678901234567890"
		  "1234567890123456789012345678901234567890123456789\r\n.\r\n"
		  "NOOP\r\n",
	    OPENED GO354 "552 5.3.4 Error: message too big\n250 2.0.0 Ok\n",
	    NULL },
	{ "too many hops", 0,
	    START "DATA\r\n|Received: 1\r\nReceived: 2\r\nReceived: 3\r\n"
		  "Received: 4\r\n\r\n.\r\nNOOP\r\n",
	    OPENED GO354 "554 5.4.6 Error: too many hops\n250 2.0.0 Ok\n",
	    NULL },
	{ "BDAT", 0, START "BDAT 5\r\nA: b\rBDAT 4 LAST\r\n\n\r\n.QUIT\r\n",
	    OPENED "250 2.0.0 Ok\n" QUEUED BYE, "A: b\r\n\r\n." },
	{ "BDAT, nothing last", 0,
	    START "BDAT 3\r\n.\r\nBDAT 0 LAST\r\nQUIT\r\n",
	    OPENED "250 2.0.0 Ok\n" QUEUED BYE, ".\r\n" },
	{ "BDAT with a bare LF over two chunks", 0,
	    START "BDAT 2\r\naxBDAT 2 LAST\r\n\nbQUIT\r\n",
	    OPENED "250 2.0.0 Ok\n" BARE, NULL },
	{ "BDAT that ends with CR", 0, START "BDAT 2 LAST\r\na\rQUIT\r\n",
	    OPENED BARE, NULL },
	{ "BDAT that ends with CR, normalised", NORMALISE,
	    START "BDAT 2 LAST\r\na\rQUIT\r\n", OPENED QUEUED BYE, "a\r\n" },
	{ "BDAT without a transaction", 0,
	    "BDAT 6\r\nQUIT\r\nEHLO a\r\nBDAT 6 LAST\r\nQUIT\r\n"
	    "MAIL FROM:<x@y>\r\nBDAT 6\r\nQUIT\r\nRCPT TO:<u@v>\r\n",
	    "503 5.5.1 Error: send HELO/EHLO first\n" EHLO
	    "503 5.5.1 Error: need MAIL command\n250 2.1.0 Ok\n"
	    "503 5.5.1 Error: need RCPT command\n250 2.1.5 Ok\n",
	    NULL },
	{ "BDAT and DATA do not mix", 0,
	    START "BDAT 1\r\nxDATA\r\nRCPT TO:<u@v>\r\nNOOP\r\nRSET\r\n"
		  "BDAT 1 LAST\r\nx",
	    OPENED "250 2.0.0 Ok\n503 5.5.1 Error: not allowed between BDAT "
		   "chunks\n503 5.5.1 Error: not allowed between BDAT "
		   "chunks\n250 2.0.0 Ok\n250 2.0.0 Ok\n"
		   "503 5.5.1 Error: need MAIL command\n",
	    NULL },
	{ "BDAT larger than the limit, by chunks", 0,
	    START "BDAT 400\r\n" X100 X100 X100 X100 "BDAT 200\r\n" X100 X100
		  "BDAT 1 LAST\r\nxNOOP\r\n",
	    OPENED "250 2.0.0 Ok\n552 5.3.4 Error: message too big\n"
		   "503 5.5.1 Error: need MAIL command\n250 2.0.0 Ok\n",
	    NULL },
	{ "BDAT larger than the limit, at once", 0,
	    START "BDAT 501 LAST\r\n" X100 X100 X100 X100 X100 "xNOOP\r\n",
	    OPENED "552 5.3.4 Error: message too big\n250 2.0.0 Ok\n", NULL },
	{ "BDAT far too large", 0, START "BDAT 2147483648 LAST\r\nx",
	    OPENED "552 5.3.4 Message size exceeds fixed limit\n", NULL },
	{ "BDAT in crumbs", 0, START CRUMBS CRUMBS CRUMBS CRUMBS "NOOP\r\n",
	    OPENED OK5 OK5 "250 2.0.0 Ok\n250 2.0.0 Ok\n250 2.0.0 Ok\n"
			   "250 2.0.0 Ok\n421 4.7.0 too many errors\n",
	    NULL },
	{ "BDAT with nonsense", 0, START "BDAT -1\r\nQUIT\r\n",
	    OPENED "501 5.5.4 Syntax: BDAT count [LAST]\n", NULL },
	{ "BDAT overflow", 0, START "BDAT 9223372036854775808\r\nQUIT\r\n",
	    OPENED "501 5.5.4 Syntax: BDAT count [LAST]\n", NULL },
	{ "LMTP", LMTP,
	    "EHLO a\r\nLHLO a\r\nMAIL FROM:<x@y>\r\nRCPT TO:<u@v>\r\n"
	    "RCPT TO:<no@v>\r\nRCPT TO:<w@v>\r\nDATA\r\n|a\r\n.\r\nQUIT\r\n",
	    "500 5.5.1 Error: this is LMTP, send LHLO\n" EHLO
	    "250 2.1.0 Ok\n250 2.1.5 Ok\n550 5.1.1 <no@v>: no such user\n"
	    "250 2.1.5 Ok\n" GO354 QUEUED QUEUED BYE,
	    "a\r\n" },
	{ "LMTP, failed", LMTP,
	    "LHLO a\r\nMAIL FROM:<broken@y>\r\nRCPT TO:<u@v>\r\n"
	    "RCPT TO:<w@v>\r\nBDAT 1\r\nxBDAT 0 LAST\r\nQUIT\r\n",
	    EHLO "250 2.1.0 Ok\n250 2.1.5 Ok\n250 2.1.5 Ok\n250 2.0.0 Ok\n"
		 "451 4.3.0 Error: queue file write error\n"
		 "451 4.3.0 Error: queue file write error\n" BYE,
	    NULL },
	{ "LHLO is not SMTP", 0, "LHLO a\r\n",
	    "500 5.5.2 Error: command not recognized\n", NULL },
	{ "soft_bounce", SOFT,
	    "EHLO a\r\nXX\r\nMAIL FROM:<x@y>\r\nRCPT TO:<no@v>\r\n",
	    EHLO "400 4.5.2 Error: command not recognized\n250 2.1.0 Ok\n"
		 "450 4.1.1 <no@v>: no such user\n",
	    NULL },
	{ "draining", DRAINING, "EHLO a\r\nMAIL FROM:<x@y>\r\n",
	    "421 4.3.2 Service shutting down, try again later\n", NULL },
	{ "junk", 0,
	    "NOOP\r\nNOOP\r\nNOOP\r\nVRFY a\r\nRSET\r\nEHLO a\r\n"
	    "NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n"
	    "NOOP\r\nNOOP\r\nNOOP\r\n",
	    "250 2.0.0 Ok\n250 2.0.0 Ok\n250 2.0.0 Ok\n"
	    "252 2.0.0 Cannot verify, but will take a message\n"
	    "250 2.0.0 Ok\n" EHLO
	    "250 2.0.0 Ok\n250 2.0.0 Ok\n250 2.0.0 Ok\n250 2.0.0 Ok\n"
	    "250 2.0.0 Ok\n250 2.0.0 Ok\n250 2.0.0 Ok\n250 2.0.0 Ok\n"
	    "421 4.7.0 too many errors\n",
	    NULL },
};

/* The replies with LF for line ends, without the greeting. */
static void
assert_sent(const struct driver *d, const char *want)
{
	char got[SENT_MAX];
	size_t len = 0;

	for (size_t i = 0; i < d->sent_len; i++)
		if (d->sent[i] != '\r')
			got[len++] = d->sent[i];
	got[len] = '\0';
	assert_memory_equal(got, "220 h ESMTP\n", 12);
	assert_string_equal(got + 12, want);
}

/* The text in pieces, waiting where a "|" stands. */
static void
play_parts(struct driver *d, const char *in, size_t first, size_t size)
{
	static char buf[SENT_MAX];
	size_t have = 0, seen = 0, left;

	d->io.out = d->out;
	d->io.out_size = sizeof(d->out);
	d->io.spare = d->spare;
	d->io.spare_size = sizeof(d->spare);
	smtps_banner(&d->s, &d->io);
	flush(d);
	while (*in != '\0' && !d->closed) {
		size_t n = first > seen ? first - seen : size;
		size_t part = strcspn(in, "|");

		if (n > part)
			n = part;
		memcpy(buf + have, in, n);
		have += n;
		seen += n;
		in += n;
		if (n == part && *in == '|')
			in++;
		left = run(d, buf, have);
		memmove(buf, buf + have - left, left);
		have = left;
	}
}

static void
check_row(size_t i, bool late, size_t first, size_t size)
{
	static struct driver d;
	const char *body = rows[i].body;

	driver_init(&d, rows[i].flags);
	d.late = late;
	play_parts(&d, rows[i].in, first, size);
	assert_sent(&d, rows[i].out);
	if (body != NULL) {
		assert_int_equal(d.body_len, strlen(body));
		assert_memory_equal(d.body, body, d.body_len);
	}
}

static bool
is_about_pieces(size_t i)
{
	/* What a client sends too early is seen only when it is there. */
	return strstr(rows[i].out, "synchronization") != NULL;
}

static void
test_dialogues(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("  %s\n", rows[i].why);
		check_row(i, false, 0, SENT_MAX);
		check_row(i, true, 0, SENT_MAX);
		if (is_about_pieces(i))
			continue;
		check_row(i, false, 0, 1);
		check_row(i, true, 0, 1);
		check_row(i, true, 0, 7);
		for (size_t at = 1; at < strlen(rows[i].in); at++)
			check_row(i, at & 1, at, SENT_MAX);
	}
}

/* Past the soft limit every reply waits. */
static void
test_pause(void **state)
{
	static struct driver d;

	(void)state;
	driver_init(&d, 0);
	play_parts(&d,
	    "EHLO a\r\nDATA\r\nDATA\r\nDATA\r\nDATA\r\nDATA\r\n"
	    "DATA\r\nDATA\r\n",
	    0, SENT_MAX);
	assert_int_equal(d.pauses, 0);
	assert_int_equal(d.s.error_count, 7);
	d.sent_len = 0;
	play_parts(&d, "DATA\r\nNOOP\r\n", 0, SENT_MAX);
	assert_true(d.pauses >= 2);
}

/* A delivered message forgives what was before. */
static void
test_good_mail_resets_errors(void **state)
{
	static struct driver d;

	(void)state;
	driver_init(&d, 0);
	play_parts(&d, "XX\r\nXX\r\n" START "DATA\r\n|.\r\n", 0, SENT_MAX);
	assert_int_equal(d.s.error_count, 0);
	assert_int_equal(d.s.junk_count, 0);
	assert_int_equal(d.s.errors_new, 2);
}

static void
test_counts_and_rejects(void **state)
{
	static struct driver d;
	char doing[64];

	(void)state;
	driver_init(&d, 0);
	smtps_doing(&d.s, doing, sizeof(doing));
	assert_string_equal(doing, "CONNECT");
	play_parts(&d,
	    START "RCPT TO:<no@v>\r\nRCPT TO:<relay@v>\r\nDATA\r\n|abc", 0,
	    SENT_MAX);
	assert_int_equal(d.rejects, 2);
	smtps_doing(&d.s, doing, sizeof(doing));
	assert_string_equal(doing, "DATA (3 bytes)");
	assert_int_equal(d.s.counts[SMTP_RCPT].all, 3);
	assert_int_equal(d.s.counts[SMTP_RCPT].good, 1);
	assert_int_equal(d.s.counts[SMTP_DATA].good, 0);
	smtps_hangup(&d.s, &d.io, SMTPS_REPLY_TIMEOUT);
	assert_int_equal(smtps_next(&d.s, &d.io), SMTPS_STEP_CLOSE);
	smtps_hangup(&d.s, &d.io, SMTPS_REPLY_TIMEOUT);
	assert_int_equal(d.io.out_len,
	    strlen("421 4.4.2 timeout exceeded\r\n"));
}

/* A body that fails is given up once, and read to its end. */
static void
test_abort_once(void **state)
{
	static struct driver d;

	(void)state;
	for (size_t size = 1; size < 40; size++) {
		driver_init(&d, 0);
		play_parts(&d, START "DATA\r\n|a\nb\nc\nd\ne\nf\r\n.\r\n", 0,
		    size);
		assert_int_equal(d.aborts, 1);
		assert_true(d.closed);
	}
}

/* Foreign text in replies is made harmless. */
static void
test_refusal_text(void **state)
{
	static struct driver d;
	struct smtps_refusal why;

	(void)state;
	driver_init(&d, 0);
	d.io.out = d.out;
	d.io.out_size = sizeof(d.out);
	play_parts(&d, "EHLO a\r\n", 0, SENT_MAX);
	d.sent_len = 0;
	why = smtps_why_text(550, slice_str("x\r\n"), slice_str("a\r\nb\xff"));
	smtps_refuse(&d.s, &d.io, &why);
	flush(&d);
	d.sent[d.sent_len] = '\0';
	assert_string_equal(d.sent, "550 5.3.0 a??b?\r\n");
	why = smtps_why_text(250, slice_str("2.0.0"), slice_str("x"));
	assert_int_equal(why.code, 451);
	assert_string_equal(why.status, "4.3.0");
}

/* The longest of everything fits into a reply. */
static void
test_longest_reply(void **state)
{
	static struct driver d;
	static char text[5000];
	struct smtps_refusal why;

	(void)state;
	driver_init(&d, 0);
	memset(text, 'x', sizeof(text));
	play_parts(&d, "EHLO a\r\n", 0, SENT_MAX);
	why = smtps_why_text(550, slice_str("5.100.1000"),
	    slice_of(text, sizeof(text)));
	d.sent_len = 0;
	smtps_refuse(&d.s, &d.io, &why);
	assert_int_equal(d.io.out_len, SMTPS_REPLY_BYTES);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialogues),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_good_mail_resets_errors),
		cmocka_unit_test(test_counts_and_rejects),
		cmocka_unit_test(test_abort_once),
		cmocka_unit_test(test_refusal_text),
		cmocka_unit_test(test_longest_reply),
	};

	return cmocka_run_group_tests_name("smtp_server", tests, NULL, NULL);
}
