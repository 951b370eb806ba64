package virtual_test

import (
	"testing"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

// FuzzCapsule boots with any file on the ESP: whatever lies there, the unit comes up in one of its slots.
func FuzzCapsule(f *testing.F) {
	good := capsuleOf(f, virtual.CapsuleOptions{L4T: "36.4.3"})
	for _, seed := range [][]byte{nil, []byte("x"), good[:16], good[:28], good[:100], good[:2000], good} {
		f.Add(seed)
	}
	prepared := create(f, small())
	o := clone(f, prepared)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := o.CopyFrom(prepared); err != nil {
			t.Fatal(err)
		}
		arm(t, o, raw)
		r := boot(t, o, virtual.BootOptions{})
		if r.Outcome != virtual.OutcomeRunning || r.Chain != r.Rootfs {
			t.Errorf("%s", where(r))
		}
		if c, err := o.Chain(r.Chain); err != nil || !c.Whole {
			t.Errorf("chain %s is %+v, %v", r.Chain, c, err)
		}
	})
}
