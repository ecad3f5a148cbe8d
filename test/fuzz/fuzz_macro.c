/*
 * ${name} in texts: bounded, and no character that a shell would act upon
 * comes out of a value.  Arguments and addresses of the pipe transport.
 */
#include <stdlib.h>
#include <string.h>

#include "alias/command.h"
#include "alias/macro.h"
#include "alias/pipe_args.h"

#include "fuzz.h"

static void
run_macro(struct slice text, struct slice value)
{
	const struct macro_var vars[] = { { "a", value },
		{ "b", { NULL, 0 } } };
	const struct macro_vars all = { vars, ARRAY_LEN(vars) };
	static char buf[2048];
	struct out o;

	out_init(&o, buf, sizeof(buf));
	if (macro_expand(text, &all, MACRO_RAW, &o, NULL) == ERR_DENIED)
		abort();
	out_init(&o, buf, sizeof(buf));
	if (macro_expand(text, &all, MACRO_COMMAND, &o, NULL) == ERR_DENIED)
		abort();
	(void)macro_uses(text, "a");
	out_init(&o, buf, sizeof(buf));
	if (macro_expand(SLICE_LIT("$a"), &all, MACRO_COMMAND, &o, NULL) == OK)
		for (size_t i = 0; i < o.len; i++)
			if (buf[i] == '\0' ||
			    strchr(MACRO_COMMAND_SAFE, buf[i]) == NULL)
				abort();
	out_init(&o, buf, sizeof(buf));
	if (macro_expand(SLICE_LIT("$a"), &all, MACRO_PATH, &o, NULL) == OK &&
	    memchr(buf, '/', o.len) != NULL)
		abort();
}

static void
run_pipe(struct slice text, struct slice address)
{
	static struct pipe_address to[2];
	struct slice templates[2] = { text, SLICE_LIT("$recipient") };
	const struct pipe_message m = { .sender = address };
	struct pipe_args a = { templates, 2, &m, to, 2, 0, 0 };
	static char buf[4096];
	unsigned flags, count = 0;
	struct out o;
	enum err e;

	if (pipe_flags_parse(text, &flags, NULL) == OK && flags >= 1 << 11)
		abort();
	pipe_address_make(address, "+-", (unsigned)text.len, &to[0]);
	pipe_address_make(text, "+", 0, &to[1]);
	do {
		out_init(&o, buf, sizeof(buf));
		e = pipe_args_next(&a, &o, NULL);
		if (e == OK && memchr(buf, '\0', o.len) != NULL)
			abort();
		if (++count > 5)
			abort();
	} while (e == OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct slice words[COMMAND_WORD_COUNT_MAX];
	size_t cut = size > 0 ? data[0] % size : 0, count;
	struct slice one = slice_of(data, cut);
	struct slice two = slice_of(data + cut, size - cut);

	run_macro(one, two);
	run_macro(two, one);
	run_pipe(one, two);
	(void)command_words(two, words, &count);
	return 0;
}
