/*
 * json: one JSON value written to a stream, in ASCII.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/slice.h"

enum { JSON_DEPTH_MAX = 8 };

struct json {
	FILE *to;
	unsigned depth;
	bool filled[JSON_DEPTH_MAX + 1]; /* something is there: comma first */
};

/* A writer with nothing written. */
struct json json_to(FILE *to);
/* key is NULL inside arrays and at the top. */
void json_open(struct json *j, const char *key, char bracket); /* { or [ */
void json_close(struct json *j, char bracket);		       /* } or ] */
void json_string(struct json *j, const char *key, struct slice s);
void json_number(struct json *j, const char *key, int64_t v);
void json_bool(struct json *j, const char *key, bool v);

/* s to a stream with control and non-ASCII bytes escaped. */
void print_safe(FILE *to, struct slice s);
