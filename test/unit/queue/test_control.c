/* The control socket: requests, filters, changes, slow and hostile clients. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/wire.h"
#include "world.h"

static int listen_fd;
static struct sockaddr_un at;

/* What a client was told. */
static struct answer {
	struct chan *chan;
	unsigned items, rcpts, envelopes, ends, closed;
	struct {
		uint64_t id;
		uint8_t status;
		unsigned attempts;
		char sender[100];
	} item[8];
	char address[100], reason[200];
	size_t data_len;
	char data[50000];
	uint8_t error;
	uint32_t count;
} a;

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	struct fr_ctl_item item;
	struct fr_ctl_rcpt rcpt;
	struct fr_ctl_data data;
	struct fr_ctl_end end;

	(void)arg;
	(void)c;
	assert_int_equal(f->tag, 7);
	switch (f->type) {
	case FRAME_CTL_ITEM:
		assert_true(get_ctl_item(f, &item));
		if (a.items < 8) {
			a.item[a.items].id = item.id;
			a.item[a.items].status = item.status;
			a.item[a.items].attempts = item.attempts;
			snprintf(a.item[a.items].sender, 100, "%.*s",
			    SLICE_ARGS(item.sender));
		}
		a.items++;
		break;
	case FRAME_CTL_RCPT:
		assert_true(get_ctl_rcpt(f, &rcpt));
		snprintf(a.address, sizeof(a.address), "%.*s",
		    SLICE_ARGS(rcpt.address));
		snprintf(a.reason, sizeof(a.reason), "%.*s",
		    SLICE_ARGS(rcpt.reason));
		a.rcpts++;
		break;
	case FRAME_CTL_ENVELOPE: a.envelopes++; break;
	case FRAME_CTL_DATA:
		assert_true(get_ctl_data(f, &data));
		assert_true(a.data_len + data.data.len <= sizeof(a.data));
		memcpy(a.data + a.data_len, data.data.data, data.data.len);
		a.data_len += data.data.len;
		break;
	default:
		assert_true(get_ctl_end(f, &end));
		a.error = end.error;
		a.count = end.count;
		a.ends++;
	}
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	(void)arg;
	(void)why;
	assert_false(bad);
	chan_close(c);
	a.chan = NULL;
	a.closed++;
}

static const struct chan_events events = { on_frame, on_closed, NULL };

static int
connect_raw(void)
{
	int fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void
client(void)
{
	memset(&a, 0, sizeof(a));
	assert_int_equal(chan_open(w.loop, &w.acct, connect_raw(), ROLE_COMMAND,
			     ROLE_QUEUE, 0, &events, NULL, 1 << 17, &a.chan),
	    OK);
}

static void
control_open(const char *conf)
{
	world_open(conf);
	at = (struct sockaddr_un){ .sun_family = AF_UNIX };
	/* An abstract name. */
	snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "weir-test-%d",
	    (int)getpid());
	listen_fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listen_fd, (struct sockaddr *)&at, sizeof(at)),
	    0);
	assert_int_equal(listen(listen_fd, 64), 0);
	queue_listen(w.q, listen_fd);
	client();
}

static void
control_end(void)
{
	chan_close(a.chan);
	a.chan = NULL;
	world_close();
}

static void
again(void)
{
	struct chan *c = a.chan;

	memset(&a, 0, sizeof(a));
	a.chan = c;
}

static void
list(const struct fr_ctl_list *f)
{
	again();
	assert_int_equal(send_ctl_list(a.chan, 7, f, -1), OK);
	until(a.ends == 1);
}

static void
change(enum ctl_verb verb, uint64_t id, const char *to)
{
	unsigned char raw[8];
	struct wr wr = wr_of(raw, sizeof(raw));
	struct fr_ctl_change f = { .verb = (uint8_t)verb, .to = slice_str(to) };

	again();
	wr_u64(&wr, id);
	if (id != 0)
		f.ids = wr_done(&wr);
	assert_int_equal(send_ctl_change(a.chan, 7, &f, -1), OK);
	until(a.ends == 1);
}

static uint64_t
deferred(const char *sender, const char *rcpts)
{
	uint64_t id = submit(1, sender, rcpts);

	until(fake_flags(id) & STORE_TRIED);
	turns(5);
	return id;
}

