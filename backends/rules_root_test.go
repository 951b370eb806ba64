package backends_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
)

// The mounted root file system is evidence of its own: chain and launcher may say B while root= in an image's
// extlinux.conf mounts A.
func TestMountedRootIsSeenAndContradictsTheChain(t *testing.T) {
	d := newRule(t)
	m, control := d.control()
	ctx := context.Background()
	st, err := control.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !st.Slots[backends.A].Mounted || st.Slots[backends.B].Mounted {
		t.Fatalf("mounted: A %t, B %t, want A alone", st.Slots[backends.A].Mounted, st.Slots[backends.B].Mounted)
	}
	mountinfo := m.Path("/proc/self/mountinfo")
	text, err := os.ReadFile(mountinfo)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mountinfo, []byte(strings.Replace(string(text), "/dev/nvme0n1p1 ", "/dev/nvme0n1p2 ", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	problems, err := control.Check(ctx, backends.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if p.Check == "slots" && p.Severity == backends.SeverityError && strings.Contains(p.NextStep, "extlinux.conf") {
			return
		}
	}
	t.Errorf("check does not say that chain A runs with slot B's root: %+v", problems)
}
