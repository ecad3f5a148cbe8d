/*
 * options: what the words of a tcpserver command ask for.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum verbosity { QUIET, ERRORS, VERBOSE };

enum {
	OPTIONS_LIMIT_DEFAULT = 40,
	OPTIONS_BACKLOG_DEFAULT = 20,
	OPTIONS_TIMEOUT_DEFAULT_S = 26,
	OPTIONS_TIMEOUT_MAX_S = 3600,
	/* No Linux has more processes than this. */
	OPTIONS_LIMIT_MAX = 4194304,
};

struct options {
	enum verbosity verbosity;
	uint32_t limit;		  /* -c: connections at once */
	uint32_t client_limit;	  /* -C: of one address; 0: no limit */
	uint32_t backlog;	  /* -b */
	uint32_t timeout_s;	  /* -t */
	bool keep_ip_options;	  /* -o */
	bool no_delay;		  /* -D */
	bool print_port;	  /* -1 */
	bool remote_name;	  /* -h */
	bool paranoid;		  /* -p */
	bool remote_info;	  /* -r */
	bool allow_without_rules; /* -X */
	const char *rules;	  /* -x; NULL: none */
	const char *banner;	  /* -B; "" */
	const char *local_name;	  /* -l; NULL: to be looked up */
	bool set_gid, set_uid;	  /* -g, -u, -U */
	gid_t gid;
	uid_t uid;
	const char *host;
	const char *port;
	char **program; /* and its arguments */
};

/* Says on standard error what is wrong and ends the process (status 100). */
void options_parse(struct options *o, int argc, char **argv);
