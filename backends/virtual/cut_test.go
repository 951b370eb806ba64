package virtual_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

// sweep cuts the power at every write of a prepared device's next boot, and hands each cut device to check.
func sweep(t *testing.T, prepared *virtual.Orin, after virtual.AfterCut, check func(n int, o *virtual.Orin, cut virtual.BootReport)) {
	t.Helper()
	total := boot(t, clone(t, prepared), virtual.BootOptions{}).FirmwareWrites
	if total == 0 {
		t.Fatal("the firmware writes nothing")
	}
	o := clone(t, prepared)
	for n := 1; n <= total; n++ {
		if err := o.CopyFrom(prepared); err != nil {
			t.Fatal(err)
		}
		r := boot(t, o, virtual.BootOptions{CutAt: n, AfterCut: after})
		if r.Outcome != virtual.OutcomePowerCut || r.FirmwareWrites != n {
			t.Fatalf("cut at %d of %d: %s after %d writes", n, total, r.Outcome, r.FirmwareWrites)
		}
		check(n, o, r)
	}
	if r := boot(t, clone(t, prepared), virtual.BootOptions{CutAt: total + 1}); r.Outcome != virtual.OutcomeRunning {
		t.Errorf("a cut behind the last write: %s", r.Outcome)
	}
}

// Wherever the power is cut while a capsule is applied: a whole chain boots, the old one until BR-BCT was switched. With
// the request gone the other chain is not startable between mb1's invalidation and its last write.
func TestCutCapsule(t *testing.T) {
	prepared := create(t, small())
	arm(t, prepared, capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.3"}))
	for _, after := range []virtual.AfterCut{virtual.AfterCutRetry, virtual.AfterCutFlagCleared, virtual.AfterCutBothCleared} {
		for _, cold := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s cold %v", after, cold), func(t *testing.T) {
				sweep(t, prepared, after, func(n int, o *virtual.Orin, cut virtual.BootReport) {
					checkCutCapsule(t, n, o, cut, after, cold)
				})
			})
		}
	}
}

func checkCutCapsule(t *testing.T, n int, o *virtual.Orin, cut virtual.BootReport, after virtual.AfterCut, cold bool) {
	t.Helper()
	phase := cut.Phases[len(cut.Phases)-1]
	_, err := os.Stat(filepath.Join(o.Dir(), "boot/efi/EFI/UpdateCapsule/TEGRA_BL.Cap"))
	if (err == nil) != (after != virtual.AfterCutBothCleared) {
		t.Errorf("cut at %d (%s): the capsule file: %v", n, phase, err)
	}
	if bit := read(t, o, "sys/firmware/efi/efivars/OsIndications-"+global)[4]; (bit == 4) != (after == virtual.AfterCutRetry) {
		t.Errorf("cut at %d (%s): OsIndications is %d", n, phase, bit)
	}
	chain, err := o.Chain(virtual.B)
	if err != nil {
		t.Fatal(err)
	}
	switched := phase == "esrt" || phase == "capsule-remove" || phase == "bct-switch" && countLast(cut.Phases) == 4
	torn := phase == "capsule-mb1-invalidate" || strings.HasPrefix(phase, "capsule-image:") || phase == "capsule-mb1"
	if torn && chain.Startable {
		t.Errorf("cut at %d (%s): chain B is startable", n, phase)
	}
	r := boot(t, o, virtual.BootOptions{Cold: cold})
	if r.Outcome != virtual.OutcomeRunning {
		t.Fatalf("cut at %d (%s): the next boot ends in %s\n%s", n, phase, r.Outcome, strings.Join(r.Timeline, "\n"))
	}
	want := virtual.A
	if switched != (after == virtual.AfterCutRetry) { // a retry applies it to the chain that does not run, and flips
		want = virtual.B
	}
	if r.Chain != want || r.Rootfs != want {
		t.Errorf("cut at %d (%s): the next boot is in %s%s, want %s\n%s", n, phase, r.Chain, r.Rootfs, want, strings.Join(r.Timeline, "\n"))
	}
	running, err := o.Chain(r.Chain)
	if err != nil || !running.Whole {
		t.Errorf("cut at %d (%s): the running chain is %+v, %v", n, phase, running, err)
	}
	if after != virtual.AfterCutRetry && phase != "capsule-remove" && esrt(t, o, "last_attempt_version") != "0" {
		t.Errorf("cut at %d (%s): ESRT records an attempt", n, phase)
	}
	if !cold && retries(t, o) != "0x2 0x3" && retries(t, o) != "0x3 0x2" {
		t.Errorf("cut at %d (%s): a power cut kept the scratch register: %s", n, phase, retries(t, o))
	}
}

