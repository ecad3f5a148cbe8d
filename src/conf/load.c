/*
 * conf/load: from files to struct conf.
 *
 * Happy path: defaults; the definitions of weir.conf and of -o; the control
 * directory that they name; expansion, type and check of every value; the
 * checks across values.  Every error is reported, not only the first; with
 * any error nothing is returned.
 */
#include <string.h>
#include <unistd.h>

#include "conf/load.h"
#include "conf/net.h"

static struct conf_all *
all_new(struct acct *a)
{
	struct conf_all *all = mem_alloc(a, sizeof(*all));

	if (all == NULL)
		return NULL;
	all->parent = a;
	acct_init(&all->acct, a, "configuration", CONF_BYTES_MAX, false, "");
	arena_init(&all->arena, &all->acct, 4096, CONF_BYTES_MAX);
	for (size_t i = 0; i < CONF_ID_COUNT; i++)
		all->values[i].raw = slice_str(conf_params[i].def);
	return all;
}

void
conf_free(const struct conf *c)
{
	struct conf_all *all;

	if (c == NULL)
		return;
	all = (struct conf_all *)(uintptr_t)conf_all_of(c);
	arena_fini(&all->arena);
	acct_fini(&all->acct);
	mem_free(all->parent, all);
}

static void
set_raw(struct loader *l, enum conf_id id, struct slice text)
{
	const char *copy = arena_copy(&l->all->arena, text.data, text.len);

	if (copy == NULL)
		l->out_of_memory = true;
	else
		l->all->values[id].raw = slice_of(copy, text.len);
}

static void
set_domain(struct loader *l, struct slice host)
{
	size_t dot = slice_find(host, '.');

	if (dot == host.len)
		set_raw(l, CONF_ID_mydomain, SLICE_LIT("localdomain"));
	else
		set_raw(l, CONF_ID_mydomain,
		    slice_sub(host, dot + 1, host.len));
}

/* The defaults that the system gives. */
static void
set_system_names(struct loader *l)
{
	char name[256];
	struct slice host;

	if (gethostname(name, sizeof(name)) != 0)
		name[0] = '\0';
	name[sizeof(name) - 1] = '\0';
	host = slice_str(name);
	if (!net_host_valid(host))
		host = SLICE_LIT("localhost");
	set_raw(l, CONF_ID_myhostname, host);
	set_domain(l, host);
}

static void
finish(struct loader *l)
{
	struct conf_all *all = l->all;
	struct slice host;
	bool failed;

	if (all->values[CONF_ID_mydomain].origin == CONF_ORIGIN_DEFAULT &&
	    conf_value_expand(l, all->values[CONF_ID_myhostname].raw, &host,
		NULL) == OK)
		set_domain(l, host);
	/* What was written first: a default, ours or qmail's, that is wrong
	 * only because of it is not worth a second message. */
	for (size_t i = 0; i < CONF_ID_COUNT; i++)
		if (all->values[i].origin > CONF_ORIGIN_QMAIL)
			conf_value_finish(l, (enum conf_id)i);
	failed = conf_loader_failed(l);
	for (size_t i = 0; i < CONF_ID_COUNT && !failed; i++)
		if (all->values[i].origin <= CONF_ORIGIN_QMAIL)
			conf_value_finish(l, (enum conf_id)i);
	conf_pipes_finish(l);
	if (conf_loader_failed(l) || l->out_of_memory)
		return;
	for (size_t i = 0; i < CONF_ID_COUNT; i++)
		all->values[i].changed = conf_value_differs(l, (enum conf_id)i);
	conf_cross_check(l);
}

static void
read_file(struct loader *l, const char *path)
{
	const char *given = path != NULL ? path : CONF_PATH_DEFAULT;
	const char *file = arena_copy(&l->all->arena, given, strlen(given));
	struct slice text;
	struct errtext et;
	enum err e;

	if (file == NULL) {
		l->out_of_memory = true;
		return;
	}
	e = conf_file_read(&l->all->acct, file, &text, &et);
	if (e == ERR_NOTFOUND && path == NULL)
		return; /* the defaults hold */
	if (e != OK) {
		conf_report_add(l->report, true, (struct conf_place){ file, 0 },
		    SLICE_LIT("weir.conf"), slice_str(file),
		    "%s; give the path of a readable file with -c", et.text);
		return;
	}
	conf_define_text(l, text, file);
	mem_free(&l->all->acct, (void *)(uintptr_t)text.data);
}

static void
read_control(struct loader *l)
{
	const struct conf_value *v = &l->all->values[CONF_ID_control_directory];
	const struct conf_param *p = &conf_params[CONF_ID_control_directory];
	struct slice directory;

	/* What is wrong with the value itself is reported by finish(). */
	if (conf_value_expand(l, v->raw, &directory, NULL) == OK &&
	    directory.len > 0 &&
	    conf_item_check(p, directory, false, NULL) == OK)
		conf_control_read(l, directory.data);
}

/* The common end: OK with *out, or nothing left behind. */
static enum err
loader_end(struct loader *l, const struct conf **out)
{
	if (!l->out_of_memory && !conf_loader_failed(l)) {
		*out = &l->all->conf;
		return OK;
	}
	conf_free(&l->all->conf);
	return l->out_of_memory ? ERR_NOMEM : ERR_CONFIG;
}

enum err
conf_load(struct acct *a, const struct conf_input *in,
    struct conf_report *report, const struct conf **out)
{
	struct loader l = {
		.report = report,
		.errors_before = report->error_count,
		.look_at_files = true,
	};

	l.all = all_new(a);
	if (l.all == NULL)
		return ERR_NOMEM;
	set_system_names(&l);
	read_file(&l, in->path);
	if (in->override_count > CONF_OVERRIDE_COUNT_MAX)
		conf_report_add(report, true,
		    (struct conf_place){ "-o", CONF_OVERRIDE_COUNT_MAX + 1 },
		    SLICE_LIT("-o"), SLICE_NONE,
		    "more than %d of them; put them into a file",
		    CONF_OVERRIDE_COUNT_MAX);
	else
		for (size_t i = 0; i < in->override_count; i++)
			conf_define_option(&l, slice_str(in->overrides[i]),
			    (unsigned)i + 1);
	read_control(&l);
	finish(&l);
	return loader_end(&l, out);
}

enum err
conf_load_text(struct acct *a, struct slice text, const char *name,
    struct conf_report *report, const struct conf **out)
{
	struct loader l = {
		.report = report,
		.errors_before = report->error_count,
	};
	const char *file;

	l.all = all_new(a);
	if (l.all == NULL)
		return ERR_NOMEM;
	file = arena_copy(&l.all->arena, name, strlen(name));
	set_system_names(&l);
	if (file == NULL)
		l.out_of_memory = true;
	else
		conf_define_text(&l, text, file);
	finish(&l);
	return loader_end(&l, out);
}

enum err
conf_load_fd(struct acct *a, int fd, const struct conf **out,
    struct errtext *et)
{
	struct conf_report *report;
	struct slice text;
	enum err e;

	e = conf_file_read_fd(a, fd, &text, et);
	if (e != OK)
		return e;
	report = conf_report_new(a);
	if (report == NULL) {
		e = err_set(et, ERR_NOMEM, "no memory for the configuration");
		goto free_text;
	}
	e = conf_load_text(a, text, "configuration", report, out);
	if (e == ERR_CONFIG)
		e = err_set(et, e, "%s", report->messages[0].text);
	else if (e != OK)
		e = err_set(et, e, "no memory for the configuration");
	conf_report_free(a, report);
free_text:
	mem_free(a, (void *)(uintptr_t)text.data);
	return e;
}
