/*
 * weir-deliver: a worker, which writes mailboxes as the recipient.
 *
 *	weir-deliver UID GID SPOOL_GID HOSTNAME [commands CONF]
 *
 * It is executed by weir-local with the channel and the body's pipe as
 * descriptors 0 and 1.  Executed by root it becomes UID and GID before it
 * reads anything (so that it is not dumpable: the user cannot trace it and
 * read what it reads); SPOOL_GID, when not GID, is added for the directory of
 * mbox files.  User id 0 is refused.  Else it stays who it is.
 *
 * Only with "commands" it may start processes; then it does not get SPOOL_GID,
 * and what it starts may gain rights by set-uid programs, as the user could
 * when he is logged in (mail is sent so, while the server is down).
 *
 * It blocks in its channel, its pipe and the disk, and nowhere longer than
 * weir-local allows: a worker that hangs is killed.
 */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "local/maildir.h"
#include "local/serve.h"
#include "local/syncer.h"

/* Each delivery may have three open: its file, tmp/ and new/. */
enum { DESCRIPTORS_MAX = 3 * WORKER_REQUESTS_MAX + 16 };

_Noreturn static void
die(const char *what)
{
	fprintf(stderr, "weir-deliver: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static unsigned
id_of(const char *text)
{
	uint64_t id;

	errno = EINVAL;
	if (!slice_to_u64(slice_str(text), UINT32_MAX - 1, &id))
		die("user or group id");
	return (unsigned)id;
}

static void
become(uid_t uid, gid_t gid, gid_t spool_gid)
{
	gid_t groups[2] = { gid, spool_gid };

	errno = EPERM;
	if (uid == 0)
		die("delivery as root");
	if (setgroups(gid == spool_gid ? 1 : 2, groups) < 0 ||
	    setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		die("cannot become the recipient");
	if (setuid(0) == 0)
		die("still root");
}

/* At most value: a limit that is lower already stays, since only root may
 * raise it. */
static void
set_limit(int resource, rlim_t value)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		die("cannot read limit");
	if (limit.rlim_max > value)
		limit.rlim_max = value;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(resource, &limit) < 0)
		die("cannot set limit");
}

/* Of a worker that writes mailboxes: no process, no further rights. */
static void
confine_writer(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die("cannot confine");
	syncer_start();
	set_limit(RLIMIT_NPROC, 0);
	set_limit(RLIMIT_NOFILE, DESCRIPTORS_MAX);
}

static void
confine(bool commands)
{
	/* ^C on the terminal of `weir try` is for the master alone. */
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT,
		SIGPIPE, SIGXFSZ, SIGUSR1, SIGALRM };
	size_t i;

	for (i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	umask(077);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		die("cannot confine");
	if (commands && !command_prepare())
		die("cannot take in orphans");
	if (!commands)
		confine_writer();
	set_limit(RLIMIT_CORE, 0);
}

static size_t
read_body(void *arg, char *buf, size_t size)
{
	ssize_t n;

	(void)arg;
	do
		n = read(WORKER_BODY_FD, buf, size);
	while (n < 0 && errno == EINTR);
	return n > 0 ? (size_t)n : 0;
}

static void
report(void *arg, struct slice results)
{
	ssize_t n;

	(void)arg;
	do
		n = send(WORKER_CHANNEL_FD, results.data, results.len,
		    MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	/* weir-local is gone: the next receive sees it too. */
}

/* The descriptors that came with a packet; others than a copy's are too
 * many. */
static void
take_fds(struct msghdr *m, int fds[static REQUEST_COPY_FDS])
{
	struct cmsghdr *c;

	for (int i = 0; i < REQUEST_COPY_FDS; i++)
		fds[i] = -1;
	c = CMSG_FIRSTHDR(m);
	if (c != NULL && c->cmsg_level == SOL_SOCKET &&
	    c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int) * REQUEST_COPY_FDS))
		memcpy(fds, CMSG_DATA(c), sizeof(int) * REQUEST_COPY_FDS);
}

