"""Memory, syncs, a long queue, and how fast it starts again."""
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import tools
from harness import wait_for
from place import drop_caches
from report import Figure
from servers import private_kib, pss_kib

IDLE_SESSIONS = 2000
DEFERRED = 100000
WARM = 200


def hold_sessions(port, count):
    """Sessions that said EHLO and wait."""
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for s in held:
        s.recv(512)
        s.sendall(b"EHLO a.example\r\n")
    for s in held:
        s.recv(2048)
    return held


def roles_text(server):
    by_role = {}
    for pid, (name, _) in server.processes().items():
        count, kib = by_role.get(name, (0, 0))
        by_role[name] = (count + 1, kib + pss_kib([pid]))
    return ", ".join(f"{k.removeprefix('weir-')}{f' x {n}' if n > 1 else ''} {kib} KiB"
                     for k, (n, kib) in sorted(by_role.items()))


def run_memory(bench):
    idle = Figure("idle, all roles, PSS", "MiB", ("is", 12), ("is", 6), costs=True, digits=1)
    per = Figure(f"per idle SMTP session, user memory, {IDLE_SESSIONS:,} sessions", "KiB", ("is", 4), ("is", 1),
                 costs=True, digits=2, note="")
    # A session of Postfix is a process; 100 of them stay below its limit.
    sessions = {"Weir": IDLE_SESSIONS, "Postfix": 100}
    for n in range(bench.rounds):
        bench.progress(f"memory: round {n + 1} of {bench.rounds}")
        for s in bench.servers:
            server = s(bench.place, 1)
            try:
                time.sleep(1)  # what the start left behind is over
                idle.add(s.name, pss_kib(server.processes()) / 1024)
                if s.name == "Weir":
                    roles = roles_text(server)
                before = user_kib(server)
                held = hold_sessions(server.port, sessions[s.name])
                per.add(s.name, (user_kib(server) - before) / len(held))
                for h in held:
                    h.close()
            finally:
                server.stop()
    bench.add(idle)
    bench.explain(roles)
    bench.add(per)


def user_kib(server):
    """Private memory of what serves SMTP sessions, and of all it forked."""
    return private_kib(p for p in server.processes())


def run_syncs(bench):
    """fdatasync and fsync of the queue role at 50 sessions."""
    watch = sync_watch()
    if watch is None:
        bench.note("syncs: not measured, neither perf nor strace can count them")
        return
    f = Figure(f"fdatasync and fsync per message, counted by {watch[0][0]}", "", ("is", 0.2), ("is", 0.05), costs=True,
               digits=3)
    for n in range(bench.rounds):
        bench.progress(f"syncs: round {n + 1} of {bench.rounds}")
        f.add("Weir", syncs(bench, bench.messages or 10000, watch))
    bench.add(f)


def sync_watch():
    """A command that counts them until SIGINT, and what to look for.  perf
    first: under strace each call of the role takes so long that fewer
    messages share a sync."""
    perf = ["perf", "stat", "-x", ",", "-e", "syscalls:sys_enter_fdatasync,syscalls:sys_enter_fsync"]
    if shutil.which("perf") and subprocess.run([*perf, "true"], capture_output=True).returncode == 0:
        return perf, r"^(\d+),.*sys_enter_f(?:data)?sync"
    if shutil.which("strace"):
        return ["strace", "-f", "-c", "-e", "trace=fdatasync,fsync"], r"\s(\d+)\s+(?:\d+\s+)?f(?:data)?sync$"
    return None


def syncs(bench, count, watch):
    sink = tools.Sink(count, WARM)
    server = bench.weir(bench.place, sink.port)
    out = bench.place.dir / "syncs.txt"
    try:
        tools.load(server.port, "-s", 50, "-n", WARM)
        sink.wait_warm()
        # Spares are synced too; a server that has run for a while has them.
        wait_for(lambda: spares_are_made(server), "spare segments are made", 120)
        pid = server.pids("queue")[0]
        tracer = subprocess.Popen([*watch[0], "-o", out, "-p", str(pid)], stderr=subprocess.PIPE)
        time.sleep(1)  # it is attached
        tools.load(server.port, "-s", 50, "-m", 0, "-n", count)
        sink.result()
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)
        calls = sum(int(m.group(1)) for m in re.finditer(watch[1], out.read_text(), re.M))
    finally:
        server.stop()
        sink.drop()
    return calls / count


def spares_are_made(server):
    names = os.listdir(server.dir / "queue/log")
    return not any(n.endswith(".new") for n in names) and sum(n.endswith(".spare") for n in names) >= 2


def queue_private_kib(server):
    """After the role has come to rest: spare segments are made, caches given back."""
    time.sleep(8)
    return private_kib(server.pids("queue"))


def first_250(server, began, timeout=120):
    """Seconds from began until a message is accepted; tries all the time."""
    def once():
        try:
            with socket.create_connection(("127.0.0.1", server.port), 5) as s:
                f = s.makefile("rwb")

                def say(line, code):
                    if line:
                        f.write(line)
                        f.flush()
                    while True:
                        reply = f.readline()
                        if not reply.startswith(code):
                            return False
                        if reply[3:4] == b" ":
                            return True
                return (say(b"", b"220") and say(b"EHLO client.example\r\n", b"250") and
                        say(b"MAIL FROM:<bench@client.example>\r\n", b"250") and
                        say(b"RCPT TO:<first@sink.example>\r\n", b"250") and say(b"DATA\r\n", b"354") and
                        say(b"Subject: first\r\n\r\nfirst\r\n.\r\n", b"250"))
        except OSError:
            return False
    wait_for(once, "the first 250", timeout, 0.005)
    return time.monotonic() - began


def restart(server, kill):
    """Seconds from the start of the program to the first 250 after DATA."""
    if kill:
        server.kill()
    else:
        server.stop()
    drop_caches()
    began = time.monotonic()
    server.start(ready=False)
    return first_250(server, began)


def run_deferred(bench):
    count = bench.messages or DEFERRED
    more = Figure(f"private memory of the queue role, {count:,} deferred against none", "MiB", ("is", 4), ("is", 0.5),
                  costs=True, digits=2)
    clean = Figure(f"restart to the first 250 after DATA, {count:,} deferred, cold cache", "s", ("is", 2), ("is", 0.5),
                   costs=True, digits=2)
    killed = Figure("  the same after kill -9 of all roles", "s", ("is", 2), ("is", 0.5), costs=True, digits=2)
    empty = Figure("  the same with an empty queue", "s", costs=True, digits=2)
    root = os.geteuid() == 0
    for n in range(bench.rounds):
        bench.progress(f"deferred: round {n + 1} of {bench.rounds}")
        sink = tools.Sink()
        server = bench.weir(bench.place, sink.port)
        try:
            before = queue_private_kib(server)
            if root:
                empty.add("Weir", restart(server, False))
            server.stop()
            tools.fill(server, count)
            server.start()
            more.add("Weir", (queue_private_kib(server) - before) / 1024)
            if root:
                clean.add("Weir", restart(server, False))
                killed.add("Weir", restart(server, True))
        finally:
            server.stop()
            sink.drop()
            server.remove()
    for f in (more, clean, killed, empty):
        bench.add(f)
    if not root:
        bench.note("restart: not measured, only root may empty the page cache")
