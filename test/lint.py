#!/usr/bin/env python3
"""House rules as a test: layers, forbidden calls, documented symbols.

Prints FILE:LINE: what is wrong.  Exit 1 if anything is.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

# A folder may include its own headers and those of the folders it names.
BASE = {"base"}
LOW = BASE | {"proto", "ev"}
MIDDLE = LOW | {"ipc", "conf", "store", "table"}
LAYERS = {
    "base": set(),
    "proto": BASE,
    "ev": BASE,
    "ipc": LOW,
    "conf": LOW,
    "store": LOW,
    "table": LOW | {"conf"},
    "role": MIDDLE,
    # A library of the light command, below src/weir alone.
    "sendmail": BASE | {"proto", "conf"},
    "weir": MIDDLE | {"role", "sendmail"},
}
PROGRAM_MAY = MIDDLE | {"role"}

FORBIDDEN = [
    (r"\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|gets|alloca)\s*\(",
     "forbidden call", None),
    (r"\b(malloc|calloc|realloc|strdup|strndup|asprintf)\s*\(",
     "allocation outside base/", {"base"}),
    (r"(?<![\w.>])(time|gettimeofday|clock_gettime)\s*\(",
     "time outside base/time", {"base"}),
]
# Files that may call what others may not, and why.
EXCEPTIONS = {
    # It is malloc for a library that knows no limit (see its head).
    "src/dns/heap.c": {"malloc", "calloc", "realloc"},
    # Set-gid: links nothing but libc, base/time included.
    "src/pickup/drop.c": {"clock_gettime"},
}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def strip_comments(text):
    def blank(m):
        return re.sub(r"[^\n]", " ", m.group(0))
    text = re.sub(r"/\*.*?\*/", blank, text, flags=re.S)
    text = re.sub(r"//[^\n]*", blank, text)
    return re.sub(r'"(\\.|[^"\\\n])*"', lambda m: '"' + " " * (len(m.group(0)) - 2) + '"', text)


def check_layers(path, text, out):
    folder = path.relative_to(SRC).parts[0]
    may = LAYERS.get(folder, PROGRAM_MAY) | {folder}
    for n, line in enumerate(text.split("\n"), 1):
        m = re.match(r'\s*#\s*include\s+"([^"/]+)/', line)
        if m and m.group(1) not in may:
            out.append(f"{path.relative_to(ROOT)}:{n}: {folder}/ includes "
                       f"{m.group(1)}/, which lies above it or beside it")
        elif re.match(r'\s*#\s*include\s+"[^/"]+"', line):
            out.append(f"{path.relative_to(ROOT)}:{n}: include relative to src/")


def check_calls(path, code, out):
    folder = path.relative_to(SRC).parts[0]
    for pattern, what, allowed in FORBIDDEN:
        if allowed and folder in allowed:
            continue
        for m in re.finditer(pattern, code):
            if m.group(1) in EXCEPTIONS.get(str(path.relative_to(ROOT)), ()):
                continue
            n = code.count("\n", 0, m.start()) + 1
            out.append(f"{path.relative_to(ROOT)}:{n}: {what}: {m.group(1)}()")


def check_documented(path, text, out):
    """Every function that a header declares has a comment in front of it,
    or stands in a group of declarations that begins with one."""
    lines = text.split("\n")
    depth = 0
    covered = False
    in_comment = False
    for n, line in enumerate(lines, 1):
        s = line.strip()
        if in_comment:
            if "*/" in s:
                in_comment = False
                covered = True
            continue
        if s.startswith("/*"):
            covered = "*/" in s
            in_comment = "*/" not in s
            continue
        if not s:
            if depth == 0:
                covered = False
            continue
        if depth == 0 and re.match(r"^(?!#|typedef|static|extern|struct \w+;|enum|})[A-Za-z].*\b\w+\(", line) \
                and not covered and "/*" not in line \
                and not s.startswith(("FRAME", "_Static_assert", "X(")):
            out.append(f"{path.relative_to(ROOT)}:{n}: no comment says what this does: {s[:60]}")
        depth += line.count("{") - line.count("}")


def main():
    out = []
    for path in sorted(SRC.rglob("*.[ch]")):
        text = path.read_text()
        code = strip_comments(text)
        check_layers(path, text, out)
        check_calls(path, code, out)
        if path.suffix == ".h":
            check_documented(path, text, out)
            if "#pragma once" not in text:
                out.append(f"{path.relative_to(ROOT)}:1: no #pragma once")
        for n, line in enumerate(text.split("\n"), 1):
            if UNFINISHED.search(line):
                out.append(f"{path.relative_to(ROOT)}:{n}: unfinished: {line.strip()[:60]}")
            if len(line.expandtabs(8)) > 80 and path.suffix == ".c":
                out.append(f"{path.relative_to(ROOT)}:{n}: longer than 80 columns")
    for folder in sorted(p for p in SRC.iterdir() if p.is_dir()):
        if any(folder.glob("*.c")) and not (folder / "README.md").exists():
            out.append(f"src/{folder.name}/: no README.md")
    print("\n".join(out) if out else "lint: clean")
    return 1 if out else 0


if __name__ == "__main__":
    sys.exit(main())
