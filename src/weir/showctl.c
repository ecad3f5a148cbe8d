/*
 * qmail-showctl: the control files in the words that administrators of qmail
 * look for, with the values that are in force here.
 *
 * A paragraph begins "FILE: "; "(Default.)" says that the file is not there,
 * "(/etc/weir/weir.conf:7.)" that something beats it.
 */
#include <dirent.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "conf/param.h"
#include "weir/cli.h"
#include "weir/commands.h"

enum { SHOWCTL_PATH_BYTES = 1200, SHOWCTL_RENDER_BYTES_MAX = 4 << 20 };
enum { QMAIL_OK = 0, QMAIL_PERM = 100, QMAIL_TEMP = 111 };

struct showctl {
	struct cli *cli;
	const struct conf *conf;
	const char *directory; /* of the control files; "": none */
};

/* One file: what stands before and after its value, or each of them. */
struct paragraph {
	const char *file;
	const char *before, *after;
	const char *none; /* of a list without items; NULL: a single value */
};

static const struct paragraph paragraphs[] = {
	{ "badmailfrom", "", " not accepted in MAIL FROM.",
	    "Any MAIL FROM is allowed." },
	{ "bouncefrom", "Bounce user name is ", ".", NULL },
	{ "bouncehost", "Bounce host name is ", ".", NULL },
	{ "concurrencylocal", "Local concurrency is ", ".", NULL },
	{ "concurrencyremote", "Remote concurrency is ", ".", NULL },
	{ "databytes", "SMTP DATA limit is ", " bytes.", NULL },
	{ "defaultdomain", "Default domain name is ", ".", NULL },
	{ "defaulthost", "Default host name is ", ".", NULL },
	{ "doublebouncehost", "2B recipient host: ", ".", NULL },
	{ "doublebounceto", "2B recipient user: ", ".", NULL },
	{ "envnoathost", "Presumed domain name is ", ".", NULL },
	{ "helohost", "SMTP client HELO host name is ", ".", NULL },
	{ "idhost", "Message-ID host name is ", ".", NULL },
	{ "localiphost", "Local IP address becomes ", ".", NULL },
	{ "locals", "Messages for ", " are delivered locally.",
	    "No messages are delivered locally." },
	{ "me", "My name is ", ".", NULL },
	{ "percenthack", "The percent hack is allowed for user%host@", ".",
	    "The percent hack is not allowed." },
	{ "plusdomain", "Plus domain name is ", ".", NULL },
	{ "qmqpservers", NULL, NULL, "No QMQP servers." },
	{ "queuelifetime", "Message lifetime in the queue is ", " seconds.",
	    NULL },
	{ "rcpthosts", "SMTP clients may send messages to recipients at ", ".",
	    "SMTP clients may send messages to nobody elsewhere." },
	{ "morercpthosts", "SMTP clients may send messages to recipients at ",
	    ".", "No effect." },
	{ "morercpthosts.cdb", NULL, NULL, "No effect." },
	{ "smtpgreeting", "SMTP greeting: 220 ", ".", NULL },
	{ "smtproutes", "SMTP route: ", "", "No artificial SMTP routes." },
	{ "timeoutconnect", "SMTP client connection timeout is ", " seconds.",
	    NULL },
	{ "timeoutremote", "SMTP client data timeout is ", " seconds.", NULL },
	{ "timeoutsmtpd", "SMTP server data timeout is ", " seconds.", NULL },
	{ "virtualdomains", "Virtual domain: ", "", "No virtual domains." },
};

static void
put_text(struct slice s)
{
	char buf[512];

	while (s.len > 0)
		fwrite(buf, 1, slice_escape(&s, buf, sizeof(buf)), stdout);
}

static bool
path_of(const struct showctl *s, const char *file,
    char path[static SHOWCTL_PATH_BYTES])
{
	return s->directory[0] != '\0' &&
	       (size_t)snprintf(path, SHOWCTL_PATH_BYTES, "%s/%s", s->directory,
		   file) < SHOWCTL_PATH_BYTES;
}

/* ---- values ---- */

/* The parameter that a file sets: of several the first. */
static const struct conf_param *
param_of(const char *file)
{
	for (size_t i = 0; i < conf_control_count; i++)
		if (strcmp(conf_controls[i].file, file) == 0)
			return &conf_params[conf_controls[i].id];
	return NULL;
}

