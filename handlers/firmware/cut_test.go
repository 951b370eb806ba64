package firmware_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/handlers/firmware"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// A power cut during a rename on FAT leaves both names, or neither.
func TestBothNamesOrNeither(t *testing.T) {
	raw := build(t, virtual.CapsuleOptions{})
	both := func(t *testing.T) (orin, *firmware.Stager, backends.Staged) {
		o := newOrin(t, virtual.CreateOptions{})
		s := o.stager(firmware.Options{})
		staged := stage(t, s, raw)
		o.write(armedFile, string(raw))
		if d := cmp.Diff(backends.Pending{Armed: true, Staged: true}, pending(t, s, &staged)); d != "" {
			t.Error(d)
		}
		return o, s, staged
	}
	o, s, staged := both(t)
	must(t, s.Arm(ctx, staged))
	if d := cmp.Diff(backends.Pending{Armed: true, Requested: true}, pending(t, s, &staged)); d != "" || o.exists(stagedFile) {
		t.Error("armed with both names:", d)
	}
	o, s, staged = both(t)
	must(t, s.Disarm(ctx, staged, true))
	if d := cmp.Diff(backends.Pending{Staged: true}, pending(t, s, &staged)); d != "" || o.exists(armedFile) {
		t.Error("disarmed with both names:", d)
	}
	o, s, staged = both(t)
	must(t, s.Discard(ctx, staged))
	if o.exists(armedFile) || o.exists(stagedFile) {
		t.Error("discarded with both names: one is left")
	}
	// Neither.
	wantFailure(t, s.Arm(ctx, staged), fail.Unavailable, "it is gone from the ESP")
	must(t, s.Disarm(ctx, staged, true))
	must(t, s.Discard(ctx, staged))
	if d := cmp.Diff(backends.Pending{}, pending(t, s, &staged)); d != "" {
		t.Error(d)
	}
	// A copy that the cut left half written is not ours, and staging again is the cure.
	o.write(stagedFile, string(raw[:len(raw)/2]))
	wantFailure(t, s.Arm(ctx, staged), fail.Unavailable, "it is gone from the ESP")
	wantFailure(t, s.Verify(ctx, staged), fail.IO, "read back, it differs")
	stage(t, s, raw)
	must(t, s.Arm(ctx, staged))
}

// Every change of every call can be the last one before a power cut, with every loss; the same call afterwards does it.
func TestCutsAreRepeatable(t *testing.T) {
	raw := build(t, virtual.CapsuleOptions{})
	count := 0
	for _, loss := range device.Losses {
		for cut := 1; ; cut++ {
			o := newOrin(t, virtual.CreateOptions{})
			fault := &device.Fault{CutAt: cut, Loss: loss}
			s := firmwareOn(o, fault)
			_ = whole(s, raw)
			if !fault.WasCut() {
				break
			}
			count++
			again := o.stager(firmware.Options{})
			if err := whole(again, raw); err != nil {
				t.Fatalf("%s, cut at %d of %q: %v", loss, cut, fault.Changes(), err)
			}
			if !o.exists(armedFile) || o.exists(stagedFile) || o.exists(incomingFile) {
				t.Errorf("%s, cut at %d: the ESP is not as it should be", loss, cut)
			}
		}
	}
	t.Logf("%d cuts", count)
}

// whole stages and arms, as an update does after a restart: what is left over goes first.
func whole(s *firmware.Stager, raw []byte) error {
	if err := s.DiscardIncomplete(ctx); err != nil {
		return err
	}
	c, err := s.Open(ctx, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	staged, err := c.Stage(ctx)
	if err != nil {
		return err
	}
	return s.Arm(ctx, staged)
}

func firmwareOn(o orin, f *device.Fault) *firmware.Stager {
	return orin{o.t, o.dir, o.m.WithFault(f)}.stager(firmware.Options{})
}
