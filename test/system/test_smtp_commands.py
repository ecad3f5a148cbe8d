"""Every command of SMTP, its replies and its order (RFC 5321, 1869 ff.)."""
import re

import pytest

from harness import Client, Weir, message, relay_conf


def test_greeting_names_the_host(weir):
    with weir.client() as c:
        assert c.greeting == (220, "mx.test.example ESMTP Weir")


def test_ehlo_keywords(weir):
    with weir.client() as c:
        code, text = c.cmd("EHLO client.example")
        lines = text.split("\n")
        assert code == 250 and lines[0].startswith("mx.test.example")
        assert {"PIPELINING", "SIZE 10240000", "8BITMIME", "CHUNKING", "SMTPUTF8", "DSN",
                "ENHANCEDSTATUSCODES"} <= set(lines)


def test_helo(weir):
    with weir.client() as c:
        code, text = c.cmd("HELO client.example")
        assert code == 250 and "\n" not in text


@pytest.mark.parametrize("line, code, status", [
    ("NOOP", 250, "2.0.0"),
    ("NOOP with words", 250, "2.0.0"),
    ("RSET", 250, "2.0.0"),
    ("HELP", 214, "2.0.0"),
    ("VRFY someone", 252, "2.0.0"),
    ("QUIT", 221, "2.0.0"),
    ("noop", 250, "2.0.0"),
    ("DATA", 503, "5.5.1"),
    ("RCPT TO:<joe@example.test>", 503, "5.5.1"),
    ("BDAT 0 LAST", 503, "5.5.1"),
    ("MAIL FROM:joe@example.test>", 501, "5."),
    ("MAIL FROM:<joe@example.test", 501, "5."),
    ("MAIL TO:<joe@example.test>", 501, "5."),
    ("MAIL", 501, "5."),
    ("MAIL FROM:<a@b.example> SIZE=-1", 501, "5."),
    ("MAIL FROM:<a@b.example> SIZE=99999999999999999999", 5, "5."),
    ("MAIL FROM:<a@b.example> SIZE=10240001", 552, "5.3.4"),
    ("MAIL FROM:<a@b.example> BODY=9BIT", 501, "5."),
    ("MAIL FROM:<a@b.example> NONSENSE=1", 555, "5.5.4"),
    ("EHLO", 501, "5.5.4 Syntax: EHLO hostname"),
    ("HELO", 501, "5.5.4 Syntax: HELO hostname"),
    ("XYZZY", 5, "5.5"),
    ("EXPN list", 502, "5.5.1"),
    ("STARTTLS", 502, "5.5.1"),
    ("AUTH PLAIN", 5, "5.5.1"),
    ("", 500, "5.5.2"),
])
def test_one_command(weir, line, code, status):
    with weir.client() as c:
        if not line.startswith(("EHLO", "HELO")):
            c.ok("EHLO client.example")
        got, text = c.cmd(line)
        assert got == code or got // 100 == code, (got, text)
        assert text.startswith(status), (got, text)
        if not line.startswith("QUIT"):
            c.ok("NOOP")


@pytest.mark.parametrize("path, ok", [
    ("<>", True),
    ("<joe@client.example>", True),
    ("<@relay.example,@other.example:joe@client.example>", True),
    ('<"joe doe"@client.example>', True),
    (r'<"joe\"doe"@client.example>', True),
    ("<joe@[192.0.2.1]>", True),
    ("<joe@[IPv6:2001:db8::1]>", True),
    ("<joe+tag@client.example>", True),
    ("<joe..doe@client.example>", False),
    ("<.joe@client.example>", False),
    ("<joe@client..example>", False),
    ("<joe@-client.example>", False),
    ("<joe@>", False),
    ("<@client.example>", False),
    ("<joe@[300.1.1.1]>", False),
    ("<joe doe@client.example>", False),
    ("<joe@client.example> junk", False),
    ("<" + "a" * 64 + "@client.example>", True),
    ("<" + "a" * 600 + "@client.example>", False),
])
def test_sender_paths(weir, path, ok):
    with weir.client() as c:
        c.ok("EHLO client.example")
        code, text = c.cmd(f"MAIL FROM:{path}")
        assert (code == 250) == ok, (path, code, text)
        if not ok:
            assert code // 100 == 5


