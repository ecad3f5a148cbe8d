"""The command `weir` and its faces: what people type and read."""
import errno
import json
import os
import re
import signal
import subprocess
import time

import pytest

from harness import BUILD, NOBODY, WEIR, FakeMX, Faults, Weir, message, relay_conf, wait_for


def run(*args, **kw):
    r = subprocess.run([WEIR, *map(str, args)], capture_output=True, text=True, **kw)
    return r.returncode, r.stdout, r.stderr


def test_help_and_unknown_names():
    code, out, _ = run("help")
    assert code == 0 and "weir queue" in out or "queue" in out
    code, _, err = run("statsu")
    assert code == 64 and "status" in err


def test_starts_at_once():
    """Few libraries: the light command links libc and little else."""
    out = subprocess.run(["ldd", WEIR], capture_output=True, text=True).stdout
    assert not re.search(r"sqlite|unbound|ssl|event|seccomp", out), out


def test_config_shows_values_sources_and_defaults(tmp_path):
    f = tmp_path / "weir.conf"
    f.write_text("myhostname = a.example\nmessage_size_limit = 20M\nsmtpd_banner = $myhostname hi\n")
    code, out, _ = run("config", "-c", f)
    assert code == 0
    values = dict(l.split(" = ", 1) if " = " in l else (l.rstrip(" ="), "") for l in out.splitlines())
    assert values["concurrency_local"] == "10" and values["concurrency_remote"] == "20"
    assert len(values) > 80
    code, out, _ = run("config", "-n", "-c", f)
    assert len(out.splitlines()) == 3
    code, out, _ = run("config", "-c", f, "smtpd_timeout", "myhostname")
    assert "smtpd_timeout = 300s" in out and "myhostname = a.example" in out
    code, out, _ = run("config", "-s", "-c", f, "message_size_limit")
    assert "weir.conf:2" in out
    code, out, _ = run("config", "--json", "-c", f)
    assert json.loads(out)
    code, out, err = run("config", "-c", f, "no_such_name")
    assert code != 0


def test_control_directory(tmp_path):
    control = tmp_path / "control"
    control.mkdir()
    (control / "concurrencylocal").write_text("8\n")
    (control / "concurrencyremote").write_text("15 \n")
    (control / "databytes").write_text("5000\n")
    (control / "me").write_text("old.example\n")
    (control / "locals").write_text("# mine\nold.example\nmore.example\n\n")
    (control / "rcpthosts").write_text("old.example\n")
    (control / "queuelifetime").write_text("1000\n")
    (control / "smtproutes").write_text("a.example:b.example:26\n:relay.example\n")
    f = tmp_path / "weir.conf"
    f.write_text(f"control_directory = {control}\n")
    code, out, err = run("config", "-c", f)
    assert code == 0, err
    for line in ("concurrency_local = 8", "concurrency_remote = 15", "message_size_limit = 5000",
                 "myhostname = old.example", "maximal_queue_lifetime = 1000s",
                 "recipient_delimiter = -", "smtpd_timeout = 1200s"):
        assert line in out, (line, out)
    f.write_text(f"control_directory = {control}\nconcurrency_local = 3\n")
    assert "concurrency_local = 3" in run("config", "-c", f, "concurrency_local")[1]
    (control / "concurrencylocal").write_text("many\n")
    f.write_text(f"control_directory = {control}\n")
    code, out, err = run("check", "-c", f)
    assert code == 78 and "concurrencylocal" in out + err


def test_status_and_limits(weir):
    weir.send("joe@example.test")
    weir.wait_mails("joe")
    out = weir.weir("status").out
    for word in ("smtpd", "queue", "smtp", "dns", "lookup", "local"):
        assert word in out, out
    s = weir.json("status")
    assert s
    out = weir.weir("limits").out
    for name in ("concurrency_local", "concurrency_remote", "memory_budget"):
        assert name in out, out
    rows = weir.json("limits")
    rows = rows["limits"] if isinstance(rows, dict) else rows
    keys = {"name", "kind", "limit", "in_use", "high_water", "refused", "waited", "parameter"}
    assert all(keys <= set(r) for r in rows), rows[0]
    local = [r for r in rows if r["parameter"] == "concurrency_local" and r["kind"] == "gate"]
    assert local and local[0]["limit"] == 10 and local[0]["high_water"] >= 1


