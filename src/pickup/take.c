/*
 * take: a transaction with the queue for each file.
 *
 * Happy path: open the file, TXN_OPEN, its recipients in TXN_RCPT frames,
 * TXN_READY gives the id; the trace field and the message as TXN_BODY within
 * the credit; TXN_COMMIT; with TXN_DONE the message is durable, the file is
 * removed, the directory synced, the next file begun.
 *
 * Failure modes: a file that is no message is set aside under a name that
 * begins with "bad.", with a line in the log; a refusal by the queue (full,
 * no memory) leaves it where it is and is tried again after RETRY_MS; a queue
 * that goes away is waited for.  When a file cannot be removed or renamed
 * nothing more is begun, so that none is taken in twice.
 */
#include "pickup/take.h"

#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "ipc/frames.h"
#include "pickup/take_int.h"

enum {
	QUEUE_BYTES_MAX = 512 * 1024,
	RETRY_MS = 30 * 1000,
};

void
take_go_on(struct take *t)
{
	ev_defer(t->loop, &t->task);
}

/* ---- the end of a file ---- */

static void
next(struct take *t)
{
	dropped_close(&t->file);
	t->state = IDLE;
	take_go_on(t);
}

void
take_set_aside(struct take *t, const char *why)
{
	txn_client_abort(&t->txn);
	t->stuck = !drop_dir_set_aside(t->dir_fd, t->name, why);
	next(t);
}

void
take_try_later(struct take *t, const char *why)
{
	txn_client_abort(&t->txn);
	log_warning("drop/%s: %s; next attempt in %d s", t->name, why,
	    RETRY_MS / 1000);
	dropped_close(&t->file);
	t->state = WAITING;
	ev_timer_set(&t->timer, RETRY_MS);
}

void
take_file_failed(struct take *t, enum err e, const struct errtext *et)
{
	if (e == ERR_CORRUPT)
		take_set_aside(t, et->text);
	else
		take_try_later(t, et->text);
}

static void
taken(struct take *t)
{
	t->stuck = !drop_dir_remove(t->dir_fd, t->name, t->txn.id);
	next(t);
}

/* ---- what moves it ---- */

static void
step(struct take *t)
{
	if (t->state == OPENING) {
		take_send_rcpts(t);
	} else if (t->state == SENDING) {
		take_send_message(t);
	} else if (t->state == IDLE) {
		if (t->queue == NULL && !t->draining)
			return; /* a channel will come */
		if (!t->draining && !t->stuck &&
		    drop_dir_next(t->dir_fd, &t->look, t->name))
			take_begin(t);
		else
			t->events->on_empty(t->events->arg);
	}
}

static void
on_task(void *arg, struct ev_task *task)
{
	(void)task;
	step(arg);
}

static void
on_timer(void *arg, struct ev_timer *timer)
{
	struct take *t = arg;

	(void)timer;
	if (t->state == WAITING)
		t->state = IDLE;
	take_go_on(t);
}

static void
on_ready(struct take *t)
{
	/* The envelope's recipients must all have been read. */
	if (t->file.rcpts_left > 0) {
		chan_bad(t->queue, "TXN_READY before the last recipient");
		return;
	}
	take_hold_trace(t);
	t->state = SENDING;
	take_go_on(t);
}

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	struct take *t = arg;

	switch (txn_client_on_frame(&t->txn, f)) {
	case TXN_CLIENT_IGNORE: break;
	case TXN_CLIENT_READY: on_ready(t); break;
	case TXN_CLIENT_CREDIT: take_go_on(t); break;
	case TXN_CLIENT_DONE: taken(t); break;
	case TXN_CLIENT_REFUSED:
		take_try_later(t, err_text(t->txn.error));
		break;
	case TXN_CLIENT_BAD: chan_bad(c, "frame that is not for pickup"); break;
	}
}

static void
lose_queue(struct take *t)
{
	if (t->queue != NULL)
		chan_close(t->queue);
	t->queue = NULL;
	t->txn = (struct txn_client){ 0 };
	if (t->state == IDLE || t->state == WAITING)
		return;
	dropped_close(&t->file);
	t->state = IDLE;
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct take *t = arg;

	(void)c;
	lose_queue(t);
	t->events->on_bad(t->events->arg, bad ? why : NULL);
	if (t->draining)
		take_go_on(t);
}

static void
on_room(void *arg, struct chan *c)
{
	(void)c;
	take_go_on(arg);
}

/* ---- all of it ---- */

enum err
take_new(struct ev_loop *loop, struct acct *a, int dir_fd,
    const struct take_events *events, struct take **out)
{
	struct take *t = mem_alloc(a, sizeof(*t));

	if (t == NULL) {
		close(dir_fd);
		return ERR_FULL;
	}
	t->loop = loop;
	t->acct = a;
	t->events = events;
	t->dir_fd = dir_fd;
	t->file.fd = -1;
	t->state = IDLE;
	ev_task_init(&t->task, on_task, t);
	ev_timer_init(&t->timer, loop, on_timer, t);
	*out = t;
	return OK;
}

void
take_free(struct take *t)
{
	if (t == NULL)
		return;
	lose_queue(t);
	ev_task_cancel(&t->task);
	ev_timer_clear(&t->timer);
	close(t->dir_fd);
	mem_free(t->acct, t);
}

void
take_set_conf(struct take *t, const struct conf *conf)
{
	t->conf = conf;
}

enum err
take_set_queue(struct take *t, int fd, unsigned index)
{
	static const struct chan_events events = { on_frame, on_closed,
		on_room };
	enum err e;

	lose_queue(t);
	e = chan_open(t->loop, t->acct, fd, ROLE_PICKUP, ROLE_QUEUE, index,
	    &events, t, QUEUE_BYTES_MAX, &t->queue);
	if (e == OK)
		take_go_on(t);
	return e;
}

void
take_scan(struct take *t)
{
	if (t->state == IDLE)
		take_go_on(t);
}

void
take_drain(struct take *t)
{
	t->draining = true;
	if (t->state == WAITING)
		t->state = IDLE;
	if (t->state != COMMITTING) {
		/* The file stays; the queue forgets. */
		txn_client_abort(&t->txn);
		dropped_close(&t->file);
		t->state = IDLE;
	}
	take_go_on(t);
}
