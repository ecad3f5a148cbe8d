/*
 * role: the frame of every role program.
 *
 * Happy path: descriptors 3, 4 and 5 -> configuration -> page and account ->
 * log -> loop and control channel -> on_start -> sandbox -> CHANNEL, LISTEN,
 * CLIENT_PAGE -> GO -> role_ready -> ... -> DRAIN -> role_exit -> exit 0.
 *
 * Failure modes: a descriptor is missing (started by hand): exit 64; anything
 * else before the loop: a line in the log, exit 75, the master tries again; a
 * malformed frame from the master, or the end of the channel: the process
 * ends, since without a master it can neither be drained nor restarted.
 */
#include "role/role.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "conf/conf.h"
#include "ev/loop.h"
#include "role/identity.h"
#include "role/plan.h"
#include "role/sandbox.h"
#include "role/settle.h"
#include "role/users.h"

enum {
	EXIT_USAGE = 64,
	EXIT_TEMP = 75,
	CONTROL_QUEUE_BYTES = 64 * 1024,
	LAST_WORDS_MS = 1000,
	MAPPED_BYTES_MIN = 128 * 1024,
};

static struct {
	struct role_self self;
	const struct role_ops *ops;
	struct acct acct;
	struct ev_task each_turn;
	struct limits_page *page;
	uint32_t wanted; /* roles to ask for when there is room again */
	bool exiting;
} role;

/* ---- ends ---- */

static _Noreturn void
leave(int status)
{
	chan_flush(role.self.control);
	log_close(LAST_WORDS_MS);
	exit(status);
}

void
role_exit(struct role_self *self)
{
	role.exiting = true;
	ev_loop_stop(self->loop);
}

void
role_die(struct role_self *self, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	(void)self;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error("fatal: %s", text);
	if (role.self.control != NULL)
		chan_flush(role.self.control);
	log_close(LAST_WORDS_MS);
	_exit(EXIT_TEMP);
}

/* ---- to the master ---- */

static void
send_wanted(struct role_self *self)
{
	for (unsigned r = 0; r < ROLE_COUNT; r++) {
		struct fr_want f = { (uint8_t)r };

		if (!(role.wanted & (1u << r)))
			continue;
		if (send_want(self->control, 0, &f, -1) != OK)
			return;
		role.wanted &= ~(1u << r);
	}
}

void
role_want(struct role_self *self, enum role wanted)
{
	role.wanted |= 1u << wanted;
	send_wanted(self);
}

void
role_ready(struct role_self *self)
{
	struct fr_ready f = { 0 };

	role_settle();
	if (send_ready(self->control, 0, &f, -1) != OK)
		role_die(self, "the master does not listen");
}

void
role_bad_peer(struct role_self *self, enum role peer, unsigned index,
    const char *why)
{
	struct fr_bad_peer f = { (uint8_t)peer, (uint8_t)index,
		slice_str(why) };

	log_error("malformed frame from %s %u: %s; its channel is closed",
	    role_name(peer), index, why);
	f.why = slice_sub(f.why, 0, 200);
	if (send_bad_peer(self->control, 0, &f, -1) != OK)
		log_error("the master was not told");
}

/* ---- from the master ---- */

/* Limits that grew need memory, and others have less then.  An account that is
 * over its new bound grants nothing until enough came back. */
static void
share_anew(struct role_self *self)
{
	struct errtext et = { "" };
	struct plan plan;

	if (plan_make(self->conf, plan_cpu_count(), plan_nofile_max(), &plan,
		&et) != OK)
		log_warning("%s; until a restart the shares of memory stay as "
			    "they are",
		    et.text);
	else
		acct_set_max(&role.acct, plan_account_bytes(&plan, self->role));
}

static void
on_conf(struct role_self *self, struct frame *f)
{
	const struct conf *old = self->conf, *new;
	struct errtext et;

	if (conf_load_fd(self->acct, f->fd, &new, &et) != OK) {
		log_error("reload: %s; the old configuration stays", et.text);
		return;
	}
	self->conf = new;
	share_anew(self);
	if (role.ops->on_reload != NULL)
		role.ops->on_reload(self, old);
	conf_free(old);
}

static void
on_drain(struct role_self *self, unsigned grace_ms)
{
	if (self->draining)
		return;
	self->draining = true;
	if (role.ops->on_drain != NULL)
		role.ops->on_drain(self, grace_ms);
	else
		role_exit(self);
}

/* The descriptor now belongs to the role. */
static int
keep_fd(struct frame *f)
{
	int fd = f->fd;

	f->fd = -1;
	return fd;
}

