#include "world.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/time.h"
#include "base/wire.h"
#include "conf/conf.h"

struct world w;
static int log_fd = -1;

static void
copy(char *to, size_t size, struct slice s)
{
	snprintf(to, size, "%.*s", SLICE_ARGS(s));
}

void
turns(unsigned n)
{
	while (n-- > 0)
		assert_int_equal(ev_loop_turn(w.loop), OK);
}

bool
logged(const char *text)
{
	static char buf[1 << 18];
	ssize_t len;

	log_flush();
	len = pread(log_fd, buf, sizeof(buf) - 1, 0);

	buf[len < 0 ? 0 : len] = '\0';
	return strstr(buf, text) != NULL;
}

void
world_fail(const char *cond, const char *func, int line)
{
	char buf[4096];
	ssize_t len, at = 0;

	log_flush();
	print_message("%s:%d: in vain: %s\n", func, line, cond);
	while ((len = pread(log_fd, buf, sizeof(buf), at)) > 0) {
		print_message("%.*s", (int)len, buf);
		at += len;
	}
	fail();
}

static void
log_clear(void)
{
	fflush(stderr);
	if (log_fd < 0) {
		log_fd = memfd_create("log", MFD_CLOEXEC);
		dup2(log_fd, 2);
	}
	assert_int_equal(ftruncate(log_fd, 0), 0);
	lseek(2, 0, SEEK_SET);
}

/* ---- the process ---- */

static void
want(void *arg, enum role wanted)
{
	(void)arg;
	assert_int_equal(wanted, ROLE_BOUNCE);
	w.wants++;
}

static void
bad_peer(void *arg, enum role peer, unsigned index, const char *why)
{
	(void)arg;
	(void)peer;
	(void)index;
	w.bads++;
	snprintf(w.bad_why, sizeof(w.bad_why), "%s", why);
}

static void
die(void *arg, const char *why)
{
	(void)arg;
	(void)why;
	w.deaths++;
}

static void
drained(void *arg)
{
	(void)arg;
	w.drained++;
}

/* ---- smtpd ---- */

static void
smtpd_frame(void *arg, struct chan *c, struct frame *f)
{
	struct w_txn *t = &w.txns[f->tag % W_TXNS];
	struct fr_txn_ready ready;
	struct fr_txn_credit credit;
	struct fr_txn_done done;
	struct fr_queue_state state;

	(void)arg;
	(void)c;
	switch (f->type) {
	case FRAME_TXN_READY:
		assert_true(get_txn_ready(f, &ready));
		t->ready = true;
		t->ready_error = ready.error;
		t->id = ready.id;
		t->credit += ready.credit_bytes;
		break;
	case FRAME_TXN_CREDIT:
		assert_true(get_txn_credit(f, &credit));
		t->credit += credit.bytes;
		break;
	case FRAME_TXN_DONE:
		assert_true(get_txn_done(f, &done));
		t->done = true;
		t->done_error = done.error;
		break;
	case FRAME_QUEUE_STATE:
		assert_true(get_queue_state(f, &state));
		w.state_error = state.error;
		break;
	default: fail();
	}
}

static void
closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct chan **at = arg;

	if (bad)
		fail_msg("the queue sent nonsense: %s", why);
	chan_close(c);
	*at = NULL;
}

/* ---- lookup: the domain says what comes back ---- */

