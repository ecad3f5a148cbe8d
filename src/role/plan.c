/*
 * plan: the split of memory_budget.
 */
#include "role/plan.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/assert.h"
#include "conf/conf.h"
#include "ipc/client_page.h"

enum {
	KIB = 1024,
	MIB = 1024 * 1024,
	NOFILE_SPARE = 64,     /* of an smtpd, besides its sessions */
	AGENT_SPARE = 96,      /* of smtp and local: segments, channels */
	MASTER_SPARE = 24,     /* of the master: sockets, a start */
	MASTER_NOFILE = 3,     /* for each process: channels, its page */
	LOCAL_NOFILE = 4,      /* of local: each worker, and its copy */
	SESSIONS_MAX = 100000, /* as concurrency_incoming */
	/* Of smtpd's share, for what sessions draw on in stages: at least half
	 * of it or so much, whatever the number of sessions. */
	STAGES_BYTES = 8 * MIB,
};

/* What does not depend on parameters, per process, in KiB.  The floor is
 * private memory of an idle process; the fixed part holds configuration (two
 * during a reload), receive and send buffers of the channels, and what is
 * said beside it. */
static const struct {
	int floor_kib, fixed_kib;
	int share; /* per cent of the rest, all processes together */
} needs[ROLE_COUNT] = {
	[ROLE_MASTER] = { 768, 512, 1 },
	[ROLE_SMTPD] = { 640, 512, 59 },
	/* SQLite's heap and the batch buffers 1 MiB each, 1 MiB for the
	 * threads */
	[ROLE_QUEUE] = { 1024, 4096, 20 },
	[ROLE_SMTP] = { 640, 512, 8 },
	/* libunbound takes 2.7 MiB with the first question, of which 1.6 are
	 * a reserve that serves PLAN_DNS_QUERY_RESERVE; then its cache */
	[ROLE_DNS] = { 1024, 3072, 4 },
	[ROLE_LOOKUP] = { 1024, 640, 4 },
	[ROLE_LOCAL] = { 512, 512, 2 },
	[ROLE_BOUNCE] = { 512, 512, 1 },
	[ROLE_PICKUP] = { 512, 512, 1 },
};

/* A parameter, the memory that it asks for, and its value. */
struct demand {
	const char *parameter;
	int64_t bytes, value;
	bool is_size;  /* value is bytes */
	bool is_table; /* of client_page_bytes */
};

enum {
	DEMAND_ACTIVE,
	DEMAND_RCPTS,
	DEMAND_LOCAL,
	DEMAND_REMOTE,
	DEMAND_PROVEN,
	DEMAND_INCOMING,
	DEMAND_SMTPD,
	DEMAND_SMTP,
	DEMAND_DNS,
	DEMAND_CACHE,
	DEMAND_COUNT
};

static int64_t
part_bytes(const struct plan_part *p)
{
	return p->count * (p->floor_bytes + p->fixed_bytes + p->shared_bytes);
}

static int64_t
total_bytes(const struct plan *p)
{
	int64_t sum = p->client_page_bytes + p->socket_bytes;

	for (unsigned r = 0; r < ROLE_COUNT; r++)
		sum += part_bytes(&p->parts[r]);
	return sum;
}

static unsigned
process_count(const struct conf *c, enum role r, unsigned cpu_count)
{
	int64_t carried =
	    c->memory_budget_bytes / PLAN_BUDGET_PER_PROCESS_BYTES;

	if (carried < cpu_count)
		cpu_count = carried > 0 ? (unsigned)carried : 1;
	switch (r) {
	case ROLE_SMTPD:
		return c->smtpd_processes > 0 ? (unsigned)c->smtpd_processes
					      : cpu_count;
	case ROLE_SMTP:
		return c->smtp_processes > 0 ? (unsigned)c->smtp_processes
					     : cpu_count;
	case ROLE_COMMAND: return 0;
	default: return 1;
	}
}

/* Floors, and pools for the limits that have numbers. */
static void
plan_fixed(const struct conf *c, unsigned cpu_count, struct plan *p,
    struct demand *d)
{
	const int64_t queries =
	    c->dns_query_limit > PLAN_DNS_QUERY_RESERVE
		? c->dns_query_limit - PLAN_DNS_QUERY_RESERVE
		: 0;

