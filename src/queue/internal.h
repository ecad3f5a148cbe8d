/*
 * internal: structures of the queue role, private to it.
 *
 * The life of a message here (struct msg):
 *
 *   MSG_INCOMING   in a transaction (txn.c), until its commit is durable
 *   MSG_ACTIVE     recipients are routed (route.c), scheduled, delivered
 *                  (job.c); what became of them is an outcome (result.c)
 *   MSG_REPORTING  every recipient in memory has an outcome, and the sender
 *                  is owed a report (report.c)
 *   MSG_ENDING     its last record waits to be durable; then "removed"
 *
 * or, instead of ENDING, it leaves memory and waits on disk until it is due
 * (due.c).  A message with more recipients than there is room for is taken in
 * parts: each part goes through ACTIVE and REPORTING.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/gate.h"
#include "base/hash.h"
#include "base/ladder.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/slice.h"
#include "base/time.h"
#include "conf/conf.h"
#include "ev/loop.h"
#include "ipc/chan.h"
#include "ipc/frames.h"
#include "ipc/job.h"
#include "proto/envelope.h"
#include "queue/queue.h"
#include "queue/retry.h"
#include "queue/sched.h"
#include "store/store.h"

enum {
	/* Transactions at once; some are only for reports and pickup. */
	TXNS_MAX = 4096,
	UNPROVEN_PERCENT = 80, /* of places and memory, for all strangers */
	TXNS_RESERVED = 16,
	TXNS_AHEAD_MAX = 16, /* granted ahead, to all smtpd together */
	/* Unwritten body of one transaction. */
	TXN_CREDIT_BYTES = 65536,
	/* Credit is given back in steps of this. */
	TXN_CREDIT_STEP_BYTES = 16384,
	/* Envelope, recipients and what lies around them. */
	TXN_ACCOUNT_BYTES_MAX = 192 << 10,
	REPORT_RCPTS_MAX = 256, /* recipients of one report */
	/* Accepted body that waits for the store's batch, of all together. */
	BODY_WAIT_BYTES_MAX = 4 << 20,
	PEERS_MAX = 160, /* channels to other roles */
	PEER_QUEUE_BYTES = 512 << 10,
	ROUTES_MAX = 64,	  /* questions to lookup at once */
	ROUTE_TIMEOUT_MS = 60000, /* without any answer */
	ROUTE_WAIT_MS = 300000,	  /* for a turn, while lookup is slow */
	REPORTS_MAX = 4,	  /* reports being composed at once */
	REPORT_TIMEOUT_MS = 120000,
	CLIENTS_MAX = 16,	/* of the control socket */
	SEGMENTS_MAX = 512,	/* descriptors that one agent keeps */
	JOB_RCPTS_MAX = 1000,	/* of one delivery */
	JOBS_MAX = 12000,	/* bounds of the two gates together */
	JOBS_WRITTEN_MAX = 256, /* that wait for the disk without a slot */
	JOB_DEADLINE_MS = 6 * 3600 * 1000,
	LOADS_PER_TURN = 16,
	LOAD_ARENA_BYTES_MAX = 4 << 20,
	SCRATCH_BYTES = 65536,
	RESULTS_PER_RECORD = 64,
	/* Memory that active messages leave to transactions. */
	MSG_RESERVE_BYTES = 256 << 10,
	/* What a message, or a recipient, in memory takes of it, about. */
	MSG_BYTES = 1024,
	RCPT_BYTES = 256,
	/* A recipient for which there was no room comes back so soon. */
	PUT_BACK_MS = 10000,
};

struct domain_cache;
struct queue;
struct msg;

/* What became of a recipient, until it is stored or reported. */
struct outcome {
	char dsn[JOB_DSN_BYTES_MAX + 1];
	uint16_t relay_len;
	uint16_t text_len;
	char bytes[]; /* relay, text */
};

enum rcpt_state {
	RCPT_ROUTING, /* lookup is, or will be, asked */
	RCPT_WAITING, /* in the scheduler */
	RCPT_RUNNING, /* in a delivery */
	RCPT_OVER,    /* done for this pass: status says how */
};

