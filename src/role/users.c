/*
 * users: see users.h.
 *
 * Failure modes: no process, no pipe, or the child dies: asked here.
 */
#include "role/users.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/slice.h"

static struct users found;
static bool known;

static struct users_entry
find_user(const char *name)
{
	const struct passwd *pw = getpwnam(name);
	struct users_entry u = { 0 };

	if (pw != NULL && pw->pw_uid != 0)
		u = (struct users_entry){ pw->pw_uid, pw->pw_gid };
	return u;
}

static void
ask(struct users *u)
{
	const struct group *gr;

	u->weir = find_user("weir");
	u->weirq = find_user("weirq");
	u->nobody = find_user("nobody");
	gr = getgrnam("weirdrop");
	u->weirdrop = gr != NULL ? gr->gr_gid : 0;
}

/* False: no child could be made, or it died. */
static bool
ask_in_child(void)
{
	struct users u = { 0 };
	int pair[2];
	ssize_t n;
	pid_t pid;

	if (pipe(pair) != 0)
		return false;
	pid = fork();
	if (pid == 0) {
		ask(&u);
		_exit(write(pair[1], &u, sizeof(u)) != sizeof(u));
	}
	close(pair[1]);
	do {
		n = pid < 0 ? -1 : read(pair[0], &u, sizeof(u));
	} while (n < 0 && pid > 0 && errno == EINTR);
	close(pair[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (n != sizeof(u))
		return false;
	found = u;
	return true;
}

const struct users *
users_get(void)
{
	if (!known && !ask_in_child())
		ask(&found);
	known = true;
	return &found;
}

void
users_text(char buf[static USERS_TEXT_BYTES])
{
	const struct users *u = users_get();

	snprintf(buf, USERS_TEXT_BYTES, "%u %u %u %u %u %u %u", u->weir.uid,
	    u->weir.gid, u->weirq.uid, u->weirq.gid, u->nobody.uid,
	    u->nobody.gid, u->weirdrop);
}

bool
users_take(const char *text)
{
	struct users u;
	unsigned *into[] = { &u.weir.uid, &u.weir.gid, &u.weirq.uid,
		&u.weirq.gid, &u.nobody.uid, &u.nobody.gid, &u.weirdrop };
	struct slice s = slice_str(text), word;
	uint64_t n;

	if (s.len == 0)
		return true;
	for (size_t i = 0; i < sizeof(into) / sizeof(into[0]); i++) {
		if (!slice_word(&s, " ", &word) ||
		    !slice_to_u64(word, UINT32_MAX, &n))
			return false;
		*into[i] = (unsigned)n;
	}
	if (s.len != 0)
		return false;
	found = u;
	known = true;
	return true;
}
