/*
 * text: the words of a report, and foreign text within them.
 *
 * Foreign text is what a stranger chose: addresses, replies of servers.  Of it
 * only printable ASCII goes into a report as it is, other bytes as \xNN, and
 * no line gets longer than RFC 5322 2.1.1 allows.  All write to w, which says
 * when it is full.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/wire.h"

/* Of a word without a blank; no honest address is as long. */
enum { TEXT_WORD_BYTES_MAX = 800 };

/* Without a byte above 0x7f? */
bool text_is_ascii(struct slice s);
/* Our own words, as they are. */
void text_put(struct wr *w, const char *text);
/* The same, formatted: less than 1,024 octets. */
void text_putf(struct wr *w, const char *fmt, ...) PRINTF(2, 3);
/* Foreign text of one word: folded only when it is longer than any honest
 * one. */
void text_put_word(struct wr *w, struct slice s);
/* Foreign text in a header field: folded at blanks when a line gets long, and
 * hard when there is none. */
void text_put_folded(struct wr *w, struct slice s);
/* Foreign text in the part for people: lines of a reply stay lines, each after
 * before; those longer than soft columns are folded at a blank. */
void text_put_lines(struct wr *w, struct slice s, const char *before,
    size_t soft);
/* "rfc822; a@b", or the ASCII form of an address with UTF-8 (RFC 6533). */
void text_put_address(struct wr *w, struct slice address);
