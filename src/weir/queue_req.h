/*
 * queue_req: requests to the queue: which messages, and what to do.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "weir/ctl.h"

/* As in ipc/frames.def. */
struct queue_filter {
	uint8_t status;
	uint32_t limit;
	uint64_t age_min_ms;
	struct slice from, to, domain;
	bool given; /* any of them was asked for */
};

/* As the options --from, --to, ... gave them; NULL: not given. */
struct queue_filter_text {
	const char *from, *to, *domain, *age, *status, *limit;
};
enum { QUEUE_FILTER_OPTIONS = 6 };
/* Fill options with those of a filter. */
void queue_filter_options(struct queue_filter_text *t,
    struct cli_option options[static QUEUE_FILTER_OPTIONS]);
/* CLI_GO, or EX_USAGE after a message. */
int queue_filter_parse(const struct cli *cli, const struct queue_filter_text *t,
    struct queue_filter *out);

/* A message id; false unless it is a decimal number above 0. */
bool queue_id_parse(struct slice s, uint64_t *id_out);

/* EX_OK, or the exit status after a message, as of ctl_answer(). */
int queue_list(struct ctl *c, const struct queue_filter *f,
    const struct ctl_visitor *v, uint32_t *count_out);
/* All messages of the filter, or, when id_count is above 0, those. */
int queue_change(struct ctl *c, enum ctl_verb verb,
    const struct queue_filter *f, const uint64_t *ids, size_t id_count,
    uint64_t *count_out);

/* Ids as words, or - for one a line from standard input.  Allocated from
 * cli->acct; EX_OK or the exit status after a message. */
int queue_ids(struct cli *cli, char *const words[], size_t count,
    uint64_t **ids_out, size_t *id_count_out);
