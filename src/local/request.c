/*
 * request: encoding between weir-local and its workers.
 */
#include "local/request.h"

#include <string.h>

#include "base/assert.h"

static bool
is_planned(uint8_t verb)
{
	return verb == REQUEST_PLAN || verb == REQUEST_CHECK;
}

static bool
has_mailbox(const struct request *q)
{
	return q->verb == REQUEST_DELIVER ||
	       (q->verb == REQUEST_PLAN && (q->flags & REQUEST_OR_DELIVER));
}

static void
put_mailbox(struct wr *w, const struct request *q)
{
	int i;

	wr_u8(w, q->kind);
	wr_u64(w, q->size_limit_bytes);
	for (i = 0; i < LOCK_ORDER_MAX; i++)
		wr_u8(w, q->locks.order[i]);
	wr_u32(w, q->locks.attempts);
	wr_u32(w, q->locks.delay_ms);
	wr_u32(w, q->locks.stale_ms);
	wr_str(w, q->path, PATH_BYTES_MAX);
}

static void
put_user(struct wr *w, const struct request *q)
{
	wr_str(w, q->user, USER_NAME_BYTES_MAX);
	wr_str(w, q->shell, PATH_BYTES_MAX);
	wr_str(w, q->extension, EXTENSION_BYTES_MAX);
	wr_str(w, q->dash, DASH_BYTES_MAX);
	wr_str(w, q->delimiter, 1);
}

static void
put_plan(struct wr *w, const struct request *q)
{
	wr_str(w, q->dot_files, DOT_FILES_BYTES_MAX);
	wr_str(w, q->forward_path, FORWARD_PATH_BYTES_MAX);
	wr_u32(w, q->actions_max);
}

static void
put_limits(struct wr *w, const struct request *q)
{
	wr_u32(w, q->time_limit_ms);
	wr_u64(w, q->memory_limit_bytes);
	wr_u32(w, q->process_max);
}

static void
put_command(struct wr *w, const struct request *q)
{
	wr_str(w, q->command, COMMAND_BYTES_MAX);
	wr_str(w, q->new_sender, ADDRESS_BYTES_MAX);
	wr_str(w, q->default_extension, EXTENSION_BYTES_MAX);
	put_limits(w, q);
}

static void
put_pipe(struct wr *w, const struct request *q)
{
	wr_str(w, q->user, USER_NAME_BYTES_MAX);
	wr_str(w, q->shell, PATH_BYTES_MAX);
	wr_str(w, q->transport, USER_NAME_BYTES_MAX);
	wr_u32(w, q->pipe_flags);
	wr_u64(w, q->message_id);
	wr_str(w, q->argv, REQUEST_ARGV_BYTES_MAX);
	wr_str(w, q->recipients, REQUEST_RECIPIENTS_BYTES_MAX);
	wr_str(w, q->null_sender, ADDRESS_BYTES_MAX);
	wr_str(w, q->nexthop, NEXTHOP_BYTES_MAX);
	wr_str(w, q->client_address, HOST_BYTES_MAX);
	wr_str(w, q->client_name, HOST_BYTES_MAX);
	wr_str(w, q->client_helo, HOST_BYTES_MAX);
	wr_str(w, q->client_protocol, HOST_BYTES_MAX);
	wr_str(w, slice_str(q->delimiters), DELIMITERS_BYTES_MAX);
	put_limits(w, q);
}

void
request_put(struct wr *w, const struct request *q)
{
	ASSERT(q->verb < REQUEST_VERBS);
	wr_u32(w, q->tag);
	wr_u8(w, q->verb);
	wr_u32(w, q->flags);
	wr_u64(w, q->body_bytes);
	wr_str(w, q->base, PATH_BYTES_MAX);
	wr_str(w, q->sender, ADDRESS_BYTES_MAX);
	wr_str(w, q->address, ADDRESS_BYTES_MAX);
	wr_str(w, q->original, ADDRESS_BYTES_MAX);
	if (has_mailbox(q))
		put_mailbox(w, q);
	if (is_planned(q->verb) || q->verb == REQUEST_COMMAND)
		put_user(w, q);
	if (is_planned(q->verb))
		put_plan(w, q);
	if (q->verb == REQUEST_COMMAND)
		put_command(w, q);
	if (q->verb == REQUEST_PIPE)
		put_pipe(w, q);
}

