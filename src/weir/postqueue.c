/*
 * mailq, postqueue, postsuper, postcat: the queue as administrators of
 * Postfix know it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "conf/conf.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/ctl.h"
#include "weir/queue_cat.h"
#include "weir/queue_list.h"
#include "weir/queue_req.h"
#include "weir/queue_show.h"

/* Connect; what the commands below begin with. */
static int
connect_queue(struct cli *cli, const struct conf **conf_out, struct ctl **out)
{
	int status;

	*conf_out = cli_conf(cli);
	if (*conf_out == NULL)
		return EX_CONFIG;
	status = ctl_open(cli, *conf_out, out);
	if (status != EX_OK)
		conf_free(*conf_out);
	return status;
}

static void
disconnect(const struct conf *conf, struct ctl *ctl)
{
	ctl_close(ctl);
	conf_free(conf);
}

/* ---- mailq, postqueue ---- */

static int
print_table(struct ctl *ctl)
{
	const struct queue_filter all = { .status = 0 };
	struct queue_mailq q = { .message = { .open = false } };
	struct ctl_visitor v = queue_mailq(&q);
	int status = queue_list(ctl, &all, &v, NULL);

	if (status == EX_OK)
		queue_mailq_end(&q);
	return status;
}

static int
print_objects(struct ctl *ctl)
{
	const struct queue_filter all = { .status = 0 };
	struct queue_objects q = { .message = { .open = false } };
	struct ctl_visitor v = queue_objects(&q);
	int status = queue_list(ctl, &all, &v, NULL);

	queue_objects_end(&q);
	return status;
}

/* Everything deferred, or one message, is due now. */
static int
retry(struct ctl *ctl, const uint64_t *id)
{
	const struct queue_filter deferred = { .status = 1u << CTL_DEFERRED };
	uint64_t count;

	return queue_change(ctl, CTL_VERB_RETRY, &deferred, id,
	    id != NULL ? 1 : 0, &count);
}

int
cmd_mailq(struct cli *cli)
{
	/* Elsewhere it is sendmail -bp, with the options of that. */
	bool verbose = false;
	const struct cli_option options[] = {
		{ .letter = 'C', .value = &cli->conf_path },
		{ .letter = 'v', .flag = &verbose },
	};
	const struct conf *conf;
	struct ctl *ctl;
	int status = cli_parse_alone(cli, options, ARRAY_LEN(options));

	if (status != CLI_GO)
		return status;
	status = connect_queue(cli, &conf, &ctl);
	if (status != EX_OK)
		return status;
	status = print_table(ctl);
	disconnect(conf, ctl);
	return status;
}

int
cmd_postqueue(struct cli *cli)
{
	bool table = false, objects = false, flush = false, verbose = false;
	const char *id_text = NULL;
	const struct cli_option options[] = {
		{ .letter = 'p', .flag = &table },
		{ .letter = 'j', .flag = &objects },
		{ .letter = 'f', .flag = &flush },
		{ .letter = 'i', .value = &id_text },
		{ .letter = 'v', .flag = &verbose },
	};
	const struct conf *conf;
	struct ctl *ctl;
	uint64_t id = 0;
	int status = cli_parse_alone(cli, options, ARRAY_LEN(options));

	if (status != CLI_GO)
		return status;
	if (table + objects + flush + (id_text != NULL) != 1)
		return cli_usage(cli, "one of -p, -j, -f or -i is needed");
	if (id_text != NULL && !queue_id_parse(slice_str(id_text), &id))
		return cli_usage(cli, "\"%s\" is no message id", id_text);
	status = connect_queue(cli, &conf, &ctl);
	if (status != EX_OK)
		return status;
	status = table	   ? print_table(ctl)
		 : objects ? print_objects(ctl)
		 : flush   ? retry(ctl, NULL)
			   : retry(ctl, &id);
	disconnect(conf, ctl);
	return status;
}

/* ---- postsuper ---- */

enum { OPERATIONS_MAX = 1024 };

struct postsuper {
	struct cli *cli;
	struct {
		char letter;
		const char *text;
	} operations[OPERATIONS_MAX];
	size_t count;
	struct queue_filter queues; /* named behind the options */
};

static int
add_operation(void *arg, char letter, const char *text)
{
	struct postsuper *p = arg;

	uint64_t id;

	if (strcmp(text, "ALL") != 0 && strcmp(text, "-") != 0 &&
	    !queue_id_parse(slice_str(text), &id))
		return cli_usage(p->cli,
		    "-%c: \"%s\" is no message id, ALL or -", letter, text);
	if (p->count == OPERATIONS_MAX)
		return cli_usage(p->cli, "more than %d operations; use -",
		    OPERATIONS_MAX);
	p->operations[p->count].letter = letter;
	p->operations[p->count++].text = text;
	return CLI_GO;
}

static const struct {
	char letter;
	enum ctl_verb verb;
	const char *total; /* "postsuper: Deleted: 3 messages" */
} operations[] = {
	{ 'd', CTL_VERB_DELETE, "Deleted" },
	{ 'h', CTL_VERB_HOLD, "Placed on hold" },
	{ 'H', CTL_VERB_RELEASE, "Released from hold" },
	/* There is one queue: to queue again is to look up and try again. */
	{ 'r', CTL_VERB_RETRY, "Requeued" },
};

