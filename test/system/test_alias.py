"""Aliases: lists, files, commands, owners, loops; who is a recipient at RCPT."""
import os
import pathlib
import pwd
import subprocess

import pytest

from conftest import users_locked
from harness import FAST_RETRY, NOBODY, Weir, message, wait_for

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: deliveries change identity")

HOST = "mx.test.example"


def server(aliases, conf=None, start=True, maps="hash:%s/aliases", **kw):
    """A server whose aliases are this text; %s in it is its directory."""
    w = Weir(conf, start=False, **kw)
    write_aliases(w, aliases)
    w.write_conf(alias_maps=maps % w.dir)
    return w.start() if start else w


def write_aliases(w, text):
    new = w.dir / "aliases.new"
    new.write_text(text.replace("%s", str(w.dir)))
    new.chmod(0o644)
    new.rename(w.dir / "aliases")


def include(w, name, text):
    p = w.dir / name
    p.write_text(text)
    p.chmod(0o644)


def rcpt(w, address, sender="a@client.example"):
    """The reply to RCPT alone."""
    with w.client() as c:
        c.ok("EHLO client.example")
        c.ok(f"MAIL FROM:<{sender}>")
        return c.cmd(f"RCPT TO:<{address}>")


def test_one_address_is_followed_in_place():
    with server("info: ann@example.test\nchef: info\n") as w:
        id = w.send(f"chef@{HOST}")
        w.wait_mails("ann")
        w.wait_log(rf"{id}: to=<ann@example\.test>, orig_to=<chef@{HOST}>, .*status=sent")


@root_only
@pytest.mark.parametrize("kind", ["hash", "cdb", "lmdb"])
def test_a_list_with_an_owner(kind):
    text = 'staff: ann@example.test, sub,\n   "bob"@example.test\nsub: carl@example.test\n' \
        "owner-staff: dora@example.test\n"
    with server(text, start=False, maps=f"{kind}:%s/aliases") as w:
        if kind != "hash":
            w.weir(f"{kind}:{w.dir}/aliases", name="postalias")
        w.start()
        id = w.send(f"staff@{HOST}", subject="all")
        for user in "ann", "bob", "carl":
            w.wait_mails(user)
            mail = w.mails(user)[0].decode()
            assert f"Return-Path: <owner-staff@{HOST}>" in mail
            assert f"Delivered-To: staff@{HOST}" in mail
        new = w.wait_log(rf"{id}: to=<staff@{HOST}>.*status=sent \(forwarded as (\d+)\)")[1]
        w.wait_log(rf"{new}: to=<ann@example\.test>, orig_to=<staff@{HOST}>, .*status=sent")
        w.wait_queue_empty()


@root_only
def test_five_thousand_in_a_file():
    with server("list: :include:%s/members\n",
                {"transport_maps": "inline:{ far.test = discard: }"}) as w:
        include(w, "members", "# members\n" + "".join(f"m{i}@far.test\n" for i in range(5000)))
        w.send(f"list@{HOST}")
        wait_for(lambda: w.count_log(r"to=<m\d+@far\.test>.*status=sent") == 5000,
                 lambda: f"{w.count_log('status=sent')} of 5000\n" + w.log()[-2000:])
        w.wait_queue_empty()


@root_only
def test_a_list_that_names_itself_keeps_the_mailbox():
    maps = "inline:{ {info@example.test = info@example.test, ann@example.test} }"
    with Weir({"virtual_alias_maps": maps}) as w:
        w.send("info@example.test")
        w.wait_mails("info")
        w.wait_mails("ann")
        w.wait_queue_empty()
        assert len(w.mails("info")) == len(w.mails("ann")) == 1
        assert "status=bounced" not in w.log()


@root_only
def test_a_user_among_his_own_targets(system_user):
    name = system_user.pw_name
    with server(f"{name}: {name}, ann@example.test\n") as w:
        w.send(f"{name}@localhost")
        w.wait_mails("ann")
        new = pathlib.Path(system_user.pw_dir, "Maildir/new")
        wait_for(lambda: new.is_dir() and len(list(new.iterdir())) == 1,
                 lambda: "mail\n" + w.log())
        w.wait_queue_empty()
        assert "status=bounced" not in w.log()


def test_row_43_a_loop_of_single_names_is_refused():
    with server("a: b\nb: c\nc: a\n") as w:
        assert rcpt(w, f"b@{HOST}") == (
            550, f"5.4.6 <b@{HOST}>: Recipient address rejected: "
                 f"alias database loop for b@{HOST}")