def test_limits_plan_without_a_server(tmp_path):
    for budget in ("32M", "128M", "1G"):
        f = tmp_path / "weir.conf"
        f.write_text(f"memory_budget = {budget}\nmyhostname = a.example\n")
        code, out, err = run("limits", "--plan", "-c", f)
        assert code == 0, err
        assert "queue" in out and "smtpd" in out


def test_no_server_says_so(tmp_path):
    f = tmp_path / "weir.conf"
    f.write_text(f"queue_directory = {tmp_path}/queue\nmyhostname = a.example\n")
    for cmd in (["status"], ["limits"], ["queue", "list"], ["stop"], ["reload"]):
        code, out, err = run(*cmd, "-c", f)
        assert code == 69 and "not running" in (out + err), (cmd, code, out, err)


def held_server(mx):
    return Weir(dict(relay_conf(mx), concurrency_remote="0"))


def test_queue_verbs(mx):
    with held_server(mx) as w:
        ids = [w.send(f"u{i}@far{i % 2}.example", subject=f"s{i}") for i in range(6)]
        q = w.queue()
        assert len(q) == 6
        keys = {"queue_name", "queue_id", "arrival_time", "message_size", "sender", "recipients",
                "next_attempt", "attempts"}
        assert keys <= set(q[0]), q[0]
        assert [json.loads(l)["queue_id"] for l in
                w.weir("queue", "list", "--json", "--domain=far1.example").out.splitlines()] == \
            sorted((str(i) for i in ids[1::2]), key=int)
        assert len(w.weir("queue", "list", "--json", "--to=u3@far1.example").out.splitlines()) == 1
        assert len(w.weir("queue", "list", "--json", "--limit=2").out.splitlines()) == 2
        assert len(w.weir("queue", "list", "--json", "--from=nobody@x.example").out.splitlines()) == 0
        text = w.weir("queue", "list").out
        assert str(ids[0]) in text and "u0@far0.example" in text
        show = w.weir("queue", "show", ids[0]).out
        assert "sender@client.example" in show and "u0@far0.example" in show
        cat = w.weir("queue", "cat", ids[0]).out
        assert "Subject: s0" in cat and "Hello." in cat
        assert "1" in w.weir("queue", "hold", ids[0]).out
        assert [m["queue_name"] for m in w.queue() if m["queue_id"] == str(ids[0])] == ["hold"]
        w.weir("queue", "release", ids[0])
        assert "1" in w.weir("queue", "delete", ids[1]).out
        assert len(w.queue()) == 5
        r = w.weir("queue", "delete", "--domain=far1.example", check=False)
        assert r.returncode != 0 and "--yes" in r.out + r.err and len(w.queue()) == 5
        w.weir("queue", "delete", "--domain=far1.example", "--yes")
        assert sorted(m["queue_id"] for m in w.queue()) == sorted(str(i) for i in ids[0::2])
        r = w.weir("queue", "show", 999999, check=False)
        assert r.returncode != 0 and "999999" in r.out + r.err


def test_a_held_message_stays_over_a_restart(mx):
    with Weir(relay_conf(mx)) as w:
        w.write_conf(concurrency_remote="0")
        w.stop()
        w.start()
        id = w.send("ann@far.example")
        w.weir("queue", "hold", id)
        w.stop()
        w.write_conf(concurrency_remote="5")
        w.start()
        other = w.send("bob@far.example")
        w.wait_log(rf"{other}: removed")
        assert [m["queue_name"] for m in w.queue()] == ["hold"]
        w.weir("queue", "release", id)
        w.wait_log(rf"{id}: removed")


