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

/* All of it, as lines of text without controls.  Does not block, but for what
 * `to` does. */
void screen_print(FILE *to, struct cli *cli, const struct conf *conf,
    const struct pages *p);

/* Which row is shown where; what the queue holds, and what others found worth
 * counting, are counts: pools of objects are for `weir limits`. */
bool screen_is_gate(const struct row *r);
bool screen_is_ladder(const struct row *r);
bool screen_is_count(const struct row *r);

/* Resident memory of a process as the kernel counts it; 0: not told. */
int64_t screen_resident_bytes(uint32_t pid);
