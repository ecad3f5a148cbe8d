#include "weir/queue_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "weir/format.h"

static const char status_names[CTL_STATUS_COUNT][10] = {
	[CTL_INCOMING] = "incoming",
	[CTL_ACTIVE] = "active",
	[CTL_DEFERRED] = "deferred",
	[CTL_HOLD] = "hold",
};

const char *
queue_status_name(unsigned status)
{
	return status < CTL_STATUS_COUNT ? status_names[status] : "unknown";
}

bool
queue_status_parse(struct slice s, uint8_t *set_out)
{
	struct slice word;

	*set_out = 0;
	while (slice_word(&s, ", ", &word)) {
		unsigned i = 0;

		while (i < CTL_STATUS_COUNT &&
		       !slice_eq_nocase(word, slice_str(status_names[i])))
			i++;
		if (i == CTL_STATUS_COUNT)
			return false;
		*set_out |= (uint8_t)(1u << i);
	}
	return *set_out != 0;
}

/* Foreign text, escaped and terminated; cut where it does not fit. */
static void
keep(char *to, size_t size, struct slice s)
{
	size_t n = slice_escape(&s, to, size - 1);

	to[n] = '\0';
}

const char *
queue_sender_shown(const char *sender)
{
	return sender[0] == '\0' ? "<>" : sender;
}

static void
message_begin(struct queue_message *m, const struct fr_ctl_item *f)
{
	*m = (struct queue_message){ .item = *f, .open = true };
	keep(m->sender, sizeof(m->sender), f->sender);
}

static bool
message_rcpt(struct queue_message *m, const struct fr_ctl_rcpt *f)
{
	if (!m->open || f->state != CTL_RCPT_WAITING)
		return false;
	if (m->waiting_count++ == 0)
		keep(m->rcpt, sizeof(m->rcpt), f->address);
	return true;
}

/* ---- one line each ---- */

static const char line_format[] = "%-12s %-8s %6s %9s %5s %6s  %s -> %s%s\n";

static void
line_flush(struct queue_lines *q)
{
	const struct queue_message *m = &q->message;
	char id[24], age[FORMAT_BYTES], size[FORMAT_BYTES];
	char next[FORMAT_BYTES] = "", tries[16], more[32] = "";
	int64_t wait_ms = (int64_t)m->item.next_ms - q->now_ms;

	if (!m->open)
		return;
	if (q->shown_count++ == 0)
		printf(line_format, "ID", "STATUS", "AGE", "SIZE", "TRIES",
		    "NEXT", "FROM", "TO", "");
	snprintf(id, sizeof(id), "%" PRIu64, m->item.id);
	format_span(q->now_ms - (int64_t)m->item.arrival_ms, age);
	format_bytes((int64_t)m->item.size_bytes, size);
	snprintf(tries, sizeof(tries), "%u", m->item.attempts);
	if (m->item.status == CTL_DEFERRED && m->item.next_ms != 0) {
		if (wait_ms > 0)
			format_span(wait_ms, next);
		else
			snprintf(next, sizeof(next), "now");
	}
	if (m->waiting_count > 1)
		snprintf(more, sizeof(more), " and %u more",
		    m->waiting_count - 1);
	printf(line_format, id, queue_status_name(m->item.status), age, size,
	    tries, next, queue_sender_shown(m->sender), m->rcpt, more);
	q->message.open = false;
}

static void
lines_item(void *arg, const struct fr_ctl_item *f)
{
	struct queue_lines *q = arg;

	line_flush(q);
	message_begin(&q->message, f);
}

static void
lines_rcpt(void *arg, const struct fr_ctl_rcpt *f)
{
	struct queue_lines *q = arg;

	message_rcpt(&q->message, f);
}

struct ctl_visitor
queue_lines(struct queue_lines *q)
{
	return (struct ctl_visitor){
		.on_item = lines_item,
		.on_rcpt = lines_rcpt,
		.arg = q,
	};
}

void
queue_lines_end(struct queue_lines *q)
{
	line_flush(q);
}

/* ---- one object each, with the keys of postqueue(1) ---- */

static void
object_flush(struct queue_objects *q)
{
	if (!q->message.open)
		return;
	json_close(&q->json, ']');
	json_close(&q->json, '}');
	q->message.open = false;
}