/* Frames with a descriptor; false: malformed. */
static bool
on_handed(struct role_self *self, struct frame *f)
{
	const struct role_ops *ops = role.ops;
	union {
		struct fr_conf conf;
		struct fr_channel channel;
		struct fr_listen listen;
		struct fr_client_page page;
	} u;

	if (f->fd < 0)
		return false;
	switch (f->type) {
	case FRAME_CONF:
		if (!get_conf(f, &u.conf))
			return false;
		on_conf(self, f);
		return true;
	case FRAME_CHANNEL:
		if (!get_channel(f, &u.channel) || u.channel.peer >= ROLE_COUNT)
			return false;
		if (ops->on_channel != NULL)
			ops->on_channel(self, (enum role)u.channel.peer,
			    u.channel.peer_index, keep_fd(f));
		return true;
	case FRAME_LISTEN:
		if (!get_listen(f, &u.listen) ||
		    u.listen.kind >= LISTEN_KIND_COUNT)
			return false;
		if (ops->on_listen != NULL)
			ops->on_listen(self, (enum listen_kind)u.listen.kind,
			    u.listen.address, keep_fd(f));
		return true;
	case FRAME_CLIENT_PAGE:
		if (!get_client_page(f, &u.page))
			return false;
		if (ops->on_client_page != NULL)
			ops->on_client_page(self, keep_fd(f));
		return true;
	default: return false;
	}
}

static bool
on_order(struct role_self *self, const struct frame *f)
{
	struct fr_drain drain;

	switch (f->type) {
	case FRAME_GO:
		if (role.ops->on_go != NULL)
			role.ops->on_go(self);
		else
			role_ready(self);
		return true;
	case FRAME_DRAIN:
		if (!get_drain(f, &drain))
			return false;
		on_drain(self, drain.grace_ms);
		return true;
	case FRAME_FLUSH:
		if (role.ops->on_flush != NULL)
			role.ops->on_flush(self);
		return true;
	case FRAME_REOPEN_LOG: log_reopen(); return true;
	default: return false;
	}
}

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	struct role_self *self = arg;
	bool ok;

	switch (f->type) {
	case FRAME_CONF:
	case FRAME_CHANNEL:
	case FRAME_LISTEN:
	case FRAME_CLIENT_PAGE: ok = on_handed(self, f); break;
	default: ok = on_order(self, f); break;
	}
	if (!ok)
		chan_bad(c, "does not decode");
}

static void
on_control_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct role_self *self = arg;

	(void)c;
	if (bad)
		role_die(self, "malformed frame from the master: %s", why);
	role_die(self, "the master is gone");
}

static void
on_control_room(void *arg, struct chan *c)
{
	(void)c;
	send_wanted(arg);
}

static const struct chan_events control_events = { on_frame, on_control_closed,
	on_control_room };

/* ---- start ---- */

static void
on_each_turn(void *arg, struct ev_task *t)
{
	(void)arg;
	(void)t;
	log_flush();
}

static void
ignore_signals(void)
{
	static const int ignored[] = { SIGPIPE, SIGTERM, SIGINT, SIGHUP,
		SIGALRM, SIGUSR1 };

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
}

static void
set_limit(int what, rlim_t value)
{
	struct rlimit rl;

	if (getrlimit(what, &rl) != 0)
		return;
	if (rl.rlim_max == RLIM_INFINITY || value < rl.rlim_max)
		rl.rlim_max = value;
	rl.rlim_cur = rl.rlim_max;
	(void)setrlimit(what, &rl);
}

/*
 * The second wall.  The account is the first; data that is neither in it nor
 * in the floor (stacks of threads, the C library's arenas, the page) must fit
 * into the slack, which is address space, not memory in use.
 */
static void
set_limits(const struct plan *plan, enum role r)
{
	const rlim_t slack = 64 << 20;
	struct rlimit rl;

	set_limit(RLIMIT_CORE, 0);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
	/* The workers of local, and what users start, inherit it: they have
	 * command_memory_limit.  A sanitizer's shadow does not fit. */
	if (!(sandbox_rights(r)->calls & SANDBOX_ANY) && !sandbox_sanitized())
		set_limit(RLIMIT_DATA,
		    (rlim_t)plan->parts[r].floor_bytes +
			(rlim_t)plan_account_bytes(plan, r) * 3 / 2 + slack);
}

/*
 * A role that is woken does not interrupt the one that wakes it: it runs when
 * that one has nothing more to do, and finds all of it at once instead of a
 * frame at a time.  What users start is an ordinary process again.  A policy
 * that an administrator chose stays.
 */
