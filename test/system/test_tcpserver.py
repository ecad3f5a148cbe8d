"""tcpserver: every option, and each log line beside Debian's ucspi-tcp on the same connections."""
import contextlib
import os
import pathlib
import re
import socket
import struct
import subprocess
import threading
import time

import pytest

from harness import BUILD, DEADLINE as SCALE, children, free_port, wait_for

OURS, ORIGINAL = BUILD / "tcpserver", pathlib.Path("/usr/bin/tcpserver")
originals = pytest.mark.skipif(not ORIGINAL.exists(), reason="needs ucspi-tcp")
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: other identities, ports below 1024")
QUIET = ["-H", "-R", "-l", "0"]
ENV = ["sh", "-c", "env | grep -E '^(TCP|PROTO|MY_)' | sort"]


class Server:
    """tcpserver with these words; its messages in .log()"""

    def __init__(self, folder, words, program=("true",), host="127.0.0.1", binary=OURS, front=(),
                 env=None, ready=True):
        self.port, self.host = free_port(), host
        self.path = folder / f"log{self.port}"
        self.out = open(self.path, "wb")
        self.process = subprocess.Popen(
            [*front, binary, "-1", *words, host, str(self.port), *program], cwd=folder,
            stdout=subprocess.PIPE, stderr=self.out, env=env)
        if ready:
            assert self.process.stdout.readline() == f"{self.port}\n".encode(), self.log()

    def log(self):
        return self.path.read_text()

    def wait(self, text, count=1):
        wait_for(lambda: self.log().count(text) >= count, lambda: f"{text!r} in\n{self.log()}")

    def connect(self, host="127.0.0.1"):
        return socket.create_connection((host, self.port), timeout=SCALE)

    def talk(self, host="127.0.0.1"):
        """What the program sends until it closes."""
        with self.connect(host) as s:
            data = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := s.recv(65536):
                    data += piece
            return data.decode()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(SCALE)
        self.process.stdout.close()
        self.out.close()


@contextlib.contextmanager
def serve(*args, **kw):
    s = Server(*args, **kw)
    try:
        yield s
    finally:
        s.close()


def plain(text, port):
    """Without what differs from run to run."""
    text = re.sub(r"\b(pid|ok|deny|end) \d+", r"\1 PID", text.replace(str(port), "PORT"))
    text = re.sub(r"(?<=^tcpserver: )((?:ok|deny) .*):\d+$", r"\1:REMOTE", text, flags=re.M)
    return re.sub(r"(TCPREMOTEPORT)=\d+", r"\1=REMOTE", text)


def cdb(folder, text, name="r.cdb"):
    subprocess.run([BUILD / "tcprules", name, "r.tmp"], input=text.encode(), cwd=folder, check=True)


# ---- the same as the original ----

ROWS = [
    (["-v", *QUIET], ENV),
    (["-v", "-H", "-R", "-l", "lo:c%al \x07x"], ENV),
    (["-v", "-H", "-R", "-lname"], ENV),
    (["-Q", *QUIET], ["/none/program"]),
    (["-q", *QUIET], ["/none/program"]),
    (QUIET, ["/none/program"]),
    (["-v", *QUIET], ["/none/program"]),
    (["-v", *QUIET], ["no-such-program"]),
    (["-v", *QUIET], ["sh", "-c", "exit 7"]),
    (["-v", *QUIET], ["sh", "-c", "kill -9 $$"]),
    (["-v", *QUIET, "-c", "7"], ["true"]),
    (["-v", *QUIET, "-c5", "-b", "1"], ["true"]),
    (["-v", *QUIET, "-B", "220 hello\r\n"], ["echo", "behind"]),
    (["-v", *QUIET, "-x", "r.cdb"], ENV),
    (["-v", *QUIET, "-xdeny.cdb"], ENV),
    (["-v", *QUIET, "-x", "none.cdb"], ENV),
    (["-v", *QUIET, "-X", "-x", "none.cdb"], ENV),
    (["-v", *QUIET, "-x", "cut.cdb"], ENV),
    (["-v", *QUIET, "-D", "-o", "-P", "-h", "-H"], ["-c", "never seen as an option"]),
    (["-v", *QUIET], ["sh", "-c", "cat <&0 >&1; ls /proc/$$/fd"]),
]


