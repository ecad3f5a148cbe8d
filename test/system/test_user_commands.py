"""Commands in .qmail and .forward files: exit codes, environment, limits, real programs."""
import os
import pathlib
import re
import shutil
import signal
import time

import pytest

from dots import dot, home
from harness import Weir, message, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: deliveries change identity")


def outcome(w, user, ext=None, **kw):
    """(status, dsn, text) of one message to the user."""
    local = user.pw_name + (f"+{ext}" if ext is not None else "")
    id = w.send(f"{local}@localhost", **kw)
    m = w.wait_log(rf"{id}: to=<[^>]*>,.* dsn=(\S+), status=(\S+) \((.*)\)$")
    return m[2], m[1], m[3]


# ---- exit codes ----

QMAIL_CODES = {0: "sent", 99: "sent", 1: "deferred", 2: "deferred", 71: "deferred", 75: "deferred",
               111: "deferred", 126: "deferred", 127: "deferred", 255: "deferred",
               **{code: "bounced" for code in (64, 65, 70, 76, 77, 78, 100, 112)}}
SYSEXITS = {0: ("sent", "2.0.0"), 64: ("bounced", "5.3.0"), 65: ("bounced", "5.6.0"),
            66: ("bounced", "5.3.0"), 67: ("bounced", "5.1.1"), 68: ("bounced", "5.1.2"),
            69: ("bounced", "5.3.0"), 70: ("bounced", "5.3.0"), 71: ("deferred", "4.3.0"),
            72: ("bounced", "5.3.0"), 73: ("bounced", "5.2.0"), 74: ("bounced", "5.3.0"),
            75: ("deferred", "4.3.0"), 76: ("bounced", "5.5.0"), 77: ("bounced", "5.7.0"),
            78: ("bounced", "5.3.5"), 1: ("bounced", "5.3.0"), 100: ("bounced", "5.3.0"),
            111: ("bounced", "5.3.0")}


def test_qmails_exit_codes(system_user):
    dot(system_user, ".qmail-default", "|echo said $DEFAULT; exit $DEFAULT\n./after\n")
    with Weir() as w:
        for code, want in QMAIL_CODES.items():
            status, dsn, text = outcome(w, system_user, str(code))
            assert status == want and dsn[0] == {"sent": "2", "deferred": "4", "bounced": "5"}[want], code
            # Its words are in the log; what follows it was done if it was 0.
            assert f"said {code}" in text, (code, text)
            assert home(system_user, "after").exists() == (code == 0), code
            home(system_user, "after").unlink(missing_ok=True)
        dot(system_user, ".qmail-kill", "|kill -SEGV $$\n")
        status, dsn, text = outcome(w, system_user, "kill")
        assert (status, dsn) == ("deferred", "4.3.0") and "signal 11" in text


def test_sysexits(system_user):
    for code in SYSEXITS:
        dot(system_user, f".forward+c{code}", f'"|echo said; exit {code}"\n')
    dot(system_user, ".forward+dsn", '"|echo 4.2.1 come back; exit 67"\n')
    with Weir({"dot_files": ".forward"}) as w:
        for code, want in SYSEXITS.items():
            status, dsn, text = outcome(w, system_user, f"c{code}")
            assert (status, dsn) == want, (code, status, dsn, text)
            assert code == 0 or "Command output: said" in text, text
        assert outcome(w, system_user, "dsn")[:2] == ("deferred", "4.2.1")


def test_words_of_a_command_are_in_the_bounce(system_user):
    dot(system_user, ".qmail", "|echo no room for $SENDER; exit 100\n")
    with Weir() as w:
        w.send(f"{system_user.pw_name}@localhost", sender="ann@example.test")
        w.wait_mails("ann")
        assert b"no room for ann@example.test" in w.mails("ann")[0]


# ---- attacks.md 18, 19: what strangers wrote ----

STRANGERS = ["a;touch pwned", "`touch pwned`", "$(touch pwned)", "a|touch pwned", "a&touch pwned&",
             "() { :;}; touch pwned", "-f/etc/passwd", "*", "a'b", "a b>pwned"]


