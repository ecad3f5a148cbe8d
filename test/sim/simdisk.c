/*
 * simdisk: see simdisk.h.
 */
#include "simdisk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct page {
	unsigned refs;
	unsigned char data[SIM_PAGE_BYTES];
};

/* Pages: NULL is zeros.  dirty: written since the last sync, so that a crash
 * may keep it; a page that differs and is not dirty was lost by a failed
 * sync. */
struct sim_file {
	unsigned refs; /* entries, ops, descriptors */
	bool locked;
	uint64_t size, safe_size;
	size_t page_count;
	struct page **now;
	struct page **safe;
	bool *dirty;
};

static uint64_t
next_random(struct simdisk *d)
{
	uint64_t z = d->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t
simdisk_random(struct simdisk *d, uint64_t n)
{
	return next_random(d) % n;
}

static struct simdisk *
sim_of(struct disk *d)
{
	return (struct simdisk *)(void *)((char *)d -
					  offsetof(struct simdisk, disk));
}

/* ---- pages and files ---- */

static void
page_drop(struct page *p)
{
	if (p != NULL && --p->refs == 0)
		free(p);
}

static struct page *
page_ref(struct page *p)
{
	if (p != NULL)
		p->refs++;
	return p;
}

static struct page *
page_new(const struct page *from)
{
	struct page *p =
	    from == NULL ? calloc(1, sizeof(*p)) : malloc(sizeof(*p));

	if (p == NULL)
		abort();
	if (from != NULL)
		memcpy(p->data, from->data, SIM_PAGE_BYTES);
	p->refs = 1;
	return p;
}

static void
file_drop(struct sim_file *f)
{
	if (f == NULL || --f->refs > 0)
		return;
	for (size_t i = 0; i < f->page_count; i++) {
		page_drop(f->now[i]);
		page_drop(f->safe[i]);
	}
	free(f->now);
	free(f->safe);
	free(f->dirty);
	free(f);
}

static void
file_grow(struct sim_file *f, uint64_t size)
{
	size_t n = (size_t)((size + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES);
	size_t old = f->page_count;

	if (size > f->size)
		f->size = size;
	if (n <= old)
		return;
	if (n < 256)
		n = 256;
	f->now = realloc(f->now, n * sizeof(*f->now));
	f->safe = realloc(f->safe, n * sizeof(*f->safe));
	f->dirty = realloc(f->dirty, n * sizeof(*f->dirty));
	if (f->now == NULL || f->safe == NULL || f->dirty == NULL)
		abort();
	for (size_t i = old; i < n; i++) {
		f->now[i] = f->safe[i] = NULL;
		f->dirty[i] = false;
	}
	f->page_count = n;
}

static bool
all_zero(const unsigned char *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

static void
page_write(struct sim_file *f, size_t i, size_t at, const unsigned char *from,
    size_t len)
{
	struct page *p = f->now[i];

	f->dirty[i] = true;
	if (p == NULL && all_zero(from, len))
		return;
	if (p == NULL || p->refs > 1) {
		struct page *mine = page_new(p);

		page_drop(p);
		f->now[i] = p = mine;
	}
	memcpy(p->data + at, from, len);
}

static void
file_write(struct sim_file *f, const unsigned char *from, size_t len,
    uint64_t offset)
{
	file_grow(f, offset + len);
	while (len > 0) {
		size_t i = (size_t)(offset / SIM_PAGE_BYTES);
		size_t at = (size_t)(offset % SIM_PAGE_BYTES);
		size_t n =
		    SIM_PAGE_BYTES - at < len ? SIM_PAGE_BYTES - at : len;

		page_write(f, i, at, from, n);
		from += n;
		offset += n;
		len -= n;
	}
}

static void
make_safe(struct sim_file *f, size_t i)
{
	page_drop(f->safe[i]);
	f->safe[i] = page_ref(f->now[i]);
}

/* ---- names ---- */

static struct sim_entry *
find(struct sim_entry *list, unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(list[i].name, name))
			return &list[i];
	return NULL;
}

static void
set_name(struct sim_entry *list, unsigned *count, const char *name,
    struct sim_file *f)
{
	struct sim_entry *e = find(list, *count, name);

	f->refs++;
	if (e == NULL) {
		if (*count == SIM_FILES_MAX)
			abort();
		e = &list[(*count)++];
		snprintf(e->name, sizeof(e->name), "%s", name);
	} else {
		file_drop(e->file);
	}
	e->file = f;
}

static void
unset_name(struct sim_entry *list, unsigned *count, const char *name)
{
	struct sim_entry *e = find(list, *count, name);

	if (e == NULL)
		return;
	file_drop(e->file);
	*e = list[--*count];
}

static void
apply(struct sim_entry *list, unsigned *count, const struct sim_op *op)
{
	if (op->from[0] != '\0')
		unset_name(list, count, op->from);
	if (op->to[0] != '\0')
		set_name(list, count, op->to, op->file);
}

/* Make the first n pending changes safe. */
static void
settle_names(struct simdisk *d, unsigned n)
{
	for (unsigned i = 0; i < d->op_count; i++) {
		if (i < n)
			apply(d->safe, &d->safe_count, &d->ops[i]);
		file_drop(d->ops[i].file);
	}
	d->op_count = 0;
}

static void
change(struct simdisk *d, const char *from, const char *to, struct sim_file *f)
{
	struct sim_op *op;

	if (d->op_count == SIM_OPS_MAX)
		settle_names(d, d->op_count); /* the journal wrote by itself */
	op = &d->ops[d->op_count++];
	snprintf(op->from, sizeof(op->from), "%s", from);
	snprintf(op->to, sizeof(op->to), "%s", to);
	op->file = f;
	f->refs++;
	apply(d->now, &d->now_count, op);
}

/* ---- the table ---- */

/* Every call passes here: is the disk dead, does this one fail? */
static bool
fails(struct simdisk *d, uint32_t one_in)
{
	d->call_count++;
	if (!d->dead && d->calls_left > 0 && --d->calls_left == 0)
		d->dead = true;
	if (d->dead || (one_in > 0 && simdisk_random(d, one_in) == 0)) {
		errno = EIO;
		return true;
	}
	return false;
}

static int
sim_open(struct disk *disk, const char *path, unsigned flags)
{
	struct simdisk *d = sim_of(disk);
	struct sim_entry *e;
	struct sim_file *f;

	if (fails(d, d->fail_one_in))
		return -1;
	e = find(d->now, d->now_count, path);
	if (e != NULL && flags & DISK_EXCLUSIVE) {
		errno = EEXIST;
		return -1;
	}
	if (e == NULL && !(flags & DISK_CREATE)) {
		errno = ENOENT;
		return -1;
	}
	if (e == NULL) {
		f = calloc(1, sizeof(*f));
		if (f == NULL)
			abort();
		change(d, "", path, f);
	} else {
		f = e->file;
	}
	for (int i = 0; i < SIM_FDS_MAX; i++)
		if (d->fds[i] == NULL) {
			d->fds[i] = f;
			d->fd_read_only[i] = flags & DISK_READ;
			f->refs++;
			return i;
		}
	errno = EMFILE;
	return -1;
}

static void
sim_close(struct disk *disk, int fd)
{
	struct simdisk *d = sim_of(disk);

	if (d->fds[fd] == NULL)
		abort();
	d->fds[fd]->locked = false;
	file_drop(d->fds[fd]);
	d->fds[fd] = NULL;
}

static ssize_t
sim_pread(struct disk *disk, int fd, void *buf, size_t len, uint64_t offset)
{
	struct simdisk *d = sim_of(disk);
	struct sim_file *f = d->fds[fd];
	unsigned char *to = buf;
	size_t left;

	if (fails(d, 0))
		return -1;
	if (offset >= f->size)
		return 0;
	if (len > f->size - offset)
		len = (size_t)(f->size - offset);
	for (left = len; left > 0;) {
		size_t i = (size_t)(offset / SIM_PAGE_BYTES);
		size_t at = (size_t)(offset % SIM_PAGE_BYTES);
		size_t n =
		    SIM_PAGE_BYTES - at < left ? SIM_PAGE_BYTES - at : left;

		if (f->now[i] == NULL)
			memset(to, 0, n);
		else
			memcpy(to, f->now[i]->data + at, n);
		to += n;
		offset += n;
		left -= n;
	}
	return (ssize_t)len;
}

uint64_t
simdisk_used(const struct simdisk *d)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < d->now_count; i++)
		n += d->now[i].file->size;
	return n;
}

