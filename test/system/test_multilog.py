"""multilog: actions, rotation, outages, full disks; beside Debian's daemontools on the same input."""
import contextlib
import os
import pathlib
import random
import re
import signal
import subprocess

import pytest

from harness import BUILD, DEADLINE, SANITIZED, signal_taken, wait_for

OURS, ORIGINAL = BUILD / "multilog", pathlib.Path("/usr/bin/multilog")
originals = pytest.mark.skipif(not ORIGINAL.exists(), reason="needs daemontools")
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a file system of its own")
OLD = re.compile(r"@[0-9a-f]{24}\.[su]")


def run(folder, *words, data=b"", binary=OURS):
    p = subprocess.run([binary, *words], input=data, cwd=folder, capture_output=True, timeout=DEADLINE)
    return p.returncode, p.stdout, p.stderr


def old(folder):
    return sorted(f for f in folder.iterdir() if OLD.fullmatch(f.name)) if folder.exists() else []


def whole(folder):
    """All that is there, oldest first."""
    for _ in range(1000):
        # It may rename one between the look and the read.
        with contextlib.suppress(FileNotFoundError):
            return b"".join(f.read_bytes() for f in [*old(folder), folder / "current"] if f.exists())
    raise AssertionError(f"{folder} does not come to rest")


def files(folder):
    """names with modes and sizes, without the labels"""
    return sorted((OLD.sub(lambda m: "@" + m.group()[-2:], f.name), oct(f.stat().st_mode & 0o777),
                   f.stat().st_size) for f in folder.iterdir())


class Running:
    def __init__(self, folder, *words, front=(), binary=OURS):
        self.process = subprocess.Popen([*front, binary, *words], cwd=folder, stdin=subprocess.PIPE,
                                        stderr=subprocess.PIPE)

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def signal(self, number):
        self.process.send_signal(number)

    def close(self):
        """(status, messages)"""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        err = self.process.stderr.read()
        return self.process.wait(DEADLINE), err.decode()


# ---- selecting ----

@originals
def test_patterns_as_the_original(tmp_path):
    rng = random.Random(11)
    for n in range(40 if SANITIZED else 150):
        lines = b"".join(bytes(rng.choices(b"ab: *", k=rng.randint(0, 8))) + b"\n" for _ in range(40))
        words = [rng.choice("+-") + "".join(rng.choices("ab: *", k=rng.randint(0, 6)))
                 for _ in range(rng.randint(1, 4))]
        words = rng.choice([["-*"], []]) + words
        out = [run(tmp_path, *words, "e", data=lines, binary=b) for b in (OURS, ORIGINAL)]
        assert out[0] == out[1], (words, lines)


@originals
@pytest.mark.parametrize("words", [
    ["e"], ["t", "-*", "+* fatal: *", "e"], ["-*", "e", "+hello", "e"], ["+*", "-a*", "e", "+*", "e"]])
def test_alerts_as_the_original(tmp_path, words):
    data = b"hello\nhello world\na\n1 fatal: x\n\n\0\xff\n" + b"".join(
        b"%d:" % n + b"a" * n + b"\n" for n in (190, 196, 197, 200, 201, 999, 1000, 5000)) + b"end"
    stamp = re.compile(rb"@[0-9a-f]{24} ")
    got, want = (run(tmp_path, *words, data=data, binary=b) for b in (OURS, ORIGINAL))
    assert [stamp.sub(b"@ ", x) for x in got[1:]] == [stamp.sub(b"@ ", x) for x in want[1:]]


@originals
def test_patterns_see_a_thousand_bytes(tmp_path):
    for n in range(995, 1005):
        data = b"x" * n + b"yz\n"
        got, want = (run(tmp_path, "-*", "+*y", "e", data=data, binary=b) for b in (OURS, ORIGINAL))
        assert got == want


