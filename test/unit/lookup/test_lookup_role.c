/*
 * weir-lookup as a process: the master and its peers are played by the test,
 * without a loop.
 */
#include "../check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/wire.h"
#include "ipc/chan.h"
#include "ipc/frames.h"
#include "lookup/checks.h"
#include "lookup/expander.h"
#include "lookup/role.h"

enum { DEADLINE_S = 30 };

static char top[] = "/tmp/test_lookup_role.XXXXXX";
static pid_t pid;
enum { SOCKETS_MAX = 64 };

/* The last packet of each socket, and its frames that were not taken. */
static struct {
	unsigned char room[CHAN_PACKET_BYTES];
	struct slice rest;
} packets[SOCKETS_MAX];

static int control;

/* More tables than there may be: only opening them shows it. */
#define EIGHT                                                              \
	" static:x static:x static:x static:x static:x static:x static:x " \
	"static:x"
#define BROKEN                                                             \
	"transport_maps =" EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT \
	" static:x\n"

static int
conf_fd(const char *more)
{
	char text[2048];
	int fd = memfd_create("conf", MFD_CLOEXEC);
	int n = snprintf(text, sizeof(text),
	    "queue_directory = %s\nmydestination =\n"
	    "virtual_mailbox_domains = v.test\nvirtual_mailbox_base = /v\n"
	    "virtual_mailbox_maps = static:%%u/\n%s",
	    top, more);

	assert_int_equal(write(fd, text, (size_t)n), n);
	return fd;
}

/* The child gets descriptors 3, 4 and 5, as the master gives them. */
static void
become_role(int control_fd, int conf, int page)
{
	char name[] = "weir-lookup", index[] = "0";
	char *argv[] = { name, index, NULL };
	int from[3] = { control_fd, conf, page };

	alarm(DEADLINE_S);
	for (int i = 0; i < 3; i++)
		from[i] = fcntl(from[i], F_DUPFD, 20);
	for (int i = 0; i < 3; i++)
		dup2(from[i], 3 + i);
	for (int fd = 6; fd < 40; fd++)
		close(fd);
	/* What it logs is not this test's. */
	dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
	exit(role_main(2, argv, &lookup_role_ops));
}

static void
start(const char *more)
{
	int pair[2], conf = conf_fd(more), page_fd;
	struct limits_page *page;
	struct errtext et;

	assert_int_equal(chan_pair(pair), OK);
	assert_int_equal(limits_page_create("lookup", 0, &page_fd, &page, &et),
	    OK);
	pid = fork();
	if (pid == 0)
		become_role(pair[1], conf, page_fd);
	close(pair[1]);
	close(conf);
	close(page_fd);
	limits_page_unmap(page);
	control = pair[0];
	packets[control].rest = SLICE_NONE;
	(void)fcntl(control, F_SETFL, 0);
}

static void
finish(int expected)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(control);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), expected);
}

/* One frame; fd -1: without a descriptor.  False: it would block. */
static bool
give_to(int to, uint16_t type, uint32_t tag, struct slice fields, int fd,
    int flags)
{
	unsigned char room[2048];
	struct wr w = wr_of(room, sizeof(room));
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} k = { { 0 } };
	struct iovec iov;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	wr_u16(&w, type);
	wr_u16(&w, 0);
	wr_u32(&w, tag);
	wr_raw(&w, fields);
	iov = (struct iovec){ room, w.len };
	if (fd >= 0) {
		m.msg_control = &k;
		m.msg_controllen = sizeof(k);
		k.head.cmsg_level = SOL_SOCKET;
		k.head.cmsg_type = SCM_RIGHTS;
		k.head.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&k.head), &fd, sizeof(fd));
	}
	n = sendmsg(to, &m, MSG_NOSIGNAL | flags);
	if (n < 0 && errno == EAGAIN)
		return false;
	assert_int_equal(n, w.len);
	return true;
}

static void
give(uint16_t type, struct slice fields, int fd)
{
	assert_true(give_to(control, type, 0, fields, fd, 0));
}

#define BYTES(lit) slice_of(lit, sizeof(lit) - 1)

