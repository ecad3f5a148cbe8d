/*
 * reporter_int: structures of the bounce role, private to it.
 */
#pragma once

#include "base/buf.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "bounce/compose.h"
#include "bounce/reporter.h"
#include "ev/loop.h"
#include "ipc/chan.h"
#include "ipc/frames.h"
#include "ipc/txn_client.h"

enum {
	REPORTS_MAX = 8, /* the queue has at most 4 at once */
	SEGMENTS_MAX = 1024,
	CHAN_QUEUE_BYTES = 128 << 10,
	EXTENTS_BYTES_MAX = 8192 * EXTENT_BYTES,
	RCPTS_BYTES_MAX = 1 << 20,
	READ_BYTES = 16384,
	/* A header that is longer than this is cut. */
	HEADER_BYTES_MAX = 128 << 10,
};

enum stage {
	STAGE_GATHER, /* until REPORT */
	STAGE_OPEN,   /* TXN_READY is awaited */
	STAGE_HEAD,
	STAGE_TEXT, /* of each recipient */
	STAGE_STATUS_HEAD,
	STAGE_STATUS, /* of each recipient */
	STAGE_ORIGINAL_HEAD,
	STAGE_ORIGINAL,
	STAGE_TAIL,
	STAGE_COMMIT,
	STAGE_DONE, /* TXN_DONE is awaited */
};

struct segment {
	struct list_node node;
	uint64_t number;
	int fd;
};

struct report {
	bool used;
	uint32_t tag;
	uint8_t stage; /* enum stage */
	struct buf extents, rcpts;
	uint32_t extent_count, rcpt_count;
	char *envelope_bytes; /* encoded; charged */
	char *to;	      /* charged; of c.to */
	struct envelope envelope;
	struct compose c;
	struct buf out;	     /* composed, not sent */
	size_t rcpt_at;	     /* in rcpts: next recipient */
	size_t extent_at;    /* in extents: next piece */
	uint32_t piece_done; /* bytes of that piece that were read */
	uint32_t newlines;   /* STAGE_ORIGINAL: state of the header's end */
	bool ends_crlf;
	uint64_t header_bytes;
	struct txn_client txn;
};

struct reporter {
	struct reporter_env env;
	const struct conf *conf;
	struct chan *chan;
	struct list segments; /* newest first */
	unsigned segment_count;
	struct report reports[REPORTS_MAX];
	struct ev_timer idle;
	unsigned char *piece; /* COMPOSE_PIECE_BYTES_MAX */
	struct limit_row *size_row;
	struct log_limit_site size_site;
};

/* ---- original.c ---- */
struct segment *segment_find(struct reporter *p, uint64_t number);
void segment_free(struct reporter *p, struct segment *s);
void segment_on_frame(struct reporter *p, struct frame *f);
/* The next bytes of the original into buf: how many; 0: no more; -1: they
 * cannot be read (errno). */
ssize_t original_read(struct reporter *p, struct report *r, char *buf,
    size_t size);

/* ---- pieces.c ---- */
/* The next piece of the report into r->out, r->stage goes on; false: it
 * cannot be made (errno). */
MUST_CHECK bool report_compose(struct reporter *p, struct report *r);
