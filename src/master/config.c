/*
 * config: loading, pinning what a reload cannot change, rendering.
 */
#include "master/config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "role/machine.h"

enum {
	DERIVED_COUNT = 3,
	DERIVED_BYTES = 64,
	PINNED_MAX = 64,
};

/* Overrides beyond those of the command line. */
struct extra {
	struct arena arena;
	const char *items[DERIVED_COUNT + PINNED_MAX];
	size_t count;
};

static void
log_report(const struct conf_report *r)
{
	for (unsigned i = 0; i < r->count; i++) {
		if (r->messages[i].is_error)
			log_error("%s", r->messages[i].text);
		else
			log_warning("%s", r->messages[i].text);
	}
}

static enum err
load(const struct config *c, const struct extra *extra, bool say,
    const struct conf **out)
{
	const char *overrides[CONF_OVERRIDE_COUNT_MAX];
	struct conf_input in = { .path = c->path, .overrides = overrides };
	struct conf_report *report;
	enum err e;

	for (size_t i = 0; i < c->override_count; i++)
		overrides[in.override_count++] = c->overrides[i];
	for (size_t i = 0; extra != NULL && i < extra->count; i++) {
		if (in.override_count == CONF_OVERRIDE_COUNT_MAX)
			return ERR_FULL;
		overrides[in.override_count++] = extra->items[i];
	}
	report = conf_report_new(c->acct);
	if (report == NULL)
		return ERR_NOMEM;
	e = conf_load(c->acct, &in, report, out);
	if (say || e != OK)
		log_report(report);
	if (e != OK && report->error_count == 0)
		log_error("configuration: %s", err_text(e));
	conf_report_free(c->acct, report);
	return e;
}

/* ---- what is added to the configuration that was read ---- */

static enum err
extra_add(struct extra *x, const char *text)
{
	char *copy;

	if (x->count == ARRAY_LEN(x->items))
		return ERR_FULL;
	copy = arena_copy(&x->arena, text, strlen(text));
	if (copy == NULL)
		return ERR_FULL;
	x->items[x->count++] = copy;
	return OK;
}

static enum err
extra_number(struct extra *x, const char *name, int64_t value)
{
	char text[DERIVED_BYTES];

	snprintf(text, sizeof(text), "%s=%" PRId64, name, value);
	return extra_add(x, text);
}

static bool
is_derived(const char *name)
{
	return strcmp(name, "smtpd_processes") == 0 ||
	       strcmp(name, "smtp_processes") == 0 ||
	       strcmp(name, "concurrency_incoming") == 0;
}

static enum err
add_derived(struct extra *x, const struct plan *p)
{
	enum err e;

	e = extra_number(x, "smtpd_processes", p->parts[ROLE_SMTPD].count);
	if (e == OK)
		e = extra_number(x, "smtp_processes",
		    p->parts[ROLE_SMTP].count);
	if (e == OK)
		e = extra_number(x, "concurrency_incoming",
		    p->concurrency_incoming);
	return e;
}

/* The value in force of a parameter that only a start can change. */
static enum err
add_pinned(const struct config *c, struct extra *x, const char *name)
{
	struct buf text;
	enum err e;

	buf_init(&text, c->acct, 256, CONF_VALUE_BYTES_MAX + 256);
	e = conf_render(c->used, &name, 1, CONF_RENDER_EXPANDED, &text, NULL);
	if (e == OK)
		e = buf_put(&text, slice_of("", 1));
	if (e == OK) {
		/* "name = value\n" */
		char *line = text.data + text.first;

		line[strcspn(line, "\n")] = 0;
		e = extra_add(x, line);
	}
	buf_fini(&text);
	return e;
}

/* Names that differ from what was read at the start; each is logged. */
static enum err
add_all_pinned(const struct config *c, const struct conf *fresh,
    struct extra *x)
{
	const char *name;
	enum err e = OK;

	for (unsigned n = 0;
	     e == OK && (name = conf_restart_needed(c->read, fresh, n)) != NULL;
	     n++) {
		log_warning("%s: the new value takes effect at the next start",
		    name);
		if (!is_derived(name))
			e = add_pinned(c, x, name);
	}
	return e;
}

