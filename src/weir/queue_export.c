#include "weir/queue_export.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "weir/queue_cat.h"
#include "weir/queue_req.h"
#include "weir/queue_show.h"

enum { EXPORT_IDS_MAX = 1 << 24 };

struct export
{
	struct cli *cli;
	uint64_t *ids;
	size_t count, size;
	bool refused; /* no memory for the list of ids */
};

static void
on_item(void *arg, const struct fr_ctl_item *f)
{
	struct export *x = arg;

	if (x->count == x->size) {
		size_t size = x->size == 0 ? 1024 : x->size * 2;
		uint64_t *more =
		    size > EXPORT_IDS_MAX
			? NULL
			: mem_alloc_array(&x->cli->acct, size, sizeof(*more));

		if (more == NULL) {
			x->refused = true;
			return;
		}
		if (x->count > 0)
			memcpy(more, x->ids, x->count * sizeof(*more));
		mem_free(&x->cli->acct, x->ids);
		x->ids = more;
		x->size = size;
	}
	x->ids[x->count++] = f->id;
}

static void
on_rcpt(void *arg, const struct fr_ctl_rcpt *f)
{
	(void)arg;
	(void)f;
}

/* The two parts into an open file; EX_OK when both are whole. */
static int
write_message(struct ctl *c, uint64_t id, FILE *to)
{
	struct queue_shown shown;
	int status = queue_show(c, id, QUEUE_SHOW_JSON, to, &shown);

	if (status == EX_OK)
		status = queue_cat(c, id, to, CAT_ALL, true);
	return status;
}

static int
export_one(struct export *x, struct ctl *c, int dir, uint64_t id)
{
	char tmp[40], name[40];
	bool written;
	int status;
	FILE *f;
	int fd;

	snprintf(tmp, sizeof(tmp), ".%" PRIu64 ".tmp", id);
	snprintf(name, sizeof(name), "%" PRIu64, id);
	fd = openat(dir, tmp,
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (f == NULL) {
		cli_say(x->cli, "%s: %s", tmp, strerror(errno));
		return EX_CANTCREAT;
	}
	status = write_message(c, id, f);
	written = fflush(f) == 0 && fsync(fd) == 0;
	if (fclose(f) != 0)
		written = false;
	if (status == EX_OK &&
	    (!written || renameat(dir, tmp, dir, name) != 0)) {
		cli_say(x->cli, "%s: %s", name, strerror(errno));
		status = EX_IOERR;
	}
	if (status != EX_OK)
		unlinkat(dir, tmp, 0);
	return status;
}

static int
export_all(struct export *x, struct ctl *c, int dir)
{
	size_t done = 0;
	size_t gone = 0;

	for (size_t i = 0; i < x->count; i++) {
		int status = export_one(x, c, dir, x->ids[i]);

		if (status == EX_OK)
			done++;
		else if (status == EX_DATAERR)
			gone++; /* delivered since the list was made */
		else
			return status;
	}
	if (fsync(dir) != 0) {
		cli_say(x->cli, "sync of the directory: %s", strerror(errno));
		return EX_IOERR;
	}
	printf("%zu message%s exported", done, done == 1 ? "" : "s");
	if (gone > 0)
		printf(", %zu left the queue meanwhile", gone);
	putchar('\n');
	return EX_OK;
}

int
queue_export(struct cli *cli, struct ctl *c, const char *directory)
{
	struct queue_filter all = { .status = 0 };
	struct export x = { .cli = cli };
	struct ctl_visitor v = {
		.on_item = on_item,
		.on_rcpt = on_rcpt,
		.arg = &x,
	};
	int status;
	int dir;

	if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
		cli_say(cli, "%s: %s", directory, strerror(errno));
		return EX_CANTCREAT;
	}
	dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		cli_say(cli, "%s: %s", directory, strerror(errno));
		return EX_CANTCREAT;
	}
	status = queue_list(c, &all, &v, NULL);
	if (status == EX_OK && x.refused) {
		cli_say(cli, "too many messages for one export");
		status = EX_SOFTWARE;
	}
	if (status == EX_OK)
		status = export_all(&x, c, dir);
	mem_free(&cli->acct, x.ids);
	close(dir);
	return status;
}
