/*
 * idle: connections kept for the next message (smtp_connection_cache_*).
 *
 * An idle connection is watched: whatever it sends, also its end, closes it.
 */
#include <string.h>

#include "base/assert.h"
#include "conf/conf.h"
#include "smtp/agent.h"
#include "smtp/conn.h"

static uint64_t
key_hash(const char *key)
{
	return hash_bytes(key, strlen(key));
}

/* May it carry one more message? */
static bool
is_worth_keeping(const struct conn *c)
{
	const struct conf *conf = c->agent->conf;
	int64_t uses_max =
	    conn_either(c, conf->smtp_connection_reuse_count_limit,
		conf->lmtp_connection_reuse_count_limit);
	int64_t age = mono_sub(ev_now(c->agent->loop), c->opened);

	if (c->agent->draining ||
	    conn_either(c, conf->smtp_connection_cache_time_limit_ms,
		conf->lmtp_connection_cache_time_limit_ms) == 0)
		return false;
	if (uses_max > 0 && c->uses >= uses_max)
		return false;
	return age < conn_either(c, conf->smtp_connection_reuse_time_limit_ms,
			 conf->lmtp_connection_reuse_time_limit_ms);
}

void
conn_release(struct conn *c)
{
	struct agent *g = c->agent;
	const struct conf *conf = g->conf;

	ASSERT(c->job == NULL && c->state == CONN_OPEN);
	if (!is_worth_keeping(c)) {
		conn_quit(c);
		return;
	}
	c->state = CONN_IDLE;
	c->wait = SMTP_WAIT_IDLE;
	list_remove(&c->link);
	list_push_back(&g->idle, &c->link);
	hash_add(&g->idle_by_key, &c->by_key, key_hash(c->key));
	ev_io_want(&c->io, EV_RD);
	ev_timer_set(&c->timer,
	    conn_either(c, conf->smtp_connection_cache_time_limit_ms,
		conf->lmtp_connection_cache_time_limit_ms));
}

static void
leave_idle(struct conn *c, enum conn_state state)
{
	struct agent *g = c->agent;

	hash_remove(&g->idle_by_key, &c->by_key);
	list_remove(&c->link);
	list_push_back(&g->conns, &c->link);
	c->state = state;
}

static void
take(struct conn *c, struct job *j)
{
	leave_idle(c, CONN_OPEN);
	c->job = j;
	j->conn = c;
	c->reused = true;
	(void)slice_copy(slice_str(j->key), c->key, sizeof(c->key));
	conn_begin(c);
}

bool
conn_reuse(struct job *j)
{
	struct agent *g = j->agent;
	struct hash_node *n = hash_first(&g->idle_by_key, key_hash(j->key));

	for (; n != NULL; n = hash_next(n)) {
		struct conn *c = CONTAINER(n, struct conn, by_key);

		if (strcmp(c->key, j->key) != 0)
			continue;
		take(c, j);
		return true;
	}
	return false;
}

bool
conn_reuse_host(struct job *j, const struct job_host *h)
{
	struct agent *g = j->agent;

	if (h->addr.family == 0)
		return false; /* a path is its own key */
	for (struct list_node *n = list_first(&g->idle); n != NULL;
	     n = list_next(&g->idle, n)) {
		struct conn *c = CONTAINER(n, struct conn, link);

		if (c->port != h->port || c->lmtp != j->lmtp ||
		    !net_addr_eq(&c->addr, &h->addr))
			continue;
		take(c, j);
		return true;
	}
	return false;
}

bool
conn_close_oldest(struct agent *g)
{
	struct list_node *n = list_first(&g->idle);

	if (n == NULL)
		return false;
	conn_close(CONTAINER(n, struct conn, link));
	return true;
}

void
conn_quit_idle(struct agent *g)
{
	/* conn_quit takes it off the list, or closes it. */
	while (!list_empty(&g->idle))
		conn_quit(CONTAINER(list_first(&g->idle), struct conn, link));
}

void
conn_quit(struct conn *c)
{
	const struct conf *conf = c->agent->conf;

	if (c->state == CONN_IDLE)
		leave_idle(c, CONN_QUITTING);
	else
		c->state = CONN_QUITTING;
	smtp_client_quit(&c->client);
	ev_timer_set(&c->timer, conn_either(c, conf->smtp_quit_timeout_ms,
				    conf->lmtp_quit_timeout_ms));
	conn_run(c, SLICE_NONE);
}
