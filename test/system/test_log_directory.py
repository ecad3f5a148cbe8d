"""log_destination = multilog:DIR: the log in a directory, bounded in bytes and files."""
import os
import re
import signal
import subprocess

import pytest

from harness import BUILD, Weir, wait_for

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners of directories")


def written(folder):
    """The text of the whole log, without timestamps."""
    files = [*sorted(folder.glob("@*")), folder / "current"]
    text = b"".join(f.read_bytes() for f in files if f.exists()).decode()
    return re.sub(r"(?m)^@40000000[0-9a-f]{16} ", "", text)


def start(value, made=None, owner=None, **conf):
    w = Weir(conf, start=False)
    folder = w.dir / "logs"
    if made:
        folder.mkdir()
        if owner is not None:
            os.chown(folder, owner, owner)
    w.write_conf(log_destination=value.replace("DIR", str(folder)))
    return w, folder


def multilogs(w):
    return [pid for pid, name in w.pids().items() if name == "multilog"]


def test_the_log_of_all_roles_is_there():
    w, folder = start("multilog:DIR")
    with w:
        w.start()
        assert w.log() == "weir: ready\n"  # for whoever waits for it
        w.send("joe@example.test")
        w.wait_mails("joe")
        wait_for(lambda: ": removed\n" in written(folder), "the delivery's end")
        text = written(folder)
        for role in ("master", "queue", "smtpd"):
            assert re.search(rf"^weir/{role}\[\d+\]: ", text, re.M), role
        assert (folder / "current").stat().st_mode & 0o777 == 0o644
        assert w.stop() == 0
        # Who writes it ends when nobody is left to write to it.
        wait_for(lambda: (folder / "current").stat().st_mode & 0o777 == 0o744, "the log is finished")
        assert written(folder).rstrip().endswith(": stopped")
        out = subprocess.run([BUILD / "tai64nlocal"], stdin=open(folder / "current", "rb"),
                             capture_output=True, text=True).stdout
        assert all(re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} weir/", x) for x in out.splitlines())
        w.ready_count = 0
        w.log_path.unlink()
        w.start()  # goes on behind it
        wait_for(lambda: written(folder).count(": ready\n") == 2, "the second start")
        assert not list(folder.glob("*.u"))


def test_bounded():
    w, folder = start("multilog:DIR s4096 n3")
    with w:
        w.start()
        for i in range(40):
            w.send("joe@example.test", subject=f"m{i}")
        w.wait_mails("joe", 40)
        wait_for(lambda: len(list(folder.glob("@*.s"))) == 2, "two old files")
        shown = w.weir("limits").stdout.decode()
        assert re.search(r"^.*log files.* 3\b", shown, re.M) and re.search(r"^.*log file .*4096", shown, re.M), shown
        assert w.stop() == 0
        assert len(list(folder.iterdir())) == 5  # current, 2 old files, lock, state
        assert all(f.stat().st_size <= 4096 for f in folder.iterdir())


def test_multilog_that_dies_is_started_again_and_nothing_is_lost():
    w, folder = start("multilog:DIR")
    with w:
        w.start()
        for _ in range(2):
            (pid,) = multilogs(w)
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: multilogs(w) not in ([], [pid]), "another multilog")
        w.send("joe@example.test")
        w.wait_mails("joe")
        assert w.stop() == 0
        text = written(folder)
        assert text.count("warning: multilog ended with status 9: it is started again") == 2
        assert ": starting, version" in text and ": stopped\n" in text and "lost" not in text


def test_usr1_ends_the_file():
    w, folder = start("multilog:DIR")
    with w:
        w.start()
        wait_for(lambda: ": ready" in written(folder), "the log")
        w.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: len(list(folder.glob("@*.s"))) == 1, "an old file")


@root
def test_as_whom_it_is_written():
    for made, owner, want in ((False, None, None), (True, 1, 1), (True, 0, 0)):
        w, folder = start("multilog:DIR", made, owner)
        with w:
            w.start()
            (pid,) = multilogs(w)
            uids = next(x for x in open(f"/proc/{pid}/status") if x.startswith("Uid:")).split()[1:]
            groups = next(x for x in open(f"/proc/{pid}/status") if x.startswith("Groups:")).split()[1:]
            (queue,) = w.role_pids("queue")
            uid = int(next(x for x in open(f"/proc/{queue}/status") if x.startswith("Uid:")).split()[1])
            assert set(map(int, uids)) == {uid if want is None else want}
            assert want == 0 or groups == []
            assert (folder / "current").stat().st_uid == int(uids[0])
            assert w.stop() == 0


@pytest.mark.parametrize("value,text", [
    ("multilog:logs", "needs an absolute path"), ("multilog:", "needs an absolute path"),
    ("multilog:DIR s100", "write s4096 to s16777215"), ("multilog:DIR n1", "write n2 to n1000000"),
    ("multilog:DIR x", "[sSIZE] [nNUM]"), ("file:/x", "write stderr, syslog or multilog:/DIR")])
def test_a_value_that_is_wrong(value, text):
    w, _ = start(value)
    with w:
        p = w.weir("check", check=False)
        assert p.returncode == 78 and text in (p.stdout + p.stderr).decode()


def test_a_directory_that_cannot_be_had():
    w, folder = start("multilog:DIR/none/deeper")
    with w:
        w.start(ready=False)
        assert w.process.wait(30) == 78
        assert "log_destination: " in w.log() and "No such file or directory" in w.log()
        w.process = None


def test_what_prevents_a_start_is_said_on_the_terminal():
    w, folder = start("multilog:DIR")
    with w:
        w.start()
        p = subprocess.run([BUILD / "weir", "run", "-c", w.conf_path], capture_output=True, text=True, timeout=60)
        assert p.returncode == 75 and "queue_directory" in p.stdout + p.stderr
        assert multilogs(w)


@root
def test_a_directory_that_its_owner_cannot_reach(tmp_path):
    """tmp_path is root's alone."""
    (tmp_path / "log").mkdir()
    os.chown(tmp_path / "log", 1, 1)
    tmp_path.chmod(0o700)
    with Weir({"log_destination": f"multilog:{tmp_path}/log"}, start=False) as w:
        w.start(ready=False)
        assert w.process.wait(30) == 78
        assert f"log_destination: {tmp_path}/log, for user 1: Permission denied" in w.log()
        w.process = None


@root
def test_a_full_disk_is_waited_for():
    """Mail goes on; what the pipe holds is written when there is room."""
    w, _ = start("multilog:DIR")
    disk = w.dir / "disk"
    disk.mkdir()
    w.write_conf(log_destination=f"multilog:{disk}/log")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", disk], check=True)
    try:
        with w:
            w.start()
            subprocess.run(["dd", "if=/dev/zero", f"of={disk}/filler", "bs=4k"], capture_output=True)
            for i in range(30):
                w.send("joe@example.test", subject=f"m{i}")
            w.wait_mails("joe", 30)
            w.wait_log(r"multilog: warning: unable to write to .*/log/current, pausing: out of disk space")
            (disk / "filler").unlink()
            wait_for(lambda: written(disk / "log").count(": removed\n") == 30, "every line")
            assert w.stop() == 0
            subprocess.run(["umount", "-l", disk], check=True)
    finally:
        subprocess.run(["umount", "-l", disk], capture_output=True)
