/*
 * simfile: see simfile.h.
 */
#include "simfile.h"

#include <stdlib.h>
#include <string.h>

static void
page_drop(struct sim_page *p)
{
	if (p != NULL && --p->refs == 0)
		free(p);
}

static struct sim_page *
page_ref(struct sim_page *p)
{
	if (p != NULL)
		p->refs++;
	return p;
}

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static bool
all_zero(const unsigned char *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* ---- life ---- */

struct sim_file *
simfile_new(void)
{
	return must(calloc(1, sizeof(struct sim_file)));
}

static void
drop_writes(struct sim_file *f)
{
	for (size_t i = 0; i < f->write_count; i++)
		if (f->writes[i].bytes != NULL &&
		    --f->writes[i].bytes->refs == 0)
			free(f->writes[i].bytes);
	f->write_count = 0;
}

void
simfile_drop(struct sim_file *f)
{
	if (f == NULL || --f->refs > 0)
		return;
	for (size_t i = 0; i < f->page_count; i++) {
		page_drop(f->now[i]);
		page_drop(f->safe[i]);
	}
	drop_writes(f);
	free(f->writes);
	free(f->now);
	free(f->safe);
	free(f->flags);
	free(f);
}

static void
grow_pages(struct sim_file *f, uint64_t size)
{
	size_t n = (size_t)((size + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES);
	size_t old = f->page_count;

	if (n <= old)
		return;
	f->now = must(realloc(f->now, n * sizeof(struct sim_page *)));
	f->safe = must(realloc(f->safe, n * sizeof(struct sim_page *)));
	f->flags = must(realloc(f->flags, n));
	for (size_t i = old; i < n; i++) {
		f->now[i] = f->safe[i] = NULL;
		f->flags[i] = 0;
	}
	f->page_count = n;
}

struct sim_file *
simfile_copy(const struct sim_file *f)
{
	struct sim_file *n = simfile_new();

	grow_pages(n, f->page_count * SIM_PAGE_BYTES);
	n->size = f->size;
	n->safe_size = f->safe_size;
	for (size_t i = 0; i < f->page_count; i++) {
		n->now[i] = page_ref(f->now[i]);
		n->safe[i] = page_ref(f->safe[i]);
		n->flags[i] = f->flags[i];
	}
	n->write_count = n->write_size = f->write_count;
	if (n->write_count == 0)
		return n;
	n->writes = must(malloc(n->write_size * sizeof(struct sim_write)));
	for (size_t i = 0; i < n->write_count; i++) {
		n->writes[i] = f->writes[i];
		if (n->writes[i].bytes != NULL)
			n->writes[i].bytes->refs++;
	}
	return n;
}

/* ---- writing ---- */

/* from NULL: zeros. */
static void
page_write(struct sim_page **at, size_t offset, const unsigned char *from,
    size_t len)
{
	struct sim_page *p = *at;

	if (p == NULL && (from == NULL || all_zero(from, len)))
		return;
	if (from == NULL && len == SIM_PAGE_BYTES) {
		page_drop(p);
		*at = NULL;
		return;
	}
	if (p == NULL || p->refs > 1) {
		struct sim_page *mine = must(p == NULL || len == SIM_PAGE_BYTES
						 ? calloc(1, sizeof(*mine))
						 : malloc(sizeof(*mine)));

		if (p != NULL && len < SIM_PAGE_BYTES)
			memcpy(mine->data, p->data, SIM_PAGE_BYTES);
		mine->refs = 1;
		page_drop(p);
		*at = p = mine;
	}
	if (from == NULL)
		memset(p->data + offset, 0, len);
	else
		memcpy(p->data + offset, from, len);
}

static void
pages_write(struct sim_page **pages, const unsigned char *from, size_t len,
    uint64_t offset)
{
	while (len > 0) {
		size_t i = (size_t)(offset / SIM_PAGE_BYTES);
		size_t at = (size_t)(offset % SIM_PAGE_BYTES);
		size_t n =
		    SIM_PAGE_BYTES - at < len ? SIM_PAGE_BYTES - at : len;

		page_write(&pages[i], at, from, n);
		from = from == NULL ? NULL : from + n;
		offset += n;
		len -= n;
	}
}

void
simfile_write(struct sim_file *f, const void *from, size_t len, uint64_t offset)
{
	struct sim_write *w;

	if (len == 0)
		return;
	grow_pages(f, offset + len);
	if (offset + len > f->size)
		f->size = offset + len;
	if (f->write_count == f->write_size) {
		f->write_size = f->write_size == 0 ? 8 : f->write_size * 2;
		f->writes = must(realloc(f->writes,
		    f->write_size * sizeof(struct sim_write)));
	}
	w = &f->writes[f->write_count++];
	*w = (struct sim_write){ offset, len, NULL };
	if (!all_zero(from, len)) {
		w->bytes = must(malloc(sizeof(*w->bytes) + len));
		w->bytes->refs = 1;
		memcpy(w->bytes->data, from, len);
	}
	pages_write(f->now, w->bytes == NULL ? NULL : w->bytes->data, len,
	    offset);
	for (size_t i = (size_t)(offset / SIM_PAGE_BYTES);
	     i <= (offset + len - 1) / SIM_PAGE_BYTES; i++)
		f->flags[i] = SIM_PAGE_DIRTY;
}

bool
simfile_read(const struct sim_file *f, void *to, size_t len, uint64_t offset)
{
	unsigned char *at = to;

	while (len > 0) {
		size_t i = (size_t)(offset / SIM_PAGE_BYTES);
		size_t from = (size_t)(offset % SIM_PAGE_BYTES);
		size_t n =
		    SIM_PAGE_BYTES - from < len ? SIM_PAGE_BYTES - from : len;

		if (f->flags[i] & SIM_PAGE_BAD)
			return false;
		if (f->now[i] == NULL)
			memset(at, 0, n);
		else
			memcpy(at, f->now[i]->data + from, n);
		at += n;
		offset += n;
		len -= n;
	}
	return true;
}

bool
simfile_spoil(struct sim_file *f, uint64_t offset)
{
	if (offset >= f->size)
		return false;
	f->flags[offset / SIM_PAGE_BYTES] |= SIM_PAGE_BAD;
	return true;
}

void
simfile_mend(struct sim_file *f)
{
	for (size_t i = 0; i < f->page_count; i++)
		f->flags[i] &= (unsigned char)~SIM_PAGE_BAD;
}

/* ---- what lasts ---- */

void
simfile_sync(struct sim_file *f, struct simdisk *chance)
{
	for (size_t i = 0; i < f->page_count; i++) {
		if (!(f->flags[i] & SIM_PAGE_DIRTY))
			continue;
		f->flags[i] &= (unsigned char)~SIM_PAGE_DIRTY;
		if (chance != NULL && simdisk_random(chance, 2))
			continue;
		page_drop(f->safe[i]);
		f->safe[i] = page_ref(f->now[i]);
	}
	if (chance == NULL)
		f->safe_size = f->size;
	drop_writes(f);
}

/* Some part of a write reached the disk. */
static void
apply_torn(struct sim_file *f, const struct sim_write *w, struct simdisk *c)
{
	size_t from = 0, to = w->len, first;

	switch (simdisk_random(c, 4)) {
	case 0: to = (size_t)simdisk_random(c, w->len + 1); break;
	case 1: from = (size_t)simdisk_random(c, w->len + 1); break;
	case 2: /* the first sectors */
		first =
		    (size_t)(SIM_SECTOR_BYTES - w->offset % SIM_SECTOR_BYTES);
		to = first +
		     SIM_SECTOR_BYTES * (size_t)simdisk_random(c,
					    w->len / SIM_SECTOR_BYTES + 1);
		to = to > w->len ? w->len : to;
		break;
	default: /* each sector by chance */
		for (from = 0; from < w->len; from = to) {
			to = from +
			     (size_t)(SIM_SECTOR_BYTES -
				      (w->offset + from) % SIM_SECTOR_BYTES);
			to = to > w->len ? w->len : to;
			if (simdisk_random(c, 2))
				pages_write(f->safe,
				    w->bytes == NULL ? NULL
						     : w->bytes->data + from,
				    to - from, w->offset + from);
		}
		return;
	}
	pages_write(f->safe, w->bytes == NULL ? NULL : w->bytes->data + from,
	    to - from, w->offset + from);
}

static void
apply_some(struct sim_file *f, struct simdisk *c, bool reorder)
{
	for (size_t i = f->write_count; reorder && i > 1; i--) {
		size_t k = (size_t)simdisk_random(c, i);
		struct sim_write w = f->writes[i - 1];

		f->writes[i - 1] = f->writes[k];
		f->writes[k] = w;
	}
	for (size_t i = 0; i < f->write_count; i++) {
		const struct sim_write *w = &f->writes[i];

		switch (simdisk_random(c, 5)) {
		case 0:
		case 1: break;
		case 2:
		case 3:
			pages_write(f->safe,
			    w->bytes == NULL ? NULL : w->bytes->data, w->len,
			    w->offset);
			break;
		default: apply_torn(f, w, c); break;
		}
	}
}

static void
cut(struct sim_file *f)
{
	for (size_t i = 0; i < f->page_count; i++) {
		uint64_t at = i * (uint64_t)SIM_PAGE_BYTES;
		size_t keep;

		if (at + SIM_PAGE_BYTES <= f->size)
			continue;
		keep = at >= f->size ? 0 : (size_t)(f->size - at);
		page_write(&f->safe[i], keep, NULL, SIM_PAGE_BYTES - keep);
	}
}

void
simfile_crash(struct sim_file *f, struct simdisk *c)
{
	unsigned luck = (unsigned)simdisk_random(c, 4);

	if (luck == 1)
		simfile_sync(f, NULL);
	else if (luck > 1)
		apply_some(f, c, luck == 3);
	drop_writes(f);
	/* The size is of the inode, and has its own luck. */
	if (luck > 0 && simdisk_random(c, 2))
		f->safe_size = f->size;
	f->size = f->safe_size;
	cut(f);
	for (size_t i = 0; i < f->page_count; i++) {
		f->flags[i] &= (unsigned char)~SIM_PAGE_DIRTY;
		if (f->now[i] == f->safe[i])
			continue;
		page_drop(f->now[i]);
		f->now[i] = page_ref(f->safe[i]);
	}
	f->locked = false;
}
