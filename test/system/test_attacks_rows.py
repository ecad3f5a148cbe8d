"""Attacks, row by row: sizes, bytes and clocks (see test_attacks.py).

The names say which row of the catalogue a case belongs to.
"""
import json
import re
import time

import pytest

from harness import MEMORY, FakeMX, Weir, message, relay_conf, wait_for
from test_attacks import STRANGERS, begun, calm, opened


# ---- row 1: what ends a message, and only that ----

SMUGGLED = (b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\n"
            b"smuggled\r\n.\r\n")


@pytest.mark.parametrize("eod", [b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\r\n\x00.\x00\r\n",
                                 b"\r\n.\r\x00\n", b"\r\n. \r\n", b"\r\n..\r\n", b"x.\r\n"])
def test_row_01_a_dot_with_something_beside_it_ends_nothing(eod):
    with Weir() as w, begun(w) as c:
        c.ok("DATA", 354)
        c.send(b"Subject: x\r\n\r\nbody" + eod + SMUGGLED)
        code, text = c.reply()
        c.send("NOOP\r\n")
        if b"\r\x00" in eod:
            assert code == 550 and text.startswith("5.5.2"), (code, text)
            assert c.closed() and c.rest == b""
            assert w.queue() == []
            return
        assert code == 250
        # The next reply is that of NOOP: nothing in the body was a command.
        assert c.reply() == (250, "2.0.0 Ok")
        mail = w.wait_mails("u0")[0]
        assert b"smuggled\n" in mail and b"MAIL FROM:<evil" in mail
        assert w.mails("ann") == []


@pytest.mark.parametrize("eod", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r\n.\n", b"\r.\r\n",
                                 b"\r\r\n.\r\r\n"])
def test_row_01_normalised_they_still_end_nothing(eod):
    with Weir({"smtpd_forbid_bare_newline": "normalize"}) as w, begun(w) as c:
        c.ok("DATA", 354)
        c.send(b"Subject: x\r\n\r\nbody" + eod + SMUGGLED + b"NOOP\r\n")
        assert c.reply()[0] == 250
        assert c.reply() == (250, "2.0.0 Ok")
        assert b"MAIL FROM:<evil" in w.wait_mails("u0")[0]
        assert w.mails("ann") == []


