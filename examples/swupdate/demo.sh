#!/bin/sh
# demo.sh BUILD: a Jetson Orin Nano in a folder is updated by Debian's real swupdate, boot firmware and root file system
# together; then by an update whose new system does not come up, which ends in a roll-back. Nothing outside a temporary
# folder is touched. BUILD holds tegra-ota and virtual-orin ("make demo" builds them).
set -eu
[ $# = 1 ] || { echo "usage: demo.sh BUILD" >&2; exit 64; }
build=$(cd "$1" && pwd)
examples=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
orin=$work/orin

bold='' plain=''
[ -t 1 ] && bold=$(printf '\033[1m') plain=$(printf '\033[0m')
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
run() { echo "\$ $*" | sed "s,$work/,,g; s,$build/,,g"; "$@"; }
die() { echo "demo: $*" >&2; exit 1; }

# What make install lays out on a device.
mkdir "$work/libexec" "$work/lua" "$work/tmp"
for name in tegra-image tegra-bup tegra-bootctl tegra-boot-verify; do ln -s "$build/tegra-ota" "$work/libexec/$name"; done
cp "$examples/../../handlers/swupdate/swupdate_handlers.lua" "$work/lua/"
export TEGRA_OTA_ROOT="$orin" TEGRA_OTA_LIBEXEC="$work/libexec" LUA_PATH="$work/lua/?.lua;;" TMPDIR="$work/tmp"
PATH=$work/libexec:$build:$PATH

# boot [OPTIONS]: one power-on. When Linux is up, the two units of init/systemd run, one early and one late.
cat >"$work/boot-units" <<'UNITS'
#!/bin/sh
tegra-boot-verify count && { [ "$VIRTUAL_ORIN_STAGE" = early ] || tegra-boot-verify run; }
UNITS
chmod +x "$work/boot-units"
boot() {
	up=0
	run virtual-orin boot "$orin" "$@" --userspace "$work/boot-units" 2>"$work/err" || up=$?
	cat "$work/err"
	return "$up"
}

# release VERSION L4T: fills in the example's sw-description, signs it and packs update.swu.
release() {
	rm -rf "$work/release"
	mkdir "$work/release"
	head -c 4M /dev/urandom >"$work/release/rootfs.img"
	zstd -q "$work/release/rootfs.img"
	virtual-orin capsule -o "$work/release/TEGRA_BL.Cap" --l4t "$2" >/dev/null
	echo activate >"$work/release/activate"
	sed -e "s/@VERSION@/$1/g" \
		-e "s/@SIZE_OF_ROOTFS@/$(stat -c %s "$work/release/rootfs.img")/" \
		-e "s/@SHA256_OF_ROOTFS@/$(sum rootfs.img)/" -e "s/@SHA256_OF_ROOTFS_ZST@/$(sum rootfs.img.zst)/" \
		-e "s/@SHA256_OF_CAPSULE@/$(sum TEGRA_BL.Cap)/" -e "s/@SHA256_OF_ACTIVATE@/$(sum activate)/" \
		"$examples/sw-description" >"$work/release/sw-description"
	(
		cd "$work/release"
		run openssl cms -sign -in sw-description -out sw-description.sig -signer ../cert.pem -inkey ../key.pem \
			-outform DER -nosmimecap -binary
		printf '%s\n' sw-description sw-description.sig rootfs.img.zst TEGRA_BL.Cap activate | run cpio -o -H crc --quiet -O ../update.swu
		# cpio fills the last block of 512 bytes with zeros. SWUpdate 2022.12 may close before its client has sent them all,
		# and the client then reports a failure of what was installed: end the file behind the trailer's 14 bytes of name.
		truncate -s $(($(LC_ALL=C grep -abo 'TRAILER!!!' ../update.swu | tail -n 1 | cut -d: -f1) + 14)) ../update.swu
	)
}
sum() { sha256sum "$work/release/$1" | cut -d' ' -f1; }

update() {
	run swupdate -v -k "$work/cert.pem" -H jetson-orin-nano-devkit:1.0 -P "$work/libexec/tegra-bootctl check" -i "$work/update.swu" \
		>"$work/log" 2>&1 || { cat "$work/log"; die "swupdate failed"; }
	sed -n 's/^\$/$/p; s/^\[.*\(tegra-[a-z]*: .*\)/  swupdate: \1/p; s/.*\(SWUPDATE successful.*\)/  swupdate: \1/p' "$work/log"
}

running() { tegra-bootctl status --json | tr -d ' \n' | sed 's/.*"current":"\([AB]\)".*/\1/'; }
expect() { [ "$(running)" = "$1" ] || die "slot $(running) runs, want $1"; }

say "1. A Jetson Orin Nano with L4T 36.4.0, running from slot A"
run virtual-orin create "$orin" --app-size 8M
run tegra-bootctl status

say "2. A release: new root file system, new boot firmware, signed with the fleet's key"
openssl req -x509 -newkey rsa:3072 -nodes -keyout "$work/key.pem" -out "$work/cert.pem" -days 3650 -subj "/CN=fleet" 2>/dev/null
release 1.1.0 36.4.3

say "3. Debian's swupdate installs it into slot B; slot A goes on running"
update
run tegra-bootctl status
expect A

say "4. Reboot: the firmware applies the capsule, switches to slot B, and tegra-boot-verify accepts it"
boot --cold
run tegra-bootctl status
expect B

say "5. The next release: its kernel will not come up"
release 1.2.0 36.4.4
update

say "6. Three boots of slot A fail; each time the watchdog resets"
for _ in 1 2 3; do
	if boot --warm --fail kernel; then die "the broken system came up"; fi
done

say "7. The firmware has no retries left and goes back to slot B, which was never written to"
boot --warm
run tegra-bootctl status
expect B

say "8. The same release, repaired, installs over it"
release 1.2.1 36.4.4
update
boot --cold
run tegra-bootctl status
expect A

say "Done: two updates arrived, one that could not was rolled back, and a running slot was never touched."
