/*
 * Lists of targets, fed whole and in pieces: the same targets and mistakes,
 * each within its bound and with what its kind promises.
 */
#include <stdlib.h>
#include <string.h>

#include "alias/target.h"

#include "fuzz.h"

/* A digest of everything that was found. */
static uint64_t
add(uint64_t sum, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ p[i]) * 0x100000001b3;
	return sum;
}

static void
check(const struct alias_target *t)
{
	struct slice s = t->text;

	if (s.len == 0 || s.len > ALIAS_TARGET_BYTES_MAX || t->line == 0 ||
	    memchr(s.data, '\0', s.len) != NULL)
		abort();
	if ((t->kind == ALIAS_MBOX || t->kind == ALIAS_MAILDIR ||
		t->kind == ALIAS_INCLUDE) &&
	    s.data[0] != '/')
		abort();
	if (t->kind == ALIAS_MAILDIR && s.data[s.len - 1] != '/')
		abort();
}

static uint64_t
run(const uint8_t *data, size_t size, enum alias_source source, size_t step)
{
	static struct alias_scan s;
	struct alias_target t;
	struct errtext et;
	uint64_t sum = 1;
	size_t at = 0;
	enum err e;

	alias_scan_init(&s, source);
	do {
		size_t n = size - at < step ? size - at : step;
		struct slice in = slice_of(data + at, n);

		at += n;
		while ((e = alias_scan_next(&s, &in, at == size, &t, &et)) !=
			   ERR_AGAIN &&
		       e != ERR_NOTFOUND) {
			if (e == ERR_CONFIG) {
				sum = add(sum, et.text, strlen(et.text));
				continue;
			}
			if (e != OK)
				abort();
			check(&t);
			sum = add(sum, &t.kind, sizeof(t.kind));
			sum = add(sum, t.text.data, t.text.len);
		}
		if (in.len != 0)
			abort();
	} while (e == ERR_AGAIN);
	return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int i = 0; i < 2; i++) {
		enum alias_source source =
		    i == 0 ? ALIAS_SOURCE_VALUE : ALIAS_SOURCE_FILE;
		uint64_t whole = run(data, size, source, size + 1);

		if (run(data, size, source, 1) != whole ||
		    run(data, size, source, 7) != whole)
			abort();
	}
	return 0;
}
