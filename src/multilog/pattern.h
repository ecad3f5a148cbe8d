/*
 * pattern: what multilog's + and - select lines by.
 */
#pragma once

#include "base/slice.h"

/*
 * pattern_match(pattern, text):
 * A star stands for any text without the character that follows it in the
 * pattern; at the end of the pattern for any text.  All else stands for itself.
 */
bool pattern_match(struct slice pattern, struct slice text);
