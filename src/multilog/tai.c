#include "multilog/tai.h"

#include <string.h>

/* 1970-01-01 00:00:10 TAI, the beginning of the system's clock. */
#define EPOCH UINT64_C(0x400000000000000a)

static const char digits[] = "0123456789abcdef";

static void
put_hex(uint64_t v, unsigned count, char *out)
{
	for (unsigned i = count; i-- > 0; v >>= 4)
		out[i] = digits[v & 15];
}

void
tai_stamp(int64_t now_ns, char out[static TAI_STAMP_BYTES])
{
	int64_t ns = now_ns % 1000000000;
	int64_t seconds = now_ns / 1000000000;

	if (ns < 0) {
		ns += 1000000000;
		seconds--;
	}
	out[0] = '@';
	put_hex(EPOCH + (uint64_t)seconds, 16, out + 1);
	put_hex((uint64_t)ns, 8, out + 17);
	out[25] = ' ';
}

static bool
get_hex(const char *text, unsigned count, uint64_t *out)
{
	*out = 0;
	for (unsigned i = 0; i < count; i++) {
		const char *d =
		    text[i] == '\0' ? NULL : strchr(digits, text[i]);

		if (d == NULL)
			return false;
		*out = *out << 4 | (uint64_t)(d - digits);
	}
	return true;
}

bool
tai_parse(const char label[static TAI_LABEL_BYTES], int64_t *seconds_out,
    uint32_t *ns_out)
{
	uint64_t seconds, ns;

	/* The upper half of the numbers is reserved. */
	if (!get_hex(label, 16, &seconds) || !get_hex(label + 16, 8, &ns) ||
	    ns > 999999999 || seconds >= UINT64_C(1) << 63)
		return false;
	*seconds_out = (int64_t)(seconds - EPOCH);
	*ns_out = (uint32_t)ns;
	return true;
}
