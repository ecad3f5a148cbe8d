/*
 * table/entry: a key and a value in one line of text.
 */
#include <string.h>

#include "table/impl.h"

bool
entry_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

void
lower(char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (data[i] >= 'A' && data[i] <= 'Z')
			data[i] = (char)(data[i] - 'A' + 'a');
}

/* Where the key ends: at the first blank or colon outside quotes.  len + 1:
 * a quote is missing. */
static size_t
find_end(const char *data, size_t len, bool at_colon)
{
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		char c = data[i];

		if (c == '"')
			quoted = !quoted;
		else if (quoted && c == '\\')
			i++;
		else if (!quoted && (at_colon ? c == ':' : entry_is_blank(c)))
			return i;
	}
	return quoted ? len + 1 : len;
}

/* Without quotes and the backslashes inside them; the new length. */
static size_t
unquote(char *data, size_t len)
{
	bool quoted = false;
	size_t kept = 0;

	if (len == 0 || memchr(data, '"', len) == NULL)
		return len;
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '"') {
			quoted = !quoted;
			continue;
		}
		if (quoted && data[i] == '\\' && i + 1 < len)
			i++;
		data[kept++] = data[i];
	}
	return kept;
}

size_t
table_value_max(enum table_syntax syntax)
{
	return syntax == TABLE_SYNTAX_ALIASES ? TABLE_ALIAS_VALUE_BYTES_MAX
					      : TABLE_VALUE_BYTES_MAX;
}

enum entry_fault
entry_split(char *data, size_t len, enum table_syntax syntax, bool fold,
    struct slice *key_out, struct slice *value_out)
{
	bool aliases = syntax == TABLE_SYNTAX_ALIASES;
	size_t end = find_end(data, len, aliases), k;
	struct slice value;

	if (end > len)
		return ENTRY_QUOTES;
	k = end;
	while (k > 0 && entry_is_blank(data[k - 1]))
		k--;
	/* A name is one word: "a b: c" would never be looked up. */
	if (aliases && (end == len || find_end(data, k, false) < k))
		return ENTRY_NO_VALUE;
	value = slice_sub(slice_of(data, len), end + aliases, len);
	while (value.len > 0 && entry_is_blank(value.data[value.len - 1]))
		value.len--;
	while (value.len > 0 && entry_is_blank(value.data[0]))
		value = slice_sub(value, 1, value.len);
	k = unquote(data, k);
	if (k == 0 || value.len == 0)
		return ENTRY_NO_VALUE;
	if (k > TABLE_KEY_BYTES_MAX)
		return ENTRY_KEY_LONG;
	if (value.len > table_value_max(syntax))
		return ENTRY_VALUE_LONG;
	if (fold)
		lower(data, k);
	*key_out = slice_of(data, k);
	*value_out = value;
	return ENTRY_GOOD;
}
