/*
 * A file that may be an LMDB table: whatever it holds, a lookup ends, with a
 * value inside its bound or an error.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "table/impl.h"

#include "fuzz.h"

enum { VALUE_BYTES_MAX = 300 };

static struct acct fuzz_acct;

static void
look(struct lmdb *db, struct slice key)
{
	char value[VALUE_BYTES_MAX];
	size_t len = 0;
	enum err e = lmdb_find(db, key, value, sizeof(value), &len, NULL);

	if (e == OK && len > sizeof(value))
		abort();
	if (e == ERR_AGAIN)
		abort(); /* nobody writes */
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct lmdb db;

	if (fd < 0) {
		acct_init(&fuzz_acct, NULL, "fuzz", 1 << 20, false, "");
		fd = memfd_create("lmdb", MFD_CLOEXEC);
	}
	if (fd < 0 || ftruncate(fd, 0) != 0 ||
	    pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	if (lmdb_begin(&db, &fuzz_acct, fd, NULL) == OK) {
		look(&db, SLICE_LIT("a"));
		look(&db, SLICE_LIT("key77"));
		look(&db, SLICE_LIT("zz"));
		look(&db, slice_of(data, size < 8 ? size : 8));
	}
	lmdb_end(&db);
	if (fuzz_acct.used_bytes != 0)
		abort();
	return 0;
}
