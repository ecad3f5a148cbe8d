"""Never lose mail: kill -9 at random moments, and the order of sync and 250.

Every message that was answered 250 must, after recovery, be delivered,
bounced or still queued, and whole.  Duplicates are counted, not refused:
RFC 5321 4.5.3.2.6 allows them after a lost acknowledgement.

The long run: WEIR_KILL_ROUNDS=200 pytest -s test/system/test_crash.py -k kill
"""
import contextlib
import os
import random
import re
import signal
import subprocess
import threading
import time

import pytest

from harness import FAST_RETRY, SANITIZED, FakeMX, Weir, relay_conf, wait_for

SENDERS = 24


class Load:
    """Senders that never stop, and what was promised to them.

    pause: seconds that each sender rests after a message.
    """

    def __init__(self, w, tag, senders=SENDERS, pause=0):
        self.w = w
        self.tag = tag
        self.pause = pause
        self.acked = {}       # name -> body digest text
        self.open = 0         # transactions between MAIL and the answer
        self.running = True
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True)
                        for i in range(senders)]
        for t in self.threads:
            t.start()

    def _run(self, n):
        count = 0
        rng = random.Random(f"{self.tag}-{n}")
        while self.running:
            try:
                with self.w.client(timeout=10) as c:
                    c.cmd("EHLO client.example")
                    while self.running:
                        count += 1
                        self._message(c, f"{self.tag}-{n}-{count}", n, rng)
                        time.sleep(self.pause)
            except (OSError, AssertionError):
                time.sleep(0.01)

    def _message(self, c, name, n, rng):
        rcpt = f"u{n % 4}@example.test" if n % 2 else f"u{n}@far.example"
        body = "".join(f"{name} line {i}\r\n" for i in range(rng.choice((1, 30, 300))))
        counted = False
        try:
            c.send(f"MAIL FROM:<>\r\nRCPT TO:<{rcpt}>\r\nDATA\r\n")
            codes = [c.reply()[0] for _ in range(3)]
            if codes[2] != 354:
                if codes[0] == 250:
                    c.cmd("RSET")
                return
            with self.lock:
                self.open += 1
                counted = True
            c.send(f"Subject: {name}\r\nX-Name: {name}\r\n\r\n{body}")
            c.send(".\r\n")
            code, _ = c.reply()
            if code == 250:
                with self.lock:
                    self.acked[name] = (rcpt, body.replace("\r\n", "\n"))
        finally:
            if counted:
                with self.lock:
                    self.open -= 1

    def stop(self):
        self.running = False
        for t in self.threads:
            t.join(20)


def found_whole(w, mx, load):
    """name -> how often it arrived; asserts that every copy is whole."""
    seen = {}

    def take(raw):
        text = raw.decode().replace("\r\n", "\n")
        m = re.search(r"^X-Name: (\S+)$", text, re.M)
        assert m, text[:300]
        name = m.group(1)
        if name in load.acked:
            assert text.endswith("\n\n" + load.acked[name][1]), f"{name} is torn: {text[-200:]!r}"
        seen[name] = seen.get(name, 0) + 1
    for i in range(4):
        for raw in w.mails(f"u{i}"):
            take(raw)
    for _, _, raw in list(mx.messages):
        take(raw)
    return seen


def settle(w, mx, load):
    """After recovery: everything acknowledged arrives."""
    def missing():
        seen = found_whole(w, mx, load)
        return [n for n in load.acked if n not in seen]
    wait_for(lambda: not missing(), lambda: f"lost: {missing()[:5]} of {len(load.acked)}; queue "
             f"{w.queue()[:3]}\n" + w.log()[-6000:], deadline=60, step=0.2)
    return found_whole(w, mx, load)


CONF = dict(FAST_RETRY, queue_segment_size="4M", fork_delay="1s", service_throttle_time="1s")


ACKED_MIN, OPEN_MIN = 100, 20


