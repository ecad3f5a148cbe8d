/*
 * lookup/rewrite: localiphost and percenthack, which change an address before
 * anything is asked about it.
 */
#include <string.h>

#include "lookup/internal.h"

/* local@[address of this machine] is local@localiphost, as in qmail-smtpd. */
static void
rewrite_literal(struct resolver *r)
{
	struct slice host = slice_str(r->conf->localiphost);
	size_t kept = r->address.text.len - r->address.domain.len;
	struct net_addr a;

	if (!r->address.literal || host.len == 0 ||
	    kept + host.len > sizeof(r->text) ||
	    !net_addr_parse(r->address.domain, &a) ||
	    !r->sys->is_own(r->sys->arg, &a))
		return;
	memcpy(r->text + kept, host.data, host.len);
	address_split(slice_of(r->text, kept + host.len), &r->address);
	resolve_say_param(r, "localiphost", "makes it %.*s",
	    SLICE_ARGS(r->address.text));
}

/* user%domain@listed is user@domain, as in qmail-send.  Each turn makes the
 * address shorter. */
static void
rewrite_percent(struct resolver *r)
{
	struct slice local = r->address.local;
	size_t percent;

	while (conf_list_has(&r->conf->percenthack, r->address.domain) &&
	       local.len > 0 && local.data[0] != '"' &&
	       (percent = slice_rfind(local, '%')) < local.len && percent > 0) {
		r->text[percent] = '@';
		address_split(slice_of(r->text, local.len), &r->address);
		local = r->address.local;
		resolve_say_param(r, "percenthack", "makes it %.*s",
		    SLICE_ARGS(r->address.text));
	}
}

void
resolve_rewrite(struct resolver *r)
{
	rewrite_literal(r);
	rewrite_percent(r);
}
