/*
 * ctl: see ctl.h.
 *
 * The encoders of ipc/frames.c call chan_send(), which in the roles is that of
 * ipc/chan.c.  This program has no loop: it gives its own, which blocks, and
 * so nothing of chan.c is linked.
 */
#include "weir/ctl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/wire.h"
#include "conf/conf.h"
#include "weir/pages.h"

struct chan {
	int fd;
};

struct ctl {
	struct cli *cli;
	struct chan chan;
	uint64_t about;	   /* message id; 0: none */
	struct slice rest; /* in room: frames of the packet not looked at */
	unsigned char room[CHAN_FRAME_BYTES_MAX];
};

struct ctl *
ctl_on(struct cli *cli, int fd)
{
	struct ctl *c = mem_alloc(&cli->acct, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->cli = cli;
	c->chan.fd = fd;
	return c;
}

int
ctl_open(struct cli *cli, const struct conf *conf, struct ctl **out)
{
	int status;
	int fd;

	status = run_connect(cli, conf, "control", SOCK_SEQPACKET, &fd);
	if (status != EX_OK)
		return status;
	*out = ctl_on(cli, fd);
	if (*out == NULL) {
		close(fd);
		cli_say(cli, "out of memory");
		return EX_TEMPFAIL;
	}
	return EX_OK;
}

struct chan *
ctl_chan(struct ctl *c)
{
	return &c->chan;
}

void
ctl_about(struct ctl *c, uint64_t id)
{
	c->about = id;
}

void
ctl_close(struct ctl *c)
{
	if (c == NULL)
		return;
	close(c->chan.fd);
	mem_free(&c->cli->acct, c);
}

enum err
chan_send(struct chan *c, uint16_t type, uint32_t tag, struct slice fields,
    struct slice blob, int fd)
{
	unsigned char header[CHAN_HEADER_BYTES];
	struct wr w = wr_of(header, sizeof(header));
	struct iovec iov[3] = {
		{ header, sizeof(header) },
		{ (void *)(uintptr_t)fields.data, fields.len },
		{ (void *)(uintptr_t)blob.data, blob.len },
	};
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 3 };
	ssize_t n;

	ASSERT(fd < 0); /* no request carries one */
	wr_u16(&w, type);
	wr_u16(&w, 0);
	wr_u32(&w, tag);
	do
		n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return OK;
	return errno == EPIPE || errno == ECONNRESET ? ERR_CLOSED
	       : errno == EAGAIN		     ? ERR_TIMEOUT
						     : err_from_errno(errno);
}

static enum err
receive_packet(struct ctl *c)
{
	ssize_t n;

	do
		n = recv(c->chan.fd, c->room, sizeof(c->room), MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN	     ? ERR_TIMEOUT
		       : errno == ECONNRESET ? ERR_CLOSED
					     : err_from_errno(errno);
	if (n == 0)
		return ERR_CLOSED;
	if ((size_t)n > sizeof(c->room))
		return ERR_PROTOCOL;
	c->rest = slice_of(c->room, (size_t)n);
	return OK;
}

/* The next frame of an answer, checked as ipc/recv.c does. */
static enum err
receive(struct ctl *c, struct frame *f)
{
	const struct frame_info *info;
	struct rd r;
	size_t len;

	if (c->rest.len == 0) {
		enum err e = receive_packet(c);

		if (e != OK)
			return e;
	}
	r = rd_of(c->rest);
	f->type = rd_u16(&r);
	len = rd_u16(&r);
	f->tag = rd_u32(&r);
	f->fd = -1;
	info = frame_info(f->type);
	if (r.bad || info == NULL || !(info->to & (1u << ROLE_COMMAND)) ||
	    (len > 0 && len >= r.left))
		return ERR_PROTOCOL;
	f->fields = slice_of(r.at, len > 0 ? len : r.left);
	c->rest = slice_of(r.at + f->fields.len, r.left - f->fields.len);
	return OK;
}

/* One frame to its function; false: not expected, or malformed. */
static bool
visit(const struct frame *f, const struct ctl_visitor *v)
{
	struct fr_ctl_item item;
	struct fr_ctl_envelope envelope;
	struct fr_ctl_rcpt rcpt;
	struct fr_ctl_data data;

	switch (f->type) {
	case FRAME_CTL_ITEM:
		if (v->on_item == NULL || !get_ctl_item(f, &item))
			return false;
		v->on_item(v->arg, &item);
		return true;
	case FRAME_CTL_ENVELOPE:
		if (v->on_envelope == NULL || !get_ctl_envelope(f, &envelope))
			return false;
		v->on_envelope(v->arg, &envelope);
		return true;
	case FRAME_CTL_RCPT:
		if (v->on_rcpt == NULL || !get_ctl_rcpt(f, &rcpt))
			return false;
		v->on_rcpt(v->arg, &rcpt);
		return true;
	case FRAME_CTL_DATA:
		if (v->on_data == NULL || !get_ctl_data(f, &data))
			return false;
		v->on_data(v->arg, &data);
		return true;
	default: return false;
	}
}

static int
end(struct ctl *c, const struct fr_ctl_end *f, uint32_t *count_out)
{
	enum err e = f->error < ERR_COUNT ? (enum err)f->error : ERR_PROTOCOL;
	struct slice text = slice_str(err_text(e));

	if (count_out != NULL)
		*count_out = f->count;
	if (e == OK)
		return EX_OK;
	if (f->text.len > 0)
		text = f->text;
	if (c->about > 0)
		cli_say(c->cli, "message %llu: %.*s",
		    (unsigned long long)c->about, SLICE_ARGS(text));
	else
		cli_say(c->cli, "%.*s", SLICE_ARGS(text));
	return cli_status(e);
}

int
ctl_answer(struct ctl *c, enum err sent, const struct ctl_visitor *visitor,
    uint32_t *count_out)
{
	static const struct ctl_visitor nobody;
	enum err e = sent;

	if (visitor == NULL)
		visitor = &nobody;
	while (e == OK) {
		struct fr_ctl_end f;
		struct frame frame;

		e = receive(c, &frame);
		if (e == OK && frame.type == FRAME_CTL_END &&
		    get_ctl_end(&frame, &f))
			return end(c, &f, count_out);
		if (e == OK && !visit(&frame, visitor))
			e = ERR_PROTOCOL;
	}
	cli_say(c->cli, "the queue does not answer: %s", err_text(e));
	return EX_TEMPFAIL;
}
