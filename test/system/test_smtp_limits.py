"""The rows of the reply table: what happens when a limit is hit."""
import contextlib
import os
import re
import signal
import socket
import time

import pytest

from harness import Client, Image, Weir, message, wait_for
from test_controls import named


def opened(w, **kw):
    c = w.client(**kw)
    c.ok("EHLO client.example")
    return c


@pytest.mark.parametrize("extra, ok", [(-1, True), (0, True), (1, False)])
def test_command_line_length(extra, ok):
    limit = 1024
    with Weir({"line_length_limit": str(limit)}) as w, opened(w) as c:
        line = "NOOP " + "x" * (limit + extra - 5)
        code, text = c.cmd(line)
        assert (code == 250) == ok, (code, text)
        if not ok:
            assert code == 500 and text.startswith("5.5.2")
        c.ok("NOOP")


def test_a_hundred_times_the_command_length_stays_in_step():
    with Weir({"line_length_limit": "512"}) as w, opened(w) as c:
        assert c.cmd("NOOP " + "x" * 51200)[0] == 500
        c.ok("NOOP")


def test_recipients_of_one_message():
    with Weir({"smtpd_recipient_limit": "3"}) as w, opened(w) as c:
        c.ok("MAIL FROM:<a@client.example>")
        for i in range(3):
            c.ok(f"RCPT TO:<u{i}@example.test>")
        code, text = c.cmd("RCPT TO:<u4@example.test>")
        assert (code, text[:5]) == (452, "4.5.3")
        c.ok("DATA", 354)
        c.send(message("three") + ".\r\n")
        assert c.reply()[0] == 250


@pytest.mark.parametrize("extra, code", [(-1, 250), (0, 250), (1, 552)])
def test_message_size_after_the_body(extra, code):
    limit = 20000
    with Weir({"message_size_limit": str(limit)}) as w, opened(w) as c:
        head = message("size", "")
        body = head + "x" * 70 + "\r\n"
        fill = limit + extra - len(body)
        while fill > 80:
            body += "y" * 70 + "\r\n"
            fill -= 72
        body += "z" * (fill - 2) + "\r\n"
        assert len(body) == limit + extra
        got, text = c.transaction("a@client.example", "joe@example.test", body)
        assert got == code, (got, text)
        if code == 552:
            assert text.startswith("5.3.4")
        c.ok("NOOP")


@pytest.mark.parametrize("size, code", [(19999, 250), (20000, 250), (20001, 552)])
def test_message_size_declared(size, code):
    with Weir({"message_size_limit": "20000"}) as w, opened(w) as c:
        got, text = c.cmd(f"MAIL FROM:<a@client.example> SIZE={size}")
        assert got == code, text
        if code == 552:
            assert text.startswith("5.3.4")


@pytest.mark.parametrize("count, code", [(9, 250), (10, 250), (11, 554)])
def test_hop_count(count, code):
    with Weir({"hopcount_limit": "10"}) as w, opened(w) as c:
        body = "Received: from a by b; date\r\n" * count + message("hops")
        got, text = c.transaction("a@client.example", "joe@example.test", body)
        assert got == code, text
        if code == 554:
            assert text.startswith("5.4.6")


@pytest.mark.parametrize("count, code", [(49, 250), (50, 250), (51, 552)])
def test_header_count(count, code):
    with Weir({"header_count_limit": "50"}) as w, opened(w) as c:
        body = "".join(f"X-{i}: y\r\n" for i in range(count)) + "\r\nbody\r\n"
        got, text = c.transaction("a@client.example", "joe@example.test", body)
        assert got == code, text
        if code == 552:
            assert text.startswith("5.3.4")


def test_header_total_size():
    with Weir({"header_total_size_limit": "5000"}) as w, opened(w) as c:
        ok = "".join(f"X-{i:03}: {'y' * 60}\r\n" for i in range(60)) + "\r\nbody\r\n"
        assert c.transaction("a@client.example", "joe@example.test", ok)[0] == 250
        bad = "".join(f"X-{i:03}: {'y' * 60}\r\n" for i in range(80)) + "\r\nbody\r\n"
        assert c.transaction("a@client.example", "joe@example.test", bad)[0] == 552


