"""Mail to other servers: next hops, failures, retries, delivery reports."""
import email
import email.policy
import re
import time

import pytest

from harness import FAST_RETRY, FakeDNS, FakeMX, Weir, message, relay_conf, wait_for
from test_controls import named, refused


def report_parts(raw):
    m = email.message_from_bytes(raw, policy=email.policy.default)
    assert m.get_content_type() == "multipart/report", m.get_content_type()
    assert m.get_param("report-type") == "delivery-status"
    return m, m.get_payload()


def test_relayhost(relay):
    id = relay.send("ann@elsewhere.example", subject="out")
    wait_for(lambda: relay.mx.messages, "a message at the next hop")
    sender, rcpts, data = relay.mx.messages[0]
    assert sender.startswith("FROM:<sender@client.example>")
    assert rcpts[0].startswith("TO:<ann@elsewhere.example>")
    assert data.startswith(b"Received:") and b"Subject: out\r\n" in data
    relay.wait_log(rf"{id}: to=<ann@elsewhere\.example>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:"
                   rf"{relay.mx.port}, delay=[\d.]+, delays=[\d./]+, dsn=2\.0\.0, "
                   r"status=sent \(250 2\.0\.0 taken\)$")
    relay.wait_log(rf"{id}: removed$")


def test_dots_survive_the_relay(relay):
    relay.send("ann@elsewhere.example", body=message("dots", ".\r\n..\r\n.x\r\n"))
    wait_for(lambda: relay.mx.messages, "a message")
    assert relay.mx.messages[0][2].endswith(b"\r\n.\r\n..\r\n.x\r\n")


def test_many_recipients_are_one_transaction(relay):
    relay.send([f"u{i}@elsewhere.example" for i in range(50)])
    wait_for(lambda: sum(len(m[1]) for m in relay.mx.messages) == 50, "50 recipients")
    assert len(relay.mx.messages) == 1


def test_recipient_limit_of_a_destination(mx):
    with Weir(dict(relay_conf(mx), default_destination_recipient_limit="7")) as w:
        w.send([f"u{i}@elsewhere.example" for i in range(20)])
        wait_for(lambda: sum(len(m[1]) for m in mx.messages) == 20, "20 recipients")
        assert max(len(m[1]) for m in mx.messages) <= 7
        wait_for(lambda: refused(w, "default_destination_recipient_limit") == 2, "twice more than a delivery takes")


def test_connections_are_reused(relay):
    for i in range(10):
        relay.send("ann@elsewhere.example", subject=f"m{i}")
    wait_for(lambda: len(relay.mx.messages) == 10, "10 messages")
    assert relay.mx.connections < 10


def test_mx_order_and_fallback():
    good = FakeMX(host="127.0.0.3")
    refusing = FakeMX(host="127.0.0.2", port=good.port,
                      script=lambda v, a, c: "421 4.3.2 busy" if v == "CONNECT" else None)
    dns = FakeDNS({
        ("dest.example", "MX"): [(20, "mx3.dest.example"), (10, "mx2.dest.example"),
                                 (5, "mx1.dest.example")],
        ("mx1.dest.example", "A"): "127.0.0.9",
        ("mx2.dest.example", "A"): "127.0.0.2",
        ("mx3.dest.example", "A"): "127.0.0.3",
    })
    try:
        with Weir({"resolver_addresses": f"127.0.0.1:{dns.port}",
                   "smtp_remote_port": str(good.port)}) as w:
            w.send("ann@dest.example")
            wait_for(lambda: good.messages, lambda: "mail at the third MX\n" + w.log())
            assert refusing.connections >= 1
            w.wait_log(r"relay=mx3\.dest\.example\[127\.0\.0\.3\]:\d+, .*status=sent")
    finally:
        good.close(), refusing.close(), dns.close()


def test_address_records_when_there_is_no_mx():
    mx = FakeMX()
    dns = FakeDNS({("plain.example", "A"): "127.0.0.1"})
    try:
        with Weir({"resolver_addresses": f"127.0.0.1:{dns.port}",
                   "smtp_remote_port": str(mx.port)}) as w:
            w.send("ann@plain.example")
            wait_for(lambda: mx.messages, "mail by the address record")
    finally:
        mx.close(), dns.close()


