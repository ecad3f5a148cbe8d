/*
 * conf/render: a configuration as text, for people, programs and roles.
 */
#include <stdio.h>

#include "base/assert.h"
#include "conf/load.h"

static enum err
put(struct buf *out, const char *s)
{
	return buf_put(out, slice_str(s));
}

static const char *
origin_word(enum conf_origin origin)
{
	switch (origin) {
	case CONF_ORIGIN_DEFAULT: return "default";
	case CONF_ORIGIN_QMAIL: return "qmail default";
	case CONF_ORIGIN_CONTROL: return "control file";
	case CONF_ORIGIN_FILE_ALIAS:
	case CONF_ORIGIN_FILE: return "file";
	case CONF_ORIGIN_OPTION_ALIAS:
	case CONF_ORIGIN_OPTION: return "option";
	}
	return "";
}

static bool
is_built_in(const struct conf_value *v)
{
	return v->origin <= CONF_ORIGIN_QMAIL;
}

/* "FILE:LINE", or which default. */
static enum err
put_source(const struct conf_value *v, struct buf *out)
{
	char line[16];
	enum err e;

	if (is_built_in(v))
		return put(out, origin_word(v->origin));
	(void)snprintf(line, sizeof(line), ":%u", v->line);
	e = put(out, v->file);
	return e == OK ? put(out, line) : e;
}

static enum err
put_line(const struct conf_param *p, const struct conf_value *v, unsigned flags,
    struct buf *out)
{
	struct slice value =
	    flags & CONF_RENDER_EXPANDED ? v->expanded : v->raw;
	bool bare = (flags & CONF_RENDER_BARE) != 0;
	enum err e = OK;

	if (flags & CONF_RENDER_SOURCE) {
		e = put_source(v, out);
		if (e == OK)
			e = put(out, ": ");
	}
	if (e == OK && !bare)
		e = put(out, p->name);
	if (e == OK && !bare)
		e = put(out, value.len > 0 ? " = " : " =");
	if (e == OK)
		e = buf_put(out, value);
	return e == OK ? put(out, "\n") : e;
}

static enum err
put_json_string(struct slice s, struct buf *out)
{
	char escaped[256];
	enum err e = put(out, "\"");

	while (s.len > 0 && e == OK) {
		size_t n = slice_json(&s, escaped, sizeof(escaped));

		e = buf_put(out, slice_of(escaped, n));
	}
	return e == OK ? put(out, "\"") : e;
}

static enum err
put_json_member(const char *lead, const char *key, struct slice value,
    struct buf *out)
{
	enum err e = put(out, lead);

	if (e == OK)
		e = put(out, key);
	return e == OK ? put_json_string(value, out) : e;
}

static enum err
put_json(const struct conf_param *p, const struct conf_value *v, bool first,
    struct buf *out)
{
	char line[32];
	enum err e;

	e = put_json_member(first ? "" : ",\n",
	    "{\"name\": ", slice_str(p->name), out);
	if (e == OK)
		e = put_json_member(", ", "\"value\": ", v->raw, out);
	if (e == OK)
		e = put_json_member(", ", "\"expanded\": ", v->expanded, out);
	if (e == OK)
		e = put_json_member(", ", "\"default\": ", slice_str(p->def),
		    out);
	if (e == OK)
		e = put_json_member(", ",
		    "\"source\": ", slice_str(origin_word(v->origin)), out);
	if (e == OK && !is_built_in(v)) {
		(void)snprintf(line, sizeof(line), ", \"line\": %u", v->line);
		e = put_json_member(", ", "\"file\": ", slice_str(v->file),
		    out);
		if (e == OK)
			e = put(out, line);
	}
	return e == OK ? put(out, "}") : e;
}

static enum err
render_value(const struct conf_param *p, const struct conf_value *v,
    unsigned flags, bool *first, struct buf *out)
{
	enum err e;

	if ((flags & CONF_RENDER_CHANGED) && !v->changed)
		return OK;
	if (flags & CONF_RENDER_JSON)
		e = put_json(p, v, *first, out);
	else
		e = put_line(p, v, flags, out);
	*first = false;
	return e;
}

