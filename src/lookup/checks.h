/*
 * lookup/checks: what the role local is asked about extensions at RCPT.
 *
 * A question that has to be asked parks its request: it is resolved again when
 * the answer has come, which is remembered for a moment.  Others go on
 * meanwhile.  When local is away, or too slow, or too many requests are parked,
 * the answer is that it cannot be known now: temporary.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "ev/loop.h"
#include "ev/timer.h"
#include "ipc/frames.h"
#include "proto/envelope.h"

struct chan;
struct limit_row;

enum {
	CHECKS_PARKED_MAX = 64,
	CHECKS_KNOWN_COUNT = 1024, /* answers; a power of two */
	CHECKS_FOUND_MS = 5000,
	CHECKS_MISSING_MS = 1000,
	CHECKS_WAIT_MS = 20000,
	CHECKS_ROUNDS_MAX = 8, /* questions of one request */
};

/* Two hashes of user and extension, by different keys: no text is kept. */
struct check_key {
	uint64_t a, b;
};

struct check_known {
	struct check_key key;
	struct mono expires;
	bool exists;
};

struct parked {
	bool busy;
	bool gave_up;	 /* what is not known stays so */
	uint8_t rounds;	 /* questions so far */
	uint8_t purpose; /* of the request */
	uint32_t check;	 /* tag of the question */
	uint32_t tag;	 /* of the request */
	uint32_t link;	 /* whose it is; the owner's affair */
	struct mono since;
	struct check_key key;
	uint16_t address_len, sender_len;
	char address[ADDRESS_BYTES_MAX];
	char sender[ADDRESS_BYTES_MAX];
};

/* Resolve it again.  True: it is answered, and freed. */
typedef bool checks_again_fn(struct parked *p);

struct checks {
	struct chan *chan; /* NULL: local is away */
	checks_again_fn *again;
	struct ev_timer timer;
	struct limit_row *row;
	uint32_t next_check;
	unsigned parked_count;
	struct parked *current; /* that is resolved again just now */
	struct fr_check asked;	/* by checks_ask, to be sent */
	char user[256], extension[513];
	uint64_t second_key[2];
	struct parked parked[CHECKS_PARKED_MAX];
	struct check_known known[CHECKS_KNOWN_COUNT];
};

/* Makes a row of the limits page.  again is called from checks_on_checked,
 * checks_set_channel and a timer. */
void checks_init(struct checks *c, struct ev_loop *loop,
    checks_again_fn *again);
/* To local, or NULL: whoever waits is answered. */
void checks_set_channel(struct checks *c, struct chan *chan);

/* As check of struct resolve_system. */
MUST_CHECK enum err checks_ask(struct checks *c, struct slice user,
    struct slice extension, struct errtext *et);
/*
 * checks_park(c, f, tag, link):
 * After checks_ask gave ERR_AGAIN for a new request: keep it, and send the
 * question.  False: too many are parked.
 */
bool checks_park(struct checks *c, const struct fr_resolve *f, uint32_t tag,
    uint32_t link);
/* The requests of this link are forgotten. */
void checks_forget(struct checks *c, uint32_t link);
/* CHECKED came. */
void checks_on_checked(struct checks *c, uint32_t tag,
    enum check_verdict verdict);
