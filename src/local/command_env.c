/*
 * command_env: the environment of a command.
 *
 * Names are those of qmail-command(8) and of Postfix's local(8).  Of what
 * strangers wrote (addresses and their parts) only the characters of
 * MACRO_COMMAND_SAFE pass, others become '_', as does a '-' at the front,
 * which would make an option of it; so that "$SENDER" is one word, no pattern
 * and no syntax, whatever a script does with it.  The tails "-@[]" and the
 * sender "#@[]", which mean something to qmail's programs, are kept.  Where
 * something was replaced WEIR_XTEXT_NAME has all of it, as xtext (RFC 3461 4),
 * for programs that need the exact address.
 */
#include <string.h>

#include "alias/macro.h"
#include "alias/qmail_name.h"
#include "base/assert.h"
#include "local/command.h"
#include "local/header.h"

/* ---- text ---- */

static void
put(struct command_env *e, struct slice s)
{
	ASSERT(s.len < sizeof(e->text) - e->len);
	if (s.len > 0)
		memcpy(e->text + e->len, s.data, s.len);
	e->len += s.len;
}

static void
begin(struct command_env *e, const char *name)
{
	ASSERT(e->count < COMMAND_VARIABLES_MAX);
	e->vars[e->count++] = e->text + e->len;
	put(e, slice_str(name));
	put(e, SLICE_LIT("="));
}

/* A NUL would end the value: there is none in what comes before it. */
static void
end(struct command_env *e)
{
	e->text[e->len++] = '\0';
	ASSERT(e->len < sizeof(e->text));
	e->vars[e->count] = NULL;
}

/* ---- values ---- */

static bool
is_safe(char c)
{
	return c != '\0' && strchr(MACRO_COMMAND_SAFE, c) != NULL;
}

/* How many bytes at the end of an address mean something to qmail. */
static size_t
tail_length(struct slice s)
{
	if (slice_eq(s, SLICE_LIT("#@[]")))
		return s.len;
	return slice_ends_nocase(s, SLICE_LIT("-@[]")) ? 4 : 0;
}

/* What a stranger wrote; false: something was replaced. */
static bool
put_filtered(struct command_env *e, struct slice s)
{
	size_t tail = tail_length(s), i;
	bool same = true, keep;

	for (i = 0; i < s.len; i++) {
		keep = i >= s.len - tail ||
		       (is_safe(s.data[i]) && (i > 0 || s.data[i] != '-'));
		put(e, keep ? slice_sub(s, i, i + 1) : SLICE_LIT("_"));
		same = same && keep;
	}
	return same;
}

static void
put_xtext(struct command_env *e, struct slice s)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t i;

	for (i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		char code[3] = { '+', digits[c >> 4], digits[c & 15] };

		if (is_safe((char)c) && c != '+' && c != '=')
			put(e, slice_sub(s, i, i + 1));
		else
			put(e, slice_of(code, sizeof(code)));
	}
}

/* From the system or the administrator, as it is. */
static void
add(struct command_env *e, const char *name, struct slice value)
{
	if (slice_find(value, '\0') < value.len)
		value = SLICE_NONE;
	begin(e, name);
	put(e, value);
	end(e);
}

static void
add_foreign(struct command_env *e, const char *name, struct slice value)
{
	begin(e, name);
	(void)put_filtered(e, value);
	end(e);
}

/* A whole address. */
static void
add_address(struct command_env *e, const char *name, const char *xtext_name,
    struct slice value)
{
	bool same;

	begin(e, name);
	same = put_filtered(e, value);
	end(e);
	if (same)
		return;
	begin(e, xtext_name);
	put_xtext(e, value);
	end(e);
}

/* A line that is to stand in front of a message. */
static void
add_line(struct command_env *e, const char *name, const char *front,
    struct slice value, const char *back)
{
	begin(e, name);
	put(e, slice_str(front));
	(void)put_filtered(e, value);
	put(e, slice_str(back));
	end(e);
}

static void
add_from_line(struct command_env *e, struct slice sender)
{
	char line[FROM_LINE_BYTES_MAX];
	size_t len = header_from_line(sender, line);
	struct slice whole = slice_of(line, len), date;

	if (sender.len == 0)
		sender = SLICE_LIT("MAILER-DAEMON");
	date = slice_sub(whole, sizeof("From ") - 1 + sender.len, len);
	begin(e, "UFLINE");
	put(e, SLICE_LIT("From "));
	(void)put_filtered(e, sender);
	put(e, date);
	end(e);
}

/* ---- all of them ---- */

static void
add_system(struct command_env *e, const struct request *q,
    const struct command_world *w)
{
	struct slice shell = q->shell;

	if (shell.len == 0 || shell.data[0] != '/')
		shell = SLICE_LIT("/bin/sh");
	begin(e, "PATH");
	if (w->bin_path[0] != '\0') {
		put(e, slice_str(w->bin_path));
		put(e, SLICE_LIT(":"));
	}
	put(e, SLICE_LIT("/usr/local/bin:/usr/bin:/bin"));
	end(e);
	add(e, "HOME", q->base);
	add(e, "USER", q->user);
	add(e, "LOGNAME", q->user);
	add(e, "SHELL", shell);
	if (w->conf_path[0] != '\0')
		add(e, "WEIR_CONF", slice_str(w->conf_path));
}

static void
add_parts(struct command_env *e, const struct request *q, struct slice local,
    struct slice host)
{
	static const char *const hosts[] = { "HOST", "HOST2", "HOST3",
		"HOST4" };
	static const char *const exts[] = { "EXT", "EXT2", "EXT3", "EXT4" };
	unsigned i;

	add_foreign(e, "LOCAL", local);
	add_foreign(e, "DOMAIN", host);
	add_foreign(e, "EXTENSION", q->extension);
	for (i = 0; i < ARRAY_LEN(hosts); i++)
		add_foreign(e, hosts[i], qmail_host_before(host, i));
	for (i = 0; i < ARRAY_LEN(exts); i++)
		add_foreign(e, exts[i], qmail_ext_after(q->extension, i));
	if (q->flags & REQUEST_HAS_DEFAULT)
		add_foreign(e, "DEFAULT", q->default_extension);
}

void
command_env_make(struct command_env *e, const struct request *q,
    const struct command_world *w)
{
	size_t at = slice_rfind(q->address, '@');
	struct slice original = q->original.len > 0 ? q->original : q->address;

	e->count = 0;
	e->len = 0;
	add_system(e, q, w);
	/* Its facts are arguments, and there may be many recipients. */
	if (q->verb == REQUEST_PIPE)
		return;
	add_address(e, "SENDER", "WEIR_XTEXT_SENDER", q->sender);
	add_address(e, "NEWSENDER", "WEIR_XTEXT_NEWSENDER", q->new_sender);
	add_address(e, "RECIPIENT", "WEIR_XTEXT_RECIPIENT", q->address);
	add_address(e, "ORIGINAL_RECIPIENT", "WEIR_XTEXT_ORIGINAL_RECIPIENT",
	    original);
	add_parts(e, q, slice_sub(q->address, 0, at),
	    slice_sub(q->address, at + 1, q->address.len));
	add_line(e, "DTLINE", "Delivered-To: ", q->address, "\n");
	add_line(e, "RPLINE", "Return-Path: <", q->sender, ">\n");
	add_from_line(e, q->sender);
}
