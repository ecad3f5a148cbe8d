"""weir import-qmail and import-postfix: what they print is a weir.conf."""
import pathlib
import subprocess

import pytest

from harness import WEIR


def weir(*args):
    r = subprocess.run([WEIR, *map(str, args)], capture_output=True, text=True, timeout=30)
    return r.returncode, r.stdout, r.stderr


def values(text):
    """name -> value of what would be read, and the remarks."""
    lines = text.splitlines()
    return (dict(l.split(" = ", 1) if " = " in l else (l.removesuffix(" ="), "")
                 for l in lines if l and not l.startswith("#")),
            [l for l in lines if l.startswith("#")])


def loads(tmp_path, text):
    conf = tmp_path / "imported.conf"
    conf.write_text(text)
    code, _, err = weir("check", "-c", conf)
    assert code == 0, err


def control(tmp_path, **files):
    d = tmp_path / "qmail" / "control"
    d.mkdir(parents=True)
    for name, text in {"me": "mx.example.org", **files}.items():
        (d / name).write_text(text + "\n")
    return d.parent


def test_a_qmail_installation(tmp_path):
    home = control(tmp_path, locals="example.org\nmx.example.org", rcpthosts="example.org\n.example.com",
                   concurrencylocal="8", concurrencyremote="200", concurrencyincoming="60",
                   virtualdomains="virt.example:joe", smtproutes=":relay.example:26", databytes="1000000",
                   queuelifetime="86400", plusdomain="x.example")
    (home / "rc").write_text('#!/bin/sh\nexec env - PATH="/var/qmail/bin:$PATH" \\\n'
                             "qmail-start ./Maildir/ splogger qmail\n")
    (home / "users").mkdir()
    (home / "users/cdb").write_bytes(b"")
    rules = tmp_path / "tcp.smtp"
    rules.write_text('127.:allow,RELAYCLIENT=""\n192.168.1.:allow,RELAYCLIENT=""\n'
                     '10.9.8.7:allow,RELAYCLIENT=""\n10.1.2.3:deny\n:allow\n')
    code, out, err = weir("import-qmail", "-x", rules, home)
    assert code == 0, err
    v, remarks = values(out)
    assert v["mydestination"] == "example.org, mx.example.org"
    assert v["relay_domains"] == "example.org, .example.com"
    assert (v["concurrency_local"], v["concurrency_remote"], v["concurrency_incoming"]) == ("8", "200", "60")
    assert v["virtualdomains"] == "virt.example:joe" and v["smtproutes"] == ":relay.example:26"
    assert v["message_size_limit"] == "1000000" and v["maximal_queue_lifetime"] == "86400s"
    assert v["mynetworks"] == "127.0.0.0/8 192.168.1.0/24 10.9.8.7"
    assert v["home_mailbox"] == "Maildir/" and v["recipient_delimiter"] == "-"
    assert v["users_assign"] == f"{home}/users/cdb"
    assert "control_directory" not in v and v["rcpthosts_decide"] == "yes"
    assert any(f"{rules}:4" in r and "10.1.2.3:deny" in r for r in remarks)
    assert v["plusdomain"] == "x.example" and v["defaultdomain"] == "$myhostname"
    loads(tmp_path, out)


@pytest.mark.parametrize("how, name, value", [
    ("./Mailbox", "home_mailbox", "Mailbox"),
    ("|dot-forward .forward", "mailbox_command", "|dot-forward .forward"),
    ("./Maildir/", "home_mailbox", "Maildir/"),
])
def test_the_default_delivery(tmp_path, how, name, value):
    home = control(tmp_path, defaultdelivery=how)
    code, out, err = weir("import-qmail", "-x", "/dev/null", home)
    assert code == 0, err
    v, remarks = values(out)
    assert v.get(name) == value or any(name in r for r in remarks), out
    loads(tmp_path, out)


def test_a_missing_rcpthosts_does_not_become_an_open_relay(tmp_path):
    code, out, _ = weir("import-qmail", "-x", "/nothere", control(tmp_path))
    v, remarks = values(out)
    assert code == 0 and v.get("relay_domains", "") == ""
    assert any("rcpthosts" in r and "missing" in r for r in remarks)
    assert any("/nothere" in r for r in remarks)


