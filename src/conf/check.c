/*
 * conf/check: what each text and each item of a list must be.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "conf/load.h"
#include "conf/log_dest.h"
#include "conf/net.h"

enum {
	PATH_BYTES_MAX = 1024,
	TEXT_BYTES_MAX = 400, /* the banner fits into a reply of 512 octets */
	WORD_BYTES_MAX = 32,
	LOCALPART_BYTES_MAX = 64,
};

/* All bytes are letters, digits or in others. */
static bool
only(struct slice s, const char *others)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9'))
			continue;
		if (c == '\0' || strchr(others, c) == NULL)
			return false;
	}
	return true;
}

static enum err
check_text(struct slice s, struct errtext *et)
{
	if (s.len > TEXT_BYTES_MAX)
		return err_set(et, ERR_CONFIG,
		    "too long; write at most %d characters", TEXT_BYTES_MAX);
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] < ' ' || s.data[i] == 0x7f)
			return err_set(et, ERR_CONFIG,
			    "not printable ASCII; write plain text");
	return OK;
}

static enum err
check_word(struct slice s, const char *others, size_t max, const char *form,
    struct errtext *et)
{
	if (s.len > 0 && s.len <= max && only(s, others))
		return OK;
	return err_set(et, ERR_CONFIG, "%s; write %s",
	    s.len == 0	  ? "empty"
	    : s.len > max ? "too long"
			  : "a character that cannot be here",
	    form);
}

static enum err
check_path(struct slice s, bool may_be_empty, struct errtext *et)
{
	if (s.len == 0 && may_be_empty)
		return OK;
	if (s.len == 0 || s.data[0] != '/')
		return err_set(et, ERR_CONFIG,
		    "not an absolute path; write one that begins with /");
	if (s.len > PATH_BYTES_MAX)
		return err_set(et, ERR_CONFIG,
		    "too long; write a path of at most %d bytes",
		    PATH_BYTES_MAX);
	return OK;
}

static enum err
check_mailbox(struct slice s, struct errtext *et)
{
	struct slice rest = s, piece;

	if (s.len > PATH_BYTES_MAX)
		return err_set(et, ERR_CONFIG,
		    "too long; write a path of at most %d bytes",
		    PATH_BYTES_MAX);
	if (s.len > 0 && s.data[0] == '/')
		return err_set(et, ERR_CONFIG,
		    "an absolute path; write one below the home directory");
	if (s.len > 0 && s.data[0] == '~')
		return err_set(et, ERR_CONFIG,
		    "it begins in the home directory by itself; write it "
		    "without ~/");
	while (slice_word(&rest, "/", &piece))
		if (slice_eq(piece, SLICE_LIT("..")))
			return err_set(et, ERR_CONFIG,
			    "it leaves the home directory; write a path "
			    "without ..");
	return OK;
}

static enum err
check_address(struct slice s, uint8_t family, struct errtext *et)
{
	struct net_addr a;

	if (s.len == 0 || (net_addr_parse(s, &a) && a.family == family))
		return OK;
	return err_set(et, ERR_CONFIG,
	    "not an IPv%d address; write one, or nothing", family);
}

static enum err
check_host(struct slice s, struct errtext *et)
{
	struct net_addr a;

	if (net_host_valid(s))
		return OK;
	if (s.len > 0 && s.data[0] == '[' && net_addr_parse(s, &a))
		return OK;
	if (s.len > 0 && s.data[0] == '/')
		return err_set(et, ERR_CONFIG,
		    "a file is not read here; write the name that stands in "
		    "it");
	return err_set(et, ERR_CONFIG,
	    "not a host name; write a name such as mail.example.org");
}

/* type:rest; the types that read a file, and what stands after its path. */
static const struct {
	const char *type;
	const char *suffix; /* NULL: no file */
} table_types[] = {
	{ "text", "" },
	{ "texthash", "" },
	{ "hash", "" },
	{ "cdb", ".cdb" },
	{ "lmdb", ".lmdb" },
	{ "inline", NULL },
	{ "static", NULL },
};

