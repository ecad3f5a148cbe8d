/*
 * sandbox: the table of rights, and the way in.
 */
#include "role/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/assert.h"
#include "conf/conf.h"
#include "role/identity.h"

/*
 * The rights of every role.
 *
 * smtpd   reads what strangers send; everything that it needs was handed to it.
 * queue   the only writer of the spool; a thread for the disk, one for the
 *         index.
 * smtp    reads what other servers send; connects; bodies come as descriptors.
 * dns     reads hostile answers; what it needs of /etc it reads before.
 * lookup  passwd, tables wherever the administrator put them, name services
 *         (their libraries are loaded late, their daemons have sockets);
 *         connects to the sockets of LMTP servers for smtp.
 * local   starts workers as any user; parses nothing foreign.
 * bounce  reads hostile headers; everything comes and goes by frames.
 * pickup  takes files out of the drop directory.
 */
static const struct sandbox_rights table[ROLE_COUNT] = {
	[ROLE_MASTER] = { NULL, SANDBOX_ROOT_KEEP, SANDBOX_ANY, { { 0 } } },
	[ROLE_SMTPD] = { "weir", SANDBOX_ROOT_EMPTY, SANDBOX_ACCEPT,
	    { { 0 } } },
	[ROLE_QUEUE] = { "weirq", SANDBOX_ROOT_SPOOL,
	    SANDBOX_ACCEPT | SANDBOX_READ | SANDBOX_WRITE | SANDBOX_THREADS,
	    { { "%q", true } } },
	[ROLE_SMTP] = { "weir", SANDBOX_ROOT_EMPTY,
	    SANDBOX_CONNECT | SANDBOX_SPLICE, { { 0 } } },
	[ROLE_DNS] = { "weir", SANDBOX_ROOT_EMPTY,
	    SANDBOX_CONNECT | SANDBOX_READ | SANDBOX_THREADS, { { 0 } } },
	[ROLE_LOOKUP] = { "weir", SANDBOX_ROOT_KEEP,
	    SANDBOX_CONNECT | SANDBOX_READ | SANDBOX_LOAD, { { "/", false } } },
	[ROLE_LOCAL] = { NULL, SANDBOX_ROOT_KEEP, SANDBOX_ANY, { { 0 } } },
	[ROLE_BOUNCE] = { "weir", SANDBOX_ROOT_EMPTY, 0, { { 0 } } },
	[ROLE_PICKUP] = { "weir", SANDBOX_ROOT_SPOOL,
	    SANDBOX_READ | SANDBOX_WRITE, { { "%q/drop", true } } },
	[ROLE_COMMAND] = { NULL, SANDBOX_ROOT_KEEP, SANDBOX_ANY, { { 0 } } },
};

const struct sandbox_rights *
sandbox_rights(enum role role)
{
	ASSERT(role < ROLE_COUNT);
	return &table[role];
}

bool
sandbox_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(undefined_behavior_sanitizer)
	return true;
#else
	return false;
#endif
#else
	return false;
#endif
}

void
sandbox_describe(char *buf, size_t size)
{
	const char *calls = "seccomp";
	int version = landlock_version();

	if (sandbox_sanitized()) {
		snprintf(buf, size,
		    "off, but for the identity (built with a sanitizer, whose "
		    "reports need files and calls)");
		return;
	}
	if (!seccomp_available())
		calls = "no seccomp (the kernel has none)";
	if (version > 0)
		snprintf(buf, size, "%s, Landlock %d", calls, version);
	else
		snprintf(buf, size, "%s, no Landlock (the kernel has none)",
		    calls);
}

enum err
sandbox_go_home(const struct conf *conf, enum role role, struct errtext *et)
{
	if (table[role].root == SANDBOX_ROOT_KEEP)
		return OK;
	if (chdir(conf->queue_directory) != 0)
		return err_sys(et, errno, "%s", conf->queue_directory);
	return OK;
}

/* From the working directory that sandbox_go_home chose. */
static enum err
change_root(enum sandbox_root root, const struct identity *id,
    struct errtext *et)
{
	if (root == SANDBOX_ROOT_KEEP || sandbox_sanitized())
		return OK;
	if (root == SANDBOX_ROOT_EMPTY && chdir("empty") != 0)
		return err_sys(et, errno, "queue_directory/empty");
	if (id->kind != IDENTITY_SAME && chroot(".") != 0)
		return err_sys(et, errno, "chroot");
	return OK;
}

enum err
sandbox_enter(const struct conf *conf, enum role role,
    const struct identity *id, struct errtext *et)
{
	const struct sandbox_rights *rights = sandbox_rights(role);
	bool filtered = !(rights->calls & SANDBOX_ANY) && !sandbox_sanitized();
	int rules = -1;
	enum err e = OK;

	if (filtered)
		e = landlock_prepare(conf, rights, &rules, et);
	if (e == OK)
		e = change_root(rights->root, id, et);
	if (e == OK)
		e = identity_drop(id, et);
	if (e != OK || !filtered)
		return e;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_sys(et, errno, "no_new_privs");
	e = landlock_enforce(rules, et);
	if (e == OK && seccomp_available())
		e = seccomp_enforce(rights, et);
	return e;
}
