/*
 * check_maps: what the entries of transport_maps say.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "table/source.h"
#include "weir/check.h"

enum {
	PATH_BYTES = 1100, /* more than a table's path may have */
	SHOWN_MAX = 100,   /* bytes of a key or a value */
	TOLD_MAX = 64,	   /* messages; the others are counted */
};

struct maps {
	const struct conf *conf;
	char place[CONF_SOURCE_BYTES]; /* of the parameter */
	unsigned errors, told, untold;
};

static void
put(struct slice s, size_t shown)
{
	struct slice part = slice_sub(s, 0, shown);
	char safe[64];

	while (part.len > 0)
		fwrite(safe, 1, slice_escape(&part, safe, sizeof(safe)),
		    stderr);
	if (s.len > shown)
		fputs("...", stderr);
}

/* One message, of line 0: the table stands in the configuration itself. */
static bool
begin(struct maps *m, bool is_error, const char *path, uint32_t line)
{
	m->errors += is_error;
	if (m->told == TOLD_MAX) {
		m->untold++;
		return false;
	}
	m->told++;
	if (!is_error)
		fputs("warning: ", stderr);
	if (path != NULL) {
		put(slice_str(path), PATH_BYTES);
		fprintf(stderr, ":%" PRIu32, line);
	} else {
		fputs(m->place, stderr);
	}
	fputs(": transport_maps: ", stderr);
	return true;
}

static void
check_entry(struct maps *m, const char *path, uint32_t line, struct slice key,
    struct slice value)
{
	struct slice transport, nexthop;
	struct errtext et = { "" };

	if (conf_transport_entry(m->conf, value, &transport, &nexthop, &et) ==
		OK ||
	    !begin(m, true, path, line))
		return;
	fputs("key \"", stderr);
	put(key, SHOWN_MAX);
	fputs("\": value \"", stderr);
	put(value, SHOWN_MAX);
	fputs("\": ", stderr);
	put(slice_str(et.text), sizeof(et.text));
	fputc('\n', stderr);
}

static void
check_source(struct maps *m, const char *path, struct source *source)
{
	struct source_entry entry;
	struct errtext et = { "" };
	enum err e;

	while ((e = source_next(source, &entry, &et)) == OK) {
		if (entry.fault == NULL)
			check_entry(m, path, entry.line, entry.key,
			    entry.value);
		else if (begin(m, false, path, entry.line))
			fprintf(stderr,
			    "%s, so it has no effect; write ADDRESS or DOMAIN, "
			    "blanks and TRANSPORT:NEXTHOP\n",
			    entry.fault);
	}
	if (e != ERR_NOTFOUND && begin(m, true, path, 0))
		fprintf(stderr, "cannot read the file: %s\n",
		    et.text[0] != '\0' ? et.text : err_text(e));
}

/* Whether a file must be there has been seen before. */
static void
check_file(struct maps *m, struct acct *acct, struct slice path,
    const char *suffix)
{
	char name[PATH_BYTES];
	struct source *source;
	int fd;

	if (suffix != NULL && slice_ends_nocase(path, slice_str(suffix)))
		path = slice_sub(path, 0, path.len - strlen(suffix));
	if (!slice_copy(path, name, sizeof(name)))
		return;
	/* A pipe of that name must not make us wait. */
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	if (source_open(acct, fd, TABLE_SYNTAX_MAP, true, &source) == OK) {
		check_source(m, name, source);
		source_close(source);
	}
	(void)close(fd);
}

static void
check_inline(struct maps *m, struct slice text)
{
	struct slice rest = slice_trim(text), key, value;
	enum err e;

	rest = slice_sub(rest, 1, rest.len - 1); /* the braces */
	while (conf_inline_next(&rest, &key, &value, &e))
		if (e == OK)
			check_entry(m, NULL, 0, key, value);
}

static void
check_table(struct maps *m, struct acct *acct, struct slice table)
{
	size_t colon = slice_find(table, ':');
	struct slice type = slice_sub(table, 0, colon);
	struct slice rest = slice_sub(table, colon + 1, table.len);

	if (slice_eq(type, SLICE_LIT("static")))
		check_entry(m, NULL, 0, SLICE_LIT("*"), rest);
	else if (slice_eq(type, SLICE_LIT("inline")))
		check_inline(m, rest);
	else if (slice_eq(type, SLICE_LIT("cdb")))
		check_file(m, acct, rest, ".cdb");
	else if (slice_eq(type, SLICE_LIT("lmdb")))
		check_file(m, acct, rest, ".lmdb");
	else
		check_file(m, acct, rest, NULL);
}

unsigned
check_transport_maps(struct cli *cli, const struct conf *conf)
{
	struct maps m = { .conf = conf };

	conf_source(conf, "transport_maps", m.place);
	for (size_t i = 0; i < conf->transport_maps.count; i++)
		check_table(&m, &cli->acct, conf->transport_maps.items[i]);
	if (m.untold > 0)
		fprintf(stderr, "transport_maps: and %u more\n", m.untold);
	return m.errors;
}
