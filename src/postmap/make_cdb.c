/*
 * make_cdb: the constant database, by libcdb.
 */
#include <cdb.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "postmap/make_int.h"

/* One table is made at a time. */
static struct cdb_make maker;

enum err
make_cdb_begin(struct make *m, struct errtext *et)
{
	if (cdb_make_start(&maker, m->fd) != 0)
		return err_sys(et, errno, "cannot write %s", m->temp);
	m->cdb = &maker;
	return OK;
}

enum err
make_cdb_put(struct make *m, struct slice key, struct slice value,
    enum make_twice twice, bool *was_there_out, struct errtext *et)
{
	int r;

	if (key.len > UINT_MAX || value.len > UINT_MAX)
		return err_set(et, ERR_TOOBIG, "too long");
	errno = 0;
	r = cdb_make_put(m->cdb, key.data, (unsigned)key.len, value.data,
	    (unsigned)value.len,
	    twice == MAKE_FIRST_HOLDS ? CDB_PUT_INSERT : CDB_PUT_REPLACE);
	if (r < 0 && errno == ENOMEM) /* also: 4 GiB are full */
		return err_set(et, ERR_TOOBIG, "%s would be too large for cdb",
		    m->path);
	if (r < 0)
		return err_sys(et, errno, "cannot write %s", m->temp);
	*was_there_out = r > 0;
	return OK;
}

enum err
make_cdb_end(struct make *m, struct errtext *et)
{
	int r = cdb_make_finish(m->cdb);

	m->cdb = NULL;
	return r == 0 ? OK : err_sys(et, errno, "cannot write %s", m->temp);
}

/* The library frees only when it finishes; what it writes is thrown away. */
void
make_cdb_drop(struct make *m)
{
	if (m->cdb != NULL)
		(void)cdb_make_finish(m->cdb);
	m->cdb = NULL;
}

enum err
make_cdb_each(const char *path, make_each_fn *each, void *arg,
    struct errtext *et)
{
	struct cdb db;
	unsigned at;
	enum err e;
	int fd, r;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		e = err_sys(et, errno, "cannot open %s", path);
		return errno == ENOENT ? ERR_NOTFOUND : e;
	}
	if (cdb_init(&db, fd) != 0) {
		(void)close(fd);
		return err_set(et, ERR_CORRUPT, "%s is not a cdb", path);
	}
	cdb_seqinit(&at, &db);
	while ((r = cdb_seqnext(&at, &db)) > 0) {
		const void *key = cdb_getkey(&db), *value = cdb_getdata(&db);

		if (key == NULL || value == NULL) {
			r = -1;
			break;
		}
		if (!each(arg, slice_of(key, cdb_keylen(&db)),
			slice_of(value, cdb_datalen(&db))))
			break;
	}
	cdb_free(&db);
	(void)close(fd);
	return r < 0 ? err_set(et, ERR_CORRUPT, "%s is damaged", path) : OK;
}
