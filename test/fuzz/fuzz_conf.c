/*
 * weir.conf.
 *
 * Whatever the text, loading ends with a configuration or with messages, all
 * of them printable; a configuration that was taken renders to a text that
 * gives the same values again; and no memory is kept.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/load.h"

#include "fuzz.h"

static struct acct acct;
static struct conf_report report;

static void
check_messages(void)
{
	for (unsigned i = 0; i < report.count; i++) {
		const char *s = report.messages[i].text;

		if (strnlen(s, CONF_MESSAGE_BYTES) == CONF_MESSAGE_BYTES)
			abort();
		for (; *s != '\0'; s++)
			if (*s < ' ' || *s > '~')
				abort();
	}
}

static void
check_round(const struct conf *c)
{
	const struct conf_all *a = conf_all_of(c), *b;
	const struct conf *again;
	struct buf out;

	buf_init(&out, &acct, 4096, 4 << 20);
	if (conf_render(c, NULL, 0, 0, &out, NULL) != OK)
		abort();
	if (conf_load_text(&acct, buf_data(&out), "again", &report, &again) !=
	    OK)
		abort();
	b = conf_all_of(again);
	for (size_t i = 0; i < CONF_ID_COUNT; i++)
		if (!slice_eq(a->values[i].expanded, b->values[i].expanded))
			abort();
	conf_free(again);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct conf *c;
	enum err e;

	if (size > CONF_FILE_BYTES_MAX || memchr(data, '\0', size) != NULL)
		return 0; /* the reader of files refuses these */
	if (acct.name == NULL)
		acct_init(&acct, NULL, "fuzz", 64 << 20, false, "");
	memset(&report, 0, sizeof(report));
	e = conf_load_text(&acct, slice_of(data, size), "f", &report, &c);
	if (e == OK) {
		check_round(c);
		conf_free(c);
	} else if (report.error_count == 0 && e != ERR_NOMEM) {
		abort();
	}
	check_messages();
	if (acct.used_bytes != 0)
		abort();
	return 0;
}
