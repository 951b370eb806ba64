package swupdate_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// before is what a device looked like when a case began.
type before struct {
	slot           string
	running, other map[string]string
}

func (o *orin) snapshot(t *testing.T) before {
	t.Helper()
	slot := o.status(t).Current
	return before{slot: slot, running: o.contents(t, slot), other: o.contents(t, other(slot))}
}

// untouched fails if a byte of the slot that ran changed.
func (o *orin) untouched(t *testing.T, b before) {
	t.Helper()
	now := o.contents(t, b.slot)
	for name, sum := range b.running {
		if now[name] != sum {
			t.Errorf("slot %s ran, and its %s was changed", b.slot, name)
		}
	}
}

// unharmed is what must hold after every update that did not succeed: the slot that ran is untouched, the other one does
// not boot if it was written to, a reboot comes back committed, and a good update works.
func (o *orin) unharmed(t *testing.T, b before) {
	t.Helper()
	o.untouched(t, b)
	o.clean(t)
	o.chosen(t, b.slot)
	if cmp.Diff(b.other, o.contents(t, other(b.slot))) != "" {
		o.cannotBoot(t, other(b.slot))
	}
	if b.slot != o.status(t).Current {
		t.Fatalf("slot %s runs, want %s", o.status(t).Current, b.slot)
	}
	timeline := o.mustBoot(t, b.slot)
	if !o.committed() {
		t.Errorf("slot %s is not committed after the reboot\n%s\n%s", b.slot, timeline, o.verdict())
	}
	o.untouched(t, b)
	o.updates(t)
}

// cannotBoot plays, on a copy, what the firmware would do if the running system failed: it must not fall back to slot.
func (o *orin) cannotBoot(t *testing.T, slot string) {
	t.Helper()
	for _, power := range []string{"--warm", "--cold"} {
		twin := o.twin(t)
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
		_ = os.RemoveAll(twin.dir)
	}
}

// twin is a copy of the device whose Linux does nothing.
func (o *orin) twin(t *testing.T) *orin {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "twin")
	tool(t, "", "cp", "-a", o.dir, dir)
	u := &updater{tmp: o.tmp, libexec: o.libexec, env: []string{"TEGRA_OTA_ROOT=" + dir}}
	return &orin{updater: u, kind: o.kind, dir: dir, userland: "true"}
}

// updates installs a good update of root file system and firmware, reboots, and fails unless the other slot runs it.
func (o *orin) updates(t *testing.T) {
	t.Helper()
	image := o.image(t)
	o.install(t, o.good(t, image).pack(t)).want(t, 0)
	o.arrives(t, image)
}

// arrives reboots into an installed update.
func (o *orin) arrives(t *testing.T, image []byte) {
	t.Helper()
	b := o.snapshot(t)
	to := other(b.slot)
	o.chosen(t, to)
	timeline := o.mustBoot(t, to)
	o.chosen(t, to)
	if got := read(t, o.app(to)); !bytes.Equal(got[:len(image)], image) {
		t.Errorf("slot %s does not hold the image", to)
	}
	if !o.committed() {
		t.Errorf("slot %s is not committed:\n%s\n%s", to, timeline, o.verdict())
	}
	if s := o.status(t); s.Update.State != "committed" {
		t.Errorf("the update is %q, want committed: %s", s.Update.State, o.verdict())
	}
	o.untouched(t, b)
	o.clean(t)
}

// good is an update that must succeed, with firmware newer than what runs.
func (o *orin) good(t *testing.T, image []byte) update {
	t.Helper()
	id := digest(image)[:8]
	return update{members: []member{activate(id), rootfs(id, image), o.kind.firmware(id, o.kind.payload.of(t, o.nextVersion(t)))}}
}

// nextVersion is newer than what runs: the firmware admits nothing below the last capsule.
func (o *orin) nextVersion(t *testing.T) string {
	t.Helper()
	running := o.hardware(t).Chains[o.status(t).Current].Version
	return o.kind.versions[slices.Index(o.kind.versions, running)+1]
}

// same fails if the other slot was written to.
func (o *orin) same(t *testing.T, b before) {
	t.Helper()
	if diff := cmp.Diff(b.other, o.contents(t, other(b.slot))); diff != "" {
		t.Errorf("slot %s was written to, although the update could be refused before (-before +after):\n%s", other(b.slot), diff)
	}
}

// says fails unless the status tells the person on call about text.
func (o *orin) says(t *testing.T, text string) {
	t.Helper()
	if _, out, _ := o.control(t, "tegra-bootctl", "status"); !strings.Contains(out, text) && !strings.Contains(o.verdict(), text) {
		t.Errorf("neither status nor verdict says %q:\n%s\n%s", text, out, o.verdict())
	}
}