def both(folder, words, program, **kw):
    out = []
    for binary in (ORIGINAL, OURS):
        with serve(folder, words, program, binary=binary, **kw) as s:
            first = s.talk() if "cat" not in program[-1] else half_closed(s)
            if "-v" in words:
                s.wait("status: 0/", 2)
            second = s.talk() if "cat" not in program[-1] else ""
            if "-v" in words and second is not None and "cat" not in program[-1]:
                s.wait("status: 0/", 3)
            s.close()
            out.append((s.process.returncode, plain(first, s.port), plain(second, s.port),
                        plain(s.log(), s.port)))
    return out


def half_closed(s):
    with s.connect() as c:
        c.sendall(b"over and back\n")
        c.shutdown(socket.SHUT_WR)
        data = b""
        while piece := c.recv(4096):
            data += piece
        return data.decode()


@originals
@pytest.mark.parametrize("words,program", ROWS, ids=lambda w: " ".join(w)[:40])
def test_as_the_original(tmp_path, words, program):
    cdb(tmp_path, '127.0.0.1:allow,MY_A="1",MY_B="x y",TCPREMOTEHOST="foo",MY_A="2",TCPLOCALHOST=""\n')
    cdb(tmp_path, ':deny,MY_A="x"\n', "deny.cdb")
    (tmp_path / "cut.cdb").write_bytes((tmp_path / "r.cdb").read_bytes()[:100])
    want, got = both(tmp_path, words, program)
    assert got == want


@originals
@root
@pytest.mark.parametrize("words,env", [
    (["-u", "1", "-g", "2"], None), (["-g", "2"], None), (["-u1"], None),
    (["-U"], {"PATH": os.environ["PATH"], "UID": "3", "GID": "4"})])
def test_identities_as_the_original(tmp_path, words, env):
    want, got = both(tmp_path, ["-v", *QUIET, *words], ["id"], env=env)
    assert got == want


@originals
@pytest.mark.parametrize("words", [
    ["127.0.0.1", "nosuchport", "true"], ["192.0.2.1", "2999", "true"], ["127.0.0.1", "12x", "true"]])
def test_failures_as_the_original(words):
    got, want = (subprocess.run([b, *QUIET, *words], capture_output=True, timeout=SCALE)
                 for b in (OURS, ORIGINAL))
    assert (got.returncode, got.stderr) == (want.returncode, want.stderr) and want.returncode == 111


@originals
def test_address_in_use_as_the_original(tmp_path):
    with serve(tmp_path, QUIET) as s:
        for b in (OURS, ORIGINAL):
            p = subprocess.run([b, *QUIET, "127.0.0.1", str(s.port), "true"], capture_output=True)
            assert p.returncode == 111
            assert p.stderr == b"tcpserver: fatal: unable to bind: address already used\n"


@pytest.mark.parametrize("words,text", [
    ([], "usage: tcpserver [ -1UX"), (["127.0.0.1", "1"], "usage: tcpserver [ -1UX"),
    (["-z", "0", "1", "true"], "illegal option -- z"), (["-c"], "option requires an argument -- c"),
    (["-c", "abc", "0", "1", "true"], 'fatal: -c: "abc" is not a number'),
    (["-c", "-1", "0", "1", "true"], 'fatal: -c: "-1" is not a number'),
    (["-c", "4194305", "0", "1", "true"], "not a number from 0 to 4194304"),
    (["-u", "daemon", "0", "1", "true"], 'fatal: -u: "daemon" is not a number'),
    (["-g", "4294967295", "0", "1", "true"], "not a number from 0 to 4294967294")])
def test_words_that_are_wrong(words, text):
    """The original takes some of these as 0: root's identity, or a server that serves nobody."""
    p = subprocess.run([OURS, *words], capture_output=True, timeout=SCALE)
    assert p.returncode == 100 and text in p.stderr.decode()


def test_a_port_is_not_cut_to_sixteen_bits():
    p = subprocess.run([OURS, "0", "70000", "true"], capture_output=True, timeout=SCALE)
    assert p.returncode == 111
    assert p.stderr == b"tcpserver: fatal: unable to figure out port number for 70000\n"


