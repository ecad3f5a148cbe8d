/*
 * table/tables: several tables, and the keys that stand for an address.
 */
#include <string.h>

#include "conf/conf.h"
#include "table/impl.h"

/* "type:rest": a colon, and not an address literal. */
static bool
is_table(struct slice item)
{
	return item.len > 0 && item.data[0] != '[' &&
	       slice_find(item, ':') != item.len;
}

enum err
tables_open(struct tables *ts, struct acct *a, const struct conf_list *list,
    struct errtext *et)
{
	return tables_open_as(ts, a, list, TABLE_SYNTAX_MAP, et);
}

enum err
tables_open_as(struct tables *ts, struct acct *a, const struct conf_list *list,
    enum table_syntax syntax, struct errtext *et)
{
	enum err e;

	*ts = (struct tables){ .acct = a };
	for (size_t i = 0; i < list->count; i++) {
		if (!is_table(list->items[i]))
			continue;
		if (ts->count == TABLE_COUNT_MAX)
			e = err_set(et, ERR_CONFIG, "more than %d tables",
			    TABLE_COUNT_MAX);
		else
			e = table_open_as(a, list->items[i], syntax,
			    &ts->list[ts->count], et);
		if (e != OK) {
			tables_close(ts);
			return e;
		}
		ts->count++;
	}
	return OK;
}

void
tables_close(struct tables *ts)
{
	for (size_t i = 0; i < ts->count; i++)
		table_close(ts->list[i]);
	ts->count = 0;
}

enum err
tables_lookup(struct tables *ts, struct slice key, struct table_answer *out,
    struct errtext *et)
{
	enum err e = ERR_NOTFOUND;

	for (size_t i = 0; i < ts->count && e == ERR_NOTFOUND; i++)
		e = table_lookup(ts->list[i], key, out, et);
	return e;
}

/* local@domain; empty, and so never found, if it is too long. */
static struct slice
join(struct tables *ts, struct slice local, struct slice domain)
{
	if (local.len + 1 + domain.len > sizeof(ts->key))
		return SLICE_NONE;
	if (local.len > 0)
		memcpy(ts->key, local.data, local.len);
	ts->key[local.len] = '@';
	if (domain.len > 0)
		memcpy(ts->key + local.len + 1, domain.data, domain.len);
	return slice_of(ts->key, local.len + 1 + domain.len);
}

/* domain, .domain without its first label, ..., * */
static enum err
lookup_domains(struct tables *ts, struct slice domain, struct table_answer *out,
    struct errtext *et)
{
	struct slice rest = domain;
	size_t dot;
	enum err e;

	e = tables_lookup(ts, domain, out, et);
	while (e == ERR_NOTFOUND && (dot = slice_find(rest, '.')) < rest.len) {
		rest = slice_sub(rest, dot, rest.len);
		e = tables_lookup(ts, rest, out, et);
		rest = slice_sub(rest, 1, rest.len);
	}
	if (e == ERR_NOTFOUND)
		e = tables_lookup(ts, SLICE_LIT("*"), out, et);
	return e;
}

/* user+ext, user */
static enum err
lookup_bare(struct tables *ts, const struct table_address *address,
    struct table_answer *out, struct errtext *et)
{
	enum err e = tables_lookup(ts, address->local, out, et);

	if (e == ERR_NOTFOUND && address->user.len < address->local.len)
		e = tables_lookup(ts, address->user, out, et);
	return e;
}

enum err
tables_lookup_address(struct tables *ts, enum table_order order,
    const struct table_address *address, struct table_answer *out,
    struct errtext *et)
{
	enum err e;

	e = tables_lookup(ts, join(ts, address->local, address->domain), out,
	    et);
	if (e == ERR_NOTFOUND && address->user.len < address->local.len)
		e = tables_lookup(ts, join(ts, address->user, address->domain),
		    out, et);
	if (e != ERR_NOTFOUND)
		return e;
	if (order == TABLE_ORDER_ALIAS && address->bare)
		e = lookup_bare(ts, address, out, et);
	if (e != ERR_NOTFOUND)
		return e;
	if (order == TABLE_ORDER_TRANSPORT)
		return lookup_domains(ts, address->domain, out, et);
	return tables_lookup(ts, join(ts, SLICE_NONE, address->domain), out,
	    et);
}
