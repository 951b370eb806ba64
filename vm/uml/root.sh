#!/bin/sh
# root.sh TREE: completes TREE, what both slots hold: Debian's rauc, dbus-daemon and dmsetup with their libraries, their own
# configuration, and the modules of the User Mode Linux kernel. TREE has tegra-ota as make install lays it out, and the first
# process, TREE/usr/sbin/init.
set -eu
tree=$1

for folder in bin lib lib64 sbin; do
	mkdir -p "$tree/usr/$folder"
	ln -s "usr/$folder" "$tree/$folder"
done
# data and orin: mount points of the partition that both slots share and of the virtual Orin.
for folder in data dev etc/rauc orin proc run sys tmp var; do mkdir -p "$tree/$folder"; done
ln -s ../run "$tree/var/run" # where GLib looks for the bus

# Programs, each with its libraries, where this machine has them. RAUC runs mount and umount; sh is for the bundle's hook.
for name in rauc dbus-daemon dbus-send dmsetup mount umount sh; do
	path=$(command -v "$name")
	{ echo "$path"; ldd "$path" | grep -o '/[^ ]*'; } | while read -r file; do
		[ ! -e "$tree$file" ] || continue
		mkdir -p "$tree${file%/*}"
		cp -L "$file" "$tree$file"
	done
done

# The bus and RAUC's rights on it are Debian's; dbus-daemon changes to a user of its own.
mkdir -p "$tree/usr/share/dbus-1"
cp -r /usr/share/dbus-1/system.conf /usr/share/dbus-1/system.d "$tree/usr/share/dbus-1/"
find "$tree/usr/share/dbus-1/system.d" -type f ! -name de.pengutronix.rauc.conf -delete
cat >"$tree/etc/passwd" <<PASSWD
root:x:0:0::/:/bin/sh
messagebus:x:100:100::/:/bin/false
nobody:x:65534:65534::/:/bin/false
PASSWD
printf '%s\n' root:x:0: messagebus:x:100: nogroup:x:65534: >"$tree/etc/group"

# modprobe prints the dependencies first, in loading order. It wants the folder lib/modules/RELEASE.
modules=/usr/lib/uml/modules
release=$(ls "$modules")
base=$(mktemp -d)
trap 'rm -rf "$base"' EXIT
mkdir "$base/lib"
ln -s "$modules" "$base/lib/modules"
mkdir "$tree/usr/lib/modules"
for module in loop squashfs dm-verity; do modprobe -d "$base" -S "$release" --show-depends "$module"; done |
	sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r file; do
	cp "$file" "$tree/usr/lib/modules/"
	basename "$file"
done >"$tree/usr/lib/modules/order"
