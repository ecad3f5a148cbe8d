"""qmail-smtpd under tcpserver: sessions that are handed over to the running server."""
import array
import contextlib
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import time

import pytest

from harness import BUILD, DEADLINE, WEIR, Client, Weir, free_port, message, wait_for

STUB, TCPSERVER = BUILD / "qmail-smtpd", BUILD / "tcpserver"
ROOT = os.geteuid() == 0
UID = 20411 if ROOT else os.getuid()
STRANGER = 20412
MAGIC = b"weir session 1\0"


@pytest.fixture(scope="module")
def server():
    """Relays nothing by address: RELAYCLIENT alone decides."""
    with Weir({"authorized_session_users": str(UID), "mynetworks": "127.0.0.0/8",
               "virtual_mailbox_domains": "example.test fixme", "smtp_listen": "",
               "message_size_limit": "100000", "defer_transports": "smtp"}) as w:
        yield w


class Tcpserver:
    """tcpserver with these options in front of qmail-smtpd."""

    def __init__(self, weir, options=(), rules=None, program=(STUB,), uid=UID, env=None):
        self.port = free_port()
        self.log_path = weir.dir / f"tcpserver{self.port}"
        if rules is not None:
            cdb = weir.dir / f"rules{self.port}.cdb"
            subprocess.run([BUILD / "tcprules", cdb, f"{cdb}.tmp"], input=rules.encode(), check=True)
            options = [*options, "-x", cdb]
        if ROOT:
            options = [*options, "-u", str(uid), "-g", str(uid)]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [TCPSERVER, "-v", "-H", "-R", "-l0", *options, "127.0.0.1", str(self.port), *program],
                stdout=log, stderr=log, env={**os.environ, "WEIR_CONF": str(weir.conf_path), **(env or {})})
        self.wait("status: 0/")

    def log(self):
        return self.log_path.read_text()

    def wait(self, text, count=1):
        wait_for(lambda: self.log().count(text) >= count, lambda: f"{text!r} in\n{self.log()}")

    def client(self, **kw):
        return Client(self.port, **kw)

    def close(self):
        self.process.terminate()
        self.process.wait(DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def test_the_three_steps_of_an_administrator(server):
    """0/40; with -c 20: 0/20, and the twenty-first client waits until one leaves."""
    with Tcpserver(server, rules=":allow\n") as t:
        t.wait("tcpserver: status: 0/40\n")
    with Tcpserver(server, ["-c", "20"], rules=":allow\n") as t:
        assert t.log().startswith("tcpserver: status: 0/20\n")
        clients = [t.client() for _ in range(20)]
        assert all(code == 220 for code, _ in (c.greeting for c in clients))
        t.wait("tcpserver: status: 20/20\n")
        with t.client(greet=False) as last:
            last.sock.settimeout(0.2)
            with pytest.raises(socket.timeout):
                last.reply()
            clients[0].ok("QUIT", 221)
            clients[0].close()
            last.sock.settimeout(DEADLINE)
            assert last.reply()[0] == 220
            for c in clients[1:]:
                c.close()
        t.wait("tcpserver: status: 0/20\n", 2)
        # QUIT is 0; who just goes away is 1, as in qmail.
        assert len(re.findall(r"end \d+ status 0$", t.log(), re.M)) == 1
        assert len(re.findall(r"end \d+ status 256$", t.log(), re.M)) == 20


def test_a_message_and_who_it_is_from(server):
    with Tcpserver(server, rules='127.:allow,TCPREMOTEIP="192.0.2.7",TCPREMOTEHOST="pc.example.net",'
                                 'TCPREMOTEINFO="joe<x"\n') as t:
        with t.client() as c:
            assert c.greeting[0] == 220
            c.ok("EHLO pc")
            assert c.transaction("s@client.example", "ann@example.test", message())[0] == 250
            # Not mynetworks, nor the loopback address of the socket: no RELAYCLIENT, no relay.
            c.ok("MAIL FROM:<s@client.example>")
            assert c.cmd("RCPT TO:<x@far.example>") == (554, "5.7.1 <x@far.example>: Relay access denied")
            c.ok("QUIT", 221)
            assert c.closed()
    mail = server.wait_mails("ann")[-1].decode()
    assert "Received: from pc (joe?x@pc.example.net [192.0.2.7])\r\n" in mail.replace("\r\n", "\n").replace("\n", "\r\n")
    assert server.count_log(r"connect from pc\.example\.net\[192\.0\.2\.7\]")


def test_relayclient(server):
    """Set, even empty: relaying; its value goes behind each recipient."""
    with Tcpserver(server, rules='127.:allow,RELAYCLIENT=""\n') as t, t.client() as c:
        c.ok("HELO pc")
        assert c.transaction("s@client.example", "x@far.example", message("relayed"))[0] == 250
    with Tcpserver(server, rules='127.:allow,RELAYCLIENT="@fixme"\n') as t, t.client() as c:
        c.ok("HELO pc")
        assert c.transaction("s@client.example", ["bob", "x@far.example"], message())[0] == 250
    assert len(server.wait_mails("bob")) == 1
    assert len(server.wait_mails("x@far.example")) == 1
    with Tcpserver(server, rules='127.:allow,RELAYCLIENT=" no address"\n') as t, t.client() as c:
        assert c.greeting[0] == 421
        t.wait("status 28416")  # 111
    server.wait_log("its session is refused: RELAYCLIENT does not make addresses")


def test_databytes(server):
    big = "x" * 70 + "\r\n"
    with Tcpserver(server, rules='127.:allow,DATABYTES="500"\n') as t, t.client() as c:
        assert "SIZE 500" in c.ok("EHLO pc")[1]
        assert c.cmd("MAIL FROM:<s@client.example> SIZE=501")[0] == 552
        assert c.transaction("s@client.example", "dan@example.test", message(body=big * 20))[0] == 552
        assert c.transaction("s@client.example", "dan@example.test", message())[0] == 250
    # More than message_size_limit; HUP does not take it back.
    with Tcpserver(server, rules='127.:allow,DATABYTES="0"\n') as t, t.client() as c:
        assert re.search(r"^SIZE$", c.ok("EHLO pc")[1], re.M)
        before = server.count_log("reload")
        server.hup()
        server.wait_log("reload", count=before + 1)
        assert c.transaction("s@client.example", "dan@example.test", message(body=big * 3000))[0] == 250
    assert len(server.wait_mails("dan", 2)) == 2
    with Tcpserver(server, rules='127.:allow,DATABYTES="many"\n') as t, t.client() as c:
        assert c.greeting[0] == 421
    server.wait_log("its session is refused: DATABYTES is not a number")


def run_stub(server, data, env=None, **kw):
    env = {"WEIR_CONF": str(server.conf_path), **(env or {})}
    return subprocess.run([STUB], input=data, capture_output=True, env=env, timeout=DEADLINE, **kw)


def test_pipes_and_files(server, tmp_path):
    """Standard input and output need not be one socket."""
    talk = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<pip@example.test>\r\nDATA\r\n" + \
        b"Subject: s\r\n\r\n" + b"line of the body\r\n" * 5000 + b".\r\nQUIT\r\n"
    r = run_stub(server, talk)
    assert r.returncode == 0 and r.stdout.endswith(b"221 2.0.0 Bye\r\n"), r
    (tmp_path / "talk").write_bytes(talk)
    with open(tmp_path / "talk") as f:
        r = subprocess.run([STUB], stdin=f, capture_output=True, env={"WEIR_CONF": str(server.conf_path)},
                           timeout=DEADLINE)
    assert r.returncode == 0 and b"queued as" in r.stdout
    assert len(server.wait_mails("pip", 2)[0]) > 80000
    # Without QUIT; and without RELAYCLIENT nobody relays, wherever he sits.
    r = run_stub(server, b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@far.example>\r\n")
    assert r.returncode == 1 and b"554 5.7.1" in r.stdout
    r = run_stub(server, b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@far.example>\r\nQUIT\r\n",
                 {"RELAYCLIENT": ""})
    assert r.returncode == 0 and b"250 2.1.5" in r.stdout


def test_a_reader_that_does_not_read(server):
    """Its pipe is full: the session ends by itself, and the stub with it."""
    p = subprocess.Popen([STUB], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         env={"WEIR_CONF": str(server.conf_path)})
    assert p.stdout.readline().startswith(b"220 ")
    p.stdout.close()
    with contextlib.suppress(BrokenPipeError):
        p.stdin.write(b"NOOP\r\n" * 50000)
        p.stdin.close()
    assert p.wait(DEADLINE) in (0, 1)


def test_no_server(tmp_path):
    """421 and 111, wherever the configuration says it would be."""
    conf = tmp_path / "weir.conf"
    env = {"WEIR_CONF": str(conf)}
    for text in (f"queue_directory = {tmp_path}/none\n", f"x\nqueue_directory = {tmp_path}/none\n",
                 "queue_directory = $none\n"):
        conf.write_text(text)
        r = subprocess.run([STUB], input=b"QUIT\r\n", capture_output=True, env=env, timeout=DEADLINE)
        assert r.returncode == 111 and r.stdout.startswith(b"421 4.3.0 "), (text, r)
        assert r.stderr.startswith(b"qmail-smtpd: fatal: "), r


def test_a_configuration_that_is_not_plain(server):
    """With $names in queue_directory all of weir.conf is read; a long path fits."""
    conf = server.dir / "indirect.conf"
    text = server.conf_path.read_text()
    conf.write_text(text.replace(f"queue_directory = {server.data}/queue", f"myorigin = {server.data}\n"
                                 "queue_directory = $myorigin/queue").replace("myorigin = /", "data_directory = /", 1)
                    .replace("$myorigin/queue", "$data_directory/queue"))
    lines = [l for l in conf.read_text().splitlines() if not l.startswith("data_directory")]
    conf.write_text("\n".join([f"data_directory = {server.data}", *lines]) + "\n")
    conf.chmod(0o644)
    r = subprocess.run([STUB, "-c", conf], input=b"QUIT\r\n", capture_output=True, timeout=DEADLINE)
    assert r.returncode == 0, r
    deep = server.dir / ("d" * 100)
    deep.mkdir()
    (deep / "run").symlink_to(server.data / "queue/run")
    conf.write_text(f"queue_directory = {deep}\n")
    r = subprocess.run([STUB, "-c", conf], input=b"QUIT\r\n", capture_output=True, timeout=DEADLINE)
    assert r.returncode == 0, r


# ---- who connects to the socket itself ----

def session_socket(server):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(DEADLINE)
    s.connect(str(server.data / "queue/run/session"))
    return s


def packet(s, data, fds):
    s.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])


