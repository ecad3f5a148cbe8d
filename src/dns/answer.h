/*
 * answer: what a DNS message says about one name and type (RFC 1035 4.1).
 *
 * The message comes from libunbound, which has checked and cleaned it; it is
 * read as if it came from anybody.  Aliases (CNAME) are followed inside the
 * message.  At most so many records are kept; of MX the best.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum dns_type {
	DNS_TYPE_A = 1,
	DNS_TYPE_CNAME = 5,
	DNS_TYPE_PTR = 12,
	DNS_TYPE_MX = 15,
	DNS_TYPE_AAAA = 28,
};

enum {
	DNS_NAME_BYTES = 256,  /* text, with its terminator */
	DNS_MX_MAX = 20,       /* names of mail exchangers */
	DNS_ADDRESSES_MAX = 5, /* of one name and family */
	DNS_RECORDS_MAX = 20,  /* the larger of these */
	DNS_ALIASES_MAX = 16,  /* of a chain of CNAME */
	DNS_SCAN_MAX = 2000,   /* records looked at in one message */
};

struct dns_record {
	uint16_t preference;	   /* of MX */
	char name[DNS_NAME_BYTES]; /* of MX and PTR; "" is the root */
	uint8_t octets[16];	   /* of A (4) and AAAA */
};

struct dns_answer {
	uint8_t rcode;
	unsigned count;
	bool more; /* there were records that are not kept */
	struct dns_record records[DNS_RECORDS_MAX]; /* MX: by preference */
};

/*
 * dns_answer_parse(packet, name, type, out):
 * The records of that type for name, or for what it is an alias of.  Names in
 * records that are not host names are left out.  False: damaged.
 */
bool dns_answer_parse(struct slice packet, const char *name, enum dns_type type,
    struct dns_answer *out);

/* "4.3.2.1.in-addr.arpa" or the ip6.arpa name; octets 4 or 16. */
void dns_reverse_name(const uint8_t *octets, unsigned count,
    char buf[static DNS_NAME_BYTES]);
