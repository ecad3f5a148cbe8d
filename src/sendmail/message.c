/*
 * message: envelope and header of a submitted message.
 */
#include "sendmail/message.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/time.h"
#include "conf/conf.h"
#include "proto/address.h"
#include "proto/xtext.h"
#include "sendmail/head.h"

enum {
	RAW_BYTES_MIN = 64 * 1024,
	RCPT_ROOM_MIN = 64,
	GECOS_BYTES_MAX = 200,
};

void
message_init(struct message *m, const struct conf *conf, struct acct *a,
    const struct sendmail_options *options, int fd)
{
	size_t max = (size_t)conf->header_total_size_limit_bytes;

	memset(m, 0, sizeof(*m));
	m->conf = conf;
	m->acct = a;
	m->options = options;
	arena_init(&m->arena, a, 64 * 1024, 64 << 20);
	input_init(&m->input, fd, !options->dot_is_data);
	buf_init(&m->raw, a, RAW_BYTES_MIN, max + 2 * INPUT_PIECE_BYTES);
	buf_init(&m->head, a, 4096, max + HEAD_ADDED_BYTES_MAX);
}

void
message_fini(struct message *m)
{
	arena_fini(&m->arena);
	buf_fini(&m->raw);
	buf_fini(&m->head);
}

/* ---- addresses ---- */

/* What the user wrote, canonical and with a domain, in the arena. */
static enum err
canonical(struct message *m, struct slice in, unsigned allow, struct slice *out)
{
	char buf[ADDRESS_BYTES_MAX];
	struct slice origin = slice_str(m->conf->myorigin);
	struct address a;
	enum err e;
	char *text;
	size_t len;

	e = address_parse(in, allow | ADDRESS_UTF8 | ADDRESS_BARE, buf, &a);
	if (e != OK)
		return e;
	m->utf8 |= a.utf8;
	len = a.text.len;
	if (len > 0 && a.domain.len == 0)
		len += 1 + origin.len;
	if (len > ADDRESS_BYTES_MAX)
		return ERR_TOOBIG;
	text = arena_alloc(&m->arena, len + 1);
	if (text == NULL)
		return ERR_NOMEM;
	memcpy(text, a.text.data, a.text.len);
	if (len > a.text.len) {
		text[a.text.len] = '@';
		memcpy(text + a.text.len + 1, origin.data, origin.len);
	}
	*out = slice_of(text, len);
	return OK;
}

static enum err
rcpt_room(struct message *m)
{
	size_t room = m->rcpt_room * 2;
	struct slice *more;

	if (m->rcpt_count < m->rcpt_room)
		return OK;
	if (room == 0)
		room = RCPT_ROOM_MIN;
	more = arena_alloc(&m->arena, room * sizeof(*more));
	if (more == NULL)
		return ERR_NOMEM;
	if (m->rcpt_count > 0)
		memcpy(more, m->rcpts, m->rcpt_count * sizeof(*more));
	m->rcpts = more;
	m->rcpt_room = room;
	return OK;
}

static enum err
add_rcpt(void *arg, struct slice address)
{
	struct message *m = arg;
	enum err e;

	if (m->rcpt_count >= (size_t)m->conf->extract_recipient_limit)
		return ERR_FULL;
	e = rcpt_room(m);
	if (e == OK)
		e = canonical(m, address, 0, &m->rcpts[m->rcpt_count]);
	if (e == OK)
		m->rcpt_count++;
	return e;
}

int
message_address_raw(struct message *m, struct slice raw, bool is_sender,
    struct errtext *et)
{
	char text[LOCAL_PART_BYTES_MAX + ADDRESS_BYTES_MAX];
	size_t at = slice_rfind(raw, '@'), len = 0;
	struct slice rest = slice_sub(raw, at, raw.len);
	enum err e = ERR_SYNTAX;

	if (is_sender && raw.len == 0)
		e = OK;
	else if (rest.len <= ADDRESS_BYTES_MAX &&
		 address_local_quote(slice_sub(raw, 0, at), text, &len)) {
		memcpy(text + len, rest.data, rest.len);
		e = rcpt_room(m);
		if (e == OK)
			e = canonical(m, slice_of(text, len + rest.len), 0,
			    is_sender ? &m->sender : &m->rcpts[m->rcpt_count]);
	}
	if (e == OK) {
		m->rcpt_count += !is_sender;
		return EX_OK;
	}
	err_set(et, e, "address \"%.*s\": %s", SLICE_ARGS(raw), err_text(e));
	return e == ERR_NOMEM ? EX_TEMPFAIL : EX_DATAERR;
}

/* A line break folds a header; in a word it is somebody's trick. */
static bool
has_control(const char *word)
{
	for (; *word != '\0'; word++)
		if ((unsigned char)*word < ' ' || *word == 127)
			return true;
	return false;
}

