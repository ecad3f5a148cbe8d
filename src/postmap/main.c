/*
 * weir-postmap: postmap, postalias and newaliases.
 *
 *   weir-postmap NAME [options] [TYPE:]FILE...
 *
 * The light command executes it, for it links LMDB and libcdb.  It runs as
 * whoever called it; for the superuser it makes the table of a user's file as
 * that user.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "postmap/postmap.h"

void
postmap_say(const struct postmap *p, const char *fmt, ...)
{
	char text[2048], safe[4096];
	struct slice s;
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	s = slice_str(text);
	n = slice_escape(&s, safe, sizeof(safe));
	(void)fflush(stdout);
	fprintf(stderr, "%s: %.*s\n", p->self, (int)n, safe);
}

int
postmap_fail(const struct postmap *p, enum err e, const char *text)
{
	postmap_say(p, "%s", text[0] != '\0' ? text : err_text(e));
	switch (e) {
	case ERR_CONFIG: return EX_CONFIG;
	case ERR_NOTFOUND: return EX_NOINPUT;
	case ERR_TOOBIG:
	case ERR_CORRUPT:
	case ERR_SYNTAX: return EX_DATAERR;
	case ERR_IO: return EX_IOERR;
	case ERR_DENIED: return EX_NOPERM;
	default: return EX_TEMPFAIL;
	}
}

static int
usage(const struct postmap *p)
{
	if (strcmp(p->self, "newaliases") == 0)
		fprintf(stderr, "usage: newaliases [-v] [-C FILE]\n");
	else
		fprintf(stderr,
		    "usage: %s [-fNnprsvw] [-c FILE] [-o name=value] "
		    "[-q KEY | -d KEY | -i] [TYPE:]FILE...\n",
		    p->self);
	return EX_USAGE;
}

static const struct conf *
config(struct postmap *p)
{
	struct conf_report *report;

	if (p->conf != NULL)
		return p->conf;
	report = conf_report_new(&p->acct);
	if (report == NULL) {
		postmap_say(p, "out of memory");
		return NULL;
	}
	if (conf_load(&p->acct, &p->input, report, &p->conf) != OK) {
		for (unsigned i = 0; i < report->count; i++)
			if (report->messages[i].is_error)
				postmap_say(p, "%s", report->messages[i].text);
		p->conf = NULL;
	}
	conf_report_free(&p->acct, report);
	return p->conf;
}

/* TYPE:PATH, PATH, inline:{...} or static:VALUE; 0, or an exit status. */
static int
parse_table(struct postmap *p, struct slice word, struct postmap_table *out)
{
	size_t colon = slice_find(word, ':');
	struct slice type = slice_sub(word, 0, colon);
	struct slice path = slice_sub(word, colon + 1, word.len);

	*out = (struct postmap_table){ .name = word.data };
	if (colon == word.len || slice_find(type, '/') != type.len) {
		path = word;
		if (config(p) == NULL)
			return EX_CONFIG;
		out->kind =
		    p->conf->default_database_type == 0 ? MAKE_CDB : MAKE_LMDB;
	} else if (slice_eq(type, SLICE_LIT("inline")) ||
		   slice_eq(type, SLICE_LIT("static"))) {
		out->has_no_file = true;
		return EX_OK;
	} else if (slice_eq(type, SLICE_LIT("text")) ||
		   slice_eq(type, SLICE_LIT("hash")) ||
		   slice_eq(type, SLICE_LIT("texthash"))) {
		out->is_text = true;
	} else if (!make_kind_of(type, &out->kind)) {
		postmap_say(p,
		    "%.*s: cannot make this type; write cdb:FILE, lmdb:FILE "
		    "or FILE",
		    SLICE_ARGS(word));
		return EX_USAGE;
	}
	if (path.len == 0 || !slice_copy(path, out->path, sizeof(out->path))) {
		postmap_say(p, "%.*s: no path, or one too long",
		    SLICE_ARGS(word));
		return EX_USAGE;
	}
	return EX_OK;
}