static int
operate(struct postsuper *p, struct ctl *ctl, size_t which, const char *text,
    uint64_t *count)
{
	char *words[1] = { (char *)(uintptr_t)text };
	uint64_t *ids = NULL;
	size_t id_count = 0;
	int status;

	*count = 0;
	if (strcmp(text, "ALL") == 0)
		return queue_change(ctl, operations[which].verb, &p->queues,
		    NULL, 0, count);
	status = queue_ids(p->cli, words, 1, &ids, &id_count);
	if (status == EX_OK && id_count > 0)
		status = queue_change(ctl, operations[which].verb, &p->queues,
		    ids, id_count, count);
	mem_free(&p->cli->acct, ids);
	return status;
}

/* All operations of one letter after another, then their total. */
static int
operate_all(struct postsuper *p, struct ctl *ctl)
{
	uint64_t totals[ARRAY_LEN(operations)] = { 0 };
	bool used[ARRAY_LEN(operations)] = { false };
	int status = EX_OK;

	for (size_t i = 0; i < p->count && status == EX_OK; i++) {
		size_t which = 0;
		uint64_t count;

		while (operations[which].letter != p->operations[i].letter)
			which++;
		status = operate(p, ctl, which, p->operations[i].text, &count);
		totals[which] += count;
		used[which] = true;
	}
	for (size_t i = 0; i < ARRAY_LEN(operations); i++)
		if (used[i] && totals[i] > 0)
			cli_say(p->cli, "%s: %" PRIu64 " message%s",
			    operations[i].total, totals[i],
			    totals[i] == 1 ? "" : "s");
	return status;
}

int
cmd_postsuper(struct cli *cli)
{
	static struct postsuper p;
	struct cli_option options[ARRAY_LEN(operations)];
	const struct conf *conf;
	struct ctl *ctl;
	int status;

	p.cli = cli;
	for (size_t i = 0; i < ARRAY_LEN(operations); i++)
		options[i] = (struct cli_option){
			.letter = operations[i].letter,
			.each = add_operation,
			.each_value = true,
			.arg = &p,
		};
	status = cli_parse(cli, options, ARRAY_LEN(options));
	if (status != CLI_GO)
		return status;
	if (p.count == 0)
		return cli_usage(cli, "one of -d, -h, -H or -r is needed");
	for (int i = 0; i < cli->argc; i++) {
		uint8_t one;

		if (!queue_status_parse(slice_str(cli->argv[i]), &one))
			return cli_usage(cli,
			    "\"%s\" is no queue: incoming, active, deferred "
			    "or hold",
			    cli->argv[i]);
		p.queues.status |= one;
	}
	status = connect_queue(cli, &conf, &ctl);
	if (status != EX_OK)
		return status;
	status = operate_all(&p, ctl);
	disconnect(conf, ctl);
	return status;
}

/* ---- postcat ---- */

static int
postcat_one(struct ctl *ctl, uint64_t id, bool envelope, unsigned parts)
{
	struct queue_shown shown;
	int status = EX_OK;

	if (envelope)
		status =
		    queue_show(ctl, id, QUEUE_SHOW_POSTCAT, stdout, &shown);
	if (status == EX_OK && envelope && parts != 0)
		printf("*** MESSAGE CONTENTS %s/%" PRIu64 " ***\n",
		    shown.status, id);
	if (status == EX_OK && parts != 0)
		status = queue_cat(ctl, id, stdout, parts, false);
	if (status == EX_OK && envelope)
		printf("*** MESSAGE FILE END %s/%" PRIu64 " ***\n",
		    shown.status, id);
	return status;
}

int
cmd_postcat(struct cli *cli)
{
	bool by_id = false, header = false, body = false, envelope = false;
	const struct cli_option options[] = {
		{ .letter = 'q', .flag = &by_id },
		{ .letter = 'h', .flag = &header },
		{ .letter = 'b', .flag = &body },
		{ .letter = 'e', .flag = &envelope },
	};
	const struct conf *conf;
	struct ctl *ctl;
	uint64_t id;
	int status = cli_parse(cli, options, ARRAY_LEN(options));

	if (status != CLI_GO)
		return status;
	if (!by_id || cli->argc == 0)
		return cli_usage(cli, "messages have no files of their own: "
				      "give -q and an id");
	for (int i = 0; i < cli->argc; i++)
		if (!queue_id_parse(slice_str(cli->argv[i]), &id))
			return cli_usage(cli, "\"%s\" is no message id",
			    cli->argv[i]);
	if (!header && !body && !envelope)
		header = body = envelope = true;
	status = connect_queue(cli, &conf, &ctl);
	if (status != EX_OK)
		return status;
	for (int i = 0; i < cli->argc && status == EX_OK; i++)
		if (queue_id_parse(slice_str(cli->argv[i]), &id))
			status = postcat_one(ctl, id, envelope,
			    (header ? CAT_HEADER : 0u) |
				(body ? CAT_BODY : 0u));
	disconnect(conf, ctl);
	return status;
}
