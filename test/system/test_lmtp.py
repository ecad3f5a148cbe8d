"""Mail to LMTP servers: next hops, replies for each recipient, hostile ones."""
import contextlib
import mailbox
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import pytest

from harness import DEADLINE, FAST_RETRY, NOBODY, FakeMX, Weir, message, wait_for


@contextlib.contextmanager
def sockets():
    """A directory for sockets that is none of the server's own."""
    d = pathlib.Path(tempfile.mkdtemp(prefix="weir-lmtp-"))
    d.chmod(0o755)
    try:
        yield d
    finally:
        shutil.rmtree(d)


@contextlib.contextmanager
def served(script=None, conf=None, **kw):
    """A server whose virtual_transport is an LMTP server on a unix socket."""
    with sockets() as d:
        mx = FakeMX(script, lmtp=True, path=d / "lmtp", **kw)
        try:
            with Weir({"virtual_transport": f"lmtp:unix:{d}/lmtp", "virtual_mailbox_maps": None,
                       "virtual_mailbox_base": None, **FAST_RETRY, **(conf or {})}) as w:
                w.mx, w.path = mx, f"{d}/lmtp"
                yield w
        finally:
            mx.close()


def test_a_unix_socket_anywhere():
    with served() as w:
        id = w.send("ann@example.test", body=message("lmtp", ".\r\n..\r\nend\r\n"))
        w.wait_log(rf"{id}: to=<ann@example\.test>, relay=mx\.test\.example\[{w.path}\], "
                   r"delay=[\d.]+, delays=[\d./]+, dsn=2\.0\.0, status=sent \(250 2\.0\.0 taken\)$")
        w.wait_log(rf"{id}: removed$")
        sender, rcpts, data = w.mx.messages[0]
        assert sender.startswith("FROM:<sender@client.example>")
        assert rcpts == ["TO:<ann@example.test>"]
        assert data.startswith(b"Received:") and data.endswith(b"\r\n.\r\n..\r\nend\r\n")
        assert w.mx.commands[0] == "LHLO mx.test.example"


def test_a_socket_below_queue_directory():
    with Weir({"virtual_transport": "lmtp:unix:private/lmtp", "virtual_mailbox_maps": None,
               **FAST_RETRY}, start=False) as w:
        private = w.data / "queue" / "private"
        private.mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(private.parent, w.owner, w.owner)
        private.chmod(0o755)
        mx = FakeMX(lmtp=True, path=private / "lmtp")
        try:
            w.start()
            w.send("ann@example.test")
            w.wait_log(r"relay=mx\.test\.example\[private/lmtp\], .*status=sent")
        finally:
            mx.close()


@pytest.mark.parametrize("hop", ["inet:127.0.0.1:PORT", "127.0.0.1:PORT", "inet:[127.0.0.1]"])
def test_inet(hop):
    mx = FakeMX(lmtp=True)
    try:
        with Weir({"virtual_transport": f"lmtp:{hop.replace('PORT', str(mx.port))}",
                   "virtual_mailbox_maps": None, "lmtp_tcp_port": str(mx.port),
                   "lmtp_lhlo_name": "other.test.example"}) as w:
            w.send("ann@example.test")
            w.wait_log(rf"relay=127\.0\.0\.1\[127\.0\.0\.1\]:{mx.port}, .*status=sent")
            assert mx.commands[0] == "LHLO other.test.example"
    finally:
        mx.close()


def test_transport_maps_and_the_users_of_the_system():
    with sockets() as d:
        mx = FakeMX(lmtp=True, path=d / "s")
        try:
            with Weir({"mailbox_transport": f"lmtp:unix:{d}/s",
                       "fallback_transport": f"lmtp:unix:{d}/s",
                       "transport_maps": f"inline:{{ far.example = lmtp:unix:{d}/s }}"}) as w:
                w.send("nobody@localhost", subject="user")
                w.send("no-such-user@localhost", subject="fallback")
                w.send("ann@far.example", subject="table")
                w.send("joe@example.test", subject="mailbox")
                w.wait_log(r"status=sent", count=4)
                assert sorted(m[1][0] for m in mx.messages) == [
                    "TO:<ann@far.example>", "TO:<no-such-user@localhost>",
                    "TO:<nobody@localhost>"]
                assert len(w.mails("joe")) == 1
        finally:
            mx.close()


