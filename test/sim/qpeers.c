/*
 * qpeers: smtpd, lookup, bounce and an administrator, as the queue sees them.
 * Each may be slow, silent, or gone; none sends nonsense.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "qsim.h"

enum {
	BODY_MAX = 6000,
	AHEAD_TAG = 1 << 30, /* in tags under which one is granted ahead */
};

static char body_bytes[BODY_MAX];

static const char *
domain_of(unsigned dest)
{
	static char buf[16];

	snprintf(buf, sizeof(buf), "d%u.x", dest);
	return buf;
}

static void
put_rcpt(struct wr *to, unsigned i)
{
	char address[64], orcpt[64];
	struct envelope_rcpt r = { .notify = w.rcpts[i].notify };

	snprintf(address, sizeof(address), "r%u@%s", i,
	    domain_of(w.rcpts[i].dest));
	snprintf(orcpt, sizeof(orcpt), "rfc822;%u", i);
	r.address = slice_str(address);
	r.orcpt = slice_str(orcpt);
	envelope_rcpt_put(to, &r);
}

/* A refusal here is a queue that does not read: the caller sends little. */
static void
must(enum err e)
{
	if (e != OK && e != ERR_CLOSED && e != ERR_FULL)
		q_fail("a frame could not be sent: %s", err_name(e));
}

static void
send_txn(struct chan *c, uint32_t tag, unsigned msg, enum envelope_origin o,
    uint64_t size_hint)
{
	static unsigned char rcpts[49152];
	unsigned char env[1024];
	struct q_msg *m = &w.msgs[msg];
	struct wr e = wr_of(env, sizeof(env));
	struct wr p = wr_of(rcpts, sizeof(rcpts));
	struct envelope envelope = { .origin = (uint8_t)o,
		.sender = m->null_sender ? SLICE_NONE : SLICE_LIT("s@d5.x"),
		.protocol = SLICE_LIT("ESMTP") };
	struct fr_txn_open open = { .size_hint_bytes = size_hint,
		.rcpt_count = m->count };
	struct fr_txn_rcpt list;

	envelope_put(&e, &envelope);
	for (unsigned i = 0; i < m->count; i++)
		put_rcpt(&p, m->first + i);
	open.envelope = wr_done(&e);
	list.rcpts = wr_done(&p);
	must(send_txn_open(c, tag, &open, -1));
	must(send_txn_rcpt(c, tag, &list, -1));
}

static void
send_body(struct chan *c, uint32_t tag, unsigned msg, size_t len)
{
	struct fr_txn_body body = { .data = slice_of(body_bytes, len) };
	struct fr_txn_commit commit = { .body_bytes = len };

	must(send_txn_body(c, tag, &body, -1));
	w.msgs[msg].committed = true;
	if (c == w.smtpd && w.ahead_tag == 0 && q_chance(2))
		commit.ahead = w.ahead_tag = AHEAD_TAG | w.tag;
	must(send_txn_commit(c, tag, &commit, -1));
}

static void
on_gone(void *arg, struct chan *c, bool bad, const char *why)
{
	struct chan **at = arg;

	if (bad)
		q_fail("the queue sent nonsense: %s", why);
	chan_close(c);
	*at = NULL;
	if (at == &w.lookup)
		q_after(200 + (int64_t)q_chance(2000), DO_LOOKUP, 0, 0);
	if (at == &w.bounce)
		memset(w.bounce_msg, 0, sizeof(w.bounce_msg));
	if (at == &w.control)
		w.control_id = 0;
}

/* ---- smtpd ---- */

/* A message in a transaction that was granted ahead: all of it at once. */
static void
use_ahead(unsigned msg)
{
	uint32_t tag = w.ahead_tag;

	w.ahead_id = 0;
	w.ahead_msg = msg + 1;
	send_txn(w.smtpd, tag, msg, ORIGIN_SMTP, 6000);
	send_body(w.smtpd, tag, msg, 1 + q_chance(BODY_MAX));
}

static void
return_ahead(void)
{
	struct fr_txn_abort no = { 0 };

	must(send_txn_abort(w.smtpd, w.ahead_tag, &no, -1));
	w.ahead_tag = 0;
	w.ahead_id = 0;
}

