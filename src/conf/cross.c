/*
 * conf/cross: what is wrong only when several values are seen together.
 *
 * An error is what cannot work; what works but is surely not meant is a
 * warning.
 */
#include <stdarg.h>
#include <stdio.h>

#include "conf/load.h"
#include "conf/net.h"

enum { QUEUE_PATH_BYTES_MAX = 90 }; /* sockets lie below it */

static void say(struct loader *l, bool is_error, enum conf_id id,
    const char *fmt, ...) PRINTF(4, 5);

static void
say(struct loader *l, bool is_error, enum conf_id id, const char *fmt, ...)
{
	const struct conf_value *v = &l->all->values[id];
	struct conf_place at = { v->file, v->line };
	char text[ERRTEXT_BYTES];
	va_list ap;

	if (at.file == NULL)
		at.file = "default";
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	conf_report_add(l->report, is_error, at,
	    slice_str(conf_params[id].name), v->expanded, "%s", text);
}

#define ERROR(id, ...)	 say(l, true, CONF_ID_##id, __VA_ARGS__)
#define WARNING(id, ...) say(l, false, CONF_ID_##id, __VA_ARGS__)

/* The member of two that was given explicitly is the one to name. */
static bool
is_given(const struct loader *l, enum conf_id id)
{
	return l->all->values[id].origin != CONF_ORIGIN_DEFAULT;
}

/* A default that a given value contradicts follows it. */
static void
follow(struct loader *l, enum conf_id id, enum conf_id given)
{
	struct conf_value *v = &l->all->values[id];

	say(l, false, id, "the default cannot hold beside %s, so %s holds",
	    conf_params[given].name, l->all->values[given].expanded.data);
	v->raw = l->all->values[given].expanded;
	v->expanded = v->raw;
}

static void
settle_backoff(struct loader *l)
{
	struct conf *c = &l->all->conf;

	if (!is_given(l, CONF_ID_maximal_backoff_time)) {
		follow(l, CONF_ID_maximal_backoff_time,
		    CONF_ID_minimal_backoff_time);
		c->maximal_backoff_time_ms = c->minimal_backoff_time_ms;
	} else if (!is_given(l, CONF_ID_minimal_backoff_time)) {
		follow(l, CONF_ID_minimal_backoff_time,
		    CONF_ID_maximal_backoff_time);
		c->minimal_backoff_time_ms = c->maximal_backoff_time_ms;
	} else {
		ERROR(minimal_backoff_time,
		    "more than maximal_backoff_time (%s); write less, or "
		    "raise that",
		    l->all->values[CONF_ID_maximal_backoff_time].expanded.data);
	}
}

static void
check_times(struct loader *l)
{
	const struct conf *c = &l->all->conf;

	if (c->minimal_backoff_time_ms > c->maximal_backoff_time_ms)
		settle_backoff(l);
	if (c->delay_warning_time_ms > 0 &&
	    c->delay_warning_time_ms >= c->maximal_queue_lifetime_ms)
		WARNING(delay_warning_time,
		    "not before maximal_queue_lifetime, so there is never a "
		    "notice; write less");
}

static void
check_sizes(struct loader *l)
{
	const struct conf *c = &l->all->conf;

	if (c->header_size_limit_bytes > c->header_total_size_limit_bytes)
		WARNING(header_size_limit,
		    "more than header_total_size_limit, so it bounds nothing; "
		    "write at most that");
	if (c->queue_size_limit_bytes > 0 &&
	    c->queue_size_limit_bytes < c->message_size_limit_bytes)
		WARNING(queue_size_limit,
		    "less than message_size_limit, so a message that is "
		    "allowed may never fit; write more, or lower that");
	if (c->mailbox_size_limit_bytes > 0 &&
	    c->mailbox_size_limit_bytes < c->message_size_limit_bytes)
		WARNING(mailbox_size_limit,
		    "less than message_size_limit, so a message that is "
		    "allowed may never fit; write more, or lower that");
	if (c->message_size_limit_bytes > 0 &&
	    c->header_total_size_limit_bytes > c->message_size_limit_bytes &&
	    is_given(l, CONF_ID_header_total_size_limit))
		WARNING(header_total_size_limit,
		    "more than message_size_limit, so it bounds nothing; "
		    "write less");
}

static void
check_counts(struct loader *l)
{
	const struct conf *c = &l->all->conf;

	if (c->smtpd_soft_error_limit > c->smtpd_hard_error_limit)
		WARNING(smtpd_soft_error_limit,
		    "more than smtpd_hard_error_limit, so no reply is ever "
		    "slowed down; write less");
	if (c->qmgr_message_recipient_limit < c->smtpd_recipient_limit)
		WARNING(qmgr_message_recipient_limit,
		    "less than smtpd_recipient_limit, so one message can fill "
		    "it; write more, or lower that");
	if (c->smtpd_recipient_limit < 100)
		WARNING(smtpd_recipient_limit,
		    "RFC 5321 4.5.3.1.8 asks for at least 100; write 100 or "
		    "more");
	if (c->default_destination_concurrency_limit > 0 &&
	    c->initial_destination_concurrency >
		c->default_destination_concurrency_limit &&
	    is_given(l, CONF_ID_initial_destination_concurrency))
		WARNING(initial_destination_concurrency,
		    "more than default_destination_concurrency_limit, which "
		    "holds instead; write at most that");
	if (c->concurrency_incoming > 0 &&
	    c->smtpd_client_connection_count_limit > c->concurrency_incoming &&
	    is_given(l, CONF_ID_smtpd_client_connection_count_limit))
		WARNING(smtpd_client_connection_count_limit,
		    "more than concurrency_incoming, so it bounds nothing; "
		    "write less");
}

