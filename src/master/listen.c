/*
 * listen: opening sockets.
 */
#include "master/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"

enum {
	/* Clients that wait until smtpd takes them; the kernel cuts it to
	 * net.core.somaxconn. */
	BACKLOG = 4096,
	ADDRESS_PORT_BYTES = NET_ADDR_TEXT_BYTES + 8,
};

unsigned
listen_expand(const struct net_listen *item, unsigned protocols,
    struct listen_address out[2])
{
	unsigned n = 0;

	if (item->path.len > 0)
		return 0;
	if (item->any ? (protocols & CONF_INET4) != 0
		      : item->addr.family == 4) {
		struct sockaddr_in *sin = (void *)&out[n].addr;

		out[n] = (struct listen_address){ .len = sizeof(*sin) };
		sin->sin_family = AF_INET;
		sin->sin_port = htons(item->port);
		if (!item->any)
			memcpy(&sin->sin_addr, item->addr.octets, 4);
		n++;
	}
	if (item->any ? (protocols & CONF_INET6) != 0
		      : item->addr.family == 6) {
		struct sockaddr_in6 *sin6 = (void *)&out[n].addr;

		out[n] = (struct listen_address){ .len = sizeof(*sin6),
			.optional = item->any };
		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons(item->port);
		if (!item->any)
			memcpy(&sin6->sin6_addr, item->addr.octets, 16);
		n++;
	}
	return n;
}

static void
address_text(const struct listen_address *a, char buf[ADDRESS_PORT_BYTES])
{
	struct net_addr addr = net_addr_of((const struct sockaddr *)&a->addr);
	char text[NET_ADDR_TEXT_BYTES];
	unsigned port =
	    a->addr.ss_family == AF_INET
		? ntohs(((const struct sockaddr_in *)(const void *)&a->addr)
			    ->sin_port)
		: ntohs(((const struct sockaddr_in6 *)(const void *)&a->addr)
			    ->sin6_port);

	net_addr_text(&addr, text);
	snprintf(buf, ADDRESS_PORT_BYTES,
	    a->addr.ss_family == AF_INET ? "%s:%u" : "[%s]:%u", text, port);
}

static const char *
hint(int errnum)
{
	switch (errnum) {
	case EACCES: return "; a port below 1024 needs root";
	case EADDRINUSE:
		return "; another program serves this port: stop it or "
		       "choose another";
	case EADDRNOTAVAIL: return "; this system does not have that address";
	default: return "";
	}
}

/* reuse: one of a set of sockets. */
static enum err
open_tcp(const struct listen_address *a, bool reuse, int *fd_out,
    struct errtext *et)
{
	char text[ADDRESS_PORT_BYTES];
	int one = 1, saved, fd;

	fd = socket(a->addr.ss_family,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		goto failed;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a->addr.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one,
		    sizeof(one));
	if (reuse &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0)
		goto failed;
	if (bind(fd, (const struct sockaddr *)&a->addr, a->len) != 0)
		goto failed;
	if (reuse && listen(fd, BACKLOG) != 0)
		goto failed;
	*fd_out = fd;
	return OK;

failed:
	saved = errno;
	if (fd >= 0)
		close(fd);
	if (a->optional && (saved == EAFNOSUPPORT || saved == EADDRNOTAVAIL)) {
		*fd_out = -1;
		return OK;
	}
	address_text(a, text);
	return err_set(et, ERR_CONFIG, "cannot listen on %s: %s%s", text,
	    strerror(saved), hint(saved));
}

static enum err
add(struct listeners *l, enum listen_kind kind, enum role role, int owner,
    int fd, const char *address, bool unlinked)
{
	struct listener *i;

	if (l->count == l->count_max) {
		unsigned max = l->count_max > 0 ? 2 * l->count_max : 16;

		i = mem_alloc_array(l->acct, max, sizeof(*i));
		if (i == NULL) {
			close(fd);
			return ERR_FULL;
		}
		if (l->count > 0)
			memcpy(i, l->items, l->count * sizeof(*i));
		mem_free(l->acct, l->items);
		l->items = i;
		l->count_max = max;
	}
	i = &l->items[l->count++];
	*i = (struct listener){ .kind = kind,
		.role = role,
		.owner = owner,
		.fd = fd,
		.unlink = unlinked };
	snprintf(i->address, sizeof(i->address), "%s", address);
	return OK;
}

/*
 * SO_REUSEPORT would also let a second server of the same user share the
 * port, without a word.  So the address is first taken without it: that fails
 * if anybody listens there.
 */
static enum err
open_set(struct listeners *l, const struct listen_address *a,
    enum listen_kind kind, unsigned smtpd_count, struct errtext *et)
{
	char text[ADDRESS_PORT_BYTES];
	enum err e;
	int fd;

	e = open_tcp(a, false, &fd, et);
	if (e != OK)
		return e;
	address_text(a, text);
	if (fd < 0) {
		log_info("not listening on %s: no IPv6 here", text);
		return OK;
	}
	close(fd);
	for (unsigned i = 0; e == OK && i < smtpd_count; i++) {
		e = open_tcp(a, true, &fd, et);
		if (e == OK)
			e = add(l, kind, ROLE_SMTPD, (int)i, fd, text, false);
	}
	return e;
}