@pytest.mark.parametrize("body", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\n.\nb\r\n", b"end\r"])
def test_row_01_bare_newlines_in_bdat(body):
    with Weir() as w, begun(w) as c:
        c.send(b"BDAT %d LAST\r\n" % len(body) + body + b"NOOP\r\n")
        code, text = c.reply()
        assert code == 550 and text.startswith("5.5.2"), (code, text)
        assert w.queue() == [] and w.mails("u0") == []


# ---- row 2: the same, outbound ----

def bare(data):
    return re.search(rb"\r(?!\n)|(?<!\r)\n", data)


@pytest.mark.parametrize("body", [b"a\nb\n.\nc\r\n.\r\n", b"a\rb\r.\rc", b"\n.\n.\n", b"a\r\r\nb", b".", b"..\n"])
def test_row_02_no_bare_newline_leaves(mx, body):
    """Neither from sendmail nor from a client that is normalised."""
    whole = b"Subject: x\n\n" + body
    with Weir(dict(relay_conf(mx), smtpd_forbid_bare_newline="normalize")) as w:
        w.weir("-i", "ann@far.example", name="sendmail", input=whole)
        with opened(w) as c:
            c.ok("MAIL FROM:<a@client.example>")
            c.ok("RCPT TO:<ann@far.example>")
            c.send(b"BDAT %d LAST\r\n" % len(whole) + whole)
            assert c.reply()[0] == 250
        wait_for(lambda: len(mx.messages) == 2, lambda: f"both arrive\n{w.log()[-3000:]}")
        for _, _, data in mx.messages:
            assert not bare(data), data
            # What is a line is one there: nothing ended early.
            text = re.sub(rb"\r\n|\r|\n", b"\n", body).rstrip(b"\n")
            assert data.replace(b"\r\n", b"\n").rstrip(b"\n").endswith(text), data
    assert all(len(m[1]) == 1 for m in mx.messages)


# ---- row 50 ----

def test_row_50_json_lines_are_objects_with_fields():
    with Weir(dict(STRANGERS, log_format="json")) as w:
        with w.client() as c:
            c.ok("EHLO client.example")
            c.send(b'MAIL FROM:<"a\\"{}\\\\"@client.example>\r\n')
            c.reply()
            c.cmd('RCPT TO:<"x,\\"to\\":\\"y"@elsewhere.example>')
            c.cmd("RSET")
            c.send(b"EHLO \x1b[31m\"}\r\n")
            c.reply()
        wait_for(lambda: "disconnect" in w.log(), "the end of the session")
        objects = [json.loads(line) for line in w.log().splitlines() if line.startswith("{")]
        rejects = [o for o in objects if o.get("event") == "reject"]
        assert len(rejects) >= 1, w.log()
        first = rejects[0]
        assert (first["verb"], first["code"], first["dsn"]) == ("RCPT", "554", "5.7.1"), first
        assert first["client_address"] == "127.0.0.1" and first["proto"] == "ESMTP"
        assert first["to"] == '"x,\\"to\\":\\"y"@elsewhere.example', first
        assert first["from"] == '"a\\"{}\\\\"@client.example', first
        assert first["helo"] == "client.example" and first["reply"].startswith("554 5.7.1")
        assert "to" not in {k for o in objects for k in o if o is not first and o.get("event") == "reject"
                            and o["verb"] != "RCPT"}


# ---- rows 7 to 9, 54: sizes ----

def memory(w, *roles):
    """Peak of the resident memory of these roles, in bytes."""
    peak = 0
    for role in roles:
        for pid in w.role_pids(role):
            with open(f"/proc/{pid}/status") as f:
                peak += int(re.search(r"VmHWM:\s+(\d+) kB", f.read()).group(1)) * 1024
    return peak


@pytest.mark.parametrize("size", ["2147483648", "4294967295", "4294967296", "4294967297", "8589934592",
                                  "9223372036854775807"])
def test_row_54_bdat_beyond_32_and_64_bits(size):
    """A chunk is as large as it says: never its low 32 bits."""
    with Weir({"message_size_limit": "20000"}) as w, begun(w) as c:
        c.send(f"BDAT {size} LAST\r\nX: y\r\n\r\nbody\r\nNOOP\r\nQUIT\r\n")
        code, text = c.reply()
        assert code == 552 and text.startswith("5.3.4"), (code, text)
        # What follows is part of the chunk, or the connection is over.
        c.sock.settimeout(1)
        assert c.closed() or c.rest == b"", c.rest
        assert c.rest == b"" or not c.rest.startswith(b"250"), c.rest
        assert w.queue() == []


@pytest.mark.parametrize("size", ["18446744073709551615", "18446744073709551616", "36893488147419103237",
                                  "99999999999999999999", "+5", "5 5", "5x", "-0",
                                  "0x5", "5.0", "1e3", "\u0665"])
def test_row_07_a_chunk_size_is_plain_decimal(size):
    with Weir() as w, begun(w) as c:
        c.send(f"BDAT {size} LAST\r\n")
        code, text = c.reply()
        assert code in (501, 552), (code, text)
        assert w.queue() == []


def test_row_07_zero_and_nothing_after_last():
    with Weir() as w, begun(w) as c:
        c.send(b"BDAT 6\r\nA: b\r\nBDAT 0\r\nBDAT 0 LAST\r\nBDAT 0 LAST\r\nBDAT 3 LAST\r\n.\r\nNOOP\r\n")
        assert [c.reply()[0] for _ in range(3)] == [250, 250, 250]
        assert [c.reply()[0] for _ in range(2)] == [503, 503]
        assert c.reply() == (250, "2.0.0 Ok")
        assert len(w.wait_mails("u0")) == 1


def test_row_07_a_dot_in_a_chunk_is_a_dot():
    with Weir() as w, begun(w) as c:
        chunk = b"Subject: x\r\n\r\na\r\n.\r\nMAIL FROM:<evil@x.example>\r\n..\r\n"
        c.send(b"BDAT %d LAST\r\n" % len(chunk) + chunk + b"NOOP\r\n")
        assert c.reply()[0] == 250 and c.reply() == (250, "2.0.0 Ok")
        assert w.wait_mails("u0")[0].endswith(b"\na\n.\nMAIL FROM:<evil@x.example>\n..\n")


def test_row_07_a_chunk_that_is_too_large_is_swallowed_whole():
    with Weir({"message_size_limit": "20000"}) as w, begun(w) as c:
        c.send(b"BDAT 15000\r\n" + b"x" * 14998 + b"\r\n" + b"BDAT 15000 LAST\r\n" + b"QUIT\r\n" * 2500 + b"NOOP\r\n")
        assert c.reply()[0] == 250
        assert c.reply() == (552, "5.3.4 Error: message too big")
        assert c.reply() == (250, "2.0.0 Ok")
        assert w.queue() == []
        assert c.cmd("DATA")[0] == 503


@pytest.mark.parametrize("length", [515, 1001, 12 * 1024, 64 * 1024 * 1024])
def test_row_08_an_overlong_command_costs_no_memory(length):
    with Weir(dict(STRANGERS, line_length_limit="512")) as w, opened(w) as c:
        before = memory(w, "smtpd")
        line = b"NOOP " + b"x" * (min(length, 1 << 20) - 7)
        left = length - 2
        c.sock.settimeout(30)
        while left > 0:
            n = min(left, len(line))
            c.send(line[:n])
            left -= n
        c.send("\r\nNOOP\r\n")
        code, text = c.reply()
        assert code == 500 and text.startswith("5.5.2"), (code, text)
        assert c.reply() == (250, "2.0.0 Ok")
        assert memory(w, "smtpd") - before < MEMORY * 1024 * 1024


def test_row_08_overlong_commands_end_the_session():
    conf = {"smtpd_hard_error_limit": "5", "smtpd_error_sleep_time": "0"}
    with Weir(conf) as w, opened(w) as c:
        for _ in range(4):
            assert c.cmd("x" * 100000)[0] == 500
        code, text = c.cmd("x" * 100000)
        assert code == 421 and text.startswith("4.7.0") and c.closed()


def test_row_09_one_line_of_thirty_megabytes(mx):
    """Never cut, never folded, never in memory."""
    size = 30 * 1000 * 1000
    with Weir(dict(relay_conf(mx), message_size_limit="50M")) as w:
        w.send("warm@far.example")
        wait_for(lambda: mx.messages, "the first")
        before = memory(w, "smtpd", "queue", "smtp")
        w.send("ann@far.example", body=message("long", "x" * size + "\r\nend\r\n"))
        wait_for(lambda: len(mx.messages) == 2, lambda: w.log()[-2000:])
        data = mx.messages[1][2]
        assert data.endswith(b"\r\n\r\n" + b"x" * size + b"\r\nend\r\n")
        # The log is mapped by nobody; buffers are of fixed size.
        assert memory(w, "smtpd", "queue", "smtp") - before < MEMORY * 6 * 1024 * 1024


# ---- row 10: every byte there is ----

def test_row_10_all_bytes_pass_through_a_body(mx):
    every = bytes(b for b in range(256) if b not in (10, 13))
    body = b"Subject: x\r\nX-Raw: \x80\xff\x7f\x01y\r\n\r\n" + b"".join(
        b"<" + bytes([b]) + b">\r\n" for b in every) + every * 8 + b"\r\n.\r\n\x00\x00\r\n"
    with Weir(dict(relay_conf(mx), smtp_remote_port="25")) as w, opened(w) as c:
        assert c.transaction("a@client.example", ["joe@example.test", "ann@far.example"], body,
                             " BODY=8BITMIME")[0] == 250
        assert w.wait_mails("joe")[0].endswith(body.replace(b"\r\n", b"\n"))
        wait_for(lambda: mx.messages, lambda: w.log()[-2000:])
        assert mx.messages[0][2].endswith(body)


@pytest.mark.parametrize("address", [b"a\x00b", b"a\x1bb", b'"a\x00b"', b'"a\\\x00b"', b'"a\x7fb"', b"a\xffb",
                                     b'"a\x80b"', b'"\xc3\x28"', b"a b", b'"a\tb'])
@pytest.mark.parametrize("verb", [b"MAIL FROM", b"RCPT TO"])
def test_row_10_no_odd_byte_in_an_address(verb, address):
    with Weir() as w, opened(w) as c:
        if verb == b"RCPT TO":
            c.ok("MAIL FROM:<a@client.example>")
        c.send(verb + b":<" + address + b"@example.test>\r\n")
        code, _ = c.reply()
        assert code in (500, 501, 553), code
        c.ok("NOOP")
        raw = w.log_path.read_bytes()
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f-\xff]", raw)


