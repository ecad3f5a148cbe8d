/*
 * service: the dns role as one object: channels in, requests, answers out.
 */
#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "dns/request.h"
#include "dns/resolver.h"
#include "ev/loop.h"
#include "ipc/chan.h"

struct conf;

enum {
	SERVICE_PEERS_MAX = 128, /* processes of smtpd and smtp */
	SERVICE_QUEUE_BYTES = 128 * 1024,
};

struct service;

/* A process that asks. */
struct service_peer {
	struct service *service;
	struct chan *chan; /* NULL: the place is free */
	enum role role;
	unsigned index;
};

struct service_events {
	void (*on_bad_peer)(void *arg, enum role peer, unsigned index,
	    const char *why);
};

struct service {
	struct ev_loop *loop;
	struct acct *acct;
	struct resolver resolver;
	struct requests requests;
	struct service_peer peers[SERVICE_PEERS_MAX];
	char *hosts; /* room to encode an answer */
	const struct service_events *events;
	void *arg;
};

/* Reads files of the system: before the sandbox closes. */
MUST_CHECK enum err service_init(struct service *s, struct ev_loop *loop,
    struct acct *a, const struct conf *conf,
    const struct service_events *events, void *arg, struct errtext *et);
void service_fini(struct service *s);
/* A channel to smtpd or smtp; replaces an older one; owns fd if OK. */
MUST_CHECK enum err service_add(struct service *s, enum role peer,
    unsigned index, int fd);