static enum err
check_table_file(struct slice path, const char *suffix, struct errtext *et)
{
	char name[PATH_BYTES_MAX + sizeof(".lmdb")];
	size_t n = strlen(suffix);

	if (slice_ends_nocase(path, slice_str(suffix)))
		n = 0;
	memcpy(name, path.data, path.len);
	memcpy(name + path.len, suffix, n);
	name[path.len + n] = '\0';
	if (access(name, R_OK) == 0)
		return OK;
	if (suffix[0] == '\0')
		return err_set(et, ERR_CONFIG,
		    "cannot read the file: %s; write the path of a readable "
		    "file",
		    strerror(errno));
	return err_set(et, ERR_CONFIG,
	    "cannot read the file: %s; write the path without %s and make the "
	    "file with postmap %s:PATH",
	    strerror(errno), suffix, suffix + 1);
}

static enum err
check_inline(struct slice s, struct errtext *et)
{
	struct slice key, value;
	unsigned number = 0;
	enum err e;

	s = slice_trim(s);
	if (s.len < 2 || s.data[0] != '{' || s.data[s.len - 1] != '}')
		return err_set(et, ERR_CONFIG,
		    "no braces; write inline:{ key = value, ... }");
	s = slice_sub(s, 1, s.len - 1);
	while (conf_inline_next(&s, &key, &value, &e)) {
		number++;
		if (e != OK)
			return err_set(et, e,
			    "entry %u has no key or no value; write key = "
			    "value, separated by commas",
			    number);
	}
	return OK;
}

static enum err
check_table(struct slice s, bool look, struct errtext *et)
{
	size_t colon = slice_find(s, ':');
	struct slice type = slice_sub(s, 0, colon);
	struct slice rest = slice_sub(s, colon + 1, s.len);
	size_t i = 0;
	enum err e;

	while (i < ARRAY_LEN(table_types) && colon < s.len &&
	       !slice_eq(type, slice_str(table_types[i].type)))
		i++;
	if (s.len > 0 && s.data[0] == '/')
		return err_set(et, ERR_CONFIG,
		    "no type before the path; write text:%.*s, or cdb: or "
		    "lmdb: "
		    "for what postmap makes of it",
		    SLICE_ARGS(slice_sub(s, 0, 60)));
	if (colon == s.len || i == ARRAY_LEN(table_types))
		return err_set(et, ERR_CONFIG,
		    "%s; write text:, cdb:, lmdb:, hash:, inline: or static: "
		    "with what belongs to it",
		    colon < s.len ? "there are no tables of this type"
				  : "not a table");
	if (rest.len == 0)
		return err_set(et, ERR_CONFIG,
		    "nothing after the colon; write TYPE:PATH, inline:{ key "
		    "= value } or static:VALUE");
	if (slice_eq(type, SLICE_LIT("inline")))
		return check_inline(rest, et);
	if (table_types[i].suffix == NULL)
		return OK;
	e = check_path(rest, false, et);
	if (e == OK && look)
		e = check_table_file(rest, table_types[i].suffix, et);
	return e;
}

static enum err
check_domain(struct slice s, bool look, struct errtext *et)
{
	struct net_addr a;

	if (s.len > 1 && s.data[0] == '.')
		s = slice_sub(s, 1, s.len);
	if (net_host_valid(s))
		return OK;
	if (s.len > 0 && s.data[0] == '[' && net_addr_parse(s, &a))
		return OK;
	if (slice_find(s, ':') != s.len)
		return check_table(s, look, et);
	if (s.len > 0 && s.data[0] == '/')
		return err_set(et, ERR_CONFIG,
		    "no type before the path; write text:%.*s, and in the file "
		    "a domain and any value in each line",
		    SLICE_ARGS(slice_sub(s, 0, 60)));
	return err_set(et, ERR_CONFIG,
	    "not a domain; write DOMAIN, .SUFFIX or a table such as "
	    "text:/PATH");
}

static enum err
check_sender(struct slice s, struct errtext *et)
{
	size_t at = slice_rfind(s, '@');

	if (at < s.len && check_text(s, NULL) == OK &&
	    check_host(slice_sub(s, at + 1, s.len), NULL) == OK)
		return OK;
	return err_set(et, ERR_CONFIG,
	    "not a sender; write USER@DOMAIN or @DOMAIN");
}

/* relayhost: Postfix too has no transport there. */
static enum err
check_nexthop(struct slice s, struct errtext *et)
{
	size_t colon = slice_find(s, ':');
	struct slice rest = slice_sub(s, colon + 1, s.len);
	struct net_nexthop nexthop;
	enum err e = net_nexthop_parse(s, &nexthop, et);

	if (e != OK && conf_transport_built_in(slice_sub(s, 0, colon)) &&
	    net_nexthop_parse(rest, &nexthop, NULL) == OK)
		return err_set(et, ERR_CONFIG,
		    "a transport cannot stand here; write %.*s",
		    SLICE_ARGS(slice_sub(rest, 0, 100)));
	return e;
}

