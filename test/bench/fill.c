/*
 * fill: put deferred messages straight into a spool.
 *
 *   fill DIR COUNT [BYTES]
 *
 * COUNT messages with a body of BYTES (1024), one recipient each, tried once
 * and due in half an hour to an hour, as a server that is not running would
 * have left them (not in a day: what is farther ahead than any attempt is set
 * comes from a wrong clock, and the queue tries it at once).  Through the
 * store's own interface, so that what is measured afterwards is what a real
 * queue of that length is, without the hour that making it by SMTP takes.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/time.h"
#include "proto/envelope.h"
#include "store/disk.h"
#include "store/store.h"

enum { BODY_BYTES_MAX = STORE_PIECE_BYTES_MAX, DUE_S = 1800, SPREAD_S = 1800 };

static struct store *store;
static char body[BODY_BYTES_MAX];

static void
check(const char *what, enum err e, const char *detail)
{
	if (e == OK)
		return;
	fprintf(stderr, "fill: %s: %s %s\n", what, err_name(e), detail);
	exit(75);
}

/* Let the store work until what got ERR_AGAIN can be tried again. */
static bool
again(enum err e)
{
	int64_t wait;
	struct pollfd p = { .fd = store_fd(store), .events = POLLIN };

	if (e != ERR_AGAIN)
		return false;
	wait = store_turn(store, 0);
	if (!store_poll(store))
		(void)poll(&p, 1, wait < 20 ? (int)wait : 20);
	return true;
}

static void
add(unsigned long n, size_t bytes, int64_t now_ms)
{
	char env[512], rcpt[256], to[64];
	struct envelope e = { .sender = SLICE_LIT("bench@client.example"),
		.client_address = SLICE_LIT("127.0.0.1"),
		.client_name = SLICE_LIT("localhost"),
		.helo = SLICE_LIT("client.example"),
		.protocol = SLICE_LIT("ESMTP"),
		.arrival_ms = (uint64_t)now_ms,
		.body_bytes = bytes };
	struct envelope_rcpt r = { .notify = 0 };
	struct wr ew = wr_of(env, sizeof(env)), rw = wr_of(rcpt, sizeof(rcpt));
	int64_t due =
	    now_ms + (DUE_S + (int64_t)(n % SPREAD_S)) * INT64_C(1000);
	struct store_commit c = { .rcpt_count = 1,
		.due_ms = due,
		.dest = store_dest_key(SLICE_LIT("far.example")) };
	struct store_result result = { .status = STORE_WAITING,
		.attempts = 1,
		.dsn = SLICE_LIT("4.2.0"),
		.relay = SLICE_LIT("far.example[192.0.2.1]:25"),
		.text = SLICE_LIT("450 4.2.0 try again later") };
	struct store_update u = { .results = &result,
		.result_count = 1,
		.due_ms = due,
		.flags = STORE_TRIED,
		.dest = c.dest };
	struct store_msg m;
	struct store_ticket t;
	enum err err;
	int len = snprintf(to, sizeof(to), "user%lu@far.example", n);

	r.address = slice_of(to, (size_t)len);
	envelope_put(&ew, &e);
	envelope_rcpt_put(&rw, &r);
	c.envelope = wr_done(&ew);
	c.rcpts = wr_done(&rw);
	do
		err = store_msg_open(store, &m);
	while (again(err));
	check("open", err, "");
	do
		err = store_body_append(store, &m, slice_of(body, bytes));
	while (again(err));
	check("body", err, "");
	do
		err = store_commit(store, &m, &c, &t);
	while (again(err));
	check("commit", err, "");
	do
		err = store_result_append(store, &m, &u, &t);
	while (again(err));
	check("result", err, "");
	store_msg_close(store, &m);
}

int
main(int argc, char **argv)
{
	struct disk_posix disk;
	struct store_conf conf;
	struct acct budget;
	struct errtext et = { "" };
	unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	size_t bytes = argc > 3 ? strtoul(argv[3], NULL, 10) : 1024;
	int64_t now_ms = clock_system.wall(&clock_system).ms;

	if (argc < 3 || argc > 4 || count == 0 || bytes == 0 ||
	    bytes > sizeof(body)) {
		fprintf(stderr, "usage: fill DIR COUNT [BYTES]\n");
		return 64;
	}
	check(argv[1], disk_posix_open(&disk, argv[1], &et), et.text);
	acct_init(&budget, NULL, "fill", 0, false, "");
	store_conf_default(&conf);
	conf.disk = &disk.disk;
	conf.index_dir = argv[1];
	conf.acct = &budget;
	check("spool", store_open(&conf, &store, &et), et.text);
	for (size_t i = 0; i < bytes; i++)
		body[i] = i % 80 == 79 ? '\n' : i % 80 == 78 ? '\r' : 'x';
	for (unsigned long i = 0; i < count; i++)
		add(i, bytes, now_ms);
	check("close", store_close(store), "");
	return 0;
}
