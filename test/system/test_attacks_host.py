"""Attacks by users of this host, and faults of the host itself.

Row by row, as test_attacks.py: mailboxes, the queue's directory, its sockets,
disks and clocks.
"""
import contextlib
import errno
import fcntl
import os
import pathlib
import re
import resource
import shutil
import socket
import stat
import struct
import subprocess

import pytest

from harness import FAST_RETRY, NOBODY, FakeMX, Faults, Image, Weir, message, relay_conf, wait_for
from test_attacks import calm, opened

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: other users and mounts")


def need(kind):
    why = Image.why_not(kind)
    if why:
        pytest.skip(why)


# ---- row 20: paths ----

#: Local parts that would be paths, other people's mailboxes, or too long.
PATHS = [
    '"../joe"', '"..\\\\joe"', '"./joe"', '"/etc/passwd"', '"joe/new"', '"joe/."', '"."', '".."', '"joe+../ann"',
    "joe%2f..%2fann", "%2e%2e%2fjoe", '" "', '"joe "', '"~"', '"~root"', "-joe", '"*"', '"jo?"', '"$HOME"',
    '"%u"', '"%(user)s"', "${local}", "x" * 64, "JOE", "joe.", '"joe\\\\0"', "`id`", '"a|b"',
]


@pytest.mark.parametrize("local", PATHS)
@pytest.mark.parametrize("domain", ["example.test", "[127.0.0.1]", "mx.test.example"])
def test_row_20_an_address_is_no_path(local, domain):
    """Whatever the address: what is written lies where the map says, in one
    folder below the base."""
    with Weir({"virtual_mailbox_maps": "static:%d/%u/Maildir/", "recipient_delimiter": "+"}) as w, opened(w) as c:
        c.ok("MAIL FROM:<a@client.example>")
        code, _ = c.cmd(f"RCPT TO:<{local}@{domain}>")
        if code == 250:
            c.ok("DATA", 354)
            c.send(message("path") + ".\r\n")
            c.reply()
            w.wait_log(r"status=(sent|bounced|deferred)")
        base = (w.dir / "mail").resolve()
        places = [p for p in w.dir.rglob("new/*") if "postmaster" not in p.parts]
        for p in places:
            assert base in p.resolve().parents
            inner = p.relative_to(base).parts
            assert len(inner) == 5 and inner[2:4] == ("Maildir", "new"), inner
            assert inner[0] == "example.test" and not inner[1].startswith("."), inner
        assert len(places) <= 1
        assert not re.search(r"(?m)^root:", w.log())


def test_row_20_a_name_of_three_hundred_octets():
    with Weir() as w, opened(w) as c:
        c.ok("MAIL FROM:<a@client.example>")
        for n in (65, 255, 256, 257, 300, 1000):
            code, _ = c.cmd(f"RCPT TO:<{'x' * n}@example.test>")
            # A name that no file can have is refused for good: to try again does not make it shorter.
            assert code == 250 if n <= 255 else code in (501, 550), (n, code)
            code, _ = c.cmd(f"RCPT TO:<{'x' * n}@mx.test.example>")
            assert code in (501, 550), (n, code)
        c.cmd("RSET")
        assert not any(len(p.name) > 255 for p in w.dir.rglob("*"))


# ---- row 21: traps in mailboxes ----

def owned(*paths):
    if os.geteuid() == 0:
        for p in paths:
            os.chown(p, NOBODY, NOBODY, follow_symlinks=False)


@pytest.mark.parametrize("folder", ["new", "tmp", "cur"])
@pytest.mark.parametrize("trap", ["symlink", "file", "fifo", "socket"])
def test_row_21_traps_in_a_maildir(folder, trap):
    with Weir(start=False) as w:
        away = w.dir / "away"
        away.mkdir()
        maildir = w.dir / "mail" / "joe" / "Maildir"
        maildir.mkdir(parents=True)
        for d in ("new", "tmp", "cur"):
            if d != folder:
                (maildir / d).mkdir()
        at = maildir / folder
        if trap == "symlink":
            at.symlink_to(away)
        elif trap == "file":
            at.write_text("precious")
        elif trap == "fifo":
            os.mkfifo(at)
        else:
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(str(at))
        owned(away, w.dir / "mail", w.dir / "mail" / "joe", maildir, *maildir.iterdir())
        w.start()
        id = w.send("joe@example.test")
        m = w.wait_log(rf"{id}: to=<joe@example\.test>.*status=(\w+)")
        # cur is the reader's: what lies there does not matter.
        assert m.group(1) == "deferred" or folder == "cur", m.group(0)
        assert list(away.iterdir()) == []
        assert trap != "file" or at.read_text() == "precious"
        w.send("ann@example.test")
        w.wait_mails("ann")


