/*
 * gate: a bound on how many of something run at once.
 *
 * Some slots may be reserved for a class (bounces, proven clients, the
 * administrator): ordinary holders may use limit - reserved, privileged ones
 * all.  Each holder has a deadline; gate_recount finds slots whose owner is
 * gone or late and logs them as the bugs they are.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/time.h"

struct limit_row;

/* Embedded in the object that holds the slot. */
struct gate_slot {
	struct list_node node; /* linked while held */
	struct mono deadline;  /* latest instant at which it should be held */
	bool held;
};

struct gate {
	const char *name;
	unsigned limit;	   /* 0: held closed */
	unsigned reserved; /* of limit, for privileged holders */
	unsigned in_use;
	struct list held;
	unsigned late_count; /* found by the last gate_recount */
	struct limit_row *row;
};

/* Makes the row of the limits page; name is a static string, parameter "" if
 * nobody may set the limit. */
void gate_init(struct gate *g, const char *name, const char *parameter,
    unsigned limit, unsigned reserved);
/* On reload.  A lower limit takes effect as holders leave. */
void gate_set_limit(struct gate *g, unsigned limit, unsigned reserved);
/* False when full; counted as waited when will_wait, else as refused. */
bool gate_enter(struct gate *g, struct gate_slot *s, bool privileged,
    struct mono deadline, bool will_wait);
void gate_leave(struct gate *g, struct gate_slot *s); /* no-op if not held */
bool gate_open(const struct gate *g, bool privileged);
/*
 * gate_recount(g, now):
 * How many holders are past their deadline now.  Walks all holders; call it
 * about once a minute.  When it finds more than the time before it logs that,
 * for somebody did not keep his deadline.
 */
unsigned gate_recount(struct gate *g, struct mono now);