@pytest.mark.parametrize("local", STRANGERS)
def test_rows_18_and_19_no_syntax_reaches_a_shell(system_user, local):
    # As careless as a script can be.
    dot(system_user, ".qmail", '|env >env; eval "echo $SENDER $RECIPIENT $EXT" >said; '
                               "bash -c 'echo $SENDER' >>said 2>&1\n")
    with Weir() as w:
        quoted = local.replace("\\", "\\\\").replace('"', '\\"')
        status, _, text = outcome(w, system_user, sender=f'"{quoted}"@client.example')
        assert status == "sent", text
    assert not home(system_user, "pwned").exists()
    env = dict(l.split("=", 1) for l in home(system_user, "env").read_text().splitlines() if "=" in l)
    assert re.fullmatch(r"[-!@%_=+:,./A-Za-z0-9]+", env["SENDER"]) and env["SENDER"][0] != "-"
    assert not [k for k in env if k.startswith(("LD_", "BASH_FUNC")) or k in ("IFS", "ENV")]


@pytest.mark.parametrize("ext", ["$(touch pwned)", "a;touch pwned", "`id`", "../../../etc", "-x"])
def test_row_18_in_the_extension(system_user, ext):
    dot(system_user, ".qmail", '|eval "echo $EXT $LOCAL" >said; env >env\n')
    dot(system_user, ".qmail-default", '|eval "echo $EXT $DEFAULT $LOCAL" >said; env >env\n')
    with Weir() as w:
        with w.client() as c:
            c.ok("EHLO client.example")
            c.ok("MAIL FROM:<a@client.example>")
            code, _ = c.cmd(f'RCPT TO:<"{system_user.pw_name}+{ext}"@localhost>')
            if code == 250:
                c.ok("DATA", 354)
                c.send(message("ext") + ".\r\n")
                c.reply()
                w.wait_log(r"status=(sent|deferred|bounced)")
    assert not home(system_user, "pwned").exists()
    if home(system_user, "env").exists():
        assert not re.search(r"^EXT=.*[$`;() ]", home(system_user, "env").read_text(), re.M)


# ---- surroundings ----

def test_surroundings(system_user):
    dot(system_user, ".qmail-a-b", "|pwd; id -u; id -G; ls -l /proc/self/fd; umask; tty; "
                                   "ps -o sid= -p $$; echo $$; env; cat >message\n")
    with Weir() as w:
        dot(system_user, ".qmail-a-b", home(system_user, ".qmail-a-b").read_text().replace(
            "|", "|exec >out 2>&1;", 1))
        assert outcome(w, system_user, "a-b", body=message("here"))[0] == "sent"
        conf = str(w.conf_path)
    out = home(system_user, "out").read_text()
    lines = out.splitlines()
    assert lines[0] == system_user.pw_dir
    assert lines[1] == str(system_user.pw_uid)
    # Not the group of the mail spool, nor root's.
    assert lines[2] == str(system_user.pw_gid)
    fds = {int(m) for m in re.findall(r" (\d+) -> ", out)}
    assert fds <= {0, 1, 2, 3}, out          # 3 is ls's own
    assert "/spool" not in re.sub(r" 0 -> .*", "", out)
    env = dict(l.split("=", 1) for l in lines if re.match(r"[A-Z][A-Z0-9_]*=", l))
    name = system_user.pw_name
    for k, v in {"HOME": system_user.pw_dir, "USER": name, "LOGNAME": name,
                 "SHELL": system_user.pw_shell or "/bin/sh",
                 "SENDER": "sender@client.example", "NEWSENDER": "sender@client.example",
                 "RECIPIENT": f"{name}+a-b@localhost", "LOCAL": f"{name}+a-b", "HOST": "localhost",
                 "DOMAIN": "localhost", "EXT": "a-b", "EXT2": "b", "EXTENSION": "a-b",
                 "DTLINE": f"Delivered-To: {name}+a-b@localhost",
                 "RPLINE": "Return-Path: <sender@client.example>", "WEIR_CONF": conf}.items():
        assert env.get(k) == v, (k, env.get(k), v)
    assert env["UFLINE"].startswith("From sender@client.example ")
    assert "DEFAULT" not in env and "/lib/weir/bin:" in env["PATH"]
    # qmail's commands get the message without our fields.
    text = home(system_user, "message").read_text()
    assert "Subject: here" in text and "Delivered-To:" not in text and "\r" not in text


