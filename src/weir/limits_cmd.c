/*
 * limits: every limit of the running server.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "conf/conf.h"
#include "role/plan.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/format.h"
#include "weir/json.h"
#include "weir/pages.h"
#include "weir/render.h"
#include "weir/rows.h"
#include "weir/table.h"

/* A figure of a row in its unit. */
static void
figure(const struct row *r, int64_t v, char buf[static FORMAT_BYTES])
{
	if (row_is_bytes(r))
		format_bytes(v, buf);
	else if (r->kind == LIMIT_DEADLINE)
		format_span(v, buf);
	else
		snprintf(buf, FORMAT_BYTES, "%" PRId64, v);
}

static void
add_row(struct table *t, const struct row *r)
{
	char limit[FORMAT_BYTES] = "none";
	char object[FORMAT_BYTES] = "";
	char in_use[FORMAT_BYTES];
	char high[FORMAT_BYTES];

	if (r->object_bytes > 0)
		format_bytes(r->object_bytes, object);
	if (r->limit != 0 || r->kind == LIMIT_GATE)
		figure(r, r->limit, limit);
	if (r->kind == LIMIT_GAUGE || r->kind == LIMIT_TOTAL)
		limit[0] = '\0';
	/* A deadline's in_use is how many run, not a time. */
	if (r->kind == LIMIT_DEADLINE) {
		snprintf(in_use, sizeof(in_use), "%" PRId64, r->in_use);
		snprintf(high, sizeof(high), "%" PRId64, r->high_water);
	} else {
		figure(r, r->in_use, in_use);
		figure(r, r->high_water, high);
	}
	if (r->kind == LIMIT_TOTAL)
		high[0] = '\0';
	if (r->kind == LIMIT_SIZE || r->kind == LIMIT_COUNT) {
		if (r->in_use == 0 && r->high_water == 0)
			in_use[0] = high[0] = '\0';
	}
	table_rowf(t,
	    "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%" PRId64 "\t%" PRId64 "\t%s", r->role,
	    r->name, limit_kind_name((enum limit_kind)r->kind), object, limit,
	    in_use, high, r->refused, r->waited, r->parameter);
}

static void
print_people(struct cli *cli, const struct conf *conf, const struct pages *p)
{
	char used[FORMAT_BYTES];
	char budget[FORMAT_BYTES];
	struct table t;

	table_init(&t, &cli->acct, "lllrrrrrrl");
	table_rowf(&t, "ROLE\tNAME\tKIND\tOBJECT\tLIMIT\tIN USE\tHIGH\tREFUSED"
		       "\tWAITED\tPARAMETER");
	for (size_t i = 0; i < p->count; i++) {
		uint32_t n = page_row_count(p->page[i]);

		for (uint32_t k = 0; k < n; k++) {
			struct row r = page_row(p->page[i], k);

			add_row(&t, &r);
		}
	}
	table_print(&t, stdout);
	table_fini(&t);
	format_bytes(pages_memory(p, false), used);
	format_bytes(conf->memory_budget_bytes, budget);
	printf("\nmemory: %s in use of %s (memory_budget)\n", used, budget);
}

static void
print_json(const struct conf *conf, const struct pages *p)
{
	struct json j = json_to(stdout);

	json_open(&j, NULL, '{');
	json_number(&j, "memory_budget", conf->memory_budget_bytes);
	json_number(&j, "memory_in_use", pages_memory(p, false));
	json_number(&j, "memory_high_water", pages_memory(p, true));
	json_open(&j, "limits", '[');
	for (size_t i = 0; i < p->count; i++) {
		uint32_t n = page_row_count(p->page[i]);

		for (uint32_t k = 0; k < n; k++) {
			struct row r = page_row(p->page[i], k);

			json_open(&j, NULL, '{');
			row_json(&j, &r);
			json_close(&j, '}');
		}
	}
	json_close(&j, ']');
	json_close(&j, '}');
}

static void
print_line(void *arg, const char *line)
{
	fprintf(arg, "%s\n", line);
}

static void
plan_json(const struct plan *p)
{
	struct json j = json_to(stdout);

	json_open(&j, NULL, '{');
	json_number(&j, "memory_budget", p->budget_bytes);
	json_number(&j, "concurrency_incoming", p->concurrency_incoming);
	json_number(&j, "qmgr_message_active_limit", p->active_max);
	json_number(&j, "qmgr_message_recipient_limit", p->rcpt_max);
	json_number(&j, "client_page_bytes", p->client_page_bytes);
	json_number(&j, "socket_bytes", p->socket_bytes);
	json_number(&j, "nofile_needed", p->nofile_needed);
	json_open(&j, "roles", '[');
	for (unsigned i = 0; i < ROLE_COUNT; i++) {
		const struct plan_part *part = &p->parts[i];

		if (part->count == 0)
			continue;
		json_open(&j, NULL, '{');
		json_string(&j, "role", slice_str(role_name((enum role)i)));
		json_number(&j, "processes", part->count);
		json_number(&j, "floor_bytes", part->floor_bytes);
		json_number(&j, "fixed_bytes", part->fixed_bytes);
		json_number(&j, "shared_bytes", part->shared_bytes);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
}

static int
print_plan(const struct conf *conf, bool json)
{
	struct plan plan;
	char clamped[PLAN_CLAMPED_BYTES];
	int status = render_plan(conf, &plan);

	if (status != EX_OK)
		return status;
	if (json)
		plan_json(&plan);
	else
		plan_print(&plan, print_line, stdout);
	/* As it would be if started from here. */
	if (plan_clamped(&plan, plan_nofile_max(), clamped))
		fprintf(stderr, "weir: %s\n", clamped);
	return EX_OK;
}

int
cmd_limits(struct cli *cli)
{
	bool json = false;
	bool plan = false;
	bool doc = false;
	const struct cli_option options[] = {
		{ .name = "json", .flag = &json },
		{ .name = "plan", .flag = &plan },
		{ .name = "doc", .flag = &doc },
	};
	const struct conf *conf;
	struct pages pages;
	int status = cli_parse_alone(cli, options, ARRAY_LEN(options));

	if (status != CLI_GO)
		return status;
	if (doc)
		return limits_doc();
	conf = cli_conf(cli);
	if (conf == NULL)
		return EX_CONFIG;
	status = plan ? print_plan(conf, json) : pages_open(cli, conf, &pages);
	if (status == EX_OK && !plan) {
		if (json)
			print_json(conf, &pages);
		else
			print_people(cli, conf, &pages);
		pages_close(&pages);
	}
	conf_free(conf);
	return status;
}
