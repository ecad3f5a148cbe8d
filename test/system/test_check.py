"""weir check: what is wrong, where, and what would be right."""
import pathlib
import re
import subprocess

import pytest

from harness import WEIR


def run(*args, **kw):
    r = subprocess.run([WEIR, *map(str, args)], capture_output=True, text=True, **kw)
    return r.returncode, r.stdout, r.stderr


@pytest.mark.parametrize("line, want", [
    ("message_size_limt = 10M", r"weir\.conf:1: message_size_limt: .*message_size_limit"),
    ("message_size_limit = lots", r'weir\.conf:1: message_size_limit: value "lots": '),
    ("concurrency_local = -1", r'weir\.conf:1: concurrency_local: value "-1": '),
    ("smtpd_timeout = 5 parsecs", r"weir\.conf:1: smtpd_timeout: "),
    ("memory_budget = 1M", r"weir\.conf:1: memory_budget: .*32"),
    ("soft_bounce = maybe", r"weir\.conf:1: soft_bounce: .*yes"),
    ("just words", r"weir\.conf:1: "),
])
def test_check_names_file_line_value_and_remedy(tmp_path, line, want):
    f = tmp_path / "weir.conf"
    f.write_text(line + "\n")
    code, out, err = run("check", "-c", f)
    assert code == 78
    assert re.search(want, out + err), out + err
    assert run("run", "-c", f, timeout=20)[0] == 78


def test_check_reports_every_error(tmp_path):
    f = tmp_path / "weir.conf"
    f.write_text("nonsense = 1\n# fine\nsmtpd_timeout = x\nconcurrency_remote = y\n")
    code, out, err = run("check", "-c", f)
    assert code == 78 and len(re.findall(r"weir\.conf:\d+: ", out + err)) == 3


def test_check_warns_of_users_that_do_not_exist(tmp_path):
    f = tmp_path / "weir.conf"
    f.write_text("default_privs = nosuch1\ntransport a = pipe user=nosuch2 argv=/bin/cat\n"
                 "transport b = pipe user=nobody argv=/bin/cat\n")
    code, out, err = run("check", "-c", f)
    assert code == 0 and err.splitlines() == [
        f'warning: {f}:{line}: {name}: value "{user}": there is no such user, so mail that needs him is deferred; '
        "write one that exists" for line, name, user in ((1, "default_privs", "nosuch1"), (2, "transport a", "nosuch2"))]


def test_check_warns_of_programs_that_cannot_be_run(tmp_path):
    """The program may be on another machine, or come later: no error."""
    f, script = tmp_path / "weir.conf", tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o644)
    f.write_text(f"default_privs = nobody\ntransport a = pipe user=nobody argv={tmp_path}/none x\n"
                 f"transport b = pipe user=nobody argv={script}\ntransport c = pipe user=nobody argv={tmp_path}\n"
                 "transport d = pipe user=nobody argv=/bin/sh\n")
    code, out, err = run("check", "-c", f)
    rest = "so mail for this transport is deferred; write argv= with the path of a program"
    assert code == 0 and err.splitlines() == [
        f'warning: {f}:2: transport a: value "{tmp_path}/none": No such file or directory, {rest}',
        f'warning: {f}:3: transport b: value "{script}": not executable, {rest}',
        f'warning: {f}:4: transport c: value "{tmp_path}": not a file, {rest}']


MAP = """# comment
a.example   smtp:[mx.example]
b.example   smpt:[mx]
c.example
d.example   maildrp:
joe@e.example  :[mx.example]:2525
f.example   relay:[mx
g.example   error:5.1.1 gone
  for ever
h.example   uucp
"""


@pytest.mark.parametrize("table, beside", [("hash:{0}", None), ("text:{0}", None), ("cdb:{0}", "{0}.cdb"),
                                           ("lmdb:{0}.lmdb", "{0}.lmdb")])
def test_check_reads_transport_maps(tmp_path, table, beside):
    f, t = tmp_path / "weir.conf", tmp_path / "transport"
    t.write_text(MAP)
    if beside:
        pathlib.Path(beside.format(t)).touch()
    f.write_text(f"default_privs = nobody\ntransport maildrop = pipe user=nobody argv=/bin/sh\n"
                 f"transport_maps = {table.format(t)}\n")
    code, out, err = run("check", "-c", f)
    assert code == 78 and err.splitlines() == [
        f'{t}:3: transport_maps: key "b.example": value "smpt:[mx]": there is no transport smpt; did you mean smtp?',
        f"warning: {t}:4: transport_maps: not a key and a value, so it has no effect; "
        "write ADDRESS or DOMAIN, blanks and TRANSPORT:NEXTHOP",
        f'{t}:5: transport_maps: key "d.example": value "maildrp:": there is no transport maildrp; did you mean maildrop?',
        f'{t}:7: transport_maps: key "f.example": value "relay:[mx": no ]; write [HOST]:PORT',
        f'{t}:10: transport_maps: key "h.example": value "uucp": no colon; write TRANSPORT:NEXTHOP']


def test_check_reads_transports_in_the_configuration(tmp_path):
    f = tmp_path / "weir.conf"
    f.write_text("default_privs = nobody\ntransport_maps = inline:{ a.example = smtp:, {b.example = uucp:} }\n")
    code, out, err = run("check", "-c", f)
    assert code == 78 and err == (
        f'{f}:2: transport_maps: key "b.example": value "uucp:": there is no transport uucp; write local, virtual, smtp, '
        "lmtp, relay, error or discard, or define it: transport uucp = pipe ...\n")
    f.write_text("transport_maps =\n  static:dicard:\n")
    code, out, err = run("check", "-c", f)
    assert code == 78 and err.splitlines()[-1] == (
        f'{f}:1: transport_maps: key "*": value "dicard:": there is no transport dicard; did you mean discard?')


def test_check_counts_what_is_too_much_to_tell(tmp_path):
    f, t = tmp_path / "weir.conf", tmp_path / "transport"
    t.write_text("".join(f"d{n}.example uucp:\n" for n in range(65)))
    f.write_text(f"transport_maps = text:{t}\n")
    code, out, err = run("check", "-c", f)
    assert code == 78 and err.count("no transport uucp") == 64 and err.endswith("transport_maps: and 1 more\n")


def test_check_is_silent_success(tmp_path):
    f = tmp_path / "weir.conf"
    f.write_text("myhostname = a.example\nmessage_size_limit = 20M\n")
    assert run("check", "-c", f)[0] == 0
