/*
 * world: a queue with its peers played by the test over socket pairs, the
 * store by fake_store.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "ev/loop.h"
#include "fake_store.h"
#include "ipc/chan.h"
#include "ipc/frames.h"
#include "ipc/job.h"
#include "proto/envelope.h"
#include "queue/queue.h"

enum { W_TXNS = 64, W_JOBS = 256, W_RCPTS = 4096 };

/* A transaction as smtpd sees it. */
struct w_txn {
	bool ready, done;
	uint8_t ready_error, done_error;
	uint64_t id;
	uint32_t credit;
};

/* A delivery as an agent sees it. */
struct w_job {
	uint32_t tag;
	bool whole; /* JOB came */
	bool answered;
	char transport[40], nexthop[300], sender[300];
	uint64_t id;
	unsigned rcpts, extents;
	struct extent extent;
	char address[8][100]; /* of the first */
	uint32_t index[W_RCPTS / 16];
	char mailbox[100];
};

struct w_agent {
	struct chan *chan;
	enum role role;
	unsigned index;
	int segment_fd; /* of segment 1 */
	unsigned segments, drops;
	struct w_job jobs[W_JOBS];
	unsigned job_count;
};

/* A report as bounce sees it. */
struct w_report {
	uint32_t tag;
	uint8_t kind;
	uint64_t id;
	unsigned rcpts, extents;
	char to[200], address[200], text[300], dsn[16];
};

extern struct world {
	struct acct acct;
	struct ev_loop *loop;
	const struct conf *conf;
	struct queue *q;
	struct chan *smtpd, *lookup, *bounce;
	struct w_txn txns[W_TXNS];
	struct w_agent smtp[2], local;
	struct w_report reports[16];
	unsigned report_count;
	unsigned questions;  /* RESOLVEs */
	uint8_t state_error; /* QUEUE_STATE */
	unsigned wants, bads, deaths, drained;
	char bad_why[200];
	bool lookup_mute;
	bool jobs_hang; /* agents do not answer */
	bool bounce_mute;
	bool bounce_fails;   /* REPORT_FAILED */
	bool bounce_hangs;   /* in the middle of a report */
	uint64_t arrival_ms; /* that smtpd gives; 0: now */
	char body[40000];    /* that smtpd sends */
} w;

/* conf: lines of weir.conf. */
void world_open(const char *conf);
void world_close(void);
void world_reload(const char *conf); /* as HUP does */
/* A new queue on what the store kept, with new peers. */
void world_restart(bool crash);
void world_agents(void); /* connect smtp 0, 1 and local */
void world_bounce(void);
void world_lookup(void);
/* Turns of the loop until cond; fails after twenty seconds. */
void turns(unsigned n);
#define until(cond)                                            \
	do {                                                   \
		for (int64_t end_ = clock_ns() + 20000000000;  \
		     !(cond) && clock_ns() < end_;)            \
			turns(1);                              \
		if (!(cond))                                   \
			world_fail(#cond, __func__, __LINE__); \
	} while (0)

/* smtpd: recipients by commas, each with an optional "/NOTIFY" digit. */
void open_txn(uint32_t tag, const char *sender, const char *rcpts);
void send_body(uint32_t tag, size_t len);
void commit_txn(uint32_t tag, uint64_t body_bytes);
/* All of it; waits for the answer.  Gives the id. */
uint64_t submit(uint32_t tag, const char *sender, const char *rcpts);
void answer_job(struct w_agent *a, struct w_job *j);
/* Prints the log, too: standard error is a file while a world is open. */
void world_fail(const char *cond, const char *func, int line);
/* The log so far holds this text. */
bool logged(const char *text);