def test_queue_retry_and_fail():
    state = {"fail": True}
    mx = FakeMX(lambda v, a, c: "451 4.3.0 no" if v == "MAIL" and state["fail"] else None)
    try:
        with Weir(relay_conf(mx)) as w:
            one = w.send("ann@far.example")
            two = w.send("bob@far.example", sender="joe@example.test")
            w.wait_log(rf"{one}: .*deferred")
            w.wait_log(rf"{two}: .*deferred")
            w.weir("queue", "fail", two)
            w.wait_mails("joe")
            state["fail"] = False
            w.weir("queue", "retry", one)
            wait_for(lambda: mx.messages, "the retried message")
            w.wait_queue_empty()
    finally:
        mx.close()


def test_export_from_a_running_and_a_stopped_server(mx):
    with held_server(mx) as w:
        ids = [w.send(f"u{i}@far.example", subject=f"exp{i}") for i in range(3)]
        a, b, c, d = (w.dir / name for name in "abcd")
        assert w.weir("queue", "export", a).out == "3 messages exported\n"
        w.stop()
        assert w.weir("queue", "export", b).out == "3 messages exported\n"
        w.start()
        for id in ids[1:]:
            w.weir("queue", "delete", id)
        assert w.weir("queue", "export", c).out == "1 message exported\n"
        w.stop()
        assert w.weir("queue", "export", d).out == "1 message exported\n"
        assert re.search(r" records, 1 message: sound$", w.weir("fsck", w.conf["queue_directory"]).out)
        for d in (a, b):
            text = b"".join(p.read_bytes() for p in sorted(d.iterdir()))
            for i, id in enumerate(ids):
                assert f"Subject: exp{i}\r\n".encode() in text and str(id).encode() in text
                assert f"u{i}@far.example".encode() in text


def test_reload_takes_new_values_and_keeps_old_ones_on_error(weir):
    weir.write_conf(concurrency_local="4")
    weir.weir("reload")
    weir.wait_log(r"status: local 0/4 remote 0/20")
    weir.write_conf(concurrency_local="oops")
    weir.hup()
    weir.wait_log(r'concurrency_local: value "oops"')
    weir.send("joe@example.test")
    weir.wait_mails("joe")
    assert weir.weir("reload", check=False).returncode == 78


def test_stop(weir):
    weir.weir("stop")
    assert weir.process.wait(30) == 0
    weir.process = None


def test_term_lets_running_deliveries_finish():
    slow = FakeMX(lambda v, a, c: time.sleep(2) if v == "." else None)
    try:
        with Weir(relay_conf(slow)) as w:
            id = w.send("ann@far.example")
            wait_for(lambda: any(c.startswith("DATA") for c in slow.commands), "the delivery runs")
            assert w.stop() == 0
            assert len(slow.messages) == 1
            w.start()
            assert w.queue() == []
            assert w.count_log(rf"{id}: .*status=sent") == 1
    finally:
        slow.close()


def test_a_second_term_stops_at_once():
    slow = FakeMX(lambda v, a, c: time.sleep(30) if v == "." else None)
    try:
        with Weir(relay_conf(slow)) as w:
            w.send("ann@far.example")
            wait_for(lambda: any(c.startswith("DATA") for c in slow.commands), "the delivery runs")
            w.process.send_signal(signal.SIGTERM)
            w.wait_log(r"(?i)stop|drain|shut")
            begun = time.monotonic()
            w.stop()
            assert time.monotonic() - begun < 10
            w.start()
            assert len(w.queue()) == 1
    finally:
        slow.close()


def test_grace_is_bounded():
    slow = FakeMX(lambda v, a, c: time.sleep(60) if v == "." else None)
    try:
        with Weir(dict(relay_conf(slow), shutdown_grace="1s")) as w:
            w.send("ann@far.example")
            wait_for(lambda: any(c.startswith("DATA") for c in slow.commands), "the delivery runs")
            assert w.stop(timeout=15) == 0
    finally:
        slow.close()


def test_explain(weir):
    out = weir.weir("explain", "joe@example.test").out
    assert "virtual" in out and "weir.conf" in out, out
    out = weir.weir("explain", "x@elsewhere.example").out
    assert "smtp" in out
    out = weir.weir("explain", "no-such-user@localhost", check=False).out
    assert "unknown" in out.lower() or "5.1.1" in out


