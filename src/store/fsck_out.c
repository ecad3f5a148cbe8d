#include "store/fsck_out.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

_Static_assert(FSCK_ENTRY_BYTES_MAX < FSCK_OUT_BYTES, "an entry fits");

void
fsck_out_begin(struct fsck_out *o)
{
	o->len = 0;
	o->printed = o->left_out = false;
}

void
fsck_out_put(struct fsck_out *o, const char *entry, size_t len, bool is_last)
{
	ASSERT(len <= sizeof(o->data));
	if (len > sizeof(o->data) - o->len) {
		if (!is_last) {
			o->left_out = true;
			return;
		}
		(void)fsck_out_end(o);
		o->printed = true;
	}
	memcpy(o->data + o->len, entry, len);
	o->len += len;
}

bool
fsck_out_end(struct fsck_out *o)
{
	(void)fwrite(o->data, 1, o->len, stdout);
	o->len = 0;
	return fflush(stdout) == 0 && !ferror(stdout);
}
