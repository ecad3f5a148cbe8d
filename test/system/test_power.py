"""Power cuts: what was not synced is gone, what was answered 250 is not.

A file system on a loop mount is shut down without a flush of its journal, in
the instant of a client's 250, and mounted again.  Beside it runs load, so that
the cut comes in the middle of everything.  The same rig loses mail when a
single sync is left out: it would notice.
"""
import contextlib
import fcntl
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading

import pytest

from cutter import IOC_SHUTDOWN, NO_LOG_FLUSH
from harness import FAST_RETRY, SANITIZED, FakeMX, Faults, Image, Weir, relay_conf, wait_for
from test_crash import CONF, Load, found_whole, settle

CUTTER = os.path.join(os.path.dirname(__file__), "cutter.py")
KINDS = ["ext4", "xfs"]
SIZE = 320 << 20


def image_of(kind):
    why = Image.why_not(kind)
    if why:
        pytest.skip(why)
    return Image(kind, SIZE)


class Later:
    """A next hop that takes mail to later... only when it is open."""

    def __init__(self):
        self.open = False
        self.mx = FakeMX(lambda verb, arg, conn: "450 4.2.0 later"
                         if verb == "RCPT" and "later" in arg and not self.open else None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.mx.close()


def cut(w, image, count, tag, planted=""):
    """count messages, and the power goes with the 250 of the last."""
    fd = os.open(image.path, os.O_RDONLY)
    try:
        r = subprocess.run([sys.executable, CUTTER, str(w.port), str(fd), str(count), tag,
                            str(planted)], pass_fds=[fd], capture_output=True, timeout=120)
    finally:
        os.close(fd)
    assert r.returncode == 0, (r.stderr.decode(), w.log()[-4000:])
    acked = json.loads(r.stdout)
    assert len(acked) == count
    return acked


def restore(w, image):
    """The machine comes up again: the journal is replayed, Weir starts."""
    image.unmount()
    image.mount()
    w.start()


def lost(w, mx, load):
    """Names that were acknowledged and are nowhere, once the queue is empty."""
    w.wait_queue_empty(60)
    seen = found_whole(w, mx, load)
    return [n for n in load.acked if n not in seen]


@contextlib.contextmanager
def injected(pid, calls, what):
    """A process and its children get this for their system calls."""
    strace = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}",
                               "-e", f"inject={calls}:{what}", "-p", str(pid)])
    try:
        wait_for(lambda: not re.search(r"TracerPid:\t0\n", open(f"/proc/{pid}/status").read()),
                 "strace attached")
        yield
    finally:
        strace.terminate()
        try:
            strace.wait(10)
        except subprocess.TimeoutExpired:
            # A thread that was killed as it began may never be told to it;
            # what it traced is dead already.
            strace.kill()
            strace.wait(10)


class Quiet:
    """Nobody sends."""

    def __init__(self):
        self.acked = {}


def add(load, names):
    for n in names:
        load.acked[n] = (f"later-{n}@far.example", f"{n} body\n")