static void
get_mailbox(struct rd *r, struct request *q)
{
	int i;

	q->kind = rd_u8(r);
	q->size_limit_bytes = rd_u64(r);
	for (i = 0; i < LOCK_ORDER_MAX; i++) {
		q->locks.order[i] = rd_u8(r);
		if (q->locks.order[i] >= LOCK_KINDS)
			r->bad = true;
	}
	q->locks.attempts = rd_u32(r);
	q->locks.delay_ms = rd_u32(r);
	q->locks.stale_ms = rd_u32(r);
	q->path = rd_str(r, PATH_BYTES_MAX);
	if (q->kind >= MAILBOX_KINDS || !path_is_safe(q->path))
		r->bad = true;
}

static void
get_user(struct rd *r, struct request *q)
{
	q->user = rd_str(r, USER_NAME_BYTES_MAX);
	q->shell = rd_str(r, PATH_BYTES_MAX);
	q->extension = rd_str(r, EXTENSION_BYTES_MAX);
	q->dash = rd_str(r, DASH_BYTES_MAX);
	q->delimiter = rd_str(r, 1);
	if (q->user.len == 0)
		r->bad = true;
}

static void
get_plan(struct rd *r, struct request *q)
{
	q->dot_files = rd_str(r, DOT_FILES_BYTES_MAX);
	q->forward_path = rd_str(r, FORWARD_PATH_BYTES_MAX);
	q->actions_max = rd_u32(r);
}

static void
get_limits(struct rd *r, struct request *q)
{
	q->time_limit_ms = rd_u32(r);
	q->memory_limit_bytes = rd_u64(r);
	q->process_max = rd_u32(r);
	if (q->time_limit_ms == 0)
		r->bad = true;
}

static void
get_command(struct rd *r, struct request *q)
{
	q->command = rd_str(r, COMMAND_BYTES_MAX);
	q->new_sender = rd_str(r, ADDRESS_BYTES_MAX);
	q->default_extension = rd_str(r, EXTENSION_BYTES_MAX);
	get_limits(r, q);
}

bool
request_next(struct slice *list, struct slice *out)
{
	size_t end = slice_find(*list, '\0');

	if (end == list->len)
		return false;
	*out = slice_sub(*list, 0, end);
	*list = slice_sub(*list, end + 1, list->len);
	return true;
}

/* How many strings a list has; SIZE_MAX: the last one has no end. */
static size_t
list_count(struct slice list)
{
	struct slice one;
	size_t count = 0;

	while (request_next(&list, &one))
		count++;
	return list.len == 0 ? count : SIZE_MAX;
}

static void
get_pipe(struct rd *r, struct request *q)
{
	size_t words, recipients;

	q->user = rd_str(r, USER_NAME_BYTES_MAX);
	q->shell = rd_str(r, PATH_BYTES_MAX);
	q->transport = rd_str(r, USER_NAME_BYTES_MAX);
	q->pipe_flags = rd_u32(r);
	q->message_id = rd_u64(r);
	q->argv = rd_str(r, REQUEST_ARGV_BYTES_MAX);
	q->recipients = rd_str(r, REQUEST_RECIPIENTS_BYTES_MAX);
	q->null_sender = rd_str(r, ADDRESS_BYTES_MAX);
	q->nexthop = rd_str(r, NEXTHOP_BYTES_MAX);
	q->client_address = rd_str(r, HOST_BYTES_MAX);
	q->client_name = rd_str(r, HOST_BYTES_MAX);
	q->client_helo = rd_str(r, HOST_BYTES_MAX);
	q->client_protocol = rd_str(r, HOST_BYTES_MAX);
	if (!slice_copy(rd_str(r, DELIMITERS_BYTES_MAX), q->delimiters,
		sizeof(q->delimiters)))
		r->bad = true;
	get_limits(r, q);
	words = list_count(q->argv);
	recipients = list_count(q->recipients);
	if (q->user.len == 0 || words == 0 || words > REQUEST_ARGV_MAX ||
	    recipients == 0 || recipients == SIZE_MAX || recipients % 2 != 0)
		r->bad = true;
}

