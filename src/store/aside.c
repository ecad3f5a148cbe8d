/*
 * aside: what is left of a damaged message goes to damaged/:
 *   ID.record  the bytes where its envelope should be
 *   ID.eml     the pieces of its body that verify, in order
 */
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "store/store_int.h"

enum { ASIDE_PATH_BYTES = 64 };

static enum err
create(struct store *s, uint64_t id, const char *suffix, int *fd_out,
    struct errtext *et)
{
	char path[ASIDE_PATH_BYTES];

	snprintf(path, sizeof(path), "damaged/%llu.%s", (unsigned long long)id,
	    suffix);
	*fd_out = s->disk->ops->open(s->disk, path, DISK_CREATE);
	if (*fd_out < 0)
		return err_sys(et, errno, "%s", path);
	return OK;
}

static enum err
finish(struct store *s, int fd, enum err e, struct errtext *et)
{
	if (e == OK && s->disk->ops->datasync(s->disk, fd) < 0)
		e = err_sys(et, errno, "damaged: fdatasync");
	s->disk->ops->close(s->disk, fd);
	return e;
}

/* The envelope record as it is; *rec decoded if it verifies. */
static enum err
save_record(struct store *s, const struct store_row *row,
    struct rec_envelope *rec, bool *ok_out, struct errtext *et)
{
	struct segment *g = segment_find(s, row->envelope.segment);
	uint32_t len = row->envelope.length;
	struct slice payload;
	int from, to;
	enum err e;

	e = store_read_record(s, row->envelope, RECORD_ENVELOPE, row->id,
	    s->load_buf, &payload, NULL);
	/* A read that failed proves nothing. */
	if (e != OK && e != ERR_CORRUPT)
		return e;
	*ok_out = e == OK && rec_envelope_get(payload, rec);
	from = g == NULL ? -1 : segment_fd(s, g);
	if (from < 0 || len > RECORD_BYTES_MAX)
		return OK; /* nothing to be saved */
	if (!*ok_out && disk_read_all(s->disk, from, s->load_buf, len,
			    row->envelope.offset, NULL) != OK)
		return OK;
	e = create(s, row->id, "record", &to, et);
	if (e != OK)
		return e;
	e = disk_write_all(s->disk, to, s->load_buf, len, 0, et);
	return finish(s, to, e, et);
}

static enum err
save_body(struct store *s, const struct store_row *row,
    const struct rec_envelope *rec, struct errtext *et)
{
	struct rd rd = rd_of(rec->extents);
	struct store_extent x;
	uint64_t at = 0;
	enum err e;
	int to;

	e = create(s, row->id, "eml", &to, et);
	if (e != OK)
		return e;
	for (uint32_t i = 0; e == OK && i < rec->extent_count; i++) {
		struct slice payload;
		struct store_pos pos;

		if (!extent_list_get(&rd, &x))
			break;
		pos = (struct store_pos){ x.segment,
			x.offset - RECORD_HEADER_BYTES,
			(uint32_t)record_bytes(x.length) };
		e = store_read_record(s, pos, RECORD_BODY, row->id,
		    s->load_buf2, &payload, et);
		if (e == ERR_CORRUPT) {
			e = OK;
			continue;
		}
		if (e != OK)
			break;
		e = disk_write_all(s->disk, to, payload.data, payload.len, at,
		    et);
		at += payload.len;
	}
	return finish(s, to, e, et);
}

enum err
store_set_aside(struct store *s, const struct store_row *row,
    struct errtext *et)
{
	struct store_row now = *row;
	struct rec_envelope rec;
	bool ok;
	enum err e;

	if (row->stamp != s->index.flush_count)
		return err_set(et, ERR_AGAIN, "row too old");
	if (!track_correct(s, &now) || now.held)
		return err_set(et, ERR_NOTFOUND, "finished or active");
	e = save_record(s, &now, &rec, &ok, et);
	if (e == OK && ok)
		e = save_body(s, &now, &rec, et);
	if (e == OK && s->disk->ops->dirsync(s->disk, "damaged") < 0)
		e = err_sys(et, errno, "damaged: fsync");
	if (e == OK)
		e = store_remove_append(s, row->id, NULL);
	return e;
}