static void
lookup_frame(void *arg, struct chan *c, struct frame *f)
{
	struct fr_resolve q;
	struct fr_resolved a = { .verdict = RESOLVE_OK,
		.transport = SLICE_LIT("smtp") };
	struct slice domain;

	(void)arg;
	assert_true(get_resolve(f, &q));
	assert_int_equal(q.purpose, RESOLVE_ROUTE);
	w.questions++;
	if (w.lookup_mute)
		return;
	domain = slice_sub(q.address, slice_rfind(q.address, '@') + 1,
	    q.address.len);
	a.nexthop = domain;
	a.address = q.address;
	if (slice_eq(q.address, SLICE_LIT("alias@here")))
		a.address = SLICE_LIT("joe@here");
	if (slice_eq(domain, SLICE_LIT("here"))) {
		a.transport = SLICE_LIT("local");
		a.mailbox = SLICE_LIT("/home/user");
	} else if (slice_eq(domain, SLICE_LIT("no.such"))) {
		a.verdict = RESOLVE_REFUSE;
		a.code = 550;
		a.status = SLICE_LIT("5.1.1");
		a.text = SLICE_LIT("no such user");
	} else if (slice_eq(domain, SLICE_LIT("later"))) {
		a.verdict = RESOLVE_REFUSE;
		a.code = 450;
		a.status = SLICE_LIT("4.2.1");
		a.text = SLICE_LIT("not now");
	} else if (slice_eq(domain, SLICE_LIT("discard"))) {
		a.transport = SLICE_LIT("discard");
		a.nexthop = SLICE_LIT("as you wish");
	} else if (slice_eq(domain, SLICE_LIT("error"))) {
		a.transport = SLICE_LIT("error");
		a.nexthop = SLICE_LIT("5.7.9 we do not");
	}
	assert_int_equal(send_resolved(c, f->tag, &a, -1), OK);
}

/* ---- agents: the local part says what comes back ---- */

void
answer_job(struct w_agent *a, struct w_job *j)
{
	static unsigned char buf[49152];
	struct wr wr = wr_of(buf, sizeof(buf));
	struct fr_job_results results;
	struct fr_job_done done = { .site = SITE_OK,
		.setup_ms = 30,
		.transfer_ms = 1200 };

	for (unsigned i = 0; i < j->rcpts; i++) {
		const char *who = i < 8 ? j->address[i] : "";
		struct job_result r = { .index = j->index[i],
			.status = JOB_SENT,
			.dsn = SLICE_LIT("2.0.0"),
			.relay = SLICE_LIT("mx[192.0.2.1]:25"),
			.text = SLICE_LIT("250 ok") };

		if (strncmp(who, "defer", 5) == 0) {
			r.status = JOB_DEFERRED;
			r.dsn = SLICE_LIT("4.2.2");
			r.text = SLICE_LIT("mailbox full");
		} else if (strncmp(who, "fail", 4) == 0) {
			r.status = JOB_FAILED;
			r.dsn = SLICE_LIT("5.1.1");
			r.text = SLICE_LIT("550 unknown");
		} else if (strncmp(who, "dsn", 3) == 0) {
			r.status = JOB_SENT_DSN;
		} else if (strncmp(who, "down", 4) == 0) {
			done.site = SITE_FAILED;
			done.text = SLICE_LIT("connection refused");
			continue;
		}
		job_result_put(&wr, &r);
	}
	assert_false(wr.full);
	results.results = wr_done(&wr);
	j->answered = true;
	if (results.results.len > 0)
		assert_int_equal(
		    send_job_results(a->chan, j->tag, &results, -1), OK);
	assert_int_equal(send_job_done(a->chan, j->tag, &done, -1), OK);
}

static struct w_job *
agent_job(struct w_agent *a, uint32_t tag)
{
	for (unsigned i = 0; i < a->job_count; i++)
		if (a->jobs[i].tag == tag)
			return &a->jobs[i];
	assert_true(a->job_count < W_JOBS);
	memset(&a->jobs[a->job_count], 0, sizeof(a->jobs[0]));
	a->jobs[a->job_count].tag = tag;
	return &a->jobs[a->job_count++];
}

static void
agent_rcpts(struct w_job *j, struct slice data)
{
	struct rd rd = rd_of(data);
	struct job_rcpt r;

	while (rd.left > 0) {
		assert_true(job_rcpt_get(&rd, &r));
		if (j->rcpts < 8)
			copy(j->address[j->rcpts], 100, r.address);
		copy(j->mailbox, sizeof(j->mailbox), r.mailbox);
		j->index[j->rcpts++] = r.index;
	}
}

