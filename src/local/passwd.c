/*
 * passwd: see passwd.h.
 */
#include "local/passwd.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "local/request.h"

enum { PASSWD_BYTES_MAX = 16384 };

struct known {
	struct mono expires; /* 0: nobody is known */
	struct passwd_user user;
	char text[PASSWD_TEXT_BYTES];
};

static struct known known[PASSWD_KNOWN_COUNT];

static void
keep(const char **at, char **text, const char *s)
{
	size_t size = strlen(s) + 1;

	memcpy(*text, s, size);
	*at = *text;
	*text += size;
}

static void
remember(struct known *k, const struct passwd_user *u, struct mono now)
{
	char *text = k->text;

	if (strlen(u->name) + strlen(u->home) + strlen(u->shell) + 3 >
	    sizeof(k->text))
		return;
	k->user = *u;
	keep(&k->user.name, &text, u->name);
	keep(&k->user.home, &text, u->home);
	keep(&k->user.shell, &text, u->shell);
	k->expires = mono_add(now, PASSWD_KNOWN_MS);
}

/* POSIX leaves open how "no such user" looks. */
static int
ask(const char *name, struct passwd_user *out)
{
	static char buffer[PASSWD_BYTES_MAX];
	struct passwd pw, *found = NULL;
	int errnum = getpwnam_r(name, &pw, buffer, sizeof(buffer), &found);

	if (found == NULL)
		return errnum == 0 || errnum == ESRCH ? ENOENT : errnum;
	*out = (struct passwd_user){ pw.pw_uid, pw.pw_gid, pw.pw_name,
		pw.pw_dir, pw.pw_shell };
	return 0;
}

void
passwd_limits(void)
{
	limits_row(LIMIT_COUNT, "users of the system known", "", 0,
	    PASSWD_KNOWN_COUNT);
	limits_row(LIMIT_DEADLINE, "user of the system known", "", 0,
	    PASSWD_KNOWN_MS);
}

int
passwd_find(struct slice name, struct mono now, struct passwd_user *out)
{
	struct known *k =
	    &known[hash_bytes(name.data, name.len) % PASSWD_KNOWN_COUNT];
	char text[USER_NAME_BYTES_MAX + 1];
	int errnum;

	if (mono_sub(k->expires, now) > 0 &&
	    slice_eq(slice_str(k->user.name), name)) {
		*out = k->user;
		return 0;
	}
	if (name.len == 0 || !slice_copy(name, text, sizeof(text)))
		return ENOENT;
	errnum = ask(text, out);
	if (errnum == 0)
		remember(k, out, now);
	return errnum;
}
