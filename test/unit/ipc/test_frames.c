/*
 * Every frame of frames.def, by itself: encoded, sent, received, decoded;
 * every truncation and every excess of its fields refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/wire.h"
#include "ev/loop.h"
#include "ipc/chan.h"
#include "ipc/frames.h"

static char pattern[CHAN_FRAME_BYTES_MAX];

/* How long strings are: nothing, one, some, the most. */
enum { FILL_NONE, FILL_ONE, FILL_SOME, FILL_MOST, FILL_COUNT };

static struct slice
fill(size_t max, unsigned how)
{
	static const unsigned share[FILL_COUNT] = { 0, 0, 2, 1 };

	if (how == FILL_ONE)
		return slice_of(pattern, 1);
	return slice_of(pattern, share[how] == 0 ? 0 : max / share[how]);
}

/* ---- a pair of channels ---- */

static struct acct mem;
static struct ev_loop *loop;
static struct {
	unsigned frames, closed;
	bool bad;
	char why[CHAN_WHY_BYTES];
	uint16_t type;
	uint32_t tag;
	size_t len;
	char bytes[CHAN_FRAME_BYTES_MAX];
} got;

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	(void)arg;
	(void)c;
	got.frames++;
	got.type = f->type;
	got.tag = f->tag;
	got.len = f->fields.len;
	memcpy(got.bytes, f->fields.data, f->fields.len);
	assert_int_equal(f->fd, -1);
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	(void)arg;
	(void)c;
	got.closed++;
	got.bad = bad;
	strncpy(got.why, why, sizeof(got.why) - 1);
}

static const struct chan_events events = { on_frame, on_closed, NULL };

static enum role
first_role(uint32_t set)
{
	return (enum role)__builtin_ctz(set);
}

/* The frame just received, as get_* wants it. */
static struct frame
received(void)
{
	return (struct frame){ got.type, got.tag, slice_of(got.bytes, got.len),
		-1 };
}

static void
open_pair(const struct frame_info *info, struct chan **a, struct chan **b)
{
	int fd[2];

	memset(&got, 0, offsetof(typeof(got), bytes));
	assert_int_equal(chan_pair(fd), OK);
	assert_int_equal(chan_open(loop, &mem, fd[0], first_role(info->from),
			     first_role(info->to), 0, &events, NULL, 1 << 20,
			     a),
	    OK);
	assert_int_equal(chan_open(loop, &mem, fd[1], first_role(info->to),
			     first_role(info->from), 0, &events, NULL, 1 << 20,
			     b),
	    OK);
}

static void
turns(unsigned n)
{
	while (n-- > 0)
		assert_int_equal(ev_loop_turn(loop), OK);
}

/* ---- per frame ---- */

#define SET_U8(n)	f.n = (uint8_t)(0xa1 + how);
#define SET_U16(n)	f.n = (uint16_t)(0xa1b2 + how);
#define SET_U32(n)	f.n = 0xa1b2c3d4u + how;
#define SET_U64(n)	f.n = 0xa1b2c3d4e5f60718u + how;
#define SET_STR(n, max) f.n = fill(max, how);
#define CMP_INT(n)	assert_true(f.n == g.n);
#define CMP_STR(n, max) assert_true(slice_eq(f.n, g.n));

