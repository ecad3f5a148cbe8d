#include "alias/sender.h"

static const struct slice VERP_TAIL = { "-@[]", 4 };

void
sender_owner(struct slice sender, struct slice local, struct slice host,
    bool has_owner, bool has_default, struct out *out)
{
	if (!has_owner || sender.len == 0 ||
	    slice_eq(sender, SLICE_LIT("#@[]"))) {
		out_put(out, sender);
		return;
	}
	out_put(out, local);
	out_put(out,
	    has_default ? SLICE_LIT("-owner-@") : SLICE_LIT("-owner@"));
	out_put(out, host);
	if (has_default)
		out_put(out, VERP_TAIL);
}

bool
sender_is_verp(struct slice sender)
{
	/* Something, an @, and something, before the tail. */
	size_t end = sender.len - VERP_TAIL.len;
	size_t at;

	if (sender.len <= VERP_TAIL.len ||
	    !slice_eq(slice_sub(sender, end, sender.len), VERP_TAIL))
		return false;
	at = slice_rfind(slice_sub(sender, 0, end), '@');
	return at + 1 < end;
}

void
sender_verp(struct slice sender, struct slice recipient, struct out *out)
{
	size_t at = slice_rfind(recipient, '@');
	struct slice base;
	size_t sender_at;

	if (!sender_is_verp(sender) || at == recipient.len) {
		out_put(out, sender);
		return;
	}
	base = sender_bounce_to(sender);
	sender_at = slice_rfind(base, '@');
	out_put(out, slice_sub(base, 0, sender_at));
	out_put(out, slice_sub(recipient, 0, at));
	out_char(out, '=');
	out_put(out, slice_sub(recipient, at + 1, recipient.len));
	out_put(out, slice_sub(base, sender_at, base.len));
}

void
sender_verp_delimited(struct slice sender, struct slice recipient,
    const char delimiters[static 2], struct out *out)
{
	size_t sender_at = slice_rfind(sender, '@');
	size_t at = slice_rfind(recipient, '@');

	if (sender_at == sender.len || at == recipient.len) {
		out_put(out, sender);
		return;
	}
	out_put(out, slice_sub(sender, 0, sender_at));
	out_char(out, delimiters[0]);
	out_put(out, slice_sub(recipient, 0, at));
	out_char(out, delimiters[1]);
	out_put(out, slice_sub(recipient, at + 1, recipient.len));
	out_put(out, slice_sub(sender, sender_at, sender.len));
}

struct slice
sender_bounce_to(struct slice sender)
{
	return sender_is_verp(sender)
		   ? slice_sub(sender, 0, sender.len - VERP_TAIL.len)
		   : sender;
}
