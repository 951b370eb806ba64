#!/bin/sh
# memory.sh FOLDER: prints a folder for the guest's memory: a file that has to be mapped executable, and /tmp may be on a file
# system mounted noexec. FOLDER is the last resort.
set -eu
for folder in ${TMPDIR:+"$TMPDIR"} /dev/shm /tmp "$1"; do
	probe=$(mktemp "$folder/test-vm.XXXXXX" 2>/dev/null) || continue
	cp /bin/true "$probe"
	chmod +x "$probe"
	good=0
	"$probe" || good=$?
	rm "$probe"
	[ "$good" != 0 ] || { echo "$folder"; exit; }
done
echo "test-vm: no folder for the guest's memory: /tmp and /dev/shm are mounted noexec; set TMPDIR" >&2
exit 1
