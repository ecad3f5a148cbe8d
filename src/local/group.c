/*
 * group: from written files to outcomes.
 *
 * Happy path: GROUP_FILLED, files synced in GROUP_FILES, renamed, directories
 * synced in GROUP_DIRS.
 *
 * Failure modes: a file that could not be synced or renamed is its own
 * result; a failed sync of new/ defers every message that was renamed into
 * it.
 */
#include "local/group.h"

#include "base/assert.h"

struct slot *
group_slot(struct group *g, uint32_t tag)
{
	struct slot *s;

	ASSERT(g->slot_count < GROUP_SLOTS_MAX && g->stage == GROUP_FILLED);
	s = &g->slots[g->slot_count++];
	s->tag = tag;
	s->state = SLOT_DONE;
	return s;
}

struct group_dir *
group_find_dir(struct group *g, const struct request *q)
{
	unsigned i;

	for (i = 0; i < g->dir_count; i++)
		if (g->dirs[i].flags == q->flags &&
		    slice_eq(slice_str(g->dirs[i].path), q->path) &&
		    slice_eq(slice_str(g->dirs[i].base), q->base))
			return &g->dirs[i];
	return NULL;
}

/* ---- what is synced ---- */

static void
add_item(struct group *g, int fd, unsigned of)
{
	g->items[g->item_count].fd = fd;
	g->item_of[g->item_count++] = (uint8_t)of;
}

void
group_begin(struct group *g)
{
	unsigned i;

	ASSERT(g->stage == GROUP_FILLED);
	g->stage = GROUP_FILES;
	g->item_count = 0;
	for (i = 0; i < g->slot_count; i++)
		if (g->slots[i].state == SLOT_WRITTEN)
			add_item(g, g->slots[i].file.fd, i);
	syncer_begin(g->items, g->item_count);
}

static void
files_synced(struct group *g)
{
	struct slot *s;
	unsigned i;

	for (i = 0; i < g->item_count; i++) {
		s = &g->slots[g->item_of[i]];
		if (!maildir_synced(&s->file, g->items[i].errnum, &s->outcome))
			s->state = SLOT_DONE;
	}
}

static void
publish_files(struct group *g)
{
	struct slot *s;
	unsigned i;

	for (i = 0; i < g->slot_count; i++) {
		s = &g->slots[i];
		if (s->state != SLOT_WRITTEN)
			continue;
		s->state = maildir_publish(&s->file, &s->outcome)
			       ? SLOT_PUBLISHED
			       : SLOT_DONE;
	}
}

static void
begin_dirs(struct group *g)
{
	unsigned i;

	g->stage = GROUP_DIRS;
	g->item_count = 0;
	for (i = 0; i < g->dir_count; i++)
		if (g->dirs[i].maildir.new_dirty)
			add_item(g, g->dirs[i].maildir.new_fd, i);
	syncer_begin(g->items, g->item_count);
}

/* The results of all that were renamed into one Maildir. */
static void
settle(struct group *g, struct maildir *m, int errnum)
{
	struct outcome o;
	struct slot *s;
	unsigned i;
	bool synced = maildir_new_synced(m, errnum, &o);

	if (synced)
		outcome_set(&o, JOB_SENT, "2.0.0", "delivered to maildir");
	for (i = 0; i < g->slot_count; i++) {
		s = &g->slots[i];
		if (s->state != SLOT_PUBLISHED || s->file.dir != m)
			continue;
		if (!synced)
			maildir_withdraw(&s->file);
		s->outcome = o;
		s->state = SLOT_DONE;
	}
}

bool
group_step(struct group *g)
{
	unsigned i;

	ASSERT(g->stage != GROUP_FILLED);
	if (g->stage == GROUP_FILES) {
		files_synced(g);
		publish_files(g);
		begin_dirs(g);
		return false;
	}
	for (i = 0; i < g->item_count; i++)
		settle(g, &g->dirs[g->item_of[i]].maildir, g->items[i].errnum);
	return true;
}

/* ---- the end ---- */

void
group_clear(struct group *g)
{
	while (g->dir_count > 0)
		maildir_close(&g->dirs[--g->dir_count].maildir);
	g->slot_count = g->told_count = 0;
	g->stage = GROUP_FILLED;
}

void
group_abandon(struct group *g)
{
	struct slot *s;
	unsigned i;

	for (i = 0; i < g->slot_count; i++) {
		s = &g->slots[i];
		if (s->state == SLOT_WRITTEN)
			maildir_discard(&s->file);
		else if (s->state == SLOT_PUBLISHED)
			maildir_withdraw(&s->file);
	}
	group_clear(g);
}
