/*
 * format: figures for people, and what people write for figures.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/time.h"

enum { FORMAT_BYTES = 40 };

/* "17 B", "4.2 KiB", "128 MiB"; exact where the unit is. */
void format_bytes(int64_t bytes, char buf[static FORMAT_BYTES]);
/* "250ms", "42s", "7m", "3h", "12d": the largest unit of which there is one;
 * the second one too where it tells something ("1h20m"). */
void format_span(int64_t ms, char buf[static FORMAT_BYTES]);
/* A local date as ctime() gives it, 19 characters: "Sun Nov 22 08:55:57";
 * of times longer than half a year ago the same. */
void format_date(struct wall t, char buf[static FORMAT_BYTES]);

/* "90", "90s", "15m", "2h", "5d", "1w"; a bare number is seconds. */
bool parse_span(struct slice s, int64_t *ms_out);
