/*
 * load: a message from its envelope record and the results after it.
 *
 * The chain of RESULT and STATE records is walked newest first: the first
 * word on a recipient is the last.  Two walks: one for the states, then one
 * for the texts of those that are loaded, so that memory depends on what is
 * asked for and not on the number of recipients or attempts.
 */
#include "store/load.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "proto/envelope.h"
#include "store/store_int.h"

enum err
store_read_record(struct store *s, struct store_pos pos, unsigned type,
    uint64_t id, unsigned char *buf, struct slice *payload_out,
    struct errtext *et)
{
	struct segment *g = segment_find(s, pos.segment);
	struct record r;
	enum err e;
	int fd;

	if (g == NULL)
		return err_set(et, ERR_CORRUPT, "segment %llu is missing",
		    (unsigned long long)pos.segment);
	if (!pos_before(pos, s->log.written)) {
		store_hurry(s); /* it is still in a batch */
		return ERR_AGAIN;
	}
	if (pos.length > RECORD_BYTES_MAX)
		return err_set(et, ERR_CORRUPT, "record too long");
	fd = segment_fd(s, g);
	if (fd < 0)
		return err_sys(et, errno, "segment %llu",
		    (unsigned long long)pos.segment);
	e = disk_read_all(s->disk, fd, buf, pos.length, pos.offset, et);
	if (e != OK)
		return e;
	if (!record_verify(slice_of(buf, pos.length), pos.segment, &r,
		payload_out) ||
	    r.id != id || (type != 0 && r.type != type))
		return err_set(et, ERR_CORRUPT,
		    "record of message %llu at %llu+%u does not verify",
		    (unsigned long long)id, (unsigned long long)pos.segment,
		    pos.offset);
	return OK;
}

bool
chain_next(struct chain *c, struct rec_update *head, struct rd *results,
    enum err *e, struct errtext *et)
{
	struct store_pos at = c->next;
	struct slice payload;

	*e = OK;
	if (at.segment == 0)
		return false;
	*e = store_read_record(c->store, at, 0, c->id, c->buf, &payload, et);
	if (*e != OK)
		return false;
	*results = rd_of(payload);
	/* Backwards only, so that it ends. */
	if (!rec_update_get(results, head) ||
	    (head->prev.segment != 0 && !pos_before(head->prev, at))) {
		*e = err_set(et, ERR_CORRUPT,
		    "results of message %llu at %llu+%u do not decode",
		    (unsigned long long)c->id, (unsigned long long)at.segment,
		    at.offset);
		return false;
	}
	c->next = head->prev;
	return true;
}

/* What one loading is about. */
struct load {
	struct store *s;
	struct store_row row;
	struct rec_envelope rec;
	struct arena *arena;
	uint32_t from, max;
	struct store_message *out;
	struct errtext *et;
};

enum { STATUS_UNSEEN = 0xff };

/* Status of every recipient, into status_buf. */
static enum err
load_states(struct load *l)
{
	struct chain c = { l->s, l->row.id, l->row.result, l->s->load_buf2 };
	uint8_t *status = l->s->status_buf;
	struct rec_update head;
	struct store_result r;
	struct rd rd;
	enum err e;

	memset(status, STATUS_UNSEEN, l->rec.rcpt_total);
	while (chain_next(&c, &head, &rd, &e, l->et)) {
		for (uint32_t i = 0; i < head.result_count; i++) {
			if (!rec_result_get(&rd, &r) ||
			    r.index >= l->rec.rcpt_total)
				return err_set(l->et, ERR_CORRUPT,
				    "result of no recipient");
			if (status[r.index] == STATUS_UNSEEN)
				status[r.index] = r.status;
		}
	}
	for (uint32_t i = 0; i < l->rec.rcpt_total; i++)
		if (status[i] == STATUS_UNSEEN)
			status[i] = STORE_WAITING;
	return e;
}

