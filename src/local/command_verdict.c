/*
 * command_verdict: what an exit code means.
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "local/command.h"

enum { STOP_CODE = 99, COMMAND_SHOWN_BYTES_MAX = 100 };

/* ---- qmail-command(8) ---- */

static enum job_status
qmail_status(int code)
{
	switch (code) {
	case 0:
	case STOP_CODE: return JOB_SENT;
	case 100:
	case 64:
	case 65:
	case 70:
	case 76:
	case 77:
	case 78:
	case 112: return JOB_FAILED;
	default: return JOB_DEFERRED;
	}
}

/* ---- sysexits, as Postfix takes them ---- */

static const struct sysexit {
	int code;
	const char *dsn, *text;
} sysexits[] = {
	{ 64, "5.3.0", "command line usage error" },
	{ 65, "5.6.0", "data format error" },
	{ 66, "5.3.0", "cannot open input" },
	{ 67, "5.1.1", "user unknown" },
	{ 68, "5.1.2", "host name unknown" },
	{ 69, "5.3.0", "service unavailable" },
	{ 70, "5.3.0", "internal software error" },
	{ 71, "4.3.0", "system resource problem" },
	{ 72, "5.3.0", "critical OS file missing" },
	{ 73, "5.2.0", "can't create user output file" },
	{ 74, "5.3.0", "input/output error" },
	{ 75, "4.3.0", "temporary failure" },
	{ 76, "5.5.0", "remote error in protocol" },
	{ 77, "5.7.0", "permission denied" },
	{ 78, "5.3.5", "local configuration error" },
};

static const struct sysexit *
find_sysexit(int code)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(sysexits); i++)
		if (sysexits[i].code == code)
			return &sysexits[i];
	return NULL;
}

/* Digits at the front of *s, at most three. */
static bool
take_number(struct slice *s)
{
	size_t n = 0;

	while (n < s->len && n < 4 && s->data[n] >= '0' && s->data[n] <= '9')
		n++;
	*s = slice_sub(*s, n, s->len);
	return n >= 1 && n <= 3;
}

/* "4.2.1 text" or "5.2.1 text" (RFC 3463) at the front of the output: taken
 * from it. */
static bool
take_dsn(struct slice *output, char dsn[static 12])
{
	struct slice rest = *output;

	if (rest.len < 5 || (rest.data[0] != '4' && rest.data[0] != '5') ||
	    rest.data[1] != '.')
		return false;
	rest = slice_sub(rest, 2, rest.len);
	if (!take_number(&rest) || rest.len == 0 || rest.data[0] != '.')
		return false;
	rest = slice_sub(rest, 1, rest.len);
	if (!take_number(&rest) ||
	    (rest.len > 0 && strchr(" \t\r\n", rest.data[0]) == NULL))
		return false;
	if (!slice_copy(slice_sub(*output, 0, output->len - rest.len), dsn, 12))
		return false;
	*output = slice_trim(rest);
	return true;
}

/* ---- text ---- */

/* On one line: the ends of lines as '/', without those at the end. */
static void
flatten(struct slice s, char out[static OUTCOME_TEXT_BYTES])
{
	size_t i, n = 0;
	unsigned char c;

	while (s.len > 0 && ((unsigned char)s.data[s.len - 1] <= ' '))
		s.len--;
	for (i = 0; i < s.len && n < OUTCOME_TEXT_BYTES - 1; i++) {
		c = (unsigned char)s.data[i];
		if (c == '\n')
			out[n++] = '/';
		else if (c != '\r')
			out[n++] = c < ' ' || c == 127 ? ' ' : (char)c;
	}
	out[n] = '\0';
}

/* how, the command in quotes if it is named, and what it said. */
static void
set_text(struct outcome *o, enum job_status status, const char *dsn,
    const char *how, struct slice command, struct slice output)
{
	char said[OUTCOME_TEXT_BYTES];
	char name[OUTCOME_TEXT_BYTES];

	flatten(output, said);
	flatten(slice_sub(command, 0, COMMAND_SHOWN_BYTES_MAX), name);
	outcome_set(o, status, dsn, "%s%s%s%s%s%s", how,
	    name[0] != '\0' ? ": \"" : "", name, name[0] != '\0' ? "\"" : "",
	    said[0] != '\0' ? ". Command output: " : "", said);
}

