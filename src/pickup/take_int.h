/*
 * take_int: a file on its way, for take.c, which moves it, and take_send.c,
 * which writes it to the queue.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ev/loop.h"
#include "ipc/txn_client.h"
#include "pickup/drop_dir.h"
#include "pickup/dropped.h"
#include "pickup/take.h"
#include "proto/body_scan.h"
#include "proto/header_scan.h"
#include "proto/received.h"

struct chan;

enum {
	PIECE_BYTES = 16 * 1024,
	BODY_BYTES = 2 * PIECE_BYTES + BODY_SCAN_SLACK_BYTES + 8,
};

_Static_assert((int)BODY_BYTES > (int)RECEIVED_BYTES_MAX,
    "the trace field fits where the body passes");

enum take_state {
	IDLE,	    /* looking for the next file, or nothing to do */
	OPENING,    /* TXN_OPEN and recipients are being sent */
	SENDING,    /* the message */
	COMMITTING, /* TXN_DONE is awaited */
	WAITING,    /* for the timer, or for a queue */
};

struct take {
	struct ev_loop *loop;
	struct acct *acct;
	const struct conf *conf;
	const struct take_events *events;
	int dir_fd;
	struct chan *queue; /* NULL: none */
	struct ev_task task;
	struct ev_timer timer;
	uint8_t state; /* enum take_state */
	bool draining;
	bool stuck; /* the directory cannot be changed: begin nothing */
	uint32_t tag;
	struct txn_client txn;
	struct drop_look look;
	char name[DROP_NAME_BYTES]; /* of the file */
	struct dropped file;
	struct body_scan scan;
	struct header_scan header;
	bool file_over;	 /* all of it was read */
	size_t held_len; /* bytes in held that wait for credit */
	char held[BODY_BYTES];
};

/* ---- take.c: none of them blocks but on the directory's disk ---- */

/* The next step comes in another turn of the loop. */
void take_go_on(struct take *t);
/* The file will never be a message: set it aside, why is logged.  The next
 * one follows. */
void take_set_aside(struct take *t, const char *why);
/* Not now: the transaction is given up, the file stays, why is logged. */
void take_try_later(struct take *t, const char *why);
/* One of the two: ERR_CORRUPT sets it aside, anything else is temporary. */
void take_file_failed(struct take *t, enum err e, const struct errtext *et);

/* ---- take_send.c: failures end in one of the functions above ---- */

/* Open the file t->name and a transaction for it. */
void take_begin(struct take *t);
/* Recipients, as long as the channel takes them. */
void take_send_rcpts(struct take *t);
/* The trace field goes in front of the message; t->txn.id is known. */
void take_hold_trace(struct take *t);
/* As much of the message as credit and channel allow, then the commit. */
void take_send_message(struct take *t);