def ended(s):
    """It closes without an answer."""
    try:
        return s.recv(10) == b""
    except ConnectionResetError:
        return True


@pytest.mark.skipif(not ROOT, reason="needs another user")
def test_a_stranger(server):
    """Refused before he says anything; qmail-smtpd as him says 421."""
    r = run_stub(server, b"QUIT\r\n", user=STRANGER, group=STRANGER, extra_groups=[])
    assert r.returncode == 111 and r.stdout.startswith(b"421 4.3.0"), r
    server.wait_log(rf"authorized_session_users.*uid {STRANGER}.*refused")
    r = run_stub(server, b"QUIT\r\n", user=UID, group=UID, extra_groups=[])
    assert r.returncode == 0, r


def descriptors(server):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in server.role_pids("smtpd"))


def test_garbage(server):
    """Nothing of it begins a session, and nothing of it stays."""
    a, b = socket.socketpair()
    dgram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening = socket.create_server(("127.0.0.1", 0))
    pipe = os.pipe()
    before = descriptors(server)
    sessions = server.count_log("connect from")
    for data, fds in ((b"GET / HTTP/1.0\r\n\r\n", []), (MAGIC, []), (b"x", [a.fileno()]),
                      (b"\0" * 2000, [a.fileno()]), (MAGIC + b"x" * 60000, [a.fileno()]),
                      (MAGIC + b"TCPREMOTEIP=1.2.3.4", [a.fileno()]), (MAGIC + b"X=1\0", [a.fileno()]),
                      (MAGIC + b"RELAYCLIENT=\0" * 2, [a.fileno()]), (MAGIC + b"\0\0\0", [a.fileno()]),
                      (MAGIC + b"RELAYCLIENT=" + b"a" * 256 + b"\0", [a.fileno()]),
                      (b"", [a.fileno()]), (MAGIC, [pipe[0]]), (MAGIC, [dgram.fileno()]), (MAGIC, [listening.fileno()]),
                      (MAGIC, [a.fileno(), b.fileno()]), (MAGIC, [a.fileno()] * 4), (MAGIC, [a.fileno()] * 250)):
        with session_socket(server) as s:
            packet(s, data, fds)
            assert ended(s), (data[:30], fds)
    assert server.count_log("connect from") == sessions
    wait_for(lambda: descriptors(server) == before, lambda: (descriptors(server), before))
    # Right after all that: one that is as it should be.
    with session_socket(server) as s:
        packet(s, MAGIC, [b.fileno()])
        assert a.recv(100).startswith(b"220 ")
        a.sendall(b"QUIT\r\n")
        assert s.recv(10) == b"\0"
    for x in (a, b, dgram, listening):
        x.close()
    for fd in pipe:
        os.close(fd)


