#include "tcpserver/names.h"

#include <pthread.h>
#include <string.h>

#include "base/time.h"

/* What the thread reads and writes; it may outlive the wait. */
static struct {
	bool want_local, want_remote, paranoid;
	struct address local, remote;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct names found; /* complete as far as step says */
	bool local_done, remote_done;
} job = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool
name_of(const struct address *a, char *name, size_t size)
{
	return getnameinfo((const struct sockaddr *)&a->raw, a->raw_len, name,
		   (socklen_t)size, NULL, 0, NI_NAMEREQD) == 0;
}

static bool
same_address(const struct addrinfo *ai, const struct address *a)
{
	struct sockaddr_storage sa = { 0 };
	struct address other;

	memcpy(&sa, ai->ai_addr, ai->ai_addrlen);
	address_from(&other, &sa);
	return strcmp(other.ip, a->ip) == 0;
}

/* Is a one of the addresses of name? */
static bool
leads_back(const char *name, const struct address *a)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_family = a->raw.ss_family };
	struct addrinfo *found = NULL;
	bool same = false;

	if (getaddrinfo(name, NULL, &hints, &found) != 0)
		return false;
	for (struct addrinfo *i = found; i != NULL && !same; i = i->ai_next)
		same = same_address(i, a);
	freeaddrinfo(found);
	return same;
}

static void
publish(char *to, const char *name, bool *done)
{
	(void)pthread_mutex_lock(&job.lock);
	memcpy(to, name, strlen(name) + 1);
	*done = true;
	(void)pthread_cond_signal(&job.changed);
	(void)pthread_mutex_unlock(&job.lock);
}

static void *
look_up(void *arg)
{
	char name[NI_MAXHOST];

	(void)arg;
	if (job.want_local) {
		if (!name_of(&job.local, name, sizeof(name)))
			name[0] = '\0';
		publish(job.found.local, name, &job.local_done);
	}
	if (job.want_remote) {
		if (!name_of(&job.remote, name, sizeof(name)) ||
		    (job.paranoid && !leads_back(name, &job.remote)))
			name[0] = '\0';
		publish(job.found.remote, name, &job.remote_done);
	}
	return NULL;
}

static bool
done(void)
{
	return (!job.want_local || job.local_done) &&
	       (!job.want_remote || job.remote_done);
}

static void
wait_until(int64_t end_ns)
{
	struct timespec ts = { .tv_sec = end_ns / 1000000000,
		.tv_nsec = end_ns % 1000000000 };

	(void)pthread_mutex_lock(&job.lock);
	while (!done() &&
	       pthread_cond_timedwait(&job.changed, &job.lock, &ts) == 0)
		;
	(void)pthread_mutex_unlock(&job.lock);
}

void
names_find(const struct names_want *want, uint32_t timeout_s, struct names *out)
{
	int64_t end_ns = clock_ns() + (int64_t)timeout_s * 1000000000;
	pthread_condattr_t attr;
	pthread_t thread;

	memset(out, 0, sizeof(*out));
	job.want_local = want->local != NULL;
	job.want_remote = want->remote != NULL;
	if (done())
		return;
	if (want->local != NULL)
		job.local = *want->local;
	if (want->remote != NULL)
		job.remote = *want->remote;
	job.paranoid = want->paranoid;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&job.changed, &attr);
	if (pthread_create(&thread, NULL, look_up, NULL) != 0)
		return; /* no names: what an unanswered question gives */
	wait_until(end_ns);
	(void)pthread_mutex_lock(&job.lock);
	if (job.local_done)
		memcpy(out->local, job.found.local, sizeof(out->local));
	if (job.remote_done)
		memcpy(out->remote, job.found.remote, sizeof(out->remote));
	(void)pthread_mutex_unlock(&job.lock);
}
