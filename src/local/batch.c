/*
 * batch: deliveries of a worker, written first, then synced together.
 *
 * Happy path, Maildir: read the first piece of the body, see that the message
 * does not loop, open the Maildir (shared with others of the batch), write
 * the file; at the commit sync the files at the same time, rename them, sync
 * each new/ once, report all results in one packet.  While that runs, further
 * requests gather in the channel and become the next batch.
 *
 * Failure modes: a fault of one delivery is its own result, its body is still
 * read to the end, since the next one's follows in the same pipe.  A failed
 * sync of new/ defers every message that was renamed into it.  A body that
 * ends early means that weir-local died: the queue will send everything
 * again, so nothing is published any more.
 */
#include "local/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "local/header.h"
#include "local/maildir.h"
#include "local/mbox.h"
#include "local/sink.h"
#include "local/syncer.h"

enum {
	DIRS_MAX = 32, /* Maildirs open in one batch */
	BODY_BUFFER_BYTES = 64 * 1024,
};

enum slot_state { SLOT_DONE, SLOT_WRITTEN, SLOT_PUBLISHED };

struct slot {
	uint32_t tag;
	enum slot_state state;
	struct outcome outcome; /* of SLOT_DONE */
	struct maildir_file file;
};

/* A Maildir of this batch, by the request that named it. */
struct dir {
	struct maildir maildir;
	char base[PATH_BYTES_MAX + 1];
	char path[PATH_BYTES_MAX + 1];
	uint8_t flags;
};

struct batch {
	const struct batch_io *io;
	unsigned slot_count;
	unsigned dir_count;
	struct slot slots[WORKER_REQUESTS_MAX];
	struct dir dirs[DIRS_MAX];
	struct sink sink;
	struct loop_scan scan;
	char body[BODY_BUFFER_BYTES];
	unsigned char results[RESULTS_BYTES_MAX];
};

static struct batch the_batch;

struct batch *
batch_init(const struct batch_io *io)
{
	the_batch.io = io;
	the_batch.slot_count = the_batch.dir_count = 0;
	return &the_batch;
}

unsigned
batch_count(const struct batch *b)
{
	return b->slot_count;
}

bool
batch_full(const struct batch *b)
{
	return b->slot_count == WORKER_REQUESTS_MAX;
}

/* ---- the body ---- */

struct body {
	struct batch *batch;
	uint64_t left_bytes; /* not yet read */
	bool broken;	     /* it ended too early */
};

/* The next piece; empty at the end. */
static struct slice
body_next(struct body *y)
{
	struct batch *b = y->batch;
	size_t want = sizeof(b->body), n;

	if (y->left_bytes == 0 || y->broken)
		return SLICE_NONE;
	if (y->left_bytes < want)
		want = (size_t)y->left_bytes;
	n = b->io->read_body(b->io->arg, b->body, want);
	ASSERT(n <= want);
	y->broken = n == 0;
	y->left_bytes -= n;
	return slice_of(b->body, n);
}

static void
body_drain(struct body *y)
{
	while (body_next(y).len > 0)
		continue;
}

/* ---- places ---- */

/* qmail's rule, for the same reasons: who may write into the home of a user
 * may read his mail. */
static bool
check_home(int fd, struct outcome *o)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return outcome_errno(o, errno, "cannot stat home directory");
	if (st.st_uid != geteuid())
		return outcome_set(o, JOB_DEFERRED, "4.2.0",
		    "home directory does not belong to the user");
	if (st.st_mode & S_IWOTH)
		return outcome_set(o, JOB_DEFERRED, "4.2.0",
		    "home directory is writable for everybody");
	return true;
}

static bool
open_base(const struct request *q, int *fd_out, struct outcome *o)
{
	char base[PATH_BYTES_MAX + 1];
	int fd;

	if (!slice_copy(q->base, base, sizeof(base)))
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "base directory of the mailbox is no path");
	fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return outcome_errno(o, errno, "cannot open directory %s",
		    base);
	if ((q->flags & REQUEST_HOME) && !check_home(fd, o)) {
		close(fd);
		return false;
	}
	*fd_out = fd;
	return true;
}

static unsigned
path_flags(const struct request *q)
{
	unsigned flags = 0;

	if (q->flags & REQUEST_CREATE)
		flags |= PATH_CREATE;
	if (q->flags & REQUEST_HOME)
		flags |= PATH_FOLLOW;
	return flags;
}

