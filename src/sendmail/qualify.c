#include "sendmail/qualify.h"

#include <string.h>

#include "proto/address.h"

/* A host of the configuration may lack a domain itself. */
static void
put_host_end(const struct qualify *q, struct slice host, struct out *out)
{
	bool plus = host.len > 0 && host.data[host.len - 1] == '+';

	if (host.len > 0 && host.data[0] == '[')
		return;
	if (plus || slice_find(host, '.') == host.len) {
		out_char(out, '.');
		out_put(out, plus ? q->plusdomain : q->defaultdomain);
	}
}

size_t
qualify_suffix(const struct qualify *q, struct slice address, struct out *out)
{
	struct address a;
	struct slice host = q->defaulthost;

	address_split(address, &a);
	if (a.domain.len == 0) {
		bool plus = host.len > 0 && host.data[host.len - 1] == '+';

		out_char(out, '@');
		out_put(out, slice_sub(host, 0, host.len - plus));
		put_host_end(q, host, out);
		return 0;
	}
	put_host_end(q, a.domain, out);
	return a.domain.data[a.domain.len - 1] == '+';
}

struct rewrite {
	struct header_addresses h;
	const struct qualify *q;
	struct slice body;
	size_t copied; /* of body */
	struct buf *out;
	header_address_fn *fn;
	void *arg;
};

static enum err
on_address(void *arg, struct slice address)
{
	struct rewrite *r = arg;
	char suffix[2 * ADDRESS_BYTES_MAX], whole[3 * ADDRESS_BYTES_MAX];
	struct out s, w;
	enum err e = OK;
	size_t cut;

	out_init(&s, suffix, sizeof(suffix));
	out_init(&w, whole, sizeof(whole));
	cut = qualify_suffix(r->q, address, &s);
	out_put(&w, slice_sub(address, 0, address.len - cut));
	out_put(&w, out_text(&s));
	if (s.full || w.full || w.len > ADDRESS_BYTES_MAX)
		return ERR_TOOBIG;
	if (r->out != NULL) {
		e = buf_put(r->out,
		    slice_sub(r->body, r->copied, r->h.end - cut));
		if (e == OK)
			e = buf_put(r->out, out_text(&s));
		r->copied = r->h.end;
	}
	return e == OK && r->fn != NULL ? r->fn(r->arg, out_text(&w)) : e;
}

enum err
qualify_list(const struct qualify *q, struct slice body, struct buf *out,
    header_address_fn *fn, void *arg)
{
	struct rewrite r = { .q = q,
		.body = body,
		.out = out,
		.fn = fn,
		.arg = arg };
	enum err e;

	header_addresses_init(&r.h, on_address, &r);
	r.h.token_max = q->token_max;
	e = header_addresses_feed(&r.h, body);
	if (e == OK)
		e = header_addresses_end(&r.h);
	if (e == ERR_TOOBIG && q->token_max > 0 &&
	    r.h.token_count > q->token_max)
		e = ERR_FULL;
	if ((e == OK || e == ERR_FULL) && out != NULL &&
	    buf_put(out, slice_sub(body, r.copied, body.len)) != OK)
		e = ERR_TOOBIG;
	return e;
}

bool
qualify_raw(struct slice address, struct out *out)
{
	char buf[ADDRESS_BYTES_MAX], local[LOCAL_PART_BYTES_MAX];
	struct address a;
	size_t len;

	if (address_parse(address, ADDRESS_UTF8 | ADDRESS_BARE, buf, &a) !=
		OK ||
	    !address_local_unquote(a.local, local, &len))
		return false;
	out_put(out, slice_of(local, len));
	if (a.domain.len > 0) {
		out_char(out, '@');
		out_put(out, a.domain);
	}
	return !out->full;
}