/* Words of the command line are lists too: "joe, ann". */
static int
words(struct message *m, struct errtext *et)
{
	const struct sendmail_options *o = m->options;
	struct header_addresses h;
	enum err e;
	size_t i;

	for (i = 0; i < o->recipient_count; i++) {
		if (has_control(o->recipients[i])) {
			err_set(et, ERR_SYNTAX,
			    "a recipient holds a control character");
			return EX_DATAERR;
		}
		header_addresses_init(&h, add_rcpt, m);
		e = header_addresses_feed(&h, slice_str(o->recipients[i]));
		if (e == OK)
			e = header_addresses_end(&h);
		if (e == OK)
			continue;
		if (e == ERR_FULL)
			err_set(et, e,
			    "%lld recipients or more; extract_recipient_limit "
			    "is %lld",
			    (long long)m->conf->extract_recipient_limit + 1,
			    (long long)m->conf->extract_recipient_limit);
		else
			err_set(et, e, "recipient \"%s\": %s", o->recipients[i],
			    err_text(e));
		return e == ERR_NOMEM ? EX_TEMPFAIL : EX_DATAERR;
	}
	return EX_OK;
}

/* ---- the user ---- */

/* Up to the first comma, with & for the name (finger's custom). */
static void
full_name(const struct passwd *pw, char out[static GECOS_BYTES_MAX])
{
	const char *g = pw->pw_gecos != NULL ? pw->pw_gecos : "";
	size_t n = 0;

	for (; *g != '\0' && *g != ',' && n + 1 < GECOS_BYTES_MAX; g++) {
		if (*g != '&') {
			out[n++] = *g;
			continue;
		}
		n += (size_t)snprintf(out + n, GECOS_BYTES_MAX - n, "%s",
		    pw->pw_name);
		if (n >= GECOS_BYTES_MAX)
			n = GECOS_BYTES_MAX - 1;
	}
	out[n] = '\0';
}

static int
find_sender(struct message *m, struct slice *full_name_out, struct errtext *et)
{
	static char gecos[GECOS_BYTES_MAX];
	const char *given = m->options->sender;
	const struct passwd *pw = getpwuid(getuid());
	struct slice sender;
	enum err e;

	if (pw != NULL)
		full_name(pw, gecos);
	*full_name_out = slice_str(
	    m->options->full_name != NULL ? m->options->full_name : gecos);
	if (given == NULL && pw == NULL) {
		err_set(et, ERR_SYS, "user id %lu has no name; use -f",
		    (unsigned long)getuid());
		return EX_OSERR;
	}
	sender = slice_str(given != NULL ? given : pw->pw_name);
	if (sender.len >= 2 && sender.data[0] == '<' &&
	    sender.data[sender.len - 1] == '>')
		sender = slice_sub(sender, 1, sender.len - 1);
	e = canonical(m, sender, ADDRESS_NULL, &m->sender);
	if (e == OK)
		return EX_OK;
	err_set(et, e, "sender \"%.*s\": %s", SLICE_ARGS(sender), err_text(e));
	return e == ERR_NOMEM ? EX_TEMPFAIL : EX_USAGE;
}

static int
find_envid(struct message *m, struct errtext *et)
{
	const char *envid = m->options->envid;

	if (envid == NULL || xtext_encode(slice_str(envid), m->envid,
				 sizeof(m->envid), &m->envid_len))
		return EX_OK;
	err_set(et, ERR_SYNTAX, "-V: longer than %d bytes", ENVID_BYTES_MAX);
	return EX_USAGE;
}

/* ---- the header ---- */

/* Read until the end of the header is known. */
int
message_read_header(struct message *m, struct slice *header_out,
    struct errtext *et)
{
	size_t limit = (size_t)m->conf->header_total_size_limit_bytes;
	struct head_scan scan;
	size_t room, len;
	enum err e;
	char *at;

	head_scan_init(&scan);
	while (!head_scan_more(&scan, buf_data(&m->raw), m->over)) {
		if (scan.line_start > limit || m->raw.len > limit) {
			err_set(et, ERR_TOOBIG,
			    "header longer than %zu bytes "
			    "(header_total_size_limit)",
			    limit);
			return EX_DATAERR;
		}
		e = buf_room(&m->raw, INPUT_PIECE_BYTES, &at, &room);
		if (e == OK)
			e = input_read(&m->input, at, &len);
		if (e != OK) {
			err_set(et, e, "cannot read the message: %s",
			    err_text(e));
			return e == ERR_IO ? EX_IOERR : EX_TEMPFAIL;
		}
		buf_grew(&m->raw, len);
		m->over = len == 0;
	}
	*header_out = slice_sub(buf_data(&m->raw), 0, scan.end);
	return EX_OK;
}

