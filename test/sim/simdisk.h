/*
 * simdisk: a disk in memory that forgets like a real one.
 *
 * What was written is read back at once.  What simdisk_crash leaves of the
 * writes since the last sync of a file is chance: each is kept, dropped, or
 * torn at a sector or at a byte, in any order.  Creations, renames and
 * removals that no sync of the directory covers are kept or dropped, those of
 * one file in their order.  After a failed sync the pages read back but may
 * be lost at the crash, and no later sync writes them.
 *
 * All chances come from the seed.  A disk can be copied in any state, cheaply:
 * so every place of a run can be crashed (simdisk.before, simdisk_clone).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/disk.h"

enum {
	SIM_PAGE_BYTES = 4096,
	SIM_SECTOR_BYTES = 512,
	SIM_FILES_MAX = 96,
	SIM_FDS_MAX = 96,
	SIM_OPS_MAX = 32,
};

/* What a call does; a fault strikes some of them. */
enum sim_kind {
	SIM_LOOK = 1,  /* open, size, list, lock */
	SIM_READ = 2,  /* pread */
	SIM_WRITE = 4, /* pwritev */
	SIM_SYNC = 8,  /* datasync, dirsync */
	SIM_NAME = 16, /* creation, rename, unlink, mkdir */
	SIM_CHANGES = SIM_WRITE | SIM_SYNC | SIM_NAME,
	SIM_ALL = 31,
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

/* From the call with number at on (they count from 1), so many calls of these
 * kinds fail. */
struct sim_fault {
	uint64_t at; /* 0: never */
	uint64_t count;
	unsigned kinds;
	int error;
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
	/* Faults.  Each call that changes something fails once in
	 * fail_one_in (0: never); after calls_left calls (0: never) the disk
	 * is dead. */
	uint32_t fail_one_in;
	uint32_t sync_fail_one_in;
	struct sim_fault fault;
	uint64_t calls_left;
	bool dead;
	uint64_t call_count;
	/* NULL, or where the kind of each call is noted, by its number. */
	unsigned char *trace;
	uint64_t trace_count;
	/* Called before each call that changes something; may copy the
	 * disk, must not use it. */
	void (*before)(void *arg);
	void *before_arg;
};

void simdisk_init(struct simdisk *d, uint64_t seed);
void simdisk_fini(struct simdisk *d);
/* The power fails and comes back.  All descriptors are closed. */
void simdisk_crash(struct simdisk *d);
/* to: another disk in the same state, with no descriptor open and no fault
 * set, and chances of its own (seed). */
void simdisk_clone(struct simdisk *to, const struct simdisk *from,
    uint64_t seed);
/* A random number below n (n > 0), from the disk's seed. */
uint64_t simdisk_random(struct simdisk *d, uint64_t n);
/* Change bytes of a file, durably, behind everybody's back.  False: no such
 * file, or it is shorter. */
bool simdisk_poke(struct simdisk *d, const char *path, uint64_t offset,
    const void *bytes, size_t len);
/* The page of a file at offset cannot be read until it is written again.
 * False: as above. */
bool simdisk_spoil(struct simdisk *d, const char *path, uint64_t offset);
/* All pages of a file can be read again, as they were.  False: no file. */
bool simdisk_mend(struct simdisk *d, const char *path);
/* Bytes of all files. */
uint64_t simdisk_used(const struct simdisk *d);
