"""What users and aliases forward: new messages, senders, loops, crashes."""
import os
import pathlib
import re
import signal
import subprocess

import pytest

from harness import FAST_RETRY, Weir, message, relay_conf, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: deliveries change identity")


def dot(user, name, text):
    """A file in the user's home, his own."""
    p = pathlib.Path(user.pw_dir, name)
    p.parent.mkdir(exist_ok=True)
    p.write_text(text)
    os.chown(p, user.pw_uid, user.pw_gid)
    p.chmod(0o600)
    return p


@pytest.fixture
def public(tmp_path):
    """A folder that the roles and everybody else may look into."""
    for p in [tmp_path, *tmp_path.parents]:
        if str(p).startswith("/tmp/"):
            p.chmod(p.stat().st_mode | 0o055)
    return tmp_path


def own_maildir(user):
    for name in ("Maildir", "Maildir/tmp", "Maildir/new", "Maildir/cur"):
        p = pathlib.Path(user.pw_dir, name)
        p.mkdir(mode=0o700)
        os.chown(p, user.pw_uid, user.pw_gid)


def maildir_of(user):
    new = pathlib.Path(user.pw_dir, "Maildir/new")
    return sorted(new.iterdir()) if new.is_dir() else []


def test_a_qmail_file_with_a_forward_and_a_command(system_user):
    out = pathlib.Path(system_user.pw_dir, "out")
    own_maildir(system_user)
    dot(system_user, ".qmail", f"# mine\n|cat > {out}\n&ann@example.test\n./Maildir/\n")
    name = system_user.pw_name
    with Weir() as w:
        id = w.send(f"{name}@localhost", subject="both")
        w.wait_mails("ann")
        line = w.wait_log(rf"{id}: to=<{name}@localhost>.*status=sent.*")[0]
        assert re.search(r"delivered to maildir, forwarded as \d+\)", line)
        mail = w.mails("ann")[0].decode()
        assert f"\nDelivered-To: {name}@localhost\n" in mail
        assert re.search(r"^Received: by \S+ \(Weir\)\n\tid \d+; ", mail, re.M)
        assert "Subject: both" in out.read_text()
        assert os.stat(out).st_uid == system_user.pw_uid
        assert len(maildir_of(system_user)) == 1


def test_a_loop_between_two_users_is_returned(make_user):
    one, two = make_user(1), make_user(2)
    dot(one, ".forward", f"{two.pw_name}@localhost\n")
    dot(two, ".forward", f"{one.pw_name}@localhost\n")
    with Weir() as w:
        w.send(f"{one.pw_name}@localhost", sender="ann@example.test")
        w.wait_log(rf"to=<{one.pw_name}@localhost>.*dsn=5\.4\.6, status=bounced")
        w.wait_mails("ann")
        assert b"5.4.6" in w.mails("ann")[0]
        w.wait_queue_empty()


def test_a_user_who_forwards_to_himself_keeps_a_copy(system_user):
    name = system_user.pw_name
    dot(system_user, ".forward", f"{name}, \\{name}, ann@example.test\n")
    with Weir() as w:
        w.send(f"{name}@localhost")
        w.wait_mails("ann")
        w.wait_log(r"status=sent \(delivered to maildir, delivered to maildir, forwarded as \d+\)")


def test_an_alias_of_every_kind(system_user, public):
    out = public / "out"
    out.mkdir(mode=0o777)
    out.chmod(0o777)
    aliases = public / "aliases"
    aliases.write_text(f"all: ann@example.test, {system_user.pw_name},\n"
                       f'  "|cat > {out}/command", {out}/mbox, /dev/null\n'
                       "owner-all: owner@example.test\n"
                       "fails: |\"exit 65\"\n")
    with Weir({"alias_maps": f"text:{aliases}"}) as w:
        id = w.send("all@localhost")
        w.wait_mails("ann")
        w.wait_log(rf"{id}: to=<all@localhost>.*status=sent \(.*forwarded as \d+\)")
        wait_for(lambda: maildir_of(system_user), lambda: w.log())
        assert "Return-Path: <owner-all@mx.test.example>" in w.mails("ann")[0].decode()
        assert (out / "command").stat().st_uid == 65534
        assert (out / "mbox").stat().st_uid == 65534
        assert b"Return-Path: <owner-all@mx.test.example>" in maildir_of(system_user)[0].read_bytes()
        w.send("fails@localhost", sender="ann@example.test")
        w.wait_log(r"to=<fails@localhost>.*dsn=5\.6\.0, status=bounced")


def test_an_alias_that_keeps_its_own_mailbox(system_user, public):
    name = system_user.pw_name
    aliases = public / "aliases"
    aliases.write_text(f"{name}: {name}, ann@example.test\n")
    with Weir({"alias_maps": f"text:{aliases}"}) as w:
        w.send(f"{name}@localhost")
        w.wait_mails("ann")
        wait_for(lambda: maildir_of(system_user), lambda: w.log())
        w.wait_queue_empty()
        assert len(maildir_of(system_user)) == 1 and len(w.mails("ann")) == 1


