"""A qmail administrator sets how many deliveries run at once: files, services and the log, nothing else.

The steps are his: a number into control/concurrencylocal or control/concurrencyremote, svc, and a look at the log with
tai64nlocal.  The run scripts are those that he has, below the real supervise, svc, svstat, setuidgid, softlimit,
envdir, multilog and tai64nlocal of Debian's daemontools.  All of it runs in a mount namespace of its own, where /var is
a folder of the test, so that the paths are the real ones.
"""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from harness import BUILD, DEADLINE, FakeMX, wait_for
from qmail_log import Matchup

TOOLS = "supervise svc svstat setuidgid softlimit envdir multilog tai64nlocal".split()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a mount namespace, services as other users"),
    pytest.mark.skipif(not all(shutil.which(t) for t in TOOLS), reason="needs daemontools")]

SEND = """#!/bin/sh
exec env - PATH=/var/qmail/bin:$PATH qmail-start ./Maildir/
"""
LOG = """#!/bin/sh
exec setuidgid daemon multilog t n20 s1000000 /var/log/qmail
"""
# Nothing of the machine's /var but what is made here.
NAMESPACE = """
mount --make-rprivate / && mount --bind "$1/var" /var || exit 111
[ ! -e /etc/weir/weir.conf ] || mount --bind "$1/weir.conf" /etc/weir/weir.conf || exit 111
supervise /var/service/send | supervise /var/service/send/log
"""


class Qmail:
    """/var/qmail as its administrator has it, and the service send, that nobody has started yet."""

    def __init__(self, top, run=SEND):
        self.var = top / "var"
        for p in (top, *list(top.parents)[:2]):
            p.chmod(0o755)
        for d in ("qmail/control", "qmail/bin", "qmail/env", "log/qmail", "service", "spool", "lib", "tmp",
                  "services/send/log"):
            (self.var / d).mkdir(parents=True)
        for n in ("qmail-start", "qmail-send", "sendmail", "qmail-inject"):
            (self.var / "qmail/bin" / n).symlink_to(BUILD / "weir")
        shutil.chown(self.var / "log/qmail", "daemon", "daemon")
        self.control("me", "mx.test.example")
        self.control("locals", "test.example")
        self.control("rcpthosts", "test.example")
        (top / "weir.conf").write_text("")
        self.script("run", run)
        self.script("log/run", LOG)
        (self.var / "service/send").symlink_to("/var/services/send")
        self.process = None

    def script(self, name, text):
        p = self.var / "services/send" / name
        p.write_text(text)
        p.chmod(0o755)

    def start(self):
        self.process = subprocess.Popen(["unshare", "-m", "sh", "-c", NAMESPACE, "sh", self.var.parent],
                                        start_new_session=True, stdin=subprocess.DEVNULL)
        path = f"/proc/{self.process.pid}/ns/mnt"
        wait_for(lambda: os.readlink(path) != os.readlink("/proc/self/ns/mnt"), "the namespace")
        self.namespace = os.open(path, os.O_RDONLY)
        self.link = os.readlink(path)
        return self

    def inside(self, *command, input=None, check=True, name=None):
        """Run a command where /var is ours."""
        r = subprocess.run(["nsenter", f"--mount=/proc/self/fd/{self.namespace}", *map(str, command)], input=input,
                           capture_output=True, text=True, timeout=DEADLINE, pass_fds=[self.namespace])
        assert not check or r.returncode == 0, (command, r)
        return r

    def control(self, name, text):
        (self.var / "qmail/control" / name).write_text(f"{text}\n")

    def svc(self, option):
        self.inside("svc", option, "/var/service/send")

    def svstat(self):
        return self.inside("svstat", "/var/service/send").stdout

    def log(self, stamps=False):
        """tai64nlocal < current"""
        try:
            with open(self.var / "log/qmail/current", "rb") as f:
                text = subprocess.run(["tai64nlocal"], stdin=f, capture_output=True, text=True).stdout
        except FileNotFoundError:
            return ""
        return text if stamps else re.sub(r"^\S+ \S+ ", "", text, flags=re.M)

    def lines(self):
        return self.log().splitlines()

    def wait(self, line, count=1):
        """Until the log holds this line so often."""
        wait_for(lambda: self.lines().count(line) >= count, lambda: f"{line!r} x{count} in\n{self.log()[-5000:]}")

    def send(self, sender, *rcpts):
        self.inside("/var/qmail/bin/sendmail", "-f", sender, *rcpts, input="Subject: test\n\nHello.\n")

    def close(self):
        if self.process is None:
            return
        self.inside("svc", "-dx", "/var/service/send", "/var/service/send/log", check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.namespace)

    def left(self):
        """Processes of this namespace."""
        found = []
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(p / "ns/mnt") == self.link:
                    found.append(int(p.name))
        return found


