"""The table of a siege."""
import attacks

MIB = 1 << 20
STAGES = ("greeting", "ehlo", "mail", "rcpt", "data", "taken")
RATE_GOAL, P99_GOAL_MS = 0.70, 2000


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
        lines += ["", "  where the good client waits, us a message, and for which reply longest of all:",
                  f"  {'':<18}" + "".join(f"{n:>10}" for n in STAGES) + f"{'longest':>10}"]
        for p in [q for q in r["phases"] if q["counts"] and q["messages"]]:
            lines.append(f"  {p['phase']:<18}" + "".join(f"{p['stages_us'][n]:>10}" for n in STAGES)
                         + f"{p['slowest_stage']:>10}")
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
