#include "table/assigned.h"

#include <cdb.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "table/impl.h"

struct assigned {
	struct acct *acct;
	char *path;
	bool is_cdb;
	struct table_file file;
	int fd;	    /* of a cdb; -1: not open */
	char *text; /* else all of it, up to its dot; NULL: not read */
	size_t text_len;
	char value[ASSIGN_VALUE_BYTES_MAX];
	char extension[ASSIGNED_EXTENSION_BYTES_MAX];
};

/* ext and the rest behind it. */
static enum err
join(struct assigned *as, struct slice rest, struct assigned_user *out,
    struct errtext *et)
{
	struct slice ext = out->to.ext;

	out->path = as->path;
	if (ext.len + rest.len > sizeof(as->extension))
		return err_set(et, ERR_LOOKUP, "%.200s: an extension too long",
		    as->path);
	if (ext.len > 0)
		memcpy(as->extension, ext.data, ext.len);
	if (rest.len > 0)
		memcpy(as->extension + ext.len, rest.data, rest.len);
	out->extension = slice_of(as->extension, ext.len + rest.len);
	return OK;
}

/* ---- text ---- */

static void
text_unload(struct assigned *as)
{
	mem_free(as->acct, as->text);
	as->text = NULL;
	as->file.valid = false;
}

/* Every line is one, and the last is the dot. */
static enum err
text_check(struct assigned *as, struct errtext *et)
{
	struct slice rest = slice_of(as->text, as->text_len);
	struct assign_line l;
	struct errtext why = { "" };
	unsigned number = 0;
	size_t at = 0, end;
	enum err e;

	while (rest.len > 0) {
		end = slice_find(rest, '\n');
		number++;
		e = assign_parse_line(slice_sub(rest, 0, end), &l, &why);
		if (e == ERR_NOTFOUND) {
			as->text_len = at;
			return OK;
		}
		if (e != OK)
			return err_set(et, ERR_LOOKUP, "%.120s:%u: %.100s",
			    as->path, number, why.text);
		at += end + 1;
		rest = slice_sub(rest, end + 1, rest.len);
	}
	return err_set(et, ERR_LOOKUP,
	    "%.200s does not end with a line that is a dot", as->path);
}

static enum err
text_load(struct assigned *as, int fd, struct errtext *et)
{
	size_t size = (size_t)as->file.seen.st_size;
	ssize_t n;

	if (as->file.seen.st_size > ASSIGNED_TEXT_BYTES_MAX)
		return err_set(et, ERR_LOOKUP,
		    "%.150s is larger than %d bytes: make it a cdb", as->path,
		    ASSIGNED_TEXT_BYTES_MAX);
	as->text = mem_alloc(as->acct, size + 1);
	if (as->text == NULL)
		return err_set(et, ERR_LOOKUP, "no memory to read %.180s",
		    as->path);
	for (as->text_len = 0; as->text_len < size; as->text_len += (size_t)n) {
		n = pread(fd, as->text + as->text_len, size - as->text_len,
		    (off_t)as->text_len);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			return err_set(et, ERR_LOOKUP, "cannot read %.200s",
			    as->path);
	}
	return text_check(as, et);
}

static enum err
find_in_text(const struct assigned *as, struct slice local,
    struct assigned_user *out, struct slice *rest_out)
{
	struct slice rest = slice_of(as->text, as->text_len), behind;
	struct assign_line l;
	unsigned number = 0;
	size_t end, best = 0;

	out->line = 0;
	for (; rest.len > 0; rest = slice_sub(rest, end + 1, rest.len)) {
		end = slice_find(rest, '\n');
		number++;
		if (assign_parse_line(slice_sub(rest, 0, end), &l, NULL) !=
			OK ||
		    !assign_line_matches(&l, local, &behind))
			continue;
		/* The first of two alike; an exact one before all. */
		if (l.wild && out->line > 0 && l.local.len <= best)
			continue;
		out->to = l.to;
		out->line = number;
		best = l.local.len;
		*rest_out = behind;
		if (!l.wild) {
			*rest_out = SLICE_NONE;
			break;
		}
	}
	return out->line > 0 ? OK : ERR_NOTFOUND;
}

/* ---- cdb ---- */

/* Into as->value. */
static enum err
read_value(struct assigned *as, struct slice key, struct slice *out,
    struct errtext *et)
{
	unsigned len;
	int found = cdb_seek(as->fd, key.data, (unsigned)key.len, &len);

	if (found == 0)
		return ERR_NOTFOUND;
	if (found < 0 || len > sizeof(as->value) ||
	    cdb_bread(as->fd, as->value, (int)len) != 0) {
		as->file.valid = false;
		return err_set(et, ERR_LOOKUP, "%.200s is damaged", as->path);
	}
	*out = slice_of(as->value, len);
	return OK;
}

static enum err
find_in_cdb(struct assigned *as, struct slice local, struct assigned_user *out,
    struct slice *rest_out, struct errtext *et)
{
	struct assign_search s;
	struct slice value, key;
	size_t rest_len;
	enum err e;

	e = assign_search_begin(&s, local);
	if (e != OK)
		return ERR_NOTFOUND;
	e = read_value(as, slice_of("", 0), &value, et);
	if (e == OK)
		assign_search_chars(&s, value);
	else if (e != ERR_NOTFOUND)
		return e;
	while (assign_search_next(&s, &key, &rest_len)) {
		e = read_value(as, key, &value, et);
		if (e == ERR_NOTFOUND)
			continue;
		if (e == OK && assign_parse_value(value, &out->to, et) != OK)
			e = ERR_LOOKUP;
		*rest_out = slice_sub(local, local.len - rest_len, local.len);
		out->line = 0;
		return e;
	}
	return ERR_NOTFOUND;
}

/* ---- both ---- */

static enum err
refresh(struct assigned *as, struct errtext *et)
{
	enum err e;
	int fd;

	e = file_open_changed(&as->file, &fd, et);
	if (e == OK && fd < 0)
		return OK;
	if (as->fd >= 0)
		(void)close(as->fd);
	as->fd = -1;
	mem_free(as->acct, as->text);
	as->text = NULL;
	if (e != OK)
		return e;
	if (as->is_cdb) {
		as->fd = fd;
		return OK;
	}
	e = text_load(as, fd, et);
	(void)close(fd);
	if (e != OK)
		text_unload(as);
	return e;
}

enum err
assigned_find(struct assigned *as, struct slice local,
    struct assigned_user *out, struct errtext *et)
{
	struct slice rest = SLICE_NONE;
	enum err e = refresh(as, et);

	if (e == OK)
		e = as->is_cdb ? find_in_cdb(as, local, out, &rest, et)
			       : find_in_text(as, local, out, &rest);
	return e == OK ? join(as, rest, out, et) : e;
}

enum err
assigned_open(struct acct *a, const char *path, struct assigned **out)
{
	size_t len = strlen(path);
	struct assigned *as = mem_alloc(a, sizeof(*as) + len + 1);

	if (as == NULL)
		return ERR_NOMEM;
	as->acct = a;
	as->fd = -1;
	as->path = (char *)(as + 1);
	memcpy(as->path, path, len + 1);
	as->file.path = as->path;
	as->is_cdb =
	    slice_ends_nocase(slice_of(path, len), SLICE_LIT("/cdb")) ||
	    slice_ends_nocase(slice_of(path, len), SLICE_LIT(".cdb"));
	*out = as;
	return OK;
}

void
assigned_close(struct assigned *as)
{
	if (as == NULL)
		return;
	if (as->fd >= 0)
		(void)close(as->fd);
	mem_free(as->acct, as->text);
	mem_free(as->acct, as);
}
