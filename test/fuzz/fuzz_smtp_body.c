/*
 * smtp_body: any stored octets, cut anywhere, become lines that end with CRLF
 * and hold exactly one CRLF.CRLF, at their end.
 */
#include <string.h>

#include "base/assert.h"
#include "fuzz.h"
#include "proto/smtp_body.h"

enum { BODY_MAX = 4096 };

static size_t
encode(struct slice in, size_t cut, char *to)
{
	struct slice out[SMTP_BODY_OUT_MIN], end;
	struct smtp_body b;
	size_t used = 0, len = 0;
	unsigned count;

	smtp_body_init(&b);
	while (used < in.len) {
		used += smtp_body_encode(&b,
		    slice_sub(in, used, used < cut ? cut : in.len), out,
		    SMTP_BODY_OUT_MIN, &count);
		for (unsigned i = 0; i < count; i++) {
			memcpy(to + len, out[i].data, out[i].len);
			len += out[i].len;
		}
	}
	end = smtp_body_end(&b);
	memcpy(to + len, end.data, end.len);
	return len + end.len;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Each octet may grow to a dot, itself and CRLF. */
	static char whole[4 * BODY_MAX + 16], split[4 * BODY_MAX + 16];
	size_t len, ends = 0;

	if (size == 0 || size > BODY_MAX)
		return 0;
	memcpy(whole, "\r\n", 2);
	len = 2 + encode(slice_of(data + 1, size - 1), 0, whole + 2);
	ASSERT(encode(slice_of(data + 1, size - 1), data[0] % size, split) ==
	       len - 2);
	ASSERT(memcmp(whole + 2, split, len - 2) == 0);
	for (size_t i = 0; i < len; i++) {
		ASSERT(whole[i] != '\r' || whole[i + 1] == '\n');
		ASSERT(whole[i] != '\n' || (i > 0 && whole[i - 1] == '\r'));
		if (i + 5 <= len && memcmp(whole + i, "\r\n.\r\n", 5) == 0)
			ends++;
	}
	ASSERT(ends == 1);
	return 0;
}
