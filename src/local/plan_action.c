/*
 * plan_action: one action of a plan, as a request to the right worker.
 */
#include "base/assert.h"
#include "conf/conf.h"
#include "local/jobs_internal.h"
#include "local/plan.h"
#include "local/settings.h"

bool
plan_find_party(struct plan *p)
{
	struct job *j = p->jd->job;

	if (!p->has_party)
		p->has_party = party_default(j->jobs->env, &j->arena, &p->party,
		    &p->jd->d.outcome);
	return p->has_party;
}

/* A list with an owner is his in everything, as with Postfix; a dot file
 * changes the sender of what it forwards only, as with qmail. */
static struct slice
sender_of(const struct plan *p)
{
	struct slice sender = p->jd->job->envelope.sender;

	return p->is_alias && p->has_sender && sender.len > 0 ? p->new_sender
							      : sender;
}

/* The whole message is the body; whose mail it is. */
static bool
submit(struct plan *p)
{
	struct job *j = p->jd->job;
	struct delivery *d = &p->jd->d;

	body_source_init(&d->body, &j->jobs->segments, j->all_extents,
	    j->extent_count, UINT64_MAX);
	d->request.body_bytes = d->body.left_bytes;
	d->request.sender = sender_of(p);
	d->request.address = p->jd->rcpt.address;
	d->request.original = p->jd->rcpt.original;
	workers_submit(j->jobs->workers, d);
	return true;
}

static bool
to_mailbox(struct plan *p, const struct target *t)
{
	struct delivery *d = &p->jd->d;

	p->deed = DEED_FILE;
	d->owner = t->owner;
	d->request = (struct request){
		.verb = REQUEST_DELIVER,
		.kind = t->kind,
		.flags = t->flags,
		.base = t->base,
		.path = t->path,
	};
	settings_of_mailbox(p->jd->job->jobs->env->conf, &d->request);
	return submit(p);
}

static bool
to_command(struct plan *p, const struct party *party, struct slice command,
    uint32_t flags)
{
	struct delivery *d = &p->jd->d;

	p->deed = DEED_COMMAND;
	d->owner = party->owner;
	d->request = (struct request){
		.verb = REQUEST_COMMAND,
		.flags = flags,
		.base = party->home,
		.user = party->user,
		.shell = party->shell,
		.extension = party->extension,
		.dash = party->dash,
		.delimiter = party->delimiter,
		.command = command,
		.new_sender =
		    p->has_sender ? p->new_sender : p->jd->job->envelope.sender,
		.default_extension = p->default_extension,
	};
	if (p->has_default)
		d->request.flags |= REQUEST_HAS_DEFAULT;
	settings_of_command(p->jd->job->jobs->env->conf, &d->request);
	return submit(p);
}

/* The command that gets party's mail; empty: none.  False, with the outcome
 * set: that cannot be known now. */
static bool
find_command(struct plan *p, const struct party *party, struct slice *out)
{
	struct job *j = p->jd->job;
	struct errtext et = { "" };
	struct table_answer a;
	char *copy;

	*out = slice_str(j->jobs->env->conf->mailbox_command);
	if (j->jobs->commands.count == 0)
		return true;
	switch (tables_lookup(&j->jobs->commands, party->user, &a, &et)) {
	case OK: break;
	case ERR_NOTFOUND: return true;
	default:
		return outcome_set(&p->jd->d.outcome, JOB_DEFERRED, "4.3.0",
		    "mailbox_command_maps: %s", et.text);
	}
	if (a.value.len > COMMAND_BYTES_MAX)
		return outcome_set(&p->jd->d.outcome, JOB_DEFERRED, "4.3.5",
		    "%s:%u: the command is too long", a.table, a.line);
	copy = arena_copy(&j->arena, a.value.data, a.value.len);
	if (copy == NULL)
		return outcome_set(&p->jd->d.outcome, JOB_DEFERRED, "4.3.1",
		    "out of memory");
	*out = slice_of(copy, a.value.len);
	return true;
}

