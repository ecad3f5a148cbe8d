/*
 * limits: what one object of this role may be, shown in the limits page, and
 * the line that names a limit when it was hit.
 */
#include "smtpd/session.h"

struct row {
	enum limit_kind kind;
	const char *name, *parameter;
	int64_t limit;
};

static void
rows_of(const struct conf *c, struct row out[static SERVER_ROWS])
{
	const struct row rows[SERVER_ROWS] = {
		[ROW_CONNECTIONS] = { LIMIT_TOTAL, "connections", "", 0 },
		[ROW_TAKEN] = { LIMIT_TOTAL, "messages taken", "", 0 },
		[ROW_LINE] = { LIMIT_SIZE, "command line", "line_length_limit",
		    c->line_length_limit_bytes },
		[ROW_MESSAGE] = { LIMIT_SIZE, "message", "message_size_limit",
		    c->message_size_limit_bytes },
		[ROW_FIELD] = { LIMIT_SIZE, "header field", "header_size_limit",
		    c->header_size_limit_bytes },
		[ROW_HEADER] = { LIMIT_SIZE, "header",
		    "header_total_size_limit",
		    c->header_total_size_limit_bytes },
		[ROW_FIELDS] = { LIMIT_COUNT, "header fields",
		    "header_count_limit", c->header_count_limit },
		[ROW_HOPS] = { LIMIT_COUNT, "hops", "hopcount_limit",
		    c->hopcount_limit },
		[ROW_RCPTS] = { LIMIT_COUNT, "recipients of a message",
		    "smtpd_recipient_limit", c->smtpd_recipient_limit },
		[ROW_LOCAL_RCPTS] = { LIMIT_COUNT,
		    "recipients of a local message", "extract_recipient_limit",
		    c->extract_recipient_limit },
		[ROW_ERRORS] = { LIMIT_COUNT, "errors of a session",
		    "smtpd_hard_error_limit", c->smtpd_hard_error_limit },
		[ROW_SOFT_ERRORS] = { LIMIT_COUNT, "errors without a pause",
		    "smtpd_soft_error_limit", c->smtpd_soft_error_limit },
		[ROW_JUNK] = { LIMIT_COUNT, "commands without use",
		    "smtpd_junk_command_limit", c->smtpd_junk_command_limit },
		[ROW_CLIENT] = { LIMIT_COUNT, "sessions of a client",
		    "smtpd_client_connection_count_limit",
		    c->smtpd_client_connection_count_limit },
		[ROW_RATES + CLIENT_RATE_CONNECTION] = { LIMIT_COUNT,
		    "connections of a client in a minute",
		    "smtpd_client_connection_rate_limit",
		    c->smtpd_client_connection_rate_limit },
		[ROW_RATES + CLIENT_RATE_MESSAGE] = { LIMIT_COUNT,
		    "messages of a client in a minute",
		    "smtpd_client_message_rate_limit",
		    c->smtpd_client_message_rate_limit },
		[ROW_RATES + CLIENT_RATE_RCPT] = { LIMIT_COUNT,
		    "recipients of a client in a minute",
		    "smtpd_client_recipient_rate_limit",
		    c->smtpd_client_recipient_rate_limit },
		[ROW_RATES + CLIENT_RATE_ERROR] = { LIMIT_COUNT,
		    "errors of a client in a minute",
		    "smtpd_client_error_rate_limit",
		    c->smtpd_client_error_rate_limit },
		[ROW_NETWORK] = { LIMIT_COUNT, "clients' worth of a network",
		    "smtpd_client_network_factor",
		    c->smtpd_client_network_factor },
		[ROW_PROVEN] = { LIMIT_POOL, "proven clients",
		    "proven_table_size", c->proven_table_size },
		[ROW_SILENCE] = { LIMIT_DEADLINE, "silence of a client",
		    "smtpd_timeout", c->smtpd_timeout_ms },
		[ROW_SESSION] = { LIMIT_DEADLINE, "session",
		    "smtpd_session_time_limit",
		    c->smtpd_session_time_limit_ms },
		[ROW_DATA_RATE] = { LIMIT_SIZE, "body in a second, at least",
		    "smtpd_min_data_rate", c->smtpd_min_data_rate_bytes },
		[ROW_MINFREE] = { LIMIT_SIZE, "MAIL and queue bytes free",
		    "queue_minfree", c->queue_minfree_bytes },
		[ROW_QUEUE_SIZE] = { LIMIT_SIZE, "MAIL and queue bytes",
		    "queue_size_limit", c->queue_size_limit_bytes },
		[ROW_QUEUE_MESSAGES] = { LIMIT_COUNT, "MAIL and queue messages",
		    "queue_message_limit", c->queue_message_limit },
		[ROW_SPACE] = { LIMIT_COUNT, "MAIL and space on the disk", "",
		    0 },
	};

	memcpy(out, rows, sizeof(rows));
}

