"""weir-control, with services of daemontools and without."""
import os
import pathlib
import subprocess

import pytest

from harness import BUILD, DEADLINE, WEIR, Client, Weir, wait_for


def control(*words, **env):
    r = subprocess.run([BUILD / "weir-control", *map(str, words)], capture_output=True, text=True,
                       timeout=2 * DEADLINE, stdin=subprocess.DEVNULL, env=dict(os.environ, **{k: str(v) for k, v in env.items()}))
    return r.returncode, r.stdout, r.stderr


def states(pids):
    """The state letters of processes: R, S, T ..."""
    return {pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(") ", 1)[1][0] for p in pids}


def test_words():
    code, out, _ = control("help")
    assert code == 0
    for word in "start stop restart flush reload pause cont stat queue cdb help".split():
        assert f"\n  {word} " in out
    assert control()[0] == 64 and control("begin")[0] == 64 and control("stat", "now")[0] == 64


def test_a_server_of_its_own():
    with Weir(start=False) as w:
        log = w.dir / "control.log"

        def say(word, code=0):
            got = control("-c", w.conf_path, word, WEIR_LOG=log)
            assert got[0] == code, (word, got, log.read_text() if log.exists() else "")
            return got

        say("stop", 1)
        say("start")
        try:
            wait_for(lambda: "weir: ready" in log.read_text(), log.read_text)
            master = w.json("status")["pid"]
            assert "Weir is running" in say("start")[1] and w.json("status")["pid"] == master
            for word in ("flush", "doqueue", "alrm", "reload", "hup"):
                say(word)
            assert "messages in queue: 0" in say("queue")[1]
            out = say("stat")[1]
            assert f"master {master}" in out and "messages in queue but not yet preprocessed: 0" in out

            say("cont", 1)
            pids = [r["pid"] for r in w.json("status")["roles"]]
            say("pause")
            wait_for(lambda: states(pids) == {"T"}, "all of them stopped")
            assert "paused" in say("stat")[1]
            say("pause", 1)
            say("cont")
            wait_for(lambda: "T" not in states(pids), "none of them stopped")
            with Client(w.port) as c:
                c.ok("EHLO x.example")

            say("pause")
            say("restart")
            assert w.json("status")["pid"] != master
            w.write_conf(myhostname="not..ok")
            assert "weir.conf" in say("reload", 1)[2]
        finally:
            w.write_conf(myhostname="mx.test.example")
            say("stop")
        assert subprocess.run([WEIR, "status", "-c", w.conf_path], capture_output=True).returncode == 69


def test_rules_of_tcpserver(tmp_path):
    rules = tmp_path / "tcp.smtp"
    assert control("cdb", WEIR_RULES=rules)[0] == 1
    rules.write_text("127.:allow,RELAYCLIENT=\"\"\n")
    assert control("cdb", WEIR_RULES=rules) == (0, f"Reloaded {rules}.\n", "")
    assert (tmp_path / "tcp.smtp.cdb").stat().st_mode & 0o777 == 0o644
    rules.write_text("127.:maybe\n")
    assert control("cdb", WEIR_RULES=rules)[0] == 1


@pytest.mark.skipif(not pathlib.Path("/usr/bin/supervise").exists(), reason="needs daemontools")
def test_services(tmp_path):
    with Weir(start=False) as w:
        service = tmp_path / "weir"
        service.mkdir()
        (service / "run").write_text(f"#!/bin/sh\nexec {WEIR} run -c {w.conf_path} >{w.log_path} 2>&1\n")
        (service / "run").chmod(0o755)
        (service / "down").write_text("")
        env = dict(WEIR_SERVICES=service, WEIR_CONF=w.conf_path)
        assert "supervise is not running" in control("start", **env)[2]
        supervise = subprocess.Popen(["supervise", service], stdin=subprocess.DEVNULL)
        try:
            wait_for(lambda: subprocess.run(["svok", service]).returncode == 0, "supervise")
            assert control("start", **env)[0] == 0
            w.wait_log("weir: ready")
            code, out, _ = control("stat", **env)
            master = w.json("status")["pid"]
            assert code == 0 and f"weir: up (pid {master})" in out and "messages in queue: 0" in out
            pids = [r["pid"] for r in w.json("status")["roles"]]
            assert control("pause", **env)[0] == 0
            wait_for(lambda: states(pids) == {"T"}, "all of them stopped")
            assert control("cont", **env)[0] == 0
            wait_for(lambda: "T" not in states(pids), "none of them stopped")
            assert control("restart", **env)[0] == 0
            wait_for(lambda: f"master {master}," not in (s := w.weir("status", check=False).out) and "master" in s,
                     "another master")
            assert control("stop", **env)[0] == 0
            assert ": down " in control("stat", **env)[1]
        finally:
            subprocess.run(["svc", "-dkx", service])
            supervise.wait(DEADLINE)
