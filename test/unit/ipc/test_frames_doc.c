/*
 * doc/format/frames.md says what frames.def says.
 *
 * Run with the file as argument: compares the table in it.  With --print it
 * writes the table, to be put there after a change of frames.def.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/frames.h"

static const char *path;
static char doc[128 * 1024];

static void
append_roles(char *out, size_t size, uint32_t set)
{
	const char *separator = "";

	if (set == R_ALL) {
		snprintf(out, size, "every role");
		return;
	}
	for (unsigned r = 0; r < ROLE_COUNT; r++) {
		size_t n = strlen(out);

		if (!(set >> r & 1))
			continue;
		snprintf(out + n, size - n, "%s%s", separator,
		    role_name((enum role)r));
		separator = ", ";
	}
}

static void
row_of(uint16_t type, char *row, size_t size)
{
	const struct frame_info *i = frame_info(type);
	char from[128] = "", to[128] = "";
	int fields = (int)strlen(i->fields);

	append_roles(from, sizeof(from), i->from);
	append_roles(to, sizeof(to), i->to);
	while (fields > 0 && i->fields[fields - 1] == ' ')
		fields--;
	snprintf(row, size, "\n| %s | %s | %s | %u | %zu-%zu | %.*s |", i->name,
	    from, to, i->fd_max, i->bytes_min, i->bytes_max, fields, i->fields);
}

static void
test_doc(void **state)
{
	const char *at = doc;
	unsigned rows = 0;
	size_t n;
	FILE *f;

	(void)state;
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(doc, 1, sizeof(doc) - 1, f);
	fclose(f);
	assert_true(n < sizeof(doc) - 1);
	for (uint16_t t = FRAME_NONE + 1; t < FRAME_TYPE_COUNT; t++) {
		char row[1024];

		row_of(t, row, sizeof(row));
		at = strstr(at, row);
		if (at == NULL)
			fail_msg("frames.md lacks this row, or not in this "
				 "order: %s",
			    row);
	}
	for (const char *p = doc; (p = strstr(p, "\n| ")) != NULL; p++)
		if (p[3] >= 'A' && p[3] <= 'Z')
			rows++;
	assert_int_equal(rows, FRAME_TYPE_COUNT - 1);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_doc) };

	if (argc != 2)
		return 64;
	path = argv[1];
	if (strcmp(path, "--print") == 0) {
		for (uint16_t t = FRAME_NONE + 1; t < FRAME_TYPE_COUNT; t++) {
			char row[1024];

			row_of(t, row, sizeof(row));
			fputs(row + 1, stdout);
			putchar('\n');
		}
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
