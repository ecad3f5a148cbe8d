"""Shapes of load: how fast messages go through, until the last is there.

In each round the yardstick, Weir and Postfix take turns.  Every server is
started anew, warmed up with messages that are not counted (Postfix forks its
processes then), measured, and stopped.
"""
import time

import tools
from harness import wait_for
from report import Figure, median
from servers import PostfixServer

RELAY = "relay, a connection per message"
REUSED = "relay, connections reused"

# messages: for Weir and the yardstick.  Postfix gets a fifth: it needs as
# long for those.  goals: of the rate and of the CPU per message.
SHAPES = {
    "relay": {"what": RELAY, "unit": "/s", "args": ["-s", 50, "-m", 1], "messages": 10000,
              "goal": ("x", 8), "aim": ("x", 10), "cpu": (400, 200)},
    "reused": {"what": REUSED, "unit": "/s", "args": ["-s", 50, "-m", 0], "messages": 20000,
               "goal": ("x", 10), "aim": ("x", 15), "cpu": (250, 120)},
    "rcpts": {"what": "100 messages x 100 recipients", "unit": "recipients/s",
              "args": ["-s", 10, "-m", 0, "-r", 100], "messages": 100, "rcpts": 100,
              "goal": ("is", 10000), "aim": ("is", 30000)},
    "big": {"what": "5 MiB messages, 10 sessions", "unit": "MB/s", "args": ["-s", 10, "-m", 0, "-l", 5242880],
            "messages": 100, "bytes": 5242880, "goal": ("is", 300), "aim": ("is", 600)},
    "maildir": {"what": "Maildir of one user, synced", "unit": "/s", "args": ["-s", 50, "-m", 0],
                "messages": 5000, "box": True, "goal": ("x", 5), "aim": ("x", 10)},
    "lone": {"what": "a lone client, one message after another (alone: append + fdatasync)", "unit": "/s",
             "args": ["-s", 1, "-m", 0], "messages": 2000, "append": True, "goal": ("x alone", 0.9)},
    "lone-pipelined": {"what": "the same, MAIL RCPT DATA in one packet (alone: a sink that appends and syncs)",
                       "unit": "/s", "args": ["-s", 1, "-m", 0, "-P"], "messages": 2000, "synced": True,
                       "goal": ("x alone", 0.9)},
}
WARM = 200
# What a 4 KiB message takes in a log: body, Received field, envelope.
APPEND_BYTES = 4096 + 512


def straight(shape, place):
    """The yardstick of a shape."""
    n = shape["messages"]
    if shape.get("append"):
        return {"per_second": tools.append(place, n, APPEND_BYTES)}
    options = ["-f", place.dir / "sink.log"] if shape.get("synced") else []
    sink = tools.Sink(n * shape.get("rcpts", 1), options=options)
    try:
        l = tools.load(sink.port, *shape["args"], "-n", n)
        s = sink.result()
    finally:
        sink.drop()
    return {"per_second": n / ((s["last_ns"] - l["started_ns"]) / 1e9),
            "cpu_us": {"load": l["cpu_us_per_message"], "sink": s["cpu_us"] / n}}


def through(server_class, place, shape, warm=WARM):
    """Messages through a server until the last is at the sink or in the box."""
    n, rcpts, box = shape["messages"], shape.get("rcpts", 1), shape.get("box", False)
    sink = None if box else tools.Sink(n * rcpts, warm=warm)
    to = []
    server = server_class(place, sink.port if sink else 1, shape.get("conf"))
    try:
        if box:
            to = ["-t", f"user0@{server.box_domain}"]
        if warm:
            tools.load(server.port, "-s", 50, "-n", warm, *to)
        if box:
            wait_for(lambda: server.boxes() >= warm, "the box is warm", 60)
        elif warm:
            sink.wait_warm()
        before = server.cpu()
        l = tools.load(server.port, *shape["args"], "-n", n, *to)
        if box:
            wait_for(lambda: server.boxes() >= warm + n, lambda: f"{server.boxes()} of {n} in the box", 600, 0.005)
            ended = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        else:
            ended = sink.result()["last_ns"]
        after = server.cpu()
    finally:
        server.stop()
        if sink:
            sink.drop()
    cpu = {k: (v - before.get(k, 0)) * 1e6 / n for k, v in after.items()}
    return {"per_second": n / ((ended - l["started_ns"]) / 1e9), "accepted_per_second": l["per_second"],
            "p50_us": l["p50_us"], "p99_us": l["p99_us"], "refused": l["refused"], "lost": l["lost"],
            "cpu_us": {k: round(v, 1) for k, v in cpu.items() if v > 0},
            "cpu_us_total": round(sum(cpu.values()), 1)}