/* What lookup said of a recipient; charged. */
struct rcpt_way {
	uint16_t mailbox_len; /* of local and virtual; 0: none */
	uint16_t address_len; /* that stands for the one in the envelope; 0:
				 none does */
	char bytes[];	      /* mailbox, address */
};

struct rcpt {
	struct sched_rcpt sched; /* .node also: queue.routing, job.rcpts */
	struct list_node node;	 /* msg.rcpts */
	struct msg *msg;
	struct rcpt_way *way;	 /* or NULL */
	struct outcome *outcome; /* or NULL */
	uint32_t index;
	uint32_t uid, gid;
	uint32_t delivery; /* its number in qmail's log; 0: none */
	uint16_t attempts;
	uint16_t address_len, orcpt_len, original_len;
	uint8_t notify;
	uint8_t state;	/* enum rcpt_state */
	uint8_t status; /* enum store_status */
	bool unwritten; /* status is not in the log yet */
	bool answered;	/* its delivery gave a result */
	bool put_back;	/* was not tried: there was no room */
	bool remote;	/* by the smtp role: for the retry schedule */
	char text[];	/* address, orcpt, original */
};

enum msg_state { MSG_INCOMING, MSG_ACTIVE, MSG_REPORTING, MSG_ENDING };

struct msg {
	struct store_msg store;
	struct sched_msg sched;
	struct list_node node;	/* queue.active or queue.ending */
	struct list_node dirty; /* queue.dirty: outcomes to store, or over */
	struct list rcpts;
	char *envelope;	     /* encoded; charged */
	struct slice sender; /* in envelope */
	uint64_t size_bytes;
	uint64_t arrival_ms;
	struct mono active_since;
	struct mono routing_since;  /* with routing > 0 */
	struct store_ticket ticket; /* ENDING: of the last record */
	uint32_t envelope_len;
	uint32_t rcpt_total;
	uint32_t next_index;  /* recipients below it were read */
	uint32_t rcpt_count;  /* in rcpts */
	uint32_t busy;	      /* of these not RCPT_OVER */
	uint32_t routing;     /* of these given to route_add, not answered */
	uint32_t deferred;    /* of this pass, earlier parts included */
	uint32_t put_back;    /* likewise */
	uint32_t put_back_ms; /* when these are to come back */
	uint8_t state;	      /* enum msg_state */
	uint8_t origin;	      /* enum envelope_origin */
	bool from_disk;	      /* as deferred mail: of the share of such */
	bool remote_left;     /* a deferred recipient is remote */
	bool suspended;	      /* held or deleted while active: start nothing */
	bool soon;	      /* an agent died: transport_retry_time */
	bool gone;	      /* deleted by the administrator */
	bool failing;	      /* given up by the administrator */
	uint8_t report_tries; /* that failed, since the pass was over */
};

/* A channel to another role. */
struct peer {
	struct queue *q;
	struct chan *chan;
	enum role role;
	unsigned index;
	struct list txns;    /* smtpd, bounce, pickup: txn.peer_node */
	struct list jobs;    /* agents: job.node */
	struct list sending; /* agents: job.sending */
	unsigned job_count;
	struct hash segments;	 /* agents: segment.node */
	struct list segment_lru; /* those without use, oldest first */
	unsigned drops_owed;	 /* segments to be dropped when there is room */
};

enum txn_state {
	TXN_RCPTS,  /* recipients are awaited */
	TXN_BODY,   /* the body is invited */
	TXN_COMMIT, /* committed, not durable */
	TXN_AHEAD,  /* granted, not begun */
};

struct txn {
	struct hash_node node;
	struct list_node peer_node;
	struct list_node recent;  /* queue.recent: bodies by last activity */
	struct list_node stalled; /* queue.stalled: the store had no room */
	struct list_node waiting; /* queue.committing, by ticket */
	struct peer *peer;
	uint32_t tag;
	uint8_t state; /* enum txn_state */
	bool opened;   /* the store gave an id */
	bool ended;    /* COMMIT came; fields below are set */
	bool ahead;    /* was granted ahead */
	bool unproven; /* of a client that has proved nothing */
	bool earned;   /* of one that is proven by a message only */
	struct msg *msg;
	struct acct acct;
	char *envelope; /* as it came */
	size_t envelope_len;
	struct buf rcpts;
	struct buf body; /* waits for the store */
	uint32_t rcpts_expected, rcpts_got;
	uint64_t dest;	    /* of store_commit, of those so far */
	bool rcpts_spilled; /* the first of them are in the log already */
	bool rcpts_unique;  /* duplicates were looked for */
	uint64_t size_hint_bytes;
	uint64_t body_bytes;  /* received */
	uint32_t credit_left; /* what the peer may still send */
	uint32_t credit_owed; /* taken by the store, not given back */
	struct mono active;   /* invited, or last body frame */
	struct fr_txn_commit commit;
	struct store_ticket ticket;
	struct report *report; /* what it is the report of; or NULL */
};

