#include "spool.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/envelope.h"

static void
on_durable(void *arg)
{
	((struct spool *)arg)->durable_count++;
}

static void
on_damage(void *arg, const struct store_damage *d)
{
	struct spool *sp = arg;

	sp->damage_count++;
	sp->damage = *d;
}

static void
on_poisoned(void *arg, enum err e, const char *why)
{
	(void)e;
	(void)why;
	((struct spool *)arg)->poisoned = true;
}

void
spool_init(struct spool *sp, bool threads)
{
	struct errtext et;

	memset(sp, 0, sizeof(*sp));
	strcpy(sp->dir, "/tmp/weir-spool-XXXXXX");
	assert_non_null(mkdtemp(sp->dir));
	acct_init(&sp->acct, NULL, "test", 0, false, "");
	assert_int_equal(disk_posix_open(&sp->disk, sp->dir, &et), OK);
	store_conf_default(&sp->conf);
	sp->events = (struct store_events){ .on_durable = on_durable,
		.on_damage = on_damage,
		.on_poisoned = on_poisoned };
	sp->conf.disk = &sp->disk.disk;
	sp->conf.index_dir = sp->dir;
	sp->conf.acct = &sp->acct;
	sp->conf.events = &sp->events;
	sp->conf.arg = sp;
	sp->conf.threads = threads;
	sp->conf.segment_bytes = 1 << 20;
	sp->conf.batch_bytes = 512 << 10;
	sp->conf.spare_count = 1;
	sp->conf.unindexed_max = 512;
	sp->conf.held_max = 1024;
}

void
spool_open(struct spool *sp)
{
	struct errtext et = { "" };
	enum err e = store_open(&sp->conf, &sp->store, &et);

	if (e != OK)
		fail_msg("store_open: %s: %s", err_name(e), et.text);
}

void
spool_close(struct spool *sp)
{
	assert_int_equal(store_close(sp->store), OK);
	sp->store = NULL;
}

void
spool_kill(struct spool *sp)
{
	store_abandon(sp->store);
	sp->store = NULL;
}

void
spool_fini(struct spool *sp)
{
	char command[128];

	if (sp->store != NULL)
		spool_kill(sp);
	disk_posix_close(&sp->disk);
	snprintf(command, sizeof(command), "rm -rf %s", sp->dir);
	assert_int_equal(system(command), 0);
	acct_fini(&sp->acct);
}

static bool
step(struct spool *sp)
{
	int64_t wait = store_turn(sp->store, 0);
	struct pollfd p = { .fd = store_fd(sp->store), .events = POLLIN };

	if (store_poll(sp->store))
		return true;
	if (p.fd >= 0 && poll(&p, 1, wait < 20 ? (int)wait : 20) > 0)
		return true;
	return wait < 20;
}

void
spool_settle(struct spool *sp)
{
	store_hurry(sp->store);
	for (unsigned quiet = 0; quiet < 3;)
		quiet = step(sp) ? 0 : quiet + 1;
}

void
spool_wait(struct spool *sp, struct store_ticket t)
{
	store_hurry(sp->store);
	for (unsigned i = 0; !store_durable(sp->store, t); i++) {
		assert_true(i < 100000);
		assert_false(sp->poisoned);
		step(sp);
	}
}

void
spool_answer(struct spool *sp)
{
	for (unsigned i = 0; !sp->answered; i++) {
		assert_true(i < 100000);
		step(sp);
	}
	sp->answered = false;
}

void
spool_on_rows(void *arg, enum err e, const struct store_row *rows,
    unsigned row_count)
{
	struct spool *sp = arg;

	sp->answered = true;
	sp->err = e;
	sp->row_count = row_count;
	memcpy(sp->rows, rows, row_count * sizeof(*rows));
}

void
spool_on_counts(void *arg, enum err e, const struct store_counts *c)
{
	struct spool *sp = arg;

	sp->answered = true;
	sp->err = e;
	sp->counts = *c;
}

void
spool_remove_index(struct spool *sp)
{
	static const char *const names[] = { "index", "index-wal" };
	char path[128];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", sp->dir, names[i]);
		assert_true(unlink(path) == 0 || i > 0);
	}
}