/* Allocate the recipients that will be loaded: the first unfinished ones. */
static enum err
plan_rcpts(struct load *l)
{
	const uint8_t *status = l->s->status_buf;
	uint32_t i, n = 0;

	for (i = l->from; i < l->rec.rcpt_total && n < l->max; i++)
		n += status[i] != STORE_DONE;
	while (i < l->rec.rcpt_total && status[i] == STORE_DONE)
		i++;
	l->out->next_index = i < l->rec.rcpt_total ? i : l->rec.rcpt_total;
	l->out->rcpt_count = 0;
	if (n == 0)
		return OK;
	l->out->rcpts = arena_alloc(l->arena, n * sizeof(*l->out->rcpts));
	return l->out->rcpts == NULL ? ERR_NOMEM : OK;
}

/* One run of encoded recipients; *index counts through the message. */
static enum err
take_rcpts(struct load *l, struct slice data, uint32_t *index)
{
	struct rd rd = rd_of(data);
	struct envelope_rcpt rcpt;

	while (rd.left > 0) {
		const unsigned char *at = rd.at;
		struct store_rcpt *to;
		char *copy;

		if (!envelope_rcpt_get(&rd, &rcpt) ||
		    *index >= l->rec.rcpt_total)
			return err_set(l->et, ERR_CORRUPT,
			    "recipient %u does not decode", *index);
		if (*index < l->from || *index >= l->out->next_index ||
		    l->s->status_buf[*index] == STORE_DONE) {
			(*index)++;
			continue;
		}
		copy = arena_copy(l->arena, (const char *)at,
		    (size_t)(rd.at - at));
		if (copy == NULL)
			return ERR_NOMEM;
		to = &l->out->rcpts[l->out->rcpt_count++];
		*to = (struct store_rcpt){ .index = *index,
			.status = l->s->status_buf[*index],
			.encoded = slice_of(copy, (size_t)(rd.at - at)) };
		(*index)++;
	}
	return OK;
}

static enum err
load_rcpts(struct load *l)
{
	struct rd rd = rd_of(l->rec.rcpt_extents);
	struct store_extent x;
	struct slice payload;
	uint32_t index = 0;
	enum err e;

	for (uint32_t i = 0; i < l->rec.rcpt_extent_count; i++) {
		struct store_pos pos;

		if (!extent_list_get(&rd, &x))
			return err_set(l->et, ERR_CORRUPT, "bad extent");
		pos = (struct store_pos){ x.segment,
			x.offset - RECORD_HEADER_BYTES,
			(uint32_t)record_bytes(x.length) };
		e = store_read_record(l->s, pos, RECORD_RCPTS, l->row.id,
		    l->s->load_buf2, &payload, l->et);
		if (e == OK)
			e = take_rcpts(l, payload, &index);
		if (e != OK)
			return e;
	}
	e = take_rcpts(l, l->rec.rcpts, &index);
	if (e == OK && index != l->rec.rcpt_total)
		e = err_set(l->et, ERR_CORRUPT,
		    "%u recipients, %u in the envelope", index,
		    l->rec.rcpt_total);
	return e;
}

/* The loaded recipient with this index; they are sorted.  NULL: none. */
static struct store_rcpt *
find_rcpt(struct store_message *m, uint32_t index)
{
	uint32_t low = 0, high = m->rcpt_count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (m->rcpts[mid].index < index)
			low = mid + 1;
		else
			high = mid;
	}
	return low < m->rcpt_count && m->rcpts[low].index == index
		   ? &m->rcpts[low]
		   : NULL;
}

static bool
keep_text(struct load *l, struct slice from, struct slice *to)
{
	char *copy;

	if (from.len == 0)
		return true;
	copy = arena_copy(l->arena, from.data, from.len);
	*to = slice_of(copy, copy == NULL ? 0 : from.len);
	return copy != NULL;
}