struct job {
	struct sched_job sched;
	struct hash_node hash;	  /* queue.jobs by tag */
	struct list_node node;	  /* peer.jobs */
	struct list_node sending; /* peer.sending while not all was sent */
	struct peer *agent;
	uint32_t tag;
	uint32_t segments_used; /* extents whose segments are announced */
	uint32_t extents_sent;
	struct rcpt *next; /* last recipient that was sent; or NULL */
	bool rcpts_sent;
	struct mono started;
	struct buf results; /* as they came, until JOB_DONE */
};

/* A report that the bounce role composes. */
struct report {
	struct msg *msg; /* NULL: the slot is free */
	uint32_t tag;
	uint8_t kind; /* enum report_kind */
	bool sent;
	struct mono deadline;
	struct txn *txn;    /* in which it comes back; or NULL */
	struct peer *agent; /* the bounce role that has it; or NULL */
	uint32_t segments_used, extents_sent; /* as in struct job */
	struct rcpt *next; /* last recipient that was sent; or NULL */
	uint32_t rcpt_count, sent_count;
};

struct route {
	struct rcpt *rcpt; /* NULL: free, or nobody waits any more */
	uint32_t tag;
	bool busy;
	struct mono since;
};

struct client; /* control.c */

/* A row of the limits page, and its limit. */
struct shown_limit {
	struct limit_row *row;
	int64_t value;
};

/* A transport with limits of its own. */
struct transport_limits {
	char name[SCHED_NAME_BYTES]; /* empty: none */
	struct shown_limit limits[SCHED_LIMIT_COUNT];
};

struct queue {
	struct queue_env env;
	const struct conf *conf;
	struct ev_loop *loop;
	struct store *store;
	struct ev_io store_io;
	struct ev_timer store_timer;
	struct ev_task turn; /* store_turn at the end of each turn */
	struct acct msg_acct, txn_acct, body_acct, control_acct, chan_acct;
	/* Of the first, what deferred mail may take: msg_room. */
	struct acct deferred_acct;
	/* Of two of them, what strangers may take. */
	struct acct txn_unproven_acct, body_unproven_acct;
	struct retry_conf retry;
	struct retry_clock clock;
	struct gate gates[SCHED_CLASS_COUNT];
	struct sched sched;
	unsigned char *scratch; /* SCRATCH_BYTES, for frames */
	struct record *record;	/* result.c */
	bool running;		/* queue_go was called */
	bool draining;
	bool drained;
	bool dead; /* the store is poisoned */
	bool closing;
	bool flush_owed; /* store_due_all was refused */
	unsigned seconds;
	struct store_conf store_conf;
	struct ev_timer drain_timer;
	struct ev_timer second; /* housekeeping */

	/* peers */
	/* Channels for which there was no memory, for the next second. */
	struct {
		enum role role;
		unsigned index;
		int fd; /* -1: none */
	} owed_channels[PEERS_MAX];
	struct peer *peers[PEERS_MAX];
	struct peer *lookup, *bounce; /* also in peers */
	unsigned agent_next;
	unsigned written_count; /* jobs that wait for the disk alone */
	struct limit_row *written_row;

	/* messages */
	struct pool msg_pool;
	struct list active, ending, dirty;
	struct list parts_wait; /* msg.dirty: due_load_part said ERR_AGAIN */
	unsigned active_count, ending_count, deferred_count;
	unsigned active_max;
	uint32_t rcpt_count, rcpt_max;
	uint32_t deferred_rcpt_count; /* of deferred_count messages */
	struct ev_task write_task;
	struct limit_row *rcpt_row;
	struct log_limit_site active_site, rcpt_site, agent_site;
	bool store_full; /* ERR_AGAIN: wait for on_room */

