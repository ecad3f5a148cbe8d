/*
 * listen: the sockets on which the server is reached.
 *
 * Those on TCP are opened once for each smtpd (SO_REUSEPORT: the kernel
 * spreads clients over them) and held by the master, so that a restarted smtpd
 * finds its own again, with the clients that wait in it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "conf/net.h"
#include "ipc/frames.h"

struct acct;
struct conf;

enum {
	LISTEN_ALL = -1, /* owner: every process of the role */
	LISTEN_ADDRESS_BYTES = 256,
};

struct listener {
	enum listen_kind kind;
	enum role role; /* who gets it */
	int owner;	/* index of the process, or LISTEN_ALL */
	int fd;
	char address[LISTEN_ADDRESS_BYTES]; /* "127.0.0.1:25", "unix:/x" */
	bool unlink;			    /* a file of ours: unix:PATH */
};

struct listeners {
	struct acct *acct;
	struct listener *items;
	unsigned count, count_max;
};

/*
 * listen_open(l, a, conf, smtpd_count, run_fd, et):
 * All sockets of the configuration, and run/control, run/submit and
 * run/session.
 * run_fd: the open directory run.  On error everything is closed again; et
 * says which address, why, and what would help.
 */
MUST_CHECK enum err listen_open(struct listeners *l, struct acct *a,
    const struct conf *conf, unsigned smtpd_count, int run_fd,
    struct errtext *et);
void listen_close(struct listeners *l);

/*
 * listen_unix(dir_fd, path, type, fd_out, et):
 * Bind and listen, mode 0666; a stale socket file is replaced.  dir_fd -1:
 * path is a path, whose socket must not be in use; else a name in that
 * directory, which is ours.
 */
MUST_CHECK enum err listen_unix(int dir_fd, const char *path, int type,
    int *fd_out, struct errtext *et);

/*
 * listen_expand(item, protocols, out):
 * The addresses of one item ("*" is two): how many, 0 to 2.  Pure.
 */
struct listen_address {
	struct sockaddr_storage addr;
	socklen_t len;
	bool optional; /* "*": left out where the system lacks IPv6 */
};
unsigned listen_expand(const struct net_listen *item, unsigned protocols,
    struct listen_address out[2]);
