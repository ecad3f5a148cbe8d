#include "fake_store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/envelope.h"

struct fake_store fake;

struct rcpt {
	char *encoded;
	size_t len;
	uint8_t status;
	uint16_t attempts;
	char dsn[16], relay[400], text[1001];
};

struct message {
	uint64_t id;
	bool exists;
	char *envelope;
	size_t envelope_len;
	struct rcpt *rcpts;
	uint32_t rcpt_count;
	int64_t due_ms;
	uint32_t flags;
	uint32_t offset, length; /* of the body */
	uint64_t tried;
	uint64_t dest;
};

enum { MESSAGES = 4096, OPS = 65536, QUERIES = STORE_QUERIES_MAX };

/* What was appended, so that a crash can forget the end of it. */
struct op {
	uint64_t serial;
	uint64_t id;
	struct message *commit; /* or NULL */
	int32_t rcpt;		/* -1: due, flags, over */
	struct rcpt state;
	int64_t due_ms;
	uint32_t flags;
	bool over;
};

static struct message live[MESSAGES];
static uint64_t next_id = 1;
static struct op *ops;
static unsigned op_count;
static uint64_t serial = 1, durable;
static int body_fd = -1;
static uint32_t body_end;
static bool poison_next;

struct query {
	int kind;
	store_rows_fn *rows;
	store_counts_fn *counts;
	void *arg;
	uint64_t id, limit, dest;
	bool fresh;
	int64_t now_ms;
};

struct store {
	struct store_conf conf;
	struct store_msg *held[MESSAGES];
	struct query queries[QUERIES];
	unsigned query_count;
	bool poisoned, room_owed;
};

static struct store *the_store;

/* Memory of the messages, until the next reset. */
static void *kept[OPS * 2];
static unsigned kept_count;

static void *
keep(size_t bytes)
{
	ASSERT(kept_count < sizeof(kept) / sizeof(kept[0]));
	return kept[kept_count++] = calloc(1, bytes);
}

static struct message *
find(uint64_t id)
{
	return id > 0 && id < MESSAGES && live[id].exists ? &live[id] : NULL;
}

static void
apply(const struct op *o)
{
	struct message *m = &live[o->id];

	if (o->commit != NULL) {
		*m = *o->commit;
		m->rcpts = keep(m->rcpt_count * sizeof(struct rcpt));
		memcpy(m->rcpts, o->commit->rcpts,
		    m->rcpt_count * sizeof(struct rcpt));
		m->exists = true;
	} else if (o->rcpt >= 0) {
		struct rcpt *r = &m->rcpts[o->rcpt];
		char *encoded = r->encoded;
		size_t len = r->len;

		*r = o->state;
		r->encoded = encoded;
		r->len = len;
	} else {
		m->due_ms = o->due_ms;
		m->flags = o->flags;
		if (o->over)
			m->exists = false;
	}
}

static void
append(struct op o)
{
	ASSERT(op_count < OPS);
	o.serial = serial;
	ops[op_count++] = o;
	apply(&o);
}

void
fake_reset(void)
{
	static bool used;

	if (used)
		for (unsigned i = 0; i < MESSAGES; i++)
			live[i].exists = false;
	used = true;
	if (ops == NULL)
		ops = malloc(OPS * sizeof(*ops));
	while (kept_count > 0)
		free(kept[--kept_count]);
	op_count = 0;
	next_id = 1;
	serial = 1;
	durable = 0;
	body_end = 0;
	poison_next = false;
	fake = (struct fake_store){ 0 };
	if (body_fd >= 0)
		close(body_fd);
	body_fd = memfd_create("body", MFD_CLOEXEC);
}

void
fake_crash(void)
{
	unsigned whole = 0;

	ASSERT(the_store == NULL);
	for (unsigned i = 0; i < MESSAGES; i++)
		live[i].exists = false;
	for (unsigned i = 0; i < op_count; i++)
		if (ops[i].serial <= durable) {
			apply(&ops[i]);
			whole = i + 1;
		}
	op_count = whole;
}

void
fake_poison(void)
{
	poison_next = true;
}

void
fake_room(void)
{
	fake.batch_full = false;
	if (the_store != NULL)
		the_store->room_owed = true;
}

unsigned
fake_count(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MESSAGES; i++)
		n += live[i].exists;
	return n;
}

