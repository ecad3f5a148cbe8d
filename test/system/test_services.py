"""Services as qmail's administrators keep them: run scripts under Debian's daemontools, with our tools."""
import os
import pathlib
import re
import socket
import subprocess

import pytest

from harness import BUILD, DEADLINE, free_port, wait_for

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: services run as other users"),
    pytest.mark.skipif(not pathlib.Path("/usr/bin/supervise").exists(), reason="needs daemontools")]

SMTPD = """#!/bin/sh
echo "220 $TCPLOCALHOST ESMTP"
while read -r line; do case $line in QUIT*) echo "221 bye"; exit 0;; *) echo "250 ok";; esac; done
"""


class Service:
    """DIR/run and DIR/log/run under supervise, joined by a pipe as svscan joins them."""

    def __init__(self, folder, run, log):
        self.folder = folder
        for name, text in (("run", run), ("log/run", log)):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("#!/bin/sh\n" + text)
            path.chmod(0o755)
        read, write = os.pipe()
        self.processes = [
            subprocess.Popen(["supervise", folder], stdout=write, stdin=subprocess.DEVNULL),
            subprocess.Popen(["supervise", folder / "log"], stdin=read)]
        os.close(read)
        os.close(write)

    def svc(self, option):
        subprocess.run(["svc", option, self.folder], check=True)

    def svstat(self):
        return subprocess.run(["svstat", self.folder], capture_output=True, text=True).stdout

    def close(self):
        for f in (self.folder, self.folder / "log"):
            subprocess.run(["svc", "-dkx", f])
        for p in self.processes:
            p.wait(DEADLINE)


@pytest.fixture
def smtpd(tmp_path):
    """The service smtpd of the manuals; tmp_path is made reachable for its users."""
    for p in (tmp_path, *list(tmp_path.parents)[:2]):
        p.chmod(0o755)
    (tmp_path / "qmail-smtpd").write_text(SMTPD)
    (tmp_path / "qmail-smtpd").chmod(0o755)
    logs = tmp_path / "log/smtpd"
    logs.mkdir(parents=True)
    os.chown(logs, 1, 1)
    rules(tmp_path, '127.:allow,RELAYCLIENT=""\n:allow\n')
    port = free_port()
    s = Service(tmp_path / "smtpd", script(tmp_path, port),
                f"exec setuidgid daemon {BUILD}/multilog t n20 s1000000 {logs}\n")
    s.port, s.logs, s.top = port, logs, tmp_path
    yield s
    s.close()


def script(top, port, more=""):
    return (f"exec {BUILD}/tcpserver -v -R -l 0 -H -u 1 -g 1 -x {top}/tcp.smtp.cdb {more} 0 {port} "
            f"{top}/qmail-smtpd 2>&1\n")


def rules(top, text):
    subprocess.run([BUILD / "tcprules", "tcp.smtp.cdb", "tcp.smtp.tmp"], input=text.encode(), cwd=top, check=True)


def log(s):
    """tai64nlocal < current"""
    try:
        with open(s.logs / "current", "rb") as f:
            return subprocess.run([BUILD / "tai64nlocal"], stdin=f, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return ""


def wait_line(s, pattern, count=1):
    wait_for(lambda: len(re.findall(pattern, log(s), re.M)) >= count, lambda: f"{pattern} in\n{log(s)}")


def client(s):
    c = socket.create_connection(("127.0.0.1", s.port), DEADLINE)
    assert c.recv(100) == b"220 0 ESMTP\n"
    return c


def test_the_limit_of_incoming_connections_as_an_administrator_sets_it(smtpd):
    s = smtpd
    wait_line(s, r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} tcpserver: status: 0/40$")
    with client(s) as c:
        wait_line(s, r" tcpserver: status: 1/40$")
        c.sendall(b"QUIT\n")
        assert c.recv(100) == b"221 bye\n"
    wait_line(s, r" tcpserver: end \d+ status 0$")
    assert re.search(r" tcpserver: ok \d+ 0:127\.0\.0\.1:%d :127\.0\.0\.1::\d+$" % s.port, log(s), re.M)

    (s.folder / "run").write_text("#!/bin/sh\n" + script(s.top, s.port, "-c 20"))
    s.svc("-t")
    wait_line(s, r" tcpserver: status: 0/20$")
    assert re.search(r": up \(pid \d+\) \d+ seconds", s.svstat())
    inside = [client(s) for _ in range(20)]
    wait_line(s, r" tcpserver: status: 20/20$")
    late = socket.create_connection(("127.0.0.1", s.port), DEADLINE)
    late.settimeout(0.5)
    with pytest.raises(TimeoutError):
        late.recv(100)
    inside.pop().close()
    late.settimeout(DEADLINE)
    assert late.recv(100) == b"220 0 ESMTP\n"
    assert " status: 21/" not in log(s)
    for c in (late, *inside):
        c.close()
    wait_line(s, r" tcpserver: status: 0/20$", 2)


def test_new_rules_without_a_restart(smtpd):
    s = smtpd
    wait_line(s, r" status: 0/40$")
    client(s).close()
    rules(s.top, "127.:deny\n")
    with socket.create_connection(("127.0.0.1", s.port), DEADLINE) as c:
        assert c.recv(100) == b""
    wait_line(s, r" tcpserver: deny \d+ ")
    wait_line(s, r" tcpserver: end \d+ status 25600$")


def test_svc_a_on_the_logger_closes_the_file(smtpd):
    s = smtpd
    wait_line(s, r" status: 0/40$")
    assert (s.logs / "current").stat().st_uid == 1
    subprocess.run(["svc", "-a", s.folder / "log"], check=True)
    wait_for(lambda: len(list(s.logs.glob("@*.s"))) == 1, "an old file")


def test_supervise_starts_it_again_and_the_logger_misses_nothing(smtpd):
    s = smtpd
    wait_line(s, r" status: 0/40$")
    subprocess.run(["svc", "-t", s.folder / "log"], check=True)
    s.svc("-k")
    wait_line(s, r" status: 0/40$", 2)
    s.svc("-d")
    wait_for(lambda: ": down " in s.svstat(), "down")
