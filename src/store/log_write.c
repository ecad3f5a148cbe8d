/*
 * log_write: appending to the batch.  See log_write.h.
 */
#include "store/log_write.h"

#include <string.h>

#include "base/assert.h"
#include "store/log_commit.h"
#include "store/store_int.h"

enum err
log_init(struct store *s)
{
	struct log *l = &s->log;

	l->table = mem_alloc(s->acct, TABLE_BYTES_MAX);
	if (l->table == NULL)
		return ERR_NOMEM;
	for (unsigned i = 0; i < ARRAY_LEN(l->batches); i++) {
		l->batches[i].store = s;
		l->batches[i].buf = mem_alloc(s->acct, s->conf.batch_bytes);
		if (l->batches[i].buf == NULL)
			return ERR_NOMEM;
	}
	l->fill = &l->batches[0];
	l->sync.store = s;
	return OK;
}

void
log_fini(struct store *s)
{
	struct log *l = &s->log;

	for (unsigned i = 0; i < ARRAY_LEN(l->batches); i++)
		mem_free(s->acct, l->batches[i].buf);
	mem_free(s->acct, l->table);
}

void
log_start(struct store *s, struct segment *head, uint32_t offset)
{
	struct log *l = &s->log;

	ASSERT(offset % 8 == 0 && offset >= SEGMENT_HEADER_BYTES);
	l->head = head;
	l->offset = offset;
	l->durable_segment = head->number;
	l->durable_offset = offset;
	l->written = (struct store_pos){ head->number, offset, 0 };
}

uint64_t
log_serial(const struct store *s)
{
	return s->log.serial_last + (s->log.fill->used == 0);
}

struct store_pos
log_head_pos(const struct store *s)
{
	const struct log *l = &s->log;

	return (struct store_pos){ l->head->number,
		l->offset + (uint32_t)l->fill->used, 0 };
}

/* The last record is a body that may grow no more. */
static void
body_end(struct batch *b)
{
	unsigned char *at = b->buf + b->body_at;
	size_t bytes;

	if (b->body_at == 0)
		return;
	bytes = record_bytes(b->body_bytes);
	memset(at + RECORD_HEADER_BYTES + b->body_bytes, 0,
	    bytes - RECORD_HEADER_BYTES - b->body_bytes);
	record_seal(at, b->segment->number, RECORD_BODY, 0, b->body_id,
	    b->body_bytes, record_crc_pad(b->body_crc, b->body_bytes));
	b->used = b->body_at + bytes;
	b->body_at = 0;
}

static void
batch_begin(struct store *s)
{
	struct log *l = &s->log;
	struct batch *b = l->fill;

	if (b->used > 0)
		return;
	ASSERT(b != l->flight);
	b->segment = l->head;
	b->base = l->offset;
	b->serial = ++l->serial_last;
	b->closing = false;
	b->commit_count = 0;
	b->body_at = 0;
	memset(b->has, 0, sizeof(b->has));
	/* The checkpoint is filled in when the batch is written. */
	b->used = record_bytes(CHECKPOINT_BYTES - RECORD_HEADER_BYTES);
}

/* Bytes that the batch would have with so much more, if it were the last of
 * its segment or if the next one, empty, had to close it. */
static size_t
batch_need(const struct store *s, size_t bytes, unsigned entries)
{
	const struct log *l = &s->log;
	size_t need =
	    l->fill->used + 8 + bytes + TABLE_BYTES_MAX + CHECKPOINT_BYTES;

	if (l->fill->used == 0)
		need += CHECKPOINT_BYTES;
	if (l->entry_count + entries > TABLE_ENTRIES_MAX)
		need += TABLE_BYTES_MAX;
	return need;
}

/* The head is full: write the batch with the head's end, go on in the next. */
static enum err
roll(struct store *s, enum log_use use)
{
	struct log *l = &s->log;
	enum err e;

	if (!l->want_close && !quota_may_take(s, use))
		return ERR_NOSPACE;
	l->want_close = true;
	if (l->flight == NULL && s->segments.next != NULL) {
		batch_begin(s);
		e = log_submit(s);
		if (e != OK)
			return e;
		return OK;
	}
	segments_want_next(s);
	e = s->segments.last_error;
	/* AGAIN: one is coming, or the disk is busy with the last batch. */
	return s->segments.next == NULL && s->segments.op == FILES_NONE &&
		       e != OK
		   ? (err_class(e) == ERR_CLASS_FULL ? ERR_NOSPACE : e)
		   : ERR_AGAIN;
}