def test_send(weir):
    weir.weir("send", "joe@example.test", input=b"hello there\n")
    assert b"hello there" in weir.wait_mails("joe")[0]
    weir.weir("send", "-f", "<>", "null@example.test")
    assert weir.wait_mails("null")[0].startswith(b"Return-Path: <>\n")


def test_try_is_a_server_without_configuration(tmp_path):
    d = tmp_path / "try"
    if os.geteuid() == 0:
        for p in (tmp_path, *tmp_path.parents):
            if p.owner() == "root" and p.stat().st_mode & 0o777 == 0o700:
                p.chmod(0o755)
    port = None
    proc = subprocess.Popen([WEIR, "try", d, "-o", "smtp_listen=127.0.0.1:0"], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    proc.kill()
    proc.wait()
    from harness import free_port, Client
    port = free_port()
    proc = subprocess.Popen([WEIR, "try", d, "-o", f"smtp_listen=127.0.0.1:{port}"],
                            stdout=open(tmp_path / "out", "w"), stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: list(d.rglob("Maildir/new/*")), lambda: "its own message\n" + (tmp_path / "out").read_text())
        with Client(port) as c:
            c.ok("EHLO a.example")
            assert c.transaction("a@b.example", "joe@example.test", message("try"))[0] == 250
        wait_for(lambda: list((d / "mail" / "joe" / "Maildir" / "new").glob("*")), "joe's mail")
        # It looks for its message from time to time, then says where it is.
        wait_for(lambda: all(t in (tmp_path / "out").read_text() for t in ("Maildir", str(port))),
                 lambda: "where to look\n" + (tmp_path / "out").read_text())
        assert (d / "weir.conf").exists()
        subprocess.run([WEIR, "status", "-c", d / "weir.conf"], check=True, capture_output=True)
    finally:
        proc.send_signal(signal.SIGINT)
        assert proc.wait(30) == 0


# ---- faces ----

def test_mailq_and_postqueue(mx):
    with held_server(mx) as w:
        assert "Mail queue is empty" in w.weir(name="mailq").out
        id = w.send("ann@far.example")
        out = w.weir(name="mailq").out
        assert str(id) in out and "ann@far.example" in out and "sender@client.example" in out
        assert re.search(r"-- \d+ Kbytes in 1 Request\.", out)
        assert w.weir("-p", name="postqueue").out == out
        j = json.loads(w.weir("-j", name="postqueue").out.splitlines()[0])
        assert j["queue_id"] == str(id) and j["recipients"][0]["address"] == "ann@far.example"
        out = w.weir("-q", id, name="postcat").out
        assert "Subject: test" in out
        w.weir("-h", id, name="postsuper")
        assert w.queue()[0]["queue_name"] == "hold"
        w.weir("-H", id, name="postsuper")
        w.weir("-d", id, name="postsuper")
        assert w.queue() == []


def test_postconf(weir):
    assert weir.weir("concurrency_local", name="postconf").out == "concurrency_local = 10\n"
    assert "myhostname = mx.test.example" in weir.weir("-n", name="postconf").out
    assert "message_size_limit = 10240000" in weir.weir("-d", "message_size_limit", name="postconf").out
    assert weir.weir("-h", "concurrency_local", "relayhost", name="postconf").out == "10\n\n"
    assert weir.weir("-dxh", "doublebounceto", name="postconf").out == "postmaster\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user asks")
def test_strangers_may_look_but_not_change(mx):
    with held_server(mx) as w:
        id = w.send("ann@far.example")
        stranger = 65533
        r = w.weir("queue", "delete", id, check=False, uid=stranger)
        assert r.returncode == 77, (r.returncode, r.err)
        assert len(w.queue()) == 1
        r = w.weir("queue", "cat", id, check=False, uid=stranger)
        assert r.returncode == 77


