"""postmap, postalias, newaliases: tables made of texts, whole or not at all."""
import os
import pathlib
import shutil
import signal
import subprocess
import threading

import pytest

from harness import BUILD, WEIR


def run(name, *words, stdin=b"", cwd=None, conf=None):
    """(status, output, messages)"""
    args = [str(WEIR), name]
    if conf:
        args += ["-c", str(conf)]
    p = subprocess.run(args + [str(w) for w in words], input=stdin, capture_output=True, cwd=cwd,
                       timeout=120)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "weir.conf"
    path.write_text("myhostname = mx.example.test\n")
    return path


BOTH = pytest.mark.parametrize("kind", ["cdb", "lmdb"])


@BOTH
def test_made_and_asked(kind, tmp_path):
    source = tmp_path / "map"
    source.write_text("# a comment\nJoe@Example.Test  joe/\n@b.example\n   other/\n"
                      '"a b"@x  quoted\n')
    spec = f"{kind}:{source}"
    assert run("postmap", spec) == (0, "", "")
    assert run("postmap", "-q", "joe@example.test", spec) == (0, "joe/\n", "")
    assert run("postmap", "-q", "JOE@EXAMPLE.TEST", spec) == (0, "joe/\n", "")
    assert run("postmap", "-q", "@b.example", spec) == (0, "other/\n", "")
    assert run("postmap", "-q", "a b@x", spec) == (0, "quoted\n", "")
    assert run("postmap", "-q", "nobody", spec) == (1, "", "")
    assert run("postmap", "-q", "-", spec, stdin=b"nobody\n@b.example\n") == \
        (0, "@b.example\tother/\n", "")
    status, out, _ = run("postmap", "-s", spec)
    assert status == 0 and sorted(out.splitlines()) == [
        "@b.example\tother/", "a b@x\tquoted", "joe@example.test\tjoe/"]
    # A relative path, and the text itself.
    assert run("postmap", "-q", "@b.example", f"{kind}:map", cwd=tmp_path)[:2] == (0, "other/\n")
    assert run("postmap", "-q", "@b.example", f"hash:{source}")[:2] == (0, "other/\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map", f"map.{kind}"]


def test_tables_without_a_file():
    """As in a configuration, asked and listed."""
    spec = "inline:{ Joe@Example.Test = joe/, {a b = two words}, joe@example.test = not this one }"
    assert run("postmap", "-q", "JOE@example.test", spec) == (0, "joe/\n", "")
    assert run("postmap", "-q", "a b", spec) == (0, "two words\n", "")
    assert run("postmap", "-q", "-", spec, stdin=b"nobody\n\na b\n") == (0, "a b\ttwo words\n", "")
    assert run("postmap", "-q", "nobody", spec) == (1, "", "")
    assert run("postmap", "-q", "nobody", spec, "static:x y") == (0, "x y\n", "")
    assert run("postmap", "-s", "inline:{b=1,{c d = 2}} ") == (0, "b\t1\nc d\t2\n", "")
    status, out, err = run("postmap", "-q", "x", "inline:{ a }")
    assert (status, out) == (78, "") and "entry 1 is not key = value" in err
    assert run("postmap", "-q", "x", "inline:a=b")[0] == 78
    for words in (["-s", "static:x"], ["-d", "a", spec], ["-i", spec], [spec], ["static:x"]):
        status, out, err = run("postmap", *words)
        assert (status, out) == (64, "") and err, (words, status, err)


@BOTH
def test_other_programs_read_it(kind, tmp_path):
    source = tmp_path / "map"
    source.write_text("".join(f"key{i} value{i}\n" for i in range(2000)))
    assert run("postmap", f"{kind}:{source}")[0] == 0
    if kind == "cdb":
        out = subprocess.run(["cdb", "-q", f"{source}.cdb", "key777"], capture_output=True).stdout
        assert out == b"value777"
    else:
        out = subprocess.run(["mdb_dump", "-n", "-p", f"{source}.lmdb"], capture_output=True,
                             text=True).stdout
        assert "\n key777\n value777\n" in out and out.count("\n key") == 2000