/* "(Default.) ", the place in weir.conf that beats the file, or nothing. */
static bool
put_origin(const struct showctl *s, const struct paragraph *g,
    const struct conf_param *p)
{
	char source[CONF_SOURCE_BYTES], path[SHOWCTL_PATH_BYTES];

	conf_source(s->conf, p->name, source);
	if (strchr(source, ':') == NULL) {
		printf("(Default.) ");
		return true;
	}
	if (path_of(s, g->file, path) &&
	    slice_starts_nocase(slice_str(source), slice_str(path)))
		return true;
	printf("(%s.) ", source);
	return false;
}

/* The greeting without the word that qmail-smtpd adds to it. */
static struct slice
text_of(const struct paragraph *g, const char *text, bool by_file)
{
	struct slice value = slice_str(text), esmtp = SLICE_LIT(" ESMTP");

	if (by_file && strcmp(g->file, "smtpgreeting") == 0 &&
	    slice_ends_nocase(value, esmtp))
		value.len -= esmtp.len;
	return value;
}

static void
put_value(const struct showctl *s, const struct paragraph *g,
    const struct conf_param *p)
{
	const void *member = (const char *)s->conf + p->offset;
	bool by_file = put_origin(s, g, p);

	printf("%s", g->before);
	if (p->type == CONF_TYPE_STR)
		put_text(text_of(g, *(const char *const *)member, by_file));
	else
		printf("%" PRId64, *(const int64_t *)member /
				       (p->type == CONF_TYPE_TIME ? 1000 : 1));
	printf("%s\n", g->after);
}

static void
put_list(const struct showctl *s, const struct paragraph *g,
    const struct conf_param *p)
{
	const struct conf_list *list =
	    (const void *)((const char *)s->conf + p->offset);
	char source[CONF_SOURCE_BYTES];

	conf_source(s->conf, p->name, source);
	(void)put_origin(s, g, p);
	if (list->count == 0)
		printf("%s", g->none);
	else if (strchr(source, ':') != NULL)
		printf("\n");
	for (size_t i = 0; i < list->count; i++) {
		printf("%s%s", i > 0 ? "\n" : "", g->before);
		put_text(list->items[i]);
		printf("%s", g->after);
	}
	printf("\n");
}

/* ---- files that are more than a value ---- */

static void
put_rcpthosts(const struct showctl *s, const struct paragraph *g,
    const struct conf_param *p)
{
	put_list(s, g, p);
	if (!s->conf->rcpthosts_decide)
		printf("SMTP clients may send messages to local and virtual "
		       "domains, too.\n");
}

/* What the cdb was made of. */
static void
put_morercpthosts(const struct showctl *s, const struct paragraph *g)
{
	char path[SHOWCTL_PATH_BYTES], line[1024];
	FILE *f = path_of(s, g->file, path) ? fopen(path, "re") : NULL;

	if (f == NULL) {
		printf("(Default.) %s\n", g->none);
		return;
	}
	printf("\n");
	while (fgets(line, sizeof(line), f) != NULL) {
		struct slice item =
		    slice_trim(slice_of(line, strcspn(line, "\n")));

		if (item.len == 0 || item.data[0] == '#')
			continue;
		printf("%s", g->before);
		put_text(item);
		printf("%s\n", g->after);
	}
	fclose(f);
}

static void
put_cdb(const struct showctl *s, const struct paragraph *g)
{
	char path[SHOWCTL_PATH_BYTES];
	struct stat text, cdb;
	bool has_text, has_cdb;

	has_text = path_of(s, "morercpthosts", path) && stat(path, &text) == 0;
	has_cdb = path_of(s, g->file, path) && stat(path, &cdb) == 0;
	if (!has_text && !has_cdb)
		printf("(Default.) %s\n", g->none);
	else if (!has_text)
		printf("Oops! morercpthosts.cdb exists but morercpthosts "
		       "doesn't.\n");
	else if (!has_cdb)
		printf("Oops! morercpthosts exists but morercpthosts.cdb "
		       "doesn't.\n");
	else if (text.st_mtime > cdb.st_mtime)
		printf("Oops! morercpthosts.cdb is older than "
		       "morercpthosts.\n");
	else
		printf("Modified recently enough; hopefully up to date.\n");
}