def test_many_who_say_nothing(server):
    """They have places in a pool of their own, and leave in time."""
    before = descriptors(server)
    waiting = [session_socket(server) for _ in range(200)]
    with Tcpserver(server) as t, t.client() as c:
        assert c.greeting[0] == 220
        c.ok("QUIT", 221)
    for s in waiting:
        s.close()
    wait_for(lambda: descriptors(server) == before, lambda: (descriptors(server), before))


def test_a_stub_that_dies(server):
    """Its session ends at once; nothing is kept of a message half said."""
    with Tcpserver(server) as t, t.client() as c:
        c.ok("EHLO pc")
        c.ok("MAIL FROM:<s@client.example>")
        c.ok("RCPT TO:<eve@example.test>")
        c.ok("DATA", 354)
        c.send("half a mes")
        pid = int(re.search(r"ok (\d+) ", t.log()).group(1))
        os.kill(pid, signal.SIGKILL)
        assert c.closed()
    server.wait_log("lost qmail-smtpd after DATA")
    wait_for(lambda: server.json("limits"), "limits")
    assert not server.mails("eve")


def test_the_gate_is_the_same():
    """concurrency_incoming counts them; beyond it a client reads 421 or waits; a server that dies
    or stops says 421."""
    with Weir({"authorized_session_users": str(UID), "concurrency_incoming": "5", "smtp_listen": "",
               "smtpd_processes": "1", "unproven_share": "80"}) as w:
        with Tcpserver(w) as t:
            inside = [t.client() for _ in range(5)]
            assert [c.greeting[0] for c in inside] == [220] * 5  # mynetworks: not unproven
            w.wait_log("smtpd: status: 5/5")
            with t.client(greet=False) as late:
                t.wait("status: 6/40")
                inside[0].ok("QUIT", 221)
                assert late.reply()[0] == 220
            rows = {r["name"]: r for r in w.json("limits")["limits"] if r["role"] == "smtpd"}
            assert rows["connections handed over"]["limit"] >= 5
            os.kill(w.role_pids("smtpd")[0], signal.SIGKILL)
            assert inside[1].reply()[0] == 421
            t.wait("status 28416")
            wait_for(lambda: w.role_pids("smtpd"), "another smtpd")
            with t.client() as c:
                assert c.greeting[0] == 220
                w.stop()
                assert c.reply()[0] == 421
            with t.client() as c:
                assert c.greeting == (421, "4.3.0 Mail system not available, try again later")