@BOTH
def test_mistakes_are_told_with_their_place(kind, tmp_path):
    source = tmp_path / "map"
    source.write_text("a 1\nalone\n\"open b\nA 2\nb 3\n")
    status, out, err = run("postmap", f"{kind}:{source}")
    assert (status, out) == (0, "")
    assert err.splitlines() == [
        f"postmap: {source}:2: not a key and a value",
        f"postmap: {source}:3: a quote is missing",
        f"postmap: {source}:4: warning: again; the first one holds: \"a\""]
    assert run("postmap", "-q", "a", f"{kind}:{source}")[1] == "1\n"
    assert "again" not in run("postmap", "-w", f"{kind}:{source}")[2]
    assert "this one holds" in run("postmap", "-r", f"{kind}:{source}")[2]
    assert run("postmap", "-q", "a", f"{kind}:{source}")[1] == "2\n"


@BOTH
def test_what_does_not_fit_changes_nothing(kind, tmp_path):
    source = tmp_path / "map"
    source.write_text("a 1\n")
    assert run("postmap", f"{kind}:{source}")[0] == 0
    before = (tmp_path / f"map.{kind}").read_bytes()
    source.write_text("a 2\n" + "k" * 1025 + " v\n")
    status, _, err = run("postmap", f"{kind}:{source}")
    assert status == 65 and f"{source}:2: the key is too long" in err
    assert "nothing was changed" in err
    source.write_text("a 2\nb " + "v" * 4097 + "\n")
    assert run("postmap", f"{kind}:{source}")[0] == 65
    source.write_text("a 2\n" + "k" * 600 + " v\n")
    status, _, err = run("postmap", f"{kind}:{source}")
    assert status == (65 if kind == "lmdb" else 0)
    if kind == "lmdb":
        assert f"{source}:2: the key is longer than the 511 bytes of lmdb" in err
        assert (tmp_path / "map.lmdb").read_bytes() == before
    assert not (tmp_path / f"map.{kind}.tmp").exists()


@BOTH
def test_changed_without_the_source(kind, tmp_path):
    source = tmp_path / "map"
    source.write_text("a 1\nb 2\nc 3\n")
    spec = f"{kind}:{source}"
    assert run("postmap", spec)[0] == 0
    assert run("postmap", "-d", "B", spec) == (0, "", "")
    assert run("postmap", "-d", "b", spec) == (1, "", "")
    assert run("postmap", "-q", "b", spec)[0] == 1
    assert run("postmap", "-i", spec, stdin=b"d 4\na 9\n")[0] == 0
    assert run("postmap", "-q", "a", spec)[1] == "1\n"
    assert run("postmap", "-r", "-i", spec, stdin=b"a 9\n")[0] == 0
    assert sorted(run("postmap", "-s", spec)[1].split()) == sorted("a 9 c 3 d 4".split())
    new = f"{kind}:{tmp_path}/new"
    assert run("postmap", "-i", new, stdin=b"x y\n")[0] == 0
    assert run("postmap", "-q", "x", new)[1] == "y\n"
    assert run("postmap", "-d", "x", f"{kind}:{tmp_path}/absent")[0] == 66


@BOTH
def test_with_terminators(kind, tmp_path):
    source = tmp_path / "map"
    source.write_text("a 1\n")
    assert run("postmap", "-N", f"{kind}:{source}")[0] == 0
    assert b"a\0" in (tmp_path / f"map.{kind}").read_bytes()
    assert run("postmap", "-q", "a", f"{kind}:{source}")[1] == "1\n"
    assert run("postmap", "-d", "a", f"{kind}:{source}")[0] == 0


@BOTH
def test_permissions_follow_the_source(kind, tmp_path):
    source = tmp_path / "map"
    source.write_text("a 1\n")
    for mode, want in ((0o600, 0o600), (0o640, 0o640), (0o644, 0o644), (0o666, 0o644)):
        source.chmod(mode)
        assert run("postmap", f"{kind}:{source}")[0] == 0
        assert (tmp_path / f"map.{kind}").stat().st_mode & 0o777 == want
    source.chmod(0o600)
    assert run("postmap", "-p", f"{kind}:{source}")[0] == 0
    assert (tmp_path / f"map.{kind}").stat().st_mode & 0o777 == 0o644


