"""What the system tests share: a server of their own, peers, and waiting.

Nothing here knows Weir's insides: it starts the programs of a build folder
(WEIR_BUILD), writes weir.conf, speaks SMTP, reads log lines and mailboxes.
Nothing sleeps to wait for an event: wait_for() polls a condition and fails
with what it saw when the deadline passes.
"""
import contextlib
import errno
import functools
import json
import mmap
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD", ROOT / "build"))
WEIR = BUILD / "weir"
NOBODY = 65534
DEADLINE = float(os.environ.get("WEIR_TEST_DEADLINE", "30"))
SANITIZED = "asan" in BUILD.name
# Bounds of resident memory: a sanitizer's shadow of it counts too, and what it
# keeps of freed blocks.
MEMORY = 4 if SANITIZED else 1


def wait_for(condition, what, deadline=DEADLINE, step=0.01):
    """Poll condition() until it is true; its value is returned."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what() if callable(what) else what}")
        time.sleep(step)


def signal_taken(pid, number):
    """The process has received the signal: it does not wait for it any more."""
    bit = 1 << (number - 1)

    def pending():
        with open(f"/proc/{pid}/status") as f:
            return any(int(line.split()[1], 16) & bit for line in f
                       if line.startswith(("SigPnd:", "ShdPnd:")))
    wait_for(lambda: not pending(), f"process {pid} takes signal {number}")


def children(pid):
    """Process ids, zombies too."""
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def port_range():
    """The ports of this process: tests run beside one another, and a port that
    one found free must not be found by another."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    return 10240 + 5000 * (worker % 4), 15240 + 5000 * (worker % 4)


PORTS_GIVEN = set()


def free_port():
    """A TCP port that nobody uses.  Outgoing connections get theirs from
    32768 on, so that none takes it before the server does, or while the
    server is down.  None is given twice soon: servers may be started beside
    one another."""
    while True:
        port = random.randrange(*port_range())
        if port in PORTS_GIVEN:
            continue
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            if len(PORTS_GIVEN) > 1000:
                PORTS_GIVEN.clear()
            PORTS_GIVEN.add(port)
            return port


def dead_owner():
    """What a lock file says whose owner, of this host, was killed."""
    p = subprocess.Popen(["true"])
    p.wait()
    return f"{p.pid}:{socket.gethostname()}:{os.stat('/proc/self/ns/pid').st_ino}\n"


class Client:
    """A raw SMTP client: what is sent is exactly what is said."""

    def __init__(self, port, greet=True, source=None, timeout=DEADLINE, path=None):
        if path:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(str(path))
        else:
            self.sock = socket.create_connection(
                ("127.0.0.1", port), timeout,
                source_address=(source, 0) if source else None)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        if greet:
            self.greeting = self.reply()

    def send(self, data):
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogateescape")
        self.sock.sendall(data)

    def line(self):
        while b"\n" not in self.rest:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError(f"closed; had {self.rest!r}")
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        assert line.endswith(b"\r"), line
        return line[:-1].decode("utf-8", "backslashreplace")

    def reply(self):
        """(code, text) of one reply; lines joined by newlines."""
        lines = []
        while True:
            line = self.line()
            assert re.match(r"^\d{3}[ -]", line), line
            lines.append(line[4:])
            if line[3] == " ":
                return int(line[:3]), "\n".join(lines)

    def cmd(self, line):
        self.send(line + "\r\n")
        return self.reply()

    def ok(self, line, code=250):
        got = self.cmd(line)
        assert got[0] == code, (line, got)
        return got

    def transaction(self, sender, rcpts, body, params=""):
        """A whole transaction; the final reply."""
        if isinstance(rcpts, str):
            rcpts = [rcpts]
        self.ok(f"MAIL FROM:<{sender}>{params}")
        for r in rcpts:
            self.ok(f"RCPT TO:<{r}>")
        self.ok("DATA", 354)
        if isinstance(body, str):
            body = body.encode()
        body = body.replace(b"\r\n.", b"\r\n..")
        if body.startswith(b"."):
            body = b"." + body
        self.send(body + b"\r\n.\r\n" if not body.endswith(b"\r\n") else body + b".\r\n")
        return self.reply()

    def closed(self):
        """True when the server has closed (bytes before that are read)."""
        try:
            while True:
                more = self.sock.recv(65536)
                if not more:
                    return True
                self.rest += more
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def message(subject="test", body="Hello.\r\n", to="someone"):
    return (f"From: sender@client.example\r\nTo: {to}\r\nSubject: {subject}\r\n"
            f"Message-ID: <{subject}@client.example>\r\n\r\n{body}")