def test_a_list_of_5000_addresses(public, mx):
    members = public / "members"
    members.write_text("# a list\n" + "".join(f"member{i}@far.example\n" for i in range(5000)))
    aliases = public / "aliases"
    aliases.write_text(f"list: :include:{members}\nowner-list: owner@example.test\n")
    with Weir(dict(relay_conf(mx), alias_maps=f"text:{aliases}", duplicate_filter_limit="10000")) as w:
        id = w.send("list@localhost")
        w.wait_log(rf"{id}: to=<list@localhost>.*status=sent \(forwarded as \d+\)")
        wait_for(lambda: sum(len(m[1]) for m in mx.messages) == 5000, lambda: w.log()[-3000:])
        got = {r for m in mx.messages for r in m[1]}
        assert len(got) == 5000
        assert all(m[0].startswith("FROM:<owner-list@mx.test.example>") for m in mx.messages)
        assert w.log().count("forwarded as") == 1


def test_a_list_with_verp(system_user, mx):
    name = system_user.pw_name
    dot(system_user, ".qmail-list", "ann@far.example\nbob@far.example\n")
    dot(system_user, ".qmail-list-owner", "./Maildir/\n")
    dot(system_user, ".qmail-list-owner-default", "./Maildir/\n")
    with Weir(dict(relay_conf(mx), recipient_delimiter="-")) as w:
        w.send(f"{name}-list@localhost")
        wait_for(lambda: len(mx.messages) == 2, lambda: w.log()[-3000:])
        senders = {m[0].split(">")[0] + ">" for m in mx.messages}
        assert senders == {f"FROM:<{name}-list-owner-{who}=far.example@localhost>" for who in ("ann", "bob")}


def test_a_foreign_sender_is_rewritten_and_its_reports_come_back(system_user, mx, public):
    secrets = public / "secrets"
    secrets.write_text("a secret\n")
    secrets.chmod(0o644)
    dot(system_user, ".forward", "ann@far.example\n")
    conf = dict(relay_conf(mx), srs_domain="localhost", srs_secrets=str(secrets))
    with Weir(conf) as w:
        w.send(f"{system_user.pw_name}@localhost", sender="joe@foreign.example")
        wait_for(lambda: mx.messages, lambda: w.log()[-3000:])
        sender = re.match(r"FROM:<(SRS0=[^>]*)>", mx.messages[0][0])[1]
        assert re.fullmatch(r"SRS0=....=..=foreign\.example=joe@localhost", sender)
        # A report, as a stranger would bring it.
        with w.client() as c:
            c.ok("EHLO client.example")
            assert c.transaction("", sender, message("report"))[0] == 250
            c.ok("MAIL FROM:<>")
            assert c.cmd(f"RCPT TO:<{sender.replace('joe', 'eve')}>")[0] == 550
        wait_for(lambda: any(m[1] == ["TO:<joe@foreign.example>"] for m in mx.messages),
                 lambda: w.log()[-3000:])


def test_mailbox_command(system_user):
    out = pathlib.Path(system_user.pw_dir, "out")
    with Weir({"mailbox_command": 'cat > out; test "$EXTENSION" = ext'}) as w:
        w.send(f"{system_user.pw_name}+ext@localhost", subject="command")
        w.wait_log(r"relay=local, .*status=sent \(delivered to command: ")
        assert "Subject: command" in out.read_text()


@pytest.mark.parametrize("who", ["local", "deliver"])
def test_nothing_is_lost_by_kill_9_during_a_plan(system_user, who):
    home = pathlib.Path(system_user.pw_dir)
    dot(system_user, ".qmail", "|touch started; while test ! -e go; do sleep 0.1; done\n"
                               "&ann@example.test\n")
    with Weir(dict(FAST_RETRY)) as w:
        w.send(f"{system_user.pw_name}@localhost", subject="kept")
        wait_for((home / "started").exists, lambda: w.log()[-3000:])
        (home / "started").unlink()
        pids = [pid for pid, name in w.pids().items() if name.startswith(f"weir-{who}")]
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_for((home / "started").exists, lambda: "tried again\n" + w.log()[-3000:])
        assert w.mails("ann") == []
        (home / "go").touch()
        w.wait_mails("ann")
        w.wait_queue_empty()
        assert len(w.mails("ann")) == 1


@pytest.mark.slow
def test_a_thousand_users_of_a_thousand_ids():
    count = 1000
    with Weir({"concurrency_local": "10"}, start=False) as w:
        uids = w.dir / "uids"
        uids.write_text("".join(f"u{i}@example.test {20000 + i}\n" for i in range(count)))
        w.write_conf(virtual_uid_maps=f"text:{uids}", virtual_gid_maps=f"text:{uids}",
                     concurrency_local="10")
        (w.dir / "mail").chmod(0o1777)
        w.start()
        most = 0
        with w.client() as c:
            c.ok("EHLO client.example")
            for i in range(0, count, 50):
                reply = c.transaction("a@client.example", [f"u{k}@example.test" for k in range(i, i + 50)],
                                      message(f"m{i}"))
                assert reply[0] == 250
        def done():
            nonlocal most
            most = max(most, sum(n.startswith("weir-deliver") for n in w.pids().values()))
            return w.count_log(r"status=sent") >= count
        wait_for(done, lambda: w.log()[-3000:], deadline=120)
        assert most <= 10
        for i in range(0, count, 97):
            p = w.maildir(f"u{i}")
            assert p.stat().st_uid == 20000 + i and len(list((p / "new").iterdir())) == 1