	d[DEMAND_ACTIVE] = (struct demand){ "qmgr_message_active_limit",
		c->qmgr_message_active_limit * PLAN_ACTIVE_MESSAGE_BYTES,
		c->qmgr_message_active_limit, false, false };
	d[DEMAND_RCPTS] = (struct demand){ "qmgr_message_recipient_limit",
		c->qmgr_message_recipient_limit * PLAN_ACTIVE_RCPT_BYTES,
		c->qmgr_message_recipient_limit, false, false };
	d[DEMAND_LOCAL] = (struct demand){ "concurrency_local",
		c->concurrency_local * PLAN_LOCAL_JOB_BYTES,
		c->concurrency_local, false, false };
	d[DEMAND_REMOTE] = (struct demand){ "concurrency_remote",
		c->concurrency_remote * PLAN_REMOTE_JOB_BYTES,
		c->concurrency_remote, false, false };
	d[DEMAND_PROVEN] = (struct demand){ "proven_table_size",
		(int64_t)client_page_bytes(1, (unsigned)c->proven_table_size),
		c->proven_table_size, false, true };
	d[DEMAND_INCOMING] =
	    (struct demand){ "concurrency_incoming", 0, 0, false, false };
	d[DEMAND_DNS] =
	    (struct demand){ "dns_query_limit", queries * PLAN_DNS_QUERY_BYTES,
		    c->dns_query_limit, false, false };
	d[DEMAND_CACHE] = (struct demand){ "dns_cache_size",
		c->dns_cache_size_bytes, c->dns_cache_size_bytes, true, false };

	for (unsigned r = 0; r < ROLE_COUNT; r++) {
		struct plan_part *part = &p->parts[r];

		part->count = process_count(c, (enum role)r, cpu_count);
		part->floor_bytes = (int64_t)needs[r].floor_kib * KIB;
		part->fixed_bytes = (int64_t)needs[r].fixed_kib * KIB;
	}
	d[DEMAND_SMTPD] = (struct demand){ "smtpd_processes",
		part_bytes(&p->parts[ROLE_SMTPD]), p->parts[ROLE_SMTPD].count,
		false, false };
	d[DEMAND_SMTP] =
	    (struct demand){ "smtp_processes", part_bytes(&p->parts[ROLE_SMTP]),
		    p->parts[ROLE_SMTP].count, false, false };
	p->parts[ROLE_QUEUE].fixed_bytes +=
	    d[DEMAND_ACTIVE].bytes + d[DEMAND_RCPTS].bytes;
	p->parts[ROLE_LOCAL].fixed_bytes += d[DEMAND_LOCAL].bytes;
	p->parts[ROLE_SMTP].fixed_bytes +=
	    d[DEMAND_REMOTE].bytes / p->parts[ROLE_SMTP].count;
	p->parts[ROLE_DNS].fixed_bytes +=
	    d[DEMAND_CACHE].bytes + d[DEMAND_DNS].bytes;
	p->client_page_bytes = d[DEMAND_PROVEN].bytes;
}

/* A value that people would write: two digits and noughts, not above v. */
static int64_t
rounded(int64_t v)
{
	int64_t unit = 1;

	while (v / unit >= 100)
		unit *= 10;
	return v / unit * unit;
}

/* ", to 29000": the value with which missing bytes are there; "" if it alone
 * cannot give them. */
static void
value_that_fits(const struct demand *d, int64_t missing, char *buf, size_t size)
{
	int64_t left = d->bytes - missing, v = 0;

	if (left > 0 && d->is_table)
		for (v = d->value; v > 0; v /= 2)
			if ((int64_t)client_page_bytes(1, (unsigned)v) <= left)
				break;
	/* The others' memory grows with the value, or a little slower. */
	if (left > 0 && !d->is_table)
		v = (int64_t)((double)d->value * (double)left /
			      (double)d->bytes);
	buf[0] = '\0';
	if (d->is_size && v >= KIB)
		snprintf(buf, size, ", to %" PRId64 "K", rounded(v / KIB));
	else if (!d->is_size && v > 0)
		snprintf(buf, size, ", to %" PRId64, rounded(v));
}

/* Say which parameter asks for most of what is missing. */
static enum err
too_small(const struct plan *p, const struct demand *d, int64_t needed,
    struct errtext *et)
{
	const struct demand *most = &d[0];
	char to[32];

	for (unsigned i = 1; i < DEMAND_COUNT; i++)
		if (d[i].bytes > most->bytes)
			most = &d[i];
	value_that_fits(most, needed - p->budget_bytes, to, sizeof(to));
	return err_set(et, ERR_CONFIG,
	    "memory_budget: value \"%" PRId64 "M\": the limits need "
	    "%" PRId64 "M; raise it, or lower what needs most, %" PRId64 "M: "
	    "%s%s",
	    p->budget_bytes / MIB, (needed + MIB - 1) / MIB,
	    (most->bytes + MIB - 1) / MIB, most->parameter, to);
}

/* Descriptors of a session: one that qmail-smtpd hands over has its own and
 * the connection to qmail-smtpd, and any may be one. */
static int64_t
session_nofile(const struct conf *c)
{
	return c->authorized_session_users.count > 0 ? 2 : 1;
}

