"""qmail-queue: descriptors 0 and 1 in, an exit code out."""
import os
import subprocess
import threading

import pytest

from harness import BUILD, DEADLINE, WEIR, Weir, message, wait_for


@pytest.fixture(scope="module")
def server():
    with Weir({"extract_recipient_limit": "3", "message_size_limit": "300000",
               "alias_maps": "", "bounce_format": "qmail"}) as w:
        (w.dir / "bin").mkdir()
        (w.dir / "bin/qmail-queue").symlink_to(WEIR)
        yield w


def envelope(sender, *rcpts):
    return b"F" + sender.encode() + b"\0" + b"".join(b"T" + r.encode() + b"\0" for r in rcpts) + b"\0"


def queue(server, text, env, why=False, in_file=None, close=True, extra=None):
    """(exit code, what came on descriptor 6)"""
    message_pipe, envelope_pipe, why_pipe = os.pipe(), os.pipe(), os.pipe()
    fds = [in_file if in_file is not None else message_pipe[0], envelope_pipe[0], why_pipe[1] if why else -1]

    def place():
        # High first, then where they belong.
        high = [os.dup2(fd, 100 + i, inheritable=True) if fd >= 0 else -1 for i, fd in enumerate(fds)]
        os.dup2(high[0], 0)
        os.dup2(high[1], 1)
        if why:
            os.dup2(high[2], 6)
        os.closerange(100, 110)
        os.closerange(7, 100)
        if not why:
            os.closerange(3, 10)
    p = subprocess.Popen([server.dir / "bin/qmail-queue"], preexec_fn=place, close_fds=False,
                         env={**os.environ, "WEIR_CONF": str(server.conf_path), **(extra or {})})
    os.close(message_pipe[0])
    os.close(envelope_pipe[0])
    os.close(why_pipe[1])

    def write():
        try:
            if in_file is None:
                with os.fdopen(message_pipe[1], "wb") as f:
                    f.write(text)
            if env is not None:
                os.write(envelope_pipe[1], env)
            if close:
                os.close(envelope_pipe[1])
        except BrokenPipeError:
            pass
    t = threading.Thread(target=write)
    t.start()
    code = p.wait(DEADLINE)
    t.join()
    with os.fdopen(why_pipe[0], "rb") as f:
        said = f.read()
    return code, said


def test_a_message_as_it_is(server):
    text = b"From: a@b.example\nBcc: kept@b.example\n\nbody\n.\nmore\n" + b"x" * 100000 + b"\n"
    # Its writer may leave the envelope open: the last NUL ends it.
    assert queue(server, text, envelope("s t@example.test", "ann@example.test", "bob@example.test"), close=False)[0] == 0
    for user in ("ann", "bob"):
        mail = server.wait_mails(user)[0].replace(b"\r\n", b"\n")
        assert mail.endswith(text) and b"\nDate:" not in mail, mail[:500]
        # Nothing is quoted in qmail's envelopes.
        assert b'Return-Path: <"s t"@example.test>' in mail


def test_a_file_from_its_place(server, tmp_path):
    (tmp_path / "m").write_bytes(b"not this\nSubject: s\n\nfrom a file\n")
    with open(tmp_path / "m", "rb") as f:
        os.lseek(f.fileno(), 9, os.SEEK_SET)
        assert queue(server, b"", envelope("", "file@example.test"), in_file=f.fileno())[0] == 0
    assert server.wait_mails("file")[0].replace(b"\r\n", b"\n").endswith(b"Subject: s\n\nfrom a file\n")


def test_more_recipients_than_a_message_may_have(server):
    """And a sender for each of them: VERP."""
    rcpts = [f"many{i}@example.test" for i in range(8)]
    assert queue(server, b"\nx\n", envelope("list@l.example", *rcpts))[0] == 0
    assert all(len(server.wait_mails(f"many{i}")) == 1 for i in range(8))
    rcpts = [f"verp{i}@example.test" for i in range(2)]
    assert queue(server, b"\nx\n", envelope("l-@l.example-@[]", *rcpts))[0] == 0
    for i in range(2):
        assert f"Return-Path: <l-verp{i}=example.test@l.example>".encode() in server.wait_mails(f"verp{i}")[0]


def test_who_is_unknown_is_told_the_sender(server):
    """One bad recipient is no failure: the others get it, the sender a report."""
    code, _ = queue(server, b"Subject: s\n\nx\n",
                    envelope("sender@example.test", "fine@example.test", "no-such-user@localhost"))
    assert code == 0
    assert len(server.wait_mails("fine")) == 1
    assert b"no-such-user@" in server.wait_mails("sender")[0]


ROWS = [
    ("no end of the envelope", b"Fa@b\0Tc@d\0", 54),
    ("no envelope", b"", 54),
    ("no sender", b"Tc@d\0\0", 91),
    ("two senders", b"Fa@b\0Fc@d\0\0", 91),
    ("garbage", b"GET / HTTP/1.0\r\n\r\n", 91),
    ("an address that is too long", b"Fa@b\0T" + b"x" * 1004 + b"\0\0", 11),
    ("an address with a line end", b"Fa@b\0Tc\n@d\0\0", 31),
    ("no recipient", b"Fa@b\0\0", 0),
]


@pytest.mark.parametrize("why,env,code", ROWS, ids=lambda v: v if isinstance(v, str) else "")
def test_exit_codes(server, why, env, code):
    before = server.count_log("message-id")
    assert queue(server, b"\nx\n", env)[0] == code
    assert server.count_log("message-id") == before


def test_text_on_descriptor_6(server):
    big = b"Subject: big\n\n" + b"x" * 70 + b"\n"
    big += (b"x" * 70 + b"\n") * 5000
    code, said = queue(server, big, envelope("s@c.example", "big@example.test"), why=True)
    assert (code, said) == (82, b"Dmessage larger than message_size_limit (#5.3.0)")
    assert queue(server, big, envelope("s@c.example", "big@example.test"))[0] == 31
    assert queue(server, b"\nx\n", envelope("s@c.example", "big@example.test"), why=True) == (0, b"")


def test_other_failures(server, tmp_path):
    """No configuration; nowhere to write; a writer that dies before the envelope."""
    env = envelope("s@c.example", "ann@example.test")
    (tmp_path / "bad.conf").write_text("no_such_thing = 1\n")
    assert queue(server, b"\nx\n", env, extra={"WEIR_CONF": str(tmp_path / "bad.conf")})[0] == 55
    assert queue(server, b"\nx\n", env, extra={"TMPDIR": str(tmp_path / "none")})[0] == 53
    assert queue(server, b"\nhalf", None)[0] == 54


def test_while_no_server_runs():
    """Kept in the drop directory, delivered when there is one."""
    with Weir() as w:
        (w.dir / "bin").mkdir()
        (w.dir / "bin/qmail-queue").symlink_to(WEIR)
        w.stop()
        assert queue(w, b"Subject: late\n\nx\n", envelope("s@c.example", "late@example.test"))[0] == 0
        w.start()
        assert b"Subject: late" in w.wait_mails("late")[0]
