/*
 * conf/load: what the files of conf/ share while a configuration is made.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"
#include "conf/conf.h"
#include "conf/param.h"

/* Where a value comes from; a later kind beats an earlier one. */
enum conf_origin {
	CONF_ORIGIN_DEFAULT,
	CONF_ORIGIN_QMAIL,	/* qmail's default, with control_directory */
	CONF_ORIGIN_CONTROL,	/* a control file */
	CONF_ORIGIN_FILE_ALIAS, /* weir.conf, by the name of a control file */
	CONF_ORIGIN_FILE,
	CONF_ORIGIN_OPTION_ALIAS, /* -o, likewise */
	CONF_ORIGIN_OPTION,
};

struct conf_value {
	struct slice raw;      /* as written, $names and all; terminated */
	struct slice expanded; /* terminated */
	enum conf_origin origin;
	const char *file; /* NULL: of a default */
	unsigned line;
	bool changed; /* means something else than the built-in default */
};

/* What is defined of a transport: see pipe.c. */
enum conf_pipe_value {
	CONF_PIPE_DEFINITION,
	CONF_PIPE_TIME_LIMIT,
	CONF_PIPE_CONCURRENCY,
	CONF_PIPE_RECIPIENTS,
	CONF_PIPE_INITIAL,
	CONF_PIPE_VALUES
};

struct conf_pipe_entry {
	struct slice name; /* terminated */
	/* Named as weir.conf names them: "transport NAME",
	 * "NAME_time_limit"... */
	struct conf_param params[CONF_PIPE_VALUES];
	struct conf_value values[CONF_PIPE_VALUES];
};

/* A configuration with what the public part does not show. */
struct conf_all {
	struct conf conf;
	struct acct *parent; /* charged for this struct */
	struct acct acct;    /* for the rest */
	struct arena arena;
	struct conf_value values[CONF_ID_COUNT];
	struct conf_pipe_entry *entries[CONF_PIPE_COUNT_MAX];
	unsigned entry_count;
};

struct loader {
	struct conf_all *all;
	struct conf_report *report;
	unsigned errors_before; /* those in report that are not ours */
	bool look_at_files; /* tables must exist; control directory is read */
	bool out_of_memory;
};

static inline const struct conf_all *
conf_all_of(const struct conf *c)
{
	_Static_assert(offsetof(struct conf_all, conf) == 0, "it is first");
	return (const struct conf_all *)(const void *)c;
}

static inline bool
conf_loader_failed(const struct loader *l)
{
	return l->report->error_count > l->errors_before;
}

/* ---- report.c ---- */

struct conf_place {
	const char *file;
	unsigned line;
};

/* Add one message; name and value are cut and escaped. */
void conf_report_add(struct conf_report *r, bool is_error, struct conf_place at,
    struct slice name, struct slice value, const char *fmt, ...) PRINTF(6, 7);

/* ---- file.c ---- */

/* Read fd from its beginning: at most CONF_FILE_BYTES_MAX, without NUL.
 * Not terminated; freed with mem_free(a, (char *)out.data). */
MUST_CHECK enum err conf_file_read_fd(struct acct *a, int fd, struct slice *out,
    struct errtext *et);
MUST_CHECK enum err conf_file_read(struct acct *a, const char *path,
    struct slice *out, struct errtext *et);

/* Take the next line from *text, without its end.  False at the end. */
bool conf_file_line(struct slice *text, struct slice *line_out);

/* What is said of qmqpservers, wherever it stands. */
#define CONF_NO_QMQP "QMQP is not served here"

/* ---- define.c ---- */

/* Definitions of a text in the syntax of weir.conf. */
void conf_define_text(struct loader *l, struct slice text, const char *file);
/* "name=value", the n-th -o (from 1). */
void conf_define_option(struct loader *l, struct slice option, unsigned n);
/* Keep a value if its origin beats what is there. */
void conf_define(struct loader *l, enum conf_id id, struct slice raw,
    enum conf_origin origin, struct conf_place at);

