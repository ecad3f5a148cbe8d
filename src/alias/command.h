/*
 * alias/command: how the text of a command is run.
 *
 * mailbox_command and its kin are texts of the administrator in which
 * ${user}, ${extension} and so on are replaced (macro_expand with
 * MACRO_COMMAND: no character that means something to a shell is left in a
 * value).  A text without such characters needs no shell.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

enum { COMMAND_WORD_COUNT_MAX = 256 };

/*
 * command_words(text, words, count_out):
 * The words of a command that can be executed without a shell, borrowed; they
 * are separated by blanks and not terminated.  False: it has a character other
 * than those of Postfix's exec_command, no word, or too many: give it to
 * /bin/sh -c.
 */
bool command_words(struct slice text,
    struct slice words[static COMMAND_WORD_COUNT_MAX], size_t *count_out);