class FakeMX:
    """A next hop that follows a script.

    script(verb, argument, connection) returns a reply line, None for the
    usual one, or "close".  Every message is kept in .messages.

    lmtp: it speaks LMTP; script(".", RCPT argument, connection) is asked for
    each recipient, and a message is kept with those that it took.  path: it
    listens on a unix socket there.
    """

    def __init__(self, script=None, host="127.0.0.1", ehlo=("PIPELINING", "8BITMIME", "SIZE 0"),
                 port=None, lmtp=False, path=None):
        self.lmtp = lmtp
        self.script = script or (lambda verb, arg, conn: None)
        self.ehlo = ehlo
        self.messages = []
        self.connections = 0
        self.commands = []
        self.lock = threading.Lock()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                try:
                    outer._session(self)
                except (ConnectionError, OSError):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 2000

        class UnixServer(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            request_queue_size = 2000

        if path:
            self.server = UnixServer(str(path), Handler)
            os.chmod(path, 0o666)
            self.port = None
        else:
            self.server = Server((host, port or 0), Handler)
            self.port = self.server.server_address[1]
        self.host = host
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def _say(self, h, text):
        if text == "close":
            raise ConnectionError
        h.wfile.write(text.encode("utf-8", "surrogateescape") + b"\r\n")

    def _session(self, h):
        with self.lock:
            self.connections += 1
            conn = self.connections
        self._say(h, self.script("CONNECT", "", conn) or "220 fake.example ESMTP")
        sender, rcpts = None, []
        while True:
            raw = h.rfile.readline(100000)
            if not raw:
                return
            line = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
            verb, _, arg = line.partition(" ")
            verb = verb.upper()
            with self.lock:
                self.commands.append(line)
            custom = self.script(verb, arg, conn)
            if custom is not None:
                self._say(h, custom)
                if verb == "MAIL" and custom[0] == "2":
                    sender, rcpts = arg, []
                if verb == "RCPT" and custom[0] == "2":
                    rcpts.append(arg)
                if not (verb == "DATA" and custom[0] == "3"):
                    continue
            elif verb == ("LHLO" if self.lmtp else "EHLO"):
                lines = ["fake.example"] + list(self.ehlo)
                for i, l in enumerate(lines):
                    self._say(h, "250" + ("-" if i + 1 < len(lines) else " ") + l)
                continue
            elif verb == "MAIL":
                sender, rcpts = arg, []
                self._say(h, "250 2.1.0 ok")
                continue
            elif verb == "RCPT":
                rcpts.append(arg)
                self._say(h, "250 2.1.5 ok")
                continue
            elif verb == "QUIT":
                self._say(h, "221 2.0.0 bye")
                return
            elif verb != "DATA":
                self._say(h, "250 2.0.0 ok")
                continue
            else:
                if not rcpts:
                    self._say(h, "554 5.5.1 no recipients")
                    continue
                self._say(h, "354 go on")
            body = []
            while True:
                l = h.rfile.readline()
                if not l:
                    return
                if l == b".\r\n":
                    break
                body.append(l[1:] if l.startswith(b".") else l)
            data = b"".join(body)
            if self.lmtp:
                self._answer_each(h, sender, rcpts, data, conn)
                continue
            custom = self.script(".", data, conn)
            if custom is None or custom[0] == "2":
                with self.lock:
                    self.messages.append((sender, list(rcpts), data))
            self._say(h, custom or "250 2.0.0 taken")

    def _answer_each(self, h, sender, rcpts, data, conn):
        """The end of the data in LMTP: a reply for each recipient."""
        taken = []
        try:
            for rcpt in rcpts:
                reply = self.script(".", rcpt, conn) or "250 2.0.0 taken"
                self._say(h, reply)
                if reply[0] == "2":
                    taken.append(rcpt)
        finally:
            with self.lock:
                self.messages.append((sender, taken, data))

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class FakeDNS:
    """A name server with a table: {("name", "MX"): [...]}.

    Values: MX (preference, name); A, AAAA, PTR, CNAME text; "SERVFAIL",
    "DROP" (no answer) as the whole value.  Unknown names: NXDOMAIN.
    """

    def __init__(self, records):
        import dnslib
        self.dnslib = dnslib
        self.records = {(n.lower().rstrip("."), t): v for (n, t), v in records.items()}
        self.queries = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        d = self.dnslib
        while True:
            try:
                data, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            q = d.DNSRecord.parse(data)
            name = str(q.q.qname).rstrip(".").lower()
            kind = d.QTYPE[q.q.qtype]
            self.queries.append((name, kind))
            value = self.records.get((name, kind))
            a = q.reply()
            if value == "DROP":
                continue
            if value == "SERVFAIL":
                a.header.rcode = d.RCODE.SERVFAIL
            elif value is None:
                cname = self.records.get((name, "CNAME"))
                if cname:
                    a.add_answer(d.RR(name, d.QTYPE.CNAME, rdata=d.CNAME(cname), ttl=1))
                elif not any(n == name for n, _ in self.records):
                    a.header.rcode = d.RCODE.NXDOMAIN
            else:
                for v in value if isinstance(value, list) else [value]:
                    rdata = d.MX(v[1], v[0]) if kind == "MX" else getattr(d, kind)(v)
                    a.add_answer(d.RR(name, q.q.qtype, rdata=rdata, ttl=1))
            self.sock.sendto(a.pack(), peer)

    def close(self):
        self.sock.close()


class Weir:
    """A server in a directory of its own.

    conf: parameters beside the usual ones (None takes one away).
    uid: run the whole tree as this user (only as root).
    data: where queue, state and mailboxes lie, if not beside the rest.
    env: further variables of its environment.
    """

    def __init__(self, conf=None, directory=None, uid=None, start=True, lines=(), data=None,
                 env=None):
        self.own = directory is None
        self.env = env or {}
        self.dir = pathlib.Path(directory or tempfile.mkdtemp(prefix="weir-test-"))
        self.data = pathlib.Path(data or self.dir)
        self.uid = uid
        self.dir.chmod(0o755)
        self.owner = NOBODY if uid is None else uid
        self.box_owner = self.owner
        if uid is None and os.geteuid() == 0:
            # Installed, virtual mailboxes belong to the package's user.
            with contextlib.suppress(KeyError):
                pwd.getpwnam("weirq")
                self.box_owner = pwd.getpwnam("weir").pw_uid
        # The base of the mailboxes is never made by the server: where it is
        # missing (a file system that is not mounted) mail waits.
        (self.data / "mail").mkdir(exist_ok=True)
        if os.geteuid() == 0 and self.own:
            os.chown(self.dir, self.owner, self.owner)
            os.chown(self.data, self.owner, self.owner)
            os.chown(self.data / "mail", self.box_owner, self.box_owner)
        self.port = free_port()
        self.conf = {
            "queue_directory": self.data / "queue",
            "data_directory": self.data / "data",
            "myhostname": "mx.test.example",
            "smtp_listen": f"127.0.0.1:{self.port}",
            "mydestination": "$myhostname, localhost",
            "virtual_mailbox_domains": "example.test",
            "virtual_mailbox_base": self.data / "mail",
            "virtual_mailbox_maps": "static:%u/Maildir/",
            "postmaster_mailbox": self.data / "data/postmaster/Maildir/",
            "queue_segment_size": "4M",
            "smtpd_client_connection_rate_limit": "0",
            "smtpd_client_message_rate_limit": "0",
            "smtpd_client_recipient_rate_limit": "0",
            "smtpd_client_connection_count_limit": "0",
            "resolver_addresses": "127.0.0.1:9",
            "smtp_processes": "1",
            "smtpd_processes": "2",
        }
        if SANITIZED:
            # Our own commands in dot files have a sanitizer's shadow, too.
            self.conf["command_memory_limit"] = "0"
        self.conf.update(conf or {})
        self.lines = lines
        self.process = None
        self.log_path = self.dir / "log.txt"
        self.write_conf()
        if start:
            self.start()

    # ---- configuration ----
    @property
    def conf_path(self):
        return self.dir / "weir.conf"

    def write_conf(self, **changes):
        self.conf.update(changes)
        text = "".join(f"{k} = {v}\n" for k, v in self.conf.items() if v is not None)
        self.conf_path.write_text(text + "".join(f"{l}\n" for l in self.lines))
        self.conf_path.chmod(0o644)

    # ---- the process ----
    def _identity(self):
        if self.uid is None or os.geteuid() != 0:
            return None

        def drop():
            os.setgroups([])
            os.setgid(self.uid)
            os.setuid(self.uid)
        return drop

    def start(self, *options, ready=True):
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [WEIR, "run", "-c", self.conf_path, *options], stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=self._identity(),
            env=dict(os.environ, **self.env))
        log.close()
        self.log_mark = self.log_path.stat().st_size if not ready else 0
        if ready:
            before = self.count_log(r"weir: ready")
            self.ready_count = getattr(self, "ready_count", 0) + 1
            wait_for(lambda: self.count_log(r"weir: ready") >= self.ready_count
                     or self.process.poll() is not None, lambda: "ready:\n" + self.log())
            assert self.process.poll() is None, self.log()
            del before
        return self

    def stop(self, sig=signal.SIGTERM, timeout=DEADLINE):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("did not stop:\n" + self.log())
        self.process = None
        return code

    def pids(self):
        """pid -> program name of every process of this server."""
        if self.process is None:
            return {}
        found = {}
        for p in pathlib.Path("/proc").iterdir():
            if not p.name.isdigit():
                continue
            try:
                stat = (p / "stat").read_text()
            except OSError:
                continue
            name, rest = stat[stat.index("(") + 1:].rsplit(")", 1)
            fields = rest.split()
            if int(fields[3]) == self.process.pid and fields[0] != "Z":
                found[int(p.name)] = name
        return found

    def role_pids(self, role):
        return [pid for pid, name in self.pids().items() if name == f"weir-{role}"]

    def kill(self):
        """kill -9 of the whole tree."""
        if self.process is None:
            return
        while True:
            pids = self.pids()
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if not pids:
                break
        self.process.wait()
        self.process = None

    def hup(self):
        self.process.send_signal(signal.SIGHUP)

    def close(self):
        self.kill()
        if self.own:
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        if kind is not None:
            print("---- weir.conf\n" + self.conf_path.read_text())
            print("---- log\n" + self.log()[-20000:])
        sane = self.sane()
        self.close()
        if kind is None:
            assert not sane, sane

    def sane(self):
        """Lines that no test may leave behind."""
        return [l for l in self.log().splitlines()
                if re.search(r"AddressSanitizer|runtime error:|LeakSanitizer|assertion failed|ASSERT|bug:", l)]

    # ---- what it says ----
    def log(self):
        try:
            return self.log_path.read_text(errors="backslashreplace")
        except FileNotFoundError:
            return ""

    def in_log(self, pattern):
        """Matches in the log; a pattern that begins with an id means just that one."""
        return list(re.finditer((r"\b" if pattern[:1].isdigit() else "") + pattern, self.log(), re.M))

    def count_log(self, pattern):
        return len(self.in_log(pattern))

    def wait_log(self, pattern, deadline=DEADLINE, count=1):
        wait_for(lambda: self.count_log(pattern) >= count,
                 lambda: f"log line {pattern!r} x{count} in:\n" + self.log()[-8000:], deadline)
        return self.in_log(pattern)[-1]

    def weir(self, *args, input=None, check=True, name="weir", timeout=DEADLINE, uid=None):
        """Run a command of Weir's with this server's configuration."""
        cmd = [WEIR, *([name] if name != "weir" else []), *map(str, args)]
        at = 2 if name != "weir" else 1
        if "-c" not in args:
            cmd[at:at] = []
            cmd += ["-c", str(self.conf_path)] if name == "weir" else []
        env = dict(os.environ, WEIR_CONF=str(self.conf_path))
        pre = None
        if uid is not None and os.geteuid() == 0:
            def pre():
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
        elif self.uid is not None:
            pre = self._identity()
        r = subprocess.run(cmd, input=input, capture_output=True, env=env, timeout=timeout,
                           preexec_fn=pre)
        r.out = r.stdout.decode(errors="backslashreplace")
        r.err = r.stderr.decode(errors="backslashreplace")
        if check:
            assert r.returncode == 0, (cmd, r.returncode, r.out, r.err)
        return r

    def json(self, *args):
        return json.loads(self.weir(*args, "--json").out)

    def queue(self):
        """Messages in the queue: one object each."""
        out = self.weir("queue", "list", "--json").out
        return [json.loads(l) for l in out.splitlines() if l.strip()]

    # ---- mail ----
    def client(self, **kw):
        return Client(self.port, **kw)

    def send(self, rcpts, subject="test", sender="sender@client.example", body=None, **kw):
        """Send one message; returns the id that the server gave it."""
        with self.client() as c:
            c.ok("EHLO client.example")
            code, text = c.transaction(sender, rcpts, body or message(subject), **kw)
            assert code == 250, (code, text)
            c.cmd("QUIT")
        m = re.search(r"queued as (\d+)$", text)
        assert m, text
        return int(m.group(1))

    def maildir(self, user):
        return self.data / "mail" / user / "Maildir"

    def mails(self, user):
        """Bytes of every message in a virtual user's Maildir/new."""
        new = self.maildir(user) / "new"
        if not new.is_dir():
            return []
        return [p.read_bytes() for p in sorted(new.iterdir())]

    def wait_mails(self, user, count=1, deadline=DEADLINE):
        wait_for(lambda: len(self.mails(user)) >= count,
                 lambda: f"{count} mails of {user}, has {len(self.mails(user))}:\n" + self.log()[-8000:],
                 deadline)
        return self.mails(user)

    def wait_queue_empty(self, deadline=DEADLINE):
        wait_for(lambda: not self.queue(), lambda: f"queue empty: {self.queue()}\n{self.log()[-6000:]}",
                 deadline, step=0.05)