def test_a_nested_mail_is_refused(weir):
    with weir.client() as c:
        c.ok("EHLO client.example")
        c.ok("MAIL FROM:<a@client.example>")
        assert c.cmd("MAIL FROM:<a@client.example>")[0] == 503


def test_rset_forgets_the_transaction(weir):
    with weir.client() as c:
        c.ok("EHLO client.example")
        c.ok("MAIL FROM:<a@client.example>")
        c.ok("RCPT TO:<joe@example.test>")
        c.ok("RSET")
        assert c.cmd("DATA")[0] == 503
        c.ok("MAIL FROM:<a@client.example>")


def test_ehlo_forgets_the_transaction(weir):
    with weir.client() as c:
        c.ok("EHLO client.example")
        c.ok("MAIL FROM:<a@client.example>")
        c.ok("EHLO client.example")
        assert c.cmd("RCPT TO:<joe@example.test>")[0] == 503


def test_data_without_a_valid_recipient(weir):
    with weir.client() as c:
        c.ok("EHLO client.example")
        c.ok("MAIL FROM:<a@client.example>")
        assert c.cmd("RCPT TO:<nobody-here@localhost>")[0] == 550
        assert c.cmd("DATA")[0] in (503, 554)


def test_a_message_is_delivered_whole(weir):
    body = "Line one\r\n.leading dot\r\n..two dots\r\n\r\nlast\r\n"
    id = weir.send("joe@example.test", body=message("whole", body))
    mail = weir.wait_mails("joe")[0].decode()
    assert mail.endswith("Line one\n.leading dot\n..two dots\n\nlast\n")
    assert mail.startswith("Return-Path: <sender@client.example>\nDelivered-To: joe@example.test\n")
    received = mail[mail.index("Received:"):mail.index("From:")]
    assert "from client.example" in received and "[127.0.0.1]" in received
    assert "by mx.test.example" in received and f"id {id}" in received and "ESMTP" in received
    assert "for <joe@example.test>" in received


def test_pipelining_answers_in_order(weir):
    with weir.client() as c:
        c.send("EHLO client.example\r\n")
        c.reply()
        c.send("MAIL FROM:<a@client.example>\r\nRCPT TO:<joe@example.test>\r\n"
               "RCPT TO:<unknown@localhost>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\n")
        assert [c.reply()[0] for _ in range(5)] == [250, 250, 550, 250, 354]
        c.send(message("pipelined") + ".\r\nQUIT\r\n")
        assert c.reply()[0] == 250
        assert c.reply()[0] == 221
        assert c.closed()
    weir.wait_mails("joe")
    weir.wait_mails("ann")


def test_the_same_dialogue_byte_by_byte(weir):
    with weir.client() as c:
        text = ("EHLO client.example\r\nMAIL FROM:<a@client.example>\r\n"
                "RCPT TO:<joe@example.test>\r\nDATA\r\n")
        for ch in text:
            c.send(ch)
        assert [c.reply()[0] for _ in range(4)] == [250, 250, 250, 354]
        for ch in message("bytes", ".\r\n..\r\nx\r\n").replace("\r\n.", "\r\n..") + ".\r\n":
            c.send(ch)
        assert c.reply()[0] == 250
    assert weir.wait_mails("joe")[0].endswith(b"\n.\n..\nx\n")


def test_several_transactions_on_one_connection(weir):
    with weir.client() as c:
        c.ok("EHLO client.example")
        for i in range(5):
            code, text = c.transaction("a@client.example", "joe@example.test", message(f"n{i}"))
            assert code == 250 and re.match(r"2\.0\.0 Ok: queued as \d+$", text), text
    assert len(weir.wait_mails("joe", 5)) == 5


def test_bdat_in_chunks(weir):
    text = message("bdat", "first\r\n.\r\nsecond\r\n").encode()
    with weir.client() as c:
        c.ok("EHLO client.example")
        c.ok("MAIL FROM:<a@client.example> BODY=8BITMIME")
        c.ok("RCPT TO:<joe@example.test>")
        for i in range(0, len(text), 20):
            part = text[i:i + 20]
            c.send(b"BDAT %d\r\n" % len(part) + part)
            assert c.reply()[0] == 250
        code, reply = c.cmd("BDAT 0 LAST")
        assert code == 250 and "queued as" in reply
    assert weir.wait_mails("joe")[0].endswith(b"first\n.\nsecond\n")


