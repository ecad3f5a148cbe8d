/*
 * conf/pipe: "transport NAME = pipe ...", and the parameters named after it.
 *
 * A transport has five values: its definition and four limits.  Each is kept
 * as the value of a parameter is, whichever comes first in the file; only at
 * the end is it known whether NAME_time_limit belongs to a transport.  The
 * definition (pipe_read.c) is not expanded: its ${names} are facts of a
 * delivery.
 */
#include <stdio.h>

#include "alias/pipe_args.h"
#include "conf/load.h"

/* The values after the definition, in the order of enum conf_pipe_value. */
static const struct {
	const char *suffix;
	struct conf_param param; /* all but its name */
} limits[CONF_PIPE_VALUES] = {
	[CONF_PIPE_TIME_LIMIT] = { "_time_limit",
	    { .type = CONF_TYPE_TIME,
		.def = "$command_time_limit",
		.least = "1s",
		.most = "1d",
		.unit = "s",
		.zero = "" } },
	[CONF_PIPE_CONCURRENCY] = { "_destination_concurrency_limit",
	    { .type = CONF_TYPE_INT,
		.def = "$default_destination_concurrency_limit",
		.least = "0",
		.most = "10000",
		.unit = "deliveries",
		.zero = "only the gates bound it" } },
	[CONF_PIPE_RECIPIENTS] = { "_destination_recipient_limit",
	    { .type = CONF_TYPE_INT,
		.def = "$default_destination_recipient_limit",
		.least = "0",
		.most = "10000",
		.unit = "recipients",
		.zero = "the agent's own bound" } },
	[CONF_PIPE_INITIAL] = { "_initial_destination_concurrency",
	    { .type = CONF_TYPE_INT,
		.def = "$initial_destination_concurrency",
		.least = "1",
		.most = "10000",
		.unit = "deliveries",
		.zero = "" } },
};

const struct conf_pipe *
conf_pipe_find(const struct conf *c, struct slice name)
{
	for (size_t i = 0; i < c->pipe_count; i++)
		if (slice_eq(name, slice_str(c->pipes[i].name)))
			return &c->pipes[i];
	return NULL;
}

/* ---- names ---- */

/* Which limit a name ends in, and of which transport; false: none. */
static bool
split_limit(struct slice name, struct slice *pipe_out, size_t *which_out)
{
	for (size_t i = CONF_PIPE_TIME_LIMIT; i < CONF_PIPE_VALUES; i++) {
		struct slice suffix = slice_str(limits[i].suffix);

		if (name.len <= suffix.len ||
		    !slice_eq(slice_sub(name, name.len - suffix.len, name.len),
			suffix))
			continue;
		*pipe_out = slice_sub(name, 0, name.len - suffix.len);
		*which_out = i;
		return true;
	}
	return false;
}

static struct conf_pipe_entry *
find_entry(const struct conf_all *all, struct slice name)
{
	for (unsigned i = 0; i < all->entry_count; i++)
		if (slice_eq(name, all->entries[i]->name))
			return all->entries[i];
	return NULL;
}

static const char *
join(struct loader *l, const char *a, struct slice b, const char *c)
{
	size_t size = strlen(a) + b.len + strlen(c) + 1;
	char *text = arena_alloc(&l->all->arena, size);

	if (text != NULL)
		(void)snprintf(text, size, "%s%.*s%s", a, SLICE_ARGS(b), c);
	return text;
}

