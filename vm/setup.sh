#!/bin/sh
# setup.sh FOLDER: installs what the virtual machine needs, and puts Debian's arm64 kernel and the modules that the guest
# loads into FOLDER. Needs root only if a package is missing. What FOLDER has is kept; make clean fetches it again.
set -eu
folder=$1

# qemu-system-arm, qemu-efi-aarch64: the machine and its UEFI firmware; kmod: which modules need which; cpio: the
# initramfs; gdisk, dosfstools: the disk with the EFI system partition. user-mode-linux: the kernel with dm-verity; rauc,
# rauc-service, dbus, dbus-bin, dmsetup, mount, systemd: what runs on it; squashfs-tools, openssl, e2fsprogs: bundle, demo CA,
# root file systems.
missing=
for package in qemu-system-arm qemu-efi-aarch64 kmod cpio gdisk dosfstools user-mode-linux rauc rauc-service dbus dbus-bin dmsetup \
	mount systemd squashfs-tools openssl e2fsprogs; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
	echo "test-vm: installing$missing"
	if [ "$(id -u)" != 0 ]; then
		echo "test-vm: cannot install packages as $(id -un); run as root: apt-get install$missing" >&2
		exit 1
	fi
	apt-get update -q
	# shellcheck disable=SC2086 # a list of words
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
fi

[ -e "$folder/kernel/complete" ] && exit 0
rm -rf "$folder/kernel"
mkdir -p "$folder/kernel/apt/state/lists/partial" "$folder/kernel/apt/cache/archives/partial"
cd "$folder/kernel"

# A private state of apt's: the kernel is never installed, and the host's dpkg learns of no foreign architecture.
cat >apt/conf <<CONF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "root";
Dir::State "$PWD/apt/state";
Dir::State::status "$PWD/apt/status";
Dir::Cache "$PWD/apt/cache";
CONF
: >apt/status
APT_CONFIG=$PWD/apt/conf
export APT_CONFIG
apt-get -qq update
# The package's name carries the kernel's ABI number, which moves with every point release: ask the one that depends on it.
package=$(apt-cache depends linux-image-arm64 | sed -n 's/^ *Depends: //p' | head -n 1)
[ -n "$package" ] || { echo "test-vm: cannot find Debian's arm64 kernel: apt knows no linux-image-arm64; see /etc/apt" >&2; exit 1; }
echo "test-vm: fetching $package"
apt-get -qq download "$package"

mkdir tree
dpkg --fsys-tarfile ./*.deb | tar -x -C tree --wildcards './boot/vmlinuz-*' './lib/modules/*/modules.*' \
	'./lib/modules/*/kernel/fs/*' './lib/modules/*/kernel/drivers/virtio/*' './lib/modules/*/kernel/drivers/block/*'
release=$(ls tree/lib/modules)
depmod -b tree "$release"
cp "tree/boot/vmlinuz-$release" vmlinuz
# virtio_*, vfat and what it needs: the disk with the ESP. modprobe prints the dependencies first, in loading order.
mkdir modules
for module in efivarfs virtio_pci virtio_blk vfat nls_cp437 nls_ascii; do
	modprobe -d tree -S "$release" --show-depends "$module" >listing
	sed -n 's/^insmod \([^ ]*\).*/\1/p' listing
done | awk '!seen[$0]++' >order
while read -r file; do
	cp "$file" modules/
	basename "$file"
done <order >modules/order
rm -rf apt tree listing order ./*.deb
echo "$release" >complete