/* The next frame; its fields are valid until the next packet. */
static uint16_t
take(int from, uint32_t *tag_out, struct slice *fields_out)
{
	struct slice *rest = &packets[from].rest;
	struct rd r;
	uint16_t type;
	size_t len;

	assert_in_range(from, 0, SOCKETS_MAX - 1);
	if (rest->len == 0) {
		ssize_t n = recv(from, packets[from].room,
		    sizeof(packets[from].room), 0);

		*rest = slice_of(packets[from].room, n > 0 ? (size_t)n : 0);
	}
	r = rd_of(*rest);
	type = rd_u16(&r);
	len = rd_u16(&r);
	*tag_out = rd_u32(&r);
	assert_true(len == 0 || len < r.left);
	*fields_out = slice_of(r.at, len > 0 ? len : r.left);
	*rest = slice_of(r.at + fields_out->len, r.left - fields_out->len);
	return r.bad ? 0 : type;
}

static void
expect_control(uint16_t type)
{
	struct slice fields;
	uint32_t tag;

	assert_int_equal(take(control, &tag, &fields), type);
}

/* A channel to a peer; the end that the peer holds. */
static int
connect_peer(const char *which)
{
	int pair[2];

	assert_int_equal(chan_pair(pair), OK);
	give(FRAME_CHANNEL, slice_of(which, 2), pair[1]);
	close(pair[1]);
	(void)fcntl(pair[0], F_SETFL, 0);
	assert_in_range(pair[0], 0, SOCKETS_MAX - 1);
	packets[pair[0]].rest = SLICE_NONE;
	return pair[0];
}

static bool
ask(int peer, uint32_t tag, const char *address, int flags)
{
	unsigned char room[1100];
	struct wr w = wr_of(room, sizeof(room));

	wr_u8(&w, RESOLVE_RCPT);
	wr_str(&w, slice_str(address), 512);
	wr_str(&w, SLICE_LIT("sender@example.org"), 512);
	return give_to(peer, FRAME_RESOLVE, tag, wr_done(&w), -1, flags);
}

static void
expect_answer(int peer, uint32_t tag, unsigned verdict, unsigned code,
    const char *transport, const char *mailbox)
{
	struct frame f = { .fd = -1 };
	struct fr_resolved answer;

	f.type = take(peer, &f.tag, &f.fields);
	assert_int_equal(f.type, FRAME_RESOLVED);
	assert_int_equal(f.tag, tag);
	assert_true(get_resolved(&f, &answer));
	assert_int_equal(answer.verdict, verdict);
	assert_int_equal(answer.code, code);
	assert_true(slice_eq(answer.transport, slice_str(transport)));
	assert_true(slice_eq(answer.mailbox, slice_str(mailbox)));
}

static void
go(void)
{
	give(FRAME_GO, BYTES("\0"), -1);
	expect_control(FRAME_READY);
}

static void
test_answers(void **state)
{
	int smtpd, queue;

	(void)state;
	start("");
	smtpd = connect_peer("\1\0");
	queue = connect_peer("\2\0");
	go();
	assert_true(ask(smtpd, 7, "joe@v.test", 0));
	assert_true(ask(queue, 8, "x@else.test", 0));
	expect_answer(smtpd, 7, RESOLVE_OK, 0, "virtual", "joe/");
	expect_answer(queue, 8, RESOLVE_REMOTE, 0, "smtp", "");
	assert_true(ask(smtpd, 9, "a\nb@v.test", 0));
	expect_answer(smtpd, 9, RESOLVE_REFUSE, 501, "", "");
	close(smtpd);
	close(queue);
	give(FRAME_DRAIN, BYTES("\0\0\0\0"), -1);
	finish(0);
}

/* A peer that asks much and reads nothing is stopped, not forgotten: every
 * answer comes, in order, and the others are served meanwhile. */
