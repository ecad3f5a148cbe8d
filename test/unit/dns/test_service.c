/*
 * The dns role without its frame, against a name server of ours on the
 * loopback, all on one loop.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/wire.h"
#include "conf/conf.h"
#include "conf/net.h"
#include "dns/service.h"
#include "ev/loop.h"
#include "ipc/chan.h"
#include "ipc/frames.h"

enum { GIVE_UP_MS = 10000, PACKET_BYTES = 32768, TRACE_BYTES = 16384 };

/* ---- the zone ---- */

enum how {
	ANSWER,
	NXDOMAIN,
	SERVFAIL,
	SILENT,
	MANY,	  /* 300 records of the type */
	WRONG_ID, /* a forged answer: then none */
	GARBAGE,  /* not a DNS message */
};

/* Data: of A and AAAA the address, of PTR and CNAME the name, of MX
 * "PREFERENCE NAME"; NULL: none of this type. */
static const struct {
	const char *name;
	enum dns_type type;
	enum how how;
	const char *data[4];
} zone[] = {
	{ "y.test", DNS_TYPE_MX, ANSWER, { "20 b.y.test", "10 a.y.test" } },
	{ "a.y.test", DNS_TYPE_A, ANSWER, { "192.0.2.1", "192.0.2.2" } },
	{ "a.y.test", DNS_TYPE_AAAA, ANSWER, { "2001:db8::1" } },
	{ "b.y.test", DNS_TYPE_A, ANSWER, { "192.0.2.3" } },
	{ "b.y.test", DNS_TYPE_AAAA, ANSWER, { NULL } },
	{ "nomx.test", DNS_TYPE_MX, ANSWER, { NULL } },
	{ "nomx.test", DNS_TYPE_A, ANSWER, { "192.0.2.9" } },
	{ "nomx.test", DNS_TYPE_AAAA, ANSWER, { NULL } },
	{ "nothing.test", DNS_TYPE_MX, ANSWER, { NULL } },
	{ "nothing.test", DNS_TYPE_A, ANSWER, { NULL } },
	{ "nothing.test", DNS_TYPE_AAAA, ANSWER, { NULL } },
	{ "null.test", DNS_TYPE_MX, ANSWER, { "0 ." } },
	{ "xn--bcher-kva.test", DNS_TYPE_A, ANSWER, { "192.0.2.8" } },
	{ "fail.test", DNS_TYPE_MX, SERVFAIL, { NULL } },
	{ "silent.test", DNS_TYPE_MX, SILENT, { NULL } },
	{ "half.test", DNS_TYPE_MX, ANSWER,
	    { "10 silent.half.test", "20 b.y.test" } },
	{ "silent.half.test", DNS_TYPE_A, SILENT, { NULL } },
	{ "silent.half.test", DNS_TYPE_AAAA, SILENT, { NULL } },
	{ "dead.test", DNS_TYPE_MX, ANSWER,
	    { "10 gone.dead.test", "20 b.y.test" } },
	{ "gone.dead.test", DNS_TYPE_A, NXDOMAIN, { NULL } },
	{ "gone.dead.test", DNS_TYPE_AAAA, NXDOMAIN, { NULL } },
	{ "alias.test", DNS_TYPE_MX, ANSWER, { "10 c.alias.test" } },
	{ "c.alias.test", DNS_TYPE_CNAME, ANSWER, { "b.y.test" } },
	{ "bomb.test", DNS_TYPE_MX, MANY, { NULL } },
	{ "addresses.test", DNS_TYPE_MX, ANSWER, { NULL } },
	{ "addresses.test", DNS_TYPE_A, MANY, { NULL } },
	{ "addresses.test", DNS_TYPE_AAAA, ANSWER, { NULL } },
	{ "forged.test", DNS_TYPE_MX, WRONG_ID, { "10 evil.test" } },
	{ "garbage.test", DNS_TYPE_MX, GARBAGE, { NULL } },
	{ "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, ANSWER, { "a.y.test" } },
	{ "4.2.0.192.in-addr.arpa", DNS_TYPE_PTR, ANSWER, { "a.y.test" } },
	{ "5.2.0.192.in-addr.arpa", DNS_TYPE_PTR, NXDOMAIN, { NULL } },
	{ "6.2.0.192.in-addr.arpa", DNS_TYPE_PTR, SERVFAIL, { NULL } },
};

static struct acct mem;
static struct ev_loop *loop;
static struct service service;
static struct conf conf;
static struct slice server_item;
static struct chan *smtp, *smtpd;
static int udp = -1;
static struct ev_io udp_io;
static char server_text[32];
static char trace[TRACE_BYTES];
static unsigned answers, questions;
static const char *current;

struct out {
	uint8_t data[PACKET_BYTES];
	size_t len;
};

static void
put(struct out *o, const void *data, size_t len)
{
	assert_true(o->len + len <= sizeof(o->data));
	memcpy(o->data + o->len, data, len);
	o->len += len;
}

static void
put16(struct out *o, unsigned v)
{
	uint8_t b[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	put(o, b, 2);
}

static void
put_name(struct out *o, const char *name)
{
	struct slice rest = slice_str(name), label;

	while (slice_word(&rest, ".", &label)) {
		uint8_t n = (uint8_t)label.len;

		put(o, &n, 1);
		put(o, label.data, label.len);
	}
	put(o, "", 1);
}

static void
put_record(struct out *o, const char *owner, enum dns_type type,
    const char *data)
{
	struct net_addr addr;
	unsigned preference = 0;
	char name[64] = "";
	size_t at;

	put_name(o, owner);
	put16(o, type);
	put16(o, 1);
	put16(o, 0);
	put16(o, 300);
	at = o->len;
	put16(o, 0);
	if (type == DNS_TYPE_MX) {
		assert_int_equal(sscanf(data, "%u %63s", &preference, name), 2);
		put16(o, preference);
		put_name(o, name);
	} else if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA) {
		assert_true(net_addr_parse(slice_str(data), &addr));
		put(o, addr.octets, addr.family == 4 ? 4 : 16);
	} else {
		put_name(o, data);
	}
	o->data[at] = (uint8_t)((o->len - at - 2) >> 8);
	o->data[at + 1] = (uint8_t)(o->len - at - 2);
}

static void
put_many(struct out *o, const char *owner, enum dns_type type)
{
	char data[64];

	/* As many as fit into what we allow ourselves in one datagram. */
	for (unsigned i = 0; i < 25; i++) {
		if (type == DNS_TYPE_MX)
			snprintf(data, sizeof(data), "%u m%u.bomb.test", i, i);
		else
			snprintf(data, sizeof(data), "198.51.100.%u", i + 1);
		put_record(o, owner, type, data);
	}
	o->data[7] = 25;
}

/* The row for a question; an alias answers for every type. */
static size_t
find_row(const char *name, unsigned type)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(zone); i++)
		if (slice_eq_nocase(slice_str(zone[i].name), slice_str(name)) &&
		    (zone[i].type == type || zone[i].type == DNS_TYPE_CNAME))
			break;
	return i;
}