enum store_status
fake_rcpt(uint64_t id, uint32_t index, struct slice *text)
{
	struct message *m = find(id);

	if (m == NULL || index >= m->rcpt_count)
		return STORE_STATUS_COUNT;
	if (text != NULL)
		*text = slice_str(m->rcpts[index].text);
	return m->rcpts[index].status;
}

uint32_t
fake_flags(uint64_t id)
{
	return find(id) == NULL ? 0 : find(id)->flags;
}

uint64_t
fake_dest(uint64_t id)
{
	return find(id) == NULL ? 0 : find(id)->dest;
}

int64_t
fake_due(uint64_t id)
{
	return find(id) == NULL ? 0 : find(id)->due_ms;
}

/* ---- store.h ---- */

void
store_conf_default(struct store_conf *c)
{
	*c = (struct store_conf){ .segment_bytes = 64 << 20,
		.batch_bytes = 1 << 20 };
}

enum err
store_open(const struct store_conf *c, struct store **out, struct errtext *et)
{
	(void)et;
	ASSERT(the_store == NULL);
	*out = the_store = calloc(1, sizeof(**out));
	the_store->conf = *c;
	return OK;
}

enum err
store_close(struct store *s)
{
	enum err e = s->poisoned ? ERR_IO : OK;

	for (unsigned i = 0; i < MESSAGES; i++)
		ASSERT(s->held[i] == NULL);
	if (e == OK && !fake.hold_sync)
		durable = serial++;
	free(s);
	the_store = NULL;
	return e;
}

void
store_reconf(struct store *s, const struct store_conf *c)
{
	s->conf = *c;
}

int
store_fd(const struct store *s)
{
	(void)s;
	return -1;
}

static void
fill_row(struct store *s, const struct message *m, struct store_row *r)
{
	*r = (struct store_row){ .id = m->id,
		.due_ms = m->due_ms,
		.flags = m->flags,
		.dest = m->dest,
		.held = s->held[m->id] != NULL };
}

static void
answer(struct store *s, const struct query *q)
{
	static struct store_row rows[STORE_ROWS_MAX];
	struct store_counts c = { .next_due_ms = INT64_MAX };
	unsigned n = 0;

	for (uint64_t id = 1; id < MESSAGES; id++) {
		struct message *m = find(id);
		bool is_held;

		if (m == NULL)
			continue;
		is_held = s->held[id] != NULL;
		c.message_count++;
		c.held_count += is_held;
		if (!is_held && (m->flags & STORE_HOLD))
			c.hold_count++;
		else if (!is_held) {
			c.deferred_count += (m->flags & STORE_TRIED) != 0;
			c.waiting_count += (m->flags & STORE_TRIED) == 0;
			if (m->due_ms < c.next_due_ms)
				c.next_due_ms = m->due_ms;
			if (m->due_ms > c.last_due_ms)
				c.last_due_ms = m->due_ms;
		}
		if (n == q->limit || (fake.page_max > 0 && n == fake.page_max))
			continue;
		if ((q->kind == 0 && !is_held && !(m->flags & STORE_HOLD) &&
			m->due_ms <= q->now_ms + fake.due_shift_ms &&
			!(q->fresh && (m->flags & STORE_TRIED))) ||
		    (q->kind == 1 && id == q->id) ||
		    (q->kind == 2 && id > q->id &&
			(q->dest == 0 || m->dest == q->dest || m->dest == 0)))
			fill_row(s, m, &rows[n++]);
	}
	if (q->kind == 3)
		q->counts(q->arg, OK, &c);
	else
		q->rows(q->arg, OK, rows, n);
}

bool
store_poll(struct store *s)
{
	if (s->query_count > 0) {
		struct query q = s->queries[0];

		memmove(s->queries, s->queries + 1,
		    --s->query_count * sizeof(q));
		answer(s, &q);
		return true;
	}
	if (s->room_owed) {
		s->room_owed = false;
		s->conf.events->on_room(s->conf.arg);
		return true;
	}
	if (op_count > 0 && ops[op_count - 1].serial == serial &&
	    !fake.hold_sync) {
		if (poison_next) {
			s->poisoned = true;
			poison_next = false;
			s->conf.events->on_poisoned(s->conf.arg, ERR_IO,
			    "test");
			return true;
		}
		fake.syncs++;
		durable = serial++;
		s->conf.events->on_durable(s->conf.arg);
		return true;
	}
	return false;
}

