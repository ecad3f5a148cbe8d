#include "weir/queue_show.h"

#include <inttypes.h>
#include <string.h>
#include <sysexits.h>

#include "base/time.h"
#include "base/wire.h"
#include "proto/envelope.h"
#include "weir/format.h"
#include "weir/queue_list.h"

static const char *const origins[ORIGIN_COUNT] = {
	[ORIGIN_SMTP] = "smtp",
	[ORIGIN_SUBMISSION] = "submission",
	[ORIGIN_LMTP] = "lmtp",
	[ORIGIN_LOCAL] = "local",
	[ORIGIN_REPORT] = "report",
};

static const struct {
	uint8_t bit;
	const char *name;
} notify_names[] = {
	{ NOTIFY_NEVER, "NEVER" },
	{ NOTIFY_SUCCESS, "SUCCESS" },
	{ NOTIFY_FAILURE, "FAILURE" },
	{ NOTIFY_DELAY, "DELAY" },
};

static void
line(struct queue_shown *q, const char *name, struct slice s)
{
	if (s.len == 0)
		return;
	fprintf(q->to, "%-12s", name);
	print_safe(q->to, s);
	fputc('\n', q->to);
}

static void
show_next(struct queue_shown *q, const struct fr_ctl_item *f)
{
	char next[FORMAT_BYTES], date[FORMAT_BYTES];
	int64_t wait_ms = (int64_t)f->next_ms - q->now_ms;

	if (f->status != CTL_DEFERRED || f->next_ms == 0)
		return;
	format_date((struct wall){ (int64_t)f->next_ms }, date);
	format_span(wait_ms, next);
	fprintf(q->to, "%-12s%s (%s%s)\n", "next", date,
	    wait_ms > 0 ? "in " : "now", wait_ms > 0 ? next : "");
}

static void
item_people(struct queue_shown *q, const struct fr_ctl_item *f)
{
	char date[FORMAT_BYTES], age[FORMAT_BYTES], size[FORMAT_BYTES];

	format_date((struct wall){ (int64_t)f->arrival_ms }, date);
	format_span(q->now_ms - (int64_t)f->arrival_ms, age);
	format_bytes((int64_t)f->size_bytes, size);
	fprintf(q->to, "%-12s%" PRIu64 "\n", "id", f->id);
	fprintf(q->to, "%-12s%s\n", "status", q->status);
	fprintf(q->to, "%-12s%u\n", "attempts", f->attempts);
	show_next(q, f);
	fprintf(q->to, "%-12s%s (%s ago)\n", "arrived", date, age);
	fprintf(q->to, "%-12s%" PRIu64 " bytes (%s)\n", "size", f->size_bytes,
	    size);
	line(q, "sender",
	    f->sender.len > 0 ? f->sender : SLICE_LIT("<> (none)"));
}

static void
item_json(struct queue_shown *q, const struct fr_ctl_item *f)
{
	struct json *j = &q->json;
	char id[24];

	snprintf(id, sizeof(id), "%" PRIu64, f->id);
	json_open(j, NULL, '{');
	json_string(j, "queue_name", slice_str(q->status));
	json_string(j, "queue_id", slice_str(id));
	json_number(j, "arrival_time", (int64_t)(f->arrival_ms / 1000));
	json_number(j, "message_size", (int64_t)f->size_bytes);
	json_string(j, "sender", f->sender);
	json_number(j, "attempts", f->attempts);
	json_number(j, "next_attempt", (int64_t)(f->next_ms / 1000));
}

static void
on_item(void *arg, const struct fr_ctl_item *f)
{
	struct queue_shown *q = arg;

	if (q->found)
		return;
	q->found = true;
	snprintf(q->status, sizeof(q->status), "%s",
	    queue_status_name(f->status));
	if (q->form == QUEUE_SHOW_POSTCAT)
		fprintf(q->to, "*** ENVELOPE RECORDS %s/%" PRIu64 " ***\n",
		    q->status, q->id);
	if (q->form == QUEUE_SHOW_JSON)
		item_json(q, f);
	else
		item_people(q, f);
}

static void
envelope_people(struct queue_shown *q, const struct envelope *e)
{
	if (e->client_address.len > 0) {
		fprintf(q->to, "%-12s", "client");
		print_safe(q->to, e->client_name);
		fputc('[', q->to);
		print_safe(q->to, e->client_address);
		fputs("]\n", q->to);
	}
	line(q, "helo", e->helo);
	line(q, "protocol", e->protocol);
	if (e->origin == ORIGIN_LOCAL)
		fprintf(q->to, "%-12s%u\n", "uid", e->uid);
	line(q, "envid", e->envid);
	if (e->ret != RET_NONE)
		line(q, "ret", slice_str(e->ret == RET_FULL ? "FULL" : "HDRS"));
	if (e->flags & ENVELOPE_UTF8)
		line(q, "smtputf8", SLICE_LIT("yes"));
	if (e->flags & ENVELOPE_8BIT)
		line(q, "8bit", SLICE_LIT("yes"));
}

