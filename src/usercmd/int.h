/*
 * usercmd/int: what the commands share.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/dotlock.h"
#include "base/slice.h"
#include "usercmd/usercmd.h"

/* ---- say.c ---- */

/* "NAME: usage: NAME TEXT"; USERCMD_PERM. */
int say_usage(const struct usercmd *u, const char *text);
/* "NAME: fatal: TEXT"; status. */
int say_fatal(const struct usercmd *u, int status, const char *fmt, ...)
    PRINTF(3, 4);
/* The same with ": " and the text of errno; USERCMD_TEMP. */
int say_errno(const struct usercmd *u, const char *fmt, ...) PRINTF(2, 3);
/* A variable of the environment; NULL after "NAME: fatal: X not set". */
const char *say_getenv(const struct usercmd *u, const char *variable);

/* ---- environ.c ---- */

/*
 * The worker replaces what a shell could take for syntax in the addresses of
 * the environment, and gives the exact one beside it where that changed it.
 */

/* A sender: $WEIR_XTEXT_variable decoded, or $variable; in static storage until
 * the next call.  NULL after a message. */
const char *environ_sender(const struct usercmd *u, const char *variable);
/* $DTLINE, of the exact recipient; likewise. */
const char *environ_dtline(const struct usercmd *u);

/* ---- child.c ---- */

/*
 * child_run(u, argv, status_out):
 * Run a program on our standard input and wait.  0 with its exit code in
 * *status_out; else our exit status, after a message (it crashed, no process
 * could be made).  A program that cannot be executed exits 100, or 111 if
 * that may pass.
 */
int child_run(const struct usercmd *u, char **argv, int *status_out);
/* The same in two steps, with its input from fd. */
int child_start(const struct usercmd *u, char **argv, int fd, pid_t *pid_out);
int child_wait(const struct usercmd *u, pid_t pid, int *status_out);

/* ---- inject.c ---- */

/*
 * inject(u, sender, dtline, to, count):
 * Send what remains of standard input, with dtline in front, to the running
 * server.  0; else an exit status after a message.  All recipients get it or
 * none.
 */
int inject(struct usercmd *u, const char *sender, const char *dtline, char **to,
    int count);

/* ---- mbox_lines.c ---- */

/* From_ lines in bodies: a > more on the way in, one less on the way out.
 * Lines may be of any length. */
enum mbox_way { MBOX_QUOTE, MBOX_UNQUOTE };
struct mbox_lines {
	enum mbox_way way;
	bool at_start;	     /* of a line, or only > stood on it */
	uint64_t held_count; /* of > at its start, not yet written */
	size_t matched;	     /* of "From " behind them */
	char last;	     /* byte written last; 0: none */
};
/* At the beginning of a message. */
void mbox_lines_init(struct mbox_lines *m, enum mbox_way way);
/* Where text goes; false: it could not be written. */
typedef bool mbox_put_fn(void *arg, struct slice text);
/* Pass text on; false if put failed.  mbox_lines_end: what was held. */
bool mbox_lines_feed(struct mbox_lines *m, struct slice text, mbox_put_fn *put,
    void *arg);
bool mbox_lines_end(struct mbox_lines *m, mbox_put_fn *put, void *arg);

/* ---- output.c ---- */

enum { OUTPUT_BYTES = 65536 };

/* A file that is written in large pieces. */
struct output {
	int fd;
	bool failed; /* errno says why */
	size_t len;
	char data[OUTPUT_BYTES];
};

/* Empty; fd is borrowed. */
void output_init(struct output *o, int fd);
/* As an mbox_put_fn; arg is the output. */
bool output_put(void *arg, struct slice text);
/* All of it to the file; false: errno. */
bool output_flush(struct output *o);
/* All of fd from its beginning; false: errno. */
bool output_copy(struct output *o, int fd);

/* The sender in a From_ line where none is known: qmail's word. */
#define MBOX_NO_SENDER \
	"X"            \
	"XX"

/* ---- mbox_lock.c ---- */

enum { MBOX_DOT_BYTES = 4096 + 8 }; /* of PATH.lock, with its end */

struct mbox_lock {
	int fd; /* the mbox, read and write; -1: not locked */
	char dot[MBOX_DOT_BYTES];
	bool dotted;
	struct dotlock own;
};

/*
 * mbox_lock_take(u, l, path, create):
 * Open an mbox and lock it by fcntl, flock and PATH.lock; waits for at most
 * 30 s.  create: an empty one if there is none.  0 with l->fd; else an exit
 * status after a message.
 */
int mbox_lock_take(const struct usercmd *u, struct mbox_lock *l,
    const char *path, bool create);
void mbox_lock_drop(struct mbox_lock *l);
/* Between these two no signal but KILL ends us. */
void signals_hold(void);
void signals_release(void);

/* Sync the directory that holds path; false: errno. */
bool sync_parent(const char *path);
