/*
 * simdisk: names, descriptors and faults; see simdisk.h.  Files: simfile.c.
 */
#include "simdisk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simfile.h"

uint64_t
simdisk_random(struct simdisk *d, uint64_t n)
{
	uint64_t z = d->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (z ^ z >> 31) % n;
}

static struct simdisk *
sim_of(struct disk *d)
{
	return (struct simdisk *)(void *)((char *)d -
					  offsetof(struct simdisk, disk));
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
		simfile_drop(e->file);
	}
	e->file = f;
}

static void
unset_name(struct sim_entry *list, unsigned *count, const char *name)
{
	struct sim_entry *e = find(list, *count, name);

	if (e == NULL)
		return;
	simfile_drop(e->file);
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

/* Did an earlier pending change that was dropped concern the same file or
 * one of the names?  Then this one cannot have happened. */
static bool
depends(const struct simdisk *d, unsigned i, uint32_t dropped)
{
	const struct sim_op *op = &d->ops[i];

	for (unsigned k = 0; k < i; k++) {
		const struct sim_op *o = &d->ops[k];

		if (!(dropped & 1u << k))
			continue;
		if (o->file == op->file ||
		    (op->to[0] != '\0' &&
			(!strcmp(op->to, o->from) || !strcmp(op->to, o->to))))
			return true;
	}
	return false;
}

/* Make the pending changes safe: all, or some. */
static void
settle_names(struct simdisk *d, bool all)
{
	unsigned luck = all ? 1 : (unsigned)simdisk_random(d, 3);
	uint32_t dropped = 0;

	for (unsigned i = 0; i < d->op_count; i++) {
		if (luck != 1 && (luck == 0 || simdisk_random(d, 2) ||
				     depends(d, i, dropped)))
			dropped |= 1u << i;
		else
			apply(d->safe, &d->safe_count, &d->ops[i]);
	}
	for (unsigned i = 0; i < d->op_count; i++)
		simfile_drop(d->ops[i].file);
	d->op_count = 0;
}

static void
change(struct simdisk *d, const char *from, const char *to, struct sim_file *f)
{
	struct sim_op *op;

	if (d->op_count == SIM_OPS_MAX)
		settle_names(d, true); /* the journal wrote by itself */
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
fails(struct simdisk *d, enum sim_kind kind)
{
	uint32_t one_in = kind == SIM_SYNC	      ? d->sync_fail_one_in
			  : (kind & SIM_CHANGES) != 0 ? d->fail_one_in
						      : 0;

	if (d->before != NULL && kind & SIM_CHANGES)
		d->before(d->before_arg);
	d->call_count++;
	if (d->trace != NULL && d->call_count < d->trace_count)
		d->trace[d->call_count] = (unsigned char)kind;
	errno = EIO;
	if (!d->dead && d->calls_left > 0 && --d->calls_left == 0)
		d->dead = true;
	if (d->dead)
		return true;
	if (d->fault.at != 0 && d->call_count >= d->fault.at &&
	    d->fault.kinds & kind && d->fault.count > 0) {
		d->fault.count--;
		errno = d->fault.error;
		return true;
	}
	return one_in > 0 && simdisk_random(d, one_in) == 0;
}

static int
take_fd(struct simdisk *d, struct sim_file *f, bool read_only)
{
	for (int i = 0; i < SIM_FDS_MAX; i++)
		if (d->fds[i] == NULL) {
			d->fds[i] = f;
			d->fd_read_only[i] = read_only;
			f->refs++;
			return i;
		}
	errno = EMFILE;
	return -1;
}

static int
sim_open(struct disk *disk, const char *path, unsigned flags)
{
	struct simdisk *d = sim_of(disk);
	struct sim_entry *e = find(d->now, d->now_count, path);
	struct sim_file *f;

	if (fails(d, e == NULL && flags & DISK_CREATE ? SIM_NAME : SIM_LOOK))
		return -1;
	if (e != NULL && flags & DISK_EXCLUSIVE) {
		errno = EEXIST;
		return -1;
	}
	if (e == NULL && !(flags & DISK_CREATE)) {
		errno = ENOENT;
		return -1;
	}
	if (e != NULL)
		return take_fd(d, e->file, flags & DISK_READ);
	f = simfile_new();
	change(d, "", path, f);
	return take_fd(d, f, false);
}

static void
sim_close(struct disk *disk, int fd)
{
	struct simdisk *d = sim_of(disk);

	if (d->fds[fd] == NULL)
		abort();
	d->fds[fd]->locked = false;
	simfile_drop(d->fds[fd]);
	d->fds[fd] = NULL;
}

static ssize_t
sim_pread(struct disk *disk, int fd, void *buf, size_t len, uint64_t offset)
{
	struct simdisk *d = sim_of(disk);
	struct sim_file *f = d->fds[fd];

	if (fails(d, SIM_READ))
		return -1;
	if (offset >= f->size)
		return 0;
	if (len > f->size - offset)
		len = (size_t)(f->size - offset);
	if (!simfile_read(f, buf, len, offset)) {
		errno = EIO;
		return -1;
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
	if (fails(d, SIM_WRITE)) {
		int error = errno;

		/* Some of it may have been written. */
		if (simdisk_random(d, 2) && iov_count > 0 && !d->dead &&
		    offset + iov[0].iov_len <= f->size)
			simfile_write(f, iov[0].iov_base,
			    (size_t)simdisk_random(d, iov[0].iov_len + 1),
			    offset);
		errno = error;
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
			simfile_write(f, iov[i].iov_base, len, offset);
			return total + (ssize_t)len;
		}
		simfile_write(f, iov[i].iov_base, len, offset);
		offset += len;
		total += (ssize_t)len;
	}
	return total;
}

/* Not every file system can. */
static int
sim_allocate(struct disk *disk, int fd, uint64_t offset, uint64_t len)
{
	static const unsigned char zeros[4096];
	struct simdisk *d = sim_of(disk);
	struct sim_file *f = d->fds[fd];
	uint64_t end = offset + len;

	if (fails(d, SIM_WRITE))
		return -1;
	if (simdisk_random(d, 4) == 0) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (end > f->size &&
	    simdisk_used(d) + (end - f->size) > d->capacity_bytes) {
		errno = ENOSPC;
		return -1;
	}
	for (; offset < end; offset += len) {
		len = end - offset;
		if (len > sizeof(zeros))
			len = sizeof(zeros);
		simfile_write(f, zeros, (size_t)len, offset);
	}
	return 0;
}

/* What was written may reach the disk at any time without it. */
static void
sim_writeout(struct disk *disk, int fd, uint64_t offset, size_t len)
{
	(void)disk;
	(void)fd;
	(void)offset;
	(void)len;
}

static int
sim_datasync(struct disk *disk, int fd)
{
	struct simdisk *d = sim_of(disk);
	bool bad = fails(d, SIM_SYNC);
	int error = errno;

	if (d->dead)
		return -1;
	/* After a failure the pages are clean, and some are lost. */
	simfile_sync(d->fds[fd], bad ? d : NULL);
	errno = error;
	return bad ? -1 : 0;
}

static int
sim_dirsync(struct disk *disk, const char *path)
{
	struct simdisk *d = sim_of(disk);

	(void)path; /* one journal for all directories */
	if (fails(d, SIM_SYNC))
		return -1;
	settle_names(d, true);
	return 0;
}

static int
rename_or_unlink(struct simdisk *d, const char *from, const char *to)
{
	struct sim_entry *e;

	if (fails(d, SIM_NAME))
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
sim_rename(struct disk *disk, const char *from, const char *to)
{
	return rename_or_unlink(sim_of(disk), from, to);
}

static int
sim_unlink(struct disk *disk, const char *path)
{
	return rename_or_unlink(sim_of(disk), path, "");
}

static int
sim_mkdir(struct disk *disk, const char *path)
{
	(void)path;
	return fails(sim_of(disk), SIM_NAME) ? -1 : 0;
}

static int
sim_size(struct disk *disk, int fd, uint64_t *size_out)
{
	struct simdisk *d = sim_of(disk);

	if (fails(d, SIM_LOOK))
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

	if (fails(d, SIM_LOOK))
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

	if (fails(d, SIM_LOOK))
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
	.allocate = sim_allocate,
	.writeout = sim_writeout,
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

static void
drop_names(struct sim_entry *list, unsigned *count)
{
	for (unsigned i = 0; i < *count; i++)
		simfile_drop(list[i].file);
	*count = 0;
}

void
simdisk_fini(struct simdisk *d)
{
	close_all(d);
	settle_names(d, true);
	drop_names(d->now, &d->now_count);
	drop_names(d->safe, &d->safe_count);
	memset(d, 0, sizeof(*d));
}

void
simdisk_crash(struct simdisk *d)
{
	close_all(d);
	settle_names(d, false);
	drop_names(d->now, &d->now_count);
	for (unsigned i = 0; i < d->safe_count; i++) {
		set_name(d->now, &d->now_count, d->safe[i].name,
		    d->safe[i].file);
		simfile_crash(d->safe[i].file, d);
	}
	d->dead = false;
	d->calls_left = 0;
}

static struct sim_file *
twin_of(struct sim_file *f)
{
	if (f->twin == NULL)
		f->twin = simfile_copy(f);
	f->twin->refs++;
	return f->twin;
}

static void
clone_names(struct sim_entry *to, const struct sim_entry *from, unsigned count)
{
	memcpy(to, from, count * sizeof(*from));
	for (unsigned i = 0; i < count; i++)
		to[i].file = twin_of(from[i].file);
}

static void
forget_twins(const struct simdisk *d)
{
	for (unsigned i = 0; i < d->now_count; i++)
		d->now[i].file->twin = NULL;
	for (unsigned i = 0; i < d->safe_count; i++)
		d->safe[i].file->twin = NULL;
	for (unsigned i = 0; i < d->op_count; i++)
		d->ops[i].file->twin = NULL;
}

void
simdisk_clone(struct simdisk *to, const struct simdisk *from, uint64_t seed)
{
	simdisk_init(to, seed);
	to->capacity_bytes = from->capacity_bytes;
	clone_names(to->now, from->now, from->now_count);
	clone_names(to->safe, from->safe, from->safe_count);
	memcpy(to->ops, from->ops, from->op_count * sizeof(*from->ops));
	for (unsigned i = 0; i < from->op_count; i++)
		to->ops[i].file = twin_of(from->ops[i].file);
	to->now_count = from->now_count;
	to->safe_count = from->safe_count;
	to->op_count = from->op_count;
	forget_twins(from);
}

bool
simdisk_poke(struct simdisk *d, const char *path, uint64_t offset,
    const void *bytes, size_t len)
{
	struct sim_entry *e = find(d->now, d->now_count, path);

	if (e == NULL || offset + len > e->file->size)
		return false;
	simfile_write(e->file, bytes, len, offset);
	simfile_sync(e->file, NULL);
	return true;
}

bool
simdisk_spoil(struct simdisk *d, const char *path, uint64_t offset)
{
	struct sim_entry *e = find(d->now, d->now_count, path);

	return e != NULL && simfile_spoil(e->file, offset);
}

bool
simdisk_mend(struct simdisk *d, const char *path)
{
	struct sim_entry *e = find(d->now, d->now_count, path);

	if (e != NULL)
		simfile_mend(e->file);
	return e != NULL;
}
