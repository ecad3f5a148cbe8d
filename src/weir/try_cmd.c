/*
 * try: a mail server for one's own machine.
 *
 * Happy path: make the directory and its weir.conf (try_setup.c), execute the
 * master as a child, wait until it says READY=1 (sd_notify), send one message
 * over SMTP, wait until it lies in its Maildir, say where, and pass signals on
 * until the master is gone.
 *
 * Failure modes: the master exits before it is ready (its exit status is
 * ours; it has logged why); the message is not delivered within DELIVERY_MS
 * (said, the server goes on); this process is killed (the master gets TERM).
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/time.h"
#include "conf/conf.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/master_args.h"
#include "weir/submit.h"
#include "weir/try.h"

enum { DELIVERY_MS = 15000, LOOK_MS = 20 };

struct trial {
	struct cli *cli;
	const struct conf *conf;
	struct try_paths paths;
	char user[64];
	pid_t master;
	int pidfd, notify_fd, signal_fd;
	bool ready;
	bool gone;
	int status; /* of the master, once gone */
};

/* ---- the child ---- */

/* The master has a process group of its own: ^C comes here only, and here it
 * becomes TERM. */
static void
become_master(struct trial *t, const char *notify)
{
	struct master_args m;
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	setenv("NOTIFY_SOCKET", notify, 1);
	master_args(t->cli, &m);
	_exit(cli_exec(t->cli, "master", m.argv));
}

/* An abstract name that nobody else has; it ends with the descriptor. */
static bool
listen_notify(struct trial *t, char *name, size_t size)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	socklen_t len;

	snprintf(name, size, "@weir-try-%016" PRIx64, random_u64());
	memcpy(at.sun_path, name, strlen(name));
	at.sun_path[0] = '\0';
	len =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	t->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return t->notify_fd >= 0 &&
	       bind(t->notify_fd, (struct sockaddr *)&at, len) == 0;
}

static int
start(struct trial *t)
{
	sigset_t passed;
	char notify[64];

	sigemptyset(&passed);
	for (int sig = 1; sig < SIGRTMIN; sig++)
		if (sig == SIGINT || sig == SIGTERM || sig == SIGHUP ||
		    sig == SIGUSR1 || sig == SIGALRM)
			sigaddset(&passed, sig);
	sigprocmask(SIG_BLOCK, &passed, NULL);
	t->signal_fd = signalfd(-1, &passed, SFD_CLOEXEC);
	if (t->signal_fd < 0 || !listen_notify(t, notify, sizeof(notify)))
		goto failed;
	fflush(stdout);
	t->master = fork();
	if (t->master == 0)
		become_master(t, notify);
	if (t->master < 0)
		goto failed;
	t->pidfd = pidfd_open(t->master, 0);
	if (t->pidfd >= 0)
		return EX_OK;
	kill(t->master, SIGTERM);
failed:
	cli_say(t->cli, "cannot start the server: %s", strerror(errno));
	return EX_OSERR;
}

/* ---- events ---- */

