/*
 * request: what weir-local and its workers say to each other.
 *
 * One SOCK_SEQPACKET pair and one pipe for each worker.  weir-local sends
 * requests, one in a packet, and after (never before) each request its body
 * through the pipe, in the same order, exactly body_bytes of it.  The worker
 * answers with packets that hold one or more results, in any order; before
 * that it may say of a request that it is written and waits only for the
 * disk.  When weir-local closes its ends the worker exits, and kills the
 * command that it runs.
 *
 * What is asked:
 *
 * REQUEST_DELIVER: write the body into the mailbox base/path.
 *
 * REQUEST_SCAN: the body is the beginning of the message; sent, or failed
 * 5.4.6 when it carries our Delivered-To for address.
 *
 * REQUEST_PLAN: (a scan, then) find the user's dot file, in base, his home,
 * and answer with its actions in order (RESULT_ACTION, any number of packets,
 * enum action_kind), then with one result: sent: the plan is complete; failed
 * or deferred: it must not be carried out, whatever actions came.
 *
 * REQUEST_PLAN with REQUEST_OR_DELIVER: the fields of DELIVER come, too, and
 * the body is the whole message.  When no dot file serves the recipient the
 * message is delivered into that mailbox at once: no action is answered, and
 * the result is the delivery's.
 *
 * REQUEST_CHECK: no body; would PLAN find a place for this extension?  Sent:
 * yes; failed 5.1.1: no; deferred: that cannot be known now.
 *
 * REQUEST_COMMAND: run the command in base, the home, with the message on its
 * descriptor 0.  With the packet come REQUEST_COPY_FDS descriptors (by
 * SCM_RIGHTS) of one unlinked, empty file: the worker fills it through the
 * first; the command gets the second, which must be open for reading only.
 * One at a time: the worker does nothing else meanwhile.  It kills the command
 * at time_limit_ms; its result comes at most COMMAND_GRACE_MS later.  Only a
 * worker executed for commands can start them:
 *
 *	weir-deliver UID GID SPOOL_GID HOSTNAME commands CONF
 *
 * REQUEST_PIPE: likewise, the command of a pipe transport: argv is executed as
 * it is, with its macros replaced, for all recipients at once; what is put in
 * front of the message and changed in it is in pipe_flags.
 *
 * CONF, the path of weir.conf, is $WEIR_CONF for them; "" leaves it out.  Such
 * a worker never gets SPOOL_GID, whose members may touch everybody's mail.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/wire.h"
#include "local/lock.h"
#include "local/outcome.h"
#include "local/path.h"
#include "proto/envelope.h"

enum {
	/* Descriptors of a worker. */
	WORKER_CHANNEL_FD = 0,
	WORKER_BODY_FD = 1,
	/* Deliveries that a worker syncs together. */
	WORKER_GROUP_MAX = 32,
	/* Requests that a worker may have at once: while one group is synced
	 * the next one is written. */
	WORKER_REQUESTS_MAX = 2 * WORKER_GROUP_MAX,
	REQUEST_BYTES_MAX = 16384,
	RESULTS_BYTES_MAX = WORKER_GROUP_MAX * (OUTCOME_TEXT_BYTES + 32),
	REQUEST_COPY_FDS = 2,
	/* Between TERM and KILL, and from KILL to the result. */
	COMMAND_GRACE_MS = 10 * 1000,

	USER_NAME_BYTES_MAX = 255,
	EXTENSION_BYTES_MAX = 512,
	DASH_BYTES_MAX = 64,
	DOT_FILES_BYTES_MAX = 128,
	FORWARD_PATH_BYTES_MAX = 1024,
	COMMAND_BYTES_MAX = 4096,
	ACTION_TEXT_BYTES_MAX = 4096,
	REQUEST_ARGV_MAX = 64,
	REQUEST_ARGV_BYTES_MAX = 4096,
	/* Of all recipients of one command; one always fits. */
	REQUEST_RECIPIENTS_BYTES_MAX = 6000,
	DELIMITERS_BYTES_MAX = 8,
	NEXTHOP_BYTES_MAX = 300,
};

