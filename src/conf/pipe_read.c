/*
 * conf/pipe_read: what stands behind "transport NAME =".
 */
#include <stdio.h>

#include "alias/pipe_args.h"
#include "conf/load.h"

/* What is known of a definition while it is read. */
struct reading {
	struct loader *l;
	struct conf_pipe *pipe;
	struct slice rest;
	struct errtext et; /* what is wrong; empty: nothing */
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The next word; one that begins with a brace reaches to the one that closes
 * it, and both are taken off.  False at the end, or when there is none. */
static bool
next_word(struct reading *r, struct slice *out)
{
	struct slice s = slice_trim(r->rest);
	size_t end = 0, depth = 0;

	if (s.len == 0)
		return false;
	if (s.data[0] != '{') {
		while (end < s.len && !is_blank(s.data[end]))
			end++;
		*out = slice_sub(s, 0, end);
		r->rest = slice_sub(s, end, s.len);
		return true;
	}
	for (; end < s.len; end++) {
		if (s.data[end] == '{')
			depth++;
		else if (s.data[end] == '}' && --depth == 0)
			break;
	}
	if (end == s.len || (end + 1 < s.len && !is_blank(s.data[end + 1]))) {
		(void)err_set(&r->et, ERR_CONFIG,
		    "braces do not match; write {words of one argument}");
		return false;
	}
	*out = slice_sub(s, 1, end);
	r->rest = slice_sub(s, end + 1, s.len);
	return true;
}

static const char *
keep(struct reading *r, struct slice s)
{
	const char *copy = arena_copy(&r->l->all->arena, s.data, s.len);

	if (copy == NULL)
		r->l->out_of_memory = true;
	return copy;
}

/* "argv=" takes all that follows. */
static void
read_argv(struct reading *r, struct slice first)
{
	struct slice words[CONF_PIPE_WORDS_MAX], *argv;
	struct slice word = first;
	size_t count = 0;

	do {
		if (count == CONF_PIPE_WORDS_MAX) {
			(void)err_set(&r->et, ERR_CONFIG,
			    "more than %d arguments; put them into a script",
			    CONF_PIPE_WORDS_MAX);
			return;
		}
		words[count] = word;
		words[count++].data = keep(r, word);
	} while (next_word(r, &word));
	if (r->et.text[0] != '\0' || r->l->out_of_memory)
		return;
	if (first.len == 0 || first.data[0] != '/' ||
	    slice_find(first, '$') != first.len) {
		(void)err_set(&r->et, ERR_CONFIG,
		    "argv= begins with the absolute path of a program; write "
		    "argv=/path arguments");
		return;
	}
	argv = arena_alloc(&r->l->all->arena, count * sizeof(*argv));
	if (argv == NULL) {
		r->l->out_of_memory = true;
		return;
	}
	memcpy(argv, words, count * sizeof(*argv));
	r->pipe->argv = argv;
	r->pipe->argv_count = count;
}

static bool
is_user_name(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] <= ' ' || s.data[i] == ':' || s.data[i] == '/' ||
		    s.data[i] == 0x7f)
			return false;
	return s.len > 0 && s.data[0] != '-';
}

static void
read_user(struct reading *r, struct slice value)
{
	size_t colon = slice_find(value, ':');
	struct slice user = slice_sub(value, 0, colon);
	struct slice group = slice_sub(value, colon + 1, value.len);
	bool bad =
	    !is_user_name(user) || (colon < value.len && !is_user_name(group));

	if (bad || slice_eq(user, SLICE_LIT("root")) ||
	    slice_eq(user, SLICE_LIT("0")))
		(void)err_set(&r->et, ERR_CONFIG,
		    bad ? "not a user after user=; write user=NAME or "
			  "user=NAME:GROUP"
			: "commands are never run as root; write the name of "
			  "another user");
	r->pipe->user = keep(r, user);
	r->pipe->group = keep(r, group);
}

static void
read_directory(struct reading *r, struct slice value)
{
	if (value.len == 0 || value.data[0] != '/')
		(void)err_set(&r->et, ERR_CONFIG,
		    "not an absolute path after directory=; write "
		    "directory=/PATH");
	r->pipe->directory = keep(r, value);
}

