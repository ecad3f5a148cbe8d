"""Debian's Postfix as a yardstick: unpacked, never installed.

Needs root (its master insists), the package (apt-get download) and the users
postfix and postdrop, which are made for the time of a run.  Bound to
loopback, relays to the sink, delivers to Maildirs below its directory.
"""
import os
import pathlib
import pwd
import shutil
import subprocess

from harness import free_port, wait_for

CACHE = pathlib.Path("/var/tmp/weir-bench-postfix")
PACKAGES = ["postfix"]
made = []


def unavailable():
    """Why Postfix cannot be used here; None if it can."""
    if os.geteuid() != 0:
        return "its master must be started by root"
    if shutil.which("postfix"):
        return "a Postfix is installed on this machine; it is left alone"
    if not (CACHE / "usr/sbin/postfix").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        for again in (False, True):
            if again:
                subprocess.run(["apt-get", "update", "-q"], capture_output=True)
            r = subprocess.run(["apt-get", "download", *PACKAGES], cwd=CACHE, capture_output=True, text=True)
            debs = list(CACHE.glob("*.deb"))
            if r.returncode == 0 and debs:
                break
        if r.returncode != 0 or not debs:
            return "the package cannot be downloaded: " + r.stderr.strip()[-200:]
        for deb in debs:
            subprocess.run(["dpkg", "-x", deb, CACHE], check=True)
    missing = [l for l in subprocess.run(["ldd", CACHE / "usr/lib/postfix/sbin/master"], capture_output=True,
                                         text=True, env=environment()).stdout.splitlines() if "not found" in l]
    if missing:
        return "libraries are missing: " + ", ".join(m.split()[0] for m in missing)
    return None


def environment():
    """For its programs: their libraries are not where they look."""
    return {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LD_LIBRARY_PATH": str(CACHE / "usr/lib/postfix")}


def version():
    r = subprocess.run([CACHE / "usr/sbin/postconf", "-d", "-h", "mail_version"], capture_output=True, text=True,
                       env=environment())
    return "Postfix " + r.stdout.strip()


def users():
    for kind, name in (("group", "postdrop"), ("group", "postfix")):
        if subprocess.run(["getent", kind, name], capture_output=True).returncode:
            subprocess.run(["groupadd", "--system", name], check=True)
    try:
        pwd.getpwnam("postfix")
    except KeyError:
        subprocess.run(["useradd", "--system", "-g", "postfix", "-d", "/nonexistent", "-s", "/usr/sbin/nologin",
                        "postfix"], check=True)


class Postfix:
    def __init__(self, directory, relay_port, extra=None):
        users()
        self.dir = directory
        os.chown(directory, 0, 0)
        # The programs look for their libraries in /usr/lib/postfix.
        lib = pathlib.Path("/usr/lib/postfix")
        if not lib.exists():
            lib.symlink_to(CACHE / "usr/lib/postfix")
        self.lib = lib
        self.port = free_port()
        conf, queue, data = directory / "conf", directory / "queue", directory / "data"
        for d in (conf, queue, data):
            d.mkdir()
        box = directory / "mail"
        box.mkdir()
        uid = pwd.getpwnam("postfix")
        os.chown(data, uid.pw_uid, uid.pw_gid)
        os.chown(box, 65534, 65534)
        for f in ("postfix-files", "postfix-script", "post-install", "dynamicmaps.cf"):
            for where in ("etc/postfix", "usr/lib/postfix/sbin", "usr/share/postfix"):
                p = CACHE / where / f
                if p.exists():
                    shutil.copy(p, conf / f)
                    break
        (conf / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {queue}
command_directory = {CACHE}/usr/sbin
daemon_directory = {CACHE}/usr/lib/postfix/sbin
data_directory = {data}
shlib_directory = {lib}
meta_directory = {conf}
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.bench.example
mydestination = mx.bench.example
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
relayhost = [127.0.0.1]:{relay_port}
smtp_host_lookup = native
smtp_dns_support_level = disabled
virtual_mailbox_domains = localhost.bench.example
virtual_mailbox_base = {box}
virtual_mailbox_maps = static:user0/Maildir/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
alias_maps =
alias_database =
default_process_limit = 200
smtpd_client_connection_count_limit = 0
maillog_file = {directory}/maillog
maillog_file_prefixes = /
smtpd_peername_lookup = no
smtpd_recipient_restrictions =
smtpd_relay_restrictions = permit_mynetworks, reject
""" + "".join(f"{k} = {v}\n" for k, v in (extra or {}).items()))
        (conf / "master.cf").write_text(f"""
127.0.0.1:{self.port} inet n - n - 200 smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
""")
        self._run("set-permissions", check=False)
        self._run("start")
        wait_for(self._listening, "Postfix listens", 30)

    def _run(self, verb, check=True):
        r = subprocess.run([CACHE / "usr/sbin/postfix", "-c", self.dir / "conf", verb], capture_output=True,
                           text=True, env=environment())
        if check and r.returncode != 0:
            log = self.dir / "maillog"
            raise RuntimeError(f"postfix {verb}: {r.stderr}\n{log.read_text() if log.exists() else ''}")

    def _listening(self):
        import socket
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                return s.recv(100).startswith(b"220")
        except OSError:
            return False

    def processes(self):
        """Everything below Postfix's master."""
        pidfile = self.dir / "queue/pid/master.pid"
        master = int(pidfile.read_text().split()[0])
        found, parents = {}, {}
        tick = os.sysconf("SC_CLK_TCK")
        for p in pathlib.Path("/proc").iterdir():
            if not p.name.isdigit():
                continue
            try:
                stat = (p / "stat").read_text()
            except OSError:
                continue
            name, rest = stat[stat.index("(") + 1:].rsplit(")", 1)
            f = rest.split()
            pid = int(p.name)
            if pid == master or int(f[1]) == master:
                # Children that ended are in the master's own figures.
                own = int(f[11]) + int(f[12])
                gone = int(f[13]) + int(f[14]) if pid == master else 0
                found[pid] = (name, (own + gone) / tick)
                parents[pid] = int(f[1])
        return found

    def boxes(self):
        new = self.dir / "mail/user0/Maildir/new"
        return len(os.listdir(new)) if new.is_dir() else 0

    def stop(self):
        self._run("abort", check=False)
        wait_for(lambda: not self._listening(), "Postfix stopped", 30)
        if self.lib.is_symlink():
            self.lib.unlink()
