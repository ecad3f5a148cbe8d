"""mbox files between us and those who read them; quotas; full mailboxes."""
import email
import fcntl
import mailbox
import os
import re
import shutil
import subprocess
import threading
import time

import pytest

from harness import DEADLINE, FAST_RETRY, NOBODY, Weir, dead_owner, message, wait_for
from test_controls import named, refused, unnamed

PATIENT = {"deliver_lock_attempts": "600", "deliver_lock_delay": "50ms"}


def mbox_of(w, user="joe"):
    return w.dir / "mail" / user


def own(*paths):
    """What the server writes as when it runs as root."""
    if os.geteuid() == 0:
        for p in paths:
            os.chown(p, NOBODY, NOBODY)


class Holding:
    """A lock of one kind on path, held by somebody else."""

    def __init__(self, kind, path):
        self.kind, self.path, self.file = kind, path, None
        self.lock = path.with_name(path.name + ".lock")

    def __enter__(self):
        if self.kind == "fcntl":
            # Of a process of its own: the kernel counts them by process.
            self.file = subprocess.Popen(
                ["/usr/bin/python3", "-c",
                 "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX)\n"
                 "print('held',flush=True)\nsys.stdin.read()", str(self.path)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert self.file.stdout.readline() == b"held\n"
        elif self.kind == "flock":
            self.file = open(self.path, "r+")
            fcntl.flock(self.file, fcntl.LOCK_EX)
        elif self.kind == "lockfile":
            subprocess.run(["lockfile", "-1", "-r", "0", self.lock], check=True)
        elif self.kind == "mutt_dotlock":
            subprocess.run(["mutt_dotlock", "-r0", self.path], check=True)
        else:
            subprocess.run(["dotlockfile", "-r", "0", "-l", self.lock], check=True)
        return self

    def __exit__(self, *_):
        if self.kind == "fcntl":
            self.file.stdin.close()
            self.file.wait()
            self.file.stdout.close()
        elif self.kind == "flock":
            self.file.close()
        elif self.kind == "lockfile":
            os.unlink(self.lock)
        elif self.kind == "mutt_dotlock":
            subprocess.run(["mutt_dotlock", "-u", self.path], check=True)
        else:
            subprocess.run(["dotlockfile", "-u", self.lock], check=True)


def need(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


@pytest.mark.parametrize("kind,ours,waits", [
    ("fcntl", "fcntl, dotlock", True),
    ("fcntl", "dotlock, fcntl", True),
    ("flock", "flock", True),
    ("flock", "fcntl, flock, dotlock", True),
    ("flock", "fcntl, dotlock", False),
    ("lockfile", "fcntl, dotlock", True),
    ("lockfile", "fcntl, flock", False),
    ("mutt_dotlock", "dotlock", True),
    ("dotlockfile", "flock, dotlock", True),
])
def test_mailbox_delivery_lock(kind, ours, waits):
    if kind not in ("fcntl", "flock"):
        need(kind)
    with Weir({"virtual_mailbox_maps": "static:%u", "mailbox_delivery_lock": ours,
               "deliver_lock_attempts": "2", "deliver_lock_delay": "20ms"}) as w:
        w.send("joe@example.test", subject="first")
        w.wait_log(r"status=sent")
        before = mbox_of(w).read_bytes()
        with Holding(kind, mbox_of(w)):
            id = w.send("joe@example.test", subject="second")
            if not waits:
                w.wait_log(rf"{id}: .*status=sent")
                return
            w.wait_log(rf"{id}: .*dsn=4\.2\.0, status=deferred \(mailbox is locked by another")
            assert mbox_of(w).read_bytes() == before
        w.weir("queue", "retry", "--yes", id)
        w.wait_log(rf"{id}: .*status=sent")
        assert [p.name for p in mbox_of(w).parent.iterdir()] == ["joe"]


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_row_22_deliver_lock_attempts_and_deliver_lock_delay(attempts):
    """As often as that, and so far apart; then the mail is deferred, and the
    lock is left alone."""
    with Weir({"virtual_mailbox_maps": "static:%u", "mailbox_delivery_lock": "dotlock",
               "deliver_lock_attempts": str(attempts), "deliver_lock_delay": "100ms"}) as w:
        lock = mbox_of(w).with_name("joe.lock")
        lock.write_text("held\n")
        id = w.send("joe@example.test")
        took = w.wait_log(rf"{id}: .*delays=\S+/([\d.]+), dsn=4\.2\.0, status=deferred").group(1)
        assert float(took) >= 0.1 * (attempts - 1) - 0.01
        assert lock.read_text() == "held\n"
        w.wait_log(rf"limit deliver_lock_attempts \({attempts}\) reached by message {id} to joe@example.test: ")
        assert [r["refused"] for r in w.json("limits")["limits"] if r["parameter"] == "deliver_lock_attempts"] == [1]


def test_a_lock_that_is_given_back_in_time():
    """The delivery waits for it, and needs no second attempt."""
    with Weir({"virtual_mailbox_maps": "static:%u", **PATIENT}) as w:
        w.send("joe@example.test")
        w.wait_log(r"status=sent")
        with Holding("fcntl", mbox_of(w)):
            id = w.send("joe@example.test")
            w.wait_log(r"status: local 1/")
            assert w.count_log(rf"{id}: .*status=") == 0
        w.wait_log(rf"{id}: .*status=sent")


def test_python_reads_and_rewrites_while_mail_comes():
    """mailbox.mbox takes fcntl and a dotlock, and replaces the file's bytes in place."""
    count, taken = 60, []
    with Weir({"virtual_mailbox_maps": "static:%u", **PATIENT}, start=False) as w:
        mbox_of(w).touch(mode=0o600)
        own(mbox_of(w).parent, mbox_of(w))
        w.start()
        stop = threading.Event()

        def take_all():
            box = mailbox.mbox(mbox_of(w), create=False)
            try:
                box.lock()
            except mailbox.ExternalClashError:
                return
            try:
                for key in list(box.keys()):
                    taken.append(str(box[key]["Subject"]))
                    box.remove(key)
                box.flush()
            finally:
                box.unlock()
                box.close()

        def reader():
            while not stop.is_set():
                take_all()
                # mailbox replaces the file: it is ours then, as an MUA's would be.
                own(mbox_of(w))
                time.sleep(0.005)

        t = threading.Thread(target=reader)
        t.start()
        try:
            for i in range(count):
                w.send("joe@example.test", subject=f"n{i}", body=message(f"n{i}", "From x\r\n"))
            wait_for(lambda: w.count_log(r"status=sent") + w.count_log(r"status=deferred") >= count,
                     lambda: "all handled:\n" + w.log()[-4000:])
            def emptied():
                if not w.queue():
                    return True
                w.weir("queue", "retry", "--yes", "--status=deferred", check=False)
                return False
            wait_for(emptied, lambda: "queue empty:\n" + w.log()[-4000:], step=0.1)
        finally:
            stop.set()
            t.join()
        take_all()
        assert sorted(taken) == sorted(f"n{i}" for i in range(count))


@pytest.mark.parametrize("reader", ["formail", "procmail"])
def test_debians_programs_beside_us(reader, tmp_path):
    """Two who append to one file; nothing is lost, no message is within another."""
    need("procmail")
    need("formail")
    count = 30
    with Weir({"virtual_mailbox_maps": "static:%u", **PATIENT}, start=False) as w:
        mbox_of(w).touch(mode=0o600)
        own(mbox_of(w).parent, mbox_of(w))
        w.start()
        rc = w.dir / "rc"
        rc.write_text(f"LOCKSLEEP=1\n:0:\n{mbox_of(w)}\n")
        own(rc)

        def theirs():
            for i in range(count):
                text = f"From me@x Thu Jan  1 00:00:00 1970\nSubject: theirs{i}\n\nbody\n\n"
                if reader == "procmail":
                    cmd = ["procmail", "-m", str(rc)]
                else:
                    cmd = ["lockfile", "-1", "-r60", f"{mbox_of(w)}.lock"]

                def drop():
                    if os.geteuid() == 0:
                        os.setgroups([])
                        os.setgid(NOBODY)
                        os.setuid(NOBODY)
                subprocess.run(cmd, input=text.encode(), check=True, preexec_fn=drop, timeout=DEADLINE)
                if reader == "formail":
                    with open(mbox_of(w), "ab") as f:
                        subprocess.run(["formail", "-b"], input=text.encode(), stdout=f, check=True)
                    os.unlink(f"{mbox_of(w)}.lock")

        t = threading.Thread(target=theirs)
        t.start()
        for i in range(count):
            w.send("joe@example.test", subject=f"ours{i}")
        t.join()
        w.wait_log(r"status=sent", count=count)
        got = sorted(m["Subject"] for m in mailbox.mbox(mbox_of(w)))
        assert got == sorted([f"ours{i}" for i in range(count)] + [f"theirs{i}" for i in range(count)])


def test_stale_lock_time():
    """Younger: it is somebody's; older: it was left behind."""
    with Weir({"virtual_mailbox_maps": "static:%u", "mailbox_delivery_lock": "dotlock",
               "deliver_lock_attempts": "2", "deliver_lock_delay": "20ms",
               "stale_lock_time": "1h"}) as w:
        w.send("joe@example.test")
        w.wait_log(r"status=sent")
        lock = mbox_of(w).with_name("joe.lock")
        lock.touch()
        os.utime(lock, (time.time() - 3500, time.time() - 3500))
        id = w.send("joe@example.test")
        w.wait_log(rf"{id}: .*status=deferred")
        assert lock.exists()
        unnamed(w, "stale_lock_time")
        os.utime(lock, (time.time() - 3700, time.time() - 3700))
        w.weir("queue", "retry", "--yes", id)
        w.wait_log(rf"{id}: .*status=sent")
        assert not lock.exists()
        named(w, "stale_lock_time", f"message {id} to joe@example.test")
        assert refused(w, "stale_lock_time") == 1


def test_the_dotlock_of_a_killed_process():
    """Of this host: it is broken at once.  Of another, or by a number alone:
    nobody can know, it is held for stale_lock_time."""
    owner = dead_owner()
    with Weir({"virtual_mailbox_maps": "static:%u", "mailbox_delivery_lock": "dotlock",
               "deliver_lock_attempts": "1", "stale_lock_time": "1h"}) as w:
        w.send("joe@example.test")
        w.wait_log(r"status=sent")
        lock = mbox_of(w).with_name("joe.lock")
        for text in (owner.split(":")[0] + "\n", owner.replace(":", ":x", 1)):
            lock.write_text(text)
            id = w.send("joe@example.test")
            w.wait_log(rf"{id}: .*status=deferred \(mailbox is locked by another process")
            assert lock.read_text() == text
        lock.write_text(owner)
        w.weir("queue", "retry", "--yes", id)
        w.wait_log(rf"{id}: .*status=sent")
        assert not lock.exists()


# ---- full mailboxes ----

@pytest.mark.parametrize("action,status,dsn", [("defer", "deferred", "4.2.2"),
                                               ("bounce", "bounced", "5.2.2")])
def test_a_full_mbox(action, status, dsn):
    with Weir({"virtual_mailbox_maps": "static:%u", "mailbox_size_limit": "5000",
               "message_size_limit": "5000", "mailbox_full_action": action}) as w:
        big = message("big", ("y" * 70 + "\r\n") * 40)
        w.send("joe@example.test", body=big)
        w.wait_log(r"status=sent")
        size = mbox_of(w).stat().st_size
        id = w.send("joe@example.test", body=big)
        w.wait_log(rf"{id}: .*dsn={re.escape(dsn)}, status={status} \(mailbox is full")
        assert mbox_of(w).stat().st_size == size
        named(w, "mailbox_size_limit", f"message {id} to joe@example.test")
        assert refused(w, "mailbox_size_limit") == 1


@pytest.mark.parametrize("action,status,dsn", [("defer", "deferred", "4.2.2"),
                                               ("bounce", "bounced", "5.2.2")])
def test_a_maildir_over_its_quota(action, status, dsn):
    with Weir({"mailbox_full_action": action}) as w:
        w.send("joe@example.test")
        w.wait_mails("joe")
        book = w.maildir("joe") / "maildirsize"
        book.write_text("100000S,3C\n")
        own(book)
        for n in (2, 3):
            w.send("joe@example.test")
            w.wait_mails("joe", n)
        sizes = sorted(p.stat().st_size for p in (w.maildir("joe") / "new").iterdir())
        lines = [tuple(map(int, l.split())) for l in book.read_text().splitlines()[1:]]
        assert sum(b for b, _ in lines) == sum(sizes) and sum(n for _, n in lines) == 3
        id = w.send("joe@example.test")
        w.wait_log(rf"{id}: .*dsn={re.escape(dsn)}, status={status} \(mailbox is full: .*100000S,3C")
        assert len(w.mails("joe")) == 3 and not list((w.maildir("joe") / "tmp").iterdir())
        # The reader has deleted one; what we believed is counted anew.
        next((w.maildir("joe") / "new").iterdir()).unlink()
        os.utime(book, (0, 0))
        w.send("joe@example.test")
        w.wait_mails("joe", 3)


def test_mail_for_one_user_fills_a_quota():
    """Many at once, through one worker that syncs them together.  A recount
    does not see what is written just then, so a few may come in beyond it."""
    with Weir() as w:
        w.send("joe@example.test")
        w.wait_mails("joe")
        book = w.maildir("joe") / "maildirsize"
        book.write_text("20C\n0 1\n")
        own(book)
        for _ in range(40):
            w.send("joe@example.test")
        wait_for(lambda: w.count_log(r"status=(sent|deferred)") >= 41, lambda: w.log()[-4000:])
        assert 20 <= len(w.mails("joe")) < 41
        assert w.count_log(r"dsn=4\.2\.2, status=deferred") == 41 - len(w.mails("joe"))
        id = w.send("joe@example.test")
        w.wait_log(rf"{id}: .*dsn=4\.2\.2, status=deferred")
