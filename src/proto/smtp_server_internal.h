/*
 * smtp_server_internal: between the files of the server machine.
 */
#pragma once

#include "base/assert.h"
#include "proto/smtp_server.h"

enum reply_flag { R_LOG = 1, R_ERR = 2, R_WHO = 4 };

/* States of a pending RCPT. */
enum { PENDING_ASKED = 1, PENDING_ACCEPTED, PENDING_REFUSED };

#define SMTPS_IN(name) (1u << SMTPS_##name)

/* To another state; asserts that it may follow. */
void smtps_go(struct smtps *s, enum smtps_state to);

/* A fixed reply to the last command. */
void smtps_say(struct smtps *s, struct smtps_io *io, enum smtps_reply r);
/* "250 2.0.0 text" that is no refusal. */
void smtps_say_text(struct smtps *s, struct smtps_io *io, unsigned code,
    const char *status, struct slice text);
/* One line of a reply: "250-text" or, when it is the last, "250 text". */
void smtps_say_line(struct smtps_io *io, unsigned code, bool last,
    struct slice text);
/* A refusal; rcpt: whom it concerns, or empty. */
void smtps_say_why(struct smtps *s, struct smtps_io *io,
    const struct smtps_refusal *why, struct slice rcpt);
/* The last command counts as a good one. */
void smtps_good(struct smtps *s);
/* One more error of the client; true: it was one too many and the session is
 * closed. */
bool smtps_error(struct smtps *s, struct smtps_io *io);
/* A command without use; beyond junk_max it is an error: as above. */
bool smtps_junk(struct smtps *s, struct smtps_io *io);

/* Commands (smtp_server_verbs.c). */
enum smtps_step smtps_command(struct smtps *s, struct smtps_io *io,
    struct slice line);
/* Replies to RCPTs that are known, in order. */
bool smtps_rcpt_replies(struct smtps *s, struct smtps_io *io);

/* Bodies (smtp_server_body.c). */
enum smtps_step smtps_on_data(struct smtps *s, struct smtps_io *io);
enum smtps_step smtps_on_bdat(struct smtps *s, struct smtps_io *io,
    struct slice arg);
enum smtps_step smtps_on_opening(struct smtps *s, struct smtps_io *io);
enum smtps_step smtps_on_data_bytes(struct smtps *s, struct smtps_io *io);
enum smtps_step smtps_on_chunk_bytes(struct smtps *s, struct smtps_io *io);
enum smtps_step smtps_on_commit(struct smtps *s, struct smtps_io *io);
enum smtps_step smtps_on_answer(struct smtps *s, struct smtps_io *io);
