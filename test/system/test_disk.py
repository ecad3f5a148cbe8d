"""Disks that are full, and disks that fail, under a running server.

Full: 452 before the body, no 250, no torn record, nothing bounces because of
it, what is queued goes on, and service returns by itself.  A sync that fails:
nothing more is acknowledged until the queue was recovered.
"""
import contextlib
import errno
import os
import re
import signal

import pytest

from harness import (FAST_RETRY, FakeMX, Faults, Image, Weir, message, relay_conf, wait_for)
from test_crash import CONF, Load, settle
from test_power import Later

MB = 1 << 20

# They wait for the disk and the clock, not for us: without sanitizers only.
pytestmark = pytest.mark.slow


def image_of(kind, size, **kw):
    why = Image.why_not(kind)
    if why:
        pytest.skip(why)
    return Image(kind, size, **kw)


@contextlib.contextmanager
def peer_and_faults():
    mx = FakeMX()
    try:
        with Faults() as faults:
            yield mx, faults
    finally:
        mx.close()


def try_to_send(w, rcpt="late@far.example", size=None):
    """(verb, code, text) at which a transaction ended."""
    with w.client() as c:
        c.ok("EHLO client.example")
        for verb, line in (("MAIL", "MAIL FROM:<>" + (f" SIZE={size}" if size else "")),
                           ("RCPT", f"RCPT TO:<{rcpt}>"), ("DATA", "DATA")):
            code, text = c.cmd(line)
            if code >= 400:
                return verb, code, text
        c.send("X-Name: tried\r\n" + message("tried", body="0123456789abcde\r\n" * 6000) + "\r\n.\r\n")
        return (".",) + c.reply()


def refused(w):
    got = try_to_send(w)
    assert got[1] in (250, 452), got
    return got if got[1] == 452 else None


def accepted(w):
    got = try_to_send(w)
    assert got[1] in (250, 452), got
    return got[1] == 250


def unharmed(w):
    """Nothing bounced, nothing is damaged."""
    assert w.count_log("status=bounced") == 0
    assert w.count_log("damage") == 0, w.log()
    assert w.weir("fsck", w.conf["queue_directory"]).returncode == 0


SMALL = dict(CONF, queue_segment_size="1M", message_size_limit="256K")


@pytest.mark.parametrize("kind", ["ext4", "tmpfs"])
def test_others_fill_the_queues_file_system(kind):
    """Under load; deliveries of what is queued go on while nothing is free."""
    with image_of(kind, 64 * MB) as image, Later() as later:
        with Weir(dict(relay_conf(later.mx), **SMALL, queue_directory=image.path / "queue")) as w:
            ids = [w.send(f"later{i}@far.example", body=f"X-Name: l-{i}\r\n\r\nx\r\n") for i in range(50)]
            load = Load(w, "full")
            wait_for(lambda: len(load.acked) >= 100, lambda: "100 acknowledged\n" + w.log()[-4000:])
            image.fill()
            verb, _, text = wait_for(lambda: refused(w), lambda: "452\n" + w.log()[-4000:])
            # At the end only where the space was reserved, and then taken.
            assert verb in ("MAIL", "DATA", ".") and text.startswith("4.3.1"), (verb, text)
            w.wait_log(r"limit .* reached by new mail: refused with 452")
            # Known by now: said before the body.
            wait_for(lambda: try_to_send(w)[0] in ("MAIL", "DATA"), "refused before the body")
            assert image.free() < MB
            # The deferred mail leaves, and that it did is recorded.
            later.open = True
            w.process.send_signal(signal.SIGALRM)
            wait_for(lambda: sum("later" in "".join(m[1]) for m in list(later.mx.messages)) >= len(ids),
                     lambda: "deferred mail is delivered\n" + w.log()[-4000:])
            image.clear()
            wait_for(lambda: accepted(w), lambda: "service returns\n" + w.log()[-4000:])
            goal = len(load.acked) + 50
            wait_for(lambda: len(load.acked) >= goal, lambda: "load returns\n" + w.log()[-4000:])
            load.stop()
            settle(w, later.mx, load)
            w.wait_queue_empty(60)
            unharmed(w)