	/* transactions */
	struct pool txn_pool;
	struct hash txns;
	struct list recent, stalled, committing;
	bool short_of_disk; /* not even an empty message has room */
	struct ladder ladder;
	int64_t memory_max; /* for which it stands; of so much in all: */
	int64_t share_max;
	struct log_limit_site filter_site;
	struct log_limit_site short_sites[STORE_SHORT_COUNT];

	/* routing */
	struct domain_cache *domains; /* answers of lookup */
	struct list routing;	      /* rcpt.sched.node: not asked yet */
	struct route routes[ROUTES_MAX];
	unsigned routes_busy;
	uint32_t route_tag;
	struct mono route_moved; /* an answer, or the first question */
	struct ev_task route_task;

	/* deliveries */
	struct pool job_pool;
	struct hash jobs;
	uint32_t job_tag;
	struct ev_task sched_task;

	/* reports */
	struct mono reports_rest; /* after a failure: none before */
	struct list owed;	  /* msg.dirty: wait for a place in reports */
	struct report report_slots[REPORTS_MAX];
	uint32_t report_tag;
	struct ev_task report_task;

	/* what is due */
	struct store_row rows[STORE_ROWS_MAX];
	unsigned row_count, row_next;
	bool row_loaded; /* since the question for new mail, at least one */
	bool counting;	 /* store_count is outstanding */
	struct ev_timer room_timer;
	bool asking;	/* a query is outstanding */
	bool ask_fresh; /* the next one is for mail never tried */
	bool starved;	/* more is due than there was room for */
	int64_t next_due_ms;
	struct ev_timer due_timer;
	struct ev_task load_task;

	/* control socket */
	int listen_fd;
	struct ev_io listen_io;
	struct client *clients[CLIENTS_MAX];
	struct mono control_quiet_until; /* no line about bad clients */
	unsigned control_unsaid;	 /* lines, until then */

	/* status */
	unsigned delivery_count; /* in qmail's log, since the start */
	unsigned logged[4];	 /* what the last line said */
	struct mono status_next; /* no line before */
	bool status_owed, status_said;
	struct store_counts counts;
	struct limit_row *active_row, *deferred_row, *incoming_row, *hold_row;
	struct limit_row *txn_row, *ahead_row, *filter_row, *agent_row;
	struct limit_row *ended_rows[JOB_STATUS_COUNT]; /* deliveries so far */
	unsigned ahead_count;

	/* limits */
	struct limit_row *age_row, *null_age_row, *pause_row;
	struct log_limit_site age_site, null_age_site;
	struct shown_limit limits_of_all[SCHED_LIMIT_COUNT];
	struct transport_limits transport_limits[SCHED_TRANSPORTS_MAX];
};

/* ---- queue.c ---- */
struct wall queue_wall(const struct queue *q);
/* How long ago that was; a jump of the clock since the last look is no time
 * that passed, and after one back all that is deferred is due. */
int64_t queue_age_ms(struct queue *q, uint64_t arrival_ms);
struct mono queue_mono(const struct queue *q);
/* The store's class of error is IO: nothing goes on. */
void queue_store_failed(struct queue *q, enum err e);
/* Something ended: see whether a drain is complete. */
void queue_check_drained(struct queue *q);
void queue_drain_over(void *arg, struct ev_timer *t);
void queue_close_fd(int fd);

/* ---- peer.c ---- */
void peer_open(struct queue *q, enum role role, unsigned index, int fd);
void peer_close_all(struct queue *q);
/* Channels for which there was no memory: none yet; and once a second. */
void peer_owed_init(struct queue *q);
void peer_open_owed(struct queue *q);
/* An answer could not be sent although the queue is large: its fault. */
void peer_stuck(struct peer *p, enum err e);
/* What it sent makes no sense: closes it and tells the master. */
void peer_bad(struct peer *p, const char *why);
/* Stop or resume what fills the store's batch. */
void peers_pause_body(struct queue *q, bool paused);

