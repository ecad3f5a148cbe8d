"""Real clients deliver real mail."""
import os
import shutil
import smtplib
import subprocess
from email.message import EmailMessage

import pytest

from harness import Weir, wait_for

ATTACHMENT = os.urandom(5 * 1024 * 1024)
BODY8 = "Grüße aus Köln, 8-bit.\n"


def need(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def check(w, users, text=None):
    for u in users:
        raw = w.wait_mails(u)[0]
        if text:
            assert text.encode() in raw


def test_swaks(weir, tmp_path):
    need("swaks")
    f = tmp_path / "a.bin"
    f.write_bytes(ATTACHMENT)
    subprocess.run(["swaks", "--server", f"127.0.0.1:{weir.port}", "--from", "a@client.example",
                    "--to", "joe@example.test,ann@example.test", "--h-Subject", "swaks",
                    "--body", "plain text", "--attach", f"@{f}"], check=True, capture_output=True)
    check(weir, ["joe", "ann"], "plain text")
    assert len(weir.mails("joe")[0]) > len(ATTACHMENT)


@pytest.mark.parametrize("option", ["--pipeline", "--protocol=SMTP", "--protocol=ESMTP"])
def test_swaks_protocols(weir, option):
    need("swaks")
    subprocess.run(["swaks", "--server", f"127.0.0.1:{weir.port}", "--from", "a@client.example",
                    "--to", "joe@example.test", option], check=True, capture_output=True)
    check(weir, ["joe"])


def test_curl(weir, tmp_path):
    need("curl")
    f = tmp_path / "mail"
    f.write_text("From: a@client.example\r\nSubject: curl\r\n\r\n" + BODY8.replace("\n", "\r\n"))
    subprocess.run(["curl", "-sS", f"smtp://127.0.0.1:{weir.port}/client.example",
                    "--mail-from", "a@client.example", "--mail-rcpt", "joe@example.test",
                    "--mail-rcpt", "ann@example.test", "--upload-file", str(f)], check=True)
    check(weir, ["joe", "ann"], "Grüße aus Köln")


def test_msmtp(weir):
    need("msmtp")
    subprocess.run(["msmtp", "--host=127.0.0.1", f"--port={weir.port}", "--from=a@client.example",
                    "--file=/dev/null", "joe@example.test", "ann@example.test"],
                   input=b"Subject: msmtp\n\n.leading\nplain\n", check=True)
    check(weir, ["joe", "ann"], ".leading\nplain\n")


def test_smtplib(weir):
    m = EmailMessage()
    m["From"], m["To"], m["Subject"] = "a@client.example", "joe@example.test", "smtplib"
    m.set_content(BODY8)
    m.add_attachment(ATTACHMENT, maintype="application", subtype="octet-stream", filename="a.bin")
    with smtplib.SMTP("127.0.0.1", weir.port) as s:
        s.send_message(m, to_addrs=["joe@example.test", "ann@example.test"])
    import email
    import email.policy
    for u in ("joe", "ann"):
        got = email.message_from_bytes(weir.wait_mails(u)[0], policy=email.policy.default)
        part = next(p for p in got.iter_attachments())
        assert part.get_content() == ATTACHMENT


def test_perl_net_smtp(weir):
    need("perl")
    script = r"""
use Net::SMTP;
my $s = Net::SMTP->new("127.0.0.1", Port => $ARGV[0], Hello => "client.example") or die "connect";
$s->mail('a@client.example') or die;
$s->to('joe@example.test', 'ann@example.test') or die;
$s->data() or die;
$s->datasend("Subject: perl\n\n.dot\nGr\xc3\xbc\xc3\x9fe\n") or die;
$s->dataend() or die $s->message;
$s->quit;
"""
    subprocess.run(["perl", "-e", script, str(weir.port)], check=True)
    check(weir, ["joe", "ann"], ".dot\nGrüße\n")