static void
test_slow_peer(void **state)
{
	uint32_t asked = 0;
	int slow, other;

	(void)state;
	start("");
	slow = connect_peer("\1\0");
	other = connect_peer("\1\1");
	go();
	/* Until it no longer takes anything for a while, with the other peer
	 * asking and reading in between. */
	for (unsigned idle = 0; idle < 3;) {
		bool taken = ask(slow, asked, "joe@v.test", MSG_DONTWAIT);

		asked += taken;
		idle = taken ? 0 : idle + 1;
		if (!taken || asked % 64 == 0) {
			assert_true(ask(other, asked, "ann@v.test", 0));
			expect_answer(other, asked, RESOLVE_OK, 0, "virtual",
			    "ann/");
		}
	}
	assert_true(asked > 100);
	print_message("%u requests until it was stopped\n", asked);
	for (uint32_t i = 0; i < asked; i++)
		expect_answer(slow, i, RESOLVE_OK, 0, "virtual", "joe/");
	assert_true(ask(slow, 5, "joe@v.test", 0));
	expect_answer(slow, 5, RESOLVE_OK, 0, "virtual", "joe/");
	close(slow);
	close(other);
	give(FRAME_DRAIN, BYTES("\0\0\0\0"), -1);
	finish(0);
}

static void
test_reload(void **state)
{
	int smtpd, conf;

	(void)state;
	start("");
	smtpd = connect_peer("\1\0");
	go();
	conf = conf_fd("relay_domains = else.test\n");
	give(FRAME_CONF, BYTES("\2\0\0\0"), conf);
	close(conf);
	/* Its effect can be told from READY of nothing: ask until it shows,
	 * at most as long as the deadline of the child. */
	for (bool reloaded = false; !reloaded;) {
		struct frame f = { .fd = -1 };
		struct fr_resolved answer;

		assert_true(ask(smtpd, 1, "x@else.test", 0));
		f.type = take(smtpd, &f.tag, &f.fields);
		assert_int_equal(f.type, FRAME_RESOLVED);
		assert_true(get_resolved(&f, &answer));
		reloaded = answer.verdict == RESOLVE_OK;
	}
	/* Tables that cannot be opened: for now nothing is known. */
	conf = conf_fd(BROKEN);
	give(FRAME_CONF, BYTES("\3\0\0\0"), conf);
	close(conf);
	for (bool failing = false; !failing;) {
		struct frame f = { .fd = -1 };
		struct fr_resolved answer;

		assert_true(ask(smtpd, 1, "x@else.test", 0));
		f.type = take(smtpd, &f.tag, &f.fields);
		assert_true(get_resolved(&f, &answer));
		failing = answer.verdict == RESOLVE_REFUSE;
		assert_true(!failing || answer.code == 451);
	}
	close(smtpd);
	give(FRAME_DRAIN, BYTES("\0\0\0\0"), -1);
	finish(0);
}

/* A malformed request costs that peer its channel, and the master is told;
 * a new channel to the same peer takes the place of the old. */
static void
test_malformed(void **state)
{
	unsigned char room[16];
	int bad, good, again;

	(void)state;
	start("");
	bad = connect_peer("\1\0");
	good = connect_peer("\2\0");
	go();
	assert_true(give_to(bad, FRAME_RESOLVE, 1, BYTES("\0\377\377"), -1, 0));
	expect_control(FRAME_BAD_PEER);
	assert_int_equal(recv(bad, room, sizeof(room), 0), 0);
	assert_true(ask(good, 2, "joe@v.test", 0));
	expect_answer(good, 2, RESOLVE_OK, 0, "virtual", "joe/");
	again = connect_peer("\1\0");
	assert_true(ask(again, 3, "joe@v.test", 0));
	expect_answer(again, 3, RESOLVE_OK, 0, "virtual", "joe/");
	/* And one that replaces a channel that still works. */
	close(bad);
	bad = connect_peer("\1\0");
	assert_int_equal(recv(again, room, sizeof(room), 0), 0);
	assert_true(ask(bad, 4, "joe@v.test", 0));
	expect_answer(bad, 4, RESOLVE_OK, 0, "virtual", "joe/");
	close(bad);
	close(again);
	close(good);
	give(FRAME_DRAIN, BYTES("\0\0\0\0"), -1);
	finish(0);
}

/* At the start a table that cannot be one ends the process: 75, the master
 * tries again and says so. */
static void
test_start_fails(void **state)
{
	(void)state;
	start(BROKEN);
	finish(75);
}

