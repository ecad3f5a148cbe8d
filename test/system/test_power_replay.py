"""Power cuts without a mount: what the queue asked of the disk is replayed.

record.c, preloaded into the queue role, writes down each write, sync and change
of a name while clients send.  Each client reads the length of that record in
the instant of its 250.  From the record up to any instant the directory is
made anew as a power cut may leave it: what was synced is there, of what was
not each write is kept, dropped or torn at a sector, each change of a name kept
or dropped, in the order of its file.  On that Weir starts.
"""
import collections
import mmap
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import tempfile
import threading

import pytest

from harness import SANITIZED, Weir

EVENT = struct.Struct("=IIQQ256s")
SECTOR = 512
LINES = (1, 1, 60, 900, 5000)  # of a message
CONF = {"queue_segment_size": "1M", "message_size_limit": "500000", "defer_transports": "smtp",
        "queue_minfree": "0"}


class Recorder:
    """The library, and the record of one role."""

    def __init__(self, role="queue"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-record-"))
        self.dir.chmod(0o755)
        library = self.dir / "record.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library,
                        pathlib.Path(__file__).with_name("record.c")], check=True)
        self.env = {"LD_PRELOAD": str(library), "WEIR_RECORD": str(self.dir)}
        self.path = self.dir / f"weir-{role}"
        skip = self.dir / f"weir-{role}.skip"
        for p in (self.path, skip):
            p.write_bytes(b"" if p is self.path else bytes(8))
            p.chmod(0o666)
        self.file = open(self.path, "rb")
        with open(skip, "r+b") as f:
            self.skip = mmap.mmap(f.fileno(), 0)

    def length(self):
        return os.fstat(self.file.fileno()).st_size

    def leave_out_syncs(self):
        self.skip[0:1] = b"\1"

    def before_syncs_end(self, after):
        """The instants at which most is not synced yet."""
        at, places = 0, []
        for kind, _, _, _, data in self.events(self.length()):
            if kind == "S" and at >= after:
                places.append(at)
            at += EVENT.size + len(data)
        return places

    def events(self, upto):
        """(kind, path, serial, offset, bytes) of what had begun by then."""
        self.file.seek(0)
        while self.file.tell() + EVENT.size <= upto:
            kind, size, serial, offset, path = EVENT.unpack(self.file.read(EVENT.size))
            yield chr(kind), path.rstrip(b"\0").decode(), serial, offset, self.file.read(size)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.skip.close()
        self.file.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class File:
    def __init__(self):
        self.safe = bytearray()  # what a sync has covered
        self.pending = []        # [serial, offset, bytes or None: a size, over]


