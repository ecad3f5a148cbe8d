"""Each control of the resource-control page, provoked from outside.

A test is named after its control and goes to one below the limit, to the
limit, one above and a hundred times as far.
"""
import os
import pwd
import re
import resource
import signal
import subprocess

import pytest

from dots import dot
from harness import FAST_RETRY, WEIR, FakeMX, Weir, message, relay_conf, wait_for

#: What to add to or multiply a limit with.
AROUND = [-1, 0, 1, "x100"]


def around(limit, by):
    return limit * 100 if by == "x100" else limit + by


def within(by):
    return by in (-1, 0)


def opened(w, **kw):
    c = w.client(**kw)
    c.ok("EHLO client.example")
    return c


def say_message(w, body, rcpt="joe@example.test", size=None):
    """The reply that decides."""
    with opened(w) as c:
        code, text = c.cmd("MAIL FROM:<a@client.example>" + (f" SIZE={size}" if size else ""))
        if code != 250:
            return code, text
        c.ok(f"RCPT TO:<{rcpt}>")
        code, text = c.cmd("DATA")
        if code != 354:
            return code, text
        c.send(body + ".\r\n")
        return c.reply()


def named(w, control, who=".*"):
    """The line that a limit which was hit writes, and its counter."""
    found = w.wait_log(rf"limit {control} \(\d+( ms)?\) reached by {who}: ")
    wait_for(lambda: refused(w, control) > 0, f"{control} in weir limits")
    return found


def unnamed(w, control):
    assert w.count_log(f"limit {control} ") == refused(w, control) == 0


def refused(w, control):
    return sum(r["refused"] + r["waited"] for r in w.json("limits")["limits"] if r["parameter"] == control)


class Bounded(Weir):
    """A server whose processes may have so much of one thing."""
    what, most = resource.RLIMIT_DATA, 0

    def _identity(self):
        return lambda: resource.setrlimit(self.what, (self.most, self.most))


@pytest.mark.slow  # the sanitizers need more memory than that
@pytest.mark.parametrize("by", [-1, 0, 1])
def test_memory_budget(by):
    """A limit of the machine below it is found at the start."""
    w = Bounded({"memory_budget": "64M"}, start=False)
    w.most = (64 << 20) + by
    try:
        if by >= 0:
            w.start()
            w.send("joe@example.test")
            w.wait_mails("joe")
            return
        r = subprocess.run([str(WEIR), "run", "-c", str(w.conf_path)], preexec_fn=w._identity(), text=True,
                           capture_output=True, timeout=30)
        assert r.returncode == 78
        assert re.search(r'weir.conf:\d+: memory_budget: value "64M": only 67108863 are allowed; '
                         r"lower memory_budget, or raise what ulimit -d, LimitDATA= sets, RLIMIT_DATA\n", r.stderr), r.stderr
    finally:
        w.__exit__(None, None, None)


@pytest.mark.parametrize("by", [-1, 0])
@pytest.mark.parametrize("each", [1, 2], ids=["", "handed over"])
def test_rlimit_nofile(by, each):
    """Too few descriptors for the sessions that are asked for: fewer of them,
    and it is said how many.  One that qmail-smtpd hands over has two."""
    w = Bounded({"concurrency_incoming": "30", "authorized_session_users": "nobody" if each == 2 else None,
                 "concurrency_remote": "10000", "memory_budget": "1G"}, start=False)
    w.what, w.most = resource.RLIMIT_NOFILE, 64 + 30 * each + by
    try:
        w.start()
        told = w.count_log(rf"concurrency_incoming is 29 instead of 30: RLIMIT_NOFILE is {w.most}$")
        assert bool(told) == (by == -1)
        # Of smtp's process, besides 96 for segments and channels.
        remote = max(w.most - 96, 1)
        w.wait_log(rf"concurrency_remote is {remote} instead of 10000: RLIMIT_NOFILE is {w.most}$")
        w.send("joe@example.test")
        w.wait_mails("joe")
    finally:
        w.__exit__(None, None, None)


def connects(w, sources):
    for s in sources:
        with w.client(source=s) as c:
            yield c.greeting


def messages(w, sources):
    for s in sources:
        with opened(w, source=s) as c:
            yield c.cmd("MAIL FROM:<a@client.example>")


def recipients(w, sources):
    for s in sources:
        with opened(w, source=s) as c:
            c.ok("MAIL FROM:<a@client.example>")
            yield c.cmd("RCPT TO:<joe@example.test>")


