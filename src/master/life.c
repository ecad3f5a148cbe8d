/*
 * life: ready, reload, drain, end.
 *
 * Drain, within shutdown_grace in all: the listening sockets close; smtpd,
 * queue, bounce and pickup are told to finish what runs and start nothing (the
 * queue takes what smtpd has begun); when they have ended, the others are
 * told.  What is left after the grace is killed: accepted mail is on disk.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "master/logger.h"
#include "master/master.h"
#include "master/notify.h"
#include "role/settle.h"

static bool
first_to_drain(enum role r)
{
	return r == ROLE_SMTPD || r == ROLE_QUEUE || r == ROLE_BOUNCE ||
	       r == ROLE_PICKUP;
}

/* ---- ready ---- */

static bool
all_ready(const struct master *m)
{
	for (unsigned k = 0; k < m->instance_count; k++) {
		const struct instance *i = &m->instances[k];

		if (i->role != ROLE_BOUNCE && i->role != ROLE_PICKUP &&
		    i->state != INSTANCE_SERVING)
			return false;
	}
	return true;
}

void
life_ready(struct master *m)
{
	static const char line[] = "weir: ready\n";

	if (m->state != MASTER_STARTING || !all_ready(m))
		return;
	m->state = MASTER_SERVING;
	log_info("ready");
	log_flush();
	/* Wherever the log goes, whoever started us waits for this line. */
	if (write(logger_stderr(), line, sizeof(line) - 1) < 0)
		log_warning("stderr is closed");
	notify_send("READY=1\nMAINPID=%ld\nSTATUS=serving", (long)getpid());
	role_settle();
}

/* ---- reload ---- */

static void
reload(struct master *m)
{
	if (m->state == MASTER_DRAINING)
		return;
	notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_ns() / 1000);
	if (config_reload(&m->config) != OK) {
		log_error("reload: the old configuration stays in force");
	} else {
		control_conf(m);
		instances_limits(m);
		log_info("reloaded");
	}
	notify_send("READY=1\nSTATUS=serving");
}

/* ---- drain ---- */

/* Those whose turn it is; true when nobody runs any more. */
static bool
drain_step(struct master *m)
{
	int64_t grace = m->config.used->shutdown_grace_ms;
	bool first_left = false;

	for (unsigned k = 0; k < m->instance_count; k++) {
		struct instance *i = &m->instances[k];

		if (first_to_drain(i->role) && instance_running(i)) {
			first_left = true;
			control_drain(i, grace);
		}
	}
	for (unsigned k = 0; !first_left && k < m->instance_count; k++)
		control_drain(&m->instances[k], grace);
	return instances_running(m) == 0;
}

static void
drain(struct master *m)
{
	m->state = MASTER_DRAINING;
	log_info("stopping");
	notify_send("STOPPING=1\nSTATUS=finishing what runs");
	listen_close(&m->listeners);
	for (unsigned k = 0; k < m->instance_count; k++) {
		struct instance *i = &m->instances[k];

		if (i->state == INSTANCE_WAITING) {
			ev_timer_clear(&i->timer);
			i->state = INSTANCE_IDLE;
		}
	}
	ev_timer_set(&m->grace, m->config.used->shutdown_grace_ms);
	if (drain_step(m))
		ev_loop_stop(m->loop);
}

void
life_ended(struct master *m)
{
	if (m->state == MASTER_DRAINING && drain_step(m))
		ev_loop_stop(m->loop);
}

static void
on_grace(void *arg, struct ev_timer *t)
{
	struct master *m = arg;
	unsigned running;

	(void)t;
	running = instances_running(m);
	log_warning("shutdown_grace is over: %u %s killed", running,
	    running == 1 ? "process is" : "processes are");
	limit_refused(m->grace_row);
	instances_kill_all(m);
}

static void
on_logger_timer(void *arg, struct ev_timer *t)
{
	(void)arg;
	if (!logger_retry())
		ev_timer_set(t, LOGGER_RESTART_MS);
}

static void
on_term(struct master *m)
{
	if (m->state != MASTER_DRAINING) {
		drain(m);
		return;
	}
	log_info("stopping at once");
	instances_kill_all(m);
}

/* ---- signals ---- */

static void
on_signal(void *arg, int signum)
{
	struct master *m = arg;

	switch (signum) {
	case SIGTERM:
	case SIGINT: on_term(m); break;
	case SIGHUP: reload(m); break;
	case SIGALRM: control_flush(m); break;
	case SIGUSR1:
		log_reopen();
		logger_reopen();
		control_reopen_log(m);
		break;
	case SIGCHLD: instances_reap(m); break;
	default: break;
	}
}

enum err
life_watch(struct master *m)
{
	static const int watched[] = { SIGTERM, SIGINT, SIGHUP, SIGALRM,
		SIGUSR1, SIGCHLD };
	enum err e = OK;

	ev_timer_init(&m->logger_timer, m->loop, on_logger_timer, m);
	signal(SIGPIPE, SIG_IGN);
	ev_timer_init(&m->grace, m->loop, on_grace, m);
	for (size_t k = 0; e == OK && k < ARRAY_LEN(watched); k++)
		e = ev_signal(m->loop, watched[k], on_signal, m);
	return e;
}
