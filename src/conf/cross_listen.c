/*
 * conf/cross_listen: places where to listen that cannot be bound together.
 *
 * Two sockets cannot have one address and port, nor "*" and an address of
 * its family one port; of a path the second would take away the first.
 */
#include <stdio.h>

#include "conf/load.h"
#include "conf/net.h"

enum { ITEM_SHOWN_MAX = 50, FILE_SHOWN_MAX = 80 };

struct place {
	enum conf_id id;
	struct slice item;
	struct net_listen at;
	unsigned families; /* enum CONF_INET4...; of a path 0 */
};

/* 0.0.0.0 and [::] are every address of one family, as "*" is of both. */
static bool
is_unspecified(const struct net_addr *a)
{
	const struct net_addr none = { .family = a->family };

	return net_addr_eq(a, &none);
}

static struct place
place_of(enum conf_id id, struct slice item, unsigned protocols)
{
	struct place p = { .id = id, .item = item };

	/* It was parsed before: a second time it is the same. */
	if (net_listen_parse(item, &p.at, NULL) != OK || p.at.path.len > 0)
		return p;
	p.families = p.at.any		     ? protocols
		     : p.at.addr.family == 4 ? CONF_INET4
					     : CONF_INET6;
	if (!p.at.any)
		p.at.any = is_unspecified(&p.at.addr);
	return p;
}

static bool
collide(const struct place *a, const struct place *b)
{
	if (a->at.path.len > 0 || b->at.path.len > 0)
		return slice_eq(a->at.path, b->at.path);
	return a->at.port == b->at.port && (a->families & b->families) != 0 &&
	       (a->at.any || b->at.any ||
		   net_addr_eq(&a->at.addr, &b->at.addr));
}

static void
report(struct loader *l, const struct place *p, const struct place *before)
{
	const struct conf_value *v = &l->all->values[p->id];
	const struct conf_value *other = &l->all->values[before->id];
	char where[FILE_SHOWN_MAX + 24] = "the default";

	if (other->file != NULL)
		(void)snprintf(where, sizeof(where), "%.*s:%u", FILE_SHOWN_MAX,
		    other->file, other->line);
	conf_report_add(l->report, true,
	    (struct conf_place){ v->file != NULL ? v->file : "default",
		v->line },
	    slice_str(conf_params[p->id].name), p->item,
	    "taken by %.*s in %s (%s); write another %s, or leave one of "
	    "them out",
	    SLICE_ARGS(slice_sub(before->item, 0, ITEM_SHOWN_MAX)),
	    conf_params[before->id].name, where,
	    p->at.path.len > 0 ? "path" : "address or port");
}

void
conf_cross_listen(struct loader *l)
{
	const struct {
		enum conf_id id;
		const struct conf_list *list;
	} lists[] = {
		{ CONF_ID_smtp_listen, &l->all->conf.smtp_listen },
		{ CONF_ID_lmtp_listen, &l->all->conf.lmtp_listen },
	};
	unsigned protocols = conf_inet_protocols(&l->all->conf);
	struct place seen[ARRAY_LEN(lists) * CONF_LISTEN_COUNT_MAX];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const struct conf_value *v = &l->all->values[lists[i].id];

		if (lists[i].list->count > CONF_LISTEN_COUNT_MAX) {
			conf_report_add(l->report, true,
			    (struct conf_place){ v->file, v->line },
			    slice_str(conf_params[lists[i].id].name),
			    v->expanded, "more than %d places; write fewer",
			    CONF_LISTEN_COUNT_MAX);
			return;
		}
		for (size_t k = 0; k < lists[i].list->count; k++) {
			struct place p = place_of(lists[i].id,
			    lists[i].list->items[k], protocols);
			size_t n = 0;

			while (n < count && !collide(&seen[n], &p))
				n++;
			if (n < count)
				report(l, &p, &seen[n]);
			seen[count++] = p;
		}
	}
}