def test_row_21_a_dotlock_that_is_a_link_is_not_followed():
    conf = {"virtual_mailbox_maps": "static:%u", "deliver_lock_attempts": "2", "deliver_lock_delay": "1s",
            "mailbox_delivery_lock": "dotlock", "stale_lock_time": "1s"}
    with Weir(conf, start=False) as w:
        target = w.dir / "target"
        target.write_text("precious\n")
        lock = w.dir / "mail" / "joe.lock"
        lock.symlink_to(target)
        owned(w.dir / "mail", lock, target)
        w.start()
        id = w.send("joe@example.test")
        w.wait_log(rf"{id}: .*status=\w+")
        assert target.read_text() == "precious\n"


@root_only
def test_row_21_a_mailbox_of_somebody_else_defers():
    """Of the right kind, but not the user's: nothing is appended to it."""
    with Weir({"virtual_mailbox_maps": "static:%u"}, start=False) as w:
        box = w.dir / "mail" / "joe"
        box.write_text("precious\n")
        owned(w.dir / "mail")
        os.chown(box, 12345, 12345)
        box.chmod(0o666)
        w.start()
        id = w.send("joe@example.test")
        w.wait_log(rf"{id}: to=<joe@example\.test>.*status=deferred")
        assert box.read_text() == "precious\n"


# ---- row 23: the queue's directory ----

@root_only
@pytest.mark.parametrize("what", ["log", "run", "drop", "copies"])
def test_row_23_a_part_of_the_spool_that_is_a_link(what):
    """Put there before the start by whoever could: refused, not followed."""
    with Weir(start=False) as w:
        away = w.dir / "away"
        away.mkdir()
        (away / "precious").write_text("x")
        queue = w.dir / "queue"
        queue.mkdir()
        (queue / what).symlink_to(away)
        owned(queue, queue / what)
        os.chown(away, 12345, 12345)
        away.chmod(0o755)
        w.start(ready=False)
        wait_for(lambda: w.process.poll() is not None or w.count_log(r"weir: ready"), lambda: w.log())
        if w.process.poll() is None:
            # It may be that this one is made elsewhere; then nothing is in it.
            w.send("joe@example.test")
            w.wait_mails("joe")
            w.stop()
        assert sorted(p.name for p in away.iterdir()) == ["precious"]
        assert away.stat().st_uid == 12345 and stat.S_IMODE(away.stat().st_mode) == 0o755


@root_only
def test_row_23_nobody_else_can_enter_the_spool():
    with Weir() as w:
        w.send("joe@example.test")
        w.wait_mails("joe")
        queue = w.dir / "queue"
        for p in [queue, *queue.rglob("*")]:
            st = p.lstat()
            if p.name in ("run", "drop", "empty") or p.parent.name == "run" or stat.S_ISSOCK(st.st_mode) or p == queue:
                assert not st.st_mode & stat.S_IWOTH or stat.S_ISSOCK(st.st_mode), p
                continue
            assert not stat.S_IMODE(st.st_mode) & 0o007, (p, oct(st.st_mode))
        script = f"import os; [open(os.path.join(d, 'x'), 'w') for d in {[str(queue), str(queue / 'log')]!r}]"
        r = subprocess.run(["/usr/bin/python3", "-c", script], capture_output=True, user=12345, group=12345,
                           extra_groups=[])
        assert r.returncode != 0 and b"Permission denied" in r.stderr


# ---- row 24: mbox ----