static ssize_t
sim_pwritev(struct disk *disk, int fd, const struct iovec *iov, int iov_count,
    uint64_t offset)
{
	struct simdisk *d = sim_of(disk);
	struct sim_file *f = d->fds[fd];
	ssize_t total = 0;

	if (d->fd_read_only[fd])
		abort();
	if (fails(d, d->fail_one_in)) {
		/* Some of it may have been written. */
		if (simdisk_random(d, 2) && iov_count > 0 &&
		    offset + iov[0].iov_len <= f->size)
			file_write(f, iov[0].iov_base,
			    (size_t)simdisk_random(d, iov[0].iov_len + 1),
			    offset);
		return -1;
	}
	for (int i = 0; i < iov_count; i++) {
		size_t len = iov[i].iov_len;
		uint64_t end = offset + len;

		if (end > f->size &&
		    simdisk_used(d) + (end - f->size) > d->capacity_bytes) {
			errno = ENOSPC;
			return total > 0 ? total : -1;
		}
		/* A short write now and then. */
		if (len > 1 && simdisk_random(d, 16) == 0) {
			len = 1 + (size_t)simdisk_random(d, len - 1);
			file_write(f, iov[i].iov_base, len, offset);
			return total + (ssize_t)len;
		}
		file_write(f, iov[i].iov_base, len, offset);
		offset += len;
		total += (ssize_t)len;
	}
	return total;
}