unsigned
spool_list(struct spool *sp)
{
	assert_int_equal(
	    store_list(sp->store, 0, STORE_ROWS_MAX, spool_on_rows, sp), OK);
	spool_answer(sp);
	assert_int_equal(sp->err, OK);
	return sp->row_count;
}

bool
spool_find(struct spool *sp, uint64_t id, struct store_row *row_out)
{
	assert_int_equal(store_find(sp->store, id, spool_on_rows, sp), OK);
	spool_answer(sp);
	assert_int_equal(sp->err, OK);
	if (sp->row_count == 0)
		return false;
	*row_out = sp->rows[0];
	return true;
}

char
spool_body_at(uint64_t id, size_t at)
{
	return (char)('a' + (id * 31 + at * 7 + at / 97) % 26);
}

static void
add_body(struct spool *sp, struct store_msg *m, size_t body_bytes)
{
	char piece[4096];

	for (size_t at = 0; at < body_bytes;) {
		size_t n = body_bytes - at < sizeof(piece) ? body_bytes - at
							   : sizeof(piece);
		enum err e;

		for (size_t i = 0; i < n; i++)
			piece[i] = spool_body_at(m->id, at + i);
		while ((e = store_body_append(sp->store, m,
			    slice_of(piece, n))) == ERR_AGAIN)
			step(sp);
		assert_int_equal(e, OK);
		at += n;
	}
}

struct store_ticket
spool_add(struct spool *sp, struct store_msg *m, unsigned rcpt_count,
    size_t body_bytes, int64_t due_ms)
{
	static char env_buf[ENVELOPE_BYTES_MAX], rcpt_buf[65536];
	struct envelope env = { .arrival_ms = 1,
		.body_bytes = body_bytes,
		.sender = SLICE_LIT("from@example.test"),
		.helo = SLICE_LIT("client"),
		.client_name = SLICE_LIT("unknown"),
		.protocol = SLICE_LIT("ESMTP") };
	struct wr ew = wr_of(env_buf, sizeof(env_buf));
	struct wr rw = wr_of(rcpt_buf, sizeof(rcpt_buf));
	struct store_ticket t;
	enum err e;

	while ((e = store_msg_open(sp->store, m)) == ERR_AGAIN)
		step(sp);
	assert_int_equal(e, OK);
	assert_int_equal(store_reserve(sp->store, m, body_bytes), OK);
	add_body(sp, m, body_bytes);
	envelope_put(&ew, &env);
	for (unsigned i = 0; i < rcpt_count; i++) {
		char address[40];
		struct envelope_rcpt r = { 0 };

		snprintf(address, sizeof(address), "u%u@example.test", i);
		r.address = slice_str(address);
		envelope_rcpt_put(&rw, &r);
		if (rw.len > 60000) {
			while ((e = store_rcpts_append(sp->store, m,
				    wr_done(&rw))) == ERR_AGAIN)
				step(sp);
			assert_int_equal(e, OK);
			rw = wr_of(rcpt_buf, sizeof(rcpt_buf));
		}
	}
	assert_false(ew.full || rw.full);
	struct store_commit c = { .envelope = wr_done(&ew),
		.rcpts = wr_done(&rw),
		.rcpt_count = rcpt_count,
		.due_ms = due_ms,
		.dest = sp->dest };

	while ((e = store_commit(sp->store, m, &c, &t)) == ERR_AGAIN)
		step(sp);
	assert_int_equal(e, OK);
	return t;
}

void
spool_check_body(struct spool *sp, uint64_t id, const struct store_extent *x,
    unsigned count, size_t body_bytes)
{
	char buf[65536];
	size_t at = 0;

	for (unsigned i = 0; i < count; i++) {
		int fd = store_segment_fd(sp->store, x[i].segment);

		assert_true(fd >= 0);
		for (uint32_t done = 0; done < x[i].length;) {
			uint32_t n = x[i].length - done;

			n = n < sizeof(buf) ? n : (uint32_t)sizeof(buf);
			assert_int_equal(
			    sp->conf.disk->ops->pread(sp->conf.disk, fd, buf, n,
				x[i].offset + done),
			    n);
			for (uint32_t k = 0; k < n; k++, at++)
				if (buf[k] != spool_body_at(id, at))
					fail_msg("message %llu differs at %zu",
					    (unsigned long long)id, at);
			done += n;
		}
	}
	assert_int_equal(at, body_bytes);
}
