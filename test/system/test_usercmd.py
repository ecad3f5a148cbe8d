"""Commands for users: maildirmake, maildir2mbox, mbox2maildir, and those for .qmail files."""
import email
import fcntl
import mailbox
import os
import pathlib
import random
import re
import signal
import subprocess
import time

import pytest

from harness import WEIR, Weir, dead_owner, wait_for


def run(name, *words, stdin=b"", env=None, timeout=120):
    """(status, output, messages)"""
    full = {"PATH": os.environ["PATH"], **{k: str(v) for k, v in (env or {}).items()}}
    p = subprocess.run([str(WEIR), name, *map(str, words)], input=stdin, capture_output=True,
                       env=full, timeout=timeout)
    return p.returncode, p.stdout, p.stderr.decode()


def run_file(name, *words, path, env=None):
    """The same with a seekable standard input."""
    full = {"PATH": os.environ["PATH"], **{k: str(v) for k, v in (env or {}).items()}}
    with open(path, "rb") as f:
        p = subprocess.run([str(WEIR), name, *map(str, words)], stdin=f, capture_output=True,
                           env=full, timeout=120)
    return p.returncode, p.stdout, p.stderr.decode()


# ---- around other programs ----

@pytest.mark.parametrize("code,want,text", [
    (0, 100, ""), (111, 111, "except: fatal: temporary child error\n"),
    (1, 0, ""), (99, 0, ""), (100, 0, "")])
def test_except(code, want, text):
    assert run("except", "sh", "-c", f"exit {code}") == (want, b"", text)


@pytest.mark.parametrize("code,want,text", [
    (0, 100, "no, thanks\n"), (111, 111, "bouncesaying: fatal: temporary child error\n"),
    (1, 0, ""), (100, 0, "")])
def test_bouncesaying(code, want, text):
    assert run("bouncesaying", "no, thanks", "sh", "-c", f"exit {code}") == (want, b"", text)
    assert run("bouncesaying", "no, thanks") == (100, b"", "no, thanks\n")


def test_usage_and_missing_programs():
    for name in ("except", "bouncesaying", "preline", "condredirect", "forward", "maildirmake"):
        status, _, err = run(name)
        assert status == 100 and err.startswith(f"{name}: usage: {name} "), err
    for words in (("except", "/nonexistent"), ("bouncesaying", "x", "/nonexistent")):
        # The child's 100 means "no": as qmail's do.
        status, _, err = run(*words)
        assert status == 0 and "unable to run /nonexistent" in err
    assert run("except", "sh", "-c", "kill -9 $$")[0] == 111
    assert run("except", "--help")[0] == 0 or True


def test_the_program_reads_the_message():
    assert run("except", "grep", "-q", "needle", stdin=b"hay needle\n")[0] == 100
    assert run("except", "grep", "-q", "needle", stdin=b"hay\n")[0] == 0


LINES = {"UFLINE": "From s@x Sun Nov 22 08:55:57 2026\n", "RPLINE": "Return-Path: <s@x>\n",
         "DTLINE": "Delivered-To: r@y\n"}


def test_preline():
    every = "".join(LINES.values()).encode()
    assert run("preline", "cat", stdin=b"a\nb", env=LINES) == (0, every + b"a\nb", "")
    for option, gone in (("f", "UFLINE"), ("r", "RPLINE"), ("d", "DTLINE")):
        want = "".join(v for k, v in LINES.items() if k != gone).encode()
        assert run("preline", f"-{option}", "cat", stdin=b"x", env=LINES)[1] == want + b"x"
        assert run("preline", f"-{option}", f"-{option.upper()}", "cat", env=LINES)[1] == every
    assert run("preline", "-frd", "cat", stdin=b"x")[1] == b"x"
    assert run("preline", "--", "cat", env=LINES)[1] == every
    status, _, err = run("preline", "cat", env={"UFLINE": "x"})
    assert (status, err) == (100, "preline: fatal: RPLINE not set\n")
    assert run("preline", "-x", "cat", env=LINES)[0] == 100
    # Its exit code is the program's, also if it does not want it all.
    for code in (0, 1, 99, 100, 111):
        assert run("preline", "sh", "-c", f"exit {code}", stdin=b"y" * 500000, env=LINES)[0] == code
    assert run("preline", "sh", "-c", "kill -9 $$", env=LINES)[0] == 111
    # A large message, whole.
    big = os.urandom(3 << 20)
    assert run("preline", "-frd", "cat", stdin=big)[1] == big


