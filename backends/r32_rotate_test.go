package backends_test

import (
	"testing"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

// cboot takes a slot back whose kernel it started twice without a word from userspace: boot-verify speaks up at each boot, also
// when no update is in flight.
func TestR32EveryBootIsConfirmed(t *testing.T) {
	t.Parallel()
	rotating := func(o *virtual.CreateOptions) { o.Rotate = true }
	left := newR32Rule(t, rotating)
	confirmed := newR32Rule(t, rotating)
	for i := 1; i <= 5; i++ {
		r, err := confirmed.boot(virtual.BootOptions{})
		ruleMust(t, err)
		if r.Chain != virtual.A {
			t.Fatalf("boot %d: slot %s runs", i, r.Chain)
		}
		b, err := confirmed.userspace()
		if err != nil || !b.Committed {
			t.Fatalf("boot %d: committed %t: %v", i, b.Committed, err)
		}
	}
	// The rule is real: without boot-verify the slot is lost.
	lost := false
	for i := 1; i <= 5; i++ {
		r, err := left.boot(virtual.BootOptions{})
		ruleMust(t, err)
		lost = lost || r.Chain != virtual.A
	}
	if !lost {
		t.Error("cboot keeps a slot that nobody confirms: the test shows nothing")
	}
}