@pytest.fixture
def qmail(tmp_path):
    made = []

    def make(run=SEND):
        q = Qmail(tmp_path, run)
        made.append(q)
        return q

    yield make
    for q in made:
        q.close()


def test_the_steps_of_the_manuals(qmail):
    q = qmail().start()
    q.wait("status: local 0/10 remote 0/20")
    assert re.search(r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} status: local 0/10 remote 0/20$", q.log(True), re.M)
    # The other programs read the same files, without a line in weir.conf.
    assert "\nTo: joe@mx.test.example\n" in "\n" + q.inside("/var/qmail/bin/qmail-inject", "-n",
                                                           input="To: joe\n\n").stdout
    # The files, and a restart.
    q.control("concurrencylocal", 8)
    q.svc("-t")
    q.wait("status: local 0/8 remote 0/20")
    q.control("concurrencyremote", 15)
    q.svc("-t")
    q.wait("status: local 0/8 remote 0/15")
    assert re.search(r": up \(pid \d+\) \d+ seconds", q.svstat())
    # No restart is needed, and there is no ceiling.
    for n in (120, 200, 256, 510, 2000):
        q.control("concurrencyremote", n)
        q.svc("-h")
        q.wait(f"status: local 0/8 remote 0/{n}")
    # Nonsense is named, and what was holds, until it is mended.
    q.control("concurrencylocal", "many")
    q.svc("-h")
    wait_for(lambda: re.search(r"^alert: /var/qmail/control/concurrencylocal:1: concurrency_local: "
                               r"value \"many\": not a number", q.log(), re.M), q.log)
    q.control("concurrencylocal", 9)
    q.svc("-h")
    q.wait("status: local 0/9 remote 0/2000")
    q.svc("-d")
    q.wait("status: exiting", 3)
    assert "status: local 0/9 remote 0/2000 exitasap" in q.lines()
    wait_for(lambda: ": down " in q.svstat(), q.svstat)
    # What a start finds that cannot be is said, again and again.
    q.control("concurrencyremote", "x20")
    q.svc("-u")
    wait_for(lambda: re.search(r'/concurrencyremote:1: concurrency_remote: value "x20": not a number', q.log()), q.log)
    q.control("concurrencyremote", 20)
    q.wait("status: local 0/9 remote 0/20")
    Matchup([l for l in q.lines() if "/concurrencyremote:1:" not in l])


def test_descriptors_are_the_only_bound_and_the_log_says_so(qmail):
    # What softlimit sets Weir may raise again, up to the hard limit.
    q = qmail("#!/bin/sh\nexec softlimit -c 0 prlimit --nofile=400:400 envdir /var/qmail/env sh -c "
              "'PATH=/var/qmail/bin:$PATH exec qmail-start ./Maildir/'\n")
    q.control("concurrencyremote", 2000)
    (q.var / "qmail/env/LANG").write_text("C\n")
    q.start()
    m = wait_for(lambda: re.search(r"^warning: concurrency_remote is (\d+) instead of 2000: RLIMIT_NOFILE is 400$", q.log(),
                                   re.M), q.log)
    assert 100 <= int(m.group(1)) < 2000
    q.wait(f"status: local 0/10 remote 0/{m.group(1)}")


def test_never_more_local_deliveries_than_the_file_says(qmail, system_user):
    q = qmail(SEND.replace("qmail-start", "qmail-start -o local_destination_concurrency_limit=100 "
                           "-o initial_destination_concurrency=100"))
    q.control("concurrencylocal", 8)
    home = pathlib.Path(system_user.pw_dir)
    runs = home / "runs"
    runs.mkdir()
    os.mkfifo(home / "gate")
    (home / ".qmail").write_text(f"|touch {runs}/$$; cat {home}/gate; rm {runs}/$$\n")
    for p in (runs, home / "gate", home / ".qmail"):
        shutil.chown(p, system_user.pw_name, system_user.pw_name)
    q.start()
    q.wait("status: local 0/8 remote 0/20")
    for _ in range(24):
        q.send("a@client.example", f"{system_user.pw_name}@test.example")
    q.wait("status: local 8/8 remote 0/20")
    wait_for(lambda: len(list(runs.iterdir())) == 8, lambda: f"{list(runs.iterdir())}")
    most = 0
    # Whoever opens the gate lets those in that wait at it.
    while len(re.findall(r"^delivery \d+: success: did_0\+0\+1/$", q.log(), re.M)) < 24:
        most = max(most, len(list(runs.iterdir())))
        with contextlib.suppress(OSError):
            os.close(os.open(home / "gate", os.O_WRONLY | os.O_NONBLOCK))
    q.wait("status: local 0/8 remote 0/20", 2)
    wait_for(lambda: len(re.findall(r"^end msg \d+$", q.log(), re.M)) == 24, lambda: q.log()[-3000:])
    m = Matchup(q.lines())
    assert most <= 8 and max(s["local"] for s in m.statuses) == 8
    assert len(m.messages) == 24 and all(x["over"] for x in m.messages.values())


