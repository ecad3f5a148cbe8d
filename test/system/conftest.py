"""Fixtures of the system tests."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import FakeMX, Weir, relay_conf  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--rounds", type=int, default=int(os.environ.get("WEIR_KILL_ROUNDS", "15")),
                     help="rounds of the kill test")
    parser.addoption("--seed", type=int, default=None, help="seed of the random tests")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: long; not repeated under the sanitizers")


@pytest.fixture
def weir():
    """A server with virtual mailboxes for example.test."""
    with Weir() as w:
        yield w


@pytest.fixture
def mx():
    """A next hop that accepts everything."""
    m = FakeMX()
    yield m
    m.close()


@pytest.fixture
def relay(mx):
    """A server that relays everything foreign to mx."""
    with Weir(relay_conf(mx)) as w:
        w.mx = mx
        yield w


def pytest_report_header(config):
    return f"programs: {os.environ.get('WEIR_BUILD', 'build')}, uid {os.geteuid()}"
