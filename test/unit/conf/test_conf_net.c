/*
 * Addresses, networks, listening places and next hops as text; domains and
 * addresses in lists.
 */
#include "conf_test.h"

#include <arpa/inet.h>

#include "conf/net.h"

static void
test_networks(void **state)
{
	static const struct {
		const char *why, *list, *address;
		bool in;
	} rows[] = {
		{ "inside", "10.0.0.0/8", "10.255.255.255", true },
		{ "just below", "10.0.0.0/8", "9.255.255.255", false },
		{ "just above", "10.0.0.0/8", "11.0.0.0", false },
		{ "odd prefix, last inside", "192.0.2.64/27", "192.0.2.95",
		    true },
		{ "odd prefix, first outside", "192.0.2.64/27", "192.0.2.96",
		    false },
		{ "one address", "192.0.2.1", "192.0.2.1", true },
		{ "another address", "192.0.2.1", "192.0.2.0", false },
		{ "everything", "0.0.0.0/0", "203.0.113.9", true },
		{ "everything is of one family", "0.0.0.0/0", "::1", false },
		{ "v6", "[2001:db8::]/32", "2001:db8:ffff::1", true },
		{ "v6 without brackets", "2001:db8::/32", "2001:db8::1", true },
		{ "v6 outside", "[2001:db8::]/32", "2001:db9::1", false },
		{ "v6, odd prefix", "[2001:db8::]/33",
		    "2001:db8:8000::", false },
		{ "v6, brackets around one address", "[::1]", "::1", true },
		{ "mapped addresses are IPv4", "127.0.0.0/8",
		    "::ffff:127.0.0.1", true },
		{ "taken out before", "!10.1.0.0/16 10.0.0.0/8", "10.1.2.3",
		    false },
		{ "taken out too late", "10.0.0.0/8 !10.1.0.0/16", "10.1.2.3",
		    true },
		{ "the rest stays", "!10.1.0.0/16 10.0.0.0/8", "10.2.0.1",
		    true },
		{ "empty list", "", "127.0.0.1", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[256];
		const struct conf *c;
		struct net_addr a;

		print_message("%s\n", rows[i].why);
		(void)snprintf(text, sizeof(text), "mynetworks = %s\n",
		    rows[i].list);
		c = test_load(text);
		assert_non_null(c);
		assert_true(net_addr_parse(slice_str(rows[i].address), &a));
		assert_int_equal(conf_list_has_addr(&c->mynetworks, &a),
		    rows[i].in);
		test_end(c);
	}
}

static void
test_addresses(void **state)
{
	static const struct {
		const char *text, *shown; /* NULL: refused */
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "[192.0.2.1]", "192.0.2.1" },
		{ "::1", "::1" },
		{ "[::1]", "::1" },
		{ "[IPv6:2001:DB8::1]", "2001:db8::1" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
		{ "", NULL },
		{ "[]", NULL },
		{ "[::1", NULL },
		{ "192.0.2", NULL },
		{ "192.0.2.1.", NULL },
		{ "192.0.2.256", NULL },
		{ "IPv6:::1", NULL },
		{ "fe80::1%eth0", NULL },
		{ "localhost", NULL },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb",
		    NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char shown[NET_ADDR_TEXT_BYTES];
		struct net_addr a;
		bool ok = net_addr_parse(slice_str(rows[i].text), &a);

		print_message("%s\n", rows[i].text);
		assert_int_equal(ok, rows[i].shown != NULL);
		net_addr_text(&a, shown);
		if (ok)
			assert_string_equal(shown, rows[i].shown);
		else
			assert_int_equal(a.family, 0);
	}
}

static void
test_socket_addresses(void **state)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr other = { .sa_family = AF_UNIX };
	struct net_addr a, b;

	(void)state;
	in4.sin_addr.s_addr = htonl(0xc0000201);
	a = net_addr_of((struct sockaddr *)&in4);
	assert_true(net_addr_parse(SLICE_LIT("192.0.2.1"), &b));
	assert_true(net_addr_eq(&a, &b));
	assert_int_equal(
	    inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6.sin6_addr), 1);
	a = net_addr_of((struct sockaddr *)&in6);
	assert_true(net_addr_eq(&a, &b));
	in6.sin6_addr = in6addr_loopback;
	a = net_addr_of((struct sockaddr *)&in6);
	assert_int_equal(a.family, 6);
	assert_false(net_addr_eq(&a, &b));
	assert_int_equal(net_addr_of(&other).family, 0);
}