@originals
@pytest.mark.parametrize("data", [b"a\nb\n", b"x" * 5000 + b"\n", b"", b"no end", b"x" * 1000, b"y" * 999 + b"\n"])
def test_status_files_as_the_original(tmp_path, data):
    for name, binary in (("ours", OURS), ("theirs", ORIGINAL)):
        (tmp_path / name).write_bytes(b"before" * 300)
        assert run(tmp_path, "=" + name, data=data, binary=binary)[0] == 0
    if data:
        assert (tmp_path / "ours").read_bytes()[:1001] == (tmp_path / "theirs").read_bytes()[:1001]
        assert (tmp_path / "ours").read_bytes()[:1000] == data.split(b"\n")[-2 if data[-1:] == b"\n" else -1][:1000].ljust(1000, b"\n")


@originals
def test_what_it_says_when_it_cannot_begin(tmp_path):
    (tmp_path / "file").write_text("")
    for words in (["./none/a"], ["=none/x"], ["./file"], ["/none/a"]):
        assert run(tmp_path, *words) == run(tmp_path, *words, binary=ORIGINAL)
        assert run(tmp_path, *words)[0] == 111
    # A directory for each: current is there once the lock is held.
    for log, first, second in (("a", OURS, ORIGINAL), ("b", ORIGINAL, OURS)):
        r = Running(tmp_path, f"./{log}", binary=first)
        wait_for((tmp_path / log / "current").exists, "the log")
        assert run(tmp_path, f"./{log}", binary=second) == \
            (111, b"", f"multilog: fatal: unable to lock directory ./{log}: temporary failure\n".encode())
        assert r.close() == (0, "")
    assert run(tmp_path, "./two", "./two")[0] == 111


def test_words_that_are_not_taken_as_they_are(tmp_path):
    """The original uses another number, or ignores the word, and does not say so."""
    status, _, err = run(tmp_path, "s100", "n1", "s99999999", "snone", "q", "t", "./log")
    assert status == 0
    assert err.decode().splitlines() == [
        "multilog: warning: s100: 4096 is used", "multilog: warning: n1: 2 is used",
        "multilog: warning: s99999999: 16777215 is used", "multilog: warning: snone: 4096 is used",
        "multilog: warning: q is no action: ignored", "multilog: warning: t is not the first action: ignored"]


# ---- directories ----

@originals
@pytest.mark.parametrize("data", [b"", b"one\n", b"one\ntwo", b"\n\n", b"\0\xff\n"])
def test_a_small_log_as_the_original(tmp_path, data):
    for name, binary in (("ours", OURS), ("theirs", ORIGINAL)):
        assert run(tmp_path, f"./{name}", data=data, binary=binary) == (0, b"", b"")
    assert files(tmp_path / "ours") == files(tmp_path / "theirs")
    assert whole(tmp_path / "ours") == whole(tmp_path / "theirs")


def lines(count, seed=5):
    rng = random.Random(seed)
    return b"".join(b"%06d " % i + b"x" * rng.randint(0, 120) + b"\n" for i in range(count))


@pytest.mark.parametrize("size,num", [(4096, 2), (4096, 5), (5000, 3), (20000, 1000), (99999, 10)])
def test_bounded_in_bytes_and_files(tmp_path, size, num):
    data = lines(8000)
    assert run(tmp_path, f"s{size}", f"n{num}", "./log", data=data) == (0, b"", b"")
    log = tmp_path / "log"
    assert data.endswith(whole(log)) and len(old(log)) <= num - 1
    if num * (size - 2200) < len(data):
        assert len(old(log)) == num - 1
    else:
        assert whole(log) == data
    for f in old(log):
        assert size - 2000 <= f.stat().st_size <= size and f.read_bytes().endswith(b"\n")
        assert f.name.endswith(".s") and f.stat().st_mode & 0o777 == 0o744
    assert (log / "current").stat().st_mode & 0o777 == 0o744
    assert not (log / "previous").exists()


@originals
def test_rotation_as_the_original(tmp_path):
    """The same files from the same line by line input, but for the bytes of each."""
    for name, binary in (("ours", OURS), ("theirs", ORIGINAL)):
        assert run(tmp_path, "s4096", "n4", f"./{name}", data=lines(3000), binary=binary)[0] == 0
        assert lines(3000).endswith(whole(tmp_path / name))
    kinds = [[(n, m) for n, m, _ in files(tmp_path / x)] for x in ("ours", "theirs")]
    assert kinds[0] == kinds[1]