void
limits_show(struct server *sv)
{
	struct row rows[SERVER_ROWS];

	rows_of(sv->conf, rows);
	for (unsigned i = 0; i < SERVER_ROWS; i++)
		if (sv->rows[i] == NULL)
			sv->rows[i] = limits_row(rows[i].kind, rows[i].name,
			    rows[i].parameter, 0, rows[i].limit);
		else
			limit_set_limit(sv->rows[i], rows[i].limit);
}

const char *
limits_parameter(const struct server *sv, enum server_row at)
{
	struct row rows[SERVER_ROWS];

	rows_of(sv->conf, rows);
	return rows[at].parameter;
}

bool
limits_is_quiet(struct server *sv, enum server_row at)
{
	if (!log_limit_is_quiet(&sv->hit_sites[at], ev_now(sv->loop)))
		return false;
	limit_refused(sv->rows[at]);
	return true;
}

void
limits_exceeded(struct server *sv, enum server_row at, struct slice who,
    const char *action)
{
	log_limit_row(&sv->hit_sites[at], ev_now(sv->loop), sv->rows[at], who,
	    action);
	limit_refused(sv->rows[at]);
}

void
limits_reached(const struct session *s, enum server_row at, const char *action)
{
	char who[CLIENT_TEXT_BYTES];

	if (limits_is_quiet(s->server, at))
		return;
	report_client(s, who);
	limits_exceeded(s->server, at, slice_str(who), action);
}

void
limits_no_room(const struct session *s)
{
	struct server *sv = s->server;
	enum server_row at = ROW_MINFREE;
	char who[CLIENT_TEXT_BYTES];
	struct row rows[SERVER_ROWS];

	rows_of(sv->conf, rows);
	while (at != ROW_SPACE && strcmp(rows[at].parameter, sv->short_of) != 0)
		at++;
	if (limits_is_quiet(sv, at))
		return;
	report_client(s, who);
	log_limit(&sv->hit_sites[at], ev_now(sv->loop), sv->short_of,
	    sv->short_value, slice_str(who), "refused with 452 at MAIL");
	limit_refused(sv->rows[at]);
}

/* The limit behind a refusal, or SERVER_ROWS.  Those of the gate, of clients
 * and of memory are named where they are decided. */
static enum server_row
row_of(const struct session *s, enum smtps_reply r)
{
	switch (r) {
	case SMTPS_REPLY_LINE_LONG: return ROW_LINE;
	case SMTPS_REPLY_SIZE:
	case SMTPS_REPLY_BODY_SIZE: return ROW_MESSAGE;
	case SMTPS_REPLY_HEADERS:
		return s->txn != NULL &&
			       s->txn->m.header.fault == HEADER_TOO_BIG
			   ? ROW_HEADER
			   : ROW_FIELDS;
	case SMTPS_REPLY_HOPS: return ROW_HOPS;
	case SMTPS_REPLY_RCPT_COUNT:
		return s->kind == LISTEN_LOCAL ? ROW_LOCAL_RCPTS : ROW_RCPTS;
	case SMTPS_REPLY_ERRORS: return ROW_ERRORS;
	default: return SERVER_ROWS;
	}
}

void
limits_hit(const struct session *s, const struct smtps_io *io)
{
	struct server *sv = s->server;
	enum server_row at = row_of(s, io->reject_reply);
	char who[CLIENT_TEXT_BYTES], action[] = "refused with 000";
	struct row rows[SERVER_ROWS];

	if (at == SERVER_ROWS)
		return;
	rows_of(sv->conf, rows);
	report_client(s, who);
	memcpy(action + sizeof(action) - 4, io->reject.data, 3);
	log_limit(&sv->hit_sites[at], ev_now(sv->loop), rows[at].parameter,
	    rows[at].limit, slice_str(who), action);
	limit_refused(sv->rows[at]);
}
