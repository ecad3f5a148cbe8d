/*
 * lookup/mailpath: paths of virtual mailboxes from what stands in a table.
 */
#include <string.h>

#include "lookup/internal.h"

struct path {
	char *buf;
	size_t size;
	size_t len;
};

static bool
path_put(struct path *p, const char *data, size_t len)
{
	if (len > p->size - p->len)
		return false;
	memcpy(p->buf + p->len, data, len);
	p->len += len;
	return true;
}

/* May s, from an address, be part of a name? */
static bool
is_harmless(struct slice s)
{
	if (s.len == 0 || s.data[0] == '.')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] <= ' ' || s.data[i] >= 0x7f || s.data[i] == '/' ||
		    s.data[i] == '\\')
			return false;
	return true;
}

static bool
put_part(struct path *p, struct slice s)
{
	size_t at = p->len;

	if (!is_harmless(s) || !path_put(p, s.data, s.len))
		return false;
	for (; at < p->len; at++)
		if (p->buf[at] >= 'A' && p->buf[at] <= 'Z')
			p->buf[at] = (char)(p->buf[at] - 'A' + 'a');
	return true;
}

/* What a letter after % stands for. */
static bool
put_letter(struct path *p, char letter, const struct table_address *k)
{
	switch (letter) {
	case 'u': return put_part(p, k->user);
	case 'd': return put_part(p, k->domain);
	case 's':
		return put_part(p, k->local) && path_put(p, "@", 1) &&
		       put_part(p, k->domain);
	case '%': return path_put(p, "%", 1);
	default: return path_put(p, "%", 1) && path_put(p, &letter, 1);
	}
}

static bool
is_path(struct slice s)
{
	struct slice piece;
	size_t slash;

	while (s.len > 0) {
		slash = slice_find(s, '/');
		piece = slice_sub(s, 0, slash);
		if (piece.len == 0 || piece.len > 255 ||
		    slice_eq(piece, SLICE_LIT(".")) ||
		    slice_eq(piece, SLICE_LIT("..")))
			return false;
		s = slice_sub(s, slash + 1, s.len);
	}
	return true;
}

/* The path as value says it, from what stands in an address. */
static enum err
expand(struct path *p, struct slice value, const struct table_address *keys)
{
	while (value.len > 0) {
		size_t n = slice_find(value, '%');

		if (!path_put(p, value.data, n))
			return ERR_NOTFOUND;
		if (n + 1 < value.len &&
		    !put_letter(p, value.data[n + 1], keys))
			return ERR_NOTFOUND;
		if (n + 1 == value.len && !path_put(p, "%", 1))
			return ERR_NOTFOUND;
		value = slice_sub(value, n + 2, value.len);
	}
	return is_path(slice_of(p->buf, p->len)) ? OK : ERR_NOTFOUND;
}

enum err
mailpath_make(struct slice value, const struct table_address *keys, char *buf,
    size_t size, size_t *len_out)
{
	struct path p = { buf, size, 0 };

	while (value.len > 0 && value.data[0] == '/')
		value = slice_sub(value, 1, value.len);
	/* What is wrong before anything is put in is wrong for every address;
	 * what goes wrong after that is the address's own fault. */
	if (value.len == 0 || value.len > size || !is_path(value))
		return ERR_CONFIG;
	*len_out = 0;
	if (expand(&p, value, keys) != OK)
		return ERR_NOTFOUND;
	*len_out = p.len;
	return OK;
}
