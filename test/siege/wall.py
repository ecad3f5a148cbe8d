"""The wall around a server under siege: a hard limit of memory.

A cgroup, version 2 or 1, where this process may make one: then the kernel
holds all of it, page cache and kernel memory included.  Else RLIMIT_DATA for
each role, whose sum is the budget.  Which of the two it was is in .enforced.
"""
import contextlib
import os
import pathlib
import signal
import subprocess
import time

ROOT = pathlib.Path("/sys/fs/cgroup")


def _own(controller):
    """Path of this process's own group, "" as controller for version 2."""
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(",") if controller else names == "":
            return path.lstrip("/")
    return None


def _candidates(controller):
    """Folders below which a group with this controller may be made."""
    own = _own(controller)
    if own is not None and (ROOT / controller).is_dir():
        yield ROOT / controller / own
    own = _own("")
    for top in (ROOT, ROOT / "unified"):
        if own is not None and (top / "cgroup.controllers").exists():
            yield top / own
            yield top


def _enable(parent, controller):
    """Version 2 hands a controller down only where it is told to."""
    control = parent / "cgroup.subtree_control"
    if control.exists() and controller not in control.read_text().split():
        control.write_text(f"+{controller}")


class Group:
    """A control group; .dir is None where there can be none, and why_not says
    why."""

    def __init__(self, controller, name=None, within=None):
        self.dir = None
        self.why_not = f"no {controller} controller"
        limits = {"memory": ("memory.max", "memory.limit_in_bytes"), "pids": ("pids.max",),
                  "cpu": ("cpu.idle",)}[controller]
        for parent in [within] if within else _candidates(controller):
            try:
                _enable(parent, controller)
                path = parent / (name or f"weir-siege-{os.getpid()}-{controller}")
                path.mkdir()
            except OSError as e:
                self.why_not = str(e)
                continue
            if any((path / f).exists() for f in limits):
                self.dir, self.why_not = path, None
                return
            path.rmdir()

    @property
    def version(self):
        return 2 if (self.dir / "cgroup.controllers").exists() else 1

    def file(self, v2, v1):
        return self.dir / (v2 if self.version == 2 else v1)

    def limit_memory(self, most):
        self.file("memory.max", "memory.limit_in_bytes").write_text(str(most))
        with contextlib.suppress(OSError):
            self.file("memory.swap.max", "memory.memsw.limit_in_bytes").write_text(
                "0" if self.version == 2 else str(most))

    def enter(self):
        """For a child, between fork and exec."""
        (self.dir / "cgroup.procs").write_text("0")

    def open_to_all(self):
        """Any process may enter of itself; version 2 asks for the right to
        write where both groups meet, too."""
        (self.dir / "cgroup.procs").chmod(0o666)
        if self.version == 2:
            (self.dir.parent / "cgroup.procs").chmod(0o666)

    def close(self):
        end = time.monotonic() + 10
        while self.dir is not None:
            with contextlib.suppress(OSError):
                self.dir.rmdir()
                self.dir = None
                continue
            if time.monotonic() > end:
                raise AssertionError(f"{self.dir} still has processes")
            time.sleep(0.05)