@pytest.mark.parametrize("kind", KINDS)
def test_power_is_cut_in_the_instant_of_the_250(kind, request):
    rounds = max(request.config.getoption("--rounds") // 10, 1)
    if SANITIZED:
        rounds = 1
    seed = request.config.getoption("--seed")
    if seed is None:
        seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    total = removed = duplicates = 0
    with image_of(kind) as image, Later() as later:
        # Small segments: the cut meets them being made, closed and used again.
        conf = dict(relay_conf(later.mx), **dict(CONF, queue_segment_size="1M",
                                                 message_size_limit="1M"))
        with Weir(conf, data=image.path) as w:
            for n in range(rounds):
                # The first time on an empty spool, with nothing but its
                # making behind it.
                if n == 0:
                    load = Quiet()
                    add(load, cut(w, image, 1, f"c{n}"))
                else:
                    load = Load(w, f"r{n}")
                    wait_for(lambda: len(load.acked) >= 100,
                             lambda: "100 acknowledged\n" + w.log()[-4000:])
                    names = cut(w, image, rng.choice((1, 3, 10, 30)), f"c{n}")
                    # Answers of a server without power count as well, until
                    # it finds out: their bytes must be safe.
                    w.wait_log(r"the message log cannot be written", count=n)
                    removed += w.count_log(r": removed$")
                w.kill()
                if n > 0:
                    load.stop()
                    add(load, names)
                later.open = True
                restore(w, image)
                seen = settle(w, later.mx, load)
                w.wait_queue_empty(60)
                later.open = False
                total += len(load.acked)
                duplicates += sum(c - 1 for c in seen.values())
                for i in range(4):
                    new = w.maildir(f"u{i}") / "new"
                    for p in new.iterdir() if new.is_dir() else ():
                        p.unlink()
                later.mx.messages.clear()
            assert rounds == 1 or removed > 0, "nothing was delivered before a cut"
            assert w.weir("fsck", w.data / "queue").returncode == 0
            assert w.stop() == 0
    print(f"{kind}: {rounds} cuts, {total} acknowledged, 0 lost, {duplicates} duplicates")


@pytest.mark.parametrize("kind", KINDS)
def test_the_rig_sees_a_single_sync_that_is_missing(kind):
    """The same cut with one sync left out, that of the last message."""
    with image_of(kind) as image, Later() as later, Faults() as faults:
        conf = dict(relay_conf(later.mx), **CONF)
        with Weir(conf, data=image.path, env=faults.env) as w:
            load = Quiet()
            add(load, cut(w, image, 5, "p", planted=faults.path("queue")))
            assert faults.get("queue", "failed") > 0
            w.kill()
            faults.set("queue", sync=0)
            later.open = True
            restore(w, image)
            assert lost(w, later.mx, load) == ["p-4"]


# ---- mailboxes ----

BOXES = {"maildir": "static:%u/Maildir/", "mbox": "static:%u"}


def boxes(w, box):
    """Everything in the mailboxes of u0 to u3."""
    if box == "maildir":
        return b"".join(m for i in range(4) for m in w.mails(f"u{i}"))
    return b"".join(p.read_bytes() for p in (w.data / "mail").iterdir() if p.is_file())


def deliver_until_the_cut(w, image, box, at):
    """Send to four mailboxes and cut the power when at deliveries were said
    to be done.  Returns the names of all that were said to be done before: a
    sync that runs in the instant of the cut may still say success, which on a
    machine without power nobody hears."""
    names, log = {}, ""
    fd = os.open(image.path, os.O_RDONLY)

    def send(i):
        try:
            for k in range(25):
                name = f"n-{i}-{k}"
                names[w.send(f"u{i}@example.test", sender="",
                             body=f"X-Name: {name}\r\n\r\nbegin {name}\r\nend {name}.\r\n")] = name
        except (OSError, AssertionError):
            pass  # the power is gone

    threads = [threading.Thread(target=send, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    try:
        wait_for(lambda: w.count_log("status=sent") >= at, lambda: f"{at} sent\n" + w.log(), step=0)
        log = w.log()
        fcntl.ioctl(fd, IOC_SHUTDOWN, NO_LOG_FLUSH)
    finally:
        os.close(fd)
        for t in threads:
            t.join()
    w.kill()
    sent = [int(i) for i in re.findall(r": (\d+): to=<.*status=sent", log)]
    assert len(sent) >= at
    # Whose 250 was lost with the power: known by no name.
    return [names[i] for i in sent if i in names]


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_delivered_is_in_the_mailbox_after_a_cut(kind, box):
    with image_of(kind) as image:
        for at in (1, 30):
            conf = dict(FAST_RETRY, virtual_mailbox_maps=BOXES[box])
            with Weir(conf, data=image.path) as w:
                sent = deliver_until_the_cut(w, image, box, at)
                image.unmount()
                image.mount()
                found = boxes(w, box)
                missing = [n for n in sent if f"end {n}.".encode() not in found]
                assert not missing, (missing, sent)
                shutil.rmtree(image.path / "queue")
                shutil.rmtree(image.path / "mail")


@pytest.mark.parametrize("box", BOXES)
def test_the_rig_sees_syncs_of_a_mailbox_that_are_missing(box):
    with image_of("ext4") as image:
        conf = dict(FAST_RETRY, virtual_mailbox_maps=BOXES[box])
        with Weir(conf, data=image.path) as w:
            with injected(w.role_pids("local")[0], "fsync,fdatasync,syncfs,sync_file_range",
                          "retval=0"):
                sent = deliver_until_the_cut(w, image, box, 30)
            image.unmount()
            image.mount()
            found = boxes(w, box)
            missing = [n for n in sent if f"end {n}.".encode() not in found]
            assert missing, "nothing was lost although nothing was synced"
