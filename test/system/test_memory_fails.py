"""Row 32: every allocation fails once, in turn.

One run is a message that is received, queued, relayed, delivered to a
mailbox, refused by the next hop and reported.  Role by role, the first,
second, third... allocation of the program during a run is refused
(faults.c), until a run has no more of them.  Whatever is refused: nobody
dies, nobody outside hears of anything but a temporary error, all that was
acknowledged arrives, and nothing is held afterwards.

The programs are those that are installed: the refusal is made in calloc,
below base/mem, by a preloaded library, so there is no hook in the product.
dns is left out, whose allocator serves libunbound as well: a library that
cannot fail cleanly may take its role with it.
"""
import contextlib
import re

import pytest

from harness import FAST_RETRY, SANITIZED, FakeMX, Faults, Weir, message, relay_conf, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(SANITIZED, reason="the sanitizers have a calloc of their own")]

ROLES = ["smtpd", "queue", "lookup", "smtp", "local", "bounce", "master"]
QUICK = dict(FAST_RETRY, smtpd_processes="1", smtp_processes="1", fork_delay="10ms", service_throttle_time="1s")
RUNS_MAX = 400
SLACK = 128 << 10


def refuses_bad(verb, arg, conn):
    return "550 5.1.1 nobody" if verb == "RCPT" and "bad" in arg else None


def send(w, name):
    """One attempt; True when it was acknowledged."""
    with contextlib.suppress(OSError), w.client(timeout=15) as c:
        replies = [c.greeting]
        steps = ["EHLO client.example", "MAIL FROM:<joe@example.test>", f"RCPT TO:<{name}@far.example>",
                 f"RCPT TO:<bad-{name}@far.example>", "RCPT TO:<ann@example.test>", "DATA"]
        for s in steps:
            replies.append(c.cmd(s))
            assert replies[-1][0] < 500, (s, replies)
            if replies[-1][0] >= 400:
                return False
        c.send(message(name) + ".\r\n")
        code, text = c.reply()
        assert code < 500, (code, text)
        c.cmd("QUIT")
        return code == 250
    return False


class Run:
    """One message through everything."""

    def __init__(self, w, mx):
        self.w, self.mx = w, mx
        self.count = 0

    def __call__(self):
        w, mx = self.w, self.mx
        name = f"n{self.count}"
        self.count += 1
        wait_for(lambda: send(w, name), lambda: "taken in the end\n" + w.log()[-4000:], step=0.05)
        wait_for(lambda: any(f"<{name}@far" in "".join(m[1]) for m in mx.messages),
                 lambda: f"{name} at the next hop\n" + w.log()[-4000:])
        # The mailbox has the message, the sender a report.
        wait_for(lambda: len(w.mails("ann")) >= self.count and len(w.mails("joe")) >= self.count,
                 lambda: f"{name}: {len(w.mails('ann'))}, {len(w.mails('joe'))} of {self.count}\n" + w.log()[-4000:])
        # The question itself may be what is refused.
        def empty():
            r = w.weir("queue", "list", "--json", check=False)
            return r.returncode == 0 and not r.out.strip()
        wait_for(empty, lambda: w.log()[-4000:])


def accounts(w):
    return {(r["role"], r["name"]): r["in_use"] for r in w.json("limits")["limits"] if r["kind"] == "account"}


@pytest.mark.parametrize("role", ROLES)
def test_row_32_every_allocation_fails_once(role):
    mx = FakeMX(refuses_bad)
    try:
        with Faults() as faults, Weir(dict(relay_conf(mx), **QUICK), env=faults.env) as w:
            run = Run(w, mx)
            for _ in range(3):
                run()
            before, base, pids = faults.get(role, "allocs"), accounts(w), w.pids()
            run()
            each = faults.get(role, "allocs") - before
            failed = 0
            for n in range(1, RUNS_MAX):
                faults.set(role, alloc=n)
                run()
                if faults.get(role, "alloc") > 0:
                    break
                failed += 1
            faults.set(role, alloc=0)
            print(f"{role}: {each} allocations in a run, {failed} refused one by one")
            assert failed >= min(each, 1) or role == "master"
            assert n < RUNS_MAX - 1
            run()
            alive = w.pids()
            gone = [name for pid, name in pids.items() if pid not in alive]
            assert not [g for g in gone if g not in ("weir-bounce", "weir-pickup", "weir-local", "weir-deliver")], gone
            assert set(w.role_pids("local")) & {p for p, name in pids.items() if name == "weir-local"}
            assert not re.search(r"fatal: (?!cannot start)|malformed", w.log())


            def grown():
                return {k: v - base.get(k, 0) for k, v in accounts(w).items() if v > base.get(k, 0) + SLACK}
            # Buffers of work in the background come and go.
            wait_for(lambda: not grown(), lambda: f"back to base: {grown()}")
            assert w.stop() == 0
    finally:
        mx.close()


@pytest.mark.parametrize("role", [r for r in ROLES if r not in ("master", "bounce")])
def test_row_32_memory_fails_at_the_start_of_a_role(role, request):
    """It is started again until it has what it needs."""
    mx = FakeMX(refuses_bad)
    try:
        with Faults() as faults, Weir(dict(relay_conf(mx), **QUICK), env=faults.env) as w:
            run = Run(w, mx)
            run()
            before = faults.get(role, "allocs")
            kill(w, role)
            run()
            each = faults.get(role, "allocs") - before
            rounds = request.config.getoption("--rounds")
            for n in sorted({1 + i * each // rounds for i in range(rounds)}):
                faults.set(role, alloc=n)
                kill(w, role)
                run()
            assert w.stop() == 0
    finally:
        mx.close()


def kill(w, role):
    import os
    import signal
    old = w.role_pids(role)
    for pid in old:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not set(w.role_pids(role)) & set(old), f"{role} is gone")
