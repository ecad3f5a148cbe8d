"""The machine's clock jumps while the server runs, a day this way or that.

Every role sees the jump at once, as with a set clock; what counts intervals
goes on.  Nothing is given up early, nothing waits for a day, nothing hangs.
"""
import re

import pytest

from harness import FAST_RETRY, Faults, Weir, relay_conf, wait_for
from test_crash import Load, settle
from test_power import Later

DAY = 86400

# They wait for the disk and the clock, not for us: without sanitizers only.
pytestmark = pytest.mark.slow


def jump(faults, seconds):
    for role in Faults.ROLES:
        faults.set(role, clock_s=seconds)


@pytest.mark.parametrize("jumps", [(DAY, 0), (-DAY, 0), (DAY, -DAY), (40 * DAY,)],
                         ids=["forward-and-back", "backward-and-forward", "about", "far-forward"])
def test_the_clock_jumps(jumps):
    with Later() as later, Faults() as faults:
        # A lifetime far shorter than the jump, and far longer than the test.
        conf = dict(relay_conf(later.mx), **FAST_RETRY, maximal_queue_lifetime="2h",
                    bounce_queue_lifetime="2h")
        with Weir(conf, env=faults.env) as w:
            for i in range(20):
                w.send(f"later{i}@far.example", sender="joe@example.test",
                       body=f"X-Name: later-{i}\r\n\r\nx\r\n")
            # Few and slow: it matters that service goes on, not how fast.
            load = Load(w, "j", senders=4, pause=0.05)
            wait_for(lambda: len(load.acked) >= 20, lambda: "20 acknowledged\n" + w.log()[-4000:])
            # A transaction that is half done goes on.
            with w.client() as c:
                c.ok("EHLO client.example")
                for n, seconds in enumerate(jumps):
                    c.ok("MAIL FROM:<>")
                    c.ok(f"RCPT TO:<later-open-{n}@far.example>")
                    c.ok("DATA", 354)
                    c.send(f"X-Name: open-{n}\r\n\r\n")
                    jump(faults, seconds)
                    w.wait_log(r"the system's clock jumped by", count=n + 1)
                    c.send("body\r\n.\r\n")
                    assert c.reply()[0] == 250
                    goal = len(load.acked) + 20
                    wait_for(lambda: len(load.acked) >= goal, lambda: "service goes on\n" + w.log()[-4000:])
                    # All that is deferred is tried again, and again.
                    tries = w.count_log(r"to=<later0@far.example>.*status=deferred")
                    w.wait_log(r"to=<later0@far.example>.*status=deferred", count=tries + 2)
            load.stop()
            assert re.findall(r".*status=bounced.*", w.log()) == []
            later.open = True
            settle(w, later.mx, load)
            w.wait_queue_empty(60)
            names = b"".join(m[2] for m in later.mx.messages)
            assert all(b"later-%d\r" % i in names for i in range(20))
            assert all(b"open-%d\r" % n in names for n in range(len(jumps)))
            assert w.mails("joe") == []


def test_deferred_mail_after_a_start_with_an_older_clock():
    """A machine whose clock lost a day while it was off (no battery)."""
    with Later() as later, Faults() as faults:
        jump(faults, DAY)
        with Weir(dict(relay_conf(later.mx), **FAST_RETRY), env=faults.env) as w:
            for i in range(5):
                w.send(f"later{i}@far.example", body="X-Name: x\r\n\r\nx\r\n")
            w.wait_log(r"to=<later0@far.example>.*status=deferred", count=2)
            assert w.stop() == 0
            jump(faults, 0)
            later.open = True
            w.start()
            w.wait_queue_empty(30)
            assert len(later.mx.messages) == 5
