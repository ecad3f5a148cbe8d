#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

enum {
	NONE = ERR_CLASS_NONE,
	TEMP = ERR_CLASS_TEMP,
	PERM = ERR_CLASS_PERM,
	FULL = ERR_CLASS_FULL,
	CORRUPT = ERR_CLASS_CORRUPT
};

static const struct {
	const char *name;
	const char *text;
	const char *status;
	short code;
	short class;
} errors[ERR_COUNT] = {
	[OK] = { "OK", "no error", "2.0.0", 250, NONE },
#define ERR(name, class, code, status, text) \
	[ERR_##name] = { #name, text, status, code, class },
#include "base/err.def"
#undef ERR
};

const char *
err_text(enum err e)
{
	ASSERT((unsigned)e < ERR_COUNT);
	return errors[e].text;
}

const char *
err_name(enum err e)
{
	ASSERT((unsigned)e < ERR_COUNT);
	return errors[e].name;
}

enum err_class
err_class(enum err e)
{
	ASSERT((unsigned)e < ERR_COUNT);
	return (enum err_class)errors[e].class;
}

int
err_smtp_code(enum err e)
{
	ASSERT((unsigned)e < ERR_COUNT);
	return errors[e].code;
}

const char *
err_status(enum err e)
{
	ASSERT((unsigned)e < ERR_COUNT);
	return errors[e].status;
}

enum err
err_from_errno(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT: return ERR_NOSPACE;
	case ENOMEM: return ERR_NOMEM;
	case EMFILE:
	case ENFILE: return ERR_NOFD;
	case EAGAIN: return ERR_AGAIN;
	case EIO: return ERR_IO;
	default: return ERR_SYS;
	}
}

enum err
err_set(struct errtext *et, enum err e, const char *fmt, ...)
{
	va_list ap;

	if (et == NULL)
		return e;
	va_start(ap, fmt);
	if (vsnprintf(et->text, sizeof(et->text), fmt, ap) < 0)
		et->text[0] = '\0';
	va_end(ap);
	return e;
}

enum err
err_sys(struct errtext *et, int errnum, const char *fmt, ...)
{
	char reason[64];
	va_list ap;
	int len;

	if (et == NULL)
		return err_from_errno(errnum);
	va_start(ap, fmt);
	len = vsnprintf(et->text, sizeof(et->text), fmt, ap);
	va_end(ap);
	if (len < 0)
		len = 0;
	if ((size_t)len < sizeof(et->text))
		snprintf(et->text + len, sizeof(et->text) - (size_t)len, ": %s",
		    strerror_r(errnum, reason, sizeof(reason)));
	return err_from_errno(errnum);
}
