/* The control socket, held for `weir queue`. */
#include "queue/internal.h"

void
control_listen(struct queue *q, int fd)
{
	q->listen_fd = fd;
}

void
control_close(struct queue *q)
{
	queue_close_fd(q->listen_fd);
	q->listen_fd = -1;
}
