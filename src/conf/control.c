/*
 * conf/control: a qmail control directory read as configuration.
 *
 * With a control directory qmail's defaults hold for every parameter that
 * has a control file.  A directory that served qmail should serve Weir: a
 * number is the digits at the start of the first line, one out of bounds is
 * clamped, an empty file leaves the default; each with a warning.  What has
 * no meaning at all is an error, as in weir.conf.
 */
#include <stdio.h>
#include <unistd.h>

#include "conf/load.h"

enum { CONTROL_PATH_BYTES = 1200 };

static struct slice
name_of(const struct conf_control *k)
{
	return slice_str(conf_params[k->id].name);
}

/* First line, without blanks at its end. */
static struct slice
first_line(struct slice text)
{
	struct slice line = SLICE_NONE;

	if (!conf_file_line(&text, &line))
		return SLICE_NONE;
	while (line.len > 0 && (line.data[line.len - 1] == ' ' ||
				   line.data[line.len - 1] == '\t'))
		line.len--;
	return line;
}

/* Keep text as value, its dollar signs being no names. */
static void
define_literal(struct loader *l, const struct conf_control *k,
    struct slice text, struct slice tail, struct conf_place at)
{
	struct buf b;

	buf_init(&b, &l->all->acct, 128, 2 * CONF_FILE_BYTES_MAX);
	if (conf_expand_quote(text, &b) != OK || buf_put(&b, tail) != OK)
		l->out_of_memory = true;
	else
		conf_define(l, k->id, buf_data(&b), CONF_ORIGIN_CONTROL, at);
	buf_fini(&b);
}

static void
define_number(struct loader *l, const struct conf_control *k, struct slice line,
    struct conf_place at)
{
	const struct conf_param *p = &conf_params[k->id];
	struct slice digits = line;
	const char *bound = NULL;
	char value[64];
	int64_t number, least, most;

	digits.len = 0;
	while (digits.len < line.len && line.data[digits.len] >= '0' &&
	       line.data[digits.len] <= '9')
		digits.len++;
	if (line.len == 0) {
		conf_report_add(l->report, false, at, name_of(k), line,
		    "empty; %s holds, as in qmail", k->def);
		return;
	}
	if (digits.len == 0) {
		conf_report_add(l->report, true, at, name_of(k), line,
		    "not a number; write one, or remove the file");
		return;
	}
	if (digits.len < line.len)
		conf_report_add(l->report, false, at, name_of(k), line,
		    "text after the number; write the number alone");
	(void)snprintf(value, sizeof(value), "%.*s%s",
	    SLICE_ARGS(slice_sub(digits, 0, 40)), k->unit);
	if (conf_number_parse(p, slice_str(p->least), &least, NULL) != OK ||
	    conf_number_parse(p, slice_str(p->most), &most, NULL) != OK)
		return;
	if (conf_number_parse(p, slice_str(value), &number, NULL) != OK ||
	    number > most)
		bound = p->most;
	else if (number < least)
		bound = p->least;
	if (bound != NULL) {
		conf_report_add(l->report, false, at, name_of(k), line,
		    "out of bounds; %s holds, write %s to %s", bound, p->least,
		    p->most);
		(void)snprintf(value, sizeof(value), "%s", bound);
	}
	conf_define(l, k->id, slice_str(value), CONF_ORIGIN_CONTROL, at);
}

/* Lines without comments, each one item.  An item that cannot be one is
 * reported with its line and left out. */
static void
define_list(struct loader *l, const struct conf_control *k, struct slice text,
    struct conf_place at)
{
	struct buf b;
	struct slice line;
	struct errtext et;
	enum err e = OK;

	buf_init(&b, &l->all->acct, 128, CONF_VALUE_BYTES_MAX);
	for (at.line = 1; e == OK && conf_file_line(&text, &line); at.line++) {
		line = slice_trim(line);
		if (line.len == 0 || line.data[0] == '#')
			continue;
		if (conf_item_check(&conf_params[k->id], line, false, &et) !=
		    OK) {
			/* In qmail such a line of badmailfrom fits no sender;
			 * it is no reason not to start. */
			conf_report_add(l->report,
			    conf_params[k->id].check != CONF_CHECK_SENDERS, at,
			    name_of(k), line, "%s", et.text);
			continue;
		}
		if (buf_data(&b).len > 0)
			e = buf_put(&b, SLICE_LIT(", "));
		if (e == OK)
			e = buf_put(&b, line);
	}
	at.line = 1;
	if (e == ERR_TOOBIG)
		conf_report_add(l->report, true, at, name_of(k), SLICE_NONE,
		    "longer than %d bytes; %s", CONF_VALUE_BYTES_MAX,
		    conf_params[k->id].check == CONF_CHECK_DOMAINS
			? "put the list into a table"
			: "write fewer items, such as .SUFFIX in place of "
			  "many domains");
	else if (e != OK)
		l->out_of_memory = true;
	else
		conf_define(l, k->id, buf_data(&b), CONF_ORIGIN_CONTROL, at);
	buf_fini(&b);
}