def test_a_line_longer_than_a_file(tmp_path):
    data = b"a\n" + b"y" * 10000 + b"\nend\n"
    assert run(tmp_path, "s4096", "n10", "./log", data=data)[0] == 0
    assert whole(tmp_path / "log") == data
    assert all(f.stat().st_size <= 4096 for f in (tmp_path / "log").iterdir())


def test_two_logs_of_one_stream(tmp_path):
    data = lines(2000)
    assert run(tmp_path, "t", "-*", "+* 0001*", "s4096", "n3", "./some", "+*", "s16777215", "./all", data=data)[0] == 0
    some = (tmp_path / "all/current").read_bytes()
    assert re.sub(rb"(?m)^@40000000[0-9a-f]{16} ", b"", some) == data
    text = whole(tmp_path / "some")
    assert text and all(re.fullmatch(rb"@[0-9a-f]{24} 0001\d\d x*", x) for x in text.splitlines())


def test_it_goes_on_where_it_stopped(tmp_path):
    for n in range(5):
        run(tmp_path, "./log", data=b"%d\n" % n)
    assert whole(tmp_path / "log") == b"0\n1\n2\n3\n4\n" and old(tmp_path / "log") == []


@originals
@pytest.mark.parametrize("left", ["current", "previous", "processed", "processed sealed", "linked"])
def test_after_an_outage_as_the_original(tmp_path, left):
    out = []
    for name, binary in (("ours", OURS), ("theirs", ORIGINAL)):
        log = tmp_path / name
        run(tmp_path, "!cat; cat <&4; echo s >&5", f"./{name}", data=b"before\n", binary=ORIGINAL)
        (log / "current").chmod(0o644)
        if left != "current":
            (log / "previous").write_bytes(b"previous\n")
        if left.startswith("processed"):
            (log / "processed").write_bytes(b"processed\n")
            (log / "newstate").write_bytes(b"new\n")
            (log / "processed").chmod(0o744 if "sealed" in left else 0o644)
        if left == "linked":
            os.link(log / "previous", log / "@400000006b02ad8b0732e734.s")
        assert run(tmp_path, f"./{name}", data=b"after\n", binary=binary)[0] == 0
        out.append((files(log), whole(log)))
    assert out[0] == out[1]


def test_killed_at_any_moment(tmp_path):
    """Nothing that was there is lost; what was current is .u."""
    rng = random.Random(2)
    written = b""
    for n in range(12):
        r = Running(tmp_path, "s4096", "n1000", "./log")
        data = b"".join(b"%d.%d " % (n, i) + b"z" * 60 + b"\n" for i in range(rng.randint(1, 400)))
        r.write(data)
        wait_for(lambda: len(whole(tmp_path / "log")) == len(written) + len(data), "all of it")
        r.signal(signal.SIGKILL)
        r.close()
        written += data
    assert run(tmp_path, "s4096", "n1000", "./log")[0] == 0
    assert whole(tmp_path / "log") == written
    assert 1 <= sum(f.name.endswith(".u") for f in old(tmp_path / "log")) <= 12


# ---- processors ----

@originals
def test_processors_as_the_original(tmp_path):
    """Descriptors 0, 1, 4 and 5; the folder it runs in."""
    script = "tr a-z A-Z; cat <&4; (cat <&4; echo one more) >&5; pwd >&2"
    for name, binary in (("ours", OURS), ("theirs", ORIGINAL)):
        status, _, err = run(tmp_path, "s4096", "n100", "!" + script, f"./{name}", data=lines(500), binary=binary)
        assert status == 0 and set(err.decode().split()) == {str(tmp_path / name)}
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    assert (ours / "state").read_bytes() == b"one more\n" == (theirs / "state").read_bytes()
    assert [x[:2] for x in files(ours) if x[0] != "@.s"] == [x[:2] for x in files(theirs) if x[0] != "@.s"]
    assert whole(ours).replace(b"one more\n", b"").upper() == lines(500).upper()


