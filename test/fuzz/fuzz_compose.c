/*
 * compose: whatever other servers said and senders gave, a report is ASCII, but
 * for its To:, in lines of RFC 5322, each piece fits, and nothing foreign ends
 * a part: the boundary stands only where a part begins or ends. Input: flags
 * (u8: kind, 4 qmail, 8 original, 16 header only), then fields parted by octets
 * 0xff.
 */
#include <string.h>

#include "base/assert.h"
#include "bounce/compose.h"
#include "fuzz.h"

static char text[8 * COMPOSE_PIECE_BYTES_MAX];
static size_t text_len;

static struct slice
next(struct slice *s, size_t max)
{
	size_t end = slice_find(*s, (char)0xff);
	struct slice part = slice_sub(*s, 0, end);

	*s = slice_sub(*s, end < s->len ? end + 1 : end, s->len);
	return slice_sub(part, 0, part.len < max ? part.len : max);
}

/* As envelope_get lets it pass: no control characters. */
static struct slice
clean(struct slice s, char *buf)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.data[i] > ' ' && s.data[i] != 127)
			buf[n++] = (char)s.data[i];
	return slice_of(buf, n);
}

static void
take(struct wr *w)
{
	struct slice made = wr_done(w);

	ASSERT(!w->full);
	ASSERT(text_len + made.len < sizeof(text));
	if (made.len > 0)
		memcpy(text + text_len, made.data, made.len);
	text_len += made.len;
}

static void
check(const struct compose *c)
{
	static const char mark[] = "=_weir_";
	unsigned marks = 0;
	size_t line = 0;

	for (size_t i = 0; i < text_len; i++, line++) {
		if (text[i] == '\r') {
			ASSERT(i + 1 < text_len && text[i + 1] == '\n');
			ASSERT(line <= 998);
			line = (size_t)-1;
			i++;
			continue;
		}
		/* To: may be in UTF-8, and the report says so then. */
		if ((unsigned char)text[i] >= 128)
			ASSERT(compose_flags(c) & ENVELOPE_UTF8 &&
			       memcmp(text + i - line, "To: ", 4) == 0);
		else
			ASSERT(text[i] >= ' ' && text[i] <= '~');
		/* A delimiter: "--" and the boundary that begins a line. */
		if (line == 0 && text_len - i > 18 &&
		    memcmp(text + i, "--", 2) == 0 &&
		    memcmp(text + i + 2, mark, sizeof(mark) - 1) == 0)
			marks++;
	}
	ASSERT(line == 0);
	/* qmail's has no parts. */
	if (c->format != COMPOSE_QMAIL)
		ASSERT(marks == (c->original ? 4 : 3));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char piece[COMPOSE_PIECE_BYTES_MAX];
	static char sender[ADDRESS_BYTES_MAX], to[ADDRESS_BYTES_MAX];
	struct slice s;
	struct envelope envelope = { .body_bytes = 1000 };
	struct compose c = { .id = 42,
		.report_id = 43,
		.boundary = { 0xabc, 0xdef },
		.now = { 1000000000000 },
		.hostname = SLICE_LIT("mx.example"),
		.from_local = SLICE_LIT("MAILER-DAEMON"),
		.from_host = SLICE_LIT("from.example"),
		.envelope = &envelope };
	struct job_result r[2];
	struct wr w;

	if (size == 0)
		return 0;
	s = slice_of(data + 1, size - 1);
	c.kind = (enum report_kind)(data[0] & 3);
	c.format = data[0] & 4 ? COMPOSE_QMAIL : COMPOSE_RFC3464;
	c.original = (data[0] & 8) != 0;
	c.header_only = (data[0] & 16) != 0;
	envelope.sender = clean(next(&s, ADDRESS_BYTES_MAX), sender);
	envelope.envid = next(&s, ENVID_BYTES_MAX);
	c.to = clean(next(&s, ADDRESS_BYTES_MAX), to);
	for (unsigned i = 0; i < 2; i++)
		r[i] = (struct job_result){ .status = (uint8_t)(c.kind % 3),
			.dsn = next(&s, JOB_DSN_BYTES_MAX),
			.relay = next(&s, JOB_RELAY_BYTES_MAX),
			.address = next(&s, JOB_ADDRESS_BYTES_MAX),
			.orcpt = next(&s, JOB_ORCPT_BYTES_MAX),
			.text = next(&s, JOB_TEXT_BYTES_MAX) };
	c.arrival_ms = s.len;
	c.expires_ms = (uint64_t)size << 32;

	text_len = 0;
	w = wr_of(piece, sizeof(piece));
	compose_head(&c, &w);
	take(&w);
	for (unsigned i = 0; i < 2; i++) {
		w = wr_of(piece, sizeof(piece));
		compose_rcpt_text(&c, &r[i], &w);
		take(&w);
	}
	w = wr_of(piece, sizeof(piece));
	compose_status_head(&c, &w);
	take(&w);
	for (unsigned i = 0; i < 2; i++) {
		w = wr_of(piece, sizeof(piece));
		compose_rcpt_status(&c, &r[i], &w);
		take(&w);
	}
	w = wr_of(piece, sizeof(piece));
	compose_original(&c, &w);
	compose_tail(&c, false, &w);
	take(&w);
	check(&c);
	return 0;
}
