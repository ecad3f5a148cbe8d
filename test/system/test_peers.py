"""Real servers as peers: Debian's Postfix and its smtp-sink.

The package is unpacked below /var/tmp, never installed; see
test/bench/postfix.py.  Its master must be started by root.
"""
import os
import pathlib
import re
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))

import postfix  # noqa: E402
from harness import FAST_RETRY, SANITIZED, Weir, free_port, message, wait_for  # noqa: E402

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(os.geteuid() != 0, reason="needs root: Postfix's master insists")]


@pytest.fixture(scope="module", autouse=True)
def unpacked():
    why = postfix.unavailable()
    if why:
        pytest.skip(f"without Postfix: {why}")


COUNT = 1000


def sequence(mails):
    return sorted(int(m.group(1)) for m in
                  (re.search(rb"^Subject: seq-(\d+)\r?$", raw, re.M) for raw in mails) if m)


def test_postfix_relays_to_weir(tmp_path):
    with Weir() as w:
        d = pathlib.Path("/var/tmp") / f"weir-peer-{os.getpid()}"
        d.mkdir()
        p = postfix.Postfix(d, w.port)
        try:
            from harness import Client
            with Client(p.port) as c:
                c.ok("EHLO client.example")
                for i in range(COUNT):
                    code, text = c.transaction("a@client.example", "joe@example.test",
                                               message(f"seq-{i}", f"body {i}\r\n.dot\r\n"))
                    assert code == 250, text
            mails = w.wait_mails("joe", COUNT, 120)
            assert sequence(mails) == list(range(COUNT))
            assert all(re.search(rb"\nbody \d+\n\.dot\n$", m) for m in mails)
        finally:
            p.stop()
            subprocess.run(["rm", "-rf", str(d)])


def test_weir_relays_to_postfix(tmp_path):
    d = pathlib.Path("/var/tmp") / f"weir-peer-{os.getpid()}"
    d.mkdir()
    p = postfix.Postfix(d, 1)
    try:
        with Weir({"relayhost": f"[127.0.0.1]:{p.port}"}) as w:
            with w.client() as c:
                c.ok("EHLO client.example")
                for i in range(COUNT):
                    code, text = c.transaction("a@client.example", "user0@localhost.bench.example",
                                               message(f"seq-{i}", f"body {i}\r\n.dot\r\n"))
                    assert code == 250, text
            new = d / "mail/user0/Maildir/new"
            wait_for(lambda: new.is_dir() and len(os.listdir(new)) >= COUNT,
                     lambda: f"{len(os.listdir(new)) if new.is_dir() else 0} of {COUNT}", 120)
            mails = [f.read_bytes() for f in new.iterdir()]
            assert sequence(mails) == list(range(COUNT))
            assert all(re.search(rb"\nbody \d+\n\.dot\n$", m) for m in mails)
            w.wait_queue_empty()
    finally:
        p.stop()
        subprocess.run(["rm", "-rf", str(d)])


@pytest.fixture
def sink():
    procs = []

    def start(*options):
        port = free_port()
        procs.append(subprocess.Popen(
            [postfix.CACHE / "usr/sbin/smtp-sink", "-u", "nobody", *options, f"127.0.0.1:{port}", "100"],
            env={"LD_LIBRARY_PATH": str(postfix.CACHE / "usr/lib/postfix"), "PATH": os.environ["PATH"]},
            stderr=subprocess.DEVNULL))
        import socket

        def up():
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return False
        wait_for(up, "smtp-sink listens")
        return port
    yield start
    for p in procs:
        p.kill()
        p.wait()


@pytest.mark.parametrize("options, status", [
    ((), "sent"),
    (("-e",), "sent"),
    (("-p",), "sent"),
    (("-8",), "sent"),
    (("-r", "mail"), "deferred"),
    (("-r", "rcpt"), "deferred"),
    (("-r", "data"), "deferred"),
    (("-r", "."), "deferred"),
    (("-r", "connect"), "deferred"),
    (("-f", "mail"), "bounced"),
    (("-f", "rcpt"), "bounced"),
    (("-f", "data"), "bounced"),
    (("-f", "."), "bounced"),
    (("-q", "connect"), "deferred"),
    (("-q", "ehlo"), "deferred"),
    (("-q", "mail"), "deferred"),
    (("-q", "rcpt"), "deferred"),
    (("-q", "data"), "deferred"),
    (("-q", "."), "deferred"),
    (("-Q", "mail"), "deferred"),
    (("-Q", "."), "deferred"),
])
def test_smtp_sink_with_faults(sink, options, status):
    port = sink(*options)
    with Weir({"relayhost": f"[127.0.0.1]:{port}"}) as w:
        id = w.send(["a@far.example", "b@far.example"], sender="joe@example.test")
        w.wait_log(rf"{id}: to=<a@far\.example>.*status={status} ")
        w.wait_log(rf"{id}: to=<b@far\.example>.*status={status} ")
        if status == "bounced":
            w.wait_mails("joe")
