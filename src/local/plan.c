/*
 * plan: from source to actions to outcome.
 *
 * Happy path of a user: READ (his worker scans the message and sends the
 * actions of his dot file) -> ACT for each action that is none of an address
 * -> FORWARD if there were addresses -> OVER: sent.  Of an alias: SCAN (Weir's
 * own worker) -> EXPAND (lookup sends the targets) -> as above.
 *
 * Failure modes: the message loops (failed 5.4.6); no source (lookup or the
 * worker say why); too many actions, or no memory for them (deferred: nothing
 * is done of a plan that is not whole); an action fails or is deferred (so is
 * the plan; what follows, and all forwards, are not done); a command exits with
 * 99 (what follows is not done, forwards are); the new message is refused
 * (deferred); the queue goes away (everything is forgotten, and asked for
 * again).
 */
#include "local/plan.h"

#include <stdio.h>
#include <string.h>

#include "alias/target.h"
#include "base/assert.h"
#include "base/log.h"
#include "conf/conf.h"
#include "ipc/frames.h"
#include "local/jobs_internal.h"
#include "local/settings.h"

static void go_on(struct plan *p);

static struct outcome *
outcome(struct plan *p)
{
	return &p->jd->d.outcome;
}

static const struct conf *
conf_of(const struct plan *p)
{
	return p->jd->job->jobs->env->conf;
}

/* ---- the end ---- */

static void
over(struct plan *p)
{
	p->state = PLAN_OVER;
	job_delivery_over(p->jd);
}

/* What one step did, for the log. */
static void
add_text(struct plan *p, const char *text)
{
	int n;

	if (text[0] == '\0')
		return;
	n = snprintf(p->text + p->text_len, sizeof(p->text) - p->text_len,
	    "%s%s", p->text_len > 0 ? ", " : "", text);
	if (n > 0)
		p->text_len += (size_t)n;
	if (p->text_len >= sizeof(p->text))
		p->text_len = sizeof(p->text) - 1;
}

/* The new message, as the log calls it. */
static void
add_qp(struct plan *p)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "qp %llu",
	    (unsigned long long)p->forward.id);
	add_text(p, text);
}

static bool
in_qmails_words(const struct plan *p)
{
	return conf_of(p)->log_format == LOG_QMAIL;
}

static void
succeed(struct plan *p)
{
	bool only_forwards = p->file_count == 0 && p->command_count == 0;
	/* Commands of .qmail files may say nothing. */
	const char *silent = p->command_count > 0 ? "delivered to command"
						  : "nothing to be done";

	if (in_qmails_words(p))
		outcome_set(outcome(p), JOB_SENT, "2.0.0", "did %u+%u+%u%s%s",
		    p->file_count, p->forward_count, p->command_count,
		    p->text_len > 0 ? "/" : "", p->text);
	else
		outcome_set(outcome(p), JOB_SENT, "2.0.0", "%s",
		    p->text_len > 0 ? p->text : silent);
	/* Whom it was forwarded to will be reported about by themselves. */
	if (only_forwards && p->forward_count > 0 && !p->has_sender &&
	    (p->jd->rcpt.notify & NOTIFY_SUCCESS))
		outcome(p)->status = JOB_SENT_DSN;
	over(p);
}

/* ---- actions ---- */

static bool
is_done(struct plan *p)
{
	const struct outcome *o = outcome(p);

	return o->status == JOB_SENT || o->status == JOB_SENT_DSN;
}

static void
forward(struct plan *p)
{
	p->state = PLAN_FORWARD;
	if (!plan_forward(p))
		succeed(p);
}

void
plan_on_forwarded(struct plan *p)
{
	*outcome(p) = p->forward.outcome;
	if (!is_done(p)) {
		over(p);
		return;
	}
	if (in_qmails_words(p))
		add_qp(p);
	else
		add_text(p, outcome(p)->text);
	forward(p);
}

/* One action is over. */
static bool
count(struct plan *p)
{
	if (!is_done(p)) {
		over(p);
		return false;
	}
	p->file_count += p->deed == DEED_FILE;
	p->command_count += p->deed == DEED_COMMAND;
	/* qmail says only how many. */
	if (p->deed != DEED_NONE && !in_qmails_words(p))
		add_text(p, outcome(p)->text);
	return true;
}

