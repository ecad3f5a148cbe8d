/*
 * peek: one plain value of weir.conf at a glance, for programs that run too
 * often to read all of it.
 */
#pragma once

#include "base/slice.h"

enum conf_peek {
	CONF_PEEK_ABSENT, /* the default holds */
	CONF_PEEK_FOUND,
	CONF_PEEK_UNCLEAR, /* only conf_load knows */
};

/*
 * conf_peek(text, name, out):
 * The value of the parameter name in the text of weir.conf, borrowed from it:
 * found if it is defined once, on one line, without $names, quotes or braces,
 * and the name stands nowhere else but in comments.
 */
enum conf_peek conf_peek(struct slice text, struct slice name,
    struct slice *out);