# ---- limits ----

def hold(s, count):
    """Clients that stay; each has read the program's first line."""
    out = []
    for _ in range(count):
        c = s.connect()
        assert c.recv(10) == b"in\n"
        out.append(c)
    return out


STAY = ["sh", "-c", "echo in; exec cat"]


@pytest.mark.parametrize("words,limit", [([], 40), (["-c", "20"], 20), (["-c", "1"], 1)])
def test_one_more_than_the_limit_waits_until_one_leaves(tmp_path, words, limit):
    with serve(tmp_path, ["-v", *QUIET, *words], STAY) as s:
        s.wait(f"tcpserver: status: 0/{limit}\n")
        inside = hold(s, limit)
        assert f"tcpserver: status: {limit}/{limit}\n" in s.log()
        late = s.connect()
        late.settimeout(0.5)
        with pytest.raises(TimeoutError):
            late.recv(10)
        assert s.log().count(" from 127.0.0.1") == limit
        inside.pop().close()
        late.settimeout(SCALE)
        assert late.recv(10) == b"in\n"
        assert f"tcpserver: status: {limit - 1}/{limit}\n" in s.log()
        assert f"status: {limit + 1}/" not in s.log()
        for c in (late, *inside):
            c.close()
        s.wait(f"status: 0/{limit}", 2)


def test_a_limit_of_none_serves_nobody(tmp_path):
    with serve(tmp_path, ["-v", *QUIET, "-c", "0"], STAY) as s:
        c = s.connect()
        c.settimeout(0.3)
        with pytest.raises(TimeoutError):
            c.recv(10)
        assert s.log() == "tcpserver: status: 0/0\n"


@pytest.mark.slow
def test_no_silent_ceiling(tmp_path):
    with serve(tmp_path, ["-v", *QUIET, "-c", "600", "-b", "700"], ["sh", "-c", "echo in; exec sleep 60"]) as s:
        inside = hold(s, 600)
        assert "tcpserver: status: 600/600\n" in s.log()
        subprocess.run(["pkill", "-P", str(s.process.pid)], check=True)
        s.wait("status: 0/600", 2)
        for c in inside:
            c.close()


def test_a_limit_for_each_address(tmp_path):
    with serve(tmp_path, ["-v", *QUIET, "-c", "10", "-C", "2"], STAY, host="0") as s:
        inside = hold(s, 2)
        with s.connect() as c:
            assert c.recv(10) == b""  # closed at once
        s.wait("tcpserver: info: deny 127.0.0.1:")
        assert re.search(r"info: deny 127\.0\.0\.1:\d+ count 2/2\n", s.log())
        # Another address is not concerned.
        other = socket.create_connection(("127.0.0.1", s.port), SCALE, ("127.0.0.2", 0))
        assert other.recv(10) == b"in\n"
        inside.pop().close()
        s.wait("end ")
        inside += hold(s, 1)
        for c in (other, *inside):
            c.close()
        s.wait("status: 0/10", 2)


def test_children_of_somebody_else_are_not_counted(tmp_path):
    """A shell that had started something and then became tcpserver."""
    front = ["sh", "-c", 'sleep 0.3 & exec "$@"', "sh"]
    with serve(tmp_path, ["-v", *QUIET], front=front) as s:
        wait_for(lambda: not children(s.process.pid), "the other child is reaped")
        s.talk()
        s.wait("status: 0/40", 2)
        assert plain(s.log(), s.port) == (
            "tcpserver: status: 0/40\ntcpserver: status: 1/40\ntcpserver: pid PID from 127.0.0.1\n"
            "tcpserver: ok PID 0:127.0.0.1:PORT :127.0.0.1::REMOTE\ntcpserver: end PID status 0\n"
            "tcpserver: status: 0/40\n")


@root
def test_no_process_to_be_had(tmp_path):
    front = ["prlimit", "--nproc=3", "--"]
    with serve(tmp_path, ["-v", *QUIET, "-u", "61234"], ["sleep", "30"], front=front) as s:
        clients = [s.connect() for _ in range(5)]
        s.wait("dropping connection, unable to fork: temporary failure")
        assert s.process.poll() is None
        subprocess.run(["pkill", "-P", str(s.process.pid)])
        s.wait("status: 0/40", 2)
        for c in clients:
            c.close()
        s.connect().close()
        s.wait(" from 127.0.0.1", 3)
        subprocess.run(["pkill", "-P", str(s.process.pid)])


