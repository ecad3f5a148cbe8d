/*
 * simdisk: a disk in memory that forgets like a real one.
 *
 * What was written is read back at once; it survives simdisk_crash only if
 * it was synced, or by luck, a sector of 512 bytes at a time.  Creations,
 * renames and removals survive if the directory was synced, or else a random
 * first part of them.  After a failed sync the written pages read back but
 * are lost at the crash.  All chances come from the seed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/disk.h"

enum {
	SIM_PAGE_BYTES = 4096,
	SIM_SECTOR_BYTES = 512,
	SIM_FILES_MAX = 128,
	SIM_FDS_MAX = 256,
	SIM_OPS_MAX = 256,
};

struct sim_file;

struct sim_entry {
	char name[64];
	struct sim_file *file;
};

/* A change of the name space that no sync of the directory has covered. */
struct sim_op {
	char from[64]; /* "": a creation */
	char to[64];   /* "": a removal */
	struct sim_file *file;
};

struct simdisk {
	struct disk disk;
	uint64_t random;
	uint64_t capacity_bytes; /* of all files; more is ENOSPC */
	struct sim_entry now[SIM_FILES_MAX];
	unsigned now_count;
	struct sim_entry safe[SIM_FILES_MAX]; /* after a crash, at least */
	unsigned safe_count;
	struct sim_op ops[SIM_OPS_MAX];
	unsigned op_count;
	struct sim_file *fds[SIM_FDS_MAX];
	bool fd_read_only[SIM_FDS_MAX];
	/* Faults.  Each call that writes fails once in fail_one_in (0: never);
	 * after calls_left calls (0: never) the disk is dead. */
	uint32_t fail_one_in;
	uint32_t sync_fail_one_in;
	uint64_t calls_left;
	bool dead;
	uint64_t call_count;
	uint64_t sync_count;
};

void simdisk_init(struct simdisk *d, uint64_t seed);
void simdisk_fini(struct simdisk *d);
/* The power fails and comes back.  All descriptors are closed. */
void simdisk_crash(struct simdisk *d);
/* A random number below n (n > 0), from the disk's seed. */
uint64_t simdisk_random(struct simdisk *d, uint64_t n);
/* Change bytes of a file, durably, behind everybody's back.  False: no such
 * file, or it is shorter. */
bool simdisk_poke(struct simdisk *d, const char *path, uint64_t offset,
    const void *bytes, size_t len);
uint64_t simdisk_used(const struct simdisk *d);