def test_a_broken_control_file_is_named(tmp_path):
    home = control(tmp_path, concurrencylocal="many")
    code, out, err = weir("import-qmail", home)
    assert code == 65 and out == "" and "concurrencylocal:1" in err


def test_no_qmail_there(tmp_path):
    assert weir("import-qmail", tmp_path / "none")[0] == 66
    assert weir("import-qmail", "a", "b")[0] == 64


MAIN = """\
# comment
compatibility_level = 3.6
myhostname = mail.example.org
mydomain = example.org
inet_interfaces = 127.0.0.1,
   192.0.2.1
# in between
   ::1
mynetworks = 127.0.0.0/8 [::1]/128
alias_maps = hash:/etc/nothere
smtpd_tls_security_level = may
virtual_alias_maps = inline:{ a@b.example=c@d.example }
strange_thing = yes
smtpd_client_connection_count_limit = lots
maximal_queue_lifetime = 3d
archive_destination_recipient_limit = 1
nobody_time_limit = 5s
"""
MASTER = """\
smtp      inet  n       -       y       -       -       smtpd
2526      inet  n       -       y       -       -       smtpd
  -o smtpd_tls_wrappermode=yes
pickup    unix  n       -       y       60      1       pickup
maildrop  unix  -       n       n       -       -       pipe
  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}
archive   unix  -       n       n       -       -       pipe
  flags=DRhu user=nobody argv=/bin/cat -d ${recipient}
spamd     unix  -       n       n       -       -       spawn user=x argv=/x
"""


def test_a_postfix_configuration(tmp_path):
    d = tmp_path / "postfix"
    d.mkdir()
    (d / "main.cf").write_text(MAIN)
    (d / "master.cf").write_text(MASTER)
    code, out, err = weir("import-postfix", d)
    assert code == 0, err
    v, remarks = values(out)
    assert v["myhostname"] == "mail.example.org" and v["maximal_queue_lifetime"] == "3d"
    assert v["smtp_listen"] == "127.0.0.1:25, 192.0.2.1:25, [::1]:25, *:2526"
    assert v["mydestination"] == "$myhostname, localhost.$mydomain, localhost"
    assert v["home_mailbox"] == "" and v["mail_spool_directory"] == "/var/mail"
    assert not {"compatibility_level", "strange_thing", "alias_maps",
                "smtpd_client_connection_count_limit"} & set(v)
    for line, what in ((11, "smtpd_tls_security_level"), (13, "strange_thing"), (10, "alias_maps"),
                       (14, "smtpd_client_connection_count_limit")):
        assert any(f"main.cf:{line}: " in r and what in r for r in remarks), (line, remarks)
    for line, what in ((2, "wrappermode"), (5, "maildrop"), (9, "spawn")):
        assert any(f"master.cf:{line}: " in r and what in r for r in remarks), (line, remarks)
    # What pipe(8) is told there is told here in the same words, if it can be.
    assert v["transport archive"] == "pipe flags=DRhu user=nobody argv=/bin/cat -d ${recipient}"
    assert v["archive_destination_recipient_limit"] == "1" and "transport maildrop" not in v
    assert any("nobody_time_limit" in r and "left out" in r for r in remarks)
    loads(tmp_path, out)
    assert not any("mynetworks_style" in r for r in remarks)


def test_a_postfix_without_mynetworks_is_told_whom_it_trusted(tmp_path):
    (tmp_path / "main.cf").write_text("myhostname = a.example\n")
    (tmp_path / "master.cf").write_text("")
    code, out, err = weir("import-postfix", tmp_path)
    assert code == 0 and any("main.cf: mynetworks: not set" in r for r in values(out)[1]), out


def test_no_postfix_there(tmp_path):
    code, out, err = weir("import-postfix", tmp_path)
    assert code == 66 and str(pathlib.Path(tmp_path) / "main.cf") in err