static void
agent_frame(void *arg, struct chan *c, struct frame *f)
{
	struct w_agent *a = CONTAINER(arg, struct w_agent, chan);
	struct fr_job_extents extents;
	struct fr_job_rcpts rcpts;
	struct fr_job job;
	struct envelope e;
	struct w_job *j;
	struct rd rd;

	(void)c;
	if (f->type == FRAME_SEGMENT) {
		a->segments++;
		if (a->segment_fd >= 0)
			close(a->segment_fd);
		a->segment_fd = f->fd;
		f->fd = -1;
		return;
	}
	if (f->type == FRAME_SEGMENT_DROP) {
		a->drops++;
		return;
	}
	j = agent_job(a, f->tag);
	assert_false(j->whole);
	if (f->type == FRAME_JOB_EXTENTS) {
		assert_true(get_job_extents(f, &extents));
		for (rd = rd_of(extents.extents); rd.left > 0; j->extents++)
			assert_true(extent_get(&rd, &j->extent));
	} else if (f->type == FRAME_JOB_RCPTS) {
		assert_true(get_job_rcpts(f, &rcpts));
		agent_rcpts(j, rcpts.rcpts);
	} else {
		assert_int_equal(f->type, FRAME_JOB);
		assert_true(get_job(f, &job));
		assert_int_equal(job.rcpt_count, j->rcpts);
		assert_int_equal(job.extent_count, j->extents);
		rd = rd_of(job.envelope);
		assert_true(envelope_get(&rd, &e));
		copy(j->sender, sizeof(j->sender), e.sender);
		copy(j->transport, sizeof(j->transport), job.transport);
		copy(j->nexthop, sizeof(j->nexthop), job.nexthop);
		j->id = job.id;
		j->whole = true;
		if (!w.jobs_hang)
			answer_job(a, j);
	}
}

/* ---- bounce ---- */

static void
bounce_open(struct chan *c, const struct w_report *r)
{
	unsigned char env[1024], rcpts[1024];
	struct wr e = wr_of(env, sizeof(env)), p = wr_of(rcpts, sizeof(rcpts));
	struct envelope envelope = { .origin = ORIGIN_REPORT,
		.protocol = SLICE_LIT("report") };
	struct envelope_rcpt rcpt = { .address = slice_str(r->to) };
	struct fr_txn_open open = { .size_hint_bytes = 100, .rcpt_count = 1 };
	struct fr_txn_rcpt list;

	envelope_put(&e, &envelope);
	envelope_rcpt_put(&p, &rcpt);
	open.envelope = wr_done(&e);
	list.rcpts = wr_done(&p);
	assert_int_equal(send_txn_open(c, r->tag, &open, -1), OK);
	assert_int_equal(send_txn_rcpt(c, r->tag, &list, -1), OK);
}

