/*
 * try_setup: what `weir try` lays down.
 *
 * Started by root where the package's users do not exist, the roles run as
 * the owner of the directory, or as nobody where that is root.  That user must
 * be able to reach the directory: below a closed home directory it cannot be,
 * and then /var/tmp/weir-try stands in for the default.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "weir/try.h"

#define TRY_DEFAULT "./weir-try"
#define TRY_OPEN    "/var/tmp/weir-try"

static const char conf_format[] =
    "# A mail server for this machine alone, written by \"weir try\".  Change "
    "it as\n"
    "# you like: it is written only where there is none.  weir.conf(5) says "
    "what\n"
    "# each line means.\n"
    "queue_directory = %1$s/queue\n"
    "data_directory = %1$s/data\n"
    "smtp_listen = 127.0.0.1:2525\n"
    "\n"
    "# Every address in these domains has a mailbox.\n"
    "mydestination =\n"
    "virtual_mailbox_domains = localhost, example.test\n"
    "virtual_mailbox_base = %1$s/mail\n"
    "virtual_mailbox_maps = static:%%u/Maildir/\n"
    "\n"
    "# Mail for other domains waits in the queue as long as this line "
    "stands.\n"
    "defer_transports = smtp\n";

bool
try_conf_text(const char *dir, char *buf, size_t size)
{
	char quoted[2 * TRY_PATH_BYTES];
	size_t n = 0;
	int len;

	/* A dollar sign is itself when there are two. */
	for (const char *p = dir; *p != '\0'; p++) {
		if (n + 3 > sizeof(quoted) || (unsigned char)*p < 0x20)
			return false;
		if (*p == '$')
			quoted[n++] = '$';
		quoted[n++] = *p;
	}
	quoted[n] = '\0';
	len = snprintf(buf, size, conf_format, quoted);
	return len > 0 && (size_t)len < size;
}

static bool
package_users(uid_t *uid, gid_t *gid)
{
	const struct passwd *pw;

	if (getpwnam("weirq") == NULL)
		return false;
	pw = getpwnam("weir");
	if (pw == NULL)
		return false;
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return true;
}

/* As whom the roles will run (role/identity.h). */
static bool
roles_user(const char *dir, uid_t *uid, gid_t *gid)
{
	const struct passwd *pw;
	struct stat st;

	*uid = geteuid();
	*gid = getegid();
	if (*uid != 0 || package_users(uid, gid))
		return true;
	if (stat(dir, &st) == 0 && st.st_uid != 0) {
		*uid = st.st_uid;
		*gid = st.st_gid;
		return true;
	}
	pw = getpwnam("nobody");
	if (pw == NULL)
		return false;
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return true;
}

/* May that user go through every directory on the way?  closed gets the first
 * through which he may not. */
static bool
reachable(const char *path, uid_t uid, gid_t gid, char *closed, size_t size)
{
	for (const char *slash = path; slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		size_t len = slash == path ? 1 : (size_t)(slash - path);
		struct stat st;
		mode_t bit;

		snprintf(closed, size, "%.*s", (int)len, path);
		if (stat(closed, &st) != 0)
			return true; /* the caller's own calls will tell */
		bit = st.st_uid == uid	 ? S_IXUSR
		      : st.st_gid == gid ? S_IXGRP
					 : S_IXOTH;
		if (!(st.st_mode & bit))
			return false;
	}
	return true;
}

/* Make it, absolute, and find out who must reach it. */
static int
make_dir(struct cli *cli, const char *directory, struct try_paths *out,
    uid_t *uid, gid_t *gid)
{
	char *whole;

	if (mkdir(directory, 0755) != 0 && errno != EEXIST) {
		cli_say(cli, "%s: %s", directory, strerror(errno));
		return EX_CANTCREAT;
	}
	whole = realpath(directory, NULL);
	if (whole == NULL || strlen(whole) >= sizeof(out->dir)) {
		cli_say(cli, "%s: %s", directory,
		    whole == NULL ? strerror(errno) : "the path is too long");
		free(whole);
		return EX_CANTCREAT;
	}
	snprintf(out->dir, sizeof(out->dir), "%s", whole);
	free(whole);
	if (!roles_user(out->dir, uid, gid)) {
		cli_say(cli, "there is no user weir and no user nobody");
		return EX_OSERR;
	}
	return EX_OK;
}

static int
choose_dir(struct cli *cli, const char *directory, struct try_paths *out,
    uid_t *uid, gid_t *gid)
{
	char closed[TRY_PATH_BYTES];
	struct stat st;
	int status = make_dir(cli, directory != NULL ? directory : TRY_DEFAULT,
	    out, uid, gid);

	if (status != EX_OK || geteuid() != 0)
		return status;
	snprintf(out->conf, sizeof(out->conf), "%s/.", out->dir);
	if (reachable(out->conf, *uid, *gid, closed, sizeof(closed)))
		return EX_OK;
	if (directory != NULL) {
		cli_say(cli,
		    "%s is closed to user %u, as whom the roles run: give "
		    "another directory, such as " TRY_OPEN,
		    closed, (unsigned)*uid);
		return EX_NOPERM;
	}
	rmdir(out->dir);
	cli_say(cli,
	    "%s is closed to user %u, as whom the roles run: using " TRY_OPEN,
	    closed, (unsigned)*uid);
	/* Everybody may make names there: it must be ours. */
	status = make_dir(cli, TRY_OPEN, out, uid, gid);
	if (status == EX_OK &&
	    (lstat(TRY_OPEN, &st) != 0 || !S_ISDIR(st.st_mode) ||
		st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))) {
		cli_say(cli, TRY_OPEN " belongs to somebody else");
		return EX_NOPERM;
	}
	return status;
}

static int
write_conf(struct cli *cli, const struct try_paths *p)
{
	char text[4 * TRY_PATH_BYTES * 2];
	bool written;
	FILE *f;
	int fd;

	if (!try_conf_text(p->dir, text, sizeof(text))) {
		cli_say(cli, "%s cannot stand in a configuration", p->dir);
		return EX_CANTCREAT;
	}
	fd = open(p->conf, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST)
		return EX_OK;
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (f == NULL) {
		cli_say(cli, "%s: %s", p->conf, strerror(errno));
		return EX_CANTCREAT;
	}
	written = fputs(text, f) >= 0;
	written = fclose(f) == 0 && written;
	if (!written) {
		cli_say(cli, "%s: %s", p->conf, strerror(errno));
		unlink(p->conf);
		return EX_CANTCREAT;
	}
	return EX_OK;
}

int
try_setup(struct cli *cli, const char *directory, struct try_paths *out)
{
	uid_t uid;
	gid_t gid;
	int status = choose_dir(cli, directory, out, &uid, &gid);

	if (status != EX_OK)
		return status;
	snprintf(out->conf, sizeof(out->conf), "%s/weir.conf", out->dir);
	snprintf(out->mail, sizeof(out->mail), "%s/mail", out->dir);
	status = write_conf(cli, out);
	if (status != EX_OK)
		return status;
	if (mkdir(out->mail, 0755) == 0) {
		if (geteuid() != 0 || lchown(out->mail, uid, gid) == 0)
			return EX_OK;
	} else if (errno == EEXIST) {
		return EX_OK;
	}
	cli_say(cli, "%s: %s", out->mail, strerror(errno));
	return EX_CANTCREAT;
}
