"""Files in the home of a user of the system, for tests of local delivery."""
import os
import pathlib


def dot(user, name, text, mode=0o600):
    """A file in the user's home, his own."""
    p = pathlib.Path(user.pw_dir, name)
    p.write_text(text)
    os.chown(p, user.pw_uid, user.pw_gid)
    p.chmod(mode)
    return p


def home(user, name):
    return pathlib.Path(user.pw_dir, name)


def maildir(user, name):
    """His own; a Maildir named in a dot file must be there."""
    for part in ("", "tmp", "new", "cur"):
        p = pathlib.Path(user.pw_dir, name, part)
        p.mkdir(mode=0o700)
        os.chown(p, user.pw_uid, user.pw_gid)