static void
answer_question(struct out *o, const char *name, unsigned type)
{
	size_t row = find_row(name, type);

	if (row == ARRAY_LEN(zone)) {
		o->data[3] |= 3;
		return;
	}
	switch (zone[row].how) {
	case NXDOMAIN: o->data[3] |= 3; break;
	case SERVFAIL: o->data[3] |= 2; break;
	case SILENT: o->len = 0; break;
	case GARBAGE:
		memset(o->data + 2, 0xff, 40);
		o->len = 42;
		break;
	case MANY: put_many(o, name, (enum dns_type)type); break;
	default:
		for (unsigned i = 0; i < 4 && zone[row].data[i]; i++) {
			put_record(o, name, zone[row].type, zone[row].data[i]);
			o->data[7]++;
		}
		if (zone[row].how == WRONG_ID)
			o->data[0] ^= 0x55;
	}
}

static void
on_udp(void *arg, struct ev_io *io, unsigned ready)
{
	static struct out o;
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	uint8_t in[2048];
	ssize_t n = recvfrom(io->fd, in, sizeof(in), 0,
	    (struct sockaddr *)&from, &from_len);
	char name[256] = "";
	size_t at = 12, len = 0;
	unsigned type;

	(void)arg;
	(void)ready;
	if (n < 17)
		return;
	questions++;
	while (at < (size_t)n && in[at] != 0) {
		memcpy(name + len, in + at + 1, in[at]);
		len += in[at];
		name[len++] = '.';
		at += in[at] + 1u;
	}
	name[len > 0 ? len - 1 : 0] = '\0';
	type = (unsigned)(in[at + 1] << 8 | in[at + 2]);
	o.len = 0;
	put(&o, in, 2);
	put(&o, "\x81\x80\0\1\0\0\0\0\0\0", 10);
	put(&o, in + 12, at + 5 - 12);
	answer_question(&o, name, type);
	if (o.len > 0)
		(void)sendto(io->fd, o.data, o.len, 0, (struct sockaddr *)&from,
		    from_len);
}

