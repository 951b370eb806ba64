#!/bin/sh
# Runs the tests that need a real kernel: first RAUC with dm-verity, in User Mode Linux (vm/uml), and tegra-slotd under a real
# systemd, in another one (vm/systemd). Then those that need real UEFI firmware as well: arm64, like the Orin, with edk2's generic
# firmware (AAVMF) in QEMU. That machine boots twice on one variable store and one disk. Last those on a NOR flash chip under the
# kernel's spi-nor driver, with power cuts (vm/nor). Exits 0 only if every boot reported that no test failed. $GO is the go
# command. Results stay in build/vm: of the machine with UEFI console-1, console-2, the variable store and the disk.
set -eu
cd "$(dirname "$0")/.."
GO=${GO:-$(.ci/go)}
folder=$PWD/build/vm
# One boot takes 10 s on an idle machine. Software emulation on a busy one takes many times that.
limit=${TEST_VM_TIMEOUT:-240}

vm/setup.sh "$folder"
export GO
vm/uml/run.sh "$folder"
vm/systemd/run.sh "$folder"

root=$folder/root
rm -rf "$root"
mkdir -p "$root/tests" "$root/bin"
echo "test-vm: building"
export CGO_ENABLED=0 GOOS=linux GOARCH=arm64
"$GO" build -trimpath -ldflags '-s -w' -o "$root/init" ./vm/init
"$GO" build -trimpath -ldflags '-s -w' -o "$root/bin/tegra-ota" ./cmd/tegra-ota
"$GO" test -c -trimpath -ldflags '-s -w' -o "$root/tests/efivarfs.test" ./internal/efivarfs
"$GO" test -c -trimpath -ldflags '-s -w' -o "$root/tests/vm.test" ./vm
cp -r "$folder/kernel/modules" "$root/modules"
(cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc) >"$folder/initramfs"

# The disk: a GPT with the EFI system partition first, from 1 MiB on, and the two slots.
rm -f "$folder/disk" "$folder/esp"
truncate -s 140M "$folder/disk"
truncate -s 128M "$folder/esp"
sgdisk --new=1:2048:+128M --typecode=1:ef00 --change-name=1:esp \
	--new=2:0:+2M --change-name=2:APP --new=3:0:+2M --change-name=3:APP_b "$folder/disk" >/dev/null
mkfs.vfat -n ESP "$folder/esp" >/dev/null
dd if="$folder/esp" of="$folder/disk" bs=1M seek=1 conv=notrunc,sparse status=none
rm "$folder/esp"
# The variable store as the package ships it: empty.
cp /usr/share/AAVMF/AAVMF_VARS.fd "$folder/variables"

# boot NUMBER: one boot, from reset to the machine's end, judged by the last line that vm/init prints.
boot() {
	echo "test-vm: boot $1"
	started=$(date +%s)
	# Always tcg: that /dev/kvm can be opened does not mean that a guest of this kind boots with it. QEMU's exit code says
	# nothing about the tests.
	timeout --foreground -k 5 "$limit" qemu-system-aarch64 -accel tcg -M virt,gic-version=3 -cpu cortex-a57 -m 1024 \
		-nodefaults -no-reboot -display none -serial stdio \
		-drive if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/AAVMF/AAVMF_CODE.fd \
		-drive "if=pflash,format=raw,unit=1,file=$folder/variables" \
		-drive "if=virtio,format=raw,file=$folder/disk" \
		-kernel "$folder/kernel/vmlinuz" -initrd "$folder/initramfs" \
		-append "console=ttyAMA0 panic=-1 quiet tegra-ota.test-vm=$1" </dev/null 2>&1 |
		tr -d '\r' | tee "$folder/console-$1" | sed -un 's/^vm: //p'
	echo "test-vm: boot $1 took $(($(date +%s) - started)) s"
	grep -Eq "^vm: boot $1 complete: [1-9][0-9]* passed, 0 failed\$" "$folder/console-$1" && return
	if ! grep -q "^vm: boot $1 complete: " "$folder/console-$1"; then
		echo "test-vm: boot $1 did not complete within $limit s; the end of its console ($folder/console-$1):" >&2
		tail -n 30 "$folder/console-$1" >&2
	fi
	echo "test-vm: failed" >&2
	exit 1
}
boot 1
boot 2
vm/nor/run.sh "$folder"
echo "test-vm: passed"
