/*
 * conf/param: the parameter table at run time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "conf/conf.h"

/* Defaults that only the running system knows. */
#define CONF_DEFAULT_HOSTNAME "<system name>"
#define CONF_DEFAULT_DOMAIN   "<myhostname without its first label>"

enum conf_type {
	CONF_TYPE_TIME,
	CONF_TYPE_SIZE,
	CONF_TYPE_INT,
	CONF_TYPE_BOOL,
	CONF_TYPE_STR,
	CONF_TYPE_ENUM,
	CONF_TYPE_LIST,
};

/* What a STR, or each item of a LIST, must be. */
enum conf_check {
	CONF_CHECK_NONE,
	CONF_CHECK_TEXT,	 /* one line of printable characters */
	CONF_CHECK_TEMPLATE,	 /* likewise, or empty; its $names are replaced
				    for each delivery, not by us */
	CONF_CHECK_WORD,	 /* letters, digits, - _ . and / */
	CONF_CHECK_WORDS,	 /* one of the words in values */
	CONF_CHECK_LOG_DEST,	 /* log_dest.h */
	CONF_CHECK_HOST,	 /* host or domain name, or [address] */
	CONF_CHECK_HOST_OR_NONE, /* likewise, or empty */
	CONF_CHECK_LOCALPART,	 /* dot-atom */
	CONF_CHECK_DELIMITER, /* punctuation that may stand in a local part */
	CONF_CHECK_PATH,      /* absolute */
	CONF_CHECK_PATH_OR_NONE,   /* absolute, or empty */
	CONF_CHECK_MAILBOX,	   /* relative path without .., or empty */
	CONF_CHECK_IP4,		   /* or empty */
	CONF_CHECK_IP6,		   /* or empty */
	CONF_CHECK_NETWORKS,	   /* net_range */
	CONF_CHECK_DOMAINS,	   /* name, .suffix or table */
	CONF_CHECK_TABLES,	   /* type:path ... */
	CONF_CHECK_TABLES_TO_MAKE, /* need not exist */
	CONF_CHECK_LISTEN,	   /* net_listen */
	CONF_CHECK_RESOLVERS,	   /* net_addr_port */
	CONF_CHECK_NEXTHOP,	   /* net_nexthop, or empty */
	CONF_CHECK_WAY,		   /* transport and next hop, or empty */
	CONF_CHECK_ROUTES,	   /* net_route */
	CONF_CHECK_PREPENDS,	   /* net_prepend */
	CONF_CHECK_SENDERS,	   /* user@domain or @domain */
	CONF_CHECK_TRANSPORTS,	   /* name of a transport */
	CONF_CHECK_USERS,	   /* user name */
};

enum conf_when { CONF_WHEN_RELOAD, CONF_WHEN_RESTART };

enum conf_group {
	CONF_GROUP_IDENTITY,
	CONF_GROUP_LISTENING,
	CONF_GROUP_PLACES,
	CONF_GROUP_DELIVERY,
	CONF_GROUP_MEMORY,
	CONF_GROUP_CONCURRENCY,
	CONF_GROUP_TRANSPORTS,
	CONF_GROUP_SIZES,
	CONF_GROUP_DISK,
	CONF_GROUP_COUNTS,
	CONF_GROUP_BOUNCES,
	CONF_GROUP_LOCKS,
	CONF_GROUP_RECOVERY,
	CONF_GROUP_QUEUE_TIMES,
	CONF_GROUP_SESSION_TIMES,
	CONF_GROUP_STRICTNESS,
	CONF_GROUP_COUNT
};

enum conf_id {
#define TIME(name, ...) CONF_ID_##name,
#define SIZE(name, ...) CONF_ID_##name,
#define INT(name, ...)	CONF_ID_##name,
#define BOOL(name, ...) CONF_ID_##name,
#define STR(name, ...)	CONF_ID_##name,
#define ENUM(name, ...) CONF_ID_##name,
#define LIST(name, ...) CONF_ID_##name,
#include "conf/params.def"
	CONF_ID_COUNT
};

struct conf_param {
	const char *name;
	enum conf_type type;
	const char *def;       /* default, unexpanded */
	const char *least;     /* TIME, SIZE, INT; else NULL */
	const char *most;      /* likewise */
	const char *unit;      /* TIME, INT; else "" */
	const char *zero;      /* what 0 means; "" */
	enum conf_check check; /* STR, LIST */
	const char *values;    /* words; "" */
	enum conf_when when;
	enum conf_group group;
	const char *roles;
	const char *text;
	size_t offset; /* of the member in struct conf */
};

/* In the order of params.def; index is enum conf_id. */
extern const struct conf_param conf_params[CONF_ID_COUNT];

/* For people: the heading in the manual page, the kind of value in a message.
 * Static text. */
const char *conf_group_title(enum conf_group g);
const char *conf_type_name(enum conf_type t);

/* Parameter of that name; NULL: there is none. */
const struct conf_param *conf_param_find(struct slice name);

/*
 * conf_param_nearest(name):
 * The known name, of a parameter or of a control file, with the least edit
 * distance (a transposition counts one); NULL when none is near enough for
 * the word to be a slip (a third of its length, at most 6).
 */
const char *conf_param_nearest(struct slice name);

/*
 * The same among other names: *distance begins as conf_near_limit(name), 0
 * when no name can be near; each known name that is nearer than *distance
 * becomes *best.
 */
size_t conf_near_limit(struct slice name);
void conf_near_consider(struct slice name, const char *known, const char **best,
    size_t *distance);

/*
 * Parameters of Postfix that are none of ours: those that say where Postfix
 * itself lies or have no meaning without it; of others, what is here in their
 * place, in a few words, or NULL.
 */
bool conf_foreign_installation(struct slice name);
const char *conf_foreign_remark(struct slice name);

/* qmail's control files that Weir honours, from control.def. */
enum conf_control_kind {
	CONF_CONTROL_LINE,     /* first line */
	CONF_CONTROL_NUMBER,   /* first line, a number in qmail's unit */
	CONF_CONTROL_LIST,     /* a line each, # comments */
	CONF_CONTROL_MADE,     /* FILE.cdb, made of it by a command */
	CONF_CONTROL_GREETING, /* first line, " ESMTP" is appended */
};

struct conf_control {
	const char *file;
	enum conf_id id;
	const char *def; /* qmail's default; NULL: keep ours */
	enum conf_control_kind kind;
	const char *unit; /* of NUMBER: appended to the number; "" */
};

extern const struct conf_control conf_controls[];
extern const size_t conf_control_count;
