#include "multilog/pause.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/tool.h"

static struct {
	int fd;
	sigset_t before;
	bool term, alrm;
} signals;

void
pause_init(void)
{
	sigset_t mask;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGALRM);
	(void)sigprocmask(SIG_BLOCK, &mask, &signals.before);
	/* A reader of our messages that is gone is no reason to end. */
	(void)signal(SIGPIPE, SIG_IGN);
	signals.fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals.fd < 0)
		tool_die(TOOL_TEMP, errno, "unable to watch signals");
}

static void
take(void)
{
	struct signalfd_siginfo info;

	while (read(signals.fd, &info, sizeof(info)) == sizeof(info)) {
		signals.term = signals.term || info.ssi_signo == SIGTERM;
		signals.alrm = signals.alrm || info.ssi_signo == SIGALRM;
	}
}

bool
pause_for_input(void)
{
	struct pollfd p[2] = { { .fd = signals.fd, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN } };

	(void)poll(p, 2, -1);
	if (p[0].revents != 0)
		take();
	return p[0].revents == 0 && p[1].revents != 0;
}

void
pause_here(void)
{
	struct pollfd p = { .fd = signals.fd, .events = POLLIN };
	bool alrm = signals.alrm;

	signals.alrm = false;
	if (poll(&p, 1, PAUSE_MS) > 0) {
		bool term = signals.term;

		take();
		/* TERM is kept, and does not shorten the next pause. */
		if (signals.term && !term && !signals.alrm)
			(void)poll(&p, 1, PAUSE_MS);
	}
	signals.alrm = signals.alrm || alrm;
}

bool
pause_term(void)
{
	return signals.term;
}

bool
pause_take_alrm(void)
{
	bool alrm = signals.alrm;

	signals.alrm = false;
	return alrm;
}

void
pause_leave(void)
{
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &signals.before, NULL);
}