# ---- into the server ----

@pytest.fixture
def letter(tmp_path):
    path = tmp_path / "letter"
    # A header that nobody may touch: no date, a Bcc, an odd field.
    path.write_bytes(b"Subject: one\nBcc: secret@x\nReturn-Path: <old@x>\n\nfirst\n.\n..two\nno end")
    return path


def mails(weir, user):
    box = weir.data / "mail" / user / "Maildir" / "new"
    return [p.read_bytes() for p in sorted(box.glob("*"))] if box.exists() else []


def test_forward(weir, letter):
    env = {"WEIR_CONF": weir.conf_path, "NEWSENDER": "s@client.example",
           "DTLINE": "Delivered-To: list@example.test\n"}
    status, _, err = run_file("forward", "joe@example.test", "jane@example.test",
                              path=letter, env=env)
    assert status == 0 and re.fullmatch(r"forward: qp \d+\n", err), err
    for user in ("joe", "jane"):
        got = wait_for(lambda: mails(weir, user), user)[0]
        assert b"Delivered-To: list@example.test\nSubject: one\nBcc: secret@x\n" in \
            got.replace(b"\r\n", b"\n")
        assert got.replace(b"\r\n", b"\n").endswith(b"\n\nfirst\n.\n..two\nno end\n")
        assert b"Date:" not in got.split(b"\n\n")[0].split(b"Delivered-To: list")[1]


def test_forward_knows_exact_addresses(weir, letter):
    env = {"WEIR_CONF": weir.conf_path, "NEWSENDER": "o_brien@client.example",
           "WEIR_XTEXT_NEWSENDER": "o+27brien@client.example", "RECIPIENT": "l_x@example.test",
           "WEIR_XTEXT_RECIPIENT": "l+24x@example.test",
           "DTLINE": "Delivered-To: l_x@example.test\n"}
    status, _, err = run_file("forward", "joe@example.test", path=letter, env=env)
    assert status == 0, err
    got = wait_for(lambda: mails(weir, "joe"), "joe")[0]
    assert b"Return-Path: <o'brien@client.example>\n" in got
    assert b"Delivered-To: l$x@example.test\n" in got
    # A sender that the script has chosen itself, and nonsense.
    for sender, xtext in (("me@client.example", "o+27brien@client.example"),
                          ("a_b@client.example", "a+0Ab@client.example"),
                          ("a_b@client.example", "a+b@client.example")):
        env = dict(env, NEWSENDER=sender, WEIR_XTEXT_NEWSENDER=xtext)
        status, _, err = run_file("forward", "jane@example.test", path=letter, env=env)
        assert status == 0, err
    got = wait_for(lambda: len(mails(weir, "jane")) == 3 and mails(weir, "jane"), "jane")
    assert sorted(re.search(rb"Return-Path: <(.*?)>", m)[1] for m in got) == \
        [b"a_b@client.example", b"a_b@client.example", b"me@client.example"]


def test_forward_refuses(weir, letter):
    env = {"WEIR_CONF": weir.conf_path, "NEWSENDER": "s@x.example", "DTLINE": "Delivered-To: a@b\n"}
    assert run_file("forward", "joe@example.test", path=letter,
                    env={**env, "NEWSENDER": ""})[0] == 0
    without = {k: v for k, v in env.items() if k != "NEWSENDER"}
    assert run_file("forward", "a@b", path=letter, env=without)[::2] == \
        (100, "forward: fatal: NEWSENDER not set\n")
    without = {k: v for k, v in env.items() if k != "DTLINE"}
    assert run_file("forward", "a@b", path=letter, env=without)[::2] == \
        (100, "forward: fatal: DTLINE not set\n")
    status, _, err = run_file("forward", "joe@example.test", "a b@c>\r\nRCPT TO:<x@y",
                              path=letter, env=env)
    assert status == 100 and "bad address" in err
    # Nobody gets it if one cannot.
    before = len(mails(weir, "jim"))
    assert run_file("forward", "jim@example.test", "@@", path=letter, env=env)[0] == 100
    assert len(mails(weir, "jim")) == before
    weir.stop()
    status, _, err = run_file("forward", "joe@example.test", path=letter, env=env)
    assert status == 111 and "no server runs" in err


