package firmware_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/handlers/firmware"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// A file that is bad at its end leaves nothing behind.
func TestStageRefusesAtTheEnd(t *testing.T) {
	good := build(t, virtual.CapsuleOptions{})
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	for _, tt := range []struct {
		name string
		r    io.Reader
		code fail.Code
	}{
		{"truncated", bytes.NewReader(good[:len(good)-1]), fail.Data},
		{"a byte more", bytes.NewReader(append(bytes.Clone(good), 0)), fail.Data},
		{"a flipped byte", bytes.NewReader(flipped), fail.Data},
		{"a transport that breaks", io.MultiReader(bytes.NewReader(good[:len(good)-10]), failing{fail.New(fail.IO, "broken transport")}), fail.IO},
		{"a decoder whose input ends", io.MultiReader(bytes.NewReader(good[:len(good)-10]), failing{fail.New(fail.Data, "cannot decompress: %w", io.ErrUnexpectedEOF)}), fail.Data},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrin(t, virtual.CreateOptions{})
			s := o.stager(firmware.Options{})
			c, err := s.Open(ctx, tt.r)
			must(t, err)
			_, err = c.Stage(ctx)
			wantFailure(t, err, tt.code, "")
			if o.exists(stagedFile) || o.exists(incomingFile) || o.exists(armedFile) {
				t.Error("something is left on the ESP")
			}
		})
	}
	o := newOrin(t, virtual.CreateOptions{})
	cancelled, cancel := context.WithCancel(ctx)
	c, err := o.stager(firmware.Options{}).Open(ctx, bytes.NewReader(good))
	must(t, err)
	cancel()
	if _, err := c.Stage(cancelled); !errors.Is(err, context.Canceled) || fail.CodeOf(err) != fail.IO {
		t.Errorf("cancelled: %v", err)
	}
	if o.exists(incomingFile) {
		t.Error("half a capsule is left on the ESP")
	}
}

type failing struct{ err error }

func (r failing) Read([]byte) (int, error) { return 0, r.err }

// Every call may be repeated, from every state.
func TestCallsAreIdempotent(t *testing.T) {
	raw := build(t, virtual.CapsuleOptions{})
	o := newOrin(t, virtual.CreateOptions{})
	s := o.stager(firmware.Options{})
	want := func(step string, staged *backends.Staged, w backends.Pending) {
		t.Helper()
		if d := cmp.Diff(w, pending(t, s, staged)); d != "" {
			t.Errorf("%s: %s", step, d)
		}
		if o.exists(stagedFile) != w.Staged || o.exists(armedFile) != w.Armed || o.exists(incomingFile) {
			t.Errorf("%s: the files say something else", step)
		}
	}
	want("at first", nil, backends.Pending{})
	must(t, s.DiscardIncomplete(ctx))
	must(t, s.Discard(ctx, backends.Staged{}))
	staged := stage(t, s, raw)
	for range 2 {
		must(t, s.Verify(ctx, staged))
		want("staged", &staged, backends.Pending{Staged: true})
		// Nothing to take back is no error, and requests of others stay.
		must(t, s.Disarm(ctx, staged, false))
	}
	stage(t, s, raw)
	want("staged again", &staged, backends.Pending{Staged: true})
	for range 2 {
		must(t, s.Arm(ctx, staged))
		want("armed", &staged, backends.Pending{Armed: true, Requested: true})
	}
	for range 2 {
		must(t, s.Disarm(ctx, staged, true))
		want("disarmed", &staged, backends.Pending{Staged: true})
	}
	must(t, s.Arm(ctx, staged))
	must(t, s.Disarm(ctx, staged, false))
	want("disarmed, the request is somebody else's", &staged, backends.Pending{Staged: true, Requested: true})
	for range 2 {
		must(t, s.Discard(ctx, staged))
		want("discarded", &staged, backends.Pending{Requested: true})
	}
	staged = stage(t, s, raw)
	must(t, s.Arm(ctx, staged))
	for range 2 {
		must(t, s.Discard(ctx, staged))
		want("discarded while armed", &staged, backends.Pending{Requested: true})
	}
	wantFailure(t, s.Arm(ctx, staged), fail.Unavailable, "it is gone from the ESP")
	wantFailure(t, s.Verify(ctx, staged), fail.IO, "staged capsule")
}

