#include "bounce/compose.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "proto/qmail_report.h"
#include "proto/xtext.h"

enum { WORD_BYTES_MAX = 800, SOFT_COLUMN = 72 };

/* ---- writing ---- */

static void
put(struct wr *w, const char *text)
{
	wr_raw(w, slice_str(text));
}

static void PRINTF(2, 3) putf(struct wr *w, const char *fmt, ...)
{
	char buf[1024];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	ASSERT(len >= 0 && (size_t)len < sizeof(buf));
	wr_raw(w, slice_of(buf, (size_t)len));
}

/* A byte of foreign text: as it is, or as \xNN. */
static void
put_byte(struct wr *w, unsigned char c)
{
	if (c >= ' ' && c <= '~')
		wr_u8(w, c);
	else
		putf(w, "\\x%02X", c);
}

/* Foreign text of one word; only one that no honest address is as long as
 * is folded, for the sake of RFC 5322 2.1.1. */
static void
put_ascii(struct wr *w, struct slice s)
{
	size_t start = w->len;

	for (size_t i = 0; i < s.len; i++) {
		if (w->len - start > WORD_BYTES_MAX) {
			put(w, "\r\n ");
			start = w->len;
		}
		put_byte(w, (unsigned char)s.data[i]);
	}
}

/* Foreign text in a header field: folded at blanks when a line gets long,
 * and hard when there is none (RFC 5322 2.1.1). */
static void
put_folded(struct wr *w, struct slice s)
{
	enum { SOFT = 72, HARD = 400 };
	size_t column = 30;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c == '\r' || c == '\n' || c == '\t')
			c = ' ';
		if ((c == ' ' && column >= SOFT) || column >= HARD) {
			put(w, "\r\n    ");
			column = 4;
			if (c == ' ')
				continue;
		}
		put_byte(w, c);
		column += c >= ' ' && c <= '~' ? 1 : 4;
	}
}

/* Foreign text in the text for people; lines of a reply stay lines, and those
 * longer than soft are folded at a blank. */
static void
put_lines(struct wr *w, struct slice s, const char *before, size_t soft)
{
	size_t column = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c == '\n' || (column > soft && c == ' ') || column > 400) {
			put(w, "\r\n");
			column = 0;
		}
		if (column == 0 && c != '\n')
			put(w, before);
		if (c == '\n' || c == '\r' || (column == 0 && c == ' '))
			continue;
		put_byte(w, c == '\t' ? ' ' : c);
		column += c >= ' ' && c <= '~' ? 1 : 4;
	}
	if (column > 0)
		put(w, "\r\n");
}

static bool
is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.data[i] >= 0x80)
			return false;
	return true;
}

/* One character of UTF-8 that is known to be valid; its length. */
static size_t
decode_utf8(struct slice s, uint32_t *out)
{
	unsigned char c = (unsigned char)s.data[0];
	size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	uint32_t v = len == 1 ? c : c & (0x7fu >> len);

	if (len > s.len)
		len = s.len;
	for (size_t i = 1; i < len; i++)
		v = v << 6 | ((unsigned char)s.data[i] & 0x3f);
	*out = v;
	return len;
}

/* "rfc822; a@b", or RFC 6533's ASCII form of an address with UTF-8. */
static void
put_typed_address(struct wr *w, struct slice address)
{
	size_t start;

	if (is_ascii(address)) {
		put(w, "rfc822; ");
		put_ascii(w, address);
		return;
	}
	put(w, "utf-8; ");
	start = w->len;
	for (size_t i = 0; i < address.len;) {
		uint32_t c;

		if (w->len - start > WORD_BYTES_MAX) {
			put(w, "\r\n ");
			start = w->len;
		}
		i += decode_utf8(slice_sub(address, i, address.len), &c);
		if (c > ' ' && c <= '~' && c != '\\' && c != '+' && c != '=')
			wr_u8(w, (uint8_t)c);
		else
			putf(w, "\\x{%" PRIX32 "}", c);
	}
}

