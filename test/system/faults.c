/*
 * faults: what the machine does to a role, on demand of a test.
 *
 * Preloaded into the roles (LD_PRELOAD).  A role for which the directory
 * WEIR_FAULTS holds a file of its name maps that file before it closes itself
 * in; the test writes there what is to happen.  Anything else behaves as
 * without this library.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SYNC_LIES = -1 };

/* As harness.Faults writes it. */
struct page {
	int64_t sync;	 /* 0: real; SYNC_LIES: nothing is synced, and that
			  * is said to be well; else an errno */
	int64_t left;	 /* so many syncs fail; 0: all */
	int64_t failed;	 /* syncs that did not take place */
	int64_t accept;	 /* errno of accept4 */
	int64_t refused; /* how often */
	int64_t clock_s; /* added to the time of day */
	int64_t alloc;	 /* the so-manieth allocation from now fails; 0: none */
	int64_t allocs;	 /* how many there were */
};

static struct page none;
static struct page *page = &none;
static uintptr_t text_first, text_last; /* where the program itself lies */

/* The first object is the program. */
static int
find_program(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
			continue;
		text_first = info->dlpi_addr + p->p_vaddr;
		text_last = text_first + p->p_memsz;
	}
	return 1;
}

__attribute__((constructor)) static void
map_page(void)
{
	const char *dir = getenv("WEIR_FAULTS");
	char exe[2048], path[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	void *p;
	int fd;

	dl_iterate_phdr(find_program, NULL);
	if (dir == NULL || n <= 0)
		return;
	exe[n] = '\0';
	snprintf(path, sizeof(path), "%s/%s", dir, strrchr(exe, '/') + 1);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	    0);
	close(fd);
	if (p != MAP_FAILED)
		page = p;
}

/* Whether a sync is to be left out; then *rc_out is what it returns. */
static int
sync_left_out(int *rc_out)
{
	int64_t what = __atomic_load_n(&page->sync, __ATOMIC_SEQ_CST);

	if (what == 0)
		return 0;
	/* The last of those that were asked for: well again. */
	if (page->left > 0 &&
	    __atomic_sub_fetch(&page->left, 1, __ATOMIC_SEQ_CST) == 0)
		__atomic_store_n(&page->sync, 0, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&page->failed, 1, __ATOMIC_SEQ_CST);
	if (what == SYNC_LIES) {
		*rc_out = 0;
		return 1;
	}
	errno = (int)what;
	*rc_out = -1;
	return 1;
}

/* Whether an allocation of the program itself is refused; libraries have
 * theirs. */
static int
refused(void *caller)
{
	uintptr_t from = (uintptr_t)caller;

	if (page == &none || from < text_first || from >= text_last)
		return 0;
	__atomic_add_fetch(&page->allocs, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&page->alloc, __ATOMIC_SEQ_CST) <= 0 ||
	    __atomic_sub_fetch(&page->alloc, 1, __ATOMIC_SEQ_CST) != 0)
		return 0;
	errno = ENOMEM;
	return 1;
}

/* The library's own, behind the names below. */
static void *
libc_own(void **at, const char *name)
{
	if (*at == NULL)
		*at = dlsym(RTLD_NEXT, name);
	return *at;
}

#define LIBC_OWN(name, ...)                         \
	static void *at;                            \
	return refused(__builtin_return_address(0)) \
		   ? NULL                           \
		   : ((typeof(&name))libc_own(&at, #name))(__VA_ARGS__)

void *__libc_calloc(size_t count, size_t bytes);
void *__libc_malloc(size_t bytes);
void *__libc_realloc(void *p, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

/* Behind base/mem. */
void *
calloc(size_t count, size_t bytes)
{
	LIBC_OWN(__libc_calloc, count, bytes);
}

/* Behind the malloc of dns, which serves libunbound and all else there. */
void *
__libc_calloc(size_t count, size_t bytes)
{
	LIBC_OWN(__libc_calloc, count, bytes);
}

void *
__libc_malloc(size_t bytes)
{
	LIBC_OWN(__libc_malloc, bytes);
}

void *
__libc_realloc(void *p, size_t bytes)
{
	LIBC_OWN(__libc_realloc, p, bytes);
}

void *
__libc_memalign(size_t alignment, size_t bytes)
{
	LIBC_OWN(__libc_memalign, alignment, bytes);
}

int
fdatasync(int fd)
{
	int rc;

	return sync_left_out(&rc) ? rc : (int)syscall(SYS_fdatasync, fd);
}

int
fsync(int fd)
{
	int rc;

	return sync_left_out(&rc) ? rc : (int)syscall(SYS_fsync, fd);
}

int
syncfs(int fd)
{
	int rc;

	return sync_left_out(&rc) ? rc : (int)syscall(SYS_syncfs, fd);
}

int
accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	int64_t e = __atomic_load_n(&page->accept, __ATOMIC_SEQ_CST);

	if (e != 0) {
		__atomic_add_fetch(&page->refused, 1, __ATOMIC_SEQ_CST);
		errno = (int)e;
		return -1;
	}
	return (int)syscall(SYS_accept4, fd, addr, len, flags);
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = (int)syscall(SYS_clock_gettime, id, ts);

	if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += page->clock_s;
	return rc;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *out)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (out != NULL)
		*out = ts.tv_sec;
	return ts.tv_sec;
}