static void
set_policy(enum role r)
{
	struct sched_param none = { 0 };
	int policy = SCHED_BATCH;

	if (r == ROLE_LOCAL)
		policy |= SCHED_RESET_ON_FORK;
	if (sched_getscheduler(0) == SCHED_OTHER)
		(void)sched_setscheduler(0, policy, &none);
}

/* Configuration, page, account, log. */
static enum err
open_basics(struct role_self *self, struct plan *plan, struct errtext *et)
{
	const struct conf *c;
	enum err e;

	e = limits_page_map(ROLE_PAGE_FD, true, &role.page, et);
	if (e != OK)
		return e;
	close(ROLE_PAGE_FD);
	limits_use(role.page);
	atomic_store(&role.page->pid, (uint32_t)getpid());
	atomic_store(&role.page->started_wall_ms,
	    clock_system.wall(&clock_system).ms);

	acct_init(&role.acct, NULL, "memory", 0, true, "memory_budget");
	self->acct = &role.acct;
	e = conf_load_fd(self->acct, ROLE_CONF_FD, &c, et);
	if (e != OK)
		return e;
	close(ROLE_CONF_FD);
	self->conf = c;
	e = plan_make(c, plan_cpu_count(), plan_nofile_max(), plan, et);
	if (e != OK)
		return e;
	acct_set_max(&role.acct, plan_account_bytes(plan, self->role));
	return log_open(c->syslog_name, role_name(self->role),
	    c->log_destination, (enum log_format)c->log_format, et);
}

static enum err
open_loop(struct role_self *self, struct errtext *et)
{
	enum err e = ev_loop_new(self->acct, &self->loop);

	if (e != OK)
		return err_set(et, e, "event loop");
	ev_task_init(&role.each_turn, on_each_turn, NULL);
	ev_each_turn(self->loop, &role.each_turn);
	e = chan_open(self->loop, self->acct, ROLE_CONTROL_FD, self->role,
	    ROLE_MASTER, 0, &control_events, self, CONTROL_QUEUE_BYTES,
	    &self->control);
	return e == OK ? OK : err_set(et, e, "control channel");
}

static enum err
start(struct role_self *self, struct errtext *et)
{
	struct identity id;
	struct plan plan;
	enum err e;

	e = open_basics(self, &plan, et);
	if (e != OK)
		return e;
	set_limits(&plan, self->role);
	set_policy(self->role);
	e = open_loop(self, et);
	if (e == OK)
		e = identity_find(self->conf, self->role, &id, et);
	if (e != OK)
		return e;
	self->uid = id.uid;
	self->gid = id.gid;
	e = sandbox_go_home(self->conf, self->role, et);
	if (e != OK)
		return e;
	if (role.ops->on_start != NULL) {
		e = identity_borrow(&id, et);
		if (e == OK)
			e = role.ops->on_start(self, et);
		if (e == OK)
			e = identity_return(&id, et);
		if (e != OK)
			return e;
	}
	return sandbox_enter(self->conf, self->role, &id, et);
}

static bool
fds_given(void)
{
	return fcntl(ROLE_CONTROL_FD, F_GETFD) >= 0 &&
	       fcntl(ROLE_CONF_FD, F_GETFD) >= 0 &&
	       fcntl(ROLE_PAGE_FD, F_GETFD) >= 0;
}

int
role_main(int argc, char **argv, const struct role_ops *ops)
{
	struct role_self *self = &role.self;
	struct errtext et = { "" };
	uint64_t index = 0;

	if (argc < 2 || argc > 3 ||
	    !slice_to_u64(slice_str(argv[1]), UINT8_MAX, &index) ||
	    (argc == 3 && !users_take(argv[2])) || !fds_given()) {
		fprintf(stderr, "weir-%s is started by weir run\n",
		    role_name(ops->role));
		return EXIT_USAGE;
	}
	(void)fcntl(ROLE_CONTROL_FD, F_SETFD, FD_CLOEXEC);
	/* Large pieces are mapped, now and later: the C library would take
	 * them from the heap once one was freed, and they would stay. */
	mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
	ignore_signals();
	/* What a role writes is nobody else's; local decides per mailbox. */
	umask(077);
	role.ops = ops;
	self->role = ops->role;
	self->index = (unsigned)index;
	if (start(self, &et) != OK)
		role_die(self, "cannot start: %s", et.text);

	if (ev_loop_run(self->loop) != OK && !role.exiting)
		role_die(self, "the event loop failed");
	leave(0);
}