static void
bounce_frame(void *arg, struct chan *c, struct frame *f)
{
	static struct w_report next;
	struct fr_report_rcpts rcpts;
	struct fr_report report;
	struct fr_txn_ready ready;
	struct fr_txn_body body = { .data = SLICE_LIT("a report\r\n") };
	struct fr_txn_commit commit = { .body_bytes = 10 };
	struct fr_report_failed failed = { .error = ERR_SYS,
		.text = SLICE_LIT("no") };
	struct job_result r;
	struct rd rd;

	(void)arg;
	switch (f->type) {
	case FRAME_JOB_EXTENTS: next.extents++; break;
	case FRAME_REPORT_RCPTS:
		assert_true(get_report_rcpts(f, &rcpts));
		for (rd = rd_of(rcpts.rcpts); rd.left > 0; next.rcpts++) {
			assert_true(job_result_get(&rd, &r));
			copy(next.address, sizeof(next.address), r.address);
			copy(next.text, sizeof(next.text), r.text);
			copy(next.dsn, sizeof(next.dsn), r.dsn);
		}
		break;
	case FRAME_REPORT:
		assert_true(get_report(f, &report));
		assert_int_equal(report.rcpt_count, next.rcpts);
		next.tag = f->tag;
		next.kind = report.kind;
		next.id = report.id;
		next.extents = report.extent_count;
		copy(next.to, sizeof(next.to), report.report_to);
		w.reports[w.report_count++ % 16] = next;
		if (w.bounce_fails)
			assert_int_equal(
			    send_report_failed(c, f->tag, &failed, -1), OK);
		else if (!w.bounce_mute)
			bounce_open(c, &next);
		memset(&next, 0, sizeof(next));
		break;
	case FRAME_TXN_READY:
		assert_true(get_txn_ready(f, &ready));
		assert_int_equal(ready.error, 0);
		if (w.bounce_hangs)
			break;
		assert_int_equal(send_txn_body(c, f->tag, &body, -1), OK);
		assert_int_equal(send_txn_commit(c, f->tag, &commit, -1), OK);
		break;
	case FRAME_SEGMENT:
	case FRAME_SEGMENT_DROP:
	case FRAME_TXN_DONE:
	case FRAME_TXN_CREDIT: break;
	default: fail();
	}
}

/* ---- the world ---- */

static void
connect_to(enum role role, unsigned index, struct chan **at,
    void (*on_frame)(void *, struct chan *, struct frame *))
{
	static struct chan_events events[ROLE_COUNT];
	int fd[2];

	events[role] = (struct chan_events){ on_frame, closed, NULL };
	assert_int_equal(chan_pair(fd), OK);
	assert_int_equal(chan_open(w.loop, &w.acct, fd[0], role, ROLE_QUEUE, 0,
			     &events[role], at, 1 << 20, at),
	    OK);
	queue_channel(w.q, role, index, fd[1]);
}

static void
agent_connect(struct w_agent *a, enum role role, unsigned index)
{
	chan_close(a->chan);
	a->role = role;
	a->index = index;
	a->job_count = 0;
	connect_to(role, index, &a->chan, agent_frame);
}

void
world_agents(void)
{
	agent_connect(&w.smtp[0], ROLE_SMTP, 0);
	agent_connect(&w.smtp[1], ROLE_SMTP, 1);
	agent_connect(&w.local, ROLE_LOCAL, 0);
}

void
world_bounce(void)
{
	chan_close(w.bounce);
	connect_to(ROLE_BOUNCE, 0, &w.bounce, bounce_frame);
}

void
world_lookup(void)
{
	chan_close(w.lookup);
	connect_to(ROLE_LOOKUP, 0, &w.lookup, lookup_frame);
}

static void
open_queue(void)
{
	struct queue_env env = { .loop = w.loop,
		.acct = &w.acct,
		.conf = w.conf,
		.want = want,
		.bad_peer = bad_peer,
		.die = die,
		.drained = drained };
	struct errtext et;

	assert_int_equal(queue_open(&env, &w.q, &et), OK);
	connect_to(ROLE_SMTPD, 0, &w.smtpd, smtpd_frame);
	world_lookup();
	world_agents();
	queue_go(w.q);
}

static void
close_peers(void)
{
	chan_close(w.smtpd);
	chan_close(w.lookup);
	chan_close(w.bounce);
	chan_close(w.smtp[0].chan);
	chan_close(w.smtp[1].chan);
	chan_close(w.local.chan);
	w.smtpd = w.lookup = w.bounce = NULL;
	w.smtp[0].chan = w.smtp[1].chan = w.local.chan = NULL;
}

static void
load_conf(const char *text)
{
	struct conf_report *r = conf_report_new(&w.acct);

	assert_non_null(r);
	assert_int_equal(
	    conf_load_text(&w.acct, slice_str(text), "test", r, &w.conf), OK);
	conf_report_free(&w.acct, r);
}

