/*
 * quota_count: what lies in a Maildir.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "local/quota_internal.h"

/* ",S=1234" in the name, as most programs write it; else the file's. */
static bool
size_of(int dir_fd, const char *name, int64_t *out)
{
	const char *at = strstr(name, ",S="), *end;
	struct stat st;
	uint64_t n;

	if (at != NULL) {
		at += 3;
		for (end = at; *end >= '0' && *end <= '9'; end++)
			;
		if (slice_to_u64(slice_of(at, (size_t)(end - at)),
			INT64_MAX / 2, &n)) {
			*out = (int64_t)n;
			return true;
		}
	}
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode))
		return false;
	*out = st.st_size;
	return true;
}

/* Marked as deleted: not counted. */
static bool
is_trashed(const char *name)
{
	const char *info = strrchr(name, ':');

	return info != NULL && strncmp(info, ":2,", 3) == 0 &&
	       strchr(info, 'T') != NULL;
}

static DIR *
open_dir(int parent_fd, const char *name)
{
	int fd = openat(parent_fd, name,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (d == NULL && fd >= 0)
		close(fd);
	return d;
}

/* new/ or cur/; *left: entries that may still be looked at. */
static void
count_messages(int folder_fd, const char *name, struct quota_usage *u,
    unsigned *left)
{
	DIR *d = open_dir(folder_fd, name);
	const struct dirent *e;
	int64_t bytes;

	if (d == NULL)
		return;
	while (*left > 0 && (e = readdir(d)) != NULL) {
		--*left;
		if (e->d_name[0] == '.' || is_trashed(e->d_name) ||
		    !size_of(dirfd(d), e->d_name, &bytes))
			continue;
		u->bytes += bytes;
		u->count++;
	}
	closedir(d);
}

static void
count_folder(int folder_fd, struct quota_usage *u, unsigned *left)
{
	count_messages(folder_fd, "new", u, left);
	count_messages(folder_fd, "cur", u, left);
}

static bool
is_folder_name(const char *name)
{
	return name[0] == '.' && name[1] != '\0' && strcmp(name, "..") != 0 &&
	       strcmp(name, ".Trash") != 0;
}

bool
quota_count(int dir_fd, struct quota_usage *u, struct outcome *o)
{
	unsigned left = QUOTA_ENTRIES_MAX;
	DIR *d = open_dir(dir_fd, ".");
	const struct dirent *e;
	int fd;

	*u = (struct quota_usage){ 0, 0 };
	if (d == NULL)
		return outcome_errno(o, errno, "cannot read maildir");
	count_folder(dir_fd, u, &left);
	while (left > 0 && (e = readdir(d)) != NULL) {
		left--;
		if (!is_folder_name(e->d_name))
			continue;
		fd = openat(dir_fd, e->d_name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		count_folder(fd, u, &left);
		close(fd);
	}
	closedir(d);
	if (left == 0)
		return outcome_set(o, JOB_DEFERRED, "4.2.0",
		    "maildir has more than %d entries: its quota cannot be "
		    "counted",
		    QUOTA_ENTRIES_MAX);
	return true;
}