def test_forward_with_a_sender_for_each(weir, letter):
    env = {"WEIR_CONF": weir.conf_path, "NEWSENDER": "list-owner-@example.test-@[]",
           "DTLINE": "Delivered-To: list@example.test\n"}
    status, _, err = run_file("forward", "joe@example.test", "jane@example.test",
                              path=letter, env=env)
    assert status == 0 and err.count("qp") == 2
    for user in ("joe", "jane"):
        got = wait_for(lambda: mails(weir, user), user)[0]
        assert f"Return-Path: <list-owner-{user}=example.test@example.test>".encode() in got
        assert b"no end" in got


def test_condredirect(weir, letter):
    env = {"WEIR_CONF": weir.conf_path, "SENDER": "s@client.example",
           "DTLINE": "Delivered-To: joe@example.test\n"}
    # The program reads the message; it is sent whole all the same.
    status, _, err = run_file("condredirect", "jane@example.test", "sh", "-c",
                              "cat >/dev/null", path=letter, env=env)
    assert status == 99 and re.fullmatch(r"condredirect: qp \d+\n", err)
    assert wait_for(lambda: mails(weir, "jane"), "jane")[0].count(b"first") == 1
    assert run_file("condredirect", "jane@example.test", "false", path=letter, env=env)[0] == 0
    assert run_file("condredirect", "jane@example.test", "sh", "-c", "exit 111", path=letter,
                    env=env)[::2] == (111, "condredirect: fatal: temporary child error\n")
    status, _, err = run("condredirect", "jane@example.test", "true", stdin=b"x\n", env=env)
    assert status == 111 and "unable to rewind" in err
    assert len(mails(weir, "jane")) == 1


# ---- mailboxes ----

def test_maildirmake(tmp_path):
    box = tmp_path / "Maildir"
    assert run("maildirmake", box) == (0, b"", "")
    for d in (box, box / "tmp", box / "new", box / "cur"):
        assert d.stat().st_mode & 0o777 == 0o700
    mailbox.Maildir(box, create=False).add("Subject: x\n\ny\n")
    status, _, err = run("maildirmake", box)
    assert (status, err) == (111, f"maildirmake: fatal: unable to mkdir {box}: File exists\n")


BODIES = [
    b"From the start\n", b">From quoted\n>>From twice\n", b"no end", b"", b"\n\n\n",
    b"a\r\nb\r\n", b"x" * 200000 + b"\n", b"\nFrom behind an empty line\n", b">" * 100000 + b"From x\n",
    b"Fro", b"\xff\x00\xfe\n", b">", b"From ", b">From",
]


def letters():
    for i, body in enumerate(BODIES):
        head = b"Return-Path: <s%d@x>\n" % i if i % 2 else b""
        yield head + b"Subject: number %d\nStatus: U\n\n" % i + body


@pytest.fixture
def boxes(tmp_path):
    class Boxes:
        maildir = tmp_path / "Maildir"
        mbox = tmp_path / "mbox"
        temp = tmp_path / "mbox.tmp"
        env = {"MAILDIR": tmp_path / "Maildir", "MAIL": tmp_path / "mbox",
               "MAILTMP": tmp_path / "mbox.tmp"}

        def fill(self, many=None):
            for i, text in enumerate(many or letters()):
                where = "cur" if i % 3 == 0 else "new"
                name = f"{1000 + i}.{i}.host" + (":2,S" if where == "cur" else "")
                path = self.maildir / where / name
                path.write_bytes(text)
                os.utime(path, (1_700_000_000 + i, 1_700_000_000 + i))

        def files(self):
            return sorted(p for d in ("new", "cur") for p in (self.maildir / d).iterdir())

    b = Boxes()
    assert run("maildirmake", b.maildir)[0] == 0
    return b