static void
ahead_frame(struct frame *f)
{
	struct fr_txn_ready ready;
	struct fr_txn_done done;

	if (f->type == FRAME_TXN_READY && get_txn_ready(f, &ready)) {
		if (w.ahead_id != 0 || w.ahead_msg != 0)
			q_fail("granted twice");
		w.ahead_id = ready.id;
		if (ready.error != OK)
			w.ahead_tag = 0;
		q_say("%lld: %s ahead", (long long)w.now_ms,
		    ready.error != OK ? "none is granted" : "one is granted");
	} else if (f->type == FRAME_TXN_DONE && get_txn_done(f, &done)) {
		if (w.ahead_msg == 0 && done.error == OK)
			q_fail("TXN_DONE for what was not begun");
		if (done.error == OK)
			q_acked(w.ahead_msg - 1, done.id);
		w.ahead_tag = 0;
		w.ahead_id = 0;
		w.ahead_msg = 0;
	}
}

static uint8_t
random_notify(void)
{
	static const uint8_t kinds[] = { 0, 0, 0, 0, NOTIFY_NEVER,
		NOTIFY_SUCCESS | NOTIFY_FAILURE, NOTIFY_FAILURE,
		NOTIFY_FAILURE | NOTIFY_DELAY };

	/* Reports of a crowd are too many for the model. */
	return w.crowd ? NOTIFY_NEVER : kinds[q_chance(sizeof(kinds))];
}

void
q_arrive(void)
{
	unsigned msg, dests[3], n = 1;

	if (w.smtpd == NULL || w.msg_count + 20 > Q_MSGS_MAX ||
	    w.rcpt_count + 100 > Q_RCPTS_MAX)
		return;
	w.tag++;
	if (w.txn_msg[w.tag % Q_TXNS_MAX] != 0)
		return; /* that one is not over yet */
	msg = q_msg_new();
	w.msgs[msg].null_sender = q_chance(10) == 0;
	for (unsigned i = 0; i < 3; i++)
		dests[i] =
		    w.crowd ? q_crowd_dest() : (unsigned)q_chance(Q_DESTS);
	if (!w.crowd && q_chance(3) == 0)
		n +=
		    (unsigned)q_chance(q_chance(4) == 0 ? Q_RCPTS_EACH_MAX : 8);
	for (unsigned i = 0; i < n; i++)
		(void)q_rcpt_new(msg,
		    !w.crowd && q_chance(8) == 0 ? (unsigned)q_chance(Q_DESTS)
						 : dests[q_chance(3)],
		    random_notify());
	q_say("%lld: message %u arrives, %u recipients", (long long)w.now_ms,
	    msg, n);
	if (w.ahead_id != 0 && q_chance(8) == 0)
		return_ahead();
	if (w.ahead_id != 0 && n <= TXN_AHEAD_RCPTS_MAX) {
		use_ahead(msg);
		return;
	}
	w.txn_msg[w.tag % Q_TXNS_MAX] = msg + 1;
	send_txn(w.smtpd, w.tag, msg, ORIGIN_SMTP, q_chance(2) ? 6000 : 100);
}

static void
smtpd_ready(struct chan *c, uint32_t tag, const struct fr_txn_ready *ready)
{
	unsigned *slot = &w.txn_msg[tag % Q_TXNS_MAX];
	struct fr_txn_abort no = { 0 };
	struct fr_txn_body part = { .data = slice_of(body_bytes, 7) };

	if (*slot == 0)
		q_fail("TXN_READY for nothing");
	if (ready->error != OK) {
		*slot = 0;
		return;
	}
	if (q_chance(12) == 0) {
		if (q_chance(2))
			must(send_txn_body(c, tag, &part, -1));
		must(send_txn_abort(c, tag, &no, -1));
		*slot = 0;
		return;
	}
	send_body(c, tag, *slot - 1, 1 + q_chance(BODY_MAX));
}

static void
smtpd_frame(void *arg, struct chan *c, struct frame *f)
{
	struct fr_txn_ready ready;
	struct fr_txn_done done;
	unsigned *slot = &w.txn_msg[f->tag % Q_TXNS_MAX];

	(void)arg;
	if (f->tag & AHEAD_TAG) {
		if (f->tag == w.ahead_tag)
			ahead_frame(f);
		return;
	}
	if (f->type == FRAME_TXN_READY && get_txn_ready(f, &ready)) {
		smtpd_ready(c, f->tag, &ready);
	} else if (f->type == FRAME_TXN_DONE && get_txn_done(f, &done)) {
		/* A failure may cross an abort. */
		if (*slot == 0 && done.error == OK)
			q_fail("TXN_DONE for nothing");
		if (done.error == OK)
			q_acked(*slot - 1, done.id);
		*slot = 0;
	}
}

/* ---- lookup ---- */

