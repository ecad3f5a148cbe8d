#include "weir/rows.h"

#include <stdio.h>
#include <string.h>

/* Foreign text of a fixed field, terminated and printable. */
static void
copy_text(char *to, size_t size, const char *from, size_t from_size)
{
	struct slice s = slice_of(from, strnlen(from, from_size));
	size_t n = slice_escape(&s, to, size - 1);

	to[n] = '\0';
}

uint32_t
page_row_count(const struct limits_page *page)
{
	uint32_t n =
	    atomic_load_explicit(&page->row_count, memory_order_acquire);

	return n < LIMITS_ROWS_MAX ? n : LIMITS_ROWS_MAX;
}

static int64_t
get(_Atomic int64_t *figure)
{
	return atomic_load_explicit(figure, memory_order_relaxed);
}

struct row
page_row(struct limits_page *page, uint32_t n)
{
	struct limit_row *from = &page->rows[n];
	struct row r = {
		.index = page->index,
		.pid = atomic_load(&page->pid),
		.kind = from->kind,
		.object_bytes = from->object_bytes,
		.limit = get(&from->limit),
		.in_use = get(&from->in_use),
		.high_water = get(&from->high_water),
		.refused = get(&from->refused),
		.waited = get(&from->waited),
	};

	copy_text(r.role_name, sizeof(r.role_name), page->role,
	    sizeof(page->role));
	copy_text(r.name, sizeof(r.name), from->name, sizeof(from->name));
	copy_text(r.parameter, sizeof(r.parameter), from->parameter,
	    sizeof(from->parameter));
	snprintf(r.role, sizeof(r.role), r.index > 0 ? "%s/%u" : "%s",
	    r.role_name, r.index);
	return r;
}

bool
row_is_bytes(const struct row *r)
{
	return r->kind == LIMIT_ACCOUNT ||
	       ((r->kind == LIMIT_QUOTA || r->kind == LIMIT_GAUGE) &&
		   r->object_bytes == 1);
}

bool
page_memory(struct limits_page *page, struct row *out)
{
	uint32_t n = page_row_count(page);

	for (uint32_t i = 0; i < n; i++) {
		*out = page_row(page, i);
		if (out->kind == LIMIT_ACCOUNT)
			return true;
	}
	return false;
}

int64_t
pages_memory(const struct pages *p, bool high_water)
{
	int64_t sum = 0;
	struct row r;

	for (size_t i = 0; i < p->count; i++)
		if (page_memory(p->page[i], &r))
			sum += high_water ? r.high_water : r.in_use;
	return sum;
}

void
row_json(struct json *j, const struct row *r)
{
	json_string(j, "role", slice_str(r->role_name));
	json_number(j, "index", r->index);
	json_number(j, "pid", r->pid);
	json_string(j, "name", slice_str(r->name));
	json_string(j, "kind",
	    slice_str(limit_kind_name((enum limit_kind)r->kind)));
	json_number(j, "object_bytes", r->object_bytes);
	json_number(j, "limit", r->limit);
	json_number(j, "in_use", r->in_use);
	json_number(j, "high_water", r->high_water);
	json_number(j, "refused", r->refused);
	json_number(j, "waited", r->waited);
	json_string(j, "parameter", slice_str(r->parameter));
}
