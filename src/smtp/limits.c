/*
 * limits: the rows by which this role shows what bounds it, besides its
 * accounts and pools.
 */
#include "base/limits.h"

#include <stddef.h>

#include "conf/conf.h"
#include "proto/smtp_reply.h"
#include "smtp/agent.h"
#include "smtp/job.h"

#define TIME_OF(name)  #name, offsetof(struct conf, name##_ms), 0
#define BYTES_OF(name) #name, offsetof(struct conf, name##_bytes), 0
#define COUNT_OF(name) #name, offsetof(struct conf, name), 0
#define FIXED(value)   "", 0, value
#define BOTH(row, kind, name, of, parameter)                      \
	[AGENT_ROW_##row] = { kind, name, of(smtp_##parameter) }, \
	[AGENT_ROW_LMTP + AGENT_ROW_##                            \
	    row] = { kind, "lmtp: " name, of(lmtp_##parameter) }

static const struct {
	enum limit_kind kind;
	const char *name;
	const char *parameter;
	size_t offset; /* of the member of struct conf; 0: fixed */
	int64_t fixed;
} limits[AGENT_ROW_COUNT] = {
	[AGENT_ROW_CONNECT] = { LIMIT_DEADLINE, "connection",
	    TIME_OF(smtp_connect_timeout) },
	[AGENT_ROW_HELO] = { LIMIT_DEADLINE, "greeting and EHLO",
	    TIME_OF(smtp_helo_timeout) },
	BOTH(MAIL, LIMIT_DEADLINE, "reply to MAIL", TIME_OF, mail_timeout),
	BOTH(RCPT, LIMIT_DEADLINE, "reply to RCPT", TIME_OF, rcpt_timeout),
	BOTH(DATA, LIMIT_DEADLINE, "reply to DATA", TIME_OF, data_init_timeout),
	BOTH(BODY, LIMIT_DEADLINE, "body taken", TIME_OF, data_xfer_timeout),
	BOTH(RATE, LIMIT_SIZE, "body in a second, at least", BYTES_OF,
	    min_data_rate),
	BOTH(DOT, LIMIT_DEADLINE, "reply to the message", TIME_OF,
	    data_done_timeout),
	BOTH(QUIT, LIMIT_DEADLINE, "reply to QUIT", TIME_OF, quit_timeout),
	BOTH(IDLE, LIMIT_DEADLINE, "idle connection", TIME_OF,
	    connection_cache_time_limit),
	BOTH(AGE, LIMIT_DEADLINE, "age of a connection", TIME_OF,
	    connection_reuse_time_limit),
	BOTH(MESSAGES, LIMIT_COUNT, "messages of a connection", COUNT_OF,
	    connection_reuse_count_limit),
	[AGENT_ROW_LMTP + AGENT_ROW_CONNECT] = { LIMIT_DEADLINE,
	    "lmtp: connection", TIME_OF(lmtp_connect_timeout) },
	[AGENT_ROW_LMTP + AGENT_ROW_HELO] = { LIMIT_DEADLINE,
	    "lmtp: greeting and LHLO", TIME_OF(lmtp_lhlo_timeout) },
	[AGENT_ROW_DNS] = { LIMIT_DEADLINE, "hosts of a domain",
	    TIME_OF(dns_timeout) },
	[AGENT_ROW_ADDRESSES] = { LIMIT_COUNT, "addresses of a delivery",
	    COUNT_OF(smtp_mx_address_limit) },
	[AGENT_ROW_SESSIONS] = { LIMIT_COUNT, "sessions of a delivery",
	    COUNT_OF(smtp_mx_session_limit) },
	[AGENT_ROW_REPLY_LINES] = { LIMIT_COUNT, "lines of a reply",
	    FIXED(SMTP_REPLY_LINES_MAX) },
	[AGENT_ROW_REPLY_BYTES] = { LIMIT_SIZE, "reply of a server",
	    FIXED(SMTP_REPLY_BYTES_MAX) },
	[AGENT_ROW_JOB_BYTES] = { LIMIT_SIZE, "recipients of a delivery",
	    FIXED(JOB_ARENA_BYTES) },
};

static int64_t
value(const struct conf *conf, size_t row)
{
	const char *base = (const char *)conf;

	if (limits[row].offset == 0)
		return limits[row].fixed;
	return *(const int64_t *)(const void *)(base + limits[row].offset);
}

void
agent_show_limits(struct agent *g)
{
	for (size_t i = 0; i < AGENT_ROW_COUNT; i++) {
		int64_t v = value(g->conf, i);

		if (g->rows[i] == NULL)
			g->rows[i] = limits_row(limits[i].kind, limits[i].name,
			    limits[i].parameter, 0, v);
		else
			limit_set_limit(g->rows[i], v);
	}
}

void
agent_late(struct agent *g, enum agent_row which, bool lmtp, struct slice who)
{
	size_t i = lmtp ? AGENT_ROW_LMTP + which : which;

	limit_refused(g->rows[i]);
	log_limit_row(&g->late_sites[i], ev_now(g->loop), g->rows[i], who,
	    "given up for now");
}
