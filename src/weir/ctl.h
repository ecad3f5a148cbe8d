/*
 * ctl: the blocking client of the queue's control socket.
 *
 * One request at a time: ctl_ask() sends it and hands each frame of the
 * answer to the visitor until CTL_END.  Every wait ends after a minute.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "ipc/frames.h"
#include "weir/cli.h"

struct conf;
struct ctl;

/* Functions may be NULL: such frames are then not expected.  Slices are
 * borrowed for the call. */
struct ctl_visitor {
	void (*on_item)(void *arg, const struct fr_ctl_item *f);
	void (*on_envelope)(void *arg, const struct fr_ctl_envelope *f);
	void (*on_rcpt)(void *arg, const struct fr_ctl_rcpt *f);
	void (*on_data)(void *arg, const struct fr_ctl_data *f);
	void *arg;
};

/* EX_OK, or the exit status after a message. */
int ctl_open(struct cli *cli, const struct conf *conf, struct ctl **out);
/* To send a request with send_ctl_...(); never NULL. */
struct chan *ctl_chan(struct ctl *c);
void ctl_close(struct ctl *c); /* NULL is allowed */
/* The message that the next answers are about, for messages; 0: none. */
void ctl_about(struct ctl *c, uint64_t id);

/*
 * ctl_answer(c, sent, visitor, count_out):
 * sent     what send_ctl_...() returned
 * count_out  messages listed or changed; may be NULL
 *
 * EX_OK, or the exit status after a message: what the queue answered
 * (EX_DATAERR no such message, EX_NOPERM not permitted) or that it is gone.
 */
int ctl_answer(struct ctl *c, enum err sent, const struct ctl_visitor *visitor,
    uint32_t *count_out);

/* For tests: a client on a connected descriptor. */
struct ctl *ctl_on(struct cli *cli, int fd);
