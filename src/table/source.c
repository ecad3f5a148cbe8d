/*
 * table/source: logical lines of a file, joined in one buffer.
 *
 * The buffer holds one entry: the longest key with its quotes, the longest
 * value, the blanks between.  What does not fit is read past, so that the
 * entries behind it are still found and the line number stays right.
 */
#include "table/source.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "table/impl.h"

enum {
	READ_BYTES = 65536,
	ENTRY_BYTES_MAX =
	    4 * TABLE_KEY_BYTES_MAX + TABLE_ALIAS_VALUE_BYTES_MAX + 1024,
};

struct source {
	struct acct *acct;
	int fd;
	enum table_syntax syntax;
	bool fold;
	bool ended;
	bool overlong;	/* the entry in text was cut */
	uint32_t line;	/* last one read */
	uint32_t first; /* of the entry in text; 0: none */
	size_t at, len; /* unread in in */
	size_t text_len;
	char in[READ_BYTES];
	char text[ENTRY_BYTES_MAX];
};

static const char *const faults[] = {
	[ENTRY_GOOD] = NULL,
	[ENTRY_NO_VALUE] = "not a key and a value",
	[ENTRY_QUOTES] = "a quote is missing",
	[ENTRY_KEY_LONG] = "the key is too long",
	[ENTRY_VALUE_LONG] = "the value is too long",
};

enum err
source_open(struct acct *a, int fd, enum table_syntax syntax, bool fold,
    struct source **out)
{
	struct source *s = mem_alloc(a, sizeof(*s));

	if (s == NULL)
		return ERR_NOMEM;
	s->acct = a;
	s->fd = fd;
	s->syntax = syntax;
	s->fold = fold;
	*out = s;
	return OK;
}

void
source_close(struct source *s)
{
	if (s != NULL)
		mem_free(s->acct, s);
}

/* The next byte without taking it; -1 at the end, -2 for an error. */
static int
peek(struct source *s)
{
	ssize_t n;

	if (s->at < s->len)
		return (unsigned char)s->in[s->at];
	if (s->ended)
		return -1;
	do
		n = read(s->fd, s->in, sizeof(s->in));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -2;
	s->at = 0;
	s->len = (size_t)n;
	s->ended = n == 0;
	return n == 0 ? -1 : (unsigned char)s->in[0];
}

static void
put(struct source *s, char c)
{
	if (s->text_len == sizeof(s->text))
		s->overlong = true;
	else
		s->text[s->text_len++] = c;
}

/* Take the rest of the line, its end included; keep it if asked to. */
static int
take_line(struct source *s, bool keep)
{
	int c;

	while ((c = peek(s)) >= 0) {
		s->at++;
		if (c == '\n')
			break;
		if (keep)
			put(s, (char)c);
	}
	while (s->text_len > 0 && entry_is_blank(s->text[s->text_len - 1]))
		s->text_len--;
	return c;
}

/* Collect lines until one begins that is not of this entry; -2: error. */
static int
collect(struct source *s)
{
	int c;

	s->text_len = 0;
	s->first = 0;
	s->overlong = false;
	for (;;) {
		bool continues;

		c = peek(s);
		if (c < 0)
			return c;
		continues = entry_is_blank((char)c);
		if (!continues && c != '#' && c != '\n' && s->first != 0)
			return 0;
		s->line++;
		while ((c = peek(s)) >= 0 && entry_is_blank((char)c))
			s->at++;
		if (c == '#' || c == '\n' || c == -1) {
			c = c == -1 ? c : take_line(s, false);
		} else if (c >= 0) {
			if (s->first == 0)
				s->first = s->line;
			else
				put(s, ' ');
			/* It continues nothing: an entry without a key. */
			if (continues && s->first == s->line)
				put(s, '\t');
			c = take_line(s, true);
		}
		if (c == -2)
			return c;
	}
}

enum err
source_next(struct source *s, struct source_entry *out, struct errtext *et)
{
	enum entry_fault fault;

	if (collect(s) == -2) {
		(void)err_sys(et, errno, "cannot read");
		return ERR_IO;
	}
	if (s->first == 0)
		return ERR_NOTFOUND;
	*out = (struct source_entry){ .line = s->first };
	if (s->overlong) {
		out->fault = "the entry is too long";
		out->too_long = true;
		return OK;
	}
	fault = entry_split(s->text, s->text_len, s->syntax, s->fold, &out->key,
	    &out->value);
	out->fault = faults[fault];
	out->too_long = fault == ENTRY_KEY_LONG || fault == ENTRY_VALUE_LONG;
	return OK;
}
