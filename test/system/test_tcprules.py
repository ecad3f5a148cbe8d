"""tcprules, tcprulescheck: rules for tcpserver, beside Debian's ucspi-tcp on the same input."""
import os
import pathlib
import random
import re
import struct
import subprocess

import pytest

from harness import BUILD, SANITIZED

ORIGINAL = pathlib.Path("/usr/bin")
originals = pytest.mark.skipif(not (ORIGINAL / "tcprules").exists(), reason="needs ucspi-tcp")


def rules(folder, text, where=BUILD, name="r.cdb"):
    """(status, messages); the file is folder/name"""
    p = subprocess.run([where / "tcprules", name, "r.tmp"], input=text.encode(), cwd=folder,
                       capture_output=True, timeout=30)
    return p.returncode, p.stderr.decode()


def check(folder, where=BUILD, name="r.cdb", **who):
    p = subprocess.run([where / "tcprulescheck", name], cwd=folder, capture_output=True, timeout=30,
                       env={"PATH": os.environ["PATH"], **who})
    return p.returncode, p.stdout.decode(), p.stderr.decode()


def entries(path):
    data = path.read_bytes()
    end, at, out = struct.unpack("<I", data[:4])[0], 2048, []
    while at < end:
        klen, dlen = struct.unpack("<II", data[at:at + 8])
        at += 8
        out.append((data[at:at + klen], data[at + klen:at + klen + dlen]))
        at += klen + dlen
    return out


SAMPLE = """# who may relay
127.0.0.1:allow,RELAYCLIENT="",X="a b"
10.:deny
10.0.2-3.:allow,RELAYCLIENT=/@fix.me/
192.168.1.37-39:deny,A="1"
joe@10.0.0.1:allow
=.example.com:allow,A="1",A="2"
=host.example.org:deny
h@=x.y:deny
=x.y:allow
:allow,D="d"
"""


@originals
def test_the_file_is_the_same_byte_for_byte(tmp_path):
    assert rules(tmp_path, SAMPLE) == (0, "")
    assert rules(tmp_path, SAMPLE, ORIGINAL, "o.cdb") == (0, "")
    assert (tmp_path / "r.cdb").read_bytes() == (tmp_path / "o.cdb").read_bytes()
    assert (tmp_path / "r.cdb").stat().st_mode & 0o777 == (tmp_path / "o.cdb").stat().st_mode & 0o777


@originals
def test_each_reads_the_others_and_says_the_same(tmp_path):
    rules(tmp_path, SAMPLE)
    rules(tmp_path, SAMPLE, ORIGINAL, "o.cdb")
    ips = ["127.0.0.1", "10.0.0.1", "10.0.2.9", "10.0.3.1", "10.0.33.1", "192.168.1.38",
           "192.168.1.40", "1.2.3.4", "10", ""]
    for ip in ips:
        if SANITIZED and ip in ips[1::2]:
            continue
        for host in (None, "", "a.example.com", "example.com", "host.example.org", "x.y", "."):
            for info in (None, "", "joe", "h", "a@b"):
                who = {k: v for k, v in (("TCPREMOTEIP", ip), ("TCPREMOTEHOST", host),
                                         ("TCPREMOTEINFO", info)) if v is not None}
                want = check(tmp_path, ORIGINAL, "o.cdb", **who)
                assert check(tmp_path, BUILD, "o.cdb", **who) == want, who
                assert check(tmp_path, BUILD, "r.cdb", **who) == want, who


@originals
def test_many_random_rules_of_each_kind(tmp_path):
    """What both take gives the same file; what the original refuses is refused."""
    rng = random.Random(20261122)
    pieces = ["1.2.3.4", "10.", "1-3", ".", "=", "@", "joe", "a.b", "-", "7", "255", "x", " "]
    words = ["allow", "deny", "allo", ",", ',A="x"', ",B=/y/", ",C", "=", '"', ",D=", " ", "\t", ""]
    both = refused = 0
    for _ in range(120 if SANITIZED else 400):
        line = "".join(rng.choices(pieces, k=rng.randint(0, 4))) + rng.choice([":"] * 9 + [""]) + \
            rng.choice(["allow", "allow", "deny", "x", ""]) + "".join(rng.choices(words, k=rng.randint(0, 3)))
        text = "".join(rng.choice(["", "#c\n", "\n"]) for _ in range(2)) + line + rng.choice(["\n", ""])
        want = rules(tmp_path, text, ORIGINAL, "o.cdb")
        got = rules(tmp_path, text)
        if want[0] != 0:
            # Control characters do not go to the terminal raw.
            assert (got[0], got[1].replace("\\x09", "\t")) == want, text
            refused += 1
        elif got[0] == 0:
            assert (tmp_path / "r.cdb").read_bytes() == (tmp_path / "o.cdb").read_bytes(), text
            both += 1
        else:
            # A range that has no number, ends above 255 or is empty: the original takes 0, 255,
            # or makes no rule at all, and does not say so.
            assert got[0] == 100, text
            assert re.search(r"(?<!\d)-|-(?!\d)|-\d{4}|-(2[6-9]|[3-9]\d)\d|-25[6-9]", line) or \
                entries(tmp_path / "o.cdb") == [], text
    assert both > 25 and refused > 15


