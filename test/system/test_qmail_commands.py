"""The commands that qmail's users know, run from .qmail files by delivery."""
import os
import pathlib
import re
import subprocess

import pytest

from harness import Weir, message, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: deliveries change identity")


@pytest.fixture
def server(system_user):
    with Weir({"dot_files": ".qmail"}) as w:
        w.user = system_user
        w.home = pathlib.Path(system_user.pw_dir)
        yield w


def qmail(w, *lines, name=".qmail"):
    p = w.home / name
    p.write_text("".join(f"{l}\n" for l in lines))
    os.chown(p, w.user.pw_uid, w.user.pw_gid)
    p.chmod(0o600)


def as_user(w, *args):
    """As the user types it in his home."""
    bin = pathlib.Path(os.environ.get("WEIR_BUILD", "build")).resolve() / "lib/weir/bin"

    def become():
        os.setgroups([])
        os.setgid(w.user.pw_gid)
        os.setuid(w.user.pw_uid)
    return subprocess.run([str(bin / args[0]), *args[1:]], cwd=w.home, preexec_fn=become,
                          capture_output=True)


def send(w, subject="x", **kw):
    return w.send(f"{w.user.pw_name}@localhost", subject=subject, **kw)


def status(w, id, what):
    return w.wait_log(rf"{id}: to=<{w.user.pw_name}@localhost>.*status={what}.*$")[0]


@pytest.mark.parametrize("command, want, dsn, text", [
    ("bouncesaying 'I have moved'", "bounced", "5.3.0", r"\(I have moved\)"),
    ("bouncesaying 'I have moved' true", "bounced", "5.3.0", r"\(I have moved\)"),
    ("bouncesaying 'I have moved' false", "sent", "2.0.0", ""),
    ("bouncesaying 'I have moved' sh -c 'exit 111'", "deferred", "4.3.0", "temporary child error"),
    ("bouncesaying 'I have moved' sh -c 'exit 99'", "sent", "2.0.0", ""),
    ("except true", "bounced", "5.3.0", ""),
    ("except false", "sent", "2.0.0", ""),
    ("except sh -c 'exit 111'", "deferred", "4.3.0", "temporary child error"),
    ("except grep -q '^Subject: x'", "bounced", "5.3.0", ""),
    ("except grep -q '^Subject: y'", "sent", "2.0.0", ""),
    ("condredirect ann@example.test false", "sent", "2.0.0", ""),
    ("condredirect ann@example.test sh -c 'exit 111'", "deferred", "4.3.0", "temporary child error"),
    ("forward", "bounced", "5.3.0", "usage: forward"),
    ("bouncesaying", "bounced", "5.3.0", "usage: bouncesaying"),
])
def test_verdicts(server, command, want, dsn, text):
    qmail(server, f"|{command}", f"|cat >{server.home}/after")
    id = send(server, sender="ann@example.test" if want != "bounced" else "")
    line = status(server, id, want)
    assert f"dsn={dsn}" in line and re.search(text, line), line
    # What follows is done after success alone.
    assert (server.home / "after").exists() == (want == "sent")
    assert server.mails("ann") == []


def test_a_bounce_says_it_to_the_sender(server):
    qmail(server, "|bouncesaying 'This address no longer accepts mail.' grep -q 'Subject: spam'",
          f"|cat >{server.home}/kept")
    send(server, subject="spam", sender="ann@example.test")
    report, = server.wait_mails("ann")
    assert b"This address no longer accepts mail." in report
    assert not (server.home / "kept").exists()
    id = send(server, subject="ham", sender="ann@example.test")
    status(server, id, "sent")
    assert "Subject: ham" in (server.home / "kept").read_text()
    assert len(server.mails("ann")) == 1


def test_condredirect_rewinds_and_stops(server):
    qmail(server, "|condredirect ann@example.test grep -q '^Subject: for ann'",
          f"|cat >>{server.home}/mine")
    id = send(server, subject="for ann", sender="joe@example.test")
    status(server, id, "sent")
    mail, = server.wait_mails("ann")
    assert mail.startswith(b"Return-Path: <joe@example.test>\n")
    assert f"\nDelivered-To: {server.user.pw_name}@localhost\n".encode() in mail
    assert b"\nSubject: for ann\n" in mail and mail.endswith(b"\nHello.\n")
    id = send(server, subject="for me")
    status(server, id, "sent")
    assert (server.home / "mine").read_text().count("Subject: ") == 1
    assert len(server.mails("ann")) == 1


