"""What was measured, as one table: for people, for the documents, for tools.

A figure holds a list of values for each of Weir, Postfix and the yardstick,
one for each round; shown are the median and the spread.  Rates are cut and
costs are raised to what is shown: nothing looks better than it is.
"""
import json
import math
import statistics

WHO = ("Weir", "Postfix", "alone")


def median(values):
    return statistics.median(values)


class Figure:
    """what: a line of the table.  goal: (text, of) where of(figure) says
    whether it is met.  costs: less is better."""

    def __init__(self, what, unit="", goal=None, aim=None, costs=False, digits=0, note=""):
        self.what, self.unit, self.goal, self.aim = what, unit, goal, aim
        self.costs, self.digits, self.note = costs, digits, note
        self.values = {who: [] for who in WHO}

    def add(self, who, value):
        self.values[who].append(value)

    def of(self, who):
        return median(self.values[who]) if self.values[who] else None

    def factor(self):
        """How many times better than Postfix."""
        ours, theirs = self.of("Weir"), self.of("Postfix")
        if not ours or not theirs:
            return None
        return theirs / ours if self.costs else ours / theirs

    def met(self, limit):
        """None: cannot be said here."""
        if limit is None or self.of("Weir") is None:
            return None
        kind, value = limit
        if kind == "x":
            return None if self.factor() is None else self.factor() >= value
        if kind == "x alone":
            alone = self.of("alone")
            return None if alone is None else self.of("Weir") >= value * alone
        return self.of("Weir") <= value if self.costs else self.of("Weir") >= value

    def number(self, value):
        if value is None:
            return ""
        scale = 10 ** self.digits
        cut = (math.ceil(value * scale - 1e-9) if self.costs else math.floor(value * scale + 1e-9)) / scale
        return f"{cut:,.{self.digits}f}"

    def shown(self, who):
        values = self.values[who]
        if not values:
            return ""
        if len(values) == 1:
            return self.number(values[0])
        return f"{self.number(median(values))} ({self.number(min(values))}..{self.number(max(values))})"

    def limit_text(self, limit):
        if limit is None:
            return ""
        kind, value = limit
        if kind == "x":
            return f"{value:g} x"
        if kind == "x alone":
            return f"{value:g} x alone"
        return ("at most " if self.costs else "") + f"{value:,g}"

    def verdict(self):
        if self.met(self.goal) is None:
            return ""
        if not self.met(self.goal):
            return "short"
        return "aim met" if self.aim and self.met(self.aim) else "met"

    def cells(self):
        f = self.factor()
        what = self.what + (f", {self.unit}" if self.unit else "")
        return [what, self.shown("Weir"), self.shown("Postfix"),
                f"{math.floor(f * 10) / 10:.1f} x" if f else "", self.shown("alone"),
                self.limit_text(self.goal), self.limit_text(self.aim), self.verdict()]


HEAD = ["", "Weir", "Postfix", "factor", "alone", "at least", "aim", ""]


def header(facts):
    return (f"{facts['date']}; {facts['machine']}; {facts['kernel']}; {facts['file_system']}; "
            f"{facts['versions']}. Median (minimum..maximum) of {facts['rounds']} interleaved rounds; 4 KiB messages "
            f"and 50 sessions unless said. \"alone\" is the yardstick: the generator straight to the sink, "
            f"or what the line says. Load of the machine {facts['load']}.")


def fold(text, width=100):
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return "\n".join(lines + [line])


def text_table(head, rows):
    widths = [max(len(str(r[i])) for r in [head, *rows]) for i in range(len(head))]
    lines = []
    for r in [head, *rows]:
        lines.append("  ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w)
                               for i, (c, w) in enumerate(zip(r, widths))).rstrip())
    return "\n".join(lines)


def markdown_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(str, r)) + " |" for r in rows]
    return "\n".join(lines)


def used(head, rows):
    """Only the columns in which something stands."""
    keep = [i for i in range(len(head)) if i == 0 or any(r[i] for r in rows)]
    return [head[i] for i in keep], [[r[i] for i in keep] for r in rows]


class Report:
    def __init__(self, facts):
        self.facts = facts
        self.figures = []
        self.curves = []
        self.notes = []
        self.raw = {}

    def tables(self, markdown):
        table = markdown_table if markdown else text_table
        parts = [fold(header(self.facts))]
        if self.figures:
            parts.append(table(*used(HEAD, [f.cells() for f in self.figures])))
        parts += [("- " if markdown else "") + n for n in self.notes]
        for c in self.curves:
            parts.append((f"### {c.title}\n\n" if markdown else f"{c.title}\n") + table(*c.table()) +
                         "\n\n" + c.knees())
        return "\n\n".join(parts)

    def json(self):
        return json.dumps({
            "facts": self.facts,
            "figures": [{"what": f.what, "unit": f.unit, "values": f.values, "verdict": f.verdict()}
                        for f in self.figures],
            "notes": self.notes,
            "growth": [c.as_dict() for c in self.curves],
            "raw": self.raw,
        }, indent=1)

    def csv(self):
        lines = ["curve,at,who,unit,value"]
        for c in self.curves:
            for x, who, value in c.points:
                lines.append(f"{c.key},{x},{who},{c.unit},{value:.3f}")
        return "\n".join(lines) + "\n"