static void
put_boundary(const struct compose *c, struct wr *w)
{
	putf(w, "=_weir_%016" PRIx64 "%016" PRIx64, c->boundary[0],
	    c->boundary[1]);
}

static void
put_part(const struct compose *c, struct wr *w, const char *type,
    const char *description, const char *encoding)
{
	put(w, "\r\n--");
	put_boundary(c, w);
	putf(w, "\r\nContent-Description: %s\r\nContent-Type: %s\r\n",
	    description, type);
	if (encoding != NULL)
		putf(w, "Content-Transfer-Encoding: %s\r\n", encoding);
	put(w, "\r\n");
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
	put(w, date);
}

static void
put_fields(const struct compose *c, struct wr *w, const char *from_name,
    const char *subject)
{
	bool bare = c->format == COMPOSE_QMAIL; /* as qmail has it */
	const char *open = bare ? "" : "<", *close = bare ? "" : ">";

	put(w, "Received: by ");
	put_ascii(w, c->hostname);
	putf(w, " (Weir)\r\n    id %" PRIu64 "; ", c->report_id);
	put_date(w, (uint64_t)c->now.ms);
	put(w, "\r\nDate: ");
	put_date(w, (uint64_t)c->now.ms);
	putf(w, "\r\nFrom: %s%s", from_name, open);
	put_ascii(w, c->from_local);
	put(w, "@");
	put_ascii(w, c->from_host);
	putf(w, "%s\r\nTo: %s", close, open);
	/* Canonical: no control characters; UTF-8 makes it SMTPUTF8. */
	wr_raw(w, c->to);
	putf(w,
	    "%s\r\nSubject: %s\r\nAuto-Submitted: auto-replied\r\n"
	    "Message-ID: <%" PRIu64 ".%" PRIx64 "@",
	    close, subject, c->report_id, c->boundary[0]);
	put_ascii(w, c->hostname);
	put(w, ">\r\n");
}

