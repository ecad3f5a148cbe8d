#include "conf/peek.h"

#include <stdbool.h>
#include <string.h>

static struct slice
next_line(struct slice *text)
{
	size_t end = slice_find(*text, '\n');
	struct slice line = slice_sub(*text, 0, end);

	*text = slice_sub(*text, end + 1, text->len);
	return line;
}

/* "name = value"; false: not as plain as that. */
static bool
plain(struct slice line, struct slice name, struct slice *value_out)
{
	size_t at = slice_find(line, '=');
	struct slice value = slice_trim(slice_sub(line, at + 1, line.len));

	if (line.data[0] != name.data[0] ||
	    !slice_eq(slice_trim(slice_sub(line, 0, at)), name) ||
	    value.len == 0)
		return false;
	for (size_t i = 0; i < value.len; i++)
		if (value.data[i] <= ' ' || strchr("$\"'{}#,", value.data[i]))
			return false;
	*value_out = value;
	return true;
}

enum conf_peek
conf_peek(struct slice text, struct slice name, struct slice *out)
{
	enum conf_peek result = CONF_PEEK_ABSENT;
	bool before = false; /* the line before is the one we look for */

	while (text.len > 0) {
		struct slice line = next_line(&text);

		if (slice_trim(line).len == 0 || line.data[0] == '#')
			continue;
		/* A line that continues it. */
		if (before && (line.data[0] == ' ' || line.data[0] == '\t'))
			return CONF_PEEK_UNCLEAR;
		before = false;
		if (memmem(line.data, line.len, name.data, name.len) == NULL)
			continue;
		if (result == CONF_PEEK_FOUND || !plain(line, name, out))
			return CONF_PEEK_UNCLEAR;
		result = CONF_PEEK_FOUND;
		before = true;
	}
	return result;
}
