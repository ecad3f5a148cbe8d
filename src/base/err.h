/*
 * err: what can go wrong, with its class and its SMTP reply.
 *
 * Functions return enum err.  An error that nobody classified is temporary:
 * a local fault never bounces mail.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK   __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

enum err {
	OK = 0,
#define ERR(name, class, code, status, text) ERR_##name,
#include "base/err.def"
#undef ERR
	ERR_COUNT
};

enum err_class {
	ERR_CLASS_NONE, /* only of OK */
	ERR_CLASS_TEMP,
	ERR_CLASS_PERM,
	ERR_CLASS_FULL,
	ERR_CLASS_CORRUPT,
};

enum { ERRTEXT_BYTES = 256 };

/* Detail of an error, for people: what is wrong, where, what would be right.
 * The caller gives it and may pass NULL.  Always terminated. */
struct errtext {
	char text[ERRTEXT_BYTES];
};

/* Fixed properties of an error; e in [0, ERR_COUNT). */
const char *err_text(enum err e);
const char *err_name(enum err e); /* "FULL", "IO", ... ; "OK" */
enum err_class err_class(enum err e);
int err_smtp_code(enum err e);	    /* 250 for OK */
const char *err_status(enum err e); /* "4.3.1"; "2.0.0" for OK */

/*
 * err_from_errno(errnum):
 * Class of a failed system call: ENOSPC and EDQUOT NOSPACE, ENOMEM NOMEM,
 * EMFILE and ENFILE NOFD, EAGAIN AGAIN, EIO IO, anything else SYS (temporary).
 */
enum err err_from_errno(int errnum);

/*
 * err_set(et, e, fmt, ...):
 * Write a detail text into et (cut to fit; NULL is allowed) and return e, so
 * that "return err_set(et, ERR_IO, ...)" is one statement.
 */
enum err err_set(struct errtext *et, enum err e, const char *fmt, ...)
    PRINTF(3, 4);

/* err_set() with ": " and the text of errnum appended; the error returned is
 * err_from_errno(errnum). */
enum err err_sys(struct errtext *et, int errnum, const char *fmt, ...)
    PRINTF(3, 4);
