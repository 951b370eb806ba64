#!/bin/sh
# boot.sh NUMBER: what virtual-orin runs as the device's userspace, in the folder with the virtual Orin: User Mode Linux, with
# the slot that the virtual firmware chose as its root file system. The console goes to the file uml-console-NUMBER, the lines of
# the guest's first process also to standard output.
set -eu
number=$1

# "22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw": what the virtual firmware says is mounted on /.
case $(awk '$5 == "/" { print $10 }' orin/proc/self/mountinfo) in
/dev/nvme0n1p1) root=ubda ;;
/dev/nvme0n1p2) root=ubdb ;;
*) echo "test-vm: no slot is mounted on /" >&2 && exit 1 ;;
esac

folder=$("$(dirname "$0")/memory.sh" "$PWD")

# The root file system is read-only, so that a slot that must not change can be compared to the last byte.
TMPDIR=$folder timeout --foreground -k 5 "${TEST_VM_TIMEOUT:-240}" linux.uml mem=512M con=null con0=fd:0,fd:1 quiet panic=-1 \
	root="/dev/$root" rootfstype=ext4 ro uml_dir=. hostfs=. ubda=orin/dev/nvme0n1p1 ubdb=orin/dev/nvme0n1p2 ubdc=data \
	"tegra-ota.test-vm=$number" </dev/null 2>&1 | tr -d '\r' | tee "../uml-console-$number" | sed -un 's/^vm: //p'
