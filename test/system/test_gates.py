"""Gates: nothing that dies or goes away keeps a place."""
import contextlib
import os
import signal

import pytest

from harness import FAST_RETRY, FakeMX, Weir, message, relay_conf, wait_for

QUICK = dict(FAST_RETRY, fork_delay="10ms", service_throttle_time="1s")


def gates(w):
    return {(r["role"], r["name"]): r["in_use"] for r in w.json("limits")["limits"]
            if r["kind"] == "gate" and r["name"] != "status clients"}


def empty(w):
    wait_for(lambda: not any(gates(w).values()), lambda: f"{gates(w)}\n{w.log()[-3000:]}", step=0.1)


def kill(w, role):
    for pid in w.role_pids(role):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_the_incoming_gate_however_a_session_ends():
    stages = [[], ["EHLO a.example"], ["EHLO a.example", "MAIL FROM:<a@client.example>"],
              ["EHLO a.example", "MAIL FROM:<a@client.example>", "RCPT TO:<joe@example.test>"],
              ["EHLO a.example", "MAIL FROM:<a@client.example>", "RCPT TO:<joe@example.test>", "DATA"]]
    with Weir(dict(QUICK, concurrency_incoming="20")) as w:
        for _ in range(4):
            held = []
            for lines in stages:
                for rest in (b"", b"NOO", b"XYZZY\r\n"):
                    c = w.client()
                    for line in lines:
                        c.cmd(line)
                    c.send(rest)
                    held.append(c)
            assert gates(w)["smtpd", "incoming"] >= 0
            for c in held:
                c.close()
            empty(w)
        # And when the process that holds the places dies.
        held = [w.client() for _ in range(10)]
        wait_for(lambda: gates(w)["smtpd", "incoming"] == 10, lambda: gates(w))
        kill(w, "smtpd")
        wait_for(lambda: len(w.role_pids("smtpd")) == 2, "smtpd is back")
        empty(w)
        for c in held:
            c.close()
        w.send("joe@example.test")
        w.wait_mails("joe")


@pytest.mark.parametrize("role", ["smtp", "queue", "local"])
def test_the_gates_of_delivery_when_somebody_dies(role):
    mx = FakeMX(lambda verb, arg, conn: None if go else "450 4.2.0 later" if verb == "RCPT" else None)
    go = []
    try:
        with Weir(dict(relay_conf(mx), **QUICK)) as w:
            for i in range(30):
                w.send([f"u{i}@far.example", f"box{i}@example.test"])
                if i % 10 == 5:
                    kill(w, role)
                    wait_for(lambda: sent(w, f"again{i}@example.test"), lambda: w.log()[-3000:])
            go.append(True)
            w.process.send_signal(signal.SIGALRM)
            wait_for(lambda: not w.queue(), lambda: w.log()[-3000:], 60, 0.2)
            empty(w)
    finally:
        mx.close()


def sent(w, rcpt):
    with contextlib.suppress(OSError, AssertionError), w.client() as c:
        c.ok("EHLO client.example")
        return c.transaction("a@client.example", rcpt, message("again"))[0] == 250
    return False


def test_what_the_door_refuses_is_counted():
    """Of all processes together, however short the sessions were."""
    with Weir({"concurrency_incoming": "10", "unproven_share": "50", "mynetworks": "127.0.0.2/32"}) as w:
        held = [w.client(source="127.0.0.3") for _ in range(5)]
        for _ in range(4):
            with w.client(source="127.0.0.3") as c:
                assert c.greeting[0] == 421, c.greeting
        held += [w.client(source="127.0.0.2") for _ in range(5)]

        def figures(name):
            return next((r["in_use"], r["limit"], r["high_water"], r["refused"]) for r in w.json("status")["gates"]
                        if r["name"] == name)
        for c in held:
            c.close()
        wait_for(lambda: figures("unproven sessions") == (0, 5, 5, 4), lambda: figures("unproven sessions"))
        assert figures("incoming") == (0, 10, 10, 0)
        w.wait_log(r"limit concurrency_incoming \(10\) reached by all clients: the listening sockets wait")
        assert [r["waited"] for r in w.json("limits")["limits"] if r["name"] == "incoming"][0] > 0
