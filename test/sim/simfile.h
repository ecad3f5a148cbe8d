/*
 * simfile: one file of the simulated disk: what reads give, what a crash
 * leaves at least, and the writes in between.
 */
#pragma once

#include "simdisk.h"

struct sim_page {
	unsigned refs;
	unsigned char data[SIM_PAGE_BYTES];
};

/* Octets of a write that was not synced; shared by copies. */
struct sim_bytes {
	unsigned refs;
	unsigned char data[];
};

struct sim_write {
	uint64_t offset;
	size_t len;
	struct sim_bytes *bytes; /* NULL: zeros */
};

enum { SIM_PAGE_DIRTY = 1, SIM_PAGE_BAD = 2 };

/* Pages: NULL is zeros. */
struct sim_file {
	unsigned refs; /* entries, ops, descriptors */
	bool locked;
	uint64_t size, safe_size;
	size_t page_count;
	struct sim_page **now;
	struct sim_page **safe;
	unsigned char *flags;
	struct sim_write *writes; /* since the last sync, in order */
	size_t write_count, write_size;
	struct sim_file *twin; /* while a disk is being copied */
};

struct sim_file *simfile_new(void);
void simfile_drop(struct sim_file *f); /* NULL is allowed */
/* A copy with no reference yet. */
struct sim_file *simfile_copy(const struct sim_file *f);
void simfile_write(struct sim_file *f, const void *from, size_t len,
    uint64_t offset);
/* At most len bytes.  False: a page that cannot be read. */
bool simfile_read(const struct sim_file *f, void *to, size_t len,
    uint64_t offset);
/* keep is asked for each dirty page: is it on the disk now?  NULL: all. */
void simfile_sync(struct sim_file *f, struct simdisk *chance);
/* What the power failure leaves. */
void simfile_crash(struct sim_file *f, struct simdisk *chance);
bool simfile_spoil(struct sim_file *f, uint64_t offset);
/* All its pages can be read again. */
void simfile_mend(struct sim_file *f);
