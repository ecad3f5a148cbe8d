"""Mailboxes: Maildir and mbox, system users, faults that defer."""
import os
import pwd
import re
import stat
import subprocess

import pytest

from harness import FAST_RETRY, NOBODY, Weir, message, wait_for

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: deliveries change identity")


def test_maildir_names_and_modes(weir):
    for i in range(5):
        weir.send("joe@example.test", subject=f"m{i}")
    weir.wait_mails("joe", 5)
    new = weir.maildir("joe") / "new"
    names = [p.name for p in new.iterdir()]
    assert len(set(names)) == 5
    assert all(re.match(r"^\d+\.\S+\.\S+$", n) and "/" not in n and ":" not in n for n in names)
    assert list((weir.maildir("joe") / "tmp").iterdir()) == []
    assert stat.S_IMODE((weir.maildir("joe")).stat().st_mode) & 0o077 == 0
    assert all(stat.S_IMODE(p.stat().st_mode) & 0o077 == 0 for p in new.iterdir())


def test_fifty_recipients_in_one_message(weir):
    weir.send([f"u{i}@example.test" for i in range(50)])
    for i in range(50):
        weir.wait_mails(f"u{i}")


def test_a_loop_is_found(weir):
    body = "Delivered-To: joe@example.test\r\n" + message("loop")
    id = weir.send("joe@example.test", sender="ann@example.test", body=body)
    weir.wait_log(rf"{id}: to=<joe@example\.test>.*dsn=5\.4\.6, status=bounced")
    weir.wait_mails("ann")
    assert weir.mails("joe") == []


@pytest.mark.parametrize("local", ["../joe", "..", "a/b", "/etc/passwd", "joe/../../x", "%2e%2e"])
def test_row_20_no_path_leaves_the_base(weir, local):
    with weir.client() as c:
        c.ok("EHLO client.example")
        c.ok("MAIL FROM:<a@client.example>")
        code, text = c.cmd(f'RCPT TO:<"{local}"@example.test>')
        if code == 250:
            c.ok("DATA", 354)
            c.send(message("path") + ".\r\n")
            c.reply()
            weir.wait_log(r"status=(sent|bounced|deferred)")
    outside = [p for p in weir.dir.rglob("new/*") if "mail" not in p.parts]
    assert outside == []
    for p in weir.dir.rglob("new/*"):
        assert (weir.dir / "mail").resolve() in p.resolve().parents


def mailbox_trap(w, kind):
    box = w.dir / "mail" / "joe"
    box.parent.mkdir(exist_ok=True)
    target = w.dir / "target"
    target.write_text("precious\n")
    if kind == "symlink":
        box.symlink_to(target)
    elif kind == "hardlink":
        os.link(target, box)
    elif kind == "fifo":
        os.mkfifo(box)
    elif kind == "directory":
        box.mkdir()
    if os.geteuid() == 0:
        os.chown(box.parent, NOBODY, NOBODY)
        os.chown(box, NOBODY, NOBODY, follow_symlinks=False)
    return target


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "fifo", "directory"])
def test_row_21_traps_at_an_mbox_defer(kind):
    with Weir({"virtual_mailbox_maps": "static:%u"}, start=False) as w:
        target = mailbox_trap(w, kind)
        w.start()
        id = w.send("joe@example.test")
        w.wait_log(rf"{id}: to=<joe@example\.test>.*dsn=4\.\d\.\d, status=deferred")
        assert target.read_text() == "precious\n"


def test_row_21_symlinked_maildir_defers():
    with Weir(start=False) as w:
        away = w.dir / "away"
        away.mkdir()
        (w.dir / "mail" / "joe").mkdir()
        (w.dir / "mail" / "joe" / "Maildir").symlink_to(away)
        if os.geteuid() == 0:
            for p in (away, w.dir / "mail", w.dir / "mail" / "joe"):
                os.chown(p, NOBODY, NOBODY)
        w.start()
        id = w.send("joe@example.test")
        w.wait_log(rf"{id}: .*status=deferred")
        assert list(away.rglob("*")) == []


def test_mbox_format_and_quoting():
    with Weir({"virtual_mailbox_maps": "static:%u"}) as w:
        w.send("joe@example.test", body=message("one", "From the start\r\n>From quoted\r\nend\r\n"))
        w.wait_log(r"status=sent \(delivered to mailbox\)")
        w.send("joe@example.test", subject="two")
        w.wait_log(r"status=sent \(delivered to mailbox\)", count=2)
        text = (w.dir / "mail" / "joe").read_text()
        assert re.match(r"^From sender@client\.example \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n", text)
        assert "\n>From the start\n>>From quoted\nend\n\nFrom sender@client.example " in text
        assert text.endswith("\n\n")
        assert text.count("\nFrom sender@") == 1