class Disk:
    """What may be on the disk after the events so far."""

    def __init__(self):
        self.names = {}     # path -> File, as the process sees it
        self.dirs = set()
        self.safe = {}      # path -> File, after a cut, at least
        self.ops = []       # [directory, from or None, to or None, File]
        self.syncs = {}     # serial -> what it will have covered
        self.torn = 0

    def play(self, kind, path, serial, offset, data):
        f = self.names.get(path)
        if kind == "c" and f is None:
            f = self.names[path] = File()
            self.ops.append([os.path.dirname(path), None, path, f])
        elif kind == "w":
            f.pending.append([serial, offset, data, False])
        elif kind == "W":
            for p in f.pending:
                if p[0] == serial:
                    p[3], p[2] = True, p[2][:offset]
        elif kind in "at":
            f.pending.append([serial, offset, None, True])
            f.pending[-1].append(kind)
        elif kind == "s":
            if f is None:
                self.syncs[serial] = [op for op in self.ops if op[0] == path.rstrip("/.")]
            else:
                self.syncs[serial] = [p for p in f.pending if p[3]]
        elif kind == "S":
            covered = self.syncs.pop(serial)
            if f is None:
                for op in covered:
                    self._name(self.safe, op)
                self.ops = [op for op in self.ops if not any(op is c for c in covered)]
            else:
                for p in covered:
                    self._apply(f.safe, p)
                f.pending = [p for p in f.pending if not any(p is c for c in covered)]
        elif kind == "r":
            to = data.decode()
            self.names[to] = self.names.pop(path)
            self.ops.append([os.path.dirname(to), path, to, self.names[to]])
        elif kind == "u":
            self.ops.append([os.path.dirname(path), path, None, self.names.pop(path, None)])
        elif kind == "m":
            self.dirs.add(path)

    @staticmethod
    def _name(names, op):
        if op[1] is not None:
            names.pop(op[1], None)
        if op[2] is not None:
            names[op[2]] = op[3]

    @staticmethod
    def _apply(content, p):
        _, offset, data, _ = p[:4]
        end = offset + len(data) if data is not None else offset
        if len(content) < end:
            content.extend(bytes(end - len(content)))
        if data is not None:
            content[offset:end] = data
        elif p[4] == "t":
            del content[offset:]

    def _after_cut(self, f, rng):
        content = bytearray(f.safe)
        for p in f.pending:
            fate = rng.randrange(3) if rng else 0
            if fate == 1:
                self._apply(content, p)
            elif fate == 2 and p[2]:
                keep = rng.randrange(len(p[2]) // SECTOR + 1) * SECTOR
                self.torn += 1
                self._apply(content, [p[0], p[1], p[2][:keep], True])
        return content

    def cut(self, root, rng):
        """Build it; rng None: all that was not synced is gone."""
        names = dict(self.safe)
        stopped = set()
        for op in self.ops:
            if rng is None or id(op[3]) in stopped or rng.randrange(2):
                stopped.add(id(op[3]))
            else:
                self._name(names, op)
        # A directory is synced by whoever made it before it is used.
        for d in sorted(self.dirs):
            (root / d).mkdir(exist_ok=True)
        for path, f in names.items():
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_bytes(self._after_cut(f, rng))


class Acked:
    """Senders that note in the instant of each 250 how long the record was."""

    def __init__(self, w, recorder, senders, count):
        self.w, self.recorder = w, recorder
        self.acks = []  # (length, id, name)
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(i, count), daemon=True)
                        for i in range(senders)]
        for t in self.threads:
            t.start()

    def _run(self, n, count):
        rng = random.Random(n)
        with self.w.client() as c:
            c.ok("EHLO client.example")
            for i in range(count):
                # Every third is delivered at once, so that results are
                # written, messages end and segments are used again.
                self.send(c, f"p-{n}-{i}", rng.choice(LINES),
                          "u@example.test" if i % 3 == 2 else "later@far.example")

    def send(self, c, name, lines, rcpt):
        c.ok("MAIL FROM:<>")
        c.ok(f"RCPT TO:<{rcpt}>")
        c.ok("DATA", 354)
        c.send(f"X-Name: {name}\r\n\r\n" + f"{name} is here\r\n" * lines + ".\r\n")
        code, text = c.reply()
        length = self.recorder.length()
        assert code == 250, (code, text)
        with self.lock:
            if "far" in rcpt:
                self.acks.append((length, int(re.search(r"queued as (\d+)", text).group(1)), name))

    def join(self):
        for t in self.threads:
            t.join(120)
        assert self.acks
        self.acks.sort()


def rebuilt(w, recorder, upto, rng):
    """The spool as it may be after a cut at that instant."""
    disk = Disk()
    for e in recorder.events(upto):
        disk.play(*e)
    root = w.data / "queue"
    for p in root.glob("index*"):
        p.unlink() if p.is_file() else shutil.rmtree(p)
    for p in {path.split("/")[0] for path in disk.names} | disk.dirs:
        top = root / p
        if top.is_dir():
            shutil.rmtree(top)
        elif top.exists():
            top.unlink()
    owner = root.stat()
    disk.cut(root, rng)
    for folder, _, files in os.walk(root):
        for name in [folder] + [os.path.join(folder, f) for f in files]:
            if any(os.path.relpath(name, root).split("/")[0] == p.split("/")[0]
                   for p in list(disk.names) + list(disk.dirs)):
                os.chown(name, owner.st_uid, owner.st_gid)
    return disk


