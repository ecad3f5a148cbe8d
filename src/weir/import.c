/*
 * import: see import.h.
 */
#include "weir/import.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "conf/conf.h"
#include "weir/cli.h"

struct import *
import_new(struct cli *cli, const char *source)
{
	struct import *im = mem_alloc(&cli->acct, sizeof(*im));

	if (im == NULL)
		return NULL;
	memset(im, 0, sizeof(*im));
	im->cli = cli;
	im->source = source;
	buf_init(&im->remarks, &cli->acct, 4096, IMPORT_BYTES_MAX);
	return im;
}

/* ---- what is offered ---- */

static struct import_line *
find_line(struct import *im, struct slice name)
{
	for (unsigned i = 0; i < im->count; i++) {
		const char *text = im->lines[i].text;

		if (strncmp(text, name.data, name.len) == 0 &&
		    strncmp(text + name.len, " = ", 3) == 0)
			return &im->lines[i];
	}
	return NULL;
}

void
import_put(struct import *im, const char *from, unsigned line,
    struct slice name, struct slice value)
{
	size_t size = name.len + value.len + 4;
	struct import_line *l = find_line(im, name);
	char *text = mem_alloc(&im->cli->acct, size);

	if (text == NULL || (l == NULL && im->count == IMPORT_LINES_MAX)) {
		mem_free(&im->cli->acct, text);
		im->full = true;
		return;
	}
	(void)snprintf(text, size, "%.*s = %.*s", SLICE_ARGS(name),
	    SLICE_ARGS(value));
	for (size_t i = 0; text[i] != '\0'; i++)
		if (text[i] == '\n' || text[i] == '\r')
			text[i] = ' ';
	if (l == NULL)
		l = &im->lines[im->count++];
	else
		mem_free(&im->cli->acct, l->text);
	*l = (struct import_line){ text, from, line };
}

void
import_remark(struct import *im, const char *from, unsigned line,
    const char *fmt, ...)
{
	char text[1200];
	int n, at;
	va_list ap;

	at = line == 0 ? snprintf(text, sizeof(text), "# %s: ", from)
		       : snprintf(text, sizeof(text), "# %s:%u: ", from, line);
	if (at < 0 || (size_t)at >= sizeof(text) - 2)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text + at, sizeof(text) - 1 - (size_t)at, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	for (size_t i = (size_t)at; text[i] != '\0'; i++)
		if ((unsigned char)text[i] < ' ' ||
		    (unsigned char)text[i] >= 0x7f)
			text[i] = '?';
	if (buf_put(&im->remarks, slice_str(text)) != OK ||
	    buf_put(&im->remarks, SLICE_LIT("\n")) != OK)
		im->full = true;
}

/* ---- does it load? ---- */

enum err
import_load(struct import *im, struct slice text, struct conf_report *report,
    const struct conf **out)
{
	int fd = memfd_create("weir.conf", MFD_CLOEXEC);
	struct conf_input in = { 0 };
	char path[40];
	enum err e;

	*out = NULL;
	if (fd < 0)
		return ERR_IO;
	for (size_t at = 0; at < text.len;) {
		ssize_t n = write(fd, text.data + at, text.len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			close(fd);
			return ERR_IO;
		}
		at += (size_t)n;
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	in.path = path;
	e = conf_load(&im->cli->acct, &in, report, out);
	close(fd);
	return e;
}

unsigned
import_message_line(const char *message, const char **rest_out)
{
	static const char prefix[] = "/proc/self/fd/";
	const char *colon;
	char *end;
	unsigned long line;

	if (strncmp(message, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	colon = strchr(message, ':');
	if (colon == NULL)
		return 0;
	line = strtoul(colon + 1, &end, 10);
	if (strncmp(end, ": ", 2) != 0 || line > IMPORT_LINES_MAX)
		return 0;
	*rest_out = end + 2;
	return (unsigned)line;
}

static enum err
put_lines(struct import *im, struct buf *out)
{
	enum err e = OK;

	for (unsigned i = 0; i < im->count && e == OK; i++) {
		if (im->lines[i].text != NULL)
			e = buf_put(out, slice_str(im->lines[i].text));
		if (e == OK)
			e = buf_put(out, SLICE_LIT("\n"));
	}
	return e;
}

/* Take out the lines that the report is about; false: it is about none. */
static bool
take_out(struct import *im, const struct conf_report *report)
{
	bool any = false;

	for (unsigned i = 0; i < report->count; i++) {
		const struct conf_message *m = &report->messages[i];
		const char *rest;
		unsigned n;
		struct import_line *l;

		if (!m->is_error)
			continue;
		n = import_message_line(m->text, &rest);
		if (n == 0 || n > im->count || im->lines[n - 1].text == NULL)
			continue;
		l = &im->lines[n - 1];
		import_remark(im, l->from, l->line, "left out: %s", rest);
		mem_free(&im->cli->acct, l->text);
		l->text = NULL;
		any = true;
	}
	return any;
}

/* One try; *again: something was taken out. */
static int
settle_once(struct import *im, struct conf_report *report, bool *again)
{
	const struct conf *conf;
	struct buf text;
	enum err e;

	*again = false;
	buf_init(&text, &im->cli->acct, 65536, IMPORT_BYTES_MAX);
	e = put_lines(im, &text);
	if (e == OK)
		e = import_load(im, buf_data(&text), report, &conf);
	buf_fini(&text);
	if (e == OK) {
		conf_free(conf);
		return EX_OK;
	}
	if (e != ERR_CONFIG) {
		cli_say(im->cli, "%s", err_text(e));
		return EX_TEMPFAIL;
	}
	*again = take_out(im, report);
	if (*again)
		return EX_OK;
	for (unsigned i = 0; i < report->count; i++)
		import_remark(im, im->source, 0, "to be mended: %s",
		    report->messages[i].text);
	return EX_OK;
}

int
import_print(struct import *im)
{
	bool again = true;
	int status = EX_OK;

	for (unsigned i = 0; i < IMPORT_LINES_MAX && again; i++) {
		struct conf_report *report = conf_report_new(&im->cli->acct);

		if (report == NULL) {
			cli_say(im->cli, "out of memory");
			return EX_TEMPFAIL;
		}
		status = settle_once(im, report, &again);
		conf_report_free(&im->cli->acct, report);
		if (status != EX_OK)
			return status;
	}
	if (im->full) {
		cli_say(im->cli, "%s: more than can be taken over", im->source);
		return EX_DATAERR;
	}
	printf("# weir.conf made from %s\n", im->source);
	for (unsigned i = 0; i < im->count; i++)
		if (im->lines[i].text != NULL)
			printf("%s\n", im->lines[i].text);
	if (buf_data(&im->remarks).len > 0)
		printf("\n# What is different, or has to be looked at:\n%.*s",
		    SLICE_ARGS(buf_data(&im->remarks)));
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}
