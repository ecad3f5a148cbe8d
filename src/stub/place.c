#include "stub/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/tool.h"
#include "conf/conf.h"
#include "conf/peek.h"

enum { GLANCE_BYTES = 65536 };

/* All of a small file; false: only conf_load can read it, or complain. */
static bool
read_small(const char *path, struct slice *out)
{
	static char text[GLANCE_BYTES];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text));
	close(fd);
	if (n < 0 || n == sizeof(text))
		return false;
	*out = slice_of(text, (size_t)n);
	return true;
}

static bool
load(const char *path, char *buf, size_t size)
{
	static struct acct acct;
	struct conf_input in = { .path = path };
	struct conf_report *report;
	const struct conf *conf = NULL;
	bool found = false;

	acct_init(&acct, NULL, "qmail-smtpd", 0, false, "");
	report = conf_report_new(&acct);
	if (report != NULL && conf_load(&acct, &in, report, &conf) == OK)
		found = slice_copy(slice_str(conf->queue_directory), buf, size);
	for (unsigned i = 0; report != NULL && i < report->count && !found; i++)
		if (report->messages[i].is_error)
			tool_say("fatal: %s", report->messages[i].text);
	conf_free(conf);
	if (report != NULL)
		conf_report_free(&acct, report);
	return found;
}

bool
place_find(const char *conf_path, char *buf, size_t size)
{
	const char *path = conf_path != NULL ? conf_path : CONF_PATH_DEFAULT;
	struct slice text, value;

	if (read_small(path, &text)) {
		switch (conf_peek(text, SLICE_LIT("queue_directory"), &value)) {
		case CONF_PEEK_FOUND: return slice_copy(value, buf, size);
		case CONF_PEEK_ABSENT:
			return slice_copy(
			    slice_str(CONF_DEFAULT_QUEUE_DIRECTORY), buf, size);
		case CONF_PEEK_UNCLEAR: break;
		}
	} else if (conf_path == NULL && errno == ENOENT) {
		return slice_copy(slice_str(CONF_DEFAULT_QUEUE_DIRECTORY), buf,
		    size);
	}
	return load(conf_path, buf, size);
}
