#!/bin/sh
# board.sh VMLINUZ DTB FOLDER: makes what QEMU's ast2600-evb boots from Debian's armhf kernel and its device tree for that board:
#   image      the kernel, decompressed: that would take the emulated board several seconds
#   stub       two instruction words, as "kernel", which jump to it
#   whole.dtb  the 64 MiB flash chip as one MTD device, as a Jetson has it where it has any
#   parts.dtb  the same with partitions from the device tree
set -eu
vmlinuz=$1 dtb=$2 folder=$3

# The boot loader of QEMU puts a kernel where it likes; the loader device puts the image here, and the stub jumps there:
# ldr pc, [pc, #-4], then the address, both little-endian.
printf '\004\360\037\345\000\200\000\201' >"$folder/stub"

# A zImage has the kernel as xz inside. The first magic number can be a constant of the decompressor: take the one that unpacks.
grep -abo "$(printf '\3757zXZ')" "$vmlinuz" | cut -d: -f1 >"$folder/offsets"
while read -r offset; do
	tail -c +$((offset + 1)) "$vmlinuz" | xz --decompress --single-stream >"$folder/image" 2>/dev/null && break
	rm -f "$folder/image"
done <"$folder/offsets"
rm "$folder/offsets"
[ -s "$folder/image" ] || { echo "test-vm: cannot unpack $vmlinuz: it holds no xz stream" >&2; exit 1; }

# The board's own partitions are OpenBMC's.
chip=/ahb/spi@1e620000/flash@0
cp "$dtb" "$folder/whole.dtb"
fdtput -r "$folder/whole.dtb" $chip/partitions

# partition NAME OFFSET SIZE [PROPERTY]: both in hexadecimal.
partition() {
	fdtput -p -t x "$folder/parts.dtb" "$chip/partitions/partition@$2" reg "$2" "$3"
	fdtput -t s "$folder/parts.dtb" "$chip/partitions/partition@$2" label "$1"
	[ -z "${4:-}" ] || fdtput -t x "$folder/parts.dtb" "$chip/partitions/partition@$2" "$4"
}
cp "$folder/whole.dtb" "$folder/parts.dtb"
fdtput -p -t s "$folder/parts.dtb" $chip/partitions compatible fixed-partitions
fdtput -t x "$folder/parts.dtb" $chip/partitions '#address-cells' 1
fdtput -t x "$folder/parts.dtb" $chip/partitions '#size-cells' 1
# The names and places of both mb1 are T234's; nothing is at the others.
partition BCT 0 100000
partition A_mb1 100000 80000
partition 'name with "blanks"' 180000 40000
partition 'read only' 1c0000 40000 read-only
partition B_mb1 1fc0000 80000
