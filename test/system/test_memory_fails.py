"""Row 32: every allocation fails once, in turn.

One run is a message that is received, queued, relayed, delivered to a
mailbox, refused by the next hop and reported.  Role by role, the first,
second, third... allocation of the program during a run is refused
(faults.c), until a run has no more of them.  Whatever is refused: nobody
dies, nobody outside hears of anything but a temporary error, all that was
acknowledged arrives, and nothing is held afterwards.

The programs are those that are installed: the refusal is made in calloc,
below base/mem, by a preloaded library, so there is no hook in the product.
In dns it is made below its own malloc, and so hits libunbound as well: what
that cannot do without ends the role, which the master starts again.

A case mostly waits, for the next attempt.  So all of them run at the same
time, each with a server of its own, and a test is what became of its case.
"""
import concurrent.futures
import contextlib
import os
import re
import signal

import pytest

from harness import FAST_RETRY, SANITIZED, FakeDNS, FakeMX, Faults, Weir, message, relay_conf, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(SANITIZED, reason="the sanitizers have a calloc of their own")]

# A case, and how many share its work: case K of N refuses every Nth.
ONCE = {"smtpd": 1, "queue": 4, "lookup": 1, "smtp": 1, "local": 1, "bounce": 2, "master": 1, "dns": 4}
STARTS = {"smtpd": 1, "queue": 1, "lookup": 1, "smtp": 1, "local": 1, "dns": 1}
# A role that dies at once is started again at once.
QUICK = dict(FAST_RETRY, smtpd_processes="1", smtp_processes="1", fork_delay="10ms", fork_attempts="1000",
             service_throttle_time="1s")
BESIDE = 8
RUNS_MAX = 1000
SLACK = 128 << 10


def refuses_bad(verb, arg, conn):
    return "550 5.1.1 nobody" if verb == "RCPT" and "bad" in arg else None


class Everywhere(dict):
    """Each NAME.far.example has an MX, which is the fake."""

    def get(self, key, default=None):
        name, kind = key
        if name == "mx.hop.example" and kind == "A":
            return ["127.0.0.3"]
        if name.endswith(".far.example") and kind == "MX":
            return [(10, "mx.hop.example")]
        return default


class Run:
    """One message through everything."""

    def __init__(self, w, mx, names=False):
        self.w, self.mx, self.names = w, mx, names
        self.count = 0

    def send(self, name, far):
        """One attempt; True when it was acknowledged."""
        with contextlib.suppress(OSError), self.w.client(timeout=15) as c:
            replies = [c.greeting]
            steps = ["EHLO client.example", "MAIL FROM:<joe@example.test>", f"RCPT TO:<{name}@{far}>",
                     f"RCPT TO:<bad-{name}@{far}>", "RCPT TO:<ann@example.test>", "DATA"]
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

    def __call__(self):
        w, mx = self.w, self.mx
        name = f"n{self.count}"
        far = f"{name}.far.example" if self.names else "far.example"
        self.count += 1
        wait_for(lambda: self.send(name, far), lambda: "taken in the end\n" + w.log()[-4000:], step=0.05)
        wait_for(lambda: any(f"<{name}@{far}" in "".join(m[1]) for m in mx.messages),
                 lambda: f"{name} at the next hop\n" + w.log()[-4000:])
        # The mailbox has the message, the sender a report.
        wait_for(lambda: len(w.mails("ann")) >= self.count and len(w.mails("joe")) >= self.count,
                 lambda: f"{name}: {len(w.mails('ann'))}, {len(w.mails('joe'))} of {self.count}\n" + w.log()[-4000:])
        # The question itself may be what is refused.
        def empty():
            r = w.weir("queue", "list", "--json", check=False)
            return r.returncode == 0 and not r.out.strip()
        wait_for(empty, lambda: w.log()[-4000:], step=0.03)


def accounts(w):
    return {(r["role"], r["name"]): r["in_use"] for r in w.json("limits")["limits"] if r["kind"] == "account"}


