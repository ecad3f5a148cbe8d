/*
 * bench_store: what the store does on this disk.
 *
 *   bench_store DIR [MESSAGES]
 *
 * In an empty directory DIR: messages of 4 KiB committed one at a time and
 * with 50 under way, each ended after its commit; then MESSAGES (100000) kept,
 * and how long opening takes with the index, without it, and after a kill.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "proto/envelope.h"
#include "store/disk.h"
#include "store/store_int.h"

enum { BODY_BYTES = 4096, UNDER_WAY_MAX = 50 };

static struct acct budget;
static struct disk_posix disk;
static struct store_conf conf;
static struct store *store;

static void
die(const char *what, enum err e)
{
	fprintf(stderr, "bench_store: %s: %s\n", what, err_name(e));
	exit(1);
}

static void
open_store(const char *how)
{
	struct errtext et = { "" };
	int64_t from = clock_ns();
	enum err e = store_open(&conf, &store, &et);

	if (e != OK)
		die(et.text, e);
	printf("open %-28s %8.1f ms  %llu messages\n", how,
	    (double)(clock_ns() - from) / 1e6,
	    (unsigned long long)store_message_count(store));
}

static void
turn(unsigned ending)
{
	int64_t wait = store_turn(store, ending);
	struct pollfd p = { .fd = store_fd(store), .events = POLLIN };

	if (!store_poll(store))
		(void)poll(&p, 1, wait < 100 ? (int)wait : 100);
}

static struct store_ticket
add(struct store_msg *m)
{
	static char body[BODY_BYTES];
	char env[512], rcpt[256];
	struct envelope e = { .sender = SLICE_LIT("from@example.test"),
		.body_bytes = BODY_BYTES };
	struct envelope_rcpt r = { .address = SLICE_LIT("to@example.test") };
	struct wr ew = wr_of(env, sizeof(env)), rw = wr_of(rcpt, sizeof(rcpt));
	struct store_commit c = { .rcpt_count = 1, .due_ms = INT64_MAX / 2 };
	struct store_ticket t;
	enum err e2;

	memset(body, 'x', sizeof(body));
	envelope_put(&ew, &e);
	envelope_rcpt_put(&rw, &r);
	c.envelope = wr_done(&ew);
	c.rcpts = wr_done(&rw);
	while ((e2 = store_msg_open(store, m)) == ERR_AGAIN)
		turn(0);
	if (e2 != OK)
		die("open", e2);
	while ((e2 = store_body_append(store, m,
		    slice_of(body, sizeof(body)))) == ERR_AGAIN)
		turn(0);
	if (e2 != OK)
		die("body", e2);
	while ((e2 = store_commit(store, m, &c, &t)) == ERR_AGAIN)
		turn(0);
	if (e2 != OK)
		die("commit", e2);
	return t;
}

static void
end(struct store_msg *m)
{
	struct store_update u = { .over = true };
	enum err e;

	while ((e = store_result_append(store, m, &u, NULL)) == ERR_AGAIN)
		turn(0);
	if (e != OK)
		die("result", e);
	store_msg_close(store, m);
}

static void
commits(unsigned under_way, unsigned total)
{
	static struct store_msg m[UNDER_WAY_MAX];
	struct store_ticket t[UNDER_WAY_MAX];
	unsigned done = 0;
	uint64_t syncs = store->log.sync_count;
	int64_t from = clock_ns();

	for (unsigned i = 0; i < under_way; i++)
		t[i] = add(&m[i]);
	while (done < total) {
		turn(under_way > 1);
		for (unsigned i = 0; i < under_way; i++)
			if (store_durable(store, t[i])) {
				end(&m[i]);
				done++;
				t[i] = add(&m[i]);
			}
	}
	for (unsigned i = 0; i < under_way; i++)
		end(&m[i]);
	printf("%2u under way %8.0f messages/s  %.3f syncs per message\n",
	    under_way, done / ((double)(clock_ns() - from) / 1e9),
	    (double)(store->log.sync_count - syncs) / done);
}

static void
keep(unsigned total)
{
	struct store_ticket t = { 0 };
	struct store_msg m;

	for (unsigned i = 0; i < total; i++) {
		t = add(&m);
		store_msg_close(store, &m);
	}
	while (!store_durable(store, t)) {
		store_hurry(store);
		turn(0);
	}
}

int
main(int argc, char **argv)
{
	unsigned total =
	    argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100000;
	struct errtext et = { "" };
	enum err e;

	if (argc < 2) {
		fprintf(stderr, "usage: bench_store DIR [MESSAGES]\n");
		return 64;
	}
	e = disk_posix_open(&disk, argv[1], &et);
	if (e != OK)
		die(et.text, e);
	acct_init(&budget, NULL, "bench", 0, false, "");
	store_conf_default(&conf);
	conf.disk = &disk.disk;
	conf.index_dir = argv[1];
	conf.acct = &budget;
	printf("memory planned %.1f MiB\n",
	    (double)store_cost(&conf) / 1048576);
	open_store("empty");
	commits(1, 2000);
	commits(UNDER_WAY_MAX, 50000);
	keep(total);
	printf("memory charged %.1f MiB\n",
	    (double)budget.used_bytes / 1048576);
	e = store_close(store);
	if (e != OK)
		die("close", e);
	open_store("after a clean end");
	store_abandon(store);
	open_store("after a kill");
	store_abandon(store);
	if (chdir(argv[1]) == 0 && unlink("index") == 0)
		(void)unlink("index-wal");
	if (chdir("/") != 0)
		return 1;
	open_store("without an index");
	return store_close(store) == OK ? 0 : 1;
}
