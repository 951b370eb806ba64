#!/bin/sh
# run.sh FOLDER: a real systemd as the first process, in User Mode Linux, starts tegra-slotd by D-Bus activation, with every option
# of its sandbox, on a virtual Orin in a folder. Exits 0 only if no check failed. $GO is the go command. Results stay in FOLDER:
# systemd-console, and in FOLDER/systemd the image.
set -eu
mkdir -p "$1/systemd"
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
GO=${GO:-$(.ci/go)}
here=$PWD
work=$folder/systemd
rm -rf "$work"
mkdir -p "$work/tree"

echo "test-vm: building a system with systemd"
make --no-print-directory GO="$GO" install DESTDIR="$work/tree" >"$work/log"
CGO_ENABLED=0 "$GO" build -trimpath -ldflags '-s -w' -o "$work/tree/usr/lib/test-vm" ./vm/systemd
vm/systemd/root.sh "$work/tree"
"$here/build/virtual-orin" create "$work/tree/orin" --app-size 1M >>"$work/log"
mke2fs -q -F -t ext4 -E root_owner=0:0 -d "$work/tree" "$work/root" 256M >>"$work/log"
rm -r "$work/tree"

echo "test-vm: User Mode Linux with systemd"
started=$(date +%s)
memory=$(vm/uml/memory.sh "$work")
cd "$work"
TMPDIR=$memory timeout --foreground -k 5 "${TEST_VM_TIMEOUT:-240}" linux.uml mem=512M con=null con0=fd:0,fd:1 quiet panic=-1 \
	root=/dev/ubda rootfstype=ext4 rw uml_dir=. ubda=root init=/lib/systemd/systemd systemd.unit=test-vm.service \
	systemd.show_status=0 tegra-ota.test-vm=1 </dev/null 2>&1 | tr -d '\r' | tee "$folder/systemd-console" | sed -un 's/^vm: //p'
echo "test-vm: User Mode Linux with systemd took $(($(date +%s) - started)) s"
grep -Eq '^vm: systemd complete: [1-9][0-9]* passed, 0 failed$' "$folder/systemd-console" && exit
echo "test-vm: systemd failed or did not complete; the end of its console ($folder/systemd-console):" >&2
tail -n 60 "$folder/systemd-console" >&2
exit 1