@functools.lru_cache(maxsize=1)
def faults_library():
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", f"{d}/faults.so",
                        pathlib.Path(__file__).with_name("faults.c")], check=True)
        return pathlib.Path(d, "faults.so").read_bytes()


class Faults:
    """What the machine does to single roles of a server, on demand.

    faults.c, preloaded: syncs that fail or lie, a clock that jumps, accept
    without descriptors, the n-th allocation that is refused.  Weir(env=faults.env); then faults.set("queue",
    sync=errno.EIO) at any time.
    """

    FIELDS = ("sync", "left", "failed", "accept", "refused", "clock_s", "alloc", "allocs")
    LIES = -1
    ROLES = ("master", "smtpd", "queue", "smtp", "local", "lookup", "dns", "bounce")

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-faults-"))
        self.dir.chmod(0o755)
        library = self.dir / "faults.so"
        library.write_bytes(faults_library())
        self.env = {"LD_PRELOAD": str(library), "WEIR_FAULTS": str(self.dir)}
        self.pages = {}
        for role in self.ROLES:
            path = self.path(role)
            path.write_bytes(bytes(8 * len(self.FIELDS)))
            path.chmod(0o666)
            with open(path, "r+b") as f:
                self.pages[role] = mmap.mmap(f.fileno(), 0)

    def path(self, role):
        return self.dir / f"weir-{role}"

    def set(self, role, **what):
        for name, value in what.items():
            struct.pack_into("=q", self.pages[role], 8 * self.FIELDS.index(name), value)

    def get(self, role, name):
        return struct.unpack_from("=q", self.pages[role], 8 * self.FIELDS.index(name))[0]

    def close(self):
        for page in self.pages.values():
            page.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Image:
    """A file system of its own, on a loop mount (ext4, xfs) or in memory
    (tmpfs); why_not() says why there can be none."""

    def __init__(self, kind, size, options=(), mkfs=()):
        self.kind = kind
        self.options = options
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"weir-{kind}-"))
        self.image = self.dir / "image"
        self.path = self.dir / "mnt"
        self.path.mkdir()
        self.dir.chmod(0o755)
        self.size = size
        if kind != "tmpfs":
            with open(self.image, "wb") as f:
                f.truncate(size)
            subprocess.run([f"mkfs.{kind}", "-q", *mkfs, self.image], check=True,
                           capture_output=True)
        try:
            self.mount()
        except BaseException:
            shutil.rmtree(self.dir)
            raise
        self.path.chmod(0o755)

    @staticmethod
    def why_not(kind):
        if os.geteuid() != 0:
            return "a mount needs root"
        if kind != "tmpfs" and not shutil.which(f"mkfs.{kind}"):
            return f"no mkfs.{kind}"
        try:
            Image(kind, (320 if kind == "xfs" else 16) << 20).close()
        except subprocess.CalledProcessError as e:
            return f"{kind} cannot be mounted here: {e.stderr.decode().strip()}"
        return None

    def mount(self):
        options = list(self.options)
        if self.kind == "tmpfs":
            what = ["-t", "tmpfs", "tmpfs"]
            options.append(f"size={self.size}")
        else:
            what = [self.image]
            options.append("loop")
        subprocess.run(["mount", "-o", ",".join(options), *what, self.path], check=True,
                       capture_output=True)

    def unmount(self):
        # A process that was killed holds it a moment longer.
        wait_for(lambda: subprocess.run(["umount", self.path], capture_output=True).returncode == 0,
                 lambda: subprocess.run(["fuser", "-vm", self.path], capture_output=True), 10, 0.05)

    def free(self):
        s = os.statvfs(self.path)
        return s.f_bavail * s.f_frsize

    def fill(self, name="filler"):
        """Others take all of it."""
        block = bytes(1 << 20)
        with open(self.path / name, "ab", buffering=0) as f:
            while len(block) >= 4096:
                try:
                    if f.write(block) < len(block):
                        raise OSError(errno.ENOSPC, "short")
                except OSError as e:
                    assert e.errno == errno.ENOSPC, e
                    block = block[:len(block) // 2]
            with contextlib.suppress(OSError):
                os.fsync(f.fileno())

    def clear(self, name="filler"):
        (self.path / name).unlink()

    def close(self):
        subprocess.run(["umount", "-l", self.path], capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def relay_conf(mx):
    """Everything that is not local goes to this fake."""
    return {"relayhost": f"[127.0.0.1]:{mx.port}"}


#: Retries within seconds, for tests that watch them.
FAST_RETRY = {
    "queue_run_delay": "1s",
    "minimal_backoff_time": "1s",
    "maximal_backoff_time": "2s",
    "transport_retry_time": "1s",
}
