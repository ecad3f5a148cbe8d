/*
 * script: multilog's actions, and a line on its way through them.
 */
#pragma once

#include "base/mem.h"
#include "multilog/logdir.h"

enum {
	SCRIPT_PATTERN_BYTES = 1000, /* of a line that patterns see */
	SCRIPT_STATUS_BYTES = 1001,
	SCRIPT_ALERT_BYTES = 200,
};

enum action_kind {
	ACTION_DESELECT,
	ACTION_SELECT,
	ACTION_ALERT,
	ACTION_STATUS,
	ACTION_DIR,
};

struct action {
	enum action_kind kind;
	const char *word; /* the pattern, or the file */
	int fd;		  /* status */
	struct logdir *dir;
	bool on; /* the line that is being read goes there */
};

struct script {
	struct acct *acct;
	struct action *actions;
	size_t count;
	bool stamp;   /* t */
	bool in_line; /* some of a line was read */
	bool decided; /* ... and where it goes */
	size_t head_len;
	char head[SCRIPT_PATTERN_BYTES];
};

/* Read the words, open the directories and files.  On failure says so and ends
 * the process (status 111). */
void script_open(struct script *s, struct acct *acct, int argc, char **argv);
/* Bytes of input, in pieces of any size. */
void script_feed(struct script *s, struct slice text);
/* What was fed is given to the files. */
void script_flush(struct script *s);
void script_rotate(struct script *s);
/* End a last line that has no end; close everything. */
void script_close(struct script *s);
