/*
 * Channels: order, gathering, descriptors, full queues, death of the peer.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/wire.h"
#include "ev/loop.h"
#include "ipc/chan.h"
#include "ipc/frames.h"

enum { QUEUE_MAX = 300000 };

/* One end, and what its owner saw. */
struct end {
	struct chan *c;
	unsigned frames, closed, rooms;
	uint32_t last_tag;
	bool bad;
	char why[CHAN_WHY_BYTES];
	size_t room_least; /* when on_room comes */
	int kept_fd;
	/* What to do in on_frame. */
	bool keep_fd, close_first, bad_first;
};

static struct acct mem;
static struct ev_loop *loop;
static struct end smtpd, queue; /* smtpd sends, queue receives */
static char body[65536];

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	struct end *e = arg;

	assert_ptr_equal(c, e->c);
	e->frames++;
	assert_true(f->tag > e->last_tag); /* in the order sent */
	e->last_tag = f->tag;
	if (e->keep_fd && f->fd >= 0) {
		e->kept_fd = f->fd;
		f->fd = -1;
	}
	if (e->close_first) {
		chan_close(c);
		e->c = NULL;
	} else if (e->bad_first) {
		chan_bad(c, "does not decode");
	}
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct end *e = arg;

	e->closed++;
	e->bad = bad;
	snprintf(e->why, sizeof(e->why), "%s", why);
	chan_close(c);
	e->c = NULL;
}

static void
on_room(void *arg, struct chan *c)
{
	struct end *e = arg;

	assert_ptr_equal(c, e->c);
	assert_true(chan_room(c) >= e->room_least);
	e->rooms++;
}

static const struct chan_events events = { on_frame, on_closed, on_room };

static int
setup(void **state)
{
	int fd[2];

	(void)state;
	smtpd = (struct end){ .kept_fd = -1, .room_least = QUEUE_MAX / 2 - 64 };
	queue = (struct end){ .kept_fd = -1 };
	acct_init(&mem, NULL, "test", 4 << 20, false, "");
	if (ev_loop_new(&mem, &loop) != OK || chan_pair(fd) != OK)
		return -1;
	if (chan_open(loop, &mem, fd[0], ROLE_SMTPD, ROLE_QUEUE, 0, &events,
		&smtpd, QUEUE_MAX, &smtpd.c) != OK)
		return -1;
	if (chan_open(loop, &mem, fd[1], ROLE_QUEUE, ROLE_SMTPD, 3, &events,
		&queue, QUEUE_MAX, &queue.c) != OK)
		return -1;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	chan_close(smtpd.c);
	chan_close(queue.c);
	ev_loop_free(loop);
	acct_fini(&mem);
	return 0;
}

static void
turns(unsigned n)
{
	while (n-- > 0)
		assert_int_equal(ev_loop_turn(loop), OK);
}

static enum err
send_body_frame(uint32_t tag, size_t len)
{
	struct fr_txn_body f = { slice_of(body, len) };

	return send_txn_body(smtpd.c, tag, &f, -1);
}

static void
test_names(void **state)
{
	(void)state;
	assert_string_equal(role_name(ROLE_SMTPD), "smtpd");
	assert_string_equal(role_name(ROLE_COMMAND), "command");
	assert_int_equal(chan_peer(queue.c), ROLE_SMTPD);
	assert_int_equal(chan_peer_index(queue.c), 3);
}

/* Small, large, small: one order, although the large one is not copied. */
static void
test_order(void **state)
{
	(void)state;
	for (uint32_t tag = 1; tag <= 40; tag++)
		assert_int_equal(
		    send_body_frame(tag, tag % 5 == 0 ? 20000 : 10), OK);
	for (unsigned i = 0; i < 50 && queue.frames < 40; i++)
		turns(1);
	assert_int_equal(queue.frames, 40);
	assert_int_equal(queue.last_tag, 40);
}

/* Nothing goes out before the end of the turn, then all at once. */
static void
test_gathers(void **state)
{
	(void)state;
	for (uint32_t tag = 1; tag <= 20; tag++)
		assert_int_equal(send_body_frame(tag, 10), OK);
	assert_true(chan_room(smtpd.c) < QUEUE_MAX - 20 * 10);
	turns(1);
	assert_true(chan_room(smtpd.c) > QUEUE_MAX - 64);
	turns(10); /* a batch of receiving is bounded */
	assert_int_equal(queue.frames, 20);
}

static void
test_flush(void **state)
{
	(void)state;
	assert_int_equal(send_body_frame(1, 10), OK);
	chan_flush(smtpd.c);
	assert_true(chan_room(smtpd.c) > QUEUE_MAX - 64);
}