def test_no_descriptor_to_be_had(tmp_path):
    """It says so once a second and goes on, and does not spin."""
    with serve(tmp_path, ["-v", *QUIET]) as s:
        s.wait("status: 0/40")
        subprocess.run(["prlimit", "--pid", str(s.process.pid), "--nofile=4:64"], check=True)
        c = s.connect()
        s.wait("unable to accept, pausing: process cannot open more files", 2)
        used = pathlib.Path(f"/proc/{s.process.pid}/stat").read_text().split()[13:15]
        assert sum(map(int, used)) < 50
        subprocess.run(["prlimit", "--pid", str(s.process.pid), "--nofile=64:64"], check=True)
        s.wait("status: 0/40", 2)
        c.close()


# ---- life ----

def test_term_leaves_the_children(tmp_path):
    with serve(tmp_path, ["-v", *QUIET], STAY) as s:
        (c,) = hold(s, 1)
        s.process.terminate()
        assert s.process.wait(SCALE) == 0
        c.sendall(b"still there\n")
        assert c.recv(100) == b"still there\n"
        c.close()


def test_signals_of_the_program_are_the_usual_ones(tmp_path):
    with serve(tmp_path, QUIET, ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]) as s:
        for line in s.talk().splitlines():
            assert int(line.split()[1], 16) & 0x15000 == 0, line  # CHLD, TERM, PIPE


def test_descriptors_that_were_closed(tmp_path):
    p = subprocess.run(["sh", "-c", f"exec {OURS} -c 3 {' '.join(QUIET)} 127.0.0.1 {free_port()} true "
                        "<&- >&- & sleep 0.3; kill $!; wait $!"], capture_output=True, timeout=SCALE)
    assert p.returncode == 0 and p.stderr == b""


# ---- rules ----

def test_rules_are_read_for_each_connection(tmp_path):
    cdb(tmp_path, ':allow,MY_N="1"\n')
    with serve(tmp_path, ["-v", *QUIET, "-x", "r.cdb"], ENV) as s:
        assert "MY_N=1\n" in s.talk()
        cdb(tmp_path, '127.:allow,MY_N="2"\n:deny\n')
        assert "MY_N=2\n" in s.talk()
        cdb(tmp_path, ":deny\n")
        assert s.talk() == ""
        s.wait("status 25600")
        (tmp_path / "r.cdb").unlink()
        assert s.talk() == ""
        s.wait("dropping connection, unable to read r.cdb: file does not exist")
        s.wait("status 28416")


def test_a_folder_is_no_rules(tmp_path):
    with serve(tmp_path, ["-v", *QUIET, "-X", "-x", "."], ENV) as s:
        assert s.talk() == ""
        s.wait("dropping connection, unable to read .: is a directory")


def test_many_variables(tmp_path):
    rule = "".join(f',MY_{i}="{"v" * 50}"' for i in range(900))
    cdb(tmp_path, f":allow{rule}\n")
    with serve(tmp_path, [*QUIET, "-x", "r.cdb"], ENV) as s:
        assert sum(line.startswith("MY_") for line in s.talk().splitlines()) == 900


# ---- IPv6 ----

def test_ipv6(tmp_path):
    cdb(tmp_path, '::1:allow,MY_N="six"\n127.:allow,MY_N="four"\n:deny\n')
    with serve(tmp_path, ["-v", *QUIET, "-x", "r.cdb"], ENV, host="::1") as s:
        text = plain(s.talk("::1"), s.port)
        assert text == ("MY_N=six\nPROTO=TCP\nTCPLOCALHOST=0\nTCPLOCALIP=::1\nTCPLOCALPORT=PORT\n"
                        "TCPREMOTEIP=::1\nTCPREMOTEPORT=REMOTE\n")
        s.wait("end ")
        assert "pid PID from ::1\ntcpserver: ok PID 0:::1:PORT :::1::REMOTE\n" in plain(s.log(), s.port)