static void
lookup_frame(void *arg, struct chan *c, struct frame *f)
{
	struct fr_resolve in;
	struct q_question *q = NULL;
	unsigned slot;
	size_t at;

	(void)arg;
	(void)c;
	if (!get_resolve(f, &in))
		q_fail("not a question");
	if (w.lookup_mute)
		return;
	for (slot = 0; slot < 128 && q == NULL; slot++)
		if (!w.questions[slot].used)
			q = &w.questions[slot];
	if (q == NULL)
		q_fail("too many questions to lookup");
	at = slice_rfind(in.address, '@');
	*q = (struct q_question){ .used = true, .tag = f->tag };
	slice_copy(in.address, q->address, sizeof(q->address));
	q->dest = (unsigned)atol(q->address + at + 2) % Q_DESTS;
	if (w.crowd || q_chance(3))
		q_lookup_answer(slot - 1);
	else
		q_after((int64_t)q_chance(w.healing ? 50 : 3000), DO_ANSWER,
		    slot - 1, f->tag);
}

void
q_lookup_answer(unsigned question)
{
	struct q_question *q = &w.questions[question];
	struct fr_resolved a = { .verdict = RESOLVE_OK,
		.transport = SLICE_LIT("smtp"),
		.nexthop = slice_str(domain_of(q->dest)),
		.address = slice_str(q->address),
		.domain_ms = 0 };

	if (!q->used || w.lookup == NULL)
		return;
	q->used = false;
	if (q->dest < Q_DESTS_LOCAL) {
		a.transport = SLICE_LIT("local");
		a.mailbox = SLICE_LIT("/home/user");
	} else if (q_chance(2)) {
		a.domain_ms = 5000;
	}
	if (w.kind[q->dest] == KIND_REFUSED) {
		a.verdict = RESOLVE_REFUSE;
		a.code = 550;
		a.status = SLICE_LIT("5.1.1");
		a.text = SLICE_LIT("no such user");
	} else if (w.kind[q->dest] == KIND_LATER) {
		a.verdict = RESOLVE_REFUSE;
		a.code = 450;
		a.status = SLICE_LIT("4.2.1");
		a.text = SLICE_LIT("not now");
	}
	must(send_resolved(w.lookup, q->tag, &a, -1));
}

static const struct chan_events lookup_events = { lookup_frame, on_gone, NULL };

void
q_lookup_open(void)
{
	if (w.lookup != NULL || w.q == NULL)
		return;
	memset(w.questions, 0, sizeof(w.questions));
	w.lookup_mute = false;
	q_connect(ROLE_LOOKUP, 0, &w.lookup, &lookup_events, &w.lookup);
}

/* ---- bounce ---- */

static void
gather_about(struct slice data)
{
	struct rd rd = rd_of(data);
	struct job_result r;

	while (rd.left > 0) {
		if (!job_result_get(&rd, &r) ||
		    w.about_count == ARRAY_LEN(w.about))
			q_fail("REPORT_RCPTS");
		w.about[w.about_count++] = q_rcpt_of(r.orcpt);
	}
}

static void
compose(struct chan *c, uint32_t tag, const struct fr_report *f)
{
	struct fr_report_failed failed = { .error = ERR_SYS,
		.text = SLICE_LIT("no") };
	uint64_t fate = w.healing ? 9 : q_chance(12);
	struct q_msg *m;
	unsigned msg;

	if (f->rcpt_count != w.about_count)
		q_fail("a report of %u recipients, %u came", f->rcpt_count,
		    w.about_count);
	if (fate == 0 || w.msg_count + 8 > Q_MSGS_MAX) {
		must(send_report_failed(c, tag, &failed, -1));
		return;
	}
	if (fate == 1)
		return; /* it hangs */
	msg = q_msg_new();
	m = &w.msgs[msg];
	m->null_sender = true;
	m->twice_bounced = f->kind == REPORT_DOUBLE;
	m->about_over = f->kind != REPORT_DELAYED;
	memcpy(m->about, w.about, sizeof(w.about[0]) * w.about_count);
	m->about_count = w.about_count;
	(void)q_rcpt_new(msg, (unsigned)q_chance(Q_DESTS), 0);
	w.bounce_msg[tag % Q_REPORTS] = msg + 1;
	q_stats.reports++;
	send_txn(c, tag, msg, ORIGIN_REPORT, 500);
	if (fate == 2) {
		on_gone(&w.bounce, c, false, "it died");
		return;
	}
}

