#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

_Static_assert(sizeof(struct limit_row) == 128, "layout shared by programs");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2,
    "atomics must work between processes");

/* Rows of programs without a page, and of a role before its page is known. */
static struct limits_page private_page = {
	.magic = LIMITS_MAGIC,
	.version = LIMITS_VERSION,
};
static struct limits_page *current = &private_page;

static const char kind_names[LIMIT_KIND_COUNT][10] = {
	[LIMIT_ACCOUNT] = "account",
	[LIMIT_POOL] = "pool",
	[LIMIT_GATE] = "gate",
	[LIMIT_DEADLINE] = "deadline",
	[LIMIT_QUOTA] = "quota",
	[LIMIT_SIZE] = "size",
	[LIMIT_COUNT] = "count",
	[LIMIT_GAUGE] = "gauge",
	[LIMIT_TOTAL] = "total",
};

const char *
limit_kind_name(enum limit_kind k)
{
	return (unsigned)k < LIMIT_KIND_COUNT ? kind_names[k] : "unknown";
}

void
limits_use(struct limits_page *page)
{
	ASSERT(page != NULL);
	ASSERT(page->magic == LIMITS_MAGIC);
	current = page;
}

struct limits_page *
limits_current(void)
{
	return current;
}

/* Relaxed: rows are figures to look at; no other memory hangs on them. */
static void
put(_Atomic int64_t *figure, int64_t v)
{
	atomic_store_explicit(figure, v, memory_order_relaxed);
}

static int64_t
get(_Atomic int64_t *figure)
{
	return atomic_load_explicit(figure, memory_order_relaxed);
}

static void
fill_row(struct limit_row *row, enum limit_kind kind, const char *name,
    const char *parameter, size_t object_bytes, int64_t limit)
{
	snprintf(row->name, sizeof(row->name), "%s", name);
	snprintf(row->parameter, sizeof(row->parameter), "%s", parameter);
	row->kind = kind;
	row->object_bytes =
	    object_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)object_bytes;
	put(&row->limit, limit);
	put(&row->in_use, 0);
	put(&row->high_water, 0);
	put(&row->refused, 0);
	put(&row->waited, 0);
}

struct limit_row *
limits_row(enum limit_kind kind, const char *name, const char *parameter,
    size_t object_bytes, int64_t limit)
{
	uint32_t n =
	    atomic_load_explicit(&current->row_count, memory_order_relaxed);
	struct limit_row *row;

	ASSERT((unsigned)kind < LIMIT_KIND_COUNT);
	if (n >= LIMITS_ROWS_MAX)
		return &current->rows[LIMITS_ROWS_MAX - 1];
	row = &current->rows[n];
	if (n == LIMITS_ROWS_MAX - 1)
		fill_row(row, LIMIT_GAUGE, "overflow", "", 0, 0);
	else
		fill_row(row, kind, name, parameter, object_bytes, limit);
	atomic_store_explicit(&current->row_count, n + 1, memory_order_release);
	return row;
}

void
limit_set_in_use(struct limit_row *row, int64_t in_use)
{
	put(&row->in_use, in_use);
	if (in_use > get(&row->high_water))
		put(&row->high_water, in_use);
}

void
limit_mark(struct limit_row *row, int64_t figure)
{
	if (figure > get(&row->high_water))
		put(&row->high_water, figure);
}

void
limit_set_limit(struct limit_row *row, int64_t limit)
{
	put(&row->limit, limit);
}

void
limit_mirror(struct limit_row *row, int64_t in_use, int64_t high_water,
    uint64_t refused, uint64_t waited)
{
	put(&row->in_use, in_use);
	put(&row->high_water, high_water);
	put(&row->refused, (int64_t)refused);
	put(&row->waited, (int64_t)waited);
}

void
limit_count(struct limit_row *row)
{
	atomic_fetch_add_explicit(&row->in_use, 1, memory_order_relaxed);
}

void
limit_refused(struct limit_row *row)
{
	atomic_fetch_add_explicit(&row->refused, 1, memory_order_relaxed);
}

void
limit_waited(struct limit_row *row)
{
	atomic_fetch_add_explicit(&row->waited, 1, memory_order_relaxed);
}

static enum err
map_page(int fd, bool writable, struct limits_page **page_out,
    struct errtext *et)
{
	void *p = mmap(NULL, sizeof(struct limits_page),
	    writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return err_sys(et, errno, "limits page: mmap");
	*page_out = p;
	return OK;
}

enum err
limits_page_create(const char *role, unsigned index, int *fd_out,
    struct limits_page **page_out, struct errtext *et)
{
	struct limits_page *page;
	enum err e;
	int fd;

	fd = memfd_create("weir-limits", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_sys(et, errno, "limits page: memfd_create");
	/* Mode 0600: who holds a read-only descriptor must not be able to
	 * open it anew for writing through /proc.  Sealed in size: a reader
	 * must not get SIGBUS. */
	if (fchmod(fd, 0600) != 0 || ftruncate(fd, sizeof(*page)) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
		0) {
		e = err_sys(et, errno, "limits page: set up");
		goto close_fd;
	}
	e = map_page(fd, true, &page, et);
	if (e != OK)
		goto close_fd;
	page->magic = LIMITS_MAGIC;
	page->version = LIMITS_VERSION;
	page->index = index;
	snprintf(page->role, sizeof(page->role), "%s", role);
	*fd_out = fd;
	*page_out = page;
	return OK;
close_fd:
	close(fd);
	return e;
}

enum err
limits_page_reader(int fd, int *fd_out, struct errtext *et)
{
	char path[40];
	int reader;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	if (reader < 0)
		return err_sys(et, errno, "limits page: open %s", path);
	*fd_out = reader;
	return OK;
}

enum err
limits_page_map(int fd, bool writable, struct limits_page **page_out,
    struct errtext *et)
{
	struct limits_page *page;
	struct stat st;
	enum err e;
	int seals;

	if (fstat(fd, &st) != 0)
		return err_sys(et, errno, "limits page: fstat");
	if (st.st_size != sizeof(*page))
		return err_set(et, ERR_VERSION,
		    "limits page: %lld bytes, this program knows %zu",
		    (long long)st.st_size, sizeof(*page));
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return err_set(et, ERR_CORRUPT, "limits page: not sealed");
	e = map_page(fd, writable, &page, et);
	if (e != OK)
		return e;
	if (page->magic != LIMITS_MAGIC || page->version != LIMITS_VERSION) {
		e = err_set(et, ERR_VERSION,
		    "limits page: magic %x version %u, want %x version %u",
		    page->magic, page->version, (unsigned)LIMITS_MAGIC,
		    (unsigned)LIMITS_VERSION);
		limits_page_unmap(page);
		return e;
	}
	*page_out = page;
	return OK;
}

void
limits_page_unmap(struct limits_page *page)
{
	if (page == NULL)
		return;
	if (page == current)
		current = &private_page;
	ASSERT(munmap(page, sizeof(*page)) == 0);
}