/* What count sessions cost, wherever it is held. */
static void
set_sessions(const struct conf *c, int64_t count, struct plan *p,
    struct demand *d)
{
	struct plan_part *smtpd = &p->parts[ROLE_SMTPD];
	int64_t page = (int64_t)client_page_bytes((unsigned)count,
	    (unsigned)c->proven_table_size);

	p->concurrency_incoming = count;
	p->nofile_needed = count * session_nofile(c) + NOFILE_SPARE;
	p->socket_bytes = count * PLAN_SOCKET_BYTES;
	p->client_page_bytes = page;
	smtpd->fixed_bytes = (int64_t)needs[ROLE_SMTPD].fixed_kib * KIB +
			     count * PLAN_SESSION_BYTES / smtpd->count;
	d[DEMAND_INCOMING].value = count;
	d[DEMAND_INCOMING].bytes =
	    count * (PLAN_SESSION_BYTES + PLAN_SOCKET_BYTES) + page -
	    d[DEMAND_PROVEN].bytes;
}

/* The least that sessions need, besides what is planned without them. */
static int64_t
least_of_sessions(const struct conf *c)
{
	int64_t each = PLAN_SESSION_BYTES + PLAN_SOCKET_BYTES;
	int64_t count = c->concurrency_incoming;
	unsigned proven = (unsigned)c->proven_table_size;

	/* Twice: as much again is drawn on in stages. */
	if (count == 0) {
		count = PLAN_SESSIONS_MIN;
		each = each * 2 * 100 / needs[ROLE_SMTPD].share;
	}
	return count * each +
	       (int64_t)client_page_bytes((unsigned)count, proven) -
	       (int64_t)client_page_bytes(1, proven);
}

/* What sessions get of smtpd's share before they do anything. */
static int64_t
part_of_sessions(int64_t share)
{
	return share - (share / 2 < STAGES_BYTES ? share / 2 : STAGES_BYTES);
}

/* Sessions: as many as asked for, or as their part of smtpd's share carries. */
static enum err
plan_sessions(const struct conf *c, int64_t nofile_max, struct plan *p,
    struct demand *d, struct errtext *et)
{
	int64_t each = PLAN_SESSION_BYTES + PLAN_SOCKET_BYTES;
	int64_t rest = p->budget_bytes - total_bytes(p);
	int64_t count = c->concurrency_incoming;
	int64_t fit = (nofile_max - NOFILE_SPARE) / session_nofile(c);

	if (count == 0)
		count = part_of_sessions(rest * needs[ROLE_SMTPD].share / 100) /
			each;
	if (count < PLAN_SESSIONS_MIN && c->concurrency_incoming == 0)
		return too_small(p, d, total_bytes(p) + least_of_sessions(c),
		    et);
	if (count > SESSIONS_MAX && c->concurrency_incoming == 0)
		count = SESSIONS_MAX;
	if (count > fit) {
		p->clamped_from = count;
		count = fit > 1 ? fit : 1;
	}
	set_sessions(c, count, p, d);
	if (total_bytes(p) > p->budget_bytes)
		return too_small(p, d, total_bytes(p), et);
	return OK;
}

enum err
plan_make(const struct conf *c, unsigned cpu_count, int64_t nofile_max,
    struct plan *p, struct errtext *et)
{
	struct demand demands[DEMAND_COUNT];
	int64_t rest;
	enum err e;

	ASSERT(cpu_count > 0);
	*p = (struct plan){
		.budget_bytes = c->memory_budget_bytes,
		.active_max = c->qmgr_message_active_limit,
		.rcpt_max = c->qmgr_message_recipient_limit,
		.local_max = c->concurrency_local,
		.remote_max = c->concurrency_remote,
	};
	plan_fixed(c, cpu_count, p, demands);
	if (total_bytes(p) > p->budget_bytes)
		return too_small(p, demands,
		    total_bytes(p) + least_of_sessions(c), et);
	e = plan_sessions(c, nofile_max, p, demands, et);
	if (e != OK)
		return e;

	rest = p->budget_bytes - total_bytes(p);
	for (unsigned r = 0; r < ROLE_COUNT; r++)
		if (p->parts[r].count > 0)
			p->parts[r].shared_bytes =
			    rest * needs[r].share / 100 / p->parts[r].count;
	ASSERT(total_bytes(p) <= p->budget_bytes);
	return OK;
}

enum err
plan_check_nofile(const struct plan *p, int64_t nofile_max, struct errtext *et)
{
	int64_t needed = MASTER_SPARE;

	for (unsigned r = 0; r < ROLE_COUNT; r++)
		needed += (int64_t)p->parts[r].count * MASTER_NOFILE;
	if (needed < PLAN_NOFILE_MIN)
		needed = PLAN_NOFILE_MIN;
	if (nofile_max >= needed)
		return OK;
	return err_set(et, ERR_CONFIG,
	    "RLIMIT_NOFILE is %" PRId64 ", and %" PRId64 " are needed at least"
	    "; raise what ulimit -n, LimitNOFILE= sets",
	    nofile_max, needed);
}

