/*
 * limits: the page in which a role shows every limit it holds.
 *
 * One page of shared memory per role.  The role writes it; everybody else
 * maps it read-only.  Enforcement never reads it.  A row is written with
 * relaxed atomics by the type that owns the limit (acct, pool, gate, ...).
 * Rows are made by one thread; figures may be written by any.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum limit_kind {
	LIMIT_ACCOUNT,	/* bytes of memory */
	LIMIT_POOL,	/* objects */
	LIMIT_GATE,	/* concurrency */
	LIMIT_DEADLINE, /* ms; in_use: how many run now */
	LIMIT_QUOTA,	/* bytes or inodes on disk */
	LIMIT_SIZE,	/* bound of one object; in_use is not kept */
	LIMIT_COUNT,	/* bound of a number within one object; likewise */
	LIMIT_GAUGE,	/* no limit: a figure worth showing */
	LIMIT_TOTAL,	/* no limit: in_use is how many there were so far */
	LIMIT_KIND_COUNT
};

enum { LIMITS_ROWS_MAX = 240, LIMITS_NAME_BYTES = 40 };

struct limit_row {
	char name[LIMITS_NAME_BYTES];	   /* "sessions" */
	char parameter[LIMITS_NAME_BYTES]; /* "concurrency_incoming"; or "" */
	uint32_t kind;			   /* enum limit_kind */
	uint32_t object_bytes;		   /* size of one object; 0: none */
	_Atomic int64_t limit;		   /* 0: none */
	_Atomic int64_t in_use;
	_Atomic int64_t high_water;
	_Atomic int64_t refused;
	_Atomic int64_t waited;
};

struct limits_page {
	uint32_t magic;	  /* LIMITS_MAGIC */
	uint32_t version; /* of this layout */
	char role[16];
	uint32_t index; /* which of several processes of a role */
	_Atomic uint32_t pid;
	_Atomic uint32_t restarts;
	_Atomic uint32_t row_count; /* rows below it are complete */
	_Atomic int64_t started_wall_ms;
	struct limit_row rows[LIMITS_ROWS_MAX];
};

enum { LIMITS_MAGIC = 0x7765696c, LIMITS_VERSION = 1 };

/*
 * limits_use(page):
 * Rows made from now on live in page (borrowed for the life of the process).
 * Before the first call, and in programs without a page, rows live in a
 * private page.
 */
void limits_use(struct limits_page *page);
struct limits_page *limits_current(void);

/*
 * limits_row(kind, name, parameter, object_bytes, limit):
 * A new row, never NULL: when the page is full all further rows share one
 * named "overflow".  Strings are cut to fit.  parameter may be "".
 */
struct limit_row *limits_row(enum limit_kind kind, const char *name,
    const char *parameter, size_t object_bytes, int64_t limit);

/* One figure changed; keeps the high-water mark. */
void limit_set_in_use(struct limit_row *row, int64_t in_use);
/* A figure of one of the objects that a row stands for: keeps the high-water
 * mark alone. */
void limit_mark(struct limit_row *row, int64_t figure);
void limit_set_limit(struct limit_row *row, int64_t limit);
void limit_refused(struct limit_row *row);
void limit_count(struct limit_row *row); /* LIMIT_TOTAL: one more */
/* The figures of a limit that several processes hold together, and that are
 * kept elsewhere. */
void limit_mirror(struct limit_row *row, int64_t in_use, int64_t high_water,
    uint64_t refused, uint64_t waited);
void limit_waited(struct limit_row *row);

/* Create (memfd, sealed in size, mode 0600) and map a page; fd_out is
 * writable, for the role. */
MUST_CHECK enum err limits_page_create(const char *role, unsigned index,
    int *fd_out, struct limits_page **page_out, struct errtext *et);
/* A read-only descriptor of the page of fd, for those who only look. */
MUST_CHECK enum err limits_page_reader(int fd, int *fd_out, struct errtext *et);
/* Map a page; checks magic, version, size and seal: ERR_VERSION,
 * ERR_CORRUPT. */
MUST_CHECK enum err limits_page_map(int fd, bool writable,
    struct limits_page **page_out, struct errtext *et);
/* NULL is allowed; unmapping the current page falls back to the private one. */
void limits_page_unmap(struct limits_page *page);
const char *limit_kind_name(enum limit_kind k);
