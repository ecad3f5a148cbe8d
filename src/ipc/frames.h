/*
 * frames: structs, encoders and decoders made from ipc/frames.def.
 *
 * For each FRAME(NAME, name, ...): FRAME_NAME in enum frame_type,
 * struct fr_name with a member for each field, send_name() and get_name().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "ipc/chan.h"

/* Recipients of a transaction that was granted ahead (TXN_COMMIT). */
enum { TXN_AHEAD_RCPTS_MAX = 4 };

#define R(role) (1u << ROLE_##role)
#define R_ALL	(~0u)

enum frame_type {
	FRAME_NONE,
#define FRAME(NAME, name, from, to, fd_max) FRAME_##NAME,
#include "ipc/frames.def"
#undef FRAME
	FRAME_TYPE_COUNT
};

#define FRAME_U8(n)	  uint8_t n;
#define FRAME_U16(n)	  uint16_t n;
#define FRAME_U32(n)	  uint32_t n;
#define FRAME_U64(n)	  uint64_t n;
#define FRAME_STR(n, max) struct slice n;
#define FRAME(NAME, name, from, to, fd_max)                                    \
	struct fr_##name {                                                     \
		F_##NAME(FRAME_U8, FRAME_U16, FRAME_U32, FRAME_U64, FRAME_STR, \
		    FRAME_STR)                                                 \
	};                                                                     \
	/* Errors as chan_send; a field out of its bound is a bug. */          \
	MUST_CHECK enum err send_##name(struct chan *c, uint32_t tag,          \
	    const struct fr_##name *f, int fd);                                \
	/* False: malformed; slices are borrowed from the frame. */            \
	MUST_CHECK bool get_##name(const struct frame *f,                      \
	    struct fr_##name *out);
#include "ipc/frames.def"
#undef FRAME
#undef FRAME_U8
#undef FRAME_U16
#undef FRAME_U32
#undef FRAME_U64
#undef FRAME_STR

struct frame_info {
	const char *name;   /* "TXN_OPEN" */
	const char *fields; /* as in frames.def: "U8(error) U64(id)" */
	uint32_t from, to;  /* sets of roles */
	unsigned fd_max;
	size_t bytes_min, bytes_max; /* of the fields */
};

/* Properties of a type; NULL if there is no such frame. */
const struct frame_info *frame_info(uint16_t type);

enum listen_kind {
	LISTEN_SMTP,
	LISTEN_SUBMISSION,
	LISTEN_LMTP,
	LISTEN_LOCAL,	/* unix socket of the sendmail command */
	LISTEN_CONTROL, /* queue: weir queue, mailq */
	LISTEN_SESSION, /* unix socket of qmail-smtpd: sessions of others */
	LISTEN_KIND_COUNT
};

enum resolve_purpose {
	RESOLVE_RCPT,	  /* may a client send to it? */
	RESOLVE_ROUTE,	  /* where does it go? */
	RESOLVE_EXPANDED, /* likewise; it is what an alias stands for */
	RESOLVE_ITSELF,	  /* likewise; it is an alias that names itself */
	RESOLVE_PURPOSE_COUNT
};

enum resolve_verdict {
	RESOLVE_OK,	/* deliverable: transport and nexthop are set */
	RESOLVE_REMOTE, /* deliverable elsewhere: who may relay decides */
	RESOLVE_REFUSE, /* code, status and text say why; code 4xx or 5xx */
	RESOLVE_VERDICT_COUNT
};

enum check_verdict {
	CHECK_EXISTS,
	CHECK_MISSING,
	CHECK_UNKNOWN, /* cannot be said now: temporary */
	CHECK_VERDICT_COUNT
};

enum dns_kind { DNS_MX, DNS_ADDRESS };
enum dns_verdict {
	DNS_FOUND,
	DNS_NONE,    /* the name does not exist, or has no such record */
	DNS_NULL_MX, /* RFC 7505 */
	DNS_TEMP,    /* time-out, SERVFAIL, limits */
	DNS_VERDICT_COUNT
};
enum { DNS_HOSTS_MAX = 100 }; /* 20 names with 5 addresses each */

enum report_kind {
	REPORT_FAILED,
	REPORT_DELAYED,
	REPORT_DELIVERED,
	REPORT_DOUBLE,
	REPORT_KIND_COUNT
};

/* What a message in the queue is doing. */
enum ctl_status {
	CTL_INCOMING, /* accepted, not yet in the active set */
	CTL_ACTIVE,   /* being delivered */
	CTL_DEFERRED, /* waits for its next attempt */
	CTL_HOLD,     /* waits for the administrator */
	CTL_STATUS_COUNT
};

enum ctl_verb {
	CTL_VERB_HOLD,
	CTL_VERB_RELEASE,
	CTL_VERB_RETRY,	 /* due now */
	CTL_VERB_DELETE, /* without a report to the sender */
	CTL_VERB_FAIL,	 /* undelivered recipients fail: the sender is told */
	CTL_VERB_COUNT
};

enum ctl_rcpt_state {
	CTL_RCPT_WAITING,
	CTL_RCPT_DONE, /* delivered, failed or given up */
	CTL_RCPT_STATE_COUNT
};
