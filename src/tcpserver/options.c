#include "tcpserver/options.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/slice.h"
#include "base/tool.h"

static _Noreturn void
usage(void)
{
	tool_say("usage: tcpserver [ -1UXpPhHrRoOdDqQv ] [ -c limit ] "
		 "[ -C limit ] [ -x rules.cdb ] [ -B banner ] [ -g gid ] "
		 "[ -u uid ] [ -b backlog ] [ -l localname ] [ -t timeout ] "
		 "host port program");
	exit(TOOL_PERM);
}

/* A number that is none would else be a limit of 0, or root's number. */
static uint32_t
number(const char *what, const char *text, uint32_t max)
{
	uint64_t n;

	if (text == NULL)
		tool_die(TOOL_PERM, 0, "%s is not set", what);
	if (!slice_to_u64(slice_str(text), max, &n))
		tool_die(TOOL_PERM, 0,
		    "%s: \"%s\" is not a number from 0 to %u", what, text, max);
	return (uint32_t)n;
}

static void
set_uid(struct options *o, const char *what, const char *text)
{
	o->uid = number(what, text, UINT32_MAX - 1);
	o->set_uid = true;
}

static void
set_gid(struct options *o, const char *what, const char *text)
{
	o->gid = number(what, text, UINT32_MAX - 1);
	o->set_gid = true;
}

/* Options without a value. */
static bool
take_flag(struct options *o, int c)
{
	switch (c) {
	case 'q': o->verbosity = QUIET; break;
	case 'Q': o->verbosity = ERRORS; break;
	case 'v': o->verbosity = VERBOSE; break;
	case 'd': o->no_delay = false; break;
	case 'D': o->no_delay = true; break;
	case 'o': o->keep_ip_options = true; break;
	case 'O': o->keep_ip_options = false; break;
	case 'h': o->remote_name = true; break;
	case 'H': o->remote_name = false; break;
	case 'p': o->paranoid = true; break;
	case 'P': o->paranoid = false; break;
	case 'r': o->remote_info = true; break;
	case 'R': o->remote_info = false; break;
	case 'X': o->allow_without_rules = true; break;
	case '1': o->print_port = true; break;
	case 'U':
		set_uid(o, "$UID", getenv("UID"));
		set_gid(o, "$GID", getenv("GID"));
		break;
	default: return false;
	}
	return true;
}

static void
take_value(struct options *o, int c, const char *value)
{
	switch (c) {
	case 'c': o->limit = number("-c", value, OPTIONS_LIMIT_MAX); break;
	case 'C':
		o->client_limit = number("-C", value, OPTIONS_LIMIT_MAX);
		break;
	case 'b': o->backlog = number("-b", value, INT32_MAX); break;
	case 't':
		o->timeout_s = number("-t", value, OPTIONS_TIMEOUT_MAX_S);
		break;
	case 'u': set_uid(o, "-u", value); break;
	case 'g': set_gid(o, "-g", value); break;
	case 'x': o->rules = value; break;
	case 'B': o->banner = value; break;
	case 'l': o->local_name = value; break;
	case ':':
		tool_say("option requires an argument -- %c", optopt);
		usage();
	default: tool_say("illegal option -- %c", optopt); usage();
	}
}

void
options_parse(struct options *o, int argc, char **argv)
{
	int c;

	*o = (struct options){
		.verbosity = ERRORS,
		.limit = OPTIONS_LIMIT_DEFAULT,
		.backlog = OPTIONS_BACKLOG_DEFAULT,
		.timeout_s = OPTIONS_TIMEOUT_DEFAULT_S,
		.remote_name = true,
		.remote_info = true,
		.banner = "",
	};
	opterr = 0;
	/* +: the program's own options are not ours. */
	while ((c = getopt(argc, argv,
		    "+:dDvqQhHrRUXx:t:u:g:l:b:B:c:C:pPoO1")) != -1)
		if (!take_flag(o, c))
			take_value(o, c, optarg);
	if (argc - optind < 3)
		usage();
	o->host = argv[optind];
	o->port = argv[optind + 1];
	o->program = argv + optind + 2;
}