def test_existence_is_known_at_rcpt():
    with served(conf={"virtual_mailbox_maps": "inline:{ ann@example.test = x }"}) as w:
        with w.client() as c:
            c.ok("EHLO client.example")
            c.ok("MAIL FROM:<a@client.example>")
            c.ok("RCPT TO:<ann@example.test>")
            code, text = c.cmd("RCPT TO:<eve@example.test>")
            assert code == 550 and "User unknown in virtual mailbox table" in text


def test_a_reply_for_each_recipient():
    outcomes = {"ann": None, "full": "452 4.2.2 mailbox full", "gone": "550 5.1.1 no such user",
                "big": "552 5.2.3 too big"}

    def script(verb, arg, conn):
        if verb == "RCPT" and "gone@" in arg:
            return outcomes["gone"]
        if verb == ".":
            return outcomes[re.search(r"<(\w+)@", arg)[1]]
        return None
    with served(script) as w:
        id = w.send([f"{u}@example.test" for u in outcomes], sender="")
        for user, status in [("ann", "sent"), ("full", "deferred"), ("gone", "bounced"),
                             ("big", "bounced")]:
            w.wait_log(rf"{id}: to=<{user}@example\.test>.*status={status}")
        w.wait_log(r"dsn=4\.2\.2, status=deferred \(host mx\.test\.example\[\S+\] said: 452 4\.2\.2 "
                   r"mailbox full \(in reply to end of DATA command\)\)")
        outcomes["full"] = None
        w.wait_log(rf"{id}: to=<full@example\.test>.*status=sent")
        w.wait_log(rf"{id}: removed")
        assert [m[1] for m in w.mx.messages] == [["TO:<ann@example.test>"], ["TO:<full@example.test>"]]


def test_lost_between_the_replies():
    lost = []

    def script(verb, arg, conn):
        if verb == "." and "two@" in arg and not lost:
            lost.append(conn)
            return "close"
        return None
    with served(script) as w:
        id = w.send([f"{u}@example.test" for u in ("one", "two", "three")])
        w.wait_log(rf"{id}: to=<one@example\.test>.*status=sent")
        for user in ("two", "three"):
            w.wait_log(rf"{id}: to=<{user}@example\.test>.*dsn=4\.4\.2, status=deferred \(lost "
                       r"connection with \S+ while sending end of data -- message may be sent "
                       r"more than once\)")
            w.wait_log(rf"{id}: to=<{user}@example\.test>.*status=sent")
        w.wait_log(rf"{id}: removed")
        taken = sorted(r for m in w.mx.messages for r in m[1])
        assert taken == [f"TO:<{u}@example.test>" for u in ("one", "three", "two")]


def test_connections_are_reused():
    with served() as w:
        for i in range(10):
            w.send("ann@example.test", subject=f"m{i}")
        w.wait_log(r"status=sent", count=10)
        assert w.mx.connections < 10


def test_fifty_recipients_in_one_transaction():
    with served() as w:
        w.send([f"u{i}@example.test" for i in range(50)])
        w.wait_log(r"status=sent", count=50)
        assert len(w.mx.messages) == 1 and len(w.mx.messages[0][1]) == 50


def test_the_server_is_down_and_comes_back():
    with sockets() as d, Weir({"virtual_transport": f"lmtp:unix:{d}/s",
                               "virtual_mailbox_maps": None, **FAST_RETRY}) as w:
        w.send("ann@example.test")
        w.wait_log(rf"dsn=4\.4\.1, status=deferred \(connect to mx\.test\.example\[{d}/s\]: "
                   r"No such file or directory\)")
        mx = FakeMX(lmtp=True, path=d / "s")
        try:
            w.wait_log(r"status=sent")
        finally:
            mx.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: roles change identity")