static void
read_null_sender(struct reading *r, struct slice value)
{
	if (value.len > ADDRESS_BYTES_MAX)
		(void)err_set(&r->et, ERR_CONFIG,
		    "null_sender= is longer than %d bytes; write a shorter one",
		    ADDRESS_BYTES_MAX);
	r->pipe->null_sender = keep(r, value);
}

static void
read_flags(struct reading *r, struct slice value)
{
	/* Its message goes into et. */
	(void)!pipe_flags_parse(value, &r->pipe->flags, &r->et);
}

static const struct {
	const char *name;
	void (*read)(struct reading *r, struct slice value);
} keys[] = {
	{ "user", read_user },
	{ "flags", read_flags },
	{ "directory", read_directory },
	{ "null_sender", read_null_sender },
	{ "argv", read_argv },
};

static void
read_key(struct reading *r, struct slice word, unsigned *seen)
{
	size_t equals = slice_find(word, '='), i = 0;
	struct slice name = slice_sub(word, 0, equals);

	while (i < ARRAY_LEN(keys) && !slice_eq(name, slice_str(keys[i].name)))
		i++;
	if (i == ARRAY_LEN(keys) || equals == word.len) {
		(void)err_set(&r->et, ERR_CONFIG,
		    "unknown word %.*s; write user=, flags=, directory=, "
		    "null_sender= and, last, argv=",
		    SLICE_ARGS(slice_sub(word, 0, 40)));
		return;
	}
	if (*seen & (1u << i)) {
		(void)err_set(&r->et, ERR_CONFIG, "%s= twice; write it once",
		    keys[i].name);
		return;
	}
	*seen |= 1u << i;
	keys[i].read(r, slice_sub(word, equals + 1, word.len));
}

/* Would every argument be made, of whatever delivery? */
static void
check_macros(struct reading *r)
{
	struct pipe_message m = { .nexthop = SLICE_LIT("x") };
	struct pipe_address one;
	struct pipe_args a = {
		.templates = r->pipe->argv,
		.template_count = r->pipe->argv_count,
		.message = &m,
		.recipients = &one,
		.recipient_count = 1,
	};
	char text[CONF_PIPE_TEXT_BYTES_MAX * 2];
	enum err e;

	pipe_address_make(SLICE_LIT("x@x"), "", 0, &one);
	do {
		struct out out;

		out_init(&out, text, sizeof(text));
		e = pipe_args_next(&a, &out, &r->et);
	} while (e == OK);
	if (e == ERR_CONFIG) {
		char what[100];

		(void)snprintf(what, sizeof(what), "%s", r->et.text);
		(void)err_set(&r->et, e,
		    "%s in an argument; weir.conf(5) lists the names, and $$ "
		    "is a dollar sign",
		    what);
	} else if (e != ERR_NOTFOUND) {
		(void)err_set(&r->et, ERR_CONFIG,
		    "an argument is too long; write a shorter one");
	}
}

static void
read_all(struct reading *r)
{
	struct conf_pipe *p = r->pipe;
	unsigned seen = 0;
	struct slice word;

	p->group = p->directory = "";
	p->null_sender = "MAILER-DAEMON";
	if (r->rest.len > CONF_PIPE_TEXT_BYTES_MAX) {
		(void)err_set(&r->et, ERR_CONFIG,
		    "longer than %d bytes; put arguments into a script",
		    CONF_PIPE_TEXT_BYTES_MAX);
		return;
	}
	if (!next_word(r, &word) || !slice_eq(word, SLICE_LIT("pipe"))) {
		(void)err_set(&r->et, ERR_CONFIG,
		    "not a pipe; write pipe user=NAME argv=/path arguments");
		return;
	}
	while (r->et.text[0] == '\0' && next_word(r, &word))
		read_key(r, word, &seen);
	if (r->et.text[0] != '\0' || r->l->out_of_memory)
		return;
	if (p->user == NULL || p->argv == NULL) {
		(void)err_set(&r->et, ERR_CONFIG,
		    "%s is missing; write pipe user=NAME argv=/path arguments",
		    p->user == NULL ? "user=" : "argv=");
		return;
	}
	check_macros(r);
}

void
conf_pipe_read(struct loader *l, struct slice text, struct conf_pipe *out,
    struct errtext *et)
{
	struct reading r = { .l = l, .pipe = out, .rest = text };

	read_all(&r);
	*et = r.et;
}
