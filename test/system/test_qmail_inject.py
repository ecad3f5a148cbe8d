"""qmail-inject, and sendmail, mailq and newaliases as they are in /var/qmail/bin."""
import os
import re
import subprocess

import pytest

from harness import BUILD, DEADLINE, WEIR, Weir, free_port

NAMES = ("USER", "LOGNAME", "NAME", "MAILUSER", "MAILHOST", "MAILNAME")


@pytest.fixture(scope="module")
def server():
    with Weir({"defaulthost": "dh.example", "defaultdomain": "dd.example", "plusdomain": "pd.example",
               "idhost": "id.example", "message_size_limit": "300000"}) as w:
        folder = w.dir / "qmail/bin"
        folder.mkdir(parents=True)
        for name in ("qmail-inject", "sendmail", "mailq", "newaliases"):
            (folder / name).symlink_to(WEIR)
        yield w


def run(server, words, text, env=None, name="qmail-inject"):
    clean = {k: v for k, v in os.environ.items() if k not in NAMES and not k.startswith("QMAIL")}
    return subprocess.run([server.dir / "qmail/bin" / name, *words], input=text, capture_output=True, timeout=DEADLINE,
                          env={**clean, "WEIR_CONF": str(server.conf_path), "USER": "joe", **(env or {})})


def shown(server, words, text, env=None):
    """The header fields (without Date and Message-ID) and the body that -n prints."""
    r = run(server, ["-n", *words], text.encode(), env)
    assert r.returncode == 0, r
    head, _, body = r.stdout.decode().partition("\n\n")
    fields = re.split(r"\n(?![ \t])", head)
    assert re.fullmatch(r"Date: \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d -0000", [f for f in fields if "Date: " in f][-1].replace("Resent-", ""))
    own = [f for f in fields if re.search(r"\.qmail@", f)]
    for f in own:
        assert re.fullmatch(r"(Resent-)?Message-ID: <\d{14}\.\d+\.qmail@id\.example>", f), f
    return [f for f in fields if f not in own and not re.match(r"(Resent-)?Date: \d.*-0000$", f)], body


ROWS = [
    ("nothing at all", [], "To: a@b.c\n\nbody\n.\n", {}, ["To: a@b.c", "From: <joe@dh.example>"]),
    ("names without domain", [], "To: Ann <ann>, b@h,\n  c@h+\nCc: (x) d\nReply-To: e\n\nbody\n.\n", {},
     ["To: Ann <ann@dh.example>, b@h.dd.example,\n  c@h.pd.example", "Cc: (x) d@dh.example", "Reply-To: e@dh.example",
      "From: <joe@dh.example>"]),
    ("the environment's hosts", [], "To: a, b@h, c@h+\n\nbody\n.\n",
     {"QMAILDEFAULTHOST": "x", "QMAILDEFAULTDOMAIN": "y.example", "QMAILPLUSDOMAIN": "z.example", "QMAILHOST": "q"},
     ["To: a@x.y.example, b@h.y.example, c@h.z.example", "From: <joe@q.y.example>"]),
    ("who writes", [], "To: a@b.c\n\nbody\n.\n", {"QMAILUSER": "ann b", "MAILUSER": "no", "MAILHOST": "mh.example",
                                                 "NAME": "no", "QMAILNAME": 'A "B" C'},
     ["To: a@b.c", 'From: "A \\"B\\" C" <"ann b"@mh.example>']),
    ("a name as a comment", [], "To: a@b.c\n\nbody\n.\n", {"NAME": "J (oe)", "QMAILINJECT": "c"},
     ["To: a@b.c", "From: joe@dh.example (J _oe_)"]),
    ("nobody known", [], "To: a@b.c\n\nbody\n.\n", {"USER": "", "LOGNAME": ""}, ["To: a@b.c", "From: <anonymous@dh.example>"]),
    ("what goes", [], "Bcc: s@b.c\nReturn-Path: <x@y.z>\nContent-Length: 5\nSubject: s\n\nbody\n.\n", {},
     ["Subject: s", "From: <joe@dh.example>", "Cc: recipient list not shown: ;"]),
    ("its own From and Message-ID", [], "From: x@y.z\nMessage-ID: <1@2.3>\nTo: a@b.c\n\nbody\n.\n", {"QMAILINJECT": "fi"},
     ["To: a@b.c", "From: <joe@dh.example>"]),
    ("sent again", [], "From: x@y.z\nTo: a@b.c\nResent-To: d\n\nbody\n.\n", {},
     ["From: x@y.z", "To: a@b.c", "Resent-To: d@dh.example", "Resent-From: <joe@dh.example>"]),
    ("what is no list passes as it is", [], "To: a b c\nFrom: x@y.z\n\nbody\n.\n", {}, ["To: a b c", "From: x@y.z"]),
    ("no header", [], "body\n.\n", {}, ["From: <joe@dh.example>", "Cc: recipient list not shown: ;"]),
]


