"""What users say about their mail: .qmail and .forward."""
import os
import subprocess

import pytest

from dots import dot, home, maildir
from harness import Weir, message, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: deliveries change identity")


def outcome(w, user, ext=None, delimiter="+", **kw):
    """(status, dsn, text) of one message to the user."""
    local = user.pw_name + (f"{delimiter}{ext}" if ext is not None else "")
    id = w.send(f"{local}@localhost", **kw)
    m = w.wait_log(rf"{id}: to=<[^>]*>,.* dsn=(\S+), status=(\S+) \((.*)\)$")
    return m[2], m[1], m[3]


# ---- .qmail ----

# (why, files, extension, status, dsn, text in it, files that are there then)
QMAIL = [
    ("an mbox, a Maildir, a command, in order",
     {".qmail": "# mine\n./Mailbox\n./Own/\n|cat >by-command\n"}, None, "sent", "2.0.0", "",
     ["Mailbox", "Own/new", "by-command"]),
    ("a file of its own for an extension", {".qmail-list": "./List\n"}, "list", "sent", "2.0.0", "",
     ["List"]),
    ("any case, dots as colons", {".qmail-a:b": "./Dots\n"}, "A.b", "sent", "2.0.0", "", ["Dots"]),
    ("the default for all others", {".qmail-default": "|echo $DEFAULT $EXT >default\n"}, "some-thing",
     "sent", "2.0.0", "", ["default"]),
    ("the longest default", {".qmail-default": "./No\n", ".qmail-a-default": "./Longest\n"}, "a-b",
     "sent", "2.0.0", "", ["Longest"]),
    ("an empty file is the default delivery", {".qmail": ""}, None, "sent", "2.0.0",
     "delivered to maildir", ["Maildir/new"]),
    ("first line blank", {".qmail": "\n./Blank\n"}, None, "deferred", "4.2.1",
     "Uh-oh: first line of .qmail file is blank. (#4.2.1)", []),
    ("+list, then a command", {".qmail": "+list\n|touch listed\n"}, None, "deferred", "4.7.0",
     "Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0)", []),
    ("the first failure stops", {".qmail": "|exit 111\n./Never\n"}, None, "deferred", "4.3.0", "", []),
    ("99 stops, too, but well", {".qmail": "./Before\n|exit 99\n./Never\n"}, None, "sent", "2.0.0",
     "", ["Before"]),
]


@pytest.mark.parametrize("why,files,ext,status,dsn,text,there", QMAIL, ids=[r[0] for r in QMAIL])
def test_qmail(system_user, why, files, ext, status, dsn, text, there):
    for name, content in files.items():
        dot(system_user, name, content)
    maildir(system_user, "Own")
    with Weir() as w:
        got = outcome(w, system_user, ext)
        assert got[:2] == (status, dsn) and text in got[2], got
    for name in there:
        p = home(system_user, name)
        assert p.exists() and p.stat().st_uid == system_user.pw_uid
        assert not p.is_dir() or len(os.listdir(p)) == 1
    assert not home(system_user, "Never").exists() and not home(system_user, "listed").exists()
    if "default" in there:
        assert home(system_user, "default").read_text() == "some-thing some-thing\n"


