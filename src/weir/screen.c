/*
 * screen: tables of a running server, for people.
 */
#include "weir/screen.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/ladder.h"
#include "conf/conf.h"
#include "weir/cli.h"
#include "weir/format.h"
#include "weir/table.h"

int64_t
screen_resident_bytes(uint32_t pid)
{
	unsigned long long size, pages;
	int64_t bytes = 0;
	char path[40];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/statm", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu %llu", &size, &pages) == 2)
		bytes = (int64_t)pages * sysconf(_SC_PAGESIZE);
	fclose(f);
	return bytes;
}

static int64_t
age_ms(struct limits_page *page)
{
	int64_t started = atomic_load(&page->started_wall_ms);

	if (started == 0)
		return 0;
	return clock_system.wall(&clock_system).ms - started;
}

static void
print_roles(FILE *to, struct cli *cli, const struct pages *p)
{
	struct table t;

	fputc('\n', to);
	table_init(&t, &cli->acct, "lrrrrrrr");
	table_rowf(&t,
	    "ROLE\tPID\tUP\tRESTARTS\tMEMORY\tHIGH\tLIMIT\tRESIDENT");
	for (size_t i = 0; i < p->count; i++) {
		struct limits_page *page = p->page[i];
		char up[FORMAT_BYTES] = "", used[FORMAT_BYTES] = "";
		char high[FORMAT_BYTES] = "", rss[FORMAT_BYTES] = "";
		char limit[FORMAT_BYTES] = "";
		struct row r;
		struct row first = page_row(page, 0);

		if (age_ms(page) > 0)
			format_span(age_ms(page), up);
		if (page_memory(page, &r)) {
			format_bytes(r.in_use, used);
			format_bytes(r.high_water, high);
			format_bytes(r.limit, limit);
		}
		if (screen_resident_bytes(first.pid) > 0)
			format_bytes(screen_resident_bytes(first.pid), rss);
		table_rowf(&t, "%s\t%u\t%s\t%u\t%s\t%s\t%s\t%s", first.role,
		    first.pid, up, atomic_load(&page->restarts), used, high,
		    limit, rss);
	}
	table_print(&t, to);
	table_fini(&t);
}

bool
screen_is_gate(const struct row *r)
{
	return r->kind == LIMIT_GATE;
}

bool
screen_is_ladder(const struct row *r)
{
	return strcmp(r->name, LADDER_ROW) == 0;
}

bool
screen_is_count(const struct row *r)
{
	return (r->kind == LIMIT_GAUGE && !screen_is_ladder(r)) ||
	       r->kind == LIMIT_QUOTA ||
	       (r->kind == LIMIT_POOL && r->object_bytes == 0);
}

static void
figure(const struct row *r, int64_t v, char buf[static FORMAT_BYTES])
{
	if (row_is_bytes(r))
		format_bytes(v, buf);
	else
		snprintf(buf, FORMAT_BYTES, "%" PRId64, v);
}

static void
add_row(struct table *t, const struct row *r)
{
	char now[FORMAT_BYTES], limit[FORMAT_BYTES] = "", high[FORMAT_BYTES];
	char refused[FORMAT_BYTES] = "", waited[FORMAT_BYTES] = "";

	figure(r, r->in_use, now);
	figure(r, r->high_water, high);
	if (r->limit > 0 || r->kind == LIMIT_GATE)
		figure(r, r->limit, limit);
	if (r->kind != LIMIT_GAUGE) {
		snprintf(refused, sizeof(refused), "%" PRId64, r->refused);
		snprintf(waited, sizeof(waited), "%" PRId64, r->waited);
	}
	table_rowf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s", r->role, r->name, now,
	    limit, high, refused, waited);
}

/* The rows of all pages that one screen has room for. */
static void
print_rows(FILE *to, struct cli *cli, const struct pages *p,
    bool (*wanted)(const struct row *r), const char *title)
{
	struct table t;
	size_t shown = 0;

	table_init(&t, &cli->acct, "llrrrrr");
	table_rowf(&t, "ROLE\t%s\tNOW\tLIMIT\tHIGH\tREFUSED\tWAITED", title);
	for (size_t i = 0; i < p->count; i++) {
		uint32_t n = page_row_count(p->page[i]);

		for (uint32_t k = 0; k < n; k++) {
			struct row r = page_row(p->page[i], k);

			if (!wanted(&r))
				continue;
			shown++;
			add_row(&t, &r);
		}
	}
	if (shown > 0) {
		fputc('\n', to);
		table_print(&t, to);
	}
	table_fini(&t);
}

