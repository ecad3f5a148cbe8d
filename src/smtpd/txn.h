/*
 * txn: what the files about a transaction share (txn.c, txn_open.c,
 * txn_body.c, queue.c); session.h has what others use.  Nothing here blocks.
 */
#pragma once

#include "smtpd/session.h"

/* The queue has nothing of it any more; what is held of the body is dropped. */
void txn_forget(struct session *s);
/* It fails with the reply that e stands for, unless it has already, or is
 * gone. */
void txn_refuse(struct session *s, enum err e);
/* The queue's channel has no room: s goes on when it has. */
void txn_starve(struct session *s);
/* Envelope and recipients.  ERR_AGAIN: the channel has no room, s waits for
 * it; ERR_FULL: no memory; nothing was sent then.  Others: it is over. */
MUST_CHECK enum err txn_send_open(struct session *s);
/* The queue has a place for it: the client may send the body. */
void txn_opened(struct session *s);
