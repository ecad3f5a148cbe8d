"""doc/limits.md: made from the parameter table, and true of a running server."""
import re
import subprocess

from harness import ROOT, WEIR, FakeMX, Weir, relay_conf


def made():
    return subprocess.run([WEIR, "limits", "--doc"], capture_output=True, text=True, check=True).stdout


def test_the_committed_page_is_current():
    assert (ROOT / "doc/limits.md").read_text() == made(), "make it anew: build/weir limits --doc > doc/limits.md"


def test_what_it_names_is_in_weir_limits():
    mx = FakeMX(lambda verb, arg, conn: "550 5.1.1 nobody" if verb == "RCPT" and "nobody" in arg else None)
    try:
        with Weir(relay_conf(mx)) as w:
            # A report, so that its role has a page, too.
            w.send(["joe@example.test", "x@far.example", "nobody@far.example"], sender="ann@example.test")
            w.wait_mails("joe")
            w.wait_mails("ann")
            rows = {f"{r['role']} {r['name']}": r["parameter"] for r in w.json("limits")["limits"]}
            pages = re.split(r"(?m)^### ", made())[1:]
            assert len(pages) > 30
            for page in pages:
                name = page.split("\n", 1)[0]
                seen = re.search(r"(?m)^- in `weir limits`: (.*)$", page)
                for row in seen.group(1).split("; ") if seen else []:
                    assert rows.get(row) == name, (name, row, rows.get(row))
            # And nothing that can be run into is without one.
            figures = re.findall(r"(?m)^(?:TIME|SIZE|INT)\((\w+),", (ROOT / "src/conf/params.def").read_text())
            settings = re.findall(r"(?m)^\| (\w+) \| ",
                                  (ROOT / "doc/controls.md").read_text().split("## Figures that are no limits")[1])
            without = {f for f in figures if f not in rows.values()}
            assert len(figures) > 90 and without == set(settings) - {"setting"}, (without, settings)
    finally:
        mx.close()


def source_of(path, test):
    """The text of a test with what stands above it; empty: there is none."""
    m = re.search(rf"(?ms)^((?:@|#)[^\n]*\n(?:[^\n]+\n)*?)?(?:def )?{test}\(.*?(?=^\S|\Z)", path.read_text())
    return m.group(0) if m else ""


def test_each_control_has_a_test():
    rows = re.findall(r"(?m)^\| (\w+) \| (\S+)::(\w+) \|$", (ROOT / "doc/controls.md").read_text())
    pages = re.findall(r"(?m)^### (\w+)$", made())
    assert not set(pages) - {control for control, _, _ in rows}
    for control, path, test in rows:
        text = source_of(ROOT / "test" / path, test)
        assert text, f"{path} has no {test}"
        if path.endswith(".py") and "siege" not in path:
            assert control in text, f"{test} does not name {control}"
