/*
 * lookup/internal: between the files that resolve an address.
 */
#pragma once

#include "alias/target.h"
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

/* The address as it was asked for. */
struct slice resolve_given(const struct resolver *r);

/* ---- class.c ---- */

/* text, with myorigin where it has no domain, into buf, in which text may lie.
 * False: it is empty, too long or holds control characters. */
bool resolve_complete(const struct conf *c, struct slice text,
    char buf[static ADDRESS_BYTES_MAX], size_t *len_out);
/* The same into r->address, rewritten, with its keys.  False: it is no address.
 */
bool resolve_set_address(struct resolver *r, struct slice text);
/* The class of r->address, which virtualdomains may rewrite.  OK, ERR_LOOKUP;
 * ERR_SYNTAX: rewritten it is too long. */
MUST_CHECK enum err resolve_class_of(struct resolver *r,
    enum resolve_class *out, struct errtext *et);
/* Is the domain of r->address in the list, or in one of the tables?  Told as
 * a step.  OK, ERR_NOTFOUND, ERR_LOOKUP. */
MUST_CHECK enum err resolve_domain_in(struct resolver *r, const char *parameter,
    const struct conf_list *list, struct tables *ts, struct errtext *et);

/*
 * resolve_may_anybody(r, class, et):
 * May a stranger send to r->address, which is of that class?  Told as a step.
 * OK; ERR_NOTFOUND: only clients that may relay; ERR_LOOKUP.
 */
MUST_CHECK enum err resolve_may_anybody(struct resolver *r,
    enum resolve_class class, struct errtext *et);

/* ---- rewrite.c ---- */

/* localiphost and percenthack: r->address, which lies in r->text, as it has
 * to be taken.  It may no longer be valid. */
void resolve_rewrite(struct resolver *r);

/* ---- alias.c: what r->address stands for ---- */

enum alias_level {
	LEVEL_VIRTUAL, /* virtual_alias_maps: any address */
	LEVEL_LOCAL,   /* alias_maps: the local part */
	LEVEL_UNKNOWN, /* luser_relay: nobody's */
};

/* Borrowed from r, until r->address changes, and from a table, until the next
 * lookup on this level. */
struct alias_entry {
	enum alias_level level;
	bool owner;	   /* LEVEL_LOCAL: there is an owner-NAME, too */
	struct slice name; /* LEVEL_LOCAL: the key that was found */
	struct table_answer answer;
};

/* Told as a step.  OK; ERR_NOTFOUND; ERR_LOOKUP: it cannot be known now. */
MUST_CHECK enum err alias_find(struct resolver *r, enum alias_level level,
    struct alias_entry *out, struct errtext *et);

/* The sender of what goes to the list: owner-NAME@domain.  False: that is no
 * address. */
bool alias_owner(struct resolver *r, const struct alias_entry *entry,
    char buf[static ADDRESS_BYTES_MAX], size_t *len_out);

/* A target, borrowed for the call; an address has a domain, and the extension
 * of the address that was asked for where virtual(5) keeps it. */
typedef enum err alias_target_fn(void *arg, const struct alias_target *target,
    struct errtext *et);

/*
 * alias_each(r, entry, fn, arg, et):
 * Call fn for each target.  r->address and its keys are still those that were
 * found.  OK; ERR_LOOKUP: the entry makes no sense, et names it; or what fn
 * returned, if that is not OK: it ends the walk.
 */
MUST_CHECK enum err alias_each(struct resolver *r,
    const struct alias_entry *entry, alias_target_fn *fn, void *arg,
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

/* What comes after an attempt to find the recipient. */
enum resolve_next {
	NEXT_DONE,     /* out has the answer */
	NEXT_FOLLOWED, /* r->address is another one: from the beginning */
	NEXT_NONE,     /* nothing there: go on */
};

/* ---- srs.c ---- */

/* An address of srs_domain that was made by rewriting a sender: whom it stands
 * for, or out refuses it. */
enum resolve_next resolve_srs(struct resolver *r, struct fr_resolved *out);

/* ---- follow.c ---- */

/* resolve_fail(), and NEXT_DONE. */
enum resolve_next resolve_fail_now(struct resolver *r, struct fr_resolved *out,
    const struct errtext *et);
/* One step from r->address through the aliases of a level, if the purpose lets
 * them be followed: r->address is the next one, or out says that they are to be
 * expanded, or that it failed; or there is nothing on this level. */
MUST_CHECK enum resolve_next resolve_follow(struct resolver *r,
    enum alias_level level, struct fr_resolved *out);
/* Was r->address followed on this level before?  If not, now it is; *full:
 * there were too many steps. */
bool resolve_seen(struct resolver *r, enum alias_level level, bool *full);

/* ---- user.c: users of this system ---- */

/*
 * resolve_local_user(r, out):
 * The local part, then what stands before each delimiter, the longest first,
 * as a user of the system; postmaster always is one, and root's mail is
 * postmaster's.  Sets out->mailbox, which lies in r; a user's mail may go to
 * mailbox_transport instead, that of nobody to fallback_transport or
 * luser_relay: then there is no mailbox.  Only of transport local.
 */
MUST_CHECK enum resolve_next resolve_local_user(struct resolver *r,
    struct fr_resolved *out);

/* ---- mailbox.c: does the recipient exist, and where is its mailbox?
 * False when out says why it is refused. ---- */

/* By virtual_mailbox_maps: out->mailbox, which lies in r, and the uid and gid
 * that own it. */
bool resolve_virtual_mailbox(struct resolver *r, struct fr_resolved *out);
/* By virtual_mailbox_maps, whose values do not count; anybody when there are no
 * such tables. */
bool resolve_virtual_known(struct resolver *r, struct fr_resolved *out);

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
