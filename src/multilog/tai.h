/*
 * tai: TAI64N labels as text: 24 hexadecimal digits, as tai64n and multilog
 * write them.  The clock counts as 10 seconds behind TAI, as theirs does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { TAI_LABEL_BYTES = 24, TAI_STAMP_BYTES = TAI_LABEL_BYTES + 2 };

/* "@LABEL " of now_ns, nanoseconds since 1970 UTC; not terminated. */
void tai_stamp(int64_t now_ns, char out[static TAI_STAMP_BYTES]);

/* Seconds since 1970 and nanoseconds of a label.  False if it is none, or of
 * an instant that has no int64_t. */
bool tai_parse(const char label[static TAI_LABEL_BYTES], int64_t *seconds_out,
    uint32_t *ns_out);