def errors(w, sources):
    """One error, then what it does to MAIL."""
    for s in sources:
        with opened(w, source=s) as c:
            reply = c.cmd("MAIL FROM:<a@client.example>")
            c.cmd("XYZZY")
            yield reply


def sessions(w, sources):
    held = []
    try:
        for s in sources:
            held.append(w.client(source=s))
            yield held[-1].greeting
    finally:
        for c in held:
            c.close()


@pytest.mark.parametrize("take, control, refusal", [
    (sessions, "smtpd_client_connection_count_limit", (421, "4.7.0")),
    (connects, "smtpd_client_connection_rate_limit", (421, "4.7.0")),
    (messages, "smtpd_client_message_rate_limit", (450, "4.7.1")),
    (recipients, "smtpd_client_recipient_rate_limit", (450, "4.7.1")),
    (errors, "smtpd_client_error_rate_limit", (450, "4.7.1")),
], ids=lambda v: v if isinstance(v, str) else "")
def test_smtpd_client_limits(take, control, refusal):
    """So many of a client, twice as many of its network, any number of an
    exception; another client of a network that is full is refused."""
    def replies(*sources):
        return [(r[0], r[1][:5]) if r[0] >= 400 else r[0] for r in take(w, sources)]
    well = 220 if refusal[0] == 421 else 250
    with Weir({control: "5", "smtpd_client_network_factor": "2", "mynetworks": "127.0.0.1/32",
               "smtpd_client_event_limit_exceptions": "127.9.0.0/16", "smtpd_hard_error_limit": "1000"}) as w:
        assert replies(*["127.1.0.1"] * 6) == [well] * 5 + [refusal]
        w.wait_log(rf"limit {control} \(5\) reached by \S+\[127.1.0.1\]: refused")
        assert replies(*[f"127.1.1.{i}" for i in (1,) * 5 + (2,) * 5 + (3, 1)]) == [well] * 10 + [refusal] * 2
        w.wait_log(r"limit smtpd_client_network_factor \(2\) reached by network 127.1.1.0/24: "
                   rf"{control}: refused")
        assert replies(*["127.9.0.1"] * 12) == [well] * 12
        # An error too many is counted, too.
        each = 2 if take == errors else 1
        assert (refused(w, control), refused(w, "smtpd_client_network_factor")) == (2 * each, each)


@pytest.mark.parametrize("by", AROUND)
def test_line_length_limit(by):
    with Weir({"line_length_limit": "512"}) as w, opened(w) as c:
        code, text = c.cmd("NOOP " + "x" * (around(512, by) - 5))
        assert (code == 250) == within(by), (code, text)
        if not within(by):
            assert code == 500 and text.startswith("5.5.2")
            named(w, "line_length_limit")
            assert refused(w, "line_length_limit") == 1
        c.ok("NOOP")


@pytest.mark.parametrize("by", AROUND)
def test_line_length_limit_of_a_body(by):
    """Handled in pieces, delivered unchanged."""
    with Weir({"line_length_limit": "512"}) as w:
        line = "y" * around(512, by)
        w.send("joe@example.test", body=message("long", line + "\r\n"))
        assert w.wait_mails("joe")[0].endswith(b"\n" + line.encode() + b"\n")


@pytest.mark.parametrize("by", AROUND)
def test_header_size_limit(by):
    with Weir({"header_size_limit": "1000"}) as w:
        # With its line end, as it is counted.
        field = "X-Long: " + "a" * (around(1000, by) - 10)
        id = w.send("joe@example.test", body=f"Subject: s\r\n{field}\r\nX-After: b\r\n\r\nbody\r\n")
        mail = w.wait_mails("joe")[0].decode()
        assert "X-After: b\n" in mail and mail.endswith("\nbody\n")
        assert ((field + "\n") in mail) == within(by)
        assert all(len(f) < 1000 for f in mail.split("\n\n")[0].split("\n"))
        cut = 0 if within(by) else 1
        assert w.count_log(rf"{id}: a header was cut at header_size_limit \(1000\), from localhost\[127\.0\.0\.1\]$") == cut
        assert refused(w, "header_size_limit") == cut


@pytest.mark.parametrize("by", AROUND)
def test_header_total_size_limit(by):
    with Weir({"header_total_size_limit": "5000"}) as w:
        total = around(5000, by)
        header = ""
        while total - len(header) > 200:
            header += "X: " + "y" * 95 + "\r\n"
        header += "X: " + "y" * (total - len(header) - 5) + "\r\n"
        assert len(header) == total
        code, text = say_message(w, header + "\r\nbody\r\n")
        assert (code == 250) == within(by), (code, text)
        if not within(by):
            assert (code, text[:5]) == (552, "5.3.4")
            named(w, "header_total_size_limit")


