"""The servers under test, and what their processes use.

Both relay everything to the sink by relayhost, look up no name, sync what
they answer for; Weir otherwise at its defaults, Postfix as postfix.py says.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess

import postfix
from harness import WEIR, free_port, wait_for
from place import TICK


def stat_of(pid):
    """(name, parent, session, CPU seconds, CPU seconds of ended children)"""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    name, rest = stat[stat.index("(") + 1:].rsplit(")", 1)
    f = rest.split()
    return name, int(f[1]), int(f[3]), (int(f[11]) + int(f[12])) / TICK, (int(f[13]) + int(f[14])) / TICK


def all_pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def rollup_kib(pids, *fields):
    """Sum of lines of smaps_rollup: "Pss", "Private_Dirty", ..."""
    total = 0
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(re.search(rf"^{f}:\s+(\d+)", text, re.M).group(1)) for f in fields)
    return total


def pss_kib(pids):
    return rollup_kib(pids, "Pss")


def private_kib(pids):
    return rollup_kib(pids, "Private_Dirty", "Private_Clean")


class Server:
    name = "?"

    def cpu(self):
        """Role -> CPU seconds."""
        now = {}
        for name, seconds in self.processes().values():
            now[name] = now.get(name, 0) + seconds
        return now


class WeirServer(Server):
    name = "Weir"
    box_domain = "box.example"

    def __init__(self, place, relay_port, extra=None, start=True):
        self.dir = place.sub("weir")
        self.port = free_port()
        conf = {
            "queue_directory": self.dir / "queue", "data_directory": self.dir / "data",
            "myhostname": "mx.bench.example", "smtp_listen": f"127.0.0.1:{self.port}",
            "relayhost": f"[127.0.0.1]:{relay_port}",
            "virtual_mailbox_domains": self.box_domain, "virtual_mailbox_base": self.dir / "mail",
            "virtual_mailbox_maps": "static:%u/Maildir/",
            "smtpd_client_connection_rate_limit": "0", "smtpd_client_message_rate_limit": "0",
            "smtpd_client_recipient_rate_limit": "0", "smtpd_client_connection_count_limit": "0",
        }
        conf.update(extra or {})
        # The base of mailboxes is never made by the server.
        (self.dir / "mail").mkdir()
        if os.geteuid() == 0:
            base = os.stat(self.dir)
            os.chown(self.dir / "mail", base.st_uid, base.st_gid)
        self.conf = self.dir / "weir.conf"
        self.conf.write_text("".join(f"{k} = {v}\n" for k, v in conf.items() if v is not None))
        self.conf.chmod(0o644)
        self.process = None
        if start:
            self.start()

    def start(self, ready=True):
        with open(self.dir / "log.txt", "wb") as log:
            self.process = subprocess.Popen([WEIR, "run", "-c", self.conf], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True)
        if not ready:
            return
        wait_for(lambda: b"weir: ready" in self.log() or self.process.poll() is not None,
                 lambda: "ready:\n" + self.log().decode(errors="replace"), 120)
        if self.process.poll() is not None:
            raise SystemExit(self.log().decode(errors="replace"))

    def log(self):
        return (self.dir / "log.txt").read_bytes()

    def processes(self):
        """pid -> (name, CPU seconds)"""
        found = {}
        for pid in all_pids():
            s = stat_of(pid)
            if s and s[2] == self.process.pid:
                found[pid] = (s[0], s[3])
        return found

    def pids(self, role):
        return [p for p, (name, _) in self.processes().items() if name == f"weir-{role}"]

    def boxes(self):
        new = self.dir / "mail/user0/Maildir/new"
        return len(os.listdir(new)) if new.is_dir() else 0

    def queue_length(self):
        r = subprocess.run([WEIR, "status", "-c", self.conf], capture_output=True, text=True)
        return r.stdout

    def kill(self):
        """kill -9 of the whole tree."""
        while self.processes():
            for pid in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait(30)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(120)

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class PostfixServer(Server):
    name = "Postfix"
    box_domain = "localhost.bench.example"

    def __init__(self, place, relay_port, extra=None):
        self.server = postfix.Postfix(place.sub("postfix"), relay_port, extra)
        self.port = self.server.port

    def processes(self):
        return self.server.processes()

    def boxes(self):
        return self.server.boxes()

    def stop(self):
        self.server.stop()