def test_one_overlong_header_is_cut_and_logged():
    with Weir({"header_size_limit": "1000"}) as w:
        body = ("Subject: first\r\nX-Long: " + "".join("a" * 60 + "\r\n " for _ in range(50))
                + "end\r\nX-After: here\r\n\r\nbody\r\n")
        id = w.send("joe@example.test", body=body)
        mail = w.wait_mails("joe")[0].decode()
        header = mail[mail.index("X-Long:"):mail.index("X-After:")]
        assert len(header) <= 1000 and "X-After: here" in mail and mail.endswith("\nbody\n")
        w.wait_log(rf"{id}: .*header_size_limit")


def test_a_line_of_a_megabyte_is_delivered_unchanged(weir):
    long = "x" * 1000000
    weir.send("joe@example.test", body=message("long", long + "\r\nend\r\n"))
    assert weir.wait_mails("joe")[0].endswith((long + "\nend\n").encode())


def test_hard_error_limit():
    with Weir({"smtpd_hard_error_limit": "4", "smtpd_soft_error_limit": "3",
               "smtpd_error_sleep_time": "0"}) as w, opened(w) as c:
        replies = [c.cmd("XYZZY") for _ in range(4)]
        assert [r[0] // 100 for r in replies[:3]] == [5, 5, 5]
        assert replies[3][0] == 421 and replies[3][1].startswith("4.7.0")
        assert c.closed()


def test_junk_commands_become_errors():
    with Weir({"smtpd_junk_command_limit": "5", "smtpd_hard_error_limit": "3",
               "smtpd_error_sleep_time": "0"}) as w, opened(w) as c:
        codes = []
        for _ in range(20):
            try:
                codes.append(c.cmd("NOOP")[0])
            except (ConnectionError, OSError):
                break
            if codes[-1] == 421:
                break
        assert 421 in codes and 5 <= len(codes) <= 10, codes


def test_idle_timeout():
    with Weir({"smtpd_timeout": "1s"}) as w, opened(w) as c:
        code, text = c.reply()
        assert code == 421 and text.startswith("4.4.2")
        assert c.closed()
        w.wait_log(r"timeout after EHLO from")
        named(w, "smtpd_timeout", r"localhost\[127.0.0.1\]")


def test_session_time_limit():
    with Weir({"smtpd_session_time_limit": "2s", "smtpd_timeout": "60s"}) as w, opened(w) as c:
        got = None
        for _ in range(50):
            c.send("NOOP\r\n")
            got = c.reply()
            if got[0] != 250:
                break
            time.sleep(0.1)
        assert got[0] == 421 and got[1].startswith("4.4.2"), got
        named(w, "smtpd_session_time_limit", r"localhost\[127.0.0.1\]")


@pytest.mark.parametrize("eod", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r\n.\n", b"\r.\r\n"])
def test_row_01_only_crlf_dot_crlf_ends_data(eod):
    """A stray end of data is refused and what follows is never a command."""
    with Weir() as w, opened(w) as c:
        c.ok("MAIL FROM:<a@client.example>")
        c.ok("RCPT TO:<joe@example.test>")
        c.ok("DATA", 354)
        c.send(b"Subject: x\r\n\r\nbody" + eod +
               b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\n"
               b"smuggled\r\n.\r\n")
        code, text = c.reply()
        assert code == 550 and text.startswith("5.5.2"), (code, text)
        assert c.closed()
        assert w.mails("joe") == [] and w.mails("ann") == []
        assert w.queue() == []


def test_row_01_normalise(tmp_path):
    with Weir({"smtpd_forbid_bare_newline": "normalize"}) as w, opened(w) as c:
        c.ok("MAIL FROM:<a@client.example>")
        c.ok("RCPT TO:<joe@example.test>")
        c.ok("DATA", 354)
        c.send(b"Subject: x\r\n\r\none\ntwo\n.\nthree\r\n.\r\n")
        assert c.reply()[0] == 250
        assert w.wait_mails("joe")[0].endswith(b"one\ntwo\n.\nthree\n")


def test_bare_newline_exclusions():
    with Weir({"smtpd_forbid_bare_newline_exclusions": "127.0.0.0/8"}) as w, opened(w) as c:
        c.ok("MAIL FROM:<a@client.example>")
        c.ok("RCPT TO:<joe@example.test>")
        c.ok("DATA", 354)
        c.send(b"Subject: x\r\n\r\none\ntwo\r\n.\r\n")
        assert c.reply()[0] == 250


@pytest.mark.parametrize("chunk, code", [
    (b"BDAT 2147483648 LAST\r\n", 552),
    (b"BDAT 9223372036854775808 LAST\r\n", 5),
    (b"BDAT -1\r\n", 501),
    (b"BDAT 5 LAST LAST\r\nhello", 501),
    (b"BDAT\r\n", 501),
    (b"BDAT 0x10\r\n", 501),
])
def test_row_07_bdat_arguments(chunk, code):
    with Weir() as w, opened(w) as c:
        c.ok("MAIL FROM:<a@client.example>")
        c.ok("RCPT TO:<joe@example.test>")
        c.send(chunk)
        got = c.reply()
        assert got[0] == code or got[0] // 100 == code, got
    assert w.mails("joe") == []


def test_row_07_bdat_without_recipient_swallows_its_octets():
    with Weir() as w, opened(w) as c:
        c.ok("MAIL FROM:<a@client.example>")
        c.send(b"BDAT 12 LAST\r\nQUIT\r\nQUIT\r\n")
        assert c.reply()[0] in (503, 554)
        c.ok("NOOP")


def test_row_07_data_after_bdat():
    with Weir() as w, opened(w) as c:
        c.ok("MAIL FROM:<a@client.example>")
        c.ok("RCPT TO:<joe@example.test>")
        c.send(b"BDAT 5\r\nabc\r\n")
        assert c.reply()[0] == 250
        assert c.cmd("DATA")[0] == 503


@pytest.mark.parametrize("line", [
    b"NOOP \x00\r\n", b"MAIL FROM:<a\x00b@client.example>\r\n", b"EHLO a\x01b\r\n",
    b"RCPT TO:<a\rb@example.test>\r\n", b"\xff\xfe\r\n", b"MAIL FROM:<a\x7f@client.example>\r\n",
])
def test_row_10_control_bytes_in_commands(line):
    with Weir() as w, opened(w) as c:
        c.send(line)
        assert c.reply()[0] in (500, 501, 502, 503, 553), line
        c.ok("NOOP")
        assert "\x00" not in w.log() and "\x01" not in w.log()


def test_row_11_talking_before_the_greeting(weir):
    c = Client(weir.port, greet=False)
    # The greeting may be on its way already; what matters is that the
    # commands are answered in order or refused, never half.
    c.send("EHLO a.example\r\nMAIL FROM:<a@client.example>\r\n")
    codes = []
    try:
        for _ in range(3):
            codes.append(c.reply()[0])
    except ConnectionError:
        pass
    assert codes in ([220, 250, 250], [554], [521], [220, 554], [220, 521]), codes
    c.close()


def test_row_12_recipient_flood(weir):
    with opened(weir) as c:
        c.ok("MAIL FROM:<a@client.example>")
        refused = 0
        for i in range(0, 2000, 100):
            c.send("".join(f"RCPT TO:<u{j}@example.test>\r\n" for j in range(i, i + 100)))
            codes = [c.reply()[0] for _ in range(100)]
            refused += codes.count(452)
            assert set(codes) <= {250, 452}, set(codes)
        assert refused == 1000


@pytest.mark.parametrize("params", [
    "AUTH=<x", "SIZE=-1", "SIZE=1 SIZE=2", "RET=MAYBE", "RET=FULL RET=HDRS", "ENVID=a+zz",
    "ENVID=" + "x" * 200, "BODY=7BIT BODY=8BITMIME",
])
def test_row_17_mail_parameters(params):
    with Weir() as w, opened(w) as c:
        code, text = c.cmd(f"MAIL FROM:<a@client.example> {params}")
        assert code in (501, 555), (params, code, text)
        c.ok("NOOP")


def test_incoming_gate_lets_exactly_the_limit_in():
    """With a limit of 20 the 20th client gets in, whichever socket it hashed to."""
    with Weir({"concurrency_incoming": "20", "unproven_share": "100%",
               "mynetworks": "192.0.2.0/24"}) as w:
        held = [w.client() for _ in range(20)]
        assert {c.greeting[0] for c in held} == {220}
        late = w.client(greet=False, timeout=0.7)
        try:
            code = late.reply()[0]
        except (socket.timeout, TimeoutError):
            code = None
        assert code in (421, None), code
        for c in held:
            c.close()
        late.close()

        def again():
            with w.client() as c:
                return c.greeting[0] == 220
        wait_for(again, "a place after all have left")


def test_unproven_clients_leave_a_share_for_the_proven():
    with Weir({"concurrency_incoming": "10", "unproven_share": "50%",
               "mynetworks": "127.0.0.2/32"}) as w:
        held = [w.client(source="127.0.0.3") for _ in range(5)]
        assert {c.greeting[0] for c in held} == {220}
        with w.client(source="127.0.0.3") as c:
            assert c.greeting[0] == 421 and c.greeting[1].startswith("4.3.2"), c.greeting
        with w.client(source="127.0.0.2") as c:
            assert c.greeting[0] == 220
        for c in held:
            c.close()


def test_queue_minfree_refuses_at_mail():
    with Weir({"queue_minfree": "900000G"}) as w, opened(w) as c:
        code, text = c.cmd("MAIL FROM:<a@client.example>")
        if code == 250:
            c.ok("RCPT TO:<joe@example.test>")
            code, text = c.cmd("DATA")
        assert (code, text[:5]) == (452, "4.3.1")
        c.ok("NOOP")


def test_queue_message_limit(tmp_path):
    with Weir({"queue_message_limit": "2", "defer_transports": "smtp"}) as w, opened(w) as c:
        for i in range(2):
            assert c.transaction("a@client.example", "x@elsewhere.example", message(f"m{i}"))[0] == 250

        def attempt():
            code, text = c.cmd("MAIL FROM:<a@client.example>")
            if code == 250:
                c.ok("RCPT TO:<x@elsewhere.example>")
                code, text = c.cmd("DATA")
                if code == 354:
                    c.send(message("m3") + ".\r\n")
                    code, text = c.reply()
            c.cmd("RSET")
            return code, text
        code, text = attempt()
        assert (code, text[:5]) == (452, "4.3.1")


def test_soft_bounce_turns_5xx_into_4xx():
    with Weir({"soft_bounce": "yes"}) as w, opened(w) as c:
        c.ok("MAIL FROM:<a@client.example>")
        code, text = c.cmd("RCPT TO:<no-such-user@localhost>")
        assert code == 450 and text.startswith("4.1.1"), text


def test_row_50_one_event_is_one_line(weir):
    with weir.client() as c:
        c.send(b"EHLO evil\x1b[31m\r\n")
        c.reply()
        c.ok("EHLO client.example")
        c.ok("MAIL FROM:<a@client.example>")
        c.ok("RCPT TO:<joe@example.test>")
        c.ok("DATA", 354)
        c.send(b"Message-ID: <x\x1b\x07\"{}\xc3\xa9@client.example>\r\n\r\nbody\r\n.\r\n")
        assert c.reply()[0] == 250
    weir.wait_mails("joe")
    raw = weir.log_path.read_bytes()
    assert b"\x1b" not in raw and b"\x07" not in raw and not re.search(rb"[\x80-\xff]", raw)


# ---- what the log says of a limit ----

def refuse_rcpts(c):
    c.ok("MAIL FROM:<a@client.example>")
    for i in range(3):
        c.cmd(f"RCPT TO:<u{i}@example.test>")


def refuse_body(body):
    def talk(c):
        c.transaction("a@client.example", "joe@example.test", body)
    return talk


def errors(c):
    for _ in range(3):
        c.cmd("XYZZY")


@pytest.mark.parametrize("conf, talk, line", [
    ({"smtpd_recipient_limit": "2"}, refuse_rcpts, r"smtpd_recipient_limit \(2\) .*452"),
    ({"message_size_limit": "1000"}, refuse_body("a: b\r\n\r\n" + "x" * 2000), r"message_size_limit \(1000\) .*552"),
    ({"message_size_limit": "1000"}, lambda c: c.cmd("MAIL FROM:<a@client.example> SIZE=1001"),
     r"message_size_limit \(1000\) .*552"),
    ({"header_count_limit": "2"}, refuse_body("a: b\r\n" * 3 + "\r\n"), r"header_count_limit \(2\) .*552"),
    ({"header_total_size_limit": "1000"}, refuse_body(("a: " + "b" * 90 + "\r\n") * 12 + "\r\n"),
     r"header_total_size_limit \(1000\) .*552"),
    ({"hopcount_limit": "2"}, refuse_body("Received: x\r\n" * 3 + "\r\n"), r"hopcount_limit \(2\) .*554"),
    ({"smtpd_hard_error_limit": "3", "smtpd_soft_error_limit": "3"}, errors,
     r"smtpd_hard_error_limit \(3\) .*421"),
    ({"line_length_limit": "512"}, lambda c: c.cmd("NOOP " + "x" * 600), r"line_length_limit \(512\) .*500"),
])
def test_a_limit_that_was_hit_is_named(conf, talk, line):
    with Weir(conf) as w:
        for _ in range(2):
            with opened(w) as c:
                talk(c)
        w.wait_log("warning: limit " + line.replace(
            " .*", r" reached by localhost\[127\.0\.0\.1\]: refused with ") + r" \(1 time\)$")
        w.wait_log(r"reject: ", count=2)
        name = line.split(" ")[0]

        def refused():
            return sum(r["refused"] for r in w.json("limits")["limits"]
                       if r["parameter"] == name and r["role"] == "smtpd")
        wait_for(lambda: refused() >= 2, "two refusals on the page of limits")


def test_a_refusal_at_mail_is_logged():
    """What the driver refuses, not the parser, is a line of the log too."""
    with Weir({"smtpd_client_message_rate_limit": "1", "smtpd_client_recipient_rate_limit": "1",
               "smtpd_client_event_limit_exceptions": ""}) as w, opened(w) as c:
        c.ok("MAIL FROM:<a@client.example>")
        c.ok("RCPT TO:<joe@example.test>")
        assert c.cmd("RCPT TO:<ann@example.test>")[0] == 450
        c.ok("RSET")
        assert c.cmd("MAIL FROM:<b@client.example>")[0] == 450
        w.wait_log(r"NOQUEUE: reject: RCPT from localhost\[127\.0\.0\.1\]: 450 4\.7\.1 .*"
                   r"; from=<a@client\.example> to=<ann@example\.test> proto=ESMTP helo=<client\.example>$")
        w.wait_log(r"NOQUEUE: reject: MAIL from localhost\[127\.0\.0\.1\]: 450 4\.7\.1 .*"
                   r"; from=<b@client\.example> proto=ESMTP helo=<client\.example>$")


# ---- disk space ----

def test_short_from_the_start():
    """MAIL itself is refused where not even an empty message has room."""
    with Weir({"queue_minfree": "900T"}) as w, opened(w) as c:
        code, text = c.cmd("MAIL FROM:<a@client.example>")
        assert (code, text[:5]) == (452, "4.3.1")
        w.wait_log(rf"warning: limit queue_minfree \({900 << 40}\) reached by .*: refused with 452")
        w.wait_log(r"NOQUEUE: reject: MAIL from ")


def test_a_reservation_that_does_not_fit_concerns_nobody_else():
    """Without SIZE= message_size_limit is reserved: that this is too much
    leaves room for a client that says what it brings."""
    with Weir({"queue_size_limit": "100000", "message_size_limit": "80000",
               "concurrency_remote": "0"}) as w, opened(w) as c:
        assert c.transaction("a@client.example", "x@far.example", "s: x\r\n\r\n" + "y" * 30000)[0] == 250
        c.ok("MAIL FROM:<a@client.example>")
        c.ok("RCPT TO:<x@far.example>")
        code, text = c.cmd("DATA")
        assert (code, text[:5]) == (452, "4.3.1")
        c.ok("RSET")
        w.wait_log(r"warning: limit queue_size_limit \(100000\) reached by ")
        for size, want in ((1000, 354), (40000, 354), (79000, 452)):
            c.ok(f"MAIL FROM:<a@client.example> SIZE={size}")
            c.ok("RCPT TO:<x@far.example>")
            code, _ = c.cmd("DATA")
            assert code == want, size
            if code == 354:
                c.send("s: x\r\n\r\ny\r\n.\r\n")
                assert c.reply()[0] == 250
            else:
                c.ok("RSET")
        # The first chunk of a BDAT that has no room is read and dropped.
        c.ok("MAIL FROM:<a@client.example>")
        c.ok("RCPT TO:<x@far.example>")
        c.send("BDAT 12\r\nQUIT\r\nQUIT\r\nNOOP\r\n")
        assert [c.reply()[0], c.reply()[0]] == [452, 250]


def at_data(w, source, extra=""):
    """A client that was asked for a body; and the reply."""
    c = opened(w, source=source)
    c.ok(f"MAIL FROM:<a@client.example>{extra}")
    c.ok("RCPT TO:<joe@example.test>")
    return c, c.cmd("DATA")


def test_strangers_leave_a_share_of_the_disk():
    """They announce nothing, so message_size_limit is reserved for each, and
    send nothing: who is known finds room all the same."""
    with Weir({"queue_size_limit": "50M", "message_size_limit": "10M", "mynetworks": "127.0.0.2/32"}) as w:
        held = [at_data(w, "127.0.0.3") for _ in range(5)]
        assert [code for _, (code, _) in held] == [354] * 3 + [452] * 2, held
        c, reply = at_data(w, "127.0.0.2")
        assert reply[0] == 354, reply
        c.send(message("good") + ".\r\n")
        assert c.reply()[0] == 250
        for c, _ in held:
            c.close()

        def again():
            c, reply = at_data(w, "127.0.0.3")
            c.close()
            return reply[0] == 354
        wait_for(again, "what they had is free again")


def test_bodies_that_strangers_leave_take_nothing_from_the_trusted():
    """Strangers write nearly all of what they may and leave it: dead in the
    log, it is their part until it is free, and they are taken again then."""
    why = Image.why_not("tmpfs")
    if why:
        pytest.skip(why)
    body = ("x" * 998 + "\r\n") * 1900
    with contextlib.closing(Image("tmpfs", 32 << 20)) as image, \
         Weir({"queue_directory": image.path / "queue", "queue_segment_size": "1M", "message_size_limit": "2M",
               "mynetworks": "127.0.0.2/32"}) as w:
        def stranger():
            c, reply = at_data(w, "127.1.0.3")
            if reply[0] != 354:
                c.close()
                return None
            c.send(body)
            return c

        def trusted():
            c, reply = at_data(w, "127.0.0.2", " SIZE=1000")
            assert reply[0] == 354, (reply, w.log()[-2000:])
            c.send(message("good") + ".\r\n")
            assert c.reply()[0] == 250
            c.close()
        held = []
        while len(held) < 32:
            c = stranger()
            trusted()
            if not c:
                break
            held.append(c)
        assert 4 <= len(held) < 32, len(held)
        for c in held:
            c.close()
            trusted()

        def again():
            c = stranger()
            trusted()
            return c and (c.close() or True)
        for _ in range(3):
            wait_for(again, "strangers are taken again")


def test_recipients_wait_for_room_to_ask_lookup():
    """More questions than the channel holds wait for their turn: nobody reads
    451 because others asked as well."""
    with Weir(dict(smtpd_processes="1", mydestination="$myhostname, localhost",
                   smtpd_client_connection_count_limit="0")) as w:
        [lookup] = w.role_pids("lookup")
        clients = [w.client() for _ in range(60)]
        os.kill(lookup, signal.SIGSTOP)
        try:
            long = "s" * 60 + "@" + ".".join(["d" * 60] * 3) + ".example"
            for i, c in enumerate(clients):
                c.ok("EHLO c.example")
                c.ok(f"MAIL FROM:<{long}>")
                c.send("".join(f"RCPT TO:<u{i}-{k}{'x' * 180}@example.test>\r\n" for k in range(20)))
        finally:
            os.kill(lookup, signal.SIGCONT)
        codes = [c.reply()[0] for c in clients for _ in range(20)]
        assert set(codes) == {250}, {x: codes.count(x) for x in set(codes)}


def test_strangers_leave_a_share_of_memory():
    """Who gives a thousand recipients each, and no more, may fill the part of
    memory that strangers have: who is known is served."""
    with Weir({"memory_budget": "32M", "mynetworks": "127.0.0.2/32", "smtpd_processes": "1",
               "concurrency_incoming": "60", "smtpd_client_event_limit_exceptions": "127.0.0.0/8"}) as w:
        held = []
        many = "".join(f"RCPT TO:<{'u' * 200}{i:03}@example.test>\r\n" for i in range(1000)).encode()
        for _ in range(12):
            c = opened(w, source="127.0.0.3")
            held.append(c)
            if c.cmd("MAIL FROM:<a@client.example>")[0] != 250:
                continue
            for at in range(0, len(many), 20000):
                with contextlib.suppress(OSError):
                    c.sock.sendall(many[at:at + 20000])
        row = wait_for(lambda: next((r for r in w.json("limits")["limits"]
                                     if r["name"] == "unproven clients" and r["refused"]), None),
                       lambda: w.weir("limits").out)
        assert row["high_water"] <= row["limit"]
        for i in range(3):
            with opened(w, source="127.0.0.2") as c:
                code, text = c.transaction("a@client.example", "joe@example.test", message(f"good{i}"))
                assert code == 250, (code, text)
        for c in held:
            c.close()


def overload(w):
    return {(r["role"], r["index"]): r["in_use"] for r in w.json("status")["overload"]}


def test_the_ladder_is_climbed_and_left():
    """Strangers fill their share, friends the rest: no new strangers, short
    timeouts for those inside; whoever is local gets in at any time; and when
    it is over it is over."""
    with Weir({"concurrency_incoming": "20", "mynetworks": "127.0.0.2/32", "smtpd_processes": "1",
               "smtpd_timeout": "300s"}) as w:
        assert "overload: none" in w.weir("status").out
        strangers = [w.client(source="127.0.0.3") for _ in range(16)]
        friends = [w.client(source="127.0.0.2") for _ in range(4)]
        wait_for(lambda: overload(w)["smtpd", 0] == 2, lambda: w.weir("status").out)
        w.wait_log(r"limit overload step \(2\) reached by sessions: no new unproven clients")
        assert "overload: smtpd: no new unproven clients" in w.weir("status").out
        # Every place is taken; sendmail, status and queue still work.
        r = w.weir("ann@example.test", name="sendmail", input=b"Subject: local\n\nx\n")
        assert r.returncode == 0
        w.wait_mails("ann")
        w.wait_queue_empty()
        friends.pop().close()
        wait_for(lambda: w.json("status")["gates"][0] is not None and
                 any(g["name"] == "incoming" and g["in_use"] == 19 for g in w.json("status")["gates"]), "one has left")
        for c in friends + strangers[:8]:
            c.close()
        with w.client(source="127.0.0.2") as c:
            assert c.greeting[0] == 220
        wait_for(lambda: overload(w)["smtpd", 0] == 0, lambda: w.weir("status").out)
        w.wait_log(r"overload is over")
        # Those inside had their timeout shortened while it lasted.
        assert strangers[-1].reply()[0] == 421
        w.wait_log(r"limit smtpd_timeout \(300000 ms\) .*127\.0\.0\.3\]: closed with 421 after 10 s, because of overload")
        for c in strangers:
            c.close()


def test_who_earned_his_place_leaves_one_to_the_trusted():
    """One good message makes a stranger proven; with it he may have more than
    the strangers' share, but never all."""
    with Weir({"concurrency_incoming": "20", "unproven_share": "80%", "mynetworks": "127.0.0.2/32"}) as w:
        with opened(w, source="127.0.0.3") as c:
            assert c.transaction("a@client.example", "joe@example.test", message("good"))[0] == 250
            c.cmd("QUIT")
        wait_for(lambda: all(g["in_use"] == 0 for g in w.json("status")["gates"] if g["name"] == "incoming"), "it left")
        held = [w.client(source="127.0.0.3") for _ in range(18)]
        assert {c.greeting[0] for c in held} == {220}
        with w.client(source="127.0.0.3") as c:
            assert c.greeting[0] == 421 and c.greeting[1].startswith("4.3.2"), c.greeting
        with w.client(source="127.0.0.2") as c:
            assert c.greeting[0] == 220
        for c in held:
            c.close()
