/*
 * build: the table of a text, and changes to a finished table.
 *
 * A malformed entry is told with its place and left out, as a text table
 * leaves it out; what the format or our bounds cannot hold is an error, and
 * then the old table stands.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "alias/target.h"
#include "postmap/postmap.h"
#include "table/source.h"

struct build {
	struct postmap *p;
	const char *name;  /* of the source, for messages */
	struct make *make; /* NULL: only looked at */
	uint64_t entry_count, fault_count, removed_count;
	uint32_t line;	    /* of the entry at hand */
	uint32_t told_line; /* up to here all was said, in an attempt before */
	bool has_aliases_syntax; /* a hint was given */
	enum err e;
	struct errtext et;
};

static struct make the_make; /* too large for the stack */

/* ---- one entry ---- */

static void
say_at(struct build *b, uint32_t line, const char *what, struct slice key)
{
	if (line <= b->told_line)
		return;
	if (key.len > 0)
		postmap_say(b->p, "%s:%u: %s: \"%.*s\"", b->name, line, what,
		    SLICE_ARGS(slice_sub(key, 0, 200)));
	else
		postmap_say(b->p, "%s:%u: %s", b->name, line, what);
}

/* With the terminator where -N asks for it: s.data[len] is ours to write. */
static struct slice
ended(const struct postmap *p, struct slice s, char *buf, size_t size)
{
	if (!p->with_nul || s.len + 1 > size)
		return s;
	memcpy(buf, s.data, s.len);
	buf[s.len] = '\0';
	return slice_of(buf, s.len + 1);
}

static void
put(struct build *b, struct slice key, struct slice value, bool *twice)
{
	static char key_buf[TABLE_KEY_BYTES_MAX + 1];
	static char value_buf[TABLE_ALIAS_VALUE_BYTES_MAX + 1];

	*twice = false;
	b->e = make_put(b->make, ended(b->p, key, key_buf, sizeof(key_buf)),
	    ended(b->p, value, value_buf, sizeof(value_buf)),
	    b->p->replace ? MAKE_LAST_HOLDS : MAKE_FIRST_HOLDS, twice, &b->et);
}

/* Mistakes in the list of an alias: mail to it would wait. */
static void
check_targets(struct build *b, const struct source_entry *entry)
{
	static struct alias_scan scan;
	struct slice rest = entry->value;
	struct alias_target target;
	struct errtext et;
	enum err e;

	if (entry->line <= b->told_line)
		return;
	alias_scan_init(&scan, ALIAS_SOURCE_VALUE);
	while ((e = alias_scan_next(&scan, &rest, true, &target, &et)) !=
	       ERR_NOTFOUND)
		if (e != OK)
			postmap_say(b->p, "%s:%u: warning: %.*s: %s", b->name,
			    entry->line, SLICE_ARGS(entry->key),
			    strchr(et.text, ':') + 2);
}

static void
take_entry(struct build *b, const struct source_entry *entry)
{
	bool twice = false;

	b->line = entry->line;
	if (entry->fault != NULL) {
		b->fault_count++;
		say_at(b, entry->line, entry->fault, SLICE_NONE);
		if (entry->too_long)
			b->e = err_set(&b->et, ERR_TOOBIG,
			    "%s:%u: too long for a table", b->name,
			    entry->line);
		return;
	}
	if (b->p->syntax == TABLE_SYNTAX_MAP &&
	    entry->key.data[entry->key.len - 1] == ':' &&
	    !b->has_aliases_syntax) {
		b->has_aliases_syntax = true;
		say_at(b, entry->line,
		    "warning: \"key: value\"; is this a file for postalias?",
		    entry->key);
	}
	b->entry_count++;
	if (b->p->syntax == TABLE_SYNTAX_ALIASES)
		check_targets(b, entry);
	if (b->make != NULL)
		put(b, entry->key, entry->value, &twice);
	if (twice && !b->p->quiet)
		say_at(b, entry->line,
		    b->p->replace ? "warning: again, and this one holds"
				  : "warning: again; the first one holds",
		    entry->key);
	if (b->e == ERR_TOOBIG)
		say_at(b, entry->line, b->et.text, entry->key);
}

/* All entries of fd; b->e says how it went. */
static void
take_all(struct build *b, int fd)
{
	struct source_entry entry;
	struct source *source;
	enum err e;

	b->e = source_open(&b->p->acct, fd, b->p->syntax, !b->p->keep_case,
	    &source);
	if (b->e != OK)
		return;
	while (b->e == OK &&
	       (e = source_next(source, &entry, &b->et)) != ERR_NOTFOUND) {
		if (e == OK)
			take_entry(b, &entry);
		else
			b->e = e;
	}
	source_close(source);
}

/* ---- a table of a source ---- */

/* The map of LMDB may turn out too small: then again, with a larger one. */
static void
fill(struct build *b, int fd)
{
	take_all(b, fd);
	while (b->e == ERR_FULL && b->make != NULL) {
		b->e = make_restart(b->make, &b->et);
		if (b->e != OK)
			return;
		b->told_line = b->line - 1;
		b->entry_count = b->fault_count = 0;
		if (lseek(fd, 0, SEEK_SET) != 0) {
			b->e = err_sys(&b->et, errno, "cannot read %s again",
			    b->name);
			return;
		}
		take_all(b, fd);
	}
}