/* The same for any value; name is for messages. */
void conf_define_value(struct loader *l, struct slice name,
    struct conf_value *v, struct slice raw, enum conf_origin origin,
    struct conf_place at);
/* Report a name that means nothing. */
void conf_define_unknown(struct loader *l, struct slice name, struct slice raw,
    struct conf_place at);

/* ---- pipe.c ---- */

/* "transport NAME = raw". */
void conf_pipe_define(struct loader *l, struct slice name, struct slice raw,
    enum conf_origin origin, struct conf_place at);
/* "NAME_time_limit = raw" and its kin; false: the name is none of these.
 * Whether there is such a transport is seen at the end. */
bool conf_pipe_define_limit(struct loader *l, struct slice name,
    struct slice raw, enum conf_origin origin, struct conf_place at);
/* Fill conf.pipes; what is wrong is reported. */
void conf_pipes_finish(struct loader *l);
/* A value of a transport by its name; false: none. */
bool conf_pipe_value_find(const struct conf_all *all, struct slice name,
    const struct conf_param **p_out, const struct conf_value **v_out);

/* ---- pipe_read.c ---- */

/* Read the definition of a transport into *out, of which the name and the
 * limits are not touched.  et says what is wrong, or is empty. */
void conf_pipe_read(struct loader *l, struct slice text, struct conf_pipe *out,
    struct errtext *et);

/* ---- control.c ---- */

/* Read the control directory (an absolute path). */
void conf_control_read(struct loader *l, const char *directory);

/* ---- expand.c ---- */

/* Append raw to out with $names replaced.  ERR_CONFIG, with et. */
MUST_CHECK enum err conf_expand(const struct conf_all *all, struct slice raw,
    struct buf *out, struct errtext *et);
/* Append text to out so that conf_expand gives it back. */
MUST_CHECK enum err conf_expand_quote(struct slice text, struct buf *out);

/* ---- finish.c ---- */

/* Expanded text of raw in the arena, terminated.  Errors of conf_expand. */
MUST_CHECK enum err conf_value_expand(struct loader *l, struct slice raw,
    struct slice *out, struct errtext *et);
/* Expand, parse and check a value; what is wrong is reported. */
void conf_value_finish(struct loader *l, enum conf_id id);
/* Does the value mean something else than the built-in default? */
bool conf_value_differs(struct loader *l, enum conf_id id);

/* ---- value.c ---- */

/* A number with its suffix; ERR_SYNTAX, or ERR_TOOBIG past int64_t, with
 * et.  Only TIME (ms), SIZE (bytes) and INT. */
MUST_CHECK enum err conf_number_parse(const struct conf_param *p,
    struct slice text, int64_t *out, struct errtext *et);
/* The same, within least and most.  ERR_CONFIG. */
MUST_CHECK enum err conf_number_check(const struct conf_param *p,
    struct slice text, int64_t *out, struct errtext *et);
/* Place of a word among p->values; ERR_CONFIG. */
MUST_CHECK enum err conf_word_check(const struct conf_param *p,
    struct slice text, int *out, struct errtext *et);
MUST_CHECK enum err conf_bool_check(struct slice text, bool *out,
    struct errtext *et);
/* A STR, or one item of a LIST; look: tables must exist.  ERR_CONFIG. */
MUST_CHECK enum err conf_item_check(const struct conf_param *p,
    struct slice text, bool look, struct errtext *et);

/* ---- list.c ---- */

/* Take the next item of a list: separated by commas and white space, with
 * { } kept together.  False at the end; ERR_CONFIG in *e_out for braces that
 * do not match. */
bool conf_list_next(struct slice *rest, struct slice *item_out,
    enum err *e_out);

/* ---- cross.c ---- */

/* What can only be seen in several values together. */
void conf_cross_check(struct loader *l);

/* ---- cross_listen.c ---- */

/* Places to listen that cannot be bound together. */
void conf_cross_listen(struct loader *l);
