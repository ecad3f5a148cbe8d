/*
 * queue_cat: the message itself.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "weir/ctl.h"

enum queue_cat_part { CAT_HEADER = 1, CAT_BODY = 2, CAT_ALL = 3 };

/* Lines from CRLF to LF, in pieces of any size, and the parts apart. */
struct queue_cat {
	FILE *to;
	unsigned parts; /* enum queue_cat_part */
	bool raw;	/* as stored: CRLF, all parts */
	bool cr;	/* a CR is held back */
	bool in_body;
	bool line_empty; /* nothing of this line came yet */
};

/* Begin a message; put it in pieces; end it. */
void queue_cat_init(struct queue_cat *q, FILE *to, unsigned parts, bool raw);
void queue_cat_put(struct queue_cat *q, struct slice s);
void queue_cat_end(struct queue_cat *q);

/* EX_OK or the exit status after a message. */
int queue_cat(struct ctl *c, uint64_t id, FILE *to, unsigned parts, bool raw);