/* ---- verdicts ---- */

/* What is run, for people: of a pipe its program. */
static struct slice
name_of(const struct request *q)
{
	struct slice argv = q->argv, name = q->command;

	if (q->verb == REQUEST_PIPE)
		(void)request_next(&argv, &name);
	return name;
}

/* The same in both manners: it did not say anything itself. */
static bool
died(const struct request *q, const struct command_end *end, struct outcome *o)
{
	bool bounces = end->timed_out && (q->flags & REQUEST_TIMEOUT_BOUNCES);
	char how[64];

	if (end->timed_out)
		snprintf(how, sizeof(how), "Command time limit exceeded");
	else if (WIFSIGNALED(end->status))
		snprintf(how, sizeof(how), "Command died with signal %d",
		    WTERMSIG(end->status));
	else
		return false;
	set_text(o, bounces ? JOB_FAILED : JOB_DEFERRED,
	    bounces ? "5.3.0" : "4.3.0", how, name_of(q), end->output);
	if (end->timed_out)
		o->limit = OUTCOME_LIMIT_TIME;
	return true;
}

static void
qmail_verdict(const struct request *q, int code, struct slice output,
    struct outcome *o)
{
	static const char *const dsn[] = {
		[JOB_SENT] = "2.0.0",
		[JOB_DEFERRED] = "4.3.0",
		[JOB_FAILED] = "5.3.0",
	};
	enum job_status status = qmail_status(code);
	char said[OUTCOME_TEXT_BYTES], how[64];

	flatten(output, said);
	if (said[0] != '\0' || status == JOB_SENT) {
		outcome_set(o, status, dsn[status], "%s", said);
		return;
	}
	snprintf(how, sizeof(how), "Command died with status %d", code);
	set_text(o, status, dsn[status], how, q->command, SLICE_NONE);
}

static void
pipe_sent(const struct request *q, struct slice output, struct outcome *o)
{
	char said[OUTCOME_TEXT_BYTES];

	flatten(output, said);
	outcome_set(o, JOB_SENT, "2.0.0", "delivered via %.*s service%s%s%s",
	    SLICE_ARGS(q->transport), said[0] != '\0' ? " (" : "", said,
	    said[0] != '\0' ? ")" : "");
}

static void
sysexits_verdict(const struct request *q, int code, struct slice output,
    struct outcome *o)
{
	const struct sysexit *x = find_sysexit(code);
	char dsn[12] = "5.3.0", how[64], name[OUTCOME_TEXT_BYTES];
	bool said_dsn;

	if (code == 0 && q->verb == REQUEST_PIPE) {
		pipe_sent(q, output, o);
		return;
	}
	if (code == 0 || (code == STOP_CODE && q->verb != REQUEST_PIPE)) {
		flatten(slice_sub(q->command, 0, COMMAND_SHOWN_BYTES_MAX),
		    name);
		outcome_set(o, JOB_SENT, "2.0.0", "delivered to command: %s",
		    name);
		return;
	}
	said_dsn = take_dsn(&output, dsn);
	if (x != NULL) {
		if (!said_dsn)
			memcpy(dsn, x->dsn, strlen(x->dsn) + 1);
		set_text(o, dsn[0] == '4' ? JOB_DEFERRED : JOB_FAILED, dsn,
		    x->text, SLICE_NONE, output);
		return;
	}
	snprintf(how, sizeof(how), "Command died with status %d", code);
	set_text(o, dsn[0] == '4' ? JOB_DEFERRED : JOB_FAILED, dsn, how,
	    name_of(q), output);
}

bool
command_verdict(const struct request *q, const struct command_end *end,
    struct outcome *o)
{
	int code;

	if (died(q, end, o))
		return false;
	code = WEXITSTATUS(end->status);
	if (q->flags & REQUEST_QMAIL)
		qmail_verdict(q, code, end->output, o);
	else
		sysexits_verdict(q, code, end->output, o);
	return code == STOP_CODE && q->verb != REQUEST_PIPE;
}
