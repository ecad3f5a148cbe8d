/*
 * inject_lists: Mail-Followup-To, for who writes to a mailing list that he
 * reads: answers are to go to the list, and not to him as well.
 *
 * $QMAILMFTFILE names a file with an address of a list on each line.  If one
 * of them is in To or Cc, the field names all of To and Cc, each once.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "alias/out.h"
#include "sendmail/inject_int.h"

enum err
inject_lists_read(struct inject *x)
{
	const char *path = INJECT_VARIABLE(NULL, "QMAILMFTFILE");
	static char text[INJECT_LISTS_BYTES_MAX];
	ssize_t n;
	int fd;

	if (path == NULL)
		return OK;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return OK;
	n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (n < 0)
		return err_sys(&x->et, errno, "unable to read %s", path);
	close(fd);
	if (n == sizeof(text))
		return err_set(&x->et, ERR_IO, "%s: longer than %d bytes", path,
		    INJECT_LISTS_BYTES_MAX - 1);
	x->lists = slice_of(text, (size_t)n);
	return OK;
}

/* Is the address one of the parts of text? */
static bool
has(struct slice text, const char *separators, struct slice address)
{
	struct slice part;

	while (slice_word(&text, separators, &part))
		if (slice_eq_nocase(slice_trim(part), address))
			return true;
	return false;
}

enum err
inject_lists_look(void *arg, struct slice address)
{
	struct inject *x = arg;
	char raw[INJECT_RAW_BYTES];
	struct out o;
	enum err e = OK;

	out_init(&o, raw, sizeof(raw));
	if (x->lists.len == 0 || !qualify_raw(address, &o))
		return OK;
	x->to_list |= has(x->lists, "\r\n", out_text(&o));
	if (x->has_followup || has(buf_data(&x->followup), "\r\n,", address))
		return OK;
	if (x->followup.len > 0)
		e = buf_put(&x->followup, SLICE_LIT(",\r\n  "));
	if (e == OK)
		e = buf_put(&x->followup, address);
	/* Too many to be of use to anybody. */
	x->has_followup |= e != OK;
	return OK;
}

enum err
inject_lists_add(struct inject *x)
{
	enum err e;

	if (!x->to_list || x->facts.resent || x->has_followup)
		return OK;
	e = buf_put(&x->m.head, SLICE_LIT("Mail-Followup-To: "));
	if (e == OK)
		e = buf_put(&x->m.head, buf_data(&x->followup));
	return e == OK ? buf_put(&x->m.head, SLICE_LIT("\r\n")) : e;
}