def test_row_24_after_a_torn_mail_the_next_one_begins_a_line():
    with Weir({"virtual_mailbox_maps": "static:%u"}, start=False) as w:
        box = w.dir / "mail" / "joe"
        box.write_bytes(b"From a Thu Jan  1 00:00:00 1970\nSubject: torn\n\nhalf a li")
        box.chmod(0o600)
        owned(w.dir / "mail", box)
        w.start()
        w.send("joe@example.test", body=message("m", "From me\r\n>From you\r\n>>From x\r\n From y\r\nno end"))
        w.wait_log(r"status=sent")
        text = box.read_bytes()
        assert b"half a li\n\nFrom sender@client.example " in text, text
        assert b"\n>From me\n>>From you\n>>>From x\n From y\nno end\n\n" in text, text
        assert len(re.findall(rb"(?m)^From ", text)) == 2


class Short(Weir):
    """A server none of whose processes may make a file longer than this."""

    LIMIT = 5 << 20

    def _identity(self):
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (self.LIMIT, self.LIMIT))


def test_row_24_what_was_written_in_part_is_taken_back():
    """The file may not grow that far (ulimit -f): the old mails stay as they
    were, to the octet, the new one waits."""
    with Short({"virtual_mailbox_maps": "static:%u", "mailbox_size_limit": "0"}, start=False) as w:
        box = w.dir / "mail" / "joe"
        old = b"From a Thu Jan  1 00:00:00 1970\nSubject: old\n\n" + b"x" * 79 + b"\n"
        with open(box, "wb") as f:
            f.write(old)
            f.truncate(Short.LIMIT - 3000)
        size = box.stat().st_size
        box.chmod(0o600)
        owned(w.dir / "mail", box)
        w.start()
        id = w.send("joe@example.test", body=message("big", ("y" * 70 + "\r\n") * 100))
        w.wait_log(rf"{id}: to=<joe@example\.test>.*status=deferred")
        assert box.stat().st_size == size
        assert box.read_bytes().startswith(old)
        assert w.pids()
        id = w.send("ann@example.test")
        w.wait_log(rf"{id}: to=<ann@example\.test>.*status=sent")


# ---- rows 28, 29, 31: disks ----

EXT4_IOC_SHUTDOWN = 0x8004587d


