/*
 * lookup/srs: reports about mail that was forwarded with a rewritten sender.
 */
#include <string.h>

#include "alias/srs.h"
#include "base/time.h"
#include "lookup/internal.h"
#include "table/secrets.h"

/* The address that the local part stands for into r->target. */
static enum err
turn_back(struct resolver *r, size_t *len_out, struct errtext *et)
{
	static struct secrets secrets;
	char made[ADDRESS_BYTES_MAX], local[LOCAL_PART_BYTES_MAX];
	struct srs srs;
	struct out out;
	size_t at, len;
	enum err e = secrets_read(&secrets, r->conf->srs_secrets, et);

	if (e != OK)
		return e;
	srs_init(&srs, slice_str(r->conf->srs_domain), secrets.items,
	    secrets.count);
	out_init(&out, made, sizeof(made));
	e = srs_reverse(&srs, r->keys.local,
	    srs_day(clock_system.wall(&clock_system).ms), &out);
	if (e != OK)
		return e;
	at = slice_rfind(out_text(&out), '@');
	if (!address_local_quote(slice_sub(out_text(&out), 0, at), local, &len))
		return ERR_SYNTAX;
	if (len + out.len - at > sizeof(r->target))
		return ERR_TOOBIG;
	memcpy(r->target, local, len);
	memcpy(r->target + len, made + at, out.len - at);
	*len_out = len + out.len - at;
	return OK;
}

enum resolve_next
resolve_srs(struct resolver *r, struct fr_resolved *out)
{
	struct errtext et = { "" };
	bool full;
	size_t len;
	enum err e;

	if (r->conf->srs_domain[0] == '\0' ||
	    !slice_eq_nocase(r->address.domain,
		slice_str(r->conf->srs_domain)) ||
	    !srs_is_ours(r->keys.local))
		return NEXT_NONE;
	/* A rewritten address within a rewritten one is no loop, but bounded.
	 */
	if (resolve_seen(r, LEVEL_VIRTUAL, &full) || full)
		return NEXT_NONE;
	e = turn_back(r, &len, &et);
	if (e == OK && resolve_set_address(r, slice_of(r->target, len))) {
		resolve_say_param(r, "srs_domain",
		    "the sender was rewritten here: %.*s",
		    SLICE_ARGS(r->address.text));
		return NEXT_FOLLOWED;
	}
	if (e == ERR_LOOKUP || e == ERR_CONFIG)
		resolve_fail(r, out, &et);
	else
		resolve_refuse(r, out, 550, "5.1.1", "%s",
		    e == ERR_TIMEOUT
			? "this rewritten address is too old"
			: "this rewritten address was not made here");
	return NEXT_DONE;
}