/* Attempts and texts of the recipients that were loaded. */
static enum err
load_texts(struct load *l)
{
	struct chain c = { l->s, l->row.id, l->row.result, l->s->load_buf2 };
	struct rec_update head;
	struct store_result r;
	struct store_rcpt *to;
	struct rd rd;
	enum err e;

	if (l->out->rcpt_count == 0)
		return OK;
	/* status_buf now says who still lacks a text. */
	memset(l->s->status_buf, 0, l->rec.rcpt_total);
	while (chain_next(&c, &head, &rd, &e, l->et)) {
		for (uint32_t i = 0; i < head.result_count; i++) {
			if (!rec_result_get(&rd, &r) ||
			    r.index >= l->rec.rcpt_total)
				return ERR_CORRUPT;
			to = find_rcpt(l->out, r.index);
			if (to == NULL || l->s->status_buf[r.index])
				continue;
			l->s->status_buf[r.index] = 1;
			to->attempts = r.attempts;
			if (!keep_text(l, r.dsn, &to->dsn) ||
			    !keep_text(l, r.relay, &to->relay) ||
			    !keep_text(l, r.text, &to->text))
				return ERR_NOMEM;
		}
	}
	return e;
}

static enum err
load_envelope(struct load *l)
{
	struct slice payload;
	char *copy;
	enum err e;

	e = store_read_record(l->s, l->row.envelope, RECORD_ENVELOPE, l->row.id,
	    l->s->load_buf, &payload, l->et);
	if (e != OK)
		return e;
	if (!rec_envelope_get(payload, &l->rec))
		return err_set(l->et, ERR_CORRUPT,
		    "envelope of message %llu does not decode",
		    (unsigned long long)l->row.id);
	copy = arena_copy(l->arena, l->rec.envelope.data, l->rec.envelope.len);
	if (copy == NULL)
		return ERR_NOMEM;
	l->out->envelope = slice_of(copy, l->rec.envelope.len);
	l->out->rcpt_total = l->rec.rcpt_total;
	return OK;
}

static enum err
load_all(struct load *l)
{
	enum err e;

	*l->out = (struct store_message){ .id = l->row.id,
		.due_ms = l->row.due_ms,
		.flags = l->row.flags };
	e = load_envelope(l);
	if (l->max == 0) /* nobody asks for recipients: one read */
		return e;
	if (e == OK)
		e = load_states(l);
	if (e == OK)
		e = plan_rcpts(l);
	if (e == OK)
		e = load_rcpts(l);
	if (e == OK)
		e = load_texts(l);
	return e;
}

/* Decode the body's extents; segments that are gone are damage. */
static enum err
decode_extents(struct load *l, struct store_extent *to)
{
	struct rd rd = rd_of(l->rec.extents);

	for (uint32_t i = 0; i < l->rec.extent_count; i++)
		if (!extent_list_get(&rd, &to[i]) ||
		    segment_find(l->s, to[i].segment) == NULL)
			return err_set(l->et, ERR_CORRUPT,
			    "body of message %llu is not there",
			    (unsigned long long)l->row.id);
	return OK;
}

/* Checksums of the body, so that a flipped bit is not delivered. */
static enum err
verify_body(struct load *l, const struct store_extent *x, uint32_t count)
{
	struct slice payload;
	uint64_t bytes = 0;
	enum err e = OK;

	for (uint32_t i = 0; e == OK && i < count; i++) {
		struct store_pos pos = { x[i].segment,
			x[i].offset - RECORD_HEADER_BYTES,
			(uint32_t)record_bytes(x[i].length) };

		bytes += x[i].length;
		if (bytes > STORE_VERIFY_BYTES_MAX)
			break;
		e = store_read_record(l->s, pos, RECORD_BODY, l->row.id,
		    l->s->load_buf2, &payload, l->et);
	}
	return e;
}