def test_remote_deliveries_past_509_at_once_and_none_at_0(qmail):
    """More than the original could ever be made to carry; 0 holds them; ALRM tries again what waits."""
    n = 600
    waiting = []
    mx = FakeMX(lambda verb, arg, conn: "451 4.7.1 greylisted" if verb == "RCPT" and not waiting else None)
    q = qmail(SEND.replace("qmail-start", "qmail-start -o default_destination_recipient_limit=1 "
                           f"-o initial_destination_concurrency={n} -o default_destination_concurrency_limit={n}"))
    q.control("concurrencyremote", 0)
    q.control("smtproutes", f":[127.0.0.1]:{mx.port}")
    try:
        q.start()
        q.wait("status: local 0/10 remote 0/0")
        second = subprocess.Popen(
            ["nsenter", f"--mount=/proc/self/fd/{q.namespace}", "/var/qmail/bin/qmail-send"],
            stdout=subprocess.PIPE, text=True, pass_fds=[q.namespace])
        q.send("a@client.example", *(f"u{i}@far.example" for i in range(n)))
        wait_for(lambda: re.search(r"^info msg ", q.log(), re.M), q.log)
        assert mx.connections == 0
        q.control("concurrencyremote", n)
        q.svc("-h")
        wait_for(lambda: len(re.findall(r"^delivery \d+: deferral: ", q.log(), re.M)) == n, lambda: q.log()[-3000:])
        waiting.append(True)
        q.svc("-a")
        wait_for(lambda: len(re.findall(r"^delivery \d+: success: ", q.log(), re.M)) == n, lambda: q.log()[-3000:])
        m = Matchup(q.lines())
        assert max(s["remote"] for s in m.statuses) > 509
        assert len(mx.messages) == n
        assert second.communicate()[0] == "alert: cannot start: qmail-send is already running\n"
        assert second.returncode == 111
    finally:
        mx.close()


def test_a_command_as_default_delivery_and_a_logger_of_its_own(qmail, system_user):
    """The exit codes are those of a .qmail file; the log goes through the logger that qmail-start was given."""
    q = qmail("#!/bin/sh\n"
              "exec env - PATH=/var/qmail/bin:$PATH qmail-start '|dot-forward .forward\n"
              "|cat > last; echo \"said it\"; exit $(cat code)' multilog /var/log/qmail/own\n")
    (q.var / "log/qmail/own").mkdir()
    shutil.chown(q.var / "log/qmail/own", "nobody")
    home, name = pathlib.Path(system_user.pw_dir), system_user.pw_name
    current = q.var / "log/qmail/own/current"
    q.log = lambda stamps=False: current.read_text() if current.exists() else ""
    q.start()
    q.wait("status: local 0/10 remote 0/20")

    def ended(n):
        """How the n-th delivery to the user ended; root gets the bounce."""
        numbers = re.findall(rf"^starting delivery (\d+): msg \d+ to local {name}@test.example$", q.log(), re.M)
        return n < len(numbers) and re.search(rf"^delivery {numbers[n]}: (\w+): (.*)", q.log(), re.M)

    for n, (code, result) in enumerate(((111, "deferral"), (100, "failure"), (99, "success"))):
        (home / "code").write_text(str(code))
        q.send("root@test.example", f"{name}@test.example")
        m = wait_for(lambda: ended(n), q.log)
        assert m.group(1) == result, q.log()
        assert m.group(2) == "did_0+0+1/" if code == 99 else "said_it" in m.group(2)
        assert (home / "last").read_text().endswith("\nHello.\n")
        if code == 100:
            break
    Matchup(q.lines())
