#!/bin/sh
# run.sh FOLDER: tests on a NOR flash chip under the kernel's own spi-nor driver: QEMU's ast2600-evb, an arm board, with a 64 MiB
# Macronix chip, in software emulation. First the chip is one MTD device, then it has partitions, then it is another one. Then an
# update is written into the chip, again and again with power cuts in it. Exits 0 only if every boot reported that no test
# failed, and the chip held what the model holds after the same update. $GO is the go command. Results stay in FOLDER:
# nor-console-N, and the chip's bytes in nor-flash; nor-before and nor-after are the model's.
set -eu
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
GO=${GO:-$(.ci/go)}
limit=${TEST_VM_TIMEOUT:-240}

root=$folder/nor-root
rm -rf "$root"
mkdir -p "$root/tests"
echo "test-vm: building for the board with a flash chip"
export CGO_ENABLED=0
env -u GOOS -u GOARCH "$GO" test -c -o "$folder/nor-model.test" ./vm/nor
export GOOS=linux GOARCH=arm GOARM=7
"$GO" build -trimpath -ldflags '-s -w' -o "$root/init" ./vm/nor
"$GO" test -c -trimpath -ldflags '-s -w' -o "$root/tests/mtd.test" ./internal/mtd
"$GO" test -c -trimpath -ldflags '-s -w' -o "$root/tests/nor.test" ./vm/nor
cp -r "$folder/kernel-nor/modules" "$root/modules"
(cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc) >"$folder/nor-initramfs"
# A new chip is erased.
head -c 67108864 /dev/zero | tr '\0' '\377' >"$folder/nor-flash"

# board NUMBER TREE [MODEL]: the board until the guest ends it, its console on standard output. vmalloc: the flash controller maps two
# windows of 256 MiB each. Always tcg, as in vm/run.sh.
board() {
	exec qemu-system-arm -accel tcg -M "ast2600-evb${3:+,fmc-model=$3}" -nodefaults -no-reboot -display none -serial stdio \
		-drive "file=$folder/nor-flash,if=mtd,format=raw" -kernel "$folder/kernel-nor/stub" \
		-device "loader,file=$folder/kernel-nor/image,addr=0x81008000,force-raw=on" \
		-dtb "$folder/kernel-nor/$2.dtb" -initrd "$folder/nor-initramfs" \
		-append "console=ttyS4,115200n8 panic=-1 quiet vmalloc=640M tegra-ota.test-vm=$1" </dev/null 2>&1
}

fail() {
	echo "test-vm: flash chip, boot $1 $2; the end of its console ($folder/nor-console-$1):" >&2
	tail -n 30 "$folder/nor-console-$1" >&2
	echo "test-vm: failed" >&2
	exit 1
}

# said NUMBER PATTERN: whether a boot's console has that line, so far.
said() { tr -d '\r' <"$folder/nor-console-$1" | grep -Eq "^vm: $2\$"; }

# A machine in the background outlives an interrupted script.
machine=
trap '[ -z "$machine" ] || kill -9 "$machine" 2>/dev/null || true' EXIT
trap 'exit 1' INT TERM

# power NUMBER TREE [MODEL]: switches the board on; $machine is its process.
power() {
	echo "test-vm: flash chip, boot $1"
	: >"$folder/nor-console-$1"
	(board "$@") >"$folder/nor-console-$1" &
	machine=$!
	started=$(date +%s)
}

# running: waits a little; false if the machine has ended, or is ended here after the limit.
running() {
	kill -0 "$machine" 2>/dev/null || return 1
	sleep 0.02
	[ $(($(date +%s) - started)) -lt "$limit" ] || kill -9 "$machine"
}

# boot NUMBER TREE [MODEL]: one boot, from reset to the machine's end, judged by the last line that vm/nor printed. QEMU's exit code
# says nothing about the tests.
boot() {
	power "$@"
	while running; do :; done
	wait "$machine" 2>/dev/null || true
	machine=
	tr -d '\r' <"$folder/nor-console-$1" | sed -n 's/^vm: //p'
	echo "test-vm: flash chip, boot $1 took $(($(date +%s) - started)) s"
	said "$1" "boot $1 complete: [1-9][0-9]* passed, 0 failed" || fail "$1" "failed or did not complete within $limit s"
}

# same FILE NUMBER: whether the chip holds these bytes after a boot.
same() {
	cmp "$folder/nor-flash" "$folder/$1" || fail "$2" "left other bytes in the chip than the model has in $1"
}

boot 1 whole
boot 2 parts
# Micron's chip of the same size can be locked.
boot 3 whole n25q512a

# The update as the model does it, then as the kernel's driver does.
model() { "$folder/nor-model.test" -test.run '^TestUpdate$' -chip "$folder/nor-after" -step "$1" >"$folder/nor-model.log"; }
cp "$folder/nor-flash" "$folder/nor-after"
model before
cp "$folder/nor-after" "$folder/nor-before"
model update
cp "$folder/nor-before" "$folder/nor-flash"
boot 4 whole
same nor-after 4

# The same with the power cut within it: as soon as the chip's file differs where the n-th of chain B's images starts (update_test.go:
# place; mb1, the third counted from 0, is made invalid first and written last). SIGKILL ends the machine between two instructions.
# Run again, the update must finish.
number=4
for image in ${TEST_VM_CUTS:-3 9 20}; do
	number=$((number + 1))
	cp "$folder/nor-before" "$folder/nor-flash"
	start=$((1048576 + (21 + image) * 131072))
	power "$number" whole
	while cmp -s -i "$start" -n 4096 "$folder/nor-flash" "$folder/nor-before" && running; do :; done
	kill -9 "$machine" 2>/dev/null || true
	wait "$machine" 2>/dev/null || true
	machine=
	changed=$(cmp -l "$folder/nor-flash" "$folder/nor-before" | wc -l)
	missing=$(cmp -l "$folder/nor-flash" "$folder/nor-after" | wc -l)
	echo "test-vm: power cut: $changed bytes of the chip changed, $missing to be written"
	if [ "$changed" -eq 0 ] || [ "$missing" -eq 0 ]; then fail "$number" "was not cut within the update"; fi
	number=$((number + 1))
	boot "$number" whole
	same nor-after "$number"
done