def missing(w, acks, upto):
    """Names that were acknowledged by then and are not in the queue, whole."""
    there = {int(m["queue_id"]) for m in w.queue()}
    due = [a for a in acks if a[0] <= upto]
    gone = [name for _, i, name in due if i not in there]
    for _, i, name in due[-3:] + due[:2]:
        if i in there:
            out = w.weir("queue", "cat", str(i)).out
            lines = out.count(f"{name} is here")
            assert lines in LINES and f"X-Name: {name}" in out, (name, lines)
    return gone


def record_load(recorder, senders, count):
    w = Weir(CONF, env=recorder.env)
    load = Acked(w, recorder, senders, count)
    load.join()
    return w, load


def replay(w, recorder, load, cuts, rng):
    """Returns how much was dropped and torn, of all cuts together."""
    counts = collections.Counter()
    w.env = {}
    for n, upto in enumerate(cuts):
        disk = rebuilt(w, recorder, upto, rng if n % 3 else None)
        counts["unsynced"] += sum(len(f.pending) for f in disk.names.values())
        counts["torn"] += disk.torn
        counts["names"] += len(disk.ops)
        w.start()
        gone = missing(w, load.acks, upto)
        assert not gone, (f"cut at {upto}, {n}", gone[:5], w.log()[-3000:])
        assert not re.search(r"damage in segment|set aside", w.log()), w.log()[-3000:]
        counts["kept"] += sum(a[0] <= upto for a in load.acks)
        w.kill()
    return counts


def instants(recorder, load, rng, count):
    """Half of them those of a 250, half in the middle of a sync."""
    acks = [a[0] for a in load.acks]
    syncs = recorder.before_syncs_end(acks[0])
    return ([acks[0], acks[-1]] + rng.sample(acks, min(count // 2, len(acks))) +
            rng.sample(syncs, min((count + 1) // 2, len(syncs))))


def chosen(request):
    seed = request.config.getoption("--seed")
    if seed is None:
        seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    return random.Random(seed)


def test_nothing_acknowledged_is_lost_at_any_instant(request):
    rng = chosen(request)
    with Recorder() as recorder:
        w, load = record_load(recorder, 8, 8 if SANITIZED else 25)
        with w:
            w.kill()
            cuts = instants(recorder, load, rng, 3 if SANITIZED else 9)
            counts = replay(w, recorder, load, cuts, rng)
    print(f"{len(cuts)} cuts: {dict(counts)}")
    assert counts["unsynced"] > 0, "there was nothing to lose"


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_at_many_instants(request):
    rng = chosen(request)
    rounds = request.config.getoption("--rounds")
    with Recorder() as recorder:
        w, load = record_load(recorder, 16, 60)
        with w:
            w.kill()
            cuts = instants(recorder, load, rng, 4 * rounds)
            counts = replay(w, recorder, load, cuts, rng)
    print(f"{len(cuts)} cuts: {dict(counts)}")
    assert counts["unsynced"] > 0 and counts["torn"] > 0


def test_the_rig_sees_a_sync_that_is_missing():
    with Recorder() as recorder:
        w, load = record_load(recorder, 2, 5)
        with w:
            recorder.leave_out_syncs()
            with w.client() as c:
                c.ok("EHLO client.example")
                load.send(c, "unsafe", 1, "later@far.example")
            w.kill()
            w.env = {}
            rebuilt(w, recorder, load.acks[-1][0], None)
            w.start()
            assert missing(w, load.acks, load.acks[-1][0]) == ["unsafe"]
