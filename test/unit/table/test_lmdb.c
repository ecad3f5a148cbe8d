/*
 * LMDB files written by the library and read by our reader: everything is
 * found; whatever is damaged is told or not noticed, but never followed.
 */
#include "../check.h"

#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "table/impl.h"

static struct acct test_acct;
static char dir[64], path[96];

static int
setup(void **state)
{
	(void)state;
	acct_init(&test_acct, NULL, "test", 1 << 20, false, "");
	strcpy(dir, "/tmp/weir-lmdb-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/t.lmdb", dir);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(path);
	assert_int_equal(test_acct.used_bytes, 0);
	return rmdir(dir);
}

/* Key i is "key<i>"; its value "value<i>" repeated to size bytes. */
static size_t
make_value(unsigned i, size_t size, char *out)
{
	char one[32];
	int n = snprintf(one, sizeof(one), "value%u ", i);

	for (size_t at = 0; at < size; at++)
		out[at] = one[at % (size_t)n];
	return size;
}

static char value[100000], found[100000];

static void
put(MDB_txn *txn, MDB_dbi dbi, unsigned i, size_t size)
{
	char key[32];
	MDB_val k, v;

	k.mv_size = (size_t)snprintf(key, sizeof(key), "key%u", i);
	k.mv_data = key;
	v.mv_size = make_value(i, size, value);
	v.mv_data = value;
	assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
}

static MDB_env *
open_env(void)
{
	MDB_env *env;

	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_mapsize(env, 64 << 20), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 2), 0);
	assert_int_equal(mdb_env_open(env, path,
			     MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600),
	    0);
	return env;
}

static void
make_file(unsigned count, size_t size, unsigned flags)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	(void)unlink(path);
	env = open_env();
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, NULL, flags, &dbi), 0);
	for (unsigned i = 0; i < count; i++)
		put(txn, dbi, i, size);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static enum err
find(int fd, unsigned i, size_t value_max, size_t *len, struct errtext *et)
{
	struct lmdb db;
	char key[32];
	int n = snprintf(key, sizeof(key), "key%u", i);
	enum err e = lmdb_begin(&db, &test_acct, fd, et);

	if (e == OK)
		e = lmdb_find(&db, slice_of(key, (size_t)n), found, value_max,
		    len, et);
	lmdb_end(&db);
	return e;
}

static void
test_finds_what_the_library_wrote(void **state)
{
	static const struct {
		const char *why;
		unsigned count;
		size_t size;
	} rows[] = {
		{ "no entry at all", 0, 0 },
		{ "one leaf", 1, 10 },
		{ "an empty value", 3, 0 },
		{ "a tree of two levels", 1000, 20 },
		{ "a tree of three levels", 60000, 30 },
		{ "the largest value within a page", 100, 2000 },
		{ "overflow pages", 50, 5000 },
		{ "the longest value of aliases", 5, 65536 },
	};

	(void)state;
	for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
		unsigned count = rows[r].count;
		size_t len;
		int fd;

		print_message("%s\n", rows[r].why);
		make_file(count, rows[r].size, 0);
		fd = open(path, O_RDONLY);
		for (unsigned i = 0; i < count; i++) {
			(void)make_value(i, rows[r].size, value);
			assert_int_equal(find(fd, i, 65536, &len, NULL), OK);
			assert_int_equal(len, rows[r].size);
			assert_memory_equal(found, value, len);
		}
		for (unsigned i = count; i < count + 100; i++)
			assert_int_equal(find(fd, i, 65536, &len, NULL),
			    ERR_NOTFOUND);
		(void)close(fd);
	}
}

/* limit - 1, limit, limit + 1 */
static void
test_value_bound(void **state)
{
	size_t len;
	int fd;

	(void)state;
	make_file(1, 5000, 0);
	fd = open(path, O_RDONLY);
	assert_int_equal(find(fd, 0, 4999, &len, NULL), ERR_TOOBIG);
	assert_int_equal(find(fd, 0, 5000, &len, NULL), OK);
	assert_int_equal(find(fd, 0, 5001, &len, NULL), OK);
	(void)close(fd);
}