@pytest.mark.parametrize("records, status", [
    ({("none.example", "MX"): [(0, ".")]}, "5.1.10"),
    ({}, "5.4.4"),
    ({("none.example", "MX"): [(10, "mx.test.example")],
      ("mx.test.example", "A"): "127.0.0.1"}, "5.4.6"),
])
def test_destinations_that_cannot_be(records, status):
    dns = FakeDNS(records)
    try:
        with Weir({"resolver_addresses": f"127.0.0.1:{dns.port}"}) as w:
            id = w.send("ann@none.example", sender="joe@example.test")
            w.wait_log(rf"{id}: to=<ann@none\.example>, .*dsn={re.escape(status)}, status=bounced")
            m, parts = report_parts(w.wait_mails("joe")[0])
            assert status in parts[1].as_string()
    finally:
        dns.close()


def test_a_name_server_that_fails_defers():
    dns = FakeDNS({("temp.example", "MX"): "SERVFAIL", ("temp.example", "A"): "SERVFAIL"})
    try:
        with Weir({"resolver_addresses": f"127.0.0.1:{dns.port}"}) as w:
            id = w.send("ann@temp.example")
            w.wait_log(rf"{id}: to=<ann@temp\.example>, .*dsn=4\.4\.3, status=deferred")
    finally:
        dns.close()


def test_recipients_have_results_of_their_own():
    def script(verb, arg, conn):
        if verb == "RCPT" and "bad@" in arg:
            return "550 5.1.1 no such user"
        if verb == "RCPT" and "later@" in arg:
            return "451 4.7.1 greylisted"
        return None
    mx = FakeMX(script)
    try:
        with Weir(relay_conf(mx)) as w:
            id = w.send(["good@far.example", "bad@far.example", "later@far.example"],
                        sender="joe@example.test")
            w.wait_log(rf"{id}: to=<good@far\.example>.*status=sent")
            w.wait_log(rf"{id}: to=<bad@far\.example>.*dsn=5\.1\.1, status=bounced \(host "
                       r"127\.0\.0\.1\[127\.0\.0\.1\] said: 550 5\.1\.1 no such user "
                       r"\(in reply to RCPT TO command\)\)")
            w.wait_log(rf"{id}: to=<later@far\.example>.*dsn=4\.7\.1, status=deferred")
            m, parts = report_parts(w.wait_mails("joe")[0])
            text = parts[1].as_string()
            assert "bad@far.example" in text and "good@far.example" not in text
            assert "later@far.example" not in text
            q = w.queue()
            assert len(q) == 1 and [r["address"] for r in q[0]["recipients"]] == ["later@far.example"]
    finally:
        mx.close()


def test_a_deferred_message_is_retried_and_arrives():
    state = {"fail": True}
    mx = FakeMX(lambda v, a, c: "451 4.3.0 not now" if v == "MAIL" and state["fail"] else None)
    try:
        with Weir(dict(relay_conf(mx), **FAST_RETRY)) as w:
            id = w.send("ann@far.example")
            w.wait_log(rf"{id}: .*status=deferred", count=2)
            state["fail"] = False
            wait_for(lambda: mx.messages, "mail after the retry")
            w.wait_log(rf"{id}: removed")
            w.wait_queue_empty()
    finally:
        mx.close()


def test_alrm_makes_everything_due_now():
    import signal
    state = {"fail": True}
    mx = FakeMX(lambda v, a, c: "451 4.3.0 not now" if v == "MAIL" and state["fail"] else None)
    try:
        with Weir(relay_conf(mx)) as w:
            id = w.send("ann@far.example")
            w.wait_log(rf"{id}: .*status=deferred")
            state["fail"] = False
            w.process.send_signal(signal.SIGALRM)
            wait_for(lambda: mx.messages, "mail after ALRM")
    finally:
        mx.close()


def test_lifetime_ends_in_a_report():
    mx = FakeMX(lambda v, a, c: "451 4.3.0 never" if v == "MAIL" else None)
    try:
        with Weir(dict(relay_conf(mx), maximal_queue_lifetime="3s", **FAST_RETRY)) as w:
            id = w.send("ann@far.example", sender="joe@example.test")
            m, parts = report_parts(w.wait_mails("joe")[0])
            assert "451 4.3.0 never" in parts[1].as_string()
            named(w, "maximal_queue_lifetime", rf"message {id} to ann@far.example")
            assert refused(w, "maximal_queue_lifetime") == 1
            w.wait_log(rf"{id}: removed")
            w.wait_queue_empty()
    finally:
        mx.close()