@root_only
def test_row_43_a_loop_of_lists_is_returned_with_its_name():
    with server("a: b, c\nb: a, c\nc: b, a\n") as w:
        id = w.send(f"a@{HOST}", sender="ann@example.test")
        w.wait_log(rf"{id}: to=<a@{HOST}>.*dsn=5\.4\.6, status=bounced "
                   rf"\(alias database loop for a@{HOST}\)")
        w.wait_mails("ann")
        assert f"alias database loop for a@{HOST}" in w.mails("ann")[0].decode()


@root_only
def test_row_43_a_bomb_is_one_mail():
    names = "".join(f"b{i}: c{i}, d{i}\nc{i}: b{i + 1}\nd{i}: b{i + 1}\n" for i in range(14))
    with server(names + "b14: ann@example.test\n") as w:
        w.send(f"b0@{HOST}")
        w.wait_mails("ann")
        w.wait_queue_empty()
        assert len(w.mails("ann")) == 1


@root_only
def test_a_command_in_a_list_of_members_is_restricted():
    with server("list: :include:%s/members\n") as w:
        include(w, "members", "bob@example.test\n|cat > /tmp/never\n")
        id = w.send(f"list@{HOST}", sender="ann@example.test")
        w.wait_log(rf"{id}: .*dsn=5\.7\.1, status=bounced \(.*mail to command is restricted\)")
        w.wait_mails("ann")
        assert w.mails("bob") == []


@root_only
def test_commands_and_files_of_aliases_are_nobodys():
    with server("run: \"|id -u > %s/out/uid\"\nfile: %s/out/box\ndir: %s/out/dir/\n") as w:
        out = w.dir / "out"
        for p in (out, out / "dir", *(out / "dir" / d for d in ("tmp", "new", "cur"))):
            p.mkdir(exist_ok=True)
            os.chown(p, NOBODY, NOBODY)
        for name in "run", "file", "dir":
            id = w.send(f"{name}@{HOST}", subject=name)
            w.wait_log(rf"{id}: to=<{name}@{HOST}>.*status=sent")
        assert int((out / "uid").read_text()) == NOBODY
        assert "Subject: file" in (out / "box").read_text()
        assert len(list((out / "dir/new").iterdir())) == 1
        for p in out / "box", out / "dir":
            assert p.stat().st_uid == NOBODY


def test_no_syntax_is_temporary_and_names_the_line():
    with server("ok: ann@example.test\nbad: <ann\n") as w:
        assert rcpt(w, f"bad@{HOST}")[0] == 451
        w.wait_log(rf"lookup of <bad@{HOST}>: hash:\S+/aliases:2: an angle bracket is missing")
        assert rcpt(w, f"ok@{HOST}")[0] == 250
        write_aliases(w, "ok: ann@example.test\nbad: ann@example.test\n")
        wait_for(lambda: rcpt(w, f"bad@{HOST}")[0] == 250, "mended")


@root_only
def test_a_missing_file_defers_until_it_is_there():
    with server("list: :include:%s/members\n", FAST_RETRY) as w:
        id = w.send(f"list@{HOST}")
        w.wait_log(rf"{id}: .*dsn=4\.2\.4, status=deferred \(cannot open \S+/members")
        include(w, "members", "ann@example.test\nbob@example.test\n")
        w.wait_mails("ann")
        w.wait_mails("bob")


def test_luser_relay():
    with Weir({"luser_relay": "${user}.lost@example.test"}) as w:
        id = w.send(f"nobody-here@{HOST}")
        w.wait_mails("nobody-here.lost")
        w.wait_log(rf"{id}: to=<nobody-here\.lost@example\.test>, orig_to=<nobody-here@{HOST}>")


def test_explain_tells_all():
    with server("staff: ann, :include:%s/members, \"|true\"\nowner-staff: ann\n") as w:
        include(w, "members", "bob@far.test\n")
        out = w.weir("explain", f"staff@{HOST}")
        out = out.out
        for step in ("aliases:1: alias_maps: staff is ann, ", ":include:", "to bob@far.test\n",
                     f"to ann@{HOST}\n", "to |true\n",
                     f"targets 3, sender <owner-staff@{HOST}>"):
            assert step in out, out


# ---- extensions, as users' files have them ----

def dot(user, name, text=""):
    p = pathlib.Path(user.pw_dir, name)
    p.write_text(text)
    os.chown(p, user.pw_uid, user.pw_gid)
    p.chmod(0o600)