/* Where each role stands on the ladder of overload. */
static void
print_ladder(FILE *to, const struct pages *p)
{
	bool calm = true;

	for (size_t i = 0; i < p->count; i++) {
		uint32_t n = page_row_count(p->page[i]);

		for (uint32_t k = 0; k < n; k++) {
			struct row r = page_row(p->page[i], k);

			if (strcmp(r.name, LADDER_ROW) != 0 || r.in_use <= 0)
				continue;
			calm = false;
			fprintf(to, "overload: %s: %s\n", r.role,
			    ladder_text((unsigned)r.in_use));
		}
	}
	if (calm)
		fprintf(to, "overload: none\n");
}

/* Where it is counted; NULL: there is no room for one more. */
static struct screen_flow *
flow_of(struct screen_before *b, const struct row *r, bool is_limit)
{
	const char *name =
	    is_limit && r->parameter[0] != '\0' ? r->parameter : r->name;
	struct screen_flow *f = b->flows;

	for (; f < b->flows + b->count; f++)
		if (f->is_limit == is_limit && strcmp(f->name, name) == 0 &&
		    strcmp(f->role, r->role_name) == 0)
			return f;
	if (b->count == SCREEN_FLOWS_MAX)
		return NULL;
	b->count++;
	*f = (struct screen_flow){ .is_limit = is_limit };
	snprintf(f->role, sizeof(f->role), "%s", r->role_name);
	snprintf(f->name, sizeof(f->name), "%s", name);
	return f;
}

/* Gates have their own table, with what they refused. */
static bool
is_flow(const struct row *r, bool is_limit)
{
	if (!is_limit)
		return r->kind == LIMIT_TOTAL;
	return r->kind != LIMIT_GATE && r->refused + r->waited > 0;
}

static void
count_flows(const struct pages *p, bool is_limit, struct screen_before *b)
{
	for (size_t i = 0; i < p->count; i++) {
		uint32_t n = page_row_count(p->page[i]);

		for (uint32_t k = 0; k < n; k++) {
			struct row r = page_row(p->page[i], k);
			struct screen_flow *f;

			if (!is_flow(&r, is_limit))
				continue;
			f = flow_of(b, &r, is_limit);
			if (f != NULL)
				f->count +=
				    is_limit ? r.refused + r.waited : r.in_use;
		}
	}
}

static void
rate(const struct screen_before *before, const struct screen_flow *f,
    int64_t now_ms, char buf[static FORMAT_BYTES])
{
	int64_t past_ms = now_ms - before->at_ms, was = 0;

	buf[0] = '\0';
	if (before->at_ms == 0 || past_ms <= 0)
		return;
	for (size_t i = 0; i < before->count; i++)
		if (before->flows[i].is_limit == f->is_limit &&
		    strcmp(before->flows[i].name, f->name) == 0 &&
		    strcmp(before->flows[i].role, f->role) == 0)
			was = before->flows[i].count;
	/* A role that was started again counts anew. */
	if (was > f->count)
		was = 0;
	snprintf(buf, FORMAT_BYTES, "%.1f",
	    (double)(f->count - was) * 1000 / (double)past_ms);
}

static void
print_flows(FILE *to, struct cli *cli, const struct pages *p,
    struct screen_before *before)
{
	static struct screen_before now;
	char per_second[FORMAT_BYTES] = "";
	struct table t;

	now.at_ms = clock_system.mono(&clock_system).ms;
	now.count = 0;
	count_flows(p, false, &now);
	count_flows(p, true, &now);
	table_init(&t, &cli->acct, "llrr");
	table_rowf(&t, "ROLE\tSO FAR\tCOUNT\t%s",
	    before != NULL ? "A SECOND" : "");
	for (size_t i = 0; i < now.count; i++) {
		const struct screen_flow *f = &now.flows[i];

		if (before != NULL)
			rate(before, f, now.at_ms, per_second);
		table_rowf(&t, "%s\t%s%s\t%" PRId64 "\t%s", f->role,
		    f->is_limit ? "limit " : "", f->name, f->count, per_second);
	}
	fputc('\n', to);
	table_print(&t, to);
	table_fini(&t);
	if (before != NULL)
		*before = now;
}

void
screen_print(FILE *to, struct cli *cli, const struct conf *conf,
    const struct pages *p, struct screen_before *before)
{
	char used[FORMAT_BYTES], budget[FORMAT_BYTES];

	format_bytes(pages_memory(p, false), used);
	format_bytes(conf->memory_budget_bytes, budget);
	fprintf(to, "weir %s on %s, master %ld, memory %s of %s\n",
	    WEIR_VERSION, conf->myhostname, (long)p->master, used, budget);
	print_ladder(to, p);
	if (before != NULL) {
		print_flows(to, cli, p, before);
		print_rows(to, cli, p, screen_is_gate, "GATE");
		print_roles(to, cli, p);
	} else {
		print_roles(to, cli, p);
		print_rows(to, cli, p, screen_is_gate, "GATE");
	}
	print_rows(to, cli, p, screen_is_count, "COUNT");
	if (before == NULL)
		print_flows(to, cli, p, before);
}