def test_a_processor_that_fails_is_run_again(tmp_path):
    r = Running(tmp_path, "s4096", "!test -e go && cat", "./log")
    r.write(lines(200)[:4096])
    assert b"processor failed in ./log, pausing\n" in r.process.stderr.readline()
    assert (tmp_path / "log/previous").exists()
    (tmp_path / "log/go").write_text("")
    r.signal(signal.SIGALRM)  # the pause ends
    wait_for(lambda: old(tmp_path / "log"), "the old file")
    assert r.close()[0] == 0
    assert whole(tmp_path / "log") == lines(200)[:4096] + b"\n"


# ---- signals ----

def test_alrm_closes_the_file(tmp_path):
    log = tmp_path / "log"
    r = Running(tmp_path, "./log")
    r.write(b"one\n")
    wait_for(lambda: log.exists() and whole(log) == b"one\n", "the line")
    assert (log / "current").stat().st_mode & 0o777 == 0o644
    r.signal(signal.SIGALRM)
    wait_for(lambda: len(old(log)) == 1, "the old file")
    r.signal(signal.SIGALRM)  # current is empty: nothing to close
    r.write(b"two\n")
    wait_for(lambda: whole(log) == b"one\ntwo\n", "the line")
    assert len(old(log)) == 1
    assert r.close() == (0, "")


@pytest.mark.parametrize("binary", [OURS, pytest.param(ORIGINAL, marks=originals)])
def test_term_finishes_the_line_and_leaves_the_rest(tmp_path, binary):
    read, write = os.pipe()
    p = subprocess.Popen([binary, "./log"], cwd=tmp_path, stdin=read)
    os.write(write, b"one\npart")
    wait_for(lambda: (tmp_path / "log/current").exists() and
             (tmp_path / "log/current").read_bytes().startswith(b"one\n"), "the line")
    p.terminate()
    signal_taken(p.pid, signal.SIGTERM)
    assert p.poll() is None
    os.write(write, b"ial\nthree\n")
    assert p.wait(DEADLINE) == 0
    assert (tmp_path / "log/current").read_bytes() == b"one\npartial\n"
    assert os.read(read, 100) == b"three\n"
    os.close(read)
    os.close(write)


def test_term_between_lines(tmp_path):
    r = Running(tmp_path, "./log")
    r.write(b"one\n")
    wait_for(lambda: (tmp_path / "log/current").exists() and whole(tmp_path / "log") == b"one\n", "the line")
    r.signal(signal.SIGTERM)
    assert r.process.wait(DEADLINE) == 0
    r.close()


def test_term_under_a_flood(tmp_path):
    flood = subprocess.Popen(["yes", "flood"], stdout=subprocess.PIPE)
    p = subprocess.Popen([OURS, "s4096", "n2", "./log"], cwd=tmp_path, stdin=flood.stdout)
    wait_for(lambda: (tmp_path / "log").exists() and old(tmp_path / "log"), "a file")
    p.terminate()
    assert p.wait(DEADLINE) == 0
    flood.kill()
    flood.wait()
    assert whole(tmp_path / "log").replace(b"flood\n", b"") == b""


# ---- the disk ----

@root
def test_a_full_disk_pauses_and_loses_nothing(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], check=True)
    try:
        (disk / "filler").write_bytes(b"f" * 200 * 1024)
        r = Running(disk, "s16000", "n30", "./log")
        data = lines(1500)
        r.write(data[:60000])
        line = r.process.stderr.readline().decode()
        assert line == "multilog: warning: unable to write to ./log/current, pausing: out of disk space\n"
        assert r.process.poll() is None
        (disk / "filler").unlink()
        r.write(data[60000:])
        assert r.close()[0] == 0
        assert whole(disk / "log") == data
    finally:
        subprocess.run(["umount", disk], check=True)


# ---- together ----

def test_read_with_tai64nlocal(tmp_path):
    run(tmp_path, "t", "./log", data=b"status: local 0/10 remote 0/20\n")
    out = subprocess.run([BUILD / "tai64nlocal"], stdin=open(tmp_path / "log/current", "rb"),
                         capture_output=True, text=True).stdout
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} status: local 0/10 remote 0/20\n", out)
