/*
 * plan: how memory_budget is split between the roles.
 *
 * Each role gets its floor (what a process of it takes before it holds
 * anything: data, stacks, libraries), what its pools need for the classic
 * limits, and a share of the rest, on which work draws in stages.  What cannot
 * fit is an error that names the parameter to lower.  concurrency_incoming is
 * derived from the rest when it is 0.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ipc/chan.h"

struct conf;

/* What one object costs; the pools of the roles are held to them. */
enum {
	PLAN_SESSION_BYTES = 2048,	 /* idle, in smtpd */
	PLAN_SOCKET_BYTES = 2048,	 /* in the kernel */
	PLAN_ACTIVE_MESSAGE_BYTES = 192, /* in queue */
	PLAN_ACTIVE_RCPT_BYTES = 128,	 /* in queue */
	/* In smtp: a job of 5 KiB, a session in use and an idle one of
	 * 6 KiB each, what sockets did not take, and the sockets. */
	PLAN_REMOTE_JOB_BYTES = 32 << 10,
	PLAN_LOCAL_JOB_BYTES = 256 << 10, /* a worker of local */
	PLAN_DNS_QUERY_BYTES = 33 << 10,  /* outstanding, in libunbound */
	PLAN_DNS_QUERY_RESERVE = 48,	  /* so many cost nothing more */
	PLAN_SESSIONS_MIN = 20,		  /* fewer are an error */
	PLAN_NOFILE_MIN = 64, /* descriptors of a process: likewise */
	/* One process of smtpd and smtp at most for so much budget, where
	 * their number is not set. */
	PLAN_BUDGET_PER_PROCESS_BYTES = 16 << 20,
};

/* A role, each of its processes. */
struct plan_part {
	unsigned count;	      /* processes */
	int64_t floor_bytes;  /* not in the account */
	int64_t fixed_bytes;  /* pools, buffers, caches */
	int64_t shared_bytes; /* drawn on in stages */
};

struct plan {
	int64_t budget_bytes;
	struct plan_part parts[ROLE_COUNT];
	int64_t client_page_bytes;
	int64_t socket_bytes;	      /* kernel memory of sessions */
	int64_t concurrency_incoming; /* in force */
	int64_t nofile_needed;	      /* descriptors, of an smtpd */
	int64_t clamped_from;	      /* concurrency_incoming before descriptors
					 clamped it; 0: they did not */
	/* What else it carries, as the configuration asks. */
	int64_t active_max, rcpt_max, local_max, remote_max;
};

/*
 * plan_make(conf, cpu_count, nofile_max, out, et):
 * cpu_count   processes of smtpd and smtp where the parameter is 0.
 * nofile_max  descriptors that a process may have (hard limit).
 *
 * ERR_CONFIG with a text that names the parameter to lower.
 */
MUST_CHECK enum err plan_make(const struct conf *conf, unsigned cpu_count,
    int64_t nofile_max, struct plan *out, struct errtext *et);

/*
 * plan_check_nofile(p, nofile_max, et):
 * ERR_CONFIG, with a text that says what to raise, if so many descriptors are
 * not enough to run at all.
 */
MUST_CHECK enum err plan_check_nofile(const struct plan *p, int64_t nofile_max,
    struct errtext *et);

/* The account of one process of a role. */
int64_t plan_account_bytes(const struct plan *p, enum role role);

enum { PLAN_CLAMPED_BYTES = 160 };

/* "concurrency_incoming is 29 instead of 30: RLIMIT_NOFILE is 93"; false:
 * descriptors clamped nothing. */
bool plan_clamped(const struct plan *p, int64_t nofile_max,
    char text[static PLAN_CLAMPED_BYTES]);

/* The plan for people, line by line. */
typedef void plan_line_fn(void *arg, const char *line);
void plan_print(const struct plan *p, plan_line_fn *fn, void *arg);
/* The same for programs: one object in one line, sizes in bytes. */
void plan_print_json(const struct plan *p, plan_line_fn *fn, void *arg);

/*
 * plan_fit(plan, role, nofile_max):
 * How many deliveries the processes of role (ROLE_LOCAL or ROLE_SMTP) carry
 * at once, with nofile_max descriptors each; at least 1.
 */
unsigned plan_fit(const struct plan *p, enum role role, int64_t nofile_max);

/* Processors this process may use, at least 1. */
unsigned plan_cpu_count(void);
/* Hard limit of open descriptors. */
int64_t plan_nofile_max(void);