static void
test_listen(void **state)
{
	struct net_listen l;
	char path[160];

	(void)state;
	assert_int_equal(net_listen_parse(SLICE_LIT("*:25"), &l, NULL), OK);
	assert_true(l.any);
	assert_int_equal(l.port, 25);
	assert_int_equal(
	    net_listen_parse(SLICE_LIT("127.0.0.1:65535"), &l, NULL), OK);
	assert_false(l.any);
	assert_int_equal(l.addr.family, 4);
	assert_int_equal(l.port, 65535);
	assert_int_equal(net_listen_parse(SLICE_LIT("[::1]:1"), &l, NULL), OK);
	assert_int_equal(l.addr.family, 6);
	assert_int_equal(net_listen_parse(SLICE_LIT("unix:/run/x"), &l, NULL),
	    OK);
	assert_true(slice_eq(l.path, SLICE_LIT("/run/x")));
	assert_int_equal(net_listen_parse(SLICE_LIT("::1:25"), &l, NULL),
	    ERR_SYNTAX);
	assert_int_equal(net_listen_parse(SLICE_LIT("*:65536"), &l, NULL),
	    ERR_SYNTAX);
	assert_int_equal(net_listen_parse(SLICE_LIT(":25"), &l, NULL),
	    ERR_SYNTAX);
	assert_int_equal(net_listen_parse(SLICE_LIT(""), &l, NULL), ERR_SYNTAX);
	/* 107 bytes fit into a sockaddr_un, 108 do not. */
	memset(path, 'a', sizeof(path));
	memcpy(path, "unix:/", 6);
	assert_int_equal(net_listen_parse(slice_of(path, 5 + 107), &l, NULL),
	    OK);
	assert_int_equal(net_listen_parse(slice_of(path, 5 + 108), &l, NULL),
	    ERR_SYNTAX);
}

