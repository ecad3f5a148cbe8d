"""One server under siege, with its friends: the place of all phases."""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import time

import attacks
import tools
import wall
import watch
from harness import FAST_RETRY, Image, Weir, wait_for
from servers import pss_kib

MIB = 1 << 20
COMMANDS_BYTES = 64 * MIB  # command_memory_limit


class Besieged(Weir):
    """A server behind a wall."""

    def __init__(self, *args, **kw):
        self.wall = self.pids_wall = self.nofile = None
        super().__init__(*args, **kw)

    def _identity(self):
        drop = super()._identity()

        def enter():
            import resource
            self.wall.enter()
            self.pids_wall.enter()
            if self.nofile:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.nofile, self.nofile))
            if drop:
                drop()
        return enter

    def queue_of(self, domain):
        out = self.weir("queue", "list", "--json", f"--domain={domain}", "--limit=5").out
        return [l for l in out.splitlines() if l.strip()]


class Field:
    """One budget: the server, its friends and the phases."""

    def __init__(self, budget_mib, clients, deferred, own_disk, progress):
        """own_disk: the spool is on a small file system of its own, which
        can be filled.  It is a loop mount, which costs: a sync waits for one
        more thread of the kernel."""
        self.budget = budget_mib * MIB
        self.budget_mib = budget_mib
        self.own_disk = own_disk
        self.clients = clients
        self.deferred = deferred
        self.progress = progress
        self.next = 0
        self.rows = []
        self.faults = []
        self.disk = self.weir = self.wall = None
        self.pids_wall = wall.PidsWall()
        self.aside = wall.Aside()
        self.stall = attacks.Stall()
        self.sink = tools.Sink(options=["-u"])

    def fault(self, text):
        self.faults.append(text)
        self.progress(f"FAULT: {text}")

    # ---- the place ----
    def build(self):
        if self.own_disk:
            self.disk = Image("ext4", 2048 * MIB, mkfs=("-N", "4096"))
        conf = dict(FAST_RETRY, memory_budget=f"{self.budget_mib}M", mynetworks="127.0.0.1/32",
                    relay_domains="good.example, stall.example, junk.example",
                    transport_maps="inline:{ good.example = smtp:[127.0.0.1]:%d, "
                                   "stall.example = smtp:[127.0.0.2]:%d, far.example = smtp:[127.0.0.2]:%d, "
                                   "junk.example = discard: }" % (self.sink.port, self.stall.port, self.stall.port),
                    minimal_backoff_time="300s", maximal_backoff_time="600s", smtpd_processes=None,
                    smtp_processes=None, queue_segment_size="16M", smtp_helo_timeout="10s",
                    smtpd_client_connection_rate_limit=None, smtpd_client_message_rate_limit=None,
                    smtpd_client_recipient_rate_limit=None, smtpd_client_connection_count_limit=None,
                    # The strangers' addresses stand for as many networks.
                    smtpd_client_network_factor="0",
                    smtpd_timeout="20s", mydestination="$myhostname, localhost, command.example",
                    command_time_limit=f"{attacks.Commands.limit_s}s")
        data = None
        if self.disk:
            os.chown(self.disk.path, 65534, 65534)
            data = self.disk.path / "data"
            data.mkdir()
        self.weir = Besieged(conf, start=False, data=data)
        plan = json.loads(self.weir.weir("limits", "--plan", "--json").out)
        self.sessions = plan["concurrency_incoming"]
        self.wall, self.wall_note = wall.build(self.budget, plan, COMMANDS_BYTES)
        self.weir.wall, self.weir.pids_wall = self.wall, self.pids_wall
        attacks.Commands.write(self, False)
        self.weir.write_conf(alias_maps=f"hash:{self.weir.dir}/aliases", command_memory_limit=COMMANDS_BYTES)
        if self.deferred:
            # The spool as a server leaves it, then the long queue in it.
            self.weir.start()
            self.weir.stop()
            self.progress(f"{self.deferred} deferred messages")
            tools_fill(self.weir, self.deferred)
        self.weir.start()
        self.wall.hold(self.weir.pids())
        self.sampler = watch.Sampler(self.weir)
        self.pids = self.weir.pids()

    def restart(self, nofile):
        """Down and up again, with so many descriptors for each process."""
        assert self.weir.stop(timeout=90) == 0, "exit of the server"
        self.weir.nofile = nofile
        self.weir.start()
        self.pids = self.weir.pids()

    def close(self):
        with contextlib.suppress(AttributeError):
            self.sampler.stop()
        if self.weir:
            self.weir.close()
        if self.wall:
            self.wall.close()
        self.pids_wall.close()
        self.aside.close()
        if self.disk:
            self.disk.close()
        self.stall.close()
        self.sink.drop()

    def warm(self, seconds):
        """What is taken with the first of something and kept is the base:
        libunbound's memory comes with the first question."""
        self.good(seconds)
        self.weir.send("somebody@nobody.example")

        def asked():
            return any(r["role"] == "dns" and r["name"] == "queries" and r["high_water"]
                       for r in self.weir.json("limits")["limits"])
        self.await_(asked, "a question to the DNS", 20)

    # ---- the good client ----
    def good(self, seconds, give_up_s=60, must=True):
        r = subprocess.run([attacks.TOOLS / "good", "-s", str(seconds), "-g", str(give_up_s), "-f", str(self.next),
                            str(self.weir.port)], capture_output=True, text=True)
        if not r.stdout:
            raise AssertionError(f"good: {r.stderr}")
        g = json.loads(r.stdout)
        self.next = g["next"]
        if r.returncode != 0 and must:
            self.fault(f"the good client was not served for a minute: {r.stderr.strip()}")
        return g

    def cpu(self):
        """pid -> seconds of a processor."""
        used = {}
        for pid in self.weir.pids():
            with contextlib.suppress(OSError):
                f = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                used[pid] = (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")
        return used

    def during(self, seconds, must):
        """The good client, and what the server's processes need meanwhile."""
        before, began, there = self.cpu(), time.monotonic(), self.sink.now()["distinct"]
        row = self.good(seconds) if must else self.good(seconds, seconds, False)
        used = sum(s - before.get(pid, 0) for pid, s in self.cpu().items())
        spent = time.monotonic() - began
        row["cpu_percent"] = round(100 * used / spent, 1)
        row["received_per_second"] = round((self.sink.now()["distinct"] - there) / spent, 1)
        return row

    def phase(self, attack, seconds):
        """The good client's figures during one attack, None: undisturbed."""
        name = attack.name if attack else "undisturbed"
        self.progress(f"{self.budget_mib}M: {name}, {seconds:.0f} s")
        row = {"phase": name, "counts": getattr(attack, "rate_counts", True)}
        if attack:
            attack.start(self)
        try:
            row.update(self.during(seconds, row["counts"]))
        finally:
            row["attack"] = attack.stop(self) if attack else None
        if not row["counts"]:
            # It counts that everybody was told, and that service comes back
            # by itself.
            if row["lost"]:
                self.fault(f"{name}: {row['lost']} attempts of the good client found no answer")
            row["back_s"] = self.good(1)["first_ms"] / 1000
        if name == "idle" and self.sessions * 80 // 100 >= self.clients and row["attack"]["refused"]:
            self.fault(f"{self.clients} idle strangers fit, and {row['attack']['refused']} were refused")
        row["kernel_kills"] = self.wall.kills()
        row["pss_peak_kib"] = self.sampler.peak_kib
        if self.sampler.failed:
            raise self.sampler.failed
        if row["kernel_kills"]:
            self.fault(f"{name}: the kernel killed {row['kernel_kills']} processes at the limit")
        gone = {p: n for p, n in self.pids.items() if p not in self.weir.pids()}
        gone = {p: n for p, n in gone.items() if not re.search(r"bounce|pickup|deliver", n)}
        if gone:
            self.fault(f"{name}: died: {', '.join(sorted(gone.values()))}")
            self.pids = self.weir.pids()
        self.rows.append(row)
        return row

    def settle(self):
        """Wait until the last attack's sessions are gone; half-open ones
        need their timeout."""
        def low():
            g = next(r for r in self.weir.json("limits")["limits"] if r["name"] == "incoming")
            return g["in_use"] < g["limit"] / 4
        self.await_(low, "the incoming gate empties", 90)

    # ---- before and after ----
    def snapshot(self):
        return {"limits": watch.holdings(self.weir), "descriptors": watch.descriptors(self.weir),
                "pss_kib": pss_kib(self.weir.pids()),
                "pss_by": {f"{n} {p}": pss_kib([p]) for p, n in self.weir.pids().items()}}

    def calm(self):
        """Wait until what was let in is gone.  Strangers' mail for commands
        that was deferred would keep a worker warm for many minutes."""
        self.weir.weir("queue", "delete", "--domain=command.example", "--yes")

        def quiet():
            # Remote deliveries to the hop that stalls end in their own time.
            return not any(r["in_use"] for r in self.weir.json("limits")["limits"]
                           if r["kind"] == "gate" and r["name"] not in ("remote", "status clients"))
        self.await_(quiet, "gates are empty", 90)

    def await_(self, condition, what, deadline):
        """What the server looked like is said if it never comes."""
        wait_for(condition, lambda: f"{what}\n{self.weir.weir('status').out}\n{watch.held(self.weir)}\n"
                                    f"{watch.processes(self.weir)}", deadline, 0.25)

    def compare(self, before, after):
        """What is not back to base."""
        kept = []
        for key, r in after["limits"].items():
            base = before["limits"].get(key, {"in_use": 0})["in_use"]
            if r["kind"] == "gate" and r["in_use"] > base:
                kept.append(f"gate {key}: {base} -> {r['in_use']}")
            if r["kind"] == "pool" and r["object_bytes"] and r["role"].startswith("smtpd") and r["in_use"] > base:
                kept.append(f"pool {key}: {base} -> {r['in_use']}")
            if r["kind"] == "account" and r["in_use"] > base + MIB:
                kept.append(f"account {key}: {base >> 10}K -> {r['in_use'] >> 10}K")
        for role, n in after["descriptors"].items():
            if n > before["descriptors"].get(role, 0) + 8:
                kept.append(f"descriptors of {role}: {before['descriptors'].get(role)} -> {n}: "
                            f"{watch.open_files(self.weir, role)}")
        grown = after["pss_kib"] - before["pss_kib"]
        if grown > self.budget // 1024 // 8:
            kept.append(f"resident: {before['pss_kib']}K -> {after['pss_kib']}K, of it "
                        + ", ".join(f"{n} {k - before['pss_by'].get(n, 0):+}K" for n, k in after["pss_by"].items()))
        return kept

    def bookkeeping(self):
        """Every message that was acknowledged arrives."""
        self.await_(lambda: not self.weir.queue_of("good.example"), "the good client's mail leaves the queue", 60)
        counts = self.sink.stop()
        if counts["missing"] < self.next:
            self.fault(f"message {counts['missing']} was acknowledged and never arrived")
        return {"acknowledged": self.next, "arrived": counts["distinct"], "twice": counts["twice"]}


def tools_fill(weir, count):
    class Place:
        dir = weir.data
    tools.fill(Place, count, 512)