static void
qmail_head(const struct compose *c, struct wr *w)
{
	put_fields(c, w, "",
	    c->kind == REPORT_DELAYED	  ? "delay notice"
	    : c->kind == REPORT_DELIVERED ? "success notice"
					  : "failure notice");
	put(w, "\r\nHi. This is the qmail-send program at ");
	put_ascii(w, c->hostname);
	put(w, ".\r\n");
	switch (c->kind) {
	case REPORT_DOUBLE:
		put(w, "I tried to deliver a bounce message to this address,"
		       " but the bounce bounced!\r\n");
		break;
	case REPORT_DELAYED:
		put(w, "I wasn't able to deliver your message to the following"
		       " addresses yet.\r\nI'll keep trying.\r\n");
		break;
	case REPORT_DELIVERED:
		put(w, "Your message was delivered to the following"
		       " addresses.\r\n");
		break;
	default:
		put(w, "I'm afraid I wasn't able to deliver your message to"
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
	put(w, "MIME-Version: 1.0\r\nContent-Type: multipart/report;"
	       " report-type=delivery-status;\r\n    boundary=\"");
	put_boundary(c, w);
	put(w, "\"\r\n\r\nThis is a MIME-encapsulated message.\r\n");
	put_part(c, w, "text/plain; charset=us-ascii", "Notification", NULL);
	put(w, "This is the mail system at host ");
	put_ascii(w, c->hostname);
	put(w, ".\r\n\r\n");
	put(w, kinds[c->kind].text);
	if (c->kind == REPORT_DELAYED) {
		put(w, "\r\n");
		put_date(w, c->expires_ms);
		put(w, ".\r\n");
	}
	put(w, "\r\nIf you need help, write to <postmaster@");
	put_ascii(w, c->hostname);
	put(w, ">\r\nand include this report.\r\n");
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
	put_lines(w, wr_done(&lines), "", WORD_BYTES_MAX);
}

void
compose_rcpt_text(const struct compose *c, const struct job_result *r,
    struct wr *w)
{
	put(w, "\r\n<");
	put_ascii(w, r->address);
	put(w, ">:\r\n");
	if (c->format == COMPOSE_QMAIL)
		put_qmail_report(c, r, w);
	else
		put_lines(w, r->text, "    ", SOFT_COLUMN);
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
	put(w, "Reporting-MTA: dns; ");
	put_ascii(w, c->hostname);
	put(w, "\r\n");
	/* RFC 3464 2.2.1: as the sender meant it, without xtext. */
	if (c->envelope->envid.len > 0 &&
	    xtext_decode(c->envelope->envid, envid, sizeof(envid), &len)) {
		put(w, "Original-Envelope-Id: ");
		put_folded(w, slice_of(envid, len));
		put(w, "\r\n");
	}
	putf(w, "X-Weir-Queue-ID: %" PRIu64 "\r\n", c->id);
	put(w, "X-Weir-Sender: ");
	put_typed_address(w, c->envelope->sender);
	put(w, "\r\nArrival-Date: ");
	put_date(w, c->arrival_ms);
	put(w, "\r\n");
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
			put(w, "smtp; ");
			put_folded(w,
			    slice_sub(text, i + sizeof(said) - 1, text.len));
			return;
		}
	if (text.len >= 3 && remote_host(r->relay).len > 0 &&
	    text.data[0] >= '2' && text.data[0] <= '5')
		put(w, "smtp; ");
	else
		put(w, "X-Weir; ");
	put_folded(w, text);
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
	put(w, "Original-Recipient: ");
	put_ascii(w, slice_sub(orcpt, 0, semicolon));
	put(w, "; ");
	put_folded(w, slice_of(buf, len));
	put(w, "\r\n");
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
	put(w, "\r\nFinal-Recipient: ");
	put_typed_address(w, r->address);
	put(w, "\r\n");
	put_orcpt(w, r->orcpt);
	putf(w, "Action: %s\r\nStatus: ", action);
	put_ascii(w, r->dsn);
	put(w, "\r\n");
	if (host.len > 0) {
		put(w, "Remote-MTA: dns; ");
		put_ascii(w, host);
		put(w, "\r\n");
	}
	put(w, "Diagnostic-Code: ");
	put_diagnostic(w, r);
	put(w, "\r\n");
	if (c->kind == REPORT_DELAYED) {
		put(w, "Will-Retry-Until: ");
		put_date(w, c->expires_ms);
		put(w, "\r\n");
	}
}

/* ---- the original ---- */

void
compose_original(const struct compose *c, struct wr *w)
{
	if (!c->original)
		return;
	if (c->format == COMPOSE_QMAIL) {
		put(w,
		    c->kind == REPORT_DOUBLE
			? "\r\n--- Below this line is the original bounce.\r\n"
		    : c->header_only ? "\r\n--- Below this line is the header "
				       "of the message."
				       "\r\n"
				     : "\r\n--- Below this line is a copy of "
				       "the message.\r\n");
		put(w, "\r\nReturn-Path: <");
		put_ascii(w, c->envelope->sender);
		put(w, ">\r\n");
		return;
	}
	put_part(c, w,
	    c->header_only ? "text/rfc822-headers" : "message/rfc822",
	    c->header_only ? "Message Header" : kinds[c->kind].description,
	    c->envelope->flags & ENVELOPE_8BIT ? "8bit" : NULL);
	/* Where it came from; it is in no other field. */
	put(w, "Return-Path: <");
	put_ascii(w, c->envelope->sender);
	put(w, ">\r\n");
}

void
compose_tail(const struct compose *c, bool cut, struct wr *w)
{
	if (cut)
		put(w, "\r\n");
	if (c->format == COMPOSE_QMAIL)
		return;
	put(w, "\r\n--");
	put_boundary(c, w);
	put(w, "--\r\n");
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
	if (!is_ascii(c->to))
		flags |= ENVELOPE_UTF8 | ENVELOPE_8BIT;
	if (flags & ENVELOPE_8BIT)
		flags |= ENVELOPE_BODY_8BITMIME;
	return flags;
}
