/*
 * top: the screen of `weir status`, again and again.
 *
 * Happy path: the terminal gives each key at once and does not show it; a
 * screen is drawn over the last one, as many lines and columns of it as the
 * window has, every so often and when the window changes; q ends it.
 *
 * Otherwise: a terminal that knows no controls (TERM=dumb, or none) gets one
 * screen below the other; what is no terminal gets one, and that is all.  A
 * signal gives the terminal back as it was before it ends or stops us.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#include "conf/conf.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/format.h"
#include "weir/screen.h"

#define HOME	    "\033[H"
#define CLEAR_LINE  "\033[K"
#define CLEAR_BELOW "\033[J"

enum {
	/* Of one screen; a page of limits has 240 rows. */
	SCREEN_BYTES_MAX = 128 << 10,
	ROWS_DEFAULT = 24,
	COLUMNS_DEFAULT = 80,
};

static struct {
	struct termios before;
	bool is_changed; /* the terminal, on standard input */
	volatile sig_atomic_t resized;
	sigset_t awake; /* what may come while we wait */
} terminal;

static void
give_back(void)
{
	if (terminal.is_changed)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal.before);
}

/* Keys come one by one, unseen; ^C and ^Z are signals still. */
static void
take(void)
{
	struct termios t = terminal.before;

	t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

static void
on_signal(int number)
{
	sigset_t only;

	switch (number) {
	case SIGWINCH: terminal.resized = 1; return;
	case SIGCONT:
		if (terminal.is_changed)
			take();
		terminal.resized = 1;
		return;
	case SIGTSTP:
		give_back();
		(void)raise(SIGSTOP);
		return;
	default: break;
	}
	/* SA_RESETHAND: this time it does what it does. */
	give_back();
	sigemptyset(&only);
	sigaddset(&only, number);
	(void)raise(number);
	(void)sigprocmask(SIG_UNBLOCK, &only, NULL);
}

static void
watch(int number, int flags)
{
	struct sigaction a = { .sa_handler = on_signal, .sa_flags = flags };

	sigemptyset(&a.sa_mask);
	(void)sigaction(number, &a, NULL);
}

static void
open_terminal(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
	sigset_t winch;

	sigemptyset(&winch);
	sigaddset(&winch, SIGWINCH);
	sigaddset(&winch, SIGCONT);
	/* Seen only while we wait: none is lost before that. */
	(void)sigprocmask(SIG_BLOCK, &winch, &terminal.awake);
	watch(SIGWINCH, 0);
	if (!isatty(STDIN_FILENO) ||
	    tcgetattr(STDIN_FILENO, &terminal.before) != 0)
		return;
	terminal.is_changed = true;
	watch(SIGCONT, 0);
	watch(SIGTSTP, SA_RESTART);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		watch(ends[i], SA_RESETHAND);
	take();
}

/* Wait; false when somebody typed q or standard input ended. */
static bool
pause_or_quit(int64_t ms)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	struct timespec t = { .tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000 };
	char c;

	if (!terminal.is_changed)
		p.fd = -1;
	if (ppoll(&p, 1, &t, &terminal.awake) <= 0)
		return true;
	return read(STDIN_FILENO, &c, 1) == 1 && c != 'q' && c != 'Q';
}

static bool
has_controls(void)
{
	const char *term = getenv("TERM");

	return term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
}

/* What the window has room for, over what it shows. */
static void
draw(struct slice text)
{
	struct winsize w = { .ws_row = 0 };
	size_t rows = ROWS_DEFAULT, columns = COLUMNS_DEFAULT;
	struct slice line;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row > 0 &&
	    w.ws_col > 0) {
		rows = w.ws_row;
		columns = w.ws_col;
	}
	fputs(terminal.resized != 0 ? HOME CLEAR_BELOW : HOME, stdout);
	terminal.resized = 0;
	/* The last line stays free: the cursor rests there. */
	for (size_t i = 1; i < rows && text.len > 0; i++) {
		size_t end = slice_find(text, '\n');

		line = slice_sub(text, 0, end < columns ? end : columns);
		text =
		    slice_sub(text, end < text.len ? end + 1 : end, text.len);
		(void)fwrite(line.data, 1, line.len, stdout);
		fputs(line.len < columns ? CLEAR_LINE "\n" : "\n", stdout);
	}
	fputs(CLEAR_BELOW, stdout);
}

static int
show(struct cli *cli, const struct conf *conf)
{
	static char text[SCREEN_BYTES_MAX];
	static struct screen_before before;
	struct pages pages;
	FILE *to;
	int status = pages_open(cli, conf, &pages);

	if (status != EX_OK)
		return status;
	to = fmemopen(text, sizeof(text), "w");
	if (to == NULL) {
		pages_close(&pages);
		return EX_OSERR;
	}
	screen_print(to, cli, conf, &pages, &before);
	pages_close(&pages);
	fclose(to);
	text[sizeof(text) - 1] = '\0';
	if (isatty(STDOUT_FILENO) && has_controls())
		draw(slice_str(text));
	else
		printf(isatty(STDOUT_FILENO) ? "%s\n" : "%s", text);
	return EX_OK;
}

int
cmd_top(struct cli *cli)
{
	const char *every = "2s";
	const struct cli_option options[] = {
		{ .letter = 'd', .name = "every", .value = &every },
	};
	const struct conf *conf;
	int64_t every_ms;
	int status = cli_parse_alone(cli, options, ARRAY_LEN(options));

	if (status != CLI_GO)
		return status;
	if (!parse_span(slice_str(every), &every_ms) || every_ms < 1000 ||
	    every_ms > 3600000)
		return cli_usage(cli, "--every %s: from 1s to 1h", every);
	conf = cli_conf(cli);
	if (conf == NULL)
		return EX_CONFIG;
	if (isatty(STDOUT_FILENO)) {
		open_terminal();
		terminal.resized = 1; /* the first one has all to itself */
	}
	do {
		status = show(cli, conf);
		if (fflush(stdout) != 0)
			break;
	} while (status == EX_OK && isatty(STDOUT_FILENO) &&
		 pause_or_quit(every_ms));
	give_back();
	conf_free(conf);
	return status;
}
