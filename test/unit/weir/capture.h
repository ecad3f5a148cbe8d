/*
 * capture: what a command prints on standard output.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *capture_saved;
static char *capture_text;
static size_t capture_len;

static inline void
capture_begin(void)
{
	capture_saved = stdout;
	stdout = open_memstream(&capture_text, &capture_len);
	assert_non_null(stdout);
}

/* The text; the caller frees it. */
static inline char *
capture_end(void)
{
	fclose(stdout);
	stdout = capture_saved;
	return capture_text;
}

static inline void
capture_expect(const char *want)
{
	char *got = capture_end();

	assert_string_equal(got, want);
	free(got);
}
