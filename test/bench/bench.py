#!/usr/bin/env python3
"""Speed and size of Weir, side by side with its yardsticks.

Runs, interleaved, the load generator straight to the sink, Weir, and, where
Debian's Postfix can be unpacked (as root), Postfix, on the same file system:
a fresh ext4 image with a journal where root may mount one.  Prints medians
with minimum and maximum, and CPU per message by role.

usage: bench.py [--rounds N] [--messages N] [--only NAME,...] [--no-postfix]
                [--json FILE] [--dir DIR]
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build"
LOAD, SINK, WEIR = BUILD / "test/bench/load", BUILD / "test/bench/sink", BUILD / "weir"
TICK = os.sysconf("SC_CLK_TCK")
sys.path.insert(0, str(ROOT / "test/bench"))
sys.path.insert(0, str(ROOT / "test/system"))

from harness import NOBODY, free_port, wait_for  # noqa: E402


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- where it runs ----

class Place:
    """A directory on a fresh journaled ext4, or a plain one."""

    def __init__(self, directory):
        self.mounted = False
        self.base = pathlib.Path(directory or tempfile.mkdtemp(prefix="weir-bench-"))
        self.base.chmod(0o755)
        self.kind = "the directory's own file system"
        if os.geteuid() == 0 and not directory:
            image = self.base / "image"
            mnt = self.base / "mnt"
            mnt.mkdir()
            subprocess.run(["truncate", "-s", "6G", image], check=True)
            if subprocess.run(["mkfs.ext4", "-q", "-F", "-J", "size=128", image],
                              capture_output=True).returncode == 0 and \
                    subprocess.run(["mount", "-o", "loop", image, mnt], capture_output=True).returncode == 0:
                self.mounted = True
                self.kind = "fresh ext4 with a journal, loop mount"
                self.dir = mnt
                mnt.chmod(0o755)
                return
        self.dir = self.base / "plain"
        self.dir.mkdir()

    def sub(self, name):
        d = self.dir / name
        shutil.rmtree(d, ignore_errors=True)
        d.mkdir()
        d.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(d, NOBODY, NOBODY)
        return d

    def close(self):
        if self.mounted:
            subprocess.run(["umount", self.dir], capture_output=True)
        shutil.rmtree(self.base, ignore_errors=True)


# ---- processes ----

def processes(session=None, names=None):
    """pid -> (name, cpu seconds) of the processes of a session."""
    found = {}
    for p in pathlib.Path("/proc").iterdir():
        if not p.name.isdigit():
            continue
        try:
            stat = (p / "stat").read_text()
        except OSError:
            continue
        name, rest = stat[stat.index("(") + 1:].rsplit(")", 1)
        f = rest.split()
        if (session is not None and int(f[3]) == session) or (names and name in names):
            found[int(p.name)] = (name, (int(f[11]) + int(f[12])) / TICK)
    return found


def pss_kib(pids):
    total = 0
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
    return total


def private_kib(pids):
    total = 0
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(x) for x in re.findall(r"^Private_\w+:\s+(\d+)", text, re.M))
    return total


class Server:
    name = "?"

    def cpu(self):
        """Role -> CPU seconds; a role that ended keeps what was seen."""
        now = {}
        for name, seconds in self.processes().values():
            now[name] = now.get(name, 0) + seconds
        return now


class WeirServer(Server):
    name = "Weir"

    def __init__(self, place, relay_port, extra=None):
        self.dir = place.sub("weir")
        self.port = free_port()
        conf = {
            "queue_directory": self.dir / "queue", "data_directory": self.dir / "data",
            "myhostname": "mx.bench.example", "smtp_listen": f"127.0.0.1:{self.port}",
            "relayhost": f"[127.0.0.1]:{relay_port}",
            "virtual_mailbox_domains": "box.example", "virtual_mailbox_base": self.dir / "mail",
            "virtual_mailbox_maps": "static:%u/Maildir/",
            "smtpd_client_connection_rate_limit": "0", "smtpd_client_message_rate_limit": "0",
            "smtpd_client_recipient_rate_limit": "0", "smtpd_client_connection_count_limit": "0",
        }
        conf.update(extra or {})
        self.conf = self.dir / "weir.conf"
        self.conf.write_text("".join(f"{k} = {v}\n" for k, v in conf.items()))
        self.conf.chmod(0o644)
        self.log = open(self.dir / "log.txt", "ab")
        self.process = subprocess.Popen([WEIR, "run", "-c", self.conf], stdout=self.log, stderr=self.log,
                                        stdin=subprocess.DEVNULL, start_new_session=True)
        wait_for(lambda: b"weir: ready" in (self.dir / "log.txt").read_bytes() or self.process.poll() is not None,
                 "ready")
        if self.process.poll() is not None:
            raise SystemExit((self.dir / "log.txt").read_text())

    def processes(self):
        return processes(session=self.process.pid)

    def boxes(self):
        new = self.dir / "mail/user0/Maildir/new"
        return len(os.listdir(new)) if new.is_dir() else 0

    box_domain = "box.example"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(90)
        self.log.close()


class PostfixServer(Server):
    name = "Postfix"

    def __init__(self, place, relay_port, extra=None):
        import postfix
        self.server = postfix.Postfix(place.sub("postfix"), relay_port)
        self.port = self.server.port
        self.box_domain = "localhost.bench.example"

    def processes(self):
        return self.server.processes()

    def boxes(self):
        return self.server.boxes()

    def stop(self):
        self.server.stop()


# ---- one measurement ----

class Sink:
    def __init__(self, recipients):
        self.port = free_port()
        self.process = subprocess.Popen([SINK, "-n", str(recipients), str(self.port)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.process.stderr.readline()

    def result(self, timeout=300):
        out, _ = self.process.communicate(timeout=timeout)
        return json.loads(out)


def load(port, *args):
    r = subprocess.run([LOAD, *map(str, args), "127.0.0.1", str(port)], capture_output=True, text=True,
                       timeout=600)
    if r.returncode != 0:
        raise RuntimeError(f"load: {r.stderr}")
    return json.loads(r.stdout)


def straight(shape):
    sink = Sink(shape["messages"] * shape.get("rcpts", 1))
    l = load(sink.port, *shape["args"], "-n", shape["messages"])
    s = sink.result()
    seconds = (s["last_ns"] - l["started_ns"]) / 1e9
    return {"per_second": shape["messages"] / seconds,
            "cpu_us": {"load": l["cpu_us_per_message"], "sink": s["cpu_us"] / shape["messages"]}}


def through(server_class, place, shape):
    """Messages through a server until the last is at the sink or in the box."""
    n = shape["messages"]
    rcpts = shape.get("rcpts", 1)
    box = shape.get("box", False)
    sink = None if box else Sink(n * rcpts)
    server = server_class(place, sink.port if sink else 1, shape.get("conf"))
    try:
        before = server.cpu()
        args = list(shape["args"]) + ["-n", n]
        if box:
            args += ["-t", f"user%u@{server.box_domain}"]
        l = load(server.port, *args)
        if box:
            wait_for(lambda: server.boxes() >= n, lambda: f"{server.boxes()} of {n} in the box", 300, 0.005)
            ended = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        else:
            ended = sink.result()["last_ns"]
        after = server.cpu()
    finally:
        server.stop()
        if sink and sink.process.poll() is None:
            sink.process.kill()
    seconds = (ended - l["started_ns"]) / 1e9
    cpu = {k: (v - before.get(k, 0)) * 1e6 / n for k, v in after.items()}
    return {"per_second": n / seconds, "accepted_per_second": l["per_second"], "p99_us": l["p99_us"],
            "refused": l["refused"], "lost": l["lost"],
            "cpu_us": {k: round(v, 1) for k, v in cpu.items() if v > 0},
            "cpu_us_total": round(sum(cpu.values()), 1)}


SHAPES = {
    "relay": {"what": "relay, a connection per message", "args": ["-s", 50, "-m", 1], "messages": 10000},
    "reused": {"what": "relay, connections reused", "args": ["-s", 50, "-m", 0], "messages": 20000},
    "rcpts": {"what": "100 messages x 100 recipients (recipients/s)", "args": ["-s", 10, "-m", 0, "-r", 100],
              "messages": 100, "rcpts": 100},
    "big": {"what": "5 MiB messages, relay (MB/s)", "args": ["-s", 10, "-m", 0, "-l", 5242880], "messages": 100,
            "bytes": 5242880},
    "maildir": {"what": "Maildir of one user, synced", "args": ["-s", 50, "-m", 0], "messages": 5000, "box": True},
    "lone": {"what": "a lone client, one message after another", "args": ["-s", 1, "-m", 0], "messages": 2000},
}


def unit(shape, per_second):
    if "bytes" in shape:
        return per_second * shape["bytes"] / 1e6
    return per_second * shape.get("rcpts", 1)


def show(name, shape, values, results):
    line = f"  {name:<10} {statistics.median(values):>10.0f}  ({min(values):.0f}..{max(values):.0f})"
    last = results[-1]
    if "cpu_us_total" in last:
        median = statistics.median(r["cpu_us_total"] for r in results)
        line += f"   {median:.0f} us CPU per message: " + ", ".join(
            f"{k.removeprefix('weir-')} {statistics.median(r['cpu_us'].get(k, 0) for r in results):.0f}"
            for k in sorted(last["cpu_us"]))
    elif "cpu_us" in last:
        line += "   " + ", ".join(f"{k} {v:.0f} us" for k, v in last["cpu_us"].items())
    print(line, flush=True)


# ---- size and syncs ----

def memory(place):
    server = WeirServer(place, 1)
    try:
        pids = list(server.processes())
        idle = pss_kib(pids)
        by_role = {}
        for pid, (name, _) in server.processes().items():
            by_role[name] = by_role.get(name, 0) + pss_kib([pid])
        smtpds = [p for p, (n, _) in server.processes().items() if n == "weir-smtpd"]
        before = private_kib(smtpds)
        import socket
        held = []
        for _ in range(2000):
            s = socket.create_connection(("127.0.0.1", server.port))
            held.append(s)
        for s in held:
            s.recv(512)
            s.sendall(b"EHLO a.example\r\n")
            s.recv(1024)
        per = (private_kib(smtpds) - before) / len(held)
        for s in held:
            s.close()
    finally:
        server.stop()
    print(f"idle, all roles, PSS: {idle / 1024:.1f} MiB  (" +
          ", ".join(f"{k.removeprefix('weir-')} {v} KiB" for k, v in sorted(by_role.items())) + ")")
    print(f"per idle session, private memory of smtpd: {per:.2f} KiB (2,000 sessions)")
    return {"idle_pss_kib": idle, "by_role": by_role, "per_session_kib": per}


def syncs(place):
    """fdatasync calls of the queue role per message at 50 sessions."""
    n = 3000
    sink = Sink(n)
    server = WeirServer(place, sink.port)
    try:
        pid = next(p for p, (name, _) in server.processes().items() if name == "weir-queue")
        out = place.dir / "strace.txt"
        tracer = subprocess.Popen(["strace", "-f", "-c", "-e", "trace=fdatasync,fsync", "-o", out, "-p", str(pid)],
                                  stderr=subprocess.PIPE)
        wait_for(lambda: "TracerPid:\t0\n" not in open(f"/proc/{pid}/status").read(), "strace attached")
        load(server.port, "-s", 50, "-m", 0, "-n", n)
        sink.result()
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)
        calls = sum(int(m.group(1)) for m in re.finditer(r"\s(\d+)\s+(?:\d+\s+)?f(?:data)?sync$", out.read_text(), re.M))
    finally:
        server.stop()
    print(f"fdatasync and fsync per message, 50 sessions: {calls / n:.3f}")
    return calls / n


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--messages", type=int, help="per run, instead of each shape's own number")
    ap.add_argument("--only", help="comma list of: " + ", ".join(SHAPES) + ", memory, syncs")
    ap.add_argument("--no-postfix", action="store_true")
    ap.add_argument("--json", help="write all results to this file")
    ap.add_argument("--dir", help="run below this directory instead of a fresh image")
    args = ap.parse_args()
    only = args.only.split(",") if args.only else list(SHAPES) + ["memory", "syncs"]
    place = Place(args.dir)
    everything = {}
    servers = [WeirServer]
    try:
        if not args.no_postfix:
            import postfix
            why = postfix.unavailable()
            if why:
                say(f"bench: without Postfix: {why}")
            else:
                servers.append(PostfixServer)
        print(f"{time.strftime('%Y-%m-%d')}  {os.cpu_count()} cores, Linux {os.uname().release}, {place.kind}; "
              f"4 KiB messages, 50 sessions unless said; median (min..max) of {args.rounds}")
        for key, shape in SHAPES.items():
            if key not in only:
                continue
            shape = dict(shape)
            if args.messages:
                shape["messages"] = args.messages
            print(shape["what"])
            rows = {}
            for _ in range(args.rounds):
                if not shape.get("box"):
                    rows.setdefault("generator", []).append(straight(shape))
                for s in servers:
                    small = dict(shape)
                    if s is PostfixServer:
                        small["messages"] = max(shape["messages"] // 5, 20)
                    rows.setdefault(s.name, []).append(through(s, place, small))
            for name, results in rows.items():
                show(name, shape, [unit(shape, r["per_second"]) for r in results], results)
            everything[key] = rows
            if "Postfix" in rows:
                ratio = statistics.median(r["per_second"] for r in rows["Weir"]) / \
                    statistics.median(r["per_second"] for r in rows["Postfix"])
                print(f"  Weir is {ratio:.1f} x Postfix")
        if "memory" in only:
            everything["memory"] = memory(place)
        if "syncs" in only and shutil.which("strace"):
            everything["syncs"] = syncs(place)
    finally:
        place.close()
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
