/*
 * queue: the messages that wait.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/time.h"
#include "conf/conf.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/ctl.h"
#include "weir/pages.h"
#include "weir/queue_cat.h"
#include "weir/queue_export.h"
#include "weir/queue_list.h"
#include "weir/queue_req.h"
#include "weir/queue_show.h"

/* What was asked for; cli->argv holds the words after the verb. */
struct request {
	struct cli *cli;
	struct ctl *ctl;
	struct queue_filter filter;
	bool json, yes, raw;
	uint64_t *ids; /* of the words */
	size_t id_count;
};

static int
list(struct request *r, int verb)
{
	struct queue_lines lines = {
		.now_ms = clock_system.wall(&clock_system).ms,
	};
	struct queue_objects objects = { .message = { .open = false } };
	struct ctl_visitor v =
	    r->json ? queue_objects(&objects) : queue_lines(&lines);
	int status;

	(void)verb;
	status = queue_list(r->ctl, &r->filter, &v, NULL);
	if (r->json) {
		queue_objects_end(&objects);
		return status;
	}
	queue_lines_end(&lines);
	if (status == EX_OK && lines.shown_count == 0)
		printf(r->filter.given ? "no such message\n"
				       : "the queue is empty\n");
	return status;
}

static int
show(struct request *r, int verb)
{
	struct queue_shown shown;

	(void)verb;
	return queue_show(r->ctl, r->ids[0],
	    r->json ? QUEUE_SHOW_JSON : QUEUE_SHOW_PEOPLE, stdout, &shown);
}

static int
cat(struct request *r, int verb)
{
	(void)verb;
	return queue_cat(r->ctl, r->ids[0], stdout, CAT_ALL, r->raw);
}

static int export(struct request *r, int verb)
{
	(void)verb;
	return queue_export(r->cli, r->ctl, r->cli->argv[0]);
}

static const char *const done_names[CTL_VERB_COUNT] = {
	[CTL_VERB_HOLD] = "put on hold",
	[CTL_VERB_RELEASE] = "released",
	[CTL_VERB_RETRY] = "due now",
	[CTL_VERB_DELETE] = "deleted",
	[CTL_VERB_FAIL] = "failed, their senders are told",
};

/* Changes of many messages must be meant. */
static int
change_is_meant(const struct request *r)
{
	if (r->cli->argc > 0 && r->filter.given)
		return cli_usage(r->cli, "give ids or filters, not both");
	if (r->cli->argc == 0 && !r->filter.given && !r->yes)
		return cli_usage(r->cli,
		    "which messages? give ids, filters, or --yes for all");
	if (r->filter.given && !r->yes)
		return cli_usage(r->cli,
		    "a filter may match many messages: add --yes (\"weir queue "
		    "list\" with the same filter shows them)");
	return CLI_GO;
}

static int
change(struct request *r, int verb)
{
	uint64_t count = 0;
	int status = EX_OK;

	/* "-" without an id on standard input is nothing, not everything. */
	if (r->id_count > 0 || r->cli->argc == 0)
		status = queue_change(r->ctl, (enum ctl_verb)verb, &r->filter,
		    r->ids, r->id_count, &count);
	if (status == EX_OK && r->json)
		printf("{\"count\":%" PRIu64 "}\n", count);
	else if (status == EX_OK)
		printf("%" PRIu64 " %s %s\n", count,
		    count == 1 ? "message" : "messages", done_names[verb]);
	return status;
}

static const struct {
	const char *name;
	int (*run)(struct request *r, int verb);
	int verb;
} verbs[] = {
	{ "list", list, 0 },
	{ "show", show, 0 },
	{ "cat", cat, 0 },
	{ "hold", change, CTL_VERB_HOLD },
	{ "release", change, CTL_VERB_RELEASE },
	{ "retry", change, CTL_VERB_RETRY },
	{ "delete", change, CTL_VERB_DELETE },
	{ "fail", change, CTL_VERB_FAIL },
	{ "export", export, 0 },
};

