#include "alias/qmail_name.h"

#include <string.h>

static const struct slice DEFAULT = { "default", 7 };

static char
safe(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '.' ? ':' : c;
}

static bool
has_bad_byte(struct slice s)
{
	return slice_find(s, '/') < s.len || slice_find(s, '\0') < s.len;
}

enum err
qmail_names_begin(struct qmail_names *n, struct slice dash, struct slice ext)
{
	if (dash.len > QMAIL_DASH_BYTES_MAX || ext.len > QMAIL_EXT_BYTES_MAX)
		return ERR_TOOBIG;
	if (has_bad_byte(dash) || has_bad_byte(ext))
		return ERR_SYNTAX;
	n->ext = ext;
	n->dash_len = dash.len;
	n->at = ext.len;
	n->begun = n->ended = false;
	memcpy(n->name, ".qmail", 6);
	n->len = 6;
	if (dash.len > 0)
		memcpy(n->name + 6, dash.data, dash.len);
	n->len += dash.len;
	for (size_t i = 0; i < ext.len; i++)
		n->name[n->len++] = safe(ext.data[i]);
	n->name[n->len] = '\0';
	return OK;
}

/* The first len bytes of the name with tail behind them. */
static const char *
with_tail(struct qmail_names *n, size_t len, struct slice tail)
{
	memcpy(n->out, n->name, len);
	memcpy(n->out + len, tail.data, tail.len);
	n->out[len + tail.len] = '\0';
	return n->out;
}

const char *
qmail_names_next(struct qmail_names *n, struct slice *default_out)
{
	size_t ext_at = n->len - n->ext.len, i;

	*default_out = SLICE_NONE;
	if (!n->begun) {
		n->begun = true;
		/* A name that ends in "default" by itself sets it too. */
		if (slice_ends_nocase(n->ext, DEFAULT))
			*default_out = slice_sub(n->ext,
			    n->ext.len - DEFAULT.len, n->ext.len);
		/* Of a user without an extension there is one file only. */
		n->ended = n->dash_len == 0;
		return n->name;
	}
	if (n->ended)
		return NULL;
	for (i = n->at; i > 0 && n->ext.data[i - 1] != '-'; i--)
		;
	n->ended = i == 0;
	n->at = i > 0 ? i - 1 : 0;
	*default_out = slice_of(n->ext.data != NULL ? n->ext.data + i : "",
	    n->ext.len - i);
	return with_tail(n, ext_at + i, DEFAULT);
}

const char *
qmail_names_owner(struct qmail_names *n, bool of_default)
{
	return with_tail(n, n->len,
	    of_default ? SLICE_LIT("-owner-default") : SLICE_LIT("-owner"));
}

struct slice
qmail_ext_after(struct slice ext, unsigned count)
{
	while (count-- > 0)
		ext = slice_sub(ext, slice_find(ext, '-') + 1, ext.len);
	return ext;
}

struct slice
qmail_host_before(struct slice host, unsigned count)
{
	while (count-- > 0)
		host = slice_sub(host, 0, slice_rfind(host, '.'));
	return host;
}
