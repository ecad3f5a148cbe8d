#include "bounce/compose.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "bounce/text.h"
#include "proto/qmail_report.h"
#include "proto/xtext.h"

enum { SOFT_COLUMN = 72 };

static void
put_boundary(const struct compose *c, struct wr *w)
{
	text_putf(w, "=_weir_%016" PRIx64 "%016" PRIx64, c->boundary[0],
	    c->boundary[1]);
}

static void
put_part(const struct compose *c, struct wr *w, const char *type,
    const char *description, const char *encoding)
{
	text_put(w, "\r\n--");
	put_boundary(c, w);
	text_putf(w, "\r\nContent-Description: %s\r\nContent-Type: %s\r\n",
	    description, type);
	if (encoding != NULL)
		text_putf(w, "Content-Transfer-Encoding: %s\r\n", encoding);
	text_put(w, "\r\n");
}

/* ---- the text for people ---- */

static const struct {
	const char *subject;
	const char *description;
	const char *text;
	const char *action;
} kinds[REPORT_KIND_COUNT] = {
	[REPORT_FAILED] = { "Undelivered Mail Returned to Sender",
	    "Undelivered Message",
	    "Your message could not be delivered to the recipients named\r\n"
	    "below. No further attempts will be made.\r\n",
	    "failed" },
	[REPORT_DELAYED] = { "Delayed Mail (still being retried)",
	    "Delayed Message",
	    "Your message could not be delivered yet to the recipients\r\n"
	    "named below. You do not need to send it again: delivery will\r\n"
	    "be attempted until",
	    "delayed" },
	[REPORT_DELIVERED] = { "Successful Mail Delivery Report",
	    "Delivered Message",
	    "Your message was delivered to the recipients named below, or\r\n"
	    "handed on to a system that does not report deliveries.\r\n",
	    "delivered" },
	[REPORT_DOUBLE] = { "Undelivered Report", "Undelivered Report",
	    "A delivery report, or another message without a sender, could\r\n"
	    "not be delivered to the recipients named below. You get it as\r\n"
	    "the postmaster of this server.\r\n",
	    "failed" },
};

static void
put_date(struct wr *w, uint64_t ms)
{
	char date[TIME_RFC5322_BYTES];

	time_rfc5322((struct wall){ (int64_t)ms }, date);
	text_put(w, date);
}

static void
put_fields(const struct compose *c, struct wr *w, const char *from_name,
    const char *subject)
{
	bool bare = c->format == COMPOSE_QMAIL; /* as qmail has it */
	const char *open = bare ? "" : "<", *close = bare ? "" : ">";

	text_put(w, "Received: by ");
	text_put_word(w, c->hostname);
	text_putf(w, " (Weir)\r\n    id %" PRIu64 "; ", c->report_id);
	put_date(w, (uint64_t)c->now.ms);
	text_put(w, "\r\nDate: ");
	put_date(w, (uint64_t)c->now.ms);
	text_putf(w, "\r\nFrom: %s%s", from_name, open);
	text_put_word(w, c->from_local);
	text_put(w, "@");
	text_put_word(w, c->from_host);
	text_putf(w, "%s\r\nTo: %s", close, open);
	/* Canonical: no control characters; UTF-8 makes it SMTPUTF8. */
	wr_raw(w, c->to);
	text_putf(w,
	    "%s\r\nSubject: %s\r\nAuto-Submitted: auto-replied\r\n"
	    "Message-ID: <%" PRIu64 ".%" PRIx64 "@",
	    close, subject, c->report_id, c->boundary[0]);
	text_put_word(w, c->hostname);
	text_put(w, ">\r\n");
}

static void
qmail_head(const struct compose *c, struct wr *w)
{
	put_fields(c, w, "",
	    c->kind == REPORT_DELAYED	  ? "delay notice"
	    : c->kind == REPORT_DELIVERED ? "success notice"
					  : "failure notice");
	text_put(w, "\r\nHi. This is the qmail-send program at ");
	text_put_word(w, c->hostname);
	text_put(w, ".\r\n");
	switch (c->kind) {
	case REPORT_DOUBLE:
		text_put(w,
		    "I tried to deliver a bounce message to this address,"
		    " but the bounce bounced!\r\n");
		break;
	case REPORT_DELAYED:
		text_put(w,
		    "I wasn't able to deliver your message to the following"
		    " addresses yet.\r\nI'll keep trying.\r\n");
		break;
	case REPORT_DELIVERED:
		text_put(w, "Your message was delivered to the following"
			    " addresses.\r\n");
		break;
	default:
		text_put(w,
		    "I'm afraid I wasn't able to deliver your message to"
		    " the following addresses.\r\nThis is a permanent error;"
		    " I've given up. Sorry it didn't work out.\r\n");
		break;
	}
}

