/*
 * screen: what `weir status` and `weir top` show of a running server.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "weir/rows.h"

struct cli;
struct conf;

/* What there was so far, all processes of a role together. */
struct screen_flow {
	char role[16];
	char name[LIMITS_NAME_BYTES];
	bool is_limit; /* that often it was reached */
	int64_t count;
};

enum { SCREEN_FLOWS_MAX = 64 };

/* The flows of the screen before this one. */
struct screen_before {
	int64_t at_ms; /* 0: there was none */
	size_t count;
	struct screen_flow flows[SCREEN_FLOWS_MAX];
};

/* All of it, as lines of text without controls.  Does not block, but for what
 * `to` does.  before: NULL, or for the next screen: then there are rates, and
 * what changes is above. */
void screen_print(FILE *to, struct cli *cli, const struct conf *conf,
    const struct pages *p, struct screen_before *before);

/* Which row is shown where; what the queue holds, and what others found worth
 * counting, are counts: pools of objects are for `weir limits`. */
bool screen_is_gate(const struct row *r);
bool screen_is_ladder(const struct row *r);
bool screen_is_count(const struct row *r);

/* Resident memory of a process as the kernel counts it; 0: not told. */
int64_t screen_resident_bytes(uint32_t pid);
