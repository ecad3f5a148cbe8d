/*
 * instance: processes of roles: started, reaped, restarted.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "master/dirs.h"
#include "master/logger.h"
#include "master/master.h"
#include "master/spawn.h"

enum { EXIT_EXEC = 127 };

static bool
on_demand(enum role r)
{
	return r == ROLE_BOUNCE || r == ROLE_PICKUP;
}

static struct backoff_rules
rules_of(const struct master *m)
{
	const struct conf *c = m->config.used;

	return (struct backoff_rules){ (unsigned)c->fork_attempts,
		c->fork_delay_ms, c->service_throttle_time_ms };
}

bool
instance_running(const struct instance *i)
{
	return i->pid != 0;
}

unsigned
instances_running(const struct master *m)
{
	unsigned n = 0;

	for (unsigned k = 0; k < m->instance_count; k++)
		n += instance_running(&m->instances[k]);
	return n;
}

struct instance *
instance_find(struct master *m, enum role role, unsigned index)
{
	for (unsigned k = 0; k < m->instance_count; k++)
		if (m->instances[k].role == role &&
		    m->instances[k].index == index)
			return &m->instances[k];
	return NULL;
}

/* ---- start ---- */

/* A page of its own for each process: no row of a dead one is left in it,
 * and none that lingers can write into its successor's. */
static enum err
new_page(struct instance *i, struct errtext *et)
{
	enum err e;

	limits_page_unmap(i->page);
	if (i->page_fd >= 0)
		close(i->page_fd);
	i->page = NULL;
	i->page_fd = -1;
	e = limits_page_create(role_name(i->role), i->index, &i->page_fd,
	    &i->page, et);
	if (e == OK)
		atomic_store(&i->page->restarts, i->restarts);
	return e;
}

static enum err
execute(struct instance *i, struct errtext *et)
{
	struct master *m = i->master;
	struct spawn s = { .role = i->role, .index = i->index, .lock_fd = -1 };
	int pair[2];
	enum err e;

	e = new_page(i, et);
	if (e != OK)
		return e;
	s.page_fd = i->page_fd;
	/* Two queues must never share a spool: the lock lives as long as the
	 * queue does, also when the master was killed. */
	if (i->role == ROLE_QUEUE)
		s.lock_fd = m->lock_fd;
	e = config_text_reader(&m->config, &s.conf_fd);
	if (e != OK)
		return err_set(et, e, "configuration: %s", err_text(e));
	e = chan_pair(pair);
	if (e != OK) {
		close(s.conf_fd);
		return err_set(et, e, "channel: %s", err_text(e));
	}
	s.control_fd = pair[1];
	e = spawn_role(&s, &i->pid, et);
	close(s.conf_fd);
	close(pair[1]);
	if (e != OK) {
		i->pid = 0;
		close(pair[0]);
		return e;
	}
	limit_set_in_use(i->master->processes, instances_running(i->master));
	e = control_open(i, pair[0]);
	if (e != OK) {
		close(pair[0]);
		kill(i->pid, SIGKILL);
		i->state = INSTANCE_LEAVING;
	}
	return OK;
}

void
instances_limits(struct master *m)
{
	struct backoff_rules rules = rules_of(m);

	limit_set_limit(m->attempts_row, rules.attempts);
	limit_set_limit(m->throttle_row, rules.throttle_ms);
	limit_set_limit(m->grace_row, m->config.used->shutdown_grace_ms);
}

/* A role has failed too often; how long it waits is said with each start. */
static void
say_throttled(struct instance *i)
{
	struct master *m = i->master;
	char who[32];
	int len =
	    snprintf(who, sizeof(who), "%s %u", role_name(i->role), i->index);

	limit_refused(m->attempts_row);
	limit_waited(m->throttle_row);
	log_limit_row(&m->attempts_site, ev_now(m->loop), m->attempts_row,
	    slice_of(who, (size_t)len),
	    "started every service_throttle_time from now on");
}

/* Wait, as the policy says, before the next start. */
static void
wait_for_start(struct instance *i, int64_t lived_ms, bool was_ready,
    const char *what)
{
	struct backoff_rules rules = rules_of(i->master);
	int64_t wait_ms =
	    backoff_after(&i->backoff, &rules, was_ready, lived_ms);

	i->state = INSTANCE_WAITING;
	ev_timer_set(&i->timer, wait_ms);
	log_warning("%s %u: %s; starting it again in %" PRId64 " ms%s",
	    role_name(i->role), i->index, what, wait_ms,
	    backoff_throttled(&i->backoff, &rules) ? " (service_throttle_time)"
						   : "");
	if (!backoff_throttled(&i->backoff, &rules))
		return;
	say_throttled(i);
	if (i->role == ROLE_SMTPD)
		control_lend(i);
}

static void
start(struct instance *i)
{
	struct errtext et = { "" };

	i->linked = i->told_drain = i->wanted = i->was_ready = false;
	i->state = INSTANCE_STARTING;
	i->started = clock_system.mono(&clock_system);
	if (execute(i, &et) != OK)
		wait_for_start(i, 0, false, et.text);
}

static void
begin(struct instance *i)
{
	if (i->state != INSTANCE_STARTING)
		return;
	control_link(i);
	control_go(i);
}