static void
put_paragraph(const struct showctl *s, const struct paragraph *g)
{
	const struct conf_param *p = param_of(g->file);

	printf("\n%s: ", g->file);
	if (strcmp(g->file, "rcpthosts") == 0)
		put_rcpthosts(s, g, p);
	else if (strcmp(g->file, "morercpthosts") == 0)
		put_morercpthosts(s, g);
	else if (strcmp(g->file, "morercpthosts.cdb") == 0)
		put_cdb(s, g);
	else if (p == NULL)
		printf("(Default.) %s\n", g->none);
	else if (g->none != NULL)
		put_list(s, g, p);
	else
		put_value(s, g, p);
}

/* ---- around them ---- */

static void
put_head(const struct showctl *s)
{
	static const char *const users[] = { "weir", "weirq" };
	const char *slash = strrchr(s->directory, '/');
	unsigned found = 0;

	if (slash != NULL)
		printf("qmail home directory: %.*s.\n",
		    slash > s->directory ? (int)(slash - s->directory) : 1,
		    s->directory);
	else
		printf("qmail home directory: none; control_directory in "
		       "weir.conf names its control files.\n");
	printf("user-ext delimiter: %s.\n", s->conf->recipient_delimiter);
	printf("paternalism (in decimal): 2.\n");
	printf("silent concurrency limit: none; the log says what is "
	       "clamped.\n");
	printf("subdirectory split: none; messages lie in a log.\n");
	printf("user ids:");
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		const struct passwd *pw = getpwnam(users[i]);

		if (pw != NULL)
			printf("%s %u", found++ > 0 ? "," : "",
			    (unsigned)pw->pw_uid);
	}
	printf(found > 0 ? ".\n" : " none of Weir's own.\n");
}

static bool
is_known(const char *file)
{
	for (size_t i = 0; i < ARRAY_LEN(paragraphs); i++)
		if (strcmp(paragraphs[i].file, file) == 0)
			return true;
	return false;
}

static void
put_strangers(const struct showctl *s)
{
	DIR *d = s->directory[0] != '\0' ? opendir(s->directory) : NULL;
	const struct dirent *entry;

	while (d != NULL && (entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.' || is_known(entry->d_name))
			continue;
		printf("\n");
		put_text(slice_str(entry->d_name));
		printf(": I have no idea what this file does.\n");
	}
	if (d != NULL)
		closedir(d);
}

static bool
has_file(const struct conf_param *p)
{
	for (size_t i = 0; i < conf_control_count && p != NULL; i++)
		if (p == &conf_params[conf_controls[i].id])
			return true;
	return false;
}

/* What weir.conf says that no control file could. */
static enum err
put_rest(const struct showctl *s)
{
	struct errtext et;
	struct slice text, line, name;
	struct buf out;
	enum err e;

	buf_init(&out, &s->cli->acct, 65536, SHOWCTL_RENDER_BYTES_MAX);
	e = conf_render(s->conf, NULL, 0, CONF_RENDER_CHANGED, &out, &et);
	if (e == OK)
		printf("\nweir.conf: What no control file says:\n");
	for (text = buf_data(&out); e == OK && text.len > 0;) {
		line = slice_sub(text, 0, slice_find(text, '\n'));
		text = slice_sub(text, line.len + 1, text.len);
		name = slice_trim(slice_sub(line, 0, slice_find(line, '=')));
		if (!has_file(conf_param_find(name)))
			printf("%.*s\n", SLICE_ARGS(line));
	}
	buf_fini(&out);
	return e;
}

int
cmd_qmail_showctl(struct cli *cli)
{
	struct showctl s = { .cli = cli };
	int status = cli_parse_alone(cli, NULL, 0);
	enum err e;

	if (status != CLI_GO)
		return status == EX_OK ? QMAIL_OK : QMAIL_PERM;
	s.conf = cli_conf_qmail(cli);
	if (s.conf == NULL)
		return QMAIL_TEMP;
	s.directory = s.conf->control_directory;
	put_head(&s);
	for (size_t i = 0; i < ARRAY_LEN(paragraphs); i++)
		put_paragraph(&s, &paragraphs[i]);
	put_strangers(&s);
	e = put_rest(&s);
	conf_free(s.conf);
	return e == OK ? QMAIL_OK : QMAIL_TEMP;
}