static void
ask_expand(int local, uint32_t tag, const char *address)
{
	unsigned char room[600];
	struct wr w = wr_of(room, sizeof(room));

	wr_str(&w, slice_str(address), 512);
	assert_true(give_to(local, FRAME_EXPAND, tag, wr_done(&w), -1, 0));
}

/* Targets up to EXPAND_END, whose error is expected. */
static unsigned
take_expanded(int local, uint32_t tag, enum err error, const char *last)
{
	struct frame f = { .fd = -1 };
	struct fr_expanded target;
	struct fr_expand_end end;
	unsigned count = 0;

	for (;;) {
		f.type = take(local, &f.tag, &f.fields);
		assert_int_equal(f.tag, tag);
		if (f.type == FRAME_EXPAND_END)
			break;
		assert_int_equal(f.type, FRAME_EXPANDED);
		assert_true(get_expanded(&f, &target));
		count++;
		if (last != NULL && slice_eq(target.text, slice_str(last)))
			last = NULL;
	}
	assert_true(get_expand_end(&f, &end));
	assert_int_equal(end.error, error);
	assert_null(last);
	return count;
}

#define ALIASES                                             \
	"mydestination = x.test\nmyorigin = x.test\n"       \
	"alias_maps = inline:{ {two = a, b}, self = self, " \
	"many = :include:%s/many }\n"

static void
write_many(char path[static 64], unsigned count)
{
	FILE *f;

	(void)snprintf(path, 64, "%s/many", top);
	f = fopen(path, "w");
	assert_non_null(f);
	for (unsigned i = 0; i < count; i++)
		assert_true(fprintf(f, "member%u@far.test\n", i) > 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0644), 0);
}

/* What aliases stand for, while others ask for recipients and local does not
 * read for a while. */
static void
test_expands(void **state)
{
	char more[256], path[64];
	int smtpd, local;

	(void)state;
	write_many(path, 10000);
	(void)snprintf(more, sizeof(more), ALIASES, top);
	start(more);
	smtpd = connect_peer("\1\0");
	local = connect_peer("\6\0");
	go();
	ask_expand(local, 5, "two@x.test");
	assert_int_equal(take_expanded(local, 5, OK, "b@x.test"), 2);
	ask_expand(local, 6, "self@x.test");
	assert_int_equal(take_expanded(local, 6, ERR_LOOP, NULL), 0);
	/* They wait for one another, and the last for the reader. */
	for (uint32_t tag = 10; tag < 20; tag++)
		ask_expand(local, tag, "many@x.test");
	for (uint32_t tag = 0; tag < 100; tag++) {
		assert_true(ask(smtpd, tag, "joe@v.test", 0));
		expect_answer(smtpd, tag, RESOLVE_OK, 0, "virtual", "joe/");
	}
	for (uint32_t tag = 10; tag < 20; tag++)
		assert_int_equal(
		    take_expanded(local, tag, OK, "member9999@far.test"),
		    10000);
	/* Away in the middle, and back. */
	ask_expand(local, 20, "many@x.test");
	close(local);
	local = connect_peer("\6\0");
	ask_expand(local, 21, "two@x.test");
	assert_int_equal(take_expanded(local, 21, OK, "a@x.test"), 2);
	assert_true(give_to(local, FRAME_EXPAND, 1, BYTES("\377"), -1, 0));
	expect_control(FRAME_BAD_PEER);
	close(local);
	close(smtpd);
	give(FRAME_DRAIN, BYTES("\0\0\0\0"), -1);
	finish(0);
	assert_int_equal(unlink(path), 0);
}

