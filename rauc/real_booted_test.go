package rauc_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestBootedSlot: how RAUC 1.8 learns which slot runs, without and with the drop-in, on both slots. Of the kernel's command line
// it understands rauc.slot= and root=, not the boot.slot_suffix= that L4TLauncher adds.
func TestBootedSlot(t *testing.T) {
	same := func(slot string) string { return slot }
	for _, tt := range []struct {
		name    string
		cmdline func(o *orin, slot string) string
		alone   func(slot string) string // the slot that RAUC takes for the running one without the drop-in; nil if it knows none
	}{
		{"slot suffix", func(_ *orin, slot string) string { return "console=ttyTCU0,115200 " + suffix(slot) }, nil},
		{"slot suffix for rauc.slot", func(_ *orin, slot string) string { return "rauc.slot=" + suffix(slot) }, nil},
		{"mapped root", func(_ *orin, slot string) string { return "root=/dev/mapper/root " + suffix(slot) }, nil},
		{"rauc.slot", func(_ *orin, slot string) string { return "rauc.slot=" + slot }, same},
		{"root", func(o *orin, slot string) string { return "root=" + o.node(slot) }, same},
		// As an overlayroot= or an extlinux.conf in the image has it.
		{"root of the other slot", func(o *orin, slot string) string { return "root=" + o.node(other(slot)) }, other},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			o := newOrin(t)
			for _, slot := range []string{"A", "B"} {
				if slot == "B" {
					o.updates(t)
					o.off()
				}
				write(t, o.path("proc/cmdline"), []byte(tt.cmdline(o, slot)+"\n")) // virtual-orin's own is made anew at each boot
				if calls := o.traced(t, func() { o.launch(t, o.execStart(t, debianUnit)); o.named(t) }); len(calls) > 0 {
					t.Errorf("the service without the drop-in calls %q", calls)
				}
				if tt.alone == nil {
					o.rauc(t, "status").want(t, 1).says(t, "Failed to determine slot states")
				} else {
					o.tells(t, truth{Booted: tt.alone(slot), Primary: slot, Good: "AB"})
				}
				if tt.alone == nil || tt.alone(slot) != slot {
					o.refuses(t)
				}
				o.off()
				if calls := o.traced(t, func() { o.start(t) }); strings.Join(calls, " ") != "get-current" {
					t.Errorf("the drop-in calls %q", calls)
				}
				o.tells(t, truth{Booted: slot, Primary: slot, Good: "AB"})
			}
		})
	}
}

// refuses: where RAUC is wrong about the running slot, nothing is written to that.
func (o *orin) refuses(t *testing.T) {
	t.Helper()
	b := o.status(t)
	was := o.contents(t, b.Current)
	bundle, _ := o.release(t)
	if calls := o.traced(t, func() { o.rauc(t, "install", bundle).want(t, 1) }); len(calls) > 0 {
		t.Errorf("an install into the running slot calls %q", calls)
	}
	o.untouched(t, b.Current, was)
	if diff := cmp.Diff(b, o.status(t)); diff != "" {
		t.Errorf("the status changed (-before +after):\n%s", diff)
	}
}

func suffix(slot string) string { return "boot.slot_suffix=_" + strings.ToLower(slot) }

// node is the block device of a slot's root file system.
func (o *orin) node(slot string) string {
	to, err := os.Readlink(o.app(slot))
	if err != nil {
		return err.Error()
	}
	return to
}

// TestContradiction: the chain of one slot runs the root file system of the other, as in OE4T/meta-tegra issue 1142. Nobody
// guesses: get-current says one line and fails, RAUC's service does not start, nothing is marked.
func TestContradiction(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	mounts := string(read(t, o.path("proc/self/mountinfo")))
	mounts = strings.Replace(strings.Replace(mounts, " 259:1 / / ", " 259:2 / / ", 1), "nvme0n1p1 ", "nvme0n1p2 ", 1)
	write(t, o.path("proc/self/mountinfo"), []byte(mounts))
	code, out, log := o.backend(t, "get-current")
	if code != 69 || out != "" || strings.Count(log, "\n") != 1 {
		t.Errorf("get-current exits %d and says %q, want 69 and one line of reason: %q", code, out, log)
	}
	o.launch(t, o.execStart(t, o.path(dropIn)))
	select {
	case <-o.service.done:
	case <-time.After(20 * time.Second):
		t.Error("rauc service starts although nobody knows which slot runs")
	}
	for _, call := range []string{"set-state A bad", "set-state B bad", "set-state A good", "set-state B good", "set-primary A",
		"set-primary B"} {
		if code, _, log := o.backend(t, strings.Fields(call)...); code != 69 {
			t.Errorf("%s exits %d, want 69: %s", call, code, log)
		}
	}
}
