/*
 * queue_show: one message in full: envelope, state of each recipient.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "weir/ctl.h"
#include "weir/json.h"

enum queue_show_form {
	QUEUE_SHOW_PEOPLE,
	QUEUE_SHOW_POSTCAT, /* the same below postcat's title */
	QUEUE_SHOW_JSON,
};

struct queue_shown {
	struct json json;
	FILE *to;
	enum queue_show_form form;
	bool in_rcpts; /* JSON: the array of recipients is open */
	bool found;
	bool damaged; /* the envelope did not decode */
	int64_t now_ms;
	uint64_t id;
	char status[16]; /* for postcat */
};

/* Print message id to a stream.  EX_OK or the exit status after a message. */
int queue_show(struct ctl *c, uint64_t id, enum queue_show_form form, FILE *to,
    struct queue_shown *q);