static void
go_on(struct plan *p)
{
	const struct action *a;

	p->state = PLAN_ACT;
	while ((a = p->action) != NULL) {
		p->deed = DEED_NONE;
		if (plan_perform(p, a))
			return;
		p->action = a->next;
		if (!count(p))
			return;
	}
	if (!plan_set_sender(p))
		over(p);
	else
		forward(p);
}

static void
on_acted(struct plan *p)
{
	p->action = p->jd->d.stop ? NULL : p->action->next;
	if (count(p))
		go_on(p);
}

bool
plan_is_last(const struct plan *p)
{
	/* The worker has found no dot file, else it would not write. */
	if (p->state == PLAN_READ)
		return true;
	return p->state == PLAN_ACT && p->action->next == NULL &&
	       p->rcpts == NULL && p->self == NULL;
}

/* ---- sources ---- */

static void
defer(struct plan *p, const char *dsn, const char *why)
{
	outcome_set(outcome(p), JOB_DEFERRED, dsn, "%s", why);
	over(p);
}

/* The source is complete. */
static void
begin_actions(struct plan *p)
{
	p->action = p->actions;
	if (p->mistaken)
		defer(p, "4.3.0", "an action of no known kind");
	else if (p->overflowed && p->action_count == PLAN_ACTIONS_MAX)
		defer(p, "4.3.5", "more addresses and actions than the limit");
	else if (p->overflowed)
		defer(p, "4.3.1", "out of memory");
	else
		go_on(p);
}

static void
add_action(struct plan *p, enum action_kind kind, struct slice text)
{
	struct arena *arena = &p->jd->job->arena;
	struct action *a = NULL;
	char *copy = NULL;

	if (p->overflowed)
		return;
	if (p->action_count < PLAN_ACTIONS_MAX) {
		a = arena_alloc(arena, sizeof(*a));
		copy = arena_copy(arena, text.data, text.len);
	}
	if (a == NULL || copy == NULL) {
		p->overflowed = true;
		return;
	}
	*a = (struct action){ NULL, (uint8_t)kind, slice_of(copy, text.len) };
	*p->actions_end = a;
	p->actions_end = &a->next;
	p->action_count++;
}

static void
keep(struct plan *p, struct slice text, struct slice *out)
{
	char *copy = arena_copy(&p->jd->job->arena, text.data, text.len);

	if (copy == NULL)
		p->overflowed = true;
	else
		*out = slice_of(copy, text.len);
}

void
plan_on_action(struct plan *p, const struct result *r)
{
	switch ((enum action_kind)r->action) {
	case ACTION_QMAIL: p->is_qmail = p->has_file = true; break;
	case ACTION_FORWARD: p->has_file = true; break;
	case ACTION_SET_DEFAULT:
		p->has_default = true;
		keep(p, r->text, &p->default_extension);
		break;
	case ACTION_SET_SENDER:
		p->has_sender = true;
		keep(p, r->text, &p->new_sender);
		break;
	case ACTION_KINDS: p->mistaken = true; break;
	default: add_action(p, (enum action_kind)r->action, r->text); break;
	}
}

static void
on_target(struct expand *x, uint8_t kind, struct slice text)
{
	static const uint8_t kinds[] = {
		[ALIAS_ADDRESS] = ACTION_ADDRESS,
		[ALIAS_USER] = ACTION_USER,
		[ALIAS_COMMAND] = ACTION_COMMAND,
		[ALIAS_MBOX] = ACTION_MBOX,
		[ALIAS_MAILDIR] = ACTION_MAILDIR,
	};
	struct plan *p = CONTAINER(x, struct plan, expand);

	if (kind < ARRAY_LEN(kinds))
		add_action(p, (enum action_kind)kinds[kind], text);
	else
		p->mistaken = true;
}

static void
on_expand_end(struct expand *x, const struct fr_expand_end *f)
{
	struct plan *p = CONTAINER(x, struct plan, expand);
	struct outcome *o = outcome(p);

	if (f->error == OK) {
		if (f->owner.len > 0) {
			p->has_sender = true;
			keep(p, f->owner, &p->new_sender);
		}
		begin_actions(p);
		return;
	}
	outcome_set(o, f->code >= 500 ? JOB_FAILED : JOB_DEFERRED, "4.3.0",
	    "%.*s", SLICE_ARGS(f->text));
	if (f->status.len > 0 && !slice_copy(f->status, o->dsn, sizeof(o->dsn)))
		o->status = JOB_DEFERRED;
	over(p);
}

