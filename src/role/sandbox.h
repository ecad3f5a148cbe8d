/*
 * sandbox: what each role may do, stated in one table (sandbox.c).
 *
 * Four walls, from the outside in: the identity (role/identity.h), the root
 * directory, Landlock (files) and seccomp (system calls).  Started by root, all
 * hold; started by a user there is no root directory to change, the others
 * hold.  What the kernel does not offer is left out, and the master says so
 * once in the log.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "ipc/chan.h"

struct conf;
struct identity;

enum sandbox_root {
	SANDBOX_ROOT_KEEP,  /* needs files of the system */
	SANDBOX_ROOT_EMPTY, /* needs no files */
	SANDBOX_ROOT_SPOOL, /* only below queue_directory */
};

/* Sets of system calls, besides those that every role needs. */
enum sandbox_calls {
	SANDBOX_ACCEPT = 1,   /* take connections from a listening socket */
	SANDBOX_CONNECT = 2,  /* make sockets and connect them */
	SANDBOX_READ = 4,     /* open and look at files */
	SANDBOX_WRITE = 8,    /* make, change and remove files */
	SANDBOX_THREADS = 16, /* start threads */
	SANDBOX_SPLICE = 32,  /* sendfile, splice */
	SANDBOX_LOAD = 64,    /* map code (libraries loaded late) */
	SANDBOX_ANY = 128,    /* no filter: starts other programs */
};

enum { SANDBOX_PATHS_MAX = 4 };

/* Below path (a leading "%q" stands for queue_directory). */
struct sandbox_path {
	const char *path; /* NULL: end of the list */
	bool write;
};

struct sandbox_rights {
	const char *user; /* of the package; NULL: stays root */
	enum sandbox_root root;
	unsigned calls; /* enum sandbox_calls */
	struct sandbox_path paths[SANDBOX_PATHS_MAX];
};

/* The row of a role. */
const struct sandbox_rights *sandbox_rights(enum role role);

/* Make queue_directory the working directory of a role that does not keep the
 * system's root, so that it can be reached without the right to walk there. */
MUST_CHECK enum err sandbox_go_home(const struct conf *conf, enum role role,
    struct errtext *et);

/*
 * sandbox_enter(conf, role, id, et): (after sandbox_go_home)
 * Take all rights away that the role does not need, id included.  For good.
 * An error leaves the process in between: it must exit.
 */
MUST_CHECK enum err sandbox_enter(const struct conf *conf, enum role role,
    const struct identity *id, struct errtext *et);

/* Built with a sanitizer: only the identity is dropped, since its reports
 * (symbols, leaks) need files and calls that no role may have. */
bool sandbox_sanitized(void);

/* What this kernel and this build offer: "seccomp, Landlock 6"; or what is
 * missing. */
void sandbox_describe(char *buf, size_t size);

/* ---- parts, each in its own file ---- */

/*
 * landlock_prepare(conf, rights, fd_out, et):
 * A ruleset with the role's paths, opened with the present rights; fd_out -1
 * when the kernel has no Landlock.  landlock_enforce closes it.
 */
MUST_CHECK enum err landlock_prepare(const struct conf *conf,
    const struct sandbox_rights *rights, int *fd_out, struct errtext *et);
MUST_CHECK enum err landlock_enforce(int fd, struct errtext *et);
/* Version of the kernel's interface; 0: there is none. */
int landlock_version(void);

/* Install the filter of system calls for the whole process. */
MUST_CHECK enum err seccomp_enforce(const struct sandbox_rights *rights,
    struct errtext *et);
bool seccomp_available(void);
