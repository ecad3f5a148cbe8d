/*
 * conf/finish: one value, from its text to its member of struct conf.
 */
#include "conf/load.h"

enum err
conf_value_expand(struct loader *l, struct slice raw, struct slice *out,
    struct errtext *et)
{
	struct buf b;
	const char *copy;
	enum err e;

	buf_init(&b, &l->all->acct, 128, CONF_VALUE_BYTES_MAX);
	e = conf_expand(l->all, raw, &b, et);
	if (e == OK) {
		struct slice s = buf_data(&b);

		copy = arena_copy(&l->all->arena, s.data, s.len);
		*out = slice_of(copy, s.len);
		if (copy == NULL)
			e = err_set(et, ERR_NOMEM, "no memory to expand it");
	}
	buf_fini(&b);
	if (e != OK && e != ERR_CONFIG)
		l->out_of_memory = true;
	return e;
}

static struct conf_place
place_of(const struct conf_value *v)
{
	return (struct conf_place){
		v->file != NULL ? v->file : "default",
		v->line,
	};
}

/* What is said of a value that is wrong because a comment stands behind it,
 * as nowhere in Postfix either; NULL: none does. */
static const char *
comment_error(struct slice raw)
{
	for (size_t i = 0; i < raw.len; i++)
		if (raw.data[i] == '#' && (i == 0 || raw.data[i - 1] == ' ' ||
					      raw.data[i - 1] == '\t'))
			return "a comment cannot stand behind a value; write "
			       "it on a line of its own";
	return NULL;
}

static enum err
list_error(struct loader *l, enum conf_id id, struct slice item,
    const char *what)
{
	conf_report_add(l->report, true, place_of(&l->all->values[id]),
	    slice_str(conf_params[id].name), item, "%s", what);
	return ERR_CONFIG;
}

static enum err
list_count(struct loader *l, enum conf_id id, size_t *count_out)
{
	struct slice rest = l->all->values[id].expanded, item;
	enum err e;

	*count_out = 0;
	while (conf_list_next(&rest, &item, &e)) {
		if (e != OK)
			return list_error(l, id, item,
			    "braces do not match; write a } for every {");
		if (++*count_out > CONF_ITEM_COUNT_MAX)
			return list_error(l, id, item,
			    "too many items; put the list into a table");
	}
	return OK;
}

/* Reports each bad item itself. */
static enum err
list_parse(struct loader *l, enum conf_id id, struct conf_list *list)
{
	struct slice rest = l->all->values[id].expanded, item;
	struct slice *items;
	struct errtext et;
	size_t count;
	enum err e, worst;

	worst = list_count(l, id, &count);
	if (worst != OK || count == 0)
		return worst;
	items = arena_alloc(&l->all->arena, count * sizeof(*items));
	if (items == NULL) {
		l->out_of_memory = true;
		return ERR_NOMEM;
	}
	list->items = items;
	while (conf_list_next(&rest, &item, &e)) {
		items[list->count++] = item;
		if (conf_item_check(&conf_params[id], item, l->look_at_files,
			&et) == OK)
			continue;
		if (item.len > 0 && item.data[0] == '#')
			return list_error(l, id, item, comment_error(item));
		worst = list_error(l, id, item, et.text);
	}
	return worst;
}

static enum err
value_parse(struct loader *l, enum conf_id id, struct errtext *et)
{
	const struct conf_param *p = &conf_params[id];
	struct slice text = l->all->values[id].expanded;
	void *member = (char *)&l->all->conf + p->offset;

	switch (p->type) {
	case CONF_TYPE_TIME:
	case CONF_TYPE_SIZE:
	case CONF_TYPE_INT: return conf_number_check(p, text, member, et);
	case CONF_TYPE_BOOL: return conf_bool_check(text, member, et);
	case CONF_TYPE_ENUM: return conf_word_check(p, text, member, et);
	case CONF_TYPE_STR:
		*(const char **)member = text.data;
		return conf_item_check(p, text, l->look_at_files, et);
	case CONF_TYPE_LIST: break;
	}
	return OK;
}

void
conf_value_finish(struct loader *l, enum conf_id id)
{
	struct conf_value *v = &l->all->values[id];
	const struct conf_param *p = &conf_params[id];
	struct slice shown = v->raw;
	struct errtext et;
	enum err e;

	e = OK;
	v->expanded = v->raw;
	if (p->check != CONF_CHECK_TEMPLATE)
		e = conf_value_expand(l, v->raw, &v->expanded, &et);
	if (e == OK && p->type == CONF_TYPE_LIST) {
		(void)list_parse(l, id,
		    (void *)((char *)&l->all->conf + p->offset));
		return;
	}
	if (e == OK) {
		shown = v->expanded;
		e = value_parse(l, id, &et);
	}
	if (e == ERR_CONFIG)
		conf_report_add(l->report, true, place_of(v),
		    slice_str(p->name), shown, "%s",
		    comment_error(v->raw) != NULL ? comment_error(v->raw)
						  : et.text);
}

bool
conf_value_differs(struct loader *l, enum conf_id id)
{
	const struct conf_param *p = &conf_params[id];
	const struct conf_value *v = &l->all->values[id];
	struct slice def;
	int64_t a, b;

	if (v->origin == CONF_ORIGIN_DEFAULT ||
	    slice_eq(v->raw, slice_str(p->def)))
		return false;
	if (p->def[0] == '<' || p->check == CONF_CHECK_TEMPLATE)
		return true; /* given by the system; nothing to expand */
	if (conf_value_expand(l, slice_str(p->def), &def, NULL) != OK)
		return true;
	if (p->least != NULL && conf_number_parse(p, def, &a, NULL) == OK &&
	    conf_number_parse(p, v->expanded, &b, NULL) == OK)
		return a != b;
	return !slice_eq(def, v->expanded);
}
