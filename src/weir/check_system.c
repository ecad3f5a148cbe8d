/*
 * check_system: users and programs that a configuration names.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/conf.h"
#include "weir/check.h"

static void
check_user(const struct conf *conf, const char *name, const char *user)
{
	char source[CONF_SOURCE_BYTES];

	if (getpwnam(user) != NULL)
		return;
	conf_source(conf, name, source);
	fprintf(stderr,
	    "warning: %s: %s: value \"%s\": there is no such user, so mail "
	    "that needs him is deferred; write one that exists\n",
	    source, name, user);
}

/* What is wrong with a program; NULL: nothing.  That its user may run it is
 * seen only when he does: we may be somebody else. */
static const char *
program_fault(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		/* Closed to whoever asks, it may be open to its user. */
		return errno == EACCES ? NULL : strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "not a file";
	return (st.st_mode & 0111) == 0 ? "not executable" : NULL;
}

static void
check_program(const struct conf *conf, const char *name, const char *path)
{
	const char *fault = program_fault(path);
	char source[CONF_SOURCE_BYTES];

	if (fault == NULL)
		return;
	conf_source(conf, name, source);
	fprintf(stderr,
	    "warning: %s: %s: value \"%s\": %s, so mail for this transport is "
	    "deferred; write argv= with the path of a program\n",
	    source, name, path, fault);
}

void
check_system(const struct conf *conf)
{
	check_user(conf, "default_privs", conf->default_privs);
	for (size_t i = 0; i < conf->pipe_count; i++) {
		char name[sizeof("transport ") + CONF_PIPE_NAME_BYTES];

		snprintf(name, sizeof(name), "transport %s",
		    conf->pipes[i].name);
		check_user(conf, name, conf->pipes[i].user);
		check_program(conf, name, conf->pipes[i].argv[0].data);
	}
}