# ---- row 11: who does not wait ----

def test_row_11_a_body_that_was_not_invited():
    """DATA is refused: the lines after it are commands of no meaning, and the
    message in it is nobody's."""
    with Weir(dict(STRANGERS, smtpd_error_sleep_time="0")) as w, opened(w) as c:
        c.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<joe@elsewhere.example>\r\nDATA\r\n"
               b"Subject: x\r\n\r\nRCPT TO:<joe@example.test>\r\n.\r\nNOOP\r\n")
        codes = []
        while not codes or codes[-1] != 250 or len(codes) < 4:
            codes.append(c.reply()[0])
        assert codes[:3] == [250, 554, 554] or codes[:3] == [250, 554, 503], codes
        assert 354 not in codes
        c.cmd("RSET")
        assert w.queue() == []


def test_row_11_a_thousand_commands_at_once_are_answered_in_order():
    with Weir() as w, opened(w) as c:
        before = memory(w, "smtpd")
        c.send(b"".join(b"VRFY u%d\r\nNOOP\r\n" % i for i in range(40)))
        codes = [c.reply()[0] for _ in range(80)]
        assert set(codes[1::2]) == {250} and set(codes[::2]) <= {252, 550, 502, 421}
        assert memory(w, "smtpd") - before < MEMORY * 1024 * 1024