@BOTH
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a user's file")
def test_a_users_file_is_made_as_the_user(kind, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    for p in (tmp_path, *tmp_path.parents[:3]):
        os.chmod(p, 0o755)
    source = home / "map"
    source.write_text("a 1\n")
    for p in (home, source):
        os.chown(p, 65534, 65534)
    assert run("postmap", f"{kind}:{source}")[0] == 0
    assert (home / f"map.{kind}").stat().st_uid == 65534
    # What he puts in our way does not make the superuser write elsewhere.
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    for make in (lambda p: p.symlink_to(victim), lambda p: os.link(victim, p)):
        temp = home / f"map.{kind}.tmp"
        make(temp)
        assert run("postmap", f"{kind}:{source}")[0] != 0
        assert victim.read_text() == "precious\n"
        temp.unlink()


@BOTH
def test_killed_at_any_time(kind, tmp_path):
    """The old table or the new one, and the next run is not in the way of what was left."""
    source = tmp_path / "map"
    old = "".join(f"key{i} old\n" for i in range(100))
    new = "".join(f"key{i} new\n" for i in range(60000))
    spec = f"{kind}:{source}"
    source.write_text(old)
    assert run("postmap", spec)[0] == 0
    source.write_text(new)
    seen = set()
    for delay in (0, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3):
        p = subprocess.Popen([WEIR, "postmap", spec])
        try:
            p.wait(delay)
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGKILL)
        p.wait()
        status, out, err = run("postmap", "-q", "key7", spec)
        assert (status, err) == (0, "") and out in ("old\n", "new\n")
        seen.add(out)
    assert "old\n" in seen
    assert run("postmap", spec)[0] == 0
    assert run("postmap", "-q", "key59999", spec)[1] == "new\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map", f"map.{kind}"]