static int
sim_datasync(struct disk *disk, int fd)
{
	struct simdisk *d = sim_of(disk);
	struct sim_file *f = d->fds[fd];
	bool bad = fails(d, d->sync_fail_one_in);

	if (d->dead)
		return -1;
	d->sync_count++;
	for (size_t i = 0; i < f->page_count; i++) {
		if (!f->dirty[i])
			continue;
		f->dirty[i] = false;
		/* After a failure the pages are clean, and some are lost. */
		if (!bad || simdisk_random(d, 2))
			make_safe(f, i);
	}
	if (!bad)
		f->safe_size = f->size;
	return bad ? -1 : 0;
}

static int
sim_dirsync(struct disk *disk, const char *path)
{
	struct simdisk *d = sim_of(disk);

	(void)path; /* one journal for all directories */
	if (fails(d, d->sync_fail_one_in))
		return -1;
	settle_names(d, d->op_count);
	return 0;
}

static int
sim_rename(struct disk *disk, const char *from, const char *to)
{
	struct simdisk *d = sim_of(disk);
	struct sim_entry *e;

	if (fails(d, d->fail_one_in))
		return -1;
	e = find(d->now, d->now_count, from);
	if (e == NULL) {
		errno = ENOENT;
		return -1;
	}
	change(d, from, to, e->file);
	return 0;
}

static int
sim_unlink(struct disk *disk, const char *path)
{
	struct simdisk *d = sim_of(disk);
	struct sim_entry *e;

	if (fails(d, d->fail_one_in))
		return -1;
	e = find(d->now, d->now_count, path);
	if (e == NULL) {
		errno = ENOENT;
		return -1;
	}
	change(d, path, "", e->file);
	return 0;
}

static int
sim_mkdir(struct disk *disk, const char *path)
{
	(void)path;
	return fails(sim_of(disk), 0) ? -1 : 0;
}

static int
sim_size(struct disk *disk, int fd, uint64_t *size_out)
{
	struct simdisk *d = sim_of(disk);

	if (fails(d, 0))
		return -1;
	*size_out = d->fds[fd]->size;
	return 0;
}

static int
sim_list(struct disk *disk, const char *path,
    bool (*fn)(void *arg, const char *name), void *arg)
{
	struct simdisk *d = sim_of(disk);
	size_t len = strlen(path);
	char names[SIM_FILES_MAX][64];
	unsigned count = 0;

	if (fails(d, 0))
		return -1;
	for (unsigned i = 0; i < d->now_count; i++)
		if (!strncmp(d->now[i].name, path, len) &&
		    d->now[i].name[len] == '/')
			memcpy(names[count++], d->now[i].name + len + 1,
			    64 - len - 1);
	for (unsigned i = 0; i < count && fn(arg, names[i]); i++)
		continue;
	return 0;
}