/* ---- txn.c ---- */
void txn_on_frame(struct peer *p, struct frame *f);
void txn_peer_closed(struct peer *p);
/* The store has room again. */
void txn_on_room(struct queue *q);
/* Tickets became durable. */
void txn_on_durable(struct queue *q);
/* Its body was invited, or some of it came: it may end soon. */
void txn_active(struct queue *q, struct txn *t);
/* Bodies that are about to end, for store_turn. */
unsigned txn_ending(struct queue *q);
/* Answers every transaction with e (the store is poisoned). */
void txn_fail_all(struct queue *q, enum err e);
/* At the end: without waiting for its commit. */
void txn_drop(struct queue *q, struct txn *t);
/* Take it as far as it goes now; it may be gone afterwards. */
void txn_advance(struct queue *q, struct txn *t);
/* Refuse it for good; it is gone afterwards. */
void txn_fail(struct queue *q, struct txn *t, enum err e);
/* The store has no room: it waits, and so do all that send bodies. */
void txn_stall(struct queue *q, struct txn *t);
/* TXN_DONE, and what it asked for ahead. */
void txn_answer(struct txn *t, enum err e);
/* TXN_READY for what was not begun. */
void txn_refuse(struct peer *p, uint32_t tag, enum err e);
/* NULL: no room. */
struct txn *txn_new(struct peer *p, uint32_t tag, const struct fr_txn_open *f);
struct txn *txn_find(struct peer *p, uint32_t tag);
/* Without its message, which lives on after a commit. */
void txn_free(struct queue *q, struct txn *t);

/* ---- shortage.c ---- */
/* Whether new mail can be taken, to an smtpd that is new. */
void shortage_tell(struct peer *p);
/* Ask the store whether there is room; every smtpd is told of a change. */
void shortage_check_disk(struct queue *q);
/* Is it short of memory?  Once a second. */
void shortage_check_memory(struct queue *q);
/* ERR_NOSPACE was said: the log names the limit. */
void shortage_refused(struct queue *q);

/* ---- duplicates.c ---- */
/* Of count encoded recipients drop those that are like one before them; limit
 * are remembered.  How many are gone; full: some were not compared. */
uint32_t duplicates_drop(struct buf *rcpts, uint32_t count, uint32_t limit,
    bool *full_out);

/* ---- txn_ahead.c ---- */
/* An answer was given, e: grant, or refuse, what was asked for with it. */
void txn_grant(struct peer *p, uint32_t tag, enum err e);
/* It is begun.  False: not as it was granted. */
bool txn_begin_granted(struct txn *t, const struct fr_txn_open *open);
/* It was begun or is freed. */
void txn_granted_over(struct queue *q, struct txn *t);

/* ---- txn_body.c ---- */
void txn_on_body(struct peer *p, struct txn *t, struct frame *f);
void txn_on_commit(struct peer *p, struct txn *t, struct frame *f);
/* Give the store what waits; then the envelope, if all has come. */
MUST_CHECK enum err txn_write(struct queue *q, struct txn *t);

/* ---- msg.c ---- */
/* NULL: no room.  deferred: it counts against the share of such mail. */
struct msg *msg_new(struct queue *q, bool deferred);
/* What m's recipients and strings are charged to. */
struct acct *msg_acct(struct queue *q, const struct msg *m);
/* Leaves memory: store_msg_close, recipients and strings freed. */
void msg_free(struct queue *q, struct msg *m);
/* Takes a copy of the encoded envelope and what is needed of it.  ERR_CORRUPT,
 * ERR_FULL. */
MUST_CHECK enum err msg_set_envelope(struct queue *q, struct msg *m,
    struct slice encoded);
/* Add a recipient from its encoding.  ERR_CORRUPT, ERR_FULL. */
MUST_CHECK enum err msg_add_rcpt(struct queue *q, struct msg *m, uint32_t index,
    struct slice encoded, struct rcpt **out);
void msg_free_rcpts(struct queue *q, struct msg *m);
/* It is in the active set from now on. */
void msg_activate(struct queue *q, struct msg *m);
/* All its recipients in memory are to be delivered: begin. */
void msg_begin(struct queue *q, struct msg *m);
/* The same for further recipients of it. */
void msg_route(struct queue *q, struct msg *m);
/* Room for one more message, and recipients for it?  Deferred mail has at most
 * half of everything, so that new mail never waits for it. */
