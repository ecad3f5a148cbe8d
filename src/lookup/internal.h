/*
 * lookup/internal: between the files that resolve an address.
 */
#pragma once

#include "lookup/resolve.h"

enum resolve_class {
	CLASS_LOCAL,
	CLASS_VIRTUAL,
	CLASS_ALIAS, /* virtual_alias_domains: nothing but aliases */
	CLASS_RELAY,
	CLASS_REMOTE,
};

/* ---- say.c ---- */

/* A step at a place, for whoever wants to know. */
void resolve_say(struct resolver *r, const char *place, const char *fmt, ...)
    PRINTF(3, 4);
/* A step that follows from a parameter. */
void resolve_say_param(struct resolver *r, const char *parameter,
    const char *fmt, ...) PRINTF(3, 4);
/* A step that follows from a table. */
void resolve_say_table(struct resolver *r, const char *parameter,
    const struct table_answer *a);

/* Refuse: "<address>: Recipient address rejected: TEXT"; with 501 (syntax) and
 * 553 (not because of the recipient) the text alone. */
void resolve_refuse(struct resolver *r, struct fr_resolved *out, int code,
    const char *status, const char *fmt, ...) PRINTF(5, 6);
/* Temporary: why is logged, the client reads that a lookup failed. */
void resolve_fail(struct resolver *r, struct fr_resolved *out,
    const struct errtext *et);

/* ---- resolve.c ---- */

/* Is the domain of r->address in the list, or in one of the tables?  Told as
 * a step.  OK, ERR_NOTFOUND, ERR_LOOKUP. */
MUST_CHECK enum err resolve_domain_in(struct resolver *r, const char *parameter,
    const struct conf_list *list, struct tables *ts, struct errtext *et);

/* ---- alias.c ---- */

/*
 * resolve_alias(r, target, et):
 * Where virtual_alias_maps sends r->address: into r->target, *target borrowed
 * from there.  ERR_NOTFOUND: it has no entry, or stands for itself;
 * ERR_LOOKUP: it cannot be known now, or the entry makes no sense.
 */
MUST_CHECK enum err resolve_alias(struct resolver *r, struct slice *target,
    struct errtext *et);

/* ---- virtualdomain.c ---- */

/* Lower-case and unquoted forms of r->address for tables.  False: it is no
 * such local part. */
bool resolve_make_keys(struct resolver *r);
/*
 * resolve_virtualdomains(r, out, et):
 * OK: an item fits, *out is local, and r->address was rewritten, or remote
 * (an exception).  ERR_NOTFOUND: none fits.  ERR_SYNTAX: the address would
 * become too long.
 */
MUST_CHECK enum err resolve_virtualdomains(struct resolver *r,
    enum resolve_class *out, struct errtext *et);

/* ---- way.c ---- */

/* Copies both; the next hop in lower case unless it is a path.  False: one
 * is too long. */
bool resolve_set_way(struct resolver *r, struct fr_resolved *out,
    struct slice transport, struct slice nexthop);
/* What follows from the class, smtproutes and relayhost. */
void resolve_default_way(struct resolver *r, struct fr_resolved *out,
    enum resolve_class class);
/* What a parameter says (mailbox_transport and its kin), which was checked when
 * it was loaded.  False: the address is too long for it, out is final. */
bool resolve_way_of(struct resolver *r, struct fr_resolved *out,
    const char *name, const char *value);
/* What transport_maps says instead.  False when out is final. */
bool resolve_transport_maps(struct resolver *r, struct fr_resolved *out);

/* ---- mailbox.c: does the recipient exist, and where is its mailbox?
 * False when out says why it is refused. ---- */

/* The local part, then what stands before each delimiter, the longest first,
 * as a user of the system; postmaster always is one, and root's mail is
 * postmaster's.  Sets out->mailbox, which lies in r; of transport local it
 * hands users to mailbox_transport and others to fallback_transport, if there
 * are such, and then there is no mailbox. */
bool resolve_local_user(struct resolver *r, struct fr_resolved *out);
/* By virtual_mailbox_maps: out->mailbox, which lies in r, and the uid and gid
 * that own it. */
bool resolve_virtual_mailbox(struct resolver *r, struct fr_resolved *out);
/* By virtual_mailbox_maps, whose values do not count; anybody when there are no
 * such tables. */
bool resolve_virtual_known(struct resolver *r, struct fr_resolved *out);
/* mailbox is the user postmaster. */
void resolve_postmaster(struct resolver *r, struct fr_resolved *out);

/* ---- mailpath.c ---- */

/*
 * mailpath_make(value, keys, buf, size, len_out):
 * value of virtual_mailbox_maps with %u %d %s %% replaced, as a path below
 * the base: relative, no piece empty, "." or "..".  What comes from the
 * address is let in only as one harmless piece of a name: printable ASCII
 * without slash, backslash and blank, not beginning with a dot.
 * ERR_NOTFOUND: the address has no place in a path, or is too long for one (a
 * name of 255 bytes); ERR_CONFIG: value itself is no such path (a leading
 * slash is dropped).
 */
MUST_CHECK enum err mailpath_make(struct slice value,
    const struct table_address *keys, char *buf, size_t size, size_t *len_out);
