/*
 * alias/out: a text in the making, in the caller's buffer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct out {
	char *data;
	size_t size;
	size_t len;
	bool full; /* something did not fit; len is what did */
};

/* Empty, over size bytes. */
void out_init(struct out *o, char *data, size_t size);
/* Append; what does not fit whole sets full and is left out. */
void out_put(struct out *o, struct slice s);
void out_char(struct out *o, char c);
/* What was put; borrowed. */
struct slice out_text(const struct out *o);