/* The frame type has no wrong length that passes. */
#define REFUSE(NAME, name)                                 \
	do {                                               \
		size_t whole = got.len;                    \
                                                           \
		for (size_t len = 0; len < whole; len++) { \
			in.fields.len = len;               \
			assert_false(get_##name(&in, &g)); \
		}                                          \
		in.fields.len = whole + 1;                 \
		assert_false(get_##name(&in, &g));         \
		in.fields.len = whole;                     \
		in.type = FRAME_NONE;                      \
		assert_false(get_##name(&in, &g));         \
	} while (0)

#define FRAME(NAME, name, from, to, fd_max)                                   \
	static void test_##name(void **state)                                 \
	{                                                                     \
		const struct frame_info *info = frame_info(FRAME_##NAME);     \
		struct fr_##name f, g;                                        \
		struct frame in;                                              \
		struct chan *a, *b;                                           \
                                                                              \
		(void)state;                                                  \
		open_pair(info, &a, &b);                                      \
		for (unsigned how = 0; how < FILL_COUNT; how++) {             \
			F_##NAME(SET_U8, SET_U16, SET_U32, SET_U64, SET_STR,  \
			    SET_STR);                                         \
			assert_int_equal(send_##name(a, 77 + how, &f, -1),    \
			    OK);                                              \
			turns(2);                                             \
			assert_int_equal(got.frames, how + 1);                \
			assert_int_equal(got.tag, 77 + how);                  \
			in = received();                                      \
			assert_true(get_##name(&in, &g));                     \
			F_##NAME(CMP_INT, CMP_INT, CMP_INT, CMP_INT, CMP_STR, \
			    CMP_STR);                                         \
			if (how == FILL_NONE)                                 \
				assert_int_equal(got.len, info->bytes_min);   \
			if (how == FILL_MOST)                                 \
				assert_int_equal(got.len, info->bytes_max);   \
			if (how != FILL_MOST || got.len < 8192)               \
				REFUSE(NAME, name);                           \
		}                                                             \
		chan_close(a);                                                \
		turns(1);                                                     \
		assert_int_equal(got.closed, 1);                              \
		assert_false(got.bad);                                        \
		chan_close(b);                                                \
	}
#include "ipc/frames.def"
#undef FRAME

/* ---- raw bytes from a peer, checked by the channel ---- */

static void
send_raw(int fd, uint16_t type, uint16_t next, size_t fields_len)
{
	static unsigned char room[2 * CHAN_FRAME_BYTES_MAX];
	struct wr w = wr_of(room, sizeof(room));

	wr_u16(&w, type);
	wr_u16(&w, next);
	wr_u32(&w, 5);
	assert_int_equal(write(fd, room, CHAN_HEADER_BYTES + fields_len),
	    CHAN_HEADER_BYTES + fields_len);
}

/* Send one raw frame to self as peer; true when it was called malformed. */
static bool
is_refused(enum role self, enum role peer, uint16_t type, uint16_t next,
    size_t fields_len)
{
	struct chan *c;
	int fd[2], size = 1 << 18;

	memset(&got, 0, offsetof(typeof(got), bytes));
	assert_int_equal(chan_pair(fd), OK);
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	assert_int_equal(chan_open(loop, &mem, fd[1], self, peer, 0, &events,
			     NULL, 1 << 16, &c),
	    OK);
	send_raw(fd[0], type, next, fields_len);
	turns(2);
	assert_true(got.closed <= 1);
	assert_int_equal(got.frames + got.closed, 1);
	assert_true(got.closed == 0 || got.bad);
	chan_close(c);
	close(fd[0]);
	return got.closed == 1;
}

static void
test_bounds(void **state)
{
	(void)state;
	for (uint16_t t = FRAME_NONE + 1; t < FRAME_TYPE_COUNT; t++) {
		const struct frame_info *i = frame_info(t);
		enum role from = first_role(i->from), to = first_role(i->to);

		assert_false(is_refused(to, from, t, 0, i->bytes_min));
		assert_false(is_refused(to, from, t, 0, i->bytes_max));
		assert_true(is_refused(to, from, t, 0, i->bytes_min - 1));
		assert_true(is_refused(to, from, t, 0, i->bytes_max + 1));
		/* It says that another follows, and none does. */
		assert_true(is_refused(to, from, t, (uint16_t)i->bytes_min,
		    i->bytes_min));
		assert_true(is_refused(to, from, t, UINT16_MAX, i->bytes_min));
	}
}

static void
test_directions(void **state)
{
	(void)state;
	for (uint16_t t = FRAME_NONE + 1; t < FRAME_TYPE_COUNT; t++) {
		const struct frame_info *i = frame_info(t);

		for (unsigned from = 0; from < ROLE_COUNT; from++) {
			for (unsigned to = 0; to < ROLE_COUNT; to++) {
				bool may =
				    (i->from >> from & 1) && (i->to >> to & 1);

				assert_int_equal(!may,
				    is_refused((enum role)to, (enum role)from,
					t, 0, i->bytes_min));
			}
		}
	}
}

static void
test_unknown(void **state)
{
	(void)state;
	assert_null(frame_info(FRAME_NONE));
	assert_null(frame_info(FRAME_TYPE_COUNT));
	assert_true(is_refused(ROLE_QUEUE, ROLE_SMTPD, FRAME_NONE, 0, 1));
	assert_true(is_refused(ROLE_QUEUE, ROLE_SMTPD, FRAME_TYPE_COUNT, 0, 1));
	assert_true(is_refused(ROLE_QUEUE, ROLE_SMTPD, 0xffff, 0, 1));
}

static int
setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (char)(i * 7);
	acct_init(&mem, NULL, "test", 8 << 20, false, "");
	return ev_loop_new(&mem, &loop) == OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	ev_loop_free(loop);
	acct_fini(&mem);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define FRAME(NAME, name, from, to, fd_max) cmocka_unit_test(test_##name),
#include "ipc/frames.def"
#undef FRAME
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_directions),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
