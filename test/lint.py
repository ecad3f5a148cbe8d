#!/usr/bin/env python3
"""House rules as a test: layers, forbidden calls, documented symbols,
parameters that are read, documents that name what is there.

Prints FILE:LINE: what is wrong.  Exit 1 if anything is.
"""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

# A folder may include its own headers and those of the folders it names.
BASE = {"base"}
LOW = BASE | {"proto", "ev"}
MIDDLE = LOW | {"ipc", "conf", "store", "table", "alias"}
LAYERS = {
    "base": set(),
    "proto": BASE,
    "ev": BASE,
    "ipc": LOW,
    "conf": LOW | {"alias"},
    "store": LOW,
    "table": LOW | {"conf", "alias"},
    # Pure, as proto.
    "alias": BASE | {"proto"},
    "role": MIDDLE,
    # A library of the light command, below src/weir alone.
    "sendmail": BASE | {"proto", "conf", "alias"},
    # Likewise; it talks to the server as sendmail does.
    "usercmd": BASE | {"proto", "conf", "alias", "sendmail"},
    "weir": MIDDLE | {"role", "sendmail", "usercmd"},
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


# Parameters that no code reads by their name, and why.
NOT_READ = {
    "mydomain": "other values name it: $mydomain",
    "control_directory": "read before there is a configuration",
}


def check_parameters(out):
    """A parameter that nothing reads promises what is not there."""
    defs = SRC / "conf" / "params.def"
    code = "\n".join(strip_comments(p.read_text()) for p in SRC.rglob("*.[ch]"))
    for n, line in enumerate(defs.read_text().split("\n"), 1):
        m = re.match(r"(TIME|SIZE|INT|BOOL|STR|ENUM|LIST)\((\w+),", line)
        if not m or m.group(2) in NOT_READ:
            continue
        member = m.group(2) + {"TIME": "_ms", "SIZE": "_bytes"}.get(m.group(1), "")
        if not re.search(rf"(->|\.){member}\b", code):
            out.append(f"{defs.relative_to(ROOT)}:{n}: nothing reads {m.group(2)}")


def check_documents(out):
    """Files that a document names are there; the README of a folder names
    every file of it."""
    documents = [*ROOT.glob("*.md"), *(ROOT / "doc").rglob("*.md"), *SRC.glob("*/README.md")]
    for path in sorted(documents):
        for n, line in enumerate(path.read_text().split("\n"), 1):
            for link in re.findall(r"\]\(([^)#:]+)\)", line):
                if not (path.parent / link).exists():
                    out.append(f"{path.relative_to(ROOT)}:{n}: no such file: {link}")
            for name in re.findall(r"(?<![\w/.<*{-])(?:src|test|doc|pkg)/[\w./*-]+", line):
                name = name.rstrip(".")
                if not any(ROOT.glob(name)) and not any(ROOT.glob(name + ".*")):
                    out.append(f"{path.relative_to(ROOT)}:{n}: no such file: {name}")
    for readme in sorted(SRC.glob("*/README.md")):
        words = set(re.findall(r"\w+", readme.read_text()))
        for f in sorted(readme.parent.iterdir()):
            if f.suffix in (".c", ".h", ".def") and f.stem not in words:
                out.append(f"{readme.relative_to(ROOT)}:1: does not name {f.name}")


def check_manuals(out):
    """mandoc's own check, where it is installed; references to pages of this
    project cannot be found before it is."""
    if shutil.which("mandoc") is None:
        return
    pages = sorted((ROOT / "doc" / "man").glob("*.[1-8]"))
    said = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *pages], capture_output=True, text=True)
    out.extend(line.replace("mandoc: " + str(ROOT) + "/", "") for line in said.stdout.splitlines())


def main():
    out = []
    check_parameters(out)
    check_documents(out)
    check_manuals(out)
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
