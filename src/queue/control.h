/*
 * control: clients of the control socket; private to the queue role.
 *
 * A client makes one request at a time.  A request goes over rows of the
 * index (all, or those of the ids given), a few in each turn, and only while
 * the client's channel has room: a slow client costs only itself, and is
 * closed when it does not move for CLIENT_DEADLINE_MS.
 */
#pragma once

#include "queue/internal.h"

enum {
	CLIENT_QUEUE_BYTES = 40 << 10,
	CLIENT_DEADLINE_MS = 60000,
	CLIENT_IDLE_MS = 10000, /* without a request */
	SAY_BAD_MS = 1000,	/* between two lines about bad clients */
	CLIENTS_PER_USER = 4,	/* of one user who may not change the queue */
	/* Places that only root, the owner of the spool and our own user may
	 * take, and those that only they and authorized_queue_users may. */
	CLIENTS_FOR_ROOT = 2,
	CLIENTS_FOR_TRUSTED = 4,
	CLIENT_ROWS = 128,
	CLIENT_IDS_MAX = 49152 / 8,
	ROWS_PER_LOOK = 8, /* at the clock */
	TURN_MS = 1,	   /* for one client */
	PEEK_RCPTS = 128,
	CAT_BYTES = 16384,
};

enum request {
	REQUEST_NONE,
	REQUEST_LIST,
	REQUEST_SHOW,
	REQUEST_CAT,
	REQUEST_CHANGE,
};

enum client_state {
	CLIENT_IDLE,
	CLIENT_ROWS_WANTED, /* the index is to be asked */
	CLIENT_ASKING,	    /* an answer is outstanding */
	CLIENT_WORKING,	    /* on rows[row_next] */
	CLIENT_CATTING,
	CLIENT_SYNC, /* changes wait to be durable */
};

struct client {
	struct queue *q;
	struct chan *chan; /* NULL: gone, an answer is outstanding */
	uid_t uid;
	bool may_change;
	uint8_t request; /* enum request */
	uint8_t state;	 /* enum client_state */
	uint32_t tag;
	struct mono deadline;
	struct ev_task task;

	/* which messages */
	uint8_t statuses;
	uint32_t limit;
	int64_t age_min_ms;
	char from[ADDRESS_BYTES_MAX + 1], to[ADDRESS_BYTES_MAX + 1];
	char domain[HOST_BYTES_MAX + 1];
	uint64_t dest; /* key of the domain asked for; 0: any */
	uint64_t *ids; /* charged; or NULL: all */
	uint32_t id_count, id_next;
	uint64_t after_id;

	/* rows at hand */
	struct store_row rows[CLIENT_ROWS];
	unsigned row_count, row_next;
	bool last_rows;
	uint64_t
	    resume_id; /* the message at hand was begun with an older row */

	/* the message at hand */
	struct arena arena;
	bool item_sent, envelope_sent;
	uint32_t rcpt_from; /* recipients below it were sent */

	/* cat */
	struct store_msg msg; /* held for it; or not */
	uint64_t cat_id;
	uint32_t extent_at, extent_done;

	uint8_t verb; /* enum ctl_verb */
	struct store_ticket ticket;
	uint32_t count; /* messages listed or changed */
};

/* The request goes on with a row: OK done with it, ERR_AGAIN later, ERR_FULL
 * the channel has no room; other errors end the request. */
MUST_CHECK enum err control_item(struct client *c, const struct store_row *row);
MUST_CHECK enum err control_change(struct client *c,
    const struct store_row *row);
MUST_CHECK enum err control_cat_begin(struct client *c,
    const struct store_row *row);
MUST_CHECK enum err control_cat_step(struct client *c);
void control_cat_end(struct client *c);

/* Does the message pass the filters?  Errors of store_peek. */
MUST_CHECK enum err control_matches(struct client *c,
    const struct store_row *row, bool *yes);
uint8_t control_status(const struct store_row *row); /* enum ctl_status */
void control_end(struct client *c, enum err e, const char *text);
void control_again(struct client *c); /* go on in the next turn */

/* control.c and control_client.c to each other */
extern const struct chan_events control_events;
void control_step(void *arg, struct ev_task *t);
void control_moved(struct client *c, int64_t ms); /* a deadline from now */
void control_client_close(struct client *c);
void control_client_free(struct client *c);
