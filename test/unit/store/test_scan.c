/*
 * Scanning a segment: the same records whatever the reads give at a time and
 * wherever the window ends, and with any byte of it broken all the others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "store/disk.h"
#include "store/scan.h"

enum { SEGMENT = 9, RECORDS_MAX = 512 };

/* A file in memory, which gives at most read_max bytes at once, and a first
 * read of first_max. */
static struct {
	struct disk disk;
	unsigned char bytes[3 * SCAN_BUFFER_BYTES];
	size_t len;
	size_t first_max, read_max;
} file;

static ssize_t
file_pread(struct disk *d, int fd, void *buf, size_t len, uint64_t offset)
{
	size_t most = file.first_max > 0 ? file.first_max : file.read_max;

	(void)d;
	(void)fd;
	file.first_max = 0;
	if (offset >= file.len)
		return 0;
	if (len > file.len - offset)
		len = (size_t)(file.len - offset);
	if (len > most)
		len = most;
	memcpy(buf, file.bytes + offset, len);
	return (ssize_t)len;
}

static int
file_size(struct disk *d, int fd, uint64_t *out)
{
	(void)d;
	(void)fd;
	*out = file.len;
	return 0;
}

static const struct disk_ops ops = { .pread = file_pread, .size = file_size };

static void
put(unsigned type, uint64_t id, size_t payload)
{
	unsigned char *at = file.bytes + file.len;
	size_t bytes = record_bytes(payload);

	ASSERT(file.len + bytes <= sizeof(file.bytes));
	memset(at, 0, bytes);
	for (size_t i = 0; i < payload; i++)
		at[RECORD_HEADER_BYTES + i] = (unsigned char)(id * 31 + i);
	record_seal(at, SEGMENT, type, 0, id, (uint32_t)payload,
	    record_crc_pad(crc32c(0, (char *)at + RECORD_HEADER_BYTES, payload),
		(uint32_t)payload));
	file.len += bytes;
}

static void
begin(void)
{
	memset(&file, 0, sizeof(file));
	file.disk.ops = &ops;
	file.read_max = SIZE_MAX;
	file.len = SEGMENT_HEADER_BYTES;
}

/* What a walk gives. */
struct found {
	unsigned count, damages;
	struct {
		uint64_t id;
		uint32_t at, bytes, sum;
	} records[RECORDS_MAX];
};

static enum err
on_record(void *arg, const struct record *r, struct slice payload,
    struct store_pos pos)
{
	struct found *f = arg;

	ASSERT(f->count < RECORDS_MAX);
	f->records[f->count].id = r->id;
	f->records[f->count].at = pos.offset;
	f->records[f->count].bytes = (uint32_t)payload.len;
	f->records[f->count].sum = crc32c(0, payload.data, payload.len);
	f->count++;
	return OK;
}

static void
on_damage(void *arg, uint32_t from, uint32_t to)
{
	struct found *f = arg;

	assert_true(from < to);
	f->damages++;
}

static void
walk(struct found *out)
{
	static unsigned char buf[SCAN_BUFFER_BYTES];
	struct scan s;

	memset(out, 0, sizeof(*out));
	scan_init(&s, &file.disk, buf, 3, SEGMENT, file.len);
	assert_int_equal(scan_walk(&s, SEGMENT_HEADER_BYTES, (uint32_t)file.len,
			     on_record, on_damage, out),
	    OK);
}

/* Small ones, and two so large that the window ends within a record. */
static void
fill(void)
{
	begin();
	for (uint64_t id = 1; id <= 20; id++)
		put(RECORD_BODY, id, (size_t)(id * 7 % 40));
	put(RECORD_BODY, 21, RECORD_BYTES_MAX - 32);
	put(RECORD_BODY, 22, RECORD_BYTES_MAX - 5000);
	for (uint64_t id = 23; id <= 60; id++)
		put(RECORD_BODY, id, (size_t)(id * 97 % 3000));
}

static void
test_every_split(void **state)
{
	static struct found whole, got;

	(void)state;
	fill();
	walk(&whole);
	assert_int_equal(whole.count, 60);
	assert_int_equal(whole.damages, 0);
	/* The first read ends anywhere in the small records, */
	for (size_t n = 1; n <= 2048; n++) {
		file.first_max = n;
		walk(&got);
		assert_memory_equal(&got, &whole, sizeof(got));
	}
	/* and every read after so many bytes, down to one. */
	for (size_t n = 1; n < SCAN_BUFFER_BYTES; n = n * 3 + 1) {
		file.read_max = n;
		walk(&got);
		assert_memory_equal(&got, &whole, sizeof(got));
	}
}

/* The window begins at each record: so its end falls everywhere. */
static void
test_every_window(void **state)
{
	static unsigned char buf[SCAN_BUFFER_BYTES];
	static struct found whole;
	struct slice payload;
	struct record r;
	struct scan s;

	(void)state;
	fill();
	walk(&whole);
	for (unsigned from = 0; from < whole.count; from++) {
		scan_init(&s, &file.disk, buf, 3, SEGMENT, file.len);
		for (unsigned i = from; i < whole.count; i++) {
			assert_int_equal(
			    scan_record(&s, whole.records[i].at, &r, &payload),
			    OK);
			assert_int_equal(r.id, whole.records[i].id);
			assert_int_equal(crc32c(0, payload.data, payload.len),
			    whole.records[i].sum);
		}
	}
}

/* One broken byte costs one record at most, and is told; the file may also
 * end anywhere. */
static void
test_every_byte_broken(void **state)
{
	static struct found whole, got;
	size_t full;

	(void)state;
	begin();
	for (uint64_t id = 1; id <= 12; id++)
		put(RECORD_BODY, id, (size_t)(id * 11 % 60));
	full = file.len;
	walk(&whole);
	for (size_t at = SEGMENT_HEADER_BYTES; at < full; at++) {
		unsigned next = 0;

		file.bytes[at] ^= 0x5a;
		walk(&got);
		file.bytes[at] ^= 0x5a;
		assert_int_equal(got.count, 11);
		assert_int_equal(got.damages, 1);
		for (uint64_t id = 1; id <= 12; id++)
			next += next < got.count && got.records[next].id == id;
		assert_int_equal(next, got.count);
	}
	for (size_t len = SEGMENT_HEADER_BYTES; len < full; len++) {
		static unsigned char buf[SCAN_BUFFER_BYTES];
		struct scan s;

		memset(&got, 0, sizeof(got));
		file.len = len;
		/* The scan was told of more than there is. */
		scan_init(&s, &file.disk, buf, 3, SEGMENT, full);
		assert_int_equal(scan_walk(&s, SEGMENT_HEADER_BYTES,
				     (uint32_t)full, on_record, on_damage,
				     &got),
		    OK);
		/* Padding that is missing reads as it was written. */
		for (unsigned i = 0; i < whole.count; i++) {
			bool there = whole.records[i].at + RECORD_HEADER_BYTES +
					 whole.records[i].bytes <=
				     len;

			assert_int_equal(i < got.count, there);
			if (there)
				assert_memory_equal(&got.records[i],
				    &whole.records[i], sizeof(got.records[i]));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_every_window),
		cmocka_unit_test(test_every_byte_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
