/*
 * plan_sender: in whose name a plan forwards.
 *
 * The owner's, where the alias or the dot file has one; else the sender's own.
 * A foreign sender whose mail goes on to a foreign domain is rewritten when
 * there is an srs_domain.  The null sender stays, so that a report never makes
 * another one.
 */
#include "alias/srs.h"
#include "base/time.h"
#include "conf/conf.h"
#include "local/jobs_internal.h"
#include "local/plan.h"
#include "proto/address.h"
#include "table/secrets.h"

static const struct conf *
conf_of(const struct plan *p)
{
	return p->jd->job->jobs->env->conf;
}

static bool
is_ours(const struct conf *c, struct slice domain)
{
	return slice_eq_nocase(slice_str(c->srs_domain), domain) ||
	       conf_list_has_domain(&c->mydestination, domain) ||
	       conf_list_has_domain(&c->virtual_mailbox_domains, domain) ||
	       conf_list_has_domain(&c->virtual_alias_domains, domain);
}

static bool
goes_abroad(const struct plan *p)
{
	const struct forward_rcpt *r;
	struct address a;

	for (r = p->rcpts; r != NULL; r = r->next) {
		address_split(r->address, &a);
		if (!is_ours(conf_of(p), a.domain))
			return true;
	}
	return false;
}

/* address@domain, where address is what alias/srs.h made: local part and
 * domain without quotes. */
static bool
canonical(struct plan *p, struct slice made, struct slice *out)
{
	size_t at = slice_rfind(made, '@'), len;
	char local[LOCAL_PART_BYTES_MAX];
	struct out text;
	char *room;

	if (!address_local_quote(slice_sub(made, 0, at), local, &len))
		return false;
	room = arena_alloc(&p->jd->job->arena, ADDRESS_BYTES_MAX);
	if (room == NULL)
		return false;
	out_init(&text, room, ADDRESS_BYTES_MAX);
	out_put(&text, slice_of(local, len));
	out_put(&text, slice_sub(made, at, made.len));
	if (text.full)
		return false;
	*out = out_text(&text);
	return true;
}

static enum err
rewrite(struct plan *p, const struct address *from, struct errtext *et)
{
	static struct secrets secrets;
	const struct conf *c = conf_of(p);
	struct clock *clock = ev_clock(p->jd->job->jobs->loop);
	char local[LOCAL_PART_BYTES_MAX], made[ADDRESS_BYTES_MAX];
	struct srs srs;
	struct out out;
	size_t len;
	enum err e = secrets_read(&secrets, c->srs_secrets, et);

	if (e != OK)
		return e;
	srs_init(&srs, slice_str(c->srs_domain), secrets.items, secrets.count);
	if (!address_local_unquote(from->local, local, &len))
		return err_set(et, ERR_SYNTAX, "the sender is no address");
	out_init(&out, made, sizeof(made));
	e = srs_forward(&srs, slice_of(local, len), from->domain,
	    srs_day(clock->wall(clock).ms), &out);
	if (e != OK)
		return err_set(et, e, "srs: %s", err_text(e));
	if (!canonical(p, out_text(&out), &p->sender))
		return err_set(et, ERR_TOOBIG, "srs: the sender is too long");
	return OK;
}

bool
plan_set_sender(struct plan *p)
{
	struct slice sender = p->jd->job->envelope.sender;
	const struct conf *c = conf_of(p);
	struct errtext et = { "" };
	struct address from;
	enum err e = OK;

	p->sender = sender;
	if (sender.len == 0)
		p->has_sender = false;
	if (p->has_sender) {
		p->sender = p->new_sender;
		return true;
	}
	address_split(sender, &from);
	if (c->srs_domain[0] != '\0' && from.domain.len > 0 &&
	    !is_ours(c, from.domain) && goes_abroad(p))
		e = rewrite(p, &from, &et);
	/* One that is too long to be rewritten goes as it is: whoever checks
	 * SPF may refuse it, but it is not held back for ever. */
	if (e == OK || e == ERR_TOOBIG || e == ERR_SYNTAX)
		return true;
	return outcome_set(&p->jd->d.outcome, JOB_DEFERRED, "4.3.5",
	    "cannot rewrite the sender: %s", et.text);
}
