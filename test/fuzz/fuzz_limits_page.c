/*
 * The pages of limits as `weir limits`, `weir status` and `weir top` read
 * them: written by processes that are not trusted.  Whatever they hold, every
 * text is terminated and printable and what is printed as JSON stays JSON.
 * Input: the page, from its beginning.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "fuzz.h"
#include "weir/format.h"
#include "weir/rows.h"

static void
printable(const char *s, size_t size)
{
	ASSERT(strnlen(s, size) < size);
	for (; *s != '\0'; s++)
		ASSERT(*s >= ' ' && *s <= '~');
}

/* Quotes come in pairs, and nothing that ends a line. */
static void
check_json(const char *s)
{
	bool inside = false;

	for (; *s != '\0'; s++) {
		ASSERT((*s >= ' ' && *s <= '~') || *s == '\n');
		if (*s == '"')
			inside = !inside;
		else if (inside && *s == '\\' && s[1] != '\0')
			s++;
		else if (inside)
			ASSERT(*s != '\n');
	}
	ASSERT(!inside);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct limits_page page;
	static char out[1 << 20];
	struct pages all = { .page = { &page }, .count = 1 };
	char text[FORMAT_BYTES];
	struct row r;
	uint32_t n;
	FILE *f;
	struct json j;

	memset(&page, 0xff, sizeof(page));
	memcpy(&page, data, size < sizeof(page) ? size : sizeof(page));
	n = page_row_count(&page);
	ASSERT(n <= LIMITS_ROWS_MAX);
	f = fmemopen(out, sizeof(out), "w");
	if (f == NULL)
		abort();
	j = json_to(f);
	json_open(&j, NULL, '[');
	for (uint32_t i = 0; i < n; i++) {
		r = page_row(&page, i);
		printable(r.role, sizeof(r.role));
		printable(r.role_name, sizeof(r.role_name));
		printable(r.name, sizeof(r.name));
		printable(r.parameter, sizeof(r.parameter));
		ASSERT(limit_kind_name((enum limit_kind)r.kind) != NULL);
		if (row_is_bytes(&r)) {
			format_bytes(r.in_use, text);
			printable(text, sizeof(text));
		}
		format_span(r.limit, text);
		printable(text, sizeof(text));
		json_open(&j, NULL, '{');
		row_json(&j, &r);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	(void)page_memory(&page, &r);
	(void)pages_memory(&all, false);
	(void)pages_memory(&all, true);
	fclose(f);
	check_json(out);
	return 0;
}
