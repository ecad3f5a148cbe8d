/*
 * What weir-fsck keeps, prints and leaves out.
 */
#include "../check.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/fsck_out.h"

static struct fsck_out out;
static char entry[FSCK_ENTRY_BYTES_MAX];
static int saved = -1;

/* Standard output goes into memory until end(), which tells its length. */
static void
begin(void)
{
	int fd = memfd_create("out", MFD_CLOEXEC);

	assert_int_equal(fflush(stdout), 0);
	saved = dup(STDOUT_FILENO);
	assert_true(fd >= 0 && saved >= 0);
	assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
	assert_int_equal(close(fd), 0);
}

static size_t
printed(void)
{
	struct stat st;

	assert_int_equal(fflush(stdout), 0);
	assert_int_equal(fstat(STDOUT_FILENO, &st), 0);
	return (size_t)st.st_size;
}

static size_t
end(void)
{
	size_t n;

	(void)fsck_out_end(&out);
	n = printed();
	assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
	assert_int_equal(close(saved), 0);
	return n;
}

enum { FIT = FSCK_OUT_BYTES / FSCK_ENTRY_BYTES_MAX };

/* Below, at and above what there is room for. */
static void
test_kept(void **state)
{
	(void)state;
	for (size_t count = FIT - 1; count <= FIT + 1; count++) {
		for (int last = 0; last < 2; last++) {
			bool over = count > FIT;
			size_t told, early;

			begin();
			fsck_out_begin(&out);
			for (size_t i = 0; i < count; i++)
				fsck_out_put(&out, entry, sizeof(entry), last);
			early = printed();
			told = end();
			/* Of a pass that may be repeated nothing is printed. */
			assert_int_equal(early > 0, last && over);
			assert_int_equal(out.printed, last && over);
			assert_int_equal(out.left_out, !last && over);
			assert_int_equal(told,
			    sizeof(entry) * (!last && over ? FIT : count));
		}
	}
}

/* A pass that is repeated leaves nothing behind, and the last one prints
 * everything, in its order. */
static void
test_again(void **state)
{
	char text[16], got[64] = "";
	size_t n = 0;

	(void)state;
	begin();
	fsck_out_begin(&out);
	for (size_t i = 0; i <= FIT; i++)
		fsck_out_put(&out, entry, sizeof(entry), false);
	fsck_out_begin(&out);
	assert_false(out.left_out);
	for (unsigned i = 0; i < 3; i++) {
		int len = snprintf(text, sizeof(text), "%u\n", i);

		fsck_out_put(&out, text, (size_t)len, true);
	}
	assert_true(fsck_out_end(&out));
	n = (size_t)pread(STDOUT_FILENO, got, sizeof(got) - 1, 0);
	assert_int_equal(end(), 6);
	assert_int_equal(n, 6);
	assert_string_equal(got, "0\n1\n2\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_again),
	};

	memset(entry, 'x', sizeof(entry));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
