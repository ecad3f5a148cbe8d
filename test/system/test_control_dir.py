"""A qmail control directory as the configuration: what its files say is seen
from outside."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from harness import BUILD, WEIR, FakeMX, Weir, message, wait_for

FILES = {
    "me": "mx.qmail.example\n",
    "locals": "mx.qmail.example\nlocal.example\nhidden.example\n",
    "rcpthosts": "local.example\n.virt.example\nhack.example\nfail.example\n",
    "virtualdomains": ".virt.example:root\n:root\nout.example:\nfail.example:\n",
    "smtpgreeting": "greet.example no UCE\n",
    "badmailfrom": "# nobody\nspam@bad.example\n@worse.example\n",
    "databytes": "50\n",
    "localiphost": "local.example\n",
    "percenthack": "hack.example\n",
    "envnoathost": "local.example\n",
    "helohost": "helo.qmail.example\n",
    "bouncefrom": "DAEMON\n",
    "bouncehost": "bounce.qmail.example\n",
    "timeoutsmtpd": "77\n",
}


@pytest.fixture(scope="module")
def mx():
    server = FakeMX(lambda verb, arg, conn: "550 5.1.1 nobody" if verb == "RCPT" and "fail" in arg else None)
    yield server
    server.close()


@pytest.fixture(scope="module")
def qmail(mx):
    control = pathlib.Path(tempfile.mkdtemp(prefix="weir-test-control-"))
    control.chmod(0o755)
    for name, text in FILES.items():
        (control / name).write_text(text)
    (control / "smtproutes").write_text(f"out.example:[127.0.0.1]:{mx.port}\n"
                                        f":127.0.0.1:{mx.port}\n")
    own = dict(control_directory=control, mynetworks="192.0.2.0/24", myhostname=None, mydestination=None,
               virtual_mailbox_domains=None, virtual_mailbox_base=None, virtual_mailbox_maps=None)
    # root's mail goes to postmaster's mailbox.
    with Weir(own) as w:
        w.control = control
        yield w
    shutil.rmtree(control)


def test_greeting_and_limits(qmail):
    with qmail.client() as c:
        assert c.greeting == (220, "greet.example no UCE ESMTP")
        assert "SIZE 50" in c.ok("EHLO x.example")[1].splitlines()
        assert c.transaction("a@x.example", "root@local.example", message("big") + "x" * 50)[0] == 552
    for name, value in (("smtpd_timeout", "77s"), ("smtp_helo_timeout", "1200s"), ("bounce_queue_lifetime", "604800s")):
        assert qmail.weir("config", name).out == f"{name} = {value}\n"


@pytest.mark.parametrize("sender, code", [
    ("spam@bad.example", 553), ("SPAM@BAD.example", 553), ("ham@bad.example", 250), ("x@worse.example", 553),
    ("x@sub.worse.example", 250), ("", 250),
])
def test_badmailfrom_is_said_at_rcpt(qmail, sender, code):
    with qmail.client() as c:
        c.ok("HELO x.example")
        c.ok(f"MAIL FROM:<{sender}>")
        got = c.cmd("RCPT TO:<root@local.example>")
        assert got[0] == code
        assert code == 250 or got[1].endswith("sorry, your envelope sender is in my badmailfrom list")
        assert c.cmd("RCPT TO:<postmaster@local.example>")[0] == code


@pytest.mark.parametrize("rcpt, code", [
    ("root@local.example", 250), ("root@hidden.example", 554), ("any@a.virt.example", 250), ("any@virt.example", 554),
    ("x@far.example", 554), ("root", 250), ("root@[127.0.0.1]", 250), ("root%local.example@hack.example", 250),
    ("x%far.example@hack.example", 554), ("root%hidden.example@hack.example", 554),
])
def test_rcpthosts_is_the_only_door(qmail, rcpt, code):
    with qmail.client() as c:
        c.ok("HELO x.example")
        c.ok("MAIL FROM:<a@x.example>")
        assert c.cmd(f"RCPT TO:<{rcpt}>")[0] == code
    # explain says the same: who is not refused reads no 554 there.
    out = qmail.weir("explain", rcpt, check=False).out.splitlines()[-1]
    # virtualdomains takes what is for all other domains.
    assert out.startswith("result: deliver"), out
    assert (" read 554 " in out) == (code == 554), out


def test_what_is_sent_on(qmail, mx):
    """smtproutes, helohost, bouncefrom and bouncehost."""
    with qmail.client() as c:
        c.ok("HELO x.example")
        code, text = c.transaction("back@out.example", "joe@fail.example", b"x\r\n")
        assert code == 250, text
    sender, rcpts, data = wait_for(lambda: mx.messages, "the bounce")[0]
    assert "EHLO helo.qmail.example" in mx.commands
    assert sender.startswith("FROM:<>") and rcpts[0].startswith("TO:<back@out.example>")
    assert re.search(rb"^From: .*<?DAEMON@bounce\.qmail\.example>?", data, re.M), data


def test_morercpthosts_after_a_reload(qmail):
    def verdict():
        return qmail.weir("explain", "x@sub.more.example").out

    assert "strangers may not send to sub.more.example" in verdict()
    newmrh = [BUILD / "qmail-newmrh"]
    env = dict(os.environ, WEIR_CONF=str(qmail.conf_path))
    r = subprocess.run(newmrh, env=env, capture_output=True, text=True, timeout=20)
    assert r.returncode == 111 and r.stderr.startswith("qmail-newmrh: fatal: unable to read"), r
    (qmail.control / "morercpthosts").write_text("# more\n\n.More.example  \n")
    assert "make it with qmail-newmrh" in qmail.weir("check").err
    subprocess.run(newmrh, env=env, check=True, timeout=20)
    assert sorted(p.name for p in qmail.control.glob("more*")) == ["morercpthosts", "morercpthosts.cdb"]
    assert "strangers may not" not in verdict()
    qmail.weir("reload")

    def answer(rcpt):
        with qmail.client() as c:
            c.ok("HELO x.example")
            c.ok("MAIL FROM:<a@x.example>")
            return c.cmd(f"RCPT TO:<{rcpt}>")[0]
    # Each role takes the new configuration in its own time.
    wait_for(lambda: answer("x@sub.more.example") == 250, "the reload")
    assert answer("x@more.example") == 554


def test_start_without_rcpthosts_is_refused(tmp_path):
    (tmp_path / "weir.conf").write_text(f"control_directory = {tmp_path}\n")
    r = subprocess.run([WEIR, "run", "-c", tmp_path / "weir.conf"], capture_output=True, text=True, timeout=20)
    assert r.returncode == 78
    assert f"{tmp_path}/rcpthosts:1: rcpthosts: value \"\": missing" in r.stderr
    (tmp_path / "rcpthosts").write_text("")
    assert subprocess.run([WEIR, "check", "-c", tmp_path / "weir.conf"], timeout=20).returncode == 0
    (tmp_path / "qmqpservers").write_text("192.0.2.1\n")
    r = subprocess.run([WEIR, "check", "-c", tmp_path / "weir.conf"], capture_output=True, text=True, timeout=20)
    assert r.returncode == 78 and "QMQP is not served" in r.stdout + r.stderr


SHOWN = """\
me: My name is me.example.
badmailfrom: (Default.) Any MAIL FROM is allowed.
bouncehost: (Default.) Bounce host name is me.example.
concurrencylocal: Local concurrency is 8.
concurrencyremote: (CONF:2.) Remote concurrency is 300.
databytes: (Default.) SMTP DATA limit is 0 bytes.
doublebounceto: (Default.) 2B recipient user: postmaster.
locals: (Default.) Messages for me.example are delivered locally.
percenthack: (Default.) The percent hack is not allowed.
plusdomain: Plus domain name is plus.example.
qmqpservers: (Default.) No QMQP servers.
queuelifetime: Message lifetime in the queue is 432000 seconds.
SMTP clients may send messages to recipients at a.example.
SMTP clients may send messages to recipients at .more.example.
morercpthosts.cdb: Oops! morercpthosts exists but morercpthosts.cdb doesn't.
smtpgreeting: SMTP greeting: 220 me.example hello.
timeoutsmtpd: (Default.) SMTP server data timeout is 1200 seconds.
virtualdomains: (Default.) No virtual domains.
strange: I have no idea what this file does.
memory_budget = 256M
"""


def test_showctl(tmp_path):
    for name, text in {"me": "me.example", "concurrencylocal": "8", "concurrencyremote": "7",
                       "plusdomain": "plus.example", "queuelifetime": "432000", "rcpthosts": "a.example",
                       "morercpthosts": "# x\n.more.example", "smtpgreeting": "me.example hello", "strange": ""}.items():
        (tmp_path / name).write_text(text + "\n")
    conf = tmp_path / ".conf"
    conf.write_text(f"control_directory = {tmp_path}\nconcurrencyremote = 300\nmemory_budget = 256M\n")

    def show():
        r = subprocess.run([WEIR, "qmail-showctl"], env=dict(os.environ, WEIR_CONF=str(conf)), capture_output=True,
                           text=True, timeout=20)
        return r.returncode, r.stdout, r.stderr

    code, out, _ = show()
    assert code == 0
    for line in SHOWN.replace("CONF", str(conf)).splitlines():
        assert line in out.splitlines(), (line, out)
    assert "concurrencyremote = " not in out
    (tmp_path / "morercpthosts.cdb").write_text("")
    os.utime(tmp_path / "morercpthosts.cdb", (1, 1))
    assert "morercpthosts.cdb: Oops! morercpthosts.cdb is older than morercpthosts.\n" in show()[1]
    os.utime(tmp_path / "morercpthosts.cdb")
    assert "morercpthosts.cdb: Modified recently enough; hopefully up to date.\n" in show()[1]
    (tmp_path / "rcpthosts").unlink()
    assert show()[0] == 111 and "rcpthosts" in show()[2]
