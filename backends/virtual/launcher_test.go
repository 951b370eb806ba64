package virtual_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Each row is one way through ValidateRootfsStatus. The device starts in slot A with full retries; after has the retry
// counts, marks the two RootfsStatusSlot.
func TestLauncher(t *testing.T) {
	for _, c := range []struct {
		name       string
		redundancy virtual.Redundancy
		given      func(t *testing.T, o *virtual.Orin)
		opts       virtual.BootOptions
		where      string
		after      string
		marks      string
	}{
		{"warm boot counts", "1", nil, virtual.BootOptions{}, "running AA", "0x2 0x3", "0 0"},
		{"cold boot starts over", "1", func(t *testing.T, o *virtual.Orin) { setRetries(t, o, "0x1", "0x0") }, virtual.BootOptions{Cold: true}, "running AA", "0x2 0x3", "0 0"},
		{"cold boot with B marked", "1", func(t *testing.T, o *virtual.Orin) { set32(t, o, "RootfsStatusSlotB", 0xff) }, virtual.BootOptions{Cold: true}, "running AA", "0x2 0x0", "0 255"},
		{"the mark alone protects nothing when warm", "1", func(t *testing.T, o *virtual.Orin) { set32(t, o, "RootfsStatusSlotA", 0xff) }, virtual.BootOptions{}, "running AA", "0x2 0x3", "255 0"},
		{"the mark counts when cold", "1", func(t *testing.T, o *virtual.Orin) { set32(t, o, "RootfsStatusSlotA", 0xff) }, virtual.BootOptions{Cold: true}, "running BB", "0x0 0x2", "255 0"},
		{"no magic is like cold", "1", func(t *testing.T, o *virtual.Orin) {
			set32(t, o, "RootfsStatusSlotB", 0xff)
			put(t, o, pmc+"rootfs_sr_magic", "0x0\n")
		}, virtual.BootOptions{}, "running AA", "0x2 0x0", "0 255"},
		{"retries used up", "1", func(t *testing.T, o *virtual.Orin) { setRetries(t, o, "0x0", "0x3") }, virtual.BootOptions{}, "running BB", "0x0 0x2", "255 0"},
		{"status 0 alone revives nothing when warm", "1", func(t *testing.T, o *virtual.Orin) {
			setRetries(t, o, "0", "3")
			set32(t, o, "RootfsStatusSlotA", 0)
		}, virtual.BootOptions{}, "running BB", "0x0 0x2", "255 0"},
		{"decimal is understood", "1", func(t *testing.T, o *virtual.Orin) { setRetries(t, o, "2", "1\n") }, virtual.BootOptions{}, "running AA", "0x1 0x1", "0 0"},
		{"two bits are kept", "1", func(t *testing.T, o *virtual.Orin) { setRetries(t, o, "0x6", "0x7") }, virtual.BootOptions{}, "running AA", "0x1 0x3", "0 0"},
		{"both used up", "1", func(t *testing.T, o *virtual.Orin) { setRetries(t, o, "0x0", "0x0") }, virtual.BootOptions{}, "recovery A", "0x0 0x0", "255 255"},
		{"both marked", "1", func(t *testing.T, o *virtual.Orin) {
			set32(t, o, "RootfsStatusSlotA", 0xff)
			set32(t, o, "RootfsStatusSlotB", 0xff)
		}, virtual.BootOptions{}, "recovery A", "0x0 0x0", "255 255"},
		{"fall-back deletes a left-over status", "1", func(t *testing.T, o *virtual.Orin) {
			setRetries(t, o, "0x0", "0x3")
			set32(t, o, "BootChainFwStatus", 0)
		}, virtual.BootOptions{}, "running BB", "0x0 0x2", "255 0"},
		{"fall-back to a chain that does not start", "1", func(t *testing.T, o *virtual.Orin) {
			setRetries(t, o, "0x0", "0x3")
			eraseMB1(t, o, virtual.B)
		}, virtual.BootOptions{}, "boot-loop A", "0x0 0x0", "255 0"},
		{"pinned root", "0", nil, virtual.BootOptions{}, "running AA", "0x2 0x3", "0 0"},
		{"pinned root on chain B", "0", func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 1) }, virtual.BootOptions{}, "running BA", "0x2 0x3", "0 0"},
		{"pinned root used up", "0", func(t *testing.T, o *virtual.Orin) { setRetries(t, o, "0x0", "0x3") }, virtual.BootOptions{}, "recovery A", "0x0 0x3", "255 0"},
		{"pinned root marked", "0", func(t *testing.T, o *virtual.Orin) { set32(t, o, "RootfsStatusSlotA", 0xff) }, virtual.BootOptions{}, "recovery A", "0x0 0x0", "255 0"},
		{"no variables", "absent", func(t *testing.T, o *virtual.Orin) { setRetries(t, o, "0x0", "0x0") }, virtual.BootOptions{}, "running AA", "0x0 0x0", "- -"},
		{"no variables, switch", "absent", func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 1) }, virtual.BootOptions{}, "running BB", "0x3 0x3", "- -"},
		{"one variable missing", "1", func(t *testing.T, o *virtual.Orin) {
			unset(t, o, "RootfsStatusSlotB", public)
			setRetries(t, o, "0x0", "0x3")
		}, virtual.BootOptions{}, "running AA", "0x0 0x3", "0 -"},
		{"recovery asked for", "1", func(t *testing.T, o *virtual.Orin) { set32(t, o, "L4TDefaultBootMode", 3) }, virtual.BootOptions{}, "recovery A", "0x3 0x3", "0 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := small()
			opts.Redundancy = c.redundancy
			o := create(t, opts)
			if c.given != nil {
				c.given(t, o)
			}
			r := boot(t, o, c.opts)
			if where(r) != c.where {
				t.Errorf("%s, want %s\n%s", where(r), c.where, strings.Join(r.Timeline, "\n"))
			}
			if got := retries(t, o); got != c.after {
				t.Errorf("retries %s, want %s\n%s", got, c.after, strings.Join(r.Timeline, "\n"))
			}
			if got := words(t, o, "RootfsStatusSlotA", "RootfsStatusSlotB"); got != c.marks {
				t.Errorf("marks %s, want %s", got, c.marks)
			}
		})
	}
}

