/*
 * clients: what one client may take, in all smtpd processes together.
 *
 * And the ladder of overload (base/ladder.h), which is looked at every second:
 * clients that are not proven get short timeouts, then no new ones are let in,
 * then MAIL is answered 452, but for who is local.  An unproven client that
 * finds its share full is answered 421 at any step.
 */
#include <stdio.h>

#include "base/limits.h"
#include "smtpd/session.h"

enum {
	RECOUNT_SECONDS = 60,
	TRIM_SECONDS = 10,
};

static struct client_key
key_of(const struct session *s)
{
	struct client_key k = { { 0 } };

	if (s->addr.family == 4) {
		k.octets[10] = k.octets[11] = 0xff;
		memcpy(k.octets + 12, s->addr.octets, 4);
	} else if (s->addr.family == 6) {
		memcpy(k.octets, s->addr.octets, 8);
	} else {
		k.octets[15] = 1; /* local clients; no /64 ends in it */
	}
	return k;
}

static unsigned
unproven_max(const struct server *sv)
{
	uint64_t share = (uint64_t)client_page_session_max(&sv->page) *
			 (uint64_t)sv->conf->unproven_share / 100;

	return share > 0 ? (unsigned)share : 1;
}

/* A good message is cheap: who earned his place by one leaves half of what the
 * unproven leave to those who are trusted (mynetworks). */
static unsigned
earned_max(const struct server *sv)
{
	uint64_t percent = 100 - (100 - (uint64_t)sv->conf->unproven_share) / 2;
	uint64_t share = client_page_session_max(&sv->page) * percent / 100;

	return share > 0 ? (unsigned)share : 1;
}

static enum smtps_reply
refused(struct server *sv, struct session *s, struct log_limit_site *site,
    const char *name, int64_t value, enum smtps_reply r)
{
	char who[CLIENT_TEXT_BYTES];

	if (!log_limit_is_quiet(site, ev_now(sv->loop))) {
		report_client(s, who);
		log_limit(site, ev_now(sv->loop), name, value, slice_str(who),
		    "refused with 421");
	}
	return r;
}

/* What the strangers of a network may take together; 0: no limit. */
static unsigned
network_max(const struct server *sv, int64_t one)
{
	int64_t all = one * sv->conf->smtpd_client_network_factor;

	return all < UINT32_MAX ? (unsigned)all : UINT32_MAX;
}

/* A network is over what it may have of a limit of one client. */
static void
over_network(struct server *sv, struct session *s, enum server_row at,
    const char *action)
{
	char what[120], address[NET_ADDR_TEXT_BYTES], who[60];
	struct net_addr net = s->addr;
	unsigned octets = net.family == 4 ? 3 : 6;

	if (limits_is_quiet(sv, ROW_NETWORK))
		return;
	memset(net.octets + octets, 0, sizeof(net.octets) - octets);
	net_addr_text(&net, address);
	snprintf(who, sizeof(who), "network %s/%u", address, octets * 8);
	snprintf(what, sizeof(what), "%s: %s", limits_parameter(sv, at),
	    action);
	limits_exceeded(sv, ROW_NETWORK, slice_str(who), what);
}

enum smtps_reply
clients_enter(struct server *sv, struct session *s)
{
	const struct conf *c = sv->conf;
	struct client_key key = key_of(s);
	struct client_rules rules = {
		.unproven_max = unproven_max(sv),
		.earned_max = earned_max(sv),
		.trusted = s->trusted,
		.local = s->kind == LISTEN_LOCAL,
		.known_only = sv->ladder.step >= LADDER_CLOSED,
	};

	if (!s->exempt) {
		rules.count_max =
		    (unsigned)c->smtpd_client_connection_count_limit;
		rules.rate_max =
		    (unsigned)c->smtpd_client_connection_rate_limit;
		rules.network_count_max = network_max(sv, rules.count_max);
		rules.network_rate_max = network_max(sv, rules.rate_max);
	}
	switch (client_page_enter(&sv->page, sv->index, &key, &rules,
	    ev_now(sv->loop), &s->slot)) {
	case CLIENT_IN: return SMTPS_REPLY_NONE;
	case CLIENT_OVER_COUNT:
		limits_reached(s, ROW_CLIENT, "refused with 421");
		return SMTPS_REPLY_CONNECTIONS;
	case CLIENT_OVER_RATE:
		limits_reached(s, ROW_RATES + CLIENT_RATE_CONNECTION,
		    "refused with 421");
		return SMTPS_REPLY_RATE_CONN;
	case CLIENT_NETWORK_COUNT:
		over_network(sv, s, ROW_CLIENT, "refused with 421");
		return SMTPS_REPLY_CONNECTIONS;
	case CLIENT_NETWORK_RATE:
		over_network(sv, s, ROW_RATES + CLIENT_RATE_CONNECTION,
		    "refused with 421");
		return SMTPS_REPLY_RATE_CONN;
	case CLIENT_SHARE_FULL:
		return refused(sv, s, &sv->share_site, "unproven_share",
		    rules.unproven_max, SMTPS_REPLY_BUSY);
	case CLIENT_FULL: break;
	}
	return refused(sv, s, &sv->full_site, "concurrency_incoming",
	    client_page_session_max(&sv->page), SMTPS_REPLY_BUSY);
}

