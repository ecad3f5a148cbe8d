/*
 * postconf: parameters as administrators of Postfix ask for them.
 */
#include <stdio.h>
#include <sysexits.h>

#include "conf/conf.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/render.h"

/* The built-in defaults: what an empty file gives. */
static const struct conf *
defaults(struct cli *cli)
{
	struct conf_report *report = conf_report_new(&cli->acct);
	const struct conf *conf = NULL;

	if (report == NULL || conf_load_text(&cli->acct, SLICE_LIT(""),
				  "defaults", report, &conf) != OK) {
		cli_say(cli, "the defaults cannot be read");
		conf = NULL;
	}
	conf_report_free(&cli->acct, report);
	return conf;
}

/* Postfix warns of an unknown name and goes on with the others. */
static int
print_named(struct cli *cli, const struct conf *conf, unsigned flags)
{
	for (int i = 0; i < cli->argc; i++) {
		struct errtext et;
		enum err e =
		    render_conf(cli, conf, cli->argv + i, 1, flags, &et);

		if (e == ERR_NOTFOUND)
			cli_say(cli, "warning: %s: unknown parameter",
			    cli->argv[i]);
		else if (e != OK) {
			cli_say(cli, "%s", et.text);
			return EX_SOFTWARE;
		}
	}
	return EX_OK;
}

int
cmd_postconf(struct cli *cli)
{
	bool changed = false, built_in = false, expanded = false, bare = false;
	const struct cli_option options[] = {
		{ .letter = 'n', .flag = &changed },
		{ .letter = 'd', .flag = &built_in },
		{ .letter = 'x', .flag = &expanded },
		{ .letter = 'h', .flag = &bare },
	};
	const struct conf *conf;
	struct errtext et;
	unsigned flags;
	int status = cli_parse(cli, options, ARRAY_LEN(options));

	if (status != CLI_GO)
		return status;
	if (changed && built_in)
		return cli_usage(cli, "-n or -d, not both");
	conf = built_in ? defaults(cli) : cli_conf(cli);
	if (conf == NULL)
		return EX_CONFIG;
	flags = (changed ? CONF_RENDER_CHANGED : 0u) |
		(expanded ? CONF_RENDER_EXPANDED : 0u) |
		(bare ? CONF_RENDER_BARE : 0u);
	if (cli->argc > 0) {
		status = print_named(cli, conf, flags);
	} else if (render_conf(cli, conf, NULL, 0, flags, &et) != OK) {
		cli_say(cli, "%s", et.text);
		status = EX_SOFTWARE;
	} else {
		status = EX_OK;
	}
	conf_free(conf);
	return status;
}
