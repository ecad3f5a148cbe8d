/*
 * status: one screen of a running server.
 */
#include <stdio.h>
#include <sysexits.h>

#include "conf/conf.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/json.h"
#include "weir/screen.h"

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
		json_number(&j, "resident", screen_resident_bytes(first.pid));
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_open(&j, "overload", '[');
	json_rows(&j, p, screen_is_ladder);
	json_close(&j, ']');
	json_open(&j, "gates", '[');
	json_rows(&j, p, screen_is_gate);
	json_close(&j, ']');
	json_open(&j, "counts", '[');
	json_rows(&j, p, screen_is_count);
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
		screen_print(stdout, cli, conf, &pages, NULL);
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
