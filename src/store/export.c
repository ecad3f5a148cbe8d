/*
 * export: messages as files of their own, readable without Weir.
 *
 * The keys are those of `weir queue show --json`.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/envelope.h"
#include "store/inspect.h"
#include "store/store_int.h"

enum { EXPORT_ARENA_BYTES = 64 << 20, EXPORT_RCPTS = 1000 };

struct export
{
	struct store *s;
	int dir;
	uint64_t done;
	struct errtext *et;
};

static void
put_text(FILE *f, struct slice s)
{
	char buf[256];

	while (s.len > 0)
		fwrite(buf, 1, slice_json(&s, buf, sizeof(buf)), f);
}

static void
put_string(FILE *f, const char *key, struct slice s)
{
	fprintf(f, ",\"%s\":\"", key);
	put_text(f, s);
	fputc('"', f);
}

static void
put_bool(FILE *f, const char *key, bool b)
{
	fprintf(f, ",\"%s\":%s", key, b ? "true" : "false");
}

static const char *
queue_name(const struct store_message *m)
{
	return m->flags & STORE_HOLD	? "hold"
	       : m->flags & STORE_TRIED ? "deferred"
					: "incoming";
}

static void
put_envelope(FILE *f, const struct store_message *m, const struct envelope *e)
{
	static const char *const origins[ORIGIN_COUNT] = { "smtp", "submission",
		"lmtp", "local", "report" };
	static const char *const rets[] = { "", "FULL", "HDRS" };

	fprintf(f, "{\"queue_name\":\"%s\",\"queue_id\":\"%" PRIu64 "\"",
	    queue_name(m), m->id);
	fprintf(f, ",\"arrival_time\":%" PRIu64, e->arrival_ms / 1000);
	fprintf(f, ",\"message_size\":%" PRIu64, e->body_bytes);
	put_string(f, "sender", e->sender);
	fprintf(f, ",\"next_attempt\":%" PRId64, m->due_ms / 1000);
	put_string(f, "client_name", e->client_name);
	put_string(f, "client_address", e->client_address);
	put_string(f, "helo", e->helo);
	put_string(f, "protocol", e->protocol);
	put_string(f, "origin", slice_str(origins[e->origin]));
	if (e->origin == ORIGIN_LOCAL)
		fprintf(f, ",\"uid\":%" PRIu32, e->uid);
	put_string(f, "envid", e->envid);
	put_string(f, "ret", slice_str(rets[e->ret]));
	put_bool(f, "smtputf8", e->flags & ENVELOPE_UTF8);
	put_bool(f, "8bit", e->flags & ENVELOPE_8BIT);
	put_bool(f, "final_newline", !(e->flags & ENVELOPE_NO_FINAL_EOL));
}

static void
put_notify(FILE *f, uint8_t notify)
{
	static const struct {
		uint8_t bit;
		const char *name;
	} names[] = { { NOTIFY_NEVER, "NEVER" }, { NOTIFY_SUCCESS, "SUCCESS" },
		{ NOTIFY_FAILURE, "FAILURE" }, { NOTIFY_DELAY, "DELAY" } };
	const char *comma = "";

	if (notify == 0)
		return;
	fputs(",\"notify\":\"", f);
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (notify & names[i].bit) {
			fprintf(f, "%s%s", comma, names[i].name);
			comma = ",";
		}
	fputc('"', f);
}

static bool
put_rcpt(FILE *f, const struct store_rcpt *r)
{
	static const char *const states[STORE_STATUS_COUNT] = { "waiting",
		"failed", "delivered", "done" };
	struct rd rd = rd_of(r->encoded);
	struct envelope_rcpt e;

	if (!envelope_rcpt_get(&rd, &e))
		return false;
	fputs("{\"address\":\"", f);
	put_text(f, e.address);
	fprintf(f, "\",\"state\":\"%s\",\"attempts\":%u", states[r->status],
	    r->attempts);
	if (e.original.len > 0)
		put_string(f, "original", e.original);
	if (e.orcpt.len > 0)
		put_string(f, "orcpt", e.orcpt);
	put_notify(f, e.notify);
	if (r->dsn.len > 0)
		put_string(f, "dsn", r->dsn);
	if (r->text.len > 0)
		put_string(f, "delay_reason", r->text);
	fputc('}', f);
	return true;
}

/* The recipients that are not finished, a part at a time. */
static enum err
put_rcpts(struct export *x, const struct store_row *row, FILE *f)
{
	struct store_message m;
	struct store_extent *extents;
	struct arena ar;
	uint32_t from = 0, count;
	const char *comma = "";
	enum err e;

	arena_init(&ar, x->s->acct, 65536, EXPORT_ARENA_BYTES);
	fputs(",\"recipients\":[", f);
	do {
		e = store_peek(x->s, row, &ar, from, EXPORT_RCPTS, &m, &extents,
		    &count, x->et);
		for (uint32_t i = 0; e == OK && i < m.rcpt_count; i++) {
			fputs(comma, f);
			comma = ",";
			if (!put_rcpt(f, &m.rcpts[i]))
				e = ERR_CORRUPT;
		}
		from = e == OK ? m.next_index : 0;
		arena_reset(&ar);
	} while (e == OK && from < m.rcpt_total);
	fputs("]}\n", f);
	arena_fini(&ar);
	return e;
}

