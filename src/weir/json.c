#include "weir/json.h"

#include "base/assert.h"

struct json
json_to(FILE *to)
{
	return (struct json){ .to = to };
}

static void
comma_and_key(struct json *j, const char *key)
{
	if (j->filled[j->depth])
		fputs(j->depth == 0 ? "\n" : ",", j->to);
	j->filled[j->depth] = true;
	if (key != NULL)
		fprintf(j->to, "\"%s\":", key);
}

void
json_open(struct json *j, const char *key, char bracket)
{
	ASSERT(j->depth < JSON_DEPTH_MAX);
	comma_and_key(j, key);
	fputc(bracket, j->to);
	j->depth++;
	j->filled[j->depth] = false;
}

void
json_close(struct json *j, char bracket)
{
	ASSERT(j->depth > 0);
	fputc(bracket, j->to);
	j->depth--;
	if (j->depth == 0) {
		fputc('\n', j->to);
		j->filled[0] = false;
	}
}

void
json_string(struct json *j, const char *key, struct slice s)
{
	char piece[256];

	comma_and_key(j, key);
	fputc('"', j->to);
	while (s.len > 0)
		fwrite(piece, 1, slice_json(&s, piece, sizeof(piece)), j->to);
	fputc('"', j->to);
}

void
json_number(struct json *j, const char *key, int64_t v)
{
	comma_and_key(j, key);
	fprintf(j->to, "%lld", (long long)v);
}

void
json_bool(struct json *j, const char *key, bool v)
{
	comma_and_key(j, key);
	fputs(v ? "true" : "false", j->to);
}

void
print_safe(FILE *to, struct slice s)
{
	char piece[256];

	while (s.len > 0)
		fwrite(piece, 1, slice_escape(&s, piece, sizeof(piece)), to);
}
