#!/bin/sh
# install.sh install|uninstall [DESTDIR]: lay out what ./dev build made.
#
# Everything that is laid down is written to a manifest, and only what the
# manifest names is taken away again.  Users and groups are made only on a
# real system (no DESTDIR, as root), and removed only if they were made here.
# Configuration and spool are never removed.
set -eu
action=$1
dest=${2:-}
prefix=/usr/local
lib=$dest$prefix/lib/weir
manifest=$lib/manifest
unit=$dest/lib/systemd/system/weir.service
cd "$(dirname "$0")/.."

say() { printf '%s\n' "install: $*"; }

real_system() { [ -z "$dest" ] && [ "$(id -u)" = 0 ]; }

# note KIND NAME: remember it for uninstall.
note() { grep -qxF "$1 $2" "$manifest" 2>/dev/null || printf '%s %s\n' "$1" "$2" >>"$manifest"; }

group() {
	getent group "$1" >/dev/null || { groupadd --system "$1"; note group "$1"; }
}

user() {
	getent passwd "$1" >/dev/null || {
		useradd --system --gid "$1" --home-dir /nonexistent \
		    --shell /usr/sbin/nologin "$1"
		note user "$1"
	}
}

# lay TARGET NAME: a link to a program of ours; never over another package's
# file.
lay() {
	link=$dest$2
	if [ -e "$link" ] || [ -L "$link" ]; then
		case $(readlink "$link" 2>/dev/null || true) in
		*/weir | "$prefix"/lib/weir/bin/*) ;;
		*) say "$link exists and is not ours: left alone"; return ;;
		esac
	fi
	mkdir -p "$(dirname "$link")"
	ln -sf "$1" "$link"
	note file "$2"
}

# A name of the light command.
face() { lay "$prefix/bin/weir" "$1"; }

do_install() {
	mkdir -p "$lib"
	: >>"$manifest"
	DESTDIR=$dest meson install -C build --no-rebuild --quiet
	sed '/^#/d' build/meson-logs/install-log.txt | while read -r f; do
		f=${f#"$dest"}
		[ -d "$dest$f" ] || note file "$f"
	done
	for n in $(cat pkg/faces); do
		face "$prefix/lib/weir/bin/$n"
	done
	face "$prefix/sbin/sendmail"
	face "$prefix/bin/mailq"
	face "$prefix/bin/newaliases"
	for n in postmap postalias; do
		face "$prefix/sbin/$n"
	done
	for n in maildirmake maildir2mbox mbox2maildir; do
		face "$prefix/bin/$n"
	done
	# Where qmail's administrators look for them.
	for n in $(cat pkg/faces.qmail); do
		lay "$prefix/lib/weir/bin/$n" "/var/qmail/bin/$n"
	done
	mkdir -p "$(dirname "$unit")"
	sed "s|@bindir@|$prefix/bin|g" pkg/systemd/weir.service >"$unit"
	note file /lib/systemd/system/weir.service
	if real_system; then
		group weir
		group weirq
		group weirdrop
		user weir
		user weirq
		chown root:weirdrop "$prefix/libexec/weir/weir-drop"
	fi
	chmod 2755 "$dest$prefix/libexec/weir/weir-drop"
	if [ ! -e "$dest/etc/weir/weir.conf" ]; then
		mkdir -p "$dest/etc/weir"
		cp pkg/weir.conf "$dest/etc/weir/weir.conf"
	fi
	say "installed; configuration: $dest/etc/weir/weir.conf"
	say "start it: systemctl enable --now weir (or: weir-control start)"
}

do_uninstall() {
	[ -f "$manifest" ] || { say "nothing is installed below ${dest:-/}"; exit 66; }
	while read -r kind name; do
		case $kind in
		file) rm -f "$dest$name"; echo "${name%/*}" ;;
		user) ! real_system || userdel "$name" >/dev/null 2>&1 || true ;;
		group) ! real_system || groupdel "$name" >/dev/null 2>&1 || true ;;
		esac
	done <"$manifest" | sort -ru | while read -r d; do
		rmdir -p --ignore-fail-on-non-empty "$dest$d" 2>/dev/null || true
	done
	rm -f "$manifest"
	rmdir --ignore-fail-on-non-empty "$lib" 2>/dev/null || true
	say "removed; configuration and spool were left"
}

case $action in
install) do_install ;;
uninstall) do_uninstall ;;
*) echo "usage: install.sh install|uninstall [DESTDIR]" >&2; exit 64 ;;
esac