bool msg_room(const struct queue *q, bool deferred);
/* Tell the scheduler how much room there is, for the shares of destinations:
 * places, and memory in messages and recipients of usual size. */
void msg_tell_room(struct queue *q);
uint32_t msg_rcpt_room(const struct queue *q, bool deferred);
/* There was none for this message, or not for all its recipients: count and
 * name the limit. */
void msg_say_no_room(struct queue *q, bool deferred, uint64_t id);
/* The address of the envelope. */
struct slice rcpt_stored_address(const struct rcpt *r);
/* The one it is delivered to: where an alias leads, else the stored one. */
struct slice rcpt_address(const struct rcpt *r);
struct slice rcpt_mailbox(const struct rcpt *r); /* empty: none */
struct slice rcpt_orcpt(const struct rcpt *r);
/* Before it became rcpt_address; empty: it is the same. */
struct slice rcpt_original(const struct rcpt *r);
/* Stop what has not started: recipients that wait are put back. */
void msg_withdraw(struct queue *q, struct msg *m);
struct msg *msg_of_store(struct store_msg *s);
bool msg_is_null_sender(const struct msg *m);

/* ---- route.c ---- */
void route_add(struct queue *q, struct rcpt *r);
void route_remove(struct queue *q, struct rcpt *r);
void route_on_frame(struct peer *p, struct frame *f);
void route_peer_closed(struct queue *q);
void route_task(void *arg, struct ev_task *t);
void route_tick(struct queue *q); /* time-outs */

/* ---- job.c ---- */
void job_task(void *arg, struct ev_task *t); /* start what can start */
void job_on_frame(struct peer *p, struct frame *f);
void job_agent_opened(struct peer *p);
void job_agent_closed(struct peer *p);
void job_agent_room(struct peer *p);
unsigned job_running(const struct queue *q);
void job_init(struct queue *q);
/* A delivery is over; recipients without a result are deferred with text. */
void job_end(struct queue *q, struct job *j, enum job_site site,
    struct slice dsn, struct slice text, uint32_t setup_ms,
    uint32_t transfer_ms);

/* ---- segment.c ---- */
/* Announce segments of extents [*from, count) to the agent and count a use
 * of each; stops at ERR_FULL with *from where to go on. */
MUST_CHECK enum err segments_use(struct peer *p,
    const struct store_extent *extents, uint32_t count, uint32_t *from);
/* The uses of [0, upto) end. */
void segments_unuse(struct peer *p, const struct store_extent *extents,
    uint32_t upto);
void segments_drop(struct queue *q, uint64_t number);
void segments_send_owed(struct peer *p);
void segments_free(struct peer *p);
/* JOB_EXTENTS frames for all of m's extents from *from on. */
MUST_CHECK enum err segments_send_extents(struct peer *p, uint32_t tag,
    const struct store_msg *m, uint32_t *from);

/* ---- result.c, outcome.c ---- */
/* What an attempt, or a decision without one, came to. */
struct result {
	enum job_status status;
	struct slice dsn, relay, text;
	uint32_t setup_ms, transfer_ms;
	struct mono started; /* of the delivery; 0: none was */
};
/* The recipient's pass is over: logs, keeps the outcome, decides what is
 * owed.  r must be in no list of the scheduler, routing or a job. */
void result_set(struct queue *q, struct rcpt *r, const struct result *res);
/* What the store knows of a recipient that was just added. */
void result_loaded(struct queue *q, struct rcpt *r, const struct store_rcpt *s);
/* Undelivered recipients in memory that do not run fail now, and those of
 * further parts when they are read: the administrator gave the message up. */
void result_give_up(struct queue *q, struct msg *m);
/* Not tried for want of room: comes back after so long, or when what else is
 * put back of its message does; nothing is logged. */
void result_put_back(struct queue *q, struct rcpt *r, uint32_t again_ms);
/* Store what is unwritten, end passes. */
void result_task(void *arg, struct ev_task *t);
void result_mark(struct queue *q, struct msg *m); /* look at m there */
/* What waited for the disk to read on. */
void result_parts(struct queue *q);
/* Messages whose last record is durable. */
void result_on_durable(struct queue *q);
/* Jitter and all: wall clock of m's next attempt. */
int64_t result_due_ms(struct queue *q, const struct msg *m);
MUST_CHECK enum err result_init(struct queue *q); /* memory for records */
void result_fini(struct queue *q);