/* A reload in the middle: what ran is to be asked again, and is answered. */
static void
test_expand_reload(void **state)
{
	char more[256], path[64];
	struct frame f = { .fd = -1 };
	struct fr_expand_end end;
	int local, conf;

	(void)state;
	write_many(path, 10000);
	(void)snprintf(more, sizeof(more), ALIASES, top);
	start(more);
	local = connect_peer("\6\0");
	go();
	ask_expand(local, 1, "many@x.test");
	assert_int_equal(take(local, &f.tag, &f.fields), FRAME_EXPANDED);
	conf = conf_fd(BROKEN);
	give(FRAME_CONF, BYTES("\2\0\0\0"), conf);
	close(conf);
	do
		f.type = take(local, &f.tag, &f.fields);
	while (f.type == FRAME_EXPANDED);
	assert_int_equal(f.type, FRAME_EXPAND_END);
	assert_true(get_expand_end(&f, &end));
	/* It may have been quicker than the reload. */
	assert_true(end.error == OK || end.error == ERR_AGAIN);
	for (bool failing = false; !failing;) {
		ask_expand(local, 2, "two@x.test");
		do
			f.type = take(local, &f.tag, &f.fields);
		while (f.type == FRAME_EXPANDED);
		assert_true(get_expand_end(&f, &end));
		failing = end.error == ERR_LOOKUP;
	}
	close(local);
	give(FRAME_DRAIN, BYTES("\0\0\0\0"), -1);
	finish(0);
	assert_int_equal(unlink(path), 0);
}

/* More requests than wait: refused for now, in any order. */
static void
test_expand_flood(void **state)
{
	enum { COUNT = 200 };
	char more[256], path[64];
	unsigned refused = 0, done = 0;
	int local;

	(void)state;
	write_many(path, 1000);
	(void)snprintf(more, sizeof(more), ALIASES, top);
	start(more);
	local = connect_peer("\6\0");
	go();
	for (uint32_t tag = 0; tag < COUNT; tag++)
		ask_expand(local, tag, "many@x.test");
	while (refused + done < COUNT) {
		struct frame f = { .fd = -1 };
		struct fr_expand_end end;

		f.type = take(local, &f.tag, &f.fields);
		if (f.type == FRAME_EXPANDED)
			continue;
		assert_true(get_expand_end(&f, &end));
		if (end.error == OK)
			done++;
		else
			refused++;
		assert_true(end.error == OK || end.error == ERR_FULL);
	}
	print_message("%u done, %u refused\n", done, refused);
	assert_true(done >= EXPANDER_WAITING_MAX);
	close(local);
	give(FRAME_DRAIN, BYTES("\0\0\0\0"), -1);
	finish(0);
	assert_int_equal(unlink(path), 0);
}

/* A channel to local that is in use: those of others may be read first. */
static int
connect_local(void)
{
	int local = connect_peer("\6\0");

	ask_expand(local, 1, "none@x.test");
	(void)take_expanded(local, 1, ERR_LOOKUP, NULL);
	return local;
}

/* A question to local: its tag, if it is the one that is expected. */
static uint32_t
take_check(int local, const char *user, const char *extension)
{
	struct frame f = { .fd = -1 };
	struct fr_check check;

	f.type = take(local, &f.tag, &f.fields);
	assert_int_equal(f.type, FRAME_CHECK);
	assert_true(get_check(&f, &check));
	assert_true(slice_eq(check.user, slice_str(user)));
	assert_true(slice_eq(check.extension, slice_str(extension)));
	return f.tag;
}

static void
give_checked(int local, uint32_t tag, enum check_verdict verdict)
{
	char byte = (char)verdict;

	assert_true(
	    give_to(local, FRAME_CHECKED, tag, slice_of(&byte, 1), -1, 0));
}

#define EXTENSIONS "mydestination = x.test\nrecipient_delimiter = -\n"