bool
plan_clamped(const struct plan *p, int64_t nofile_max,
    char text[static PLAN_CLAMPED_BYTES])
{
	if (p->clamped_from == 0)
		return false;
	snprintf(text, PLAN_CLAMPED_BYTES,
	    "concurrency_incoming is %" PRId64 " instead of %" PRId64
	    ": RLIMIT_NOFILE is %" PRId64,
	    p->concurrency_incoming, p->clamped_from, nofile_max);
	return true;
}

int64_t
plan_account_bytes(const struct plan *p, enum role role)
{
	return p->parts[role].fixed_bytes + p->parts[role].shared_bytes;
}

void
plan_print(const struct plan *p, plan_line_fn *fn, void *arg)
{
	char line[160];

	snprintf(line, sizeof(line),
	    "memory_budget %" PRId64 "K: %" PRId64 "K planned; "
	    "concurrency_incoming %" PRId64,
	    p->budget_bytes / KIB, total_bytes(p) / KIB,
	    p->concurrency_incoming);
	fn(arg, line);
	snprintf(line, sizeof(line),
	    "carries %" PRId64 " sessions, %" PRId64 " active messages, "
	    "%" PRId64 " recipients; deliveries: %" PRId64 " local, "
	    "%" PRId64 " remote",
	    p->concurrency_incoming, p->active_max, p->rcpt_max, p->local_max,
	    p->remote_max);
	fn(arg, line);
	for (unsigned r = 0; r < ROLE_COUNT; r++) {
		const struct plan_part *part = &p->parts[r];

		if (part->count == 0)
			continue;
		snprintf(line, sizeof(line),
		    "%-7s %2u x %7" PRId64 "K: process %" PRId64
		    "K, pools %" PRId64 "K, shared %" PRId64 "K",
		    role_name((enum role)r), part->count,
		    part_bytes(part) / part->count / KIB,
		    part->floor_bytes / KIB, part->fixed_bytes / KIB,
		    part->shared_bytes / KIB);
		fn(arg, line);
	}
	snprintf(line, sizeof(line),
	    "sockets      %7" PRId64 "K in the kernel, client page %" PRId64
	    "K",
	    p->socket_bytes / KIB, p->client_page_bytes / KIB);
	fn(arg, line);
}

void
plan_print_json(const struct plan *p, plan_line_fn *fn, void *arg)
{
	char text[4096];
	size_t n;

	n = (size_t)snprintf(text, sizeof(text),
	    "{\"memory_budget\":%" PRId64 ",\"planned\":%" PRId64
	    ",\"concurrency_incoming\":%" PRId64
	    ",\"qmgr_message_active_limit\":%" PRId64
	    ",\"qmgr_message_recipient_limit\":%" PRId64 ",\"sockets\":%" PRId64
	    ",\"client_page\":%" PRId64 ",\"roles\":[",
	    p->budget_bytes, total_bytes(p), p->concurrency_incoming,
	    p->active_max, p->rcpt_max, p->socket_bytes, p->client_page_bytes);
	for (unsigned r = 0; r < ROLE_COUNT; r++) {
		const struct plan_part *part = &p->parts[r];

		if (part->count == 0)
			continue;
		n += (size_t)snprintf(text + n, sizeof(text) - n,
		    "%s{\"role\":\"%s\",\"processes\":%u,\"process\":%" PRId64
		    ",\"pools\":%" PRId64 ",\"shared\":%" PRId64 "}",
		    r == ROLE_MASTER ? "" : ",", role_name((enum role)r),
		    part->count, part->floor_bytes, part->fixed_bytes,
		    part->shared_bytes);
		ASSERT(n < sizeof(text) - 4);
	}
	snprintf(text + n, sizeof(text) - n, "]}");
	fn(arg, text);
}

unsigned
plan_fit(const struct plan *p, enum role role, int64_t nofile_max)
{
	int64_t fit = nofile_max - AGENT_SPARE;

	if (role == ROLE_LOCAL)
		fit /= LOCAL_NOFILE;
	fit *= p->parts[role].count;
	return fit < 1 ? 1 : fit > INT32_MAX ? INT32_MAX : (unsigned)fit;
}

unsigned
plan_cpu_count(void)
{
	cpu_set_t set;
	int n = 0;

	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	return n > 0 ? (unsigned)n : 1;
}

int64_t
plan_nofile_max(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
		return 1024;
	if (rl.rlim_max == RLIM_INFINITY || rl.rlim_max > INT32_MAX)
		return INT32_MAX;
	return (int64_t)rl.rlim_max;
}