/* A scan touches no file. */
static bool
base_is_usable(const struct request *q)
{
	return q->verb == REQUEST_SCAN ||
	       (q->base.len > 0 && q->base.data[0] == '/');
}

bool
request_get(struct rd *r, struct request *q)
{
	memset(q, 0, sizeof(*q));
	q->tag = rd_u32(r);
	q->verb = rd_u8(r);
	q->flags = rd_u32(r);
	q->body_bytes = rd_u64(r);
	q->base = rd_str(r, PATH_BYTES_MAX);
	q->sender = rd_str(r, ADDRESS_BYTES_MAX);
	q->address = rd_str(r, ADDRESS_BYTES_MAX);
	q->original = rd_str(r, ADDRESS_BYTES_MAX);
	if (r->bad || q->verb >= REQUEST_VERBS || !base_is_usable(q))
		return false;
	if (has_mailbox(q))
		get_mailbox(r, q);
	if (is_planned(q->verb) || q->verb == REQUEST_COMMAND)
		get_user(r, q);
	if (is_planned(q->verb))
		get_plan(r, q);
	if (q->verb == REQUEST_COMMAND)
		get_command(r, q);
	if (q->verb == REQUEST_PIPE)
		get_pipe(r, q);
	if (q->verb == REQUEST_CHECK && q->body_bytes != 0)
		return false;
	return rd_done(r);
}

static void
put_result(struct wr *w, uint32_t tag, unsigned status, struct slice dsn,
    struct slice text, unsigned limit)
{
	wr_u32(w, tag);
	wr_u8(w, (uint8_t)status);
	wr_u8(w, (uint8_t)limit);
	wr_str(w, dsn, sizeof(((struct outcome *)0)->dsn));
	wr_str(w, text, ACTION_TEXT_BYTES_MAX);
}

void
result_put(struct wr *w, uint32_t tag, const struct outcome *o)
{
	put_result(w, tag, o->status, slice_str(o->dsn), slice_str(o->text),
	    o->limit);
}

void
result_put_stop(struct wr *w, uint32_t tag, const struct outcome *o)
{
	ASSERT(o->status == JOB_SENT);
	put_result(w, tag, RESULT_STOP, slice_str(o->dsn), slice_str(o->text),
	    OUTCOME_LIMIT_NONE);
}

void
result_put_written(struct wr *w, uint32_t tag)
{
	put_result(w, tag, RESULT_WRITTEN, SLICE_NONE, SLICE_NONE,
	    OUTCOME_LIMIT_NONE);
}

void
result_put_action(struct wr *w, uint32_t tag, enum action_kind kind,
    uint32_t line, struct slice text)
{
	put_result(w, tag, RESULT_ACTION, SLICE_NONE, text, OUTCOME_LIMIT_NONE);
	wr_u8(w, (uint8_t)kind);
	wr_u32(w, line);
}

bool
result_get(struct rd *r, struct result *result)
{
	bool action;

	memset(result, 0, sizeof(*result));
	result->tag = rd_u32(r);
	result->status = rd_u8(r);
	result->limit = rd_u8(r);
	action = result->status == RESULT_ACTION;
	result->dsn = rd_str(r, sizeof(((struct outcome *)0)->dsn) - 1);
	result->text =
	    rd_str(r, action ? ACTION_TEXT_BYTES_MAX : OUTCOME_TEXT_BYTES - 1);
	if (action) {
		result->action = rd_u8(r);
		result->line = rd_u32(r);
	}
	return !r->bad && result->status < RESULT_STATUS_COUNT &&
	       result->limit < OUTCOME_LIMIT_COUNT &&
	       result->action < ACTION_KINDS;
}