def test_bdat_pipelined_with_everything(weir):
    text = message("bdat2", "x\r\n").encode()
    with weir.client() as c:
        c.ok("EHLO client.example")
        c.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<joe@example.test>\r\n"
               b"BDAT %d LAST\r\n" % len(text) + text + b"NOOP\r\n")
        assert [c.reply()[0] for _ in range(4)] == [250, 250, 250, 250]
    weir.wait_mails("joe")


def test_eight_bit_and_utf8(weir):
    body = "Grüße, 漢字\r\n"
    with weir.client() as c:
        c.ok("EHLO client.example")
        code, _ = c.transaction("söme@client.example", "joe@example.test",
                                message("utf8", body).encode(), " BODY=8BITMIME SMTPUTF8")
        assert code == 250
        assert c.cmd("MAIL FROM:<söme@client.example>")[0] // 100 == 5
    assert "Grüße, 漢字\n" in weir.wait_mails("joe")[0].decode()


def test_dsn_parameters_are_accepted(weir):
    with weir.client() as c:
        c.ok("EHLO client.example")
        c.ok("MAIL FROM:<a@client.example> RET=HDRS ENVID=QQ314159")
        c.ok("RCPT TO:<joe@example.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;joe@example.test")
        assert c.cmd("RCPT TO:<ann@example.test> NOTIFY=NEVER,SUCCESS")[0] == 501
        assert c.cmd("RCPT TO:<ann@example.test> ORCPT=joe")[0] == 501
        assert c.cmd("RCPT TO:<ann@example.test> NOTIFY=SOMETIMES")[0] == 501


def test_null_sender(weir):
    weir.send("joe@example.test", sender="")
    assert weir.wait_mails("joe")[0].startswith(b"Return-Path: <>\n")


def test_postmaster_without_domain_is_always_accepted(weir):
    weir.send(["postmaster", "PostMaster@example.test", "postmaster@mx.test.example"])


def test_unknown_local_user(weir):
    with weir.client() as c:
        c.ok("EHLO client.example")
        c.ok("MAIL FROM:<a@client.example>")
        code, text = c.cmd("RCPT TO:<no-such-user-here@localhost>")
        assert code == 550 and text.startswith("5.1.1 <no-such-user-here@localhost>"), text
    weir.wait_log(r"NOQUEUE: reject: RCPT from \S+\[127\.0\.0\.1\]: 550 5\.1\.1 .*"
                  r"; from=<a@client\.example> to=<no-such-user-here@localhost> "
                  r"proto=ESMTP helo=<client\.example>")


def test_relay_is_denied_outside_mynetworks():
    with Weir({"mynetworks": "192.0.2.0/24"}) as w, w.client() as c:
        c.ok("EHLO client.example")
        c.ok("MAIL FROM:<a@client.example>")
        for rcpt in ("victim@elsewhere.example", "victim%elsewhere.example@mx.test.example",
                     '"victim@elsewhere.example"@mx.test.example',
                     "elsewhere.example!victim@mx.test.example",
                     "victim@[192.0.2.7]"):
            code, text = c.cmd(f"RCPT TO:<{rcpt}>")
            assert code in (550, 553, 554, 501), (rcpt, code, text)
        code, text = c.cmd("RCPT TO:<victim@elsewhere.example>")
        assert (code, text) == (554, "5.7.1 <victim@elsewhere.example>: Relay access denied")
        c.ok("RCPT TO:<joe@example.test>")


def test_a_source_route_is_stripped():
    with Weir({"mynetworks": "192.0.2.0/24"}) as w, w.client() as c:
        c.ok("EHLO client.example")
        c.ok("MAIL FROM:<a@client.example>")
        c.ok("RCPT TO:<@elsewhere.example:joe@example.test>")
        assert c.cmd("RCPT TO:<@example.test:joe@elsewhere.example>")[0] == 554


def test_relay_domains_are_accepted_from_anywhere(mx):
    conf = dict(relay_conf(mx), mynetworks="192.0.2.0/24", relay_domains="inside.example")
    with Weir(conf) as w:
        w.send("joe@inside.example")
        w.wait_log(r"to=<joe@inside\.example>.*status=sent")