static int
sim_space(struct disk *disk, struct disk_space *out)
{
	struct simdisk *d = sim_of(disk);
	uint64_t used = simdisk_used(d);

	out->free_bytes =
	    used < d->capacity_bytes ? d->capacity_bytes - used : 0;
	out->free_inodes = UINT64_MAX;
	return 0;
}

static int
sim_lock(struct disk *disk, int fd)
{
	struct simdisk *d = sim_of(disk);

	if (fails(d, 0))
		return -1;
	if (d->fds[fd]->locked) {
		errno = EAGAIN;
		return -1;
	}
	d->fds[fd]->locked = true;
	return 0;
}

static const struct disk_ops sim_ops = {
	.open = sim_open,
	.close = sim_close,
	.pread = sim_pread,
	.pwritev = sim_pwritev,
	.datasync = sim_datasync,
	.dirsync = sim_dirsync,
	.rename = sim_rename,
	.unlink = sim_unlink,
	.mkdir = sim_mkdir,
	.size = sim_size,
	.list = sim_list,
	.space = sim_space,
	.lock = sim_lock,
};

/* ---- life ---- */

void
simdisk_init(struct simdisk *d, uint64_t seed)
{
	memset(d, 0, sizeof(*d));
	d->disk.ops = &sim_ops;
	d->random = seed;
	d->capacity_bytes = UINT64_MAX;
}

static void
close_all(struct simdisk *d)
{
	for (int i = 0; i < SIM_FDS_MAX; i++)
		if (d->fds[i] != NULL)
			sim_close(&d->disk, i);
}

void
simdisk_fini(struct simdisk *d)
{
	close_all(d);
	settle_names(d, 0);
	for (unsigned i = 0; i < d->now_count; i++)
		file_drop(d->now[i].file);
	for (unsigned i = 0; i < d->safe_count; i++)
		file_drop(d->safe[i].file);
	memset(d, 0, sizeof(*d));
}

/* What the power failure leaves of a page that was not synced: luck 0
 * nothing, 1 all, 2 each sector by chance. */
static void
tear_page(struct simdisk *d, struct sim_file *f, size_t i, unsigned luck)
{
	struct page *old = f->safe[i], *p;

	if (luck == 0 || f->now[i] == NULL)
		return;
	if (luck == 1) {
		make_safe(f, i);
		return;
	}
	p = page_new(old);
	for (size_t at = 0; at < SIM_PAGE_BYTES; at += SIM_SECTOR_BYTES)
		if (simdisk_random(d, 2))
			memcpy(p->data + at, f->now[i]->data + at,
			    SIM_SECTOR_BYTES);
	page_drop(old);
	f->safe[i] = p;
}

static void
crash_file(struct simdisk *d, struct sim_file *f)
{
	unsigned luck = (unsigned)simdisk_random(d, 3);

	for (size_t i = 0; i < f->page_count; i++) {
		if (f->dirty[i])
			tear_page(d, f, i,
			    luck == 2 ? (unsigned)simdisk_random(d, 3) : luck);
		f->dirty[i] = false;
		page_drop(f->now[i]);
		f->now[i] = page_ref(f->safe[i]);
	}
	if (luck > 0 && simdisk_random(d, 2))
		f->safe_size = f->size;
	f->size = f->safe_size;
}

void
simdisk_crash(struct simdisk *d)
{
	close_all(d);
	settle_names(d, (unsigned)simdisk_random(d, d->op_count + 1));
	for (unsigned i = 0; i < d->now_count; i++)
		file_drop(d->now[i].file);
	d->now_count = 0;
	for (unsigned i = 0; i < d->safe_count; i++) {
		set_name(d->now, &d->now_count, d->safe[i].name,
		    d->safe[i].file);
		crash_file(d, d->safe[i].file);
	}
	d->dead = false;
	d->calls_left = 0;
}

bool
simdisk_poke(struct simdisk *d, const char *path, uint64_t offset,
    const void *bytes, size_t len)
{
	struct sim_entry *e = find(d->now, d->now_count, path);

	if (e == NULL || offset + len > e->file->size)
		return false;
	file_write(e->file, bytes, len, offset);
	for (size_t i = 0; i < e->file->page_count; i++) {
		if (e->file->dirty[i])
			make_safe(e->file, i);
		e->file->dirty[i] = false;
	}
	return true;
}