/* What an append is told when there is no room.  ERR_IO means poisoned and
 * nothing else: a file that could not be made is tried again. */
static enum err
not_now(struct store *s, enum err e)
{
	s->want_room = true;
	if (s->log.poisoned)
		return ERR_IO;
	return e == ERR_NOSPACE ? ERR_NOSPACE : ERR_AGAIN;
}

static void table_put(struct store *s);

enum err
log_room(struct store *s, enum log_use use, size_t bytes, unsigned entries)
{
	struct log *l = &s->log;
	size_t need;
	enum err e;

	if (l->poisoned)
		return ERR_IO;
	for (unsigned i = 0; i < 2; i++) {
		need = batch_need(s, bytes, entries);
		if (l->want_close ||
		    l->offset + need + END_BYTES > l->head->bytes) {
			e = roll(s, use);
			if (e == OK)
				continue;
			return not_now(s, e);
		}
		if (need <= s->conf.batch_bytes) {
			batch_begin(s);
			/* Before the records whose entries it has no room
			 * for: joined ones lie next to each other. */
			if (l->entry_count + entries > TABLE_ENTRIES_MAX)
				table_put(s);
			return OK;
		}
		if (l->flight != NULL)
			break;
		e = log_submit(s);
		if (e != OK)
			return not_now(s, e);
	}
	return not_now(s, ERR_AGAIN);
}

static void
note_urgency(struct store *s, enum log_urgency u)
{
	struct batch *b = s->log.fill;

	b->commit_count += u == LOG_COMMIT;
	if (!b->has[u]) {
		b->has[u] = true;
		b->since[u] = store_now(s);
	}
}

unsigned char *
log_put_begin(struct store *s)
{
	struct batch *b = s->log.fill;

	ASSERT(b->used > 0);
	body_end(b);
	return b->buf + b->used + RECORD_HEADER_BYTES;
}

struct store_pos
log_put_end(struct store *s, unsigned type, unsigned flags, uint64_t id,
    size_t payload_bytes, enum log_urgency urgency)
{
	struct batch *b = s->log.fill;
	unsigned char *at = b->buf + b->used;
	size_t bytes = record_bytes(payload_bytes);
	struct store_pos pos = { b->segment->number,
		b->base + (uint32_t)b->used, (uint32_t)bytes };

	ASSERT(bytes <= RECORD_BYTES_MAX &&
	       b->used + bytes <= s->conf.batch_bytes);
	memset(at + RECORD_HEADER_BYTES + payload_bytes, 0,
	    bytes - RECORD_HEADER_BYTES - payload_bytes);
	record_seal(at, pos.segment, type, flags, id, (uint32_t)payload_bytes,
	    crc32c(0, at + RECORD_HEADER_BYTES, bytes - RECORD_HEADER_BYTES));
	b->used += bytes;
	note_urgency(s, urgency);
	return pos;
}

struct store_pos
log_put(struct store *s, unsigned type, unsigned flags, uint64_t id,
    const struct slice *parts, unsigned part_count, enum log_urgency urgency)
{
	unsigned char *at = log_put_begin(s);
	size_t len = 0;

	for (unsigned i = 0; i < part_count; i++) {
		if (parts[i].len > 0)
			memcpy(at + len, parts[i].data, parts[i].len);
		len += parts[i].len;
	}
	return log_put_end(s, type, flags, id, len, urgency);
}

enum err
log_put_body(struct store *s, uint64_t id, struct slice data,
    struct store_extent *extent_out, bool *grown_out)
{
	struct log *l = &s->log;
	struct batch *b;
	enum err e;

