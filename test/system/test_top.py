"""weir top in a terminal."""
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

import pytest

from harness import DEADLINE, WEIR, wait_for

ROWS, COLUMNS = 12, 60


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, *argv, term="xterm"):
        self.master, self.slave = pty.openpty()
        self.size(ROWS, COLUMNS)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(argv, stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                        env=dict(os.environ, TERM=term), start_new_session=True)
        self.out = b""

    def size(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait(self, pattern):
        """Read until it is there; what was read since the last time."""
        def there():
            if select.select([self.master], [], [], 0.05)[0]:
                self.out += os.read(self.master, 65536)
            return re.search(pattern, self.out, re.S)
        wait_for(there, lambda: f"{pattern!r} in {self.out!r}")
        out, self.out = self.out, b""
        return out.decode()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def lines(screen):
    return re.sub(r"\x1b\[[HJK]", "", screen).rstrip("\r\n").split("\r\n")


def test_top_fits_the_window_and_q_ends_it(weir):
    with weir.client() as c:
        c.ok("EHLO client.example")
        c.ok("MAIL FROM:<a@client.example> SIZE=99999999", 552)
    with Terminal(WEIR, "top", "-c", weir.conf_path) as t:
        shown = lines(t.wait(rb"\n\x1b\[J"))
        assert len(shown) < ROWS and max(map(len, shown)) <= COLUMNS, shown
        assert shown[0].startswith("weir ") and shown[1] == "overload: none", shown
        t.size(60, 100)
        os.kill(t.process.pid, signal.SIGWINCH)
        more = lines(t.wait(rb"\n\x1b\[J"))
        assert len(more) > len(shown) and more[0].startswith(shown[0]), more
        # What there was and how fast, gates, and each role's account.
        for line in (r"smtpd +connections +\d+ +\d+\.\d$", r"queue +deliveries sent +\d+ +\d+\.\d$",
                     r"limit message_size_limit +\d+ +\d+\.\d$", r"smtpd +incoming +\d+ ", r"queue +\d+ .* MiB +"):
            assert any(re.search(line, l) for l in more), (line, more)
        os.write(t.master, b"q")  # and no line end
        assert t.process.wait(DEADLINE) == 0
        assert termios.tcgetattr(t.slave) == t.before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_top_gives_the_terminal_back(weir, number):
    with Terminal(WEIR, "top", "-c", weir.conf_path) as t:
        t.wait(rb"\n\x1b\[J")
        assert termios.tcgetattr(t.slave) != t.before
        os.kill(t.process.pid, number)
        assert t.process.wait(DEADLINE) == -number
        assert termios.tcgetattr(t.slave) == t.before


def test_top_where_there_are_no_controls(weir):
    with Terminal(WEIR, "top", "-c", weir.conf_path, term="dumb") as t:
        assert "\x1b" not in t.wait(rb"overload: none.*\n\r\n")
        os.write(t.master, b"q")
        assert t.process.wait(DEADLINE) == 0
    r = subprocess.run([WEIR, "top", "-c", weir.conf_path], stdin=subprocess.DEVNULL, capture_output=True,
                       timeout=DEADLINE)
    assert r.returncode == 0 and b"overload: none\n" in r.stdout and b"\x1b" not in r.stdout