@pytest.mark.parametrize("what,dsn,text", [
    ("executable file", "4.7.0", "Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)"),
    ("writable file", "4.7.0", "Uh-oh: .qmail file is writable. (#4.7.0)"),
    ("writable home", "4.7.0", "Uh-oh: home directory is writable. (#4.7.0)"),
    ("sticky home", "4.2.1", "Home directory is sticky: user is editing his .qmail file. (#4.2.1)"),
    ("fifo", "4.7.0", ".qmail is not a regular file"),
    ("link to a device", "4.3.0", "Unable to open .qmail"),
    ("link out of the home", "4.3.0", "Unable to open .qmail"),
    ("huge", "4.7.0", ".qmail is longer than 1048576 bytes"),
    ("root's alone", "4.3.0", "Unable to open .qmail: Permission denied. (#4.3.0)"),
    ("a stranger's", "4.7.0", ".qmail belongs to user id"),
])
def test_what_is_not_trusted_defers_and_hangs_nobody(system_user, what, dsn, text):
    path = dot(system_user, ".qmail", "./Mailbox\n", 0o600)
    if what == "executable file":
        path.chmod(0o744)
    elif what == "writable file":
        path.chmod(0o666)
    elif what == "writable home":
        os.chmod(system_user.pw_dir, 0o777)
    elif what == "sticky home":
        os.chmod(system_user.pw_dir, 0o1755)
    elif what == "fifo":
        path.unlink()
        os.mkfifo(path, 0o600)
        os.chown(path, system_user.pw_uid, system_user.pw_gid)
    elif what == "link to a device":
        path.unlink()
        path.symlink_to("/dev/zero")
    elif what == "link out of the home":
        path.unlink()
        path.symlink_to("/etc/shadow")
    elif what == "huge":
        with open(path, "w") as f:
            f.truncate(1 << 40)
    elif what == "root's alone":
        os.chown(path, 0, 0)
    elif what == "a stranger's":
        os.chown(path, 34567, 34567)
        path.chmod(0o644)
    with Weir() as w:
        got = outcome(w, system_user)
        assert got[:2] == ("deferred", dsn) and text in got[2], got
        assert "root:" not in w.log()
        # Mended: the next attempt delivers.
        path.unlink(missing_ok=True)
        os.chmod(system_user.pw_dir, 0o755)
        w.weir("queue", "retry", "--yes", "--status=deferred")
        w.wait_log(r"status=sent \(delivered to maildir\)")
    assert not home(system_user, "Mailbox").exists()


def test_extensions_of_qmail_are_strict(system_user):
    """With qmail's delimiter an extension without a file does not exist."""
    dot(system_user, ".qmail-list", "./List\n")
    dot(system_user, ".qmail", "./Plain\n")
    with Weir({"recipient_delimiter": "-"}) as w:
        assert outcome(w, system_user, "list", "-")[0] == "sent"
        with w.client() as c:
            c.ok("EHLO client.example")
            c.ok("MAIL FROM:<ann@example.test>")
            code, text = c.cmd(f"RCPT TO:<{system_user.pw_name}-none@localhost>")
            if code == 550:
                assert "5.1.1" in text
            else:
                c.ok("DATA", 354)
                c.send(message("none") + ".\r\n")
                c.reply()
                w.wait_log(r"dsn=5\.1\.1, status=bounced \(Sorry, no mailbox here by that name\. "
                           r"\(#5\.1\.1\)\)")
    assert home(system_user, "List").exists() and not home(system_user, "Plain").exists()


# ---- .forward ----

FORWARD = [
    ("his own mailbox, without end", "\\USER\n", "delivered to maildir", ["Maildir/new"]),
    ("his own name is as good", "USER, USER@localhost\n", "", ["Maildir/new"]),
    ("a command in quotes, with a comma", '"|echo a, b >said"\n', "delivered to command: echo a, b",
     ["said"]),
    ("the bar before the quotes", '|"cat >other"\n', "delivered to command: cat >other", ["other"]),
    ("a file of his", "HOME/box, HOME/dir/\n", "", ["box", "dir/new"]),
    ("comments and blank lines", "# one\n\n\\USER\n# two\n", "", ["Maildir/new"]),
    ("nothing but comments", "# off for now\n", "delivered to maildir", ["Maildir/new"]),
]


@pytest.mark.parametrize("why,text,result,there", FORWARD, ids=[r[0] for r in FORWARD])
def test_forward(system_user, why, text, result, there):
    text = text.replace("USER", system_user.pw_name).replace("HOME", system_user.pw_dir)
    dot(system_user, ".forward", text)
    maildir(system_user, "dir")
    with Weir() as w:
        got = outcome(w, system_user)
        assert got[0] == "sent" and result in got[2], got
    for name in there:
        assert home(system_user, name).stat().st_uid == system_user.pw_uid
    if there == ["said"]:
        assert home(system_user, "said").read_text() == "a, b\n"