static enum err
check_net(const struct conf_param *p, struct slice s, struct errtext *et)
{
	struct net_range range;
	struct net_listen listen;
	struct net_route route;
	struct net_prepend prepend;
	struct net_addr addr;
	uint16_t port;
	enum err e;

	switch (p->check) {
	case CONF_CHECK_NETWORKS: e = net_range_parse(s, &range, et); break;
	case CONF_CHECK_LISTEN: e = net_listen_parse(s, &listen, et); break;
	case CONF_CHECK_ROUTES: e = net_route_parse(s, &route, et); break;
	case CONF_CHECK_PREPENDS: e = net_prepend_parse(s, &prepend, et); break;
	case CONF_CHECK_RESOLVERS:
		e = net_addr_port_parse(s, 53, &addr, &port, et);
		break;
	default: e = s.len == 0 ? OK : check_nexthop(s, et); break;
	}
	return e == OK ? OK : ERR_CONFIG;
}

/* "TRANSPORT" or "TRANSPORT:NEXTHOP"; cross.c knows the transports. */
static enum err
check_way(struct slice s, struct errtext *et)
{
	struct slice transport, nexthop;
	struct net_nexthop parsed;

	if (s.len == 0)
		return OK;
	conf_way_split(s, &transport, &nexthop);
	if (nexthop.len > 0 && conf_transport_remote(transport) &&
	    net_nexthop_parse(nexthop, &parsed, et) != OK)
		return ERR_CONFIG;
	return OK;
}

enum err
conf_item_check(const struct conf_param *p, struct slice s, bool look,
    struct errtext *et)
{
	struct log_dest dest;
	int word;

	switch (p->check) {
	case CONF_CHECK_NONE: return OK;
	case CONF_CHECK_TEXT: return check_text(s, et);
	case CONF_CHECK_TEMPLATE: return s.len == 0 ? OK : check_text(s, et);
	case CONF_CHECK_WORD:
		return check_word(s, "-_.", WORD_BYTES_MAX,
		    "letters, digits, - _ and .", et);
	case CONF_CHECK_WORDS: return conf_word_check(p, s, &word, et);
	case CONF_CHECK_LOG_DEST: return log_dest_parse(s, &dest, et);
	case CONF_CHECK_HOST: return check_host(s, et);
	case CONF_CHECK_HOST_OR_NONE:
		return s.len == 0 ? OK : check_host(s, et);
	case CONF_CHECK_LOCALPART:
		return check_word(s, ".!#$%&'*+-/=?^_`{|}~",
		    LOCALPART_BYTES_MAX,
		    "what stands before the @ of an address", et);
	case CONF_CHECK_DELIMITER:
		if (s.len == 0)
			return OK;
		return check_word(s, "+-_=.#~^", 8,
		    "some of + - _ = . # ~ ^, or nothing", et);
	case CONF_CHECK_PATH: return check_path(s, false, et);
	case CONF_CHECK_PATH_OR_NONE: return check_path(s, true, et);
	case CONF_CHECK_MAILBOX: return check_mailbox(s, et);
	case CONF_CHECK_IP4: return check_address(s, 4, et);
	case CONF_CHECK_IP6: return check_address(s, 6, et);
	case CONF_CHECK_SENDERS: return check_sender(s, et);
	case CONF_CHECK_DOMAINS: return check_domain(s, look, et);
	case CONF_CHECK_TABLES: return check_table(s, look, et);
	case CONF_CHECK_TABLES_TO_MAKE: return check_table(s, false, et);
	case CONF_CHECK_TRANSPORTS: return OK; /* cross.c knows them */
	case CONF_CHECK_WAY: return check_way(s, et);
	case CONF_CHECK_USERS:
		return check_word(s, "-_.$", WORD_BYTES_MAX, "user names", et);
	case CONF_CHECK_NETWORKS:
	case CONF_CHECK_LISTEN:
	case CONF_CHECK_ROUTES:
	case CONF_CHECK_PREPENDS:
	case CONF_CHECK_RESOLVERS:
	case CONF_CHECK_NEXTHOP: return check_net(p, s, et);
	}
	return OK;
}
