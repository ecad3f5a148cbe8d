"""Attacks from name servers, next hops and other people's mail servers.

Row by row, as test_attacks.py; every case also asks that good mail flows
beside the bad.
"""
import re
import signal
import os
import socket
import struct
import threading
import time

import pytest

from harness import FAST_RETRY, MEMORY, FakeMX, Weir, free_port, message, relay_conf, wait_for
from test_attacks import STRANGERS, calm, opened
from test_attacks_rows import memory


# ---- rows 34, 35: DNS ----

TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "DS": 43, "RRSIG": 46,
         "DNSKEY": 48, "NSEC3": 50}


def name(text):
    """A domain name on the wire; labels may hold any byte."""
    if isinstance(text, bytes):
        return text
    return b"".join(bytes([len(l)]) + l.encode("latin-1") for l in text.split(".") if l) + b"\0"


def rr(owner, kind, rdata, ttl=1):
    return name(owner) + struct.pack(">HHIH", TYPES[kind], 1, ttl, len(rdata)) + rdata


def mx_rr(owner, preference, host):
    return rr(owner, "MX", struct.pack(">H", preference) + name(host))


def a_rr(owner, address):
    return rr(owner, "A", socket.inet_aton(address))


class HostileDNS:
    """A name server whose answers are bytes: answer(name, kind, tcp) returns
    a list of records, a whole message after the id (bytes), an rcode (int),
    or None for no answer.  good.example has an MX at 127.0.0.1."""

    def __init__(self, answer, before=None):
        self.answer = answer
        self.before = before
        self.queries = []
        self.port = free_port()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind(("127.0.0.1", self.port))
        self.tcp.listen(64)
        for run in (self._udp, self._tcp):
            threading.Thread(target=run, daemon=True).start()

    def reply(self, query, tcp):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        question = query[12:at + 5]
        qname = ".".join(labels).lower()
        number = struct.unpack(">H", query[at + 1:at + 3])[0]
        kind = next((k for k, v in TYPES.items() if v == number), str(number))
        self.queries.append((qname, kind))
        if qname in ("good.example", "also.good.example"):
            found = [mx_rr(qname, 1, "mx.good.example")] if kind == "MX" else []
        elif qname == "mx.good.example":
            found = [a_rr(qname, "127.0.0.1")] if kind == "A" else []
        else:
            found = self.answer(qname, kind, tcp)
        if found is None:
            return None
        if isinstance(found, bytes):
            return query[:2] + found
        rcode, records = (found, []) if isinstance(found, int) else (0, found)
        body = b"".join(records)
        truncated = not tcp and len(body) > 1100
        head = struct.pack(">HHHHH", 0x8180 | (0x0200 if truncated else 0) | rcode, 1,
                           0 if truncated else len(records), 0, 0)
        return query[:2] + head + question + (b"" if truncated else body)

    def _udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            for early in (self.before(query) if self.before else ()):
                self.udp.sendto(early, peer)
            out = self.reply(query, False)
            if out is not None:
                self.udp.sendto(out, peer)

    def _tcp(self):
        while True:
            try:
                conn, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._stream, args=(conn,), daemon=True).start()

    def _stream(self, conn):
        with conn:
            try:
                while True:
                    head = conn.recv(2, socket.MSG_WAITALL)
                    if len(head) < 2:
                        return
                    query = conn.recv(struct.unpack(">H", head)[0], socket.MSG_WAITALL)
                    out = self.reply(query, True)
                    if out is None:
                        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
                    conn.sendall(struct.pack(">H", len(out)) + out)
            except OSError:
                return

    def close(self):
        self.udp.close()
        self.tcp.close()


def chain(qname, kind, tcp):
    n = int(qname[1:].split(".")[0]) if re.match(r"c\d+\.", qname) else 0
    return [rr(qname, "CNAME", name(f"c{n + 1}.bad.example"))]


