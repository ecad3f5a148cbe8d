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
import json
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system"), str(HERE.parent / "bench")]

import attacks  # noqa: E402
import field  # noqa: E402
import report  # noqa: E402
import wall  # noqa: E402
import watch  # noqa: E402
from harness import Image  # noqa: E402

LOAD = os.getloadavg()[0]  # before it begins


def besiege(budget_mib, seconds, clients, deferred, only, progress):
    """One budget, all phases; the result as an object."""
    ways = [w for w in attacks.single(clients) + attacks.disks() + [attacks.at_once(clients)]
            if not only or w.name in only]
    no_disk = Image.why_not("ext4")
    for kind, why in ((attacks.Pids, wall.PidsWall.why_not()), (attacks.Disk, no_disk)):
        left = [w for w in ways if not (why and isinstance(w, kind))]
        if len(left) < len(ways):
            progress(f"not {', '.join(w.name for w in ways if w not in left)}: {why}")
        ways = left
    # Undisturbed between the attacks, for the machine may do other things
    # too; all at once for as long as three.
    unit = seconds / (1.5 * len(ways) + 3)
    on_disk = [w for w in ways if isinstance(w, attacks.Disk)]
    elsewhere = [w for w in ways if w not in on_disk]
    parts = [fight(field.Field(budget_mib, clients, deferred, some is on_disk, progress), some, unit)
             for some in (elsewhere, on_disk) if some]
    return dict(join(parts), no_disk=no_disk)


def fight(f, ways, unit):
    """One server from its start to its end."""
    try:
        f.build()
        result = run_phases(f, ways, unit)
        f.sampler.stop()
        assert f.weir.stop(timeout=90) == 0, "exit of the server"
        for line in f.weir.sane():
            f.fault(line)
        result["faults"] = f.faults
        return result
    except BaseException:
        if f.weir:
            sys.stderr.write(f.weir.log()[-6000:] + "\n")
        raise
    finally:
        f.close()


def join(parts):
    """The results of servers one after the other as one."""
    whole = dict(parts[0])
    for part in parts[1:]:
        for key in ("phases", "faults", "not_back"):
            whole[key] = whole[key] + part[key]
        for key in ("acknowledged", "arrived", "twice"):
            whole[key] += part[key]
        for key in ("pss_peak_kib", "calm_s"):
            whole[key] = max(whole[key], part[key])
    return whole


def run_phases(f, ways, unit):
    f.warm(unit / 2)
    before = f.snapshot()
    free = [f.phase(None, unit / 2)["per_second"]]
    disturbed = []
    for w in ways:
        disturbed.append(f.phase(w, 3 * unit if isinstance(w, attacks.Together) else unit))
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
    if kept:
        f.progress(watch.processes(f.weir))
    peak = f.sampler.peak_kib
    if peak * 1024 >= f.budget:
        f.fault(f"{peak} KiB resident in a budget of {f.budget_mib}M")
    for i, row in enumerate(disturbed):
        row["undisturbed_per_second"] = round((free[i] + free[i + 1]) / 2, 1)
        row["share"] = round(row["per_second"] / max(row["undisturbed_per_second"], 0.1), 3)
    return {
        "budget_mib": f.budget_mib, "enforced": f.wall.enforced, "enforced_note": f.wall_note,
        "sessions": f.sessions, "processors": os.cpu_count(), "load": LOAD, "priority": f.aside.said(),
        "undisturbed_per_second": round(sum(free) / len(free), 1),
        "undisturbed_p99_ms": max(r["p99_ms"] for r in f.rows if not r["attack"]), "phases": f.rows,
        "pss_peak_kib": peak, "pss_peak_by_role_kib": f.sampler.roles, "wall": f.wall.figures(),
        "calm_s": round(calm_s, 1), "not_back": kept, **f.bookkeeping(),
    }


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
            print(report.table(results[-1:]), flush=True)
    if o.json:
        print(json.dumps(results, indent=1))
    sys.exit(1 if any(r["faults"] for r in results) else 0)


if __name__ == "__main__":
    main()
