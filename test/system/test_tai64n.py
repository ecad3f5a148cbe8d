"""tai64n, tai64nlocal beside Debian's daemontools on the same input."""
import os
import pathlib
import random
import re
import subprocess
import time

import pytest

from harness import BUILD, SANITIZED

ORIGINAL = pathlib.Path("/usr/bin")
originals = pytest.mark.skipif(not (ORIGINAL / "tai64n").exists(), reason="needs daemontools")


def run(name, data, where=BUILD, tz="UTC"):
    p = subprocess.run([where / name], input=data, capture_output=True, timeout=60,
                       env={"PATH": os.environ["PATH"], "TZ": tz})
    return p.returncode, p.stdout, p.stderr


LINES = [b"@400000006b02ad8b0732e734 hello\n", b"@400000006b02ad8b0732e734\n", b"plain\n", b"\n",
         b" @400000006b02ad8b0732e734 x\n", b"@4000000037c219bf2ef02e94 mark\n", b"@400000000000000a00000000 0\n",
         b"@3fffffffffffffff00000000 before\n", b"@40000000ffffffff3b9ac9ff late\n", b"\xff\x00@\n",
         b"x" * 70000 + b"\n", b"@400000006b02ad8b0732e734:\n"]


@originals
@pytest.mark.parametrize("tz", ["UTC", "America/Los_Angeles", "Europe/Berlin", "Asia/Kathmandu"])
def test_local_time_as_the_original(tz):
    rng = random.Random(3)
    stamps = [b"@%016x%08x line\n" % (0x400000000000000a + rng.randrange(0, 2 ** 32), rng.randrange(10 ** 9))
              for _ in range(2000)]
    for data in (b"".join(LINES), b"".join(stamps), b"".join(LINES)[:-1], b"a@400000006b02ad8b0732e734", b""):
        assert run("tai64nlocal", data, tz=tz) == run("tai64nlocal", data, ORIGINAL, tz)


def test_the_line_of_the_manual():
    assert run("tai64nlocal", b"@400000006b02ad8b0732e734 hello\n") == \
        (0, b"2026-11-22 08:53:21.120776500 hello\n", b"")


@pytest.mark.parametrize("line", [
    b"@", b"@\n", b"@40 x\n", b"@400000006B02AD8B0732E734 x\n", b"@400000006b02ad8b x\n", b"@400000006b02ad8b0732e73",
    b"@400000006b02ad8b0732e734ff x\n", b"@ffffffffffffffffffffffff x\n", b"@400000006b02ad8bffffffff x\n",
    b"@@400000006b02ad8b0732e734 x\n", b"@7fffffffffffffff00000000 x\n"])
def test_what_is_no_label_stays(line):
    """The original ends by a signal at most of these."""
    assert run("tai64nlocal", line) == (0, line, b"")
    assert run("tai64nlocal", b"a\n" + line + b"\nb\n")[1] == b"a\n" + line + b"\nb\n"


def test_at_every_split():
    data = b"".join(LINES[:10])
    want = run("tai64nlocal", data)[1]
    for at in range(0, len(data), 40 if SANITIZED else 3):
        p = subprocess.Popen([BUILD / "tai64nlocal"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             env={"TZ": "UTC"})
        p.stdin.write(data[:at])
        p.stdin.flush()
        if at % 30 == 0:
            time.sleep(0.002)
        out, _ = p.communicate(data[at:])
        assert out == want, at


@originals
def test_stamps_as_the_original():
    for data in (b"a\n\nb\n", b"no end", b"", b"\n", b"\x00\xff\n" * 50000, b"y" * 200000 + b"\nz"):
        before = int(time.time())
        ours, theirs = run("tai64n", data), run("tai64n", data, ORIGINAL)
        stamps = re.findall(rb"^@(40000000[0-9a-f]{8})([0-9a-f]{8}) ", ours[1], re.M)
        same = re.compile(rb"^@40000000[0-9a-f]{16} ", re.M)
        assert same.sub(b"@STAMP ", ours[1]) == same.sub(b"@STAMP ", theirs[1])
        assert (ours[0], ours[2]) == (theirs[0], theirs[2])
        for seconds, ns in stamps:
            assert before <= int(seconds, 16) - 0x400000000000000a <= time.time() and int(ns, 16) < 10 ** 9


@originals
def test_one_reads_what_the_other_wrote():
    for a, b in ((BUILD, ORIGINAL), (ORIGINAL, BUILD)):
        text = run("tai64nlocal", run("tai64n", b"hello\n", a)[1], b)[1].decode()
        assert text.startswith(time.strftime("%Y-%m-%d ", time.gmtime())) and text.endswith(" hello\n")


def test_a_line_is_written_when_it_is_there():
    for name in ("tai64n", "tai64nlocal"):
        p = subprocess.Popen([BUILD / name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        p.stdin.write(b"now\n")
        p.stdin.flush()
        assert p.stdout.readline().endswith(b"now\n")
        p.communicate()


def test_errors():
    for name in ("tai64n", "tai64nlocal"):
        with open("/dev/full", "wb") as full:
            assert subprocess.run([BUILD / name], input=b"x\n", stdout=full).returncode == 111
        with open("/proc/self/mem", "rb") as bad:
            assert subprocess.run([BUILD / name], stdin=bad, capture_output=True).returncode == 111