def test_both_families_on_one_socket(tmp_path):
    """An IPv4 client is logged and ruled as one."""
    cdb(tmp_path, '::1:allow,MY_N="six"\n127.:allow,MY_N="four"\n:deny\n')
    with serve(tmp_path, ["-v", *QUIET, "-x", "r.cdb", "-C", "1"], ENV, host="::") as s:
        assert "MY_N=six\n" in s.talk("::1")
        assert "MY_N=four\n" in s.talk("127.0.0.1")
        s.wait("end ", 2)
        assert "ok PID 0:127.0.0.1:PORT :127.0.0.1::REMOTE\n" in plain(s.log(), s.port)


# ---- names ----

IN_NAMESPACE = ["unshare", "-m", "sh", "-c",
                "mount --bind hosts /etc/hosts && mount --bind resolv.conf /etc/resolv.conf && "
                'mount --bind nsswitch.conf /etc/nsswitch.conf && exec "$@"', "sh"]


def resolver(folder, hosts="", server="127.0.0.9"):
    (folder / "hosts").write_text(hosts)
    (folder / "resolv.conf").write_text(f"nameserver {server}\noptions timeout:30 attempts:2\n")
    (folder / "nsswitch.conf").write_text("hosts: files dns\n")
    return IN_NAMESPACE


class Dns:
    """PTR of 127.0.0.1 is pretender.example, whose address is another; 127.0.0.2 is honest."""

    NAMES = {"127.0.0.1": "pretender.example", "127.0.0.2": "honest.example"}
    ADDRESSES = {"pretender.example": "192.0.2.7", "honest.example": "127.0.0.2"}

    def __init__(self, silent=False):
        self.silent = silent
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.9", 53))
        self.socket.settimeout(0.2)
        self.closing = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        from dnslib import A, DNSRecord, PTR, QTYPE, RR
        with contextlib.suppress(OSError):
            while not self.closing:
                try:
                    data, who = self.socket.recvfrom(4096)
                except TimeoutError:
                    continue
                if self.silent:
                    continue
                q = DNSRecord.parse(data)
                answer, name = q.reply(), str(q.q.qname).rstrip(".")
                ip = ".".join(reversed(name.split(".")[:4]))
                if q.q.qtype == QTYPE.PTR and ip in self.NAMES:
                    answer.add_answer(RR(q.q.qname, QTYPE.PTR, ttl=1, rdata=PTR(self.NAMES[ip])))
                elif q.q.qtype == QTYPE.A and name in self.ADDRESSES:
                    answer.add_answer(RR(q.q.qname, QTYPE.A, ttl=1, rdata=A(self.ADDRESSES[name])))
                self.socket.sendto(answer.pack(), who)

    def close(self):
        self.closing = True
        self.thread.join()
        self.socket.close()


@pytest.fixture
def dns():
    d = Dns()
    yield d
    d.close()


def from_address(s, ip):
    with socket.create_connection(("127.0.0.1", s.port), SCALE, (ip, 0)) as c:
        data = b""
        while piece := c.recv(4096):
            data += piece
        return data.decode()


@root
def test_names(tmp_path, dns):
    front = resolver(tmp_path)
    cdb(tmp_path, '=honest.example:allow,MY_N="name"\n=.example:allow,MY_N="end"\n:deny\n')
    with serve(tmp_path, ["-v", "-R", "-x", "r.cdb"], ENV, front=front, host="0") as s:
        text = from_address(s, "127.0.0.2")
        assert "TCPREMOTEHOST=honest.example\n" in text and "MY_N=name\n" in text
        assert "TCPLOCALHOST=pretender.example\n" in text
        assert "MY_N=end\n" in from_address(s, "127.0.0.1")
        assert from_address(s, "127.0.0.3") == ""
        assert " honest.example:127.0.0.2::" in s.log()
    with serve(tmp_path, ["-v", "-R", "-p", "-l", "here"], ENV, front=front, host="0") as s:
        assert "TCPREMOTEHOST=honest.example\n" in from_address(s, "127.0.0.2")
        text = from_address(s, "127.0.0.1")
        assert "TCPREMOTEHOST" not in text and "TCPLOCALHOST=here\n" in text


