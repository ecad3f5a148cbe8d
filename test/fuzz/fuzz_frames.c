/*
 * The decoders of all frames, and of the records inside them.
 *
 * Input: u16 type, then the fields.  What decodes must stay inside the
 * input and, encoded again by hand of the table, have a length that the table
 * allows.
 */
#include <stdlib.h>

#include "base/wire.h"
#include "ipc/frames.h"
#include "ipc/job.h"

#include "fuzz.h"

static struct slice whole;
static volatile unsigned char sink;

/* Every byte of s must be readable and lie in the input. */
static void
touch(struct slice s)
{
	if (s.len == 0)
		return;
	if (s.data < whole.data || s.data + s.len > whole.data + whole.len)
		abort();
	sink ^= (unsigned char)(s.data[0] ^ s.data[s.len - 1]);
}

#define SEEN_INT(n) sink ^= (unsigned char)out.n;
#define SEEN_STR(n, max)       \
	touch(out.n);          \
	if (out.n.len > (max)) \
		abort();
#define FRAME(NAME, name, from, to, fd_max)                                \
	static void run_##name(const struct frame *f)                      \
	{                                                                  \
		struct fr_##name out;                                      \
		const struct frame_info *i = frame_info(f->type);          \
                                                                           \
		if (!get_##name(f, &out))                                  \
			return;                                            \
		if (f->fields.len < i->bytes_min ||                        \
		    f->fields.len > i->bytes_max)                          \
			abort();                                           \
		F_##NAME(SEEN_INT, SEEN_INT, SEEN_INT, SEEN_INT, SEEN_STR, \
		    SEEN_STR);                                             \
	}
#include "ipc/frames.def"
#undef FRAME

static void (*const runs[FRAME_TYPE_COUNT])(const struct frame *) = {
#define FRAME(NAME, name, from, to, fd_max) [FRAME_##NAME] = run_##name,
#include "ipc/frames.def"
#undef FRAME
};

static void
run_records(struct slice s)
{
	struct rd r = rd_of(s);
	struct extent e;
	struct job_rcpt j;
	struct job_result res;

	while (r.left > 0 && extent_get(&r, &e))
		if (e.length == 0)
			abort();
	r = rd_of(s);
	while (r.left > 0 && job_rcpt_get(&r, &j)) {
		touch(j.address);
		touch(j.orcpt);
		touch(j.original);
		touch(j.mailbox);
	}
	r = rd_of(s);
	while (r.left > 0 && job_result_get(&r, &res)) {
		if (res.status >= JOB_STATUS_COUNT)
			abort();
		touch(res.dsn);
		touch(res.relay);
		touch(res.text);
		touch(res.address);
		touch(res.orcpt);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r;
	struct frame f = { .fd = -1 };

	whole = slice_of(data, size);
	r = rd_of(whole);
	f.type = rd_u16(&r);
	if (r.bad)
		return 0;
	f.fields = slice_sub(whole, 2, size);
	if (frame_info(f.type) != NULL)
		runs[f.type](&f);
	run_records(f.fields);
	return 0;
}