	e = log_room(s, LOG_FOR_NEW, record_bytes(data.len), 0);
	if (e != OK)
		return e;
	b = l->fill;
	*grown_out = b->body_at != 0 && b->body_id == id &&
		     b->body_bytes + data.len <= BODY_BYTES_MAX;
	if (!*grown_out) {
		body_end(b);
		b->body_at = b->used;
		b->body_id = id;
		b->body_bytes = 0;
		b->body_crc = 0;
		b->used += RECORD_HEADER_BYTES;
	}
	memcpy(b->buf + b->used, data.data, data.len);
	b->body_crc = crc32c(b->body_crc, data.data, data.len);
	b->body_bytes += (uint32_t)data.len;
	b->used += data.len;
	*extent_out = (struct store_extent){ b->segment->number,
		b->base + (uint32_t)b->body_at + RECORD_HEADER_BYTES,
		b->body_bytes };
	note_urgency(s, LOG_BODY);
	return OK;
}

/* ---- the table ---- */

static void
table_put(struct store *s)
{
	struct log *l = &s->log;
	unsigned char head[8];
	struct wr w = wr_of(head, sizeof(head));
	struct slice parts[2];
	struct store_pos pos;

	if (l->entry_count == 0 || l->table_void)
		return;
	wr_u32(&w, l->last_table);
	wr_u32(&w, l->entry_count);
	parts[0] = slice_of(head, sizeof(head));
	parts[1] =
	    slice_of(l->table, l->entry_count * (size_t)TABLE_ENTRY_BYTES);
	pos = log_put(s, RECORD_TABLE, 0, 0, parts, 2, LOG_BODY);
	l->last_table = pos.offset;
	l->table_count++;
	l->entry_count = 0;
}

static void
table_enter(struct log *l, const struct log_entry *e)
{
	struct wr w =
	    wr_of(l->table + l->entry_count * (size_t)TABLE_ENTRY_BYTES,
		TABLE_ENTRY_BYTES);

	ASSERT(l->entry_count < TABLE_ENTRIES_MAX);
	log_entry_put(&w, e);
	ASSERT(!w.full && w.len == TABLE_ENTRY_BYTES);
	l->entry_count++;
}

void
log_table_add(struct store *s, const struct log_entry *e)
{
	struct log *l = &s->log;

	if (l->table_void)
		return;
	table_enter(l, e);
}

void
log_table_reset(struct store *s)
{
	struct log *l = &s->log;

	l->last_table = 0;
	l->table_count = 0;
	l->entry_count = 0;
	l->table_void = false;
}

void
log_table_found(struct store *s, const struct log_entry *e)
{
	struct log *l = &s->log;

	/* A table comes before an entry that it has no room for; if it does
	 * not, it was damaged. */
	if (l->entry_count == TABLE_ENTRIES_MAX)
		l->table_void = true;
	if (!l->table_void)
		table_enter(l, e);
}

void
log_table_found_table(struct store *s, uint32_t offset)
{
	struct log *l = &s->log;

	l->last_table = offset;
	l->table_count++;
	l->entry_count = 0;
}

/* Finish what is in the batch before it is written. */
void
log_seal(struct store *s)
{
	struct log *l = &s->log;
	struct batch *b = l->fill;
	struct clock *clock = s->conf.clock;
	unsigned char payload[CHECKPOINT_BYTES - RECORD_HEADER_BYTES];
	struct wr w = wr_of(payload, sizeof(payload));
	struct rec_checkpoint c = {
		.durable_segment = l->durable_segment,
		.durable_offset = l->durable_offset,
		.clean = l->finishing,
		.next_id = s->next_id,
		.id_ceiling = s->id_ceiling_next,
		.wall_ms = clock->wall(clock).ms,
	};

	body_end(b);
	if (b->closing)
		table_put(s);
	rec_checkpoint_put(&w, &c);
	ASSERT(!w.full && w.len == sizeof(payload));
	memcpy(b->buf + RECORD_HEADER_BYTES, payload, sizeof(payload));
	record_seal(b->buf, b->segment->number, RECORD_CHECKPOINT, 0, 0,
	    sizeof(payload), crc32c(0, payload, sizeof(payload)));
	b->id_ceiling = s->id_ceiling_next;
}
