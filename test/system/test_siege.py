"""A short siege; test/siege/README.md says what `./dev siege` does.

What must never happen (a death, a loss, a leak, a gate that stays held) is
asserted as it stands.  Of the good client's rate only that it is served: a
machine that runs tests is no place to measure.
"""
import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent / d) for d in ("siege", "bench")]

import report  # noqa: E402
import siege  # noqa: E402

# The sanitizers' shadow does not fit into a budget.
pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_siege():
    budget = 64
    r = siege.besiege(budget, 20, 1500, 1000, None, print)
    print(report.table([r]))
    assert r["faults"] == []
    assert r["enforced"] != "sampler" and r["pss_peak_kib"] < budget * 1024
    assert r["arrived"] >= r["acknowledged"] > 0
    for p in r["phases"]:
        # With a full disk it counts that it was told so, and what followed.
        assert not p["counts"] or (p["messages"] > 0 and p["p99_ms"] < 10000), p
        assert p["counts"] or p["back_s"] < 30, p


def test_siege_behind_rlimits(monkeypatch):
    """Where no cgroup can be made: RLIMIT_DATA for each role."""
    monkeypatch.setenv("WEIR_SIEGE_WALL", "rlimit")
    r = siege.besiege(64, 8, 500, 0, ["recipients"], print)
    print(report.table([r]))
    assert r["faults"] == [] and r["enforced"] == "rlimit"
