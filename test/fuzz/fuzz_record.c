/*
 * The decoders of the log: what is inside records, tables and headers.
 *
 * Input: u8 type, then the payload.  What decodes must stay inside the input;
 * what is encoded again from it must decode to the same.
 */
#include <stdlib.h>
#include <string.h>

#include "store/record.h"

#include "fuzz.h"

static void
inside(struct slice whole, struct slice s)
{
	if (s.len > 0 &&
	    (s.data < whole.data || s.data + s.len > whole.data + whole.len))
		abort();
}

static void
try_envelope(struct slice payload)
{
	struct rec_envelope e;
	struct store_extent x;
	struct rd rd;

	if (!rec_envelope_get(payload, &e))
		return;
	inside(payload, e.extents);
	inside(payload, e.rcpt_extents);
	inside(payload, e.envelope);
	inside(payload, e.rcpts);
	rd = rd_of(e.extents);
	for (uint32_t i = 0; i < e.extent_count; i++)
		if (extent_list_get(&rd, &x) &&
		    (x.length == 0 || x.offset < SEGMENT_HEADER_BYTES))
			abort();
}

static void
try_update(struct slice payload)
{
	static unsigned char buf[1 << 17];
	struct wr w = wr_of(buf, sizeof(buf));
	struct rd rd = rd_of(payload);
	struct store_result r, again;
	struct rec_update u;

	if (!rec_update_get(&rd, &u))
		return;
	for (uint32_t i = 0; i < u.result_count; i++) {
		if (!rec_result_get(&rd, &r))
			return;
		inside(payload, r.dsn);
		inside(payload, r.relay);
		inside(payload, r.text);
		w.len = 0;
		rec_result_put(&w, &r);
		struct rd back = rd_of(wr_done(&w));

		if (!rec_result_get(&back, &again) || !rd_done(&back) ||
		    again.index != r.index || !slice_eq(again.text, r.text))
			abort();
	}
}

static void
try_entries(struct slice payload)
{
	struct rd rd = rd_of(payload);
	struct log_entry e;

	while (rd.left > 0 && log_entry_get(&rd, 1, &e)) {
		unsigned char buf[TABLE_ENTRY_BYTES];
		struct wr w = wr_of(buf, sizeof(buf));

		log_entry_put(&w, &e);
		if (w.full || w.len != TABLE_ENTRY_BYTES)
			abort();
	}
}

static void
try_header(struct slice payload)
{
	unsigned char buf[SEGMENT_HEADER_BYTES] = { 0 };
	struct segment_header h;

	memcpy(buf, payload.data,
	    payload.len < sizeof(buf) ? payload.len : sizeof(buf));
	if (segment_header_get(buf, &h) == OK &&
	    h.segment_bytes > SEGMENT_BYTES_MAX)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rec_checkpoint c;
	struct rec_end end;
	struct log_entry entry;
	struct record r = { 0 };
	struct slice payload;

	if (size < 2)
		return 0;
	payload = slice_of(data + 1, size - 1);
	r.type = data[0];
	(void)log_entry_of(&r, payload, (struct store_pos){ 1, 4096, 64 },
	    &entry);
	try_envelope(payload);
	try_update(payload);
	try_entries(payload);
	try_header(payload);
	(void)rec_checkpoint_get(payload, &c);
	(void)rec_end_get(payload, &end);
	/* As raw bytes of a segment: nearly never right, never a crash. */
	if (record_verify(payload, 1, &r, &payload) &&
	    payload.len > RECORD_BYTES_MAX)
		abort();
	return 0;
}
