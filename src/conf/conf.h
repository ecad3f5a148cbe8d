/*
 * conf: the configuration of a server, typed.
 *
 * conf/params.def declares every parameter once; struct conf has a member
 * for each, made from that table:
 *   TIME name  -> int64_t name_ms      SIZE name -> int64_t name_bytes
 *   INT name   -> int64_t name         BOOL name -> bool name
 *   STR name   -> const char *name     ENUM name -> int name
 *   LIST name  -> struct conf_list name
 *
 * A loaded configuration never changes.  A reload loads a new one and frees
 * the old one when nobody uses it any more.  Strings and lists belong to it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct acct;
struct buf;

enum {
	CONF_FILE_BYTES_MAX = 1 << 20, /* a configuration or control file */
	CONF_LINE_BYTES_MAX = 65536,   /* one definition, continued lines too */
	CONF_VALUE_BYTES_MAX = 65536,  /* one value, expanded */
	CONF_ITEM_COUNT_MAX = 8192,    /* items of one list */
	CONF_EXPAND_DEPTH_MAX = 16,    /* $name within $name */
	CONF_BYTES_MAX = 4 << 20,      /* one loaded configuration */
	CONF_OVERRIDE_COUNT_MAX = 256, /* -o */
	CONF_MESSAGE_COUNT_MAX = 64,   /* kept by a report */
	CONF_MESSAGE_BYTES = 512,
	CONF_LISTEN_COUNT_MAX = 64,	 /* places of one list */
	CONF_PIPE_COUNT_MAX = 16,	 /* transports that are defined */
	CONF_PIPE_NAME_BYTES = 33,	 /* of one, with its end */
	CONF_PIPE_TEXT_BYTES_MAX = 4096, /* its definition */
	CONF_PIPE_WORDS_MAX = 64,	 /* its arguments */
};

#define CONF_PATH_DEFAULT	     "/etc/weir/weir.conf"
#define CONF_DEFAULT_QUEUE_DIRECTORY "/var/spool/weir"

/* Items of a list parameter, expanded, without empty ones. */
struct conf_list {
	const struct slice *items;
	size_t count;
};

/*
 * A transport that hands mail to a command: "transport NAME = pipe ...".
 * Strings and arguments belong to the configuration.
 */
struct conf_pipe {
	const char *name;
	const char *user, *group; /* group empty: the user's own */
	const char *directory;	  /* empty: queue_directory */
	const char *null_sender;  /* what stands for it in arguments */
	unsigned flags;		  /* enum pipe_flag, alias/pipe_args.h */
	const struct slice *argv; /* with ${macros}; terminated, too */
	size_t argv_count;	  /* 1 and more; argv[0] is a path */
	int64_t time_limit_ms;
	int64_t concurrency_limit, recipient_limit, initial_concurrency;
};

struct conf {
	const struct conf_pipe *pipes;
	size_t pipe_count;
#define TIME(name, ...) int64_t name##_ms;
#define SIZE(name, ...) int64_t name##_bytes;
#define INT(name, ...)	int64_t name;
#define BOOL(name, ...) bool name;
#define STR(name, ...)	const char *name; /* never NULL */
#define ENUM(name, ...) int name;
#define LIST(name, ...) struct conf_list name;
#include "conf/params.def"
};

/* Values of ENUM parameters, in the order of their words in params.def.
 * log_format is enum log_format of base/log.h. */
enum conf_bounce_format { CONF_BOUNCE_RFC3464, CONF_BOUNCE_QMAIL };
enum conf_retry_schedule { CONF_RETRY_EXPONENTIAL, CONF_RETRY_QUADRATIC };
enum conf_full_action { CONF_FULL_DEFER, CONF_FULL_BOUNCE };
enum conf_timeout_action { CONF_TIMEOUT_DEFER, CONF_TIMEOUT_BOUNCE };
enum conf_bare_newline { CONF_BARE_REJECT, CONF_BARE_NORMALIZE };

/*
 * What loading found: errors and warnings, in the order in which they were
 * met.  Each is one line, "FILE:LINE: name: value "x": what is wrong; what
 * would be right", printable ASCII, without newline.  FILE is "-o" for an
 * override, whose LINE is its number.
 */
struct conf_message {
	bool is_error;
	char text[CONF_MESSAGE_BYTES];
};

struct conf_report {
	unsigned error_count;	/* all, also those not kept */
	unsigned warning_count; /* likewise */
	unsigned count;		/* kept in messages */
	struct conf_message messages[CONF_MESSAGE_COUNT_MAX];
};

/* A report is about 33 KiB: not for the stack of a role. */
struct conf_report *conf_report_new(struct acct *a); /* NULL: no memory */
void conf_report_free(struct acct *a, struct conf_report *r);

/* Where a configuration comes from. */
struct conf_input {
	/* weir.conf.  NULL: CONF_PATH_DEFAULT, and if that does not exist
	 * the built-in defaults hold. */
	const char *path;
	const char *const *overrides; /* "name=value" each, as given to -o */
	size_t override_count;
};

/*
 * conf_load(a, in, report, out):
 * Read weir.conf, the control directory that it names and the overrides;
 * check everything, also that the files named by tables exist.  Blocks on
 * files.
 *
 * a       charged until conf_free.
 * report  every error and warning is added to it.
 * out     set only on OK; the caller frees it with conf_free.
 *
 * ERR_CONFIG if anything is wrong (the report says what), ERR_NOMEM.
 */
