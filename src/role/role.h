/*
 * role: what every role program does in the same way.
 *
 * role_main() takes the control channel (descriptor 3), reads the
 * configuration, opens the log and the limits page, drops the identity and
 * enters the sandbox (role/sandbox.h), runs the loop, and calls the role's
 * functions for what the master says.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "ipc/chan.h"
#include "ipc/frames.h"

struct conf;
struct ev_loop;

enum { ROLE_CONTROL_FD = 3, ROLE_CONF_FD = 4, ROLE_PAGE_FD = 5 };

/* The process: one per program, made by role_main. */
struct role_self {
	enum role role;
	unsigned index;           /* which of several of the same role */
	struct ev_loop *loop;
	const struct conf *conf;  /* replaced on reload */
	struct acct *acct;        /* root account: this role's part of the budget */
	struct chan *control;     /* to the master */
	bool draining;
};

struct role_ops {
	enum role role;
	/* Before the sandbox closes: open what must be open.  NULL: nothing. */
	enum err (*on_start)(struct role_self *self, struct errtext *et);
	/* A channel to a peer came (also after the peer's restart, when it
	 * replaces the old one).  fd belongs to the callee. */
	void (*on_channel)(struct role_self *self, enum role peer,
	    unsigned index, int fd);
	void (*on_listen)(struct role_self *self, enum listen_kind kind,
	    struct slice address, int fd);
	void (*on_client_page)(struct role_self *self, int fd);
	/* All was handed over: serve.  Then role_ready(). */
	void (*on_go)(struct role_self *self);
	/* self->conf is the new one; old stays valid during the call. */
	void (*on_reload)(struct role_self *self, const struct conf *old);
	/* Finish what runs within grace_ms; then role_exit(). */
	void (*on_drain)(struct role_self *self, unsigned grace_ms);
	void (*on_flush)(struct role_self *self);
};

/* The main of a role program; returns its exit status. */
int role_main(int argc, char **argv, const struct role_ops *ops);

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
