/*
 * Happy path: the user of the transport is looked up, recipients are gathered
 * until no more fit into a request, the first of them carries it, and its
 * outcome is that of all.
 *
 * Failure modes: there is no such user or group, or it is root: deferred; an
 * address that begins with a dash has a command for itself, since a template
 * may refuse it.
 */
#include "local/pipes.h"

#include <grp.h>
#include <string.h>

#include "alias/pipe_args.h"
#include "base/assert.h"
#include "conf/conf.h"
#include "local/jobs_internal.h"
#include "local/party.h"
#include "local/settings.h"

enum { GROUP_BYTES_MAX = 16384 };

_Static_assert((int)REQUEST_ARGV_BYTES_MAX >= (int)CONF_PIPE_TEXT_BYTES_MAX &&
		   (int)REQUEST_ARGV_MAX >= (int)CONF_PIPE_WORDS_MAX,
    "every definition fits into a request");
_Static_assert(2 * (ADDRESS_BYTES_MAX + 1) <= REQUEST_RECIPIENTS_BYTES_MAX,
    "every recipient fits into a request");

/* What all commands of a job have in common. */
struct common {
	struct job *job;
	const struct conf_pipe *pipe;
	struct party party;
	struct slice base, argv, null_sender;
	char delimiters[DELIMITERS_BYTES_MAX + 1];
};

static bool
keep(struct common *c, const char *text, struct slice *out, struct outcome *o)
{
	size_t len = strlen(text);
	char *copy = arena_copy(&c->job->arena, text, len);

	*out = slice_of(copy, len);
	return copy != NULL ||
	       outcome_set(o, JOB_DEFERRED, "4.3.1", "out of memory");
}

static bool
set_argv(struct common *c, struct outcome *o)
{
	const struct conf_pipe *p = c->pipe;
	size_t len = 0;
	char *text;

	for (size_t i = 0; i < p->argv_count; i++)
		len += p->argv[i].len + 1;
	text = arena_alloc(&c->job->arena, len);
	if (text == NULL)
		return outcome_set(o, JOB_DEFERRED, "4.3.1", "out of memory");
	c->argv = slice_of(text, len);
	for (size_t i = 0; i < p->argv_count; i++) {
		memcpy(text, p->argv[i].data, p->argv[i].len + 1);
		text += p->argv[i].len + 1;
	}
	return true;
}

/* user=NAME:GROUP. */
static bool
set_group(struct common *c, struct outcome *o)
{
	static char buffer[GROUP_BYTES_MAX];
	struct group gr, *found = NULL;
	uint64_t id;
	int errnum;

	if (c->pipe->group[0] == '\0')
		return true;
	errnum =
	    getgrnam_r(c->pipe->group, &gr, buffer, sizeof(buffer), &found);
	if (found != NULL)
		id = gr.gr_gid;
	else if (!slice_to_u64(slice_str(c->pipe->group), UINT32_MAX - 1, &id))
		return errnum != 0
			   ? outcome_errno(o, errnum, "cannot ask for group %s",
				 c->pipe->group)
			   : outcome_set(o, JOB_DEFERRED, "4.3.5",
				 "transport %s: there is no group %s",
				 c->pipe->name, c->pipe->group);
	if (id == 0)
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "transport %s: nothing is run with group root",
		    c->pipe->name);
	c->party.owner.gid = c->party.owner.spool_gid = (gid_t)id;
	return true;
}

/* As whom it runs; who is not root can only be himself. */
static bool
set_party(struct common *c, struct outcome *o)
{
	const struct target_env *env = c->job->jobs->env;

	switch (party_named(env, slice_str(c->pipe->user), &c->job->arena,
	    &c->party, o)) {
	case PARTY_FOUND: return !env->is_root || set_group(c, o);
	case PARTY_FAILED: return false;
	case PARTY_NONE: break;
	}
	return outcome_set(o, JOB_DEFERRED, "4.3.5",
	    "transport %s: there is no user %s", c->pipe->name, c->pipe->user);
}

static bool
set_common(struct common *c, struct outcome *o)
{
	const struct conf *conf = c->job->jobs->env->conf;
	const char *base = c->pipe->directory[0] != '\0'
			       ? c->pipe->directory
			       : conf->queue_directory;

	(void)slice_copy(slice_str(conf->recipient_delimiter), c->delimiters,
	    sizeof(c->delimiters));
	return set_party(c, o) && keep(c, base, &c->base, o) &&
	       keep(c, c->pipe->null_sender, &c->null_sender, o) &&
	       set_argv(c, o);
}

