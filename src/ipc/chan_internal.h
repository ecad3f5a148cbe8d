/*
 * chan_internal: what the sending and the receiving half of a channel share.
 */
#pragma once

#include "base/buf.h"
#include "ev/loop.h"
#include "ipc/chan.h"

struct chan {
	struct ev_loop *loop;
	struct acct *acct;
	struct ev_io io;
	int fd;
	enum role self, peer;
	unsigned peer_index;
	const struct chan_events *events;
	void *arg;

	struct buf out;	      /* struct record, then the frame; repeated */
	size_t out_max_bytes; /* limit of out */
	size_t sndbuf_bytes;  /* charged for the kernel's buffer */
	struct ev_task flush; /* at the end of the turn */
	struct ev_task tell;  /* on_room, on_closed after chan_bad */
	bool blocked;	      /* the socket takes nothing: waiting for EV_WR */
	bool refused;	      /* a send got ERR_FULL: on_room is owed */
	bool send_dead;	      /* sending failed for good */

	bool paused;
	bool bad;      /* chan_bad was called */
	bool ended;    /* on_closed was called, or the owner closed */
	unsigned busy; /* callbacks under way */
	bool closing;  /* chan_close was called from one */
	char why[CHAN_WHY_BYTES]; /* of bad */
};

/* In front of each frame in the queue. */
struct record {
	uint32_t bytes; /* of the frame, header included */
	int32_t fd;	/* a duplicate of ours; -1: none */
};

/* Read once from the socket and call the owner; the channel may be gone
 * afterwards. */
void chan_receive(struct chan *c);
/* Account, loop and descriptor are set. */
void chan_send_init(struct chan *c, size_t queue_max_bytes);
/* Nothing can be sent any more: the queue is dropped. */
void chan_send_stop(struct chan *c);
/* Send what is queued; sets blocked. */
void chan_drain(struct chan *c);
/* Watch for what the state asks for. */
void chan_watch(struct chan *c);
/* Call on_closed once. */
void chan_end(struct chan *c, bool bad, const char *why);
/* Free after the last callback has returned. */
void chan_release(struct chan *c);
/* Share of the process's receive buffer for a role; ERR_FULL. */
MUST_CHECK enum err chan_receiver_hold(enum role self, struct acct *a);
void chan_receiver_drop(enum role self);
