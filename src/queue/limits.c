/*
 * limits: rows of the limits page for the ages of messages and for what bounds
 * destinations.
 *
 * A transport whose limit is that of all others is counted in the row of the
 * default, one with a limit of its own in a row of that name.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "queue/internal.h"

/* "NAME_destination_concurrency_limit"; the row has the beginning of a long
 * one. */
enum { PARAMETER_BYTES = SCHED_NAME_BYTES + 40 };

static const struct {
	enum conf_transport_which which;
	const char *name, *of_all, *of_one;
} kinds[SCHED_LIMIT_COUNT] = {
	[SCHED_LIMIT_WINDOW] = { CONF_TRANSPORT_CONCURRENCY,
	    "deliveries to a destination",
	    "default_destination_concurrency_limit",
	    "destination_concurrency_limit" },
	[SCHED_LIMIT_RCPTS] = { CONF_TRANSPORT_RECIPIENTS,
	    "recipients of a delivery", "default_destination_recipient_limit",
	    "destination_recipient_limit" },
	[SCHED_LIMIT_INITIAL] = { CONF_TRANSPORT_INITIAL,
	    "first deliveries to a destination",
	    "initial_destination_concurrency",
	    "initial_destination_concurrency" },
};

static void
show(struct limit_row **row, enum limit_kind kind, const char *name,
    const char *parameter, int64_t limit)
{
	if (*row == NULL)
		*row = limits_row(kind, name, parameter, 0, limit);
	else
		limit_set_limit(*row, limit);
}

void
queue_limits_show(struct queue *q)
{
	const struct conf *c = q->conf;
	const int64_t of_all[SCHED_LIMIT_COUNT] = {
		[SCHED_LIMIT_WINDOW] = c->default_destination_concurrency_limit,
		[SCHED_LIMIT_RCPTS] = c->default_destination_recipient_limit,
		[SCHED_LIMIT_INITIAL] = c->initial_destination_concurrency,
	};

	show(&q->age_row, LIMIT_DEADLINE, "age of a message",
	    "maximal_queue_lifetime", c->maximal_queue_lifetime_ms);
	show(&q->null_age_row, LIMIT_DEADLINE,
	    "age of a message without a sender", "bounce_queue_lifetime",
	    c->bounce_queue_lifetime_ms);
	show(&q->sched.dead_row, LIMIT_DEADLINE,
	    "pause of a destination that failed", "minimal_backoff_time",
	    c->minimal_backoff_time_ms);
	show(&q->pause_row, LIMIT_DEADLINE, "pause of a message",
	    "maximal_backoff_time", c->maximal_backoff_time_ms);
	for (unsigned i = 0; i < SCHED_LIMIT_COUNT; i++) {
		q->limits_of_all[i].value = of_all[i];
		show(&q->limits_of_all[i].row, LIMIT_COUNT, kinds[i].name,
		    kinds[i].of_all, of_all[i]);
	}
}

/* Those of a transport; NULL: there is no room for more. */
static struct transport_limits *
limits_of(struct queue *q, const char *name)
{
	for (unsigned i = 0; i < SCHED_TRANSPORTS_MAX; i++) {
		struct transport_limits *t = &q->transport_limits[i];

		if (t->name[0] == '\0')
			snprintf(t->name, sizeof(t->name), "%s", name);
		if (strcmp(t->name, name) == 0)
			return t;
	}
	return NULL;
}

void
queue_limits_transport(struct queue *q, struct sched_transport *t)
{
	struct transport_limits *own = limits_of(q, t->name);

	for (unsigned i = 0; i < SCHED_LIMIT_COUNT; i++) {
		char name[PARAMETER_BYTES], parameter[PARAMETER_BYTES];
		int64_t limit = conf_transport_limit(q->conf,
		    slice_str(t->name), kinds[i].which);

		t->rows[i] = q->limits_of_all[i].row;
		if (own == NULL || (own->limits[i].row == NULL &&
				       limit == q->limits_of_all[i].value))
			continue;
		snprintf(name, sizeof(name), "%s: %s", t->name, kinds[i].name);
		snprintf(parameter, sizeof(parameter), "%s_%s", t->name,
		    kinds[i].of_one);
		show(&own->limits[i].row, LIMIT_COUNT, name, parameter, limit);
		if (limit != q->limits_of_all[i].value)
			t->rows[i] = own->limits[i].row;
	}
}

void
queue_limits_expired(struct queue *q, const struct rcpt *r)
{
	bool no_sender = msg_is_null_sender(r->msg);
	struct limit_row *row = no_sender ? q->null_age_row : q->age_row;
	struct log_limit_site *site =
	    no_sender ? &q->null_age_site : &q->age_site;
	struct slice address = rcpt_address(r);
	char who[400];
	int len;

	limit_refused(row);
	if (log_limit_is_quiet(site, queue_mono(q)))
		return;
	len = snprintf(who, sizeof(who), "message %" PRIu64 " to %.*s",
	    (uint64_t)r->msg->store.id,
	    address.len < 320 ? (int)address.len : 320, address.data);
	log_limit_row(site, queue_mono(q), row, slice_of(who, (size_t)len),
	    "given up");
}
