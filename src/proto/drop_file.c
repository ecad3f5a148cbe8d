/*
 * drop_file: encoding of dropped messages.
 */
#include "proto/drop_file.h"

static const char magic[] = "WEIRDRP1";
static const char end_magic[] = "WEIRDRPE";

enum { MAGIC_BYTES = 8 };

_Static_assert(sizeof(magic) == MAGIC_BYTES + 1 &&
		   sizeof(end_magic) == MAGIC_BYTES + 1,
    "both have eight bytes");

void
drop_file_put(struct wr *w, const struct drop_file *d)
{
	wr_raw(w, slice_of(magic, MAGIC_BYTES));
	wr_u8(w, d->ret);
	wr_str(w, d->sender, ADDRESS_BYTES_MAX);
	wr_str(w, d->envid, ENVID_BYTES_MAX);
	wr_u32(w, d->rcpt_count);
}

void
drop_file_rcpt_put(struct wr *w, uint8_t notify, struct slice address)
{
	wr_u8(w, notify);
	wr_str(w, address, ADDRESS_BYTES_MAX);
}

void
drop_file_trailer_put(struct wr *w, uint64_t message_bytes)
{
	wr_u64(w, message_bytes);
	wr_raw(w, slice_of(end_magic, MAGIC_BYTES));
}

bool
drop_file_get(struct rd *r, struct drop_file *d)
{
	if (!slice_eq(rd_raw(r, MAGIC_BYTES), slice_of(magic, MAGIC_BYTES)))
		return false;
	d->ret = rd_u8(r);
	d->sender = rd_str(r, ADDRESS_BYTES_MAX);
	d->envid = rd_str(r, ENVID_BYTES_MAX);
	d->rcpt_count = rd_u32(r);
	return !r->bad && d->ret <= RET_HDRS && d->rcpt_count > 0 &&
	       d->rcpt_count <= DROP_FILE_RCPTS_MAX;
}

bool
drop_file_rcpt_get(struct rd *r, uint8_t *notify_out, struct slice *address_out)
{
	uint8_t all =
	    NOTIFY_NEVER | NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY;

	*notify_out = rd_u8(r);
	*address_out = rd_str(r, ADDRESS_BYTES_MAX);
	if ((*notify_out & ~all) != 0 ||
	    ((*notify_out & NOTIFY_NEVER) && *notify_out != NOTIFY_NEVER))
		return false;
	return !r->bad && address_out->len > 0;
}

bool
drop_file_trailer_get(struct rd *r, uint64_t *message_bytes_out)
{
	*message_bytes_out = rd_u64(r);
	return slice_eq(rd_raw(r, MAGIC_BYTES),
		   slice_of(end_magic, MAGIC_BYTES)) &&
	       rd_done(r);
}
