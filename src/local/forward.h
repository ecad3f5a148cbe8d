/*
 * forward: a message handed in again, for other recipients.
 *
 * The body is the original's, read from its segments and passed on unseen,
 * with "Received:" and "Delivered-To:" in front.  It is an ordinary message
 * with an id of its own; when on_done says sent it is durable.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"
#include "ev/loop.h"
#include "ipc/txn_client.h"
#include "local/outcome.h"
#include "local/segments.h"
#include "proto/envelope.h"

struct acct;
struct chan;
struct forwards;
struct frame;
struct target_env;

enum {
	/* Transactions at once; others wait.  The queue keeps a few free for
	 * those that are not a client's. */
	FORWARDS_MAX = 8,
	FORWARD_TIMEOUT_MS = 300 * 1000, /* without progress */
};

/* A recipient of what is forwarded. */
struct forward_rcpt {
	struct forward_rcpt *next;
	uint8_t notify;
	struct slice address; /* canonical */
	struct slice orcpt;   /* xtext with type; may be empty */
	/* The alias of which it came: its aliases are not followed again.
	 * Empty: of a dot file. */
	struct slice original;
};

/* Embedded by who forwards; zero before its first use.  What it points to
 * lives until on_done. */
struct forward {
	/* To be set: */
	struct envelope envelope; /* of the original, with the new sender */
	const struct forward_rcpt *rcpts; /* 1 and more */
	uint32_t rcpt_count;
	struct slice delivered_to; /* empty: no such field */
	struct body_source body;
	void (*on_done)(struct forward *f);
	/* Set when on_done is called: sent, with the id of the new message; or
	 * deferred: nothing was handed in that the queue acknowledged. */
	struct outcome outcome;
	uint64_t id;

	/* Private: */
	struct list_node node;
	struct forwards *all;		 /* NULL: not under way */
	const struct forward_rcpt *rcpt; /* to be sent next */
	struct txn_client txn;
	struct ev_timer timer;
	bool head_sent;
};

/* env is borrowed, and read at each forward. */
MUST_CHECK enum err forwards_new(struct ev_loop *loop, struct acct *a,
    const struct target_env *env, struct forwards **out);
void forwards_free(struct forwards *fs); /* NULL is allowed */
/* The channel to the queue, borrowed; NULL: it is gone, and nobody hears of
 * what was under way. */
void forwards_set_queue(struct forwards *fs, struct chan *queue);
/* A frame TXN_* of the queue. */
void forwards_on_frame(struct forwards *fs, struct frame *f);
/* The channel has room again. */
void forwards_on_room(struct forwards *fs);

/* Hand it in; on_done comes later. */
void forward_submit(struct forwards *fs, struct forward *f);
/* Forget it: no on_done.  A no-op if it is not under way. */
void forward_cancel(struct forward *f);
