"""Fixtures of the system tests."""
import contextlib
import fcntl
import os
import pathlib
import pwd
import subprocess
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
    config.addinivalue_line("markers", "alone: changes the machine; no other test runs meanwhile")


@contextlib.contextmanager
def users_locked():
    """Tests run beside one another; the user database has one lock, which
    nobody waits for."""
    with open("/tmp/weir-test-users.lock", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


@pytest.fixture
def make_user():
    """make_user(n): a real user of the system for the time of one test, with a
    home; n tells several of one test apart."""
    made = []

    def make(n=1):
        name = f"weirt{os.getpid()}x{n}"
        with users_locked():
            subprocess.run(["userdel", "-r", "-f", name], capture_output=True)
            subprocess.run(["useradd", "-m", "-U", name], check=True)
        made.append(name)
        return pwd.getpwnam(name)

    yield make
    for name in made:
        # What a shell of his had started outlives a kill -9 of everybody.
        subprocess.run(["pkill", "-KILL", "-u", name])
        with users_locked():
            subprocess.run(["userdel", "-r", "-f", name], capture_output=True)


@pytest.fixture
def system_user(make_user):
    """One such user."""
    return make_user()


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