/* A parameter, or the first that a control file of that name sets. */
static const struct conf_param *
find_any(struct slice name)
{
	const struct conf_param *p = conf_param_find(name);

	for (size_t i = 0; i < conf_control_count && p == NULL; i++)
		if (slice_eq(name, slice_str(conf_controls[i].file)))
			p = &conf_params[conf_controls[i].id];
	return p;
}

static enum err
unknown(const char *name, struct errtext *et)
{
	const char *near = conf_param_nearest(slice_str(name));

	if (near != NULL)
		return err_set(et, ERR_NOTFOUND,
		    "unknown parameter %s; did you mean %s?", name, near);
	return err_set(et, ERR_NOTFOUND,
	    "unknown parameter %s; weir.conf(5) lists those there are", name);
}

/* One that was asked for; ERR_NOTFOUND: there is none of that name. */
static enum err
find_value(const struct conf_all *all, struct slice name,
    const struct conf_param **p_out, const struct conf_value **v_out)
{
	*p_out = find_any(name);
	if (*p_out == NULL)
		return conf_pipe_value_find(all, name, p_out, v_out)
			   ? OK
			   : ERR_NOTFOUND;
	*v_out = &all->values[*p_out - conf_params];
	return OK;
}

static enum err
render_names(const struct conf_all *all, const char *const *names, size_t count,
    unsigned flags, struct buf *out)
{
	const struct conf_param *p;
	const struct conf_value *v;
	bool first = true;
	enum err e = OK;

	for (size_t i = 0; i < count && e == OK; i++) {
		e = find_value(all, slice_str(names[i]), &p, &v);
		if (e == OK)
			e = render_value(p, v, flags, &first, out);
	}
	return e;
}

static enum err
render_all(const struct conf_all *all, unsigned flags, struct buf *out)
{
	bool first = true;
	enum err e = OK;

	for (size_t i = 0; i < CONF_ID_COUNT && e == OK; i++)
		e = render_value(&conf_params[i], &all->values[i], flags,
		    &first, out);
	for (unsigned i = 0; i < all->entry_count; i++)
		for (size_t k = 0; k < CONF_PIPE_VALUES && e == OK; k++)
			e = render_value(&all->entries[i]->params[k],
			    &all->entries[i]->values[k], flags, &first, out);
	return e;
}

enum err
conf_render(const struct conf *c, const char *const *names, size_t name_count,
    unsigned flags, struct buf *out, struct errtext *et)
{
	const struct conf_all *all = conf_all_of(c);
	const struct conf_param *p;
	const struct conf_value *v;
	enum err e = OK;

	for (size_t i = 0; i < name_count; i++)
		if (find_value(all, slice_str(names[i]), &p, &v) != OK)
			return unknown(names[i], et);
	if (flags & CONF_RENDER_JSON)
		e = put(out, "[");
	if (e == OK)
		e = name_count > 0
			? render_names(all, names, name_count, flags, out)
			: render_all(all, flags, out);
	if ((flags & CONF_RENDER_JSON) && e == OK)
		e = put(out, "]\n");
	if (e != OK)
		return err_set(et, e, "no room to write the configuration");
	return OK;
}

const char *
conf_restart_needed(const struct conf *old, const struct conf *new, unsigned n)
{
	const struct conf_all *a = conf_all_of(old), *b = conf_all_of(new);

	for (size_t i = 0; i < CONF_ID_COUNT; i++) {
		if (conf_params[i].when != CONF_WHEN_RESTART ||
		    slice_eq(a->values[i].expanded, b->values[i].expanded))
			continue;
		if (n-- == 0)
			return conf_params[i].name;
	}
	return NULL;
}

void
conf_source(const struct conf *c, const char *name, char buf[CONF_SOURCE_BYTES])
{
	const struct conf_param *p;
	const struct conf_value *v;
	enum err e = find_value(conf_all_of(c), slice_str(name), &p, &v);

	ASSERT(e == OK);
	if (is_built_in(v))
		(void)snprintf(buf, CONF_SOURCE_BYTES, "%s",
		    origin_word(v->origin));
	else
		(void)snprintf(buf, CONF_SOURCE_BYTES, "%s:%u", v->file,
		    v->line);
}