static void
test_other_kinds_are_refused(void **state)
{
	struct errtext et;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	size_t len;
	int fd;

	(void)state;
	make_file(3, 10, MDB_DUPSORT);
	fd = open(path, O_RDONLY);
	assert_int_equal(find(fd, 0, 100, &len, &et), ERR_CORRUPT);
	(void)close(fd);
	/* A named database: its root stands where a value should. */
	(void)unlink(path);
	env = open_env();
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "key0", MDB_CREATE, &dbi), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	fd = open(path, O_RDONLY);
	assert_int_equal(find(fd, 0, 100, &len, &et), ERR_CORRUPT);
	assert_non_null(strstr(et.text, "not a plain table"));
	(void)close(fd);
	fd = open("/etc/passwd", O_RDONLY);
	assert_int_equal(find(fd, 0, 100, &len, &et), ERR_CORRUPT);
	(void)close(fd);
}

/* A writer in place between our reads: the old answer or the new one. */
static void
test_written_in_place(void **state)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	size_t len;
	int fd;

	(void)state;
	make_file(1000, 20, 0);
	fd = open(path, O_RDONLY);
	env = open_env();
	for (unsigned round = 0; round < 50; round++) {
		assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
		assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
		for (unsigned i = 0; i < 1000; i += 7)
			put(txn, dbi, i, 20 + round);
		assert_int_equal(mdb_txn_commit(txn), 0);
		for (unsigned i = 0; i < 1000; i += 97) {
			size_t want = i % 7 == 0 ? 20 + round : 20;

			assert_int_equal(find(fd, i, 100, &len, NULL), OK);
			assert_int_equal(len, want);
		}
	}
	mdb_env_close(env);
	(void)close(fd);
}

/* Whatever stands in the file, an answer comes, and it is one of these. */
static void
answer_any(int fd, unsigned i)
{
	struct errtext et;
	size_t len = 0;
	enum err e = find(fd, i, 3000, &len, &et);

	assert_true(e == OK || e == ERR_NOTFOUND || e == ERR_CORRUPT ||
		    e == ERR_TOOBIG);
	assert_true(e != OK || len <= 3000);
}

static void
test_damage(void **state)
{
	struct stat st;
	uint32_t seed = 12345;
	int fd;

	(void)state;
	make_file(300, 300, 0);
	fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	for (unsigned round = 0; round < 20000; round++) {
		unsigned char old, new;
		off_t at;

		seed = seed * 1103515245 + 12345;
		/* Metas, headers and offsets more often than the rest. */
		at = (off_t)(seed >> 8) % st.st_size;
		if (round % 2 == 0)
			at = at / 4096 * 4096 + at % 200;
		new = (unsigned char)(seed >> 3);
		assert_int_equal(pread(fd, &old, 1, at), 1);
		assert_int_equal(pwrite(fd, &new, 1, at), 1);
		answer_any(fd, round % 300);
		assert_int_equal(pwrite(fd, &old, 1, at), 1);
	}
	/* Cut short at every page, and within the metas. */
	for (off_t size = st.st_size; size >= 0;
	     size -= size > 8192 ? 4096 : 64) {
		assert_int_equal(ftruncate(fd, size), 0);
		answer_any(fd, 299);
	}
	(void)close(fd);
}

/* A page that names itself as its child ends the search. */
static void
test_loop(void **state)
{
	char page[4096];
	struct errtext et;
	size_t len;
	bool seen = false;
	uint64_t number;
	int fd;

	(void)state;
	make_file(1000, 20, 0);
	fd = open(path, O_RDWR);
	for (number = 2; pread(fd, page, sizeof(page),
			     (off_t)(number * 4096)) == sizeof(page);
	     number++) {
		uint16_t flags, lower;

		memcpy(&flags, page + 10, 2);
		if (flags != 1)
			continue;
		memcpy(&lower, page + 12, 2);
		for (unsigned i = 16; i < lower; i += 2) {
			uint16_t at, child = (uint16_t)number;

			memcpy(&at, page + i, 2);
			memcpy(page + at, &child, 2);
		}
		assert_int_equal(
		    pwrite(fd, page, sizeof(page), (off_t)(number * 4096)),
		    sizeof(page));
		seen = true;
	}
	assert_true(seen);
	assert_int_equal(find(fd, 1, 100, &len, &et), ERR_CORRUPT);
	assert_non_null(strstr(et.text, "too deep"));
	(void)close(fd);
}

static void
test_no_memory(void **state)
{
	size_t len;
	int fd;

	(void)state;
	make_file(1, 10, 0);
	fd = open(path, O_RDONLY);
	mem_fail_after(1);
	assert_int_equal(find(fd, 0, 100, &len, NULL), ERR_NOMEM);
	mem_fail_after(0);
	(void)close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds_what_the_library_wrote),
		cmocka_unit_test(test_value_bound),
		cmocka_unit_test(test_other_kinds_are_refused),
		cmocka_unit_test(test_written_in_place),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
