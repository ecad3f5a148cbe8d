"""What is seen of a server from outside: memory, descriptors, processes."""
import collections
import contextlib
import os
import pathlib
import re
import threading

from servers import pss_kib


class Sampler(threading.Thread):
    """Proportional memory of all processes, once a second; the wall, too, is
    put around roles that came since."""

    def __init__(self, weir):
        super().__init__(daemon=True)
        self.weir = weir
        self.peak_kib = 0
        self.roles = {}
        self.failed = None
        self.over = threading.Event()
        self.start()

    def run(self):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        try:
            self._watch()
        except Exception as e:  # a wall that does not stand is a failure
            self.failed = e

    def _watch(self):
        while not self.over.wait(0.5):
            pids = self.weir.pids()
            self.weir.wall.hold(pids)
            total = 0
            for pid, name in pids.items():
                kib = pss_kib([pid])
                total += kib
                self.roles[name] = max(self.roles.get(name, 0), kib)
            self.peak_kib = max(self.peak_kib, total)

    def stop(self):
        self.over.set()
        self.join()


def descriptors(weir):
    """Role -> open descriptors.  Not those of the log's segments: the queue
    has as many as there are, and deliverers keep a bounded number."""
    count = collections.Counter()
    for pid, name in weir.pids().items():
        for fd in pathlib.Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(OSError):
                count[name] += "/queue/log/" not in os.readlink(fd)
    return dict(count)


def open_files(weir, role):
    """What its descriptors are: kind -> how many."""
    kinds = collections.Counter()
    for pid in weir.role_pids(role.removeprefix("weir-")):
        for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                kinds[re.sub(r"\d+|\[.*", "", os.readlink(fd))] += 1
    return dict(kinds)


def holdings(weir):
    """Name -> row of everything that somebody may hold now."""
    wanted = {"gate", "pool", "account"}
    # The one status client is who asks.
    return {f"{r['role']}/{r['index']} {r['name']}": r for r in weir.json("limits")["limits"]
            if r["kind"] in wanted and r["name"] != "status clients"}


def held(weir):
    """The gates that are not empty, as text."""
    return "held: " + (", ".join(f"{key} {r['in_use']}" for key, r in holdings(weir).items()
                                 if r["kind"] == "gate" and r["in_use"]) or "no gate")


def processes(weir):
    """One line for each of its processes and of theirs: what it waits for."""
    lines = []

    def look(pid, depth):
        def read(name):
            with contextlib.suppress(OSError):
                return pathlib.Path(f"/proc/{pid}/{name}").read_text()
            return ""
        state = re.search(r"^State:\s*(.*)", read("status"), re.M)
        words = read("cmdline").replace("\0", " ").strip() or read("comm").strip()
        lines.append(f"{'  ' * depth}{pid} {state[1] if state else 'gone'}, in {read('wchan') or '?'}: {words[:100]}")
        for child in read(f"task/{pid}/children").split()[:100]:
            look(int(child), depth + 1)
    if weir.process:
        look(weir.process.pid, 0)
    return "\n".join(lines)