// OsIndications belongs to everybody: only bit 2 is ours, and it is written last.
func TestOtherIndicationsAreKept(t *testing.T) {
	raw := build(t, virtual.CapsuleOptions{})
	for _, tt := range []struct{ before, armed, disarmed uint64 }{
		{0, 4, 0}, {1, 5, 1}, {0x4000000000000041, 0x4000000000000045, 0x4000000000000041}, {4, 4, 0}, {7, 7, 3},
	} {
		o := newOrin(t, virtual.CreateOptions{})
		o.set(efivarfs.OsIndications, u64(tt.before))
		s := o.stager(firmware.Options{})
		staged := stage(t, s, raw)
		if v, _ := o.indications(); v != tt.before {
			t.Errorf("staging changed OsIndications to %#x", v)
		}
		must(t, s.Arm(ctx, staged))
		if v, _ := o.indications(); v != tt.armed {
			t.Errorf("armed: %#x, want %#x", v, tt.armed)
		}
		must(t, s.Disarm(ctx, staged, true))
		if v, _ := o.indications(); v != tt.disarmed {
			t.Errorf("disarmed: %#x, want %#x", v, tt.disarmed)
		}
	}
	o := newOrin(t, virtual.CreateOptions{})
	fault := &device.Fault{}
	s := firmwareOn(o, fault)
	staged := stage(t, s, raw)
	must(t, s.Arm(ctx, staged))
	changes := fault.Changes()
	if last := changes[len(changes)-1]; !strings.Contains(last, "OsIndications") {
		t.Errorf("the last change of arming is %q", last)
	}
	before := len(changes)
	must(t, s.Disarm(ctx, staged, true))
	if first := fault.Changes()[before]; !strings.Contains(first, "OsIndications") {
		t.Errorf("the first change of disarming is %q", first)
	}
}

func TestForeignCapsules(t *testing.T) {
	raw, other := build(t, virtual.CapsuleOptions{}), build(t, virtual.CapsuleOptions{})
	o := newOrin(t, virtual.CreateOptions{})
	s := o.stager(firmware.Options{})
	staged := stage(t, s, raw)
	// Another capsule under NVIDIA's name is not ours: content decides.
	o.write(armedFile, string(other))
	if d := cmp.Diff(backends.Pending{Staged: true, Foreign: []string{"TEGRA_BL.Cap"}}, pending(t, s, &staged)); d != "" {
		t.Error(d)
	}
	wantFailure(t, s.Arm(ctx, staged), fail.Unavailable, "TEGRA_BL.Cap in the firmware's folder is not tegra-ota's")
	if _, present := o.indications(); present {
		t.Error("OsIndications was written")
	}
	must(t, s.Disarm(ctx, staged, true))
	must(t, s.Discard(ctx, staged))
	if b, err := os.ReadFile(o.path(armedFile)); err != nil || !bytes.Equal(b, other) {
		t.Error("the foreign capsule was touched")
	}
	// And ours under another name is ours: somebody or a repair tool renamed it.
	must(t, os.Remove(o.path(armedFile)))
	o.write("boot/efi/EFI/UpdateCapsule/FSCK0000.REC", string(raw))
	if d := cmp.Diff(backends.Pending{Armed: true}, pending(t, s, &staged)); d != "" {
		t.Error(d)
	}
	must(t, s.Discard(ctx, staged))
	if o.exists("boot/efi/EFI/UpdateCapsule/FSCK0000.REC") {
		t.Error("our capsule under another name is still armed")
	}
}