def test_a_socket_of_somebody_else():
    with served() as w:
        os.chmod(w.path, 0o600)
        w.send("ann@example.test")
        w.wait_log(r"status=deferred \(connect to \S+: Permission denied\)")


def test_the_connecting_role_dies():
    with served() as w:
        w.send("ann@example.test")
        w.wait_log(r"status=sent")
        os.kill(w.role_pids("lookup")[0], signal.SIGKILL)

        def accepted():
            with w.client() as c:
                c.ok("EHLO client.example")
                c.ok("MAIL FROM:<a@client.example>")
                return c.cmd("RCPT TO:<ann@example.test>")[0] == 250
        wait_for(accepted, "a recipient accepted again", step=0.1)
        for i in range(3):
            w.send(f"u{i}@example.test")
        w.wait_log(r"status=sent", count=4)


# ---- hostile servers ----

class Raw:
    """A server of a unix socket that says what it wants, once for each
    connection: talk(socket) is called in a thread."""

    def __init__(self, path, talk):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        os.chmod(path, 0o666)
        self.sock.listen(50)
        self.talk = talk
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        with s, contextlib.suppress(OSError):
            s.settimeout(DEADLINE)
            self.talk(s)

    def close(self):
        self.sock.close()


def until(s, end):
    data = b""
    while not data.endswith(end):
        more = s.recv(65536)
        if not more:
            raise OSError("closed")
        data += more
    return data


def handshake(s, rcpts=2):
    s.sendall(b"220 evil\r\n")
    until(s, b"\r\n")
    s.sendall(b"250-evil\r\n250 PIPELINING\r\n")
    until(s, b"DATA\r\n")
    s.sendall(b"250 ok\r\n" * (1 + rcpts))


def endless(s):
    handshake(s)
    s.sendall(b"354 go\r\n")
    until(s, b"\r\n.\r\n")
    s.sendall(b"250 2.0.0 one\r\n")
    while True:
        s.sendall(b"250-and more and more and more\r\n" * 100)


def dripping(s):
    handshake(s)
    s.sendall(b"354 go\r\n")
    until(s, b"\r\n.\r\n")
    s.sendall(b"250 2.0.0 one\r\n")
    while True:
        s.sendall(b"2")
        s.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            if not s.recv(1):
                return


def too_many(s):
    handshake(s)
    s.sendall(b"354 go\r\n")
    until(s, b"\r\n.\r\n")
    s.sendall(b"250 2.0.0 one\r\n450 4.2.0 two\r\n250 2.0.0 three\r\n250 2.0.0 four\r\n")
    s.recv(1)


def too_few(s):
    handshake(s)
    s.sendall(b"354 go\r\n")
    until(s, b"\r\n.\r\n")
    s.sendall(b"250 2.0.0 one\r\n")
    s.recv(1)


def before_the_data(s):
    handshake(s)
    s.sendall(b"354 go\r\n250 2.0.0 one\r\n250 2.0.0 two\r\n")
    s.recv(1 << 20)
    s.recv(1)


def only_junk(s):
    s.sendall(os.urandom(100000))