static void
on_signal(struct trial *t)
{
	struct signalfd_siginfo info;

	if (read(t->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	kill(t->master,
	    info.ssi_signo == SIGINT ? SIGTERM : (int)info.ssi_signo);
}

static void
on_notify(struct trial *t)
{
	char text[512];
	ssize_t n = recv(t->notify_fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (n <= 0)
		return;
	text[n] = '\0';
	if (strstr(text, "READY=1") != NULL)
		t->ready = true;
}

static void
on_gone(struct trial *t)
{
	int status;

	if (waitpid(t->master, &status, 0) != t->master)
		return;
	t->gone = true;
	t->status = WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}

/* One turn, at most wait_ms (-1: without end). */
static void
turn(struct trial *t, int wait_ms)
{
	struct pollfd p[3] = {
		{ .fd = t->signal_fd, .events = POLLIN },
		{ .fd = t->notify_fd, .events = POLLIN },
		{ .fd = t->pidfd, .events = POLLIN },
	};

	if (poll(p, 3, wait_ms) <= 0)
		return;
	if (p[0].revents != 0)
		on_signal(t);
	if (p[1].revents != 0)
		on_notify(t);
	if (p[2].revents != 0)
		on_gone(t);
}

/* ---- the first message ---- */

/* The newest file there; false when there is none. */
static bool
newest(const char *dir_path, char *name, size_t size, unsigned *count)
{
	DIR *dir = opendir(dir_path);
	struct dirent *e;

	*count = 0;
	if (dir == NULL)
		return false;
	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		/* Names begin with the time of delivery. */
		if (*count == 0 || strcmp(e->d_name, name) > 0)
			snprintf(name, size, "%s", e->d_name);
		++*count;
	}
	closedir(dir);
	return *count > 0;
}

static void
explain_use(const struct trial *t, const char *file)
{
	const char *weir = t->cli->program;
	const char *conf = t->paths.conf;

	if (file != NULL)
		printf("\nweir: a first message was delivered: %s\n", file);
	printf("\n"
	       "Mail for every address in localhost and example.test goes to "
	       "%s/USER/Maildir;\n"
	       "other domains wait in the queue%s.\n\n"
	       "  %s send -c %s you@example.test\n"
	       "  %s queue list -c %s\n"
	       "  %s status -c %s\n\n"
	       "SMTP is served on %.*s.  ^C stops the server.\n",
	    t->paths.mail,
	    t->conf->relayhost[0] != '\0'
		? " until relayhost takes them"
		: " (-o relayhost=[HOST]:PORT sends them on)",
	    weir, conf, weir, conf, weir, conf,
	    t->conf->smtp_listen.count > 0
		? (int)t->conf->smtp_listen.items[0].len
		: 7,
	    t->conf->smtp_listen.count > 0 ? t->conf->smtp_listen.items[0].data
					   : "nothing");
	fflush(stdout);
}

/* The whole message, when it is there; EX_OK also when it is not, for the
 * server runs. */
static void
first_message(struct trial *t)
{
	char dir[TRY_PATH_BYTES + 128], name[256] = "", file[1600];
	char to[100], reply[SUBMIT_REPLY_BYTES];
	char *words[1] = { to };
	struct submission m = {
		.from = to,
		.to = words,
		.to_count = 1,
		.subject = "Weir works",
		.body = SLICE_LIT("This message went through the whole server: "
				  "over SMTP into the queue,\nand from there "
				  "into this Maildir.\n"),
	};
	unsigned before, count;

	snprintf(to, sizeof(to), "%s@localhost", t->user);
	snprintf(dir, sizeof(dir), "%s/%s/Maildir/new", t->paths.mail, t->user);
	newest(dir, name, sizeof(name), &before);
	if (submit_message(t->cli, t->conf, &m, false, reply) != EX_OK)
		return;
	for (int waited = 0; waited < DELIVERY_MS && !t->gone;
	     waited += LOOK_MS) {
		name[0] = '\0';
		if (newest(dir, name, sizeof(name), &count) && count > before) {
			snprintf(file, sizeof(file), "%s/%s", dir, name);
			explain_use(t, file);
			return;
		}
		turn(t, LOOK_MS);
	}
	if (t->gone)
		return;
	cli_say(t->cli,
	    "the first message was accepted (%s), but is not delivered yet; "
	    "%s queue list -c %s tells why",
	    reply, t->cli->program, t->paths.conf);
	explain_use(t, NULL);
}

/* A user name that may stand in an address as it is. */
static void
choose_user(struct trial *t)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	const struct passwd *pw = getpwuid(getuid());
	const char *name = pw != NULL ? pw->pw_name : "you";

	if (name[0] == '\0' || name[strspn(name, plain)] != '\0')
		name = "you";
	snprintf(t->user, sizeof(t->user), "%.60s", name);
}

static int
serve(struct trial *t)
{
	int status = start(t);

	if (status != EX_OK)
		return status;
	while (!t->gone && !t->ready)
		turn(t, -1);
	if (t->ready && !t->gone)
		first_message(t);
	while (!t->gone)
		turn(t, -1);
	return t->status;
}

/* Who gives relayhost wants its mail sent. */
static void
release_if_relayed(struct cli *cli)
{
	bool relayed = false, deferred = false;

	for (size_t i = 0; i < cli->override_count; i++) {
		struct slice o = slice_str(cli->overrides[i]);
		struct slice name =
		    slice_trim(slice_sub(o, 0, slice_find(o, '=')));

		relayed |= slice_eq(name, SLICE_LIT("relayhost"));
		deferred |= slice_eq(name, SLICE_LIT("defer_transports"));
	}
	if (relayed && !deferred &&
	    cli->override_count < CLI_OVERRIDE_COUNT_MAX)
		cli->overrides[cli->override_count++] = "defer_transports=";
}

int
cmd_try(struct cli *cli)
{
	static struct trial t;
	int status = cli_parse(cli, NULL, 0);

	if (status != CLI_GO)
		return status;
	if (cli->argc > 1)
		return cli_usage(cli, "one directory at a time");
	t.cli = cli;
	status = try_setup(cli, cli->argc > 0 ? cli->argv[0] : NULL, &t.paths);
	if (status != EX_OK)
		return status;
	cli->conf_path = t.paths.conf;
	release_if_relayed(cli);
	t.conf = cli_conf(cli);
	if (t.conf == NULL)
		return EX_CONFIG;
	choose_user(&t);
	status = serve(&t);
	conf_free(t.conf);
	return status;
}
