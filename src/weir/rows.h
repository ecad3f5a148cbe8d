/*
 * rows: limits pages read safely.  A page is written while it is read, and
 * by a process that is not trusted: every row is copied and terminated first.
 */
#pragma once

#include "base/limits.h"
#include "weir/json.h"
#include "weir/pages.h"

struct row {
	char role[40]; /* "smtpd/1", "queue" */
	char role_name[16];
	uint32_t index;
	uint32_t pid;
	char name[LIMITS_NAME_BYTES];
	char parameter[LIMITS_NAME_BYTES];
	uint32_t kind;
	uint32_t object_bytes;
	int64_t limit, in_use, high_water, refused, waited;
};

/* Rows that are complete, never more than a page holds; and a copy of one. */
uint32_t page_row_count(const struct limits_page *page);
struct row page_row(struct limits_page *page, uint32_t n);

/* Are its figures bytes?  A quota or gauge of objects of one byte is. */
bool row_is_bytes(const struct row *r);

/* The account of a whole role is the first in its page; false: none. */
bool page_memory(struct limits_page *page, struct row *out);
/* Sum of page_memory over all pages: in use, or the high-water marks. */
int64_t pages_memory(const struct pages *p, bool high_water);

/* The members of a JSON object. */
void row_json(struct json *j, const struct row *r);
