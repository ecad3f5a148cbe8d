/*
 * weir-fsck: reads a spool without changing it.
 *
 *   weir-fsck [--json] DIR       exit 0 when every record is sound
 *   weir-fsck --export OUT DIR   every queued message as a file OUT/ID
 *
 * DIR is a queue_directory, of a running or a stopped server.  Exit status
 * as in sysexits.h: 65 damage was found (and named), 64 usage, 66 there is no
 * spool, 74 it could not be read, 73 OUT could not be written.
 *
 * A server that works meanwhile moves messages and removes segments, which
 * looks like damage to a reader that comes too late.  So what is found in a
 * spool in use is looked for again, and only what is found in each of
 * FSCK_PASSES_MAX passes is told; an error must come in each of
 * FSCK_TRIES_MAX, or after the last pass has begun to print (fsck_out.h).
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/mem.h"
#include "store/disk.h"
#include "store/fsck_out.h"
#include "store/inspect.h"

enum {
	FSCK_PASSES_MAX = 4,
	FSCK_TRIES_MAX = 20,
	/* Places of damage that are looked for again; with more of them all
	 * are believed. */
	FSCK_PLACES_MAX = 4096,
};

/* Where a pass found damage. */
struct places {
	size_t count;
	struct place {
		uint64_t kind, segment, offset, id;
	} at[FSCK_PLACES_MAX];
};

struct fsck {
	const char *dir;
	const char *to; /* NULL: no export */
	bool json;
	struct fsck_out *out; /* what this pass says */
	size_t line_len;
	char line[FSCK_ENTRY_BYTES_MAX]; /* an entry in the making */
	unsigned passes;		 /* that found damage, before this */
	bool in_use;
	uint64_t told;
	uint64_t damage_count;	     /* told, and damage */
	const struct places *before; /* of the pass before; NULL: the first */
	struct places *now;
};

static const char *const kinds[] = {
	[STORE_DAMAGE_RECORD] = "record",
	[STORE_DAMAGE_TABLE] = "table",
	[STORE_DAMAGE_SEGMENT] = "segment",
	[STORE_DAMAGE_TAIL] = "tail",
	[STORE_DAMAGE_MESSAGE] = "message",
	[STORE_DAMAGE_UNREADABLE] = "unreadable",
};

/* No pass comes after this one. */
static bool
is_last(const struct fsck *f)
{
	return !f->in_use || f->to != NULL || f->passes + 1 >= FSCK_PASSES_MAX;
}

