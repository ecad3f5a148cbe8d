/*
 * work: one thread for each lane, one queue of completions.
 *
 * The mutex guards the queues only, and nobody is woken under it: it would
 * have to wait for it at once.  A job's fields pass from the caller to
 * the lane and back through it, so neither side needs more.
 */
#include "store/work.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

enum { WORK_STACK_BYTES = 256 * 1024 };

struct lane_state {
	struct work *work;
	struct list jobs;
	pthread_cond_t wake;
	pthread_t thread;
	bool started;
};

struct work {
	struct acct *acct;
	bool threads;
	bool stop;
	int fd;
	pthread_mutex_t lock;
	struct list finished;
	struct lane_state lanes[LANE_COUNT];
};

static struct job *
job_of(struct list_node *n)
{
	return n == NULL ? NULL : CONTAINER(n, struct job, node);
}

static void *
lane_main(void *arg)
{
	struct lane_state *l = arg;
	struct work *w = l->work;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		struct job *j = job_of(list_pop_front(&l->jobs));
		bool first;

		if (j == NULL) {
			pthread_cond_wait(&l->wake, &w->lock);
			continue;
		}
		pthread_mutex_unlock(&w->lock);
		j->run(j);
		pthread_mutex_lock(&w->lock);
		first = list_empty(&w->finished);
		list_push_back(&w->finished, &j->node);
		if (!first)
			continue; /* who put the first one wakes */
		pthread_mutex_unlock(&w->lock);
		(void)eventfd_write(w->fd, 1);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static enum err
lane_start(struct lane_state *l, struct errtext *et)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORK_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	rc = pthread_create(&l->thread, &attr, lane_main, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		return err_sys(et, rc, "thread of the store");
	l->started = true;
	return OK;
}

enum err
work_open(struct acct *a, bool threads, struct work **out, struct errtext *et)
{
	struct work *w = mem_alloc(a, sizeof(*w));
	enum err e;

	if (w == NULL)
		return err_set(et, ERR_NOMEM, "threads of the store");
	w->acct = a;
	w->threads = threads;
	w->fd = -1;
	pthread_mutex_init(&w->lock, NULL);
	list_init(&w->finished);
	for (unsigned i = 0; i < LANE_COUNT; i++) {
		w->lanes[i].work = w;
		list_init(&w->lanes[i].jobs);
		pthread_cond_init(&w->lanes[i].wake, NULL);
	}
	if (!threads) {
		*out = w;
		return OK;
	}
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->fd < 0) {
		e = err_sys(et, errno, "eventfd");
		goto close;
	}
	for (unsigned i = 0; i < LANE_COUNT; i++) {
		e = lane_start(&w->lanes[i], et);
		if (e != OK)
			goto close;
	}
	*out = w;
	return OK;
close:
	work_close(w);
	return e;
}

void
work_close(struct work *w)
{
	if (w == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	for (unsigned i = 0; i < LANE_COUNT; i++)
		pthread_cond_signal(&w->lanes[i].wake);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < LANE_COUNT; i++) {
		if (w->lanes[i].started)
			pthread_join(w->lanes[i].thread, NULL);
		pthread_cond_destroy(&w->lanes[i].wake);
	}
	pthread_mutex_destroy(&w->lock);
	if (w->fd >= 0)
		close(w->fd);
	mem_free(w->acct, w);
}

int
work_fd(const struct work *w)
{
	return w->fd;
}

void
work_post(struct work *w, enum lane lane, struct job *j)
{
	struct lane_state *l = &w->lanes[lane];

	ASSERT(!j->busy);
	j->busy = true;
	pthread_mutex_lock(&w->lock);
	list_push_back(&l->jobs, &j->node);
	pthread_mutex_unlock(&w->lock);
	if (w->threads)
		pthread_cond_signal(&l->wake);
}

/* Take the first job of a lane, chosen at random among those that have one. */
static struct job *
inline_take(struct work *w)
{
	unsigned have[LANE_COUNT], count = 0;

	for (unsigned i = 0; i < LANE_COUNT; i++)
		if (!list_empty(&w->lanes[i].jobs))
			have[count++] = i;
	if (count == 0)
		return NULL;
	count = count == 1 ? 0 : (unsigned)(random_u64() % count);
	return job_of(list_pop_front(&w->lanes[have[count]].jobs));
}

static void
job_finish(struct job *j)
{
	j->busy = false;
	j->done(j);
}

bool
work_poll(struct work *w)
{
	struct list done;
	struct job *j;
	eventfd_t count;

	if (!w->threads) {
		j = inline_take(w);
		if (j == NULL)
			return false;
		j->run(j);
		job_finish(j);
		return true;
	}
	list_init(&done);
	pthread_mutex_lock(&w->lock);
	(void)eventfd_read(w->fd, &count);
	while ((j = job_of(list_pop_front(&w->finished))) != NULL)
		list_push_back(&done, &j->node);
	pthread_mutex_unlock(&w->lock);
	if (list_empty(&done))
		return false;
	while ((j = job_of(list_pop_front(&done))) != NULL)
		job_finish(j);
	return true;
}

void
work_wait_next(struct work *w)
{
	while (!work_poll(w)) {
		struct pollfd p = { .fd = w->fd, .events = POLLIN };

		ASSERT(w->threads);
		(void)poll(&p, 1, -1);
	}
}

void
work_wait(struct work *w, const struct job *j)
{
	while (j->busy)
		work_wait_next(w);
}