int64_t
store_turn(struct store *s, unsigned ending_count)
{
	(void)s;
	(void)ending_count;
	return INT64_MAX;
}

bool
store_trim(struct store *s)
{
	(void)s;
	return false;
}

void
store_hurry(struct store *s)
{
	(void)s;
}

bool
store_durable(const struct store *s, struct store_ticket t)
{
	return !s->poisoned && t.serial <= durable;
}

bool
store_poisoned(const struct store *s)
{
	return s->poisoned;
}

static enum err
may_append(const struct store *s)
{
	return s->poisoned ? ERR_IO : fake.batch_full ? ERR_AGAIN : OK;
}

enum err
store_msg_open(struct store *s, struct store_msg *m)
{
	enum err e = may_append(s);

	if (e != OK)
		return e;
	ASSERT(next_id < MESSAGES);
	*m = (struct store_msg){ .store = s, .id = next_id++ };
	m->row.id = m->id;
	s->held[m->id] = m;
	m->extents = malloc(sizeof(struct store_extent));
	m->extents[0] = (struct store_extent){ 1, body_end, 0 };
	return OK;
}

enum store_short
store_why_short(const struct store *s, const char **name, int64_t *value)
{
	(void)s;
	*name = "queue_minfree";
	*value = 1;
	return STORE_SHORT_MINFREE;
}

enum err
store_reserve(struct store *s, struct store_msg *m, uint64_t bytes)
{
	(void)s;
	(void)m;
	(void)bytes;
	return fake.no_space ? ERR_NOSPACE : OK;
}

bool
store_has_plenty(struct store *s, uint64_t bytes)
{
	(void)s;
	(void)bytes;
	return !fake.no_space;
}

enum err
store_body_append(struct store *s, struct store_msg *m, struct slice data)
{
	enum err e = may_append(s);

	if (e != OK)
		return e;
	/* One transaction at a time writes bodies in these tests, or bodies
	 * of one frame. */
	if (m->extent_count == 0)
		m->extents[0].offset = body_end;
	m->extent_count = 1;
	ASSERT(m->extents[0].offset + m->extents[0].length == body_end);
	ASSERT(pwrite(body_fd, data.data, data.len, body_end) ==
	       (ssize_t)data.len);
	m->extents[0].length += (uint32_t)data.len;
	body_end += (uint32_t)data.len;
	return OK;
}

enum err
store_rcpts_append(struct store *s, struct store_msg *m, struct slice rcpts)
{
	(void)s;
	(void)m;
	(void)rcpts;
	return ERR_FULL;
}

enum err
store_commit(struct store *s, struct store_msg *m, const struct store_commit *c,
    struct store_ticket *ticket_out)
{
	struct message *copy;
	struct rd rd = rd_of(c->rcpts);
	enum err e = may_append(s);

	if (e != OK)
		return e;
	copy = keep(sizeof(*copy));
	copy->id = m->id;
	copy->envelope = keep(c->envelope.len);
	memcpy(copy->envelope, c->envelope.data, c->envelope.len);
	copy->envelope_len = c->envelope.len;
	copy->due_ms = c->due_ms;
	copy->flags = c->flags;
	copy->dest = c->dest;
	copy->offset = m->extents[0].offset;
	copy->length = m->extents[0].length;
	copy->rcpts = keep(c->rcpt_count * sizeof(struct rcpt));
	for (uint32_t i = 0; i < c->rcpt_count; i++) {
		const unsigned char *from = rd.at;
		struct envelope_rcpt r;
		struct rcpt *to = &copy->rcpts[copy->rcpt_count++];

		ASSERT(envelope_rcpt_get(&rd, &r));
		to->len = (size_t)(rd.at - from);
		to->encoded = keep(to->len);
		memcpy(to->encoded, from, to->len);
	}
	ASSERT(rd_done(&rd));
	fake.commits++;
	append((struct op){ .id = m->id, .commit = copy, .rcpt = -1 });
	m->committed = true;
	m->row.due_ms = c->due_ms;
	m->row.flags = c->flags;
	ticket_out->serial = serial;
	if (c->also != NULL)
		return store_result_append(s, c->also, c->also_update, NULL);
	return OK;
}