def test_delay_warning():
    mx = FakeMX(lambda v, a, c: "451 4.3.0 later" if v == "MAIL" else None)
    try:
        with Weir(dict(relay_conf(mx), delay_warning_time="2s", **FAST_RETRY)) as w:
            w.send("ann@far.example", sender="joe@example.test")
            m, parts = report_parts(w.wait_mails("joe")[0])
            assert "Action: delayed" in parts[1].as_string()
            assert len(w.queue()) == 1
            w.wait_log(r"status=deferred", count=4)
            assert len(w.mails("joe")) == 1
    finally:
        mx.close()


def test_report_is_rfc_3464():
    mx = FakeMX(lambda v, a, c: "550-5.7.1 first line\r\n550 5.7.1 second" if v == "RCPT" else None,
                ehlo=("PIPELINING",))
    try:
        with Weir(relay_conf(mx)) as w:
            with w.client() as c:
                c.ok("EHLO client.example")
                c.ok("MAIL FROM:<joe@example.test> RET=FULL ENVID=abc+2Bdef")
                c.ok("RCPT TO:<ann@far.example> ORCPT=rfc822;Ann+40orig.example")
                c.ok("DATA", 354)
                c.send(message("original", "the body\r\n") + ".\r\n")
                assert c.reply()[0] == 250
            m, parts = report_parts(w.wait_mails("joe")[0])
            assert "MAILER-DAEMON" in m["From"].upper() and "joe@example.test" in m["To"]
            assert m["Auto-Submitted"] == "auto-replied"
            assert parts[0].get_content_type() == "text/plain"
            assert "ann@far.example" in parts[0].get_content()
            assert parts[1].get_content_type() == "message/delivery-status"
            s = parts[1].as_string()
            for field in ("Reporting-MTA: dns; mx.test.example", "Arrival-Date:",
                          "Original-Envelope-Id: abc+def", "Action: failed", "Status: 5.7.1"):
                assert field in s, (field, s)
            assert re.search(r"Original-Recipient: rfc822; ?Ann@orig\.example", s), s
            assert re.search(r"Final-Recipient: rfc822; ?ann@far\.example", s), s
            assert re.search(r"Diagnostic-Code: smtp; ?550", s), s
            assert parts[2].get_content_type() == "message/rfc822"
            assert "the body" in parts[2].as_string()
            raw = w.mails("joe")[0]
            assert raw.startswith(b"Return-Path: <>\n")
    finally:
        mx.close()


def test_report_of_a_big_message_has_headers_only():
    mx = FakeMX(lambda v, a, c: "550 5.1.1 no" if v == "RCPT" else None)
    try:
        with Weir(dict(relay_conf(mx), bounce_size_limit="2000")) as w:
            w.send("ann@far.example", sender="joe@example.test",
                   body=message("big", "secret line\r\n" * 500))
            m, parts = report_parts(w.wait_mails("joe")[0])
            assert parts[2].get_content_type() == "text/rfc822-headers"
            assert b"Subject: big" in w.mails("joe")[0]
            assert b"secret line" not in w.mails("joe")[0]
    finally:
        mx.close()


def test_notify_never_gives_no_report():
    mx = FakeMX(lambda v, a, c: "550 5.1.1 no" if v == "RCPT" else None)
    try:
        with Weir(relay_conf(mx)) as w:
            with w.client() as c:
                c.ok("EHLO client.example")
                c.ok("MAIL FROM:<joe@example.test>")
                c.ok("RCPT TO:<ann@far.example> NOTIFY=NEVER")
                c.ok("DATA", 354)
                c.send(message("never") + ".\r\n")
                id = c.reply()[1].split()[-1]
            w.wait_log(rf"{id}: removed")
            assert w.mails("joe") == []
    finally:
        mx.close()


def test_row_43_a_report_that_fails_goes_to_the_postmaster_and_no_further():
    mx = FakeMX(lambda v, a, c: "550 5.1.1 no" if v == "RCPT" else None)
    try:
        with Weir(dict(relay_conf(mx), doublebounceto="boss", doublebouncehost="example.test")) as w:
            w.send("ann@far.example", sender="gone@alsofar.example")
            m, parts = report_parts(w.wait_mails("boss")[0])
            w.wait_queue_empty()
            assert len(w.mails("boss")) == 1
        with Weir(dict(relay_conf(mx), doublebounceto="boss", doublebouncehost="far.example")) as w:
            w.send("ann@far.example", sender="gone@alsofar.example")
            w.wait_queue_empty()
            assert w.count_log(r"status=bounced") == 3
    finally:
        mx.close()


