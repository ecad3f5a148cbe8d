#!/usr/bin/python3
"""siege: what is left of a server for a good client while strangers attack.

The server stands behind a hard limit of memory as large as its budget
(wall.py); a good client (good.c) sends to a good destination (the bench's
sink) all the time; attacks.py comes, one way after the other and all at
once.  Said at the end, for each budget: the good client's rate and 99th
percentile against undisturbed, what memory was used, and what did not come
back to where it was.  Exit 1 if the server lost, leaked, died or starved.
"""
import argparse
import collections
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system"), str(HERE.parent / "bench")]

import attacks  # noqa: E402
import tools  # noqa: E402
import wall  # noqa: E402
from harness import FAST_RETRY, Image, Weir, wait_for  # noqa: E402
from servers import pss_kib  # noqa: E402

MIB = 1 << 20
COMMANDS_BYTES = 64 * MIB  # command_memory_limit
STAGES = ("greeting", "ehlo", "mail", "rcpt", "data", "taken")
RATE_GOAL, P99_GOAL_MS = 0.70, 2000
LOAD = os.getloadavg()[0]  # before it begins


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


class Sampler(threading.Thread):
    """Proportional memory of all processes, once a second; the wall, too, is
    put around roles that came since."""

    def __init__(self, weir):
        super().__init__(daemon=True)
        self.weir = weir
        self.peak_kib = 0
        self.roles = {}
        self.failed = None
        self.over = threading.Event()
        self.start()

    def run(self):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        try:
            self._watch()
        except Exception as e:  # a wall that does not stand is a failure
            self.failed = e

    def _watch(self):
        while not self.over.wait(0.5):
            pids = self.weir.pids()
            self.weir.wall.hold(pids)
            total = 0
            for pid, name in pids.items():
                kib = pss_kib([pid])
                total += kib
                self.roles[name] = max(self.roles.get(name, 0), kib)
            self.peak_kib = max(self.peak_kib, total)

    def stop(self):
        self.over.set()
        self.join()


def descriptors(weir):
    """Role -> open descriptors.  Not those of the log's segments: the queue
    has as many as there are, and deliverers keep a bounded number."""
    count = collections.Counter()
    for pid, name in weir.pids().items():
        for fd in pathlib.Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(OSError):
                count[name] += "/queue/log/" not in os.readlink(fd)
    return dict(count)


def open_files(weir, role):
    """What its descriptors are: kind -> how many."""
    kinds = collections.Counter()
    for pid in weir.role_pids(role.removeprefix("weir-")):
        for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                kinds[re.sub(r"\d+|\[.*", "", os.readlink(fd))] += 1
    return dict(kinds)


def held(limits):
    """(name, figure) of everything that somebody holds now."""
    wanted = {"gate", "pool", "account"}
    # The one status client is who asks.
    return {f"{r['role']}/{r['index']} {r['name']}": r for r in limits["limits"]
            if r["kind"] in wanted and r["name"] != "status clients"}


class Field:
    """One budget: the server, its friends and the phases."""

    def __init__(self, budget_mib, seconds, clients, deferred, progress):
        self.budget = budget_mib * MIB
        self.budget_mib = budget_mib
        self.seconds = seconds
        self.clients = clients
        self.deferred = deferred
        self.progress = progress
        self.next = 0
        self.rows = []
        self.faults = []
        self.disk = self.weir = self.wall = None
        self.pids_wall = wall.PidsWall()
        self.stall = attacks.Stall()
        self.sink = tools.Sink(options=["-u"])

    def fault(self, text):
        self.faults.append(text)
        self.progress(f"FAULT: {text}")

    # ---- the place ----
    def build(self):
        why = Image.why_not("ext4")
        self.no_disk = why
        if not why:
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
        self.sampler = Sampler(self.weir)
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
        if self.disk:
            self.disk.close()
        self.stall.close()
        self.sink.drop()

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
        wait_for(low, "the incoming gate empties", 90, 0.25)

    # ---- before and after ----
    def snapshot(self):
        return {"limits": held(self.weir.json("limits")), "descriptors": descriptors(self.weir),
                "pss_kib": pss_kib(self.weir.pids()),
                "pss_by": {f"{n} {p}": pss_kib([p]) for p, n in self.weir.pids().items()}}

    def calm(self):
        """Wait until what was let in is gone."""
        def quiet():
            # Remote deliveries to the hop that stalls end in their own time.
            return not any(r["in_use"] for r in self.weir.json("limits")["limits"]
                           if r["kind"] == "gate" and r["name"] not in ("remote", "status clients"))
        wait_for(quiet, lambda: f"gates are empty: {self.weir.weir('status').out}", 90, 0.25)

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
                            f"{open_files(self.weir, role)}")
        grown = after["pss_kib"] - before["pss_kib"]
        if grown > self.budget // 1024 // 8:
            kept.append(f"resident: {before['pss_kib']}K -> {after['pss_kib']}K, of it "
                        + ", ".join(f"{n} {k - before['pss_by'].get(n, 0):+}K" for n, k in after["pss_by"].items()))
        return kept

    def bookkeeping(self):
        """Every message that was acknowledged arrives."""
        counts = {}

        def arrived():
            return not self.weir.queue_of("good.example")
        wait_for(arrived, "the good client's mail leaves the queue", 60, 0.5)
        counts = self.sink.stop()
        if counts["missing"] < self.next:
            self.fault(f"message {counts['missing']} was acknowledged and never arrived")
        return {"acknowledged": self.next, "arrived": counts["distinct"], "twice": counts["twice"]}


