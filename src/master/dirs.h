/*
 * dirs: the directories that a server needs, with their owners and modes.
 *
 *   queue_directory        0755 queue   lock, index, damaged/ of the store
 *   queue_directory/log    0700 queue   segments
 *   queue_directory/run    0755 master  sockets, lock of the master
 *   queue_directory/empty  0555 master  root directory of roles without files
 *   queue_directory/drop   0730 pickup, group weirdrop
 *   data_directory         0755 Weir's user
 *
 * "queue", "pickup": their users where root started the server, else the user.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct conf;

/*
 * dirs_prepare(conf, run_fd_out, et):
 * Make what is missing; set owner and mode of what is ours.  run_fd_out: an
 * open descriptor of run, so that a name below it cannot be led elsewhere.
 */
MUST_CHECK enum err dirs_prepare(const struct conf *conf, int *run_fd_out,
    struct errtext *et);

/* Take the lock of the instance, waiting up to wait_ms for roles of one that
 * died.  queue_directory is for the message.  ERR_BUSY: another master runs
 * here. */
MUST_CHECK enum err dirs_lock(int run_fd, const char *queue_directory,
    int64_t wait_ms, int *lock_fd_out, struct errtext *et);

/* Is there anything in the drop directory? */
bool dirs_drop_used(const struct conf *conf);