def test_success_notification_of_a_local_delivery(weir):
    with weir.client() as c:
        c.ok("EHLO client.example")
        c.ok("MAIL FROM:<joe@example.test>")
        c.ok("RCPT TO:<ann@example.test> NOTIFY=SUCCESS")
        c.ok("DATA", 354)
        c.send(message("notify") + ".\r\n")
        assert c.reply()[0] == 250
    m, parts = report_parts(weir.wait_mails("joe")[0])
    assert "Action: delivered" in parts[1].as_string()


def test_dsn_parameters_are_passed_on():
    mx = FakeMX(ehlo=("PIPELINING", "DSN", "SIZE", "8BITMIME"))
    try:
        with Weir(relay_conf(mx)) as w:
            with w.client() as c:
                c.ok("EHLO client.example")
                c.ok("MAIL FROM:<joe@example.test> RET=HDRS ENVID=xyz")
                c.ok("RCPT TO:<ann@far.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@b.example")
                c.ok("DATA", 354)
                c.send(message("dsn") + ".\r\n")
                c.reply()
            wait_for(lambda: mx.messages, "mail")
            sender, rcpts, _ = mx.messages[0]
            assert "RET=HDRS" in sender and "ENVID=xyz" in sender
            assert "NOTIFY=SUCCESS,DELAY" in rcpts[0] and "ORCPT=rfc822;a@b.example" in rcpts[0]
    finally:
        mx.close()


def test_helo_fallback():
    mx = FakeMX(lambda v, a, c: "502 5.5.1 what?" if v == "EHLO" else None)
    try:
        with Weir(relay_conf(mx)) as w:
            w.send("ann@far.example")
            wait_for(lambda: mx.messages, "mail after HELO")
            assert any(c.startswith("HELO ") for c in mx.commands)
            assert "SIZE" not in mx.messages[0][0]
    finally:
        mx.close()


def test_a_message_too_big_for_the_next_hop_is_not_sent():
    mx = FakeMX(ehlo=("SIZE 1000",))
    try:
        with Weir(relay_conf(mx)) as w:
            id = w.send("ann@far.example", sender="joe@example.test",
                        body=message("big", "x" * 70 + "\r\n" * 40 + "x\r\n" * 1000))
            w.wait_log(rf"{id}: to=<ann@far\.example>.*dsn=5\.3\.4, status=bounced")
            assert mx.messages == []
    finally:
        mx.close()


HANGS = {
    "at connect": lambda v, a, c: "close" if v == "CONNECT" else None,
    "at EHLO": lambda v, a, c: "close" if v in ("EHLO", "HELO") else None,
    "at MAIL": lambda v, a, c: "close" if v == "MAIL" else None,
    "at RCPT": lambda v, a, c: "close" if v == "RCPT" else None,
    "at DATA": lambda v, a, c: "close" if v == "DATA" else None,
    "after the dot": lambda v, a, c: "close" if v == "." else None,
    "endless reply": lambda v, a, c: "250-x\r\n" * 5000 + "250 x" if v == "EHLO" else None,
    "a reply line of a megabyte": lambda v, a, c: "250 " + "x" * 1000000 if v == "MAIL" else None,
    "nonsense": lambda v, a, c: "\x00\xff hello" if v == "MAIL" else None,
    "wrong code": lambda v, a, c: "354 go" if v == "MAIL" else None,
    "changing code": lambda v, a, c: "250-a\r\n550 b" if v == "MAIL" else None,
}


@pytest.mark.parametrize("how", HANGS)
def test_row_42_a_hostile_next_hop_costs_only_a_deferral(how):
    mx = FakeMX(HANGS[how])
    good = FakeMX()
    try:
        with Weir({"transport_maps": "inline:{ bad.example = smtp:[127.0.0.1]:%d, "
                                     "good.example = smtp:[127.0.0.1]:%d }" % (mx.port, good.port)}) as w:
            id = w.send("ann@bad.example")
            m = w.wait_log(rf"{id}: to=<ann@bad\.example>.*status=(\w+)")
            assert m.group(1) in ("deferred", "sent") if "reply" in how else m.group(1) == "deferred"
            w.send("bob@good.example")
            wait_for(lambda: good.messages, "the good destination still gets mail")
            raw = w.log_path.read_bytes()
            assert b"\x00" not in raw and b"\xff" not in raw
    finally:
        mx.close(), good.close()