/* Fill socket and queue, see the refusal, drain, see on_room once and every
 * frame that was taken. */
static void
fill_and_drain(size_t len)
{
	uint32_t tag = 0;
	enum err e;

	chan_pause(queue.c, true);
	while ((e = send_body_frame(tag + 1, len)) == OK) {
		tag++;
		if (tag % 16 == 0)
			turns(1);
		assert_true(tag < 100000);
	}
	assert_int_equal(e, ERR_FULL);
	assert_int_equal(send_body_frame(tag + 1, len), ERR_FULL);
	turns(3);
	assert_int_equal(queue.frames, 0);
	assert_int_equal(smtpd.rooms, 0);

	chan_pause(queue.c, false);
	for (unsigned i = 0; i < 100000 && queue.frames < tag; i++)
		turns(1);
	assert_int_equal(queue.frames, tag);
	turns(2);
	assert_int_equal(smtpd.rooms, 1);
	assert_int_equal(send_body_frame(tag + 1, len), OK);
	turns(2);
	assert_int_equal(queue.frames, tag + 1);
}

static void
test_full_small(void **state)
{
	(void)state;
	fill_and_drain(100);
}

static void
test_full_large(void **state)
{
	(void)state;
	fill_and_drain(sizeof(body));
}

/* The account is the limit, not the queue. */
static void
test_full_account(void **state)
{
	int64_t room = acct_room(&mem);
	uint32_t tag = 0;

	(void)state;
	assert_int_equal(acct_charge(&mem, room), OK);
	chan_pause(queue.c, true);
	/* Without memory to wait in, frames go straight to the socket. */
	while (send_body_frame(tag + 1, 100) == OK)
		assert_true(++tag < 100000);
	assert_true(tag > 0);
	chan_pause(queue.c, false);
	for (unsigned i = 0; i < 10000 && queue.frames < tag; i++)
		turns(1);
	turns(2);
	assert_int_equal(queue.frames, tag);
	assert_int_equal(smtpd.rooms, 1);
	acct_release(&mem, room);
}

static void
test_peer_gone(void **state)
{
	(void)state;
	assert_int_equal(send_body_frame(1, 10), OK);
	assert_int_equal(send_body_frame(2, 10), OK);
	chan_close(smtpd.c); /* sends what was gathered */
	smtpd.c = NULL;
	turns(2);
	assert_int_equal(queue.frames, 2);
	assert_int_equal(queue.closed, 1);
	assert_false(queue.bad);
}

static void
test_send_to_gone_peer(void **state)
{
	(void)state;
	chan_close(queue.c);
	queue.c = NULL;
	assert_int_equal(send_body_frame(1, sizeof(body)), ERR_CLOSED);
	assert_int_equal(send_body_frame(2, 10), ERR_CLOSED);
	turns(1);
	assert_int_equal(smtpd.closed, 1);
	assert_false(smtpd.bad);
}

/* The owner closes while more frames of the same batch are at hand. */
static void
test_close_in_callback(void **state)
{
	(void)state;
	queue.close_first = true;
	for (uint32_t tag = 1; tag <= 8; tag++)
		assert_int_equal(send_body_frame(tag, 10), OK);
	turns(3);
	assert_int_equal(queue.frames, 1);
	assert_int_equal(queue.closed, 0);
	assert_int_equal(smtpd.closed, 1);
}

static void
test_bad_in_callback(void **state)
{
	(void)state;
	queue.bad_first = true;
	for (uint32_t tag = 1; tag <= 8; tag++)
		assert_int_equal(send_body_frame(tag, 10), OK);
	turns(2);
	assert_int_equal(queue.frames, 1);
	assert_int_equal(queue.closed, 1);
	assert_true(queue.bad);
	assert_string_equal(queue.why, "does not decode");
}

static void
test_bad_outside(void **state)
{
	(void)state;
	chan_bad(queue.c, "later found wrong");
	assert_int_equal(queue.closed, 0);
	turns(1);
	assert_int_equal(queue.closed, 1);
	assert_true(queue.bad);
}

/* ---- descriptors ---- */

static unsigned
open_fd_count(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			n++;
	return n;
}

struct control {
	struct end end;
	int raw; /* the master's side, without a channel */
};

static void
open_control(struct control *k)
{
	int fd[2];

	*k = (struct control){ .end = { .kept_fd = -1 } };
	assert_int_equal(chan_pair(fd), OK);
	k->raw = fd[0];
	assert_int_equal(chan_open(loop, &mem, fd[1], ROLE_SMTPD, ROLE_MASTER,
			     0, &events, &k->end, 65536, &k->end.c),
	    OK);
}

