#!/usr/bin/env python3
"""Speed and size of Weir, side by side with its yardsticks.

Runs, interleaved, the load generator straight to the sink, Weir, and, where
Debian's Postfix can be unpacked (as root), Postfix, on the same file system:
a fresh ext4 image with a journal where root may mount one.  Progress goes to
standard error, one table to standard output at the end.

Shapes:
  relay, reused      4 KiB messages in and out, 50 sessions
  rcpts, big         many recipients; 5 MiB messages
  maildir            into the Maildir of one user, synced
  lone, lone-pipelined  one client, one message after another
  memory, syncs      idle, per session; fdatasync calls
  slow               5,000 clients that send a byte a second
  deferred           100,000 deferred messages: memory, restart
  second             relay and reused by smtp-source and smtp-sink
  growth             rate against sessions, size, recipients, destinations,
                     length of the queue; "growth-size" and so on for one
"""
import argparse
import os
import pathlib
import signal
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "test/bench"), str(ROOT / "test/system")]
sys.dont_write_bytecode = True

import crowd  # noqa: E402
import growth  # noqa: E402
import postfix  # noqa: E402
import relay  # noqa: E402
import report  # noqa: E402
import size  # noqa: E402
from place import Place, facts, say  # noqa: E402
from servers import PostfixServer, WeirServer  # noqa: E402

RUNS = {**{key: lambda bench, key=key: relay.run(key, bench) for key in relay.SHAPES},
        "memory": size.run_memory, "syncs": size.run_syncs, "slow": crowd.run, "deferred": size.run_deferred,
        "second": relay.run_second,
        **{"growth-" + key: run for key, run in growth.CURVES.items()}}


class Bench:
    """What every shape is given: where, how often, and where to put it."""

    weir = WeirServer

    def __init__(self, args, place, servers, rep):
        self.place, self.servers, self.report = place, servers, rep
        self.rounds, self.messages, self.queue_max = args.rounds, args.messages, args.queue_max
        self.began = time.monotonic()
        self.done = 0
        self.total = 0

    def progress(self, what):
        s = int(time.monotonic() - self.began)
        say(f"{s // 60:3d}:{s % 60:02d}  shape {self.done + 1} of {self.total}: {what}")

    def add(self, figure):
        if any(figure.values.values()):
            self.report.figures.append(figure)
            say("        " + "  ".join(c for c in figure.cells() if c))

    def curve(self, curve):
        self.report.curves.append(curve)
        say("        " + curve.knees())

    def note(self, text):
        self.report.notes.append(text)
        say("        " + text)

    def explain(self, text):
        """Belongs to the figure before."""
        self.report.figures[-1].note = text
        say("        " + text)


def choose(only):
    if not only:
        return list(RUNS)
    chosen = []
    for name in only.split(","):
        found = [k for k in RUNS if k == name or k.startswith(name + "-") and name == "growth"]
        if not found:
            raise SystemExit(f"bench: no shape {name}; there are {', '.join(RUNS)}")
        chosen += found
    return chosen


def peers(args):
    servers, versions = [WeirServer], []
    why = "not wanted" if args.no_postfix else postfix.unavailable()
    if why:
        say(f"without Postfix: {why}")
    else:
        servers.append(PostfixServer)
        versions.append(postfix.version())
    return servers, versions


def arguments():
    ap = argparse.ArgumentParser(prog="./dev bench", description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--rounds", type=int, default=3, help="times that each shape is measured (3)")
    ap.add_argument("--only", metavar="SHAPE,...", help="only these shapes")
    ap.add_argument("--messages", type=int, help="in each run, instead of each shape's own number")
    ap.add_argument("--queue-max", type=int, default=1000000, metavar="N", help="longest queue of growth-queue")
    ap.add_argument("--no-postfix", action="store_true", help="Weir and the yardsticks alone")
    ap.add_argument("--markdown", metavar="FILE", help="write the table to this file as Markdown")
    ap.add_argument("--json", metavar="FILE", help="write every value to this file")
    ap.add_argument("--csv", metavar="FILE", help="write the points of the curves to this file")
    ap.add_argument("--dir", help="run below this directory instead of a fresh image")
    return ap.parse_args()


def main():
    args = arguments()
    chosen = choose(args.only)
    if os.geteuid() != 0:
        say("not root: no file system of its own, no Postfix, no cold cache")
    # What is mounted and started is taken away also when a run is cut short.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended by a signal"))
    place = Place(args.dir)
    try:
        servers, versions = peers(args)
        if PostfixServer not in servers and "second" in chosen:
            chosen.remove("second")
        rep = report.Report(facts(place, args.rounds, versions))
        bench = Bench(args, place, servers, rep)
        bench.total = len(chosen)
        for key in chosen:
            RUNS[key](bench)
            bench.done += 1
            for path, text in ((args.json, rep.json), (args.csv, rep.csv)):
                if path:  # after each shape: a long run that breaks keeps what it had
                    pathlib.Path(path).write_text(text())
            if args.markdown:
                pathlib.Path(args.markdown).write_text(rep.tables(True) + "\n")
    finally:
        place.close()
    print(rep.tables(False))


if __name__ == "__main__":
    main()