static void
envelope_json(struct queue_shown *q, const struct envelope *e)
{
	struct json *j = &q->json;

	json_string(j, "client_name", e->client_name);
	json_string(j, "client_address", e->client_address);
	json_string(j, "helo", e->helo);
	json_string(j, "protocol", e->protocol);
	json_string(j, "origin",
	    slice_str(
		e->origin < ORIGIN_COUNT ? origins[e->origin] : "unknown"));
	if (e->origin == ORIGIN_LOCAL)
		json_number(j, "uid", e->uid);
	json_string(j, "envid", e->envid);
	json_string(j, "ret",
	    slice_str(e->ret == RET_FULL   ? "FULL"
		      : e->ret == RET_HDRS ? "HDRS"
					   : ""));
	json_bool(j, "smtputf8", e->flags & ENVELOPE_UTF8);
	json_bool(j, "8bit", e->flags & ENVELOPE_8BIT);
	json_bool(j, "final_newline", !(e->flags & ENVELOPE_NO_FINAL_EOL));
}

static void
on_envelope(void *arg, const struct fr_ctl_envelope *f)
{
	struct queue_shown *q = arg;
	struct rd r = rd_of(f->envelope);
	struct envelope e;

	if (!q->found)
		return;
	if (!envelope_get(&r, &e)) {
		q->damaged = true;
		return;
	}
	if (q->form == QUEUE_SHOW_JSON)
		envelope_json(q, &e);
	else
		envelope_people(q, &e);
}

static void
notify_text(uint8_t notify, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(notify_names); i++)
		if (notify & notify_names[i].bit)
			len += (size_t)snprintf(buf + len, size - len, "%s%s",
			    len > 0 ? "," : "", notify_names[i].name);
}

static void
rcpt_json(struct queue_shown *q, const struct fr_ctl_rcpt *f)
{
	struct json *j = &q->json;
	char notify[40];

	notify_text(f->notify, notify, sizeof(notify));
	if (!q->in_rcpts)
		json_open(j, "recipients", '[');
	q->in_rcpts = true;
	json_open(j, NULL, '{');
	json_string(j, "address", f->address);
	json_string(j, "state",
	    slice_str(f->state == CTL_RCPT_WAITING ? "waiting" : "done"));
	if (f->original.len > 0 && !slice_eq(f->original, f->address))
		json_string(j, "original", f->original);
	if (f->orcpt.len > 0)
		json_string(j, "orcpt", f->orcpt);
	if (f->notify != 0)
		json_string(j, "notify", slice_str(notify));
	if (f->reason.len > 0)
		json_string(j, "delay_reason", f->reason);
	json_close(j, '}');
}

static void
on_rcpt(void *arg, const struct fr_ctl_rcpt *f)
{
	struct queue_shown *q = arg;
	char notify[40];

	if (!q->found)
		return;
	if (q->form == QUEUE_SHOW_JSON) {
		rcpt_json(q, f);
		return;
	}
	notify_text(f->notify, notify, sizeof(notify));
	line(q, f->state == CTL_RCPT_WAITING ? "waiting" : "done", f->address);
	line(q, "  original", f->original);
	line(q, "  orcpt", f->orcpt);
	line(q, "  notify", slice_str(notify));
	line(q, "  reason", f->reason);
}

int
queue_show(struct ctl *c, uint64_t id, enum queue_show_form form, FILE *to,
    struct queue_shown *q)
{
	struct fr_ctl_show show = { .id = id };
	struct ctl_visitor v = {
		.on_item = on_item,
		.on_envelope = on_envelope,
		.on_rcpt = on_rcpt,
		.arg = q,
	};
	int status;

	*q = (struct queue_shown){
		.to = to,
		.form = form,
		.json = json_to(to),
		.id = id,
		.now_ms = clock_system.wall(&clock_system).ms,
	};
	ctl_about(c, id);
	status =
	    ctl_answer(c, send_ctl_show(ctl_chan(c), 1, &show, -1), &v, NULL);
	if (q->form == QUEUE_SHOW_JSON && q->found) {
		if (!q->in_rcpts)
			json_open(&q->json, "recipients", '[');
		json_close(&q->json, ']');
		if (q->damaged)
			json_bool(&q->json, "damaged_envelope", true);
		json_close(&q->json, '}');
	} else if (q->damaged) {
		line(q, "damaged", SLICE_LIT("the envelope cannot be read"));
	}
	return status;
}