/* The words behind the verb, before a server is sought. */
static int
check_words(struct request *r, size_t verb)
{
	struct cli *cli = r->cli;

	if (verbs[verb].run == list)
		return cli->argc == 0
			   ? CLI_GO
			   : cli_usage(cli,
				 "unexpected word \"%s\"; filters begin "
				 "with --",
				 cli->argv[0]);
	if (verbs[verb].run == export)
		return cli->argc == 1
			   ? CLI_GO
			   : cli_usage(cli, "export to which directory?");
	if (verbs[verb].run == change) {
		int status = change_is_meant(r);

		if (status != CLI_GO)
			return status;
	} else if (cli->argc != 1) {
		return cli_usage(cli, "which message? give one id");
	}
	return queue_ids(cli, cli->argv, (size_t)cli->argc, &r->ids,
		   &r->id_count) == EX_OK
		   ? CLI_GO
		   : EX_USAGE;
}

/* A stopped server's spool is read by the program that knows its format. */
static int
export_stopped(struct cli *cli, const struct conf *conf)
{
	static char name[] = "weir-fsck";
	static char option[] = "--export";
	char *argv[] = { name, option, cli->argv[0],
		(char *)(uintptr_t)conf->queue_directory, NULL };

	return cli_exec(cli, "fsck", argv);
}

/* With the configuration read: connect and do it. */
static int
on_server(struct request *r, const struct conf *conf, size_t verb)
{
	int status;

	if (verbs[verb].run == export) {
		int fd = run_open(conf, "control", SOCK_SEQPACKET);

		if (run_is_stopped(-fd))
			return export_stopped(r->cli, conf);
		if (fd >= 0)
			close(fd);
	}
	status = ctl_open(r->cli, conf, &r->ctl);
	if (status != EX_OK)
		return status;
	status = verbs[verb].run(r, verbs[verb].verb);
	ctl_close(r->ctl);
	return status;
}

static int
unknown_verb(const struct cli *cli)
{
	const char *near = NULL;
	unsigned best = CLI_NEAR;

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (cli_nearer(cli->argv[0], verbs[i].name, &best))
			near = verbs[i].name;
	if (near != NULL)
		return cli_usage(cli, "unknown verb \"%s\"; did you mean %s?",
		    cli->argv[0], near);
	return cli_usage(cli, "unknown verb \"%s\"", cli->argv[0]);
}

int
cmd_queue(struct cli *cli)
{
	struct request r = { .cli = cli };
	struct queue_filter_text text = { NULL };
	struct cli_option options[QUEUE_FILTER_OPTIONS + 3];
	const struct conf *conf;
	size_t verb = 0;
	int status;

	queue_filter_options(&text, options);
	options[QUEUE_FILTER_OPTIONS] =
	    (struct cli_option){ .name = "json", .flag = &r.json };
	options[QUEUE_FILTER_OPTIONS + 1] =
	    (struct cli_option){ .name = "yes", .flag = &r.yes };
	options[QUEUE_FILTER_OPTIONS + 2] =
	    (struct cli_option){ .name = "raw", .flag = &r.raw };
	status = cli_parse(cli, options, ARRAY_LEN(options));
	if (status == CLI_GO)
		status = queue_filter_parse(cli, &text, &r.filter);
	if (status != CLI_GO)
		return status;
	if (cli->argc == 0)
		return cli_usage(cli, "what about the queue?");
	while (verb < ARRAY_LEN(verbs) &&
	       strcmp(verbs[verb].name, cli->argv[0]) != 0)
		verb++;
	if (verb == ARRAY_LEN(verbs))
		return unknown_verb(cli);
	cli->argc--;
	cli->argv++;
	status = check_words(&r, verb);
	if (status != CLI_GO)
		return status;
	conf = cli_conf(cli);
	status = conf != NULL ? on_server(&r, conf, verb) : EX_CONFIG;
	conf_free(conf);
	mem_free(&cli->acct, r.ids);
	return status;
}
