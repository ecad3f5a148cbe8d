"""log_format = qmail for those who read it: first what qmail itself writes, then what Weir does."""
import re

import pytest

from harness import FAST_RETRY, FakeMX, Weir, relay_conf, wait_for
from qmail_log import Matchup, Unreadable, parse

# Seen on a running notqmail 1.09; what the fields are.
FACTS = [
    ("new msg 10969250", "new", {"msg": "10969250"}),
    ("info msg 10969250: bytes 251 from <s@test.example> qp 16992 uid 0", "info",
     {"msg": "10969250", "bytes": "251", "sender": "s@test.example", "qp": "16992", "uid": "0"}),
    ("starting delivery 1: msg 10969250 to local joe@test.example", "start",
     {"delivery": "1", "msg": "10969250", "channel": "local", "recipient": "joe@test.example"}),
    ("starting delivery 20: msg 10969261 to remote fwd@ok.example", "start",
     {"delivery": "20", "msg": "10969261", "channel": "remote", "recipient": "fwd@ok.example"}),
    ("starting delivery 29: msg 10969347 to local joe-v-a@virt.example", "start",
     {"delivery": "29", "msg": "10969347", "channel": "local", "recipient": "joe-v-a@virt.example"}),
    ("delivery 1: success: did_1+0+0/", "end", {"delivery": "1", "result": "success", "text": "did_1+0+0/"}),
    ("delivery 20: success: 127.0.0.1_accepted_message./Remote_host_said:_250_2.0.0_queued_as_42/", "end",
     {"delivery": "20", "result": "success",
      "text": "127.0.0.1_accepted_message./Remote_host_said:_250_2.0.0_queued_as_42/"}),
    ("delivery 39: deferral: 127.0.0.1_does_not_like_recipient./Remote_host_said:_451_4.7.1_greylisted/"
     "Giving_up_on_127.0.0.1./", "end",
     {"delivery": "39", "result": "deferral",
      "text": "127.0.0.1_does_not_like_recipient./Remote_host_said:_451_4.7.1_greylisted/Giving_up_on_127.0.0.1./"}),
    ("delivery 41: failure: 127.0.0.1_does_not_like_recipient./Remote_host_said:_550-5.1.1_no_such_user/"
     "550_go_away/Giving_up_on_127.0.0.1./", "end",
     {"delivery": "41", "result": "failure",
      "text": "127.0.0.1_does_not_like_recipient./Remote_host_said:_550-5.1.1_no_such_user/550_go_away/"
              "Giving_up_on_127.0.0.1./"}),
    ("delivery 35: deferral: Connected_to_127.0.0.1_but_greeting_failed./Remote_host_said:_554_no_way/", "end",
     {"delivery": "35", "result": "deferral",
      "text": "Connected_to_127.0.0.1_but_greeting_failed./Remote_host_said:_554_no_way/"}),
    ("delivery 7: deferral: ", "end", {"delivery": "7", "result": "deferral", "text": ""}),
    ("delivery 9: report mangled, will defer", "mangled", {"delivery": "9"}),
    ("bounce msg 10969101 qp 17019", "bounce", {"msg": "10969101", "qp": "17019"}),
    ("triple bounce: discarding bounce/10969101", "triple", {"msg": "10969101"}),
    ("end msg 10969250", "over", {"msg": "10969250"}),
    ("status: local 0/10 remote 0/20", "status",
     {"local": "0", "local_max": "10", "remote": "0", "remote_max": "20"}),
    ("status: local 0/8 remote 0/15 exitasap", "status",
     {"local": "0", "local_max": "8", "remote": "0", "remote_max": "15", "exitasap": " exitasap"}),
    ("status: exiting", "exiting", {}),
    ("alert: cannot start: qmail-send is already running", "alert",
     {"text": "cannot start: qmail-send is already running"}),
    ("warning: trouble marking local/2/5; message will be delivered twice!", "warning",
     {"text": "trouble marking local/2/5; message will be delivered twice!"}),
]


@pytest.mark.parametrize("line, kind, fields", FACTS, ids=[f[0][:40] for f in FACTS])
def test_the_parser_reads_qmails_lines_and_every_byte_of_them(line, kind, fields):
    assert parse(line) == (kind, fields)
    for at in range(len(line)):
        for other in "\x01 %~7x/":
            changed = line[:at] + other + line[at + 1:]
            if changed == line:
                continue
            try:
                assert parse(changed) != (kind, fields), (at, changed)
            except Unreadable:
                pass
        with pytest.raises(Unreadable):
            parse(line[:at] + "\n" + line[at + 1:])


GOOD = """new msg 5
info msg 5: bytes 251 from <s@test.example> qp 16992 uid 0
starting delivery 1: msg 5 to local joe@test.example
status: local 1/10 remote 0/20
delivery 1: success: did_1+0+0/
status: local 0/10 remote 0/20
end msg 5""".split("\n")


