#include "weir/pages.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "weir/cli.h"

/* Map the page of each descriptor that came; what cannot be mapped (of a
 * server of another version) is left out. */
static void
map_fds(struct cli *cli, struct msghdr *m, struct pages *p)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
	     c = CMSG_NXTHDR(m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			struct errtext et;
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (p->count < PAGES_MAX &&
			    limits_page_map(fd, false, &p->page[p->count],
				&et) == OK)
				p->count++;
			else
				cli_say(cli, "%s", et.text);
			close(fd);
		}
	}
}

static int
receive(struct cli *cli, int fd, struct pages *p)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(PAGES_MAX * sizeof(int))];
	} control;
	char byte[16];
	struct iovec iov = { byte, sizeof(byte) };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);

	if (n < 0 || (n == 0 && m.msg_controllen == 0)) {
		cli_say(cli, "the server does not answer: %s",
		    n == 0 ? "closed" : strerror(errno));
		return EX_TEMPFAIL;
	}
	map_fds(cli, &m, p);
	return EX_OK;
}

int
pages_open(struct cli *cli, const struct conf *conf, struct pages *p)
{
	struct ucred peer = { .pid = 0 };
	socklen_t len = sizeof(peer);
	int status;
	int fd;

	*p = (struct pages){ .count = 0 };
	status = run_connect(cli, conf, "status", SOCK_SEQPACKET, &fd);
	if (status != EX_OK)
		return status;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		p->master = peer.pid;
	status = receive(cli, fd, p);
	close(fd);
	if (status != EX_OK)
		pages_close(p);
	return status;
}

void
pages_close(struct pages *p)
{
	for (size_t i = 0; i < p->count; i++)
		limits_page_unmap(p->page[i]);
	p->count = 0;
}