static const struct {
	const char *why;
	struct fr_ctl_list f;
	unsigned items;
} filters[] = {
	{ "all", { 0 }, 3 },
	{ "limit 1 below", { .limit = 2 }, 2 },
	{ "limit", { .limit = 3 }, 3 },
	{ "sender", { .from = SLICE_LIT("A@b") }, 1 },
	{ "null sender", { .from = SLICE_LIT("<>") }, 1 },
	{ "recipient", { .to = SLICE_LIT("defer2@d") }, 1 },
	{ "second recipient", { .to = SLICE_LIT("defer3@e") }, 1 },
	{ "domain", { .domain = SLICE_LIT("D") }, 3 },
	{ "another domain", { .domain = SLICE_LIT("e") }, 1 },
	{ "a domain and a sender",
	    { .from = SLICE_LIT("c@b"), .domain = SLICE_LIT("d") }, 1 },
	{ "its recipient of another",
	    { .to = SLICE_LIT("defer@d"), .domain = SLICE_LIT("e") }, 0 },
	{ "no such domain", { .domain = SLICE_LIT("f") }, 0 },
	{ "deferred", { .status = 1 << CTL_DEFERRED }, 3 },
	{ "active", { .status = 1 << CTL_ACTIVE }, 0 },
	{ "older than an hour", { .age_min_ms = 3600000 }, 0 },
	{ "absurd age", { .age_min_ms = UINT64_MAX }, 0 },
};

static void
test_list(void **state)
{
	uint64_t first, several;

	(void)state;
	control_open("");
	first = deferred("a@b", "defer@d");
	(void)deferred("", "defer2@d");
	several = deferred("c@b", "defer@d,defer3@e");
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		list(&filters[i].f);
		if (a.error != OK || a.items != filters[i].items ||
		    a.count != a.items)
			fail_msg("%s: %u items", filters[i].why, a.items);
	}
	/* One domain, or several: what is not asked for is not looked at. */
	assert_int_equal(fake_dest(first), store_dest_key(SLICE_LIT("d")));
	assert_int_equal(fake_dest(several), 0);
	fake.page_max = 1; /* the store may answer with fewer than asked */
	list(&filters[0].f);
	assert_int_equal(a.items, 3);
	fake.page_max = 0;
	fake.again = 2; /* the rows are too old */
	list(&filters[0].f);
	assert_int_equal(fake.again, 0);
	assert_int_equal(a.items, 3);
	assert_int_equal(a.rcpts, 4);
	assert_int_equal(a.item[0].status, CTL_DEFERRED);
	assert_int_equal(a.item[0].attempts, 1);
	assert_string_equal(a.item[0].sender, "a@b");
	assert_string_equal(a.reason, "mailbox full");
	control_end();
}

static void
test_show_cat(void **state)
{
	struct fr_ctl_show show;
	struct fr_ctl_cat cat;
	uint64_t id;

	(void)state;
	control_open("");
	id = deferred("a@b", "defer@d");
	show.id = id;
	assert_int_equal(send_ctl_show(a.chan, 7, &show, -1), OK);
	until(a.ends == 1);
	assert_int_equal(a.items + a.envelopes + a.rcpts, 3);
	again();
	cat.id = id;
	assert_int_equal(send_ctl_cat(a.chan, 7, &cat, -1), OK);
	until(a.ends == 1);
	assert_int_equal(a.data_len, 100);
	assert_memory_equal(a.data, w.body, 100);
	again();
	cat.id = 999;
	assert_int_equal(send_ctl_cat(a.chan, 7, &cat, -1), OK);
	until(a.ends == 1);
	assert_int_equal(a.error, ERR_NOTFOUND);
	/* It was only borrowed: it goes on. */
	queue_flush(w.q);
	until(w.smtp[0].job_count + w.smtp[1].job_count == 2);
	control_end();
}

static void
test_hold_release(void **state)
{
	uint64_t id;

	(void)state;
	control_open("");
	id = deferred("a@b", "defer@d");
	change(CTL_VERB_HOLD, id, NULL);
	assert_int_equal(a.count, 1);
	assert_true(fake_flags(id) & STORE_HOLD);
	queue_flush(w.q);
	turns(200);
	assert_int_equal(w.smtp[0].job_count + w.smtp[1].job_count, 1);
	change(CTL_VERB_HOLD, id, NULL); /* nothing to change */
	assert_int_equal(a.count, 0);
	assert_int_equal(a.error, ERR_NOTFOUND);
	change(CTL_VERB_RELEASE, 0, "defer@d"); /* by filter */
	assert_int_equal(a.count, 1);
	until(w.smtp[0].job_count + w.smtp[1].job_count == 2);
	control_end();
}