static int
run_table(struct postmap *p, struct slice word)
{
	static struct postmap_table t;
	int status = parse_table(p, word, &t);

	if (status != EX_OK)
		return status;
	if (p->query != NULL)
		return postmap_query(p, &t);
	if (p->list)
		return postmap_list(p, &t);
	if (t.has_no_file) {
		postmap_say(p, "%s: it can only be asked, with -q%s", t.name,
		    t.name[0] == 'i' ? " or -s" : "");
		return EX_USAGE;
	}
	if (p->remove != NULL || p->add) {
		if (!t.is_text)
			return postmap_change(p, &t);
		postmap_say(p, "%s: a text is changed with an editor", t.name);
		return EX_USAGE;
	}
	return postmap_build(p, &t);
}

static int
newaliases(struct postmap *p)
{
	int status = EX_OK, s;

	if (config(p) == NULL)
		return EX_CONFIG;
	for (size_t i = 0; i < p->conf->alias_database.count; i++) {
		s = run_table(p, p->conf->alias_database.items[i]);
		if (status == EX_OK)
			status = s;
	}
	return status;
}

static int
set_option(struct postmap *p, int c)
{
	switch (c) {
	case 'C': /* of sendmail, whose name newaliases is elsewhere */
	case 'c': p->input.path = optarg; break;
	case 'd': p->remove = optarg; break;
	case 'f': p->keep_case = true; break;
	case 'i': p->add = true; break;
	case 'N': p->with_nul = true; break;
	case 'n': p->with_nul = false; break;
	case 'o':
		if (p->input.override_count == ARRAY_LEN(p->overrides))
			return usage(p);
		p->overrides[p->input.override_count++] = optarg;
		break;
	case 'p': p->private_mode = true; break;
	case 'q': p->query = optarg; break;
	case 'r': p->replace = true; break;
	case 's': p->list = true; break;
	case 'u': break; /* keys are UTF-8 or not, as they come */
	case 'v': p->verbose = true; break;
	case 'w': p->quiet = true; break;
	default: return usage(p);
	}
	return EX_OK;
}

static int
run(struct postmap *p, int argc, char **argv)
{
	bool aliases = strcmp(p->self, "newaliases") == 0;
	int status = EX_OK, c, s;

	while ((c = getopt(argc, argv,
		    aliases ? "+C:c:o:v" : "+c:d:fiNno:pq:rsuvw")) != -1) {
		status = set_option(p, c);
		if (status != EX_OK)
			return status;
	}
	if ((p->query != NULL) + (p->remove != NULL) + p->add + p->list > 1) {
		postmap_say(p, "only one of -q, -d, -i and -s");
		return EX_USAGE;
	}
	if (aliases)
		return optind == argc ? newaliases(p) : usage(p);
	if (optind == argc)
		return usage(p);
	for (int i = optind; i < argc; i++) {
		s = run_table(p, slice_str(argv[i]));
		/* Of -q and -d the first table that has the key decides. */
		if (p->query != NULL || p->remove != NULL) {
			status = s;
			if (s != 1)
				break;
		} else if (status == EX_OK) {
			status = s;
		}
	}
	return status;
}

int
main(int argc, char **argv)
{
	static struct postmap p;
	int status;

	if (argc < 2)
		return EX_USAGE;
	p.self = argv[1];
	p.syntax = strcmp(p.self, "postmap") == 0 ? TABLE_SYNTAX_MAP
						  : TABLE_SYNTAX_ALIASES;
	p.input.path = getenv("WEIR_CONF");
	p.input.overrides = p.overrides;
	acct_init(&p.acct, NULL, "postmap", 0, false, "");
	status = run(&p, argc - 1, argv + 1);
	if (p.conf != NULL)
		conf_free(p.conf);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		postmap_say(&p, "standard output: %s", strerror(errno));
		return EX_IOERR;
	}
	return status;
}
