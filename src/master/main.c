/*
 * weir-master [-c FILE] [-o name=value]... [--plan [--json]]
 *
 * The first process: opens ports, starts and restarts the roles, reloads and
 * stops the server.  It parses nothing that comes from outside: its input is
 * the configuration, signals, and the few frames of its own roles.
 *
 * Exit status: 0 stopped as asked; 64 usage; 71 the system refused something;
 * 75 another server runs on this queue_directory; 78 the configuration is
 * wrong, does not fit, or an address cannot be served.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "master/dirs.h"
#include "master/logger.h"
#include "master/master.h"
#include "master/spawn.h"
#include "role/identity.h"
#include "role/sandbox.h"

enum {
	/* Until the plan is known: a configuration and the copy of a reload. */
	START_BYTES_MAX = 16 << 20,
	LOCK_WAIT_MS = 5000,
	QMAIL_TEMPFAIL = 111, /* qmail's exit status for that */
	LAST_WORDS_MS = 1000,
};

static struct master master;

static int
usage(void)
{
	fprintf(stderr, "usage: weir-master [-c FILE] [-o name=value]... "
			"[--plan [--json]]\n");
	return EX_USAGE;
}

static void
print_line(void *arg, const char *line)
{
	(void)arg;
	puts(line);
}

static void
log_line(void *arg, const char *line)
{
	(void)arg;
	log_info("plan: %s", line);
}

static int
print_plan(const struct plan *p, bool json)
{
	if (json)
		plan_print_json(p, print_line, NULL);
	else
		plan_print(p, print_line, NULL);
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

/* As many descriptors as allowed: sockets of all smtpd are held here. */
static void
raise_nofile(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static void
say_start(const struct master *m)
{
	struct errtext et = { "" };
	struct identity id;
	char sandbox[160], clamped[PLAN_CLAMPED_BYTES];

	log_info("starting, version %s", WEIR_VERSION);
	plan_print(&m->config.plan, log_line, NULL);
	if (plan_clamped(&m->config.plan, plan_nofile_max(), clamped))
		log_warning("%s", clamped);
	if (identity_find(m->config.used, ROLE_SMTPD, &id, &et) == OK)
		log_info("roles run as %s%s", identity_text(id.kind),
		    id.kind == IDENTITY_OWNER || id.kind == IDENTITY_NOBODY
			? " (there are no users weir and weirq)"
			: "");
	sandbox_describe(sandbox, sizeof(sandbox));
	log_info("sandbox: %s", sandbox);
}

static enum err open_loop(struct master *m, struct errtext *et);

/* Everything that can fail, before the first role starts. */
static int
prepare(struct master *m)
{
	const struct conf *c = m->config.used;
	const struct plan *p = &m->config.plan;
	char path[SPAWN_PATH_BYTES];
	struct errtext et = { "" };
	int status = EX_OSERR;
	enum err e = OK;

	for (unsigned r = ROLE_SMTPD; e == OK && r < ROLE_COUNT; r++)
		if (p->parts[r].count > 0)
			e = spawn_path((enum role)r, path, &et);
	if (e == OK) {
		status = EX_CONFIG;
		e = dirs_prepare(c, &m->run_fd, &et);
	}
	if (e == OK) {
		status = EX_TEMPFAIL;
		e = dirs_lock(m->run_fd, c->queue_directory, LOCK_WAIT_MS,
		    &m->lock_fd, &et);
	}
	if (e == OK) {
		status = EX_CONFIG;
		e = listen_open(&m->listeners, &m->acct, c,
		    p->parts[ROLE_SMTPD].count, m->run_fd, &et);
	}
	if (e == OK) {
		status = EX_OSERR;
		e = client_page_create((unsigned)p->concurrency_incoming,
		    (unsigned)c->proven_table_size, &m->client_page_fd, &et);
	}
	if (e == OK)
		e = client_page_map(m->client_page_fd, &m->client_page, &et);
	if (e == OK)
		e = open_loop(m, &et);
	if (e == OK)
		return EX_OK;
	if (e == ERR_BUSY && c->log_format == LOG_QMAIL) {
		log_error("cannot start: qmail-send is already running");
		return QMAIL_TEMPFAIL;
	}
	log_error("%s", et.text);
	return status;
}

static void
on_each_turn(void *arg, struct ev_task *t)
{
	(void)arg;
	(void)t;
	log_flush();
}

static enum err
open_loop(struct master *m, struct errtext *et)
{
	enum err e = ev_loop_new(&m->acct, &m->loop);

	if (e != OK)
		return err_set(et, e, "event loop: %s", err_text(e));
	ev_task_init(&m->each_turn, on_each_turn, m);
	ev_each_turn(m->loop, &m->each_turn);
	if (life_watch(m) != OK)
		return err_set(et, ERR_SYS, "signals");
	return status_open(m, et);
}

static void
open_log(const struct conf *c)
{
	struct errtext et = { "" };

	if (log_open(c->syslog_name, "master", c->log_destination,
		(enum log_format)c->log_format, &et) != OK)
		log_warning("%s", et.text);
}

static int
open_basics(struct master *m)
{
	m->config.acct = &m->acct;
	if (config_start(&m->config) != OK)
		return EX_CONFIG;
	open_log(m->config.used);
	return EX_OK;
}

/* Whatever can prevent a start was said on the terminal; from now on standard
 * error may be a log. */
static enum err
start_logger(const struct conf *c)
{
	struct errtext et = { "" };
	enum err e = logger_start(c, &et);

	if (e == OK)
		open_log(c);
	else
		log_error("%s", et.text);
	return e;
}

static int
run(struct master *m)
{
	int status = prepare(m);

	if (status != EX_OK)
		return status;
	if (start_logger(m->config.used) != OK)
		return EX_CONFIG;
	acct_set_max(&m->acct,
	    plan_account_bytes(&m->config.plan, ROLE_MASTER));
	atomic_store(&m->page->pid, (uint32_t)getpid());
	atomic_store(&m->page->started_wall_ms,
	    clock_system.wall(&clock_system).ms);
	instances_init(m);
	say_start(m);
	instances_start(m);
	if (ev_loop_run(m->loop) != OK) {
		log_error("the event loop failed");
		instances_kill_all(m);
		return EX_OSERR;
	}
	status_close(m);
	for (size_t k = 0; k < 4; k++) {
		static const char *const names[] = { "status", "control",
			"submit", "session" };

		(void)unlinkat(m->run_fd, names[k], 0);
	}
	log_info("stopped");
	return EX_OK;
}

/* Options; false: usage. */
static bool
parse(struct config *c, int argc, char **argv, bool *plan, bool *json)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "-c") == 0 && value != NULL) {
			c->path = argv[++i];
		} else if (strcmp(argv[i], "-o") == 0 && value != NULL) {
			if (c->override_count == CONF_OVERRIDE_COUNT_MAX)
				return false;
			c->overrides[c->override_count++] = argv[++i];
		} else if (strcmp(argv[i], "--plan") == 0) {
			*plan = true;
		} else if (strcmp(argv[i], "--json") == 0) {
			*json = true;
		} else {
			return false;
		}
	}
	return true;
}

