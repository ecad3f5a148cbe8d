/*
 * status, top: one screen of a running server.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/ladder.h"
#include "conf/conf.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/format.h"
#include "weir/json.h"
#include "weir/pages.h"
#include "weir/rows.h"
#include "weir/table.h"

/* Resident memory of a process as the kernel counts it; 0: not told. */
static int64_t
resident_bytes(uint32_t pid)
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
print_roles(struct cli *cli, const struct pages *p)
{
	struct table t;

	table_init(&t, &cli->acct, "lrrrrrr");
	table_rowf(&t, "ROLE\tPID\tUP\tRESTARTS\tMEMORY\tHIGH\tRESIDENT");
	for (size_t i = 0; i < p->count; i++) {
		struct limits_page *page = p->page[i];
		char up[FORMAT_BYTES] = "", used[FORMAT_BYTES] = "";
		char high[FORMAT_BYTES] = "", rss[FORMAT_BYTES] = "";
		struct row r;
		struct row first = page_row(page, 0);

		if (age_ms(page) > 0)
			format_span(age_ms(page), up);
		if (page_memory(page, &r)) {
			format_bytes(r.in_use, used);
			format_bytes(r.high_water, high);
		}
		if (resident_bytes(first.pid) > 0)
			format_bytes(resident_bytes(first.pid), rss);
		table_rowf(&t, "%s\t%u\t%s\t%u\t%s\t%s\t%s", first.role,
		    first.pid, up, atomic_load(&page->restarts), used, high,
		    rss);
	}
	table_print(&t, stdout);
	table_fini(&t);
}

static bool
is_gate(const struct row *r)
{
	return r->kind == LIMIT_GATE;
}

static bool
is_ladder(const struct row *r)
{
	return strcmp(r->name, LADDER_ROW) == 0;
}

/* What the queue holds, and what others found worth counting; pools of
 * objects are for `weir limits`. */
static bool
is_count(const struct row *r)
{
	return (r->kind == LIMIT_GAUGE && !is_ladder(r)) ||
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
print_rows(struct cli *cli, const struct pages *p,
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
		putchar('\n');
		table_print(&t, stdout);
	}
	table_fini(&t);
}

/* Where each role stands on the ladder of overload. */
static void
print_ladder(const struct pages *p)
{
	bool calm = true;

	for (size_t i = 0; i < p->count; i++) {
		uint32_t n = page_row_count(p->page[i]);

		for (uint32_t k = 0; k < n; k++) {
			struct row r = page_row(p->page[i], k);

			if (strcmp(r.name, LADDER_ROW) != 0 || r.in_use <= 0)
				continue;
			calm = false;
			printf("overload: %s: %s\n", r.role,
			    ladder_text((unsigned)r.in_use));
		}
	}
	if (calm)
		printf("overload: none\n");
}

static void
print_screen(struct cli *cli, const struct conf *conf, const struct pages *p)
{
	char used[FORMAT_BYTES], budget[FORMAT_BYTES];

	format_bytes(pages_memory(p, false), used);
	format_bytes(conf->memory_budget_bytes, budget);
	printf("weir %s on %s, master %ld, memory %s of %s\n", WEIR_VERSION,
	    conf->myhostname, (long)p->master, used, budget);
	print_ladder(p);
	putchar('\n');
	print_roles(cli, p);
	print_rows(cli, p, is_gate, "GATE");
	print_rows(cli, p, is_count, "COUNT");
}

static void
json_rows(struct json *j, const struct pages *p,
    bool (*wanted)(const struct row *r))
{
	for (size_t i = 0; i < p->count; i++) {
		uint32_t n = page_row_count(p->page[i]);

		for (uint32_t k = 0; k < n; k++) {
			struct row r = page_row(p->page[i], k);

			if (!wanted(&r))
				continue;
			json_open(j, NULL, '{');
			row_json(j, &r);
			json_close(j, '}');
		}
	}
}