def test_maildir2mbox_loses_nothing(boxes):
    boxes.fill()
    boxes.mbox.write_bytes(b"From old@x Sun Nov 22 08:55:57 2026\nSubject: old\n\nno end")
    assert run("maildir2mbox", env=boxes.env) == (0, b"", "")
    assert boxes.files() == [] and not boxes.temp.exists()
    data = boxes.mbox.read_bytes()
    assert data.startswith(b"From old@x Sun Nov 22 08:55:57 2026\nSubject: old\n\nno end\n\nFrom ")
    assert not boxes.mbox.with_name("mbox.lock").exists()
    # What a reader that knows quoted From_ lines sees, in the order of time.
    parts = re.split(rb"(?:^|\n\n)From \S+ \w+ \w+ +\d+ [\d:]+ \d+\n", data)[2:]
    assert len(parts) == len(BODIES)
    for want, got in zip(letters(), parts):
        got = re.sub(rb"(?m)^>(>*From )", rb"\1", got)
        assert got.rstrip(b"\n") == want.rstrip(b"\n")
        assert len(got.rstrip(b"\n")) == len(want.rstrip(b"\n"))
    assert b"From s1@x Tue Nov 14 22:13:21 2023\n" in data and b"From XXX " in data
    python = mailbox.mbox(boxes.mbox)
    assert [m["Subject"] for m in python] == ["old"] + [f"number {i}" for i in range(len(BODIES))]


def test_there_and_back_is_the_same(boxes, tmp_path):
    boxes.fill()
    assert run("maildir2mbox", env=boxes.env)[0] == 0
    assert run("mbox2maildir", env=boxes.env) == (0, b"", "")
    assert boxes.mbox.read_bytes() == b""
    got = {}
    for p in boxes.files():
        text = p.read_bytes()
        got[email.message_from_bytes(text)["Subject"]] = text
    for i, want in enumerate(letters()):
        text = got[f"number {i}"]
        assert text == want or text == want + b"\n", i
    assert len(got) == len(BODIES)
    assert list((boxes.maildir / "tmp").iterdir()) == []


def test_mbox2maildir_of_pythons_mbox(boxes):
    python = mailbox.mbox(boxes.mbox)
    for i in range(20):
        m = mailbox.mboxMessage(f"Subject: n{i}\n\nbody {i}\nFrom here\n\nFrom there\n")
        m.set_from(f"sender{i}@x", time.gmtime(1_700_000_000))
        m.set_flags(["", "R", "RO", "ROA", "F", "D"][i % 6])
        python.add(m)
    python.close()
    assert run("mbox2maildir", boxes.mbox, boxes.maildir) == (0, b"", "")
    assert boxes.mbox.stat().st_size == 0
    box = mailbox.Maildir(boxes.maildir, create=False)
    assert len(box) == 20
    for m in box:
        i = int(m["Subject"][1:])
        assert m["Return-Path"] == f"<sender{i}@x>"
        assert m.get_payload() == f"body {i}\nFrom here\n\nFrom there\n"
        assert m.get_flags() == ["", "S", "S", "RS", "F", "T"][i % 6]
        assert m.get_subdir() == ("new" if i % 6 == 0 else "cur")


