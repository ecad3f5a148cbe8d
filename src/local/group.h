/*
 * group: deliveries into Maildirs that become durable together.
 *
 * While a group is filled its files are written to tmp/.  group_begin has
 * the files synced; group_step goes on whenever the syncer is idle: files are
 * renamed into new/, the directories are synced, each slot has its outcome.
 * Meanwhile another group can be filled.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "local/maildir.h"
#include "local/outcome.h"
#include "local/request.h"
#include "local/syncer.h"

/* A file may be the only one of its directory. */
enum { GROUP_SLOTS_MAX = WORKER_GROUP_MAX, GROUP_DIRS_MAX = GROUP_SLOTS_MAX };

enum slot_state { SLOT_DONE, SLOT_WRITTEN, SLOT_PUBLISHED };

struct slot {
	uint32_t tag;
	enum slot_state state;
	struct outcome outcome; /* of SLOT_DONE */
	struct maildir_file file;
};

/* A Maildir of this group, by the request that named it. */
struct group_dir {
	struct maildir maildir;
	char base[PATH_BYTES_MAX + 1];
	char path[PATH_BYTES_MAX + 1];
	uint32_t flags;
};

enum group_stage { GROUP_FILLED, GROUP_FILES, GROUP_DIRS };

struct group {
	enum group_stage stage;
	unsigned slot_count;
	unsigned told_count; /* slots of which weir-local knows the state */
	unsigned dir_count;
	struct slot slots[GROUP_SLOTS_MAX];
	struct group_dir dirs[GROUP_DIRS_MAX];
	/* What is being synced: of slots, or of dirs. */
	struct sync_item items[GROUP_SLOTS_MAX];
	uint8_t item_of[GROUP_SLOTS_MAX];
	unsigned item_count;
};

/* A slot for the delivery tag, SLOT_DONE; the group must not be full. */
struct slot *group_slot(struct group *g, uint32_t tag);
/* The Maildir that q names, if the group has it open; NULL: not. */
struct group_dir *group_find_dir(struct group *g, const struct request *q);
/* Have the files synced; the syncer must be idle. */
void group_begin(struct group *g);
/* The next stage, with the syncer idle.  True: each slot has its outcome. */
bool group_step(struct group *g);
/* Empty again: reported, and the directories are closed. */
void group_clear(struct group *g);
/* Nobody will hear of it: take all back that was not reported, as far as
 * possible; the syncer must be idle.  Empty again. */
void group_abandon(struct group *g);