/* Held while it waits for lookup: it leaves memory, nothing is lost. */
static void
test_hold_active(void **state)
{
	uint64_t id;

	(void)state;
	control_open("");
	w.lookup_mute = true;
	id = submit(1, "a@b", "c@d");
	until(w.questions == 1);
	change(CTL_VERB_HOLD, id, NULL);
	assert_int_equal(a.count, 1);
	list(&(struct fr_ctl_list){ .status = 1 << CTL_HOLD });
	assert_int_equal(a.items, 1);
	w.lookup_mute = false;
	world_lookup();
	change(CTL_VERB_RELEASE, id, NULL);
	until(fake_count() == 0);
	control_end();
}

/* Given up while it is on hold and a delivery of it still runs: the hold
 * ends on disk, too. */
static void
test_fail_held_running(void **state)
{
	uint64_t id;

	(void)state;
	control_open("");
	w.jobs_hang = true;
	id = submit(1, "a@b", "defer@d");
	until(w.smtp[0].job_count + w.smtp[1].job_count == 1);
	change(CTL_VERB_HOLD, id, NULL);
	assert_int_equal(a.count, 1);
	assert_true(fake_flags(id) & STORE_HOLD);
	change(CTL_VERB_FAIL, id, NULL);
	assert_int_equal(a.count, 1);
	assert_false(fake_flags(id) & STORE_HOLD);
	control_end();
}

static void
test_retry_delete(void **state)
{
	uint64_t id;

	(void)state;
	control_open("");
	id = deferred("a@b", "defer@d");
	change(CTL_VERB_RETRY, id, NULL);
	assert_int_equal(a.count, 1);
	until(w.smtp[0].job_count + w.smtp[1].job_count == 2);
	until(logged("deferred (mailbox full)"));
	turns(20);
	change(CTL_VERB_DELETE, id, NULL);
	assert_int_equal(a.count, 1);
	assert_int_equal(fake_count(), 0);
	assert_int_equal(w.report_count, 0);
	control_end();
}

/* Deleted while it is being delivered: what runs ends, then it is gone. */
static void
test_delete_running(void **state)
{
	struct w_agent *agent;
	uint64_t id;

	(void)state;
	control_open("");
	w.jobs_hang = true;
	id = submit(1, "a@b", "defer@d");
	until(w.smtp[0].job_count + w.smtp[1].job_count == 1);
	change(CTL_VERB_DELETE, id, NULL);
	assert_int_equal(a.count, 1);
	assert_int_equal(fake_count(), 0);
	agent = &w.smtp[w.smtp[0].job_count == 0];
	answer_job(agent, &agent->jobs[0]);
	until(logged("1: removed"));
	control_end();
}

static void
test_fail(void **state)
{
	uint64_t id;

	(void)state;
	control_open("soft_bounce = yes\n");
	world_bounce();
	id = deferred("a@b", "defer@d");
	change(CTL_VERB_FAIL, id, NULL);
	assert_int_equal(a.count, 1);
	until(w.report_count == 1);
	assert_string_equal(w.reports[0].text, "given up by the administrator");
	until(fake_count() == 0);
	control_end();
}

/* The answer comes when the change is durable. */
static void
test_durable(void **state)
{
	struct fr_ctl_change f = { .verb = CTL_VERB_HOLD };

	(void)state;
	control_open("");
	(void)deferred("a@b", "defer@d");
	again();
	fake.hold_sync = true;
	assert_int_equal(send_ctl_change(a.chan, 7, &f, -1), OK);
	until(logged("held"));
	turns(50);
	assert_int_equal(a.ends, 0);
	fake.hold_sync = false;
	until(a.ends == 1);
	assert_int_equal(a.count, 1);
	control_end();
}

/* Two that delete everything: what one has deleted the other leaves alone,
 * although it was there when it asked. */
static void
test_delete_twice(void **state)
{
	struct fr_ctl_change f = { .verb = CTL_VERB_DELETE };
	struct chan *first;

	(void)state;
	control_open("");
	for (unsigned i = 0; i < 40; i++)
		(void)deferred("a@b", "defer@d");
	first = a.chan;
	client();
	assert_int_equal(send_ctl_change(first, 7, &f, -1), OK);
	assert_int_equal(send_ctl_change(a.chan, 7, &f, -1), OK);
	until(a.ends == 2);
	assert_int_equal(fake_count(), 0);
	assert_int_equal(w.deaths, 0);
	chan_close(first);
	control_end();
}

