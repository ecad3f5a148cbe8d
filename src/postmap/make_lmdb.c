/*
 * make_lmdb: an LMDB file, by its library.
 *
 * The file is private until it is renamed: it is written without the
 * library's locks and syncs, in transactions of some thousand entries, which
 * bounds the memory for pages not yet written.  Readers never see a write in
 * place.
 */
#include <errno.h>
#include <lmdb.h>

#include "postmap/make_int.h"

enum { TXN_ENTRY_COUNT_MAX = 10000, FILE_MODE = 0600 };

static enum err
failed(struct errtext *et, int r, const char *path)
{
	if (r == MDB_MAP_FULL)
		return err_set(et, ERR_FULL, "%s: its map is full", path);
	if (r > 0)
		return err_sys(et, r, "%s", path);
	return err_set(et, ERR_CORRUPT, "%s: %s", path, mdb_strerror(r));
}

static enum err
begin_txn(struct make *m, struct errtext *et)
{
	int r = mdb_txn_begin(m->env, NULL, 0, &m->txn);

	m->pending_count = 0;
	if (r == 0)
		r = mdb_dbi_open(m->txn, NULL, 0, &m->dbi);
	return r == 0 ? OK : failed(et, r, m->temp);
}

enum err
make_lmdb_begin(struct make *m, struct errtext *et)
{
	int r;

	if (m->map_bytes > SIZE_MAX)
		return err_set(et, ERR_FULL, "%s would be too large", m->path);
	r = mdb_env_create(&m->env);
	if (r == 0)
		r = mdb_env_set_mapsize(m->env, (size_t)m->map_bytes);
	if (r == 0)
		r = mdb_env_open(m->env, m->temp,
		    MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, FILE_MODE);
	return r == 0 ? begin_txn(m, et) : failed(et, r, m->temp);
}

static enum err
commit_txn(struct make *m, struct errtext *et)
{
	struct MDB_txn *txn = m->txn;
	int r;

	m->txn = NULL;
	r = mdb_txn_commit(txn);
	return r == 0 ? OK : failed(et, r, m->temp);
}

enum err
make_lmdb_put(struct make *m, struct slice key, struct slice value,
    enum make_twice twice, bool *was_there_out, struct errtext *et)
{
	MDB_val k = { key.len, (void *)(uintptr_t)key.data };
	MDB_val v = { value.len, (void *)(uintptr_t)value.data };
	size_t most = (size_t)mdb_env_get_maxkeysize(m->env);
	enum err e;
	int r;

	if (key.len > most)
		return err_set(et, ERR_TOOBIG,
		    "the key is longer than the %zu bytes of lmdb; make it a "
		    "cdb",
		    most);
	if (m->pending_count == TXN_ENTRY_COUNT_MAX) {
		e = commit_txn(m, et);
		if (e == OK)
			e = begin_txn(m, et);
		if (e != OK)
			return e;
	}
	r = mdb_put(m->txn, m->dbi, &k, &v, MDB_NOOVERWRITE);
	if (r == MDB_KEYEXIST) {
		*was_there_out = true;
		if (twice == MAKE_FIRST_HOLDS)
			return OK;
		v = (MDB_val){ value.len, (void *)(uintptr_t)value.data };
		r = mdb_put(m->txn, m->dbi, &k, &v, 0);
	}
	m->pending_count++;
	return r == 0 ? OK : failed(et, r, m->temp);
}

enum err
make_lmdb_end(struct make *m, struct errtext *et)
{
	enum err e = commit_txn(m, et);

	make_lmdb_drop(m);
	return e;
}

void
make_lmdb_drop(struct make *m)
{
	if (m->txn != NULL)
		mdb_txn_abort(m->txn);
	m->txn = NULL;
	if (m->env != NULL)
		mdb_env_close(m->env);
	m->env = NULL;
}

static enum err
each_in(MDB_env *env, const char *path, make_each_fn *each, void *arg,
    struct errtext *et)
{
	MDB_txn *txn = NULL;
	MDB_cursor *cursor = NULL;
	MDB_dbi dbi;
	MDB_val k, v;
	int r;

	r = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
	if (r == 0)
		r = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (r == 0)
		r = mdb_cursor_open(txn, dbi, &cursor);
	while (r == 0 && (r = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
		if (!each(arg, slice_of(k.mv_data, k.mv_size),
			slice_of(v.mv_data, v.mv_size)))
			break;
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	if (txn != NULL)
		mdb_txn_abort(txn);
	return r == 0 || r == MDB_NOTFOUND ? OK : failed(et, r, path);
}

enum err
make_lmdb_each(const char *path, make_each_fn *each, void *arg,
    struct errtext *et)
{
	MDB_env *env = NULL;
	enum err e;
	int r;

	r = mdb_env_create(&env);
	if (r == 0)
		r = mdb_env_open(env, path,
		    MDB_NOSUBDIR | MDB_NOLOCK | MDB_RDONLY, FILE_MODE);
	if (r == 0)
		e = each_in(env, path, each, arg, et);
	else
		e = r == ENOENT ? ERR_NOTFOUND : failed(et, r, path);
	if (env != NULL)
		mdb_env_close(env);
	return e;
}
