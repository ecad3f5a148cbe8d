/*
 * check, config: the configuration without a server.
 */
#include <stdio.h>
#include <sysexits.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "role/plan.h"
#include "weir/check.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/render.h"

enum { RENDER_BYTES_MAX = 4 << 20 };

int
render_plan(const struct conf *conf, struct plan *out)
{
	struct errtext et = { "" };
	char source[CONF_SOURCE_BYTES];

	if (plan_make(conf, plan_cpu_count(), plan_nofile_max(), out, &et) ==
	    OK)
		return EX_OK;
	conf_source(conf, "memory_budget", source);
	fprintf(stderr, "%s: %s\n", source, et.text);
	return EX_CONFIG;
}

int
cmd_check(struct cli *cli)
{
	struct conf_input in = {
		.overrides = cli->overrides,
	};
	struct conf_report *report;
	const struct conf *conf = NULL;
	struct plan plan;
	int status = cli_parse_alone(cli, NULL, 0);

	if (status != CLI_GO)
		return status;
	in.path = cli->conf_path;
	in.override_count = cli->override_count;
	report = conf_report_new(&cli->acct);
	if (report == NULL)
		return EX_TEMPFAIL;
	status = conf_load(&cli->acct, &in, report, &conf) == OK
		     ? render_plan(conf, &plan)
		     : EX_CONFIG;
	for (unsigned i = 0; i < report->count; i++)
		fprintf(stderr, "%s%s\n",
		    report->messages[i].is_error ? "" : "warning: ",
		    report->messages[i].text);
	if (report->error_count + report->warning_count > report->count)
		fprintf(stderr, "and %u more\n",
		    report->error_count + report->warning_count -
			report->count);
	if (conf != NULL) {
		check_system(conf);
		if (check_transport_maps(cli, conf) > 0)
			status = EX_CONFIG;
	}
	conf_free(conf);
	conf_report_free(&cli->acct, report);
	return status;
}

enum err
render_conf(struct cli *cli, const struct conf *conf, char *const names[],
    size_t name_count, unsigned flags, struct errtext *et)
{
	struct buf out;
	enum err e;

	et->text[0] = '\0';
	buf_init(&out, &cli->acct, 65536, RENDER_BYTES_MAX);
	e = conf_render(conf, (const char *const *)names, name_count, flags,
	    &out, et);
	if (e == OK)
		fwrite(buf_data(&out).data, 1, buf_data(&out).len, stdout);
	else if (et->text[0] == '\0')
		err_set(et, e, "%s", err_text(e));
	buf_fini(&out);
	return e;
}

int
cmd_config(struct cli *cli)
{
	bool changed = false;
	bool source = false;
	bool json = false;
	bool expanded = false;
	const struct cli_option options[] = {
		{ .letter = 'n', .flag = &changed },
		{ .letter = 's', .flag = &source },
		{ .letter = 'x', .flag = &expanded },
		{ .name = "json", .flag = &json },
	};
	const struct conf *conf;
	struct errtext et;
	enum err e;
	int status = cli_parse(cli, options, ARRAY_LEN(options));

	if (status != CLI_GO)
		return status;
	conf = cli_conf(cli);
	if (conf == NULL)
		return EX_CONFIG;
	e = render_conf(cli, conf, cli->argv, (size_t)cli->argc,
	    (changed ? CONF_RENDER_CHANGED : 0u) |
		(source ? CONF_RENDER_SOURCE : 0u) |
		(expanded ? CONF_RENDER_EXPANDED : 0u) |
		(json ? CONF_RENDER_JSON : 0u),
	    &et);
	conf_free(conf);
	if (e == OK)
		return EX_OK;
	cli_say(cli, "%s", et.text);
	return e == ERR_NOTFOUND ? EX_USAGE : EX_SOFTWARE;
}