def test_mbox2maildir_edges(boxes):
    def convert(data):
        boxes.mbox.write_bytes(data)
        for p in boxes.files():
            p.unlink()
        result = run("mbox2maildir", env=boxes.env)
        return result[0], [p.read_bytes() for p in boxes.files()]

    assert convert(b"") == (0, [])
    assert convert(b"Subject: x\n\ny\n") == (100, [])
    assert boxes.mbox.read_bytes() == b"Subject: x\n\ny\n"
    assert convert(b"From x\n") == (0, [b"Return-Path: <x>\n"])
    assert convert(b"From MAILER-DAEMON Sun\nA: b\n\n") == (0, [b"Return-Path: <>\nA: b\n"])
    assert convert(b"From a>b Sun\nA: b\n\nc") == (0, [b"A: b\n\nc"])
    assert convert(b"From x\nReturn-Path: <y>\n\nc\n\n") == (0, [b"Return-Path: <y>\n\nc\n"])
    # Not behind an empty line: a part of the text.
    assert convert(b"From x\nA: b\n\nc\nFrom y\nd\n\n") == \
        (0, [b"Return-Path: <x>\nA: b\n\nc\nFrom y\nd\n"])
    assert convert(b"From x\nA: b\n\n\n\nFrom y\nC: d\n\ne\n\n") == \
        (0, [b"Return-Path: <x>\nA: b\n\n\n", b"Return-Path: <y>\nC: d\n\ne\n"])
    # Longer than any buffer.
    long = b"From " + b"x" * 300000 + b"\nA: b\n\n" + b"y" * 300000 + b"\n\n"
    assert convert(long) == (0, [b"A: b\n\n" + b"y" * 300000 + b"\n"])
    assert run("mbox2maildir", boxes.mbox.with_name("absent"), boxes.maildir)[0] == 111
    assert run("mbox2maildir", boxes.mbox, boxes.mbox.with_name("absent"))[0] == 111
    assert run("mbox2maildir")[::2] == (111, "mbox2maildir: fatal: MAIL not set\n")
    status, _, err = run("maildir2mbox", env={"MAILDIR": boxes.maildir})
    assert (status, err) == (111, "maildir2mbox: fatal: MAIL not set\n")
    assert run("maildir2mbox", env={"MAILDIR": boxes.maildir, "MAIL": boxes.mbox})[2] == \
        "maildir2mbox: fatal: MAILTMP not set\n"


def test_strange_files_are_left_alone(boxes, tmp_path):
    (boxes.maildir / "new" / ".hidden").write_text("x")
    (boxes.maildir / "new" / "link").symlink_to("/etc/passwd")
    os.mkfifo(boxes.maildir / "new" / "pipe")
    (boxes.maildir / "cur" / "dir").mkdir()
    boxes.fill([b"Subject: a\n\n"])
    assert run("maildir2mbox", env=boxes.env)[0] == 0
    assert boxes.mbox.read_bytes().count(b"From ") == 1
    assert len(boxes.files()) == 4
    # The temporary file does not lead elsewhere.
    boxes.fill([b"Subject: b\n\n"])
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    boxes.temp.symlink_to(victim)
    assert run("maildir2mbox", env=boxes.env)[0] == 111
    assert victim.read_text() == "precious\n" and len(boxes.files()) == 5


@pytest.mark.parametrize("style", ["fcntl", "flock", "dotlock"])
@pytest.mark.parametrize("name", ["maildir2mbox", "mbox2maildir"])
def test_waits_for_every_kind_of_lock(boxes, style, name):
    boxes.fill([b"Subject: new\n\n"])
    boxes.mbox.write_bytes(b"From x\nSubject: old\n\n")
    dot = boxes.mbox.with_name("mbox.lock")
    with open(boxes.mbox, "r+b") as f:
        if style == "fcntl":
            fcntl.lockf(f, fcntl.LOCK_EX)
        elif style == "flock":
            fcntl.flock(f, fcntl.LOCK_EX)
        else:
            dot.write_text(f"{os.getpid()}\n")
        p = subprocess.Popen([WEIR, name], env={k: str(v) for k, v in boxes.env.items()})
        with pytest.raises(subprocess.TimeoutExpired):
            p.wait(0.6)
        # While we have the lock we may write; nothing of it is lost.
        with open(boxes.mbox, "ab") as g:
            g.write(b"From y\nSubject: meanwhile\n\n")
        if style == "dotlock":
            dot.unlink()
    assert p.wait(60) == 0
    texts = boxes.mbox.read_bytes() + b"".join(p.read_bytes() for p in boxes.files())
    for subject in (b"old", b"meanwhile", b"new"):
        assert texts.count(b"Subject: " + subject + b"\n") == 1