static bool
is_table(struct slice s)
{
	return s.len > 0 && s.data[0] != '[' && slice_find(s, ':') != s.len;
}

static void
check_classes(struct loader *l)
{
	const struct conf *c = &l->all->conf;
	const struct conf_list *v = &c->virtual_mailbox_domains;

	for (size_t i = 0; i < v->count; i++) {
		if (is_table(v->items[i]))
			continue;
		if (conf_list_has(&c->mydestination, v->items[i]))
			ERROR(virtual_mailbox_domains,
			    "%.*s is also in mydestination; write a domain "
			    "in one of them",
			    SLICE_ARGS(slice_sub(v->items[i], 0, 80)));
		if (conf_list_has(&c->relay_domains, v->items[i]) &&
		    l->all->values[CONF_ID_relay_domains].origin !=
			CONF_ORIGIN_CONTROL)
			WARNING(relay_domains,
			    "%.*s is also in virtual_mailbox_domains, which "
			    "holds; write it there only",
			    SLICE_ARGS(slice_sub(v->items[i], 0, 80)));
	}
	if (v->count == 0)
		return;
	if (strcmp(c->virtual_transport, "virtual") != 0)
		return;
	if (c->virtual_mailbox_base[0] == '\0')
		ERROR(virtual_mailbox_domains,
		    "virtual_mailbox_base is needed, too; write there the "
		    "directory of the mailboxes");
	if (c->virtual_mailbox_maps.count == 0)
		ERROR(virtual_mailbox_domains,
		    "virtual_mailbox_maps is needed, too; write there a table "
		    "such as text:/etc/weir/mailboxes");
}

/* Transports may be defined anywhere in the file. */
static void
check_transports(struct loader *l)
{
	static const enum conf_id ways[] = { CONF_ID_mailbox_transport,
		CONF_ID_virtual_transport, CONF_ID_fallback_transport };
	const struct conf *c = &l->all->conf;
	struct slice transport, nexthop;
	struct errtext et;

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		conf_way_split(l->all->values[ways[i]].expanded, &transport,
		    &nexthop);
		if (slice_eq(transport, SLICE_LIT("error")))
			say(l, true, ways[i],
			    "transport error is for transport_maps; write "
			    "TRANSPORT:NEXTHOP, such as lmtp:unix:/PATH");
		else if (slice_eq(transport, SLICE_LIT("unix")) ||
			 slice_eq(transport, SLICE_LIT("inet")))
			say(l, true, ways[i],
			    "no transport before it; write lmtp: or smtp: and "
			    "then this");
		else if (transport.len > 0 &&
			 conf_transport_check(c, transport, &et) != OK)
			say(l, true, ways[i], "%s", et.text);
	}
	for (size_t i = 0; i < c->defer_transports.count; i++)
		if (conf_transport_check(c, c->defer_transports.items[i],
			&et) != OK)
			ERROR(defer_transports, "%s", et.text);
}

static void
check_places(struct loader *l)
{
	const struct conf *c = &l->all->conf;

	if (strlen(c->queue_directory) > QUEUE_PATH_BYTES_MAX)
		ERROR(queue_directory,
		    "longer than %d bytes, too long for the sockets in it; "
		    "write a shorter path",
		    QUEUE_PATH_BYTES_MAX);
	if (c->home_mailbox[0] == '\0' && c->mail_spool_directory[0] == '\0')
		ERROR(mail_spool_directory,
		    "home_mailbox is empty too, so users have no mailbox; "
		    "write a directory");
	if (c->mailbox_delivery_lock.count == 0)
		ERROR(mailbox_delivery_lock,
		    "no lock at all would mix messages in an mbox file; "
		    "write fcntl, dotlock or both");
	if (conf_inet_protocols(c) == 0)
		ERROR(inet_protocols, "no protocol at all; write all");
	if (c->home_mailbox[0] != '\0' && !is_given(l, CONF_ID_home_mailbox) &&
	    is_given(l, CONF_ID_mail_spool_directory))
		WARNING(mail_spool_directory,
		    "not used while home_mailbox is %s, its default; write "
		    "home_mailbox = with nothing behind it, too",
		    c->home_mailbox);
	if (slice_ends_nocase(slice_str(c->home_mailbox), SLICE_LIT("maildir")))
		WARNING(home_mailbox,
		    "without a slash at its end it is an mbox file; write %s/ "
		    "for a Maildir",
		    c->home_mailbox);
}

static void
check_trust(struct loader *l)
{
	const struct conf *c = &l->all->conf;
	struct net_range range;

	if (strcmp(c->default_privs, "root") == 0 ||
	    strcmp(c->default_privs, "0") == 0)
		ERROR(default_privs,
		    "commands are never run as root; write the name of "
		    "another user");
	for (size_t i = 0; i < c->mynetworks.count; i++)
		if (net_range_parse(c->mynetworks.items[i], &range, NULL) ==
			OK &&
		    range.prefix == 0 && !range.negated)
			WARNING(mynetworks,
			    "%.*s is everybody, who may then send to any "
			    "domain "
			    "through this server; write your own networks",
			    SLICE_ARGS(c->mynetworks.items[i]));
}

void
conf_cross_check(struct loader *l)
{
	check_times(l);
	check_sizes(l);
	check_counts(l);
	check_classes(l);
	check_transports(l);
	check_places(l);
	check_trust(l);
	conf_cross_listen(l);
}
