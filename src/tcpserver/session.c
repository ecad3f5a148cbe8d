/*
 * session.
 *
 * Happy path: "pid" is logged, the banner written, names and the ident answer
 * gathered, the rules asked, "ok" logged, and the program gets the connection
 * as descriptors 0 and 1 and its facts in TCP*.
 *
 * Failure modes: the rules refuse (status 100), or something cannot be done
 * (status 111): the connection is dropped, and the log says why.
 */
#include "tcpserver/session.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/tool.h"
#include "tcpserver/env.h"
#include "tcpserver/ident.h"
#include "tcpserver/names.h"
#include "tcpserver/rules.h"

enum { VARS_MAX = 16 };

struct session {
	const struct options *o;
	struct address local;
	const struct address *remote;
	struct names names;
	const char *local_name; /* NULL: not known */
	const char *remote_name;
	const char *remote_info;
	char info[IDENT_BYTES_MAX + 1];
	struct env env;
	bool deny;
};

static _Noreturn void PRINTF(2, 3)
    drop(const struct session *s, const char *fmt, ...)
{
	int errnum = errno;
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (s->o->verbosity >= ERRORS)
		tool_warn(errnum, "dropping connection, %s", text);
	_exit(TOOL_TEMP);
}

static void
prepare_socket(struct session *s, int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int on = 1;

	if (!s->o->keep_ip_options)
		(void)setsockopt(fd, IPPROTO_IP, IP_OPTIONS, NULL, 0);
	if (s->o->no_delay)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* It is the first that is sent, and so is taken whole. */
	len = (socklen_t)strlen(s->o->banner);
	if (len > 0 && send(fd, s->o->banner, len, MSG_NOSIGNAL) < 0)
		drop(s, "unable to print banner");
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
		drop(s, "unable to get local address");
	address_from(&s->local, &sa);
}

static void
gather(struct session *s)
{
	struct names_want want = {
		.local = s->o->local_name == NULL ? &s->local : NULL,
		.remote = s->o->remote_name ? s->remote : NULL,
		.paranoid = s->o->paranoid,
	};

	names_find(&want, s->o->timeout_s, &s->names);
	s->local_name = s->o->local_name;
	if (s->local_name == NULL && s->names.local[0] != '\0')
		s->local_name = s->names.local;
	if (s->names.remote[0] != '\0')
		s->remote_name = s->names.remote;
	if (s->o->remote_info &&
	    ident_ask(&s->local, s->remote, s->o->timeout_s, s->info))
		s->remote_info = s->info;
}

/* NAME=VALUE, or no such variable where there is no value. */
static void
set(struct session *s, const char *name, const char *value)
{
	static char texts[VARS_MAX][2048];
	static size_t used;
	char *text = texts[used];

	if (value == NULL) {
		env_unset(&s->env, name);
		return;
	}
	(void)snprintf(text, sizeof(texts[0]), "%s=%s", name, value);
	used++;
	if (env_put(&s->env, text) != OK) {
		errno = ENOMEM;
		drop(s, "no room for the environment");
	}
}

static void
set_facts(struct session *s)
{
	char port[8];

	set(s, "PROTO", "TCP");
	set(s, "TCPLOCALIP", s->local.ip);
	(void)snprintf(port, sizeof(port), "%u", s->local.port);
	set(s, "TCPLOCALPORT", port);
	set(s, "TCPLOCALHOST", s->local_name);
	set(s, "TCPREMOTEIP", s->remote->ip);
	(void)snprintf(port, sizeof(port), "%u", s->remote->port);
	set(s, "TCPREMOTEPORT", port);
	set(s, "TCPREMOTEHOST", s->remote_name);
	set(s, "TCPREMOTEINFO", s->remote_info);
}

/* The rules' variables come last, so that they may replace any other. */
static void
apply_rule(struct session *s, const struct rules *r)
{
	struct slice data = r->data;
	struct rules_step step;

	while (r->found && !s->deny && rules_step(&data, &step)) {
		union {
			const char *in;
			char *out;
		} variable = { step.variable }; /* the map is not written */

		s->deny = step.what == 'D';
		if (!s->deny && env_put(&s->env, variable.out) != OK) {
			errno = ENOMEM;
			drop(s, "no room for the environment");
		}
	}
}

static void
ask_rules(struct session *s)
{
	static struct rules r;
	struct rules_client client = {
		.ip = slice_str(s->remote->ip),
		.host = slice_str(s->remote_name),
		.info = slice_str(s->remote_info),
	};
	int fd;

	if (s->o->rules == NULL)
		return;
	fd = open(s->o->rules, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && s->o->allow_without_rules)
		return;
	if (fd < 0 || rules_find(&r, fd, &client) != OK)
		drop(s, "unable to read %s", s->o->rules);
	(void)close(fd);
	apply_rule(s, &r);
}

/* Foreign text between the colons of a log line. */
static const char *
field(const char *text, char buf[static 1024])
{
	size_t i = 0;

	for (; text != NULL && text[i] != '\0' && i < 1023; i++) {
		char c = text[i];

		buf[i] = c < 33 || c > 126 || c == '%' || c == ':' ? '?' : c;
	}
	buf[i] = '\0';
	return buf;
}

static void
log_verdict(const struct session *s)
{
	char local[1024], remote[1024], info[1024];

	if (s->o->verbosity >= VERBOSE)
		tool_say("%s %d %s:%s:%u %s:%s:%s:%u", s->deny ? "deny" : "ok",
		    (int)getpid(), field(s->local_name, local), s->local.ip,
		    s->local.port, field(s->remote_name, remote), s->remote->ip,
		    field(s->remote_info, info), s->remote->port);
}

static _Noreturn void
become_program(const struct session *s, int fd)
{
	sigset_t none;

	/* dup2 also takes "close on exec" off. */
	if (dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
		drop(s, "unable to set up descriptors");
	(void)signal(SIGCHLD, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execvpe(s->o->program[0], s->o->program, s->env.vars);
	drop(s, "unable to run %s", s->o->program[0]);
}

void
session_run(const struct options *o, struct acct *acct, int fd,
    const struct address *remote)
{
	static struct session s;

	s.o = o;
	s.remote = remote;
	if (o->verbosity >= VERBOSE)
		tool_say("pid %d from %s", (int)getpid(), remote->ip);
	prepare_socket(&s, fd);
	gather(&s);
	if (env_init(&s.env, acct, VARS_MAX) != OK) {
		errno = ENOMEM;
		drop(&s, "no room for the environment");
	}
	set_facts(&s);
	ask_rules(&s);
	log_verdict(&s);
	if (s.deny)
		_exit(TOOL_PERM);
	become_program(&s, fd);
}