def loop(qname, kind, tcp):
    other = "b.bad.example" if qname != "b.bad.example" else "bad.example"
    return [rr(qname, "CNAME", name(other))]


def many_a(qname, kind, tcp):
    if kind == "MX":
        return [mx_rr(qname, 1, "many.bad.example")]
    return [a_rr(b"\xc0\x0c", f"127.1.{i // 250}.{1 + i % 250}") for i in range(3900)] if kind == "A" else []


def long_labels(qname, kind, tcp):
    host = ".".join(["x" * 63] * 3 + ["y" * 61])
    return [mx_rr(qname, 1, host)] if kind == "MX" else 3


#: What a hostile name server says about bad.example: (answers, what happens).
BOMBS = {
    "chain of aliases": (chain, "deferred|bounced"),
    "aliases in a circle": (loop, "deferred|bounced"),
    "thousands of addresses": (many_a, "deferred"),
    "truncated, and reset over TCP":
        (lambda q, k, tcp: None if tcp else struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + name(q) + b"\0\x0f\0\1",
         "deferred"),
    "a name that points at itself":
        (lambda q, k, tcp: struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + name(q) + struct.pack(">HH", TYPES.get(k, 1), 1)
         + b"\xc0\x0c" + struct.pack(">HHIH", 15, 1, 1, 4) + b"\0\1\xc0" + bytes([12 + len(name(q)) + 4 + 14]),
         "deferred|bounced"),
    "an answer to another question":
        (lambda q, k, tcp: struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + name("other.example") + b"\0\x0f\0\1"
         + mx_rr("other.example", 1, "mx.good.example"), "deferred"),
    "garbage": (lambda q, k, tcp: b"\x81\x80" + bytes(range(200)), "deferred"),
    "only a head": (lambda q, k, tcp: b"\x81", "deferred"),
    "records that are not there": (lambda q, k, tcp: struct.pack(">HHHHH", 0x8180, 1, 65535, 0, 0) + name(q)
                                   + struct.pack(">HH", TYPES.get(k, 1), 1), "deferred|bounced"),
    "silence": (lambda q, k, tcp: None, "deferred"),
    "every rcode": (lambda q, k, tcp: len(q) % 11 + 1, "deferred|bounced"),
    "a name with NUL":
        (lambda q, k, tcp: [mx_rr(q, 1, b"\x05a\0b\r\n\x04evil\x00")] if k == "MX" else 3, "deferred|bounced"),
    "a name with a dot and spaces in a label":
        (lambda q, k, tcp: [mx_rr(q, 1, b"\x11mx.good.example x\x00")] if k == "MX" else 3, "deferred|bounced"),
    "the longest name": (long_labels, "deferred|bounced"),
    "an exchanger that is the domain without address":
        (lambda q, k, tcp: [mx_rr(q, 1, q)] if k == "MX" else [], "deferred|bounced"),
    "an exchanger that is an alias of itself":
        (lambda q, k, tcp: [mx_rr(q, 1, "mx." + q)] if k == "MX" else [rr(q, "CNAME", name(q))], "deferred|bounced"),
    "the root and others": (lambda q, k, tcp: [mx_rr(q, 0, "."), mx_rr(q, 5, ".")] if k == "MX" else 3,
                            "deferred|bounced"),
    "0.0.0.0": (lambda q, k, tcp: [mx_rr(q, 1, "mx." + q)] if k == "MX"
                else [a_rr(q, "0.0.0.0")] if k == "A" else [], "deferred"),
    "multicast": (lambda q, k, tcp: [mx_rr(q, 1, "mx." + q)] if k == "MX"
                  else [a_rr(q, "224.0.0.251")] if k == "A" else [], "deferred"),
    "the unspecified address of IPv6": (lambda q, k, tcp: [mx_rr(q, 1, "mx." + q)] if k == "MX"
                                        else [rr(q, "AAAA", bytes(16))] if k == "AAAA" else [], "deferred"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_row_34_dns_bombs(bomb):
    """They cost their own mail a delay, and nobody else anything."""
    answer, outcome = BOMBS[bomb]
    dns, mx = HostileDNS(answer), FakeMX()
    try:
        with Weir({"resolver_addresses": f"127.0.0.1:{dns.port}", "smtp_remote_port": str(mx.port),
                   "dns_timeout": "4s", "smtp_connect_timeout": "1s", "smtp_mx_address_limit": "3"}) as w:
            pids = w.role_pids("dns")
            w.send("warm@good.example")
            wait_for(lambda: mx.messages, lambda: w.log()[-3000:])
            before = memory(w, "dns", "smtp")
            id = w.send("ann@bad.example")
            w.send("bob@good.example")
            wait_for(lambda: len(mx.messages) == 2, lambda: "good mail\n" + w.log()[-3000:])
            m = w.wait_log(rf"{id}: to=<ann@bad\.example>, .*status=(\w+)")
            assert re.fullmatch(outcome, m.group(1)), m.group(0)
            assert w.role_pids("dns") == pids
            assert memory(w, "dns", "smtp") - before < MEMORY * 6 * 1024 * 1024
            assert not re.search(rb"[\x00\x0d\x80-\xff]", w.log_path.read_bytes())
            assert all("bad.example" not in str(x[1]) for x in mx.messages)
            assert len(dns.queries) < 300, len(dns.queries)
    finally:
        dns.close(), mx.close()


@pytest.mark.parametrize("count, sent", [(60, True), (1000, False)])
def test_row_34_a_thousand_mx(count, sent):
    """The best of sixty are tried, at most twenty are asked about; what is
    larger than any honest answer is none."""
    best = f"m{count - 1}.bad.example"

    def answer(qname, kind, tcp):
        if kind == "MX":
            return [mx_rr(b"\xc0\x0c", 2000 - i, f"m{i}.bad.example") for i in range(count)]
        return [a_rr(qname, "127.0.0.1")] if kind == "A" and qname == best else []
    dns, mx = HostileDNS(answer), FakeMX()
    try:
        with Weir({"resolver_addresses": f"127.0.0.1:{dns.port}", "smtp_remote_port": str(mx.port)}) as w:
            id = w.send("ann@bad.example")
            m = w.wait_log(rf"{id}: to=<ann@bad\.example>, .*status=(\w+)")
            assert m.group(1) in (("sent",) if sent else ("sent", "deferred")), m.group(0)
            assert len({q for q, k in dns.queries if re.match(r"m\d+\.", q)}) <= 20
            w.send("bob@good.example")
            wait_for(lambda: any("bob" in str(x[1]) for x in mx.messages), lambda: w.log()[-3000:])
    finally:
        dns.close(), mx.close()


def test_row_34_forged_answers_before_the_right_one():
    """With another id, or for another question: not believed."""
    def forged(query):
        wrong_id = struct.pack(">H", struct.unpack(">H", query[:2])[0] ^ 1)
        poison = mx_rr("victim.example", 1, "mx.evil.example") + a_rr("mx.evil.example", "127.0.0.1")
        question = query[12:query.index(b"\0", 12) + 5]
        return [wrong_id + struct.pack(">HHHHH", 0x8180, 1, 2, 0, 0) + question + poison,
                query[:2] + struct.pack(">HHHHH", 0x8180, 1, 2, 0, 0) + name("evil.example") + b"\0\x0f\0\1" + poison]

    def right(qname, kind, tcp):
        return 3
    dns, mx = HostileDNS(right, forged), FakeMX()
    try:
        with Weir({"resolver_addresses": f"127.0.0.1:{dns.port}", "smtp_remote_port": str(mx.port),
                   "dns_timeout": "5s"}) as w:
            id = w.send("ann@victim.example", sender="joe@example.test")
            w.wait_log(rf"{id}: to=<ann@victim\.example>, .*status=(bounced|deferred)")
            assert mx.messages == [] and mx.connections == 0
    finally:
        dns.close(), mx.close()


def test_row_34_the_name_of_a_client_may_never_come():
    """PTR bombs: the greeting comes, the client is unknown."""
    dns = HostileDNS(lambda q, k, tcp: None)
    try:
        with Weir(dict(STRANGERS, resolver_addresses=f"127.0.0.1:{dns.port}", dns_timeout="30s")) as w:
            start = time.monotonic()
            with w.client(source="127.0.0.9") as c:
                assert c.greeting[0] == 220
                assert c.transaction and c.cmd("EHLO a.example")[0] == 250
                c.cmd("VRFY x")
            assert time.monotonic() - start < 10
    finally:
        dns.close()


def test_row_35_who_is_busy_with_signatures_stalls_only_dns():
    """A dns role that computes for ever: mail to the mailboxes flows, mail to
    others waits, and arrives when it is over."""
    mx = FakeMX()
    dns = HostileDNS(lambda q, k, tcp: 3)
    try:
        with Weir(dict(FAST_RETRY, resolver_addresses=f"127.0.0.1:{dns.port}", smtp_remote_port=str(mx.port),
                       dns_timeout="2s")) as w:
            w.send("warm@good.example")
            wait_for(lambda: len(mx.messages) == 1, lambda: w.log()[-2000:])
            stopped = w.role_pids("dns")
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            id = w.send("ann@also.good.example", subject="later")
            for i in range(20):
                w.send("joe@example.test", subject=f"n{i}")
            w.wait_mails("joe", 20)
            w.wait_log(rf"{id}: to=<ann@also\.good\.example>, .*dsn=4\.4\.3, status=deferred")
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            wait_for(lambda: len(mx.messages) == 2, lambda: w.log()[-3000:])
    finally:
        mx.close(), dns.close()


def key_tag(rdata):
    """RFC 4034 appendix B."""
    total = sum(b << 8 if i % 2 == 0 else b for i, b in enumerate(rdata))
    return (total + (total >> 16 & 0xffff)) & 0xffff


def colliding_keys(count, tag):
    """DNSKEYs (ECDSA P-256) that differ and all have this tag."""
    keys = []
    while len(keys) < count:
        head = struct.pack(">HBB", 257, 3, 13) + os.urandom(62)
        want = (tag - key_tag(head + b"\0\0")) & 0xffff
        keys += [head + struct.pack(">H", last & 0xffff) for last in (want, want - 1)
                 if key_tag(head + struct.pack(">H", last & 0xffff)) == tag]
    return keys[:count]


def rrsig(owner, covered, tag):
    now = int(time.time())
    rdata = struct.pack(">HBBIIIH", TYPES[covered], 13, owner.count(".") + 1, 300, now + 86400,
                        now - 86400, tag) + name(owner) + os.urandom(64)
    return rr(owner, "RRSIG", rdata)


def cpu_seconds(pids):
    """Of processes, until now."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            ticks += sum(int(n) for n in f.read().rsplit(")", 1)[1].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_row_35_keys_and_signatures_that_collide():
    """KeyTrap: each of 60 signatures fits each of 60 keys, and none is right;
    and a denial with 2,500 rounds of NSEC3.  Whoever tries them all is busy
    for minutes."""
    keys = colliding_keys(60, 4711)

    def answer(qname, kind, tcp):
        zone = "trap.example"
        if kind == "DNSKEY":
            return ([rr(zone, "DNSKEY", k) for k in keys] +
                    [rrsig(zone, "DNSKEY", 4711) for _ in range(60)])
        if kind == "DS":
            return [rr(zone, "DS", struct.pack(">HBB", 4711, 13, 2) + os.urandom(32)) for _ in range(60)]
        if kind == "MX" and qname.endswith(zone):
            return [mx_rr(qname, 1, f"mx.{zone}")] + [rrsig(qname, "MX", 4711) for _ in range(60)]
        if kind == "A" and qname == f"mx.{zone}":
            return [a_rr(qname, "127.0.0.1")] + [rrsig(qname, "A", 4711) for _ in range(60)]
        return [rr(f"{n:032d}.{zone}", "NSEC3", struct.pack(">BBHB", 1, 0, 2500, 8) + os.urandom(8) +
                   b"\x14" + os.urandom(20) + b"\0\x01\x40") for n in range(60)]
    dns, mx = HostileDNS(answer), FakeMX()
    try:
        with Weir(dict(FAST_RETRY, resolver_addresses=f"127.0.0.1:{dns.port}",
                       smtp_remote_port=str(mx.port))) as w:
            w.send("warm@good.example")
            wait_for(lambda: len(mx.messages) == 1, lambda: w.log()[-2000:])
            pids = w.role_pids("dns")
            before = cpu_seconds(pids)
            ids = [w.send(f"u{i}@sub{i}.trap.example") for i in range(20)]
            w.send("bob@also.good.example")
            wait_for(lambda: any("bob" in str(m[1]) for m in mx.messages), lambda: w.log()[-3000:])
            for id in ids:
                w.wait_log(rf"{id}: to=<.*status=\w+")
            assert any(k == "MX" and q.endswith("trap.example") for q, k in dns.queries)
            assert w.role_pids("dns") == pids, "dns died of it"
            used = cpu_seconds(pids) - before
            assert used < 2 * MEMORY, f"{used} s of CPU"
    finally:
        mx.close(), dns.close()


# ---- row 42: what a next hop says ----

def test_row_42_its_words_are_no_lines_of_report_or_log():
    text = ("550-5.1.1 first\r\n550-\x1b[31mred\x07 \x00 nul\r\n550-Content-Type: text/html\r\n"
            "550-\r\n550-To: evil@example.test\r\n550-.\r\n550 5.1.1 \u00e9\udcff end")
    mx = FakeMX(lambda v, a, c: text if v == "RCPT" else None)
    try:
        with Weir(relay_conf(mx)) as w:
            w.send("ann@far.example", sender="joe@example.test")
            report = w.wait_mails("joe")[0]
            assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", report), report
            assert not re.search(rb"(?m)^(To: evil|Content-Type: text/html)", report), report
            assert b"first" in report and b"end" in report
            assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f-\xff]", w.log_path.read_bytes())
            assert w.mails("evil") == []
    finally:
        mx.close()


@pytest.mark.parametrize("flood", ["lines", "one line", "after QUIT", "before the greeting"])
def test_row_42_a_flood_is_cut_off(flood):
    """Forty megabytes that nobody asked for: memory stays, time is bounded."""
    big = "x" * 1000

    def script(verb, arg, conn):
        if flood == "lines" and verb == "MAIL":
            return "\r\n".join(["250-" + big] * 40_000) + "\r\n250 ok"
        if flood == "one line" and verb == "MAIL":
            return "250 " + big * 40_000
        if flood == "after QUIT" and verb == ".":
            return "250 2.0.0 taken\r\n" + "\r\n".join(["250 " + big] * 40_000)
        if flood == "before the greeting" and verb == "CONNECT":
            return "\r\n".join(["220-" + big] * 40_000) + "\r\n220 hello"
        return None
    mx = FakeMX(script)
    try:
        with Weir(dict(relay_conf(mx))) as w:
            before = memory(w, "smtp")
            id = w.send("ann@far.example")
            m = w.wait_log(rf"{id}: to=<ann@far\.example>, .*status=(\w+) ")
            assert m.group(1) == ("sent" if flood == "after QUIT" else "deferred"), m.group(0)
            assert memory(w, "smtp") - before < MEMORY * 3 * 1024 * 1024
            assert max(map(len, w.log().splitlines())) < 4200
    finally:
        mx.close()


# ---- row 43: loops ----

def test_row_43_mail_that_goes_in_a_circle_ends():
    """The server is its own next hop: the hops are counted, one report."""
    with Weir({"hopcount_limit": "8"}) as w:
        w.write_conf(relayhost=f"[127.0.0.1]:{w.port}")
        w.stop()
        w.start()
        id = w.send("ann@far.example", sender="joe@example.test")
        report = w.wait_mails("joe")[0]
        assert b"5.4.6" in report or b"5.4.0" in report, report
        w.wait_queue_empty()
        assert len(w.mails("joe")) == 1
        assert 5 <= w.count_log(r"to=<ann@far\.example>, .*status=sent") <= 9
        assert id


def test_row_43_the_null_sender_gets_no_report():
    mx = FakeMX(lambda v, a, c: "550 5.1.1 no" if v == "RCPT" else None)
    try:
        with Weir(dict(relay_conf(mx), doublebounceto="boss", doublebouncehost="example.test")) as w:
            w.send("ann@far.example", sender="")
            w.wait_queue_empty()
            assert all(a == "" or "MAIL FROM:<>" in a for a in [x for x in mx.commands if "MAIL" in x])
            assert len(mx.messages) == 0
            assert len(w.mails("boss")) <= 1
    finally:
        mx.close()


# ---- row 44: open relay ----

#: What relay testers try (nmap's smtp-open-relay and older ones).
PROBES = [
    ("a@client.example", "relaytest@elsewhere.example"),
    ("a@client.example", "relaytest%elsewhere.example@[127.0.0.1]"),
    ("a@client.example", "relaytest%elsewhere.example@mx.test.example"),
    ("a@client.example", '"relaytest@elsewhere.example"'),
    ("a@client.example", '"relaytest%elsewhere.example"'),
    ("a@client.example", "relaytest@elsewhere.example@[127.0.0.1]"),
    ("a@client.example", '"relaytest@elsewhere.example"@[127.0.0.1]'),
    ("a@client.example", "relaytest@elsewhere.example@mx.test.example"),
    ("a@client.example", "@[127.0.0.1]:relaytest@elsewhere.example"),
    ("a@client.example", "@mx.test.example:relaytest@elsewhere.example"),
    ("a@client.example", "elsewhere.example!relaytest"),
    ("a@client.example", "elsewhere.example!relaytest@[127.0.0.1]"),
    ("a@client.example", "elsewhere.example!relaytest@mx.test.example"),
    ("", "relaytest@elsewhere.example"),
    ("a@mx.test.example", "relaytest@elsewhere.example"),
    ("a@[127.0.0.1]", "relaytest@elsewhere.example"),
    ("joe@example.test", "relaytest@elsewhere.example"),
    ("a@client.example", "relaytest@[192.0.2.1]"),
    ("a@client.example", "relaytest@[IPv6:2001:db8::1]"),
    ("a@client.example", "relaytest@elsewhere.example."),
    ("a@client.example", "@a.example,@b.example:relaytest@elsewhere.example"),
    ("a@client.example", "relaytest@example.test.elsewhere.example"),
    ("a@client.example", "relaytest@elsewhere.example\t@example.test"),
    ("a@client.example", "relaytest@xexample.test"),
]


def test_row_44_no_probe_finds_an_open_relay():
    dns = HostileDNS(lambda q, k, tcp: 3)
    mx = FakeMX()
    try:
        with Weir(dict(STRANGERS, relayhost=f"[127.0.0.1]:{mx.port}",
                       smtpd_hard_error_limit="100", smtpd_error_sleep_time="0")) as w:
            for sender, rcpt in PROBES:
                with opened(w) as c:
                    c.ok(f"MAIL FROM:<{sender}>")
                    code, text = c.cmd(f"RCPT TO:<{rcpt}>")
                    assert code in (550, 551, 553, 554, 501, 450), (sender, rcpt, code, text)
                    assert c.cmd("DATA")[0] in (503, 554)
            assert mx.connections == 0 and w.queue() == []
    finally:
        mx.close(), dns.close()


def test_row_44_nobody_is_told_at_rcpt_so_nobody_is_written_to():
    """Unknown users are refused in the session: no backscatter."""
    mx = FakeMX()
    try:
        with Weir(dict(STRANGERS, relayhost=f"[127.0.0.1]:{mx.port}")) as w, opened(w) as c:
            c.ok("MAIL FROM:<victim@elsewhere.example>")
            code, text = c.cmd("RCPT TO:<no-such-user@localhost>")
            assert code == 550 and text.startswith("5.1.1"), (code, text)
            assert c.cmd("DATA")[0] in (503, 554)
            assert w.queue() == [] and mx.connections == 0
    finally:
        mx.close()


# ---- row 51: SMTPUTF8 ----

@pytest.mark.parametrize("address", [
    b"\xc0\xafroot@example.test", b"\xe0\x80\xaf@example.test", b"\xed\xa0\x80@example.test",
    b"\xf4\x90\x80\x80@example.test", b"\xf8\x88\x80\x80\x80@example.test", b"\xc3@example.test",
    b"\x80@example.test", b"joe@\xc3\x28.example",
], ids=lambda a: a.hex()[:12])
def test_row_51_no_bad_utf8(address):
    with Weir() as w, opened(w) as c:
        c.ok("MAIL FROM:<a@client.example> SMTPUTF8")
        c.send(b"RCPT TO:<" + address + b">\r\n")
        code, text = c.reply()
        assert code in (501, 553), (code, text)
        assert not re.search(rb"[\x80-\xff]", w.log_path.read_bytes())


def test_row_51_utf8_without_the_parameter_is_refused():
    with Weir() as w, opened(w) as c:
        c.send("MAIL FROM:<\u00e9@client.example>\r\n")
        code, text = c.reply()
        assert code in (501, 553) and "5.6.7" in text or code == 501, (code, text)


@pytest.mark.parametrize("domain", ["\u00e9" * 70 + ".example", "x" * 64 + ".example", "\u202eexample.test",
                                    "a\u200d.example", ".".join(["\u00e9" * 20] * 20)])
def test_row_51_labels_that_cannot_be(domain):
    """They are refused or bounced: no crash, no truncation, no delivery."""
    dns, mx = HostileDNS(lambda q, k, tcp: 3), FakeMX()
    try:
        with Weir({"resolver_addresses": f"127.0.0.1:{dns.port}", "smtp_remote_port": str(mx.port),
                   "dns_timeout": "4s"}) as w, opened(w) as c:
            c.ok("MAIL FROM:<joe@example.test> SMTPUTF8")
            c.send(f"RCPT TO:<ann@{domain}>\r\n")
            code, _ = c.reply()
            assert code in (250, 501, 550, 553)
            if code == 250:
                c.ok("DATA", 354)
                c.send(message("utf8") + ".\r\n")
                assert c.reply()[0] == 250
                w.wait_log(r"status=(bounced|deferred)")
            assert mx.connections == 0
            assert not re.search(rb"[\x80-\xff]", w.log_path.read_bytes())
    finally:
        dns.close(), mx.close()


def test_row_51_not_to_a_next_hop_that_does_not_know_it(mx):
    with Weir(relay_conf(mx)) as w:
        with opened(w) as c:
            c.ok("MAIL FROM:<joe@example.test> SMTPUTF8")
            c.send("RCPT TO:<\u00e9@far.example>\r\n")
            assert c.reply()[0] == 250
            c.ok("DATA", 354)
            c.send(message("utf8") + ".\r\n")
            assert c.reply()[0] == 250
        w.wait_log(r"dsn=5\.6\.7, status=bounced")
        assert mx.messages == []
        assert b"5.6.7" in w.wait_mails("joe")[0]
