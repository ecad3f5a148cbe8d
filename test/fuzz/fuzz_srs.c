/*
 * SRS: what was made is turned back to what it was made of; what was not made
 * is refused.  VERP stays within its buffer.
 */
#include <stdlib.h>

#include "alias/sender.h"
#include "alias/srs.h"

#include "fuzz.h"

static const struct srs conf = {
	.domain = SLICE_LIT("fwd.example"),
	.secrets = { SLICE_LIT("secret") },
	.secret_count = 1,
	.hash_chars = 8,
	.days = 21,
};

static void
there_and_back(struct slice local, struct slice domain)
{
	static char there[1024], back[1024];
	struct out t, b;
	struct slice text;
	size_t at;

	out_init(&t, there, sizeof(there));
	out_init(&b, back, sizeof(back));
	if (srs_forward(&conf, local, domain, 5, &t) != OK)
		return;
	text = out_text(&t);
	at = slice_rfind(text, '@');
	/* Of SRS1 the first forwarder's address comes back, not ours. */
	if (slice_starts_nocase(text, SLICE_LIT("SRS1")) ||
	    slice_find(domain, '=') < domain.len ||
	    slice_eq_nocase(domain, conf.domain))
		return;
	if (srs_reverse(&conf, slice_sub(text, 0, at), 6, &b) != OK ||
	    b.len != local.len + 1 + domain.len ||
	    !slice_eq(slice_sub(out_text(&b), 0, local.len), local))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cut = size > 0 ? data[0] % size : 0;
	struct slice one = slice_of(data, cut);
	struct slice two = slice_of(data + cut, size - cut);
	static char buf[256];
	struct out o;

	there_and_back(one, two);
	out_init(&o, buf, sizeof(buf));
	if (srs_reverse(&conf, slice_of(data, size), 5, &o) == OK)
		abort(); /* nobody told it the secret */
	out_init(&o, buf, sizeof(buf));
	sender_verp(one, two, &o);
	out_init(&o, buf, sizeof(buf));
	sender_verp_delimited(one, two, "+=", &o);
	out_init(&o, buf, sizeof(buf));
	sender_owner(one, two, two, true, true, &o);
	return 0;
}
