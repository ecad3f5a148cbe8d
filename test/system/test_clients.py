"""Real clients deliver real mail: each of them each kind of message."""
import base64
import email
import email.policy
import os
import shutil
import smtplib
import subprocess

import pytest

ATTACHMENT = os.urandom(5 * 1024 * 1024)
TO = ["joe@example.test", "ann@example.test", "bob@example.test"]


def plain():
    return "Subject: plain\n\nA plain line.\n.a line with a dot\n", TO[:1]


def eight_bit():
    return ("Subject: 8-bit\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: 8bit\n\nGrüße aus Köln, 漢字.\n"), TO[:1]


def attachment():
    text = base64.encodebytes(ATTACHMENT).decode()
    return ("Subject: attachment\nMIME-Version: 1.0\n"
            'Content-Type: multipart/mixed; boundary="=b"\n\n--=b\nContent-Type: text/plain\n\nsee below\n'
            "--=b\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n"
            f"Content-Disposition: attachment; filename=a.bin\n\n{text}\n--=b--\n"), TO[:1]


def several():
    return "Subject: several\n\nTo three of you.\n", TO


KINDS = [plain, eight_bit, attachment, several]


def crlf(text):
    return text.replace("\n", "\r\n").encode()


def swaks(port, text, to, tmp):
    f = tmp / "mail"
    f.write_text("From: a@client.example\n" + text)
    subprocess.run(["swaks", "--server", f"127.0.0.1:{port}", "--from", "a@client.example",
                    "--to", ",".join(to), "--data", f"@{f}"], check=True, capture_output=True)


def curl(port, text, to, tmp):
    f = tmp / "mail"
    f.write_bytes(crlf("From: a@client.example\n" + text))
    rcpts = [x for r in to for x in ("--mail-rcpt", r)]
    subprocess.run(["curl", "-sS", f"smtp://127.0.0.1:{port}/client.example", "--mail-from",
                    "a@client.example", *rcpts, "--upload-file", str(f)], check=True)


def msmtp(port, text, to, tmp):
    subprocess.run(["msmtp", "--host=127.0.0.1", f"--port={port}", "--from=a@client.example",
                    "--file=/dev/null", *to], input=text.encode(), check=True)


def python(port, text, to, tmp):
    with smtplib.SMTP("127.0.0.1", port) as s:
        s.sendmail("a@client.example", to, crlf(text), mail_options=["BODY=8BITMIME"])


PERL = r"""
use Net::SMTP;
my ($port, $file, @to) = @ARGV;
my $s = Net::SMTP->new("127.0.0.1", Port => $port, Hello => "client.example") or die "connect";
$s->mail('a@client.example') or die $s->message;
$s->to(@to) or die $s->message;
$s->data() or die $s->message;
open my $f, "<:raw", $file or die;
while (<$f>) { $s->datasend($_) or die "datasend"; }
$s->dataend() or die $s->message;
$s->quit;
"""


def perl(port, text, to, tmp):
    f = tmp / "mail"
    f.write_text(text)
    subprocess.run(["perl", "-e", PERL, str(port), str(f), *to], check=True)


CLIENTS = [swaks, curl, msmtp, python, perl]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda c: c.__name__)
def test_client(weir, tmp_path, client, kind):
    if client is not python and not shutil.which(client.__name__):
        pytest.skip(f"{client.__name__} is not installed")
    text, to = kind()
    client(weir.port, text, to, tmp_path)
    want = text.split("\n\n", 1)[1]
    for r in to:
        raw = weir.wait_mails(r.split("@")[0])[0]
        got = raw.decode()
        assert got.split("\n\n", 1)[1].rstrip("\n") == want.rstrip("\n"), got[:2000]
        if kind is attachment:
            m = email.message_from_bytes(raw, policy=email.policy.default)
            assert next(m.iter_attachments()).get_content() == ATTACHMENT


@pytest.mark.parametrize("option", ["--pipeline", "--protocol=SMTP", "--protocol=ESMTP"])
def test_swaks_protocols(weir, option):
    if not shutil.which("swaks"):
        pytest.skip("swaks is not installed")
    subprocess.run(["swaks", "--server", f"127.0.0.1:{weir.port}", "--from", "a@client.example",
                    "--to", "joe@example.test", option], check=True, capture_output=True)
    weir.wait_mails("joe")
