/*
 * queue_list: messages of the queue in the forms that people and programs
 * read.  Each form is a visitor that prints to standard output.
 */
#pragma once

#include <stdint.h>

#include "base/slice.h"
#include "weir/ctl.h"
#include "weir/json.h"

enum { QUEUE_ADDRESS_BYTES = 513, QUEUE_REASON_BYTES = 1001 };

/* A message while its frames come. */
struct queue_message {
	struct fr_ctl_item item; /* its slices are not valid: see sender */
	bool open;
	char sender[QUEUE_ADDRESS_BYTES];
	char rcpt[QUEUE_ADDRESS_BYTES]; /* the first that waits */
	uint32_t waiting_count;		/* recipients that wait */
};

/* `weir queue list`: one line each.  now_ms is the wall clock. */
struct queue_lines {
	struct queue_message message;
	int64_t now_ms;
	uint32_t shown_count;
};
struct ctl_visitor queue_lines(struct queue_lines *q);
void queue_lines_end(struct queue_lines *q);

/* `weir queue list --json`, `postqueue -j`: one object each. */
struct queue_objects {
	struct queue_message message;
	struct json json;
};
struct ctl_visitor queue_objects(struct queue_objects *q);
void queue_objects_end(struct queue_objects *q);

/* mailq, `postqueue -p`: the table that Postfix prints. */
struct queue_mailq {
	struct queue_message message;
	uint64_t total_bytes;
	uint32_t shown_count;
	char reason[QUEUE_REASON_BYTES]; /* last one printed of this message */
};
struct ctl_visitor queue_mailq(struct queue_mailq *q);
void queue_mailq_end(struct queue_mailq *q);

/* "incoming", "active", "deferred", "hold" */
const char *queue_status_name(unsigned status);
/* A set of them from "active,hold"; false on an unknown one. */
bool queue_status_parse(struct slice s, uint8_t *set_out);
/* The null sender has a name of its own. */
const char *queue_sender_shown(const char *sender);
