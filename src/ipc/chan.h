/*
 * chan: a channel between two roles: frames over a SOCK_SEQPACKET pair.
 *
 * Small frames are gathered and leave together at the end of the turn, several
 * to a packet; a large one takes those before it along at once.  What the
 * socket does not take waits in a bounded queue.  Reading takes several packets
 * per call.
 * A malformed frame closes the channel (on_closed with bad = true); the
 * owner tells the master.  Layouts: ipc/frames.def, doc/format/frames.md.
 *
 * Charged to the channel's account: the channel, its queue while it is not
 * empty, and the kernel's send buffer.  One receive buffer serves all
 * channels of a process; it is charged to the account of the first of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct acct;
struct chan;
struct ev_loop;

enum role {
	ROLE_MASTER,
	ROLE_SMTPD,
	ROLE_QUEUE,
	ROLE_SMTP,
	ROLE_DNS,
	ROLE_LOOKUP,
	ROLE_LOCAL,
	ROLE_BOUNCE,
	ROLE_PICKUP,
	ROLE_COMMAND, /* a client of a socket of ours: `weir queue`, mailq */
	ROLE_COUNT
};

const char *role_name(enum role r); /* "smtpd" */

enum {
	CHAN_FRAME_BYTES_MAX = 69632, /* header and fields of one frame */
	CHAN_HEADER_BYTES = 8,	      /* u16 type, u16 next, u32 tag */
	CHAN_PACKET_BYTES = 16384,    /* small frames that travel together */
	CHAN_PACKET_FRAMES_MAX = 32,
	CHAN_FDS_MAX = 1,
	CHAN_BATCH_MAX = 4, /* packets taken from the socket in one call */
	/* frames that one call may bring */
	CHAN_READ_FRAMES_MAX = CHAN_BATCH_MAX * CHAN_PACKET_FRAMES_MAX,
	CHAN_WHY_BYTES = 128,
};

/* A frame as received; valid during the callback only.  The descriptor
 * belongs to the callback, which sets fd to -1 when it keeps it; otherwise
 * the channel closes it. */
struct frame {
	uint16_t type; /* enum frame_type, ipc/frames.h */
	uint32_t tag;
	struct slice fields;
	int fd; /* -1: none */
};

struct chan_events {
	void (*on_frame)(void *arg, struct chan *c, struct frame *f);
	/* The peer is gone, or bad is true: it sent what why says.  Comes once
	 * and last.  The owner calls chan_close from here or later. */
	void (*on_closed)(void *arg, struct chan *c, bool bad, const char *why);
	/* A send was refused with ERR_FULL and there is room again: half of
	 * the queue.  May be NULL. */
	void (*on_room)(void *arg, struct chan *c);
};

/*
 * chan_open(loop, a, fd, self, peer, peer_index, events, arg, queue_max, out):
 * Owns fd from here on.  self and peer decide which frames may pass.
 * queue_max_bytes bounds what waits for the socket, charged to a.
 * ERR_FULL when the account refuses: fd is still the caller's then.
 */
MUST_CHECK enum err chan_open(struct ev_loop *loop, struct acct *a, int fd,
    enum role self, enum role peer, unsigned peer_index,
    const struct chan_events *events, void *arg, size_t queue_max_bytes,
    struct chan **out);
/* Sends what was gathered, as far as the socket takes it, and closes.  NULL is
 * allowed; may be called from the channel's own callbacks. */
void chan_close(struct chan *c);

/*
 * chan_send(c, type, tag, fields, blob, fd):
 * One frame: fields (encoded) followed by blob, without copying blob unless
 * it must wait.  fd is borrowed (duplicated if the frame must wait); -1: none.
 * ERR_FULL: the queue is full, nothing was sent, on_room will be called.
 * ERR_CLOSED: the peer is gone.
 */
MUST_CHECK enum err chan_send(struct chan *c, uint16_t type, uint32_t tag,
    struct slice fields, struct slice blob, int fd);

/* Bytes that the send queue would still take. */
size_t chan_room(const struct chan *c);
/* Send what was gathered now; for a process about to exit. */
void chan_flush(struct chan *c);
/* Have on_room called when half of the send queue is free, as after
 * ERR_FULL: for an owner that stops early, with room to spare. */
void chan_tell_room(struct chan *c);
/* Stop or resume reading (back-pressure).  Frames that were already taken from
 * the socket, fewer than CHAN_READ_FRAMES_MAX, still come. */
void chan_pause(struct chan *c, bool paused);
unsigned chan_peer_index(const struct chan *c);
enum role chan_peer(const struct chan *c);
/* A frame whose fields did not decode: on_closed with bad follows, at the
 * latest in the next turn. */
void chan_bad(struct chan *c, const char *why);

/* A connected pair, close-on-exec; for the master and tests. */
MUST_CHECK enum err chan_pair(int fd_out[2]);

/* Bytes of the largest frame that may pass, header included; 0: none may. */
size_t chan_frame_bytes_max(enum role from, enum role to);
