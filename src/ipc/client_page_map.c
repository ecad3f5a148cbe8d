/*
 * client_page_map: making the page and mapping it.
 *
 * A page that another process could have damaged is mapped only when its
 * figures fit its size; they are copied, so that later damage costs
 * accounting, never memory safety.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "ipc/client_page_internal.h"

enum {
	PAGE_MAGIC = 0x77636c69,
	PAGE_VERSION = 3,
	ENTRY_COUNT_MIN = 1024,
};

static uint32_t
entry_count_for(unsigned session_max, unsigned proven_max)
{
	/* Of each session its client and its network, and some air. */
	uint64_t want = (uint64_t)session_max * 3 + proven_max;
	uint32_t count = ENTRY_COUNT_MIN;

	while (count < want)
		count *= 2;
	return count;
}

static size_t
head_bytes(uint32_t slots)
{
	size_t head = sizeof(struct shared_page) + slots * sizeof(struct slot);

	return (head + 63) / 64 * 64;
}

size_t
client_page_bytes(unsigned session_max, unsigned proven_max)
{
	return head_bytes(session_max + CLIENT_LOCAL_SLOTS) +
	       (size_t)entry_count_for(session_max, proven_max) *
		   sizeof(struct entry);
}

enum err
client_page_create(unsigned session_max, unsigned proven_max, int *fd_out,
    struct errtext *et)
{
	size_t bytes = client_page_bytes(session_max, proven_max);
	struct shared_page head = {
		.magic = PAGE_MAGIC,
		.version = PAGE_VERSION,
		.slot_count = session_max + CLIENT_LOCAL_SLOTS,
		.entry_count = entry_count_for(session_max, proven_max),
		.proven_max = proven_max,
	};
	enum err e;
	int fd;

	ASSERT(session_max > 0 &&
	       session_max <= CLIENT_SLOTS_MAX - CLIENT_LOCAL_SLOTS);
	if (getrandom(&head.hash_key, sizeof(head.hash_key), 0) !=
	    sizeof(head.hash_key))
		return err_sys(et, errno, "client page: getrandom");
	fd = memfd_create("weir-clients", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_sys(et, errno, "client page: memfd_create");
	if (fchmod(fd, 0600) != 0 || ftruncate(fd, (off_t)bytes) != 0 ||
	    pwrite(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
		0) {
		e = err_sys(et, errno, "client page: set up");
		close(fd);
		return e;
	}
	*fd_out = fd;
	return OK;
}

enum err
client_page_map(int fd, struct client_page *out, struct errtext *et)
{
	struct shared_page *s;
	struct stat st;

	*out = (struct client_page){ 0 };
	if (fstat(fd, &st) != 0)
		return err_sys(et, errno, "client page: fstat");
	if ((size_t)st.st_size < sizeof(*s))
		return err_set(et, ERR_CORRUPT, "client page: too short");
	s = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0);
	if (s == MAP_FAILED)
		return err_sys(et, errno, "client page: mmap");
	out->shared = s;
	out->bytes = (size_t)st.st_size;
	out->slot_count = s->slot_count;
	out->entry_count = s->entry_count;
	out->proven_max = s->proven_max;
	if (s->magic != PAGE_MAGIC || s->version != PAGE_VERSION ||
	    out->slot_count <= CLIENT_LOCAL_SLOTS ||
	    out->slot_count > CLIENT_SLOTS_MAX ||
	    out->entry_count < ENTRY_COUNT_MIN ||
	    (out->entry_count & (out->entry_count - 1)) != 0 ||
	    head_bytes(out->slot_count) +
		    (size_t)out->entry_count * sizeof(struct entry) !=
		out->bytes) {
		client_page_unmap(out);
		return err_set(et, ERR_CORRUPT, "client page: damaged");
	}
	out->entries =
	    (struct entry *)(void *)((char *)s + head_bytes(out->slot_count));
	return OK;
}

void
client_page_unmap(struct client_page *p)
{
	if (p->shared != NULL)
		munmap(p->shared, p->bytes);
	*p = (struct client_page){ 0 };
}
