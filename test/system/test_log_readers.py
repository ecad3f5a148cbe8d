"""log_format = postfix with syslog_name = postfix, read by tools that were made for Postfix's log: pflogsumm and
fail2ban-regex of Debian.  A syslog daemon's date and host stand in front of each line, as it would write them."""
import re
import shutil
import subprocess
import time

import pytest

from harness import FakeMX, Weir, relay_conf, wait_for

FILTER = "/etc/fail2ban/filter.d/postfix.conf"


def answers(verb, arg, conn):
    if verb == "RCPT" and "later@" in arg:
        return "451 4.7.1 greylisted"
    if verb == "RCPT" and "gone@" in arg:
        return "550 5.1.1 no such user"
    return None


def syslog(w):
    """Lines as /var/log/mail.log has them."""
    stamp = time.strftime("%b %e %H:%M:%S mx ", time.localtime())
    return "".join(f"{stamp}{l}\n" for l in w.log().splitlines() if l.startswith("postfix/"))


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """The log of: three messages in, four deliveries, one deferred, one bounced, three recipients refused."""
    mx = FakeMX(answers)
    conf = dict(relay_conf(mx),
                syslog_name="postfix", virtual_mailbox_maps="inline:{ joe@example.test = joe/Maildir/ }",
                mynetworks="127.0.0.1/32")
    try:
        with Weir(conf) as w:
            w.send(["joe@example.test"], "one", "s@test.example")
            w.send(["a@far.example", "b@far.example"], "two", "joe@example.test")
            w.send(["later@far.example", "gone@far.example"], "three", "joe@example.test")
            with w.client(source="127.0.0.7") as c:
                c.ok("EHLO stranger.example")
                c.ok("MAIL FROM:<x@stranger.example>")
                assert c.cmd("RCPT TO:<y@elsewhere.example>")[0] == 554
                assert c.cmd("RCPT TO:<nobody@example.test>")[0] == 550
                assert c.cmd("RCPT TO:<noone@example.test>")[0] == 550
                c.cmd("QUIT")
            wait_for(lambda: len(re.findall(r"status=(sent|bounced|deferred)", w.log())) >= 6, lambda: w.log())
            w.wait_log(r"disconnect from \S+\[127\.0\.0\.7\]")
            path = tmp_path_factory.mktemp("log") / "mail.log"
            path.write_text(syslog(w))
            path.with_suffix(".text").write_text(w.log())
            yield path
    finally:
        mx.close()


@pytest.mark.skipif(not shutil.which("pflogsumm"), reason="needs pflogsumm")
def test_pflogsumm_counts_what_happened(log):
    r = subprocess.run(["pflogsumm", "--problems-first", log], capture_output=True, text=True, check=True)
    print(r.stdout)
    assert r.stderr == ""

    def count(what):
        m = re.search(rf"^\s+(\d+)[kmg]?\s+{what}\b", r.stdout, re.M)
        assert m, r.stdout
        return int(m.group(1))

    # The bounce is delivered, but was received from nobody: so it is with Postfix.
    assert [count(w) for w in ("received", "delivered", "deferred", "bounced", "rejected")] == [3, 4, 1, 1, 3]
    for line in (r"1\s+4\.7\.1 greylisted \(in reply to RCPT TO command", r"1\s+nobody@example\.test",
                 r"Relay access denied \(total: 1\)", r"2\s+\d+\s+1\s+\S+ s\s+\S+ s\s+far\.example",
                 r"1\s+\d+\s+test\.example"):
        assert re.search(rf"^\s+{line}", r.stdout, re.M), line


def fail2ban(log, *options):
    r = subprocess.run(["fail2ban-regex", "--usedns=no", *options, log, FILTER + "[mode=more]"],
                       capture_output=True, text=True)
    m = re.search(r"^Lines: (\d+) lines, (\d+) ignored, (\d+) matched, (\d+) missed", r.stdout, re.M)
    assert m, r.stdout + r.stderr
    return int(m.group(3)), r.stdout


@pytest.mark.skipif(not shutil.which("fail2ban-regex"), reason="needs fail2ban")
def test_fail2ban_finds_who_was_refused(log, tmp_path):
    matched, text = fail2ban(log, "-v", "--print-all-matched")
    assert matched == 3, text
    assert re.findall(r"^\|\s+(127\.0\.0\.\d)\s", text, re.M) == ["127.0.0.7"] * 3, text
    # It reads the lines, not their number: another word, and there is no match.
    changed = tmp_path / "changed.log"
    changed.write_text(log.read_text().replace("NOQUEUE: reject:", "NOQUEUE: rejects:"))
    assert fail2ban(changed)[0] == 0