@root
def test_a_name_server_that_is_silent_costs_the_time_of_t(tmp_path):
    d = Dns(silent=True)
    try:
        with serve(tmp_path, ["-v", "-R", "-p", "-t", "1"], ENV, front=resolver(tmp_path)) as s:
            begin = time.monotonic()
            text = s.talk()
            assert 0.9 < time.monotonic() - begin < SCALE
            assert "TCPREMOTEIP=127.0.0.1\n" in text and "HOST" not in text
            s.wait("status: 0/40", 2)
    finally:
        d.close()


# ---- ident ----

class Identd:
    """Answers with these bytes; None: never."""

    def __init__(self, answer):
        self.answer, self.asked = answer, b""
        self.listener = socket.create_server(("127.0.0.1", 113))
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        kept = []
        with contextlib.suppress(OSError):
            while True:
                c, _ = self.listener.accept()
                kept.append(c)
                self.asked = c.recv(100)
                if self.answer is not None:
                    for i in range(len(self.answer)):  # byte by byte
                        c.sendall(self.answer[i:i + 1])
                    c.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self.listener.close()


@originals
@root
@pytest.mark.parametrize("answer", [
    b"1 , 2 : USERID : UNIX : joe\r\n", b"1,2:USERID:UNIX,US-ASCII: j o:e \r\n", b"1 , 2 : ERROR : NO-USER\r\n",
    b"", b"1 , 2 : USERID : UNIX : cut", b"a:b:c:%\x01\xff\n", b":::\n", b"x" * 600 + b":::y\n"])
def test_ident_as_the_original(tmp_path, answer):
    d = Identd(answer)
    try:
        want, got = both(tmp_path, ["-v", "-H", "-l", "0", "-t", "5"], ENV)
        assert got == want
        assert re.fullmatch(rb"\d+ , \d+\r\n", d.asked)
    finally:
        d.close()


@root
def test_an_ident_server_that_is_silent_costs_the_time_of_t(tmp_path):
    d = Identd(None)
    try:
        with serve(tmp_path, ["-v", "-H", "-l", "0", "-t", "1"], ENV) as s:
            begin = time.monotonic()
            assert "TCPREMOTEINFO" not in s.talk()
            assert 0.9 < time.monotonic() - begin < SCALE
    finally:
        d.close()


@root
def test_rules_by_ident(tmp_path):
    d = Identd(b"1,2:USERID:UNIX:joe\r\n")
    try:
        cdb(tmp_path, 'joe@127.0.0.1:allow,MY_N="joe"\n:deny\n')
        with serve(tmp_path, ["-v", "-H", "-l", "0", "-x", "r.cdb"], ENV) as s:
            text = s.talk()
            assert "MY_N=joe\n" in text and "TCPREMOTEINFO=joe\n" in text
            s.wait("status: 0/40", 2)
            assert re.search(r" :127\.0\.0\.1:joe:\d+\n", s.log())
    finally:
        d.close()


# ---- options of the socket ----

def option(level, name):
    return ["/usr/bin/python3", "-c", "import socket; s = socket.socket(fileno=0); "
            f"print(s.getsockopt(socket.{level}, socket.{name}))"]


def test_delay(tmp_path):
    for words, want in (([], "0\n"), (["-D"], "1\n"), (["-D", "-d"], "0\n")):
        with serve(tmp_path, [*QUIET, *words], option("IPPROTO_TCP", "TCP_NODELAY")) as s:
            assert s.talk() == want


def test_backlog(tmp_path):
    with serve(tmp_path, [*QUIET, "-b", "7"]) as s:
        out = subprocess.run(["ss", "-Hltn", f"sport = :{s.port}"], capture_output=True, text=True).stdout
        assert out.split()[2] == "7"


def test_the_program_gets_the_socket_itself(tmp_path):
    linger = struct.pack("ii", 1, 0)
    with serve(tmp_path, ["-v", *QUIET], option("SOL_SOCKET", "SO_TYPE")) as s:
        assert s.talk() == "1\n"
        # A client that is gone before it is served.
        for _ in range(20):
            c = s.connect()
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            c.close()
        assert s.talk() == "1\n"
