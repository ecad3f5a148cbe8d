"""Everything flows although everything is small, and while people meddle.

Limits of a few messages, segments that are used again all the time, little
memory; holds, releases, flushes and reloads in the middle of deliveries.
What was acknowledged arrives, once.
"""
import contextlib
import os
import re
import signal
import subprocess

import pytest

from harness import FAST_RETRY, WEIR, FakeMX, Weir, relay_conf, wait_for
from test_crash import Load, settle


def once(w, mx, load):
    """All of it arrives, and nothing twice."""
    seen = settle(w, mx, load)
    assert {n: c for n, c in seen.items() if c > 1 and n in load.acked} == {}
    w.wait_queue_empty(60)


def test_segments_are_used_again_while_mail_stays():
    mx = FakeMX(lambda verb, arg, conn: "450 4.2.0 later"
                if verb == "RCPT" and "later" in arg and not mx.open else None)
    mx.open = False
    try:
        with Weir(dict(relay_conf(mx), **FAST_RETRY, queue_segment_size="1M")) as w:
            for i in range(40):
                w.send(f"later{i}@far.example", body=f"X-Name: stay-{i}\r\n\r\nx\r\n")
            load = Load(w, "s")
            wait_for(lambda: len(load.acked) >= 2500, lambda: f"2500 messages: {len(load.acked)}", 90)
            load.stop()
            settle(w, mx, load)
            log = w.dir / "queue" / "log"
            wait_for(lambda: len(list(log.iterdir())) <= 12,
                     lambda: f"the log shrinks: {sorted(p.name for p in log.iterdir())}")
            assert len(w.queue()) == 40
            w.kill()
            w.start()
            mx.open = True
            w.process.send_signal(signal.SIGALRM)
            w.wait_queue_empty(60)
            assert sum("later" in "".join(m[1]) for m in mx.messages) == 40
            assert w.stop() == 0
            assert w.weir("fsck", w.dir / "queue").returncode == 0
    finally:
        mx.close()


def test_limits_of_a_few_messages():
    mx = FakeMX()
    try:
        with Weir(dict(relay_conf(mx), **FAST_RETRY, qmgr_message_active_limit="5",
                       qmgr_message_recipient_limit="20")) as w:
            for i in range(10):
                w.send([f"r{i}-{k}@far.example" for k in range(30)], body=f"X-Name: many-{i}\r\n\r\nx\r\n")
            load = Load(w, "l")
            wait_for(lambda: len(load.acked) >= 600, lambda: f"600 messages: {len(load.acked)}", 60)
            load.stop()
            once(w, mx, load)
            got = sorted(r for m in mx.messages for r in m[1] if r.startswith("TO:<r"))
            assert got == sorted(f"TO:<r{i}-{k}@far.example>" for i in range(10) for k in range(30))
    finally:
        mx.close()


def test_little_memory():
    mx = FakeMX()
    try:
        with Weir(dict(relay_conf(mx), **FAST_RETRY, memory_budget="32M")) as w:
            load = Load(w, "m")
            wait_for(lambda: len(load.acked) >= 600, lambda: f"600 messages: {len(load.acked)}", 60)
            load.stop()
            once(w, mx, load)
    finally:
        mx.close()


def test_people_meddle_while_it_runs():
    mx = FakeMX()
    try:
        with Weir(dict(relay_conf(mx), **FAST_RETRY, queue_segment_size="1M")) as w:
            load = Load(w, "p")
            for i in range(12):
                goal = len(load.acked) + 80
                wait_for(lambda: len(load.acked) >= goal, lambda: "service goes on\n" + w.log()[-4000:])
                w.weir("queue", "hold", "--yes", check=False)
                for _ in range(20):
                    w.process.send_signal(signal.SIGALRM)
                w.hup()
                w.weir("queue", "release", "--yes", check=False)
            load.stop()
            w.weir("queue", "release", "--yes", check=False)
            once(w, mx, load)
    finally:
        mx.close()


def sent(w, *args, **kw):
    """False: not now.  While a queue starts, MAIL is answered 451, by one smtpd
    longer than by the other."""
    try:
        w.send(*args, **kw)
    except AssertionError:
        return False
    return True


def test_the_queue_dies_while_it_reports():
    mx = FakeMX(lambda verb, arg, conn: "550 5.1.1 nobody" if verb == "RCPT" and "bad" in arg else None)
    try:
        with Weir(dict(relay_conf(mx), **FAST_RETRY, fork_delay="1s",
                       service_throttle_time="1s")) as w:
            for i in range(60):
                wait_for(lambda: sent(w, f"bad{i}@far.example", sender="joe@example.test",
                                      subject=f"b-{i}"), "the queue takes mail")
                if i % 20 == 10:
                    for pid in w.role_pids("queue") + w.role_pids("bounce"):
                        os.kill(pid, signal.SIGKILL)
            w.wait_queue_empty(60)
            # A copy of one report may have arrived twice, as all mail may when
            # the result of its delivery was lost; two reports may not.
            reports = {}
            for m in w.mails("joe"):
                bad = re.search(rb"<(bad\d+)@far.example>", m).group(1)
                reports.setdefault(bad, set()).add(re.search(rb"(?mi)^Message-ID: (.*)$", m).group(1))
            assert sorted(map(len, reports.values())) == [1] * 60, reports
    finally:
        mx.close()


@pytest.mark.parametrize("count", [12, 15, 63])
def test_too_few_descriptors_to_run(count):
    """Said at the start, instead of roles that die and come again."""
    w = Weir(start=False)
    with contextlib.closing(w):
        r = subprocess.run(["sh", "-c", f'ulimit -n {count}; exec "$0" run -c "$1"', WEIR, w.conf_path], text=True,
                           capture_output=True, timeout=30)
        assert r.returncode == 78, r
        assert f"RLIMIT_NOFILE is {count}, and 64 are needed at least; raise what ulimit -n" in r.stderr
