#include "tcpserver/env.h"

#include <string.h>
#include <unistd.h>

#include "base/mem.h"

static enum err
grow(struct env *e, size_t max)
{
	char **vars = mem_alloc_array(e->acct, max + 1, sizeof(*vars));

	if (vars == NULL)
		return ERR_FULL;
	if (e->count > 0)
		memcpy(vars, e->vars, e->count * sizeof(*vars));
	mem_free(e->acct, e->vars);
	e->vars = vars;
	e->max = max;
	return OK;
}

enum err
env_init(struct env *e, struct acct *acct, size_t more)
{
	size_t have = 0;
	enum err err;

	while (environ[have] != NULL)
		have++;
	*e = (struct env){ .acct = acct };
	err = grow(e, have + more);
	if (err != OK)
		return err;
	memcpy(e->vars, environ, have * sizeof(*environ));
	e->count = have;
	return OK;
}

/* The place of a variable, or count.  len: of its name. */
static size_t
find(const struct env *e, const char *name, size_t len)
{
	size_t i = 0;

	while (i < e->count &&
	       (strncmp(e->vars[i], name, len) != 0 || e->vars[i][len] != '='))
		i++;
	return i;
}

enum err
env_put(struct env *e, char *variable)
{
	size_t at = find(e, variable, strcspn(variable, "="));

	if (at == e->max) {
		enum err err = grow(e, e->max * 2 + 16);

		if (err != OK)
			return err;
	}
	e->vars[at] = variable;
	e->count += at == e->count;
	return OK;
}

void
env_unset(struct env *e, const char *name)
{
	size_t at = find(e, name, strlen(name));

	if (at == e->count)
		return;
	e->vars[at] = e->vars[--e->count];
	e->vars[e->count] = NULL;
}