def test_mailbox_size_limit_defers():
    with Weir({"virtual_mailbox_maps": "static:%u", "mailbox_size_limit": "20000",
               "message_size_limit": "20000"}) as w:
        big = message("big", "x" * 70 + "\r\n" * 2 + ("y" * 70 + "\r\n") * 200)
        w.send("joe@example.test", body=big)
        w.wait_log(r"status=sent")
        size = (w.dir / "mail" / "joe").stat().st_size
        id = w.send("joe@example.test", body=big)
        w.wait_log(rf"{id}: .*dsn=4\.2\.2, status=deferred")
        assert (w.dir / "mail" / "joe").stat().st_size == size


def test_an_unwritable_mailbox_defers():
    if os.geteuid() == 0:
        owner = 0
    with Weir(start=False) as w:
        (w.dir / "mail" / "joe").mkdir()
        os.chmod(w.dir / "mail" / "joe", 0o500)
        if os.geteuid() == 0:
            os.chown(w.dir / "mail", NOBODY, NOBODY)
            os.chown(w.dir / "mail" / "joe", owner, owner)
        w.start()
        id = w.send("joe@example.test")
        w.wait_log(rf"{id}: .*dsn=4\.\d\.\d, status=deferred")
        os.chmod(w.dir / "mail" / "joe", 0o700)


@root_only
def test_system_user_gets_a_maildir_as_himself(system_user):
    with Weir() as w:
        w.send(f"{system_user.pw_name}+ext@localhost")
        new = f"{system_user.pw_dir}/Maildir/new"
        wait_for(lambda: os.path.isdir(new) and os.listdir(new), lambda: "mail\n" + w.log())
        p = os.path.join(new, os.listdir(new)[0])
        st = os.stat(p)
        assert (st.st_uid, st.st_gid) == (system_user.pw_uid, system_user.pw_gid)
        w.wait_log(r"relay=local, .*status=sent \(delivered to maildir\)")


@root_only
def test_system_user_with_a_spool_mbox(system_user, tmp_path):
    with Weir({"home_mailbox": "", "mail_spool_directory": "/var/mail"}) as w:
        w.send(f"{system_user.pw_name}@localhost")
        w.wait_log(r"relay=local, .*status=sent \(delivered to mailbox\)")
        box = f"/var/mail/{system_user.pw_name}"
        try:
            assert os.stat(box).st_uid == system_user.pw_uid
            assert open(box).read().startswith("From sender@client.example ")
        finally:
            os.unlink(box)


@root_only
def test_a_home_that_others_can_write_defers(system_user):
    os.chmod(system_user.pw_dir, 0o777)
    with Weir() as w:
        id = w.send(f"{system_user.pw_name}@localhost")
        w.wait_log(rf"{id}: .*dsn=4\.\d\.\d, status=deferred")


@root_only
def test_virtual_uids(system_user):
    with Weir({"virtual_uid_maps": f"static:{system_user.pw_uid}",
               "virtual_gid_maps": f"static:{system_user.pw_gid}"}, start=False) as w:
        os.chown(w.dir / "mail", system_user.pw_uid, system_user.pw_gid)
        w.start()
        w.send("joe@example.test")
        w.wait_mails("joe")
        p = next((w.maildir("joe") / "new").iterdir())
        assert p.stat().st_uid == system_user.pw_uid


@root_only
def test_a_virtual_uid_of_root_is_refused():
    with Weir({"virtual_uid_maps": "static:0", "virtual_gid_maps": "static:0"}) as w:
        with w.client() as c:
            c.ok("EHLO client.example")
            c.ok("MAIL FROM:<a@client.example>")
            code, _ = c.cmd("RCPT TO:<joe@example.test>")
            if code == 250:
                c.ok("DATA", 354)
                c.send(message("root") + ".\r\n")
                c.reply()
                w.wait_log(r"status=deferred")
        assert w.mails("joe") == []


def test_concurrency_local_is_in_the_status_line():
    with Weir({"concurrency_local": "8"}) as w:
        w.wait_log(r"status: local 0/8 remote 0/20")
        for i in range(30):
            w.send(f"u{i}@example.test")
        for i in range(30):
            w.wait_mails(f"u{i}")
        peaks = [int(m) for m in re.findall(r"status: local (\d+)/8", w.log())]
        assert max(peaks) <= 8
