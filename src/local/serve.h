/*
 * serve: one request after the other, whatever it asks.
 */
#pragma once

#include <stdbool.h>

#include "local/batch.h"
#include "local/command.h"

/* A recipient without a dot file: the deliveries of one batch happen at once,
 * so one look at the home serves them all. */
struct dot_known {
	uint64_t serial; /* of the batch; 0: nobody */
	size_t len;
	unsigned char bytes[PATH_BYTES_MAX + DASH_BYTES_MAX +
			    EXTENSION_BYTES_MAX + ADDRESS_BYTES_MAX + 32];
};

struct server {
	struct batch *batch;
	const struct worker_io *io;
	struct command_world world;
	struct dot_known known;
};

/*
 * serve_request(s, q, fds):
 * Do what q asks and report; a delivery is reported when it is durable, all
 * else at once.  The batch must not be full.  fds came with the packet, -1
 * where none did; they are closed here.  False: weir-local is gone.
 */
bool serve_request(struct server *s, const struct request *q,
    int fds[static REQUEST_COPY_FDS]);
