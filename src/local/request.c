/*
 * request: encoding between weir-local and its workers.
 */
#include "local/request.h"

#include <string.h>

void
request_put(struct wr *w, const struct request *q)
{
	int i;

	wr_u32(w, q->tag);
	wr_u8(w, q->kind);
	wr_u8(w, q->flags);
	wr_u64(w, q->body_bytes);
	wr_u64(w, q->size_limit_bytes);
	for (i = 0; i < LOCK_ORDER_MAX; i++)
		wr_u8(w, q->locks.order[i]);
	wr_u32(w, q->locks.attempts);
	wr_u32(w, q->locks.delay_ms);
	wr_u32(w, q->locks.stale_ms);
	wr_str(w, q->base, PATH_BYTES_MAX);
	wr_str(w, q->path, PATH_BYTES_MAX);
	wr_str(w, q->sender, ADDRESS_BYTES_MAX);
	wr_str(w, q->address, ADDRESS_BYTES_MAX);
	wr_str(w, q->original, ADDRESS_BYTES_MAX);
}

bool
request_get(struct rd *r, struct request *q)
{
	int i;

	q->tag = rd_u32(r);
	q->kind = rd_u8(r);
	q->flags = rd_u8(r);
	q->body_bytes = rd_u64(r);
	q->size_limit_bytes = rd_u64(r);
	for (i = 0; i < LOCK_ORDER_MAX; i++) {
		q->locks.order[i] = rd_u8(r);
		if (q->locks.order[i] >= LOCK_KINDS)
			return false;
	}
	q->locks.attempts = rd_u32(r);
	q->locks.delay_ms = rd_u32(r);
	q->locks.stale_ms = rd_u32(r);
	q->base = rd_str(r, PATH_BYTES_MAX);
	q->path = rd_str(r, PATH_BYTES_MAX);
	q->sender = rd_str(r, ADDRESS_BYTES_MAX);
	q->address = rd_str(r, ADDRESS_BYTES_MAX);
	q->original = rd_str(r, ADDRESS_BYTES_MAX);
	return rd_done(r) && q->kind < MAILBOX_KINDS && q->base.len > 0 &&
	       q->base.data[0] == '/' && path_is_safe(q->path);
}

void
result_put(struct wr *w, uint32_t tag, const struct outcome *o)
{
	wr_u32(w, tag);
	wr_u8(w, (uint8_t)o->status);
	wr_str(w, slice_str(o->dsn), sizeof(o->dsn));
	wr_str(w, slice_str(o->text), sizeof(o->text));
}

void
result_put_written(struct wr *w, uint32_t tag)
{
	wr_u32(w, tag);
	wr_u8(w, RESULT_WRITTEN);
	wr_str(w, SLICE_NONE, 0);
	wr_str(w, SLICE_NONE, 0);
}

bool
result_get(struct rd *r, struct result *result)
{
	result->tag = rd_u32(r);
	result->status = rd_u8(r);
	result->dsn = rd_str(r, sizeof(((struct outcome *)0)->dsn) - 1);
	result->text = rd_str(r, OUTCOME_TEXT_BYTES - 1);
	return !r->bad && result->status <= RESULT_WRITTEN;
}
