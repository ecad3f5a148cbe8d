"""How cost grows: rate against one quantity at a time, and where it bends.

A knee is where a curve stops doing what it did: "full from" is the first
point with 90 % of the highest rate, "falls from" the first point behind the
highest one with less than 80 % of it.
"""
import relay
import tools
from report import median

KIB, MIB = 1024, 1048576
FULL, FALLS = 0.9, 0.8


class Curve:
    def __init__(self, key, title, of, unit="messages/s"):
        self.key, self.title, self.of, self.unit = key, title, of, unit
        self.points = []  # (x, who, value)

    def add(self, x, who, value):
        self.points.append((x, who, value))

    def line(self, who):
        """[(x, median)] in the order measured"""
        xs = list(dict.fromkeys(x for x, w, _ in self.points if w == who))
        return [(x, median([v for a, w, v in self.points if a == x and w == who])) for x in xs]

    def table(self):
        whos = list(dict.fromkeys(w for _, w, _ in self.points))
        lines = {w: dict(self.line(w)) for w in whos}
        xs = list(dict.fromkeys(x for x, _, _ in self.points))
        rows = []
        for x in xs:
            row = [shown(x)]
            for w in whos:
                values = [v for a, b, v in self.points if a == x and b == w]
                spread = f" ({min(values):,.0f}..{max(values):,.0f})" if len(values) > 1 else ""
                row.append(f"{lines[w][x]:,.0f}{spread}" if x in lines[w] else "")
            rows.append(row)
        return [self.of, *(f"{w}, {self.unit}" for w in whos)], rows

    def knee(self, who):
        line = self.line(who)
        best = max(v for _, v in line)
        at = next(i for i, (_, v) in enumerate(line) if v == best)
        full = next(x for x, v in line if v >= FULL * best)
        falls = next((x for x, v in line[at:] if v < FALLS * best), None)
        return full, falls, best

    def knees(self):
        parts = []
        for who in dict.fromkeys(w for _, w, _ in self.points):
            full, falls, best = self.knee(who)
            parts.append(f"{who}: full from {shown(full)} ({best:,.0f} {self.unit} at most), " +
                         (f"falls from {shown(falls)}" if falls is not None else "does not fall"))
        return "; ".join(parts) + "."

    def as_dict(self):
        return {"key": self.key, "title": self.title, "unit": self.unit, "points": self.points,
                "knees": {w: self.knee(w)[:2] for w in dict.fromkeys(w for _, w, _ in self.points)}}


def shown(x):
    return f"{x:,}" if isinstance(x, int) else str(x)


def each(bench, curve, points):
    """points: (x, shape, factor for the unit).  Rounds go through all of
    them, so that a slow minute of the machine does not hit one point."""
    for n in range(bench.rounds):
        for x, shape, by in points:
            bench.progress(f"growth, {curve.key} {shown(x)}: round {n + 1} of {bench.rounds}")
            if not shape.get("only"):
                curve.add(x, "alone", relay.straight(shape, bench.place)["per_second"] * by)
            got = relay.through(bench.weir, bench.place, shape)
            bench.report.raw.setdefault("growth " + curve.key, []).append({"at": x, **got})
            curve.add(x, "Weir", got["per_second"] * by)
    bench.curve(curve)


def sessions(bench):
    c = Curve("sessions", "Rate against sessions at once (connections reused)", "sessions")
    each(bench, c, [(s, {"args": ["-s", s, "-m", 0], "messages": bench.messages or max(2000, min(s * 4, 20000))}, 1)
                    for s in (1, 10, 50, 500, 5000)])


def sizes(bench):
    c = Curve("size", "Rate against the size of a message (10 sessions)", "bytes", "MB/s")
    each(bench, c, [(b, {"args": ["-s", 10, "-m", 0, "-l", b], "conf": {"message_size_limit": "0"},
                         "messages": max(10, min(3000, 200 * MIB // b))}, b / 1e6)
                    for b in (KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 5 * MIB, 20 * MIB, 50 * MIB)])


def recipients(bench):
    c = Curve("recipients", "Rate against recipients of a message (10 sessions)", "recipients", "recipients/s")
    each(bench, c, [(r, {"args": ["-s", 10, "-m", 0, "-r", r], "rcpts": r, "messages": max(20, min(3000, 20000 // r))},
                     r) for r in (1, 2, 5, 10, 50, 100, 500, 1000)])


def destinations(bench):
    """Domains routed by smtproutes, each to an address of its own."""
    c = Curve("destinations", "Rate against destinations, in turn (50 sessions)", "destinations")
    for n in range(bench.rounds):
        for d in (1, 2, 5, 10, 50, 100, 500, 1000):
            bench.progress(f"growth, destinations {d}: round {n + 1} of {bench.rounds}")
            c.add(d, "Weir", to_destinations(bench, d, bench.messages or 4000))
    bench.curve(c)


def to_destinations(bench, count, messages):
    warm = 200
    sink = tools.Sink(messages, warm, ["-a"])
    server = bench.weir(bench.place, sink.port, {"smtproutes": " ".join(
        f"d{i}.example:127.2.{i // 250}.{i % 250 + 1}:{sink.port}" for i in range(count))})
    try:
        tools.load(server.port, "-s", 50, "-n", warm, "-t", "user@d0.example")
        sink.wait_warm()
        l = tools.load(server.port, "-s", 50, "-m", 0, "-n", messages, "-d", count, "-t", "user@d%u.example")
        ended = sink.result()["last_ns"]
    finally:
        server.stop()
        sink.drop()
    return messages / ((ended - l["started_ns"]) / 1e9)


def queue(bench):
    """One server whose queue is made longer; good mail goes through it."""
    c = Curve("queue", "Rate of new mail against deferred messages in the queue (50 sessions, reused)", "deferred")
    messages = bench.messages or 5000
    sink = tools.Sink(messages, options=["-k"])
    server = bench.weir(bench.place, sink.port)
    length = 0
    try:
        for want in (0, 10000, 100000, 1000000):
            if want > bench.queue_max:
                break
            if want > length:
                server.stop()
                bench.progress(f"growth, queue: {want - length:,} messages more")
                tools.fill(server, want - length)
                length = want
                server.start()
            for n in range(bench.rounds):
                bench.progress(f"growth, queue {want:,}: round {n + 1} of {bench.rounds}")
                c.add(want, "Weir", into_running(server, sink, messages))
    finally:
        server.stop()
        sink.drop()
        server.remove()
    bench.curve(c)


def into_running(server, sink, messages):
    l = tools.load(server.port, "-s", 50, "-m", 0, "-n", messages)
    return messages / ((sink.next()["last_ns"] - l["started_ns"]) / 1e9)


CURVES = {"sessions": sessions, "size": sizes, "recipients": recipients, "destinations": destinations, "queue": queue}