static void
test_nexthops(void **state)
{
	static const struct {
		const char *text, *host;
		bool bracketed;
		int family, port;
		const char *path;
	} rows[] = {
		{ "example.org", "example.org", false, 0, 0, NULL },
		{ "example.org:587", "example.org", false, 0, 587, NULL },
		{ "[mail.example.org]", "mail.example.org", true, 0, 0, NULL },
		{ "[mail.example.org]:2525", "mail.example.org", true, 0, 2525,
		    NULL },
		{ "[192.0.2.1]:25", "192.0.2.1", true, 4, 25, NULL },
		{ "192.0.2.1:25", "192.0.2.1", true, 4, 25, NULL },
		{ "[2001:db8::1]:25", "2001:db8::1", true, 6, 25, NULL },
		{ "[IPv6:2001:db8::1]", "IPv6:2001:db8::1", true, 6, 0, NULL },
		{ "2001:db8::1", "2001:db8::1", true, 6, 0, NULL },
		{ "unix:/run/lmtp", "", false, 0, 0, "/run/lmtp" },
		{ "[example.org", NULL, false, 0, 0, NULL },
		{ "[example.org]x", NULL, false, 0, 0, NULL },
		{ "[example.org]:", NULL, false, 0, 0, NULL },
		{ "example.org:smtp", NULL, false, 0, 0, NULL },
		{ "exam ple.org", NULL, false, 0, 0, NULL },
		{ "unix:private/lmtp", "", false, 0, 0, "private/lmtp" },
		{ "unix:", NULL, false, 0, 0, NULL },
		{ "inet:[127.0.0.1]:2424", "127.0.0.1", true, 4, 2424, "" },
		{ "inet:mail.example.org:24", "mail.example.org", false, 0, 24,
		    "" },
		{ "inet:", NULL, false, 0, 0, NULL },
		{ "inet:unix:/run/x", NULL, false, 0, 0, NULL },
		{ "", NULL, false, 0, 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct net_nexthop n;
		struct errtext et = { "" };
		enum err e =
		    net_nexthop_parse(slice_str(rows[i].text), &n, &et);

		print_message("%s: %s\n", rows[i].text, et.text);
		assert_int_equal(e, rows[i].host != NULL ? OK : ERR_SYNTAX);
		if (e != OK) {
			assert_true(et.text[0] != '\0');
			continue;
		}
		assert_true(slice_eq(n.host, slice_str(rows[i].host)));
		assert_int_equal(n.bracketed, rows[i].bracketed);
		assert_int_equal(n.addr.family, rows[i].family);
		assert_int_equal(n.port, rows[i].port);
		assert_true(slice_eq(n.path, slice_str(rows[i].path)));
	}
}

static void
test_transport_split(void **state)
{
	struct slice transport, nexthop;

	(void)state;
	assert_int_equal(net_transport_split(SLICE_LIT("smtp:[a.b]:25"),
			     &transport, &nexthop, NULL),
	    OK);
	assert_true(slice_eq(transport, SLICE_LIT("smtp")));
	assert_true(slice_eq(nexthop, SLICE_LIT("[a.b]:25")));
	assert_int_equal(
	    net_transport_split(SLICE_LIT(": x "), &transport, &nexthop, NULL),
	    OK);
	assert_int_equal(transport.len, 0);
	assert_true(slice_eq(nexthop, SLICE_LIT("x")));
	assert_int_equal(
	    net_transport_split(SLICE_LIT("smtp"), &transport, &nexthop, NULL),
	    ERR_SYNTAX);
}

static void
test_hosts(void **state)
{
	char label63[64], label64[65], name[300];

	(void)state;
	memset(label63, 'a', 63);
	label63[63] = '\0';
	memset(label64, 'a', 64);
	label64[64] = '\0';
	assert_true(net_host_valid(SLICE_LIT("a")));
	assert_true(net_host_valid(SLICE_LIT("a-b.c_d.0e")));
	assert_true(net_host_valid(SLICE_LIT("m\xc3\xbcller.example")));
	assert_true(net_host_valid(slice_str(label63)));
	assert_false(net_host_valid(slice_str(label64)));
	assert_false(net_host_valid(SLICE_LIT("")));
	assert_false(net_host_valid(SLICE_LIT(".a")));
	assert_false(net_host_valid(SLICE_LIT("a.")));
	assert_false(net_host_valid(SLICE_LIT("-a")));
	assert_false(net_host_valid(SLICE_LIT("a-")));
	assert_false(net_host_valid(SLICE_LIT("a-.b")));
	assert_false(net_host_valid(SLICE_LIT("a b")));
	for (size_t n = 254; n <= 256; n++) {
		for (size_t i = 0; i < n; i++)
			name[i] = i % 2 == 0 ? 'a' : '.';
		name[n - 1] = 'b';
		assert_int_equal(net_host_valid(slice_of(name, n)), n <= 255);
	}
}

static void
test_domains(void **state)
{
	const struct conf *c = test_load(
	    "relay_domains = example.org, .sub.example.org, [192.0.2.1], "
	    "text:/nosuch\n");
	const struct conf_list *l;

	(void)state;
	assert_non_null(c);
	l = &c->relay_domains;
	assert_true(conf_list_has_domain(l, SLICE_LIT("EXAMPLE.org")));
	assert_false(conf_list_has_domain(l, SLICE_LIT("x.example.org")));
	assert_true(conf_list_has_domain(l, SLICE_LIT("a.b.SUB.example.org")));
	assert_false(conf_list_has_domain(l, SLICE_LIT("sub.example.org")));
	assert_false(conf_list_has_domain(l, SLICE_LIT(".sub.example.org")));
	assert_true(conf_list_has_domain(l, SLICE_LIT("[192.0.2.1]")));
	assert_false(conf_list_has_domain(l, SLICE_LIT("")));
	assert_false(conf_list_has_domain(l, SLICE_LIT("nosuch")));
	test_end(c);
}

static void
test_protocols(void **state)
{
	static const struct {
		const char *text;
		unsigned set;
	} rows[] = {
		{ "", CONF_INET4 | CONF_INET6 },
		{ "inet_protocols = all\n", CONF_INET4 | CONF_INET6 },
		{ "inet_protocols = IPv4\n", CONF_INET4 },
		{ "inet_protocols = ipv6\n", CONF_INET6 },
		{ "inet_protocols = ipv4, ipv6\n", CONF_INET4 | CONF_INET6 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct conf *c = test_load(rows[i].text);

		assert_non_null(c);
		assert_int_equal(conf_inet_protocols(c), rows[i].set);
		test_end(c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_socket_addresses),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_nexthops),
		cmocka_unit_test(test_transport_split),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_domains),
		cmocka_unit_test(test_protocols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
