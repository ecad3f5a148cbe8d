"""Attacks from the network and from users of this host.

Each case is named after its row in the catalogue of attacks; what all of them
ask is in calm(): nobody died, and what was taken was given back.
"""
import contextlib
import os
import resource
import signal
import socket
import struct
import time

import pytest

from harness import FAST_RETRY, Client, Weir, message, relay_conf, wait_for
from test_controls import named

#: Clients that are not trusted, from this very host.
STRANGERS = {"mynetworks": "192.0.2.0/24"}


def opened(w, **kw):
    c = w.client(**kw)
    c.ok("EHLO client.example")
    return c


def begun(w, rcpts=1, **kw):
    """A client whose transaction has its recipients."""
    c = opened(w, **kw)
    c.ok("MAIL FROM:<a@client.example>")
    for i in range(rcpts):
        c.ok(f"RCPT TO:<u{i}@example.test>")
    return c


def held(w):
    """What clients hold: rows of the limits that go back to their base."""
    rows = {}
    for row in w.json("limits")["limits"]:
        if row["role"] not in ("smtpd", "queue", "local", "lookup"):
            continue
        # Destinations are remembered for a while.
        if row["kind"] in ("gate", "pool") and row["name"] not in ("unindexed changes", "destinations"):
            rows[row["role"], row["index"], row["name"]] = row["in_use"]
        if row["kind"] == "account" and row["name"] in ("memory", "transactions", "bodies that wait", "control"):
            rows[row["role"], row["index"], row["name"]] = row["in_use"]
    return rows


def descriptors(w):
    """(program, pid) -> number of open descriptors."""
    found = {}
    for pid, name in w.pids().items():
        with contextlib.suppress(OSError):
            found[name, pid] = len(os.listdir(f"/proc/{pid}/fd"))
    return found


#: A role's own memory may grow by what it keeps (segments, answers).
KEPT_BYTES = 96 * 1024


@contextlib.contextmanager
def calm(w, kept=KEPT_BYTES):
    """Nobody dies within, and afterwards everything is given back."""
    w.send("warm@example.test", subject="warm")
    w.wait_mails("warm")
    w.wait_queue_empty()
    pids, base, fds = w.pids(), {}, descriptors(w)

    def idle():
        base.update(held(w))
        return all(v == 0 for k, v in base.items() if k[2] in ("sessions", "deliveries", "transactions"))
    wait_for(idle, lambda: f"idle: {base}")
    yield

    def extra():
        now, more = held(w), {}
        for k, v in now.items():
            slack = kept if k[2] == "memory" else 0
            if k in base and v > base[k] + slack:
                more[k] = (base[k], v)
        for k, v in descriptors(w).items():
            # Segments of the log are opened as it grows.
            if k in fds and v > fds[k] + (0 if "smtpd" in k[0] or "master" in k[0] else 8):
                more[k] = (fds[k], v)
        return more
    wait_for(lambda: not extra(), lambda: f"given back: {extra()}\n{w.log()[-3000:]}", step=0.1)
    on_demand = ("weir-bounce", "weir-pickup", "weir-deliver")  # they end when idle
    gone = {p: n for p, n in pids.items() if p not in w.pids() and n not in on_demand}
    assert not gone, (gone, w.log()[-4000:])


# ---- rows 25, 26: slow, silent and vanishing clients ----

def test_row_25_a_byte_at_a_time():
    with Weir() as w, calm(w):
        with w.client() as c:
            mail = message("slow", "x\r\n.y\r\n").replace("\r\n.", "\r\n..")
            for text, code in (("EHLO a.example\r\n", 250), ("MAIL FROM:<a@client.example>\r\n", 250),
                               ("RCPT TO:<joe@example.test>\r\n", 250), ("DATA\r\n", 354),
                               (mail + ".\r\n", 250)):
                for b in text.encode():
                    c.send(bytes([b]))
                assert c.reply()[0] == code
        assert w.wait_mails("joe")[0].endswith(b"x\n.y\n")


@pytest.mark.parametrize("phase", ["command", "long line", "data", "bdat"])
def test_row_25_trickling_does_not_earn_time(phase):
    """A byte now and then: the time-out counts from the last whole command."""
    with Weir({"smtpd_timeout": "2s", "smtpd_min_data_rate": "1000"}) as w, calm(w):
        with begun(w) as c:
            start = time.monotonic()
            if phase == "data":
                c.ok("DATA", 354)
            elif phase == "bdat":
                c.send("BDAT 100000\r\n")
            elif phase == "long line":
                c.send("x" * 5000)
            c.sock.settimeout(0.1)
            got = b""
            while time.monotonic() - start < 10:
                try:
                    c.send("x")
                    more = c.sock.recv(1000)
                    got += more
                    if not more:
                        break
                except socket.timeout:
                    continue
                except ConnectionError:
                    break
            took = time.monotonic() - start
            assert 1.5 < took < 6, took
            assert got.startswith(b"421 4.4.2"), got
        w.wait_log(r"timeout after")
        # What it was too slow for: a command, or a body.
        named(w, "smtpd_min_data_rate" if phase in ("data", "bdat") else "smtpd_timeout")