/* NULL: no memory; there is a place for it. */
static struct conf_pipe_entry *
new_entry(struct loader *l, struct slice name)
{
	struct conf_pipe_entry *e = arena_alloc(&l->all->arena, sizeof(*e));
	const char *copy = arena_copy(&l->all->arena, name.data, name.len);
	bool whole = e != NULL && copy != NULL;

	if (!whole)
		return NULL;
	e->name = slice_of(copy, name.len);
	e->params[CONF_PIPE_DEFINITION] = (struct conf_param){
		.name = join(l, "transport ", name, ""),
		.type = CONF_TYPE_STR,
		.def = "",
	};
	for (size_t i = 0; i < CONF_PIPE_VALUES; i++) {
		if (i != CONF_PIPE_DEFINITION) {
			e->params[i] = limits[i].param;
			e->params[i].name = join(l, "", name, limits[i].suffix);
		}
		whole &= e->params[i].name != NULL;
		e->values[i] = (struct conf_value){
			.raw = slice_str(e->params[i].def),
		};
	}
	if (!whole)
		return NULL;
	l->all->entries[l->all->entry_count++] = e;
	return e;
}

static void
define(struct loader *l, struct slice name, size_t which, struct slice raw,
    enum conf_origin origin, struct conf_place at)
{
	struct conf_pipe_entry *e = find_entry(l->all, name);

	if (e == NULL && l->all->entry_count == CONF_PIPE_COUNT_MAX) {
		conf_report_add(l->report, true, at, name, raw,
		    "more than %d transports; define fewer",
		    CONF_PIPE_COUNT_MAX);
		return;
	}
	if (e == NULL)
		e = new_entry(l, name);
	if (e == NULL) {
		l->out_of_memory = true;
		return;
	}
	conf_define_value(l, slice_str(e->params[which].name),
	    &e->values[which], raw, origin, at);
}

static bool
is_taken(struct slice name)
{
	char whole[CONF_PIPE_NAME_BYTES + 40];

	if (conf_transport_built_in(name))
		return true;
	for (size_t i = CONF_PIPE_TIME_LIMIT; i < CONF_PIPE_VALUES; i++) {
		(void)snprintf(whole, sizeof(whole), "%.*s%s", SLICE_ARGS(name),
		    limits[i].suffix);
		if (conf_param_find(slice_str(whole)) != NULL)
			return true;
	}
	return false;
}

void
conf_pipe_define(struct loader *l, struct slice name, struct slice raw,
    enum conf_origin origin, struct conf_place at)
{
	const char *wrong = NULL;

	if (name.len == 0 || name.len >= CONF_PIPE_NAME_BYTES)
		wrong = "the name of a transport has 1 to 32 characters; "
			"write transport NAME = pipe ...";
	for (size_t i = 0; i < name.len && wrong == NULL; i++)
		if (!((name.data[i] >= 'a' && name.data[i] <= 'z') ||
			(name.data[i] >= 'A' && name.data[i] <= 'Z') ||
			(name.data[i] >= '0' && name.data[i] <= '9') ||
			name.data[i] == '_' || name.data[i] == '-'))
			wrong = "not the name of a transport; write letters, "
				"digits, - and _";
	if (wrong == NULL && is_taken(name))
		wrong = "the name is taken; write another one";
	if (wrong != NULL)
		conf_report_add(l->report, true, at, SLICE_LIT("transport"),
		    name, "%s", wrong);
	else
		define(l, name, CONF_PIPE_DEFINITION, raw, origin, at);
}

bool
conf_pipe_define_limit(struct loader *l, struct slice name, struct slice raw,
    enum conf_origin origin, struct conf_place at)
{
	struct slice pipe;
	size_t which;

	if (!split_limit(name, &pipe, &which) ||
	    pipe.len >= CONF_PIPE_NAME_BYTES)
		return false;
	define(l, pipe, which, raw, origin, at);
	return true;
}

bool
conf_pipe_value_find(const struct conf_all *all, struct slice name,
    const struct conf_param **p_out, const struct conf_value **v_out)
{
	for (unsigned i = 0; i < all->entry_count; i++)
		for (size_t k = 0; k < CONF_PIPE_VALUES; k++)
			if (slice_eq(name,
				slice_str(all->entries[i]->params[k].name))) {
				*p_out = &all->entries[i]->params[k];
				*v_out = &all->entries[i]->values[k];
				return true;
			}
	return false;
}