static void
on_timer(void *arg, struct ev_timer *t)
{
	struct instance *i = arg;

	(void)t;
	if (i->state == INSTANCE_LEAVING) {
		instance_kill(i, "does not exit");
		return;
	}
	ASSERT(i->state == INSTANCE_WAITING);
	i->restarts++;
	start(i);
	begin(i);
}

void
instance_want(struct master *m, enum role role)
{
	struct instance *i = instance_find(m, role, 0);

	if (i == NULL || !on_demand(role) || m->state == MASTER_DRAINING)
		return;
	if (i->state != INSTANCE_IDLE) {
		/* It may be about to end. */
		i->wanted = true;
		return;
	}
	start(i);
	begin(i);
}

/* ---- end ---- */

void
instance_kill(struct instance *i, const char *why)
{
	if (!instance_running(i))
		return;
	log_warning("%s %u (pid %ld): %s; killed", role_name(i->role), i->index,
	    (long)i->pid, why);
	chan_close(i->control);
	i->control = NULL;
	i->state = INSTANCE_LEAVING;
	ev_timer_clear(&i->timer);
	kill(i->pid, SIGKILL);
}

void
instances_kill_all(struct master *m)
{
	for (unsigned k = 0; k < m->instance_count; k++)
		if (instance_running(&m->instances[k]))
			kill(m->instances[k].pid, SIGKILL);
}

static void
describe(int status, char *buf, size_t size)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		snprintf(buf, size,
		    "stopped by its sandbox (a system call "
		    "that it must not make)");
	else if (WIFSIGNALED(status))
		snprintf(buf, size, "died of signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == EXIT_EXEC)
		snprintf(buf, size, "cannot be executed");
	else
		snprintf(buf, size, "exit status %d", WEXITSTATUS(status));
}

static void
on_death(struct instance *i, int status)
{
	struct master *m = i->master;
	bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	int64_t lived = mono_sub(clock_system.mono(&clock_system), i->started);
	char what[96];

	chan_close(i->control);
	i->control = NULL;
	i->pid = 0;
	i->linked = false;
	limit_set_in_use(m->processes, instances_running(m));
	ev_timer_clear(&i->timer);
	if (i->role == ROLE_SMTPD)
		(void)client_page_release(&m->client_page, i->index);

	describe(status, what, sizeof(what));
	if (m->state == MASTER_DRAINING) {
		i->state = INSTANCE_IDLE;
		if (!clean)
			log_warning("%s %u: %s", role_name(i->role), i->index,
			    what);
		life_ended(m);
		return;
	}
	if (clean && on_demand(i->role)) {
		i->state = INSTANCE_IDLE;
		i->backoff.failures = 0;
		if (i->wanted)
			instance_want(m, i->role);
		return;
	}
	wait_for_start(i, lived, i->was_ready, what);
}

void
instances_reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (logger_ended(pid, status)) {
			ev_timer_set(&m->logger_timer, LOGGER_RESTART_MS);
			continue;
		}
		for (unsigned k = 0; k < m->instance_count; k++) {
			if (m->instances[k].pid == pid) {
				on_death(&m->instances[k], status);
				break;
			}
		}
	}
}

/* ---- all ---- */

static void
add(struct master *m, enum role role, unsigned index)
{
	struct instance *i = &m->instances[m->instance_count++];

	ASSERT(m->instance_count <= INSTANCES_MAX);
	*i = (struct instance){ .master = m,
		.role = role,
		.index = index,
		.page_fd = -1 };
	ev_timer_init(&i->timer, m->loop, on_timer, i);
}

void
instances_init(struct master *m)
{
	/* Those that others need first. */
	static const enum role order[] = { ROLE_QUEUE, ROLE_LOOKUP, ROLE_DNS,
		ROLE_LOCAL, ROLE_SMTP, ROLE_SMTPD, ROLE_BOUNCE, ROLE_PICKUP };

	for (size_t k = 0; k < ARRAY_LEN(order); k++)
		for (unsigned n = 0; n < m->config.plan.parts[order[k]].count;
		     n++)
			add(m, order[k], n);
	m->processes =
	    limits_row(LIMIT_POOL, "processes", "", 0, m->instance_count);
	m->attempts_row = limits_row(LIMIT_COUNT, "failed starts of a role",
	    "fork_attempts", 0, 0);
	m->throttle_row = limits_row(LIMIT_DEADLINE, "pause of a role",
	    "service_throttle_time", 0, 0);
	m->grace_row =
	    limits_row(LIMIT_DEADLINE, "stop", "shutdown_grace", 0, 0);
	instances_limits(m);
}

void
instances_start(struct master *m)
{
	bool dropped = dirs_drop_used(m->config.used);

	for (unsigned k = 0; k < m->instance_count; k++) {
		struct instance *i = &m->instances[k];

		if (!on_demand(i->role) || (i->role == ROLE_PICKUP && dropped))
			start(i);
	}
	for (unsigned k = 0; k < m->instance_count; k++)
		if (m->instances[k].state == INSTANCE_STARTING)
			control_link(&m->instances[k]);
	for (unsigned k = 0; k < m->instance_count; k++)
		if (m->instances[k].state == INSTANCE_STARTING)
			control_go(&m->instances[k]);
}