static void
print_json(const struct conf *conf, const struct pages *p)
{
	struct json j = json_to(stdout);

	json_open(&j, NULL, '{');
	json_string(&j, "version", slice_str(WEIR_VERSION));
	json_string(&j, "hostname", slice_str(conf->myhostname));
	json_number(&j, "pid", p->master);
	json_number(&j, "memory_budget", conf->memory_budget_bytes);
	json_number(&j, "memory_in_use", pages_memory(p, false));
	json_open(&j, "roles", '[');
	for (size_t i = 0; i < p->count; i++) {
		struct limits_page *page = p->page[i];
		struct row first = page_row(page, 0);
		struct row memory = { .in_use = 0 };

		if (!page_memory(page, &memory))
			memory = (struct row){ .in_use = 0 };
		json_open(&j, NULL, '{');
		json_string(&j, "role", slice_str(first.role_name));
		json_number(&j, "index", first.index);
		json_number(&j, "pid", first.pid);
		json_number(&j, "restarts", atomic_load(&page->restarts));
		json_number(&j, "started",
		    atomic_load(&page->started_wall_ms) / 1000);
		json_number(&j, "memory_in_use", memory.in_use);
		json_number(&j, "memory_high_water", memory.high_water);
		json_number(&j, "memory_limit", memory.limit);
		json_number(&j, "resident", resident_bytes(first.pid));
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_open(&j, "overload", '[');
	json_rows(&j, p, is_ladder);
	json_close(&j, ']');
	json_open(&j, "gates", '[');
	json_rows(&j, p, is_gate);
	json_close(&j, ']');
	json_open(&j, "counts", '[');
	json_rows(&j, p, is_count);
	json_close(&j, ']');
	json_close(&j, '}');
}

static int
show(struct cli *cli, const struct conf *conf, bool json)
{
	struct pages pages;
	int status = pages_open(cli, conf, &pages);

	if (status != EX_OK)
		return status;
	if (json)
		print_json(conf, &pages);
	else
		print_screen(cli, conf, &pages);
	pages_close(&pages);
	return EX_OK;
}

int
cmd_status(struct cli *cli)
{
	bool json = false;
	const struct cli_option options[] = {
		{ .name = "json", .flag = &json },
	};
	const struct conf *conf;
	int status = cli_parse_alone(cli, options, ARRAY_LEN(options));

	if (status != CLI_GO)
		return status;
	conf = cli_conf(cli);
	if (conf == NULL)
		return EX_CONFIG;
	status = show(cli, conf, json);
	conf_free(conf);
	return status;
}

/* Wait; false when somebody typed q or standard input ended. */
static bool
pause_or_quit(int64_t ms)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	char c;

	if (!isatty(STDIN_FILENO))
		p.fd = -1;
	if (poll(&p, 1, (int)ms) <= 0)
		return true;
	return read(STDIN_FILENO, &c, 1) == 1 && c != 'q';
}

int
cmd_top(struct cli *cli)
{
	const char *every = "2s";
	const struct cli_option options[] = {
		{ .letter = 'd', .name = "every", .value = &every },
	};
	const struct conf *conf;
	int64_t every_ms;
	int status = cli_parse_alone(cli, options, ARRAY_LEN(options));

	if (status != CLI_GO)
		return status;
	if (!parse_span(slice_str(every), &every_ms) || every_ms < 1000 ||
	    every_ms > 3600000)
		return cli_usage(cli, "--every %s: from 1s to 1h", every);
	conf = cli_conf(cli);
	if (conf == NULL)
		return EX_CONFIG;
	do {
		/* Home and clear, only where somebody looks. */
		if (isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		status = show(cli, conf, false);
		if (fflush(stdout) != 0)
			break;
	} while (status == EX_OK && isatty(STDOUT_FILENO) &&
		 pause_or_quit(every_ms));
	conf_free(conf);
	return status;
}