def test_forward_of_an_extension(system_user):
    dot(system_user, ".forward", f"{system_user.pw_dir}/plain\n")
    dot(system_user, ".forward+ext", f"{system_user.pw_dir}/extended\n")
    with Weir() as w:
        assert outcome(w, system_user)[0] == "sent"
        assert home(system_user, "plain").exists() and not home(system_user, "extended").exists()
        assert outcome(w, system_user, "EXT")[0] == "sent"
        assert home(system_user, "extended").exists()
        size = home(system_user, "plain").stat().st_size
        assert outcome(w, system_user, "other")[0] == "sent"
        assert home(system_user, "plain").stat().st_size > size


def test_dot_files_chooses(system_user):
    dot(system_user, ".qmail", "./from-qmail\n")
    dot(system_user, ".forward", f"{system_user.pw_dir}/from-forward\n")
    for order, there in ((".qmail .forward", "from-qmail"), (".forward .qmail", "from-forward"),
                         ("", "Maildir")):
        with Weir({"dot_files": order}) as w:
            assert outcome(w, system_user)[0] == "sent"
        assert home(system_user, there).exists()
        for name in ("from-qmail", "from-forward"):
            home(system_user, name).unlink(missing_ok=True)


@pytest.mark.parametrize("what", ["command", "file"])
def test_what_forward_files_may_not(system_user, what):
    text = "|touch ran\n" if what == "command" else f"{system_user.pw_dir}/ran\n"
    dot(system_user, ".forward", text)
    with Weir({f"allow_mail_to_{what}s": "alias"}) as w:
        got = outcome(w, system_user)
        assert got[:2] == ("bounced", "5.7.1") and f"mail to {what} is restricted" in got[2], got
    assert not home(system_user, "ran").exists()


def test_a_list_of_5000_from_an_include(system_user):
    """One message for all of them, in one transaction, in memory that is bounded."""
    members = dot(system_user, "members", "".join(f"m{i:04}@elsewhere.example\n" for i in range(5000)))
    dot(system_user, ".forward", f":include:{members}\n")
    with Weir({"defer_transports": "smtp"}) as w:
        got = outcome(w, system_user)
        assert got[0] == "sent" and "forwarded as" in got[2], got
        w.wait_log(r"nrcpt=5000 \(queue active\)")


def test_includes_are_the_users_own(system_user):
    """An :include: of a file that only root can read defers; nothing of it is shown."""
    dot(system_user, ".forward", ":include:/etc/shadow\n")
    with Weir() as w:
        got = outcome(w, system_user)
        assert got[0] == "deferred" and "Permission denied" in got[2], got
        assert "root:" not in w.log()
    other = dot(system_user, "list", f":include:{system_user.pw_dir}/list\n")
    dot(system_user, ".forward", f":include:{other}\n")
    with Weir() as w:
        got = outcome(w, system_user)
        assert got[0] == "deferred" and "too many :include:" in got[2], got


def test_root_opens_no_file_of_a_user(system_user):
    """What weir-local, which is root, opens: nothing below a home."""
    dot(system_user, ".qmail", "./Mailbox\n")
    with Weir() as w:
        pid = next(p for p, name in w.pids().items() if name == "weir-local")
        trace = w.dir / "trace"
        p = subprocess.Popen(["strace", "-qq", "-e", "trace=open,openat,openat2,stat,newfstatat,readlink",
                              "-o", str(trace), "-p", str(pid)], stderr=subprocess.PIPE)
        try:
            wait_for(lambda: "TracerPid:\t0" not in open(f"/proc/{pid}/status").read() or
                     p.poll() is not None, "strace")
            if p.poll() is not None:
                pytest.skip("no tracing here: " + p.stderr.read().decode())
            assert outcome(w, system_user)[0] == "sent"
        finally:
            p.terminate()
            p.wait()
        assert home(system_user, "Mailbox").exists()
        assert system_user.pw_dir not in trace.read_text()