def test_the_message_of_a_forward_command(system_user):
    """Postfix's: From_ line, Return-Path, Delivered-To, then the message."""
    dot(system_user, ".forward", '"|cat >message"\n')
    with Weir({"dot_files": ".forward"}) as w:
        assert outcome(w, system_user)[0] == "sent"
    text = home(system_user, "message").read_text()
    assert re.match(r"From sender@client\.example \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n"
                    r"Return-Path: <sender@client\.example>\n", text)
    assert f"\nDelivered-To: {system_user.pw_name}@localhost\n" in text


def test_the_copy_is_seekable_private_and_not_writable(system_user):
    dot(system_user, ".qmail", "|cat >/dev/null; perl -e 'seek(STDIN,0,0); print <STDIN>' >again; "
                               "echo x 2>/dev/null >&0 && touch wrote; "
                               "stat -Lc '%h %a' /proc/self/fd/0 >stat\n")
    with Weir() as w:
        assert outcome(w, system_user, body=message("twice"))[0] == "sent"
        assert list((w.spool if hasattr(w, "spool") else w.dir).rglob("copies/*")) == []
    assert "Subject: twice" in home(system_user, "again").read_text()
    assert not home(system_user, "wrote").exists()
    assert home(system_user, "stat").read_text().split() == ["0", "600"]


# ---- attacks.md 27: commands that do not behave ----

def gone(pid):
    try:
        return "Z" in pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("what,action,status,dsn", [
    ("sleeps", "defer", "deferred", "4.3.0"),
    ("sleeps", "bounce", "bounced", "5.3.0"),
    ("ignores TERM", "defer", "deferred", "4.3.0"),
    ("ignores TERM", "bounce", "bounced", "5.3.0"),
    ("runs away", "defer", "deferred", "4.3.0"),
])
def test_row_27_time_limit(system_user, what, action, status, dsn):
    script = {"sleeps": "echo $$ >pid; sleep 1000",
              "ignores TERM": "trap '' TERM; echo $$ >pid; while :; do sleep 1000; done",
              "runs away": "setsid sh -c 'trap \"\" TERM; echo $$ >pid; while :; do sleep 1000; done' & "
                           "sleep 1000"}[what]
    dot(system_user, ".qmail", f"|echo begun; {script}\n")
    with Weir({"command_time_limit": "2s", "command_timeout_action": action}) as w:
        before = time.monotonic()
        got = outcome(w, system_user)
        assert got[:2] == (status, dsn), got
        assert "Command time limit exceeded" in got[2] and "Command output: begun" in got[2]
        assert time.monotonic() - before < 25
        pid = int(home(system_user, "pid").read_text())
        wait_for(lambda: gone(pid), "the process is gone")


def test_row_27_a_daemon_does_not_hold_the_worker(system_user):
    """It keeps our pipe open in a session of its own; the delivery ends with its parent."""
    dot(system_user, ".qmail", "|setsid sh -c 'echo $$ >>pids; exec sleep 1000' & "
                               "until test -s pids; do sleep 0.01; done\n")
    with Weir({"command_time_limit": "60s"}) as w:
        before = time.monotonic()
        for _ in range(3):
            assert outcome(w, system_user)[0] == "sent"
        assert time.monotonic() - before < 20
    pids = home(system_user, "pids").read_text().split()
    for pid in pids:
        try:
            os.kill(int(pid), 9)
        except ProcessLookupError:
            pass


def test_row_27_output_without_end(system_user):
    dot(system_user, ".qmail", "|yes | head -c 20000000; exit 100\n")
    with Weir() as w:
        status, _, text = outcome(w, system_user)
        assert status == "bounced" and text.startswith("y/y/y/") and len(text) < 1000


