"""What is done to the server: one class for each way, all with start and stop.

Strangers come from 127.1.0.0/16; raid.c says what they do.  The kinds that
do not speak SMTP to it (disks, next hops, a queue that becomes due) are here.
"""
import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import threading

from harness import BUILD

TOOLS = BUILD / "test/siege"


class Raid:
    """Strangers who speak SMTP."""

    def __init__(self, kind, clients, addresses=1000, wait_ms=1000, bytes_per_s=12_500_000):
        self.name = kind
        self.options = ["-c", clients, "-a", addresses, "-w", wait_ms, "-b", bytes_per_s, kind]

    def start(self, field):
        self.process = subprocess.Popen([TOOLS / "raid", *map(str, self.options), str(field.weir.port)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        preexec_fn=field.aside.enter)
        line = self.process.stderr.readline()
        assert line == "raid: ready\n", line

    def stop(self, field):
        self.process.terminate()
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return json.loads(out)


class Busy:
    """Nobody attacks: on each processor a stranger counts.  What is missing
    then is what any other work on the machine takes."""

    name = "busy"

    def start(self, field):
        self.processes = [subprocess.Popen(["sh", "-c", "while :; do :; done"], preexec_fn=field.aside.enter)
                          for _ in range(os.cpu_count())]

    def stop(self, field):
        for p in self.processes:
            p.kill()
            p.wait()
        return {"kind": self.name}


class StalledHop:
    """The queue's old mail becomes due, strangers send more, and the next hop
    of both takes connections and says nothing.  They send 1,000 messages a
    second, what smtpd_client_message_rate_limit lets 50 addresses do for
    ever."""

    name = "stalled next hop"

    def __init__(self):
        self.mail = Raid("mail", 50, addresses=50, bytes_per_s=150_000)

    def start(self, field):
        field.weir.process.send_signal(signal.SIGALRM)
        self.mail.start(field)

    def stop(self, field):
        return dict(self.mail.stop(field), kind=self.name, stalled=field.stall.connections)


class Commands:
    """Strangers write to addresses whose |command hangs, with a child that
    does not hear TERM, or writes without end."""

    name = "commands"
    limit_s = 4  # command_time_limit

    def __init__(self):
        self.mail = Raid("commands", 50, addresses=50, bytes_per_s=100_000)

    @staticmethod
    def aliases(first_words):
        return (f'hang: "|{first_words}(trap \'\' TERM; sleep 1000)& sleep 1000"\n'
                f'fill: "|{first_words}exec yes"\n')

    @classmethod
    def write(cls, field, on):
        """Who is there; when it is over what still comes goes nowhere."""
        path = field.weir.dir / "aliases"
        new = path.with_suffix(".new")
        new.write_text(cls.aliases(field.wall.first_words) if on else "hang: /dev/null\nfill: /dev/null\n")
        new.chmod(0o644)
        new.rename(path)

    def start(self, field):
        self.write(field, True)
        field.weir.hup()
        self.mail.start(field)

    def stop(self, field):
        figures = self.mail.stop(field)
        self.write(field, False)
        field.weir.hup()
        return dict(figures, kind=self.name)


class Pids(Commands):
    """The same while hardly a process more may be."""

    name = "pids limited"
    more = 3

    def start(self, field):
        field.pids_wall.limit(self.more)
        super().start(field)

    def stop(self, field):
        figures = super().stop(field)
        field.pids_wall.limit(None)
        return dict(figures, kind=self.name, forks_refused=field.pids_wall.refused())


class Descriptors:
    """Each process may have 256 descriptors: the server was started so, and
    10,000 come."""

    name = "descriptors 256"
    most = 256

    def __init__(self, clients):
        self.crowd = Raid("slow", clients)

    def start(self, field):
        field.restart(nofile=self.most)
        self.crowd.start(field)

    def stop(self, field):
        figures = self.crowd.stop(field)
        field.restart(nofile=None)
        return dict(figures, kind=self.name)


class Disk:
    """Others take all blocks, or all inodes, of the queue's file system, for
    the whole phase."""

    rate_counts = False

    def __init__(self, what):
        self.what = what
        self.name = f"{what} full"

    def start(self, field):
        path = field.disk.path
        if self.what == "disk":
            field.disk.fill()
            return
        (path / "many").mkdir()
        with contextlib.suppress(OSError):
            for i in range(1_000_000):
                (path / "many" / f"f{i}").touch()

    def stop(self, field):
        if self.what == "disk":
            field.disk.clear()
        else:
            for p in (field.disk.path / "many").iterdir():
                p.unlink()
            (field.disk.path / "many").rmdir()
        return {"kind": self.name}


class Together:
    """Several at once."""

    def __init__(self, name, parts):
        self.name = name
        self.parts = parts

    def start(self, field):
        for p in self.parts:
            p.start(field)

    def stop(self, field):
        return {"kind": self.name, "parts": [p.stop(field) for p in self.parts]}


class Stall:
    """A next hop that accepts and never answers."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.2", 0))
        self.socket.listen(1000)
        self.port = self.socket.getsockname()[1]
        self.held = []
        self.connections = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError as e:
                if e.errno in (errno.EMFILE, errno.ECONNABORTED):
                    continue
                return
            self.connections += 1
            self.held.append(conn)
            if len(self.held) > 200:
                self.held.pop(0).close()

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for c in self.held:
            c.close()


def single(clients):
    """Each way for itself; clients: as how many the crowds come."""
    few = min(200, clients)
    return [
        Busy(),
        Raid("idle", clients),
        Raid("slow", clients),
        Raid("line", few),
        Raid("command", few),
        Raid("headers", few),
        Raid("fields", few),
        Raid("recipients", few),
        Raid("bdat", few),
        Raid("bdat-huge", few),
        Raid("flood", few),
        Raid("half-open", clients, wait_ms=3000),
        StalledHop(),
        Commands(),
        Pids(),
        Descriptors(clients),
    ]


def disks():
    return [Disk("disk"), Disk("inodes")]


def at_once(clients):
    """All of them, as many as one alone, on one line."""
    few = min(50, clients)
    line = 12_500_000 // 9
    return Together("all at once", [
        Raid("idle", clients // 2), Raid("slow", clients // 4), Raid("half-open", clients // 4, wait_ms=3000),
        *(Raid(kind, few, bytes_per_s=line) for kind in
          ("line", "command", "headers", "fields", "recipients", "bdat", "bdat-huge", "flood")),
        StalledHop(), Commands()])
