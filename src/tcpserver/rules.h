/*
 * rules: which rule of a cdb is for a client, and what it says.
 *
 * Keys are tried in this order, the first that is there decides: INFO@IP,
 * INFO@=HOST, IP, =HOST, shorter parts of the address (10.0.0. 10.0. 10. of
 * IPv4; 2001:db8::/64 down to ::/0 of IPv6), shorter ends of the name
 * (=.example.com =.com), = (any name), the empty key.
 */
#pragma once

#include <cdb.h>

#include "base/err.h"
#include "base/slice.h"

enum { RULES_KEY_BYTES_MAX = 1600 };

/* Who asks.  data NULL: not known. */
struct rules_client {
	struct slice ip;
	struct slice host; /* at most 1024 bytes of it are used */
	struct slice info; /* likewise 512 */
};

struct rules {
	struct cdb cdb; /* maps the file; it must be replaced by rename */
	bool found;
	size_t key_len;
	char key[RULES_KEY_BYTES_MAX]; /* that decided */
	struct slice data;	       /* in the map */
};

/*
 * rules_find(r, fd, client):
 * fd may be closed afterwards; the map lives until the process ends.
 * OK, found or not; ERR_CORRUPT (no cdb), ERR_SYS (errno says more).
 */
MUST_CHECK enum err rules_find(struct rules *r, int fd,
    const struct rules_client *client);

/* One instruction: '+' a variable, "NAME=VALUE" terminated, in the map; 'D'
 * deny. */
struct rules_step {
	char what;
	const char *variable;
};

/* Take the next from *data.  False at the end. */
bool rules_step(struct slice *data, struct rules_step *step_out);
