/*
 * names: the verified PTR name of a client.
 *
 * Asked when the client connects; the greeting does not wait for it, the
 * commands after HELO do, for at most NAME_WAIT_MS in all.
 */
#include "smtpd/session.h"

static void
known(struct session *s)
{
	s->named = true;
	tags_put(&s->server->tags, s->name_tag);
	s->name_tag = TAG_NONE;
	report_connect(s);
}

void
name_give_up(struct session *s)
{
	if (!s->named)
		known(s);
}

void
name_ask(struct session *s)
{
	struct server *sv = s->server;
	char address[NET_ADDR_TEXT_BYTES];
	struct fr_dns_name f;

	/* Of one that was handed over all is known. */
	if (s->handed != NULL || s->addr.family == 0 || report_is_loopback(s) ||
	    sv->dns == NULL) {
		known(s);
		return;
	}
	report_address(s, address);
	f.address = slice_str(address);
	s->name_tag = tags_get(&sv->tags, s, 0);
	if (s->name_tag == TAG_NONE ||
	    send_dns_name(sv->dns, s->name_tag, &f, -1) != OK)
		known(s);
}

static void
on_named(struct session *s, const struct fr_dns_named *f)
{
	struct server *sv = s->server;

	if (f->verdict == DNS_FOUND && net_host_valid(f->name)) {
		s->name = mem_alloc(sv->acct, f->name.len + 1);
		if (s->name != NULL)
			memcpy(s->name, f->name.data, f->name.len);
	}
	known(s);
	if (s->wait == WAIT_NAME)
		session_wake(s);
}

void
names_on_frame(struct server *sv, struct frame *f)
{
	struct fr_dns_named r;
	uint16_t what;
	struct session *s = tags_find(&sv->tags, f->tag, &what);

	if (f->type != FRAME_DNS_NAMED || !get_dns_named(f, &r)) {
		chan_bad(sv->dns, "DNS_NAMED");
		return;
	}
	if (s != NULL && !server_owns_tag(sv, s) && !s->named &&
	    s->name_tag == f->tag)
		on_named(s, &r);
}

void
names_on_lost(struct server *sv)
{
	struct list_node *n = list_first(&sv->open_sessions);

	for (; n != NULL; n = list_next(&sv->open_sessions, n)) {
		struct session *s = CONTAINER(n, struct session, node);

		if (s->named)
			continue;
		known(s);
		if (s->wait == WAIT_NAME)
			session_wake(s);
	}
}
