/*
 * conf: the configuration of a server, typed.
 *
 * conf/params.def declares every parameter once; struct conf has a member
 * for each, made from that table:
 *   TIME name  -> int64_t name_ms      SIZE name -> int64_t name_bytes
 *   INT name   -> int64_t name         BOOL name -> bool name
 *   STR name   -> const char *name     ENUM name -> int name
 *   LIST name  -> struct conf_list name
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct conf;

/* Items of a list parameter, expanded, without empty ones. */
struct conf_list {
	const struct slice *items;
	size_t count;
};
