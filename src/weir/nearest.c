/*
 * nearest: which command somebody may have meant.
 */
#include <string.h>

#include "weir/cli.h"

enum { WORD_BYTES_MAX = 32 };

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned
cli_distance(const char *a, const char *b)
{
	/* Rows of the table of distances between beginnings: the one being
	 * filled and the two before it. */
	unsigned rows[3][WORD_BYTES_MAX + 1];
	size_t a_len = strnlen(a, WORD_BYTES_MAX);
	size_t b_len = strnlen(b, WORD_BYTES_MAX);

	for (unsigned j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= a_len; i++) {
		unsigned *row = rows[i % 3];
		unsigned *up = rows[(i + 2) % 3];
		unsigned *up2 = rows[(i + 1) % 3];

		row[0] = i;
		for (unsigned j = 1; j <= b_len; j++) {
			unsigned other = a[i - 1] != b[j - 1];

			row[j] = least(up[j - 1] + other,
			    least(up[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				row[j] = least(row[j], up2[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

bool
cli_nearer(const char *name, const char *candidate, unsigned *best)
{
	unsigned d = cli_distance(name, candidate);

	if (d >= *best || d >= strlen(candidate))
		return false;
	*best = d;
	return true;
}

const char *
cli_nearest(const char *name)
{
	unsigned best = CLI_NEAR;
	const char *found = NULL;

	for (const struct command *c = commands; c->name != NULL; c++)
		if (cli_nearer(name, c->name, &best))
			found = c->name;
	return found;
}

const struct command *
cli_find(const char *name)
{
	for (const struct command *c = commands; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}
