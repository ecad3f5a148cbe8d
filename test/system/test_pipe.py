"""Transports that hand mail to a command: transport NAME = pipe ..."""
import contextlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import stat
import tempfile

import pytest

from harness import FAST_RETRY, NOBODY, FakeMX, Weir, message, wait_for

# Without root a command runs as who runs the server.
USER = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

DUMP = """#!/usr/bin/python3
import json, os, sys
body = sys.stdin.buffer.read()
sys.stdin.seek(0)
assert sys.stdin.buffer.read() == body
try:
    os.write(0, b"x")
    writable = True
except OSError:
    writable = False
it = {"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(), "uid": os.getuid(),
      "gid": os.getgid(), "groups": os.getgroups(), "sid": os.getsid(0) == os.getpid(),
      "fds": sorted(int(f) for f in os.listdir("/proc/self/fd")), "writable": writable,
      "umask": os.umask(0), "body": body.decode("latin-1")}
out = os.path.join(os.path.dirname(sys.argv[0]), "out")
name = os.path.join(out, "%d.%d" % (os.getpid(), len(os.listdir(out))))
with open(name + ".tmp", "w") as f:
    json.dump(it, f)
os.rename(name + ".tmp", name)
"""


class Place:
    """A directory with scripts, and what they leave in out/."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-pipe-"))
        self.dir.chmod(0o755)
        (self.dir / "out").mkdir()
        if os.geteuid() == 0:
            os.chown(self.dir / "out", NOBODY, NOBODY)

    def script(self, name, text):
        path = self.dir / name
        path.write_text(text if text.startswith("#!") else "#!/bin/sh\n" + text)
        path.chmod(0o755)
        return path

    def runs(self):
        return [json.loads(p.read_text()) for p in sorted((self.dir / "out").iterdir())
                if p.suffix != ".tmp" and "." in p.name]


@pytest.fixture
def place():
    p = Place()
    yield p
    shutil.rmtree(p.dir)


def piped(place, argv, *lines, flags="", attrs="", conf=None, **kw):
    """A server that hands all mail for far.example to a pipe named t."""
    flags = f"flags={flags}" if flags else ""
    return Weir({"transport_maps": "inline:{ far.example = t:hop }", **(conf or {})},
                lines=[f"transport t = pipe user={USER} {flags} {attrs} argv={argv}", *lines], **kw)


ONE = "t_destination_recipient_limit = 1"


def test_arguments_environment_and_message(place):
    dump = place.script("dump", DUMP)
    with piped(place, f"{dump} -f ${{sender}} $nexthop {{two words}} ${{queue_id}} ${{size}} "
                      "$client_address $client_helo ${client_protocol} -- ${recipient}") as w:
        id = w.send(["Ann+x@Far.example", "bob@far.example"], body=message("p", "one\r\n.two\r\nFrom x\r\n"))
        w.wait_log(rf"{id}: to=<bob@far\.example>, relay=t, delay=[\d.]+, delays=[\d./]+, "
                   r"dsn=2\.0\.0, status=sent \(delivered via t service\)$")
        w.wait_log(rf"{id}: to=<Ann\+x@[Ff]ar\.example>, .*status=sent")
        it, = place.runs()
        size = it["argv"].pop(5)
        assert it["argv"] == ["-f", "sender@client.example", "hop", "two words", str(id),
                              "127.0.0.1", "client.example", "ESMTP", "--",
                              it["argv"][9], "bob@far.example"]
        assert it["argv"][9].lower() == "ann+x@far.example"
        assert int(size) == len(it["body"]) + it["body"].count("\n")
        assert it["body"].startswith("Received:")
        assert it["body"].endswith("\n\none\n.two\nFrom x\n") and "\r" not in it["body"]
        assert it["fds"][:3] == [0, 1, 2] and len(it["fds"]) == 4 and not it["writable"]
        assert it["sid"] and it["umask"] == 0o077
        assert it["cwd"] == str(w.data / "queue")
        assert set(it["env"]) <= {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "WEIR_CONF",
                                  "LC_CTYPE", "PWD", "SHLVL", "_"}
        if os.geteuid() == 0:
            assert it["uid"] == NOBODY and 0 not in [it["gid"], *it["groups"]]


@pytest.mark.parametrize("flags, front, end", [
    ("", "Received:", "\n.x\nFrom y\nend\n"),
    ("F", "From joe@client.example ", "\n.x\nFrom y\nend\n"),
    ("R", "Return-Path: <joe@client.example>\nReceived:", "\n.x\nFrom y\nend\n"),
    ("D", "Delivered-To: Ann@far.example\nReceived:", "\n.x\nFrom y\nend\n"),
    ("O", "X-Original-To: Ann@far.example\nReceived:", "\n.x\nFrom y\nend\n"),
    ("FROD", "From joe@client.example ", "\n.x\nFrom y\nend\n"),
    ("B", "Received:", "\n.x\nFrom y\nend\n\n"),
    (".", "Received:", "\n..x\nFrom y\nend\n"),
    (">", "Received:", "\n.x\n>From y\nend\n"),
    ("X", "Received:", "\n.x\nFrom y\nend\n"),
])
def test_flags_of_the_message(place, flags, front, end):
    dump = place.script("dump", DUMP)
    with piped(place, str(dump), ONE, flags=flags) as w:
        w.send("Ann@far.example", sender="joe@client.example",
               body=message("f", ".x\r\nFrom y\r\nend\r\n"))
        w.wait_log(r"status=sent")
        body = place.runs()[0]["body"]
        assert body.startswith(front), body[:200]
        assert body.endswith("\n" + end), body[-200:]
        if flags == "FROD":
            assert re.match(r"From .*\nReturn-Path: .*\nX-Original-To: .*\nDelivered-To: .*\nReceived:", body)


@pytest.mark.parametrize("flags, argv", [
    ("", ["Ann+X@FAR.example", "Ann", "X", "FAR.example", "Ann+X"]),
    ("h", ["Ann+X@far.example", "Ann", "X", "far.example", "Ann+X"]),
    ("u", ["ann+x@FAR.example", "ann", "x", "FAR.example", "ann+x"]),
    ("hu", ["ann+x@far.example", "ann", "x", "far.example", "ann+x"]),
])
def test_flags_of_the_addresses(place, flags, argv):
    dump = place.script("dump", DUMP)
    with piped(place, f"{dump} $recipient ${{user}} ${{extension}} ${{domain}} $mailbox",
               flags=flags) as w:
        w.send("Ann+X@FAR.example")
        w.wait_log(r"status=sent")
        assert place.runs()[0]["argv"] == argv


def test_the_null_sender(place):
    dump = place.script("dump", DUMP)
    with piped(place, f"{dump} <$sender>") as w:
        w.send("ann@far.example", sender="")
        w.wait_log(r"status=sent")
        assert place.runs()[0]["argv"] == ["<MAILER-DAEMON>"]
    with piped(place, f"{dump} <$sender>", attrs="null_sender=") as w:
        w.send("ann@far.example", sender="")
        w.wait_log(r"status=sent")
        assert place.runs()[1]["argv"] == ["<>"]


SYSEXITS = [
    (0, "2.0.0", "sent", r"delivered via t service \(said it\)"),
    (64, "5.3.0", "bounced", r"command line usage error. Command output: said it"),
    (65, "5.6.0", "bounced", r"data format error. Command output: said it"),
    (66, "5.3.0", "bounced", r"cannot open input. Command output: said it"),
    (67, "5.1.1", "bounced", r"user unknown. Command output: said it"),
    (68, "5.1.2", "bounced", r"host name unknown. Command output: said it"),
    (69, "5.3.0", "bounced", r"service unavailable. Command output: said it"),
    (70, "5.3.0", "bounced", r"internal software error. Command output: said it"),
    (71, "4.3.0", "deferred", r"system resource problem. Command output: said it"),
    (72, "5.3.0", "bounced", r"critical OS file missing. Command output: said it"),
    (73, "5.2.0", "bounced", r"can't create user output file. Command output: said it"),
    (74, "5.3.0", "bounced", r"input/output error. Command output: said it"),
    (75, "4.3.0", "deferred", r"temporary failure. Command output: said it"),
    (76, "5.5.0", "bounced", r"remote error in protocol. Command output: said it"),
    (77, "5.7.0", "bounced", r"permission denied. Command output: said it"),
    (78, "5.3.5", "bounced", r"local configuration error. Command output: said it"),
    (1, "5.3.0", "bounced", r"Command died with status 1: \"\S+/exit\". Command output: said it"),
    (99, "5.3.0", "bounced", r"Command died with status 99: \"\S+/exit\". Command output: said it"),
    (127, "5.3.0", "bounced", r"Command died with status 127: \"\S+/exit\". Command output: said it"),
]


def test_exit_codes(place):
    script = place.script("exit", "echo said it; exit $1\n")
    with piped(place, f"{script} ${{user}}", ONE) as w:
        ids = {code: w.send(f"{code}@far.example", sender="") for code, *_ in SYSEXITS}
        for code, dsn, status, text in SYSEXITS:
            w.wait_log(rf"{ids[code]}: to=<{code}@far\.example>, relay=t, .*dsn={re.escape(dsn)}, "
                       rf"status={status} \({text}\)$")


@pytest.mark.parametrize("text, dsn, status, said", [
    ("echo 4.2.2 over quota; exit 77", "4.2.2", "deferred", "permission denied. Command output: over quota"),
    ("echo 5.7.1 go away; exit 75", "5.7.1", "bounced", "temporary failure. Command output: go away"),
    ("printf 'a\\nb\\n' >&2; exit 67", "5.1.1", "bounced", "user unknown. Command output: a/b"),
    ("printf '\\033[1mx\\001\\377'; exit 67", "5.1.1", "bounced", "user unknown. Command output: "),
    ("kill -9 $$", "4.3.0", "deferred", "Command died with signal 9: "),
    ("yes | head -c 1000000; exit 75", "4.3.0", "deferred", "temporary failure. Command output: y/y/y"),
])
def test_output(place, text, dsn, status, said):
    script = place.script("say", text + "\n")
    with piped(place, script) as w:
        id = w.send("ann@far.example", sender="")
        line = w.wait_log(rf"{id}: to=<ann@far\.example>.*dsn={re.escape(dsn)}, status={status} \((.*)\)$")
        assert line[1].startswith(said), line[1]
        assert len(line[0]) < 1200 and all(32 <= ord(c) < 127 for c in line[0])


def test_what_cannot_be_executed_defers(place):
    with piped(place, "/no/such/program") as w:
        w.send("ann@far.example")
        w.wait_log(r"dsn=4\.3\.0, status=deferred \(temporary failure\. Command output: "
                   r"/no/such/program: No such file or directory\)")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: commands change identity")
@pytest.mark.parametrize("user, text", [
    ("no-such-user-here", "transport t: there is no user no-such-user-here"),
    ("nobody:no-such-group", "transport t: there is no group no-such-group"),
    ("nobody:root", "transport t: nothing is run with group root"),
])
def test_users_that_cannot_be(place, user, text):
    with Weir({"transport_maps": "inline:{ far.example = t: }"},
              lines=[f"transport t = pipe user={user} argv=/bin/true"]) as w:
        w.send("ann@far.example")
        w.wait_log(rf"dsn=4\.3\.5, status=deferred \({text}\)")


def test_a_command_that_hangs_is_killed_with_all_it_started(place):
    script = place.script("hang", f"trap '' TERM\nsleep 1000 & echo $! >{place.dir}/out/child\n"
                                  f"echo $$ >{place.dir}/out/self\nwait; sleep 1000\n")
    with piped(place, script, "t_time_limit = 1s", conf={"command_time_limit": "1h"}) as w:
        w.send("ann@far.example")
        w.wait_log(r"dsn=4\.3\.0, status=deferred \(Command time limit exceeded: ")
        for name in ("self", "child"):
            pid = int((place.dir / "out" / name).read_text())
            wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists(), f"{name} gone")


def test_stopped_server_leaves_no_command(place):
    script = place.script("hang", f"trap '' TERM\necho $$ >{place.dir}/out/self\nsleep 1000\n")
    with piped(place, script) as w:
        w.send("ann@far.example")
        wait_for(lambda: (place.dir / "out/self").exists() and (place.dir / "out/self").read_text(), "start")
        pid = int((place.dir / "out/self").read_text())
        os.kill(w.role_pids("local")[0], signal.SIGKILL)
        wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "the command gone")


def test_fifty_recipients_in_one_command_and_more_in_several(place):
    dump = place.script("dump", DUMP)
    long = "x" * 40
    with piped(place, f"{dump} $recipient") as w:
        w.send([f"u{i}@far.example" for i in range(50)])
        w.wait_log(r"status=sent", count=50)
        assert len(place.runs()) == 1 and len(place.runs()[0]["argv"]) == 50
    with piped(place, f"{dump} $recipient", "t_destination_recipient_limit = 500") as w:
        w.send([f"{long}{i}@far.example" for i in range(300)])
        w.wait_log(r"status=sent", count=300)
        runs = place.runs()[1:]
        assert 1 < len(runs) < 10
        assert sorted(a for r in runs for a in r["argv"]) == sorted(
            f"{long}{i}@far.example" for i in range(300))


def test_limits_of_its_destinations(place):
    script = place.script("slow", f"echo $$ >{place.dir}/out/$$; "
                                  f"test $(ls {place.dir}/out | wc -l) -le 2 || exit 70\n"
                                  f"sleep 0.1; rm {place.dir}/out/$$\n")
    with piped(place, script, ONE.replace("1", "1"), "t_destination_concurrency_limit = 1",
               "t_destination_recipient_limit = 5") as w:
        for i in range(5):
            w.send("ann@far.example", sender="")
        w.wait_log(r"status=sent", count=5)
        assert w.count_log(r"status=bounced") == 0


@pytest.mark.parametrize("local", ["-rf", "--help", "-"])
def test_row_19_an_address_is_no_option(place, local):
    dump = place.script("dump", DUMP)
    with piped(place, f"{dump} $recipient") as w:
        id = w.send([f"{local}@far.example", "ann@far.example"], sender="")
        w.wait_log(rf"{id}: to=<{local}@far\.example>.*dsn=5\.1\.3, status=bounced")
        w.wait_log(rf"{id}: to=<ann@far\.example>.*status=sent")
        assert [r["argv"] for r in place.runs()] == [["ann@far.example"]]


@pytest.mark.parametrize("local", ["$(id)", "`id`", ";id", "|id", "a b", "'x", "a\\b", "${sender}", "*", ">f"])
def test_row_18_no_shell_sees_an_address(place, local):
    dump = place.script("dump", DUMP)
    quoted = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
    with piped(place, f"{dump} x${{user}} ${{recipient}}", conf={"recipient_delimiter": ""}) as w:
        with w.client() as c:
            c.ok("EHLO client.example")
            c.ok("MAIL FROM:<>")
            if c.cmd(f"RCPT TO:<{quoted}@far.example>")[0] != 250:
                return
            c.ok("DATA", 354)
            c.send(message("x") + ".\r\n")
            assert c.reply()[0] == 250
        w.wait_log(r"status=sent")
        assert place.runs()[0]["argv"] == ["x" + local, f"{local}@far.example"]


def test_a_loop_is_found(place):
    dump = place.script("dump", DUMP)
    with piped(place, dump, ONE, flags="D") as w:
        id = w.send("ann@far.example", sender="",
                    body="Delivered-To: ann@far.example\r\n" + message("loop"))
        w.wait_log(rf"{id}: to=<ann@far\.example>.*dsn=5\.4\.6, status=bounced")
        assert place.runs() == []


def test_as_virtual_transport_and_after_a_reload(place):
    first, second = place.script("dump", DUMP), place.script("other", "exit 75")
    with Weir({"virtual_transport": "t", "virtual_mailbox_maps": None, "virtual_mailbox_base": None,
               **FAST_RETRY}, lines=[f"transport t = pipe user={USER} argv={second}"]) as w:
        w.send("ann@example.test")
        w.wait_log(r"relay=t, .*status=deferred \(temporary failure\)")
        w.lines = [f"transport t = pipe user={USER} argv={first} $nexthop"]
        w.write_conf()
        w.hup()
        w.wait_log(r"relay=t, .*status=sent")
        assert place.runs()[0]["argv"] == ["example.test"]


def test_check_and_config_know_it(place):
    with piped(place, "/bin/cat ${recipient}", start=False) as w:
        assert w.weir("check").returncode == 0
        out = w.weir("config", "-n").out
        assert f"transport t = pipe user={USER}" in out
        assert w.weir("config", "t_time_limit").out == "t_time_limit = $command_time_limit\n"
        w.lines = [f"transport t = pipe user={USER} argv=/bin/cat ${{recipent}}"]
        w.write_conf()
        r = w.weir("check", check=False)
        assert r.returncode == 78
        assert re.search(rf"{w.conf_path}:\d+: transport t: value .*: unknown name \$recipent", r.out + r.err)


def test_explain_names_it(place):
    with piped(place, "/bin/cat", start=False) as w:
        assert "transport t, next hop hop" in w.weir("explain", "ann@far.example").out
