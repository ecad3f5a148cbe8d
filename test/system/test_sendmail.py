"""The sendmail command, with the server up and down."""
import os
import re
import subprocess

import pytest

from harness import WEIR, Weir, wait_for


def sendmail(w, *args, input, check=True, **kw):
    return w.weir(*args, name="sendmail", input=input if isinstance(input, bytes) else input.encode(),
                  check=check, **kw)


def test_plain(weir):
    sendmail(weir, "joe@example.test", input="Subject: hi\n\nbody\n")
    mail = weir.wait_mails("joe")[0].decode()
    assert "Subject: hi\n" in mail and mail.endswith("\n\nbody\n")
    for field in ("From", "Date", "Message-Id"):
        assert re.search(rf"^{field}: ", mail, re.M | re.I), (field, mail)


def test_given_fields_stay(weir):
    sendmail(weir, "joe@example.test",
             input="From: Me <me@x.example>\nDate: Sun, 22 Nov 2026 08:55:57 +0000\n"
                   "Message-ID: <mine@x.example>\n\nbody\n")
    mail = weir.wait_mails("joe")[0].decode()
    assert mail.count("Date:") == 1 and mail.lower().count("message-id:") == 1
    assert "From: Me <me@x.example>\n" in mail


def test_recipients_from_the_header(weir):
    sendmail(weir, "-t", input="To: Joe <joe@example.test>,\n  \"Doe, Ann\" <ann@example.test>\n"
             "Cc: group: bob@example.test, eve@example.test;\nBcc: secret@example.test\n"
             "Subject: t\n\nbody\n")
    for user in ("joe", "ann", "bob", "eve", "secret"):
        assert b"secret" not in weir.wait_mails(user)[0].split(b"\n\n")[0].replace(
            b"Delivered-To: secret@example.test", b"")


def test_a_lone_dot_ends_the_input_without_i(weir):
    sendmail(weir, "joe@example.test", input="Subject: x\n\none\n.\ntwo\n")
    assert weir.wait_mails("joe")[0].endswith(b"\none\n")
    sendmail(weir, "-i", "ann@example.test", input="Subject: x\n\none\n.\ntwo\n")
    assert weir.wait_mails("ann")[0].endswith(b"\none\n.\ntwo\n")
    sendmail(weir, "-oi", "bob@example.test", input="Subject: x\n\none\n.\ntwo\n")
    assert weir.wait_mails("bob")[0].endswith(b"\none\n.\ntwo\n")


def test_sender_and_full_name(weir):
    sendmail(weir, "-f", "boss@x.example", "-F", "The Boss", "joe@example.test", input="\nbody\n")
    mail = weir.wait_mails("joe")[0].decode()
    assert mail.startswith("Return-Path: <boss@x.example>\n")
    assert "The Boss" in mail and "boss@x.example" in mail
    sendmail(weir, "-f", "<>", "ann@example.test", input="\nbody\n")
    assert weir.wait_mails("ann")[0].startswith(b"Return-Path: <>\n")


def test_smtp_on_standard_input(weir):
    r = sendmail(weir, "-bs", input="EHLO a.example\r\nMAIL FROM:<a@b.example>\r\n"
                 "RCPT TO:<joe@example.test>\r\nDATA\r\nSubject: bs\r\n\r\nx\r\n.\r\nQUIT\r\n")
    assert r.out.startswith("220 ") and "queued as" in r.out
    weir.wait_mails("joe")


def test_mailq_face(weir):
    assert "Mail queue is empty" in sendmail(weir, "-bp", input="").out
    for words in (["-C", weir.conf_path], [f"-C{weir.conf_path}"], ["-v", "-C", weir.conf_path]):
        r = subprocess.run([WEIR, "mailq", *words], capture_output=True, text=True, timeout=60)
        assert (r.returncode, r.stdout) == (0, "Mail queue is empty\n"), (words, r)


@pytest.mark.parametrize("args, code", [
    ((), 64), (("-t",), 65), (("-bd",), 64), (("-Z",), 64),
])
def test_exit_codes(weir, args, code):
    r = sendmail(weir, *args, input="Subject: x\n\nno recipients\n", check=False)
    assert r.returncode == code or (code == 65 and r.returncode in (64, 65)), (args, r.returncode, r.err)
    assert r.err


def test_too_big(mx):
    with Weir({"message_size_limit": "2000"}) as w:
        r = sendmail(w, "joe@example.test", input="Subject: x\n\n" + "x" * 70 + "\n" * 3000, check=False)
        assert r.returncode == 65, (r.returncode, r.err)


def test_extract_recipient_limit():
    with Weir({"extract_recipient_limit": "3"}) as w:
        to = lambda n: "To: " + ", ".join(f"u{i}@example.test" for i in range(n)) + "\n\nx\n"
        assert sendmail(w, "-t", input=to(3)).returncode == 0
        r = sendmail(w, "-t", input=to(4), check=False)
        assert r.returncode == 65 and "extract_recipient_limit" in r.err
        w.wait_mails("u2")
        assert len(w.mails("u0")) == 1


def test_row_48_options_and_control_bytes(weir):
    r = sendmail(weir, "-f", "a@b.example\nBcc: x@example.test", "joe@example.test", input="\nx\n", check=False)
    assert r.returncode != 0
    sendmail(weir, "--", "-joe@example.test", input="\nx\n", check=False)
    r = sendmail(weir, "joe@example.test\r\nRCPT TO:<eve@example.test>", input="\nx\n", check=False)
    assert r.returncode != 0
    assert weir.mails("eve") == []


def test_while_the_server_is_down():
    with Weir() as w:
        w.stop()
        r = sendmail(w, "joe@example.test", input="Subject: down\n\nbody\n")
        assert r.returncode == 0
        assert list((w.dir / "queue" / "drop").iterdir())
        w.start()
        assert b"Subject: down\n" in w.wait_mails("joe")[0]
        wait_for(lambda: not [p for p in (w.dir / "queue" / "drop").iterdir() if p.is_file()],
                 "the drop directory is empty")


def test_long_lines_and_bare_cr(weir):
    long = "x" * 100000
    sendmail(weir, "joe@example.test", input=f"Subject: long\n\n{long}\nend\n")
    assert weir.wait_mails("joe")[0].endswith(f"\n{long}\nend\n".encode())
