package swupdate_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// standIn records its call and does what a file FAIL-NAME-VERB beside it says. bash, because dash cannot close the
// descriptors above 9 that SWUpdate leaks.
const standIn = `#!/bin/bash
for f in /proc/self/fd/*; do
	n=${f##*/}
	[ "$n" -gt 2 ] && [ "$n" -lt 255 ] && eval "exec $n>&-" 2>/dev/null
done
dir=$(dirname "$0") name=$(basename "$0")
echo "$name $*" >>"$dir/calls"
[ "${!#}" = - ] && sha256sum | cut -d' ' -f1 >>"$dir/sums"
echo "done by $name"
[ -e "$dir/FAIL-$name-$1" ] || exit 0
. "$dir/FAIL-$name-$1"
`

// standIns makes a libexec folder of stand-ins; fail maps NAME-VERB to what that call does in the end.
func standIns(t *testing.T, fail map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"tegra-image", "tegra-bup", "tegra-bootctl"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(standIn), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for call, script := range fail {
		write(t, filepath.Join(dir, "FAIL-"+call), []byte(script))
	}
	return dir
}

func calls(t *testing.T, dir string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// TestGlueCalls checks what the glue runs, in which order, with stand-ins for the executables.
func TestGlueCalls(t *testing.T) {
	image, bl := random(3<<20), random(3<<20)
	sum := digest(image)
	const abort = "tegra-bootctl abort"
	installImage := "tegra-image install --unconfirmed --partition APP --size 3145728 --sha256 " + sum + " --update it's 1 -"
	confirmImage := "tegra-image confirm --partition APP --update it's 1"
	installBUP := "tegra-bup install --unconfirmed --update it's 1 -"
	confirmBUP := "tegra-bup confirm --update it's 1"
	activated := "tegra-bootctl activate --update it's 1"
	const id = "it's 1"
	good := []member{activate(id), rootfs(id, image), firmware(id, bl)}
	for _, tt := range []struct {
		name    string
		fail    map[string]string
		members []member
		calls   []string
		says    []string
		ok      bool
		damage  bool
		prepare func(t *testing.T, dir string)
	}{
		{name: "good", members: good, ok: true, says: []string{"tegra-image: done by tegra-image"},
			calls: []string{installImage, confirmImage, installBUP, confirmBUP, activated}},
		{name: "temporary copies", members: []member{rootfs(id, image).temporary(), firmware(id, bl), activate(id)}, ok: true,
			calls: []string{installImage, confirmImage, installBUP, confirmBUP, activated}},
		{name: "image refused", members: good, fail: map[string]string{"tegra-image-install": "echo log >&2; echo \"$name: wrong board\" >&2; exit 65"},
			calls: []string{installImage, abort},
			says:  []string{`tegra-image: log`, `ERROR .*tegra-image rootfs.img.zst: wrong board \(exit 65, data: the file is at fault\)`}},
		{name: "image busy", members: good, fail: map[string]string{"tegra-image-install": "echo 'locked by pid 1' >&2; exit 75"},
			calls: []string{installImage}, says: []string{`locked by pid 1 \(exit 75, busy`}},
		{name: "image killed at its end", members: good, fail: map[string]string{"tegra-image-install": "kill -9 $$"},
			calls: []string{installImage, abort}, says: []string{`no message \(killed by signal 9\)`}},
		{name: "confirm refused", members: good, fail: map[string]string{"tegra-bup-confirm": "echo lost >&2; exit 74"},
			calls: []string{installImage, confirmImage, installBUP, confirmBUP, abort}, says: []string{`confirm: lost \(exit 74, io`}},
		{name: "activate refused", members: good, fail: map[string]string{"tegra-bootctl-activate": "echo BootNext is set >&2; exit 69"},
			calls: []string{installImage, confirmImage, installBUP, confirmBUP, activated, abort}, says: []string{`BootNext is set \(exit 69, unavailable`}},
		{name: "abort fails too", members: good, fail: map[string]string{"tegra-bup-install": "exit 65", "tegra-bootctl-abort": "echo stuck >&2; exit 74"},
			calls: []string{installImage, confirmImage, installBUP, abort}, says: []string{`tegra-bootctl abort: stuck \(exit 74`}},
		{name: "hash wrong, program content", members: []member{rootfs(id, image).raw(), activate(id)}, damage: true,
			calls: []string{installImage, abort}, says: []string{"could not deliver the whole image as signed"}},
		{name: "misspelt property", members: []member{rootfs(id, image).with("sha265", "0"), activate(id)},
			calls: []string{abort}, says: []string{"unknown property sha265; known are partition, size, sha256, update"}},
		{name: "program missing", members: good, calls: []string{abort}, says: []string{"tegra-image is missing or not executable"},
			prepare: func(t *testing.T, dir string) {
				if err := os.Remove(filepath.Join(dir, "tegra-image")); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "everything missing", members: good, says: []string{"tegra-image is missing", "abort: .*tegra-bootctl is missing"},
			prepare: func(t *testing.T, dir string) {
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			dir := standIns(t, tt.fail)
			if tt.prepare != nil {
				tt.prepare(t, dir)
			}
			u := newUpdater(t, dir)
			swu := update{members: tt.members}.pack(t)
			if tt.damage {
				flip(t, swu, tt.members[0])
			}
			code := 1
			if tt.ok {
				code = 0
			}
			r := u.install(t, swu).want(t, code)
			for _, s := range tt.says {
				r.says(t, s)
			}
			if diff := cmp.Diff(tt.calls, calls(t, dir)); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if tt.ok {
				want := []string{sum, digest(bl)}
				if diff := cmp.Diff(want, strings.Fields(string(read(t, filepath.Join(dir, "sums"))))); diff != "" {
					t.Errorf("bytes delivered (-want +got):\n%s", diff)
				}
			}
			u.clean(t)
		})
	}
}
