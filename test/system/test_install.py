"""`dev install` lays the files, `dev uninstall` takes them away."""
import os
import pathlib
import stat
import subprocess

import pytest

from harness import BUILD, ROOT, SANITIZED, WEIR



def tree(root):
    return {str(p.relative_to(root)) for p in root.rglob("*") if not p.is_dir()}


@pytest.fixture
def build_is_release():
    if BUILD.name != "build":
        # The sanitizer build is never installed; the release run covers this.
        return False
    return True


def test_install_and_undo_below_a_directory(tmp_path, build_is_release):
    if not build_is_release:
        return
    subprocess.run([ROOT / "dev", "install", tmp_path], check=True, capture_output=True)
    files = tree(tmp_path)
    for f in ("usr/local/bin/weir", "usr/local/libexec/weir/weir-smtpd",
              "usr/local/libexec/weir/weir-drop", "usr/local/lib/weir/bin/sendmail",
              "usr/local/lib/weir/bin/forward", "usr/local/lib/weir/bin/tcpserver",
              "usr/local/lib/weir/bin/tcprules", "usr/local/lib/weir/bin/multilog", "usr/local/lib/weir/bin/tcprulescheck", "usr/local/bin/maildirmake", "usr/local/sbin/postmap",
              "usr/local/libexec/weir/weir-postmap",
              "usr/local/lib/weir/bin/qmail-smtpd", "var/qmail/bin/qmail-smtpd", "var/qmail/bin/forward",
              "lib/systemd/system/weir.service", "etc/weir/weir.conf"):
        assert f in files, sorted(files)
    man = [f for f in files if f.startswith("usr/local/share/man/")]
    assert any("weir.8" in f for f in man) and any("weir.conf.5" in f for f in man)
    mode = (tmp_path / "usr/local/libexec/weir/weir-drop").stat().st_mode
    assert mode & stat.S_ISGID
    out = subprocess.run([tmp_path / "usr/local/bin/weir", "version"], capture_output=True, text=True)
    assert out.returncode == 0
    # Again: the same.
    subprocess.run([ROOT / "dev", "install", tmp_path], check=True, capture_output=True)
    assert tree(tmp_path) == files
    subprocess.run([ROOT / "dev", "uninstall", tmp_path], check=True, capture_output=True)
    assert tree(tmp_path) == {"etc/weir/weir.conf"}


def test_a_foreign_sendmail_is_left_alone(tmp_path, build_is_release):
    if not build_is_release:
        return
    other = tmp_path / "usr/local/sbin/sendmail"
    other.parent.mkdir(parents=True)
    other.write_text("another package's\n")
    qmail = tmp_path / "var/qmail/bin/qmail-smtpd"
    qmail.parent.mkdir(parents=True)
    qmail.symlink_to("/opt/qmail/qmail-smtpd")
    subprocess.run([ROOT / "dev", "install", tmp_path], check=True, capture_output=True)
    assert other.read_text() == "another package's\n"
    assert os.readlink(qmail) == "/opt/qmail/qmail-smtpd"
    subprocess.run([ROOT / "dev", "uninstall", tmp_path], check=True, capture_output=True)
    assert other.exists()


@pytest.mark.alone
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: users and groups are made")
def test_installed_on_this_system_and_run_as_root(build_is_release):
    """The package's users, the identity of every role, and the way back."""
    if not build_is_release:
        return
    import pwd
    import sys
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    from harness import Weir, wait_for
    subprocess.run([ROOT / "dev", "install"], check=True, capture_output=True)
    try:
        weir, weirq = pwd.getpwnam("weir").pw_uid, pwd.getpwnam("weirq").pw_uid
        import harness
        harness.WEIR = pathlib.Path("/usr/local/bin/weir")
        try:
            with Weir() as w:
                w.send("joe@example.test")
                w.wait_mails("joe")

                def uid(role):
                    pid = w.role_pids(role)[0]
                    for line in open(f"/proc/{pid}/status"):
                        if line.startswith("Uid:"):
                            return set(map(int, line.split()[1:]))
                for role in ("smtpd", "smtp", "dns", "lookup"):
                    assert uid(role) == {weir}, role
                assert uid("queue") == {weirq}
                assert uid("local") == {0}
                for role in ("smtpd", "queue", "smtp", "dns", "lookup"):
                    status = open(f"/proc/{w.role_pids(role)[0]}/status").read()
                    assert "NoNewPrivs:\t1" in status, role
                    assert "Seccomp:\t2" in status, role
                root = os.readlink(f"/proc/{w.role_pids('smtpd')[0]}/root")
                assert root != "/" and os.listdir(root) == []
        finally:
            harness.WEIR = BUILD / "weir"
    finally:
        subprocess.run([ROOT / "dev", "uninstall"], check=True, capture_output=True)
    for name in ("weir", "weirq"):
        with pytest.raises(KeyError):
            pwd.getpwnam(name)
    assert not os.path.exists("/usr/local/bin/weir")
