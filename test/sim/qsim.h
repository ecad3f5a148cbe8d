/*
 * qsim: the real queue role, with its scheduler and the real store, between
 * peers that are played here, on a virtual clock and the simulated disk.
 *
 * Each recipient carries its number in ORCPT, so that whatever the queue does
 * with it is known to the model (qmodel.c), which says what may be.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "ipc/chan.h"
#include "ipc/job.h"
#include "queue/internal.h"
#include "simchan.h"
#include "simdisk.h"
#include "simloop.h"

enum {
	Q_MSGS_MAX = 400,
	Q_RCPTS_MAX = 4000,
	Q_RCPTS_EACH_MAX = 40,
	Q_DESTS = 14,
	Q_DESTS_LOCAL = 3, /* the first of them */
	Q_AGENTS = 3,	   /* smtp 0 and 1, local */
	Q_JOBS_MAX = 128,
	Q_EVENTS_MAX = 1024,
	Q_TXNS_MAX = 64,
	Q_REPORTS = 8,
	/* So long is a recipient without any progress, at most. */
	Q_LATE_MS = 260000,
};

/* How a destination behaves. */
enum q_kind {
	KIND_FAST,
	KIND_SLOW,
	KIND_DEAD,    /* no connection */
	KIND_BUSY,    /* refuses more than two deliveries at once */
	KIND_FLAKY,   /* anything */
	KIND_SILENT,  /* its deliveries hang */
	KIND_REFUSED, /* lookup says that there is nobody */
	KIND_LATER,   /* lookup says not now */
	KIND_COUNT
};

struct q_rcpt {
	unsigned msg;
	uint8_t dest, notify;
	bool tried;	  /* in a delivery, ever */
	bool running;	  /* in a delivery, as the queue sees it */
	bool done;	  /* delivered, or given up without a report */
	bool owed;	  /* a report about it is owed */
	bool over;	  /* nothing more may happen to it */
	bool again;	  /* that may be forgotten: it may be delivered again */
	int64_t done_ms;  /* when the queue heard or decided that */
	int64_t moved_ms; /* when something happened to it last */
	int64_t deferred_ms; /* when it was deferred last; 0: never */
};

struct q_msg {
	unsigned first, count; /* its recipients */
	bool null_sender, twice_bounced;
	bool committed; /* COMMIT was sent: it may exist */
	bool acked;	/* and was acknowledged */
	bool held, gone;
	bool spared; /* a restart may have lost count of its age */
	uint64_t id;
	int64_t acked_ms;
	int64_t free_ms; /* since then it may be tried early */
	unsigned about[Q_RCPTS_EACH_MAX * 2]; /* of a report */
	unsigned about_count;
	bool about_over; /* it ends them: not a report of a delay */
};

enum q_event_kind {
	DO_ARRIVE,
	DO_JOB,	     /* a: slot, b: its tag */
	DO_ANSWER,   /* lookup; a: slot of the question */
	DO_AGENT,    /* connect agent a */
	DO_LOOKUP,   /* connect */
	DO_BOUNCE,   /* connect */
	DO_MISCHIEF, /* one random trouble */
	DO_RESTART,
	DO_RESUME, /* agent a reads again */
};

struct q_event {
	int64_t at_ms;
	uint64_t serial;
	enum q_event_kind kind;
	unsigned a, b;
};

struct q_job {
	bool used, whole;
	unsigned agent;
	uint32_t tag;
	unsigned dest;
	unsigned rcpt_count;
	unsigned rcpts[Q_RCPTS_EACH_MAX]; /* of the model */
	uint32_t index[Q_RCPTS_EACH_MAX]; /* in the message */
};

struct q_question {
	bool used;
	uint32_t tag;
	unsigned dest;
	char address[200];
};

enum q_plant {
	PLANT_NONE,
	PLANT_SLOT,   /* a window's slot is not given back */
	PLANT_GATE,   /* a gate's slot is not */
	PLANT_WINDOW, /* a window grows beyond its bound */
	PLANT_LOST,   /* a recipient is not scheduled */
	PLANT_ACK,    /* what is not durable counts as durable */
	PLANT_RESULT, /* a result is not written */
	PLANT_LATE,   /* a retry comes far too late */
	PLANT_EARLY,  /* a retry comes at once */
	PLANT_CROWD,  /* the limit of active messages does not count */
	PLANT_SHARE,  /* deferred mail takes the places of new mail */
	PLANT_HOP,    /* one destination takes the places of others */
	PLANT_COUNT
};