static enum err
put_body(struct export *x, const struct store_row *row,
    const struct store_extent *extents, uint32_t count, FILE *f)
{
	struct slice payload;

	for (uint32_t i = 0; i < count; i++) {
		struct store_pos pos = { extents[i].segment,
			extents[i].offset - RECORD_HEADER_BYTES,
			(uint32_t)record_bytes(extents[i].length) };
		enum err e = store_read_record(x->s, pos, RECORD_BODY, row->id,
		    x->s->load_buf2, &payload, x->et);

		if (e != OK)
			return e;
		fwrite(payload.data, 1, payload.len, f);
	}
	return OK;
}

static enum err
write_message(struct export *x, const struct store_row *row, FILE *f)
{
	struct store_message m;
	struct store_extent *extents;
	struct envelope env;
	struct arena ar;
	struct rd rd;
	uint32_t count;
	enum err e;

	arena_init(&ar, x->s->acct, 65536, EXPORT_ARENA_BYTES);
	e = store_peek(x->s, row, &ar, 0, 0, &m, &extents, &count, x->et);
	if (e == OK) {
		rd = rd_of(m.envelope);
		if (!envelope_get(&rd, &env))
			e = err_set(x->et, ERR_CORRUPT,
			    "envelope does not decode");
	}
	if (e == OK) {
		put_envelope(f, &m, &env);
		e = put_rcpts(x, row, f);
	}
	if (e == OK)
		e = put_body(x, row, extents, count, f);
	arena_fini(&ar);
	return e;
}

/* Under a temporary name until it is whole. */
static enum err
export_one(void *arg, const struct store_row *row)
{
	struct export *x = arg;
	char tmp[40], name[40];
	bool bad;
	enum err e;
	FILE *f;
	int fd;

	snprintf(tmp, sizeof(tmp), ".%" PRIu64 ".tmp", row->id);
	snprintf(name, sizeof(name), "%" PRIu64, row->id);
	fd = openat(x->dir, tmp,
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (f == NULL)
		return err_sys(x->et, errno, "%s", tmp);
	e = write_message(x, row, f);
	bad = fflush(f) != 0 || ferror(f) || fsync(fd) != 0;
	if (fclose(f) != 0)
		bad = true;
	if (e == OK && (bad || renameat(x->dir, tmp, x->dir, name) != 0))
		e = err_sys(x->et, errno, "%s", name);
	else if (e == OK)
		x->done++;
	if (e != OK)
		(void)unlinkat(x->dir, tmp, 0);
	if (e != ERR_CORRUPT)
		return e;
	store_damage(x->s,
	    &(struct store_damage){ STORE_DAMAGE_MESSAGE, row->envelope.segment,
		row->envelope.offset, row->envelope.length, row->id,
		x->et == NULL ? "cannot be read" : x->et->text });
	return OK;
}

enum err
inspect_export(struct store *s, const char *directory, uint64_t *done_out,
    struct errtext *et)
{
	struct export x = { .s = s, .et = et };
	enum err e;

	*done_out = 0;
	if (mkdir(directory, 0700) != 0 && errno != EEXIST)
		return err_sys(et, errno, "%s", directory);
	x.dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x.dir < 0)
		return err_sys(et, errno, "%s", directory);
	e = inspect_each(s, export_one, &x);
	if (e == OK && fsync(x.dir) != 0)
		e = err_sys(et, errno, "%s", directory);
	*done_out = x.done;
	close(x.dir);
	return e;
}