MUST_CHECK enum err conf_load(struct acct *a, const struct conf_input *in,
    struct conf_report *report, const struct conf **out);

/*
 * conf_load_fd(a, fd, out, et):
 * Read the text that conf_render wrote (a role, from descriptor 4), from its
 * beginning.  fd stays the caller's.  Files named in it are not touched.
 */
MUST_CHECK enum err conf_load_fd(struct acct *a, int fd,
    const struct conf **out, struct errtext *et);

/*
 * conf_load_text(a, text, name, report, out):
 * As conf_load from a text in memory, without overrides or a look at files;
 * name stands for FILE in messages.  For tests and `weir try`.
 */
MUST_CHECK enum err conf_load_text(struct acct *a, struct slice text,
    const char *name, struct conf_report *report, const struct conf **out);

void conf_free(const struct conf *c); /* NULL is allowed */

enum conf_render_flag {
	CONF_RENDER_CHANGED = 1,  /* only what differs from the default */
	CONF_RENDER_SOURCE = 2,	  /* with where the value comes from */
	CONF_RENDER_JSON = 4,	  /* one array of objects */
	CONF_RENDER_EXPANDED = 8, /* $names replaced (JSON has both) */
	CONF_RENDER_BARE = 16,	  /* values without their names */
};

/*
 * conf_render(c, names, name_count, flags, out):
 * Write "name = value" lines, in the order of params.def, of the parameters
 * named, or of all when name_count is 0.  Without CONF_RENDER_SOURCE, _BARE and
 * CONF_RENDER_JSON the text is a weir.conf that loads to the same values.
 *
 * ERR_NOTFOUND for an unknown name, which et then says with the nearest
 * known one; ERR_FULL and ERR_TOOBIG of out.
 */
MUST_CHECK enum err conf_render(const struct conf *c, const char *const *names,
    size_t name_count, unsigned flags, struct buf *out, struct errtext *et);

/*
 * conf_restart_needed(old, new, n):
 * Name of the n-th parameter (from 0) that differs and that a reload cannot
 * make effective; NULL when there are no more.
 */
const char *conf_restart_needed(const struct conf *old, const struct conf *new,
    unsigned n);

/*
 * conf_source(c, name, buf):
 * Where the value of a parameter, or of "transport NAME", stands:
 * "FILE:LINE", or "default".  In a configuration of conf_load_fd the file is
 * "configuration".
 */
enum { CONF_SOURCE_BYTES = 256 };
void conf_source(const struct conf *c, const char *name,
    char buf[CONF_SOURCE_BYTES]);

enum conf_transport_which {
	CONF_TRANSPORT_CONCURRENCY,
	CONF_TRANSPORT_RECIPIENTS,
	CONF_TRANSPORT_INITIAL,
};

/*
 * conf_transport_limit(c, transport, which):
 * NAME_destination_concurrency_limit, NAME_destination_recipient_limit or
 * NAME_initial_destination_concurrency of a transport; of one that has none,
 * the default.
 */
int64_t conf_transport_limit(const struct conf *c, struct slice transport,
    enum conf_transport_which which);

/* Is there a transport of that name: built in, or defined as a pipe? */
bool conf_transport_known(const struct conf *c, struct slice transport);
bool conf_transport_built_in(struct slice transport);
/* Likewise: ERR_CONFIG, and et says what would be right. */
MUST_CHECK enum err conf_transport_check(const struct conf *c,
    struct slice transport, struct errtext *et);
/*
 * conf_transport_entry(c, value, transport_out, nexthop_out, et):
 * Take apart the value of an entry of transport_maps, as net_transport_split
 * does; ERR_CONFIG, with et, also for a transport that is not known and for
 * a next hop that it could not use.
 */
MUST_CHECK enum err conf_transport_entry(const struct conf *c,
    struct slice value, struct slice *transport_out, struct slice *nexthop_out,
    struct errtext *et);
/* The pipe of that name; NULL: none. */
const struct conf_pipe *conf_pipe_find(const struct conf *c, struct slice name);
/* Does it speak to another server, so that its next hop is one? */
bool conf_transport_remote(struct slice transport);

/*
 * conf_way_split(s, transport_out, nexthop_out):
 * "TRANSPORT" or "TRANSPORT:NEXTHOP", as mailbox_transport and its kin write
 * it; nexthop may be empty.  Borrowed from s.
 */
void conf_way_split(struct slice s, struct slice *transport_out,
    struct slice *nexthop_out);

/* inet_protocols as a set. */
enum { CONF_INET4 = 1, CONF_INET6 = 2 };
unsigned conf_inet_protocols(const struct conf *c);

/*
 * conf_inline_next(rest, key_out, value_out, e_out):
 * Take the next entry of what stands within the braces of an inline table:
 * "key = value", ended by a comma, or "{ key = value }".  False at the end;
 * ERR_CONFIG in *e_out, with true, for one that has no key or no value.
 */
bool conf_inline_next(struct slice *rest, struct slice *key_out,
    struct slice *value_out, enum err *e_out);

/*
 * conf_list_has(list, word), conf_list_has_domain(list, domain):
 * Is word an item (ASCII case ignored); is domain an item, or below one that
 * is written ".suffix".  Items that are tables never match here: the lookup
 * role asks them.
 */
bool conf_list_has(const struct conf_list *list, struct slice word);
bool conf_list_has_domain(const struct conf_list *list, struct slice domain);
