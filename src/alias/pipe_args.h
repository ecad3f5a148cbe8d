/*
 * alias/pipe_args: the pipe transport, as Postfix's pipe(8) has it:
 *
 *   transport NAME = pipe user=U flags=F argv=/path arg ${recipient} ...
 *
 * Arguments go to execve, never to a shell.  An argument that asks for a fact
 * of a recipient is given once for each recipient.
 *
 * Names: recipient, original_recipient, user, extension, domain, mailbox (of
 * each recipient); sender, nexthop, size, queue_id, client_address,
 * client_hostname, client_helo, client_protocol (of the message).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "alias/out.h"
#include "base/err.h"
#include "base/slice.h"
#include "proto/address.h"

enum pipe_flag {
	PIPE_BLANK_LINE = 1 << 0,   /* B: an empty line behind the message */
	PIPE_DELIVERED_TO = 1 << 1, /* D: prepend it; one recipient only */
	PIPE_FROM_LINE = 1 << 2,    /* F: prepend "From sender time" */
	PIPE_ORIGINAL_TO = 1 << 3,  /* O: prepend X-Original-To; one only */
	PIPE_RETURN_PATH = 1 << 4,  /* R: prepend it */
	PIPE_FINAL = 1 << 5,	    /* X: this is the final delivery */
	PIPE_LOWER_DOMAIN = 1 << 6, /* h: domains in lower case */
	PIPE_LOWER_LOCAL = 1 << 7,  /* u: local parts in lower case */
	PIPE_QUOTE = 1 << 8,	    /* q: quoted as RFC 5321 wants it */
	PIPE_DOTS = 1 << 9,	   /* .: a dot before a dot at a line's front */
	PIPE_FROM_QUOTE = 1 << 10, /* >: a > before From_ lines */
};

/* Flags of a text such as "DRhu"; ERR_CONFIG with et. */
MUST_CHECK enum err pipe_flags_parse(struct slice text, unsigned *out,
    struct errtext *et);

/* The facts of one recipient, or of the sender. */
struct pipe_address {
	struct slice recipient; /* all of it */
	struct slice mailbox;	/* what stands before the @ */
	struct slice user;	/* that without its extension */
	struct slice extension; /* without its delimiter */
	struct slice domain;
	struct slice original; /* caller's to set; recipient until then */
	char text[ADDRESS_BYTES_MAX + 2];
	char local[LOCAL_PART_BYTES_MAX];
};

/*
 * pipe_address_make(canonical, delimiters, flags, out):
 * Take a canonical address apart as flags say; delimiters is
 * recipient_delimiter.  The slices point into out.
 */
void pipe_address_make(struct slice canonical, const char *delimiters,
    unsigned flags, struct pipe_address *out);

/* The facts of a message; slices may be empty. */
struct pipe_message {
	struct slice sender; /* already as flags say; pipe_address_make */
	struct slice nexthop;
	struct slice size; /* decimal */
	struct slice queue_id;
	struct slice client_address;
	struct slice client_hostname;
	struct slice client_helo;
	struct slice client_protocol;
};

/* Walks over the arguments; all fields are the caller's to set but the
 * last two, which begin as 0. */
struct pipe_args {
	const struct slice *templates; /* argv= */
	size_t template_count;
	const struct pipe_message *message;
	const struct pipe_address *recipients;
	size_t recipient_count; /* 1 and more */
	size_t template_at;
	size_t recipient_at;
};

/*
 * pipe_args_next(a, out, et):
 * Append the next argument to out.  OK; ERR_NOTFOUND: there are no more;
 * ERR_CONFIG (unknown name) with et; ERR_TOOBIG: it does not fit into out;
 * ERR_DENIED with et: a value that would stand at the beginning of an argument
 * begins with a dash, so that the command would take it for an option.
 */
MUST_CHECK enum err pipe_args_next(struct pipe_args *a, struct out *out,
    struct errtext *et);
