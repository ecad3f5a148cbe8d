/*
 * master: structures of the master, private to it.
 *
 * The life of a place for a process (struct instance):
 *
 *   IDLE      not started: on demand, or the server is draining
 *   WAITING   died or could not be started; its timer says when again
 *   STARTING  executed, not ready yet
 *   SERVING   said READY
 *   LEAVING   its channel is gone or it was killed: until the kernel says
 *             that it is dead
 *
 * A process that dies by itself: SERVING -> WAITING (no wait if it had served
 * for a second) -> STARTING.  One that sent a malformed frame, or whose peer
 * says so: killed, then the same.  An on-demand role that exits 0: IDLE.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/mem.h"
#include "ev/loop.h"
#include "ipc/chan.h"
#include "ipc/client_page.h"
#include "master/backoff.h"
#include "master/config.h"
#include "master/listen.h"

struct limit_row;
struct limits_page;

enum {
	/* 64 smtpd, 64 smtp and one of each other role. */
	INSTANCES_MAX = 2 * 64 + ROLE_COUNT,
	CONTROL_QUEUE_BYTES = 64 * 1024,
	/* A process whose channel is gone is about to exit; if not by then,
	 * it is killed. */
	LEAVE_MS = 5000,
	/* Of run/status: together, of users who are neither root nor ours, and
	 * of one of these. */
	STATUS_CLIENTS_MAX = 32,
	STATUS_STRANGERS_MAX = 24,
	STATUS_CLIENTS_PER_USER = 4,
};

enum instance_state {
	INSTANCE_IDLE,
	INSTANCE_WAITING,
	INSTANCE_STARTING,
	INSTANCE_SERVING,
	INSTANCE_LEAVING,
};

struct instance {
	struct master *master;
	enum role role;
	unsigned index;
	enum instance_state state;
	bool linked;	/* has its channels */
	bool wanted;	/* on demand: start again when it ended */
	bool was_ready; /* this process said READY */
	bool told_drain;
	pid_t pid; /* 0: no process */
	struct chan *control;
	struct limits_page *page; /* of this process; NULL: none */
	int page_fd;
	pid_t lent_to; /* who got its sockets when it was throttled */
	unsigned restarts;
	struct mono started;
	struct backoff backoff;
	struct ev_timer timer; /* WAITING: start; LEAVING: kill */
};

/* A client of run/status whose answer may be on its way. */
struct status_client {
	struct master *master;
	int fd; /* -1: the place is free */
	uid_t uid;
	bool trusted; /* root, or our own user */
	struct ev_io io;
};

enum master_state {
	MASTER_STARTING, /* until every permanent role was ready once */
	MASTER_SERVING,
	MASTER_DRAINING,
};

struct master {
	struct acct acct;
	struct ev_loop *loop;
	struct ev_task each_turn;
	struct config config;
	struct listeners listeners;
	struct client_page client_page;
	int client_page_fd;
	int lock_fd, run_fd;
	struct limits_page *page; /* the master's own */
	int page_fd;
	int status_fd; /* listening socket of run/status */
	struct ev_io status_io;
	struct ev_timer status_timer; /* accept failed: try again */
	struct status_client status_clients[STATUS_CLIENTS_MAX];
	unsigned status_count;
	struct limit_row *status_row;
	struct instance instances[INSTANCES_MAX];
	unsigned instance_count;
	struct limit_row *processes; /* that run */
	struct limit_row *attempts_row, *throttle_row, *grace_row;
	struct log_limit_site attempts_site;
	enum master_state state;
	struct ev_timer grace;	      /* DRAINING: shutdown_grace */
	struct ev_timer logger_timer; /* multilog ended: start it again */
	unsigned exit_status;
};

/* ---- instance.c: processes ---- */

/* A place for each process of the plan. */
void instances_init(struct master *m);
/* The limits page, after a reload. */
void instances_limits(struct master *m);
/* All permanent roles, and pickup if something was dropped. */
void instances_start(struct master *m);
/* WANT: start an on-demand role. */
void instance_want(struct master *m, enum role role);
/* Reap what died. */
void instances_reap(struct master *m);
/* Kill it; it is restarted as after any death. */
void instance_kill(struct instance *i, const char *why);
/* NULL: there is no such place. */
struct instance *instance_find(struct master *m, enum role role,
    unsigned index);
bool instance_running(const struct instance *i);
/* Processes of all roles that run. */
unsigned instances_running(const struct master *m);
/* An end that cannot be waited for. */
void instances_kill_all(struct master *m);

/* ---- control.c: frames between the master and its roles ---- */

/* Open the control channel of a new process; owns fd.  ERR_FULL. */
MUST_CHECK enum err control_open(struct instance *i, int fd);
/* Channels to every peer that runs. */
void control_link(struct instance *i);
/* Sockets and pages, then GO. */
void control_go(struct instance *i);
/* Its listening sockets to another process of the same role. */
void control_lend(struct instance *from);
void control_conf(struct master *m);
void control_drain(struct instance *i, int64_t grace_ms);
void control_flush(struct master *m);
void control_reopen_log(struct master *m);

/* ---- life.c: start, ready, reload, drain, end ---- */

/* A role said READY. */
void life_ready(struct master *m);
/* A process ended while draining. */
void life_ended(struct master *m);
/* Signals; ERR_SYS. */
MUST_CHECK enum err life_watch(struct master *m);

/* ---- status.c: run/status ---- */

/* From the loop's start to its end. */
MUST_CHECK enum err status_open(struct master *m, struct errtext *et);
void status_close(struct master *m);
