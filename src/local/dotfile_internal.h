/*
 * dotfile_internal: between dotfile.c, which finds the file, and those who
 * read it.
 */
#pragma once

#include <sys/types.h>

#include "local/dotfile.h"

enum dot_kind { DOT_NONE, DOT_QMAIL, DOT_FORWARD };

enum { DOT_NAME_BYTES = PATH_BYTES_MAX + 1 };

/* The file that serves the recipient. */
struct dot_file {
	enum dot_kind kind;
	int fd; /* -1: of DOT_NONE */
	bool executable;
	char name[DOT_NAME_BYTES]; /* as it was looked for */
	bool has_default;
	struct slice default_extension; /* borrowed from the request */
};

/* A plan on its way out. */
struct planner {
	const struct request *q;
	const struct action_sink *to;
	uint32_t count; /* of actions that do something */
};

/* ---- dotfile.c ---- */

/*
 * dot_open(dir_fd, path, fd_out, executable_out, o):
 * dir_fd is the home, and path stays within it; or AT_FDCWD and path is
 * absolute, and its last piece no link.  False with o set when that fails or
 * the file must not be read; *fd_out is -1 when there is none, which is no
 * failure.
 */
bool dot_open(int dir_fd, const char *path, int *fd_out, bool *executable_out,
    struct outcome *o);
/* Like read, until the file was longer than DOT_FILE_BYTES_MAX: *left_bytes
 * begins as that.  -1 with o set. */
ssize_t dot_read(int fd, const char *name, char *buf, size_t size,
    uint64_t *left_bytes, struct outcome *o);
/* Deferred or failed with qmail's text, which ends in "(#x.y.z)". */
bool dot_refuse(struct outcome *o, enum job_status status, const char *text);

/* ---- dotfile_plan.c ---- */

/* One action that does something; false with o set when there are too
 * many. */
bool planner_put(struct planner *p, enum action_kind kind, uint32_t line,
    struct slice text, struct outcome *o);
/* An mbox or Maildir, its path as the user wrote it. */
bool planner_put_file(struct planner *p, enum action_kind kind, uint32_t line,
    struct slice text, struct outcome *o);

/* ---- dotfile_qmail.c, dotfile_forward.c ---- */

/* The first .qmail file that is there for the extension, or for none. */
bool dot_find_qmail(int home_fd, const struct request *q, bool with_extension,
    struct dot_file *out, struct outcome *o);
/* Its actions. */
bool dot_plan_qmail(struct planner *p, int home_fd, const struct dot_file *f,
    struct outcome *o);
/* The first path of forward_path that is there; only those that ask for the
 * extension, or only the others. */
bool dot_find_forward(int home_fd, const struct request *q, bool with_extension,
    struct dot_file *out, struct outcome *o);
bool dot_plan_forward(struct planner *p, const struct dot_file *f,
    struct outcome *o);