enum err
store_result_append(struct store *s, struct store_msg *m,
    const struct store_update *u, struct store_ticket *ticket_out)
{
	enum err e = may_append(s);

	if (e != OK)
		return e;
	if (fake.log_full)
		return ERR_NOSPACE;
	ASSERT(m->committed && !m->over && find(m->id) != NULL);
	fake.results++;
	for (unsigned i = 0; i < u->result_count; i++) {
		const struct store_result *r = &u->results[i];
		struct op o = { .id = m->id, .rcpt = (int32_t)r->index };

		o.state.status = r->status;
		o.state.attempts = r->attempts;
		slice_copy(r->dsn, o.state.dsn, sizeof(o.state.dsn));
		slice_copy(r->relay, o.state.relay, sizeof(o.state.relay));
		slice_copy(r->text, o.state.text, sizeof(o.state.text));
		append(o);
	}
	append((struct op){ .id = m->id,
	    .rcpt = -1,
	    .due_ms = u->due_ms,
	    .flags = u->flags,
	    .over = u->over });
	m->row.due_ms = u->due_ms;
	m->row.flags = u->flags;
	m->over = u->over;
	if (ticket_out != NULL)
		ticket_out->serial = serial;
	return OK;
}

void
store_msg_close(struct store *s, struct store_msg *m)
{
	if (m->store == NULL)
		return;
	ASSERT(s->held[m->id] == m);
	s->held[m->id] = NULL;
	free(m->extents);
	*m = (struct store_msg){ 0 };
}

enum err
store_load(struct store *s, const struct store_row *row, struct store_msg *m,
    struct arena *ar, uint32_t rcpt_from, uint32_t rcpt_max,
    struct store_message *out, struct errtext *et)
{
	struct message *x = find(row->id);

	(void)et;
	if (fake.again > 0) {
		fake.again--;
		return ERR_AGAIN;
	}
	if (x == NULL || (s->held[row->id] != NULL && s->held[row->id] != m))
		return ERR_NOTFOUND;
	if (fake.load_max > 0 && rcpt_max > fake.load_max)
		return ERR_NOMEM;
	*out = (struct store_message){ .id = x->id,
		.due_ms = x->due_ms,
		.flags = x->flags,
		.rcpt_total = x->rcpt_count,
		.next_index = rcpt_from,
		.envelope = slice_of(x->envelope, x->envelope_len) };
	out->rcpts =
	    arena_alloc(ar, (x->rcpt_count + 1) * sizeof(struct store_rcpt));
	for (; out->next_index < x->rcpt_count && out->rcpt_count < rcpt_max;
	     out->next_index++) {
		struct rcpt *r = &x->rcpts[out->next_index];

		if (r->status == STORE_DONE)
			continue;
		out->rcpts[out->rcpt_count++] =
		    (struct store_rcpt){ .index = out->next_index,
			    .status = r->status,
			    .attempts = r->attempts,
			    .encoded = slice_of(r->encoded,
				r->len - (out->next_index + 1 == fake.spoilt)),
			    .dsn = slice_str(r->dsn),
			    .relay = slice_str(r->relay),
			    .text = slice_str(r->text) };
	}
	if (m->store != NULL)
		return OK;
	*m = (struct store_msg){ .store = s,
		.id = x->id,
		.committed = true,
		.row = *row,
		.extent_count = x->length > 0 };
	m->row.flags = x->flags;
	m->row.due_ms = x->due_ms;
	m->extents = malloc(sizeof(struct store_extent));
	m->extents[0] = (struct store_extent){ 1, x->offset, x->length };
	s->held[x->id] = m;
	return OK;
}

enum err
store_row_check(struct store *s, const struct store_row *row)
{
	const struct store_msg *m = s->held[row->id];

	return find(row->id) == NULL || (m != NULL && m->over) ? ERR_NOTFOUND
							       : OK;
}

enum err
store_peek(struct store *s, const struct store_row *row, struct arena *ar,
    uint32_t rcpt_from, uint32_t rcpt_max, struct store_message *out,
    struct store_extent **extents_out, uint32_t *extent_count_out,
    struct errtext *et)
{
	struct store_msg *held = s->held[row->id], m = { 0 };
	enum err e;

	s->held[row->id] = NULL;
	e = store_load(s, row, &m, ar, rcpt_from, rcpt_max, out, et);
	ASSERT(extents_out != NULL && extent_count_out != NULL);
	if (e == OK) {
		*extents_out = arena_alloc(ar, sizeof(**extents_out));
		**extents_out = m.extents[0];
		*extent_count_out = m.extent_count;
	}
	if (e == OK)
		store_msg_close(s, &m);
	s->held[row->id] = held;
	return e;
}