enum request_verb {
	REQUEST_DELIVER,
	REQUEST_SCAN,
	REQUEST_PLAN,
	REQUEST_CHECK,
	REQUEST_COMMAND,
	REQUEST_PIPE,
	REQUEST_VERBS
};

enum mailbox_kind { MAILBOX_MAILDIR, MAILBOX_MBOX, MAILBOX_KINDS };

enum request_flag {
	REQUEST_CREATE = 1, /* make directories that are missing below base */
	/* base is the home of the worker's user: it must be his and not
	 * writable for all, and he may have symbolic links in it. */
	REQUEST_HOME = 2,
	/* mailbox_full_action = bounce: a full mailbox is failed 5.2.2, not
	 * deferred 4.2.2. */
	REQUEST_FULL_BOUNCES = 4,
	/* PLAN, CHECK: an extension without a dot file of its own does not
	 * exist (the alias user), rather than meaning the user himself. */
	REQUEST_EXTENSION_STRICT = 8,
	/* PLAN: what .forward, and :include: files that it names, may do
	 * (allow_mail_to_commands, allow_mail_to_files). */
	REQUEST_ALLOW_COMMANDS = 16,
	REQUEST_ALLOW_FILES = 32,
	REQUEST_ALLOW_INCLUDE_COMMANDS = 64,
	REQUEST_ALLOW_INCLUDE_FILES = 128,
	/* COMMAND of a .qmail file: qmail's exit codes and a message without
	 * fields in front; else sysexits, and From_ line, Return-Path,
	 * X-Original-To and Delivered-To. */
	REQUEST_QMAIL = 256,
	/* COMMAND: always by /bin/sh -c; else words are executed as they are
	 * where no character in them needs a shell. */
	REQUEST_SHELL = 512,
	/* COMMAND: command_timeout_action = bounce. */
	REQUEST_TIMEOUT_BOUNCES = 1024,
	/* COMMAND: default_extension is set, be it empty ($DEFAULT). */
	REQUEST_HAS_DEFAULT = 2048,
	/* PLAN: see above; base is also that of the mailbox. */
	REQUEST_OR_DELIVER = 4096,
};

struct request {
	uint32_t tag;	       /* comes back in the result */
	uint8_t verb;	       /* enum request_verb */
	uint8_t kind;	       /* DELIVER: enum mailbox_kind */
	uint32_t flags;	       /* enum request_flag */
	uint64_t body_bytes;   /* that follow through the pipe */
	struct slice base;     /* absolute path of a directory; not of SCAN */
	struct slice sender;   /* empty: null sender */
	struct slice address;  /* the recipient */
	struct slice original; /* before aliasing; empty: the same */

	/* Of DELIVER. */
	uint64_t size_limit_bytes; /* of an mbox; 0: none */
	struct lock_policy locks;  /* of an mbox */
	struct slice path;	   /* of the mailbox below base */

	/* Of PLAN, CHECK and COMMAND. */
	struct slice user;	/* login name */
	struct slice shell;	/* login shell; empty: /bin/sh */
	struct slice extension; /* behind the delimiter, as in address */
	/* What stands between .qmail and the extension in names of files: "-";
	 * empty without extension, or as users/assign says. */
	struct slice dash;
	struct slice delimiter; /* before the extension; at most one byte */

	/* Of PLAN and CHECK. */
	struct slice dot_files;	   /* names, blanks between; empty: none */
	struct slice forward_path; /* where .forward is; Postfix's syntax */
	uint32_t actions_max;	   /* more are refused (deferred) */

	/* Of COMMAND. */
	struct slice command;
	struct slice new_sender;	/* that forwards would get */
	struct slice default_extension; /* what "default" stands for */

