#include "alias/command.h"

#include <string.h>

static const char PLAIN[] = "1234567890!@%-_=+:,./ \tabcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

bool
command_words(struct slice text,
    struct slice words[static COMMAND_WORD_COUNT_MAX], size_t *count_out)
{
	struct slice word;
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] == '\0' || strchr(PLAIN, text.data[i]) == NULL)
			return false;
	while (slice_word(&text, " \t", &word)) {
		if (count == COMMAND_WORD_COUNT_MAX)
			return false;
		words[count++] = word;
	}
	/* "NAME=value command" sets a variable, and "!" negates: a shell's. */
	if (count == 0 || slice_find(words[0], '=') < words[0].len ||
	    slice_eq(words[0], SLICE_LIT("!")))
		return false;
	*count_out = count;
	return true;
}
