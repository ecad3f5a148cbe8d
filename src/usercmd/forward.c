/*
 * forward, condredirect.
 */
#include <signal.h>
#include <unistd.h>

#include "usercmd/int.h"

int
usercmd_forward(struct usercmd *u)
{
	const char *sender, *dtline;

	if (u->count == 0)
		return say_usage(u, "address [ address ... ]");
	(void)signal(SIGPIPE, SIG_IGN);
	sender = environ_sender(u, "NEWSENDER");
	if (sender == NULL)
		return USERCMD_PERM;
	dtline = environ_dtline(u);
	if (dtline == NULL)
		return USERCMD_PERM;
	return inject(u, sender, dtline, u->words, u->count);
}

int
usercmd_condredirect(struct usercmd *u)
{
	const char *sender, *dtline;
	int code = 0, e;

	if (u->count < 2)
		return say_usage(u, "newaddress program [ arg ... ]");
	e = child_run(u, u->words + 1, &code);
	if (e != 0)
		return e;
	if (code == USERCMD_TEMP)
		return say_fatal(u, USERCMD_TEMP, "temporary child error");
	if (code != 0)
		return USERCMD_OK;
	if (lseek(STDIN_FILENO, 0, SEEK_SET) != 0)
		return say_errno(u, "unable to rewind");
	(void)signal(SIGPIPE, SIG_IGN);
	sender = environ_sender(u, "SENDER");
	if (sender == NULL)
		return USERCMD_PERM;
	dtline = environ_dtline(u);
	if (dtline == NULL)
		return USERCMD_PERM;
	e = inject(u, sender, dtline, u->words, 1);
	return e == 0 ? USERCMD_DONE : e;
}