void
compose_head(const struct compose *c, struct wr *w)
{
	if (c->format == COMPOSE_QMAIL) {
		qmail_head(c, w);
		return;
	}
	put_fields(c, w, "Mail Delivery System ", kinds[c->kind].subject);
	text_put(w, "MIME-Version: 1.0\r\nContent-Type: multipart/report;"
		    " report-type=delivery-status;\r\n    boundary=\"");
	put_boundary(c, w);
	text_put(w, "\"\r\n\r\nThis is a MIME-encapsulated message.\r\n");
	put_part(c, w, "text/plain; charset=us-ascii", "Notification", NULL);
	text_put(w, "This is the mail system at host ");
	text_put_word(w, c->hostname);
	text_put(w, ".\r\n\r\n");
	text_put(w, kinds[c->kind].text);
	if (c->kind == REPORT_DELAYED) {
		text_put(w, "\r\n");
		put_date(w, c->expires_ms);
		text_put(w, ".\r\n");
	}
	text_put(w, "\r\nIf you need help, write to <postmaster@");
	text_put_word(w, c->hostname);
	text_put(w, ">\r\nand include this report.\r\n");
}

/* In QSBMF an empty line ends the paragraph: put_lines makes none. */
static void
put_qmail_report(const struct compose *c, const struct job_result *r,
    struct wr *w)
{
	char said[QMAIL_REPORT_BYTES_MAX];
	struct wr lines = wr_of(said, sizeof(said));
	const struct qmail_report report = {
		.sent = c->kind == REPORT_DELIVERED,
		.relay = r->relay,
		.dsn = r->dsn,
		.text = r->text,
	};

	qmail_report_put(&report, &lines);
	text_put_lines(w, wr_done(&lines), "", TEXT_WORD_BYTES_MAX);
}

void
compose_rcpt_text(const struct compose *c, const struct job_result *r,
    struct wr *w)
{
	text_put(w, "\r\n<");
	text_put_word(w, r->address);
	text_put(w, ">:\r\n");
	if (c->format == COMPOSE_QMAIL)
		put_qmail_report(c, r, w);
	else
		text_put_lines(w, r->text, "    ", SOFT_COLUMN);
}

/* ---- message/delivery-status ---- */

void
compose_status_head(const struct compose *c, struct wr *w)
{
	char envid[ENVID_BYTES_MAX];
	size_t len;

	if (c->format == COMPOSE_QMAIL)
		return;
	put_part(c, w, "message/delivery-status", "Delivery report", NULL);
	text_put(w, "Reporting-MTA: dns; ");
	text_put_word(w, c->hostname);
	text_put(w, "\r\n");
	/* RFC 3464 2.2.1: as the sender meant it, without xtext. */
	if (c->envelope->envid.len > 0 &&
	    xtext_decode(c->envelope->envid, envid, sizeof(envid), &len)) {
		text_put(w, "Original-Envelope-Id: ");
		text_put_folded(w, slice_of(envid, len));
		text_put(w, "\r\n");
	}
	text_putf(w, "X-Weir-Queue-ID: %" PRIu64 "\r\n", c->id);
	text_put(w, "X-Weir-Sender: ");
	text_put_address(w, c->envelope->sender);
	text_put(w, "\r\nArrival-Date: ");
	put_date(w, c->arrival_ms);
	text_put(w, "\r\n");
}

/* Name of the host in "HOST[IP]:PORT"; empty: no other host was involved. */
static struct slice
remote_host(struct slice relay)
{
	size_t end = slice_find(relay, '[');

	return end == relay.len ? SLICE_NONE : slice_sub(relay, 0, end);
}

static void
put_diagnostic(struct wr *w, const struct job_result *r)
{
	struct slice text = r->text;
	static const char said[] = " said: ";

	for (size_t i = 0; i + sizeof(said) - 1 <= text.len; i++)
		if (memcmp(text.data + i, said, sizeof(said) - 1) == 0) {
			text_put(w, "smtp; ");
			text_put_folded(w,
			    slice_sub(text, i + sizeof(said) - 1, text.len));
			return;
		}
	if (text.len >= 3 && remote_host(r->relay).len > 0 &&
	    text.data[0] >= '2' && text.data[0] <= '5')
		text_put(w, "smtp; ");
	else
		text_put(w, "X-Weir; ");
	text_put_folded(w, text);
}