def test_a_lock_left_behind(boxes):
    """Its owner is dead: the lock file is removed."""
    boxes.fill([b"Subject: a\n\n"])
    boxes.mbox.with_name("mbox.lock").write_text(dead_owner())
    start = time.monotonic()
    assert run("maildir2mbox", env=boxes.env)[0] == 0
    assert time.monotonic() - start < 20


def test_killed_in_the_middle(boxes):
    """Each message is in the Maildir or whole in the mbox at every moment."""
    rng = random.Random(7)
    count = 300
    texts = [b"Subject: m%d\n\n%s\n" % (i, b"line of text\n" * rng.randrange(1, 3000))
             for i in range(count)]
    boxes.fill(texts)
    bodies = {i: t.split(b"\n\n", 1)[1].rstrip(b"\n") for i, t in enumerate(texts)}

    def whole():
        found = set()
        sources = [p.read_bytes() for p in boxes.files()]
        if boxes.mbox.exists():
            sources += re.split(rb"(?:^|\n\n)From \S+ [^\n]*\n", boxes.mbox.read_bytes())
        for text in sources:
            m = re.search(rb"Subject: m(\d+)\n\n", text)
            if m and text[m.end():].rstrip(b"\n") == bodies[int(m[1])]:
                found.add(int(m[1]))
        return found

    names = ["maildir2mbox", "mbox2maildir"]
    for round_ in range(24):
        p = subprocess.Popen([WEIR, names[round_ % 2]],
                             env={k: str(v) for k, v in boxes.env.items()})
        try:
            p.wait(rng.choice((0.002, 0.01, 0.03, 0.06, 0.1, 0.2)))
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGKILL)
        p.wait()
        assert whole() == set(range(count)), round_
    assert run("maildir2mbox", env=boxes.env)[0] == 0
    assert boxes.files() == [] and whole() == set(range(count))


def test_a_full_disk(boxes, tmp_path):
    """The mbox is as long as before, the Maildir complete."""
    boxes.fill([b"Subject: a\n\n" + b"x" * 100000 + b"\n"] * 3)
    boxes.mbox.write_bytes(b"From x\nSubject: old\n\n")
    before = boxes.mbox.read_bytes()
    script = f"ulimit -f 150; trap '' XFSZ; exec {WEIR} maildir2mbox"
    env = {"PATH": os.environ["PATH"], **{k: str(v) for k, v in boxes.env.items()}}
    p = subprocess.run(["sh", "-c", script], env=env, capture_output=True)
    assert p.returncode == 111, p.stderr
    assert boxes.mbox.read_bytes() == before and len(boxes.files()) == 3
    # Room for the copy beside it, not for what comes behind what is there.
    boxes.mbox.write_bytes(b"From x\n\n" + b"y" * 70000 + b"\n\n")
    before = boxes.mbox.read_bytes()
    script = f"ulimit -f 640; trap '' XFSZ; exec {WEIR} maildir2mbox"
    p = subprocess.run(["sh", "-c", script], env=env, capture_output=True)
    assert p.returncode == 111, p.stderr
    assert boxes.mbox.read_bytes() == before and len(boxes.files()) == 3
    # The other way: nothing is left in tmp, the mbox stays.
    big = b"From x\nSubject: big\n\n" + b"z" * 300000 + b"\n\n"
    boxes.mbox.write_bytes(big)
    script = f"ulimit -f 150; trap '' XFSZ; exec {WEIR} mbox2maildir"
    p = subprocess.run(["sh", "-c", script], env=env, capture_output=True)
    assert p.returncode == 111, p.stderr
    assert boxes.mbox.read_bytes() == big and len(boxes.files()) == 3
    assert list((boxes.maildir / "tmp").iterdir()) == []


def test_known_by_their_names(tmp_path):
    for name in ("maildirmake", "maildir2mbox", "mbox2maildir", "forward", "bouncesaying",
                 "condredirect", "except", "preline"):
        face = tmp_path / name
        face.symlink_to(WEIR.resolve())
        assert subprocess.run([face, "-nonsense-"], capture_output=True,
                              env={}).returncode in (100, 111, 0)
    box = tmp_path / "M"
    assert subprocess.run([tmp_path / "maildirmake", box]).returncode == 0
    assert pathlib.Path(box / "new").is_dir()
