#include "multilog/pattern.h"

bool
pattern_match(struct slice pattern, struct slice text)
{
	size_t at = 0;

	for (size_t i = 0; i < pattern.len; i++) {
		char c = pattern.data[i];

		if (c == '*') {
			if (i + 1 == pattern.len)
				return true;
			/* There is one way only: the first such character
			 * ends the star.  A second star is one, too. */
			at += slice_find(slice_sub(text, at, text.len),
			    pattern.data[i + 1]);
			if (at == text.len)
				return false;
			continue;
		}
		if (at >= text.len || text.data[at] != c)
			return false;
		at++;
	}
	return at == text.len;
}