static enum err
hold_extents(struct load *l, struct store_msg *m)
{
	uint32_t n = l->rec.extent_count;
	enum err e;

	if (n == 0)
		return OK;
	m->extents = mem_alloc_array(l->s->acct, n, sizeof(*m->extents));
	if (m->extents == NULL)
		return ERR_NOMEM;
	m->extent_size = n;
	e = decode_extents(l, m->extents);
	if (e == OK)
		e = verify_body(l, m->extents, n);
	if (e != OK)
		return e;
	m->extent_count = n;
	m->pin_first = UINT64_MAX;
	for (uint32_t i = 0; i < n; i++) {
		if (m->extents[i].segment < m->pin_first)
			m->pin_first = m->extents[i].segment;
		if (m->extents[i].segment > m->pin_last)
			m->pin_last = m->extents[i].segment;
	}
	segment_pin(l->s, m->pin_first, m->pin_last, false);
	return OK;
}

/* A row as it is now.  ERR_NOTFOUND, ERR_AGAIN. */
static enum err
fresh_row(struct store *s, const struct store_row *row, struct store_row *out)
{
	*out = *row;
	if (row->stamp != s->index.flush_count)
		return ERR_AGAIN;
	return track_correct(s, out) ? OK : ERR_NOTFOUND;
}

enum err
store_row_check(struct store *s, const struct store_row *row)
{
	struct store_row now;

	return fresh_row(s, row, &now);
}

static enum err
load_into(struct store *s, const struct store_row *row, struct store_msg *m,
    struct arena *ar, uint32_t rcpt_from, uint32_t rcpt_max,
    struct store_message *out, struct errtext *et)
{
	struct load l = { .s = s,
		.arena = ar,
		.from = rcpt_from,
		.max = rcpt_max,
		.out = out,
		.et = et };
	enum err e;

	if (m->store == s) {
		l.row = m->row;
		return m->over ? ERR_NOTFOUND : load_all(&l);
	}
	e = fresh_row(s, row, &l.row);
	if (e == OK && l.row.held)
		e = ERR_NOTFOUND;
	if (e == OK)
		e = track_room(s, 1);
	if (e == OK)
		e = load_all(&l);
	if (e != OK)
		return e;
	e = store_msg_hold(s, &l.row, m);
	if (e != OK)
		return e;
	e = hold_extents(&l, m);
	if (e != OK) {
		hash_remove(&s->held, &m->node);
		s->held_count--;
		mem_free(s->acct, m->extents);
		memset(m, 0, sizeof(*m));
		return e;
	}
	mover_changed(s, m->id);
	{
		struct change *c = track_get(s, m->id);

		track_row(s, &m->row, false, (struct store_pos){ 0 },
		    c == NULL ? 0 : c->serial);
	}
	return OK;
}

enum err
store_load(struct store *s, const struct store_row *row, struct store_msg *m,
    struct arena *ar, uint32_t rcpt_from, uint32_t rcpt_max,
    struct store_message *out, struct errtext *et)
{
	enum err e = load_into(s, row, m, ar, rcpt_from, rcpt_max, out, et);

	/* What could not be read may hold a newer envelope, of the message as
	 * it was moved: nobody may set this one aside. */
	return e == ERR_CORRUPT && s->segments.unreadable ? ERR_IO : e;
}

enum err
store_peek(struct store *s, const struct store_row *row, struct arena *ar,
    uint32_t rcpt_from, uint32_t rcpt_max, struct store_message *out,
    struct store_extent **extents_out, uint32_t *extent_count_out,
    struct errtext *et)
{
	struct load l = { .s = s,
		.arena = ar,
		.from = rcpt_from,
		.max = rcpt_max,
		.out = out,
		.et = et };
	enum err e = fresh_row(s, row, &l.row);

	if (e == OK)
		e = load_all(&l);
	if (e != OK)
		return e;
	*extent_count_out = l.rec.extent_count;
	*extents_out =
	    arena_alloc(ar, (l.rec.extent_count + 1) * sizeof(**extents_out));
	if (*extents_out == NULL)
		return ERR_NOMEM;
	return decode_extents(&l, *extents_out);
}