def answer_to_mail(w, size=None):
    """The reply that decides: to MAIL, to DATA, or after the body."""
    with opened(w) as c:
        code, text = c.cmd("MAIL FROM:<a@client.example>" + (f" SIZE={size}" if size else ""))
        if code == 250:
            c.ok("RCPT TO:<ann@far.example>")
            code, text = c.cmd("DATA")
        if code == 354:
            c.send(message("m", ("x" * 70 + "\r\n") * ((size or 700) // 72)) + ".\r\n")
            code, text = c.reply()
        return code, text


@root_only
@pytest.mark.parametrize("options", [("nr_inodes=400",), ()], ids=["row 29 inodes", "row 28 blocks"])
def test_row_28_29_nothing_is_left_of_the_disk(options):
    need("tmpfs")
    with Image("tmpfs", 24 << 20, options=options) as disk, contextlib.closing(FakeMX()) as mx:
        conf = dict(relay_conf(mx), **FAST_RETRY, queue_directory=disk.path / "queue", queue_segment_size="1M")
        os.chown(disk.path, NOBODY, NOBODY)
        with Weir(conf) as w:
            assert answer_to_mail(w)[0] == 250
            taken, noted = 1, []

            def note():
                """One more was taken."""
                noted.append(1)

            if options:
                count = 0
                with contextlib.suppress(OSError):
                    while count < 1000:
                        (disk.path / f"f{count}").touch()
                        count += 1
                # Free blocks are of no use without an inode for them.
                wait_for(lambda: answer_to_mail(w)[0] == 452 or note(), lambda: "452\n" + w.log()[-3000:])
                taken += len(noted)
            else:
                disk.fill()
            for _ in range(30):
                code, text = answer_to_mail(w, 300_000)
                assert code in (250, 452), (code, text)
                assert code == 250 or text.startswith("4.3.1"), text
                taken += code == 250
            assert code == 452, "the disk is full, and mail is taken"
            if options:
                for p in disk.path.glob("f*"):
                    p.unlink()
            else:
                disk.clear()
            wait_for(lambda: answer_to_mail(w, 300_000)[0] == 250, lambda: w.log()[-3000:], step=0.2)
            wait_for(lambda: len(mx.messages) >= taken + 1, lambda: f"{len(mx.messages)} of {taken + 1}")
            w.stop()
            assert w.weir("fsck", disk.path / "queue").returncode == 0


@root_only
def test_row_31_the_file_system_becomes_read_only():
    """Nothing is acknowledged; when it can be written again service returns."""
    need("ext4")
    with Image("ext4", 64 << 20) as disk:
        os.chown(disk.path, NOBODY, NOBODY)
        conf = dict(FAST_RETRY, queue_directory=disk.path / "queue", defer_transports="smtp",
                    service_throttle_time="1s", queue_segment_size="1M")
        with Weir(conf) as w:
            good = 0
            for _ in range(5):
                good += answer_to_mail(w)[0] == 250
            assert good == 5
            # As an error does (errors=remount-ro): although files are open.
            subprocess.run(["mount", "-o", "remount,ro", disk.path], check=False, capture_output=True)
            path = disk.path
            if not os.statvfs(path).f_flag & os.ST_RDONLY:
                fd = os.open(path, os.O_RDONLY)
                with contextlib.suppress(OSError):
                    fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", 2))
                os.close(fd)
            refused = 0
            for _ in range(6):
                with contextlib.suppress(AssertionError, OSError):
                    code, text = answer_to_mail(w)
                    assert code != 250, "acknowledged on a disk that cannot be written"
                    assert code in (421, 451, 452), (code, text)
                    refused += 1
            assert refused > 0, w.log()[-3000:]
            w.kill()
            disk.unmount()
            disk.mount()
            w.ready_count = w.count_log(r"weir: ready")
            w.start()
            assert len(w.queue()) == 5
            assert answer_to_mail(w)[0] == 250


def test_row_31_a_sync_that_fails_is_never_proof():
    with Faults() as faults, Weir(dict(FAST_RETRY, defer_transports="smtp", service_throttle_time="1s",
                                       fork_delay="1s"), env=faults.env) as w:
        assert answer_to_mail(w)[0] == 250
        first = w.role_pids("queue")
        faults.set("queue", sync=errno.EIO)
        for _ in range(4):
            with contextlib.suppress(OSError, ConnectionError):
                code, _ = answer_to_mail(w)
                assert code // 100 == 4, code
        faults.set("queue", sync=0)
        wait_for(lambda: code_or_none(w) == 250, lambda: w.log()[-3000:], step=0.2)
        assert w.role_pids("queue") != first, "the same process went on after a failed sync"


def code_or_none(w):
    try:
        return answer_to_mail(w)[0]
    except (AssertionError, OSError):
        return None


# ---- row 33: clocks ----

@pytest.mark.slow
def test_row_33_the_clock_jumps_a_year():
    """No mass bounce from a jump forwards; timers and ids go on."""
    year = 365 * 86400
    mx = FakeMX(lambda v, a, c: None if mx_open else ("450 4.2.0 later" if v == "RCPT" else None))
    mx_open = []
    try:
        with Faults() as faults, Weir(dict(relay_conf(mx), **FAST_RETRY), env=faults.env) as w:
            ids = [w.send(f"u{i}@far.example", sender="joe@example.test") for i in range(10)]
            w.wait_log(r"status=deferred", count=10)
            for jump in (year, -year, 12 * year, 0):
                for role in Faults.ROLES + ("master",):
                    faults.set(role, clock_s=jump)
                ids.append(w.send(f"j{len(ids)}@far.example", sender="joe@example.test"))
                w.wait_log(rf"{ids[-1]}: to=.*status=deferred")
                # The first, too, is tried with this date, often enough to be given up.
                tries = w.count_log(rf"\b{ids[0]}: to=.*status=deferred")
                wait_for(lambda: w.count_log(rf"\b{ids[0]}: to=.*status=(deferred|bounced)") >= tries + 2,
                         lambda: w.log()[-3000:])
                assert not w.count_log(r"status=bounced")
            assert len(ids) == len(set(ids))
            assert not w.count_log(r"status=bounced")
            mx_open.append(True)
            wait_for(lambda: len(mx.messages) == len(ids), lambda: f"{len(mx.messages)}\n{w.log()[-3000:]}")
            assert w.mails("joe") == []
    finally:
        mx.close()


# ---- row 48: sendmail ----

def sendmail(w, *args, input="Subject: x\n\nx\n", **kw):
    return w.weir(*args, name="sendmail", input=input.encode() if isinstance(input, str) else input, check=False, **kw)


def test_row_48_bcc_is_taken_out():
    with Weir() as w:
        text = ("To: joe@example.test\nBcc: ann@example.test,\n bob@example.test\nbcc : eve@example.test\n"
                "Subject: x\n\nBcc: stays@example.test\n")
        assert sendmail(w, "-t", "-i", input=text).returncode == 0
        mails = [w.wait_mails(u)[0] for u in ("joe", "ann", "bob")]
        for m in mails:
            head, _, body = m.partition(b"\n\n")
            head = re.sub(rb"(?m)^Delivered-To:.*\n", b"", head)
            assert not re.search(rb"(?mi)^bcc", head) and b"ann@" not in head and b"bob@" not in head, head
            assert body == b"Bcc: stays@example.test\n"


@pytest.mark.parametrize("args", [
    ["-O", "QueueDirectory=/tmp"], ["-OLogLevel=99"], ["-X", "/tmp/x-log"], ["-oQ/tmp"],
    ["-be"], ["-bf"], ["-D", "/tmp/d"],
])
def test_row_48_options_write_and_read_no_files(args):
    """The old holes: options that name files do nothing with them."""
    with Weir() as w:
        before = set(os.listdir("/tmp"))
        r = sendmail(w, *args, "joe@example.test")
        assert r.returncode in (0, 64, 78, 69, 77, 66), (r.returncode, r.err)
        assert "root:" not in r.out + r.err
        new = {n for n in set(os.listdir("/tmp")) - before if n.startswith(("x-log", "d"))}
        assert "x-log" not in new and "d" not in new


@pytest.mark.parametrize("f", ["-fa@b.example -X/tmp/evil", "-fa@b.example\r\nBcc: x@y",
                               "-f<a@b.example>\x00", "-f\x1b[31m@b.example"])
def test_row_48_a_sender_is_one_word(f):
    with Weir() as w:
        if "\0" in f:
            f = f.replace("\0", "\x7f")
        r = sendmail(w, f, "joe@example.test")
        assert r.returncode != 0, r.out
        assert w.mails("joe") == [] and w.queue() == []
        assert not pathlib.Path("/tmp/evil").exists()
        assert "\x1b" not in r.err


def test_row_48_a_hundred_thousand_arguments():
    with Weir() as w:
        r = sendmail(w, *[f"u{i % 9}@example.test" for i in range(50_000)], input="Subject: x\n\nx\n")
        assert r.returncode in (0, 64, 65, 75, 69, 71), r.err
        assert w.pids()
        w.send("joe@example.test")


# ---- row 49: the sockets ----

@root_only
@pytest.mark.parametrize("name", ["control", "status"])
def test_row_49_others_cannot_lock_the_administrator_out(name):
    """Five users hold every connection that they can get."""
    script = ("import socket, sys, time\nheld = []\n"
              "for i in range(200):\n s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n s.settimeout(1)\n"
              " try: s.connect(sys.argv[1])\n except OSError: continue\n held.append(s)\n"
              "print('held', flush=True)\ntime.sleep(600)\n")
    with Weir() as w, contextlib.ExitStack() as stack:
        path = str(w.dir / "queue" / "run" / name)
        for uid in range(20001, 20006):
            p = subprocess.Popen(["/usr/bin/python3", "-c", script, path], stdout=subprocess.PIPE, user=uid, group=uid,
                                 extra_groups=[])
            stack.callback(p.wait)
            stack.callback(p.kill)
            assert p.stdout.readline() == b"held\n"
        for _ in range(5):
            assert w.weir("queue", "list").returncode == 0
            assert w.weir("status").returncode == 0
        w.hup()
        w.wait_log("reloaded")
        w.send("joe@example.test")
        w.wait_mails("joe")


@root_only
def test_row_49_a_server_that_is_not_root_answers_its_user_and_root():
    """Its descriptors on their way are counted: it gives none to others."""
    with Weir(uid=NOBODY) as w:
        assert w.weir("status").returncode == 0
        env = dict(os.environ, WEIR_CONF=str(w.conf_path))
        from harness import WEIR
        r = subprocess.run([WEIR, "status", "-c", w.conf_path], capture_output=True, env=env)
        assert r.returncode == 0, r.stderr
        r = subprocess.run([WEIR, "status", "-c", w.conf_path], capture_output=True, env=env, user=12345, group=12345,
                           extra_groups=[])
        assert r.returncode != 0
        w.send("joe@example.test")


# ---- row 53: the log is tampered with ----

def segments(w):
    return sorted((w.dir / "queue" / "log").glob("*.seg"))


def holds(w, text):
    return next(p for p in segments(w) if text in p.read_bytes())


def truncate(w):
    p = holds(w, b"unique-7-body")
    with open(p, "r+b") as f:
        f.truncate(p.read_bytes().index(b"unique-15-body"))


def huge_length(w):
    p = holds(w, b"unique-7-body")
    data = bytearray(p.read_bytes())
    at = data.index(b"unique-7-body")
    start = data.rindex(b"Received:", 0, at)
    data[start - 40:start] = b"\xff" * 40
    p.write_bytes(data)


def swapped(w):
    p = holds(w, b"unique-7-body")
    data = bytearray(p.read_bytes())
    a, b = data.index(b"unique-7-body"), data.index(b"unique-8-body")
    data[a:a + 13], data[b:b + 13] = data[b:b + 13], data[a:a + 13]
    p.write_bytes(data)


def duplicated(w):
    p = holds(w, b"unique-7-body")
    n = int(p.stem, 16) if re.fullmatch(r"[0-9a-f]+", p.stem) else 0
    copy = p.with_name(f"{n + 100:0{len(p.stem)}x}.seg")
    shutil.copy2(p, copy)
    if os.geteuid() == 0:
        os.chown(copy, p.stat().st_uid, p.stat().st_gid)


def zeroed(w):
    p = holds(w, b"unique-7-body")
    data = bytearray(p.read_bytes())
    at = data.index(b"unique-7-body")
    data[at - 200:at + 200] = bytes(400)
    p.write_bytes(data)


def noise(w):
    p = holds(w, b"unique-7-body")
    data = bytearray(p.read_bytes())
    for k in range(40):
        data[(k * 7919 + 64) % data.index(b"unique-19-body")] ^= 1 << k % 8
    p.write_bytes(data)


@pytest.mark.parametrize("damage", [truncate, huge_length, swapped, duplicated, zeroed, noise],
                         ids=lambda f: f.__name__)
def test_row_53_tampering_never_changes_a_mail(mx, damage):
    """What arrives is what was sent, once; what was hit is named; the server
    starts and takes new mail."""
    with Weir(dict(relay_conf(mx), concurrency_remote="0")) as w:
        bodies = [f"Subject: n{i}\r\n\r\nunique-{i}-body " + "z" * 500 + "\r\n" for i in range(20)]
        for i in range(20):
            w.send(f"u{i}@far.example", body=bodies[i])
        w.kill()
        damage(w)
        hit = w.weir("fsck", w.dir / "queue", check=False)
        w.write_conf(concurrency_remote="5")
        w.ready_count = w.count_log(r"weir: ready")
        w.start()
        w.send("new@far.example", body="Subject: new\r\n\r\nunique-new\r\n")
        wait_for(lambda: any(b"unique-new" in m[2] for m in mx.messages), lambda: w.log()[-4000:])
        w.wait_queue_empty()
        seen = {}
        for _, rcpts, data in mx.messages:
            user = re.match(r"TO:<(\w+)@", rcpts[0]).group(1)
            seen[user] = seen.get(user, 0) + 1
            if user != "new":
                # The body of that very message, whole.
                assert data.endswith(bodies[int(user[1:])].encode()), (user, data)
        assert all(n == 1 for n in seen.values()), seen
        lost = [i for i in range(20) if f"u{i}" not in seen]
        if damage is duplicated:
            assert lost == [], lost
        else:
            assert lost, "the damage hit nothing"
            # A file that is cut at its end is named, but may be a torn end.
            assert hit.returncode != 0 or damage is truncate, (lost, hit.out)
            assert "segment" in hit.out + hit.err, (lost, hit.out)
        if damage in (swapped, zeroed, huge_length):
            assert len(lost) <= 3, lost