# ---- row 12: recipients ----

def test_row_12_the_same_recipient_a_thousand_times():
    with Weir() as w, opened(w) as c:
        c.ok("MAIL FROM:<a@client.example>")
        before = memory(w, "smtpd", "queue", "lookup")
        for _ in range(20):
            c.send("RCPT TO:<joe@example.test>\r\n" * 100)
            assert {c.reply()[0] for _ in range(100)} <= {250, 452}
        assert memory(w, "smtpd", "queue", "lookup") - before < MEMORY * 2 * 1024 * 1024
        c.ok("DATA", 354)
        c.send(message("many") + ".\r\n")
        assert c.reply()[0] == 250
        w.wait_queue_empty()
        count = len(w.mails("joe"))
        assert 1 <= count <= 1000
        assert w.count_log(r"status=sent") == 1000 or count == 1


# ---- row 13: headers ----

@pytest.mark.parametrize("bomb", ["addresses", "folds", "colons", "one field", "one line", "many fields"])
def test_row_13_the_cost_of_a_header_grows_with_its_length(bomb):
    """Four times the header is about four times the work of smtpd."""
    def header(n):
        return {
            "addresses": "To: " + ",\r\n ".join("u%d@x.example" % i for i in range(n // 16)),
            "folds": "X-F: a" + "\r\n b" * (n // 4),
            "colons": "To: " + "a:" * (n // 2),
            "one field": "X-F: " + "\r\n ".join(["x" * 60] * (n // 63)),
            "one line": "X-F: " + "x" * n,
            "many fields": "\r\n".join("X-%d: y" % i for i in range(n // 10)),
        }[bomb] + "\r\n"

    def work(w, n):
        best = None
        for _ in range(3):
            before = cpu(w, "smtpd")
            with opened(w) as c:
                code, text = c.transaction("a@client.example", "joe@example.test", header(n) + "\r\nx\r\n")
                assert code == 250, (code, text)
            used = cpu(w, "smtpd") - before
            best = used if best is None else min(best, used)
        return best

    conf = {"header_size_limit": "10M", "header_total_size_limit": "20M", "header_count_limit": "1000000",
            "message_size_limit": "50M", "smtpd_processes": "1"}
    with Weir(conf) as w:
        work(w, 100_000)
        small, large = work(w, 1_000_000), work(w, 4_000_000)
        # The clock ticks are coarse: a tick each way.
        assert large <= 8 * (small + 0.02), (small, large)


def cpu(w, role):
    """Seconds of processor time that a role has used."""
    import os
    total = 0
    for pid in w.role_pids(role):
        with open(f"/proc/{pid}/schedstat") as f:
            total += int(f.read().split()[0]) / 1e9
    assert os.sysconf("SC_CLK_TCK")
    return total


def test_row_13_a_header_of_thirty_megabytes_is_cut():
    with Weir({"message_size_limit": "50M", "header_total_size_limit": "64M"}) as w:
        before = memory(w, "smtpd", "queue")
        id = w.send("joe@example.test", body="X-Long: " + "x" * 30_000_000 + "\r\nX-After: y\r\n\r\nbody\r\n")
        mail = w.wait_mails("joe")[0]
        assert len(mail) < 110_000 and mail.endswith(b"X-After: y\n\nbody\n")
        w.wait_log(rf"{id}: .*header_size_limit")
        assert memory(w, "smtpd", "queue") - before < MEMORY * 4 * 1024 * 1024


def test_row_13_a_million_fields():
    with Weir({"message_size_limit": "50M", "header_total_size_limit": "64M"}) as w, begun(w) as c:
        c.ok("DATA", 354)
        c.send(b"X: y\r\n" * 1_000_000 + b"\r\nx\r\n.\r\n")
        code, text = c.reply()
        assert code == 552 and text.startswith("5.3.4"), (code, text)
        c.ok("NOOP")


# ---- row 17: parameters of MAIL and RCPT ----

@pytest.mark.parametrize("params", [
    "SIZE=", "SIZE=18446744073709551616", "SIZE=4294967297x", "SIZE", "SIZE=1e9", "SIZE=0x1", "SIZE=+1",
    "ENVID=a+0", "ENVID=a+0g", "ENVID=a b=c", "ENVID=", "ENVID=a=b", "ENVID=a\x7f", "RET=", "RET",
    "X-UNKNOWN=1", "=1", "AUTH=<>x y", "BODY=BINARYMIME BODY=7BIT", "SMTPUTF8=1", "SMTPUTF8 SMTPUTF8",
    "RET=FULL" + " " * 2000 + "RET=FULL", "ORCPT=rfc822;a@b", "NOTIFY=NEVER",
])
def test_row_17_parameters_of_mail(params):
    with Weir() as w, opened(w) as c:
        code, text = c.cmd(f"MAIL FROM:<a@client.example> {params}")
        assert code in (500, 501, 555), (params, code, text)
        c.ok("NOOP")
        assert c.cmd("RCPT TO:<joe@example.test>")[0] == 503


@pytest.mark.parametrize("params", [
    "NOTIFY=", "NOTIFY=NEVER,DELAY", "NOTIFY=DELAY,DELAY", "NOTIFY=SOON", "NOTIFY=NEVER NOTIFY=NEVER",
    "ORCPT=", "ORCPT=rfc822", "ORCPT=;a", "ORCPT=rfc822;a+0", "ORCPT=rfc822;a b", "ORCPT=rfc822;a=b",
    "ORCPT=" + "x" * 600, "SIZE=1", "RET=FULL", "X=1", "NOTIFY=NEVER,",
])
def test_row_17_parameters_of_rcpt(params):
    with Weir() as w, opened(w) as c:
        c.ok("MAIL FROM:<a@client.example>")
        code, text = c.cmd(f"RCPT TO:<joe@example.test> {params}")
        assert code in (500, 501, 555), (params, code, text)
        assert c.cmd("DATA")[0] in (503, 554)


@pytest.mark.parametrize("command", [
    "MAIL FROM:<joe@example.test> ENVID=a+0D+0AX-Evil:+20yes", "MAIL FROM:<joe@example.test> ENVID=a+00",
    "RCPT TO:<joe@example.test> ORCPT=rfc822;x+0D+0AX-Evil:+20yes@y.example",
    "RCPT TO:<joe@example.test> ORCPT=rfc822;x+1B[31m@y.example",
])
def test_row_17_coded_control_bytes_are_refused(command):
    """They would be lines of the report, or of the log."""
    with Weir() as w, opened(w) as c:
        if command.startswith("RCPT"):
            c.ok("MAIL FROM:<a@client.example>")
        assert c.cmd(command) == (501, "5.5.4 Error: bad parameter")


def send_4g(c, piece, more=b""):
    """4 GiB of the piece, which divides it, and more: what counts in 32 bits
    has counted nothing but that."""
    block = piece * ((1 << 20) // len(piece))
    assert len(block) == 1 << 20
    c.sock.settimeout(300)
    for _ in range(4096):
        c.send(block)
    c.send(more)


@pytest.mark.slow
def test_row_54_a_command_of_four_gibibytes():
    with Weir(dict(STRANGERS, line_length_limit="512")) as w, opened(w) as c:
        before = memory(w, "smtpd")
        send_4g(c, b"x" * 64, b"NOOP\r\nRSET\r\n")
        code, text = c.reply()
        assert code == 500 and text.startswith("5.5.2"), (code, text)
        assert c.reply() == (250, "2.0.0 Ok")
        assert memory(w, "smtpd") - before < MEMORY * 1024 * 1024


@pytest.mark.slow
@pytest.mark.parametrize("where", ["header field", "header", "line", "body"])
def test_row_54_a_message_of_four_gibibytes(where):
    """All of it is read and nothing is taken; the session goes on."""
    begin, piece = {"header field": (b"X: ", b"x" * 64), "header": (b"", b"X-Field: " + b"y" * 53 + b"\r\n"),
                    "line": (b"X: y\r\n\r\n", b"x" * 64),
                    "body": (b"X: y\r\n\r\n", b"y" * 62 + b"\r\n")}[where]
    with Weir({"message_size_limit": "100000"}) as w, begun(w) as c:
        before = memory(w, "smtpd", "queue")
        c.ok("DATA", 354)
        c.send(begin)
        send_4g(c, piece, b"\r\nend\r\n.\r\n")
        code, text = c.reply()
        assert code == 552 and text.startswith("5.3.4"), (code, text)
        assert memory(w, "smtpd", "queue") - before < MEMORY * 4 * 1024 * 1024
        assert w.queue() == []
        assert c.transaction("a@client.example", "joe@example.test", message("small"))[0] == 250


@pytest.mark.parametrize("limit, size, codes", [
    ("4294967296", "4294967296", (250, 452)), ("4294967296", "4294967297", (552,)),
    ("6G", "4294967297", (250, 452)), ("6G", "6442450945", (552,)), ("20000", "4294967297", (552,)),
    ("20000", "4294987296", (552,)), ("20000", "18446744073709551615", (552, 501)),
    ("2147483648", "2147483649", (552,)), ("2147483647", "2147483648", (552,)),
])
def test_row_54_sizes_around_two_and_four_gibibytes(limit, size, codes):
    """No size is taken modulo 2^32: neither the limit's nor the client's."""
    with Weir({"message_size_limit": limit}) as w, w.client() as c:
        bytes_max = {"6G": "6442450944"}.get(limit, limit)
        assert f"SIZE {bytes_max}" in c.ok("EHLO client.example")[1]
        code, text = c.cmd(f"MAIL FROM:<a@client.example> SIZE={size}")
        assert code in codes, (code, text)
        c.cmd("RSET")
        assert c.transaction("a@client.example", "joe@example.test", message("small"))[0] == 250