void
world_open(const char *conf)
{
	memset(&w, 0, sizeof(w));
	w.smtp[0].segment_fd = w.smtp[1].segment_fd = w.local.segment_fd = -1;
	fake_reset();
	log_clear();
	acct_init(&w.acct, NULL, "test", 40 << 20, false, "");
	load_conf(conf);
	assert_int_equal(ev_loop_new(&w.acct, &w.loop), OK);
	memset(w.body, 'x', sizeof(w.body));
	open_queue();
}

void
world_reload(const char *conf)
{
	const struct conf *old = w.conf;

	load_conf(conf);
	queue_reload(w.q, w.conf);
	conf_free(old);
}

void
world_restart(bool crash)
{
	queue_close(w.q);
	close_peers();
	turns(1);
	if (crash)
		fake_crash();
	fake.hold_sync = false;
	memset(w.txns, 0, sizeof(w.txns));
	w.deaths = 0;
	open_queue();
}

void
world_close(void)
{
	struct w_agent *agents[] = { &w.smtp[0], &w.smtp[1], &w.local };

	queue_close(w.q);
	close_peers();
	for (size_t i = 0; i < ARRAY_LEN(agents); i++)
		if (agents[i]->segment_fd >= 0)
			close(agents[i]->segment_fd);
	ev_loop_free(w.loop);
	conf_free(w.conf);
	acct_fini(&w.acct);
}

/* ---- smtpd's side ---- */

void
open_txn(uint32_t tag, const char *sender, const char *rcpts)
{
	static unsigned char buf[49152];
	unsigned char env[8192];
	struct wr e = wr_of(env, sizeof(env)), p = wr_of(buf, sizeof(buf));
	struct envelope envelope = { .origin = ORIGIN_SMTP,
		.arrival_ms = w.arrival_ms,
		.sender = slice_str(sender),
		.protocol = SLICE_LIT("ESMTP"),
		.client_name = SLICE_LIT("unknown"),
		.client_address = SLICE_LIT("192.0.2.9") };
	struct fr_txn_open open = { 0 };
	struct fr_txn_rcpt list;
	struct slice rest = slice_str(rcpts), word;

	w.txns[tag % W_TXNS] = (struct w_txn){ 0 };
	envelope_put(&e, &envelope);
	while (slice_word(&rest, ",", &word)) {
		size_t slash = slice_find(word, '/');
		struct envelope_rcpt r = { .address =
					       slice_sub(word, 0, slash) };

		if (slash < word.len)
			r.notify = (uint8_t)(word.data[slash + 1] - '0');
		envelope_rcpt_put(&p, &r);
		open.rcpt_count++;
	}
	assert_false(p.full);
	open.envelope = wr_done(&e);
	list.rcpts = wr_done(&p);
	assert_int_equal(send_txn_open(w.smtpd, tag, &open, -1), OK);
	assert_int_equal(send_txn_rcpt(w.smtpd, tag, &list, -1), OK);
}

void
send_body(uint32_t tag, size_t len)
{
	struct fr_txn_body body = { .data = slice_of(w.body, len) };

	assert_true(len <= sizeof(w.body));
	assert_int_equal(send_txn_body(w.smtpd, tag, &body, -1), OK);
}

void
commit_txn(uint32_t tag, uint64_t body_bytes)
{
	struct fr_txn_commit commit = { .body_bytes = body_bytes };

	assert_int_equal(send_txn_commit(w.smtpd, tag, &commit, -1), OK);
}

uint64_t
submit(uint32_t tag, const char *sender, const char *rcpts)
{
	struct w_txn *t = &w.txns[tag % W_TXNS];

	open_txn(tag, sender, rcpts);
	until(t->ready);
	assert_int_equal(t->ready_error, OK);
	send_body(tag, 100);
	commit_txn(tag, 100);
	until(t->done);
	assert_int_equal(t->done_error, OK);
	return t->id;
}
