"""Attacks, row by row: sizes, bytes and clocks (see test_attacks.py).

The names say which row of the catalogue a case belongs to.
"""
import json
import re
import time

import pytest

from harness import FakeMX, Weir, message, relay_conf, wait_for
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