def in_unit(shape, per_second):
    if "bytes" in shape:
        return per_second * shape["bytes"] / 1e6
    return per_second * shape.get("rcpts", 1)


def by_role(results):
    """"smtpd 45, queue 40": medians of CPU microseconds per message."""
    names = sorted({k for r in results for k in r["cpu_us"]})
    return ", ".join(f"{k.removeprefix('weir-')} {median([r['cpu_us'].get(k, 0) for r in results]):.0f}"
                     for k in names)


def run(key, bench):
    shape = dict(SHAPES[key])
    if bench.messages:
        shape["messages"] = bench.messages
    rate = Figure(shape["what"], shape["unit"], shape["goal"], shape.get("aim"))
    cpu = Figure("  CPU of all roles per message", "us", costs=True)
    if "cpu" in shape:
        cpu.goal, cpu.aim = ("is", shape["cpu"][0]), ("is", shape["cpu"][1])
    results = {"alone": [], "Weir": [], "Postfix": []}
    for n in range(bench.rounds):
        bench.progress(f"{key}: round {n + 1} of {bench.rounds}")
        if not shape.get("box"):
            results["alone"].append(straight(shape, bench.place))
        for s in bench.servers:
            small = dict(shape)
            if s is PostfixServer:
                small["messages"] = max(shape["messages"] // 5, 20)
            results[s.name].append(through(s, bench.place, small))
    for who, rows in results.items():
        for r in rows:
            rate.add(who, in_unit(shape, r["per_second"]))
            if who != "alone":
                cpu.add(who, r["cpu_us_total"])
    bench.report.raw[key] = results
    bench.add(rate)
    bench.add(cpu)
    bench.explain("CPU by role: " + by_role(results["Weir"]))


def run_second(bench):
    """The same relay, made and taken by Postfix's smtp-source and smtp-sink.

    Those use more of the two cores than load and sink do, so what is left
    for a server is less: the yardstick says how much.  What must agree
    within 30 % is therefore how many times faster Weir is, and what its
    roles need for a message."""
    for key, what, reuse, count in (("relay", RELAY, False, 5000), ("reused", REUSED, True, 10000)):
        count = bench.messages or count
        rate = Figure(f"{what}, by smtp-source and smtp-sink", "/s")
        cpu = Figure("  CPU of all roles per message, then", "us", costs=True)
        ours = {s.name: [] for s in bench.servers}
        for n in range(bench.rounds):
            bench.progress(f"second opinion, {key}: round {n + 1} of {bench.rounds}")
            rate.add("alone", through_others(None, bench, count, reuse)["per_second"])
            for s in bench.servers:
                few = max(count // 5, 20) if s is PostfixServer else count
                theirs = through_others(s, bench, few, reuse)
                rate.add(s.name, theirs["per_second"])
                cpu.add(s.name, theirs["cpu_us_total"])
                ours[s.name].append(through(s, bench.place, dict(SHAPES[key], messages=few)))
        bench.add(rate)
        bench.add(cpu)
        bench.report.raw["second " + key] = {"load": ours, "smtp-source": rate.values, "cpu_us": cpu.values}
        agrees(bench, f"{what}: rate", rate.of("Weir"), median([r["per_second"] for r in ours["Weir"]]))
        agrees(bench, f"{what}: CPU per message", cpu.of("Weir"), median([r["cpu_us_total"] for r in ours["Weir"]]))
        agrees(bench, f"{what}: factor", rate.factor(), median([r["per_second"] for r in ours["Weir"]]) /
               median([r["per_second"] for r in ours["Postfix"]]))


def agrees(bench, what, theirs, ours):
    if not theirs or not ours:
        bench.note(f"second opinion, {what}: too short a run to say")
        return
    ratio = theirs / ours
    bench.note(f"second opinion, {what} with smtp-source and smtp-sink: {theirs:,.1f}, with load and sink {ours:,.1f}: "
               f"{'agrees' if 0.7 <= ratio <= 1.3 else 'DIFFERS BY MORE THAN'} within 30 % ({ratio:.2f})"
               .replace("THAN within", "THAN"))


def through_others(server_class, bench, count, reuse):
    """server_class None: straight."""
    sink = tools.OtherSink(count)
    server = server_class(bench.place, sink.port) if server_class else None
    cpu = {}
    try:
        before = server.cpu() if server else {}
        began = tools.other_source(server.port if server else sink.port, 50, count, 4096, reuse,
                                   straight=server is None)
        ended = sink.wait()
        if server:
            cpu = {k: (v - before.get(k, 0)) * 1e6 / count for k, v in server.cpu().items()}
    finally:
        if server:
            server.stop()
        sink.drop()
    return {"per_second": count / ((ended - began) / 1e9), "cpu_us_total": sum(cpu.values())}
