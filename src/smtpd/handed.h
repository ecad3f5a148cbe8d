/*
 * handed: connections that qmail-smtpd hands over (run/session).
 *
 * Each holds a place in a pool, a second descriptor beside its session's, and
 * what the environment said of the client.
 */
#pragma once

#include "proto/handover.h"
#include "smtpd/session.h"

enum {
	HANDED_WAIT_MS = 10000, /* for the packet */
	HANDED_FDS_MAX = 4,	/* taken from a packet; one is right */
};

struct handed {
	struct ev_io io;
	struct ev_timer timer; /* until the packet has come; and at the end */
	struct list_node node; /* server.handed_over */
	struct server *server;
	struct session *session; /* NULL: before the packet */
	struct smtps_conf smtps; /* the server's, with its own limits */
	uint64_t size_max;	 /* DATABYTES */
	char *text;		 /* RELAYCLIENT, and TCPREMOTEINFO behind it */
	struct slice relay, info;
	uint32_t uid; /* of qmail-smtpd */
	int fd;
	int client_fd; /* of the session that is over */
	bool over;
	bool has_size;
	bool relays;
};

/* fd: a connection to run/session; owned. */
void handed_accept(struct server *sv, int fd);
/* The session on fd is over, or was not let in: say so; fd is closed and h
 * freed soon. */
void handed_over(struct handed *h, int fd, uint8_t status);
/* The limits of its session: the server's, but for DATABYTES.  _all: of those
 * that run, after a reload. */
void handed_configure(struct handed *h);
void handed_configure_all(struct server *sv);
/* Close those that have not begun; all: those that are over, too. */
void handed_close(struct server *sv, bool all);