@BOTH
def test_two_at_once(kind, tmp_path):
    """They wait for each other; a reader finds an entry at every moment."""
    source = tmp_path / "map"
    source.write_text("".join(f"key{i} v\n" for i in range(3000)))
    spec = f"{kind}:{source}"
    assert run("postmap", spec)[0] == 0
    results = []

    def make():
        for _ in range(4):
            results.append(run("postmap", spec))

    threads = [threading.Thread(target=make) for _ in range(3)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        assert run("postmap", "-q", "key2999", spec) == (0, "v\n", "")
    for t in threads:
        t.join()
    assert results == [(0, "", "")] * 12
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map", f"map.{kind}"]


def test_more_than_the_first_map_of_lmdb(tmp_path):
    """The map grows as it must: 40 MiB of values."""
    source = tmp_path / "map"
    with source.open("w") as f:
        for i in range(10500):
            f.write(f"key{i} {'v' * 4000}\n")
        f.write("key1 again\n")
    status, _, err = run("postmap", f"lmdb:{source}")
    assert status == 0
    # Started again with a larger map, but what is wrong was said once.
    assert err.count("again") == 1
    assert run("postmap", "-q", "key10499", f"lmdb:{source}")[1] == "v" * 4000 + "\n"
    # What is added comes from standard input, which cannot be read twice.
    assert run("postmap", "-i", f"lmdb:{source}", stdin=b"one more\n") == (0, "", "")
    assert run("postmap", "-d", "key5", f"lmdb:{source}") == (0, "", "")
    assert run("postmap", "-q", "one", f"lmdb:{source}")[1] == "more\n"
    assert run("postmap", "-q", "key5", f"lmdb:{source}")[0] == 1


@BOTH
def test_a_damaged_table_is_no_missing_key(kind, tmp_path):
    source = tmp_path / "map"
    source.write_text("a 1\n")
    assert run("postmap", f"{kind}:{source}")[0] == 0
    table = tmp_path / f"map.{kind}"
    table.write_bytes(table.read_bytes()[:100])
    status, _, err = run("postmap", "-q", "a", f"{kind}:{source}")
    assert status == 75 and "damaged" in err
    table.unlink()
    assert run("postmap", "-q", "a", f"{kind}:{source}")[0] == 75


def test_default_type(tmp_path, conf):
    source = tmp_path / "map"
    source.write_text("a 1\n")
    assert run("postmap", source, conf=conf)[0] == 0
    assert (tmp_path / "map.cdb").exists()
    assert run("postmap", "-o", "default_database_type=lmdb", source, conf=conf)[0] == 0
    assert (tmp_path / "map.lmdb").exists()
    assert run("postmap", "-q", "a", source, conf=conf)[1] == "1\n"


def test_usage(tmp_path):
    source = tmp_path / "map"
    source.write_text("a 1\n")
    assert run("postmap")[0] == 64
    assert run("postmap", "-X", source)[0] == 64
    assert run("postmap", "-q", "a", "-d", "a", f"cdb:{source}")[0] == 64
    status, _, err = run("postmap", f"btree:{source}")
    assert status == 64 and "cannot make this type" in err
    assert run("postmap", "-d", "a", f"hash:{source}")[0] == 64
    assert run("postmap", f"cdb:{tmp_path}/absent")[0] == 66
    assert run("postmap", f"cdb:{tmp_path}")[0] == 66
    assert run("postmap", "--help")[0] == 0


@BOTH
def test_postalias(kind, tmp_path):
    source = tmp_path / "aliases"
    source.write_text("# of this host\nPostmaster: root\nroot: joe,\n  \"|/bin/cmd a\"\n"
                      "list: :include:/etc/list\nno colon\n")
    status, _, err = run("postalias", f"{kind}:{source}")
    assert status == 0
    assert err == f"postalias: {source}:6: not a key and a value\n"
    assert run("postalias", "-q", "postmaster", f"{kind}:{source}")[1] == "root\n"
    assert run("postalias", "-q", "root", f"{kind}:{source}")[1] == 'joe, "|/bin/cmd a"\n'
    # A list that nobody could deliver to is told, and kept: its owner may mend it.
    source.write_text('a: joe jane, x\nb: "|cmd\n')
    status, _, err = run("postalias", f"{kind}:{source}")
    assert status == 0 and err.splitlines() == [
        f"postalias: {source}:1: warning: a: two words; separate addresses by commas",
        f"postalias: {source}:2: warning: b: a quote is missing"]
    # A long list: more than a map's value may have.
    source.write_text("all: " + ", ".join(f"user{i}@example.test" for i in range(2000)) + "\n")
    assert run("postalias", f"{kind}:{source}") == (0, "", "")
    assert len(run("postalias", "-q", "all", f"{kind}:{source}")[1]) > 40000
    # Made with the other command by mistake.
    source.write_text("joe: jane\n")
    assert "postalias?" in run("postmap", f"{kind}:{source}")[2]


def test_newaliases(tmp_path, conf):
    aliases = tmp_path / "aliases"
    aliases.write_text("postmaster: root\n")
    with conf.open("a") as f:
        f.write(f"alias_database = cdb:{aliases}, lmdb:{aliases} hash:{aliases}\n")
    assert run("newaliases", conf=conf) == (0, "", "")
    for kind in ("cdb", "lmdb", "hash"):
        assert run("postalias", "-q", "postmaster", f"{kind}:{aliases}")[1] == "root\n"
    assert run("sendmail", "-bi", "-C", conf) == (0, "", "")
    assert run("newaliases", "-C", conf) == (0, "", "")
    assert "1 entry, 0 left out" in run("newaliases", "-v", conf=conf)[2]
    aliases.unlink()
    assert run("newaliases", conf=conf)[0] == 66
    assert run("newaliases", "word", conf=conf)[0] == 64


@BOTH
def test_the_server_uses_it(kind, tmp_path):
    """explain reads the table that postmap made, and sees the next one."""
    mail = tmp_path / "mail"
    source = tmp_path / "boxes"
    source.write_text("joe@v.example joe/\n")
    assert run("postmap", f"{kind}:{source}")[0] == 0
    path = tmp_path / "weir.conf"
    path.write_text(f"myhostname = mx.example.test\nqueue_directory = {tmp_path}/queue\n"
                    f"virtual_mailbox_domains = v.example\nvirtual_mailbox_base = {mail}\n"
                    f"virtual_mailbox_maps = {kind}:{source}\n")
    status, out, _ = run("explain", "joe@v.example", conf=path)
    assert status == 0 and "joe/" in out
    assert run("explain", "jane@v.example", conf=path)[1].count("jane/") == 0
    source.write_text("jane@v.example jane/\n")
    assert run("postmap", f"{kind}:{source}")[0] == 0
    assert "jane/" in run("explain", "jane@v.example", conf=path)[1]


def test_known_by_their_names(tmp_path):
    source = tmp_path / "map"
    source.write_text("a: 1\n")
    for name in ("postmap", "postalias"):
        face = tmp_path / name
        face.symlink_to(WEIR.resolve())
        assert subprocess.run([face, f"cdb:{source}"], capture_output=True).returncode == 0
    assert shutil.which("cdb") and pathlib.Path(BUILD / "weir-postmap").exists()
