/*
 * resolve: whose mail an address is, and where it goes.
 *
 * Every address belongs to one class, found by its domain:
 *
 *   local     mydestination, an address of this machine in brackets, or
 *             postmaster without a domain: users of the system; also
 *             virtualdomains, with the user put in front of the local part
 *   virtual   virtual_mailbox_domains: mailboxes in tables
 *   relay     relay_domains: another server's, for anybody
 *   remote    anything else: another server's, for those who may relay
 *
 * With rcpthosts_decide a stranger may send to relay_domains alone, whatever
 * the class.
 *
 *   alias     virtual_alias_domains: nothing but entries of
 *             virtual_alias_maps
 *
 * Before its class is asked an address is followed through
 * virtual_alias_maps, and one of class local through alias_maps.  Whether
 * anybody may send to it is said by the class of the address as it was given.
 *
 * The class says whether the recipient exists; transport_maps may say
 * otherwise how its mail travels.  What only looks like routing (percent
 * signs, exclamation marks, source routes) means nothing, but for domains in
 * percenthack.
 */
#pragma once

#include <stdbool.h>

#include "alias/target.h"
#include "base/err.h"
#include "conf/conf.h"
#include "conf/net.h"
#include "ipc/frames.h"
#include "proto/address.h"
#include "table/table.h"

struct acct;
struct assigned;

/* What the system knows. */
struct resolve_system {
	/* OK with *uid_out; ERR_NOTFOUND: no such user; ERR_LOOKUP: cannot
	 * be known now.  Blocks. */
	enum err (*user)(void *arg, const char *name, uint32_t *uid_out,
	    struct errtext *et);
	/* Is this an address of this machine? */
	bool (*is_own)(void *arg, const struct net_addr *a);
	void *arg;
	/* Does the user want mail for this extension?  OK; ERR_NOTFOUND;
	 * ERR_LOOKUP: cannot be known now; ERR_AGAIN: not known yet, resolve
	 * again when it is.  NULL: nobody can be asked; it is presumed. */
	enum err (*check)(void *arg, struct slice user, struct slice extension,
	    struct errtext *et);
};

/* One step for `weir explain`; both strings are printable ASCII as far as
 * the configuration and the address are.  place: "FILE:LINE", a table with
 * its line, "system", "default", or "". */
typedef void resolve_step_fn(void *arg, const char *place, const char *text);

enum {
	RESOLVE_USER_TRIES_MAX = 8, /* splits of user-with-extensions */
	RESOLVE_ALIAS_DEPTH_MAX = 32,
};

/* Large (about 10 KiB): not for the stack.  conf and sys stay the
 * caller's and must outlive it. */
struct resolver {
	struct acct *acct;
	const struct conf *conf;
	const struct resolve_system *sys;
	struct tables local_domains;   /* tables in mydestination */
	struct tables virtual_domains; /* in virtual_mailbox_domains */
	struct tables relay_domains;
	struct tables more_domains;  /* morercpthosts */
	struct tables alias_domains; /* in virtual_alias_domains */
	struct tables aliases;	     /* virtual_alias_maps */
	struct tables locals;	     /* alias_maps */
	struct assigned *assigned;   /* users_assign; NULL: there is none */
	struct tables mailboxes;
	struct tables uids;
	struct tables gids;
	struct tables transports;

	/* of the address being resolved */
	resolve_step_fn *step; /* NULL: nobody wants to know */
	void *step_arg;
	struct address address; /* in text */
	struct table_address keys;
	enum resolve_purpose purpose;
	bool bare;    /* it was given without a domain */
	bool closed;  /* ours, but strangers may not send to it */
	bool looped;  /* an alias led back to itself */
	bool pending; /* a check was asked for, see resolve() */
	unsigned step_count;
	uint64_t
	    seen[RESOLVE_ALIAS_DEPTH_MAX]; /* hashes of what was followed */
	struct alias_scan scan;		   /* of an alias's value */
	char text[ADDRESS_BYTES_MAX];
	char local[LOCAL_PART_BYTES_MAX]; /* unquoted */
	char given[ADDRESS_BYTES_MAX];	  /* address before it was rewritten */
	size_t given_len;
	char target[ADDRESS_BYTES_MAX]; /* the only one of an alias */

	/* what the answer borrows */
	char status[13];
	char reply[401];
	char transport[33];
	char nexthop[301];
	char mailbox[1025];
	char route[265]; /* "[host]:port" of smtproutes */
};

/* ERR_CONFIG for a table that cannot be one, ERR_NOMEM; with et.  On error
 * there is nothing to close. */
MUST_CHECK enum err resolver_open(struct resolver *r, struct acct *a,
    const struct conf *c, const struct resolve_system *sys, struct errtext *et);
void resolver_close(struct resolver *r);

/*
 * resolve(r, purpose, address, sender, out):
 * address: as proto/address.h makes it, or at least without control
 * characters, else it is refused.  A lookup that fails is RESOLVE_REFUSE with
 * a code of 4xx.  May block on files and the user database.
 *
 * purpose: RESOLVE_EXPANDED: aliases are not followed, but for lists with an
 * owner of their own; RESOLVE_ITSELF: none are.
 *
 * sender: as the client gave it, for badmailfrom; empty: the null sender, or
 * none of a client's.
 *
 * out: transport and nexthop of what can be delivered; for local mailbox is
 * the user's name ("postmaster" also without such a user), or empty for an
 * alias that has to be expanded (expand.h); for virtual a path below
 * virtual_mailbox_base, with uid and gid of its owner (0 and 0: Weir's own);
 * domain_ms: how long the answer holds for its whole domain.  Borrowed until
 * the next call.
 *
 * False: it is not known yet, sys->check was asked; out is nothing.
 */
bool resolve(struct resolver *r, enum resolve_purpose purpose,
    struct slice address, struct slice sender, struct fr_resolved *out);

/* The same, telling each step. */
void resolve_explain(struct resolver *r, struct slice address,
    struct fr_resolved *out, resolve_step_fn *step, void *arg);
