#!/bin/sh
# run.sh FOLDER: Debian's rauc installs a verity bundle, root file system and boot firmware, in User Mode Linux on a virtual Orin;
# the virtual firmware then boots what was installed. Exits 0 only if both boots reported that no check failed. $GO is the
# go command. Results stay in FOLDER: uml-console-1 and -2; in FOLDER/uml the virtual Orin, the images and the bundles.
set -eu
mkdir -p "$1/uml"
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
GO=${GO:-$(.ci/go)}
here=$PWD
work=$folder/uml
rm -rf "$work"
mkdir -p "$work/tree" "$work/data/bundles"

echo "test-vm: building a device for User Mode Linux"
make --no-print-directory GO="$GO" install DESTDIR="$work/tree" >"$work/log"
CGO_ENABLED=0 "$GO" build -trimpath -ldflags '-s -w' -o "$work/tree/usr/sbin/init" ./vm/uml
vm/uml/root.sh "$work/tree"
# examples/rauc as an integrator uses it.
install -D -m 644 -t "$work/tree/etc/rauc" examples/rauc/system.conf
install -D -m 644 -t "$work/tree/etc/systemd/system/rauc.service.d" examples/rauc/rauc.service.d/50-tegra-ota.conf
# Every call by RAUC is recorded on its way, but for system-info, which each rauc process calls when it reads system.conf. The
# bundle's hook looks below TEGRA_OTA_ROOT, /orin in the guest.
for name in tegra-boot-handler tegra-bup tegra-rauc-pre-install tegra-rauc-post-install; do
	[ -L "$work/tree/usr/libexec/tegra-ota/$name" ] || { echo "test-vm: make install laid out no $name" >&2; exit 1; }
	ln -sf /usr/sbin/init "$work/tree/usr/libexec/tegra-ota/$name"
done

cd "$work"
"$here/build/virtual-orin" create orin --app-size 64M
ln -s ../usr orin/usr
"$here/build/virtual-orin" capsule -o TEGRA_BL.Cap --l4t 36.4.3 >>log
# release VERSION FILE: a root file system. The demo CA is bundle.sh's, which makes it with the first bundle.
release() {
	echo "$1" >tree/etc/version
	cp ca/ca.cert.pem tree/etc/rauc/ca.cert.pem
	mke2fs -q -F -t ext4 -E root_owner=0:0 -d tree "$2" 64M >>log
}
bundle() { "$here/examples/rauc/bundle.sh" --format verity --demo-ca ca "$@" >>log; }
bundle --version 0 --firmware TEGRA_BL.Cap first.raucb
release 1.0.0 running.ext4
release 1.1.0 rootfs.ext4
bundle --version 1.1.0 --rootfs rootfs.ext4 --firmware TEGRA_BL.Cap data/bundles/update.raucb
cp running.ext4 orin/dev/nvme0n1p1

# The damaged one: the lowest bit of the byte in the middle, which belongs to the root file system, most of the bundle.
cd data/bundles
cp update.raucb damaged.raucb
middle=$(($(stat -c %s damaged.raucb) / 2))
byte=$(od -An -tu1 -j "$middle" -N 1 damaged.raucb | tr -d ' ')
# shellcheck disable=SC2059 # the format is made of digits
printf "\\$(printf %03o $((byte ^ 1)))" | dd of=damaged.raucb bs=1 seek="$middle" conv=notrunc status=none
cd "$work"
for file in running.ext4 rootfs.ext4 TEGRA_BL.Cap; do
	echo "$file $(stat -c %s "$file") $(sha256sum "$file" | cut -d' ' -f1)"
done >data/bundles/list
mke2fs -q -F -t ext4 -E root_owner=0:0 -d data data.ext4 128M >>log
rm -r data tree
mv data.ext4 data

# boot NUMBER: from power-on to the end of the guest, judged by the last line that vm/uml prints.
boot() {
	echo "test-vm: User Mode Linux, boot $1"
	started=$(date +%s)
	rm -f "$folder/uml-console-$1"
	"$here/build/virtual-orin" boot orin --cold --userspace "'$here/vm/uml/boot.sh' $1"
	echo "test-vm: User Mode Linux, boot $1 took $(($(date +%s) - started)) s"
	grep -Eq "^vm: uml boot $1 complete: [1-9][0-9]* passed, 0 failed\$" "$folder/uml-console-$1" && return
	echo "test-vm: User Mode Linux, boot $1 failed or did not complete; the end of its console ($folder/uml-console-$1):" >&2
	tail -n 60 "$folder/uml-console-$1" >&2
	exit 1
}
boot 1
boot 2
# The host's view of the same: one slot as it was, the other as in the bundle.
cmp running.ext4 orin/dev/nvme0n1p1
cmp rootfs.ext4 orin/dev/nvme0n1p2