/* Commands of users are told which configuration is in force, for what they
 * start of Weir's (sendmail, forward); from a folder that roles leave. */
static void
export_path(const char *path)
{
	char absolute[PATH_MAX];

	if (path == NULL)
		(void)unsetenv("WEIR_CONF");
	else if (realpath(path, absolute) != NULL)
		(void)setenv("WEIR_CONF", absolute, 1);
}

int
main(int argc, char **argv)
{
	struct master *m = &master;
	bool plan = false, json = false;
	struct errtext et = { "" };
	int status;

	if (!parse(&m->config, argc, argv, &plan, &json))
		return usage();
	umask(022);
	raise_nofile();
	/* Below that not even errors can be said as they are. */
	if (plan_nofile_max() < PLAN_NOFILE_MIN &&
	    plan_check_nofile(&m->config.plan, plan_nofile_max(), &et) != OK) {
		log_error("%s", et.text);
		log_close(LAST_WORDS_MS);
		return EX_CONFIG;
	}
	export_path(m->config.path);
	if (limits_page_create("master", 0, &m->page_fd, &m->page, &et) != OK) {
		log_error("%s", et.text);
		return EX_OSERR;
	}
	limits_use(m->page);
	acct_init(&m->acct, NULL, "memory", START_BYTES_MAX, true,
	    "memory_budget");
	status = open_basics(m);
	if (status == EX_OK)
		status = plan ? print_plan(&m->config.plan, json) : run(m);
	log_close(LAST_WORDS_MS);
	logger_stop(LAST_WORDS_MS);
	return status;
}
