#!/bin/sh
# root.sh TREE: completes TREE, which has tegra-ota as make install lays it out and the checks in TREE/usr/lib/test-vm: Debian's
# systemd and dbus-daemon with their libraries and own configuration, and the units that run the checks in their place.
set -eu
tree=$1

for folder in bin lib lib64 sbin; do
	mkdir -p "$tree/usr/$folder"
	ln -s "usr/$folder" "$tree/$folder"
done
for folder in boot/efi data dev etc/systemd/system home proc root run sys tmp var/lib var/log; do mkdir -p "$tree/$folder"; done
ln -s ../run "$tree/var/run"

# copy FILE: with its libraries, where this machine has them.
copy() {
	{ echo "$1"; ldd "$1" 2>/dev/null | grep -o '/[^ ]*'; } | while read -r file; do
		[ ! -e "$tree$file" ] || continue
		mkdir -p "$tree${file%/*}"
		cp -L "$file" "$tree$file"
	done
}
for package in systemd libsystemd-shared dbus-daemon dbus-system-bus-common dbus; do dpkg -L "$package"; done |
	grep -E '^/(usr/)?(lib|bin)/|^/usr/share/dbus-1/|^/etc/(systemd|dbus-1)/' | grep -vE '/(catalog|kernel|udev|tmpfiles\.d|sysctl\.d)/' |
	while read -r path; do
		if [ -L "$path" ]; then
			mkdir -p "$tree${path%/*}"
			[ -e "$tree$path" ] || cp -P "$path" "$tree$path"
		elif [ -f "$path" ]; then
			copy "$path"
		fi
	done
for name in sh mount nsenter setpriv; do
	path=$(command -v "$name")
	copy "$(readlink -f "$path")"
	[ -e "$tree$path" ] || ln -s "$(readlink -f "$path")" "$tree$path"
done
# The bus's rights are those that systemd and tegra-ota ship, not what else this machine has.
find "$tree/usr/share/dbus-1" -name '*.service' ! -name 'io.github.tegra_ota.*' ! -name 'org.freedesktop.systemd1.*' -delete

cat >"$tree/etc/passwd" <<PASSWD
root:x:0:0::/root:/bin/sh
messagebus:x:100:100::/:/bin/false
nobody:x:65534:65534::/:/bin/false
PASSWD
printf '%s\n' root:x:0: messagebus:x:100: nogroup:x:65534: >"$tree/etc/group"
# systemd-sysusers is part of the story: it makes the group tegra-ota, of the file that is installed, and of no other.
find "$tree/usr/lib/sysusers.d" -type f ! -name tegra-ota.conf -delete
echo 0123456789abcdef0123456789abcdef >"$tree/etc/machine-id"

# A machine without udev, network, consoles and people.
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-firstboot.service systemd-networkd.socket getty.target \
	systemd-remount-fs.service systemd-update-utmp.service systemd-random-seed.service; do
	ln -s /dev/null "$tree/etc/systemd/system/$unit"
done
cat >"$tree/etc/systemd/system/test-vm.service" <<UNIT
[Unit]
Description=The checks of vm/systemd
Requires=basic.target
After=basic.target
AllowIsolate=yes
# The end of the checks is the machine's end, whatever they were.
SuccessAction=poweroff-immediate
FailureAction=poweroff-immediate
[Service]
Type=oneshot
ExecStart=/usr/lib/test-vm
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
UNIT
# The device is a virtual Orin in a folder.
mkdir "$tree/etc/systemd/system/tegra-slotd.service.d"
cat >"$tree/etc/systemd/system/tegra-slotd.service.d/50-orin.conf" <<UNIT
[Service]
Environment=TEGRA_OTA_ROOT=/orin
ReadWritePaths=/orin
UNIT