def tools_fill(weir, count):
    class Place:
        dir = weir.data
    tools.fill(Place, count, 512)


def queue_of(self, domain):
    out = self.weir("queue", "list", "--json", f"--domain={domain}", "--limit=5").out
    return [l for l in out.splitlines() if l.strip()]


Besieged.queue_of = queue_of


def besiege(budget_mib, seconds, clients, deferred, only, progress):
    """One budget, all phases; the result as an object."""
    f = Field(budget_mib, seconds, clients, deferred, progress)
    try:
        f.build()
        result = run_phases(f, only)
        f.sampler.stop()
        assert f.weir.stop(timeout=90) == 0, "exit of the server"
        sane = f.weir.sane()
        for line in sane:
            f.fault(line)
        result["faults"] = f.faults
        return result
    except BaseException:
        if f.weir:
            sys.stderr.write(f.weir.log()[-6000:] + "\n")
        raise
    finally:
        f.close()


def run_phases(f, only):
    ways = attacks.single(f.clients)
    if f.disk:
        ways += [attacks.Disk("disk"), attacks.Disk("inodes")]
    if f.pids_wall.why_not:
        f.progress(f"no attack with pids limited: {f.pids_wall.why_not}")
        ways = [w for w in ways if not isinstance(w, attacks.Pids)]
    if only:
        ways = [w for w in ways if w.name in only]
    together = attacks.at_once(f.clients)
    if not only or together.name in only:
        ways.append(together)
    # Undisturbed between the attacks, for the machine may do other things
    # too; all at once for as long as three.
    unit = f.seconds / (1.5 * len(ways) + 3)
    f.good(unit / 2)  # warm
    before = f.snapshot()
    free = [f.phase(None, unit / 2)["per_second"]]
    disturbed = []
    for w in ways:
        disturbed.append(f.phase(w, 3 * unit if w is together else unit))
        if w is not ways[-1]:
            f.settle()
            free.append(f.phase(None, unit / 2)["per_second"])
    began = time.monotonic()
    f.calm()
    calm_s = time.monotonic() - began
    free.append(f.phase(None, unit / 2)["per_second"])
    f.calm()
    # Cached connections, what waits to be given back and deliveries to the
    # hop that stalls end in their own time.
    end = time.monotonic() + 120
    kept = f.compare(before, f.snapshot())
    while kept and time.monotonic() < end:
        time.sleep(0.5)
        kept = f.compare(before, f.snapshot())
    for k in kept:
        f.fault(f"not back to base: {k}")
    peak = f.sampler.peak_kib
    if peak * 1024 >= f.budget:
        f.fault(f"{peak} KiB resident in a budget of {f.budget_mib}M")
    for i, row in enumerate(disturbed):
        row["undisturbed_per_second"] = round((free[i] + free[i + 1]) / 2, 1)
        row["share"] = round(row["per_second"] / max(row["undisturbed_per_second"], 0.1), 3)
    return {
        "budget_mib": f.budget_mib, "enforced": f.wall.enforced, "enforced_note": f.wall_note,
        "no_disk": f.no_disk, "sessions": f.sessions, "processors": os.cpu_count(), "load": LOAD,
        "priority": "strangers get what the rest leaves of them (SCHED_IDLE)" if os.sched_getscheduler(0) == os.SCHED_OTHER
        else "the server and its friends come before all others (SCHED_RR)",
        "undisturbed_per_second": round(sum(free) / len(free), 1),
        "undisturbed_p99_ms": max(r["p99_ms"] for r in f.rows if not r["attack"]), "phases": f.rows,
        "pss_peak_kib": peak, "pss_peak_by_role_kib": f.sampler.roles, "wall": f.wall.figures(),
        "calm_s": round(calm_s, 1), "not_back": kept, **f.bookkeeping(),
    }