/* ORCPT is TYPE;XTEXT (RFC 3461 4.2). */
static void
put_orcpt(struct wr *w, struct slice orcpt)
{
	size_t semicolon = slice_find(orcpt, ';');
	char buf[ORCPT_BYTES_MAX];
	size_t len;

	if (semicolon == orcpt.len ||
	    !xtext_decode(slice_sub(orcpt, semicolon + 1, orcpt.len), buf,
		sizeof(buf), &len))
		return;
	text_put(w, "Original-Recipient: ");
	text_put_word(w, slice_sub(orcpt, 0, semicolon));
	text_put(w, "; ");
	text_put_folded(w, slice_of(buf, len));
	text_put(w, "\r\n");
}

void
compose_rcpt_status(const struct compose *c, const struct job_result *r,
    struct wr *w)
{
	struct slice host = remote_host(r->relay);
	const char *action = kinds[c->kind].action;

	if (c->format == COMPOSE_QMAIL)
		return;
	if (c->kind == REPORT_DELIVERED && host.len > 0)
		action = "relayed"; /* RFC 3464 2.3.3 */
	text_put(w, "\r\nFinal-Recipient: ");
	text_put_address(w, r->address);
	text_put(w, "\r\n");
	put_orcpt(w, r->orcpt);
	text_putf(w, "Action: %s\r\nStatus: ", action);
	text_put_word(w, r->dsn);
	text_put(w, "\r\n");
	if (host.len > 0) {
		text_put(w, "Remote-MTA: dns; ");
		text_put_word(w, host);
		text_put(w, "\r\n");
	}
	text_put(w, "Diagnostic-Code: ");
	put_diagnostic(w, r);
	text_put(w, "\r\n");
	if (c->kind == REPORT_DELAYED) {
		text_put(w, "Will-Retry-Until: ");
		put_date(w, c->expires_ms);
		text_put(w, "\r\n");
	}
}

/* ---- the original ---- */

void
compose_original(const struct compose *c, struct wr *w)
{
	if (!c->original)
		return;
	if (c->format == COMPOSE_QMAIL) {
		text_put(w,
		    c->kind == REPORT_DOUBLE
			? "\r\n--- Below this line is the original bounce.\r\n"
		    : c->header_only ? "\r\n--- Below this line is the header "
				       "of the message."
				       "\r\n"
				     : "\r\n--- Below this line is a copy of "
				       "the message.\r\n");
		text_put(w, "\r\nReturn-Path: <");
		text_put_word(w, c->envelope->sender);
		text_put(w, ">\r\n");
		return;
	}
	put_part(c, w,
	    c->header_only ? "text/rfc822-headers" : "message/rfc822",
	    c->header_only ? "Message Header" : kinds[c->kind].description,
	    c->envelope->flags & ENVELOPE_8BIT ? "8bit" : NULL);
	/* Where it came from; it is in no other field. */
	text_put(w, "Return-Path: <");
	text_put_word(w, c->envelope->sender);
	text_put(w, ">\r\n");
}

void
compose_tail(const struct compose *c, bool cut, struct wr *w)
{
	if (cut)
		text_put(w, "\r\n");
	if (c->format == COMPOSE_QMAIL)
		return;
	text_put(w, "\r\n--");
	put_boundary(c, w);
	text_put(w, "--\r\n");
}

bool
compose_header_only(enum report_kind kind, uint8_t ret, uint64_t body_bytes,
    int64_t limit_bytes)
{
	if (kind == REPORT_DELAYED || kind == REPORT_DELIVERED ||
	    ret == RET_HDRS)
		return true;
	return limit_bytes < 0 || body_bytes > (uint64_t)limit_bytes;
}

uint32_t
compose_flags(const struct compose *c)
{
	uint32_t flags = 0;

	if (c->original)
		flags |=
		    c->envelope->flags & (ENVELOPE_8BIT | ENVELOPE_DOT_LINE);
	if (!text_is_ascii(c->to))
		flags |= ENVELOPE_UTF8 | ENVELOPE_8BIT;
	if (flags & ENVELOPE_8BIT)
		flags |= ENVELOPE_BODY_8BITMIME;
	return flags;
}