enum err
store_set_aside(struct store *s, const struct store_row *row,
    struct errtext *et)
{
	(void)et;
	fake.aside = row->id;
	return store_remove_append(s, row->id, NULL);
}

enum err
store_hold_append(struct store *s, uint64_t id, bool hold,
    struct store_ticket *ticket_out)
{
	struct message *m = find(id);
	enum err e = may_append(s);
	uint32_t flags;

	if (e != OK)
		return e;
	ASSERT(m != NULL);
	flags = hold ? m->flags | STORE_HOLD : m->flags & ~(uint32_t)STORE_HOLD;
	append((struct op){ .id = id,
	    .rcpt = -1,
	    .due_ms = m->due_ms,
	    .flags = flags });
	if (s->held[id] != NULL)
		s->held[id]->row.flags = flags;
	if (ticket_out != NULL)
		ticket_out->serial = serial;
	return OK;
}

enum err
store_remove_append(struct store *s, uint64_t id,
    struct store_ticket *ticket_out)
{
	enum err e = may_append(s);

	if (e != OK)
		return e;
	ASSERT(find(id) != NULL);
	append((struct op){ .id = id, .rcpt = -1, .over = true });
	if (s->held[id] != NULL)
		s->held[id]->over = true;
	if (ticket_out != NULL)
		ticket_out->serial = serial;
	return OK;
}

struct store_msg *
store_held(struct store *s, uint64_t id)
{
	return id < MESSAGES ? s->held[id] : NULL;
}

int
store_segment_fd(struct store *s, uint64_t number)
{
	(void)s;
	return number == 1 ? body_fd : -1;
}

static enum err
ask(struct store *s, struct query q)
{
	if (s->query_count == QUERIES)
		return ERR_AGAIN;
	s->queries[s->query_count++] = q;
	return OK;
}

enum err
store_due(struct store *s, struct wall now, bool fresh, unsigned limit,
    store_rows_fn *fn, void *arg)
{
	fake.fresh_row = fresh ? fake.fresh_row + 1 : 0;
	if (fake.fresh_row > fake.fresh_row_max)
		fake.fresh_row_max = fake.fresh_row;
	return ask(s, (struct query){ .kind = 0,
			  .rows = fn,
			  .arg = arg,
			  .limit = limit,
			  .fresh = fresh,
			  .now_ms = now.ms });
}

enum err
store_find(struct store *s, uint64_t id, store_rows_fn *fn, void *arg)
{
	return ask(s, (struct query){ .kind = 1,
			  .rows = fn,
			  .arg = arg,
			  .limit = 1,
			  .id = id });
}

enum err
store_list(struct store *s, uint64_t after_id, unsigned limit,
    store_rows_fn *fn, void *arg)
{
	return ask(s, (struct query){ .kind = 2,
			  .rows = fn,
			  .arg = arg,
			  .limit = limit,
			  .id = after_id });
}

enum err
store_list_dest(struct store *s, uint64_t after_id, uint64_t dest,
    unsigned limit, store_rows_fn *fn, void *arg)
{
	return ask(s, (struct query){ .kind = 2,
			  .rows = fn,
			  .arg = arg,
			  .limit = limit,
			  .id = after_id,
			  .dest = dest });
}

enum err
store_count(struct store *s, store_counts_fn *fn, void *arg)
{
	fake.runs++;
	return ask(s, (struct query){ .kind = 3, .counts = fn, .arg = arg });
}

enum err
store_due_all(struct store *s, struct wall now, int64_t spread_ms)
{
	fake.spread_ms = spread_ms;
	for (uint64_t id = 1; id < MESSAGES; id++)
		if (find(id) != NULL && s->held[id] == NULL &&
		    live[id].due_ms > now.ms)
			live[id].due_ms = now.ms;
	return OK;
}

enum err
store_due_set(struct store *s, uint64_t id, struct wall due)
{
	(void)s;
	if (find(id) != NULL)
		find(id)->due_ms = due.ms;
	return OK;
}

uint64_t
store_dest_key(struct slice name)
{
	return hash_bytes_nocase(name.data, name.len);
}

uint64_t
store_message_count(const struct store *s)
{
	(void)s;
	return fake_count();
}

uint64_t
store_bytes(const struct store *s)
{
	(void)s;
	return body_end;
}
