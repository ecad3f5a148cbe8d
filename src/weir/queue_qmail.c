/*
 * qmail-qstat, qmail-qread: the queue as administrators of qmail know it.
 *
 * qmail's local and remote are its two channels; here that is said by the
 * domain: one that is ours is local.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>
#include <time.h>

#include "conf/conf.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/ctl.h"
#include "weir/queue_list.h"
#include "weir/queue_req.h"

struct qread {
	const struct conf *conf;
	uint64_t count;
};

static void
put_text(struct slice s)
{
	char buf[512];

	while (s.len > 0)
		fwrite(buf, 1, slice_escape(&s, buf, sizeof(buf)), stdout);
}

static void
qread_item(void *arg, const struct fr_ctl_item *f)
{
	struct qread *q = arg;
	time_t arrival = (time_t)(f->arrival_ms / 1000);
	char date[64];
	struct tm tm;

	q->count++;
	if (gmtime_r(&arrival, &tm) == NULL ||
	    strftime(date, sizeof(date), "%e %b %Y %H:%M:%S", &tm) == 0)
		date[0] = '\0';
	printf("%s GMT  #%" PRIu64 "  %" PRIu64 "  <",
	    date[0] == ' ' ? date + 1 : date, f->id, f->size_bytes);
	put_text(f->sender);
	printf("> \n");
}

static bool
is_local(const struct conf *c, struct slice address)
{
	size_t at = slice_rfind(address, '@');
	struct slice domain = slice_sub(address, at + 1, address.len);

	return at == address.len ||
	       conf_list_has_domain(&c->mydestination, domain) ||
	       conf_list_has_domain(&c->virtual_mailbox_domains, domain) ||
	       conf_list_has_domain(&c->virtual_alias_domains, domain);
}

static void
qread_rcpt(void *arg, const struct fr_ctl_rcpt *f)
{
	struct qread *q = arg;

	printf("%s\t%s\t", f->state == CTL_RCPT_DONE ? "  done" : "",
	    is_local(q->conf, f->address) ? "local" : "remote");
	put_text(f->address);
	printf("\n");
}

static void
count_item(void *arg, const struct fr_ctl_item *f)
{
	struct qread *q = arg;

	(void)f;
	q->count++;
}

static void
count_rcpt(void *arg, const struct fr_ctl_rcpt *f)
{
	(void)arg;
	(void)f;
}

/* The whole queue, by v. */
static int
walk(struct cli *cli, struct qread *q, const struct ctl_visitor *v)
{
	const struct queue_filter all = { .status = 0 };
	struct ctl *ctl;
	int status = cli_parse_alone(cli, NULL, 0);

	if (status != CLI_GO)
		return status;
	q->conf = cli_conf(cli);
	if (q->conf == NULL)
		return EX_CONFIG;
	status = ctl_open(cli, q->conf, &ctl);
	if (status == EX_OK) {
		status = queue_list(ctl, &all, v, NULL);
		ctl_close(ctl);
	}
	conf_free(q->conf);
	return status;
}

int
cmd_qmail_qread(struct cli *cli)
{
	struct qread q = { .count = 0 };

	return walk(cli, &q,
	    &(struct ctl_visitor){ .on_item = qread_item,
		.on_rcpt = qread_rcpt,
		.arg = &q });
}

int
cmd_qmail_qstat(struct cli *cli)
{
	struct qread q = { .count = 0 };
	int status = walk(cli, &q,
	    &(struct ctl_visitor){ .on_item = count_item,
		.on_rcpt = count_rcpt,
		.arg = &q });

	/* Nothing is ever queued and not yet preprocessed: what was
	 * acknowledged is in the log with its recipients. */
	if (status == EX_OK)
		printf("messages in queue: %" PRIu64 "\n"
		       "messages in queue but not yet preprocessed: 0\n",
		    q.count);
	return status;
}