static struct dir *
find_dir(struct batch *b, const struct request *q)
{
	unsigned i;

	for (i = 0; i < b->dir_count; i++)
		if (b->dirs[i].flags == q->flags &&
		    slice_eq(slice_str(b->dirs[i].path), q->path) &&
		    slice_eq(slice_str(b->dirs[i].base), q->base))
			return &b->dirs[i];
	return NULL;
}

static struct dir *
open_dir(struct batch *b, const struct request *q, struct outcome *o)
{
	struct dir *d = find_dir(b, q);
	int base_fd;
	bool opened;

	if (d != NULL)
		return d;
	if (b->dir_count == DIRS_MAX)
		batch_commit(b);
	d = &b->dirs[b->dir_count];
	if (!slice_copy(q->base, d->base, sizeof(d->base)) ||
	    !slice_copy(q->path, d->path, sizeof(d->path))) {
		outcome_set(o, JOB_DEFERRED, "4.3.5", "mailbox is no path");
		return NULL;
	}
	d->flags = q->flags;
	if (!open_base(q, &base_fd, o))
		return NULL;
	opened = maildir_open(&d->maildir, base_fd, q->path, path_flags(q), o);
	close(base_fd);
	if (!opened)
		return NULL;
	b->dir_count++;
	return d;
}

/* ---- one message ---- */

static struct slot *
slot_new(struct batch *b, uint32_t tag)
{
	struct slot *s;

	ASSERT(b->slot_count < WORKER_REQUESTS_MAX);
	s = &b->slots[b->slot_count++];
	s->tag = tag;
	s->state = SLOT_DONE;
	return s;
}

static void
report_one(struct batch *b, uint32_t tag, const struct outcome *o)
{
	slot_new(b, tag)->outcome = *o;
}

static bool
loops(const struct request *q, struct outcome *o)
{
	return outcome_set(o, JOB_FAILED, "5.4.6",
	    "mail forwarding loop for %.*s", SLICE_ARGS(q->address));
}

/*
 * Everything of the message into the sink, beginning with piece.  False, with
 * o set, when it loops, a write failed, or the body broke off.
 */
static bool
write_message(struct batch *b, const struct request *q, struct body *y,
    struct slice piece, struct outcome *o)
{
	char added[HEADER_ADDED_BYTES_MAX];
	size_t len = header_added(q->sender, q->address, q->original, added);

	sink_raw(&b->sink, slice_of(added, len));
	sink_message(&b->sink, piece);
	while ((piece = body_next(y)).len > 0 && b->sink.errnum == 0) {
		if (loop_scan_feed(&b->scan, piece))
			return loops(q, o);
		sink_message(&b->sink, piece);
	}
	if (y->broken)
		return outcome_set(o, JOB_DEFERRED, "4.3.0",
		    "message broke off");
	if (loop_scan_end(&b->scan))
		return loops(q, o);
	if (b->sink.errnum != 0)
		return outcome_errno(o, b->sink.errnum, "cannot write mailbox");
	return true;
}

static void
to_maildir(struct batch *b, const struct request *q, struct body *y,
    struct slice piece)
{
	struct outcome o;
	struct dir *d = open_dir(b, q, &o);
	struct maildir_file file;
	struct slot *s;

	if (d == NULL || !maildir_create(&d->maildir, &file, &o)) {
		report_one(b, q->tag, &o);
		return;
	}
	sink_begin(&b->sink, file.fd, false);
	if (!write_message(b, q, y, piece, &o))
		goto discard;
	sink_message_end(&b->sink, false);
	if (!sink_flush(&b->sink)) {
		outcome_errno(&o, b->sink.errnum, "cannot write mailbox");
		goto discard;
	}
	maildir_written(&file);
	s = slot_new(b, q->tag);
	s->state = SLOT_WRITTEN;
	s->file = file;
	return;

discard:
	maildir_discard(&file);
	report_one(b, q->tag, &o);
}

static void
to_mbox(struct batch *b, const struct request *q, struct body *y,
    struct slice piece)
{
	struct mbox_request req = {
		.path = q->path,
		.path_flags = path_flags(q),
		.sender = q->sender,
		.message_bytes = q->body_bytes,
		.size_limit_bytes = q->size_limit_bytes,
		.locks = q->locks,
	};
	struct outcome o;
	struct mbox m;
	bool began;

	if (!open_base(q, &req.base_fd, &o)) {
		report_one(b, q->tag, &o);
		return;
	}
	began = mbox_begin(&m, &b->sink, &req, &o);
	close(req.base_fd);
	if (began) {
		if (!write_message(b, q, y, piece, &o))
			mbox_rollback(&m, &o);
		else if (mbox_commit(&m, &o))
			outcome_set(&o, JOB_SENT, "2.0.0",
			    "delivered to mailbox");
	}
	report_one(b, q->tag, &o);
}