/* ---- the text for the roles ---- */

static enum err
write_all(int fd, struct slice s)
{
	while (s.len > 0) {
		ssize_t n = write(fd, s.data, s.len);

		if (n < 0 && errno != EINTR)
			return err_from_errno(errno);
		if (n > 0)
			s = slice_sub(s, (size_t)n, s.len);
	}
	return OK;
}

static enum err
make_text(struct config *c, const struct conf *conf, int *fd_out)
{
	struct buf text;
	enum err e;
	int fd;

	fd = memfd_create("weir.conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_from_errno(errno);
	buf_init(&text, c->acct, 4096, CONF_BYTES_MAX);
	e = conf_render(conf, NULL, 0, 0, &text, NULL);
	if (e == OK)
		e = write_all(fd, buf_data(&text));
	buf_fini(&text);
	if (e == OK &&
	    fcntl(fd, F_ADD_SEALS,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
		e = err_from_errno(errno);
	if (e != OK) {
		close(fd);
		return e;
	}
	*fd_out = fd;
	return OK;
}

enum err
config_text_reader(const struct config *c, int *fd_out)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", c->text_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_from_errno(errno);
	*fd_out = fd;
	return OK;
}

/* ---- start and reload ---- */

/* The configuration with its extras takes the place of the old one. */
static enum err
put_in_force(struct config *c, const struct extra *x)
{
	const struct conf *conf;
	enum err e;
	int fd;

	e = load(c, x, false, &conf);
	if (e != OK)
		return e;
	e = make_text(c, conf, &fd);
	if (e != OK) {
		log_error("configuration: %s", err_text(e));
		conf_free(conf);
		return e;
	}
	conf_free(c->used);
	if (c->text_fd >= 0)
		close(c->text_fd);
	c->used = conf;
	c->text_fd = fd;
	c->generation++;
	return OK;
}

static void
extra_init(struct extra *x, struct acct *a)
{
	*x = (struct extra){ .count = 0 };
	arena_init(&x->arena, a, 1024, 1 << 20);
}

/* The plan of memory; what does not fit, or is not to be had here, is an error
 * of memory_budget. */
static enum err
fit(const struct conf *conf, struct plan *out)
{
	struct errtext et = { "" };
	char source[CONF_SOURCE_BYTES];
	enum err e =
	    plan_make(conf, plan_cpu_count(), plan_nofile_max(), out, &et);

	if (e == OK)
		e = machine_memory("", conf->memory_budget_bytes, &et);
	if (e != OK) {
		conf_source(conf, "memory_budget", source);
		log_error("%s: %s", source, et.text);
		return e;
	}
	e = plan_check_nofile(out, plan_nofile_max(), &et);
	if (e != OK)
		log_error("%s", et.text);
	return e;
}

enum err
config_start(struct config *c)
{
	struct extra x;
	enum err e;

	c->text_fd = -1;
	e = load(c, NULL, true, &c->read);
	if (e != OK)
		return e;
	e = fit(c->read, &c->plan);
	if (e != OK)
		return e;
	extra_init(&x, c->acct);
	e = add_derived(&x, &c->plan);
	if (e == OK)
		e = put_in_force(c, &x);
	arena_fini(&x.arena);
	return e;
}

enum err
config_reload(struct config *c)
{
	struct plan plan;
	const struct conf *fresh;
	struct extra x;
	enum err e;

	e = load(c, NULL, true, &fresh);
	if (e != OK)
		return e;
	/* What could not be started again is not taken either. */
	e = fit(fresh, &plan);
	if (e != OK) {
		conf_free(fresh);
		return e;
	}
	extra_init(&x, c->acct);
	e = add_all_pinned(c, fresh, &x);
	conf_free(fresh);
	if (e == OK)
		e = add_derived(&x, &c->plan);
	if (e == OK)
		e = put_in_force(c, &x);
	arena_fini(&x.arena);
	return e;
}

void
config_end(struct config *c)
{
	if (c->text_fd >= 0)
		close(c->text_fd);
	conf_free(c->used);
	conf_free(c->read);
}
