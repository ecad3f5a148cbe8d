#include "proto/qmail_report.h"

enum { HOST_SHOWN_BYTES_MAX = 255 };

static void
put(struct wr *w, const char *text)
{
	wr_raw(w, slice_str(text));
}

/* Where what begins in s; s.len: nowhere. */
static size_t
find(struct slice s, const char *what)
{
	size_t len = strlen(what);

	for (size_t i = 0; i + len <= s.len; i++)
		if (memcmp(s.data + i, what, len) == 0)
			return i;
	return s.len;
}

static bool
starts(struct slice s, const char *with)
{
	return s.len >= strlen(with) && find(s, with) == 0;
}

/* Text as a line, or as the lines that it has; an empty one would end the
 * paragraph of a bounce. */
static void
put_lines(struct wr *w, struct slice text)
{
	struct slice line;

	while (slice_word(&text, "\r\n", &line)) {
		wr_raw(w, line);
		put(w, "\n");
	}
}

/* A reply whose lines were joined by blanks: each begins with the code. */
static void
put_reply(struct wr *w, struct slice s)
{
	struct slice rest = s, word;
	size_t line = 0;

	put(w, "Remote host said: ");
	if (!slice_word(&rest, "\r\n", &word))
		put(w, "\n");
	while (line + 4 < s.len && s.data[line + 3] == '-') {
		size_t i = line + 4;

		while (i + 4 < s.len &&
		       (s.data[i] != ' ' ||
			   memcmp(s.data + i + 1, s.data + line, 3) != 0 ||
			   (s.data[i + 4] != '-' && s.data[i + 4] != ' ')))
			i++;
		if (i + 4 >= s.len)
			break;
		put_lines(w, slice_sub(s, line, i));
		line = i + 1;
	}
	put_lines(w, slice_sub(s, line, s.len));
}

/* The address in "HOST[IP]..."; where there is none, the host. */
static struct slice
ip_of(struct slice s)
{
	struct slice host = slice_sub(s, 0, slice_find(s, ' '));
	size_t from = slice_find(host, '[');
	size_t len = slice_find(slice_sub(host, from + 1, host.len), ']');

	if (from < host.len)
		host = slice_sub(host, from + 1, from + 1 + len);
	return slice_sub(host, 0, HOST_SHOWN_BYTES_MAX);
}

/* ---- successes ---- */

static void
put_sent(const struct qmail_report *r, struct wr *w)
{
	static const char forwarded[] = "forwarded as ";

	if (slice_find(r->relay, '[') < r->relay.len) {
		wr_raw(w, ip_of(r->relay));
		put(w, " accepted message.\n");
		put_reply(w, r->text);
	} else if (starts(r->text, "did ")) {
		/* "/" parts its lines already. */
		put_lines(w, r->text);
	} else if (starts(r->text, forwarded)) {
		put(w, "did 0+1+0\nqp ");
		put_lines(w,
		    slice_sub(r->text, sizeof(forwarded) - 1, r->text.len));
	} else if (starts(r->text, "delivered via ") ||
		   starts(r->text, "delivered to command")) {
		put(w, "did 0+0+1\n");
	} else {
		put(w, "did 1+0+0\n");
	}
}

/* ---- failures ---- */

/* What a server refused: "host NAME[IP] said: REPLY (in reply to COMMAND)". */
static bool
put_refused(struct slice text, struct wr *w)
{
	static const char said[] = " said: ";
	static const struct {
		const char *end;
		const char *before, *after;
		bool giving_up;
	} rows[] = {
		{ " (in reply to RCPT TO command)", "",
		    " does not like recipient.\n", true },
		{ " (in reply to MAIL FROM command)", "Connected to ",
		    " but sender was rejected.\n", false },
		{ " (in reply to DATA command)", "",
		    " failed on DATA command.\n", false },
		{ " (in reply to end of DATA command)", "",
		    " failed after I sent the message.\n", false },
		{ " (in reply to message body)", "",
		    " failed after I sent the message.\n", false },
	};
	size_t at = find(text, said);
	struct slice host, reply;

	if (!starts(text, "host ") || at == text.len)
		return false;
	host = ip_of(slice_sub(text, 5, at));
	reply = slice_sub(text, at + sizeof(said) - 1, text.len);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t end_len = strlen(rows[i].end);

		if (reply.len < end_len ||
		    memcmp(reply.data + reply.len - end_len, rows[i].end,
			end_len) != 0)
			continue;
		put(w, rows[i].before);
		wr_raw(w, host);
		put(w, rows[i].after);
		put_reply(w, slice_sub(reply, 0, reply.len - end_len));
		if (rows[i].giving_up) {
			put(w, "Giving up on ");
			wr_raw(w, host);
			put(w, ".\n");
		}
		return true;
	}
	return false;
}

