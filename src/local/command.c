/*
 * command: a message, and the command that gets it.
 */
#include "local/command.h"

#include <errno.h>
#include <unistd.h>

#include "alias/pipe_args.h"
#include "local/base_dir.h"
#include "local/header.h"
#include "local/sink.h"

static struct sink sink;
static struct loop_scan scan;

/* Of a pipe, what its flags want. */
static void
put_pipe_fields(const struct request *q)
{
	char line[FROM_LINE_BYTES_MAX], fields[HEADER_ADDED_BYTES_MAX];
	unsigned which = 0;

	if (q->pipe_flags & PIPE_FROM_LINE)
		sink_raw(&sink,
		    slice_of(line, header_from_line(q->sender, line)));
	if (q->pipe_flags & PIPE_RETURN_PATH)
		which |= HEADER_RETURN_PATH;
	if (q->pipe_flags & PIPE_ORIGINAL_TO)
		which |= HEADER_ORIGINAL_TO;
	if (q->pipe_flags & PIPE_DELIVERED_TO)
		which |= HEADER_DELIVERED_TO;
	sink_raw(&sink, slice_of(fields, header_chosen(which, q->sender,
					     q->address, q->original, fields)));
}

/* What stands in front of the message; nothing for a .qmail file. */
static void
put_fields(const struct request *q)
{
	char line[FROM_LINE_BYTES_MAX], fields[HEADER_ADDED_BYTES_MAX];

	if (q->verb == REQUEST_PIPE) {
		put_pipe_fields(q);
		return;
	}

	if (q->flags & REQUEST_QMAIL)
		return;
	sink_raw(&sink, slice_of(line, header_from_line(q->sender, line)));
	sink_raw(&sink, slice_of(fields, header_added(q->sender, q->address,
					     q->original, fields)));
}

static bool
loops(const struct request *q, struct outcome *o)
{
	return outcome_set(o, JOB_FAILED, "5.4.6",
	    "mail forwarding loop for %.*s", SLICE_ARGS(q->address));
}

/* A dot before each line that begins with one. */
static void
put_dotted(struct slice piece, bool *at_line)
{
	size_t from = 0, i;

	for (i = 0; i < piece.len; i++) {
		if (*at_line && piece.data[i] == '.') {
			sink_message(&sink, slice_sub(piece, from, i));
			sink_message(&sink, SLICE_LIT("."));
			from = i;
		}
		*at_line = piece.data[i] == '\n';
	}
	sink_message(&sink, slice_sub(piece, from, piece.len));
}

/* The message as lines into fd; the body is read to its end. */
static bool
copy(const struct request *q, struct body *y, int fd, struct outcome *o)
{
	unsigned flags =
	    q->verb == REQUEST_PIPE ? q->pipe_flags : PIPE_DELIVERED_TO;
	struct slice piece;
	bool looping = false, at_line = true;

	sink_begin(&sink, fd, flags & PIPE_FROM_QUOTE);
	loop_scan_init(&scan, q->address);
	put_fields(q);
	while ((piece = body_next(y)).len > 0) {
		looping = loop_scan_feed(&scan, piece);
		if (flags & PIPE_DOTS)
			put_dotted(piece, &at_line);
		else
			sink_message(&sink, piece);
	}
	looping = loop_scan_end(&scan) || looping;
	sink_message_end(&sink, flags & PIPE_BLANK_LINE);
	if (flags & PIPE_BLANK_LINE)
		sink_raw(&sink, SLICE_LIT("\n"));
	if (y->broken)
		return outcome_set(o, JOB_DEFERRED, "4.3.0",
		    "message broke off");
	/* Who puts no Delivered-To in front knows of none. */
	if (looping && (flags & PIPE_DELIVERED_TO))
		return loops(q, o);
	if (!sink_flush(&sink))
		return outcome_errno(o, sink.errnum,
		    "cannot write copy of message");
	return true;
}

bool
command_serve(const struct request *q, const struct command_world *w,
    struct body *y, int fds[static REQUEST_COPY_FDS], struct outcome *o,
    bool *stop_out)
{
	struct command_end end;
	int home_fd;
	bool copied = copy(q, y, fds[0], o);

	*stop_out = false;
	/* The command must not even see that there is a way to write. */
	close(fds[0]);
	fds[0] = -1;
	if (!copied)
		return !y->broken;
	if (!base_open(q, &home_fd, o))
		return true;
	if (command_run(q, w, home_fd, fds[1], &end, o))
		*stop_out = command_verdict(q, &end, o);
	close(home_fd);
	return true;
}
