/*
 * query: what a table says, read in the way the server reads it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "postmap/postmap.h"
#include "table/source.h"

enum { NOT_FOUND = 1 };

static void
print_value(struct slice key, struct slice value, bool with_key)
{
	if (value.len > 0 && value.data[value.len - 1] == '\0')
		value.len--;
	if (key.len > 0 && key.data[key.len - 1] == '\0')
		key.len--;
	if (with_key)
		printf("%.*s\t", SLICE_ARGS(key));
	(void)fwrite(value.data, 1, value.len, stdout);
	(void)putchar('\n');
}

static int
query_key(struct postmap *p, struct table *t, struct slice key, bool with_key)
{
	struct table_answer answer;
	struct errtext et = { "" };
	enum err e = table_lookup(t, key, &answer, &et);

	if (e == ERR_NOTFOUND)
		return NOT_FOUND;
	if (e != OK) {
		(void)postmap_fail(p, e, et.text);
		return EX_TEMPFAIL;
	}
	print_value(key, answer.value, with_key);
	return EX_OK;
}

/* -q -: one key a line; 1 if none of them was found. */
static int
query_input(struct postmap *p, struct table *t)
{
	char line[TABLE_KEY_BYTES_MAX + 2];
	int status = NOT_FOUND, s;

	while (fgets(line, sizeof(line), stdin) != NULL) {
		size_t len = strcspn(line, "\n");

		if (line[len] != '\n' && !feof(stdin)) {
			postmap_say(p, "a key is longer than %d bytes",
			    TABLE_KEY_BYTES_MAX);
			return EX_DATAERR;
		}
		s = query_key(p, t, slice_of(line, len), true);
		if (s == EX_OK || (s != NOT_FOUND && status == NOT_FOUND))
			status = s;
		if (s > NOT_FOUND)
			return s;
	}
	return status;
}

/* The table as TYPE:/ABSOLUTE/PATH. */
static enum err
open_table(struct postmap *p, const struct postmap_table *t, struct table **out,
    struct errtext *et)
{
	static char spec[MAKE_PATH_BYTES_MAX * 2];
	char cwd[MAKE_PATH_BYTES_MAX] = "";
	const char *type = t->is_text		 ? "text"
			   : t->kind == MAKE_CDB ? "cdb"
						 : "lmdb";

	if (t->has_no_file)
		return table_open_as(&p->acct, slice_str(t->name), p->syntax,
		    out, et);
	if (t->path[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
		return err_sys(et, errno, "the current directory");
	(void)snprintf(spec, sizeof(spec), "%s:%s%s%s", type, cwd,
	    cwd[0] != '\0' ? "/" : "", t->path);
	return table_open_as(&p->acct, slice_str(spec), p->syntax, out, et);
}

int
postmap_query(struct postmap *p, const struct postmap_table *t)
{
	struct errtext et = { "" };
	struct table *table;
	enum err e;
	int status;

	e = open_table(p, t, &table, &et);
	if (e != OK)
		return postmap_fail(p, e, et.text);
	if (strcmp(p->query, "-") == 0)
		status = query_input(p, table);
	else
		status = query_key(p, table, slice_str(p->query), false);
	table_close(table);
	return status;
}

static bool
list_entry(void *arg, struct slice key, struct slice value)
{
	(void)arg;
	print_value(key, value, true);
	return !ferror(stdout);
}

static int
list_text(struct postmap *p, const struct postmap_table *t)
{
	struct source_entry entry;
	struct source *source;
	struct errtext et = { "" };
	int fd = open(t->path, O_RDONLY | O_CLOEXEC);
	enum err e;

	if (fd < 0) {
		postmap_say(p, "%s: %s", t->path, strerror(errno));
		return EX_NOINPUT;
	}
	e = source_open(&p->acct, fd, p->syntax, !p->keep_case, &source);
	if (e == OK) {
		while ((e = source_next(source, &entry, &et)) == OK)
			if (entry.fault == NULL)
				print_value(entry.key, entry.value, true);
		source_close(source);
	}
	(void)close(fd);
	return e == ERR_NOTFOUND ? EX_OK : postmap_fail(p, e, et.text);
}

static int
list_inline(struct postmap *p, const struct postmap_table *t)
{
	struct slice rest = slice_trim(slice_str(t->name)), key, value;
	struct errtext et = { "" };
	struct table *table;
	enum err e = open_table(p, t, &table, &et);

	/* Opened only to see that it is one. */
	if (e != OK)
		return postmap_fail(p, e, et.text);
	table_close(table);
	rest = slice_sub(rest, slice_find(rest, '{') + 1, rest.len - 1);
	while (conf_inline_next(&rest, &key, &value, &e))
		if (e == OK)
			print_value(key, value, true);
	return EX_OK;
}

int
postmap_list(struct postmap *p, const struct postmap_table *t)
{
	char path[MAKE_PATH_BYTES_MAX];
	struct errtext et = { "" };
	enum err e;

	if (t->has_no_file && t->name[0] != 'i') {
		postmap_say(p, "%s: it has every key", t->name);
		return EX_USAGE;
	}
	if (t->has_no_file)
		return list_inline(p, t);
	if (t->is_text)
		return list_text(p, t);
	e = make_path(t->kind, t->path, path, &et);
	if (e == OK)
		e = make_each(t->kind, path, list_entry, NULL, &et);
	if (e == ERR_NOTFOUND && et.text[0] == '\0')
		(void)err_set(&et, e, "%s: no such file", path);
	return e == OK ? EX_OK : postmap_fail(p, e, et.text);
}