class Rounds:
    """Kills under load, counted: a round with fewer than ACKED_MIN messages
    acknowledged or OPEN_MIN transactions open at the kill does not count."""

    def __init__(self, request, wanted):
        seed = request.config.getoption("--seed")
        if seed is None:
            seed = random.randrange(1 << 30)
        print(f"seed {seed}")
        self.rng = random.Random(seed)
        self.wanted = wanted
        self.attempts = self.counted = self.total = self.duplicates = 0

    def more(self):
        """Whether there is a round to be made; its name."""
        if self.counted >= self.wanted:
            return None
        self.attempts += 1
        assert self.attempts <= self.wanted * 3, "too few rounds with load at the kill"
        return f"r{self.attempts}"

    def moment(self, w, load):
        """Wait for a random instant under load."""
        wait_for(lambda: len(load.acked) >= ACKED_MIN,
                 lambda: f"{ACKED_MIN} acknowledged, {len(load.acked)} were\n" + w.log()[-4000:], 60)
        time.sleep(self.rng.random() * 0.3)
        end = time.monotonic() + 2
        while load.open < OPEN_MIN and time.monotonic() < end:
            pass
        return load.open

    def over(self, w, mx, load, open_count):
        """What came of it.  Mailboxes and next hop are empty afterwards."""
        seen = settle(w, mx, load)
        w.wait_queue_empty(60)
        seen = found_whole(w, mx, load)
        self.counted += open_count >= OPEN_MIN
        self.total += len(load.acked)
        self.duplicates += sum(n - 1 for n in seen.values())
        for i in range(4):
            new = w.maildir(f"u{i}") / "new"
            for p in new.iterdir() if new.is_dir() else ():
                p.unlink()
        mx.messages.clear()

    def report(self, what):
        print(f"{what}: {self.counted} rounds, {self.total} acknowledged, 0 lost, "
              f"{self.duplicates} duplicates")


