/*
 * mode_rot: pages of the log that cannot be read any more.
 *
 * It costs the messages with records on those pages and no other: the store
 * opens, serves and ends the others, closes, and opens again.  Nothing is
 * freed meanwhile.
 */
#include <string.h>

#include "modes.h"
#include "sim.h"
#include "store/scan.h"

enum { SPOIL_MAX = 3 };

/* Every message with a record on the page may be lost, or come back. */
static void
mark_hit(struct sim *m, struct segment *g, int fd, uint64_t page)
{
	static unsigned char buf[SCAN_BUFFER_BYTES];
	struct scan scan;
	struct record r;
	struct slice payload;
	struct model *o;
	uint32_t at = SEGMENT_HEADER_BYTES, next;

	scan_init(&scan, &m->disk.disk, buf, fd, g->number, g->bytes);
	while (scan_find(&scan, at, &next)) {
		if (scan_record(&scan, next, &r, &payload) != OK)
			break;
		at = next + (uint32_t)record_bytes(r.payload_bytes);
		if (next >= page + SIM_PAGE_BYTES || at <= page)
			continue;
		o = sim_model_of(m, r.id);
		if (o != NULL)
			o->hit = true;
		/* Joined: void without the one after it. */
		if (r.flags & RECORD_JOINED &&
		    scan_record(&scan, at, &r, &payload) == OK &&
		    (o = sim_model_of(m, r.id)) != NULL)
			o->hit = true;
	}
}

static void
spoil(struct sim *m)
{
	struct segments *g = &m->store->segments;
	uint64_t count = 1 + chance(m, SPOIL_MAX);
	uint64_t pages[SPOIL_MAX];
	char paths[SPOIL_MAX][SEGMENT_PATH_BYTES];

	for (uint64_t i = 0; i < count; i++) {
		struct segment *n = g->list[chance(m, g->count)];

		if (chance(m, 2)) /* most often where it matters most */
			n = m->store->log.head;
		segment_path(paths[i], n->retired ? SEGMENT_SPARE : SEGMENT_LOG,
		    n->retired ? n->spare_number : n->number);
		pages[i] = n == m->store->log.head && chance(m, 2)
			       ? m->store->log.offset
			       : chance(m, n->bytes);
		pages[i] -= pages[i] % SIM_PAGE_BYTES;
		if (!n->retired)
			mark_hit(m, n, segment_fd(m->store, n), pages[i]);
		sim_say("%s: page at %llu is spoiled", paths[i],
		    (unsigned long long)pages[i]);
	}
	for (uint64_t i = 0; i < count; i++)
		(void)simdisk_spoil(&m->disk, paths[i], pages[i]);
}

void
mode_rot(uint64_t seed)
{
	static struct sim sim;
	struct sim *m = &sim;
	uint64_t steps;

	sim_init(m, seed);
	sim_open_well(m);
	steps = 20 + chance(m, 300);
	for (uint64_t i = 0; i < steps; i++)
		sim_act(m);
	sim_let_go(m);
	for (unsigned i = 0; i < 20; i++)
		sim_turn(m, 100);
	m->rot = true;
	spoil(m);
	if (chance(m, 3) > 0) {
		/* A power failure would forget the spoiled pages, too. */
		sim_crash(m, SIM_KILL);
		sim_open_well(m);
	}
	sim_deliver_some(m, 100);
	sim_close(m);
	sim_open_well(m);
	sim_fini(m);
}
