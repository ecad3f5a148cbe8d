/*
 * report: the log lines of a session, as interface.md has them.
 */
#include <inttypes.h>
#include <stdio.h>

#include "proto/received.h"
#include "smtpd/session.h"

bool
report_is_loopback(const struct session *s)
{
	static const uint8_t v6[16] = { [15] = 1 };

	if (s->addr.family == 6)
		return !memcmp(s->addr.octets, v6, sizeof(v6));
	return s->addr.family == 4 && s->addr.octets[0] == 127;
}

struct slice
report_name(const struct session *s)
{
	if (s->addr.family == 0 || report_is_loopback(s))
		return SLICE_LIT("localhost");
	return s->name != NULL ? slice_str(s->name) : SLICE_LIT("unknown");
}

void
report_address(const struct session *s, char buf[static NET_ADDR_TEXT_BYTES])
{
	if (s->addr.family == 0)
		snprintf(buf, NET_ADDR_TEXT_BYTES, "local");
	else
		net_addr_text(&s->addr, buf);
}

void
report_client(const struct session *s, char buf[static CLIENT_TEXT_BYTES])
{
	char address[NET_ADDR_TEXT_BYTES];

	report_address(s, address);
	snprintf(buf, CLIENT_TEXT_BYTES, "%.*s[%s]", SLICE_ARGS(report_name(s)),
	    address);
}

uint8_t
report_origin(const struct session *s)
{
	static const uint8_t origins[LISTEN_KIND_COUNT] = {
		[LISTEN_SMTP] = ORIGIN_SMTP,
		[LISTEN_SUBMISSION] = ORIGIN_SUBMISSION,
		[LISTEN_LMTP] = ORIGIN_LMTP,
		[LISTEN_LOCAL] = ORIGIN_LOCAL,
	};

	return origins[s->kind];
}

struct slice
report_protocol(const struct session *s)
{
	return received_protocol(report_origin(s), s->m.esmtp,
	    s->txn != NULL && s->txn->m.utf8);
}

void
report_connect(const struct session *s)
{
	char who[CLIENT_TEXT_BYTES];

	report_client(s, who);
	limit_count(s->server->rows[ROW_CONNECTIONS]);
	log_info("connect from %s", who);
}

/* " ehlo=1 mail=1 rcpt=0/1 commands=2/3" */
void
report_disconnect(const struct session *s)
{
	char who[CLIENT_TEXT_BYTES], text[512];
	unsigned good = 0, all = 0;
	size_t len = 0;

	report_client(s, who);
	text[0] = '\0';
	for (unsigned v = 0; v < SMTP_VERB_COUNT && len < sizeof(text) - 40;
	     v++) {
		struct smtps_count c = s->m.counts[v];
		const char *name = smtp_verb_name((enum smtp_verb)v);

		if (c.all == 0)
			continue;
		good += c.good;
		all += c.all;
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    c.good == c.all ? " %s=%u" : " %s=%u/%u", name, c.good,
		    c.all);
	}
	if (good == all)
		log_info("disconnect from %s%s commands=%u", who, text, all);
	else
		log_info("disconnect from %s%s commands=%u/%u", who, text, good,
		    all);
}

void
report_lost(const struct session *s, const char *what)
{
	char who[CLIENT_TEXT_BYTES], doing[64];

	report_client(s, who);
	smtps_doing(&s->m, doing, sizeof(doing));
	log_info("%s after %s from %s", what, doing, who);
}

/* "550" and "5.1.1" of a reply; empty where it has none. */
static void
reply_codes(struct slice reply, struct slice *code_out, struct slice *dsn_out)
{
	struct slice rest = reply, word;

	*code_out = *dsn_out = SLICE_NONE;
	if (!slice_word(&rest, " ", code_out) || !slice_word(&rest, " ", &word))
		return;
	if (word.len >= 5 && word.data[1] == '.' && word.data[0] >= '2' &&
	    word.data[0] <= '5')
		*dsn_out = word;
}

/* The same as an object, for those who would else take the text apart. */
static void
reject_fields(const struct session *s, const struct smtps_io *io,
    const char *verb, struct slice sender)
{
	struct slice name = report_name(s), protocol = report_protocol(s);
	char address[NET_ADDR_TEXT_BYTES];
	struct slice code, dsn;
	struct log_line l;

	report_address(s, address);
	reply_codes(io->reject, &code, &dsn);
	log_begin(&l, LOG_LEVEL_INFO, s->txn != NULL ? s->txn->id : 0,
	    "reject");
	log_field(&l, "verb", "%s", verb);
	log_field(&l, "client_name", "%.*s", SLICE_ARGS(name));
	log_field(&l, "client_address", "%s", address);
	log_field(&l, "code", "%.*s", SLICE_ARGS(code));
	log_field(&l, "dsn", "%.*s", SLICE_ARGS(dsn));
	log_field(&l, "reply", "%.*s", SLICE_ARGS(io->reject));
	log_field(&l, "from", "<%.*s>", SLICE_ARGS(sender));
	if (io->reject_rcpt.data != NULL)
		log_field(&l, "to", "<%.*s>", SLICE_ARGS(io->reject_rcpt));
	log_field(&l, "proto", "%.*s", SLICE_ARGS(protocol));
	log_field(&l, "helo", "<%s>", s->helo != NULL ? s->helo : "");
	log_end(&l);
}

/* "NOQUEUE: reject: RCPT from HOST[IP]: 550 ...; from=<> to=<> proto=ESMTP
 * helo=<>".  One line, whatever the client sent. */
static void
reject_text(const struct session *s, const struct smtps_io *io,
    const char *verb, struct slice sender)
{
	char who[CLIENT_TEXT_BYTES], to[560] = "";
	struct slice protocol = report_protocol(s);

	if (io->reject_rcpt.data != NULL)
		snprintf(to, sizeof(to), " to=<%.*s>",
		    SLICE_ARGS(io->reject_rcpt));
	report_client(s, who);
#define REJECT                                                                \
	"reject: %s from %s: %.*s; from=<%.*s>%s proto=%.*s helo=<%s>", verb, \
	    who, SLICE_ARGS(io->reject), SLICE_ARGS(sender), to,              \
	    SLICE_ARGS(protocol), s->helo != NULL ? s->helo : ""
	if (s->txn != NULL && s->txn->id != 0)
		log_message(s->txn->id, REJECT);
	else
		log_info("NOQUEUE: " REJECT);
#undef REJECT
}

void
report_reject(const struct session *s, const struct smtps_io *io)
{
	const char *verb =
	    s->m.greeted ? smtp_verb_upper(io->reject_verb) : "CONNECT";
	struct slice sender = SLICE_NONE;

	if (io->reject_at_end)
		verb = "END-OF-MESSAGE";
	if (s->txn != NULL)
		sender = s->txn->sender;
	else if (io->reject_verb == SMTP_MAIL)
		sender = io->mail.sender.text;
	if (log_is_json())
		reject_fields(s, io, verb, sender);
	else
		reject_text(s, io, verb, sender);
	limits_hit(s, io);
}

void
report_accepted(const struct session *s)
{
	char who[CLIENT_TEXT_BYTES];

	report_client(s, who);
	if (s->kind == LISTEN_LOCAL)
		log_message(s->txn->id, "client=%s, uid=%" PRIu32, who, s->uid);
	else
		log_message(s->txn->id, "client=%s", who);
}

void
report_message_id(const struct session *s)
{
	struct slice id = header_scan_message_id(&s->txn->m.header);

	if (id.len == 0)
		id = SLICE_LIT("<>");
	log_message(s->txn->id, "message-id=%.*s", SLICE_ARGS(id));
}
