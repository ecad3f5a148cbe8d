/*
 * hash: intrusive hash table with a fixed number of buckets, keyed by a
 * 64-bit hash that the caller computes with hash_bytes (seeded per process,
 * so that strangers cannot choose collisions).  One thread per table; the
 * hash functions themselves may be called by any once random_init was.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct acct;

struct hash_node {
	struct hash_node *next;
	uint64_t hash;
};

struct hash {
	struct hash_node **buckets;
	uint32_t bucket_count; /* a power of two */
	uint32_t count;
	struct acct *acct;
};

/* buckets are rounded up to a power of two and charged to a. */
MUST_CHECK enum err hash_init(struct hash *h, struct acct *a,
    uint32_t bucket_count);
void hash_fini(struct hash *h);
void hash_add(struct hash *h, struct hash_node *n, uint64_t hash);
void hash_remove(struct hash *h, struct hash_node *n);
/* First node with this hash; the caller compares keys and goes on with
 * hash_next.  NULL: none. */
struct hash_node *hash_first(const struct hash *h, uint64_t hash);
struct hash_node *hash_next(const struct hash_node *n);

/* SipHash-2-4 of the bytes with the process's random key. */
uint64_t hash_bytes(const void *data, size_t len);
/* The same, ASCII upper case folded. */
uint64_t hash_bytes_nocase(const void *data, size_t len);
uint64_t hash_u64(uint64_t v);
/* SipHash-2-4 under a key of the caller's. */
uint64_t hash_keyed(const uint64_t key[2], const void *data, size_t len);
/* Make the key now (one system call) and not at the first hash: before a
 * sandbox closes, or before threads that hash are started. */
void random_init(void);
/* Random bits of the process (jitter, ids); seedable by the simulator. */
uint64_t random_u64(void);
void random_seed(uint64_t seed);