static enum err
open_item(struct listeners *l, struct slice item, enum listen_kind kind,
    unsigned protocols, unsigned smtpd_count, struct errtext *et)
{
	struct listen_address addresses[2];
	struct net_listen parsed;
	enum err e;
	unsigned n;
	int fd;

	e = net_listen_parse(item, &parsed, et);
	if (e != OK)
		return e;
	if (parsed.path.len > 0) {
		char path[LISTEN_ADDRESS_BYTES], text[LISTEN_ADDRESS_BYTES + 5];

		if (!slice_copy(parsed.path, path, sizeof(path)))
			return err_set(et, ERR_CONFIG, "path too long");
		snprintf(text, sizeof(text), "unix:%s", path);
		e = listen_unix(-1, path, SOCK_STREAM, &fd, et);
		return e != OK ? e
			       : add(l, kind, ROLE_SMTPD, LISTEN_ALL, fd, text,
				     true);
	}
	n = listen_expand(&parsed, protocols, addresses);
	for (unsigned i = 0; e == OK && i < n; i++)
		e = open_set(l, &addresses[i], kind, smtpd_count, et);
	return e;
}

static enum err
open_list(struct listeners *l, const char *name, const struct conf_list *list,
    enum listen_kind kind, unsigned protocols, unsigned smtpd_count,
    struct errtext *et)
{
	for (size_t i = 0; i < list->count; i++) {
		struct errtext why = { "" };
		enum err e = open_item(l, list->items[i], kind, protocols,
		    smtpd_count, &why);

		if (e != OK)
			return err_set(et, e, "%s: %s", name, why.text);
	}
	return OK;
}

/* Is somebody there? */
static bool
answers(const struct sockaddr_un *sun, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes = false;

	if (fd < 0)
		return false;
	yes = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ||
	      errno == EAGAIN;
	close(fd);
	return yes;
}

enum err
listen_unix(int dir_fd, const char *path, int type, int *fd_out,
    struct errtext *et)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;
	int fd, n, saved;

	/* By the descriptor: a long path fits, and leads nowhere else. */
	if (dir_fd >= 0)
		n = snprintf(sun.sun_path, sizeof(sun.sun_path),
		    "/proc/self/fd/%d/%s", dir_fd, path);
	else
		n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path))
		return err_set(et, ERR_CONFIG, "unix:%s: longer than %zu", path,
		    sizeof(sun.sun_path) - 1);

	if (lstat(sun.sun_path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return err_set(et, ERR_CONFIG,
			    "unix:%s: exists and is not a socket", path);
		if (dir_fd < 0 && answers(&sun, type))
			return err_set(et, ERR_CONFIG,
			    "unix:%s: another program serves it", path);
		(void)unlink(sun.sun_path);
	}
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(et, errno, "socket");
	if (bind(fd, (const struct sockaddr *)&sun, sizeof(sun)) != 0 ||
	    chmod(sun.sun_path, 0666) != 0 || listen(fd, BACKLOG) != 0) {
		saved = errno;
		close(fd);
		return err_set(et, ERR_CONFIG, "cannot listen on unix:%s: %s",
		    path, strerror(saved));
	}
	*fd_out = fd;
	return OK;
}

/* The sockets of the commands. */
static enum err
open_run(struct listeners *l, int run_fd, struct errtext *et)
{
	enum err e;
	int fd;

	e = listen_unix(run_fd, "control", SOCK_SEQPACKET, &fd, et);
	if (e == OK)
		e = add(l, LISTEN_CONTROL, ROLE_QUEUE, LISTEN_ALL, fd,
		    "unix:run/control", false);
	if (e == OK)
		e = listen_unix(run_fd, "submit", SOCK_STREAM, &fd, et);
	if (e == OK)
		e = add(l, LISTEN_LOCAL, ROLE_SMTPD, LISTEN_ALL, fd,
		    "unix:run/submit", false);
	if (e == OK)
		e = listen_unix(run_fd, "session", SOCK_SEQPACKET, &fd, et);
	if (e == OK)
		e = add(l, LISTEN_SESSION, ROLE_SMTPD, LISTEN_ALL, fd,
		    "unix:run/session", false);
	return e;
}

enum err
listen_open(struct listeners *l, struct acct *a, const struct conf *c,
    unsigned smtpd_count, int run_fd, struct errtext *et)
{
	unsigned protocols = conf_inet_protocols(c);
	enum err e;

	*l = (struct listeners){ .acct = a };
	e = open_list(l, "smtp_listen", &c->smtp_listen, LISTEN_SMTP, protocols,
	    smtpd_count, et);
	if (e == OK)
		e = open_list(l, "lmtp_listen", &c->lmtp_listen, LISTEN_LMTP,
		    protocols, smtpd_count, et);
	if (e == OK)
		e = open_run(l, run_fd, et);
	if (e != OK)
		listen_close(l);
	return e;
}

void
listen_close(struct listeners *l)
{
	for (unsigned i = 0; i < l->count; i++) {
		close(l->items[i].fd);
		if (l->items[i].unlink)
			(void)unlink(l->items[i].address + strlen("unix:"));
	}
	mem_free(l->acct, l->items);
	l->items = NULL;
	l->count = l->count_max = 0;
}
