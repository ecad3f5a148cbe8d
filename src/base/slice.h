/*
 * slice: borrowed bytes with a length.  Never owns, never terminated.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const char *data; /* may be NULL when len is 0 */
	size_t len;	  /* bytes */
};

/* For printf: "%.*s", SLICE_ARGS(s). */
#define SLICE_ARGS(s)  ((int)(s).len), ((s).data ? (s).data : "")
#define SLICE_LIT(lit) ((struct slice){ (lit), sizeof(lit) - 1 })
#define SLICE_NONE     ((struct slice){ NULL, 0 })

static inline struct slice
slice_of(const void *data, size_t len)
{
	return (struct slice){ data, len };
}

static inline struct slice
slice_str(const char *s)
{
	return (struct slice){ s, s ? strlen(s) : 0 };
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || !memcmp(a.data, b.data, a.len));
}

/* ASCII case is ignored, locale never consulted. */
bool slice_eq_nocase(struct slice a, struct slice b);
bool slice_starts_nocase(struct slice s, struct slice prefix);
bool slice_ends_nocase(struct slice s, struct slice suffix);

/* Index of the first / last byte c, or s.len when there is none. */
size_t slice_find(struct slice s, char c);
size_t slice_rfind(struct slice s, char c);

/* Without leading and trailing spaces and tabs. */
struct slice slice_trim(struct slice s);

/* Part of s; from and to are clamped to s.len. */
struct slice slice_sub(struct slice s, size_t from, size_t to);

/*
 * slice_word(s, separators, word_out):
 * Take the next run of bytes outside separators from *s.  False at the end.
 */
bool slice_word(struct slice *s, const char *separators,
    struct slice *word_out);

/* Strict decimal, digits only, at most max; false on anything else. */
bool slice_to_u64(struct slice s, uint64_t max, uint64_t *out);

/*
 * slice_copy(s, buf, size):
 * Copy into buf and terminate.  False, with buf empty, if s with its
 * terminator does not fit into size bytes or holds a NUL.
 */
bool slice_copy(struct slice s, char *buf, size_t size);

/*
 * Foreign text for people and for JSON.  Both take characters from the front
 * of *s, write at most size bytes, no terminator, and return how many they
 * wrote.  What did not fit stays in *s; an escape is never cut.
 *
 * slice_escape(s, buf, size):
 * Control and non-ASCII bytes become \xNN; at most 4 bytes for one.
 *
 * slice_json(s, buf, size):
 * What goes between the quotes of a JSON string, in ASCII: quote and
 * backslash escaped, control characters and UTF-8 as \uNNNN, bytes that are
 * not UTF-8 as the text \xNN.  At most 6 bytes for one; a size of 12 or more
 * always gets on.
 */
size_t slice_escape(struct slice *s, char *buf, size_t size);
size_t slice_json(struct slice *s, char *buf, size_t size);
