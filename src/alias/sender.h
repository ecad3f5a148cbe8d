/*
 * alias/sender: envelope senders of lists.
 */
#pragma once

#include <stdbool.h>

#include "alias/out.h"
#include "base/slice.h"

/*
 * sender_owner(sender, local, host, has_owner, has_default, out):
 * The sender for what a .qmail file forwards: local-owner@host where there is
 * an owner file, local-owner-@host-@[] (VERP) where there is an
 * -owner-default beside it, else sender.  The null sender and #@[] (of double
 * bounces) stay.  out->full when it does not fit.
 */
void sender_owner(struct slice sender, struct slice local, struct slice host,
    bool has_owner, bool has_default, struct out *out);

/* Does it end in -@[], that is, is it to be expanded for each recipient? */
bool sender_is_verp(struct slice sender);

/*
 * sender_verp(sender, recipient, out):
 * pre@host-@[] for box@dom becomes prebox=dom@host; anything else, or a
 * recipient without a domain, leaves the sender as it is.
 */
void sender_verp(struct slice sender, struct slice recipient, struct out *out);

/*
 * sender_verp_delimited(sender, recipient, delimiters, out):
 * Postfix's way (sendmail -V, XVERP): owner@origin for user@domain becomes
 * owner+user=domain@origin, with delimiters "+=".  A null sender, or addresses
 * without domain, leave it as it is.
 */
void sender_verp_delimited(struct slice sender, struct slice recipient,
    const char delimiters[static 2], struct out *out);

/* Whom a bounce of a VERP sender goes to: without the -@[]. */
struct slice sender_bounce_to(struct slice sender);
