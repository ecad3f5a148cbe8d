/*
 * segment: the files of the log: those in use, the next one, the spares.
 *
 *   log/NNNNNNNNNN.seg    in use; numbers rise, with gaps
 *   log/NNNNNNNNNN.spare  pre-written, to be used under a new number
 *   log/NNNNNNNNNN.new    being pre-written; removed at open
 *
 * Life of a file: new > spare > next (header written, renamed, directory
 * synced) > head > closed > retired (renamed to a spare; descriptors stay
 * good) > spare when nobody reads it any more.
 *
 * Failure modes: no spare can be made (disk full): segments_next stays NULL
 * and last_error tells; a spare that cannot be written goes behind the others.
 * What failed is tried again, and no file is lost by it: the reserve stays.
 * One operation runs at a time, in LANE_FILES.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/time.h"
#include "store/disk.h"
#include "store/record.h"
#include "store/work.h"

enum {
	SEGMENT_PATH_BYTES = 32,
	SEGMENT_SPARES_MAX = 16,
	SEGMENT_FDS_MAX = 128, /* open at once, besides pinned ones */
	SEGMENT_SLICE_BYTES = (1 << 20) / STORE_SCALE,
	SEGMENT_FIRST_BYTES =
	    (4 << 20) / STORE_SCALE, /* of a new spool: a quick start */
};

enum segment_kind { SEGMENT_LOG, SEGMENT_SPARE, SEGMENT_NEW };

struct segment {
	uint64_t number;
	uint64_t prev;
	uint64_t bytes;
	int fd;		       /* for reading; -1: not open now */
	int write_fd;	       /* of the head; -1: none */
	uint32_t pins;	       /* held messages with extents here */
	uint32_t open_pins;    /* of pins: not yet committed */
	bool retired;	       /* no longer part of the log */
	bool unreadable;       /* some of it could not be read: it is kept */
	uint64_t spare_number; /* its name when retired; 0: not tried yet */
};

struct spare {
	uint64_t number;
	bool busy;  /* a retired segment that is still read */
	bool unfit; /* another size than queue_segment_size: to be removed */
};

enum files_op {
	FILES_NONE,
	FILES_CREATE, /* one slice of it */
	FILES_ACTIVATE,
	FILES_RETIRE,
	FILES_UNLINK
};

struct segments {
	struct segment **list; /* by number, retired ones too */
	uint32_t count;
	uint32_t size;
	uint32_t fd_count;
	uint64_t number_last; /* highest number ever seen */
	bool unreadable;      /* one of them is: none is retired */
	struct segment *next; /* ready to become the head; not in list */
	bool want_next;
	uint64_t make_bytes; /* size of the next file made */
	struct spare spares[SEGMENT_SPARES_MAX];
	unsigned spare_count;

	/* The operation that runs. */
	struct job job;
	enum files_op op;
	enum err op_err;
	int op_errno;
	uint64_t op_from, op_to;
	struct segment *op_segment;
	struct segment_header op_header;
	int op_fd;
	bool op_hurry; /* CREATE: the log waits for it, or soon will */
	bool op_lost;  /* ACTIVATE: a file without a known name */
	struct disk *disk;

	/* A spare in the making.  Each slice is an operation of its own, so
	 * that no other one waits for a whole file. */
	uint64_t made_number; /* 0: none */
	uint64_t made_bytes;  /* written so far */
	uint64_t making_bytes;
	struct mono slice_at; /* not before, unless it is urgent */
	int made_fd;	      /* -1: not open */

	enum err last_error; /* of CREATE or ACTIVATE; OK after a success */
	struct mono retry_at;
};

struct store;

/* "log/NNNNNNNNNN.seg" and its like. */
void segment_path(char path[static SEGMENT_PATH_BYTES], enum segment_kind kind,
    uint64_t number);
/* The reverse, of a name in log/; false: another file. */
bool segment_parse(const char *name, enum segment_kind *kind_out,
    uint64_t *number_out);

/* An empty list; no file is touched.  ERR_NOMEM. */
MUST_CHECK enum err segments_init(struct store *s);
/* Close all and free all; LANE_FILES must be idle. */
void segments_fini(struct store *s);
/* Segment by number; NULL: none.  Retired ones too. */
struct segment *segment_find(struct store *s, uint64_t number);
/* Oldest and newest of the log (retired ones left out); NULL: none. */
struct segment *segment_oldest(struct store *s);
uint32_t segments_live_count(const struct store *s);
MUST_CHECK enum err segment_add(struct store *s, uint64_t number, uint64_t prev,
    uint64_t bytes);
/* Forget a segment that was found unused. */
void segment_remove(struct store *s, struct segment *g);
/*
 * Recovery could not read this segment at offset: an I/O error, as opposed to
 * bytes that were read and do not verify.  Told once; until the process ends
 * no segment is retired.  Not the older ones: bodies of messages whose
 * envelope could not be read may lie there.  Not the newer ones: they may
 * hold the end of such messages.
 */
void segment_keep(struct store *s, uint64_t number, uint64_t offset);
/* Read-only descriptor, opened when needed; -1 with errno. */
int segment_fd(struct store *s, struct segment *g);
/* Close it: the file was replaced. */
void segment_forget_fd(struct store *s, struct segment *g);
/* The same for writing, of the head; until segment_end_write. */
int segment_write_fd(struct store *s, struct segment *g);
void segment_end_write(struct store *s, struct segment *g);

/*
 * segment_pin(s, first, last, open), segment_unpin(likewise):
 * A held message has extents in the segments of these numbers: none of them
 * is taken for a spare until it is unpinned as often.  open: it is not yet
 * committed, so that nothing else tells that they are needed.  The last
 * unpin of a retired segment recycles it.
 */
void segment_pin(struct store *s, uint64_t first, uint64_t last, bool open);
void segment_unpin(struct store *s, uint64_t first, uint64_t last, bool open);

/* The log wants a next segment soon. */
void segments_want_next(struct store *s);
/* It is ready, and the list has room for it. */
bool segments_can_take_next(struct store *s);
/* Take it as the head: it is in the list from now on.  NULL: not ready. */
struct segment *segments_take_next(struct store *s);
/* Start what is to be done; called each turn and after each operation.  ms
 * until it wants to be asked again. */
int64_t segments_turn(struct store *s);
/* The oldest segment holds nothing that lives: begin to retire it.  False:
 * an operation runs; try again. */
bool segment_retire(struct store *s, struct segment *g);
/* Spares that may be taken now. */
unsigned segments_spare_free(const struct store *s);
/* May what lives in this segment be copied to the head, of which bytes are
 * known so far?  Not into the last place for results while messages of it are
 * held: who holds them needs it to let go of them, and only then is the
 * segment free.  When results took that place too, copying goes on if it is
 * sure to free the segment with what is left of the head.  Nor when messages
 * of it are held and that would take from the part of the trusted
 * (quota_may_hold). */
bool segments_may_copy(struct store *s, const struct segment *from,
    uint64_t bytes);
/* Give one spare's space back to the file system (for the index on a full
 * disk).  Blocks.  False: none left. */
bool segments_drop_spare(struct store *s);
