/*
 * role: what every role program does in the same way.
 *
 * role_main() takes the control channel (descriptor 3), reads the
 * configuration, opens the limits page and the log, makes the role's account
 * (its part of memory_budget, role/plan.h), calls on_start, drops the identity
 * and enters the sandbox (role/sandbox.h), runs the loop, and calls the role's
 * functions for what the master says.  The log is flushed at each turn.
 * SIGPIPE, TERM, INT, HUP, ALRM and USR1 are ignored: the master sees them and
 * speaks by frames.  When the control channel ends, so does the role.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"
#include "ipc/chan.h"
#include "ipc/frames.h"

struct conf;
struct ev_loop;

enum { ROLE_CONTROL_FD = 3, ROLE_CONF_FD = 4, ROLE_PAGE_FD = 5 };

/*
 * The process: one per program, made by role_main.
 *
 * A role whose files lie below queue_directory (queue, pickup) reaches them
 * by paths relative to its working directory, which is queue_directory: it may
 * have neither the path (its root is changed) nor the right to walk it.
 */
struct role_self {
	enum role role;
	unsigned index; /* which of several of the same role */
	struct ev_loop *loop;
	const struct conf *conf; /* replaced on reload */
	struct acct *acct;    /* root account: this role's part of the budget */
	struct chan *control; /* to the master */
	uid_t uid;	      /* as whom it runs; for local, which */
	gid_t gid;	      /* stays root: Weir's own user */
	bool draining;
};

struct role_ops {
	enum role role;
	/*
	 * Before the sandbox closes: open what must be open, with the
	 * effective identity that the role will have.  Start no thread here
	 * (it would stay outside the sandbox): on_go is the place.  An error
	 * ends the process with et in the log; the master tries again.  NULL:
	 * nothing to do.
	 */
	enum err (*on_start)(struct role_self *self, struct errtext *et);
	/* A channel to a peer came (also after the peer's restart, when it
	 * replaces the old one).  fd belongs to the callee. */
	void (*on_channel)(struct role_self *self, enum role peer,
	    unsigned index, int fd);
	void (*on_listen)(struct role_self *self, enum listen_kind kind,
	    struct slice address, int fd);
	void (*on_client_page)(struct role_self *self, int fd);
	/* All that the master has for the start was handed over: serve, then
	 * role_ready(), at once or when recovery has ended.  More channels
	 * may come later.  NULL: it is ready as it is. */
	void (*on_go)(struct role_self *self);
	/* self->conf is the new one; old is freed after the call, so keep no
	 * string of it.  NULL: nothing to do. */
	void (*on_reload)(struct role_self *self, const struct conf *old);
	/* Finish what runs within grace_ms; then role_exit().  NULL: nothing
	 * runs, exit at once. */
	void (*on_drain)(struct role_self *self, unsigned grace_ms);
	void (*on_flush)(struct role_self *self);
};

/* The main of a role program; returns its exit status. */
int role_main(int argc, char **argv, const struct role_ops *ops);

/* Tell the master that the role serves.  Once. */
void role_ready(struct role_self *self);
/* Leave the loop and exit 0 (drained, or idle on demand). */
void role_exit(struct role_self *self);
/* Leave at once with a line in the log; the master restarts the role. */
_Noreturn void role_die(struct role_self *self, const char *fmt, ...)
    PRINTF(2, 3);
/* Ask the master for an on-demand role. */
void role_want(struct role_self *self, enum role wanted);
/* on_closed with bad: log it and tell the master. */
void role_bad_peer(struct role_self *self, enum role peer, unsigned index,
    const char *why);
