#include "tcpserver/children.h"

#include <string.h>

#include "base/assert.h"

struct peer {
	struct hash_node node;
	char ip[INET6_ADDRSTRLEN];
	uint32_t count;
};

struct child {
	struct hash_node node;
	pid_t pid;
	struct peer *peer;
};

enum { BUCKETS_MAX = 16384 };

enum err
children_init(struct children *c, struct acct *acct, uint32_t limit)
{
	uint32_t buckets = limit < 16		 ? 16
			   : limit < BUCKETS_MAX ? limit
						 : BUCKETS_MAX;
	/* One more than run: the one that is being started. */
	enum err e;

	c->count = 0;
	c->limit = limit;
	c->next = NULL;
	pool_init(&c->children, acct, "children", "-c", sizeof(struct child),
	    limit + 1);
	pool_init(&c->peers, acct, "addresses", "-c", sizeof(struct peer),
	    limit + 1);
	e = hash_init(&c->by_pid, acct, buckets);
	return e == OK ? hash_init(&c->by_ip, acct, buckets) : e;
}

static struct peer *
find_peer(const struct children *c, const struct address *a, uint64_t hash)
{
	struct hash_node *n = hash_first(&c->by_ip, hash);

	for (; n != NULL; n = hash_next(n)) {
		struct peer *p = CONTAINER(n, struct peer, node);

		if (strcmp(p->ip, a->ip) == 0)
			return p;
	}
	return NULL;
}

uint32_t
children_of(const struct children *c, const struct address *a)
{
	struct peer *p = find_peer(c, a, hash_bytes(a->ip, strlen(a->ip)));

	return p == NULL ? 0 : p->count;
}

static void
put_peer(struct children *c, struct peer *p)
{
	if (--p->count > 0)
		return;
	hash_remove(&c->by_ip, &p->node);
	pool_put(&c->peers, p);
}

enum err
children_reserve(struct children *c, const struct address *a)
{
	uint64_t hash = hash_bytes(a->ip, strlen(a->ip));
	struct peer *p = find_peer(c, a, hash);

	ASSERT(c->next == NULL && c->count < c->limit);
	if (p == NULL) {
		p = pool_get(&c->peers);
		if (p == NULL)
			return ERR_FULL;
		memcpy(p->ip, a->ip, sizeof(p->ip));
		hash_add(&c->by_ip, &p->node, hash);
	}
	p->count++;
	c->next = pool_get(&c->children);
	if (c->next == NULL) {
		put_peer(c, p);
		return ERR_FULL;
	}
	c->next->peer = p;
	c->count++;
	return OK;
}

void
children_add(struct children *c, pid_t pid)
{
	ASSERT(c->next != NULL);
	c->next->pid = pid;
	hash_add(&c->by_pid, &c->next->node, hash_u64((uint64_t)pid));
	c->next = NULL;
}

static void
put_child(struct children *c, struct child *child)
{
	put_peer(c, child->peer);
	pool_put(&c->children, child);
	c->count--;
}

void
children_cancel(struct children *c)
{
	struct child *child = c->next;

	ASSERT(child != NULL);
	c->next = NULL;
	put_child(c, child);
}

bool
children_remove(struct children *c, pid_t pid)
{
	struct hash_node *n = hash_first(&c->by_pid, hash_u64((uint64_t)pid));

	for (; n != NULL; n = hash_next(n)) {
		struct child *child = CONTAINER(n, struct child, node);

		if (child->pid != pid)
			continue;
		hash_remove(&c->by_pid, n);
		put_child(c, child);
		return true;
	}
	return false;
}