/* Refused before the message: only EHLO and HELO fail one for good. */
static bool
put_unwelcome(const struct qmail_report *r, struct slice text, struct wr *w)
{
	static const char refused[] = " refused to talk to me: ";
	size_t at = find(text, refused);

	if (!starts(text, "host ") || at == text.len)
		return false;
	put(w, "Connected to ");
	wr_raw(w, ip_of(slice_sub(text, 5, at)));
	put(w, r->dsn.len > 0 && r->dsn.data[0] == '5'
		   ? " but my name was rejected.\n"
		   : " but greeting failed.\n");
	put_reply(w, slice_sub(text, at + sizeof(refused) - 1, text.len));
	return true;
}

/* No session, or one that broke off: qmail's words, and then our own. */
static bool
put_unconnected(struct slice text, struct wr *w)
{
	if (starts(text, "connect to ")) {
		put(w, "Sorry, I wasn't able to establish an SMTP connection."
		       " (#4.4.1)\n");
	} else if (starts(text, "lost connection with ") ||
		   starts(text, "conversation with ")) {
		put(w, "Connected to ");
		wr_raw(w,
		    ip_of(slice_sub(text, find(text, "with ") + 5, text.len)));
		put(w, " but connection died. ");
		if (find(text, "may be sent more than once") < text.len)
			put(w, "Possible duplicate! ");
		put(w, "(#4.4.2)\n");
	} else {
		return false;
	}
	put_lines(w, text);
	return true;
}

static void
put_other(const struct qmail_report *r, struct slice text, struct wr *w)
{
	bool unnamed = starts(text, "Host or domain name not found");

	if (slice_eq(r->dsn, SLICE_LIT("5.1.1")) &&
	    slice_find(r->relay, '[') == r->relay.len)
		put(w, "Sorry, no mailbox here by that name. (#5.1.1)\n");
	else if (unnamed && slice_eq(r->dsn, SLICE_LIT("5.4.4")))
		put(w, "Sorry, I couldn't find a mail exchanger or IP address."
		       " (#5.4.4)\n");
	else if (unnamed && starts(r->dsn, "4."))
		put(w, "Sorry, I couldn't find any host by that name."
		       " (#4.1.2)\n");
	else if (find(text, "(#") == text.len && text.len > 0) {
		put_lines(w, text);
		put(w, "(#");
		wr_raw(w, r->dsn);
		put(w, ")\n");
		return;
	}
	put_lines(w, text);
}

void
qmail_report_put(const struct qmail_report *r, struct wr *w)
{
	static const char expired[] = "delivery time expired: ";
	struct slice text = r->text;
	bool late = starts(text, expired);

	if (r->sent) {
		put_sent(r, w);
		return;
	}
	if (late)
		text = slice_sub(text, sizeof(expired) - 1, text.len);
	if (!put_refused(text, w) && !put_unwelcome(r, text, w) &&
	    !put_unconnected(text, w))
		put_other(r, text, w);
	if (late)
		put(w, "I'm not going to try again; this message has been in"
		       " the queue too long.\n");
}

void
qmail_safe(char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)buf[i];

		if (c == '\n')
			buf[i] = '/';
		else if (c < 33 || c > 126 || c == '%')
			buf[i] = '_';
	}
}
