"""The Debian package: built of what is built already, installed, used and
purged on a copy of this machine that vanishes with the test."""
import os
import pathlib
import shutil
import subprocess

import pytest

from harness import BUILD, ROOT

pytestmark = [
    pytest.mark.slow, pytest.mark.alone,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a package is installed"),
    pytest.mark.skipif(not shutil.which("dpkg-buildpackage"), reason="needs dpkg-dev")]

# What dpkg and the user database write in any case.
KEPT = ("etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/subuid", "etc/subgid", "etc/.pwd.lock",
        "var/lib/dpkg/", "var/lib/man-db/", "var/log/", "var/cache/", "home/joe/", "var/mail/joe", "root/", "var/lib/systemd/deb-systemd-helper",
        "var/qmail/bin/qmail-showctl")

# An overlay of the whole machine, in namespaces of its own: nothing of it is
# changed, none of its processes is reached, and port 25 is free.
ENTER = """
set -e
scratch=$1 deb=$2
mount -t tmpfs -o size=400m tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$scratch/root"
cp "$deb" "$scratch/root/root/"
cd "$scratch/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
ip link set lo up
printf '%s' "$3" >root/use
chroot . /bin/sh -eu /root/use "/root/${deb##*/}"
umount -l proc dev run tmp
cd "$scratch/upper"
find . ! -type d ! -type c -printf 'LEFT %P\\n'
find . -type c -printf 'GONE %P\\n' # how an overlay marks it
"""

USE = """
deb=$1
export LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
# Nothing of an earlier ./dev install.
rm -rf /etc/weir /var/spool/weir /var/qmail /usr/local/bin/weir*
# Another mail server goes, on this copy.
for p in $(dpkg-query -W -f '${Package} ${db:Status-Status} ${Provides}\\n' |
    sed -n 's/^\\([^ ]*\\) installed .*mail-transport-agent.*/\\1/p'); do
	dpkg --purge --force-depends "$p"
	echo "OTHER $p"
done
rm -f /var/lib/man-db/auto-update
useradd -m joe
mkdir -p /var/qmail/bin
echo mine >/var/qmail/bin/qmail-showctl
before=$(cat $(command -v tcpserver multilog true) | md5sum)

dpkg -i "$deb"
getent passwd weir weirq
getent group weirdrop
stat -c 'drop %a %G' /usr/libexec/weir/weir-drop
ls -l /usr/lib/sendmail /usr/sbin/sendmail /var/qmail/bin
[ "$(cat /var/qmail/bin/qmail-showctl)" = mine ]
[ "$before" = "$(cat $(command -v tcpserver multilog true) | md5sum)" ]
dpkg --verify weir
weir check
/usr/lib/weir/bin/qmail-showctl | grep 'My name is'

echo 'queue_segment_size = 4M' >>/etc/weir/weir.conf
weir-control start
printf 'Subject: by sendmail\\n\\nhello\\n' | su joe -c '/usr/sbin/sendmail joe'
weir send joe@localhost </dev/null
n=0
until [ "$(ls /home/joe/Maildir/new 2>/dev/null | wc -l)" = 2 ]; do
	n=$((n + 1))
	[ $n -lt 300 ] || { cat /var/log/weir.log; exit 1; }
	sleep 0.1
done
grep -h '^Subject: by sendmail' /home/joe/Maildir/new/*
mailq
weir-control stop
# Sent while nobody serves, through the set-gid program.
printf 'Subject: dropped\\n\\nhello\\n' | su joe -c '/usr/sbin/sendmail joe'
ls /var/spool/weir/drop
weir-control start
until grep -q '^Subject: dropped' /home/joe/Maildir/new/*; do
	n=$((n + 1))
	[ $n -lt 600 ] || { cat /var/log/weir.log; exit 1; }
	sleep 0.1
done

dpkg -r weir
! pgrep -l weir
test -f /etc/weir/weir.conf -a -d /var/spool/weir
ls -A /var/qmail/bin
dpkg --purge weir
! getent passwd weir weirq
! getent group weir weirq weirdrop
echo ALL DONE
"""


@pytest.fixture(scope="module")
def deb(tmp_path_factory):
    """dpkg-buildpackage in a tree of its own, with the programs of the build folder."""
    top = tmp_path_factory.mktemp("deb")
    tree = top / "weir"
    tree.mkdir()
    shutil.copytree(ROOT / "pkg", tree / "pkg", symlinks=True)
    (tree / "debian").symlink_to("pkg/debian")
    r = subprocess.run(["dpkg-buildpackage", "-us", "-uc", "-b", "-d"], cwd=tree, capture_output=True, text=True,
                       env=dict(os.environ, WEIR_BUILD=str(BUILD), LC_ALL="C", DPKG_DEB_COMPRESSOR_TYPE="none"), timeout=300)
    assert r.returncode == 0, r.stdout + r.stderr
    [found] = top.glob("weir_*.deb")
    return found


def field(deb, name):
    return subprocess.run(["dpkg-deb", "-f", deb, name], capture_output=True, text=True, check=True).stdout.strip()


def test_what_is_in_it(deb):
    assert field(deb, "Provides") == field(deb, "Conflicts") == "mail-transport-agent"
    assert "libsqlite3-0" in field(deb, "Depends") and "libunbound8" in field(deb, "Depends")
    names = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], capture_output=True, check=True).stdout
    names = subprocess.run(["tar", "-t"], input=names, capture_output=True, check=True).stdout.decode().splitlines()
    for n in ("./usr/bin/weir", "./usr/bin/weir-control", "./usr/libexec/weir/weir-smtpd", "./usr/sbin/sendmail",
              "./usr/lib/weir/bin/tcpserver", "./usr/lib/weir/bin/qmail-newmrh", "./lib/systemd/system/weir.service",
              "./etc/weir/weir.conf", "./usr/share/man/man8/weir.8.gz", "./usr/share/man/man1/tcpserver.1weir.gz"):
        assert n in names
    assert not [n for n in names if n.startswith(("./usr/local", "./var"))]


def seen():
    """What this machine has of it, whoever installed that."""
    r = subprocess.run("getent passwd weir weirq; getent group weirdrop; ls -ldc /etc/weir /etc/weir/* /var/qmail "
                       "/var/spool/weir /usr/bin/weir /usr/sbin/sendmail /etc/passwd", shell=True, capture_output=True)
    return r.stdout + r.stderr


def test_installed_used_and_purged(deb, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = seen()
    r = subprocess.run(["unshare", "-m", "-p", "-f", "-n", "-i", "-u", "--kill-child", "sh", "-c", ENTER, "sh", scratch, deb, USE],
                       capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    said = r.stdout + r.stderr
    assert r.returncode == 0 and "ALL DONE" in said, said
    assert "drop 2755 weirdrop" in said and "My name is" in said
    assert "/var/qmail/bin/qmail-showctl is not ours: left alone" in said
    left = [l[5:] for l in r.stdout.splitlines() if l.startswith("LEFT ")]
    assert left and not [l for l in left if not l.startswith(KEPT)], left
    gone = [l[5:] for l in r.stdout.splitlines() if l.startswith("GONE ")]
    assert "\nOTHER " in said or not [l for l in gone if not l.startswith((*KEPT, "etc/weir", "var/", "usr/local/"))], gone
    assert seen() == before