/* ---- at the end ---- */

static void
report_wrong(struct loader *l, const struct conf_pipe_entry *e, size_t which,
    const char *what)
{
	const struct conf_value *v = &e->values[which];

	conf_report_add(l->report, true,
	    (struct conf_place){ v->file != NULL ? v->file : "default",
		v->line },
	    slice_str(e->params[which].name), v->raw, "%s", what);
}

static void
finish_limit(struct loader *l, struct conf_pipe_entry *e, size_t which,
    int64_t *out)
{
	struct conf_value *v = &e->values[which];
	struct errtext et = { "" };
	enum err r = conf_value_expand(l, v->raw, &v->expanded, &et);

	v->changed = v->origin != CONF_ORIGIN_DEFAULT;
	if (r == OK)
		r = conf_number_check(&e->params[which], v->expanded, out, &et);
	/* What was written is reported; a default that is wrong only because
	 * of it is not worth a second message. */
	if (r == ERR_CONFIG &&
	    (v->origin != CONF_ORIGIN_DEFAULT || !conf_loader_failed(l)))
		report_wrong(l, e, which, et.text);
}

static void
finish_pipe(struct loader *l, struct conf_pipe_entry *e, struct conf_pipe *p)
{
	struct conf_value *v = &e->values[CONF_PIPE_DEFINITION];
	struct errtext et = { "" };

	p->name = e->name.data;
	v->expanded = v->raw;
	v->changed = true;
	conf_pipe_read(l, v->raw, p, &et);
	if (et.text[0] != '\0')
		report_wrong(l, e, CONF_PIPE_DEFINITION, et.text);
	finish_limit(l, e, CONF_PIPE_TIME_LIMIT, &p->time_limit_ms);
	finish_limit(l, e, CONF_PIPE_CONCURRENCY, &p->concurrency_limit);
	finish_limit(l, e, CONF_PIPE_RECIPIENTS, &p->recipient_limit);
	finish_limit(l, e, CONF_PIPE_INITIAL, &p->initial_concurrency);
	if ((p->flags & (PIPE_DELIVERED_TO | PIPE_ORIGINAL_TO)) &&
	    p->recipient_limit != 1 && !conf_loader_failed(l)) {
		char text[CONF_PIPE_NAME_BYTES + 100];

		(void)snprintf(text, sizeof(text),
		    "flags D and O need one recipient at a time; write "
		    "%s_destination_recipient_limit = 1",
		    p->name);
		report_wrong(l, e, CONF_PIPE_DEFINITION, text);
	}
}

/* Limits of a transport that nobody defined. */
static void
report_unknown(struct loader *l, const struct conf_pipe_entry *e)
{
	for (size_t i = CONF_PIPE_TIME_LIMIT; i < CONF_PIPE_VALUES; i++) {
		const struct conf_value *v = &e->values[i];

		if (v->origin != CONF_ORIGIN_DEFAULT)
			conf_define_unknown(l, slice_str(e->params[i].name),
			    v->raw, (struct conf_place){ v->file, v->line });
	}
}

void
conf_pipes_finish(struct loader *l)
{
	struct conf_all *all = l->all;
	struct conf_pipe *pipes;

	if (all->entry_count == 0)
		return;
	pipes = arena_alloc(&all->arena, all->entry_count * sizeof(*pipes));
	if (pipes == NULL) {
		l->out_of_memory = true;
		return;
	}
	all->conf.pipes = pipes;
	for (unsigned i = 0; i < all->entry_count; i++) {
		struct conf_pipe_entry *e = all->entries[i];

		if (e->values[CONF_PIPE_DEFINITION].origin ==
		    CONF_ORIGIN_DEFAULT)
			report_unknown(l, e);
		else
			finish_pipe(l, e, &pipes[all->conf.pipe_count++]);
	}
}