static void
close_control(struct control *k)
{
	chan_close(k->end.c);
	close(k->raw);
}

/* A CHANNEL frame with so many descriptors, by hand. */
static void
send_with_fds(int sock, unsigned fd_count)
{
	unsigned char room[64];
	struct wr w = wr_of(room, sizeof(room));
	union {
		char room[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	wr_u16(&w, FRAME_CHANNEL);
	wr_u16(&w, 0);
	wr_u32(&w, 1);
	wr_u8(&w, ROLE_QUEUE);
	wr_u8(&w, 0);
	iov = (struct iovec){ room, w.len };
	if (fd_count > 0) {
		struct cmsghdr *c = &control.align;
		int fd = STDIN_FILENO;

		m.msg_control = control.room;
		m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		for (unsigned i = 0; i < fd_count; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(sock, &m, 0), w.len);
}

/* ---- packets of several frames ---- */

/* So many FLUSH-like frames (GO) by hand in one packet; next of the last and
 * of the others is what is given. */
static void
send_packet(int sock, unsigned count, uint16_t next, uint16_t last_next, int fd)
{
	unsigned char room[64 * (CHAN_HEADER_BYTES + 1)];
	struct wr w = wr_of(room, sizeof(room));
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	for (unsigned i = 1; i <= count; i++) {
		wr_u16(&w, FRAME_GO);
		wr_u16(&w, i < count ? next : last_next);
		wr_u32(&w, i);
		wr_u8(&w, 0);
	}
	assert_false(w.full);
	iov = (struct iovec){ room, w.len };
	if (fd >= 0) {
		struct cmsghdr *c = &control.align;

		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(sock, &m, 0), w.len);
}

static void
test_packets(void **state)
{
	static const struct {
		const char *why;
		unsigned count;
		uint16_t next, last_next;
		bool with_fd;
		unsigned frames; /* that arrive */
		bool bad;
	} rows[] = {
		{ "one frame", 1, 1, 0, false, 1, false },
		{ "two frames", 2, 1, 0, false, 2, false },
		{ "as many as may be", CHAN_PACKET_FRAMES_MAX, 1, 0, false,
		    CHAN_PACKET_FRAMES_MAX, false },
		{ "one too many", CHAN_PACKET_FRAMES_MAX + 1, 1, 0, false,
		    CHAN_PACKET_FRAMES_MAX, true },
		{ "another should follow", 2, 1, 1, false, 1, true },
		{ "longer than the packet", 2, 1, 500, false, 1, true },
		{ "the first ends inside the second", 2, 2, 0, false, 0, true },
		{ "the first takes the second's bytes", 2, 0, 0, false, 0,
		    true },
		{ "a descriptor among several", 2, 1, 0, true, 0, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct control k;
		unsigned before;

		open_control(&k);
		before = open_fd_count();
		send_packet(k.raw, rows[i].count, rows[i].next,
		    rows[i].last_next, rows[i].with_fd ? STDIN_FILENO : -1);
		turns(2);
		if (k.end.frames != rows[i].frames ||
		    k.end.bad != rows[i].bad ||
		    open_fd_count() != before - (rows[i].bad ? 1 : 0))
			fail_msg("%s: %u frames, %s", rows[i].why, k.end.frames,
			    k.end.bad ? k.end.why : "good");
		close_control(&k);
	}
}

/* What is sent in one turn travels together, at every size around the bound
 * of a packet. */
static void
test_packing(void **state)
{
	static const size_t sizes[] = { 1, 100, 499, 500, 501, 1000, 4096, 8180,
		8181, 8192, 9000, 16000, 16384 };
	uint32_t tag = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		unsigned before = queue.frames;

		for (unsigned n = 0; n < 40; n++) {
			tag++;
			assert_int_equal(send_body_frame(tag, sizes[i]), OK);
			if (n % 8 == 7)
				turns(2);
		}
		for (unsigned n = 0; n < 100 && queue.frames < before + 40; n++)
			turns(1);
		assert_int_equal(queue.frames, before + 40);
		assert_int_equal(queue.closed, 0);
	}
}

static void
test_fd_kept(void **state)
{
	struct control k;
	unsigned before;

	(void)state;
	open_control(&k);
	before = open_fd_count();
	k.end.keep_fd = true;
	send_with_fds(k.raw, 1);
	turns(1);
	assert_int_equal(k.end.frames, 1);
	assert_true(k.end.kept_fd >= 0);
	assert_int_equal(fcntl(k.end.kept_fd, F_GETFD), FD_CLOEXEC);
	close(k.end.kept_fd);
	assert_int_equal(open_fd_count(), before);
	close_control(&k);
}

/* Whatever number a peer sends, none stays open. */
static void
test_fd_counts(void **state)
{
	(void)state;
	for (unsigned n = 0; n <= 8; n++) {
		struct control k;
		unsigned before;

		open_control(&k);
		before = open_fd_count();
		send_with_fds(k.raw, n);
		turns(1);
		assert_int_equal(k.end.frames, n <= 1);
		assert_int_equal(k.end.closed, n > 1);
		assert_int_equal(k.end.bad, n > 1);
		/* The closed channel gave its own descriptor back. */
		assert_int_equal(open_fd_count(), before - (n > 1));
		close_control(&k);
	}
}

/* A frame with a descriptor that must wait keeps its own duplicate. */
static void
test_fd_waits(void **state)
{
	struct fr_segment f = { 1 };
	struct end sender = { .kept_fd = -1 }, receiver = { .kept_fd = -1 };
	unsigned before = open_fd_count();
	uint32_t tag = 0;
	int fd[2], file;

	(void)state;
	assert_int_equal(chan_pair(fd), OK);
	assert_int_equal(chan_open(loop, &mem, fd[0], ROLE_QUEUE, ROLE_SMTP, 0,
			     &events, &sender, 4096, &sender.c),
	    OK);
	assert_int_equal(chan_open(loop, &mem, fd[1], ROLE_SMTP, ROLE_QUEUE, 0,
			     &events, &receiver, 4096, &receiver.c),
	    OK);
	chan_pause(receiver.c, true);
	file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	while (send_segment(sender.c, tag + 1, &f, file) == OK)
		assert_true(++tag < 100000);
	close(file);
	receiver.keep_fd = false;
	chan_pause(receiver.c, false);
	for (unsigned i = 0; i < 10000 && receiver.frames < tag; i++)
		turns(1);
	assert_int_equal(receiver.frames, tag);
	chan_close(sender.c);
	chan_close(receiver.c);
	assert_int_equal(open_fd_count(), before);
}

/* A queue that is dropped closes the descriptors in it. */
static void
test_fd_dropped(void **state)
{
	struct fr_segment f = { 1 };
	struct end sender = { .kept_fd = -1 };
	unsigned before = open_fd_count();
	uint32_t tag = 0;
	int fd[2];

	(void)state;
	assert_int_equal(chan_pair(fd), OK);
	assert_int_equal(chan_open(loop, &mem, fd[0], ROLE_QUEUE, ROLE_SMTP, 0,
			     &events, &sender, 4096, &sender.c),
	    OK);
	while (send_segment(sender.c, tag + 1, &f, STDIN_FILENO) == OK)
		assert_true(++tag < 100000);
	close(fd[1]);
	chan_close(sender.c);
	assert_int_equal(open_fd_count(), before);
}

static void
test_empty_packet_is_the_end(void **state)
{
	struct control k;

	(void)state;
	open_control(&k);
	assert_int_equal(send(k.raw, "", 0, 0), 0);
	turns(1);
	assert_int_equal(k.end.closed, 1);
	close_control(&k);
}

/* Each allocation of opening fails in turn; nothing may leak. */
static void
test_no_memory(void **state)
{
	struct chan *c;
	int fd[2];

	(void)state;
	assert_int_equal(chan_pair(fd), OK);
	for (unsigned n = 1;; n++) {
		int64_t used = mem.used_bytes;
		enum err e;

		assert_true(n < 10);
		mem_fail_after(n);
		e = chan_open(loop, &mem, fd[0], ROLE_DNS, ROLE_SMTP, 0,
		    &events, &smtpd, 4096, &c);
		mem_fail_after(0);
		if (e == OK)
			break;
		assert_int_equal(e, ERR_FULL);
		assert_int_equal(mem.used_bytes, used);
	}
	chan_close(c);
	close(fd[1]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_names),
		T(test_order),
		T(test_gathers),
		T(test_flush),
		T(test_full_small),
		T(test_full_large),
		T(test_full_account),
		T(test_peer_gone),
		T(test_send_to_gone_peer),
		T(test_close_in_callback),
		T(test_bad_in_callback),
		T(test_bad_outside),
		T(test_packets),
		T(test_packing),
		T(test_fd_kept),
		T(test_fd_counts),
		T(test_fd_waits),
		T(test_fd_dropped),
		T(test_empty_packet_is_the_end),
		T(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
