/*
 * fuzz: what every target defines.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* One input.  Returns 0; a defect is an abort or a sanitizer's report. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