// countLast counts how often the last phase occurs at the end.
func countLast(phases []string) int {
	n := 0
	for i := len(phases) - 1; i >= 0 && phases[i] == phases[len(phases)-1]; i-- {
		n++
	}
	return n
}

// A cut while the chain is switched, or while the launcher falls back, ends in one of the two slots; the boot after it
// finds nothing in flight any more.
func TestCutSwitch(t *testing.T) {
	for name, given := range map[string]func(o *virtual.Orin){
		"switch":    func(o *virtual.Orin) { set32(t, o, next, 1) },
		"fall back": func(o *virtual.Orin) { setRetries(t, o, "0x0", "0x3"); set32(t, o, fwStatus, 0) },
		"failed": func(o *virtual.Orin) {
			set32(t, o, next, 1)
			eraseMB1(t, o, virtual.B)
		},
	} {
		for _, cold := range []bool{true, false} {
			prepared := create(t, small())
			given(prepared)
			sweep(t, prepared, "", func(n int, o *virtual.Orin, cut virtual.BootReport) {
				for i := 0; i < 2; i++ {
					r := boot(t, o, virtual.BootOptions{Cold: cold})
					if r.Outcome != virtual.OutcomeRunning || r.Chain != r.Rootfs {
						t.Errorf("%s, cut at %d (%s), boot %d: %s\n%s", name, n, cut.Phases[n-1], i+1, where(r), strings.Join(r.Timeline, "\n"))
					}
				}
				if got := words(t, o, next); got != "-" || private(t, o, "BootChainFwPrevious") != nil {
					t.Errorf("%s, cut at %d (%s): Next %s, Previous %v are left", name, n, cut.Phases[n-1], got, private(t, o, "BootChainFwPrevious"))
				}
			})
		}
	}
}

// After a cut the same capsule is the cure, whatever the cut left.
func TestCutCure(t *testing.T) {
	raw := capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.3"})
	for _, phase := range []string{"capsule-gpt-invalidate", "capsule-mb1-invalidate", "capsule-image:mb2", "capsule-mb1", "capsule-gpt", "capsule-verify", "capsule-bct-backup", "bct-switch"} {
		o := create(t, small())
		arm(t, o, raw)
		cut := boot(t, o, virtual.BootOptions{CutPhase: phase, AfterCut: virtual.AfterCutBothCleared})
		if cut.Outcome != virtual.OutcomePowerCut || cut.Phases[len(cut.Phases)-1] != phase {
			t.Fatalf("%s: %s at %s", phase, cut.Outcome, cut.Phases[len(cut.Phases)-1])
		}
		boot(t, o, virtual.BootOptions{Cold: true})
		arm(t, o, raw)
		r := boot(t, o, virtual.BootOptions{})
		if c, err := o.Chain(virtual.B); where(r) != "running BB" || err != nil || !c.Whole {
			t.Errorf("%s: after the cure %s, chain B %+v, %v", phase, where(r), c, err)
		}
	}
}

// Sweeps of clients boot ten thousands of times.
func TestBootIsFast(t *testing.T) {
	o := create(t, small())
	const boots = 100
	start := time.Now()
	for i := 0; i < boots; i++ {
		boot(t, o, virtual.BootOptions{Cold: true})
	}
	if each := time.Since(start) / boots; each > 50*time.Millisecond {
		t.Errorf("a boot takes %v", each)
	}
}

func BenchmarkBoot(b *testing.B) {
	o := create(b, small())
	for i := 0; i < b.N; i++ {
		boot(b, o, virtual.BootOptions{Cold: true})
	}
}

func BenchmarkCapsule(b *testing.B) {
	o := create(b, small())
	raw := capsuleOf(b, virtual.CapsuleOptions{L4T: "36.4.3"})
	for i := 0; i < b.N; i++ {
		arm(b, o, raw)
		boot(b, o, virtual.BootOptions{Cold: true})
	}
}

func BenchmarkClone(b *testing.B) {
	o := create(b, small())
	dir := b.TempDir()
	for i := 0; i < b.N; i++ {
		c, err := virtual.Clone(o.Dir(), filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Boot(context.Background(), virtual.BootOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
