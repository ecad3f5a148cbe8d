/*
 * address: what a socket address is to tcpserver: an IP address as text, and
 * a port.  An IPv4 client of an IPv6 socket is an IPv4 client.
 */
#pragma once

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
	struct sockaddr_storage raw; /* unmapped: AF_INET or AF_INET6 */
	socklen_t raw_len;
	char ip[INET6_ADDRSTRLEN];
	uint16_t port;
};

/* Of what accept, getsockname and their like gave. */
void address_from(struct address *a, const struct sockaddr_storage *from);
