#include "tcpserver/address.h"

#include <arpa/inet.h>
#include <string.h>

static void
from_v4(struct address *a, struct in_addr ip, in_port_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_port = port,
		.sin_addr = ip };

	memcpy(&a->raw, &sa, sizeof(sa));
	a->raw_len = sizeof(sa);
	a->port = ntohs(port);
	(void)inet_ntop(AF_INET, &ip, a->ip, sizeof(a->ip));
}

void
address_from(struct address *a, const struct sockaddr_storage *from)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	memset(a, 0, sizeof(*a));
	if (from->ss_family == AF_INET) {
		memcpy(&v4, from, sizeof(v4));
		from_v4(a, v4.sin_addr, v4.sin_port);
		return;
	}
	memcpy(&v6, from, sizeof(v6));
	if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
		memcpy(&v4.sin_addr, v6.sin6_addr.s6_addr + 12, 4);
		from_v4(a, v4.sin_addr, v6.sin6_port);
		return;
	}
	a->raw = *from;
	a->raw_len = sizeof(v6);
	a->port = ntohs(v6.sin6_port);
	(void)inet_ntop(AF_INET6, &v6.sin6_addr, a->ip, sizeof(a->ip));
}
