#!/bin/sh
# demo.sh BUILD: a Jetson Orin Nano in a folder is updated by Debian's real RAUC, boot firmware and root file system together;
# then by an update whose new system does not come up, which ends in a roll-back. It needs root: RAUC mounts bundles, and
# writes root file systems to block devices, which are loop devices here. Nothing outside a temporary folder is touched, but
# for the two loop devices and BUILD ("make demo-rauc" makes it; it holds virtual-orin).
set -eu
[ $# = 1 ] || { echo "usage: demo.sh BUILD" >&2; exit 64; }
[ "$(id -u)" = 0 ] || { echo "demo: cannot mount bundles as $(id -un); run as root" >&2; exit 77; }
build=$(cd "$1" && pwd)
examples=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
orin=$work/orin

bold='' plain=''
[ -t 1 ] && bold=$(printf '\033[1m') plain=$(printf '\033[0m')
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
run() { echo "\$ $*" | sed "s,$work/,,g; s,$examples/,,g"; "$@"; }
die() { echo "demo: $*" >&2; exit 1; }

# stop PIDFILE: ends a process and waits for it; what RAUC mounted goes with its mount namespace.
stop() {
	[ -e "$1" ] || return 0
	pid=$(cat "$1")
	rm "$1"
	kill "$pid" 2>/dev/null || return 0
	tries=100
	while kill -0 "$pid" 2>/dev/null; do
		[ "$tries" -gt 0 ] || { kill -KILL "$pid"; return 0; }
		tries=$((tries - 1))
		sleep 0.05
	done
}
cleanup() {
	stop "$work/rauc.pid"
	stop "$work/bus.pid"
	for loop in ${loops-}; do losetup -d "$loop"; done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# What an image has: tegra-ota as make install lays it out, and RAUC with the example configuration. Paths get the folder's name
# in front; rauc names its configuration, which a device has in the usual place.
lay_out() {
	make -s -C "$examples/../.." install DESTDIR="$orin" PREFIX=/usr
	mkdir -p "$orin/etc/rauc" "$orin/etc/systemd/system" "$orin/data"
	# A device takes no plain bundles; the kernel that runs the demo may lack what the others need.
	sed "s,=/,=$orin/,; /^bundle-formats=/d" "$examples/system.conf" >"$orin/etc/rauc/system.conf"
	"$examples/bundle.sh" --demo-ca "$work/ca"
	cp "$work/ca/ca.cert.pem" "$orin/etc/rauc/"
	cp -r "$examples/rauc.service.d" "$orin/etc/systemd/system/"
	printf '#!/bin/sh\nexec %s --conf=%s "$@"\n' "$(command -v rauc)" "$orin/etc/rauc/system.conf" >"$orin/usr/bin/rauc"
	chmod +x "$orin/usr/bin/rauc"
	for label in APP APP_b; do
		node=$(losetup -f --show "$(readlink -f "$orin/dev/disk/by-partlabel/$label")")
		loops="${loops-} $node"
		ln -sfn "$node" "$orin/dev/disk/by-partlabel/$label"
	done
}

# exec_start UNIT: the command of a unit, for a shell: lines joined, systemd's doubled dollars single, and the folder in front.
exec_start() {
	sed -e ':join' -e '/\\$/{' -e N -e 's/\\\n//' -e 'b join' -e '}' "$1" |
		sed -n "s,\\\$\\\$,\$,g; s,/usr/,$orin/usr/,g; s/^ExecStart=\(.\)/\1/p"
}

# units: what systemd does with a device's units at each boot: scripts for virtual-orin and for D-Bus, which starts
# RAUC's service as soon as somebody asks for it, as on Debian. unshare is the unit's MountFlags=slave.
units() {
	cat >"$work/boot-units" <<-UNITS
		#!/bin/sh
		systemd-tmpfiles --root="$orin" --create tegra-ota.conf
		tegra-boot-verify count || exit
		[ "\$VIRTUAL_ORIN_STAGE" != early ] || exit 0
		tegra-boot-verify run || exit
		[ ! -e "$orin/run/tegra-ota/committed" ] || $(exec_start "$orin/usr/lib/systemd/system/tegra-rauc-mark-good.service")
	UNITS
	cat >"$work/rauc-service" <<-UNIT
		#!/bin/sh
		echo \$\$ >"$work/rauc.pid"
		exec unshare --mount --propagation slave $(exec_start "$orin/etc/systemd/system/rauc.service.d/50-tegra-ota.conf")
	UNIT
	chmod +x "$work/boot-units" "$work/rauc-service"
	mkdir "$work/services"
	printf '%s\n' '[D-BUS Service]' Name=de.pengutronix.rauc "Exec=$work/rauc-service" >"$work/services/de.pengutronix.rauc.service"
	cat >"$work/bus.conf" <<-BUS
		<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
		 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
		<busconfig><type>system</type><listen>unix:path=$work/bus</listen><auth>EXTERNAL</auth><servicedir>$work/services</servicedir>
		<policy context="default"><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
	BUS
	dbus-daemon --nofork --config-file="$work/bus.conf" --print-address=3 3>"$work/address" >>"$work/log" 2>&1 &
	echo $! >"$work/bus.pid"
	while [ ! -s "$work/address" ]; do kill -0 $! || die "no D-Bus: $(cat "$work/log")"; sleep 0.05; done
}

# boot [OPTIONS]: one power-on. The service that ran before the reboot is gone.
boot() {
	stop "$work/rauc.pid"
	up=0
	run virtual-orin boot "$orin" "$@" --userspace "$work/boot-units" 2>"$work/err" || up=$?
	grep -v ^rauc-Message "$work/err" || :
	return "$up"
}

# release VERSION L4T: a bundle of a new root file system and new boot firmware. Plain, because the kernel that runs the demo may
# lack device-mapper; a device takes verity bundles only (bundle-formats= in system.conf).
release() {
	rm -rf "$work/release" "$work/update.raucb"
	mkdir -p "$work/release/etc"
	echo "VERSION_ID=$1" >"$work/release/etc/os-release"
	truncate -s 8M "$work/rootfs.ext4"
	mkfs.ext4 -q -F -d "$work/release" "$work/rootfs.ext4"
	virtual-orin capsule -o "$work/TEGRA_BL.Cap" --l4t "$2" >/dev/null
	run "$examples/bundle.sh" --format plain --demo-ca "$work/ca" --version "$1" --rootfs "$work/rootfs.ext4" \
		--firmware "$work/TEGRA_BL.Cap" "$work/update.raucb"
}
update() {
	: >"$work/log"
	run rauc install "$work/update.raucb" >"$work/err" 2>&1 || { cat "$work/err" "$work/log"; die "rauc install failed"; }
	sed -n '/^\$/p' "$work/err"
	sed -n -e "s,$orin/,/,g; s,$work/,,g; s/^tegra-/  &/p" \
		-e 's/^rauc-Message: [0-9:.]* \(Starting\|Marking\|Updating\|Running\|.* succeeded\)/  rauc: \1/p' "$work/log"
}

# status: what rauc status says of the root file systems, a slot to a line.
status() {
	run rauc status >"$work/out" 2>"$work/err" || { cat "$work/err"; die "rauc status failed"; }
	sed "s/\x1b\[[0-9;]*m//g; s,$orin/,/," "$work/out" |
		sed -n '/^\$/p; s/^\(Booted\|Activated\)/  &/p; /\[rootfs/ { N; N; s/\n\t/, /g; s/^/  /p }'
}

# expect BOOTED PRIMARY STATUS-OF-A STATUS-OF-B
expect() {
	got=$(rauc status --output-format=shell 2>/dev/null | awk -F"'" '
		/BOOTED_BOOTNAME/ { booted = $2 } /BOOT_PRIMARY/ { primary = $2 }
		/SLOT_BOOTNAME/ { name = $2 } /SLOT_BOOT_STATUS/ { of[name] = $2 }
		END { print booted, primary, of["A"], of["B"] }')
	[ "$got" = "$*" ] || die "rauc status says $got, want $*"
}

export TEGRA_OTA_ROOT="$orin" DBUS_SYSTEM_BUS_ADDRESS="unix:path=$work/bus"
PATH=$orin/usr/libexec/tegra-ota:$orin/usr/bin:$build:$PATH

say "1. A Jetson Orin Nano with L4T 36.4.0, running from slot A"
run virtual-orin create "$orin" --app-size 8M
lay_out
units
boot --cold >"$work/out" || die "no boot: $(cat "$work/out")"
status
expect A rootfs.0 good good

say "2. A release: new root file system, new boot firmware, signed with the fleet's key"
release 1.1.0 36.4.3

say "3. Debian's RAUC installs it into slot B; slot A goes on running"
update
status
expect A rootfs.1 good good

say "4. Reboot: the firmware applies the capsule, switches to slot B, tegra-boot-verify accepts it, and only then RAUC hears of it"
boot --cold
status
expect B rootfs.1 good good

say "5. The next release: its kernel will not come up"
release 1.2.0 36.4.4
update

say "6. Three boots of slot A fail; each time the watchdog resets"
for _ in 1 2 3; do
	if boot --warm --fail kernel; then die "the broken system came up"; fi
done

say "7. The firmware has no retries left and goes back to slot B, which was never written to"
boot --warm
status
expect B rootfs.1 bad good

say "8. The same release, repaired, installs over it"
release 1.2.1 36.4.4
update
boot --cold
status
expect A rootfs.0 good good

say "Done: two updates arrived, one that could not was rolled back, and a running slot was never touched."