/* Given up with more recipients than fit into memory: all of them fail. */
static void
test_fail_parts(void **state)
{
	uint64_t id;
	unsigned jobs;

	(void)state;
	control_open("");
	world_bounce();
	id = deferred("a@b", "defer@d,defer2@d,defer3@d");
	jobs = w.smtp[0].job_count + w.smtp[1].job_count;
	fake.load_max = 1;
	change(CTL_VERB_FAIL, id, NULL);
	assert_int_equal(a.count, 1);
	until(w.report_count == 3);
	until(fake_count() == 0);
	assert_int_equal(w.smtp[0].job_count + w.smtp[1].job_count,
	    jobs + 3); /* the reports */
	control_end();
}

static void
test_strangers(void **state)
{
	struct fr_ctl_change f = { .verb = CTL_VERB_DELETE };
	uint64_t id;

	(void)state;
	if (geteuid() != 0)
		skip(); /* needs another user */
	control_open("");
	id = deferred("a@b", "defer@d");
	chan_close(a.chan);
	assert_int_equal(seteuid(65534), 0);
	client();
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(send_ctl_change(a.chan, 7, &f, -1), OK);
	until(a.ends == 1);
	assert_int_equal(a.error, ERR_DENIED);
	list(&filters[0].f); /* mailq is for everybody */
	assert_int_equal(a.items, 1);
	assert_int_equal(fake_rcpt(id, 0, NULL), STORE_WAITING);
	control_end();
}

static void
test_hostile(void **state)
{
	int fds[40];
	char byte;
	unsigned open = 0;

	(void)state;
	control_open("");
	(void)deferred("a@b", "defer@d");
	/* Garbage, a request in a request, and nobody there. */
	for (unsigned i = 0; i < 3; i++) {
		int fd = connect_raw();

		assert_true(send(fd, "garbage", 7, 0) == 7);
		turns(20);
		/* Closed: the end, or reset. */
		assert_false(recv(fd, &byte, 1, 0) < 0 && errno == EAGAIN);
		close(fd);
	}
	assert_int_equal(send_ctl_list(a.chan, 7, &filters[0].f, -1), OK);
	assert_int_equal(send_ctl_list(a.chan, 7, &filters[0].f, -1), OK);
	until(a.chan == NULL);
	/* A flood of clients: some get in, the queue lives. */
	for (unsigned i = 0; i < 40; i++)
		fds[i] = connect_raw();
	turns(100);
	for (unsigned i = 0; i < 40; i++)
		open += recv(fds[i], &byte, 1, 0) < 0 && errno == EAGAIN;
	assert_int_equal(open, 16);
	for (unsigned i = 0; i < 40; i++)
		close(fds[i]);
	turns(20);
	client();
	list(&filters[0].f);
	assert_int_equal(a.items, 1);
	assert_int_equal(w.deaths, 0);
	control_end();
}

/* Clients of other users, as many as they can open: those who keep the server
 * still get in. */
static void
test_crowd_of_strangers(void **state)
{
	unsigned open = 0;
	int fds[40];
	char byte;

	(void)state;
	if (geteuid() != 0)
		skip(); /* needs other users */
	control_open("");
	(void)deferred("a@b", "defer@d");
	chan_close(a.chan);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(seteuid(1001 + i / 8), 0);
		fds[i] = connect_raw();
		assert_int_equal(seteuid(0), 0);
	}
	turns(100);
	for (unsigned i = 0; i < 40; i++)
		open += recv(fds[i], &byte, 1, 0) < 0 && errno == EAGAIN;
	assert_int_equal(open, 10);
	client();
	list(&filters[0].f);
	assert_int_equal(a.items, 1);
	for (unsigned i = 0; i < 40; i++)
		close(fds[i]);
	control_end();
}

/* One that goes away in the middle of its answer. */
static void
test_goes(void **state)
{
	(void)state;
	control_open("");
	for (unsigned i = 0; i < 100; i++)
		(void)deferred("a@b", "defer@d");
	for (unsigned t = 1; t < 12; t++) {
		assert_int_equal(send_ctl_list(a.chan, 7, &filters[0].f, -1),
		    OK);
		turns(t);
		chan_close(a.chan);
		a.chan = NULL;
		turns(5);
		client();
	}
	list(&filters[0].f);
	assert_int_equal(a.items, 100);
	control_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_show_cat),
		cmocka_unit_test(test_hold_release),
		cmocka_unit_test(test_hold_active),
		cmocka_unit_test(test_fail_held_running),
		cmocka_unit_test(test_retry_delete),
		cmocka_unit_test(test_delete_running),
		cmocka_unit_test(test_fail),
		cmocka_unit_test(test_durable),
		cmocka_unit_test(test_delete_twice),
		cmocka_unit_test(test_fail_parts),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_crowd_of_strangers),
		cmocka_unit_test(test_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