// Three warm resets with a dying kernel fall back; with the power cycled each time it is tried for ever.
func TestRetries(t *testing.T) {
	o := create(t, small())
	set32(t, o, next, 1)
	for i := 0; i < 3; i++ {
		if r := boot(t, o, virtual.BootOptions{Fail: virtual.FailKernel}); where(r) != "kernel-failed BB" {
			t.Fatalf("boot %d: %s", i+1, where(r))
		}
	}
	r := boot(t, o, virtual.BootOptions{})
	if where(r) != "running AA" || words(t, o, "RootfsStatusSlotB") != "255" {
		t.Errorf("fourth boot: %s, mark of B %s", where(r), words(t, o, "RootfsStatusSlotB"))
	}

	o = create(t, small())
	set32(t, o, next, 1)
	for i := 0; i < 8; i++ {
		if r := boot(t, o, virtual.BootOptions{Cold: true, Fail: virtual.FailKernel}); where(r) != "kernel-failed BB" {
			t.Fatalf("cold boot %d: %s", i+1, where(r))
		}
	}
}

func TestUserspace(t *testing.T) {
	o := create(t, small())
	var stages []string
	failing := errors.New("no")
	record := func(err error) func(string) error {
		return func(stage string) error {
			stages = append(stages, stage)
			return err
		}
	}
	r := boot(t, o, virtual.BootOptions{Userspace: record(nil)})
	if r.UserspaceExit == nil || *r.UserspaceExit != 0 {
		t.Errorf("userspace_exit = %v, want 0", r.UserspaceExit)
	}
	r = boot(t, o, virtual.BootOptions{Userspace: record(failing)})
	if r.Outcome != virtual.OutcomeRunning || r.UserspaceExit == nil || *r.UserspaceExit != 1 || !errors.Is(r.UserspaceErr, failing) {
		t.Errorf("a failing program: %s, %v, %v", r.Outcome, r.UserspaceExit, r.UserspaceErr)
	}
	boot(t, o, virtual.BootOptions{Userspace: record(nil), Fail: virtual.FailUserspace})
	boot(t, o, virtual.BootOptions{Userspace: record(nil), Fail: virtual.FailKernel, Cold: true})
	set32(t, o, "L4TDefaultBootMode", 3)
	boot(t, o, virtual.BootOptions{Userspace: record(nil)})
	if got := strings.Join(stages, " "); got != "up up early" {
		t.Errorf("userspace ran in the stages %s, want up up early", got)
	}
}

// What userspace writes is what the next boot finds: nothing is written behind its back.
func TestUserspaceWrites(t *testing.T) {
	o := create(t, small())
	boot(t, o, virtual.BootOptions{Userspace: func(string) error {
		setRetries(t, o, "3", "0")
		set32(t, o, next, 1)
		return os.Remove(variablePath(o, "RootfsStatusSlotB", public))
	}})
	if got := retries(t, o) + " " + words(t, o, next, "RootfsStatusSlotB"); got != "3 0 1 -" {
		t.Errorf("after userspace: %s", got)
	}
}

func TestBootRefuses(t *testing.T) {
	o := create(t, small())
	for _, opts := range []virtual.BootOptions{{Fail: "disk"}, {AfterCut: "maybe"}, {CutAt: -1}} {
		if _, err := o.Boot(context.Background(), opts); fail.CodeOf(err) != fail.Usage {
			t.Errorf("Boot(%+v) = %v, want a usage error", opts, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := o.Boot(ctx, virtual.BootOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Boot after cancel = %v", err)
	}
}
