"""The lines of qmail-send, taken apart by their description alone.

parse() reads one line; Matchup joins lines to messages and deliveries, as the analysers of such logs do, and refuses
what they could not read: a delivery that nobody started, a status that does not follow, a message that is unknown.
"""
import re

SAFE = r"[!-$&-~]"                       # what is printed of foreign text: no %, nothing below 33 or above 126
NUMBER = r"(?:0|[1-9]\d*)"
LINES = {
    "new": rf"new msg (?P<msg>{NUMBER})",
    "info": rf"info msg (?P<msg>{NUMBER}): bytes (?P<bytes>{NUMBER}) from <(?P<sender>{SAFE}*)> "
            rf"qp (?P<qp>{NUMBER}) uid (?P<uid>{NUMBER})",
    "start": rf"starting delivery (?P<delivery>{NUMBER}): msg (?P<msg>{NUMBER}) "
             rf"to (?P<channel>local|remote) (?P<recipient>{SAFE}+)",
    "end": rf"delivery (?P<delivery>{NUMBER}): (?P<result>success|failure|deferral): (?P<text>{SAFE}*)",
    "mangled": rf"delivery (?P<delivery>{NUMBER}): report mangled, will defer",
    "bounce": rf"bounce msg (?P<msg>{NUMBER}) qp (?P<qp>{NUMBER})",
    "triple": rf"triple bounce: discarding bounce/(?P<msg>{NUMBER})",
    "over": rf"end msg (?P<msg>{NUMBER})",
    "status": rf"status: local (?P<local>{NUMBER})/(?P<local_max>{NUMBER}) "
              rf"remote (?P<remote>{NUMBER})/(?P<remote_max>{NUMBER})(?P<exitasap> exitasap)?",
    "exiting": r"status: exiting",
    "alert": r"alert: (?P<text>.+)",
    "warning": r"warning: (?P<text>.+)",
    # Ours: what qmail knows nothing of.
    "role": r"(?P<role>master|smtpd|queue|smtp|dns|lookup|local|bounce|pickup|weir): (?P<text>.+)",
}
PATTERNS = {kind: re.compile(p, re.ASCII) for kind, p in LINES.items()}


class Unreadable(Exception):
    pass


def parse(line):
    """(kind, {field: text})"""
    for kind, pattern in PATTERNS.items():
        m = pattern.fullmatch(line)
        if m:
            return kind, {k: v for k, v in m.groupdict().items() if v is not None}
    raise Unreadable(line)


class Matchup:
    def __init__(self, lines):
        self.messages, self.deliveries = {}, {}      # all of them, by id
        self.open = {}                               # delivery -> message, while it runs
        self.statuses, self.kinds = [], []
        self.owed = None                             # the line that a status must follow
        for line in lines:
            self.line(line)

    def fail(self, line, why):
        raise Unreadable(f"{why}: {line}")

    def message(self, f, line):
        return self.messages.get(f["msg"]) or self.fail(line, "of a message that is not there")

    def line(self, line):
        kind, f = parse(line)
        self.kinds.append(kind)
        if kind in ("role", "alert", "warning"):
            return
        if self.owed and kind != "status":
            self.fail(line, f"no status behind {self.owed!r}, but")
        self.owed = None
        getattr(self, "on_" + kind)(f, line)

    def on_new(self, f, line):
        if f["msg"] in self.messages and not self.messages[f["msg"]].get("over"):
            self.fail(line, "twice")
        self.messages[f["msg"]] = {"deliveries": []}

    def on_info(self, f, line):
        m = self.message(f, line)
        m.update(bytes=int(f["bytes"]), sender=f["sender"], qp=f["qp"], uid=int(f["uid"]))

    def on_start(self, f, line):
        if f["delivery"] in self.open:
            self.fail(line, "runs already")
        if "sender" not in self.message(f, line):
            self.fail(line, "without info")
        d = {"msg": f["msg"], "channel": f["channel"], "recipient": f["recipient"], "result": None}
        self.open[f["delivery"]] = self.deliveries[f["delivery"]] = d
        self.messages[f["msg"]]["deliveries"].append(f["delivery"])
        self.owed = line

    def on_end(self, f, line):
        d = self.open.pop(f["delivery"], None) or self.fail(line, "never started")
        d.update(result=f.get("result", "deferral"), text=f.get("text", ""))
        self.owed = line

    on_mangled = on_end

    def on_bounce(self, f, line):
        self.message(f, line)["bounce"] = f["qp"]

    def on_triple(self, f, line):
        self.message(f, line)

    def on_over(self, f, line):
        m = self.message(f, line)
        if any(d["msg"] == f["msg"] for d in self.open.values()):
            self.fail(line, "its deliveries run")
        m["over"] = True

    def on_status(self, f, line):
        s = {k: int(f[k]) for k in ("local", "local_max", "remote", "remote_max")}
        for channel in ("local", "remote"):
            if s[channel] > sum(d["channel"] == channel for d in self.open.values()):
                self.fail(line, "more than were started")
        self.statuses.append(s)

    def on_exiting(self, f, line):
        self.exiting = True