@contextlib.contextmanager
def running(role):
    """A server whose next hop is found by name where dns is the role."""
    mx = FakeMX(refuses_bad, host="127.0.0.3" if role == "dns" else "127.0.0.1")
    dns = FakeDNS({}) if role == "dns" else None
    conf = relay_conf(mx)
    if dns:
        dns.records = Everywhere()
        conf = {"resolver_addresses": f"127.0.0.1:{dns.port}", "smtp_remote_port": str(mx.port)}
    try:
        with Faults() as faults, Weir(dict(conf, **QUICK), env=faults.env) as w:
            yield w, faults, Run(w, mx, names=dns is not None)
            assert w.stop() == 0
    finally:
        mx.close()
        if dns:
            dns.close()


def kill(w, role):
    old = w.role_pids(role)
    for pid in old:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not set(w.role_pids(role)) & set(old), f"{role} is gone")


def each_fails_once(role, first, step, rounds):
    with running(role) as (w, faults, run):
        for _ in range(3):
            run()
        before, base, pids = faults.get(role, "allocs"), accounts(w), w.pids()
        run()
        each = faults.get(role, "allocs") - before
        failed = 0
        for n in range(1 + first, RUNS_MAX, step):
            faults.set(role, alloc=n)
            run()
            if faults.get(role, "alloc") > 0:
                break
            failed += 1
        faults.set(role, alloc=0)
        assert failed >= 1 or each <= first or role == "master"
        assert n < RUNS_MAX - step
        run()
        alive = w.pids()
        gone = [name for pid, name in pids.items() if pid not in alive]
        # dns: see above.
        may = ["weir-bounce", "weir-pickup", "weir-local", "weir-deliver"] + ["weir-dns"] * (role == "dns")
        assert not [g for g in gone if g not in may], gone
        assert set(w.role_pids("local")) & {p for p, name in pids.items() if name == "weir-local"}
        assert not re.search(r"fatal: (?!cannot start)|malformed", w.log())

        def grown():
            return {k: v - base.get(k, 0) for k, v in accounts(w).items() if v > base.get(k, 0) + SLACK}
        # Buffers of work in the background come and go.
        wait_for(lambda: not grown(), lambda: f"back to base: {grown()}")
        return f"{role}: {each} allocations in a run, {failed} refused one by one"


def starts_fail(role, first, step, rounds):
    """Memory fails while the role starts: until it has what it needs."""
    with running(role) as (w, faults, run):
        run()
        before = faults.get(role, "allocs")
        kill(w, role)
        run()
        each = faults.get(role, "allocs") - before
        for n in sorted({1 + i * each // rounds for i in range(rounds)})[first::step]:
            faults.set(role, alloc=n)
            kill(w, role)
            run()
        return f"{role}: {each} allocations up to the first message, {rounds} refused at the start"


def cases(shared):
    return [pytest.param(role, k, n, id=role if n == 1 else f"{role}-{k + 1}-of-{n}")
            for role, n in shared.items() for k in range(n)]


@pytest.fixture(scope="module")
def beside(request):
    """Every case of this file that is to run is begun at once."""
    pool = concurrent.futures.ThreadPoolExecutor(BESIDE)
    rounds = request.config.getoption("--rounds")
    begun = {}
    for item in request.session.items:
        if item.path == request.path:
            what = each_fails_once if "fails_once" in item.name else starts_fail
            p = item.callspec.params
            begun[item.name] = pool.submit(what, p["role"], p["first"], p["step"], rounds)
    yield begun
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("role, first, step", cases(ONCE))
def test_row_32_every_allocation_fails_once(role, first, step, beside, request):
    print(beside[request.node.name].result())


@pytest.mark.parametrize("role, first, step", cases(STARTS))
def test_row_32_memory_fails_at_the_start_of_a_role(role, first, step, beside, request):
    print(beside[request.node.name].result())