static void
objects_item(void *arg, const struct fr_ctl_item *f)
{
	struct queue_objects *q = arg;
	struct json *j = &q->json;
	char id[24];

	object_flush(q);
	message_begin(&q->message, f);
	snprintf(id, sizeof(id), "%" PRIu64, f->id);
	json_open(j, NULL, '{');
	json_string(j, "queue_name", slice_str(queue_status_name(f->status)));
	json_string(j, "queue_id", slice_str(id));
	json_number(j, "arrival_time", (int64_t)(f->arrival_ms / 1000));
	json_number(j, "message_size", (int64_t)f->size_bytes);
	json_bool(j, "forced_expire", false);
	json_string(j, "sender", f->sender);
	json_number(j, "attempts", f->attempts);
	json_number(j, "next_attempt", (int64_t)(f->next_ms / 1000));
	json_open(j, "recipients", '[');
}

static void
objects_rcpt(void *arg, const struct fr_ctl_rcpt *f)
{
	struct queue_objects *q = arg;

	if (!message_rcpt(&q->message, f))
		return;
	json_open(&q->json, NULL, '{');
	json_string(&q->json, "address", f->address);
	if (f->original.len > 0 && !slice_eq(f->original, f->address))
		json_string(&q->json, "original", f->original);
	if (f->reason.len > 0)
		json_string(&q->json, "delay_reason", f->reason);
	json_close(&q->json, '}');
}

struct ctl_visitor
queue_objects(struct queue_objects *q)
{
	q->json = json_to(stdout);
	return (struct ctl_visitor){
		.on_item = objects_item,
		.on_rcpt = objects_rcpt,
		.arg = q,
	};
}

void
queue_objects_end(struct queue_objects *q)
{
	object_flush(q);
}

/* ---- the table of mailq ---- */

enum { MAILQ_WIDTH = 76 };

static void
mailq_flush(struct queue_mailq *q)
{
	if (!q->message.open)
		return;
	putchar('\n');
	q->message.open = false;
}

/* The mark behind the id: being delivered, on hold. */
static char
mailq_mark(unsigned status)
{
	return status == CTL_ACTIVE ? '*' : status == CTL_HOLD ? '!' : ' ';
}

static void
mailq_item(void *arg, const struct fr_ctl_item *f)
{
	struct queue_mailq *q = arg;
	char date[FORMAT_BYTES], id[32];

	mailq_flush(q);
	message_begin(&q->message, f);
	q->reason[0] = '\0';
	q->total_bytes += f->size_bytes;
	if (q->shown_count++ == 0)
		printf("%-10s %8s %-20s %s\n", "-Queue ID-", "--Size--",
		    "----Arrival Time----", "-Sender/Recipient-------");
	snprintf(id, sizeof(id), "%" PRIu64 "%c", f->id, mailq_mark(f->status));
	format_date((struct wall){ (int64_t)f->arrival_ms }, date);
	printf("%-11s %7" PRIu64 " %19s  %s\n", id, f->size_bytes, date,
	    q->message.sender[0] == '\0' ? "MAILER-DAEMON" : q->message.sender);
}

static void
mailq_rcpt(void *arg, const struct fr_ctl_rcpt *f)
{
	struct queue_mailq *q = arg;
	char text[QUEUE_REASON_BYTES];

	if (!message_rcpt(&q->message, f))
		return;
	keep(text, sizeof(text), f->reason);
	/* A reason stands once, above all recipients that share it. */
	if (text[0] != '\0' && strcmp(text, q->reason) != 0) {
		int len = (int)strlen(text);

		printf("%*s(%s)\n", len < MAILQ_WIDTH ? MAILQ_WIDTH - len : 0,
		    "", text);
		memcpy(q->reason, text, sizeof(text));
	}
	keep(text, sizeof(text), f->address);
	printf("%-10s %8s %-20s %s\n", "", "", "", text);
}

struct ctl_visitor
queue_mailq(struct queue_mailq *q)
{
	return (struct ctl_visitor){
		.on_item = mailq_item,
		.on_rcpt = mailq_rcpt,
		.arg = q,
	};
}

void
queue_mailq_end(struct queue_mailq *q)
{
	mailq_flush(q);
	if (q->shown_count == 0)
		printf("Mail queue is empty\n");
	else
		printf("-- %" PRIu64 " Kbytes in %u Request%s.\n",
		    q->total_bytes / 1024, q->shown_count,
		    q->shown_count == 1 ? "" : "s");
}
