/*
 * settings: what the configuration in force says, put into a request.
 *
 * Slices are copied into arena, since the configuration may be replaced while
 * a request waits.  ERR_NOMEM, ERR_FULL: of the arena.
 */
#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "local/request.h"

struct conf;

/* Locks and limits of a mailbox: DELIVER. */
void settings_of_mailbox(const struct conf *conf, struct request *q);
/* Dot files, and what they may do: PLAN and CHECK. */
MUST_CHECK enum err settings_of_plan(const struct conf *conf,
    struct arena *arena, struct request *q);
/* Limits of a command: COMMAND. */
void settings_of_command(const struct conf *conf, struct request *q);
