/*
 * role_name: names of the roles; apart, so that the light command need not link
 * the channels.
 */
#include "base/assert.h"
#include "ipc/chan.h"

static const char *const role_names[ROLE_COUNT] = {
	[ROLE_MASTER] = "master",
	[ROLE_SMTPD] = "smtpd",
	[ROLE_QUEUE] = "queue",
	[ROLE_SMTP] = "smtp",
	[ROLE_DNS] = "dns",
	[ROLE_LOOKUP] = "lookup",
	[ROLE_LOCAL] = "local",
	[ROLE_BOUNCE] = "bounce",
	[ROLE_PICKUP] = "pickup",
	[ROLE_COMMAND] = "command",
};

const char *
role_name(enum role r)
{
	ASSERT(r < ROLE_COUNT);
	return role_names[r];
}
