/*
 * .qmail files, whole and in pieces; names made of extensions; lines of
 * users/assign, which mean the same after a way through the cdb.
 */
#include <stdlib.h>
#include <string.h>

#include "alias/assign.h"
#include "alias/qmail_file.h"
#include "alias/qmail_name.h"

#include "fuzz.h"

static uint64_t
add(uint64_t sum, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ p[i]) * 0x100000001b3;
	return sum;
}

static uint64_t
run_file(const uint8_t *data, size_t size, size_t step)
{
	static struct qmail_scan s;
	struct qmail_line l;
	struct errtext et;
	uint64_t sum = 1;
	size_t at = 0;
	enum err e;

	qmail_scan_init(&s, size % 3 == 0);
	do {
		size_t n = size - at < step ? size - at : step;
		struct slice in = slice_of(data + at, n);

		at += n;
		while (
		    (e = qmail_scan_next(&s, &in, at == size, &l, &et)) == OK) {
			if (l.text.len > QMAIL_LINE_BYTES_MAX ||
			    (l.text.len == 0 && l.action != QMAIL_COMMAND) ||
			    (s.forward_only && l.action != QMAIL_FORWARD))
				abort();
			sum = add(sum, &l.action, sizeof(l.action));
			sum = add(sum, l.text.data, l.text.len);
		}
		if (e == ERR_CONFIG)
			return add(sum, et.text, strlen(et.text));
	} while (e == ERR_AGAIN);
	if (e != ERR_NOTFOUND)
		abort();
	return sum;
}

static void
run_names(struct slice ext)
{
	static struct qmail_names n;
	struct slice deflt;
	const char *name;
	size_t count = 0;

	if (qmail_names_begin(&n, SLICE_LIT("-"), ext) != OK)
		return;
	while ((name = qmail_names_next(&n, &deflt)) != NULL) {
		if (strncmp(name, ".qmail-", 7) != 0 ||
		    strchr(name, '/') != NULL || strchr(name + 1, '.') != NULL)
			abort();
		if (++count > ext.len + 2)
			abort();
	}
}

static void
run_assign(struct slice line)
{
	char key[ASSIGN_KEY_BYTES_MAX], value[ASSIGN_VALUE_BYTES_MAX];
	struct assign_search s;
	struct assign_user u;
	struct assign_line l;
	struct slice asked;
	size_t key_len, value_len, rest;
	bool found = false;

	if (assign_parse_value(line, &u, NULL) == OK && u.uid == 0)
		abort();
	if (assign_parse_line(line, &l, NULL) != OK)
		return;
	key_len = assign_key(&l, key);
	value_len = assign_value(&l, value);
	if (key_len == 0 || value_len == 0)
		return;
	if (assign_parse_value(slice_of(value, value_len), &u, NULL) != OK ||
	    u.uid != l.to.uid || u.gid != l.to.gid ||
	    !slice_eq(u.user, l.to.user) || !slice_eq(u.home, l.to.home) ||
	    !slice_eq(u.dash, l.to.dash) || !slice_eq(u.ext, l.to.ext))
		abort();
	if (assign_search_begin(&s, l.local) != OK)
		abort();
	if (l.wild && l.local.len > 0)
		assign_search_chars(&s, slice_of(key + key_len - 1, 1));
	while (assign_search_next(&s, &asked, &rest))
		found |= slice_eq(asked, slice_of(key, key_len));
	if (!found)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t whole = run_file(data, size, size + 1);
	struct slice text = slice_of(data, size);

	if (run_file(data, size, 1) != whole ||
	    run_file(data, size, 5) != whole)
		abort();
	run_names(text);
	run_assign(text);
	return 0;
}