@pytest.mark.parametrize("kind", ["ext4", "tmpfs"])
def test_mail_fills_the_queues_file_system(kind):
    """Nothing leaves until no more is accepted; then a kill -9 on the full
    disk; then everything that was acknowledged arrives, once."""
    with image_of(kind, 64 * MB) as image, Later() as later:
        with Weir(dict(relay_conf(later.mx), **SMALL, queue_directory=image.path / "queue")) as w:
            acked = {}
            body = "0123456789abcde\r\n" * 6000
            with w.client() as c:
                c.ok("EHLO client.example")
                for i in range(2000):
                    code, text = c.cmd("MAIL FROM:<>")
                    if code == 250:
                        c.ok(f"RCPT TO:<later{i}@far.example>")
                        code, text = c.cmd("DATA")
                    if code != 354:
                        break
                    c.send(f"X-Name: m-{i}\r\n\r\n{body}end {i}.\r\n.\r\n")
                    code, text = c.reply()
                    if code != 250:
                        break
                    acked[i] = 0
            assert code == 452 and text.startswith("4.3.1"), (code, text)
            assert len(acked) > 200, (len(acked), image.free())
            assert len(w.queue()) == len(acked)
            w.kill()
            w.start()
            assert len(w.queue()) == len(acked)
            later.open = True
            w.process.send_signal(signal.SIGALRM)
            w.wait_queue_empty(90)
            for _, _, raw in later.mx.messages:
                i = int(re.search(rb"X-Name: m-(\d+)", raw).group(1))
                assert raw.endswith(f"end {i}.\r\n".encode()) and raw.count(b"0123456789abcde") == 6000
                acked[i] += 1
            assert set(acked.values()) == {1}
            wait_for(lambda: accepted(w), lambda: "service returns\n" + w.log()[-4000:])
            unharmed(w)


def test_no_inodes_are_left():
    with image_of("tmpfs", 64 * MB, options=["nr_inodes=400"]) as image, Later() as later:
        with Weir(dict(relay_conf(later.mx), **SMALL, queue_directory=image.path / "queue")) as w:
            for i in range(20):
                w.send(f"later{i}@far.example")
            (image.path / "many").mkdir()
            with pytest.raises(OSError, match="No space"):
                for i in range(1000):
                    (image.path / "many" / str(i)).touch()
            verb, _, text = wait_for(lambda: refused(w), lambda: "452\n" + w.log()[-4000:])
            assert text.startswith("4.3.1"), text
            later.open = True
            w.process.send_signal(signal.SIGALRM)
            w.wait_queue_empty(60)
            for p in (image.path / "many").iterdir():
                p.unlink()
            wait_for(lambda: accepted(w), lambda: "service returns\n" + w.log()[-4000:])
            w.wait_queue_empty(60)
            unharmed(w)


def test_starts_on_a_full_disk():
    with image_of("ext4", 64 * MB) as image, Later() as later:
        with Weir(dict(relay_conf(later.mx), **SMALL, queue_directory=image.path / "queue")) as w:
            for i in range(30):
                w.send(f"later{i}@far.example")
            w.kill()
            image.fill()
            w.start()
            assert len(w.queue()) == 30
            assert wait_for(lambda: refused(w), "452")
            later.open = True
            w.process.send_signal(signal.SIGALRM)
            w.wait_queue_empty(60)
            assert len(later.mx.messages) >= 30
            assert w.stop() == 0
            w.start()
            image.clear()
            wait_for(lambda: accepted(w), lambda: "service returns\n" + w.log()[-4000:])
            w.wait_queue_empty(60)
            unharmed(w)


def test_the_data_directory_is_full(mx):
    with image_of("tmpfs", 4 * MB) as image:
        os.chmod(image.path, 0o777)
        conf = dict(relay_conf(mx), **CONF, data_directory=image.path / "data",
                    postmaster_mailbox=image.path / "data/postmaster/Maildir/")
        with Weir(conf, start=False) as w:
            image.fill()
            w.start()
            w.send("someone@far.example")
            wait_for(lambda: mx.messages, lambda: "mail is relayed\n" + w.log())
            w.send("joe@example.test")
            w.wait_mails("joe")
            w.send("postmaster@mx.test.example")
            w.wait_log(r"to=<postmaster@mx.test.example>.*dsn=4\.\d\.\d, status=deferred")
            assert w.stop() == 0
            w.start()
            assert len(w.queue()) == 1
            image.clear()
            w.wait_queue_empty(60)
            assert w.count_log("status=bounced") == 0