def test_row_25_a_steady_body_outlives_the_timeout():
    with Weir({"smtpd_timeout": "2s", "smtpd_min_data_rate": "100"}) as w, begun(w) as c:
        c.ok("DATA", 354)
        end = time.monotonic() + 4
        while time.monotonic() < end:
            c.send("y" * 60 + "\r\n")
            assert not wait_readable(c.sock, 0.1), c.reply()
        c.send(".\r\n")
        assert c.reply()[0] == 250


def wait_readable(sock, seconds):
    import select
    return bool(select.select([sock], [], [], seconds)[0])


def test_row_25_overload_shortens_the_time_of_idle_strangers():
    """Who came before the overload and only sits there must go too."""
    conf = dict(STRANGERS, concurrency_incoming="20", unproven_share="100", smtpd_timeout="300s")
    with Weir(conf) as w:
        held = [opened(w) for _ in range(10)]
        held += [w.client() for _ in range(8)]
        w.wait_log(r"short timeouts for unproven clients")
        for c in held:
            c.sock.settimeout(13)
            assert c.closed(), w.log()[-2000:]
            assert c.rest.startswith(b"421 4.4.2"), c.rest
        w.send("joe@example.test")


def test_row_25_clients_that_vanish():
    """In every state, by close, by reset and with half of the connection."""
    with Weir() as w, calm(w):
        for i in range(120):
            c = begun(w) if i % 4 else opened(w)
            if i % 4 == 2:
                c.ok("DATA", 354)
                c.send(message(f"m{i}", "x" * 900 + "\r\n"))
            elif i % 4 == 3:
                c.send("BDAT 50000\r\n" + "x" * 30000)
            if i % 3 == 0:
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif i % 3 == 1:
                c.sock.shutdown(socket.SHUT_WR)
                c.closed()
            c.close()
        assert not w.queue()


def test_row_25_half_closed_after_the_whole_mail():
    with Weir() as w, calm(w), w.client() as c:
        c.send("EHLO a.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<joe@example.test>\r\n"
               "BDAT 11 LAST\r\nA: b\r\n\r\nx\r\n")
        c.sock.shutdown(socket.SHUT_WR)
        assert c.closed() and b"queued as" in c.rest
        w.wait_mails("joe")


def test_row_25_who_never_reads_is_cut_off_and_costs_little():
    with Weir({"smtpd_timeout": "3s"}) as w, calm(w):
        flood = b"EHLO client.example\r\n" * 4000
        socks = []
        for _ in range(10):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", w.port))
            s.recv(200)
            s.setblocking(False)
            socks.append(s)
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            for s in socks:
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    s.send(flood)
        for row in w.json("limits")["limits"]:
            if row["role"] == "smtpd" and row["name"] == "memory":
                assert row["in_use"] < 3 * 1024 * 1024, row
        w.send("joe@example.test")
        wait_for(lambda: sum(v for k, v in held(w).items() if k[2] == "sessions") == 0,
                 "cut off")
        for s in socks:
            s.close()


def can_send(w):
    try:
        with opened(w) as c:
            return c.transaction("a@client.example", "joe@example.test", message("m"))[0] == 250
    except (AssertionError, OSError):
        return False


def test_row_25_two_thousand_connections():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    with Weir() as w, calm(w, kept=1024 * 1024):
        before = {r["index"]: r["in_use"] for r in w.json("limits")["limits"]
                  if r["role"] == "smtpd" and r["name"] == "memory"}
        clients = [Client(w.port, greet=False, source=f"127.0.0.{1 + i % 50}") for i in range(2000)]
        for c in clients:
            c.sock.settimeout(15)
            assert c.reply()[0] == 220
            c.send("EHLO client.example\r\n")
        for c in clients:
            assert c.reply()[0] == 250
        after = {r["index"]: r["in_use"] for r in w.json("limits")["limits"]
                 if r["role"] == "smtpd" and r["name"] == "memory"}
        assert sum(after.values()) - sum(before.values()) < 2000 * 1500
        w.send("joe@example.test")
        for c in clients:
            c.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- rows 12, 23, 49: what a user of this host can do ----

def drop_file(rcpts, body=b"Subject: dropped\r\n\r\nx\r\n", count=None, sender=b"a@client.example"):
    """A message as sendmail leaves it while no server runs."""
    out = b"WEIRDRP1" + b"\0" + struct.pack("<H", len(sender)) + sender + struct.pack("<H", 0)
    out += struct.pack("<I", len(rcpts) if count is None else count)
    out += b"".join(b"\0" + struct.pack("<H", len(r)) + r for r in rcpts)
    return out + body + struct.pack("<Q", len(body)) + b"WEIRDRPE"


