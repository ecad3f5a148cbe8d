/*
 * plan: what is done for one recipient whose mail does not simply go into a
 * mailbox: the actions of an alias, or of a user's dot file.
 *
 * Actions are done one after the other, in their order; the first that fails
 * ends the plan with its outcome.  Addresses among them are gathered and come
 * last, as one new message.  A plan that was deferred begins again from its
 * start when the queue tries again, as with qmail and Postfix: what succeeded
 * before is done again.
 *
 * Memory is the job's arena: everything of a plan ends with its job.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "local/expand.h"
#include "local/forward.h"
#include "local/party.h"
#include "local/request.h"
#include "local/workers.h"

struct job_delivery;

enum {
	PLAN_ACTIONS_MAX = 10000, /* of one plan, addresses included */
};

enum plan_state {
	PLAN_SCAN,    /* an alias: does the message loop? */
	PLAN_EXPAND,  /* lookup is asked what it stands for */
	PLAN_READ,    /* the user's worker reads his dot file */
	PLAN_ACT,     /* p->action runs in a worker */
	PLAN_FORWARD, /* the new message is handed in */
	PLAN_OVER,
};

/* What the action that is over has done. */
enum plan_deed { DEED_NONE, DEED_FILE, DEED_COMMAND };

struct action {
	struct action *next;
	uint8_t kind; /* enum action_kind, from ACTION_DEFAULT on */
	struct slice text;
};

struct plan {
	struct job_delivery *jd;
	uint8_t state;	 /* enum plan_state */
	bool is_alias;	 /* else of a dot file */
	bool has_file;	 /* there is a dot file */
	bool is_qmail;	 /* of a .qmail file: its rules for commands */
	bool or_deliver; /* without one the worker delivers at once */
	bool overflowed; /* an action was lost, for lack of room */
	bool mistaken;	 /* an action of a kind that is none */
	bool has_party;
	struct party party; /* who acts; of an alias: default_privs */
	struct action *actions, **actions_end;
	struct action *action; /* the one that is to be done, or runs */
	unsigned action_count;
	/* Of its dot file, or the owner of the alias. */
	bool has_sender, has_default;
	struct slice new_sender, default_extension;
	/* What is gathered for the new message. */
	struct forward_rcpt *rcpts, **rcpts_end;
	uint32_t rcpt_count;
	/* The alias itself, if it is among its own targets. */
	struct forward_rcpt *self;
	struct forward_rcpt **filter; /* open addressing; NULL: none yet */
	uint32_t filter_size, filter_count;
	bool filter_told;    /* that it is full */
	struct slice sender; /* of the new message, as it will be */
	/* What was done. */
	uint8_t deed; /* enum plan_deed */
	unsigned file_count, command_count, forward_count;
	char text[OUTCOME_TEXT_BYTES];
	size_t text_len;
	struct expand expand;
	struct forward forward;
};

/*
 * plan_new(jd, party):
 * A plan for jd, out of its job's arena, which fits jd->d.  party: the user
 * whose dot file is to be read; NULL: jd is an alias.  NULL: no memory.
 */
struct plan *plan_new(struct job_delivery *jd, const struct party *party);
/* Carry it out; job_delivery_over(jd) ends it, perhaps at once. */
void plan_begin(struct plan *p);
/* The worker is done with p->jd->d. */
void plan_on_done(struct plan *p);
void plan_on_action(struct plan *p, const struct result *r);
/* Nothing follows what the worker does now. */
bool plan_is_last(const struct plan *p);
/* Nobody waits for it any more. */
void plan_abandon(struct plan *p);

/*
 * plan_request_dot_file(env, party, verb, arena, d):
 * Make d a REQUEST_PLAN or REQUEST_CHECK for party's dot file.  The body, and
 * whose mail it is, are the caller's.  False: no memory.
 */
bool plan_request_dot_file(const struct target_env *env,
    const struct party *party, enum request_verb verb, struct arena *arena,
    struct delivery *d);

/* ---- plan_action.c ---- */

/*
 * plan_perform(p, a):
 * True: a is given to a worker, plan_on_done follows.  False: it is over, and
 * the outcome is set.
 */
bool plan_perform(struct plan *p, const struct action *a);
/*
 * plan_or_deliver(p):
 * Add to p's request for the dot file what is to be done without one, if that
 * is a mailbox in the home and the message is not so large that it should not
 * be sent in vain.  False: it is not, and nothing was added.
 */
bool plan_or_deliver(struct plan *p);
/* Who acts in p: has_party.  False, with the outcome set: deferred. */
bool plan_find_party(struct plan *p);

/* ---- plan_forward.c ---- */

/* Take an address in, unless it is there already.  False, with the outcome
 * set: it is none, or there is no memory. */
bool plan_add_address(struct plan *p, struct slice text);
/* Is address that of the recipient himself, so that mail for it stays here? */
bool plan_is_self(const struct plan *p, struct slice address);
/* Submit the next message that is to be forwarded; plan_on_forwarded follows.
 * False: there is none. */
bool plan_forward(struct plan *p);
void plan_on_forwarded(struct plan *p);

/* ---- plan_sender.c ---- */

/* The sender of what is forwarded, when all addresses are known.  False, with
 * the outcome set: deferred. */
bool plan_set_sender(struct plan *p);
