/*
 * xtext: the encoding of DSN parameters, RFC 3461 4.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* Printable ASCII without blanks, "=" and lone "+"; every "+" is followed by
 * two upper-case hexadecimal digits.  The empty string is valid. */
bool xtext_valid(struct slice s);

/* Decode valid xtext into buf, not terminated.  False: not valid, or longer
 * than size bytes. */
bool xtext_decode(struct slice s, char *buf, size_t size, size_t *len_out);

/* Encode any bytes.  False: the result is longer than size bytes. */
bool xtext_encode(struct slice s, char *buf, size_t size, size_t *len_out);