	/* Of PIPE, besides user and shell.  Lists are strings that each end in
	 * a NUL: a recipient is its address and, perhaps empty, the original
	 * one. */
	struct slice transport; /* its name, for people */
	uint32_t pipe_flags;	/* enum pipe_flag */
	uint64_t message_id;
	struct slice argv, recipients;
	struct slice null_sender, nexthop;
	struct slice client_address, client_name, client_helo, client_protocol;
	char delimiters[DELIMITERS_BYTES_MAX + 1]; /* recipient_delimiter */

	/* Of COMMAND and PIPE. */
	uint32_t time_limit_ms;	     /* command_time_limit, 1 and more */
	uint64_t memory_limit_bytes; /* of each process; 0: none */
	uint32_t process_max;	     /* of the user, while it forks; 0: any */
};

/* Does it start a process? */
static inline bool
request_is_command(const struct request *q)
{
	return q->verb == REQUEST_COMMAND || q->verb == REQUEST_PIPE;
}

/* In place of an enum job_status in a result. */
enum {
	RESULT_WRITTEN = JOB_STATUS_COUNT, /* no result yet, but written */
	RESULT_STOP,   /* sent, and the plan ends here: exit code 99 */
	RESULT_ACTION, /* no result yet, but one action of a plan */
	RESULT_STATUS_COUNT
};

/* One step of a plan; of the first three kinds at most one each, before all
 * others. */
enum action_kind {
	ACTION_QMAIL,	/* text: the .qmail file that was found */
	ACTION_FORWARD, /* text: the .forward file that was found */
	/* text: what "default" in the file's name stands for ($DEFAULT). */
	ACTION_SET_DEFAULT,
	/* text: the sender of all that is forwarded (of a list with an owner;
	 * for VERP it ends in -@[]) and $NEWSENDER; none: it is kept. */
	ACTION_SET_SENDER,
	/* The user's default delivery: home_mailbox, mailbox_command...; the
	 * only action, with neither of the first two kinds, when no dot file
	 * serves the recipient. */
	ACTION_DEFAULT,
	ACTION_MBOX,	/* text: absolute path, or relative to the home */
	ACTION_MAILDIR, /* likewise, without its slash at the end */
	ACTION_COMMAND, /* text: for the shell */
	ACTION_ADDRESS, /* text: forward to it, as it is written */
	ACTION_USER,	/* text: a user's mailbox, no alias, no dot file */
	ACTION_KINDS
};

struct result {
	uint32_t tag;
	uint8_t status;	  /* enum job_status, or one of RESULT_* */
	uint8_t limit;	  /* enum outcome_limit */
	uint8_t action;	  /* RESULT_ACTION: enum action_kind */
	uint32_t line;	  /* RESULT_ACTION: in its file; 0: none */
	struct slice dsn; /* empty for RESULT_WRITTEN, RESULT_ACTION */
	struct slice text;
};

/* w->full when it does not fit.  Fields that the verb does not have are not
 * sent. */
void request_put(struct wr *w, const struct request *q);
/* False when malformed or out of bounds; slices are borrowed; fields that the
 * verb does not have are zero. */
bool request_get(struct rd *r, struct request *q);
/* The string at the front of a list (REQUEST_PIPE), taken off.  False: the list
 * is at its end. */
bool request_next(struct slice *list, struct slice *out);
void result_put(struct wr *w, uint32_t tag, const struct outcome *o);
/* Sent, and RESULT_STOP; o must be sent. */
void result_put_stop(struct wr *w, uint32_t tag, const struct outcome *o);
/* Not the result, but that only the disk is waited for. */
void result_put_written(struct wr *w, uint32_t tag);
/* One action of a plan; text of at most ACTION_TEXT_BYTES_MAX bytes. */
void result_put_action(struct wr *w, uint32_t tag, enum action_kind kind,
    uint32_t line, struct slice text);
bool result_get(struct rd *r, struct result *result);
