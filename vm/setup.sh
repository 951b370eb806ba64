#!/bin/sh
# setup.sh FOLDER: installs what the virtual machines need, and puts Debian's kernels for them and the modules that the guests
# load into FOLDER: arm64 in kernel, armhf with the board's device trees in kernel-nor. Needs root only if a package is missing.
# What FOLDER has is kept; make clean fetches it again.
set -eu
folder=$1

# qemu-system-arm, qemu-efi-aarch64: the machine and its UEFI firmware; kmod: which modules need which; cpio: the
# initramfs; gdisk, dosfstools: the disk with the EFI system partition. user-mode-linux: the kernel with dm-verity; rauc,
# rauc-service, dbus, dbus-bin, dmsetup, mount, systemd: what runs on it; squashfs-tools, openssl, e2fsprogs: bundle, demo CA,
# root file systems. device-tree-compiler, xz-utils: the board with the flash chip (vm/nor).
missing=
for package in qemu-system-arm qemu-efi-aarch64 kmod cpio gdisk dosfstools user-mode-linux rauc rauc-service dbus dbus-bin dmsetup \
	mount systemd squashfs-tools openssl e2fsprogs device-tree-compiler xz-utils; do
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

# fetch ARCHITECTURE FLAVOUR PATTERN...: Debian's kernel for an architecture, unpacked into ./tree as far as the patterns go,
# which are tar's; $release is its release then. A private state of apt's: the kernel is never installed, and the host's dpkg learns
# of no foreign architecture.
fetch() {
	architecture=$1 flavour=linux-image-$2
	shift 2
	mkdir -p apt/state/lists/partial apt/cache/archives/partial
	cat >apt/conf <<CONF
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Sandbox::User "root";
Dir::State "$PWD/apt/state";
Dir::State::status "$PWD/apt/status";
Dir::Cache "$PWD/apt/cache";
CONF
	: >apt/status
	APT_CONFIG=$PWD/apt/conf
	export APT_CONFIG
	# An archive that cannot be read now may be another than the kernel's: what follows tells. What is there was checked as always.
	apt-get -qq update || echo "test-vm: not every package archive could be read for $architecture; trying the others" >&2
	# The package's name carries the kernel's ABI number, which moves with every point release: ask the one that depends on it.
	package=$(apt-cache depends "$flavour" | sed -n 's/^ *Depends: //p' | head -n 1)
	[ -n "$package" ] || { echo "test-vm: cannot find Debian's $architecture kernel: apt knows no $flavour; see /etc/apt" >&2; exit 1; }
	echo "test-vm: fetching $package"
	apt-get -qq download "$package"
	mkdir tree
	dpkg --fsys-tarfile ./*.deb | tar -x -C tree --wildcards "$@"
	rm -rf apt ./*.deb
	release=$(ls tree/lib/modules)
	depmod -b tree "$release"
}

# modules NAME...: the modules and what they need, and in modules/order their loading order. modprobe prints dependencies first.
modules() {
	mkdir modules
	for module in "$@"; do
		modprobe -d tree -S "$release" --show-depends "$module" >listing
		sed -n 's/^insmod \([^ ]*\).*/\1/p' listing
	done | awk '!seen[$0]++' >order
	while read -r file; do
		cp "$file" modules/
		basename "$file"
	done <order >modules/order
	rm -rf listing order
}

if [ ! -e "$folder/kernel/complete" ]; then
	rm -rf "$folder/kernel"
	mkdir -p "$folder/kernel"
	(
		cd "$folder/kernel"
		fetch arm64 arm64 './boot/vmlinuz-*' './lib/modules/*/modules.*' \
			'./lib/modules/*/kernel/fs/*' './lib/modules/*/kernel/drivers/virtio/*' './lib/modules/*/kernel/drivers/block/*'
		cp "tree/boot/vmlinuz-$release" vmlinuz
		# virtio_*, vfat and what it needs: the disk with the ESP.
		modules efivarfs virtio_pci virtio_blk vfat nls_cp437 nls_ascii
		rm -rf tree
		echo "$release" >complete
	)
fi

if [ ! -e "$folder/kernel-nor/complete" ]; then
	rm -rf "$folder/kernel-nor"
	mkdir -p "$folder/kernel-nor"
	here=$(cd "$(dirname "$0")" && pwd)
	(
		cd "$folder/kernel-nor"
		fetch armhf armmp './boot/vmlinuz-*' './lib/modules/*/modules.*' \
			'./lib/modules/*/kernel/drivers/mtd/*' './lib/modules/*/kernel/drivers/spi/*' './usr/lib/*/aspeed-ast2600-evb.dtb'
		"$here/nor/board.sh" "tree/boot/vmlinuz-$release" tree/usr/lib/*/aspeed-ast2600-evb.dtb .
		modules ofpart spi-nor spi-aspeed-smc
		rm -rf tree
		echo "$release" >complete
	)
fi