class CgroupWall:
    """Two groups side by side: the server's, and one that users' commands
    enter before they do anything."""

    def __init__(self, budget, commands_bytes):
        self.top = Group("memory")
        if self.top.dir is None:
            raise OSError(self.top.why_not)
        self.group = Group("memory", "server", self.top.dir)
        self.commands = Group("memory", "commands", self.top.dir)
        self.group.limit_memory(budget)
        self.commands.limit_memory(commands_bytes)
        self.commands.open_to_all()
        self.enforced = f"cgroup v{self.group.version}"
        self.first_words = f"echo 0 >{self.commands.dir}/cgroup.procs; "

    def enter(self):
        self.group.enter()

    def hold(self, pids):
        pass

    def kills(self):
        """How often the kernel had to kill."""
        text = self.group.file("memory.events", "memory.oom_control").read_text()
        return sum(int(l.split()[1]) for l in text.splitlines() if l.split()[0] == "oom_kill")

    def figures(self):
        stat = dict(l.split() for l in (self.group.dir / "memory.stat").read_text().splitlines())
        g = self.group
        peak = g.file("memory.peak", "memory.max_usage_in_bytes")
        kernel = g.file("memory.stat", "memory.kmem.usage_in_bytes")
        return {
            "anonymous": int(stat["anon" if g.version == 2 else "rss"]),
            "shared": int(stat["shmem"]),
            "kernel": int(stat.get("kernel", 0)) if g.version == 2 else int(kernel.read_text()),
            "peak_with_page_cache": int(peak.read_text()) if peak.exists() else None,
        }

    def close(self):
        # Children of a command whose worker was killed live on.
        for pid in map(int, (self.commands.dir / "cgroup.procs").read_text().split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for g in (self.group, self.commands, self.top):
            g.close()


class PidsWall:
    """How many processes and threads the server and the commands may be."""

    def __init__(self):
        self.group = Group("pids")
        # In version 2 it would have to be the memory's own group.
        self.stands = self.group.dir is not None and self.group.version == 1

    @classmethod
    def why_not(cls):
        w = cls()
        w.close()
        return None if w.stands else w.group.why_not or "one group holds memory and pids here"

    def enter(self):
        if self.stands:
            self.group.enter()

    def limit(self, more):
        """So many more than there are; None: no limit."""
        now = int((self.group.dir / "pids.current").read_text())
        (self.group.dir / "pids.max").write_text("max" if more is None else str(now + more))

    def refused(self):
        """How often a fork was refused."""
        return int((self.group.dir / "pids.events").read_text().split()[1])

    def close(self):
        self.group.close()


class Aside:
    """Where strangers run: they have what everybody else leaves of the
    processors, as strangers' own processors would cost the server nothing.

    A group that is idle as a whole, for SCHED_IDLE counts only among those of
    one group, and each session may be one of its own (sched_autogroup).  Nice
    is not enough: who is merely nice keeps a processor until his slice is
    over, and each message would wait for a dozen slices."""

    def __init__(self):
        self.group = Group("cpu")
        self.first = os.sched_getscheduler(0) != os.SCHED_OTHER
        if self.group.dir:
            (self.group.dir / "cpu.idle").write_text("1")

    def said(self):
        if self.first:
            return "the server and its friends come before all others (SCHED_RR)"
        return "strangers get what the rest leaves of them" + (
            "" if self.group.dir else f" as far as SCHED_IDLE does it ({self.group.why_not})")

    def enter(self):
        """For a child, between fork and exec."""
        os.sched_setscheduler(0, os.SCHED_OTHER if self.first else os.SCHED_IDLE, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        if self.group.dir:
            self.group.enter()

    def close(self):
        self.group.close()


class RlimitWall:
    """Each role may have what the plan gives it, as data of its process."""

    enforced = "rlimit"
    first_words = ""  # of a command: the server has given it its own limit

    def __init__(self, plan):
        self.bytes = {r["role"]: r["floor_bytes"] + r["fixed_bytes"] + r["shared_bytes"] for r in plan["roles"]}
        self.held = set()

    def enter(self):
        pass

    def hold(self, pids):
        """Called again and again: roles that were restarted are held, too."""
        for pid, name in pids.items():
            role = name.removeprefix("weir-")
            if pid in self.held or role not in self.bytes:
                continue
            if self._limit(pid, self.bytes[role]):
                self.held.add(pid)

    @staticmethod
    def _limit(pid, most):
        """As its own user: for others even root may not.  False: it is gone."""
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False
        uid, gid = (int(l.split()[1]) for l in status.splitlines() if l.startswith(("Uid:", "Gid:")))
        other = {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}
        r = subprocess.run(["prlimit", f"--pid={pid}", f"--data={most}:{most}"], capture_output=True, text=True, **other)
        if r.returncode == 0:
            return True
        if pathlib.Path(f"/proc/{pid}").exists():
            raise AssertionError(f"no wall around process {pid}: {r.stderr}")
        return False

    def kills(self):
        return 0

    def figures(self):
        return {}

    def close(self):
        pass


def build(budget, plan, commands_bytes):
    """The hardest wall that this machine allows, and why not a harder one."""
    if os.environ.get("WEIR_SIEGE_WALL") != "rlimit":
        try:
            return CgroupWall(budget, commands_bytes), None
        except OSError as e:
            return RlimitWall(plan), f"no memory cgroup: {e}"
    return RlimitWall(plan), "WEIR_SIEGE_WALL=rlimit"
