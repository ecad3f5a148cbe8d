#include "alias/out.h"

#include <string.h>

void
out_init(struct out *o, char *data, size_t size)
{
	*o = (struct out){ .data = data, .size = size };
}

void
out_put(struct out *o, struct slice s)
{
	if (s.len > o->size - o->len) {
		o->full = true;
		return;
	}
	if (s.len > 0)
		memcpy(o->data + o->len, s.data, s.len);
	o->len += s.len;
}

void
out_char(struct out *o, char c)
{
	out_put(o, slice_of(&c, 1));
}

struct slice
out_text(const struct out *o)
{
	return slice_of(o->data, o->len);
}
