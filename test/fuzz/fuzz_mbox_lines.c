/*
 * From_ lines in bodies: no line of what was quoted begins with "From ", it is
 * the same whatever the pieces are, and unquoted it is what it was.
 */
#include <stdlib.h>
#include <string.h>

#include "usercmd/int.h"

#include "fuzz.h"

enum { TEXT_BYTES_MAX = 65536 };

struct text {
	char data[TEXT_BYTES_MAX];
	size_t len;
};

static bool
put(void *arg, struct slice s)
{
	struct text *t = arg;

	if (s.len > sizeof(t->data) - t->len)
		abort(); /* inputs are bounded below */
	memcpy(t->data + t->len, s.data, s.len);
	t->len += s.len;
	return true;
}

static void
run(enum mbox_way way, struct slice in, size_t step, struct text *out)
{
	struct mbox_lines m;

	out->len = 0;
	mbox_lines_init(&m, way);
	for (size_t at = 0; at < in.len; at += step)
		if (!mbox_lines_feed(&m, slice_sub(in, at, at + step), put,
			out))
			abort();
	if (!mbox_lines_end(&m, put, out))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct text quoted, other;
	struct slice in = slice_of(data, size);

	/* Each line may grow by one byte. */
	if (size > TEXT_BYTES_MAX / 2)
		return 0;
	run(MBOX_QUOTE, in, size + 1, &quoted);
	run(MBOX_QUOTE, in, 1, &other);
	if (quoted.len != other.len ||
	    memcmp(quoted.data, other.data, quoted.len) != 0)
		abort();
	if ((quoted.len >= 5 && memcmp(quoted.data, "From ", 5) == 0) ||
	    memmem(quoted.data, quoted.len, "\nFrom ", 6) != NULL)
		abort();
	run(MBOX_UNQUOTE, slice_of(quoted.data, quoted.len), 3, &other);
	if (other.len != size || memcmp(other.data, data, size) != 0)
		abort();
	return 0;
}