def test_a_silent_next_hop_times_out():
    mx = FakeMX(lambda v, a, c: time.sleep(20) if v == "MAIL" else None)
    try:
        with Weir(dict(relay_conf(mx), smtp_mail_timeout="1s")) as w:
            id = w.send("ann@far.example")
            w.wait_log(rf"{id}: to=<ann@far\.example>.*dsn=4\.4\.2, status=deferred \(.*timed out")
            named(w, "smtp_mail_timeout", r"\S+\[127\.0\.0\.1\]")
            assert refused(w, "smtp_mail_timeout") == 1
    finally:
        mx.close()


def test_nothing_listens_there():
    with Weir({"relayhost": "[127.0.0.1]:1"}) as w:
        id = w.send("ann@far.example")
        w.wait_log(rf"{id}: to=<ann@far\.example>, relay=none, .*dsn=4\.4\.1, status=deferred "
                   r"\(.*Connection refused\)")


def test_transport_maps_error_and_discard():
    with Weir({"transport_maps": "inline:{ dead.example = error:5.1.2 gone for good, "
                                 "hole.example = discard: }"}) as w:
        id = w.send("x@hole.example")
        w.wait_log(rf"{id}: to=<x@hole\.example>, relay=none, .*status=sent ")
        with w.client() as c:
            c.ok("EHLO client.example")
            c.ok("MAIL FROM:<joe@example.test>")
            code, text = c.cmd("RCPT TO:<x@dead.example>")
            assert code in (250, 550)
            if code == 550:
                assert "gone for good" in text


def test_defer_transports_holds_mail_back(mx):
    with Weir(dict(relay_conf(mx), defer_transports="smtp")) as w:
        id = w.send("ann@far.example")
        w.wait_log(rf"{id}: to=<ann@far\.example>.*status=deferred \(deferred transport\)")
        assert mx.connections == 0


def test_concurrency_remote_is_never_exceeded():
    state = {"now": 0, "peak": 0}
    import threading
    lock = threading.Lock()

    def script(verb, arg, conn):
        if verb == "MAIL":
            with lock:
                state["now"] += 1
                state["peak"] = max(state["peak"], state["now"])
            time.sleep(0.05)
        if verb == ".":
            with lock:
                state["now"] -= 1
        return None
    mx = FakeMX(script)
    try:
        with Weir(dict(relay_conf(mx), concurrency_remote="3")) as w:
            for i in range(20):
                w.send(f"u{i}@far.example")
            wait_for(lambda: len(mx.messages) == 20, "20 messages")
            assert state["peak"] == 3, state
            w.wait_log(r"status: local \d+/10 remote \d/3")
    finally:
        mx.close()


def test_concurrency_zero_holds_the_channel(mx):
    with Weir(dict(relay_conf(mx), concurrency_remote="0")) as w:
        w.send("ann@far.example")
        w.send("joe@example.test")
        w.wait_mails("joe")
        assert mx.connections == 0
        w.wait_log(r"status: local \d/10 remote 0/0")
        w.write_conf(concurrency_remote="2")
        w.hup()
        wait_for(lambda: mx.messages, "mail after the reload")


def test_a_list_does_not_starve_a_single_message():
    """A single mail behind a message with many recipients waits for at most
    the deliveries that run and one more."""
    order = []

    def script(verb, arg, conn):
        if verb == "RCPT":
            order.append(arg)
        return None
    mx = FakeMX(script)
    try:
        with Weir(dict(relay_conf(mx), concurrency_remote="1", smtpd_recipient_limit="1000",
                       default_destination_recipient_limit="5")) as w:
            w.send([f"list{i}@far.example" for i in range(500)])
            w.send("single@far.example")
            wait_for(lambda: len(order) >= 501, "all recipients")
            place = next(i for i, a in enumerate(order) if "single@" in a)
            assert place < 250, place
    finally:
        mx.close()
