/*
 * chan: a channel between two roles: frames over a SOCK_SEQPACKET pair.
 *
 * Frames are sent at once when the socket takes them, else from a bounded
 * queue at the end of the turn.  Reading takes several frames per call.
 * A malformed frame closes the channel (on_closed with bad = true); the
 * owner tells the master.  Layouts: ipc/frames.def, doc/format/frames.md.
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
	CHAN_FDS_MAX = 1,
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
	/* The peer is gone, or bad is true: it sent what why says.  The owner
	 * calls chan_close from here or later. */
	void (*on_closed)(void *arg, struct chan *c, bool bad, const char *why);
	/* The send queue was full and has room again; may be NULL. */
	void (*on_room)(void *arg, struct chan *c);
};

/*
 * chan_open(loop, a, fd, self, peer, peer_index, events, arg, queue_max, out):
 * Owns fd from here on.  self and peer decide which frames may pass.
 * queue_max_bytes bounds what waits for the socket, charged to a.
 */
MUST_CHECK enum err chan_open(struct ev_loop *loop, struct acct *a, int fd,
    enum role self, enum role peer, unsigned peer_index,
    const struct chan_events *events, void *arg, size_t queue_max_bytes,
    struct chan **out);
void chan_close(struct chan *c); /* NULL is allowed; also from on_frame */

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
/* Stop or resume reading (back-pressure). */
void chan_pause(struct chan *c, bool paused);
unsigned chan_peer_index(const struct chan *c);
enum role chan_peer(const struct chan *c);
/* A frame whose fields did not decode: closes as malformed. */
void chan_bad(struct chan *c, const char *why);

/* A connected pair with buffers set; for the master and tests. */
MUST_CHECK enum err chan_pair(int fd_out[2]);
