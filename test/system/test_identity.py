"""Started as root and as an ordinary user."""
import os
import subprocess

import pytest

from harness import NOBODY, SANITIZED, WEIR, Weir, free_port

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: identities change")


def uids(w):
    found = {}
    for pid, name in w.pids().items():
        for line in open(f"/proc/{pid}/status"):
            if line.startswith("Uid:"):
                found.setdefault(name, set()).update(map(int, line.split()[1:]))
    return found


@root_only
def test_root_without_the_package_s_users_uses_the_owner_of_the_directory():
    with Weir() as w:
        w.send("joe@example.test")
        w.wait_mails("joe")
        u = uids(w)
        for role in ("smtpd", "queue", "smtp", "dns", "lookup"):
            assert u[f"weir-{role}"] == {NOBODY}, (role, u)
        p = next((w.maildir("joe") / "new").iterdir())
        assert p.stat().st_uid == NOBODY


@root_only
def test_an_ordinary_user_runs_everything_as_himself():
    with Weir(uid=65533) as w:
        w.send("joe@example.test")
        w.wait_mails("joe")
        for name, u in uids(w).items():
            assert u == {65533}, (name, u)


@root_only
def test_no_role_can_be_traced_or_keeps_privileges():
    with Weir() as w:
        for role in ("smtpd", "queue", "smtp", "dns", "lookup"):
            pid = w.role_pids(role)[0]
            status = open(f"/proc/{pid}/status").read()
            assert "CapEff:\t0000000000000000" in status, role
            # The reports of a sanitizer need what the sandbox takes away.
            assert SANITIZED or "NoNewPrivs:\t1" in status, role


@root_only
def test_a_spool_of_another_user_is_named():
    """The users of the package came later, or the spool was copied."""
    with Weir() as w:
        w.send("joe@example.test")
        w.wait_mails("joe")
        w.stop()
        lock = w.data / "queue/lock"
        os.chown(lock, 65533, 65533)
        with subprocess.Popen([WEIR, "run", "-c", w.conf_path], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True) as p:
            line = next(x for x in p.stdout if "the queue cannot be opened" in x)
            p.terminate()
        assert (f"{lock} belongs to user id 65533, and the queue works as user id {NOBODY}; "
                f"write: chown -R {NOBODY} {w.data}/queue\n") in line
        os.chown(lock, NOBODY, NOBODY)
        w.start()
        w.send("joe@example.test")
        w.wait_mails("joe", 2)


def test_a_second_server_in_the_same_directory_is_refused(weir):
    r = subprocess.run([WEIR, "run", "-c", weir.conf_path, "-o",
                        f"smtp_listen=127.0.0.1:{free_port()}"], capture_output=True, text=True, timeout=30)
    assert r.returncode != 0 and "another server" in r.stdout + r.stderr
    weir.send("joe@example.test")


def test_a_port_that_is_taken_is_named():
    import socket
    import subprocess
    from harness import WEIR
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        with Weir({"smtp_listen": f"127.0.0.1:{port}"}, start=False) as w:
            r = subprocess.run([WEIR, "run", "-c", w.conf_path], capture_output=True, text=True, timeout=30)
            assert r.returncode != 0 and str(port) in r.stdout + r.stderr


def test_nothing_is_written_outside_the_data_root():
    with Weir() as w:
        w.send("joe@example.test")
        w.wait_mails("joe")
        top = {p.name for p in w.dir.iterdir()}
        assert top <= {"queue", "data", "mail", "weir.conf", "log.txt"}, top


def test_restarts_are_counted_and_paced():
    import os as _os
    import signal
    from harness import wait_for
    with Weir({"service_throttle_time": "1s", "fork_delay": "1s"}) as w:
        old = w.role_pids("lookup")[0]
        _os.kill(old, signal.SIGKILL)
        wait_for(lambda: [p for p in w.role_pids("lookup") if p != old], "a new lookup")
        w.send("joe@example.test")
        w.wait_mails("joe")
        out = w.weir("status").out
        line = next(l for l in out.splitlines() if "lookup" in l)
        assert "1" in line.split(), out
