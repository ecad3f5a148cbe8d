/*
 * The client machine: each row is a dialogue with a scripted server, fed
 * whole, octet by octet and at every split; what the machine says and tells
 * must be the trace.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "proto/smtp_client.h"

enum { SERVER_MAX = 16, RCPT_MAX = 4, TRACE_BYTES = 4096 };

/* A message to be sent; sender NULL: none. */
struct message {
	const char *sender;
	const char *rcpts[RCPT_MAX];
	const char *orcpt; /* of every recipient */
	const char *envid;
	uint32_t flags;
	uint64_t size;
	uint8_t notify, ret;
};

#define EHLO_ALL                                                       \
	"250-h\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n" \
	"250-SMTPUTF8\r\n250 DSN\r\n"

static const struct {
	const char *why;
	bool lmtp;
	struct message messages[2];	/* then QUIT */
	const char *server[SERVER_MAX]; /* one for each silence */
	const char *trace;
} rows[] = {
	{ "one message, plain server", false,
	    { { "a@x", { "b@y" }, .size = 5 } },
	    { "220 h\r\n", "250 h\r\n", "250 ok\r\n", "250 ok\r\n",
		"354 go\r\n", "250 2.0.0 queued\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x>| >RCPT TO:<b@y>| >DATA| BODY "
	    "*=250/2.0.0(end of DATA command) END >QUIT| QUIT" },
	{ "pipelined with all parameters", false,
	    { { "a@x", { "b@y", "c@z" }, "rfc822;q@y", "id+2B", ENVELOPE_8BIT,
		5, NOTIFY_SUCCESS | NOTIFY_DELAY, RET_HDRS } },
	    { "220 h\r\n", EHLO_ALL, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n",
		"250 2.6.0 queued\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x> SIZE=5 BODY=8BITMIME RET=HDRS "
	    "ENVID=id+2B|RCPT TO:<b@y> NOTIFY=SUCCESS,DELAY "
	    "ORCPT=rfc822;q@y|RCPT TO:<c@z> NOTIFY=SUCCESS,DELAY "
	    "ORCPT=rfc822;q@y|DATA| BODY *=250/2.6.0(end of DATA command) "
	    "END >QUIT| QUIT" },
	{ "null sender, NOTIFY=NEVER", false,
	    { { "", { "b@y" }, .notify = NOTIFY_NEVER, .ret = RET_FULL } },
	    { "220 h\r\n", EHLO_ALL, "250 ok\r\n250 ok\r\n354 go\r\n",
		"250 ok\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<> SIZE=0 RET=FULL|RCPT TO:<b@y> "
	    "NOTIFY=NEVER|DATA| BODY *=250/2.0.0(end of DATA command) END "
	    ">QUIT| QUIT" },
	{ "EHLO unknown: HELO, nothing offered", false,
	    { { "a@x", { "b@y" }, .flags = ENVELOPE_8BIT, .ret = RET_FULL } },
	    { "220 h\r\n", "502 what\r\n", "250 h\r\n", "250 ok\r\n",
		"250 ok\r\n", "354 go\r\n", "250 ok\r\n", "221 bye\r\n" },
	    ">EHLO me| >HELO me| READY >MAIL FROM:<a@x>| >RCPT TO:<b@y>| "
	    ">DATA| BODY *=250/2.0.0(end of DATA command) END >QUIT| QUIT" },
	{ "greeting refuses", false, { { "a@x", { "b@y" } } },
	    { "554 5.7.1 go away\r\n" }, "REFUSED554" },
	{ "greeting is temporary", false, { { "a@x", { "b@y" } } },
	    { "421 4.3.2 busy\r\n" }, "REFUSED421" },
	{ "greeting with another 2xx", false, { { "a@x", { "b@y" } } },
	    { "250 ok\r\n" }, "REFUSED250" },
	{ "EHLO deferred: no HELO", false, { { "a@x", { "b@y" } } },
	    { "220 h\r\n", "451 later\r\n" }, ">EHLO me| REFUSED451" },
	{ "HELO refused too", false, { { "a@x", { "b@y" } } },
	    { "220 h\r\n", "500 no\r\n", "550 no\r\n" },
	    ">EHLO me| >HELO me| REFUSED550" },
	{ "LHLO has no fallback", true, { { "a@x", { "b@y" } } },
	    { "220 h\r\n", "500 no\r\n" }, ">LHLO me| REFUSED500" },
	{ "a server that talks before EHLO", false, { { "a@x", { "b@y" } } },
	    { "220 h\r\n250 h\r\n" }, "BROKEN1" },
	{ "MAIL refused, not pipelined: RSET is not needed", false,
	    { { "a@x", { "b@y" } }, { "c@x", { "d@y" } } },
	    { "220 h\r\n", "250 h\r\n", "550 5.1.8 no\r\n", "250 ok\r\n",
		"250 ok\r\n", "354 go\r\n", "250 ok\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x>| *=550/5.1.8(MAIL FROM "
	    "command) END >MAIL FROM:<c@x>| >RCPT TO:<d@y>| >DATA| BODY "
	    "*=250/2.0.0(end of DATA command) END >QUIT| QUIT" },
	{ "MAIL refused, pipelined: the rest is swallowed", false,
	    { { "a@x", { "b@y", "c@y" } } },
	    { "220 h\r\n", EHLO_ALL,
		"450 4.1.8 no\r\n503 x\r\n503 x\r\n503 x\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x> SIZE=0|RCPT TO:<b@y>|RCPT "
	    "TO:<c@y>|DATA| *=450/4.1.8(MAIL FROM command) END >QUIT| "
	    "QUIT" },
	{ "MAIL refused, 354 all the same: the lone dot", false,
	    { { "a@x", { "b@y" } } },
	    { "220 h\r\n", EHLO_ALL, "550 no\r\n503 x\r\n354 go\r\n",
		"554 no recipients\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x> SIZE=0|RCPT TO:<b@y>|DATA| "
	    "*=550/5.0.0(MAIL FROM command) >.| END >QUIT| QUIT" },
	{ "one recipient of two refused", false,
	    { { "a@x", { "b@y", "c@y" } } },
	    { "220 h\r\n", "250 h\r\n", "250 ok\r\n", "550 5.1.1 no\r\n",
		"250 ok\r\n", "354 go\r\n", "250 ok\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x>| >RCPT TO:<b@y>| "
	    "0=550/5.1.1(RCPT TO command) >RCPT TO:<c@y>| >DATA| BODY "
	    "*=250/2.0.0(end of DATA command) END >QUIT| QUIT" },
	{ "all recipients refused: no DATA, RSET before the next", false,
	    { { "a@x", { "b@y", "c@y" } }, { "c@x", { "d@y" } } },
	    { "220 h\r\n", "250 h\r\n", "250 ok\r\n", "550 5.1.1 no\r\n",
		"450 4.2.0 no\r\n", "250 reset\r\n", "250 ok\r\n", "250 ok\r\n",
		"354 go\r\n", "250 ok\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x>| >RCPT TO:<b@y>| "
	    "0=550/5.1.1(RCPT TO command) >RCPT TO:<c@y>| 1=450/4.2.0(RCPT "
	    "TO command) END >RSET| >MAIL FROM:<c@x>| >RCPT TO:<d@y>| >DATA| "
	    "BODY *=250/2.0.0(end of DATA command) END >QUIT| QUIT" },
	{ "all refused, pipelined, DATA refused: RSET rides along", false,
	    { { "a@x", { "b@y" } }, { "c@x", { "d@y" } } },
	    { "220 h\r\n", EHLO_ALL, "250 ok\r\n550 no\r\n503 x\r\n",
		"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", "250 ok\r\n",
		"221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x> SIZE=0|RCPT TO:<b@y>|DATA| "
	    "0=550/5.0.0(RCPT TO command) END >RSET|MAIL FROM:<c@x> "
	    "SIZE=0|RCPT TO:<d@y>|DATA| BODY *=250/2.0.0(end of DATA "
	    "command) END >QUIT| QUIT" },
	{ "all refused, 354 all the same", false, { { "a@x", { "b@y" } } },
	    { "220 h\r\n", EHLO_ALL, "250 ok\r\n550 no\r\n354 go\r\n",
		"250 empty\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x> SIZE=0|RCPT TO:<b@y>|DATA| "
	    "0=550/5.0.0(RCPT TO command) >.| END >QUIT| QUIT" },
	{ "DATA refused", false, { { "a@x", { "b@y" } } },
	    { "220 h\r\n", EHLO_ALL,
		"250 ok\r\n250 ok\r\n451 4.3.0 not now\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x> SIZE=0|RCPT TO:<b@y>|DATA| "
	    "*=451/4.3.0(DATA command) END >QUIT| QUIT" },
	{ "250 to DATA is out of step: temporary", false,
	    { { "a@x", { "b@y" } } },
	    { "220 h\r\n", EHLO_ALL, "250 ok\r\n250 ok\r\n250 ok\r\n",
		"221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x> SIZE=0|RCPT TO:<b@y>|DATA| "
	    "*=451/4.5.0(DATA command) END >QUIT| QUIT" },
	{ "354 to MAIL is out of step: temporary", false,
	    { { "a@x", { "b@y" } } },
	    { "220 h\r\n", "250 h\r\n", "354 go\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x>| *=451/4.5.0(MAIL FROM "
	    "command) END >QUIT| QUIT" },
	{ "the body is refused", false, { { "a@x", { "b@y" } } },
	    { "220 h\r\n", "250 h\r\n", "250 ok\r\n", "250 ok\r\n",
		"354 go\r\n", "554 5.7.1 spam\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x>| >RCPT TO:<b@y>| >DATA| BODY "
	    "*=554/5.7.1(end of DATA command) END >QUIT| QUIT" },
	{ "two messages on one session", false,
	    { { "a@x", { "b@y" } }, { "c@x", { "d@y" } } },
	    { "220 h\r\n", EHLO_ALL, "250 ok\r\n250 ok\r\n354 go\r\n",
		"250 ok\r\n", "250 ok\r\n250 ok\r\n354 go\r\n", "250 ok\r\n",
		"221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x> SIZE=0|RCPT TO:<b@y>|DATA| "
	    "BODY *=250/2.0.0(end of DATA command) END >MAIL FROM:<c@x> "
	    "SIZE=0|RCPT TO:<d@y>|DATA| BODY *=250/2.0.0(end of DATA "
	    "command) END >QUIT| QUIT" },
	{ "LMTP: a reply for each accepted recipient", true,
	    { { "a@x", { "b@y", "c@y", "d@y" } } },
	    { "220 h\r\n", EHLO_ALL,
		"250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n",
		"250 b\r\n452 4.2.2 full\r\n", "221 bye\r\n" },
	    ">LHLO me| READY >MAIL FROM:<a@x> SIZE=0|RCPT TO:<b@y>|RCPT "
	    "TO:<c@y>|RCPT TO:<d@y>|DATA| 1=550/5.0.0(RCPT TO command) BODY "
	    "0=250/2.0.0(end of DATA command) 2=452/4.2.2(end of DATA "
	    "command) END >QUIT| QUIT" },
	{ "LMTP: 354 with nobody accepted", true, { { "a@x", { "b@y" } } },
	    { "220 h\r\n", EHLO_ALL, "250 ok\r\n550 no\r\n354 go\r\n" },
	    ">LHLO me| READY >MAIL FROM:<a@x> SIZE=0|RCPT TO:<b@y>|DATA| "
	    "0=550/5.0.0(RCPT TO command) BROKEN1" },
	{ "larger than SIZE: not even tried", false,
	    { { "a@x", { "b@y" }, .size = 1001 },
		{ "c@x", { "d@y" }, .size = 1000 } },
	    { "220 h\r\n", EHLO_ALL, "250 ok\r\n250 ok\r\n354 go\r\n",
		"250 ok\r\n", "221 bye\r\n" },
	    ">EHLO me| READY *=552/5.3.4 END >MAIL FROM:<c@x> SIZE=1000|RCPT "
	    "TO:<d@y>|DATA| BODY *=250/2.0.0(end of DATA command) END "
	    ">QUIT| QUIT" },
	{ "SIZE 0 and SIZE without a number are no limit", false,
	    { { "a@x", { "b@y" }, .size = 1 << 30 } },
	    { "220 h\r\n", "250-h\r\n250-SIZE 0\r\n250 size\r\n", "250 ok\r\n",
		"250 ok\r\n", "354 go\r\n", "250 ok\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x> SIZE=1073741824| >RCPT "
	    "TO:<b@y>| >DATA| BODY *=250/2.0.0(end of DATA command) END "
	    ">QUIT| QUIT" },
	{ "UTF-8 address to a server without SMTPUTF8", false,
	    { { "a@x", { "b\xc3\xa9@y" } } },
	    { "220 h\r\n", "250 h\r\n", "221 bye\r\n" },
	    ">EHLO me| READY *=553/5.6.7 END >QUIT| QUIT" },
	{ "SMTPUTF8 message with UTF-8 in it, not offered", false,
	    { { "a@x", { "b@y" }, .flags = ENVELOPE_UTF8 | ENVELOPE_8BIT } },
	    { "220 h\r\n", "250 h\r\n", "221 bye\r\n" },
	    ">EHLO me| READY *=553/5.6.7 END >QUIT| QUIT" },
	{ "SMTPUTF8 declared by a pure ASCII message goes anywhere", false,
	    { { "a@x", { "b@y" }, .flags = ENVELOPE_UTF8 } },
	    { "220 h\r\n", "250 h\r\n", "250 ok\r\n", "250 ok\r\n",
		"354 go\r\n", "250 ok\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x>| >RCPT TO:<b@y>| >DATA| BODY "
	    "*=250/2.0.0(end of DATA command) END >QUIT| QUIT" },
	{ "SMTPUTF8 offered and needed", false, { { "a@x", { "\xc3\xa9@y" } } },
	    { "220 h\r\n", EHLO_ALL, "250 ok\r\n250 ok\r\n354 go\r\n",
		"250 ok\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x> SIZE=0 SMTPUTF8|RCPT "
	    "TO:<\xc3\xa9@y>|DATA| BODY *=250/2.0.0(end of DATA command) "
	    "END >QUIT| QUIT" },
	{ "addresses that would break the command", false,
	    { { "a@x", { "b@y\r\nDATA", "c@y> <", "\"a b>\"@y" } } },
	    { "220 h\r\n", "250 h\r\n", "250 ok\r\n", "250 ok\r\n",
		"354 go\r\n", "250 ok\r\n", "221 bye\r\n" },
	    ">EHLO me| READY 0=553/5.1.3 1=553/5.1.3 >MAIL FROM:<a@x>| "
	    ">RCPT TO:<\"a b>\"@y>| >DATA| BODY *=250/2.0.0(end of DATA "
	    "command) END >QUIT| QUIT" },
	{ "no good address at all: nothing is said", false,
	    { { "a@x", { "b\x01@y" } } },
	    { "220 h\r\n", "250 h\r\n", "221 bye\r\n" },
	    ">EHLO me| READY 0=553/5.1.3 END >QUIT| QUIT" },
	{ "a sender that would break the command", false,
	    { { "a@x>\r\nRSET", { "b@y" } } },
	    { "220 h\r\n", "250 h\r\n", "221 bye\r\n" },
	    ">EHLO me| READY *=553/5.1.7 END >QUIT| QUIT" },
	{ "xtext that would break the command is left out", false,
	    { { "a@x", { "b@y" }, "rfc822;a b", "x\r\ny" } },
	    { "220 h\r\n", EHLO_ALL, "250 ok\r\n250 ok\r\n354 go\r\n",
		"250 ok\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x> SIZE=0|RCPT TO:<b@y>|DATA| "
	    "BODY *=250/2.0.0(end of DATA command) END >QUIT| QUIT" },
	{ "421 to RCPT: told, then the session is over", false,
	    { { "a@x", { "b@y", "c@y" } } },
	    { "220 h\r\n", EHLO_ALL, "250 ok\r\n421 4.3.2 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x> SIZE=0|RCPT TO:<b@y>|RCPT "
	    "TO:<c@y>|DATA| 0=421/4.3.2(RCPT TO command) BROKEN2" },
	{ "421 to the dot, LMTP: the others have no reply", true,
	    { { "a@x", { "b@y", "c@y" } } },
	    { "220 h\r\n", EHLO_ALL, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n",
		"421 4.3.2 bye\r\n" },
	    ">LHLO me| READY >MAIL FROM:<a@x> SIZE=0|RCPT TO:<b@y>|RCPT "
	    "TO:<c@y>|DATA| BODY 0=421/4.3.2(end of DATA command) BROKEN2" },
	{ "RSET refused: the state is unknown", false,
	    { { "a@x", { "b@y" } }, { "c@x", { "d@y" } } },
	    { "220 h\r\n", "250 h\r\n", "250 ok\r\n", "550 no\r\n",
		"500 what\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x>| >RCPT TO:<b@y>| "
	    "0=550/5.0.0(RCPT TO command) END >RSET| BROKEN3" },
	{ "more replies than commands", false, { { "a@x", { "b@y" } } },
	    { "220 h\r\n", "250 h\r\n", "250 ok\r\n250 ok\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x>| BROKEN1" },
	{ "garbage", false, { { "a@x", { "b@y" } } },
	    { "220 h\r\n", "250 h\r\n", "what?\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x>| BROKEN1" },
	{ "keywords in any case, unknown ones ignored", false,
	    { { "a@x", { "b@y" } } },
	    { "220 h\r\n",
		"250-h PIPELINING\r\n250-x-y z\r\n250-AUTH=LOGIN\r\n250-\r\n"
		"250 pipelining\r\n",
		"250 ok\r\n250 ok\r\n354 go\r\n", "250 ok\r\n", "221 bye\r\n" },
	    ">EHLO me| READY >MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA| BODY "
	    "*=250/2.0.0(end of DATA command) END >QUIT| QUIT" },
};

struct run {
	struct smtp_client c;
	const struct message *message; /* next to be sent */
	const struct message *end;
	struct smtp_client_txn txn;
	struct smtp_client_rcpt rcpts[RCPT_MAX];
	char trace[TRACE_BYTES];
	bool over;
};

static void PRINTF(2, 3) note(struct run *r, const char *fmt, ...)
{
	size_t len = strlen(r->trace);
	va_list ap;

	if (len > 0)
		r->trace[len++] = ' ';
	va_start(ap, fmt);
	vsnprintf(r->trace + len, sizeof(r->trace) - len, fmt, ap);
	va_end(ap);
}

static void
next_message(struct run *r)
{
	const struct message *m = r->message;

	if (m == r->end || m->sender == NULL) {
		smtp_client_quit(&r->c);
		return;
	}
	memset(r->rcpts, 0, sizeof(r->rcpts));
	r->txn = (struct smtp_client_txn){ .sender = slice_str(m->sender),
		.envid = slice_str(m->envid),
		.ret = m->ret,
		.flags = m->flags,
		.size_bytes = m->size,
		.rcpts = r->rcpts };
	for (unsigned i = 0; i < RCPT_MAX && m->rcpts[i] != NULL; i++) {
		r->rcpts[i].address = slice_str(m->rcpts[i]);
		r->rcpts[i].orcpt = slice_str(m->orcpt);
		r->rcpts[i].notify = m->notify;
		r->txn.rcpt_count++;
	}
	r->message++;
	smtp_client_begin(&r->c, &r->txn);
}

static void
note_result(struct run *r)
{
	const struct smtp_client_result *result = &r->c.result;
	char who[8] = "*", by[64] = "";

	if (!result->all) {
		snprintf(who, sizeof(who), "%u", result->rcpt);
		assert_int_equal(r->rcpts[result->rcpt].state,
		    SMTP_RCPT_RESULT);
	}
	if (result->kind == SMTP_RESULT_REPLY)
		snprintf(by, sizeof(by), "(%s)", result->command);
	note(r, "%s=%d/%s%s", who, result->code, result->status, by);
}

static void
act(struct run *r, enum smtp_client_step step)
{
	switch (step) {
	case SMTP_STEP_READY:
		note(r, "READY");
		next_message(r);
		break;
	case SMTP_STEP_END:
		note(r, "END");
		for (unsigned i = 0; i < r->txn.rcpt_count; i++)
			assert_int_equal(r->rcpts[i].state, SMTP_RCPT_DONE);
		next_message(r);
		break;
	case SMTP_STEP_RESULT: note_result(r); break;
	case SMTP_STEP_BODY:
		note(r, "BODY");
		smtp_client_body_sent(&r->c);
		break;
	case SMTP_STEP_REFUSED:
		note(r, "REFUSED%d", r->c.reply.code);
		r->over = true;
		break;
	case SMTP_STEP_BROKEN:
		note(r, "BROKEN%d", (int)r->c.broken);
		r->over = true;
		break;
	case SMTP_STEP_QUIT:
		note(r, "QUIT");
		r->over = true;
		break;
	default: fail();
	}
}

static void
say(struct run *r)
{
	char buf[2 * SMTP_CLIENT_COMMAND_BYTES], said[TRACE_BYTES] = "";
	size_t n, len = 0;

	while ((n = smtp_client_output(&r->c, buf, sizeof(buf))) > 0) {
		assert_true(n >= 2 && !memcmp(buf + n - 2, "\r\n", 2));
		for (size_t i = 0; i < n; i++)
			if (buf[i] != '\r')
				said[len++] = buf[i] == '\n' ? '|' : buf[i];
	}
	said[len] = '\0';
	if (len > 0)
		note(r, ">%s", said);
}

static void
feed(struct run *r, struct slice in)
{
	while (!r->over) {
		enum smtp_client_step step = smtp_client_step(&r->c, &in);

		if (step != SMTP_STEP_MORE) {
			act(r, step);
			continue;
		}
		assert_int_equal(in.len, 0);
		return;
	}
}

/* cut: length of each first piece, the rest in pieces of step. */
static void
play(size_t row, size_t cut, size_t step)
{
	static struct run r;

	memset(&r, 0, sizeof(r));
	r.message = rows[row].messages;
	r.end = r.message + ARRAY_LEN(rows[row].messages);
	smtp_client_init(&r.c, rows[row].lmtp, SLICE_LIT("me"));
	for (size_t i = 0; i < SERVER_MAX && rows[row].server[i]; i++) {
		struct slice in = slice_str(rows[row].server[i]);
		size_t at = 0;

		if (r.over)
			fail_msg("%s: over before reply %zu: %s", rows[row].why,
			    i, r.trace);
		while (at < in.len && !r.over) {
			size_t to = at < cut ? cut : at + step;

			feed(&r, slice_sub(in, at, to));
			at = to;
		}
		if (!r.over)
			say(&r);
	}
	if (!r.over || strcmp(r.trace, rows[row].trace) != 0)
		fail_msg("%s (cut %zu, step %zu)\n got  %s\n want %s",
		    rows[row].why, cut, step, r.trace, rows[row].trace);
}

static void
test_dialogues(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		play(i, 0, SIZE_MAX / 2);
		play(i, 0, 1);
		for (size_t cut = 1; cut < 80; cut++)
			play(i, cut, SIZE_MAX / 2);
	}
}

/* However many recipients, at most a window of commands is unanswered. */
static void
test_window(void **state)
{
	enum { COUNT = 3 * SMTP_CLIENT_WINDOW };
	static struct smtp_client_rcpt rcpts[COUNT];
	static struct smtp_client c;
	struct smtp_client_txn t = { .sender = SLICE_LIT("a@x"),
		.rcpts = rcpts,
		.rcpt_count = COUNT };
	char buf[SMTP_CLIENT_COMMAND_BYTES];
	struct slice in = SLICE_LIT("220 h\r\n");
	unsigned said = 0, answered = 0;

	(void)state;
	for (unsigned i = 0; i < COUNT; i++)
		rcpts[i].address = SLICE_LIT("b@y");
	smtp_client_init(&c, false, SLICE_LIT("me"));
	assert_int_equal(smtp_client_step(&c, &in), SMTP_STEP_MORE);
	assert_true(smtp_client_output(&c, buf, sizeof(buf)) > 0);
	in = SLICE_LIT("250-h\r\n250 PIPELINING\r\n");
	assert_int_equal(smtp_client_step(&c, &in), SMTP_STEP_READY);
	smtp_client_begin(&c, &t);
	in = SLICE_NONE;
	assert_int_equal(smtp_client_step(&c, &in), SMTP_STEP_MORE);
	while (answered < COUNT + 1) {
		size_t n;

		while ((n = smtp_client_output(&c, buf, sizeof(buf))) > 0)
			for (size_t i = 0; i < n; i++)
				said += buf[i] == '\n';
		assert_true(said - answered <= SMTP_CLIENT_WINDOW);
		assert_true(said > answered);
		in = SLICE_LIT("250 ok\r\n");
		assert_int_equal(smtp_client_step(&c, &in), SMTP_STEP_MORE);
		answered++;
	}
	assert_int_equal(said, COUNT + 2);
}

/* The longest command that may come fits where it must. */
static void
test_longest(void **state)
{
	static char address[ADDRESS_BYTES_MAX + 2], orcpt[ORCPT_BYTES_MAX + 1];
	static struct smtp_client c;
	struct smtp_client_rcpt rcpt = {
		.notify = NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY
	};
	struct smtp_client_txn t = { .rcpts = &rcpt, .rcpt_count = 1 };
	char buf[SMTP_CLIENT_COMMAND_BYTES];
	struct slice in;

	(void)state;
	memset(address, 'a', sizeof(address));
	memset(orcpt, 'o', sizeof(orcpt));
	for (size_t over = 0; over < 2; over++) {
		rcpt.state = SMTP_RCPT_OPEN;
		rcpt.address = slice_of(address, ADDRESS_BYTES_MAX + over);
		rcpt.orcpt = slice_of(orcpt, ORCPT_BYTES_MAX);
		t.sender = slice_of(address, ADDRESS_BYTES_MAX);
		smtp_client_init(&c, false, SLICE_LIT("me"));
		in = SLICE_LIT("220 h\r\n");
		assert_int_equal(smtp_client_step(&c, &in), SMTP_STEP_MORE);
		assert_true(smtp_client_output(&c, buf, sizeof(buf)) > 0);
		in = slice_str(EHLO_ALL);
		assert_int_equal(smtp_client_step(&c, &in), SMTP_STEP_READY);
		smtp_client_begin(&c, &t);
		in = SLICE_NONE;
		if (over) {
			assert_int_equal(smtp_client_step(&c, &in),
			    SMTP_STEP_RESULT);
			assert_string_equal(c.result.status, "5.1.3");
			continue;
		}
		assert_int_equal(smtp_client_step(&c, &in), SMTP_STEP_MORE);
		assert_true(smtp_client_output(&c, buf, sizeof(buf)) > 512);
		assert_true(smtp_client_output(&c, buf, sizeof(buf)) > 1012);
		assert_int_equal(smtp_client_output(&c, buf, sizeof(buf)), 6);
	}
}

/* What a broken session was doing, in the words of the log. */
static void
test_doing(void **state)
{
	static struct smtp_client c;
	struct smtp_client_rcpt rcpt = { .address = SLICE_LIT("b@y") };
	struct smtp_client_txn t = { .rcpts = &rcpt, .rcpt_count = 1 };
	static const struct {
		const char *in, *doing;
		enum smtp_client_wait wait;
		bool untouched;
	} steps[] = {
		{ "", "receiving the initial server greeting",
		    SMTP_WAIT_GREETING, false },
		{ "220 h\r\n", "performing the EHLO handshake", SMTP_WAIT_HELO,
		    false },
		{ "500 h\r\n", "performing the HELO handshake", SMTP_WAIT_HELO,
		    false },
		{ "250 h\r\n", "sending MAIL FROM", SMTP_WAIT_MAIL, true },
		{ "250 h\r\n", "sending RCPT TO", SMTP_WAIT_RCPT, false },
		{ "250 h\r\n", "sending DATA command", SMTP_WAIT_DATA, false },
		{ "354 h\r\n",
		    "sending end of data -- message may be sent more than "
		    "once",
		    SMTP_WAIT_DOT, false },
	};
	char buf[SMTP_CLIENT_COMMAND_BYTES];

	(void)state;
	smtp_client_init(&c, false, SLICE_LIT("me"));
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct slice in = slice_str(steps[i].in);
		enum smtp_client_step step = smtp_client_step(&c, &in);

		if (step == SMTP_STEP_READY) {
			smtp_client_begin(&c, &t);
			step = smtp_client_step(&c, &in);
		}
		if (step == SMTP_STEP_BODY) {
			assert_string_equal(smtp_client_doing(&c),
			    "sending message body");
			assert_int_equal(smtp_client_waits(&c), SMTP_WAIT_BODY);
			assert_false(smtp_client_sent_dot(&c));
			smtp_client_body_sent(&c);
			assert_true(smtp_client_sent_dot(&c));
		} else
			assert_int_equal(step, SMTP_STEP_MORE);
		assert_string_equal(smtp_client_doing(&c), steps[i].doing);
		assert_int_equal(smtp_client_waits(&c), steps[i].wait);
		assert_int_equal(smtp_client_untouched(&c), steps[i].untouched);
		(void)smtp_client_output(&c, buf, sizeof(buf));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialogues),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_doing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
