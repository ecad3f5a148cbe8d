#include "lookup/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/conf.h"
#include "conf/net.h"

_Static_assert((int)SOCKETS_PATH_BYTES ==
		   (int)sizeof(((struct sockaddr_un *)NULL)->sun_path),
    "a path is as long as the system takes");

static bool
is_known(const struct sockets *s, struct slice path)
{
	for (unsigned i = 0; i < s->count; i++)
		if (slice_eq(slice_str(s->paths[i]), path))
			return true;
	return false;
}

static void
learn(struct sockets *s, struct slice nexthop)
{
	struct net_nexthop n;

	if (net_nexthop_parse(nexthop, &n, NULL) != OK || n.path.len == 0 ||
	    is_known(s, n.path) ||
	    !slice_copy(n.path, s->paths[s->next], SOCKETS_PATH_BYTES))
		return;
	s->next = (s->next + 1) % SOCKETS_KNOWN_MAX;
	if (s->count < SOCKETS_KNOWN_MAX)
		s->count++;
}

void
sockets_configure(struct sockets *s, const struct conf *c)
{
	const char *const ways[] = { c->mailbox_transport, c->virtual_transport,
		c->fallback_transport };
	struct slice transport, nexthop;

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		conf_way_split(slice_str(ways[i]), &transport, &nexthop);
		if (conf_transport_remote(transport))
			learn(s, nexthop);
	}
	learn(s, slice_str(c->relayhost));
}

void
sockets_note(struct sockets *s, const struct fr_resolved *answer)
{
	if (answer->verdict != RESOLVE_REFUSE &&
	    conf_transport_remote(answer->transport))
		learn(s, answer->nexthop);
}

static int
connect_to(const struct sockaddr_un *a, int *errnum_out)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0)
		return fd;
	*errnum_out = errno;
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

int
sockets_connect(const struct sockets *s, const struct conf *c,
    struct slice path, int *errnum_out)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	bool relative = path.len > 0 && path.data[0] != '/';
	int n;

	if (!is_known(s, path)) {
		log_warning("no next hop is unix:%.*s: not connected to",
		    SLICE_ARGS(path));
		*errnum_out = EACCES;
		return -1;
	}
	n = snprintf(a.sun_path, sizeof(a.sun_path), "%s%s%.*s",
	    relative ? c->queue_directory : "", relative ? "/" : "",
	    SLICE_ARGS(path));
	if (n < 0 || (size_t)n >= sizeof(a.sun_path)) {
		*errnum_out = ENAMETOOLONG;
		return -1;
	}
	return connect_to(&a, errnum_out);
}