void
clients_leave(struct server *sv, struct session *s)
{
	client_page_leave(&sv->page, sv->index, s->slot);
	s->slot = CLIENT_NO_SLOT;
	if (sv->full)
		accept_update(sv);
}

bool
clients_rate(struct server *sv, struct session *s, enum client_rate rate,
    unsigned events)
{
	const struct conf *c = sv->conf;
	int64_t limits[CLIENT_RATE_COUNT] = {
		c->smtpd_client_connection_rate_limit,
		c->smtpd_client_message_rate_limit,
		c->smtpd_client_recipient_rate_limit,
		c->smtpd_client_error_rate_limit,
	};
	const struct client_limits max = { (unsigned)limits[rate],
		network_max(sv, limits[rate]) };
	enum client_over over;

	if (s->exempt)
		return true;
	over = client_page_rate(&sv->page, s->slot, rate, events, max,
	    ev_now(sv->loop));
	if (over == CLIENT_OVER_OWN)
		limits_reached(s, ROW_RATES + rate, "refused for now");
	else if (over == CLIENT_OVER_NETWORK)
		over_network(sv, s, ROW_RATES + rate, "refused for now");
	return over == CLIENT_PASSED;
}

void
clients_prove(struct server *sv, struct session *s)
{
	if (client_page_prove(&sv->page, s->slot, sv->conf->proven_ttl_ms,
		ev_now(sv->loop)))
		limits_reached(s, ROW_PROVEN,
		    "the one not seen for longest is forgotten");
	s->acct = sv->acct;
}

bool
clients_full(struct server *sv, bool local)
{
	struct client_figures f;

	client_page_figures(&sv->page, &f);
	return f.sessions >=
	       f.session_max + (local ? (unsigned)CLIENT_LOCAL_SLOTS : 0);
}

/* Those who sit here already filled the gate: their time is short too. */
static void
shorten_unproven(struct server *sv)
{
	struct list_node *n = list_first(&sv->open_sessions);

	for (; n != NULL; n = list_next(&sv->open_sessions, n)) {
		struct session *s = CONTAINER(n, struct session, node);

		if (client_page_is_unproven(&sv->page, s->slot))
			session_shorten(s);
	}
}

/* How full the memory is that strangers and others share, pools apart. */
static unsigned
memory_percent(const struct server *sv)
{
	int64_t used = sv->memory_max - acct_room(sv->acct);

	if (used <= 0)
		return 0;
	return used >= sv->memory_max ? 100
				      : (unsigned)(used * 100 / sv->memory_max);
}

static void
look_for_overload(struct server *sv, const struct client_figures *f)
{
	bool was_short = sv->ladder.step >= LADDER_SHORT;

	if (ladder_look(&sv->ladder,
		(unsigned)((uint64_t)f->sessions * 100 / f->session_max),
		memory_percent(sv), ev_now(sv->loop)) &&
	    sv->ladder.step >= LADDER_SHORT && !was_short)
		shorten_unproven(sv);
}

static bool
has_session(const struct server *sv, uint32_t slot)
{
	struct list_node *n = list_first(&sv->open_sessions);

	for (; n != NULL; n = list_next(&sv->open_sessions, n))
		if (CONTAINER(n, struct session, node)->slot == slot)
			return true;
	return false;
}

/* A place that no session holds is a bug: it is said, and mended. */
static void
recount(struct server *sv)
{
	unsigned held = client_page_held(&sv->page, sv->index);
	uint32_t slot = CLIENT_NO_SLOT;

	if (held <= sv->sessions.in_use)
		return;
	log_error("bug: %u places of the incoming gate held by %u sessions",
	    held, sv->sessions.in_use);
	while ((slot = client_page_next(&sv->page, sv->index, slot)) !=
	       CLIENT_NO_SLOT)
		if (!has_session(sv, slot))
			client_page_leave(&sv->page, sv->index, slot);
}

/* After a flood its memory is for other things again. */
static void
trim(struct server *sv)
{
	bool sessions = pool_trim(&sv->sessions);
	bool handed = pool_trim(&sv->handed);

	if (pool_trim(&sv->txns) || sessions || handed)
		mem_trim();
}

void
clients_each_second(struct server *sv)
{
	struct client_figures f;

	client_page_figures(&sv->page, &f);
	look_for_overload(sv, &f);
	if (++sv->seconds % RECOUNT_SECONDS == 0)
		recount(sv);
	if (sv->seconds % TRIM_SECONDS == 0)
		trim(sv);
	if (sv->index != 0)
		return;
	limit_set_in_use(sv->rows[ROW_PROVEN], f.proven);
	limit_mirror(sv->gate_row, f.sessions, f.sessions_high, f.refused,
	    f.waited);
	limit_mirror(sv->share_row, f.unproven, f.unproven_high,
	    f.share_refused, 0);
	limit_set_limit(sv->share_row, unproven_max(sv));
	if (sv->shown == f.sessions + 1)
		return;
	sv->shown = f.sessions + 1;
	log_qmail("smtpd: status: %u/%u", f.sessions, f.session_max);
}