/* Users of the system here are root and whoever is daemon. */
static void
test_checks(void **state)
{
	int smtpd, other, local;
	uint32_t a, b;

	(void)state;
	start(EXTENSIONS);
	smtpd = connect_peer("\1\0");
	other = connect_peer("\1\1");
	go();
	/* Local is not there yet: temporary. */
	assert_true(ask(smtpd, 1, "daemon-x@x.test", 0));
	expect_answer(smtpd, 1, RESOLVE_REFUSE, 451, "", "");
	local = connect_local();
	/* Others go on while two wait, and answers come in any order. */
	assert_true(ask(smtpd, 2, "daemon-one@x.test", 0));
	a = take_check(local, "daemon", "one");
	assert_true(ask(smtpd, 3, "Daemon-Two@x.test", 0));
	b = take_check(local, "daemon", "Two");
	assert_true(ask(smtpd, 4, "joe@v.test", 0));
	expect_answer(smtpd, 4, RESOLVE_OK, 0, "virtual", "joe/");
	give_checked(local, b, CHECK_EXISTS);
	expect_answer(smtpd, 3, RESOLVE_OK, 0, "local", "daemon");
	give_checked(local, a, CHECK_MISSING);
	expect_answer(smtpd, 2, RESOLVE_REFUSE, 550, "", "");
	/* They are remembered. */
	assert_true(ask(other, 5, "daemon-Two@x.test", 0));
	expect_answer(other, 5, RESOLVE_OK, 0, "local", "daemon");
	/* Unknown is not. */
	for (uint32_t tag = 6; tag < 8; tag++) {
		assert_true(ask(other, tag, "daemon-three@x.test", 0));
		a = take_check(local, "daemon", "three");
		give_checked(local, a, CHECK_UNKNOWN);
		expect_answer(other, tag, RESOLVE_REFUSE, 451, "", "");
	}
	/* An answer that nobody waits for any more means nothing. */
	assert_true(ask(other, 8, "daemon-four@x.test", 0));
	a = take_check(local, "daemon", "four");
	close(other);
	other = connect_peer("\1\1");
	assert_true(ask(other, 9, "ann@v.test", 0));
	expect_answer(other, 9, RESOLVE_OK, 0, "virtual", "ann/");
	give_checked(local, a, CHECK_EXISTS);
	give_checked(local, 12345, CHECK_EXISTS);
	/* Local goes away with a question: temporary. */
	assert_true(ask(other, 10, "daemon-five@x.test", 0));
	(void)take_check(local, "daemon", "five");
	close(local);
	expect_answer(other, 10, RESOLVE_REFUSE, 451, "", "");
	local = connect_local();
	assert_true(ask(other, 11, "daemon-five@x.test", 0));
	a = take_check(local, "daemon", "five");
	give_checked(local, a, CHECK_EXISTS);
	expect_answer(other, 11, RESOLVE_OK, 0, "local", "daemon");
	/* What is no answer costs the channel. */
	assert_true(give_to(local, FRAME_CHECKED, 1, BYTES("\377"), -1, 0));
	expect_control(FRAME_BAD_PEER);
	close(local);
	close(other);
	close(smtpd);
	give(FRAME_DRAIN, BYTES("\0\0\0\0"), -1);
	finish(0);
}

/* As many as may wait, and one more: that one is told to come again. */
static void
test_checks_limit(void **state)
{
	uint32_t tags[CHECKS_PARKED_MAX];
	char address[64], extension[32];
	int smtpd, local;

	(void)state;
	start(EXTENSIONS);
	smtpd = connect_peer("\1\0");
	go();
	local = connect_local();
	for (uint32_t i = 0; i < CHECKS_PARKED_MAX; i++) {
		(void)snprintf(extension, sizeof(extension), "e%u", i);
		(void)snprintf(address, sizeof(address), "daemon-%s@x.test",
		    extension);
		assert_true(ask(smtpd, i, address, 0));
		tags[i] = take_check(local, "daemon", extension);
	}
	assert_true(ask(smtpd, 1000, "daemon-more@x.test", 0));
	expect_answer(smtpd, 1000, RESOLVE_REFUSE, 451, "", "");
	give_checked(local, tags[7], CHECK_EXISTS);
	expect_answer(smtpd, 7, RESOLVE_OK, 0, "local", "daemon");
	assert_true(ask(smtpd, 1001, "daemon-more@x.test", 0));
	(void)take_check(local, "daemon", "more");
	close(local);
	for (unsigned i = 0; i < CHECKS_PARKED_MAX; i++) {
		struct slice fields;
		uint32_t tag;

		assert_int_equal(take(smtpd, &tag, &fields), FRAME_RESOLVED);
	}
	close(smtpd);
	give(FRAME_DRAIN, BYTES("\0\0\0\0"), -1);
	finish(0);
}

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(top) == NULL)
		return -1;
	return chmod(top, 0755);
}

static int
teardown(void **state)
{
	(void)state;
	return rmdir(top);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_slow_peer),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_start_fails),
		cmocka_unit_test(test_expands),
		cmocka_unit_test(test_expand_reload),
		cmocka_unit_test(test_expand_flood),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_checks_limit),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, setup, teardown);
}
