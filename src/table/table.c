/*
 * table: the kinds of tables, and one lookup for all of them.
 */
#include <cdb.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "table/impl.h"

enum table_kind { KIND_TEXT, KIND_CDB, KIND_LMDB, KIND_INLINE, KIND_STATIC };

struct table {
	struct acct *acct;
	enum table_kind kind;
	enum table_syntax syntax;
	const char *name;  /* the spec, terminated */
	struct slice rest; /* of name, after the colon */
	char *path;	   /* text, cdb, lmdb */
	struct table_file file;
	struct map map; /* text, inline */
	char *data;	/* what map borrows */
	int fd;		/* cdb, lmdb; -1: not open */
	struct lmdb lmdb;
	char *answer; /* cdb, lmdb: the value found; the longest allowed */
};

static const struct {
	const char *word;
	enum table_kind kind;
	const char *suffix;
} kinds[] = {
	{ "text", KIND_TEXT, "" },
	{ "hash", KIND_TEXT, "" },
	{ "texthash", KIND_TEXT, "" },
	{ "cdb", KIND_CDB, ".cdb" },
	{ "lmdb", KIND_LMDB, ".lmdb" },
	{ "inline", KIND_INLINE, NULL },
	{ "static", KIND_STATIC, NULL },
};

/* ---- text ---- */

static void
text_unload(struct table *t)
{
	map_fini(&t->map);
	mem_free(t->acct, t->data);
	t->data = NULL;
}

static enum err
read_whole(int fd, char *data, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size) {
		n = pread(fd, data + len, size - len, (off_t)len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ERR_LOOKUP; /* also: it became shorter */
		len += (size_t)n;
	}
	return OK;
}

/* Replaces what is loaded.  After an error nothing is, and the file counts
 * as changed. */
static enum err
text_load(struct table *t, int fd, struct errtext *et)
{
	size_t size = (size_t)t->file.seen.st_size;
	uint32_t bad_line;
	enum err e;

	text_unload(t);
	t->file.valid = false;
	if (size > TABLE_FILE_BYTES_MAX)
		return err_set(et, ERR_LOOKUP, "%s is larger than %d bytes",
		    t->path, TABLE_FILE_BYTES_MAX);
	t->data = mem_alloc(t->acct, size + 1);
	if (t->data == NULL)
		return err_set(et, ERR_LOOKUP,
		    "no memory to read %s: make it a cdb, or raise "
		    "memory_budget",
		    t->path);
	e = read_whole(fd, t->data, size);
	if (e != OK)
		return err_set(et, e, "cannot read %s", t->path);
	e = text_parse(&t->map, t->data, size, t->syntax, &bad_line);
	if (e != OK) {
		text_unload(t);
		return err_set(et, ERR_LOOKUP,
		    "no memory for the keys of %s: make it a cdb, or raise "
		    "memory_budget",
		    t->path);
	}
	if (bad_line != 0)
		log_warning("%s:%u: not a key and a value; the line has no "
			    "effect",
		    t->path, bad_line);
	t->file.valid = true;
	return OK;
}

static enum err
text_refresh(struct table *t, struct errtext *et)
{
	enum err e;
	int fd;

	e = file_open_changed(&t->file, &fd, et);
	if (e != OK)
		text_unload(t);
	if (e != OK || fd < 0)
		return e;
	e = text_load(t, fd, et);
	(void)close(fd);
	return e;
}

static enum err
map_lookup(struct table *t, struct slice key, struct table_answer *out)
{
	const struct map_entry *entry = map_find(&t->map, key);

	if (entry == NULL)
		return ERR_NOTFOUND;
	out->key = entry->key;
	out->value = entry->value;
	out->line = t->kind == KIND_TEXT ? entry->line : 0;
	return OK;
}

/* ---- cdb and lmdb ---- */

/* A new descriptor if the file is new. */
static enum err
file_refresh(struct table *t, struct errtext *et)
{
	enum err e;
	int fd;

	e = file_open_changed(&t->file, &fd, et);
	if (e == OK && fd < 0)
		return OK;
	lmdb_end(&t->lmdb);
	if (t->fd >= 0)
		(void)close(t->fd);
	t->fd = fd;
	if (e != OK || t->kind != KIND_LMDB)
		return e;
	e = lmdb_begin(&t->lmdb, t->acct, fd, et);
	if (e != OK)
		t->file.valid = false;
	return e == OK ? OK : ERR_LOOKUP;
}

/* The file is read, never mapped: cut short under us it is an error, not the
 * end of the process.  Some makers count the terminator to keys and values. */
static enum err
cdb_lookup(struct table *t, struct slice key, struct table_answer *out,
    struct errtext *et)
{
	char with_nul[TABLE_KEY_BYTES_MAX + 1];
	unsigned len;
	int found;

	memcpy(with_nul, key.data, key.len);
	with_nul[key.len] = '\0';
	found = cdb_seek(t->fd, with_nul, (unsigned)key.len, &len);
	if (found == 0)
		found = cdb_seek(t->fd, with_nul, (unsigned)key.len + 1, &len);
	if (found == 0)
		return ERR_NOTFOUND;
	if (found > 0 && len > table_value_max(t->syntax))
		return err_set(et, ERR_LOOKUP, "%s: a value of %u bytes",
		    t->path, len);
	if (found < 0 || cdb_bread(t->fd, t->answer, (int)len) != 0) {
		t->file.valid = false;
		return err_set(et, ERR_LOOKUP, "%s is damaged", t->path);
	}
	if (len > 0 && t->answer[len - 1] == '\0')
		len--;
	out->value = slice_of(t->answer, len);
	out->line = 0;
	return OK;
}

