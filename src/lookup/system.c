/*
 * lookup/system: users and addresses of this machine.
 */
#include "lookup/system.h"

#include <errno.h>
#include <ifaddrs.h>
#include <pwd.h>
#include <string.h>

#include "base/hash.h"

static enum err
ask_user(struct system_facts *f, const char *name, uint32_t *uid_out,
    struct errtext *et)
{
	struct passwd pw, *found = NULL;
	int errnum;

	errnum = getpwnam_r(name, &pw, f->passwd, sizeof(f->passwd), &found);
	if (found != NULL) {
		*uid_out = pw.pw_uid;
		return OK;
	}
	if (errnum == 0)
		return ERR_NOTFOUND;
	/* Whatever it is, it is no proof that the user does not exist. */
	(void)err_sys(et, errnum, "cannot ask for user %s", name);
	return ERR_LOOKUP;
}

static enum err
find_user(void *arg, const char *name, uint32_t *uid_out, struct errtext *et)
{
	struct system_facts *f = arg;
	size_t len = strlen(name);
	uint64_t hash = hash_bytes(name, len);
	struct system_user *u = &f->users[hash % SYSTEM_CACHE_COUNT];
	struct mono now = clock_system.mono(&clock_system);
	enum err e;

	if (strcmp(u->name, name) == 0 && mono_sub(u->expires, now) > 0) {
		*uid_out = u->uid;
		return u->exists ? OK : ERR_NOTFOUND;
	}
	e = ask_user(f, name, uid_out, et);
	if ((e == OK || e == ERR_NOTFOUND) && len < sizeof(u->name)) {
		memcpy(u->name, name, len + 1);
		u->exists = e == OK;
		u->uid = e == OK ? *uid_out : 0;
		u->expires = mono_add(now,
		    e == OK ? SYSTEM_FOUND_MS : SYSTEM_MISSING_MS);
	}
	return e;
}

static bool
is_own(void *arg, const struct net_addr *a)
{
	const struct system_facts *f = arg;

	if (a->family == 4 && a->octets[0] == 127)
		return true;
	for (size_t i = 0; i < f->own_count; i++)
		if (net_addr_eq(a, &f->own[i]))
			return true;
	return false;
}

void
system_facts_init(struct system_facts *f)
{
	struct ifaddrs *list = NULL;

	f->ops = (struct resolve_system){ .user = find_user,
		.is_own = is_own,
		.arg = f };
	f->own_count = 0;
	memset(f->users, 0, sizeof(f->users));
	if (getifaddrs(&list) != 0)
		return;
	for (struct ifaddrs *i = list;
	     i != NULL && f->own_count < SYSTEM_ADDRESS_COUNT_MAX;
	     i = i->ifa_next) {
		struct net_addr a = { 0 };

		if (i->ifa_addr != NULL)
			a = net_addr_of(i->ifa_addr);
		if (a.family != 0)
			f->own[f->own_count++] = a;
	}
	freeifaddrs(list);
}