@root_only
def test_an_extension_is_a_recipient_if_the_user_has_a_file(system_user):
    name = system_user.pw_name
    dot(system_user, ".qmail-list", "&ann@example.test\n")
    dot(system_user, ".qmail-any-default", "&bob@example.test\n")
    with Weir({"recipient_delimiter": "-"}) as w:
        assert rcpt(w, f"{name}@localhost")[0] == 250
        assert rcpt(w, f"{name}-list@localhost")[0] == 250
        assert rcpt(w, f"{name}-any-thing@localhost")[0] == 250
        code, text = rcpt(w, f"{name}-none@localhost")
        assert code == 550 and "User unknown" in text
        w.send(f"{name}-list@localhost")
        w.wait_mails("ann")
        # Seen soon after it is made: what is not there is asked again after a second.
        dot(system_user, ".qmail-none", "&ann@example.test\n")
        wait_for(lambda: rcpt(w, f"{name}-none@localhost")[0] == 250, "the new file")


@root_only
def test_a_user_who_is_editing_is_no_reason_to_refuse(system_user):
    name = system_user.pw_name
    os.chmod(system_user.pw_dir, 0o1755)
    with Weir({"recipient_delimiter": "-"}) as w:
        assert rcpt(w, f"{name}-list@localhost")[0] == 451


@root_only
def test_local_killed_is_temporary(system_user):
    name = system_user.pw_name
    dot(system_user, ".qmail-list", "&ann@example.test\n")
    with Weir({"recipient_delimiter": "-", "fork_delay": "60s"}) as w:
        os.kill(w.role_pids("local")[0], 9)
        wait_for(lambda: rcpt(w, f"{name}-none@localhost")[0] in (451, 550), "an answer")
        codes = {rcpt(w, f"{name}-x{i}@localhost")[0] for i in range(20)}
        assert codes <= {451, 550}


@pytest.fixture
def alias_user():
    with users_locked():
        try:
            pwd.getpwnam("alias")
        except KeyError:
            subprocess.run(["useradd", "-m", "-U", "alias"], check=True)
        else:
            pytest.skip("there is a user alias on this machine")
    yield pwd.getpwnam("alias")
    with users_locked():
        subprocess.run(["userdel", "-r", "alias"], capture_output=True)


@root_only
@pytest.mark.alone
def test_the_alias_user_and_catch_all(alias_user):
    dot(alias_user, ".qmail-info", "&ann@example.test\n")
    with Weir() as w:
        assert rcpt(w, "info@localhost")[0] == 250
        assert rcpt(w, "other@localhost")[0] == 550
        w.send("info@localhost")
        w.wait_mails("ann")
        dot(alias_user, ".qmail-default", "&bob@example.test\n")
        wait_for(lambda: rcpt(w, "other@localhost")[0] == 250, "the new file")
        w.send("other@localhost")
        w.wait_mails("bob")


@root_only
@pytest.mark.parametrize("kind", ["assign", "cdb"])
def test_users_assign(system_user, kind):
    u = system_user
    home = f"{u.pw_uid}:{u.pw_gid}:{u.pw_dir}"
    text = f"=support:{u.pw_name}:{home}:::\n+support-:{u.pw_name}:{home}:-:sup-:\n.\n"
    dot(u, ".qmail-sup-list", "&ann@example.test\n")
    with Weir({"recipient_delimiter": "-"}, start=False) as w:
        (w.dir / "assign").write_text(text)
        if kind == "cdb":
            make_users_cdb(w.dir, text)
        w.write_conf(users_assign=w.dir / kind)
        w.start()
        assert rcpt(w, "support-list@localhost")[0] == 250
        assert rcpt(w, "support-none@localhost")[0] == 550
        w.send("support@localhost")
        new = pathlib.Path(u.pw_dir, "Maildir/new")
        wait_for(lambda: new.is_dir() and len(list(new.iterdir())) == 1,
                 lambda: "mail\n" + w.log())
        assert list(new.iterdir())[0].stat().st_uid == u.pw_uid
        w.send("support-list@localhost")
        w.wait_mails("ann")
        out = w.weir("explain", "support-list@localhost").out
        assert f"users_assign: user {u.pw_name}, id {u.pw_uid}, .qmail-sup-list in" in out


def make_users_cdb(directory, text):
    """As qmail-newu makes it; by the cdb program of tinycdb."""
    records, ends = [], set()
    for line in text.splitlines()[:-1]:
        local, *fields = line[1:].split(":")[:7]
        exact = line[0] == "="
        if not exact and local:
            ends.add(local[-1])
        records.append(("!" + local + ("\0" if exact else ""), "\0".join(fields)))
    records.append(("", "".join(sorted(ends))))
    data = "".join(f"+{len(k)},{len(v)}:{k}->{v}\n" for k, v in records) + "\n"
    subprocess.run(["cdb", "-c", directory / "cdb"], input=data.encode(), check=True)
    (directory / "cdb").chmod(0o644)