static void
expand(struct plan *p)
{
	struct jobs *js = p->jd->job->jobs;
	enum err e;

	p->state = PLAN_EXPAND;
	p->expand.on_target = on_target;
	p->expand.on_end = on_expand_end;
	e = js->expander == NULL
		? ERR_CLOSED
		: expander_ask(js->expander, &p->expand, p->jd->rcpt.address);
	if (e != OK)
		defer(p, "4.3.0", "aliases cannot be looked up now");
}

/* The dot file was read; or there is none, and the mail was delivered. */
static void
on_read(struct plan *p)
{
	if (!is_done(p)) {
		over(p);
	} else if (p->or_deliver && !p->has_file && p->actions == NULL) {
		p->deed = DEED_FILE;
		if (count(p))
			succeed(p);
	} else {
		begin_actions(p);
	}
}

/* ---- what moves it ---- */

void
plan_on_done(struct plan *p)
{
	switch ((enum plan_state)p->state) {
	case PLAN_SCAN:
		if (is_done(p))
			expand(p);
		else
			over(p);
		break;
	case PLAN_READ: on_read(p); break;
	case PLAN_ACT: on_acted(p); break;
	default: ASSERT(!"a worker that was not asked");
	}
}

/* The header is somewhere in the message's beginning, which is the body. */
static uint64_t
beginning_bytes(const struct plan *p)
{
	return (uint64_t)conf_of(p)->header_total_size_limit_bytes;
}

static void
submit(struct plan *p, uint64_t limit_bytes)
{
	struct job *j = p->jd->job;
	struct delivery *d = &p->jd->d;

	body_source_init(&d->body, &j->jobs->segments, j->all_extents,
	    j->extent_count, limit_bytes);
	d->request.body_bytes = d->body.left_bytes;
	d->request.sender = j->envelope.sender;
	d->request.address = p->jd->rcpt.address;
	d->request.original = p->jd->rcpt.original;
	workers_submit(j->jobs->workers, d);
}

bool
plan_request_dot_file(const struct target_env *env, const struct party *party,
    enum request_verb verb, struct arena *arena, struct delivery *d)
{
	d->owner = party->owner;
	d->request = (struct request){
		.verb = (uint8_t)verb,
		.flags = REQUEST_HOME,
		.base = party->home,
		.user = party->user,
		.shell = party->shell,
		.extension = party->extension,
		.dash = party->dash,
		.delimiter = party->delimiter,
		.actions_max = PLAN_ACTIONS_MAX,
	};
	if (party->strict)
		d->request.flags |= REQUEST_EXTENSION_STRICT;
	return settings_of_plan(env->conf, arena, &d->request) == OK;
}

void
plan_begin(struct plan *p)
{
	struct jobs *js = p->jd->job->jobs;
	struct delivery *d = &p->jd->d;

	if (p->is_alias) {
		p->state = PLAN_SCAN;
		d->owner = js->env->own;
		d->request = (struct request){ .verb = REQUEST_SCAN };
		submit(p, beginning_bytes(p));
		return;
	}
	p->state = PLAN_READ;
	if (!plan_request_dot_file(js->env, &p->party, REQUEST_PLAN,
		&p->jd->job->arena, d)) {
		defer(p, "4.3.1", "out of memory");
		return;
	}
	p->or_deliver = plan_or_deliver(p);
	submit(p, p->or_deliver ? UINT64_MAX : beginning_bytes(p));
}

struct plan *
plan_new(struct job_delivery *jd, const struct party *party)
{
	struct plan *p = arena_alloc(&jd->job->arena, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->jd = jd;
	p->is_alias = party == NULL;
	p->has_party = party != NULL;
	if (party != NULL)
		p->party = *party;
	p->actions_end = &p->actions;
	p->rcpts_end = &p->rcpts;
	return p;
}

void
plan_abandon(struct plan *p)
{
	expander_cancel(&p->expand);
	forward_cancel(&p->forward);
	p->state = PLAN_OVER;
}