struct qsim {
	uint64_t seed, random;
	int64_t now_ms;
	struct acct acct, conf_acct;
	struct ev_loop *loop;
	struct simdisk disk;
	const struct conf *conf;
	struct queue *q;    /* NULL: it does not run */
	bool abandon;	    /* the process dies */
	bool died;	    /* the queue asked for its end */
	bool healing;	    /* the end of a run: nothing fails any more */
	bool pressure;	    /* memory or disk refuse */
	int64_t pressed_ms; /* when they did last */
	int64_t restart_ms, free_ms;
	bool went_back; /* the wall clock, once */
	unsigned spins; /* turns without time */

	/* from the seed */
	unsigned trouble; /* 1 of so many steps is mischief */
	int64_t least_backoff_ms, lifetime_ms;
	enum q_kind kind[Q_DESTS];
	bool crowd;    /* qcrowd.c: most mail is for the last hops */
	unsigned hops; /* so many of them */
	unsigned turn; /* healthy destinations */
	unsigned arrivals;

	struct q_event events[Q_EVENTS_MAX];
	unsigned event_count;
	uint64_t event_serial;

	struct chan *smtpd, *lookup, *bounce, *control;
	struct chan *agent[Q_AGENTS];
	bool lookup_mute;
	uint32_t tag;
	unsigned txn_msg[Q_TXNS_MAX]; /* by tag; + 1, 0: free */
	uint32_t ahead_tag;	      /* asked for, granted or used; 0 */
	uint64_t ahead_id;	      /* granted, not used; 0 */
	unsigned ahead_msg;	      /* that uses it; + 1 */
	struct q_job jobs[Q_JOBS_MAX];
	struct q_question questions[128];
	unsigned bounce_msg[Q_REPORTS];			   /* by tag; + 1 */
	unsigned about[Q_RCPTS_EACH_MAX * 2], about_count; /* gathered */
	unsigned control_id; /* message + 1 of the request under way */
	enum ctl_verb control_verb;

	struct q_msg msgs[Q_MSGS_MAX];
	unsigned msg_count;
	struct q_rcpt rcpts[Q_RCPTS_MAX];
	unsigned rcpt_count;
};

struct q_stats {
	uint64_t runs, messages, recipients, deliveries, deferrals, reports,
	    restarts, turns, wait_ms_max;
};

extern struct qsim w;
extern struct q_stats q_stats;
extern bool q_verbose;
extern enum q_plant q_plant;

void q_fail(const char *fmt, ...) PRINTF(1, 2) __attribute__((noreturn));
void q_say(const char *fmt, ...) PRINTF(1, 2);
/* A random number below n. */
uint64_t q_chance(uint64_t n);

/* ---- qworld.c ---- */

/* One run, from its seed to its end. */
void q_run(uint64_t seed);
/* In so many ms of virtual time. */
void q_after(int64_t ms, enum q_event_kind kind, unsigned a, unsigned b);
/* Join a new pair: our end (*at, with its events) and the queue's. */
void q_connect(enum role role, unsigned index, struct chan **at,
    const struct chan_events *events, void *arg);

/* ---- qcrowd.c ---- */

/* This run is one of a crowd, and only that. */
void q_crowd_begin(void);
unsigned q_crowd_dest(void); /* of the next recipient */
/* Mail for healthy destinations does not wait; between turns. */
void q_crowd_check(void);

/* ---- qpeers.c, qagents.c ---- */

void q_peers_open(void);  /* all that are not there */
void q_peers_close(void); /* all */
void q_lookup_open(void);
void q_lookup_answer(unsigned question);
void q_bounce_open(void);
void q_arrive(void);
void q_agent_open(unsigned agent);
void q_agent_close(unsigned agent);
void q_job_end(unsigned job, uint32_t tag);
/* An administrator's request about one message; not while one runs. */
void q_control(enum ctl_verb verb, unsigned msg);

/* ---- qmodel.c ---- */

unsigned q_msg_new(void);
unsigned q_rcpt_new(unsigned msg, unsigned dest, uint8_t notify);
/* The number in an ORCPT. */
unsigned q_rcpt_of(struct slice orcpt);
void q_acked(unsigned msg, uint64_t id);
/* A report is known to exist: what it is about is over. */
void q_report_exists(unsigned msg);
/* The process died: what was heard lately may be forgotten. */
void q_crashed(void);
/* Trouble after which any message may be tried early. */
void q_free_all(void);
/* A delivery begins; something has become of a recipient. */
void q_check_start(const struct sched_job *job);
void q_note_outcome(const struct rcpt *x, const struct result *res);
/* Between turns: limits, windows, slots; and nobody waits for nothing. */
void q_check(void);
/* Nobody was forgotten. */
void q_check_late(void);
/* Everything has ended. */
void q_check_end(void);
