/*
 * conf/list: lists of words, and domains in them.
 */
#include "conf/load.h"

static bool
is_separator(char c)
{
	return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool
conf_list_next(struct slice *rest, struct slice *item_out, enum err *e_out)
{
	size_t from = 0, i;
	unsigned depth = 0;

	*e_out = OK;
	while (from < rest->len && is_separator(rest->data[from]))
		from++;
	if (from == rest->len) {
		*rest = SLICE_NONE;
		return false;
	}
	for (i = from; i < rest->len; i++) {
		char c = rest->data[i];

		if (c == '{')
			depth++;
		else if (c == '}' && depth-- == 0)
			break; /* closes what was never opened */
		else if (depth == 0 && is_separator(c))
			break;
	}
	*item_out = slice_sub(*rest, from, i);
	if (depth != 0) {
		*e_out = ERR_CONFIG;
		*item_out = slice_sub(*rest, from, rest->len);
		i = rest->len;
	}
	*rest = slice_sub(*rest, i, rest->len);
	return true;
}

/* Length of the entry at the start: to the comma, or to the brace that
 * closes it. */
static size_t
inline_length(struct slice s)
{
	size_t depth = 0, i;

	for (i = 0; i < s.len; i++) {
		if (s.data[i] == '{')
			depth++;
		else if (s.data[i] == '}' && depth > 0 && --depth == 0)
			return i + 1;
		else if (s.data[i] == ',' && depth == 0)
			return i;
	}
	return s.len;
}

bool
conf_inline_next(struct slice *rest, struct slice *key_out,
    struct slice *value_out, enum err *e_out)
{
	struct slice entry;
	size_t n, equals;

	while (rest->len > 0 && is_separator(rest->data[0]))
		*rest = slice_sub(*rest, 1, rest->len);
	if (rest->len == 0)
		return false;
	n = inline_length(*rest);
	entry = slice_sub(*rest, 0, n);
	*rest = slice_sub(*rest, n, rest->len);
	if (n >= 2 && entry.data[0] == '{' && entry.data[n - 1] == '}')
		entry = slice_sub(entry, 1, n - 1);
	equals = slice_find(entry, '=');
	*key_out = slice_trim(slice_sub(entry, 0, equals));
	*value_out = slice_trim(slice_sub(entry, equals + 1, entry.len));
	*e_out = key_out->len > 0 && value_out->len > 0 ? OK : ERR_CONFIG;
	return true;
}

bool
conf_list_has(const struct conf_list *list, struct slice word)
{
	for (size_t i = 0; i < list->count; i++)
		if (slice_eq_nocase(list->items[i], word))
			return true;
	return false;
}

bool
conf_list_has_domain(const struct conf_list *list, struct slice domain)
{
	for (size_t i = 0; i < list->count; i++) {
		struct slice item = list->items[i];

		if (item.len > 0 && item.data[0] == '.') {
			if (domain.len > item.len &&
			    slice_ends_nocase(domain, item))
				return true;
		} else if (slice_eq_nocase(item, domain)) {
			return true;
		}
	}
	return false;
}