def dropped(w, files):
    """Stop, leave these files in the drop directory, start."""
    w.stop()
    drop = w.dir / "queue" / "drop"
    for name, data in files.items():
        if data is None:
            (drop / name).mkdir()
        else:
            (drop / name).write_bytes(data)
            (drop / name).chmod(0o644)
    w.start()
    return drop


def drop_rest(drop):
    return [p.name for p in drop.iterdir() if p.name.startswith("msg.")]


@pytest.mark.parametrize("hostile", [
    {"msg.1": drop_file([b"joe@example.test"], count=60000), },
    {"msg.1": drop_file([b"u%d@example.test" % i for i in range(50001)])},
    {"msg.1": b"garbage", "bad.msg.1": None},
    {"msg." + "x" * 251: b"garbage"},
    {"msg.1": None},
    {"msg.1\n\x1b[31m": b"garbage"},
    {"msg.1": drop_file([b"joe@example.test"])[:-30]},
    {"msg.1": drop_file([b"joe@example.test\r\nX: y"])},
], ids=["too many recipients", "one recipient too many", "taken name", "long name", "directory",
        "control bytes", "cut off", "line end in an address"])
def test_row_23_a_hostile_file_does_not_stop_the_drop_directory(hostile):
    with Weir() as w:
        files = dict(hostile)
        for i in range(3):
            files[f"msg.good{i}"] = drop_file([b"good@example.test"])
        drop = dropped(w, files)
        w.wait_mails("good", 3, deadline=12)
        wait_for(lambda: not drop_rest(drop), lambda: f"{drop_rest(drop)}\n{w.log()[-3000:]}", 5)
        assert "malformed frame" not in w.log()
        assert "\x1b" not in w.log()


def test_row_49_nonsense_on_the_control_socket_fills_neither_log_nor_queue():
    with Weir() as w, calm(w):
        path = str(w.dir / "queue" / "run" / "control")
        for i in range(600):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                s.settimeout(10)
                s.connect(path)
                with contextlib.suppress(ConnectionError):
                    # A header of each kind of frame, and what is none.
                    s.send(struct.pack("<HHI", i % 120, i // 500, 7) + bytes(i % 61))
                    if i % 10 == 0:
                        socket.send_fds(s, [b"12345678"], [s.fileno()] * 8)
        w.wait_log("control: client of user")
        assert w.count_log("control: client of user") < 30


def test_row_49_who_asks_for_the_status_and_does_not_read():
    with Weir() as w, calm(w):
        with contextlib.ExitStack() as held:
            for _ in range(300):
                s = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                s.settimeout(10)
                s.connect(str(w.dir / "queue" / "run" / "status"))
            w.hup()
            w.wait_log("reloaded")
            w.send("joe@example.test")
            w.wait_mails("joe")


# ---- row 26: few descriptors ----

class Poor(Weir):
    """A server that may have 64 descriptors in each process."""

    def _identity(self):
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def test_row_26_sixty_four_descriptors():
    with Poor() as w, calm(w):
        with contextlib.ExitStack() as held:
            for _ in range(100):
                held.enter_context(w.client(greet=False))
        w.send("joe@example.test")
        w.wait_mails("joe")


# ---- reload while mail flows, roles that die or stop in the middle ----

def test_reloads_without_end_lose_no_mail():
    with Weir() as w, calm(w, kept=512 * 1024):
        count = 0
        while count < 150:
            w.hup()
            w.send(f"u{count % 3}@example.test")
            count += 1
        wait_for(lambda: sum(len(w.mails(f"u{k}")) for k in range(3)) == count, "all mail")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("role", ["queue", "lookup", "dns", "local", "smtpd"])
def test_a_role_dies_or_stops_in_the_middle(role, how):
    """What was answered 250 arrives; the others are told to try again."""
    with Weir(dict(FAST_RETRY, service_throttle_time="1s")) as w:
        clients = [begun(w) for _ in range(8)]
        for c in clients[:4]:
            c.ok("DATA", 354)
        hit = w.role_pids(role)
        for pid in hit:
            os.kill(pid, how)
        for c in clients:
            with contextlib.suppress(OSError):
                if c in clients[:4]:
                    c.send(message("m") + ".\r\n")
                else:
                    c.send("RCPT TO:<u0@example.test>\r\n")
        if how == signal.SIGSTOP:
            for pid in hit:
                os.kill(pid, signal.SIGCONT)
        taken = 0
        for c in clients:
            try:
                code, _ = c.reply()
                assert code in (250, 451), code
                taken += code == 250 and c in clients[:4]
            except ConnectionError:
                assert role == "smtpd" and how == signal.SIGKILL
            c.close()
        wait_for(lambda: can_send(w), "mail flows", step=0.1)
        wait_for(lambda: len(w.mails("u0")) >= taken, "what was taken")
        if how == signal.SIGSTOP:
            assert w.role_pids(role) == hit
