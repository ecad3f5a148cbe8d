"""What strangers, and users with all power over their homes, try with local
delivery; a number is that of the row in the list of attacks."""
import os
import pathlib

import pytest

from harness import FAST_RETRY, Weir, message, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: deliveries change identity")


def dot(user, name, text):
    """A file in the user's home, his own."""
    p = pathlib.Path(user.pw_dir, name)
    p.write_text(text)
    os.chown(p, user.pw_uid, user.pw_gid)
    p.chmod(0o600)
    return p


def mails(user):
    new = pathlib.Path(user.pw_dir, "Maildir/new")
    return sorted(new.iterdir()) if new.is_dir() else []


def own_maildir(user):
    for name in ("Maildir", "Maildir/tmp", "Maildir/new", "Maildir/cur"):
        p = pathlib.Path(user.pw_dir, name)
        p.mkdir(mode=0o700)
        os.chown(p, user.pw_uid, user.pw_gid)


def test_row_27_a_user_with_extensions_does_not_take_every_place(make_user):
    """Each extension of his is another address, but he is one destination."""
    one, two = make_user(1), make_user(2)
    dot(one, ".forward", '"|sleep 1000"\n')
    with Weir() as w:
        for i in range(12):
            w.send(f"{one.pw_name}+{i}@localhost")
        wait_for(lambda: w.role_pids("deliver"), lambda: w.log())
        id = w.send(f"{two.pw_name}@localhost")
        w.wait_log(rf"{id}: .*status=sent")
        assert len(mails(two)) == 1


def test_a_home_that_cannot_be_listed_is_a_home(system_user):
    own_maildir(system_user)
    name, home = system_user.pw_name, system_user.pw_dir
    with Weir() as w:
        try:
            os.chmod(home, 0o311)
            id = w.send(f"{name}@localhost")
            w.wait_log(rf"{id}: .*status=sent \(delivered to maildir\)")
            dot(system_user, ".qmail", "|pwd\n")
            id = w.send(f"{name}@localhost")
            w.wait_log(rf"{id}: .*status=sent \({home}\)")
        finally:
            os.chmod(home, 0o755)
        assert len(mails(system_user)) == 1


def test_a_silent_command_is_told_as_a_delivery(system_user):
    dot(system_user, ".qmail", "|exit 0\n")
    with Weir() as w:
        id = w.send(f"{system_user.pw_name}@localhost")
        w.wait_log(rf"{id}: .*status=sent \(delivered to command\)")


def test_row_43_a_file_that_includes_only_itself_loses_no_mail(tmp_path):
    for p in [tmp_path, *tmp_path.parents]:
        if str(p).startswith("/tmp/"):
            p.chmod(p.stat().st_mode | 0o055)
    (tmp_path / "list").write_text(f":include:{tmp_path}/list\n")
    (tmp_path / "aliases").write_text(f"list: :include:{tmp_path}/list\n")
    with Weir({"alias_maps": f"text:{tmp_path}/aliases"}) as w:
        id = w.send("list@localhost", sender="ann@example.test")
        w.wait_log(rf"{id}: .*dsn=5\.4\.6, status=bounced .*:include:{tmp_path}/list")
        w.wait_mails("ann")
