/*
 * model: what must be found after a recovery; see sim.h.
 */
#include <string.h>

#include "sim.h"

const char *
sim_body(uint64_t id, uint32_t at)
{
	static char pattern[2 * SIM_PATTERN_BYTES];
	uint64_t z = 1;

	if (pattern[0] == 0)
		for (size_t i = 0; i < SIM_PATTERN_BYTES; i++) {
			z = z * 6364136223846793005u + 1442695040888963407u;
			pattern[i] = pattern[i + SIM_PATTERN_BYTES] =
			    (char)('a' + (z >> 33) % 26);
		}
	return pattern + (id * 40503 + at) % SIM_PATTERN_BYTES;
}

struct model *
sim_model_of(struct sim *m, uint64_t id)
{
	unsigned low = 0, high = m->model_count;

	while (low < high) { /* ids only grow */
		unsigned mid = low + (high - low) / 2;

		if (m->models[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < m->model_count && m->models[low].id == id ? &m->models[low]
							       : NULL;
}

struct model *
sim_model_add(struct sim *m, uint64_t id)
{
	struct model *o;

	if (m->model_count == SIM_MODELS_MAX)
		sim_fail("more messages than the model has room for");
	o = &m->models[m->model_count++];
	*o = (struct model){ .id = id };
	return o;
}

/* ---- acknowledgements ---- */

static void
ack(struct sim *m, uint8_t *f, uint64_t serial)
{
	if (*f == SAID &&
	    store_durable(m->store, (struct store_ticket){ serial })) {
		*f = ACKED;
		sim_say("acknowledged: batch %llu", (unsigned long long)serial);
	}
}

void
sim_note_acks(struct sim *m)
{
	if (!m->durable_came)
		return;
	m->durable_came = false;
	for (unsigned i = 0; i < m->model_count; i++) {
		struct model *o = &m->models[i];

		ack(m, &o->exists, o->exists_serial);
		ack(m, &o->over, o->over_serial);
		for (unsigned r = 0; r < o->rcpt_count; r++)
			ack(m, &o->done[r], o->done_serial[r]);
	}
}

void
sim_ack_all(struct sim *m)
{
	for (unsigned i = 0; i < m->model_count; i++) {
		struct model *o = &m->models[i];

		o->exists = o->exists == SAID ? ACKED : o->exists;
		o->over = o->over == SAID ? ACKED : o->over;
		for (unsigned r = 0; r < o->rcpt_count; r++)
			if (o->done[r] == SAID)
				o->done[r] = ACKED;
	}
}

/* ---- queries ---- */

void
sim_on_rows(void *arg, enum err e, const struct store_row *rows, unsigned count)
{
	struct sim *m = arg;

	m->answered = true;
	m->err = e;
	m->row_count = e == OK ? count : 0;
	if (m->row_count > 0)
		memcpy(m->rows, rows, m->row_count * sizeof(*rows));
}

bool
sim_answer(struct sim *m)
{
	for (unsigned i = 0; i < SIM_TURNS_MAX && !m->answered; i++) {
		if (m->disk.dead || m->poisoned)
			return false;
		sim_turn(m, 10);
	}
	if (!m->answered)
		sim_fail("no answer from the index");
	m->answered = false;
	return true;
}

/* ---- one message ---- */

static void
check_body(struct sim *m, const struct store_msg *msg, const struct model *o)
{
	static char buf[RECORD_BYTES_MAX];
	uint32_t at = 0;

	for (uint32_t i = 0; i < msg->extent_count; i++) {
		const struct store_extent *x = &msg->extents[i];
		int fd = store_segment_fd(m->store, x->segment);

		if (fd < 0 || disk_read_all(&m->disk.disk, fd, buf, x->length,
				  x->offset, NULL) != OK) {
			if (m->disk.dead)
				return;
			sim_fail("message %llu: body cannot be read",
			    (unsigned long long)o->id);
		}
		/* Pieces of more than the pattern are compared in parts. */
		for (uint32_t k = 0, n; k < x->length; k += n, at += n) {
			n = x->length - k < SIM_PATTERN_BYTES
				? x->length - k
				: SIM_PATTERN_BYTES;
			if (memcmp(buf + k, sim_body(o->id, at), n) != 0)
				sim_fail("message %llu: body differs after %u",
				    (unsigned long long)o->id, at);
		}
	}
	if (at != o->body_bytes)
		sim_fail("message %llu: body has %u bytes, not %u",
		    (unsigned long long)o->id, at, o->body_bytes);
}

static void
check_rcpts(struct model *o, const struct store_message *out)
{
	char want[64];
	uint32_t k = 0;

	if (out->rcpt_total != o->rcpt_count)
		sim_fail("message %llu: %u recipients, not %u",
		    (unsigned long long)o->id, out->rcpt_total, o->rcpt_count);
	for (unsigned r = 0; r < o->rcpt_count; r++) {
		bool open = k < out->rcpt_count && out->rcpts[k].index == r;
		size_t len;

		if (open && o->done[r] == ACKED && !o->hit)
			sim_fail("message %llu: recipient %u is delivered "
				 "again",
			    (unsigned long long)o->id, r);
		if (!open && o->done[r] == NO)
			sim_fail("message %llu: recipient %u is lost",
			    (unsigned long long)o->id, r);
		if (open) {
			len = sim_put_rcpts(want, sizeof(want), r, r + 1);
			if (out->rcpts[k].encoded.len != len ||
			    memcmp(out->rcpts[k].encoded.data, want, len) != 0)
				sim_fail("message %llu: recipient %u differs",
				    (unsigned long long)o->id, r);
		}
		/* What was found is the truth from now on. */
		o->done[r] = open ? NO : ACKED;
		k += open;
	}
}

/* False: it has to be asked for again. */
static bool
check_message(struct sim *m, const struct store_row *row)
{
	struct model *o = sim_model_of(m, row->id);
	struct store_message out;
	struct store_msg msg = { 0 };
	struct errtext et = { "" };
	struct arena ar;
	enum err e;

	if (o == NULL || o->exists == NO)
		sim_fail("message %llu was never committed",
		    (unsigned long long)row->id);
	if (o->over == ACKED && !o->hit)
		sim_fail("message %llu came back", (unsigned long long)row->id);
	if (o->found)
		sim_fail("message %llu is listed twice",
		    (unsigned long long)row->id);
	arena_init(&ar, &m->acct, 4096, 1 << 20);
	e = store_load(m->store, row, &msg, &ar, 0, 1000, &out, &et);
	if (e == ERR_AGAIN || e == ERR_NOTFOUND || m->disk.dead) {
		store_msg_close(m->store, &msg);
		arena_fini(&ar);
		return false;
	}
	o->found = true;
	if (e != OK && !o->hit)
		sim_fail("message %llu: %s: %s", (unsigned long long)row->id,
		    err_name(e), et.text);
	if (e == OK && !o->hit)
		check_body(m, &msg, o);
	if (e == OK)
		check_rcpts(o, &out);
	store_msg_close(m->store, &msg);
	arena_fini(&ar);
	o->exists = ACKED;
	o->over = NO;
	sim_stats.found++;
	return true;
}

/* ---- all ---- */

/* What was known before. */
struct before {
	uint8_t exists, done, over;
};

/* A report exists if and only if the recipient it is about is done, unless
 * either was settled in another way meanwhile. */
static void
check_reports(struct sim *m, const struct before *was)
{
	for (unsigned i = 0; i < m->model_count; i++) {
		struct model *o = &m->models[i], *cause;
		size_t c;

		if (o->report_of == 0 || was[i].exists != SAID)
			continue;
		cause = sim_model_of(m, o->report_of);
		c = (size_t)(cause - m->models);
		o->report_of = 0;
		if (was[i].over != NO || was[c].over != NO ||
		    was[c].done == ACKED || !cause->found || o->hit ||
		    cause->hit)
			continue;
		if (o->found != (cause->done[0] == ACKED))
			sim_fail("report %llu and result of %llu came apart",
			    (unsigned long long)o->id,
			    (unsigned long long)cause->id);
	}
}

static bool
list_all(struct sim *m)
{
	uint64_t after = 0;

	for (unsigned tries = 0; tries < SIM_TURNS_MAX;) {
		m->answered = false;
		if (store_list(m->store, after, 64, sim_on_rows, m) != OK)
			sim_fail("list refused");
		if (!sim_answer(m))
			return false;
		if (m->err == ERR_AGAIN) {
			tries++;
			continue;
		}
		if (m->err != OK)
			sim_fail("list: %s", err_name(m->err));
		if (m->row_count == 0)
			return true;
		for (unsigned i = 0; i < m->row_count; i++) {
			struct store_row row = m->rows[i];

			/* It comes again with the next page. */
			if (!check_message(m, &row)) {
				tries++;
				break;
			}
			after = row.id;
		}
		sim_turn(m, 10);
	}
	sim_fail("the list has no end");
}

bool
sim_verify(struct sim *m)
{
	struct before was[SIM_MODELS_MAX];

	for (unsigned i = 0; i < m->model_count; i++) {
		struct model *o = &m->models[i];

		was[i] = (struct before){ o->exists, o->done[0], o->over };
		o->found = false;
	}
	if (!list_all(m))
		return false;
	for (unsigned i = 0; i < m->model_count; i++) {
		struct model *o = &m->models[i];

		if (o->found)
			continue;
		if (o->exists == ACKED && o->over == NO && !o->hit)
			sim_fail("message %llu is lost",
			    (unsigned long long)o->id);
		if (o->exists == SAID)
			o->exists = NO;
		if (o->exists == ACKED)
			o->over = ACKED;
		else
			o->over = NO;
	}
	check_reports(m, was);
	return true;
}
