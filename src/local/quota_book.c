/*
 * quota_book: the text of a maildirsize.
 */
#include "local/quota_internal.h"

/* "10000000S,1000C"; anything else in it is for others. */
static void
parse_limits(struct quota_book *b)
{
	struct slice rest = b->line, word;
	uint64_t n;

	b->bytes_max = b->count_max = 0;
	while (slice_word(&rest, ", \t\r", &word)) {
		if (!slice_to_u64(slice_sub(word, 0, word.len - 1), INT64_MAX,
			&n))
			continue;
		if (word.data[word.len - 1] == 'S')
			b->bytes_max = n;
		else if (word.data[word.len - 1] == 'C')
			b->count_max = n;
	}
}

static bool
take_number(struct slice *s, int64_t *out)
{
	struct slice word;
	bool negative;
	uint64_t n;

	if (!slice_word(s, " \t\r", &word))
		return false;
	negative = word.data[0] == '-';
	if (!slice_to_u64(slice_sub(word, negative, word.len), INT64_MAX / 2,
		&n))
		return false;
	*out = negative ? -(int64_t)n : (int64_t)n;
	return true;
}

/* False: it is no entry, or the sum goes out of bounds. */
static bool
add_entry(struct quota_book *b, struct slice line)
{
	struct quota_usage u;

	if (!take_number(&line, &u.bytes) || !take_number(&line, &u.count) ||
	    slice_trim(line).len != 0)
		return false;
	b->entry_count++;
	return !__builtin_add_overflow(b->used.bytes, u.bytes,
		   &b->used.bytes) &&
	       !__builtin_add_overflow(b->used.count, u.count, &b->used.count);
}

void
quota_book_parse(struct quota_book *b, struct slice text, bool whole)
{
	size_t end = slice_find(text, '\n');

	b->line = slice_sub(text, 0, end);
	parse_limits(b);
	b->used = (struct quota_usage){ 0, 0 };
	b->entry_count = 0;
	b->sound = whole;
	text = slice_sub(text, end + 1, text.len);
	while (b->sound && text.len > 0) {
		end = slice_find(text, '\n');
		b->sound = add_entry(b, slice_sub(text, 0, end));
		text = slice_sub(text, end + 1, text.len);
	}
	if (b->used.bytes < 0 || b->used.count < 0 || b->entry_count == 0)
		b->sound = false;
}

bool
quota_book_has_room(const struct quota_book *b, uint64_t bytes)
{
	if (b->bytes_max != 0 &&
	    (bytes > b->bytes_max ||
		(uint64_t)b->used.bytes > b->bytes_max - bytes))
		return false;
	return b->count_max == 0 || (uint64_t)b->used.count < b->count_max;
}