@pytest.mark.parametrize("talk, first, second", [
    (endless, "sent", r"deferred \(remote protocol error in reply from "),
    (dripping, "sent", r"deferred \((remote protocol error|conversation with \S+ timed out)"),
    (too_many, "sent", r"deferred \(host \S+ said: 450 4\.2\.0 two"),
    (too_few, "sent", r"deferred \(conversation with \S+ timed out while sending end of data"),
    (before_the_data, "deferred", r"deferred \(remote protocol error in reply from "),
    (only_junk, "deferred", r"deferred \(remote protocol error in reply from "),
], ids=lambda v: v.__name__ if callable(v) else "")
def test_row_42_hostile_lmtp_servers(talk, first, second):
    with sockets() as d:
        server = Raw(d / "s", talk)
        try:
            with Weir({"virtual_transport": f"lmtp:unix:{d}/s", "virtual_mailbox_maps": None,
                       "lmtp_data_done_timeout": "2s", "minimal_backoff_time": "1h",
                       "maximal_backoff_time": "1h"}) as w:
                pid = w.role_pids("smtp")[0]
                id = w.send(["one@example.test", "two@example.test"])
                w.wait_log(rf"{id}: to=<one@example\.test>.*status={first}")
                w.wait_log(rf"{id}: to=<two@example\.test>.*status={second}")
                assert w.role_pids("smtp") == [pid]
                w.send("nobody@localhost")
                w.wait_log(r"to=<nobody@localhost>.*status=")
        finally:
            server.close()


# ---- a real one ----

DOVECOT = shutil.which("dovecot", path="/usr/sbin:/usr/bin:/usr/local/sbin")


@pytest.mark.skipif(not DOVECOT or not pathlib.Path("/usr/lib/dovecot/lmtp").exists()
                    or os.geteuid() != 0, reason="needs root and dovecot-lmtpd")
def test_dovecot():
    with sockets() as d:
        (d / "mail").mkdir()
        os.chown(d / "mail", NOBODY, NOBODY)
        (d / "users").write_text(f"ann:::::{d}/mail/ann::\nfull:::::{d}/mail/full::"
                                 "userdb_quota_rule=*:bytes=1k\n")
        (d / "dovecot.conf").write_text(f"""
protocols = lmtp
base_dir = {d}/run
state_dir = {d}/run
log_path = {d}/log
ssl = no
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
mail_location = maildir:~/Maildir
mail_uid = {NOBODY}
mail_gid = {NOBODY}
first_valid_uid = 1
mail_plugins = quota
plugin {{
  quota = maildir:User
}}
auth_username_format = %n
passdb {{
  driver = passwd-file
  args = username_format=%n {d}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%n {d}/users
}}
service lmtp {{
  unix_listener {d}/lmtp {{
    mode = 0666
  }}
}}
""")
        dovecot = subprocess.Popen([DOVECOT, "-F", "-c", d / "dovecot.conf"],
                                   start_new_session=True)
        try:
            wait_for((d / "lmtp").is_socket, lambda: "dovecot:\n" + (d / "log").read_text())
            with Weir({"virtual_transport": f"lmtp:unix:{d}/lmtp", "virtual_mailbox_maps": None,
                       **FAST_RETRY}) as w:
                body = message("real", "line\r\n.\r\n..dots\r\n" + "x" * 5000 + "\r\n")
                id = w.send(["ann@example.test", "nobody-there@example.test", "full@example.test"],
                            sender="", body=body)
                w.wait_log(rf"{id}: to=<ann@example\.test>, relay=mx\.test\.example\[{d}/lmtp\], "
                           r".*dsn=2\.0\.0, status=sent \(250 2\.0\.0 <ann@example\.test> \S+ Saved\)")
                w.wait_log(rf"{id}: to=<nobody-there@example\.test>.*dsn=5\.1\.1, status=bounced "
                           r"\(host \S+ said: 550 5\.1\.1 .*in reply to RCPT TO command")
                w.wait_log(rf"{id}: to=<full@example\.test>.*dsn=\d\.2\.2, status=(bounced|deferred) "
                           r"\(host \S+ said: \d52 .*in reply to end of DATA command")
                for i in range(20):
                    w.send("ann@example.test", subject=f"m{i}")
                box = mailbox.Maildir(d / "mail/ann/Maildir", create=False)
                wait_for(lambda: len(box) == 21, lambda: f"{len(box)} of 21\n" + w.log())
                real = [m for m in box if m["Subject"] == "real"][0]
                assert real["Return-Path"] == "<>"
                assert "\n.\n..dots\n" in real.get_payload()
        finally:
            dovecot.terminate()
            dovecot.wait(DEADLINE)
