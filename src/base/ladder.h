/*
 * ladder: what a role does when it runs short, step by step.
 *
 * Each step is climbed at one pressure and left at a lower one, so that
 * nothing flutters; up at once, down one step at a time.  The role asks for
 * the step where it decides; the ladder logs each change, each step at most
 * once a minute, and shows where it stands in the limits page (row "overload
 * step").
 */
#pragma once

#include <stdbool.h>

#include "base/log.h"
#include "base/time.h"

struct limit_row;

enum ladder_step {
	LADDER_CALM,
	LADDER_SHORT,  /* short timeouts for clients that proved nothing */
	LADDER_CLOSED, /* no new ones of them: 421 */
	LADDER_REFUSE, /* 452 at MAIL, but for local mail */
	LADDER_PAUSE,  /* no new deliveries while others run */
	LADDER_STEPS
};

/* The row's name; its in_use is the step. */
#define LADDER_ROW "overload step"

struct ladder {
	enum ladder_step step;
	struct log_limit_site sites[LADDER_STEPS];
	struct limit_row *row;
};

/* Calm; makes the row. */
void ladder_init(struct ladder *l);
/*
 * ladder_look(l, door_percent, memory_percent, now):
 * How full the door (places for sessions; 0: there is none) and the memory
 * are.  True when the step changed.
 */
bool ladder_look(struct ladder *l, unsigned door_percent,
    unsigned memory_percent, struct mono now);
/* "no new unproven clients"; "calm" for 0 and for what is no step. */
const char *ladder_text(unsigned step);
