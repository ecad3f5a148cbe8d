/*
 * limits_doc: doc/limits.md, from the parameter table and limits.def.
 */
#include <stdio.h>
#include <sysexits.h>

#include "conf/param.h"
#include "weir/cli.h"
#include "weir/commands.h"

static const struct {
	enum conf_id id;
	const char *seen, *at_limit, *choose;
} docs[] = {
#define LIMIT_DOC(parameter, seen, at_limit, choose) \
	{ CONF_ID_##parameter, seen, at_limit, choose },
#include "weir/limits.def"
};

static const char head[] =
    "# Limits\n"
    "\n"
    "Every resource that Weir uses has a limit. This page is made by `weir "
    "limits --doc`\n"
    "from the parameter table; weir.conf(5) has each parameter in full.\n"
    "\n"
    "- `weir limits` shows each limit of the running server: how much of it is "
    "in use now,\n"
    "  the most that ever was, how often something was refused or had to "
    "wait.\n"
    "- `weir limits --plan` shows, without starting, how memory_budget is "
    "split.\n"
    "- `weir status` shows gates, queue and the ladder of overload; `weir top` "
    "shows it live.\n"
    "- The log names a limit that was hit, its value and who hit it, once a "
    "minute at most:\n"
    "  `limit NAME (VALUE) reached by WHO: WHAT WAS DONE (COUNT times)`.\n"
    "\n"
    "## Overload\n"
    "\n"
    "Under pressure Weir does less, step by step, and comes back by itself: "
    "short timeouts\n"
    "for clients that have proved nothing; no new ones of them (421); 452 at "
    "MAIL; new\n"
    "deliveries only when none runs. The first two follow from places for "
    "sessions (90 %\n"
    "and 98 %) or memory (80 % and 90 %), the others from memory alone (95 % "
    "and 98 %). A\n"
    "client is proven when it is in mynetworks, or a message of it was taken "
    "within proven_ttl. Strangers leave\n"
    "20 % of sessions, memory and disk space to the others, whatever they do; "
    "reports and\n"
    "local mail have places of their own.\n"
    "\n"
    "Clients and their networks (/24, /48) are counted in a table of fixed "
    "size, made at the\n"
    "start: eight places for each set of addresses, which a secret hash "
    "forms. A new client\n"
    "takes the place of the one of its set that is worth least: unproven "
    "before proven, then\n"
    "the one not seen for longest, never one with an open session. Where all "
    "eight have one,\n"
    "the new client gets in and is not counted by itself, only in the gate.\n"
    "\n"
    "## Parameters\n";

static void
put_doc(const struct conf_param *p, size_t i)
{
	printf("\n### %s\n\n%s\n\n", p->name, p->text);
	printf("- default %s%s%s, from %s to %s", p->def,
	    p->type == CONF_TYPE_INT && p->unit[0] != '\0' ? " " : "",
	    p->type == CONF_TYPE_INT ? p->unit : "", p->least, p->most);
	if (p->zero[0] != '\0')
		printf("; 0: %s", p->zero);
	printf("; %s\n- at the limit: %s\n",
	    p->when == CONF_WHEN_RELOAD ? "`weir reload` makes it effective"
					: "effective at the next start",
	    docs[i].at_limit);
	if (docs[i].seen[0] != '\0')
		printf("- in `weir limits`: %s\n", docs[i].seen);
	printf("- how to choose it: %s\n", docs[i].choose);
}

int
limits_doc(void)
{
	fputs(head, stdout);
	for (size_t i = 0; i < ARRAY_LEN(docs); i++)
		put_doc(&conf_params[docs[i].id], i);
	return ferror(stdout) != 0 ? EX_IOERR : EX_OK;
}