/* As the owner of st, if we are the superuser and he is not: whoever may
 * write the directory cannot make us write elsewhere. */
static bool
become_owner(const struct stat *st)
{
	if (geteuid() != 0 || st->st_uid == 0)
		return true;
	return setegid(st->st_gid) == 0 && seteuid(st->st_uid) == 0;
}

static bool
become_self(void)
{
	return getuid() == geteuid() ||
	       (seteuid(getuid()) == 0 && setegid(getgid()) == 0);
}

static int
build_from(struct build *b, const struct postmap_table *t, int fd,
    const struct stat *st)
{
	struct postmap *p = b->p;

	if (!t->is_text) {
		b->e = make_begin(&the_make, t->kind, t->path,
		    p->private_mode ? NULL : st, &b->et);
		if (b->e != OK)
			return postmap_fail(p, b->e, b->et.text);
		b->make = &the_make;
	}
	fill(b, fd);
	if (b->e != OK && b->make != NULL)
		make_abort(b->make);
	if (b->e == OK && b->make != NULL)
		b->e = make_commit(b->make, &b->et);
	if (b->e == ERR_TOOBIG) {
		postmap_say(p, "%s: nothing was changed", t->name);
		return EX_DATAERR;
	}
	if (b->e != OK)
		return postmap_fail(p, b->e, b->et.text);
	if (p->verbose)
		postmap_say(p, "%s: %ju entr%s, %ju left out", t->name,
		    (uintmax_t)b->entry_count,
		    b->entry_count == 1 ? "y" : "ies",
		    (uintmax_t)b->fault_count);
	return EX_OK;
}

int
postmap_build(struct postmap *p, const struct postmap_table *t)
{
	struct build b = { .p = p, .name = t->path };
	struct stat st;
	int fd, status;

	fd = open(t->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) != 0) {
		postmap_say(p, "%s: %s", t->path, strerror(errno));
		status = errno == EACCES ? EX_NOPERM : EX_NOINPUT;
	} else if (!S_ISREG(st.st_mode)) {
		postmap_say(p, "%s is not a regular file", t->path);
		status = EX_NOINPUT;
	} else if (!become_owner(&st)) {
		postmap_say(p, "cannot become the owner of %s: %s", t->path,
		    strerror(errno));
		status = EX_OSERR;
	} else {
		status = build_from(&b, t, fd, &st);
		if (!become_self()) {
			postmap_say(p, "cannot be myself again: %s",
			    strerror(errno));
			_exit(EX_OSERR);
		}
	}
	if (fd >= 0)
		(void)close(fd);
	return status;
}

/* ---- changes ---- */

static bool
is_removed(const struct postmap *p, struct slice key)
{
	struct slice doomed = slice_str(p->remove);

	if (key.len > 0 && key.data[key.len - 1] == '\0')
		key.len--;
	return p->remove != NULL &&
	       (p->keep_case ? slice_eq(key, doomed)
			     : slice_eq_nocase(key, doomed));
}

static bool
copy_entry(void *arg, struct slice key, struct slice value)
{
	struct build *b = arg;
	bool twice;

	if (is_removed(b->p, key)) {
		b->removed_count++;
		return true;
	}
	/* As it stands, its terminator included. */
	b->e = make_put(b->make, key, value, MAKE_FIRST_HOLDS, &twice, &b->et);
	return b->e == OK;
}

/* The old entries, then those of standard input: without -r the old ones
 * hold. */
static void
change(struct build *b)
{
	enum err e;

	b->removed_count = 0;
	e = make_each(b->make->kind, b->make->path, copy_entry, b, &b->et);
	if (e != OK && !(e == ERR_NOTFOUND && b->p->add))
		b->e = e;
	if (b->e == OK && b->p->add)
		take_all(b, STDIN_FILENO);
}

int
postmap_change(struct postmap *p, const struct postmap_table *t)
{
	struct build b = { .p = p, .name = "standard input" };
	char path[MAKE_PATH_BYTES_MAX];
	bool exists;
	struct stat st;

	b.e = make_path(t->kind, t->path, path, &b.et);
	exists = b.e == OK && stat(path, &st) == 0;
	if (b.e == OK && exists && !become_owner(&st))
		b.e = err_sys(&b.et, errno, "cannot become the owner of %s",
		    path);
	if (b.e == OK)
		b.e = make_begin(&the_make, t->kind, t->path,
		    exists && !p->private_mode ? &st : NULL, &b.et);
	if (b.e != OK)
		return postmap_fail(p, b.e, b.et.text);
	b.make = &the_make;
	change(&b);
	while (b.e == ERR_FULL && !p->add) {
		b.e = make_restart(b.make, &b.et);
		if (b.e == OK)
			change(&b);
	}
	if (b.e != OK || (p->remove != NULL && b.removed_count == 0)) {
		make_abort(&the_make);
		if (b.e == OK)
			return 1;
		return postmap_fail(p, b.e, b.et.text);
	}
	b.e = make_commit(&the_make, &b.et);
	if (!become_self())
		_exit(EX_OSERR);
	return b.e == OK ? EX_OK : postmap_fail(p, b.e, b.et.text);
}