/* ---- report.c ---- */
/* Is one owed for m's recipients in memory?  Then m waits for it. */
bool report_needed(struct queue *q, struct msg *m, enum report_kind *kind_out);
void report_queue(struct queue *q, struct msg *m);
void report_task(void *arg, struct ev_task *t);
void report_on_frame(struct peer *p, struct frame *f);
void report_opened(struct queue *q);
void report_closed(struct queue *q, struct peer *p);
void report_tick(struct queue *q);
/* The transaction of a report: NULL if no such report waits. */
struct report *report_find(struct queue *q, uint32_t tag);
/* What becomes durable with it; results need room for r->rcpt_count. */
void report_update(struct queue *q, struct report *r,
    struct store_result *results, struct store_update *u);
/* The report is durable: the message that it is about goes on. */
void report_done(struct queue *q, struct report *r);
unsigned report_running(const struct queue *q);
void report_forget(struct queue *q, struct msg *m);

/* ---- due.c ---- */
void due_init(struct queue *q);
void due_fini(struct queue *q);
void due_at(struct queue *q, int64_t due_ms); /* look again then */
void due_room(struct queue *q);		      /* a place came free */
void due_load_task(void *arg, struct ev_task *t);
void due_count(struct queue *q); /* ask for counts and the next due time */
/* Now, whatever is due, out of the share of new mail.  ERR_NOTFOUND: it ended,
 * or cannot be read; ERR_FULL: no room; ERR_AGAIN: the row is too old. */
MUST_CHECK enum err due_load_row(struct queue *q, const struct store_row *row,
    struct msg **out);
/* More recipients of an active message.  ERR_AGAIN: when there is room, or
 * what was written is on disk (result_task tries again); others: not now. */
MUST_CHECK enum err due_load_part(struct queue *q, struct msg *m);
void due_now(struct queue *q); /* everything deferred was made due */

/* ---- control.c ---- */
void control_listen(struct queue *q, int fd);
void control_close(struct queue *q);
void control_stop(struct queue *q); /* no new clients */
void control_tick(struct queue *q);
/* The store has room, or something is durable. */
void control_step_all(struct queue *q);
/* Does a client hold it, to read it? */
bool control_holds(const struct queue *q, const struct store_msg *s);

/* ---- qlog.c: only with log_format = qmail ---- */
bool qlog_on(const struct queue *q);
/* m was taken in. */
void qlog_new(const struct queue *q, const struct msg *m);
/* A delivery to r begins; it has a number until qlog_ended. */
void qlog_started(struct queue *q, struct rcpt *r);
/* r got a result, with prefix in front of its text. */
void qlog_ended(struct queue *q, struct rcpt *r, const struct result *res,
    const char *prefix);
/* The report on m was taken in. */
void qlog_bounced(const struct queue *q, const struct msg *m,
    const struct msg *bounce);
/* A report on a report was not made. */
void qlog_discarded(const struct msg *m);
/* The message is no more; "removed" in the other formats. */
void qlog_over(const struct queue *q, uint64_t id);

/* ---- gates.c ---- */
void gates_init(struct queue *q);
void gates_reload(struct queue *q);

/* ---- limits.c ---- */
/* Make the rows, or set them to a new configuration; before those of
 * transports. */
void queue_limits_show(struct queue *q);
/* The rows that hold for t, which has its name. */
void queue_limits_transport(struct queue *q, struct sched_transport *t);
/* r is given up for the age of its message. */
void queue_limits_expired(struct queue *q, const struct rcpt *r);

/* ---- status.c ---- */
void status_init(struct queue *q);
/* Rows, after a reload. */
void status_limits(struct queue *q);
void status_changed(struct queue *q);
void status_write(struct queue *q); /* whatever was written last */
void status_exiting(const struct queue *q);
void status_counts(struct queue *q, const struct store_counts *c);
void status_tick(struct queue *q);
/* "0.12": seconds with two digits that say something. */
void status_delay(char *buf, size_t size, int64_t ms);
