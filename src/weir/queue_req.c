#include "weir/queue_req.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/wire.h"
#include "weir/format.h"
#include "weir/queue_list.h"

enum {
	IDS_PER_FRAME = 49152 / 8, /* CTL_CHANGE, frames.def */
	IDS_MAX = 1 << 20,
};

void
queue_filter_options(struct queue_filter_text *t,
    struct cli_option options[static QUEUE_FILTER_OPTIONS])
{
	options[0] = (struct cli_option){ .name = "from", .value = &t->from };
	options[1] = (struct cli_option){ .name = "to", .value = &t->to };
	options[2] =
	    (struct cli_option){ .name = "domain", .value = &t->domain };
	options[3] = (struct cli_option){ .name = "age", .value = &t->age };
	options[4] =
	    (struct cli_option){ .name = "status", .value = &t->status };
	options[5] = (struct cli_option){ .name = "limit", .value = &t->limit };
}

/* An address or domain as the frames take it. */
static bool
bounded(const struct cli *cli, const char *name, const char *text, size_t max,
    struct slice *out, int *status)
{
	*out = slice_str(text);
	if (text == NULL)
		return false;
	if (out->len > max || out->len == 0)
		*status =
		    cli_usage(cli, "--%s: from 1 to %zu characters", name, max);
	return true;
}

int
queue_filter_parse(const struct cli *cli, const struct queue_filter_text *t,
    struct queue_filter *out)
{
	int status = CLI_GO;
	uint64_t limit;
	int64_t age_ms;
	bool given = t->age != NULL || t->status != NULL || t->limit != NULL;

	*out = (struct queue_filter){ .status = 0 };
	/* No sender at all is a sender as well: that of reports. */
	given |= bounded(cli, "from",
	    t->from != NULL && t->from[0] == '\0' ? "<>" : t->from, 512,
	    &out->from, &status);
	given |= bounded(cli, "to", t->to, 512, &out->to, &status);
	given |= bounded(cli, "domain", t->domain, 255, &out->domain, &status);
	out->given = given;
	if (status != CLI_GO)
		return status;
	if (t->age != NULL) {
		if (!parse_span(slice_str(t->age), &age_ms))
			return cli_usage(cli,
			    "--age %s: a time such as 90s, 15m, 2h or 5d",
			    t->age);
		out->age_min_ms = (uint64_t)age_ms;
	}
	if (t->status != NULL &&
	    !queue_status_parse(slice_str(t->status), &out->status))
		return cli_usage(cli,
		    "--status %s: incoming, active, deferred, hold, or several "
		    "with commas",
		    t->status);
	if (t->limit != NULL) {
		if (!slice_to_u64(slice_str(t->limit), UINT32_MAX, &limit) ||
		    limit == 0)
			return cli_usage(cli, "--limit %s: a number above 0",
			    t->limit);
		out->limit = (uint32_t)limit;
	}
	return CLI_GO;
}

bool
queue_id_parse(struct slice s, uint64_t *id_out)
{
	return slice_to_u64(s, UINT64_MAX, id_out) && *id_out > 0;
}

int
queue_list(struct ctl *c, const struct queue_filter *f,
    const struct ctl_visitor *v, uint32_t *count_out)
{
	struct fr_ctl_list list = {
		.status = f->status,
		.limit = f->limit,
		.age_min_ms = f->age_min_ms,
		.from = f->from,
		.to = f->to,
		.domain = f->domain,
	};

	ctl_about(c, 0);
	return ctl_answer(c, send_ctl_list(ctl_chan(c), 1, &list, -1), v,
	    count_out);
}

/* One frame of ids, or none: then the filter chooses. */
static int
change_some(struct ctl *c, enum ctl_verb verb, const struct queue_filter *f,
    const uint64_t *ids, size_t id_count, uint64_t *count_out)
{
	static unsigned char room[IDS_PER_FRAME * 8];
	struct wr w = wr_of(room, sizeof(room));
	struct fr_ctl_change change = {
		.verb = (uint8_t)verb,
		.status = f->status,
		.limit = f->limit,
		.age_min_ms = f->age_min_ms,
		.from = f->from,
		.to = f->to,
		.domain = f->domain,
	};
	uint32_t count = 0;
	int status;

	for (size_t i = 0; i < id_count; i++)
		wr_u64(&w, ids[i]);
	change.ids = wr_done(&w);
	ctl_about(c, id_count == 1 ? ids[0] : 0);
	status = ctl_answer(c, send_ctl_change(ctl_chan(c), 1, &change, -1),
	    NULL, &count);
	*count_out += count;
	return status;
}

int
queue_change(struct ctl *c, enum ctl_verb verb, const struct queue_filter *f,
    const uint64_t *ids, size_t id_count, uint64_t *count_out)
{
	size_t done = 0;
	int status;

	*count_out = 0;
	do {
		size_t n = id_count - done;

		if (n > IDS_PER_FRAME)
			n = IDS_PER_FRAME;
		status = change_some(c, verb, f, ids + done, n, count_out);
		done += n;
	} while (status == EX_OK && done < id_count);
	return status;
}

struct id_list {
	struct cli *cli;
	uint64_t *ids;
	size_t count, size;
};

static int
id_add(struct id_list *l, struct slice word)
{
	uint64_t id;

	if (!queue_id_parse(word, &id))
		return cli_usage(l->cli, "\"%.*s\" is no message id",
		    SLICE_ARGS(word));
	if (l->count == l->size) {
		size_t size = l->size == 0 ? 64 : l->size * 2;
		uint64_t *more = size > IDS_MAX ? NULL
						: mem_alloc_array(&l->cli->acct,
						      size, sizeof(*more));

		if (more == NULL) {
			cli_say(l->cli, "more than %zu ids", l->count);
			return EX_USAGE;
		}
		if (l->count > 0)
			memcpy(more, l->ids, l->count * sizeof(*more));
		mem_free(&l->cli->acct, l->ids);
		l->ids = more;
		l->size = size;
	}
	l->ids[l->count++] = id;
	return EX_OK;
}

/* Words from standard input, whatever parts them. */
static int
ids_from_stdin(struct id_list *l)
{
	int status = EX_OK;
	char word[32];
	size_t len = 0;
	int c;

	do {
		c = getchar();
		if (c != EOF && c != ' ' && c != '\t' && c != '\r' &&
		    c != '\n') {
			/* Longer than any id: too long stays wrong. */
			if (len < sizeof(word))
				word[len++] = (char)c;
		} else if (len > 0) {
			status = id_add(l, slice_of(word, len));
			len = 0;
		}
	} while (c != EOF && status == EX_OK);
	return status;
}

int
queue_ids(struct cli *cli, char *const words[], size_t count,
    uint64_t **ids_out, size_t *id_count_out)
{
	struct id_list l = { .cli = cli };
	int status = EX_OK;

	for (size_t i = 0; i < count && status == EX_OK; i++)
		status = strcmp(words[i], "-") == 0
			     ? ids_from_stdin(&l)
			     : id_add(&l, slice_str(words[i]));
	if (status != EX_OK) {
		mem_free(&cli->acct, l.ids);
		return status;
	}
	*ids_out = l.ids;
	*id_count_out = l.count;
	return EX_OK;
}
