#include "tcpserver/listen.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

#include "base/slice.h"
#include "base/tool.h"

static uint16_t
find_port(const char *text)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_family = AF_INET,
		.ai_flags = AI_PASSIVE };
	struct addrinfo *found;
	struct sockaddr_in sa;
	uint64_t port;

	if (slice_to_u64(slice_str(text), 65535, &port))
		return (uint16_t)port;
	/* A number that is none of a port would be cut to one. */
	if (slice_to_u64(slice_str(text), UINT64_MAX, &port) ||
	    getaddrinfo(NULL, text, &hints, &found) != 0)
		tool_die(TOOL_TEMP, 0,
		    "unable to figure out port number for %s", text);
	memcpy(&sa, found->ai_addr, sizeof(sa));
	freeaddrinfo(found);
	return ntohs(sa.sin_port);
}

/* The first address of a name: of IPv4, if it has one. */
static void
find_host(const char *name, struct sockaddr_storage *to, socklen_t *len)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_family = AF_INET };
	struct addrinfo *found = NULL;
	int r;

	if (name[0] == '\0' || strcmp(name, "0") == 0)
		name = "0.0.0.0";
	r = getaddrinfo(name, NULL, &hints, &found);
	if (r != 0) {
		hints.ai_family = AF_INET6;
		r = getaddrinfo(name, NULL, &hints, &found);
	}
	if (r == EAI_AGAIN || r == EAI_MEMORY || r == EAI_SYSTEM)
		tool_die(TOOL_TEMP, 0,
		    "temporarily unable to figure out IP address for %s: %s",
		    name, gai_strerror(r));
	if (r != 0)
		tool_die(TOOL_TEMP, 0, "no IP address for %s", name);
	memset(to, 0, sizeof(*to));
	memcpy(to, found->ai_addr, found->ai_addrlen);
	*len = found->ai_addrlen;
	freeaddrinfo(found);
}

static void
set_port(struct sockaddr_storage *sa, uint16_t port)
{
	in_port_t value = htons(port);

	/* The same place in both. */
	_Static_assert(offsetof(struct sockaddr_in, sin_port) ==
			   offsetof(struct sockaddr_in6, sin6_port),
	    "ports");
	memcpy((char *)sa + offsetof(struct sockaddr_in, sin_port), &value,
	    sizeof(value));
}

int
listen_open(const struct options *o, struct address *local_out)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd, on = 1, off = 0;

	find_host(o->host, &sa, &len);
	set_port(&sa, find_port(o->port));
	fd =
	    socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		tool_die(TOOL_TEMP, errno, "unable to create socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (sa.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off,
		    sizeof(off));
	if (bind(fd, (struct sockaddr *)&sa, len) != 0)
		tool_die(TOOL_TEMP, errno, "unable to bind");
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
		tool_die(TOOL_TEMP, errno, "unable to get local address");
	address_from(local_out, &sa);
	if (listen(fd, (int)o->backlog) != 0)
		tool_die(TOOL_TEMP, errno, "unable to listen");
	return fd;
}
