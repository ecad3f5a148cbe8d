/*
 * Addresses, paths and parameters: what is accepted is canonical, that is, it
 * parses again to itself, and holds nothing that a command, a header field or
 * a log line would trip over.
 *
 * Input: flags, then the argument of MAIL or RCPT.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/smtp_command.h"
#include "proto/xtext.h"

#include "fuzz.h"

static void
check(const struct address *a, unsigned allow)
{
	char again[ADDRESS_BYTES_MAX];
	struct address b, c;

	for (size_t i = 0; i < a->text.len; i++)
		if ((unsigned char)a->text.data[i] < ' ' ||
		    a->text.data[i] == 0x7f)
			abort();
	if (address_parse(a->text, allow, again, &b) != OK ||
	    !slice_eq(a->text, b.text))
		abort();
	address_split(a->text, &c);
	if (!slice_eq(a->local, c.local) || !slice_eq(a->domain, c.domain))
		abort();
	if (a->utf8 && !(allow & ADDRESS_UTF8))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char buf[ADDRESS_BYTES_MAX], text[1000];
	struct address a;
	struct slice in, rest;
	struct smtp_mail mail;
	struct smtp_rcpt rcpt;
	unsigned allow;
	size_t len;

	if (size < 1)
		return 0;
	allow = data[0] & 7;
	in = slice_of(data + 1, size - 1);
	if (address_parse_path(in, allow, buf, &a, &rest) == OK)
		check(&a, allow);
	if (smtp_mail_parse(in, buf, &mail) == SMTP_FAULT_NONE)
		check(&mail.sender, ADDRESS_NULL | ADDRESS_BARE |
					(mail.utf8 ? ADDRESS_UTF8 : 0));
	if (smtp_rcpt_parse(in, allow & 1, buf, &rcpt) == SMTP_FAULT_NONE)
		check(&rcpt.rcpt,
		    ADDRESS_BARE | (allow & 1 ? ADDRESS_UTF8 : 0));
	if (xtext_valid(in) && in.len <= sizeof(text) &&
	    !xtext_decode(in, text, sizeof(text), &len))
		abort();
	return 0;
}