/* ---- who asks ---- */

static void PRINTF(1, 2) note(const char *fmt, ...)
{
	size_t len = strlen(trace);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(trace + len, sizeof(trace) - len, fmt, ap);
	va_end(ap);
}

static const char *const verdicts[] = { "found", "none", "null", "temp" };

static void
note_hosts(struct slice hosts)
{
	struct rd r = rd_of(hosts);

	while (r.left > 0) {
		unsigned preference = rd_u16(&r);
		struct slice name = rd_str(&r, 255);
		struct net_addr a = { .family = rd_u8(&r) };
		struct slice octets = rd_raw(&r, a.family == 4	 ? 4
						 : a.family == 6 ? 16
								 : 0);
		char ip[NET_ADDR_TEXT_BYTES] = "-";

		assert_false(r.bad);
		memcpy(a.octets, octets.data, octets.len);
		if (a.family != 0)
			net_addr_text(&a, ip);
		note(" %u:%.*s:%s", preference, SLICE_ARGS(name), ip);
	}
}

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	struct fr_dns_found found;
	struct fr_dns_named named;

	(void)arg;
	(void)c;
	answers++;
	if (f->type == FRAME_DNS_FOUND) {
		assert_true(get_dns_found(f, &found));
		assert_true(found.verdict < DNS_VERDICT_COUNT);
		note("%s", verdicts[found.verdict]);
		if (found.text.len > 0)
			note(" %.*s", SLICE_ARGS(found.text));
		note_hosts(found.hosts);
	} else {
		assert_int_equal(f->type, FRAME_DNS_NAMED);
		assert_true(get_dns_named(f, &named));
		note("%s %.*s", verdicts[named.verdict],
		    SLICE_ARGS(named.name));
	}
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct chan **at = arg;

	(void)bad;
	(void)why;
	chan_close(c);
	*at = NULL;
}

static const struct chan_events events = { on_frame, on_closed, NULL };

static void
on_bad_peer(void *arg, enum role peer, unsigned index, const char *why)
{
	(void)arg;
	(void)peer;
	(void)index;
	(void)why;
	fail();
}

static const struct service_events service_events = { on_bad_peer };

static void
add_peer(enum role role, struct chan **out)
{
	int fd[2];

	assert_int_equal(chan_pair(fd), OK);
	assert_int_equal(chan_open(loop, &mem, fd[0], role, ROLE_DNS, 0,
			     &events, out, 1 << 20, out),
	    OK);
	assert_int_equal(service_add(&service, role, 0, fd[1]), OK);
}

static void
open_server(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);

	udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(udp, (struct sockaddr *)&in, len), 0);
	assert_int_equal(getsockname(udp, (struct sockaddr *)&in, &len), 0);
	snprintf(server_text, sizeof(server_text), "127.0.0.1:%u",
	    ntohs(in.sin_port));
	ev_io_init(&udp_io, loop, udp, on_udp, NULL);
	ev_io_want(&udp_io, EV_RD);
}

static int
setup_with(int64_t timeout_ms, int64_t query_limit)
{
	static const struct slice all = SLICE_LIT("all");
	struct errtext et;

	acct_init(&mem, NULL, "test", 64 << 20, false, "");
	if (ev_loop_new(&mem, &loop) != OK)
		return -1;
	open_server();
	server_item = slice_str(server_text);
	conf = (struct conf){
		.resolver_addresses = { &server_item, 1 },
		.inet_protocols = { &all, 1 },
		.dns_timeout_ms = timeout_ms,
		.dns_query_limit = query_limit,
		.dns_cache_size_bytes = 1 << 20,
		.dns_trust_anchor_file = "",
	};
	if (service_init(&service, loop, &mem, &conf, &service_events, NULL,
		&et) != OK)
		fail_msg("%s", et.text);
	add_peer(ROLE_SMTP, &smtp);
	add_peer(ROLE_SMTPD, &smtpd);
	trace[0] = '\0';
	answers = questions = 0;
	return 0;
}

static int
setup(void **state)
{
	(void)state;
	return setup_with(3000, 16);
}

static int
setup_short(void **state)
{
	(void)state;
	return setup_with(300, 16);
}

static int
setup_narrow(void **state)
{
	(void)state;
	return setup_with(3000, 4);
}