def test_a_line_that_says_nothing_is_said(tmp_path):
    status, err = rules(tmp_path, "10.0.0.1 allow\n:deny\n")
    assert status == 0 and err == "tcprules: warning: ignored, there is no colon in it: 10.0.0.1 allow\n"
    assert entries(tmp_path / "r.cdb") == [(b"", b"D\0")]


@pytest.mark.parametrize("line,keys", [
    ("::1:allow", [b"::1"]),
    ("2001:DB8:0::5:allow,A=\"a:allow\"", [b"2001:db8::5"]),
    ("[2001:db8::1]:allow", [b"2001:db8::1"]),
    ("2001:db8:ffff::/33:deny", [b"2001:db8:8000::/33"]),
    ("joe@::1:allow", [b"joe@::1"]),
    ("::/0:deny", [b"::/0"]),
    ("1.2.3.255-255:allow", [b"1.2.3.255"]),
])
def test_addresses_as_keys(tmp_path, line, keys):
    assert rules(tmp_path, line) == (0, "")
    assert [k for k, _ in entries(tmp_path / "r.cdb")] == keys


@pytest.mark.parametrize("line", [
    "5-3:allow", "1.2.3.250-256:deny", "1.2-:deny", "-3:allow", "::g:allow", "2001:db8::/129:deny",
    "2001:db8::/032:deny", "[1.2.3.4]:deny", "1.2.3.4:foo:allow", "1.2.3.4:deny,A=\"\0\""])
def test_a_bad_line_changes_nothing(tmp_path, line):
    rules(tmp_path, ":deny\n")
    before = (tmp_path / "r.cdb").read_bytes()
    status, err = rules(tmp_path, "127.:allow\n" + line + "\n:allow\n")
    assert status == 100 and err.startswith("tcprules: fatal: unable to parse this line: ")
    assert (tmp_path / "r.cdb").read_bytes() == before


def test_ipv6_rules_from_the_longest_prefix_down(tmp_path):
    rules(tmp_path, "2001:db8::/32:allow,N=\"32\"\n2001:db8:1::/48:allow,N=\"48\"\n"
          "2001:db8:1::7:allow,N=\"one\"\n::/0:deny\n:allow,N=\"v4\"\n")
    for ip, want in (("2001:db8:1::7", "one"), ("2001:db8:1::8", "48"), ("2001:db8:2::8", "32"),
                     ("1.2.3.4", "v4")):
        assert f"N={want}\n" in check(tmp_path, TCPREMOTEIP=ip)[1]
    assert check(tmp_path, TCPREMOTEIP="2001:db9::1")[1] == "rule ::/0:\ndeny connection\n"


def test_long_lines_and_long_files(tmp_path):
    value = "x" * 65000
    assert rules(tmp_path, f':allow,A="{value}"\n')[0] == 0
    assert entries(tmp_path / "r.cdb") == [(b"", b"+A=" + value.encode() + b"\0")]
    assert rules(tmp_path, f':allow,A="{value}{value}"\n')[0] == 100
    many = "".join(f"10.{a}.{b}.0-255:deny\n" for a in range(4) for b in range(50))
    assert rules(tmp_path, many)[0] == 0
    assert len(entries(tmp_path / "r.cdb")) == 4 * 50 * 256
    assert check(tmp_path, TCPREMOTEIP="10.3.49.255")[1] == "rule 10.3.49.255:\ndeny connection\n"


@originals
@pytest.mark.parametrize("words", [[], ["a"], ["/none/a", "/none/b"], ["/none/a", "b.tmp"], ["a", "."]])
def test_errors_have_the_same_words(tmp_path, words):
    got, want = (subprocess.run([w / "tcprules", *words], input=b"", cwd=tmp_path, capture_output=True)
                 for w in (BUILD, ORIGINAL))
    assert (got.returncode, got.stderr) == (want.returncode, want.stderr)


@originals
def test_check_of_what_is_no_cdb(tmp_path):
    rules(tmp_path, SAMPLE)
    (tmp_path / "cut.cdb").write_bytes((tmp_path / "r.cdb").read_bytes()[:100])
    for name in ("none.cdb", "cut.cdb"):
        assert check(tmp_path, BUILD, name) == check(tmp_path, ORIGINAL, name)
    (tmp_path / "empty.cdb").write_bytes(b"")
    for name in (".", "empty.cdb", "/dev/null"):
        status, out, err = check(tmp_path, BUILD, name)
        assert status == 111 and out == "" and f"unable to read {name}: " in err


def test_damaged_files_are_refused_or_answer(tmp_path):
    """A bit changed anywhere: an answer or an error, never a crash."""
    rules(tmp_path, SAMPLE)
    whole = bytearray((tmp_path / "r.cdb").read_bytes())
    rng = random.Random(7)
    for _ in range(60 if SANITIZED else 150):
        bad = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        (tmp_path / "bad.cdb").write_bytes(bad[:rng.randint(2000, len(bad))] if rng.random() < .3 else bad)
        status, _, err = check(tmp_path, BUILD, "bad.cdb", TCPREMOTEIP="10.0.0.1", TCPREMOTEHOST="a.example.com")
        assert status in (0, 111), err
