/* the limits page and gates */
#include "../check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/gate.h"
#include "base/limits.h"

static void
test_page(void **state)
{
	struct limits_page *mine, *theirs;
	struct limit_row *row;
	int fd, reader;

	(void)state;
	assert_int_equal(limits_page_create("smtpd", 3, &fd, &mine, NULL), OK);
	limits_use(mine);
	assert_ptr_equal(limits_current(), mine);
	row = limits_row(LIMIT_GATE, "sessions", "concurrency_incoming", 9, 40);

	assert_int_equal(limits_page_reader(fd, &reader, NULL), OK);
	assert_int_equal(limits_page_map(reader, false, &theirs, NULL), OK);
	assert_int_equal(limits_page_map(reader, true, &theirs, NULL), ERR_SYS);
	assert_string_equal(theirs->role, "smtpd");
	assert_int_equal(theirs->index, 3);
	assert_int_equal(theirs->row_count, 1);
	assert_string_equal(theirs->rows[0].name, "sessions");
	assert_string_equal(theirs->rows[0].parameter, "concurrency_incoming");

	limit_set_in_use(row, 7);
	limit_set_in_use(row, 5);
	limit_refused(row);
	limit_waited(row);
	limit_waited(row);
	limit_set_limit(row, 41);
	assert_int_equal(theirs->rows[0].in_use, 5);
	assert_int_equal(theirs->rows[0].high_water, 7);
	assert_int_equal(theirs->rows[0].refused, 1);
	assert_int_equal(theirs->rows[0].waited, 2);
	assert_int_equal(theirs->rows[0].limit, 41);
	/* Nobody may take the memory away from under its readers. */
	assert_int_equal(ftruncate(fd, 0), -1);
	limits_page_unmap(theirs);
	limits_page_unmap(mine);
	assert_ptr_not_equal(limits_current(), mine);
	close(fd);
	close(reader);
}

static void
test_page_refused(void **state)
{
	struct limits_page *page;
	struct errtext et;
	int fd;

	(void)state;
	fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(limits_page_map(fd, false, &page, &et), ERR_VERSION);
	assert_int_equal(ftruncate(fd, sizeof(*page)), 0);
	assert_int_equal(limits_page_map(fd, false, &page, &et), ERR_CORRUPT);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(limits_page_map(fd, false, &page, &et), ERR_VERSION);
	close(fd);
	assert_int_equal(limits_page_map(fd, false, &page, &et), ERR_SYS);
}

static void
test_rows_full(void **state)
{
	struct limits_page *page;
	struct limit_row *row = NULL;
	char name[100];
	int fd;

	(void)state;
	assert_int_equal(limits_page_create("x", 0, &fd, &page, NULL), OK);
	limits_use(page);
	for (int i = 0; i < LIMITS_ROWS_MAX - 1; i++) {
		snprintf(name, sizeof(name), "%d", i);
		row = limits_row(LIMIT_SIZE, name, "", 0, 1);
		assert_string_equal(row->name, name);
	}
	row = limits_row(LIMIT_SIZE, "one too many", "", 0, 1);
	assert_string_equal(row->name, "overflow");
	assert_ptr_equal(limits_row(LIMIT_SIZE, "two", "", 0, 1), row);
	assert_int_equal(page->row_count, LIMITS_ROWS_MAX);
	limits_page_unmap(page);
	close(fd);

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	row = limits_row(LIMIT_SIZE, name, name, SIZE_MAX, 1);
	assert_int_equal(strlen(row->name), LIMITS_NAME_BYTES - 1);
	assert_int_equal(row->object_bytes, UINT32_MAX);
	for (int k = 0; k < LIMIT_KIND_COUNT; k++)
		assert_true(strlen(limit_kind_name((enum limit_kind)k)) > 0);
	assert_string_equal(limit_kind_name((enum limit_kind)99), "unknown");
}

static void
test_gate(void **state)
{
	struct gate_slot s[5] = { { .held = false } };
	struct mono end = { 1000 };
	struct gate g;

	(void)state;
	gate_init(&g, "local", "concurrency_local", 3, 1);
	assert_true(gate_enter(&g, &s[0], false, end, false));
	assert_true(gate_enter(&g, &s[1], false, end, false));
	assert_false(gate_open(&g, false));
	assert_true(gate_open(&g, true));
	assert_false(gate_enter(&g, &s[2], false, end, true));
	assert_int_equal(g.row->waited, 1);
	assert_true(gate_enter(&g, &s[3], true, end, false));
	assert_false(gate_enter(&g, &s[4], true, end, false));
	assert_int_equal(g.row->refused, 1);
	assert_int_equal(g.row->in_use, 3);

	/* Lowered: nobody is thrown out, nobody comes in. */
	gate_set_limit(&g, 1, 0);
	assert_false(gate_open(&g, true));
	gate_leave(&g, &s[0]);
	gate_leave(&g, &s[0]); /* no-op */
	gate_leave(&g, &s[1]);
	assert_int_equal(g.in_use, 1);
	assert_false(gate_open(&g, false));
	gate_leave(&g, &s[3]);
	assert_true(gate_open(&g, false));

	gate_set_limit(&g, 0, 5); /* held closed */
	assert_false(gate_open(&g, false));
	assert_false(gate_open(&g, true));
	gate_set_limit(&g, 1, 1); /* the last slot is for everybody */
	assert_true(gate_open(&g, false));
}

static void
test_gate_recount(void **state)
{
	struct gate_slot s[2] = { { .held = false } };
	struct gate g;

	(void)state;
	gate_init(&g, "remote", "", 2, 0);
	assert_true(gate_enter(&g, &s[0], false, (struct mono){ 10 }, false));
	assert_true(gate_enter(&g, &s[1], false, (struct mono){ 20 }, false));
	assert_int_equal(gate_recount(&g, (struct mono){ 10 }), 0);
	assert_int_equal(gate_recount(&g, (struct mono){ 11 }), 1);
	assert_int_equal(gate_recount(&g, (struct mono){ 21 }), 2);
	gate_leave(&g, &s[0]);
	assert_int_equal(gate_recount(&g, (struct mono){ 21 }), 1);
	gate_leave(&g, &s[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_page),
		cmocka_unit_test(test_page_refused),
		cmocka_unit_test(test_rows_full),
		cmocka_unit_test(test_gate),
		cmocka_unit_test(test_gate_recount),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