@pytest.mark.parametrize("by", AROUND)
def test_header_count_limit(by):
    with Weir({"header_count_limit": "50"}) as w:
        code, text = say_message(w, "X: y\r\n" * around(50, by) + "\r\nbody\r\n")
        assert (code == 250) == within(by), (code, text)
        if not within(by):
            assert (code, text[:5]) == (552, "5.3.4")
            named(w, "header_count_limit")


@pytest.mark.parametrize("declared", [False, True], ids=["as it comes", "by SIZE="])
@pytest.mark.parametrize("by", AROUND)
def test_message_size_limit(by, declared):
    with Weir({"message_size_limit": "20000"}) as w:
        size = around(20000, by)
        body = "s: x\r\n\r\n"
        body += ("z" * 78 + "\r\n") * ((size - len(body)) // 80 - 1)
        body += "z" * (size - len(body) - 2) + "\r\n"
        assert len(body) == size
        code, text = say_message(w, body, size=size if declared else None)
        assert (code == 250) == within(by), (code, text)
        if not within(by):
            assert (code, text[:5]) == (552, "5.3.4")
            named(w, "message_size_limit")


@pytest.mark.parametrize("by", AROUND)
def test_extract_recipient_limit(by):
    with Weir({"extract_recipient_limit": "20", "smtpd_recipient_limit": "20", "header_size_limit": "1M"}) as w:
        count = around(20, by)
        to = ",\n ".join(f"u{i}@example.test" for i in range(count))
        r = w.weir("-t", name="sendmail", input=f"To: {to}\nSubject: x\n\nx\n".encode(), check=False)
        if within(by):
            assert r.returncode == 0, r.err
            wait_for(lambda: w.mails(f"u{count - 1}"), lambda: w.log()[-2000:])
        else:
            assert r.returncode == 65 and "20" in r.err, (r.returncode, r.err)
            assert w.queue() == [] and not w.count_log("client=")
            unnamed(w, "extract_recipient_limit")  # the server never heard of it


@pytest.mark.parametrize("by", AROUND)
def test_header_address_token_limit(by):
    """A quoted pair of words is a token each, and so is each sign."""
    with Weir({"header_address_token_limit": "30", "header_size_limit": "1M"}) as w:
        # joe@example.test: 5 tokens; each further word of a name is one more.
        words = " ".join(["a"] * (around(30, by) - 7))
        r = w.weir("-t", name="sendmail", check=False,
                   input=f"To: {words} <joe@example.test>\nSubject: x\n\nx\n".encode())
        assert (r.returncode == 0) == within(by), (r.returncode, r.err)
        if not within(by):
            assert r.returncode == 65


@pytest.mark.parametrize("by", AROUND)
def test_smtpd_recipient_limit(by):
    with Weir({"smtpd_recipient_limit": "10"}) as w, opened(w) as c:
        count = around(10, by)
        c.ok("MAIL FROM:<a@client.example>")
        replies = [c.cmd(f"RCPT TO:<u{i}@example.test>") for i in range(count)]
        assert [r[0] for r in replies] == [250] * min(count, 10) + [452] * max(0, count - 10)
        c.ok("DATA", 354)
        c.send(message("m") + ".\r\n")
        assert c.reply()[0] == 250
        if not within(by):
            assert replies[-1][1].startswith("4.5.3")
            named(w, "smtpd_recipient_limit")


def test_smtpd_soft_error_limit_and_smtpd_junk_command_limit():
    """What is within neither waits nor counts; each one beyond does."""
    with Weir({"smtpd_soft_error_limit": "3", "smtpd_junk_command_limit": "5", "smtpd_hard_error_limit": "1000",
               "smtpd_error_sleep_time": "20ms"}) as w:
        with w.client() as c:
            for _ in range(5):
                c.ok("NOOP")
            unnamed(w, "smtpd_junk_command_limit")
            c.ok("NOOP")
            named(w, "smtpd_junk_command_limit", r"localhost\[127.0.0.1\]")
            assert refused(w, "smtpd_junk_command_limit") == 1
            assert [c.cmd("XYZZY")[0] for _ in range(2)] == [500] * 2
            unnamed(w, "smtpd_soft_error_limit")  # it is the third error
            assert c.cmd("XYZZY")[0] == 500
            named(w, "smtpd_soft_error_limit", r"localhost\[127.0.0.1\]")
            assert refused(w, "smtpd_soft_error_limit") == 1
            c.send("NOOP\r\n" * 5)
            for _ in range(5):
                assert c.reply()[0] == 250
        assert refused(w, "smtpd_junk_command_limit") == 6
        assert refused(w, "smtpd_soft_error_limit") == 6


def test_proven_table_size():
    """As many as fit are remembered; for one more another is forgotten."""
    with Weir({"proven_table_size": "3"}) as w:
        for n in range(1, 5):
            with opened(w, source=f"127.0.0.{n}") as c:
                c.transaction("a@client.example", "joe@example.test", message(f"m{n}"))
            if n <= 3:
                unnamed(w, "proven_table_size")
        named(w, "proven_table_size", r"\S*\[127.0.0.4\]")
        assert refused(w, "proven_table_size") == 1
        wait_for(lambda: [(r["limit"], r["in_use"]) for r in w.json("limits")["limits"]
                          if r["name"] == "proven clients" and r["in_use"]] == [(3, 3)],
                 lambda: w.weir("limits").out)


@pytest.mark.parametrize("by", AROUND)
def test_bounce_size_limit(by):
    mx = FakeMX(lambda verb, arg, conn: "550 5.1.1 nobody" if verb == "RCPT" else None)
    try:
        with Weir(dict(relay_conf(mx), bounce_size_limit="3000")) as w:
            # What is measured is the message as it is stored, with our field.
            probe = w.send("x@far.example", sender="joe@example.test", body="s: x\r\n\r\n" + "p" * 98 + "\r\n")
            stored = int(w.wait_log(rf"{probe}: from=<joe@example.test>, size=(\d+)").group(1))
            w.wait_mails("joe", 1)
            fill = around(3000, by) - (stored - 100)
            body = "s: x\r\n\r\n" + ("q" * 78 + "\r\n") * (fill // 80 - 1)
            body += "q" * (8 + fill - len(body) - 2) + "\r\n"
            id = w.send("x@far.example", sender="joe@example.test", body=body)
            assert int(w.wait_log(rf"{id}: from=<joe@example.test>, size=(\d+)").group(1)) == around(3000, by)
            report = sorted(w.wait_mails("joe", 2), key=len)[-1] if within(by) else \
                [m for m in w.wait_mails("joe", 2) if b"p" * 98 not in m][0]
            assert (b"q" * 70 in report) == within(by)
            if within(by):
                unnamed(w, "bounce_size_limit")
            else:
                named(w, "bounce_size_limit", rf"message {id}")
    finally:
        mx.close()


@pytest.mark.parametrize("controls, by", [
    *((c, by) for c in ("qmgr_message_active_limit", "qmgr_message_recipient_limit") for by in (-1, 0, 1)),
    # This takes its time, so once for both.
    ("qmgr_message_active_limit qmgr_message_recipient_limit", "x100")])
def test_qmgr_limits(controls, by):
    """What is beyond waits on disk; all of it arrives in the end."""
    controls = controls.split()
    mx = FakeMX()
    try:
        with Weir(dict(relay_conf(mx), **FAST_RETRY, **{c: "4" for c in controls}, concurrency_remote="0")) as w:
            count = around(4, by)
            for i in range(count):
                w.send(f"u{i}@far.example")
            rows = [r for r in w.json("limits")["limits"] if r["parameter"] in controls and r["name"] in
                    ("active messages", "recipients")]
            assert len(rows) == len(controls) and all(r["high_water"] <= r["limit"] == 4 for r in rows), rows
            if by in (-1, 0):
                assert [r["waited"] for r in rows] == [0] and not w.count_log(f"limit {controls[0]} ")
            else:  # of two it is the first that more would exceed
                named(w, controls[0], r"message \d+")
            w.write_conf(concurrency_remote="20")
            w.hup()
            wait_for(lambda: len(mx.messages) == count, lambda: f"{len(mx.messages)} of {count}", 60)
            w.wait_queue_empty()
    finally:
        mx.close()


@pytest.mark.parametrize("by", AROUND)
def test_queue_message_limit(by):
    with Weir({"queue_message_limit": "5", "concurrency_remote": "0"}) as w:
        count = around(5, by)
        codes = [say_message(w, "s: x\r\n\r\n", "x@far.example")[0] for _ in range(min(count, 40))]
        assert codes == [250] * min(count, 5) + [452] * max(0, len(codes) - 5)
        assert refused(w, "queue_message_limit") == codes.count(452)
        if not within(by):
            named(w, "queue_message_limit")


def test_queue_size_limit():
    """Messages of a fifth of it: four fit with what lies around them, and
    when one has gone there is room again."""
    with Weir({"queue_size_limit": "100000", "concurrency_remote": "0"}) as w:
        body = "s: x\r\n\r\n" + ("z" * 78 + "\r\n") * 249

        def more():
            return say_message(w, body, "x@far.example", size=len(body))
        assert [more()[0] for _ in range(4)] == [250] * 4
        for _ in range(2):
            code, text = more()
            assert (code, text[:5]) == (452, "4.3.1"), text
        named(w, "queue_size_limit")
        assert refused(w, "queue_size_limit") > 0
        code, text = say_message(w, body, "x@far.example", size=100 * 100000)
        assert (code, text[:5]) == (452, "4.3.1"), text
        w.weir("queue", "delete", "--yes", str(w.queue()[0]["queue_id"]))
        wait_for(lambda: more()[0] == 250, lambda: w.log()[-2000:])


@pytest.mark.parametrize("by", AROUND)
def test_queue_minfree(by):
    """Less than is free: mail is taken; much more: 452 at MAIL, and said."""
    with Weir({"queue_minfree": {-1: "1", 0: "0", 1: "500T", "x100": "1000T"}[by]}) as w:
        code, text = say_message(w, "s: x\r\n\r\n")
        assert (code, text[:5]) == ((250, "2.0.0") if within(by) else (452, "4.3.1"))
        if not within(by):
            named(w, "queue_minfree", r"localhost\[127\.0\.0\.1\]")
            assert say_message(w, "s: x\r\n\r\n")[0] == 452
            assert refused(w, "queue_minfree") == 2


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: deliveries change identity")


@needs_root
@pytest.mark.parametrize("by", AROUND)
def test_duplicate_filter_limit(by, system_user):
    """Whom it remembers gets one message however often he is named; the others
    may get more, and that is said."""
    count = around(5, by)
    dot(system_user, ".qmail", "".join(f"&u{i}@far.example\n" for i in range(count)) * 2)
    with Weir({"duplicate_filter_limit": "5", "transport_maps": "inline:{ far.example = discard: }"}) as w:
        id = w.send(f"{system_user.pw_name}@localhost")
        new = w.wait_log(rf"{id}: .*status=sent \(forwarded as (\d+)\)").group(1)
        w.wait_log(rf"{new}: removed")
        to = re.findall(rf"{new}: to=<u(\d+)@far.example>, .*status=sent", w.log())
        assert sorted(map(int, to)) == sorted([*range(count), *range(5, count)])
        if within(by):
            unnamed(w, "duplicate_filter_limit")
        else:
            named(w, "duplicate_filter_limit", rf"message {id} to {system_user.pw_name}@localhost")
            assert refused(w, "duplicate_filter_limit") == 2  # once for each list, once for its message


@pytest.mark.parametrize("by", AROUND)
def test_duplicate_filter_limit_of_recipients(by):
    """Who is given twice in a transaction gets one copy."""
    count = around(5, by)
    with Weir({"duplicate_filter_limit": "5", "transport_maps": "inline:{ far.example = discard: }"}) as w:
        id = w.send([f"u{i}@far.example" for i in range(count)] * 2)
        w.wait_log(rf"{id}: removed")
        to = re.findall(rf"{id}: to=<u(\d+)@far.example>, .*status=sent", w.log())
        assert sorted(map(int, to)) == sorted([*range(count), *range(5, count)])
        if within(by):
            unnamed(w, "duplicate_filter_limit")
        else:
            named(w, "duplicate_filter_limit", f"message {id}")
            assert refused(w, "duplicate_filter_limit") == 1


def test_expansion_limit():
    """An alias of so many targets is served; mail to one of more waits."""
    with Weir({"expansion_limit": "5", "transport_maps": "inline:{ far.example = discard: }"}, start=False) as w:
        (w.dir / "aliases").write_text("".join(
            f"n{n}: " + ", ".join(f"u{i}@far.example" for i in range(n)) + "\n" for n in (4, 5, 6)))
        w.write_conf(alias_maps=f"text:{w.dir}/aliases")
        w.start()
        for n in (4, 5):
            id = w.send(f"n{n}@localhost")
            w.wait_log(rf"{id}: .*status=sent \(forwarded as (\d+)\)")
        unnamed(w, "expansion_limit")
        id = w.send("n6@localhost")
        w.wait_log(rf"{id}: .*status=deferred .*more than 5 targets \(expansion_limit\)")
        named(w, "expansion_limit", "n6@localhost")
        assert refused(w, "expansion_limit") == 1


@pytest.mark.parametrize("control", ["command_time_limit", "TRANSPORT_time_limit"])
def test_command_time_limit(control):
    """Below it: well. Above: ended with all that it started, and deferred."""
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    own = control != "command_time_limit"
    with Weir({"command_time_limit": "1h" if own else "1s", "transport_maps": "inline:{ far.example = t: }"},
              start=False) as w:
        script = w.dir / "script"
        script.write_text("#!/bin/sh\ncase $1 in\nlong*) sleep 1000 & echo pid $!; sleep 1000;;\nesac\n")
        script.chmod(0o755)
        w.lines = [f"transport t = pipe user={user} argv={script} ${{recipient}}"] + ["t_time_limit = 1s"] * own
        w.write_conf()
        w.start()
        long, short = w.send("long@far.example"), w.send("short@far.example")
        w.wait_log(rf"{short}: .*status=sent")
        pid = w.wait_log(rf"{long}: .*dsn=4\.3\.0, status=deferred \(Command time limit exceeded: .*output: pid (\d+)").group(1)
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "its child is gone")
        took = re.search(rf"{long}: .*delays=\S+/([\d.]+), ", w.log()).group(1)
        assert float(took) >= 1
        named(w, "t_time_limit", rf"message {long} to long@far.example")
        assert refused(w, "t_time_limit") == 1
        unnamed(w, "command_time_limit")  # of commands in users' files


def test_fork_attempts_fork_delay_and_service_throttle_time():
    """A role that cannot start is tried so often, at this pace, then at that
    one, until it can; the others live meanwhile."""
    conf = dict(FAST_RETRY, fork_attempts="2", fork_delay="50ms", service_throttle_time="1s")
    with Weir(conf) as w:
        log, aside = w.data / "queue/log", w.data / "queue/aside"
        log.rename(aside)
        log.write_text("not a directory\n")
        others = {r: w.role_pids(r) for r in ("smtpd", "lookup", "local")}
        for pid in w.role_pids("queue"):
            os.kill(pid, signal.SIGKILL)
        w.wait_log(r"queue 0: .*; starting it again in 1000 ms \(service_throttle_time\)", count=2)
        waits = [int(ms) for ms in re.findall(r"queue 0: .*; starting it again in (\d+) ms", w.log())]
        # One that had lived for a second was started again at once.
        assert (waits if waits[0] else waits[1:])[:4] == [50, 50, 1000, 1000], waits
        with opened(w) as c:
            assert c.cmd("MAIL FROM:<a@client.example>")[0] in (250, 451, 452)
        log.unlink()
        aside.rename(log)
        wait_for(lambda: say_message(w, "s: x\r\n\r\n")[0] == 250, lambda: w.log()[-3000:])
        w.wait_mails("joe")
        assert others == {r: w.role_pids(r) for r in others}
        named(w, "fork_attempts", "queue 0")
        assert refused(w, "fork_attempts") == refused(w, "service_throttle_time") >= 2


def test_transport_retry_time():
    """An agent that dies: its mail waits, other transports go on."""
    dying = []

    def die(verb, arg, conn):
        if verb == "RCPT" and "b@" in arg and not dying:
            dying.extend(w.role_pids("smtp"))
            for pid in dying:
                os.kill(pid, signal.SIGKILL)
    mx = FakeMX(die)
    try:
        with Weir(dict(relay_conf(mx), **dict(FAST_RETRY, transport_retry_time="3s"), fork_delay="10ms")) as w:
            w.send("a@far.example")
            wait_for(lambda: len(mx.messages) == 1, "the first")
            unnamed(w, "transport_retry_time")
            id = w.send(["b@far.example", "joe@example.test"])
            w.wait_mails("joe")
            named(w, "transport_retry_time", rf"message {id}, its smtp agent died")
            assert refused(w, "transport_retry_time") == 1
            wait_for(lambda: len(mx.messages) == 2, lambda: w.log()[-3000:])
            assert re.search(r"weir/master\[\d+\]: .*smtp", w.log())
    finally:
        mx.close()