/* ---- one command ---- */

static size_t
bytes_of(const struct job_delivery *jd)
{
	return jd->rcpt.address.len + jd->rcpt.original.len + 2;
}

static bool
is_alone(const struct job_delivery *jd)
{
	return jd->rcpt.address.len > 0 && jd->rcpt.address.data[0] == '-';
}

/* The addresses of head and of those that share its command. */
static bool
set_recipients(struct job *j, struct job_delivery *head, size_t bytes)
{
	char *text = arena_alloc(&j->arena, bytes);

	if (text == NULL)
		return false;
	head->d.request.recipients = slice_of(text, bytes);
	for (struct job_delivery *jd = head; jd != NULL; jd = jd->next_member) {
		const struct slice parts[] = { jd->rcpt.address,
			jd->rcpt.original };

		for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
			if (parts[i].len > 0)
				memcpy(text, parts[i].data, parts[i].len);
			text += parts[i].len;
			*text++ = '\0';
		}
	}
	return true;
}

static void
fill_request(const struct common *c, struct job_delivery *head)
{
	struct job *j = c->job;
	struct request *q = &head->d.request;

	head->d.owner = c->party.owner;
	body_source_init(&head->d.body, &j->jobs->segments, j->all_extents,
	    j->extent_count, UINT64_MAX);
	*q = (struct request){
		.verb = REQUEST_PIPE,
		.body_bytes = head->d.body.left_bytes,
		.base = c->base,
		.sender = j->envelope.sender,
		.address = head->rcpt.address,
		.original = head->rcpt.original,
		.user = c->party.user,
		.shell = c->party.shell,
		.transport = j->transport,
		.pipe_flags = c->pipe->flags,
		.message_id = j->id,
		.argv = c->argv,
		.recipients = q->recipients,
		.null_sender = c->null_sender,
		.nexthop = j->nexthop,
		.client_address = j->envelope.client_address,
		.client_name = j->envelope.client_name,
		.client_helo = j->envelope.helo,
		.client_protocol = j->envelope.protocol,
	};
	memcpy(q->delimiters, c->delimiters, sizeof(q->delimiters));
	settings_of_command(j->jobs->env->conf, q);
	q->time_limit_ms = (uint32_t)c->pipe->time_limit_ms;
}

/* head and those that it is linked with. */
static void
submit(const struct common *c, struct job_delivery *head, size_t bytes)
{
	struct job *j = c->job;

	if (!set_recipients(j, head, bytes)) {
		for (struct job_delivery *jd = head; jd != NULL;
		     jd = jd->next_member)
			outcome_set(&jd->d.outcome, JOB_DEFERRED, "4.3.1",
			    "out of memory");
		return;
	}
	fill_request(c, head);
	head->is_pipe = true;
	for (struct job_delivery *jd = head; jd != NULL; jd = jd->next_member)
		j->open_count++;
	workers_submit(j->jobs->workers, &head->d);
}

/* ---- all of them ---- */

static void
gather(const struct common *c)
{
	struct job_delivery *head = NULL, *last = NULL;
	size_t bytes = 0;

	for (struct rcpt_piece *p = c->job->rcpts; p != NULL; p = p->next) {
		for (uint32_t i = 0; i < p->count; i++) {
			struct job_delivery *jd = &p->deliveries[i];

			if (head != NULL &&
			    (bytes + bytes_of(jd) >
				    REQUEST_RECIPIENTS_BYTES_MAX ||
				is_alone(jd) || is_alone(last))) {
				submit(c, head, bytes);
				head = NULL;
			}
			if (head == NULL) {
				head = jd;
				bytes = 0;
			} else {
				last->next_member = jd;
			}
			last = jd;
			bytes += bytes_of(jd);
		}
	}
	if (head != NULL)
		submit(c, head, bytes);
}

void
pipes_submit(struct job *j, const struct conf_pipe *p)
{
	struct common c = { .job = j, .pipe = p };
	struct outcome o;

	if (set_common(&c, &o)) {
		gather(&c);
		return;
	}
	for (struct rcpt_piece *piece = j->rcpts; piece != NULL;
	     piece = piece->next)
		for (uint32_t i = 0; i < piece->count; i++)
			piece->deliveries[i].d.outcome = o;
}

void
pipes_on_done(struct job_delivery *jd)
{
	const struct outcome o = jd->d.outcome;
	struct job_delivery *next;

	/* With the last of them the job may be over and gone. */
	for (; jd != NULL; jd = next) {
		next = jd->next_member;
		jd->d.outcome = o;
		job_delivery_over(jd);
	}
}
