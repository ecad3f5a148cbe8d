/*
 * syncer: threads that wait in fsync.
 *
 * Happy path: syncer_begin publishes the items and wakes as many threads as
 * there are items; each takes the next item until none is left; the last one
 * over ends the run and makes the descriptor readable.
 *
 * Failure modes: an fsync that fails is noted with its item; a thread that
 * could not be started is not missed.
 */
#include "local/syncer.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static pthread_cond_t over = PTHREAD_COND_INITIALIZER;

static unsigned thread_count;
static int over_fd = -1;
static bool running; /* of the caller's thread alone */

/* The run; guarded by lock. */
static struct sync_item *items;
static unsigned item_count, item_next, open_count;

static void
sync_one(struct sync_item *i)
{
	/* Not repeated after EINTR: a failed sync proves nothing later. */
	i->errnum = fsync(i->fd) < 0 ? errno : 0;
}

/* Items until none is left; with the lock held before and after. */
static void
work(void)
{
	struct sync_item *i;

	while (item_next < item_count) {
		i = &items[item_next++];
		pthread_mutex_unlock(&lock);
		sync_one(i);
		pthread_mutex_lock(&lock);
		if (--open_count > 0)
			continue;
		(void)eventfd_write(over_fd, 1);
		pthread_cond_signal(&over);
	}
}

static void *
thread_main(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&lock);
	for (;;) {
		work();
		pthread_cond_wait(&wake, &lock);
	}
	return NULL;
}

void
syncer_start(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	ASSERT(over_fd < 0);
	over_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (over_fd < 0)
		return;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, SYNCER_STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	while (thread_count < SYNCER_THREADS_MAX &&
	       pthread_create(&thread, &attr, thread_main, NULL) == 0)
		thread_count++;
	pthread_attr_destroy(&attr);
}

int
syncer_fd(void)
{
	return over_fd;
}

void
syncer_begin(struct sync_item *list, unsigned count)
{
	unsigned i;

	ASSERT(!running);
	if (thread_count == 0) {
		for (i = 0; i < count; i++)
			sync_one(&list[i]);
		return;
	}
	if (count == 0)
		return;
	running = true;
	pthread_mutex_lock(&lock);
	items = list;
	item_count = open_count = count;
	item_next = 0;
	for (i = 0; i < count && i < thread_count; i++)
		pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
}

bool
syncer_busy(void)
{
	eventfd_t count;

	if (running && eventfd_read(over_fd, &count) == 0)
		running = false;
	return running;
}

void
syncer_wait(void)
{
	if (!running)
		return;
	pthread_mutex_lock(&lock);
	while (open_count > 0)
		pthread_cond_wait(&over, &lock);
	pthread_mutex_unlock(&lock);
	if (syncer_busy())
		ASSERT(!"the run is over");
}
