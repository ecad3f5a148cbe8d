/*
 * weir-fsck: reads a spool without changing it.
 *
 *   weir-fsck [--json] DIR       exit 0 when every record is sound
 *   weir-fsck --export OUT DIR   every queued message as a file OUT/ID
 *
 * DIR is a queue_directory, of a running or a stopped server.  Exit status
 * as in sysexits.h: 65 damage was found (and named), 64 usage, 66 there is no
 * spool, 74 it could not be read, 73 OUT could not be written.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/mem.h"
#include "store/disk.h"
#include "store/inspect.h"

struct fsck {
	const char *dir;
	bool json;
	uint64_t told;
};

static const char *const kinds[] = {
	[STORE_DAMAGE_RECORD] = "record",
	[STORE_DAMAGE_TABLE] = "table",
	[STORE_DAMAGE_SEGMENT] = "segment",
	[STORE_DAMAGE_TAIL] = "tail",
	[STORE_DAMAGE_MESSAGE] = "message",
	[STORE_DAMAGE_UNREADABLE] = "unreadable",
};

static void
put_escaped(const char *text, size_t (*escape)(struct slice *, char *, size_t))
{
	struct slice s = slice_str(text);
	char buf[512];

	while (s.len > 0)
		fwrite(buf, 1, escape(&s, buf, sizeof(buf)), stdout);
}

static void
on_damage(void *arg, const struct store_damage *d)
{
	struct fsck *f = arg;

	if (f->json) {
		printf("%s{\"kind\":\"%s\",\"segment\":%" PRIu64
		       ",\"offset\":%" PRIu64 ",\"length\":%" PRIu64
		       ",\"id\":\"%" PRIu64 "\",\"text\":\"",
		    f->told++ == 0 ? "" : ",", kinds[d->kind], d->segment,
		    d->offset, d->length, d->id);
		put_escaped(d->text, slice_json);
		printf("\"}");
		return;
	}
	f->told++;
	printf("%s: segment %" PRIu64 " offset %" PRIu64, f->dir, d->segment,
	    d->offset);
	if (d->length > 0)
		printf(" length %" PRIu64, d->length);
	if (d->id > 0)
		printf(" message %" PRIu64, d->id);
	printf(": ");
	put_escaped(d->text, slice_escape);
	printf("%s\n", d->kind == STORE_DAMAGE_TAIL
			   ? " (not acknowledged; no damage)"
			   : "");
}

static int
say(const struct fsck *f, enum err e, const char *text)
{
	if (f->json)
		printf("]}\n");
	fprintf(stderr, "weir-fsck: %s: %s\n", f->dir,
	    text[0] == '\0' ? err_text(e) : text);
	switch (e) {
	case ERR_NOTFOUND: return EX_NOINPUT;
	case ERR_VERSION: return EX_DATAERR;
	default: return EX_IOERR;
	}
}

static int
check(struct fsck *f, struct store *s, bool in_use)
{
	struct inspect_counts c;
	struct errtext et = { "" };
	enum err e = inspect_all(s, &c, &et);

	if (e != OK)
		return say(f, e, et.text);
	if (f->json)
		printf("],\"segments\":%" PRIu64 ",\"records\":%" PRIu64
		       ",\"messages\":%" PRIu64 ",\"damaged\":%" PRIu64
		       ",\"in_use\":%s}\n",
		    c.segment_count, c.record_count, c.message_count,
		    c.damage_count, in_use ? "true" : "false");
	else
		printf("%s: %" PRIu64 " segments, %" PRIu64 " records, %" PRIu64
		       " messages: ",
		    f->dir, c.segment_count, c.record_count, c.message_count);
	if (!f->json && c.damage_count == 0)
		printf("sound\n");
	else if (!f->json)
		printf("%" PRIu64 " damaged%s\n", c.damage_count,
		    in_use ? " (a server works on it: look again)" : "");
	return c.damage_count == 0 ? EX_OK : EX_DATAERR;
}

static int export(struct fsck *f, struct store *s, const char *to)
{
	uint64_t before = f->told, done;
	struct errtext et = { "" };
	enum err e = inspect_export(s, to, &done, &et);

	if (e != OK) {
		fprintf(stderr, "weir-fsck: %s\n", et.text);
		return EX_CANTCREAT;
	}
	printf("%" PRIu64 " messages exported\n", done);
	return f->told == before ? EX_OK : EX_DATAERR;
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
	struct fsck f = { 0 };
	struct store_events events = { .on_damage = on_damage };
	struct store_conf c = { .events = &events, .arg = &f };
	struct errtext et = { "" };
	const char *to = NULL;
	struct disk_posix disk;
	struct acct acct;
	struct store *s;
	bool in_use;
	int status;
	enum err e;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			f.json = true;
		else if (!strcmp(argv[i], "--export") && i + 1 < argc)
			to = argv[++i];
		else if (argv[i][0] == '-' || f.dir != NULL)
			return usage();
		else
			f.dir = argv[i];
	}
	if (f.dir == NULL || (f.json && to != NULL))
		return usage();
	e = disk_posix_open(&disk, f.dir, &et);
	if (e != OK) {
		fprintf(stderr, "weir-fsck: %s\n", et.text);
		return EX_NOINPUT;
	}
	acct_init(&acct, NULL, "fsck", 0, false, "");
	c.disk = &disk.disk;
	c.acct = &acct;
	if (f.json)
		printf("{\"damage\":[");
	e = inspect_open(&c, &s, &in_use, &et);
	if (e != OK)
		return say(&f, e, et.text);
	status = to == NULL ? check(&f, s, in_use) : export(&f, s, to);
	inspect_close(s);
	disk_posix_close(&disk);
	if (fflush(stdout) != 0 || ferror(stdout))
		return EX_IOERR;
	return status;
}