bool
batch_deliver(struct batch *b, const struct request *q)
{
	struct body y = { .batch = b, .left_bytes = q->body_bytes };
	struct slice piece;
	struct outcome o;

	ASSERT(!batch_full(b));
	/* The locks of an mbox may make us wait; results must not. */
	if (q->kind == MAILBOX_MBOX)
		batch_commit(b);
	loop_scan_init(&b->scan, q->address);
	piece = body_next(&y);
	if (y.broken)
		return false;
	if (loop_scan_feed(&b->scan, piece)) {
		loops(q, &o);
		report_one(b, q->tag, &o);
	} else if (q->kind == MAILBOX_MAILDIR) {
		to_maildir(b, q, &y, piece);
	} else {
		to_mbox(b, q, &y, piece);
	}
	body_drain(&y);
	return !y.broken;
}

/* ---- together ---- */

/* All files at once, so that the file system commits once for them. */
static void
sync_files(struct batch *b)
{
	struct sync_item items[WORKER_REQUESTS_MAX];
	struct slot *s, *of[WORKER_REQUESTS_MAX];
	unsigned count = 0, i;

	for (i = 0; i < b->slot_count; i++) {
		s = &b->slots[i];
		if (s->state != SLOT_WRITTEN)
			continue;
		of[count] = s;
		items[count].fd = s->file.fd;
		count++;
	}
	syncer_run(items, count);
	for (i = 0; i < count; i++)
		if (!maildir_synced(&of[i]->file, items[i].errnum,
			&of[i]->outcome))
			of[i]->state = SLOT_DONE;
}

static void
publish_files(struct batch *b)
{
	struct slot *s;
	unsigned i;

	for (i = 0; i < b->slot_count; i++) {
		s = &b->slots[i];
		if (s->state != SLOT_WRITTEN)
			continue;
		s->state = maildir_publish(&s->file, &s->outcome)
			       ? SLOT_PUBLISHED
			       : SLOT_DONE;
	}
}

/* The results of all that were renamed into one Maildir. */
static void
settle(struct batch *b, struct maildir *m, int errnum)
{
	struct outcome o;
	struct slot *s;
	unsigned i;
	bool synced = maildir_new_synced(m, errnum, &o);

	if (synced)
		outcome_set(&o, JOB_SENT, "2.0.0", "delivered to maildir");
	for (i = 0; i < b->slot_count; i++) {
		s = &b->slots[i];
		if (s->state != SLOT_PUBLISHED || s->file.dir != m)
			continue;
		if (!synced)
			maildir_withdraw(&s->file);
		s->outcome = o;
		s->state = SLOT_DONE;
	}
}

static void
sync_dirs(struct batch *b)
{
	struct sync_item items[DIRS_MAX];
	struct maildir *of[DIRS_MAX];
	unsigned count = 0, i;

	for (i = 0; i < b->dir_count; i++) {
		if (!b->dirs[i].maildir.new_dirty)
			continue;
		of[count] = &b->dirs[i].maildir;
		items[count].fd = of[count]->new_fd;
		count++;
	}
	syncer_run(items, count);
	for (i = 0; i < count; i++)
		settle(b, of[i], items[i].errnum);
}

static void
report_all(struct batch *b)
{
	struct wr w = wr_of(b->results, sizeof(b->results));
	unsigned i;

	for (i = 0; i < b->slot_count; i++) {
		ASSERT(b->slots[i].state == SLOT_DONE);
		result_put(&w, b->slots[i].tag, &b->slots[i].outcome);
	}
	ASSERT(!w.full);
	b->io->report(b->io->arg, wr_done(&w));
}

static void
close_dirs(struct batch *b)
{
	while (b->dir_count > 0)
		maildir_close(&b->dirs[--b->dir_count].maildir);
	b->slot_count = 0;
}

void
batch_commit(struct batch *b)
{
	if (b->slot_count > 0) {
		sync_files(b);
		publish_files(b);
		sync_dirs(b);
		report_all(b);
	}
	close_dirs(b);
}

void
batch_abandon(struct batch *b)
{
	unsigned i;

	for (i = 0; i < b->slot_count; i++)
		if (b->slots[i].state == SLOT_WRITTEN)
			maildir_discard(&b->slots[i].file);
	close_dirs(b);
}