static int
teardown(void **state)
{
	(void)state;
	service_fini(&service);
	chan_close(smtp);
	chan_close(smtpd);
	ev_io_fini(&udp_io);
	close(udp);
	ev_loop_free(loop);
	acct_fini(&mem);
	return 0;
}

static void
run_until(unsigned count)
{
	struct mono start = clock_system.mono(&clock_system);

	while (answers < count) {
		assert_int_equal(ev_loop_turn(loop), OK);
		if (mono_sub(clock_system.mono(&clock_system), start) >
		    GIVE_UP_MS)
			fail_msg("%s: no answer", current);
	}
}

static void
ask_hosts(enum dns_kind kind, unsigned protocols, const char *domain,
    uint32_t tag)
{
	struct fr_dns_hosts q = { .kind = (uint8_t)kind,
		.protocols = (uint8_t)protocols,
		.domain = slice_str(domain) };

	assert_int_equal(send_dns_hosts(smtp, tag, &q, -1), OK);
}

static const char *
hosts(enum dns_kind kind, unsigned protocols, const char *domain)
{
	current = domain;
	trace[0] = '\0';
	answers = 0;
	ask_hosts(kind, protocols, domain, 1);
	run_until(1);
	return trace;
}

static const char *
name_of(const char *address)
{
	struct fr_dns_name q = { .address = slice_str(address) };

	current = address;
	trace[0] = '\0';
	answers = 0;
	assert_int_equal(send_dns_name(smtpd, 1, &q, -1), OK);
	run_until(1);
	return trace;
}

/* ---- tests ---- */

static const struct {
	const char *why;
	enum dns_kind kind;
	unsigned protocols;
	const char *domain, *answer;
} rows[] = {
	{ "MX in order, both families", DNS_MX, 3, "y.test",
	    "found 10:a.y.test:2001:db8::1 10:a.y.test:192.0.2.1 "
	    "10:a.y.test:192.0.2.2 20:b.y.test:192.0.2.3" },
	{ "IPv4 only", DNS_MX, CONF_INET4, "y.test",
	    "found 10:a.y.test:192.0.2.1 10:a.y.test:192.0.2.2 "
	    "20:b.y.test:192.0.2.3" },
	{ "IPv6 only: a host without addresses is named", DNS_MX, CONF_INET6,
	    "y.test", "found 10:a.y.test:2001:db8::1 20:b.y.test:-" },
	{ "case does not matter", DNS_MX, CONF_INET6, "Y.TEST",
	    "found 10:a.Y.TEST:2001:db8::1 20:b.Y.TEST:-" },
	{ "no MX: the domain itself", DNS_MX, 3, "nomx.test",
	    "found 0:nomx.test:192.0.2.9" },
	{ "addresses only", DNS_ADDRESS, 3, "b.y.test",
	    "found 0:b.y.test:192.0.2.3" },
	{ "no such domain", DNS_MX, 3, "absent.test",
	    "none Name service error for name=absent.test type=MX: Host not "
	    "found" },
	{ "no such host", DNS_ADDRESS, 3, "absent.test",
	    "none Name service error for name=absent.test type=A/AAAA: Host "
	    "not found" },
	{ "neither MX nor address", DNS_MX, 3, "nothing.test",
	    "none Name service error for name=nothing.test type=A/AAAA: Host "
	    "not found" },
	{ "null MX", DNS_MX, 3, "null.test", "null" },
	{ "SERVFAIL", DNS_MX, 3, "fail.test",
	    "temp Name service error for name=fail.test type=MX: Host not "
	    "found, try again" },
	{ "one host is gone", DNS_MX, CONF_INET4, "dead.test",
	    "found 10:gone.dead.test:- 20:b.y.test:192.0.2.3" },
	{ "an alias behind MX", DNS_MX, CONF_INET4, "alias.test",
	    "found 10:c.alias.test:192.0.2.3" },
	{ "attack 34: many addresses", DNS_ADDRESS, CONF_INET4,
	    "addresses.test", NULL },
	{ "localhost", DNS_ADDRESS, CONF_INET4, "localhost",
	    "found 0:localhost:127.0.0.1" },
	{ "not a name", DNS_MX, 3, "a..b",
	    "none Name service error for name=a..b type=MX: Host not found" },
	{ "a name in UTF-8", DNS_ADDRESS, CONF_INET4,
	    "b\xc3\xbc"
	    "cher.test",
	    "found 0:xn--bcher-kva.test:192.0.2.8" },
	{ "octets that are no UTF-8", DNS_MX, 3, "b\xff.test",
	    "none Name service error for name=b\xff.test type=MX: not a domain "
	    "name" },
	{ "an empty name", DNS_MX, 3, "",
	    "none Name service error for name= type=MX: not a domain name" },
};

