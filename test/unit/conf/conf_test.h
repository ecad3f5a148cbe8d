/*
 * What the tests of conf/ share: load a text, look at the first message.
 */
#pragma once

#include "../check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/conf.h"

static struct acct test_acct;
static struct conf_report test_report;

static inline void
test_begin(void)
{
	memset(&test_report, 0, sizeof(test_report));
	if (test_acct.name == NULL)
		acct_init(&test_acct, NULL, "test", 64 << 20, false, "");
}

/* NULL when it was refused; then test_report says why. */
static inline const struct conf *
test_load(const char *text)
{
	const struct conf *c = NULL;

	test_begin();
	if (conf_load_text(&test_acct, slice_str(text), "f", &test_report,
		&c) != OK)
		return NULL;
	return c;
}

static inline void
test_end(const struct conf *c)
{
	conf_free(c);
	assert_int_equal(test_acct.used_bytes, 0);
}

/* Rendered text, malloced. */
static inline char *
test_render(const struct conf *c, const char *name, unsigned flags)
{
	struct buf b;
	struct errtext et;
	struct slice s;
	char *text;

	buf_init(&b, &test_acct, 1024, 1 << 20);
	assert_int_equal(
	    conf_render(c, &name, name != NULL ? 1 : 0, flags, &b, &et), OK);
	s = buf_data(&b);
	text = strndup(s.data != NULL ? s.data : "", s.len);
	buf_fini(&b);
	return text;
}