@pytest.mark.parametrize("why,words,text,env,fields", ROWS, ids=[r[0] for r in ROWS])
def test_the_header(server, why, words, text, env, fields):
    assert shown(server, words, text, env) == (fields, "body\n.\n")


def test_followup(server):
    """To a mailing list that one reads: answers go to all of To and Cc, each once."""
    (server.dir / "lists").write_text("other@l.example\nList@L.example\n")
    env = {"QMAILMFTFILE": str(server.dir / "lists")}
    text = "To: list@l.example, Ann <ann>\nCc: ann, bob@b.c\n\nbody\n.\n"
    fields, _ = shown(server, [], text, env)
    assert fields[-1] == "Mail-Followup-To: list@l.example,\n  ann@dh.example,\n  bob@b.c"
    for other in (text.replace("list@", "lost@"), "Mail-Followup-To: x@y.z\n" + text, "Resent-To: a@b.c\n" + text):
        assert not any("list@l.example,\n" in f for f in shown(server, [], other, env)[0])
    assert shown(server, [], text, {"QMAILMFTFILE": "/none"}) == shown(server, [], text)
    r = run(server, ["-n"], text.encode(), {"QMAILMFTFILE": "/"})
    assert r.returncode == 111 and b"unable to read /" in r.stderr


def envelope_of(server, words, text, env=None):
    """(sender, recipients) as $QMAILQUEUE gets them."""
    catcher = server.dir / "catch"
    catcher.write_text("#!/bin/sh\ncat >/dev/null\nexec cat <&1 >\"$CATCH\"\n")
    catcher.chmod(0o755)
    out = server.dir / "caught"
    r = run(server, words, text.encode(), {"QMAILQUEUE": str(catcher), "CATCH": str(out), **(env or {})})
    assert r.returncode == 0, r
    sender, *rcpts = out.read_bytes().split(b"\0")[:-2]
    assert sender[:1] == b"F" and all(x[:1] == b"T" for x in rcpts)
    return sender[1:].decode(), [x[1:].decode() for x in rcpts]


HEAD = "To: t@b.c\nCc: \"c c\"@b.c\nBcc: b@b.c\n\nx\n"


@pytest.mark.parametrize("words,text,env,want", [
    ([], HEAD, {}, ("joe@dh.example", ["t@b.c", "c c@b.c", "b@b.c"])),
    (["x", "y@z"], HEAD, {}, ("joe@dh.example", ["x@dh.example", "y@z.dd.example"])),
    (["-a", "x"], HEAD, {}, ("joe@dh.example", ["x@dh.example"])),
    (["-h", "x"], HEAD, {}, ("joe@dh.example", ["t@b.c", "c c@b.c", "b@b.c"])),
    (["-H", "x"], HEAD, {}, ("joe@dh.example", ["x@dh.example", "t@b.c", "c c@b.c", "b@b.c"])),
    (["-h"], "To: t@b.c\nResent-Bcc: r@b.c\n\nx\n", {}, ("joe@dh.example", ["r@b.c"])),
    (["-fs@h", "x"], HEAD, {}, ("s@h.dd.example", ["x@dh.example"])),
    (["-f", "", "x"], HEAD, {}, ("", ["x@dh.example"])),
    (["x"], "Return-Path: <r@p>\n\nx\n", {}, ("r@p.dd.example", ["x@dh.example"])),
    (["x"], "Return-Path: <r@p>\n\nx\n", {"QMAILINJECT": "s"}, ("joe@dh.example", ["x@dh.example"])),
    (["-fs@h", "x"], "Return-Path: <r@p>\n\nx\n", {}, ("s@h.dd.example", ["x@dh.example"])),
    (["x"], HEAD, {"QMAILSUSER": "su", "QMAILSHOST": "sh"}, ("su@sh.dd.example", ["x@dh.example"])),
    (["x"], HEAD, {"QMAILINJECT": "r"}, ("joe-@dh.example-@[]", ["x@dh.example"])),
    (["--", "-x"], HEAD, {}, ("joe@dh.example", ["-x@dh.example"])),
])
def test_the_envelope(server, words, text, env, want):
    assert envelope_of(server, words, text, env) == want


def test_a_sender_for_each_message(server):
    sender, _ = envelope_of(server, ["x"], HEAD, {"QMAILINJECT": "m"})
    assert re.fullmatch(r"joe-\d+\.\d+@dh\.example", sender)


def test_into_the_queue(server):
    """Without $QMAILQUEUE: our own; lines of any length, a lone dot, no end."""
    text = b"Subject: s\n\n.\n" + b"x" * 100000 + b"\nlast"
    assert run(server, ["ann@example.test"], text).returncode == 0
    mail = server.wait_mails("ann")[0].replace(b"\r\n", b"\n")
    assert mail.endswith(text[text.index(b"\n\n"):] + b"\n") and b"\nFrom: <joe@dh.example>\n" in mail
    r = run(server, ["ann@example.test"], b"\n" + b"x\n" * 200000)
    assert r.returncode == 100 and b"fatal: message larger than message_size_limit" in r.stderr, r