def rounds_wanted(request, share=1):
    rounds = max(request.config.getoption("--rounds") // share, 1)
    # What matters under sanitizers are their reports.
    return max(rounds // 10, 1) if SANITIZED else rounds


def test_kill_the_whole_tree(request):
    rounds = Rounds(request, rounds_wanted(request))
    mx = FakeMX()
    try:
        with Weir(dict(relay_conf(mx), **CONF)) as w:
            while name := rounds.more():
                load = Load(w, name)
                open_count = rounds.moment(w, load)
                w.kill()
                load.stop()
                w.start()
                rounds.over(w, mx, load, open_count)
            assert w.weir("fsck", w.dir / "queue").returncode == 0
    finally:
        mx.close()
    rounds.report("the whole tree")


@pytest.mark.parametrize("role", ["smtpd", "queue", "smtp", "local", "lookup", "dns", "deliver"])
def test_kill_one_role(role, request):
    """All its processes at once, at random moments; the load goes on."""
    rounds = Rounds(request, rounds_wanted(request, 5))
    mx = FakeMX()
    try:
        with Weir(dict(relay_conf(mx), **CONF)) as w:
            while name := rounds.more():
                load = Load(w, f"{role}-{name}")
                open_count = rounds.moment(w, load)
                for pid in wait_for(lambda: w.role_pids(role), f"a process of {role}", step=0):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                goal = len(load.acked) + 20
                wait_for(lambda: len(load.acked) >= goal, lambda: "service returns\n" + w.log()[-4000:], 60)
                load.stop()
                rounds.over(w, mx, load, open_count)
            assert w.stop() == 0
            assert w.weir("fsck", w.dir / "queue").returncode == 0
    finally:
        mx.close()
    rounds.report(role)


def test_stop_and_start_keep_the_queue(mx):
    with Weir(dict(relay_conf(mx), concurrency_remote="0")) as w:
        ids = [w.send(f"u{i}@far.example") for i in range(20)]
        assert w.stop() == 0
        w.start()
        assert sorted(int(m["queue_id"]) for m in w.queue()) == sorted(ids)
        w.stop()
        w.write_conf(concurrency_remote="5")
        w.start()
        wait_for(lambda: len(mx.messages) == 20, "20 messages")
        w.wait_queue_empty()
        more = w.send("again@far.example")
        assert more > max(ids)


def test_ids_are_never_used_again_after_a_kill(weir):
    first = weir.send("joe@example.test")
    weir.kill()
    weir.start()
    second = weir.send("joe@example.test")
    assert second > first


def test_each_250_follows_the_sync_of_its_bytes(tmp_path):
    """A trace of the queue role: between the write of a message's bytes and
    the frame that lets smtpd answer there is a successful fdatasync."""
    with Weir({"defer_transports": "smtp", "commit_delay": "0"}) as w:
        pid = w.role_pids("queue")[0]
        trace = tmp_path / "trace"
        strace = subprocess.Popen(
            ["strace", "-f", "-tt", "-y", "-s", "256", "-e",
             "trace=pwrite64,pwritev,pwritev2,write,fdatasync,fsync,sendmsg,sendmmsg,sendto",
             "-o", str(trace), "-p", str(pid)], stderr=subprocess.PIPE)
        try:
            wait_for(lambda: trace.exists() and
                     (os.path.exists(f"/proc/{pid}/status") and
                      not re.search(r"TracerPid:\t0\n", open(f"/proc/{pid}/status").read())),
                     "strace attached")
            marks = [f"marker-{i}-{'q' * 20}" for i in range(10)]
            for m in marks:
                w.send("x@far.example", body=f"{m}\r\n" * 3)
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait(10)
        events = []
        for line in trace.read_text(errors="replace").splitlines():
            if re.search(r"\b(pwrite64|pwritev2?|write)\(\d+<[^>]*\.seg>", line):
                events.append(("write", line))
            elif "fdatasync" in line and re.search(r"= 0$", line):
                events.append(("sync", line))
            elif re.search(r"\b(sendmsg|sendmmsg|sendto)\(", line):
                events.append(("send", line))
        writes = [i for i, e in enumerate(events) if e[0] == "write"]
        assert len(writes) >= 10, trace.read_text(errors="replace")[-3000:]
        # After each write to a segment: a sync before any frame to smtpd
        # that could be the answer of this message.
        acks = 0
        for i in writes:
            following = [e[0] for e in events[i + 1:]]
            if "send" in following:
                at = following.index("send")
                nxt = following.index("sync") if "sync" in following else None
                if nxt is not None and nxt < at:
                    acks += 1
        assert acks >= 10, (acks, [e[1][:160] for e in events[:40]])


def test_fsck_is_clean_after_work(weir):
    for i in range(20):
        weir.send("joe@example.test", subject=f"m{i}")
    weir.wait_mails("joe", 20)
    weir.stop()
    assert weir.weir("fsck", weir.dir / "queue").returncode == 0
    weir.start()


def test_row_53_damage_is_named_and_the_rest_lives(mx):
    with Weir(dict(relay_conf(mx), concurrency_remote="0")) as w:
        ids = [w.send(f"u{i}@far.example", body=f"Subject: n{i}\r\n\r\nunique-{i}-body\r\n")
               for i in range(20)]
        w.stop()
        seg = next(p for p in sorted((w.dir / "queue" / "log").glob("*.seg"))
                   if b"unique-7-body" in p.read_bytes())
        data = bytearray(seg.read_bytes())
        at = data.index(b"unique-7-body")
        data[at] ^= 0xff
        seg.write_bytes(data)
        if os.geteuid() == 0:
            pass
        r = w.weir("fsck", w.dir / "queue", check=False)
        assert r.returncode != 0 and str(ids[7]) in r.out + r.err, (r.out, r.err)
        w.write_conf(concurrency_remote="5")
        w.start()
        wait_for(lambda: len(mx.messages) >= 19, lambda: f"19 messages, {len(mx.messages)}\n" + w.log())
        assert not any(b"unique-7" in m[2] for m in mx.messages)
        assert all(any(b"unique-%d-" % i in m[2] for m in mx.messages) for i in range(20) if i != 7)


def test_a_lost_index_is_made_again(mx):
    with Weir(dict(relay_conf(mx), concurrency_remote="0")) as w:
        ids = [w.send(f"u{i}@far.example") for i in range(10)]
        w.stop()
        for p in (w.dir / "queue").glob("index*"):
            if p.is_file():
                p.write_bytes(b"not a database" * 100)
            else:
                for f in p.iterdir():
                    f.write_bytes(b"not a database" * 100)
        w.start()
        assert sorted(int(m["queue_id"]) for m in w.queue()) == sorted(ids)