static unsigned
count_of(const char *s, char c)
{
	unsigned n = 0;

	for (; *s != '\0'; s++)
		n += *s == c;
	return n;
}

static void
test_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *got =
		    hosts(rows[i].kind, rows[i].protocols, rows[i].domain);

		if (rows[i].answer == NULL)
			assert_int_equal(count_of(got, ' '), DNS_ADDRESSES_MAX);
		else if (strcmp(got, rows[i].answer) != 0)
			fail_msg("%s\n got  %s\n want %s", rows[i].why, got,
			    rows[i].answer);
	}
}

/* Attack 34: 25 MX, none with an address: 20 names, then the end. */
static void
test_row_34_names_without_addresses(void **state)
{
	(void)state;
	assert_string_equal(hosts(DNS_MX, CONF_INET4, "bomb.test"),
	    "none Name service error for name=bomb.test type=A/AAAA: Host not "
	    "found");
	assert_true(questions <= 1 + DNS_MX_MAX);
}

static void
test_names(void **state)
{
	(void)state;
	assert_string_equal(name_of("192.0.2.1"), "found a.y.test");
	assert_string_equal(name_of("192.0.2.4"), "none ");
	assert_string_equal(name_of("192.0.2.5"), "none ");
	assert_string_equal(name_of("192.0.2.6"), "temp ");
	assert_string_equal(name_of("127.0.0.1"), "found localhost");
}

/* The time for everything: silence, forged and damaged answers. */
static void
test_row_34_silence_and_forgery(void **state)
{
	(void)state;
	assert_string_equal(hosts(DNS_MX, 3, "silent.test"),
	    "temp Name service error for name=silent.test type=MX: no answer "
	    "in time");
	assert_string_equal(hosts(DNS_MX, 3, "forged.test"),
	    "temp Name service error for name=forged.test type=MX: no answer "
	    "in time");
	assert_memory_equal(hosts(DNS_MX, 3, "garbage.test"), "temp ", 5);
	/* What was found in time counts. */
	assert_string_equal(hosts(DNS_MX, CONF_INET4, "half.test"),
	    "found 10:silent.half.test:- 20:b.y.test:192.0.2.3");
	/* And others are not held up. */
	ask_hosts(DNS_MX, 3, "silent.test", 5);
	assert_string_equal(hosts(DNS_ADDRESS, CONF_INET4, "b.y.test"),
	    "found 0:b.y.test:192.0.2.3");
}

/* More requests than places: all are answered, none is forgotten; beyond the
 * pool they are refused at once. */
static void
test_gate(void **state)
{
	enum { ASKED = 40, POOL = 4 * REQUESTS_PER_QUERY };
	char domain[32];

	(void)state;
	current = "gate";
	for (uint32_t i = 0; i < ASKED; i++) {
		snprintf(domain, sizeof(domain), "n%u.test", i);
		ask_hosts(DNS_MX, 3, domain, i);
	}
	run_until(ASKED);
	assert_int_equal(answers, ASKED);
	assert_int_equal(service.requests.pool.row->high_water, POOL);
	assert_int_equal(service.resolver.queries.row->high_water, 4);
	assert_int_equal(service.requests.pool.in_use, 0);
}

/* Who asked is gone: nothing is left of his requests. */
static void
test_peer_gone(void **state)
{
	(void)state;
	current = "peer gone";
	ask_hosts(DNS_MX, 3, "silent.test", 1);
	ask_hosts(DNS_MX, 3, "y.test", 2);
	while (service.requests.pool.in_use < 2)
		assert_int_equal(ev_loop_turn(loop), OK);
	chan_close(smtp);
	smtp = NULL;
	while (service.requests.pool.in_use > 0)
		assert_int_equal(ev_loop_turn(loop), OK);
	assert_string_equal(name_of("192.0.2.1"), "found a.y.test");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hosts, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_row_34_names_without_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_row_34_silence_and_forgery,
		    setup_short, teardown),
		cmocka_unit_test_setup_teardown(test_gate, setup_narrow,
		    teardown),
		cmocka_unit_test_setup_teardown(test_peer_gone, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