void
message_drop_header(struct message *m, size_t len)
{
	buf_take(&m->raw, len);
	if (slice_sub(buf_data(&m->raw), 0, 2).len == 2 &&
	    memcmp(buf_data(&m->raw).data, "\r\n", 2) == 0)
		buf_take(&m->raw, 2);
}

static enum err
finish_header(struct message *m, struct slice header,
    const struct head_facts *facts, struct slice name)
{
	struct wall now = clock_system.wall(&clock_system);
	char date[TIME_RFC5322_BYTES], id[HOST_BYTES_MAX + 80];
	char daemon[HOST_BYTES_MAX + 16];
	struct head_added added = { .from = m->sender, .full_name = name };
	enum err e;
	int n;

	/* A From field needs an address, and the null sender is none. */
	if (m->sender.len == 0) {
		n = snprintf(daemon, sizeof(daemon), "MAILER-DAEMON@%s",
		    m->conf->myorigin);
		ASSERT(n > 0 && (size_t)n < sizeof(daemon));
		added.from = slice_of(daemon, (size_t)n);
	}

	time_rfc5322(now, date);
	n = snprintf(id, sizeof(id), "<%lld.%ld.%016llx@%s>", (long long)now.ms,
	    (long)getpid(), (unsigned long long)random_u64(),
	    m->conf->myhostname);
	ASSERT(n > 0 && (size_t)n < sizeof(id));
	added.date = slice_str(date);
	added.message_id = slice_of(id, (size_t)n);
	e = head_rewrite(header, &m->head);
	if (e == OK)
		e = head_add(facts, &added, &m->head);
	return e == OK ? buf_put(&m->head, SLICE_LIT("\r\n")) : e;
}

static int
extract(struct message *m, struct slice header, const struct head_facts *facts,
    struct errtext *et)
{
	enum err e = head_recipients(header, facts,
	    m->conf->header_address_token_limit, add_rcpt, m, et);

	if (e == OK)
		return EX_OK;
	if (e == ERR_FULL)
		err_set(et, e,
		    "%lld recipients or more; extract_recipient_limit is %lld",
		    (long long)m->conf->extract_recipient_limit + 1,
		    (long long)m->conf->extract_recipient_limit);
	else if (e != ERR_SYNTAX && e != ERR_TOOBIG)
		err_set(et, e, "recipient in the header: %s", err_text(e));
	return e == ERR_NOMEM ? EX_TEMPFAIL : EX_DATAERR;
}

int
message_begin(struct message *m, struct errtext *et)
{
	struct slice name, header;
	struct head_facts facts;
	int status;
	enum err e;

	status = find_sender(m, &name, et);
	if (status == EX_OK)
		status = find_envid(m, et);
	if (status == EX_OK)
		status = words(m, et);
	if (status == EX_OK && m->rcpt_count == 0 && !m->options->from_header) {
		err_set(et, ERR_SYNTAX,
		    "no recipients: give them on the "
		    "command line or use -t");
		return EX_USAGE;
	}
	if (status == EX_OK)
		status = message_read_header(m, &header, et);
	if (status != EX_OK)
		return status;
	head_look(header, &facts);
	if (m->options->from_header)
		status = extract(m, header, &facts, et);
	if (status == EX_OK && m->rcpt_count == 0) {
		err_set(et, ERR_SYNTAX,
		    "no recipient addresses found in message header");
		return EX_USAGE;
	}
	if (status != EX_OK)
		return status;
	e = finish_header(m, header, &facts, name);
	if (e != OK) {
		err_set(et, e, "header: %s", err_text(e));
		return e == ERR_SYNTAX	 ? EX_USAGE
		       : e == ERR_TOOBIG ? EX_DATAERR
					 : EX_TEMPFAIL;
	}
	message_drop_header(m, header.len);
	return EX_OK;
}

/* ---- all of it, in pieces ---- */

static size_t
take(struct buf *b, char *out, size_t room)
{
	struct slice s = slice_sub(buf_data(b), 0, room);

	memcpy(out, s.data, s.len);
	buf_take(b, s.len);
	return s.len;
}

enum err
message_next(struct message *m, struct slice *out, bool *last_out)
{
	static char piece[MESSAGE_PIECE_BYTES];
	size_t len = 0, got;
	enum err e = OK;

	while (e == OK && len < sizeof(piece)) {
		if (m->head.len > 0) {
			got = take(&m->head, piece + len, sizeof(piece) - len);
		} else if (m->raw.len > 0) {
			got = take(&m->raw, piece + len, sizeof(piece) - len);
		} else if (m->over || sizeof(piece) - len < INPUT_PIECE_BYTES) {
			break;
		} else {
			e = input_read(&m->input, piece + len, &got);
			m->over = got == 0;
		}
		len += got;
	}
	*out = slice_of(piece, len);
	*last_out = m->over && m->head.len == 0 && m->raw.len == 0;
	return e;
}
