"""The programs that make load, take it, and write to the bare disk."""
import json
import os
import re
import signal
import subprocess
import time

import postfix
from harness import BUILD, free_port, wait_for

TOOLS = BUILD / "test/bench"


class Sink:
    """Takes recipients and counts them, after warm ones that do not count."""

    def __init__(self, recipients=0, warm=0, options=()):
        self.port = free_port()
        args = ["-n", recipients, "-w", warm, *options, self.port]
        self.process = subprocess.Popen([TOOLS / "sink", *map(str, args)], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.process.stderr.readline()

    def wait_warm(self):
        assert self.process.stderr.readline() == "sink: warm\n"

    def result(self, timeout=900):
        out, _ = self.process.communicate(timeout=timeout)
        return json.loads(out)

    def next(self):
        """With -k: when the next count is full."""
        return json.loads(self.process.stdout.readline())

    def now(self):
        """What it counted until now."""
        self.process.send_signal(signal.SIGUSR1)
        return self.next()

    def stop(self):
        """End it early; what it counted until now."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.result(30)

    def drop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def load(port, *args, timeout=900):
    r = subprocess.run([TOOLS / "load", *map(str, args), "127.0.0.1", str(port)], capture_output=True, text=True,
                       timeout=timeout)
    if r.returncode != 0:
        raise RuntimeError(f"load {args}: {r.stderr}")
    return json.loads(r.stdout)


class Crowd:
    """Clients that send a byte a second, as tools/slow.c says."""

    def __init__(self, port, clients, addresses, wait_s):
        self.process = subprocess.Popen(
            [TOOLS / "slow", "-c", str(clients), "-a", str(addresses), "-w", str(wait_s), str(port)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if line != "slow: ready\n":
            raise RuntimeError(line)

    def stop(self):
        self.process.terminate()
        out, _ = self.process.communicate(timeout=60)
        return json.loads(out)


def append(place, count, size):
    """A plain loop of append and fdatasync on the same file system."""
    path = place.dir / "append"
    r = subprocess.run([TOOLS / "append", path, str(count), str(size)], capture_output=True, text=True, check=True)
    path.unlink()
    return json.loads(r.stdout)["per_second"]


def fill(server, count, size=1024):
    """Deferred messages straight into the spool of a server that is down."""
    queue = server.dir / "queue"
    owner = os.stat(queue)

    def drop():
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
    subprocess.run([TOOLS / "fill", queue, str(count), str(size)], check=True, timeout=3600,
                   preexec_fn=drop if os.geteuid() == 0 else None)


class OtherSink:
    """Postfix's smtp-sink, until it has taken so many messages."""

    def __init__(self, messages):
        self.port = free_port()
        self.process = subprocess.Popen(
            [postfix.CACHE / "usr/sbin/smtp-sink", "-u", "nobody", "-M", str(messages), f"127.0.0.1:{self.port}", "1000"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=postfix.environment())
        wait_for(self._listens, "smtp-sink listens")

    def _listens(self):
        """Without a connection, which would be one of its sessions."""
        text = open("/proc/net/tcp").read()
        return re.search(rf"^\s*\d+: 0100007F:{self.port:04X} \S+ 0A ", text, re.M)

    def wait(self, timeout=900):
        self.process.wait(timeout)
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def drop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def other_source(port, sessions, count, size, reuse, straight=False):
    """Postfix's smtp-source; when it began.  straight: into its smtp-sink,
    which ends with the last message and does not wait for QUIT."""
    args = ["-s", sessions, "-m", count, "-l", size, "-f", "bench@client.example", "-t", "user0@sink.example"]
    if reuse:
        args.insert(0, "-d")
    began = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    r = subprocess.run([postfix.CACHE / "usr/sbin/smtp-source", *map(str, args), f"127.0.0.1:{port}"],
                       capture_output=True, text=True, env=postfix.environment(), timeout=900)
    if r.returncode != 0 and not straight:
        raise RuntimeError("smtp-source: " + r.stderr[-500:])
    return began