def test_log_lines_of_a_session(weir):
    with weir.client() as c:
        c.ok("EHLO client.example")
        code, text = c.transaction("a@client.example", "joe@example.test", message("logged"))
        id = text.rsplit(" ", 1)[1]
        c.cmd("QUIT")
    tag = r"weir/smtpd\[\d+\]: "
    weir.wait_log(tag + r"connect from \S+\[127\.0\.0\.1\]$")
    weir.wait_log(tag + id + r": client=\S+\[127\.0\.0\.1\]")
    weir.wait_log(id + r": message-id=<logged@client\.example>$")
    weir.wait_log(id + r": from=<a@client\.example>, size=\d+, nrcpt=1 \(queue active\)$")
    weir.wait_log(id + r": to=<joe@example\.test>, relay=virtual, delay=[\d.]+, "
                  r"delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+, dsn=2\.0\.0, "
                  r"status=sent \(delivered to maildir\)$")
    weir.wait_log(id + r": removed$")
    weir.wait_log(tag + r"disconnect from \S+\[127\.0\.0\.1\] ehlo=1 mail=1 rcpt=1 data=1 "
                  r"quit=1 commands=5$")


def test_lmtp_has_a_reply_for_each_recipient():
    with Weir({"lmtp_listen": "unix:$queue_directory/lmtp"}) as w:
        with Client(0, path=w.dir / "queue" / "lmtp") as c:
            assert c.greeting[0] == 220
            assert c.cmd("EHLO client.example")[0] == 500 or c.cmd("EHLO client.example")[0] == 502
            c.ok("LHLO client.example")
            c.ok("MAIL FROM:<a@client.example>")
            c.ok("RCPT TO:<joe@example.test>")
            assert c.cmd("RCPT TO:<nobody-here@localhost>")[0] == 550
            c.ok("RCPT TO:<ann@example.test>")
            c.ok("DATA", 354)
            c.send(message("lmtp") + ".\r\n")
            assert c.reply()[0] == 250
            assert c.reply()[0] == 250
            c.ok("NOOP")
        w.wait_mails("joe")
        w.wait_mails("ann")


STATES = {
    "before HELO": (),
    "after EHLO": ("EHLO c.example",),
    "after MAIL": ("EHLO c.example", "MAIL FROM:<a@c.example>"),
    "after a refused RCPT": ("EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<nobody-here@localhost>"),
    "after RCPT": ("EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<joe@example.test>"),
    "between chunks": ("EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<joe@example.test>",
                       "BDAT 6\r\na: b\r\n"),
}
#: verb: the reply in each state, in the order above.
ORDER = {
    "HELO c.example": (250, 250, 250, 250, 250, 250),
    "EHLO c.example": (250, 250, 250, 250, 250, 250),
    "MAIL FROM:<a@c.example>": (503, 250, 503, 503, 503, 503),
    "RCPT TO:<joe@example.test>": (503, 503, 250, 250, 250, 503),
    "DATA": (503, 503, 503, 554, 354, 503),
    "BDAT 6 LAST\r\na: b\r\n": (503, 503, 503, 554, 250, 250),
    "RSET": (250,) * 6,
    "NOOP": (250,) * 6,
    "HELP": (214,) * 6,
    "VRFY joe": (252,) * 6,
    "QUIT": (221,) * 6,
    "EXPN joe": (502,) * 6,
    "FOO": (500,) * 6,
}


@pytest.mark.parametrize("pipelined", [False, True])
def test_every_verb_in_every_state(weir, pipelined):
    for verb, codes in ORDER.items():
        for (state, before), code in zip(STATES.items(), codes):
            with weir.client() as c:
                if pipelined:
                    c.send("".join(b if b.endswith("\n") else b + "\r\n" for b in before))
                for b in before:
                    if not pipelined:
                        c.send(b if b.endswith("\n") else b + "\r\n")
                    c.reply()
                c.send(verb if verb.endswith("\n") else verb + "\r\n")
                got = c.reply()
                assert got[0] == code, (verb, state, got)
                if code == 354:
                    c.send("a: b\r\n\r\nbody\r\n.\r\n")
                    assert c.reply()[0] == 250
                if code != 221:
                    c.ok("NOOP")