static ssize_t
receive(struct slice *packet_out, int fds[static REQUEST_COPY_FDS], int flags)
{
	static char packet[REQUEST_BYTES_MAX];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * REQUEST_COPY_FDS)];
	} control;
	struct iovec iov = { packet, sizeof(packet) };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	do
		n = recvmsg(WORKER_CHANNEL_FD, &m, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		take_fds(&m, fds);
		*packet_out = slice_of(packet, (size_t)n);
	}
	return n;
}

/* The next request; waits for it when nothing else is to be done.  Empty:
 * none now; broken: weir-local is gone or sent nonsense. */
static bool
next_request(struct batch *b, struct request *q,
    int fds[static REQUEST_COPY_FDS], bool *broken_out)
{
	bool idle = batch_count(b) == 0 && !batch_syncing(b);
	struct slice packet;
	struct rd r;
	ssize_t n = receive(&packet, fds, idle ? 0 : MSG_DONTWAIT);

	*broken_out = n == 0 || (n < 0 && errno != EAGAIN);
	if (n <= 0)
		return false;
	r = rd_of(packet);
	if (request_get(&r, q))
		return true;
	*broken_out = true;
	return false;
}

/* Until the commit can go on, or, with room for it, a request comes. */
static void
wait_for_some(struct batch *b)
{
	struct pollfd p[2] = {
		{ .fd = syncer_fd(), .events = POLLIN },
		{ .fd = batch_full(b) ? -1 : WORKER_CHANNEL_FD,
		    .events = POLLIN },
	};

	if (batch_syncing(b))
		(void)poll(p, ARRAY_LEN(p), -1);
	batch_step(b);
}

static void
serve(struct server *s)
{
	struct batch *b = s->batch;
	int fds[REQUEST_COPY_FDS];
	struct request q;
	bool broken = false;

	while (!broken) {
		if (!batch_full(b) && next_request(b, &q, fds, &broken)) {
			broken = !serve_request(s, &q, fds);
			continue;
		}
		if (broken)
			break;
		batch_tell(b);
		batch_commit(b);
		wait_for_some(b);
	}
	batch_abandon(b);
}

/*
 * Where the commands of src/usercmd are, for $PATH: beside the place where we
 * are installed (PREFIX/libexec/weir, PREFIX/lib/weir/bin), or in the
 * directory of a build.
 */
static const char *
find_bin(void)
{
	static const char *const places[] = { "lib/weir/bin",
		"../../lib/weir/bin" };
	static char found[PATH_MAX];
	char exe[PATH_MAX - 32], path[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	size_t i;

	if (n <= 0)
		return "";
	exe[n] = '\0';
	slash = strrchr(exe, '/');
	if (slash == NULL)
		return "";
	*slash = '\0';
	for (i = 0; i < ARRAY_LEN(places); i++) {
		snprintf(path, sizeof(path), "%s/%s", exe, places[i]);
		if (realpath(path, found) != NULL)
			return found;
	}
	return "";
}

int
main(int argc, char **argv)
{
	static const struct worker_io io = {
		.read_body = read_body,
		.report = report,
	};
	bool commands = argc == 7 && strcmp(argv[5], "commands") == 0;
	struct server server = {
		.io = &io,
		.world = {
			.conf_path = commands ? argv[6] : "",
			.bin_path = commands ? find_bin() : "",
			.channel_fd = WORKER_CHANNEL_FD,
		},
	};

	if (argc != 5 && !commands) {
		fprintf(stderr, "weir-deliver is executed by weir-local\n");
		return 64;
	}
	if (geteuid() == 0)
		become(id_of(argv[1]), id_of(argv[2]),
		    id_of(argv[commands ? 2 : 3]));
	confine(commands);
	maildir_set_host(argv[4]);
	server.batch = batch_init(&io);
	serve(&server);
	/* Nothing to flush; and a leak checker cannot look into a process
	 * that is not dumpable. */
	_exit(0);
}
