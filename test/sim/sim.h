/*
 * sim: the real store on the simulated disk, beside a model that says what
 * may and what must be found after each recovery:
 *
 *   acknowledged and not ended         must be there, whole
 *   end acknowledged                   must not be there
 *   appended, not acknowledged         either, but whole
 *   never committed                    must not be there
 *   a report and its cause             both or neither
 *   ids                                never twice
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/time.h"
#include "simdisk.h"
#include "store/store.h"
#include "store/store_int.h"

enum {
	SIM_MODELS_MAX = 512,
	SIM_MODELS_SPARE = 16, /* for the end of a run */
	SIM_BODY_MAX = 200000 / STORE_SCALE,
	SIM_RCPTS_MAX = 8,
	SIM_OPEN_MAX = 12,
	SIM_IMAGE_BYTES = 1 << 20,
	SIM_TURNS_MAX = 4000, /* in which what must happen happens */
};

/* What the model knows of a fact that an append stated. */
enum fact { NO, SAID, ACKED };

struct model {
	uint64_t id;
	uint32_t body_bytes;
	uint8_t rcpt_count;
	uint8_t exists; /* enum fact, as all below */
	uint8_t over;
	uint8_t done[SIM_RCPTS_MAX];
	uint64_t exists_serial; /* tickets */
	uint64_t over_serial;
	uint64_t done_serial[SIM_RCPTS_MAX];
	uint64_t report_of; /* id of the message whose rcpt 0 it reports */
	bool found;
	bool hit; /* its records lie on a damaged page: anything goes */
};

struct active {
	struct store_msg msg; /* msg.store NULL: free */
	struct model *model;
	uint32_t body_done;
};

struct sim {
	struct simdisk disk;
	struct clock clock;
	int64_t now_ms;
	struct acct acct;
	struct store_conf conf;
	struct store_events events;
	struct store *store;
	bool poisoned;
	bool durable_came;
	bool strangers;	 /* no client is trusted, most are unproven */
	bool rot;	 /* pages were spoiled: damage is expected */
	bool unreadable; /* something of the log was, once */
	unsigned damage_count;
	struct model models[SIM_MODELS_MAX];
	unsigned model_count;
	struct active active[SIM_OPEN_MAX];
	uint64_t id_last;
	/* The index as it was once; copies share the bytes. */
	unsigned char *image;
	size_t image_len;
	struct store_image image_given;
	/* the last answer */
	bool answered;
	enum err err;
	struct store_row rows[STORE_ROWS_MAX];
	unsigned row_count;
};

struct sim_stats {
	uint64_t runs, opens, crashes, faults, found, moved, retired, set_aside;
};

extern struct sim_stats sim_stats;
extern bool sim_verbose;
/* For the line that is printed at a failure: what was being done. */
extern char sim_where[160];

void sim_fail(const char *fmt, ...) PRINTF(1, 2) __attribute__((noreturn));
void sim_say(const char *fmt, ...) PRINTF(1, 2);

static inline uint64_t
chance(struct sim *m, uint64_t n)
{
	return simdisk_random(&m->disk, n);
}

/* ---- life.c ---- */

/* A disk without files, a configuration from the seed; the store is closed. */
void sim_init(struct sim *m, uint64_t seed);
void sim_fini(struct sim *m);
/* The same world with a copy of the disk as it is now; the store closed. */
void sim_twin(struct sim *to, const struct sim *from, uint64_t seed);
/* Open once. */
MUST_CHECK enum err sim_open(struct sim *m, struct errtext *et);
/* Open; whatever fails on the way is over after a few tries; verify. */
void sim_reopen(struct sim *m);
/* Open when nothing fails. */
void sim_open_well(struct sim *m);
/* The process dies, and with power the disk forgets. */
enum sim_death { SIM_KILL, SIM_POWER };
void sim_crash(struct sim *m, enum sim_death how);
/* Close in good order: everything said is acknowledged. */
void sim_close(struct sim *m);
/* One turn of the loop and all the work that is pending. */
void sim_turn(struct sim *m, int64_t ms);
/* fsck finds nothing on the disk of a closed store. */
void sim_fsck(struct sim *m);
/* What must come to pass when no fault is left: everything ends, the log
 * shrinks, new mail is taken. */
void sim_live(struct sim *m);
/* Everything that is there is loaded and ended. */
void sim_drain(struct sim *m);
/* Everything is loaded; so many percent end, the rest is deferred. */
void sim_deliver_some(struct sim *m, unsigned percent);
/* Messages come and most of them end: a log of several segments with little
 * alive in them, which asks for moving. */
void sim_prelude(struct sim *m);
/* A message is taken, and is durable. */
void sim_intake(struct sim *m);

/* ---- model.c ---- */

/* Which tickets are durable now. */
void sim_note_acks(struct sim *m);
/* Everything that was said is durable (an orderly close). */
void sim_ack_all(struct sim *m);
struct model *sim_model_of(struct sim *m, uint64_t id);
struct model *sim_model_add(struct sim *m, uint64_t id);
/* The octets of a body at a place, by the message's id; as many as
 * SIM_PATTERN_BYTES may be read. */
enum { SIM_PATTERN_BYTES = 1 << 16 };
const char *sim_body(uint64_t id, uint32_t at);
/* After an open: is everything as it must be?  False: the disk died. */
bool sim_verify(struct sim *m);
/* Wait for the answer of a query.  False: the disk died. */
bool sim_answer(struct sim *m);
void sim_on_rows(void *arg, enum err e, const struct store_row *rows,
    unsigned count);

/* ---- act.c ---- */

/* One random step. */
void sim_act(struct sim *m);
/* A message that is not active any more, whatever became of it. */
void sim_let_go(struct sim *m);
/* Append a whole message; false: no room for it now. */
bool sim_act_whole(struct sim *m, uint32_t body_bytes);
/* A body is begun and left unfinished. */
void sim_act_leave(struct sim *m);
/* A burst of ids that are not used.  False: there was none. */
bool sim_act_ids(struct sim *m);
/* Defer some recipients of an active message, if there is one. */
void sim_act_defer(struct sim *m);
/* Encoded recipients from up to to. */
size_t sim_put_rcpts(char *buf, size_t size, unsigned from, unsigned to);
