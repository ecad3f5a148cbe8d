"""Where the benchmark runs, and what must be said about it.

A fresh ext4 with a journal on a loop mount, if root may mount one: the same
for every server, and empty at the start of each run.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from harness import BUILD, NOBODY

TICK = os.sysconf("SC_CLK_TCK")


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Place:
    def __init__(self, directory=None, gib=12):
        self.mounted = False
        self.base = pathlib.Path(directory or tempfile.mkdtemp(prefix="weir-bench-", dir="/var/tmp"))
        self.base.chmod(0o755)
        self.kind = "the file system of " + str(self.base)
        if os.geteuid() == 0 and not directory and self._mount(gib):
            return
        self.dir = self.base / "plain"
        self.dir.mkdir(exist_ok=True)

    def _mount(self, gib):
        image, self.dir = self.base / "image", self.base / "mnt"
        self.dir.mkdir()
        subprocess.run(["truncate", "-s", f"{gib}G", image], check=True)
        for command in (["mkfs.ext4", "-q", "-F", "-J", "size=128", image],
                        ["mount", "-o", "loop", image, self.dir]):
            if subprocess.run(command, capture_output=True).returncode != 0:
                return False
        self.mounted = True
        self.kind = "fresh ext4 with a journal, loop mount"
        self.dir.chmod(0o755)
        return True

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


def drop_caches():
    """The page cache, dentries and inodes are empty.  Needs root."""
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")


def _cpu():
    m = re.search(r"^model name\s*:\s*(.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    return m.group(1).strip() if m else os.uname().machine


def _commit():
    r = subprocess.run(["git", "-C", BUILD.parent, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return f" ({r.stdout.strip()})" if r.returncode == 0 else ""


def facts(place, rounds, peers):
    """What a figure is worth nothing without."""
    weir = subprocess.run([BUILD / "weir", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1))
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} x {_cpu()}, {memory / 1048576:.0f} GiB",
        "kernel": f"{os.uname().sysname} {os.uname().release}",
        "file_system": place.kind,
        "versions": ", ".join([weir.strip() + _commit(), *peers]),
        "rounds": rounds,
        "load": f"{os.getloadavg()[0]:.1f} before the first run",
    }
