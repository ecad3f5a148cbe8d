/*
 * lookup/virtualdomain: domains whose mail goes to one user, as qmail-send
 * rewrites it: PREPEND-local@domain.
 */
#include <string.h>

#include "lookup/internal.h"

/* Names of lists, which have a hyphen of their own. */
static bool
is_whole(struct slice local)
{
	return slice_starts_nocase(local, SLICE_LIT("owner-")) ||
	       slice_ends_nocase(local, SLICE_LIT("-request")) ||
	       slice_eq_nocase(local, SLICE_LIT("mailer-daemon"));
}

bool
resolve_make_keys(struct resolver *r)
{
	size_t len, cut = 0;
	bool whole;

	if (!address_local_unquote(r->address.local, r->local, &len))
		return false;
	whole = is_whole(slice_of(r->local, len));
	for (cut = 1; cut < len; cut++)
		if (strchr(r->conf->recipient_delimiter, r->local[cut]) !=
			NULL &&
		    !(whole && r->local[cut] == '-'))
			break;
	r->keys.local = slice_of(r->local, len);
	r->keys.user = slice_sub(r->keys.local, 0, cut);
	r->keys.domain = r->address.domain;
	return true;
}

/* The item that fits best; the first of two alike. */
static bool
find_item(const struct resolver *r, struct net_prepend *best)
{
	const struct conf_list *list = &r->conf->virtualdomains;
	unsigned rank, best_rank = 0;
	struct net_prepend p;

	*best = (struct net_prepend){ 0 };
	for (size_t i = 0; i < list->count; i++) {
		if (net_prepend_parse(list->items[i], &p, NULL) != OK)
			continue;
		rank = net_prepend_rank(&p, r->keys.local, r->address.domain);
		if (rank > best_rank) {
			best_rank = rank;
			*best = p;
		}
	}
	return best_rank > 0;
}

static char
dash_of(const struct resolver *r)
{
	const char *delimiters = r->conf->recipient_delimiter;

	return delimiters[0] == '\0' || strchr(delimiters, '-') != NULL
		   ? '-'
		   : delimiters[0];
}

/* Into the local part, behind the quote that it may begin with. */
static bool
put_in_front(struct resolver *r, struct slice prepend)
{
	struct slice text = r->address.text;
	size_t at = r->address.local.len > 0 && text.data[0] == '"';
	size_t len = prepend.len + 1;

	if (text.len + len > sizeof(r->text) ||
	    r->address.local.len + len > LOCAL_PART_BYTES_MAX)
		return false;
	memmove(r->text + at + len, r->text + at, text.len - at);
	memcpy(r->text + at, prepend.data, prepend.len);
	r->text[at + prepend.len] = dash_of(r);
	address_split(slice_of(r->text, text.len + len), &r->address);
	return resolve_make_keys(r);
}

enum err
resolve_virtualdomains(struct resolver *r, enum resolve_class *out,
    struct errtext *et)
{
	struct net_prepend p;

	if (!find_item(r, &p))
		return ERR_NOTFOUND;
	if (p.prepend.len == 0) {
		resolve_say_param(r, "virtualdomains",
		    "%.*s: is an exception: another server's",
		    SLICE_ARGS(p.key));
		*out = CLASS_REMOTE;
		return OK;
	}
	if (!put_in_front(r, p.prepend))
		return err_set(et, ERR_SYNTAX,
		    "the address is too long for virtualdomains");
	resolve_say_param(r, "virtualdomains", "%.*s:%.*s makes it %.*s",
	    SLICE_ARGS(p.key), SLICE_ARGS(p.prepend),
	    SLICE_ARGS(r->address.text));
	*out = CLASS_LOCAL;
	return OK;
}