@pytest.mark.parametrize("box", ["static:%u/Maildir/", "static:%u"])
def test_the_mailbox_is_on_a_full_file_system(box):
    """4.x: it waits.  What was there is as it was."""
    with image_of("ext4", 16 * MB) as image:
        os.chmod(image.path, 0o777)
        conf = dict(FAST_RETRY, virtual_mailbox_base=image.path, virtual_mailbox_maps=box)
        with Weir(conf) as w:
            def content():
                return sorted((str(p.relative_to(image.path)), p.read_bytes())
                              for p in (image.path / "joe").parent.rglob("*")
                              if p.is_file() and p.name != "filler")
            w.send("joe@example.test", subject="first")
            w.wait_queue_empty()
            before = content()
            image.fill()
            body = "X-Name: big\r\n\r\n" + "0123456789abcde\r\n" * 20000 + "end.\r\n"
            w.send("joe@example.test", body=body)
            w.wait_log(r"to=<joe@example.test>.*dsn=4\.\d\.\d, status=deferred", count=2)
            assert content() == before, "nothing half is left"
            assert len(w.queue()) == 1
            image.clear()
            w.wait_queue_empty(60)
            after = content()
            text = b"".join(t for _, t in after)
            assert before[0][1] in text and text.count(b"0123456789abcde\n") == 20000
            assert text.rstrip(b"\n").endswith(b"end.")
            assert w.count_log("status=bounced") == 0


# ---- a disk that fails ----

def test_a_sync_that_fails_once():
    """One fdatasync fails, the next would succeed, as the kernel does it.
    Whatever was in the air is not acknowledged, and the one answer is a
    restart of the queue with recovery."""
    with peer_and_faults() as (mx, faults):
        with Weir(dict(relay_conf(mx), **CONF), env=faults.env) as w:
            load = Load(w, "once")
            for n in range(1, 4):
                goal = len(load.acked) + 100
                wait_for(lambda: len(load.acked) >= goal, lambda: "100 acknowledged\n" + w.log()[-4000:])
                pid = w.role_pids("queue")[0]
                while pid in w.role_pids("queue"):
                    faults.set("queue", failed=0, left=1, sync=errno.EIO)
                    wait_for(lambda: faults.get("queue", "failed"), "a sync fails", step=0)
                    # Of the old process no answer comes any more; unless it
                    # was the sync of a spare segment, which holds no mail.
                    goal = len(load.acked) + 300
                    wait_for(lambda: pid not in w.role_pids("queue") or len(load.acked) >= goal,
                             "the queue leaves", step=0)
                w.wait_log(r"the message log cannot be written \(.*\): .*fdatasync", count=n)
                wait_for(lambda: w.role_pids("queue"), "the queue is back")
            goal = len(load.acked) + 50
            wait_for(lambda: len(load.acked) >= goal, lambda: "service returns\n" + w.log()[-4000:])
            load.stop()
            settle(w, mx, load)
            w.wait_queue_empty(60)
            unharmed(w)


def test_while_syncs_fail_nothing_is_acknowledged():
    with peer_and_faults() as (mx, faults):
        with Weir(dict(relay_conf(mx), **CONF), env=faults.env) as w:
            load = Load(w, "eio")
            wait_for(lambda: len(load.acked) >= 100, lambda: "100 acknowledged\n" + w.log()[-4000:])
            faults.set("queue", failed=0, sync=errno.EIO)
            wait_for(lambda: faults.get("queue", "failed"), "a sync fails", step=0)
            # What was synced before may still be on its way to the client.
            w.wait_log(r"the message log cannot be written")
            wait_for(lambda: faults.get("queue", "failed") >= 3, lambda: "tries again\n" + w.log()[-4000:])
            before = len(load.acked)
            failed = faults.get("queue", "failed")
            wait_for(lambda: faults.get("queue", "failed") >= failed + 3,
                     lambda: "tries again\n" + w.log()[-4000:])
            assert len(load.acked) == before
            verb, code, text = try_to_send(w)
            assert code in (421, 450, 451, 452), (verb, code, text)
            assert len(load.acked) == before
            faults.set("queue", sync=0)
            wait_for(lambda: len(load.acked) >= before + 50, lambda: "service returns\n" + w.log()[-4000:])
            load.stop()
            settle(w, mx, load)
            w.wait_queue_empty(60)
            unharmed(w)
