/*
 * simchan: channels (ipc/chan.h) in memory, in the place of sockets.
 *
 * A pair has two numbers that stand for descriptors; chan_open takes one.
 * Frames wait until simchan_deliver.  What waits is bounded as in a real
 * channel, but sooner (simchan_bytes_max), so that short runs meet it.
 */
#pragma once

#include <stddef.h>

#include "ipc/chan.h"

enum {
	SIMCHAN_PAIRS_MAX = 256,
	SIMCHAN_FD = 5000, /* the first number */
	SIMCHAN_LISTEN = 4000,
};

/* What may wait of a channel with an account, the one under test; a single
 * frame always may. */
extern size_t simchan_bytes_max;

/* Every open channel that is not paused is given what waits for it.  False:
 * there was nothing to do. */
bool simchan_deliver(void);
/* Is anything to be delivered? */
bool simchan_pending(void);
/* A client connects to SIMCHAN_LISTEN: accept4 gives fd, of this user. */
void simchan_connect(int fd, unsigned uid);
/* All pairs go; every channel was closed. */
void simchan_reset(void);