@pytest.mark.parametrize("words,text,env,status,said", [
    (["-x"], b"", {}, 100, b"usage"),
    (["-f"], b"", {}, 100, b"usage"),
    ([], b"Subject: s\n\n", {}, 100, b"no recipients"),
    (["a b"], b"\n", {}, 100, b"recipient"),
    (["a@b\nBcc: c@d.e"], b"\n", {}, 100, b"recipient"),
    (["a"], b"\n", {"QMAILUSER": "a\nb"}, 100, b"is no address"),
    (["a"], b"\n", {"QMAILQUEUE": "/none"}, 111, b"unable to exec qq"),
    (["a"], b"\n", {"QMAILQUEUE": "/bin/false"}, 111, b"qq temporary problem (#4.3.0)"),
    (["a"], b"X: " + b"x" * 2000000, {}, 100, b"header longer than"),
], ids=range(9))
def test_failures(server, words, text, env, status, said):
    r = run(server, words, text, env)
    assert r.returncode == status and said in r.stderr, r


@pytest.mark.parametrize("code,text,status", [(11, b"envelope address too long", 100), (31, b"permanently", 100),
                                              (53, b"write error", 111), (71, b"temporarily", 111), (33, b"permanent", 100),
                                              (82, b"", 111)])
def test_what_codes_mean(server, code, text, status):
    program = server.dir / f"exit{code}"
    program.write_text(f"#!/bin/sh\ncat >/dev/null\nexit {code}\n")
    program.chmod(0o755)
    r = run(server, ["a"], b"\n", {"QMAILQUEUE": str(program)})
    assert r.returncode == status and text in r.stderr


def test_a_text_of_the_queue(server):
    program = server.dir / "text"
    program.write_text("#!/bin/sh\ncat >/dev/null\nprintf 'Dno such luck (#5.0.0)' >&6\nexit 82\n")
    program.chmod(0o755)
    r = run(server, ["a"], b"\n", {"QMAILQUEUE": str(program)})
    assert r.returncode == 100 and r.stderr == b"qmail-inject: fatal: no such luck (#5.0.0)\n", r


@pytest.mark.parametrize("words, whole", [(12, True), (13, False), (14, False), (1400, False)])
def test_header_address_token_limit(server, words, whole):
    """joe, the comma, <ann>: five tokens, and one for each word before it.
    Past the limit the rest stays as it is; who would be lost is not."""
    conf = server.dir / "tokens.conf"
    conf.write_text(server.conf_path.read_text() + "header_address_token_limit = 17\n")
    text = f"Cc: joe, {' '.join(['w'] * words)} <ann>\n\nx\n".encode()
    r = run(server, ["-n", "-a", "bob@example.test"], text, {"WEIR_CONF": str(conf)})
    assert r.returncode == 0 and b"Cc: joe@dh.example," in r.stdout, r
    assert (b"<ann@dh.example" in r.stdout) == whole, r.stdout
    assert (b"limit header_address_token_limit (17) reached by field Cc: its rest is not rewritten" in r.stderr) != whole
    r = run(server, ["-n"], text, {"WEIR_CONF": str(conf)})
    assert r.returncode == (0 if whole else 100), r
    assert (b"field Cc has more than 17 words and signs (header_address_token_limit)" in r.stderr) != whole


# ---- sendmail in qmail's manner ----

def test_sendmail(server):
    r = run(server, ["-fpat@p.example", "-FPat P", "-oi", "-i", "-t", "sm@example.test"],
            b"To: sm2@example.test\n\n.\nx\n", name="sendmail")
    assert r.returncode == 0, r
    for user in ("sm", "sm2"):
        mail = server.wait_mails(user)[0]
        assert b'From: "Pat P" <pat@p.example>' in mail and b"Return-Path: <pat@p.example>" in mail
    r = run(server, ["sm3@example.test"], b"To: sm4@example.test\n\nx\n", name="sendmail")
    assert r.returncode == 0 and server.wait_mails("sm3") and not server.mails("sm4")


def test_sendmail_modes(server):
    r = run(server, ["-bs"], b"HELO x\r\nQUIT\r\n", name="sendmail")
    assert r.returncode == 0 and r.stdout.startswith(b"220 ") and b"\r\n221 " in r.stdout
    for words in (["-q"], ["-Nnever", "a"], ["-bd"], ["-bi"]):
        r = run(server, words, b"", name="sendmail")
        assert r.returncode == 100 and r.stderr.startswith(b"sendmail: usage: "), r
    r = run(server, [], b"", name="newaliases")
    assert (r.returncode, r.stderr) == (100, b"sendmail: fatal: please use fastforward/newaliases instead\n")
    for words, name in ((["-bp"], "sendmail"), ([], "mailq")):
        assert run(server, words, b"", name=name).returncode == 0


def test_elsewhere_it_is_sysexits(server):
    (server.dir / "bin").mkdir()
    (server.dir / "bin/sendmail").symlink_to(WEIR)
    r = run(server, ["-bd"], b"", name="../../bin/sendmail")
    assert r.returncode == 64
