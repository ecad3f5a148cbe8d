/*
 * log_dest: what the value of log_destination means.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum log_dest_kind { LOG_DEST_STDERR, LOG_DEST_SYSLOG, LOG_DEST_MULTILOG };

enum {
	/* multilog's bounds of s and n. */
	LOG_DEST_SIZE_MIN = 4096,
	LOG_DEST_SIZE_MAX = 16777215,
	LOG_DEST_NUM_MIN = 2,
	LOG_DEST_NUM_MAX = 1000000,
	LOG_DEST_DIR_BYTES_MAX = 1024,
};

struct log_dest {
	enum log_dest_kind kind;
	/* multilog: */
	struct slice dir;    /* absolute path, in the value */
	uint32_t size_bytes; /* of a file */
	uint32_t num;	     /* files */
};

/* "stderr", "syslog", or "multilog:DIR [sSIZE] [nNUM]".  ERR_CONFIG with what
 * is wrong and what would be right. */
MUST_CHECK enum err log_dest_parse(struct slice value, struct log_dest *out,
    struct errtext *et);