/* Where a user's mail goes when nothing else is said. */
static bool
by_default(struct plan *p, const struct party *party)
{
	const struct target_env *env = p->jd->job->jobs->env;
	struct slice command;
	struct target t;

	if (!find_command(p, party, &command))
		return false;
	/* "|COMMAND": by the rules of a .qmail file. */
	if (command.len > 1 && command.data[0] == '|')
		return to_command(p, party,
		    slice_trim(slice_sub(command, 1, command.len)),
		    REQUEST_HOME | REQUEST_SHELL | REQUEST_QMAIL);
	if (command.len > 0)
		return to_command(p, party, command, REQUEST_HOME);
	return target_default(env, party, &p->jd->job->arena, &t,
		   &p->jd->d.outcome) &&
	       to_mailbox(p, &t);
}

bool
plan_or_deliver(struct plan *p)
{
	struct job *j = p->jd->job;
	const struct conf *c = j->jobs->env->conf;
	struct request *q = &p->jd->d.request;
	struct target t = { 0 };
	struct outcome o;

	if (c->home_mailbox[0] == '\0' || c->mailbox_command[0] != '\0' ||
	    j->jobs->commands.count > 0 ||
	    j->envelope.body_bytes >
		(uint64_t)c->header_total_size_limit_bytes ||
	    !target_default(j->jobs->env, &p->party, &j->arena, &t, &o))
		return false;
	q->kind = t.kind;
	q->flags |= t.flags | REQUEST_OR_DELIVER;
	q->path = t.path;
	settings_of_mailbox(c, q);
	return true;
}

/* A user's own mailbox, whatever his dot file says. */
static bool
to_user(struct plan *p, struct slice name)
{
	struct outcome *o = &p->jd->d.outcome;
	struct job *j = p->jd->job;
	struct party party;

	switch (party_find(j->jobs->env, name, p->jd->rcpt.address, &j->arena,
	    &party, o)) {
	case PARTY_FOUND: return by_default(p, &party);
	case PARTY_FAILED: return false;
	case PARTY_NONE: break;
	}
	return outcome_set(o, JOB_FAILED, "5.1.1", "unknown user: \"%.*s\"",
	    SLICE_ARGS(name));
}

static bool
to_file(struct plan *p, uint8_t kind, struct slice path)
{
	struct outcome *o = &p->jd->d.outcome;
	struct target t;

	/* The one device that is meant. */
	if (slice_eq(path, SLICE_LIT("/dev/null"))) {
		p->deed = DEED_FILE;
		outcome_set(o, JOB_SENT, "2.0.0", "discarded");
		return false;
	}
	return plan_find_party(p) &&
	       target_path(&p->party, kind, path, &p->jd->job->arena, &t, o) &&
	       to_mailbox(p, &t);
}

static uint32_t
command_flags(const struct plan *p)
{
	uint32_t flags = REQUEST_SHELL;

	if (p->is_qmail)
		flags |= REQUEST_QMAIL;
	if (!p->is_alias)
		flags |= REQUEST_HOME;
	return flags;
}

/* Addresses come last; but mail for the user himself stays here. */
static bool
to_address(struct plan *p, struct slice text)
{
	if (!p->is_alias && plan_is_self(p, text))
		return by_default(p, &p->party);
	if (plan_add_address(p, text))
		outcome_set(&p->jd->d.outcome, JOB_SENT, "2.0.0", "%s", "");
	return false;
}

bool
plan_perform(struct plan *p, const struct action *a)
{
	switch ((enum action_kind)a->kind) {
	case ACTION_DEFAULT:
		return plan_find_party(p) && by_default(p, &p->party);
	case ACTION_MBOX: return to_file(p, MAILBOX_MBOX, a->text);
	case ACTION_MAILDIR: return to_file(p, MAILBOX_MAILDIR, a->text);
	case ACTION_COMMAND:
		return plan_find_party(p) &&
		       to_command(p, &p->party, a->text, command_flags(p));
	case ACTION_ADDRESS: return to_address(p, a->text);
	case ACTION_USER: return to_user(p, a->text);
	default: ASSERT(!"an action that is none");
	}
}