def test_the_order_of_lines_counts():
    Matchup(GOOD)
    for at in range(len(GOOD) - 1):
        with pytest.raises(Unreadable):
            Matchup(GOOD[:at] + GOOD[at + 1:])
        with pytest.raises(Unreadable):
            Matchup(GOOD[:at] + [GOOD[at + 1], GOOD[at]] + GOOD[at + 2:])


def lines(w):
    return w.log().splitlines()


def answers(verb, arg, conn):
    if verb == "RCPT" and "later@" in arg:
        return "451 4.7.1 greylisted"
    if verb == "RCPT" and "gone@" in arg:
        return "550-5.1.1 no such user\r\n550 go away"
    return None


@pytest.fixture(scope="module")
def run():
    """One server, mail of every fate, its whole log."""
    mx = FakeMX(answers)
    conf = dict(relay_conf(mx), **FAST_RETRY, log_format="qmail", bounce_format="qmail",
                retry_schedule="quadratic", virtual_mailbox_maps="inline:{ joe@example.test = joe/Maildir/ }")
    try:
        with Weir(conf) as w:
            w.send(["joe@example.test"], "one", "s@test.example")
            w.send(["a@far.example", "b@far.example"], "two", "joe@example.test")
            w.send(["later@far.example"], "three", "joe@example.test")
            w.send(["gone@far.example"], "four", "joe@example.test")
            w.send(["joe@example.test"], "100%", "%\x7e{a|b}@test.example")
            wait_for(lambda: len(w.mails("joe")) == 3, lambda: w.log())      # one of them the bounce
            wait_for(lambda: w.log().count("end msg ") == 5, lambda: w.log())
            w.stop()
            yield w, mx
    finally:
        mx.close()


def test_a_real_run_is_read_to_the_last_line(run):
    w, _ = run
    m = Matchup(lines(w))
    assert m.exiting and not m.open
    assert lines(w)[-1].startswith("master: stopped") and "status: exiting" in lines(w)
    assert m.statuses[0] == {"local": 0, "local_max": 10, "remote": 0, "remote_max": 20}
    by_sender = {}
    for i, msg in m.messages.items():
        assert msg["qp"] == i
        by_sender.setdefault(msg["sender"], []).append(msg)
    one, = by_sender["s@test.example"]
    d = m.deliveries[one["deliveries"][0]]
    assert (d["channel"], d["recipient"], d["result"], d["text"]) == (
        "local", "joe@example.test", "success", "did_1+0+0/")
    odd, = by_sender["_~{a|b}@test.example"]
    assert odd["over"]
    results = {d["recipient"]: (d["channel"], d["result"], d["text"])
               for d in m.deliveries.values() if "far" in d["recipient"]}
    port = r"127\.0\.0\.1"
    for who in ("a@far.example", "b@far.example"):
        assert results[who][:2] == ("remote", "success")
        assert re.fullmatch(port + r"_accepted_message\./Remote_host_said:_250_2\.0\.0_taken/", results[who][2])
    assert results["later@far.example"] == (
        "remote", "deferral", "127.0.0.1_does_not_like_recipient./Remote_host_said:_451_4.7.1_greylisted/"
        "Giving_up_on_127.0.0.1./")
    assert results["gone@far.example"] == (
        "remote", "failure", "127.0.0.1_does_not_like_recipient./Remote_host_said:_550-5.1.1_no_such_user/"
        "550_go_away/Giving_up_on_127.0.0.1./")
    failed, = [msg for msg in m.messages.values() if "bounce" in msg]
    assert m.messages[failed["bounce"]]["sender"] == ""
    waits, = [msg for msg in m.messages.values() if not msg.get("over")]
    assert m.deliveries[waits["deliveries"][0]]["recipient"] == "later@far.example"
    # Among the lines of a server that is at work are those of other roles.
    assert "role" in m.kinds and "smtpd: status: 0/" in w.log()


def test_its_bounce_is_qmails(run):
    w, _ = run
    text, = [t for t in map(bytes.decode, w.mails("joe")) if "failure notice" in t]
    head, _, body = text.partition("\n\n")
    assert "\nFrom: MAILER-DAEMON@mx.test.example\n" in head and "\nTo: joe@example.test\n" in head
    assert body.startswith(
        "Hi. This is the qmail-send program at mx.test.example.\n"
        "I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        "This is a permanent error; I've given up. Sorry it didn't work out.\n"
        "\n"
        "<gone@far.example>:\n"
        "127.0.0.1 does not like recipient.\n"
        "Remote host said: 550-5.1.1 no such user\n"
        "550 go away\n"
        "Giving up on 127.0.0.1.\n"
        "\n"
        "--- Below this line is a copy of the message.\n"
        "\n"
        "Return-Path: <joe@example.test>\n")
    assert "\nSubject: four\n" in body