def test_output_without_end_takes_no_processor(system_user):
    """The worker drops it, and takes its time for that."""
    dot(system_user, ".qmail", "|exec yes\n")
    with Weir({"command_time_limit": "2s"}) as w:
        def used():
            """CPU seconds of all workers."""
            stats = [pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split() for p in w.role_pids("deliver")]
            return sum(int(s[11]) + int(s[12]) for s in stats) / os.sysconf("SC_CLK_TCK")
        id = w.send(f"{system_user.pw_name}@localhost")
        w.wait_log(rf"{id}: .*status=deferred \(Command time limit exceeded")
        w.wait_log(rf"limit command_time_limit \(\d+ ms\) reached by message {id} to ")
        assert [r["refused"] for r in w.json("limits")["limits"] if r["parameter"] == "command_time_limit"] == [1]
        assert used() < 0.4


def procs_of(uid):
    """Names of the user's processes; they come and go while we look."""
    names = []
    for p in pathlib.Path("/proc").iterdir():
        try:
            if p.name.isdigit() and p.stat().st_uid == uid:
                names.append((p / "comm").read_text())
        except OSError:
            pass
    return names


def test_row_27_a_fork_bomb_is_bounded(system_user):
    dot(system_user, ".qmail", "|f() { f & f & wait; }; f 2>/dev/null; exit 111\n")
    with Weir({"command_time_limit": "2s", "command_process_limit": "40"}) as w:
        # Others get their mail meanwhile.
        id = w.send(f"{system_user.pw_name}@localhost")
        w.send("joe@example.test")
        w.wait_mails("joe")
        w.wait_log(rf"{id}: .*status=deferred")

        def left():
            return [p for p in procs_of(system_user.pw_uid) if "weir" not in p]
        wait_for(lambda: not left(), lambda: f"{len(left())} processes are left")


def test_a_command_dies_with_its_worker(system_user):
    """With all that it started: the next attempt does not run beside it.  What
    a command that has ended left behind lives on."""
    dot(system_user, ".qmail", "|sleep 1000 >/dev/null 2>&1 & echo $! >left\n"
        "|sh -c 'trap \"\" TERM HUP; echo $$ >child; while :; do sleep 1; done' & wait\n")
    with Weir() as w:
        w.send(f"{system_user.pw_name}@localhost")
        child = wait_for(lambda: home(system_user, "child").exists() and home(system_user, "child").read_text(), "it runs")
        left = home(system_user, "left").read_text().strip()
        try:
            for pid in w.role_pids("deliver"):
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not os.path.exists(f"/proc/{child.strip()}"), "the child of the command is gone")
            w.wait_log(r"status=deferred \(delivery process died\)")
            assert os.path.exists(f"/proc/{left}")
        finally:
            os.kill(int(left), signal.SIGKILL)


def test_memory_of_a_command_is_bounded(system_user):
    dot(system_user, ".qmail", "|perl -e '$x = \"x\" x 200_000_000; exit 0' || exit 100\n")
    with Weir({"command_memory_limit": "32M"}) as w:
        assert outcome(w, system_user)[0] == "bounced"
    with Weir({"command_memory_limit": "0"}) as w:
        assert outcome(w, system_user)[0] == "sent"


def test_a_slow_command_holds_up_nobody(system_user):
    """Mail into the same user's mailbox, and others', does not wait for it."""
    dot(system_user, ".qmail-slow", "|until test -e go; do sleep 0.05; done\n")
    with Weir() as w:
        id = w.send(f"{system_user.pw_name}+slow@localhost")
        w.wait_log(r"status: local 1/")
        assert outcome(w, system_user)[0] == "sent"
        assert w.count_log(rf"{id}: .*status=") == 0
        dot(system_user, "go", "")
        w.wait_log(rf"{id}: .*status=sent")