/* Append to the entry; what does not fit is cut. */
static void PRINTF(2, 3) add(struct fsck *f, const char *fmt, ...)
{
	size_t room = sizeof(f->line) - f->line_len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(f->line + f->line_len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		f->line_len += (size_t)n < room ? (size_t)n : room - 1;
}

static void
add_escaped(struct fsck *f, const char *text,
    size_t (*escape)(struct slice *, char *, size_t))
{
	struct slice s = slice_str(text);
	char buf[512];

	while (s.len > 0)
		add(f, "%.*s", (int)escape(&s, buf, sizeof(buf)), buf);
}

static void
say(struct fsck *f)
{
	fsck_out_put(f->out, f->line, f->line_len, is_last(f));
	f->line_len = 0;
}

/* Remember it; false: the pass before did not find it. */
static bool
is_believed(struct fsck *f, const struct store_damage *d)
{
	const struct place p = { d->kind, d->segment, d->offset, d->id };
	bool full = f->now->count == FSCK_PLACES_MAX;

	if (f->before != NULL && f->before->count < FSCK_PLACES_MAX) {
		size_t i = 0;

		while (i < f->before->count &&
		       memcmp(&f->before->at[i], &p, sizeof(p)) != 0)
			i++;
		if (i == f->before->count)
			return false;
	}
	if (!full)
		f->now->at[f->now->count++] = p;
	return true;
}

static void
on_damage(void *arg, const struct store_damage *d)
{
	struct fsck *f = arg;

	if (d->kind != STORE_DAMAGE_TAIL) {
		if (!is_believed(f, d))
			return;
		f->damage_count++;
	}
	if (f->json) {
		add(f,
		    "%s{\"kind\":\"%s\",\"segment\":%" PRIu64
		    ",\"offset\":%" PRIu64 ",\"length\":%" PRIu64
		    ",\"id\":\"%" PRIu64 "\",\"text\":\"",
		    f->told++ == 0 ? "" : ",", kinds[d->kind], d->segment,
		    d->offset, d->length, d->id);
		add_escaped(f, d->text, slice_json);
		add(f, "\"}");
		say(f);
		return;
	}
	f->told++;
	add(f, "%s: segment %" PRIu64 " offset %" PRIu64, f->dir, d->segment,
	    d->offset);
	if (d->length > 0)
		add(f, " length %" PRIu64, d->length);
	if (d->id > 0)
		add(f, " message %" PRIu64, d->id);
	add(f, ": ");
	add_escaped(f, d->text, slice_escape);
	add(f, "%s\n",
	    d->kind == STORE_DAMAGE_TAIL ? " (not acknowledged; no damage)"
					 : "");
	say(f);
}

static int
status_of(enum err e)
{
	switch (e) {
	case ERR_NOTFOUND: return EX_NOINPUT;
	case ERR_VERSION: return EX_DATAERR;
	default: return EX_IOERR;
	}
}

static const char *
plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static int
check(struct fsck *f, struct store *s, struct errtext *et)
{
	struct inspect_counts c;
	enum err e = inspect_all(s, &c, et);

	if (e != OK)
		return status_of(e);
	if (f->json)
		add(f,
		    "],\"segments\":%" PRIu64 ",\"records\":%" PRIu64
		    ",\"messages\":%" PRIu64 ",\"damaged\":%" PRIu64
		    ",\"in_use\":%s}\n",
		    c.segment_count, c.record_count, c.message_count,
		    f->damage_count, f->in_use ? "true" : "false");
	else
		add(f,
		    "%s: %" PRIu64 " segment%s, %" PRIu64 " record%s, %" PRIu64
		    " message%s: ",
		    f->dir, c.segment_count, plural(c.segment_count),
		    c.record_count, plural(c.record_count), c.message_count,
		    plural(c.message_count));
	if (!f->json && f->damage_count == 0)
		add(f, "sound\n");
	else if (!f->json)
		add(f, "%" PRIu64 " damaged\n", f->damage_count);
	say(f);
	return f->damage_count == 0 ? EX_OK : EX_DATAERR;
}

static int export(struct fsck *f, struct store *s, struct errtext *et)
{
	uint64_t before = f->told, done;
	enum err e = inspect_export(s, f->to, &done, et);

	if (e != OK)
		return EX_CANTCREAT;
	add(f, "%" PRIu64 " message%s exported\n", done, plural(done));
	say(f);
	return f->told == before ? EX_OK : EX_DATAERR;
}

/* One pass over the spool; what it says is in f->out, an error in et. */
static int
pass(struct fsck *f, struct disk *disk, struct acct *acct, struct errtext *et)
{
	struct store_events events = { .on_damage = on_damage };
	struct store_conf c = { .disk = disk,
		.acct = acct,
		.events = &events,
		.arg = f };
	struct store *s;
	enum err e;
	int status;

	f->told = f->damage_count = f->now->count = 0;
	et->text[0] = '\0';
	fsck_out_begin(f->out);
	if (f->json) {
		add(f, "{\"damage\":[");
		say(f);
	}
	e = inspect_open(&c, &s, &f->in_use, et);
	if (e == OK) {
		status = f->to == NULL ? check(f, s, et) : export(f, s, et);
		inspect_close(s);
	} else {
		status = status_of(e);
		if (et->text[0] == '\0')
			err_set(et, e, "%s", err_text(e));
	}
	if (f->json && et->text[0] != '\0') {
		add(f, "]}\n");
		say(f);
	}
	return status;
}

/* Again?  status is that of the pass that has been made. */
static bool
look_again(struct fsck *f, int status, unsigned *tries)
{
	if (!f->in_use || f->to != NULL || f->out->printed)
		return false;
	if (status == EX_OK && !f->out->left_out)
		return false;
	if (status != EX_OK && status != EX_DATAERR)
		return ++*tries < FSCK_TRIES_MAX;
	return ++f->passes < FSCK_PASSES_MAX;
}

static int
run(struct fsck *f, struct disk *disk)
{
	static struct places places[2];
	struct errtext et = { "" };
	unsigned tries = 0;
	struct acct acct;
	int status;

	acct_init(&acct, NULL, "fsck", 0, false, "");
	f->now = &places[0];
	for (;;) {
		status = pass(f, disk, &acct, &et);
		if (!look_again(f, status, &tries))
			break;
		/* What a pass that broke off found says nothing. */
		if (status == EX_DATAERR) {
			f->before = f->now;
			f->now = &places[f->passes % 2];
		}
	}
	if (!fsck_out_end(f->out))
		status = EX_IOERR;
	if (et.text[0] != '\0')
		fprintf(stderr, "weir-fsck: %s: %s\n", f->dir, et.text);
	return status;
}

static int
usage(void)
{
	fprintf(stderr, "usage: weir-fsck [--json] [--export OUT] DIR\n");
	return EX_USAGE;
}

int
main(int argc, char **argv)
{
	static struct fsck_out out;
	static struct fsck f = { .out = &out };
	struct errtext et = { "" };
	struct disk_posix disk;
	int status;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			f.json = true;
		else if (!strcmp(argv[i], "--export") && i + 1 < argc)
			f.to = argv[++i];
		else if (argv[i][0] == '-' || f.dir != NULL)
			return usage();
		else
			f.dir = argv[i];
	}
	if (f.dir == NULL || (f.json && f.to != NULL))
		return usage();
	if (disk_posix_open(&disk, f.dir, &et) != OK) {
		fprintf(stderr, "weir-fsck: %s\n", et.text);
		return EX_NOINPUT;
	}
	status = run(&f, &disk.disk);
	disk_posix_close(&disk);
	return status;
}
