/*
 * txn_client: a message on its way to the queue, as its sender sees it.
 *
 * For the roles that hand messages in (frames TXN_*, ipc/frames.def): open,
 * recipients, wait for READY, body as far as the credit goes, commit, wait for
 * DONE.  Whoever uses it keeps what is to be sent and owns the channel; this
 * keeps the place in the conversation, and says of each answer what it means.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct chan;
struct frame;
struct fr_txn_open;

enum txn_client_state {
	TXN_CLIENT_NONE,    /* none is open */
	TXN_CLIENT_OPENING, /* READY is awaited */
	TXN_CLIENT_BODY,
	TXN_CLIENT_COMMITTING, /* DONE is awaited */
};

enum txn_client_event {
	TXN_CLIENT_IGNORE, /* nothing: an answer to what was given up */
	TXN_CLIENT_READY,  /* id is known, the body is invited */
	TXN_CLIENT_CREDIT, /* more of the body may be sent */
	TXN_CLIENT_DONE,   /* the message is durable: it exists */
	/* It does not exist and will not; error says why. */
	TXN_CLIENT_REFUSED,
	TXN_CLIENT_BAD, /* the queue breaks the rules: chan_bad() */
};

/* All zero: none is open. */
struct txn_client {
	struct chan *chan; /* borrowed */
	uint32_t tag;
	uint8_t state;	     /* enum txn_client_state */
	enum err error;	     /* of TXN_CLIENT_REFUSED; never OK then */
	uint64_t id;	     /* of the message; from READY on */
	uint64_t body_bytes; /* sent */
	uint32_t credit_bytes;
};

/*
 * txn_client_open(t, chan, tag, open):
 * Begin; tag is the caller's, not in use on this channel.  Errors as those of
 * chan_send; then none is open.
 */
MUST_CHECK enum err txn_client_open(struct txn_client *t, struct chan *chan,
    uint32_t tag, const struct fr_txn_open *open);
/* Encoded recipients, proto/envelope.h; as often as needed.  ERR_FULL: nothing
 * was sent, again when the channel has room. */
MUST_CHECK enum err txn_client_rcpts(struct txn_client *t, struct slice rcpts);
/*
 * txn_client_body(t, data, sent_out):
 * The beginning of data, as much as credit and one frame allow.  OK:
 * *sent_out bytes of it, 1 or more unless data is empty; ERR_AGAIN: no
 * credit; ERR_FULL: no room in the channel; nothing was sent then.
 */
MUST_CHECK enum err txn_client_body(struct txn_client *t, struct slice data,
    size_t *sent_out);
/* The body is whole.  flags: enum envelope_flag. */
MUST_CHECK enum err txn_client_commit(struct txn_client *t, uint32_t flags,
    uint32_t longest_line_bytes);
/* Forget it; a no-op when none is open.  After a commit the message may come
 * to exist all the same.  A channel that takes not even this is reported as
 * bad. */
void txn_client_abort(struct txn_client *t);

/*
 * txn_client_on_frame(t, f):
 * A frame TXN_* of the queue with the tag of t.  READY when recipients are
 * still missing cannot happen: the queue counts them.
 */
enum txn_client_event txn_client_on_frame(struct txn_client *t,
    const struct frame *f);