def test_row_49_garbage_on_the_control_socket(weir):
    import socket
    path = str(weir.dir / "queue" / "run" / "control")
    for junk in (b"\x00" * 8, b"\xff" * 4096, b"hello", os.urandom(60000)):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.connect(path)
        s.send(junk)
        s.settimeout(10)
        try:
            s.recv(65536)
        except OSError:
            pass
        s.close()
    held = []
    for _ in range(100):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.setblocking(False)
        try:
            s.connect(path)
        except BlockingIOError:
            break
        held.append(s)
    for s in held:
        s.close()
    wait_for(lambda: weir.weir("queue", "list", check=False).returncode == 0, "service after the flood")
    assert len(weir.role_pids("queue")) == 1
    weir.send("joe@example.test")
    weir.wait_mails("joe")


# ---- what is said to somebody who got it wrong ----

@pytest.fixture
def down(tmp_path):
    """A configuration whose server does not run."""
    f = tmp_path / "weir.conf"
    f.write_text(f"queue_directory = {tmp_path}/queue\ndata_directory = {tmp_path}/data\nmyhostname = a.example\n")
    return f


@pytest.mark.parametrize("args, want", [
    (("queue", "show"), r"which message\? give one id"),
    (("queue", "show", "x"), r'"x" is no message id'),
    (("queue", "show", "1", "2"), r"one id"),
    (("queue", "cat", "0"), r'"0" is no message id'),
    (("queue", "hold", "x"), r'"x" is no message id'),
    (("queue", "hold", "1", "18446744073709551616"), r'"18446744073709551616" is no message id'),
    (("queue", "list", "word"), r'unexpected word "word"'),
    (("queue", "list", "--staus=hold"), r"unknown option --staus; did you mean --status\?"),
    (("queue", "list", "--bogus=hold"), r"unknown option --bogus$"),
    (("queue", "export"), r"which directory"),
    (("queue", "frob"), r'unknown verb "frob"$'),
    (("queue", "lsit"), r'unknown verb "lsit"; did you mean list\?'),
    (("postsuper", "-d", "x"), r'"x" is no message id'),
    (("postsuper", "-d", "1", "nowhere"), r'"nowhere" is no queue'),
    (("postcat", "-q", "1", "x"), r'"x" is no message id'),
    (("postqueue", "-i", "x"), r'"x" is no message id'),
    (("explain", "a@b.example", "c@d.example"), r"one address"),
    (("sendmail", "--nonsense"), r"unknown option --nonsense"),
    (("sendmail", "-Z"), r"unknown option -Z"),
    (("status", "-Z"), r"unknown option -Z"),
])
def test_wrong_usage_is_told_before_a_server_is_sought(down, args, want):
    env = dict(os.environ, WEIR_CONF=str(down))
    code, out, err = run(*args, env=env)
    assert code == 64, (code, out, err)
    assert re.search(want, err, re.M) and re.search(r"^usage: ", err, re.M), err
    assert not re.search(r" $", err, re.M), err


def test_every_command_helps():
    names = re.findall(r"^  (\w+) ", run("help")[1], re.M) + \
        re.search(r"under their own names:(.*)", run("help")[1]).group(1).split()
    assert len(names) >= 20
    for name in names:
        code, out, err = run(name, "--help")
        assert code == 0 and out.startswith("usage: ") and err == "", (name, code, err)
        assert not re.search(r" $", out, re.M), out
        assert run("help", name)[1] == out


@pytest.mark.parametrize("command", [["check"], ["limits", "--plan"], ["reload"], ["run"]])
def test_what_does_not_fit_into_memory_is_an_error_of_the_file(down, command):
    down.write_text(down.read_text() + "memory_budget = 32M\nconcurrency_incoming = 100000\n")
    code, out, err = run(*command, "-c", down, timeout=20)
    assert code == 78
    assert re.search(rf'{down}:4: memory_budget: value "32M": .*concurrency_incoming', err), err


def test_reload_refuses_what_could_not_be_started(weir):
    weir.write_conf(memory_budget="32M", concurrency_incoming="100000")
    assert weir.weir("reload", check=False).returncode == 78
    weir.hup()
    weir.wait_log(r'error: .*weir\.conf:\d+: memory_budget: value "32M": ')
    assert weir.count_log(r": reloaded$") == 0