def test_forward_to_several(server):
    qmail(server, "|forward ann@example.test bob@example.test")
    id = send(server, sender="joe@example.test")
    assert re.search(r"\(.*forward: qp \d+", status(server, id, "sent"))
    for who in ("ann", "bob"):
        mail, = server.wait_mails(who)
        assert mail.startswith(b"Return-Path: <joe@example.test>\n")
        assert f"\nDelivered-To: {server.user.pw_name}@localhost\n".encode() in mail


def test_forward_finds_its_own_loop(server):
    name = server.user.pw_name
    qmail(server, f"|forward {name}@localhost")
    send(server, sender="ann@example.test")
    server.wait_log(rf"to=<{name}@localhost>.*dsn=5\.4\.6, status=bounced")
    report, = server.wait_mails("ann")
    assert b"5.4.6" in report


def test_forward_takes_the_owner_of_a_list(server):
    name = server.user.pw_name
    server.write_conf(recipient_delimiter="-")
    server.hup()
    qmail(server, "|forward ann@example.test", name=".qmail-list")
    qmail(server, f"|cat >{server.home}/owner", name=".qmail-list-owner")
    wait_for(lambda: server.count_log("reload|configuration"), server.log)
    id = server.send(f"{name}-list@localhost", sender="joe@example.test")
    server.wait_log(rf"{id}: to=<{name}-list@localhost>.*status=sent")
    mail, = server.wait_mails("ann")
    assert mail.startswith(f"Return-Path: <{name}-list-owner@localhost>\n".encode())


@pytest.mark.parametrize("flags, fields", [
    ("", ["From ann@example.test ", "Return-Path: <ann@example.test>", "Delivered-To: "]),
    ("-f", ["Return-Path: <ann@example.test>", "Delivered-To: "]),
    ("-r", ["From ann@example.test ", "Delivered-To: "]),
    ("-d", ["From ann@example.test ", "Return-Path: <ann@example.test>"]),
    ("-frd", []),
])
def test_preline(server, flags, fields):
    out = server.home / "out"
    qmail(server, f"|preline {flags} cat >{out}")
    status(server, send(server, sender="ann@example.test"), "sent")
    lines = out.read_text().split("\n")
    for line, want in zip(lines, fields):
        assert line.startswith(want), lines[:4]
    assert lines[len(fields)].startswith("Received: "), lines[:4]


def test_preline_with_procmails_kind_of_program(server):
    qmail(server, f"|preline sh -c 'read a b c; echo $a $b >{server.home}/first; exit 99'", "./Maildir/")
    status(server, send(server, sender="ann@example.test"), "sent")
    assert (server.home / "first").read_text() == "From ann@example.test\n"
    assert not (server.home / "Maildir").exists()


def test_maildirmake_then_delivery_then_maildir2mbox(server):
    assert as_user(server, "maildirmake", "Box").returncode == 0
    assert as_user(server, "maildirmake", "Box").returncode == 111
    for name in ("", "tmp", "new", "cur"):
        assert (server.home / "Box" / name).stat().st_mode & 0o777 == 0o700
    qmail(server, "./Box/")
    for i in range(3):
        status(server, send(server, subject=f"m{i}"), "sent")
    assert len(list((server.home / "Box/new").iterdir())) == 3
    # Into the mbox that the mail of another .qmail goes to.
    qmail(server, "./mbox")
    status(server, send(server, subject="m3"), "sent")
    os.environ.update(MAILDIR="Box", MAIL="mbox", MAILTMP="mbox.tmp")
    try:
        # A message of this very second may still be on its way.
        wait_for(lambda: as_user(server, "maildir2mbox").returncode == 0
                 and not list((server.home / "Box/new").iterdir()), "an empty Maildir", step=0.5)
    finally:
        for name in ("MAILDIR", "MAIL", "MAILTMP"):
            del os.environ[name]
    text = (server.home / "mbox").read_text()
    assert sorted(re.findall(r"^Subject: (m\d)$", text, re.M)) == ["m0", "m1", "m2", "m3"]
    assert len(re.findall(r"^From sender@client\.example ", text, re.M)) == 4
