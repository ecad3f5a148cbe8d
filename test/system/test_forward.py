"""What users and aliases forward: new messages, senders, loops, crashes."""
import os
import pathlib
import re
import signal
import subprocess

import pytest

from harness import FAST_RETRY, Weir, message, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: deliveries change identity")


def dot(user, name, text):
    """A file in the user's home, his own."""
    p = pathlib.Path(user.pw_dir, name)
    p.parent.mkdir(exist_ok=True)
    p.write_text(text)
    os.chown(p, user.pw_uid, user.pw_gid)
    p.chmod(0o600)
    return p


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