static void
bounce_frame(void *arg, struct chan *c, struct frame *f)
{
	unsigned *slot = &w.bounce_msg[f->tag % Q_REPORTS];
	struct fr_report_rcpts rcpts;
	struct fr_report report;
	struct fr_txn_ready ready;
	struct fr_txn_done done;

	(void)arg;
	if (f->type == FRAME_REPORT_RCPTS && get_report_rcpts(f, &rcpts)) {
		gather_about(rcpts.rcpts);
	} else if (f->type == FRAME_REPORT && get_report(f, &report)) {
		compose(c, f->tag, &report);
		w.about_count = 0;
	} else if (f->type == FRAME_TXN_READY && get_txn_ready(f, &ready)) {
		if (*slot != 0 && ready.error == OK)
			send_body(c, f->tag, *slot - 1, 300);
	} else if (f->type == FRAME_TXN_DONE && get_txn_done(f, &done)) {
		if (*slot != 0 && done.error == OK) {
			q_acked(*slot - 1, done.id);
			q_report_exists(*slot - 1);
		}
		*slot = 0;
	}
}

static const struct chan_events bounce_events = { bounce_frame, on_gone, NULL };

void
q_bounce_open(void)
{
	if (w.bounce != NULL || w.q == NULL)
		return;
	w.about_count = 0;
	memset(w.bounce_msg, 0, sizeof(w.bounce_msg));
	q_connect(ROLE_BOUNCE, 0, &w.bounce, &bounce_events, &w.bounce);
}

/* ---- an administrator ---- */

static void
control_done(const struct fr_ctl_end *f)
{
	struct q_msg *m = &w.msgs[w.control_id - 1];

	w.control_id = 0;
	if (f->error == ERR_NOTFOUND && w.control_verb == CTL_VERB_RELEASE)
		m->held = false; /* it was not, or has ended */
	if (f->error != OK || f->count != 1)
		return;
	q_say("%lld: verb %u of message %u is done", (long long)w.now_ms,
	    w.control_verb, (unsigned)(m - w.msgs));
	m->free_ms = w.now_ms;
	switch (w.control_verb) {
	case CTL_VERB_HOLD: m->held = true; break;
	case CTL_VERB_RELEASE: m->held = false; break;
	case CTL_VERB_FAIL: m->held = false; break;
	case CTL_VERB_DELETE: m->gone = true; break;
	default: break;
	}
}

static void
control_frame(void *arg, struct chan *c, struct frame *f)
{
	struct fr_ctl_end end;

	(void)arg;
	(void)c;
	if (f->type == FRAME_CTL_END && get_ctl_end(f, &end) &&
	    w.control_id != 0)
		control_done(&end);
}

static const struct chan_events control_events_q = { control_frame, on_gone,
	NULL };

void
q_control(enum ctl_verb verb, unsigned msg)
{
	unsigned char raw[8];
	struct wr p = wr_of(raw, sizeof(raw));
	struct fr_ctl_change f = { .verb = (uint8_t)verb };
	int fd[2];

	if (w.control_id != 0 || w.q == NULL || w.msgs[msg].id == 0)
		return;
	if (w.control == NULL) {
		if (chan_pair(fd) != OK ||
		    chan_open(w.loop, NULL, fd[0], ROLE_COMMAND, ROLE_QUEUE, 0,
			&control_events_q, &w.control, 1 << 20,
			&w.control) != OK)
			q_fail("no channel");
		simchan_connect(fd[1], 0);
	}
	wr_u64(&p, w.msgs[msg].id);
	f.ids = wr_done(&p);
	w.control_id = msg + 1;
	w.control_verb = verb;
	/* What it does may be seen before it is answered. */
	w.msgs[msg].free_ms = w.now_ms;
	must(send_ctl_change(w.control, 1, &f, -1));
}

/* ---- all ---- */

static const struct chan_events smtpd_events = { smtpd_frame, on_gone, NULL };

void
q_peers_open(void)
{
	if (w.q == NULL)
		return;
	if (w.smtpd == NULL) {
		memset(w.txn_msg, 0, sizeof(w.txn_msg));
		w.ahead_tag = w.ahead_msg = 0;
		w.ahead_id = 0;
		q_connect(ROLE_SMTPD, 0, &w.smtpd, &smtpd_events, &w.smtpd);
	}
	q_lookup_open();
	for (unsigned a = 0; a < Q_AGENTS; a++)
		q_agent_open(a);
}

void
q_peers_close(void)
{
	chan_close(w.smtpd);
	chan_close(w.lookup);
	chan_close(w.bounce);
	chan_close(w.control);
	w.smtpd = w.lookup = w.bounce = w.control = NULL;
	/* It may have been done, or not. */
	if (w.control_id != 0 && w.control_verb == CTL_VERB_HOLD)
		w.msgs[w.control_id - 1].held = true;
	if (w.control_id != 0 && w.control_verb == CTL_VERB_DELETE)
		w.msgs[w.control_id - 1].gone = true;
	w.control_id = 0;
	for (unsigned a = 0; a < Q_AGENTS; a++)
		q_agent_close(a);
}