def table(results):
    lines = []
    for r in results:
        disturbed = [p for p in r["phases"] if p["attack"]]
        lines += [
            f"memory_budget {r['budget_mib']}M, enforced: {r['enforced']}"
            + (f" ({r['enforced_note']})" if r["enforced_note"] else ""),
            f"  {r['processors']} processors for all, load {r['load']:.1f} before; {r['priority']}, "
            f"each kind sends at most 100 Mbit/s",
            f"  undisturbed: {r['undisturbed_per_second']}/s, p99 {r['undisturbed_p99_ms']} ms",
            f"  {'attack':<18}{'opened':>9}{'inside':>9}{'refused':>9}{'MB sent':>9}{'good/s':>9}{'of':>9}{'share':>8}{'p99 ms':>9}{'worst':>8}{'again':>7}"
            f"{'received/s':>12}{'server CPU':>12}",
        ]
        for p in disturbed:
            parts = p["attack"].get("parts", [p["attack"]])
            total = {k: sum(x.get(k, 0) for x in parts) for k in ("opened", "inside", "refused", "bytes")}
            lines.append(f"  {p['phase']:<18}{total['opened'] or '':>9}{total['inside'] or '':>9}{total['refused'] or '':>9}"
                         f"{round(total['bytes'] / 1e6) or '':>9}"
                         + (f"{p['per_second']:>9}{p['undisturbed_per_second']:>9}{100 * p['share']:>7.0f}%{p['p99_ms']:>9}{p['worst_ms']:>8.0f}"
                            f"{p['refused'] + p['lost']:>7}"
                            f"{p['received_per_second']:>12}{p['cpu_percent']:>11.0f}%" if p["counts"] else
                            f"   {p['messages']} taken, {p['refused']} refused for now; back {p['back_s']:.2f} s after"))
        disturbed = [p for p in disturbed if p["counts"] and p["phase"] != attacks.Busy.name]
        lines += ["", "  where the good client waits, us a message:",
                  f"  {'':<18}" + "".join(f"{n:>10}" for n in STAGES)]
        for p in [q for q in r["phases"] if q["counts"] and q["messages"]]:
            lines.append(f"  {p['phase']:<18}" + "".join(f"{p['stages_us'][n]:>10}" for n in STAGES))
        worst = min((p["share"] for p in disturbed), default=0)
        p99 = max((p["p99_ms"] for p in disturbed), default=0)
        lines += [
            f"  worst share {100 * worst:.0f} % (goal {100 * RATE_GOAL:.0f}), worst p99 {p99:.0f} ms "
            f"(goal {P99_GOAL_MS})" + ("" if worst >= RATE_GOAL and p99 < P99_GOAL_MS else "   SHORT"),
            f"  peak resident {r['pss_peak_kib'] / 1024:.1f} MiB of {r['budget_mib']}; of the wall's: "
            + (", ".join(f"{k} {v / MIB:.1f} MiB" for k, v in r["wall"].items() if v is not None) or "nothing said"),
            f"  acknowledged {r['acknowledged']}, arrived {r['arrived']}, twice {r['twice']}; calm after {r['calm_s']} s"
            + (f"; no disk attacks: {r['no_disk']}" if r["no_disk"] else ""),
        ]
        lines += [f"  FAULT: {x}" for x in r["faults"]] or ["  nothing lost, nothing leaked, nobody died"]
        lines.append("")
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("seconds", nargs="?", type=float, default=600)
    p.add_argument("--budget", action="append", type=int, help="MiB; may be given again (32, 64, 128)")
    p.add_argument("--clients", type=int, default=10000)
    p.add_argument("--deferred", type=int, default=100_000)
    p.add_argument("--only", action="append", help="only this attack")
    p.add_argument("--json", action="store_true")
    o = p.parse_args()
    budgets = o.budget or [32, 64, 128]
    results = []
    for b in budgets:
        results.append(besiege(b, o.seconds / len(budgets), o.clients, o.deferred, o.only,
                               lambda text: print(f"siege: {text}", file=sys.stderr, flush=True)))
        if not o.json:
            print(table(results[-1:]), flush=True)
    if o.json:
        print(json.dumps(results, indent=1))
    sys.exit(1 if any(r["faults"] for r in results) else 0)


if __name__ == "__main__":
    main()
