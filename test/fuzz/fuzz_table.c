/*
 * Text and inline tables, and the paths made from what they hold.
 *
 * Every key and value lies in the input, is in its bounds, and every key is
 * found again; a path that was made stays below its base.
 */
#include <stdlib.h>
#include <string.h>

#include "lookup/internal.h"
#include "table/impl.h"

#include "fuzz.h"

static struct acct acct;

static void
check_inside(struct slice s, const char *data, size_t size, size_t max)
{
	if (s.len == 0 || s.len > max || s.data < data ||
	    s.data + s.len > data + size)
		abort();
}

static void
check_path(struct slice value, struct slice key)
{
	size_t at = slice_rfind(key, '@'), len;
	struct table_address k = {
		.local = slice_sub(key, 0, at),
		.user = slice_sub(key, 0, slice_find(key, '+')),
		.domain = slice_sub(key, at + 1, key.len),
	};
	char buf[1024];
	struct slice path;

	if (mailpath_make(value, &k, buf, sizeof(buf), &len) != OK)
		return;
	path = slice_of(buf, len);
	if (len == 0 || len > sizeof(buf) || path.data[0] == '/')
		abort();
	while (path.len > 0) {
		struct slice piece = slice_sub(path, 0, slice_find(path, '/'));

		if (piece.len == 0 || slice_eq(piece, SLICE_LIT("..")) ||
		    slice_eq(piece, SLICE_LIT(".")))
			abort();
		path = slice_sub(path, piece.len + 1, path.len);
	}
}

static void
check_map(const struct map *m, const char *data, size_t size)
{
	for (uint32_t i = 0; i < m->count; i++) {
		const struct map_entry *e = &m->entries[i], *found;

		check_inside(e->key, data, size, TABLE_KEY_BYTES_MAX);
		check_inside(e->value, data, size, TABLE_VALUE_BYTES_MAX);
		found = map_find(m, e->key);
		if (found == NULL || found->line > e->line)
			abort();
		check_path(e->value, e->key);
	}
}

static void
run(const uint8_t *input, size_t size, bool is_inline)
{
	char *data = malloc(size + 1);
	struct errtext et;
	struct map m;
	uint32_t bad_line;

	memcpy(data, input, size);
	map_init(&m, &acct);
	if (is_inline
		? inline_parse(&m, data, size, &et) == OK
		: text_parse(&m, data, size, TABLE_SYNTAX_MAP, &bad_line) == OK)
		check_map(&m, data, size);
	map_fini(&m);
	free(data);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (acct.name == NULL)
		acct_init(&acct, NULL, "fuzz", 256 << 20, false, "");
	run(data, size, false);
	run(data, size, true);
	if (acct.used_bytes != 0)
		abort();
	return 0;
}