/* The file is there; what is used is the cdb that was made of it. */
static void
define_made(struct loader *l, const struct conf_control *k,
    struct conf_place at)
{
	char value[CONTROL_PATH_BYTES + 5], made[CONTROL_PATH_BYTES + 5];

	(void)snprintf(value, sizeof(value), "cdb:%s", at.file);
	(void)snprintf(made, sizeof(made), "%s.cdb", at.file);
	if (access(made, F_OK) == 0)
		define_literal(l, k, slice_str(value), SLICE_NONE, at);
	else
		conf_report_add(l->report, false, at, name_of(k), SLICE_NONE,
		    "there is no %s.cdb, so it has no effect; make it with "
		    "qmail-newmrh",
		    k->file);
}

static void
define_file(struct loader *l, const struct conf_control *k, struct slice text,
    struct conf_place at)
{
	switch (k->kind) {
	case CONF_CONTROL_LINE:
		define_literal(l, k, first_line(text), SLICE_NONE, at);
		break;
	case CONF_CONTROL_GREETING:
		define_literal(l, k, first_line(text), SLICE_LIT(" ESMTP"), at);
		break;
	case CONF_CONTROL_NUMBER:
		define_number(l, k, first_line(text), at);
		break;
	case CONF_CONTROL_LIST: define_list(l, k, text, at); break;
	case CONF_CONTROL_MADE: define_made(l, k, at); break;
	}
}

static void
read_one(struct loader *l, const struct conf_control *k, const char *directory)
{
	char path[CONTROL_PATH_BYTES];
	struct conf_place at = { NULL, 1 };
	struct slice text;
	struct errtext et;
	enum err e;

	(void)snprintf(path, sizeof(path), "%s/%s", directory, k->file);
	at.file = arena_copy(&l->all->arena, path, strlen(path));
	if (at.file == NULL) {
		l->out_of_memory = true;
		return;
	}
	if (k->def != NULL)
		conf_define(l, k->id, slice_str(k->def), CONF_ORIGIN_QMAIL,
		    (struct conf_place){ at.file, 0 });
	e = conf_file_read(&l->all->acct, path, &text, &et);
	if (e == ERR_NOTFOUND)
		return;
	if (e != OK) {
		conf_report_add(l->report, true, at, name_of(k), SLICE_NONE,
		    "%s; make it a readable file, or remove it", et.text);
		return;
	}
	define_file(l, k, text, at);
	mem_free(&l->all->acct, (void *)(uintptr_t)text.data);
}

static bool
is_there(const char *directory, const char *file,
    char path[static CONTROL_PATH_BYTES])
{
	(void)snprintf(path, CONTROL_PATH_BYTES, "%s/%s", directory, file);
	return access(path, F_OK) == 0;
}

/* qmail relays for everybody when there is no rcpthosts, and asks nothing else
 * when there is. */
static void
settle_rcpthosts(struct loader *l, const char *directory)
{
	const struct conf_value *v = &l->all->values[CONF_ID_relay_domains];
	char path[CONTROL_PATH_BYTES];

	if (v->origin == CONF_ORIGIN_CONTROL)
		conf_define(l, CONF_ID_rcpthosts_decide, SLICE_LIT("yes"),
		    CONF_ORIGIN_QMAIL, (struct conf_place){ v->file, v->line });
	else if (v->origin < CONF_ORIGIN_CONTROL &&
		 !is_there(directory, "rcpthosts", path))
		conf_report_add(l->report, true, (struct conf_place){ path, 1 },
		    SLICE_LIT("rcpthosts"), SLICE_NONE,
		    "missing, with which qmail relays for everybody; write "
		    "the domains that mail is accepted for into it, one a "
		    "line: those in locals and virtualdomains");
}

/* A setting for qmail-qmqpc, which sends all mail away. */
static void
refuse_qmqp(struct loader *l, const char *directory)
{
	char path[CONTROL_PATH_BYTES];

	if (is_there(directory, "qmqpservers", path))
		conf_report_add(l->report, true, (struct conf_place){ path, 1 },
		    SLICE_LIT("qmqpservers"), SLICE_NONE, "%s",
		    CONF_NO_QMQP "; remove the file, and write that server "
				 "into smtproutes or relayhost");
}

void
conf_control_read(struct loader *l, const char *directory)
{
	if (access(directory, R_OK | X_OK) != 0) {
		const struct conf_value *v =
		    &l->all->values[CONF_ID_control_directory];

		conf_report_add(l->report, true,
		    (struct conf_place){ v->file, v->line },
		    SLICE_LIT("control_directory"), slice_str(directory),
		    "cannot read it; write the path of a directory that "
		    "exists");
		return;
	}
	for (size_t i = 0; i < conf_control_count; i++)
		read_one(l, &conf_controls[i], directory);
	conf_define(l, CONF_ID_recipient_delimiter, SLICE_LIT("-"),
	    CONF_ORIGIN_QMAIL, (struct conf_place){ "qmail", 0 });
	settle_rcpthosts(l, directory);
	refuse_qmqp(l, directory);
}
