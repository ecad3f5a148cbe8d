"""A crowd of slow strangers: what is left for a client of one's own.

The good client is in mynetworks, has one message after another with a
connection for each, so that it must be let in anew all the time.  Disturbed
and undisturbed measurements take turns on one server.
"""
import tools
from report import Figure

CLIENTS, ADDRESSES, WAIT_S = 5000, 1000, 10
SECONDS_EACH = 4


def run(bench):
    f = Figure(f"{CLIENTS:,} slow strangers from {ADDRESSES:,} addresses: rate of a good client, "
               "share of undisturbed", "%", ("is", 80), ("is", 98), digits=1)
    free = Figure("  its rate undisturbed", "/s")
    busy = Figure("  its rate disturbed", "/s")
    p99 = Figure("  its 99th percentile, disturbed", "ms", costs=True, digits=1)
    sink = tools.Sink()
    # Only the strangers shall be strangers; their limits stay at the default.
    server = bench.weir(bench.place, sink.port, {
        "mynetworks": "127.0.0.1/32", "smtpd_client_connection_rate_limit": None,
        "smtpd_client_message_rate_limit": None, "smtpd_client_recipient_rate_limit": None,
        "smtpd_client_connection_count_limit": None,
        # Their addresses stand for as many networks.
        "smtpd_client_network_factor": "0"})
    crowd = []
    try:
        good = ["-s", 1, "-m", 1]
        rate = tools.load(server.port, *good, "-n", 500)["per_second"]
        count = bench.messages or max(100, int(rate * SECONDS_EACH))
        # Undisturbed, disturbed, and so on; the last ends it.
        for n in range(2 * bench.rounds + 1):
            bench.progress(f"slow: {'disturbed' if n % 2 else 'undisturbed'}, {n // 2 + 1} of {bench.rounds}")
            if n % 2:
                attack = tools.Crowd(server.port, CLIENTS, ADDRESSES, WAIT_S)
            cpu = server.cpu()
            l = tools.load(server.port, *good, "-n", count)
            used = sum(server.cpu().values()) - sum(cpu.values())
            l["cpu_us"] = used * 1e6 / count
            if n % 2:
                crowd.append(attack.stop())
                busy.add("Weir", l["per_second"])
                p99.add("Weir", l["p99_us"] / 1000)
            else:
                free.add("Weir", l["per_second"])
            bench.report.raw.setdefault("slow", []).append(l)
    finally:
        server.stop()
        sink.drop()
    for n, value in enumerate(busy.values["Weir"]):
        around = free.values["Weir"][n:n + 2]
        f.add("Weir", 100 * value / (sum(around) / 2))
    for figure in (f, free, busy, p99):
        bench.add(figure)
    c = crowd[-1]
    bench.report.raw["crowd"] = crowd
    bench.explain(f"of the crowd: {c['inside']} connected at the end, {c['opened'] / c['seconds']:.0f} connections/s, "
                  f"{c['bytes'] / c['seconds']:.0f} bytes/s; CPU of the crowd itself "
                  f"{c['cpu_ms'] / c['seconds'] / 10:.1f} % of a core; a refused one is back after {WAIT_S} s")
