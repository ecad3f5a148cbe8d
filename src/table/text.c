/*
 * table/text: text and inline tables as keys and values, in place.
 */
#include <string.h>

#include "conf/conf.h"
#include "table/impl.h"

static bool
fits(struct slice key, struct slice value)
{
	return key.len > 0 && key.len <= TABLE_KEY_BYTES_MAX && value.len > 0 &&
	       value.len <= TABLE_VALUE_BYTES_MAX;
}

/* Joins lines that continue one another: the pieces are moved together,
 * which never needs more room than they had. */
struct join {
	char *data;
	size_t from; /* of the entry in data */
	size_t len;
	uint32_t line; /* 0: nothing begun */
	enum table_syntax syntax;
};

static enum err
join_end(struct join *j, struct map *m, uint32_t *bad_line)
{
	struct slice key, value;
	uint32_t line = j->line;

	j->line = 0;
	if (line == 0)
		return OK;
	if (entry_split(j->data + j->from, j->len, j->syntax, true, &key,
		&value) != ENTRY_GOOD) {
		if (*bad_line == 0)
			*bad_line = line;
		return OK;
	}
	return map_add(m, key, value, line);
}

static void
join_add(struct join *j, size_t at, size_t len)
{
	j->data[j->from + j->len++] = ' ';
	memmove(j->data + j->from + j->len, j->data + at, len);
	j->len += len;
}

/* Lines that begin an entry. */
static size_t
count_entries(const char *data, size_t len)
{
	size_t count = 0;

	for (size_t at = 0; at < len; at++) {
		if (!entry_is_blank(data[at]) && data[at] != '#' &&
		    data[at] != '\n')
			count++;
		at += slice_find(slice_of(data + at, len - at), '\n');
	}
	return count;
}

enum err
text_parse(struct map *m, char *data, size_t len, enum table_syntax syntax,
    uint32_t *bad_line_out)
{
	struct join j = { .data = data, .syntax = syntax };
	uint32_t line = 0;
	size_t next;
	enum err e;

	*bad_line_out = 0;
	e = map_reserve(m, count_entries(data, len));
	for (size_t at = 0; at < len && e == OK; at = next) {
		size_t end =
		    at + slice_find(slice_of(data + at, len - at), '\n');
		bool continues = entry_is_blank(data[at]);

		next = end + 1;
		line++;
		while (at < end && entry_is_blank(data[at]))
			at++;
		while (end > at && entry_is_blank(data[end - 1]))
			end--;
		if (at == end || data[at] == '#')
			continue;
		if (continues && j.line != 0) {
			join_add(&j, at, end - at);
			continue;
		}
		e = join_end(&j, m, bad_line_out);
		if (continues && *bad_line_out == 0)
			*bad_line_out = line; /* it continues nothing */
		if (!continues)
			j = (struct join){ data, at, end - at, line, syntax };
	}
	if (e == OK)
		e = join_end(&j, m, bad_line_out);
	map_sort(m);
	return e;
}

enum err
inline_parse(struct map *m, char *data, size_t len, struct errtext *et)
{
	struct slice rest, key, value;
	uint32_t number = 0;
	enum err e;

	if (len < 2 || data[0] != '{' || data[len - 1] != '}')
		return err_set(et, ERR_CONFIG,
		    "no braces; write inline:{ key = value, ... }");
	rest = slice_of(data + 1, len - 2);
	while (conf_inline_next(&rest, &key, &value, &e)) {
		number++;
		if (e == OK && !fits(key, value))
			e = ERR_CONFIG;
		if (e != OK)
			return err_set(et, e, "entry %u is not key = value",
			    number);
		lower(data + (key.data - data), key.len);
		e = map_add(m, key, value, number);
		if (e != OK)
			return err_set(et, e, "no room for its entries");
	}
	map_sort(m);
	return OK;
}
