/*
 * A store opened on a log that somebody changed.
 *
 * Input: changes, each u8 flags, u24 offset in the segment, u8 length, bytes.
 * Flag 1: the record that was hit gets a right checksum afterwards, so that
 * its content is believed.  Whatever it is: the store opens or says why not,
 * and every message that it lists loads or says why not.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "proto/envelope.h"
#include "simdisk.h"
#include "store/store.h"
#include "store/store_int.h"

#include "fuzz.h"

enum { IMAGE_BYTES = SEGMENT_BYTES_MIN, MESSAGES = 6 };

static unsigned char pristine[IMAGE_BYTES], image[IMAGE_BYTES];
static char path[SEGMENT_PATH_BYTES];
static uint64_t number;
static struct acct budget;
static struct store_conf conf;

static void
must(enum err e)
{
	if (e != OK)
		abort();
}

static void
settle(struct store *s)
{
	for (unsigned i = 0; i < 50; i++) {
		store_hurry(s);
		(void)store_turn(s, 0);
		(void)store_poll(s);
	}
}

static void
add(struct store *s, unsigned i)
{
	char env[512], rcpts[256];
	struct envelope e = { .sender = SLICE_LIT("a@b"), .body_bytes = 5 };
	struct envelope_rcpt r = { .address = SLICE_LIT("c@d") };
	struct wr ew = wr_of(env, sizeof(env)), rw = wr_of(rcpts, 256);
	struct store_result result = { .index = 1,
		.status = STORE_WAITING,
		.attempts = 1,
		.text = SLICE_LIT("no") };
	struct store_update u = { .results = &result, .result_count = 1 };
	struct store_commit c = { .rcpt_count = 2 };
	struct store_ticket t;
	struct store_msg m;

	envelope_put(&ew, &e);
	envelope_rcpt_put(&rw, &r);
	envelope_rcpt_put(&rw, &r);
	c.envelope = wr_done(&ew);
	c.rcpts = wr_done(&rw);
	must(store_msg_open(s, &m));
	must(store_body_append(s, &m, SLICE_LIT("body\n")));
	must(store_commit(s, &m, &c, &t));
	if (i % 2)
		must(store_result_append(s, &m, &u, NULL));
	store_msg_close(s, &m);
	settle(s);
}

/* One spool, made once; only its last segment is kept. */
static void
prepare(void)
{
	struct simdisk d;
	struct store *s;
	int fd;

	random_seed(1);
	acct_init(&budget, NULL, "fuzz", 0, false, "");
	store_conf_default(&conf);
	conf.acct = &budget;
	conf.threads = false;
	conf.segment_bytes = IMAGE_BYTES;
	conf.batch_bytes = LOG_BATCH_BYTES_MIN;
	conf.spare_count = 0;
	conf.held_max = 64;
	conf.unindexed_max = 64;
	simdisk_init(&d, 1);
	conf.disk = &d.disk;
	must(store_open(&conf, &s, NULL));
	for (unsigned i = 0; i < MESSAGES; i++)
		add(s, i);
	number = s->log.head->number;
	segment_path(path, SEGMENT_LOG, number);
	fd = d.disk.ops->open(&d.disk, path, DISK_READ);
	must(disk_read_all(&d.disk, fd, pristine, IMAGE_BYTES, 0, NULL));
	store_abandon(s);
	simdisk_fini(&d);
}

/* Give the record around an offset the checksum it should have. */
static void
reseal(uint32_t offset)
{
	uint32_t at = SEGMENT_HEADER_BYTES;
	struct record r;

	while (at < offset && at + RECORD_HEADER_BYTES < IMAGE_BYTES) {
		if (!record_peek(slice_of(image + at, IMAGE_BYTES - at), &r))
			return;
		size_t len = record_bytes(r.payload_bytes);

		if (at + len > IMAGE_BYTES)
			return;
		if (offset < at + len) {
			record_seal(image + at, number, r.type, r.flags, r.id,
			    r.payload_bytes,
			    crc32c(0, image + at + RECORD_HEADER_BYTES,
				len - RECORD_HEADER_BYTES));
			return;
		}
		at += (uint32_t)len;
	}
}

static void
change(struct rd rd)
{
	memcpy(image, pristine, IMAGE_BYTES);
	while (rd.left > 0) {
		unsigned flags = rd_u8(&rd);
		uint32_t offset = rd_u16(&rd) | (uint32_t)rd_u8(&rd) << 16;
		struct slice bytes = rd_raw(&rd, rd_u8(&rd));

		if (rd.bad || offset + bytes.len > IMAGE_BYTES)
			return;
		if (bytes.len > 0)
			memcpy(image + offset, bytes.data, bytes.len);
		if (flags & 1)
			reseal(offset);
	}
}

struct found {
	struct store_row rows[STORE_ROWS_MAX];
	unsigned count;
};

static void
on_rows(void *arg, enum err e, const struct store_row *rows, unsigned count)
{
	struct found *f = arg;

	f->count = e == OK ? count : 0;
	memcpy(f->rows, rows, f->count * sizeof(*rows));
}

static void
read_all(struct store *s)
{
	static struct found f;

	f.count = 0;
	if (store_list(s, 0, STORE_ROWS_MAX, on_rows, &f) != OK)
		abort();
	settle(s);
	for (unsigned i = 0; i < f.count; i++) {
		struct store_message out;
		struct store_msg m = { 0 };
		struct arena ar;

		arena_init(&ar, &budget, 4096, 1 << 20);
		if (store_load(s, &f.rows[i], &m, &ar, 0, 100, &out, NULL) ==
		    OK)
			store_msg_close(s, &m);
		arena_fini(&ar);
	}
	settle(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct simdisk d;
	struct store *s;
	int fd;

	if (number == 0)
		prepare();
	change(rd_of(slice_of(data, size)));
	simdisk_init(&d, 2);
	conf.disk = &d.disk;
	fd = d.disk.ops->open(&d.disk, path, DISK_CREATE);
	must(disk_write_all(&d.disk, fd, image, IMAGE_BYTES, 0, NULL));
	d.disk.ops->close(&d.disk, fd);
	if (store_open(&conf, &s, NULL) == OK) {
		read_all(s);
		store_abandon(s);
	}
	simdisk_fini(&d);
	if (budget.used_bytes != 0)
		abort();
	return 0;
}