def test_stopping_ends_commands(system_user):
    """A second TERM ends at once; the mail is still there."""
    dot(system_user, ".qmail", "|echo $$ >pid; while :; do sleep 1000; done\n")
    with Weir() as w:
        w.send(f"{system_user.pw_name}@localhost")
        wait_for(lambda: home(system_user, "pid").exists() and home(system_user, "pid").read_text(),
                 "the command runs")
        w.process.terminate()
        w.wait_log(r"stopping$")
        w.process.terminate()
        w.process.wait(30)
        w.process = None
        pid = int(home(system_user, "pid").read_text())
        wait_for(lambda: gone(pid), "the command is gone")
        home(system_user, ".qmail").unlink()
        w.start()
        w.weir("queue", "retry", "--yes", "--status=deferred", check=False)
        wait_for(lambda: home(system_user, "Maildir/new").is_dir() and
                 os.listdir(home(system_user, "Maildir/new")), lambda: w.log()[-4000:])


# ---- real programs ----

@pytest.mark.parametrize("file", [".qmail", ".forward"])
def test_procmail(system_user, file):
    if shutil.which("procmail") is None:
        pytest.skip("procmail is not installed")
    dot(system_user, ".procmailrc", "MAILDIR=$HOME\nDEFAULT=$HOME/inbox\n"
                                    ":0:\n* ^Subject: filed\nfolder\n")
    dot(system_user, file, "|preline procmail\n" if file == ".qmail" else '"|IFS=\' \' exec procmail"\n')
    with Weir() as w:
        assert outcome(w, system_user, subject="filed")[0] == "sent"
        assert outcome(w, system_user, subject="other")[0] == "sent"
    folder = home(system_user, "folder").read_text()
    assert folder.startswith("From sender@client.example ") and "Subject: filed" in folder
    assert "Subject: other" in home(system_user, "inbox").read_text()


def test_maildrop(system_user):
    if shutil.which("maildrop") is None:
        pytest.skip("maildrop is not installed")
    dot(system_user, ".mailfilter", 'DEFAULT="$HOME/inbox"\nif (/^Subject: filed/)\n{\n'
                                    '  to "$HOME/folder"\n}\n')
    dot(system_user, ".qmail", "|preline maildrop\n")
    with Weir() as w:
        assert outcome(w, system_user, subject="filed")[0] == "sent"
        assert outcome(w, system_user, subject="other")[0] == "sent"
    assert "Subject: filed" in home(system_user, "folder").read_text()
    assert "Subject: other" in home(system_user, "inbox").read_text()


def test_our_own_commands_are_in_the_path(system_user):
    dot(system_user, ".qmail-fwd", "|forward joe@example.test\n")
    dot(system_user, ".qmail-cond", "|condredirect jane@example.test grep -q urgent\n./Rest\n")
    dot(system_user, ".qmail-no", "|bouncesaying 'not here' grep -q secret\n./Open\n")
    dot(system_user, ".qmail-vacation", "|(echo \"To: $SENDER\"; echo Subject: away; echo; echo away) | "
                                        "sendmail -f \"$RECIPIENT\" \"$SENDER\"\n./Kept\n")
    with Weir() as w:
        assert outcome(w, system_user, "fwd", subject="sent on")[0] == "sent"
        w.wait_mails("joe")
        assert b"Delivered-To: " + system_user.pw_name.encode() + b"+fwd@localhost" in w.mails("joe")[0]
        assert outcome(w, system_user, "cond", body=message("a", "urgent\r\n"))[0] == "sent"
        w.wait_mails("jane")
        assert not home(system_user, "Rest").exists()
        assert outcome(w, system_user, "cond", body=message("b", "dull\r\n"))[0] == "sent"
        assert "dull" in home(system_user, "Rest").read_text()
        status, _, text = outcome(w, system_user, "no", body=message("c", "secret\r\n"))
        assert status == "bounced" and "not here" in text
        assert outcome(w, system_user, "no", body=message("d", "open\r\n"))[0] == "sent"
        assert outcome(w, system_user, "vacation", sender="ann@example.test")[0] == "sent"
        w.wait_mails("ann")
        assert b"Subject: away" in w.mails("ann")[0]
        assert home(system_user, "Kept").exists()
