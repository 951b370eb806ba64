package rauc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestInstallFails: something goes wrong behind the pre-install handler. RAUC leaves the target marked bad and the primary where
// it was; nobody revives what may be half written, and the next install works.
func TestInstallFails(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, o *orin) // before the service starts
		at      [2]string                   // verb, and what happens there
		calls   []string
		says    string // in the service's log
		cure    func(t *testing.T, o *orin)
	}{
		{
			// There is room for the journal, and was for the capsule when the pre-install handler looked.
			name: "the ESP fills up before the hook", prepare: func(t *testing.T, o *orin) { o.smallESP(t, 2<<20) },
			at:    [2]string{"set-state", fmt.Sprintf(fillESP, 64<<10)},
			calls: []string{"set-state B bad"}, says: "tegra-bup: cannot stage the capsule: the ESP at /boot/efi has 64 KiB free",
			cure: func(t *testing.T, o *orin) { remove(t, o.path("boot/efi/filler")) },
		},
		{
			// Another program asks for a boot from another disk: firmware would cancel the capsule.
			name:  "BootNext appears before the hook",
			at:    [2]string{"set-state", `"$real" "$@" && ` + bootNext + `; exit $?`},
			calls: []string{"set-state B bad"}, says: "tegra-bup: cannot switch slots: the UEFI variable BootNext exists",
			cure: func(t *testing.T, o *orin) { remove(t, o.variable("BootNext", globalGUID)) },
		},
		{
			// Exchanged where it lies, which a plain bundle allows.
			name:    "another capsule comes before the hook",
			prepare: func(t *testing.T, o *orin) { write(t, o.path("../another"), read(t, o.capsule(t, "36.4.7"))) },
			at: [2]string{"set-state", `"$real" "$@" && mount --bind "$beside/another" "$TEGRA_OTA_ROOT/run/rauc/mnt/bundle/TEGRA_BL.Cap"
exit $?`},
			calls: []string{"set-state B bad"}, says: "tegra-bup: cannot open image",
		},
		{
			name:  "BootNext appears before set-primary",
			at:    [2]string{"set-primary", bootNext},
			calls: []string{"set-state B bad", "set-primary B"}, says: "BootNext",
			cure: func(t *testing.T, o *orin) { remove(t, o.variable("BootNext", globalGUID)) },
		},
		{
			name:  "the staged capsule is lost before set-primary",
			at:    [2]string{"set-primary", `find "$TEGRA_OTA_ROOT/boot/efi" -iname '*.cap' -exec rm {} +`},
			calls: []string{"set-state B bad", "set-primary B"}, says: "gone from the ESP",
		},
		{
			name: "set-primary fails", at: [2]string{"set-primary", "exit 1"},
			calls: []string{"set-state B bad", "set-primary B"}, says: "exited with code 1",
		},
		{name: "set-primary is killed", at: [2]string{"set-primary", "kill -9 $$"},
			calls: []string{"set-state B bad", "set-primary B"},
			says:  "killed by signal 9"},
		{
			name: "set-state fails", at: [2]string{"set-state", "exit 1"},
			calls: []string{"set-state B bad"}, says: "Failed marking slot rootfs.1 non-bootable",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			o := newOrin(t)
			if tt.prepare != nil {
				tt.prepare(t, o)
			}
			o.start(t)
			b := o.snapshot(t)
			bundle, _ := o.release(t)
			o.at(t, tt.at[0], tt.at[1])
			calls := o.traced(t, func() { o.rauc(t, "install", bundle).want(t, 1) })
			if diff := cmp.Diff(tt.calls, calls); diff != "" {
				t.Errorf("the install calls (-want +got):\n%s", diff)
			}
			o.undisturbed(t, tt.at[0])
			if log := o.log(t); !strings.Contains(log, tt.says) {
				t.Errorf("the service's log does not say %q:\n%s", tt.says, log)
			}
			o.untouched(t, "A", b.running)
			if tt.name == "set-state fails" {
				o.same(t, b)
			} else {
				o.tells(t, truth{Booted: "A", Primary: "A", Good: "A"})
				o.torn(t, "B")
			}
			if tt.cure != nil {
				tt.cure(t, o)
			}
			o.mustBoot(t, "A")
			o.untouched(t, "A", b.running)
			o.updates(t)
		})
	}
}

// bootNext is a shell command that sets the variable, as efibootmgr --bootnext does.
const bootNext = `printf '\007\000\000\000\001\000' >"$TEGRA_OTA_ROOT/sys/firmware/efi/efivars/BootNext-` + globalGUID + `"`

// fillESP leaves that many bytes free on the ESP, once the call is done.
const fillESP = `"$real" "$@" || exit
esp=$TEGRA_OTA_ROOT/boot/efi
head -c $(($(stat -f -c '%%a*%%S' "$esp") - %d)) /dev/zero >"$esp/filler"
exit`

// smallESP puts the ESP on a file system of its own.
func (o *orin) smallESP(t *testing.T, size int) {
	t.Helper()
	esp := o.path("boot/efi")
	tool(t, "cp", "-a", esp, esp+".kept")
	tool(t, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", size), "esp", esp)
	t.Cleanup(func() { tool(t, "umount", esp) })
	tool(t, "cp", "-a", esp+".kept/.", esp)
}

// torn fails unless a slot that may be half written stays bad, whatever RAUC is told, and is never booted by the firmware.
func (o *orin) torn(t *testing.T, slot string) {
	t.Helper()
	name := map[string]string{"A": "rootfs.0", "B": "rootfs.1"}[slot]
	before := o.cliStatus(t)
	o.rauc(t, "status", "mark-good", name).want(t, 1)
	o.tells(t, before)
	o.cannotBoot(t, slot)
}

// cannotBoot plays, on a copy, what the firmware would do if the running system failed: it must not fall back to slot.
func (o *orin) cannotBoot(t *testing.T, slot string) {
	t.Helper()
	for _, power := range []string{"--warm", "--cold"} {
		twin := &orin{dir: o.path("../twin"), tmp: o.tmp, userland: "true"}
		tool(t, "cp", "-a", o.dir, twin.dir)
		for attempt := 0; attempt < 5; attempt++ {
			options := []string{"--fail", "kernel"}
			if attempt == 4 {
				options = nil
			}
			if attempt == 0 {
				options = append(options, power)
			}
			if up, timeline := twin.boot(t, options...); up && twin.status(t).Current == slot {
				t.Fatalf("after %s and %d failed boots the half-written slot %s boots:\n%s", power, attempt, slot, timeline)
			}
		}
		tool(t, "rm", "-r", twin.dir)
	}
}