def test_messages_without_a_sender_can_be_filtered(mx):
    with held_server(mx) as w:
        w.send("ann@far.example")
        null = w.send("bob@far.example", sender="")
        for words in ("--from=", "--from=<>"):
            out = w.weir("queue", "list", "--json", words).out
            assert [json.loads(l)["queue_id"] for l in out.splitlines()] == [str(null)], words


def test_postcat_of_what_is_not_there(weir):
    r = weir.weir("-q", 999, name="postcat", check=False)
    assert r.returncode == 65 and r.out == "" and "999" in r.err, (r.returncode, r.out, r.err)


def test_a_second_server_says_where_the_first_one_runs(weir):
    code, out, err = run("run", "-c", weir.conf_path, timeout=30)
    assert code == 75 and f"{weir.dir}/queue" in out + err, (code, out, err)


def test_fail_while_its_report_is_being_made():
    """Recipients that are deferred are given up too, once the report that is
    under way is done."""
    mx = FakeMX(lambda v, a, c: None if v != "RCPT" else "450 4.2.0 later" if "later" in a
                else "550 5.1.1 nobody")
    try:
        with Weir(dict(relay_conf(mx), minimal_backoff_time="1h")) as w:
            w.send("first@far.example", sender="joe@example.test")
            w.wait_mails("joe")
            reporter = w.role_pids("bounce")
            for pid in reporter:
                os.kill(pid, signal.SIGSTOP)
            one = w.send(["bad@far.example", "later@far.example"], sender="joe@example.test")
            w.wait_log(rf"{one}: to=<bad@far.example>.*status=bounced")
            w.wait_log(rf"{one}: to=<later@far.example>.*status=deferred")
            assert "1" in w.weir("queue", "fail", one).out
            assert w.count_log(rf"{one}: to=<later@far.example>.*status=bounced") == 0
            for pid in reporter:
                os.kill(pid, signal.SIGCONT)
            w.wait_log(rf"{one}: to=<later@far.example>.*status=bounced \(given up by the administrator\)")
            w.wait_mails("joe", 3)
            w.wait_queue_empty()
    finally:
        mx.close()


def cpu_ticks(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("role,command", [("queue", ("queue", "list")), ("master", ("status",))])
def test_row_26_no_descriptor_for_who_asks(role, command):
    """accept fails: the socket is left alone for a while, not polled for
    ever; who waits is served when there are descriptors again."""
    with Faults() as faults, Weir({"defer_transports": "smtp"}, env=faults.env) as w:
        w.send("x@far.example")
        pid = w.role_pids(role)[0] if role != "master" else w.process.pid
        faults.set(role, accept=errno.EMFILE)
        asker = subprocess.Popen([WEIR, *command, "-c", w.conf_path], stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: faults.get(role, "refused") >= 1, "accept fails")
            before, refused = cpu_ticks(pid), faults.get(role, "refused")
            wait_for(lambda: faults.get(role, "refused") >= refused + 2, "accept is tried again")
            assert faults.get(role, "refused") <= refused + 3
            assert cpu_ticks(pid) - before < 50, "it spins"
            faults.set(role, accept=0)
            out, _ = asker.communicate(timeout=30)
            assert asker.returncode == 0 and out, out
        finally:
            asker.kill()
            asker.wait()


def test_qmail_qstat_and_qread():
    with Weir({"relayhost": "[127.0.0.1]:1"}) as w:
        assert w.weir(name="qmail-qstat").out == (
            "messages in queue: 0\nmessages in queue but not yet preprocessed: 0\n")
        id = w.send(["a@far.example", "b@far.example"], sender="ann@client.example")
        out = w.weir(name="qmail-qread").out
        assert re.match(rf"\d{{1,2}} [A-Z][a-z][a-z] \d{{4}} \d\d:\d\d:\d\d GMT  #{id}  \d+  <ann@client\.example> \n"
                        r"\tremote\ta@far\.example\n\tremote\tb@far\.example\n$", out), out
        assert "messages in queue: 1\n" in w.weir(name="qmail-qstat").out