/* Makers differ about the terminator here as well. */
static enum err
lmdb_lookup(struct table *t, struct slice key, struct table_answer *out,
    struct errtext *et)
{
	char with_nul[TABLE_KEY_BYTES_MAX + 1];
	struct errtext why = { "" };
	size_t len = 0;
	enum err e = ERR_NOTFOUND;

	memcpy(with_nul, key.data, key.len);
	with_nul[key.len] = '\0';
	for (size_t nul = 0; nul < 2 && e == ERR_NOTFOUND; nul++)
		e = lmdb_find(&t->lmdb, slice_of(with_nul, key.len + nul),
		    t->answer, table_value_max(t->syntax), &len, &why);
	if (e == ERR_NOTFOUND)
		return e;
	if (e != OK) {
		t->file.valid = false;
		return err_set(et, ERR_LOOKUP, "%s: %s", t->path, why.text);
	}
	if (len > 0 && t->answer[len - 1] == '\0')
		len--;
	out->value = slice_of(t->answer, len);
	out->line = 0;
	return OK;
}

/* ---- all kinds ---- */

static enum err
open_path(struct table *t, const char *suffix, struct errtext *et)
{
	size_t n = strlen(suffix);

	if (t->rest.len == 0 || t->rest.data[0] != '/')
		return err_set(et, ERR_CONFIG, "no absolute path in it");
	if (slice_ends_nocase(t->rest, slice_str(suffix)))
		n = 0;
	t->path = mem_alloc(t->acct, t->rest.len + n + 1);
	if (t->path == NULL)
		return ERR_NOMEM;
	memcpy(t->path, t->rest.data, t->rest.len);
	memcpy(t->path + t->rest.len, suffix, n);
	t->file.path = t->path;
	if (t->kind == KIND_TEXT)
		return OK;
	t->answer = mem_alloc(t->acct, table_value_max(t->syntax));
	return t->answer != NULL ? OK : ERR_NOMEM;
}

static enum err
open_kind(struct table *t, const char *suffix, struct errtext *et)
{
	switch (t->kind) {
	case KIND_TEXT:
	case KIND_CDB:
	case KIND_LMDB: return open_path(t, suffix, et);
	case KIND_INLINE:
		t->data = mem_alloc(t->acct, t->rest.len + 1);
		if (t->data == NULL)
			return ERR_NOMEM;
		memcpy(t->data, t->rest.data, t->rest.len);
		return inline_parse(&t->map, t->data, t->rest.len, et);
	case KIND_STATIC: break;
	}
	return OK;
}

enum err
table_open(struct acct *a, struct slice spec, struct table **out,
    struct errtext *et)
{
	return table_open_as(a, spec, TABLE_SYNTAX_MAP, out, et);
}

enum err
table_open_as(struct acct *a, struct slice spec, enum table_syntax syntax,
    struct table **out, struct errtext *et)
{
	size_t colon = slice_find(spec, ':'), i = 0;
	struct table *t;
	char *name;
	enum err e;

	while (i < ARRAY_LEN(kinds) &&
	       !slice_eq(slice_sub(spec, 0, colon), slice_str(kinds[i].word)))
		i++;
	if (i == ARRAY_LEN(kinds) || colon == spec.len)
		return err_set(et, ERR_CONFIG, "not a table");
	/* In one block: the table and its name. */
	t = mem_alloc(a, sizeof(*t) + spec.len + 1);
	if (t == NULL)
		return err_set(et, ERR_NOMEM, "no memory for a table");
	name = (char *)(t + 1);
	memcpy(name, spec.data, spec.len);
	t->acct = a;
	t->name = name;
	t->rest = slice_trim(slice_of(name + colon + 1, spec.len - colon - 1));
	t->kind = kinds[i].kind;
	t->syntax = syntax;
	t->fd = -1;
	map_init(&t->map, a);
	e = open_kind(t, kinds[i].suffix, et);
	if (e != OK) {
		table_close(t);
		if (e == ERR_NOMEM)
			(void)err_set(et, e, "no memory for a table");
		return e == ERR_TOOBIG ? ERR_CONFIG : e;
	}
	*out = t;
	return OK;
}

void
table_close(struct table *t)
{
	if (t == NULL)
		return;
	text_unload(t);
	lmdb_end(&t->lmdb);
	if (t->fd >= 0)
		(void)close(t->fd);
	mem_free(t->acct, t->answer);
	mem_free(t->acct, t->path);
	mem_free(t->acct, t);
}

enum err
table_lookup(struct table *t, struct slice key, struct table_answer *out,
    struct errtext *et)
{
	char lowered[TABLE_KEY_BYTES_MAX];
	enum err e;

	if (key.len == 0 || key.len > sizeof(lowered))
		return ERR_NOTFOUND;
	memcpy(lowered, key.data, key.len);
	lower(lowered, key.len);
	*out = (struct table_answer){ .key = key, .table = t->name };
	key.data = lowered;
	switch (t->kind) {
	case KIND_TEXT:
		e = text_refresh(t, et);
		return e == OK ? map_lookup(t, key, out) : e;
	case KIND_CDB:
		e = file_refresh(t, et);
		return e == OK ? cdb_lookup(t, key, out, et) : e;
	case KIND_LMDB:
		e = file_refresh(t, et);
		return e == OK ? lmdb_lookup(t, key, out, et) : e;
	case KIND_INLINE: return map_lookup(t, key, out);
	case KIND_STATIC: out->value = t->rest; break;
	}
	return OK;
}
