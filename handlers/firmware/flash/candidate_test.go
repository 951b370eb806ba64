package flash

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

const (
	folder = "/data/tegra-ota"
	spec   = "3767-300-0005-K.2-1-0-jetson-orin-nano-devkit-"
)

// board is a machine as the whole stager sees it: a flash in a file, chain A runs.
func board(t testing.TB, p plan, flash []byte) *rig {
	t.Helper()
	r := newRig(t, p, flash, nil)
	r.file("/etc/nv_boot_control.conf", "TNSPEC "+spec+"\nCOMPATIBLE_SPEC 3767--0005--1--jetson-orin-nano-devkit-\n")
	r.file("/sys/class/mtd/mtd0/erasesize", "4096\n")
	r.file("/proc/cmdline", "root=PARTUUID=x boot.slot_suffix=_a quiet\n")
	r.file("/dev/mtd0", string(flash))
	r.file(folder+"/journal.json", "{}")
	r.s = New(r.m, chip.T234, Options{})
	return r
}

func (r *rig) onFile() []byte {
	r.t.Helper()
	b, err := r.m.ReadFile("/dev/mtd0")
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// update opens, receives and writes, as Control does.
func (r *rig) update(m *device.Machine, update []byte, target backends.Slot) (backends.Received, backends.Written, error) {
	s := New(m, r.s.chip, r.s.opts)
	ctx := context.Background()
	c, err := s.Open(ctx, bytes.NewReader(update))
	if err != nil {
		return backends.Received{}, backends.Written{}, err
	}
	received, err := c.(backends.Writer).Receive(ctx, folder, target)
	if err != nil {
		return received, backends.Written{}, err
	}
	written, err := c.(backends.Writer).Write(ctx)
	return received, written, errors.Join(err, s.Discard(ctx, received.Staged))
}

func TestAnUpdateIsReceivedWrittenAndDiscarded(t *testing.T) {
	p := layoutOf(4<<10, 8)
	old := p.release(1)
	want := p.old(old)
	r := board(t, p, want)
	if err := r.s.Ready(context.Background()); err != nil {
		t.Fatal(err)
	}
	if ok, what := Visible(r.m, chip.T234); !ok || !strings.Contains(what, "/dev/mtd0, a whole chip") {
		t.Errorf("%v, %q", ok, what)
	}
	update, im, fresh, data, table := smallUpdate(t, p, old, backends.B)
	received, written, err := r.update(r.m, update, backends.B)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.onFile(); !bytes.Equal(got, wanted(p, want, backends.B, im, fresh, data, table)) {
		t.Error("the flash does not hold the update")
	}
	if received.Nothing || received.Size != int64(len(update)) || len(received.SHA256) != 64 {
		t.Errorf("%+v", received)
	}
	text := strings.Join(written.Notes, "\n")
	for _, part := range []string{"BCT is left alone", "BCT-boot-chain_backup is left alone", "blocks compared", "blocks erased", "a writer of whole partitions"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q lacks %q", text, part)
		}
	}
	if entries, _ := os.ReadDir(r.m.Path(folder)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	fault := &device.Fault{}
	received, written, err = r.update(r.m.WithFault(fault), update, backends.B)
	if err != nil || !received.Nothing || !strings.Contains(strings.Join(written.Notes, "\n"), "nothing was written") {
		t.Errorf("the same again: %+v, %+v, %v", received, written, err)
	}
	for _, change := range fault.Changes() {
		if strings.Contains(change, "mtd") {
			t.Errorf("the same again: %s", change)
		}
	}
}

// Each change of the machine is cut: those of the payload's file and those of the flash.
func TestReceiveAndWriteCutAnywhereFinishWhenRepeated(t *testing.T) {
	p := layoutOf(16<<10, 16)
	old := p.release(1)
	before := p.old(old)
	update, im, fresh, data, table := smallUpdate(t, p, old, backends.B)
	want := wanted(p, before, backends.B, im, fresh, data, table)
	for n, done := 1, false; !done; n++ {
		r := board(t, p, before)
		r.file("/sys/class/mtd/mtd0/erasesize", "16384\n")
		fault := &device.Fault{CutAt: n, Loss: device.Losses[n%len(device.Losses)]}
		_, _, err := r.update(r.m.WithFault(fault), update, backends.B)
		switch done = !fault.WasCut(); {
		case done && err != nil:
			t.Fatal(err)
		case !done && !errors.Is(err, device.ErrPowerCut):
			t.Fatalf("cut %d: %v", n, err)
		}
		if got := r.onFile(); headValid(got, p.part("B_mb1")) {
			if err := complete(p, got, backends.B); err != nil {
				t.Fatalf("cut %d: the chain looks bootable, and %v", n, err)
			}
		}
		if _, _, err := r.update(r.m, update, backends.B); err != nil {
			t.Fatalf("cut %d: again: %v", n, err)
		}
		if !bytes.Equal(r.onFile(), want) {
			t.Fatalf("cut %d: the flash does not hold the update", n)
		}
		if done && n < 40 {
			t.Errorf("only %d changes were cut", n)
		}
	}
}

func TestTheRunningChainIsNoTarget(t *testing.T) {
	p := layoutOf(4<<10, 8)
	flash := p.old(p.release(1))
	r := board(t, p, flash)
	if _, _, err := r.update(r.m, pack(t, p.release(2)), backends.A); fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "chain A: the firmware says that it runs") {
		t.Error(err)
	}
	// What the UEFI variable says counts more than the command line.
	r.file("/sys/firmware/efi/efivars/BootChainFwCurrent-781e084c-a330-417c-b678-38e696380cb9", "\x06\x00\x00\x00\x01\x00\x00\x00")
	if _, _, err := r.update(r.m, pack(t, p.release(2)), backends.B); fail.CodeOf(err) != fail.Unavailable {
		t.Error(err)
	}
	if !bytes.Equal(r.onFile(), flash) {
		t.Error("the flash changed")
	}
	if entries, _ := os.ReadDir(r.m.Path(folder)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestACapsuleIsUnwrapped(t *testing.T) {
	p := layoutOf(4<<10, 8)
	want := p.old(p.release(1))
	im := p.release(2)
	r := board(t, p, want)
	var file bytes.Buffer
	err := capsule.Build(&file, capsule.BuildOptions{ImageType: guid.MustParse("bf0d4599-20d4-414e-b2c5-3595b1cda402"), FirmwareVersion: 0x240500, BUP: pack(t, im)})
	if err != nil {
		t.Fatal(err)
	}
	received, _, err := r.update(r.m, file.Bytes(), backends.B)
	if err != nil || received.Version != 0x240500 {
		t.Fatalf("%+v, %v", received, err)
	}
	p.put(want, backends.B, im)
	if !bytes.Equal(r.onFile(), want) {
		t.Error("the flash does not hold the update")
	}
}

func TestEKSIsWrittenWhereItIsAllowed(t *testing.T) {
	p := layoutOf(4<<10, 8)
	want := p.old(p.release(1))
	im := p.release(2)
	r := board(t, p, want)
	r.s.opts.AllowEKS = true
	if _, _, err := r.update(r.m, pack(t, im, bup.Image{Name: "eks", Data: []byte("keys")}), backends.B); err != nil {
		t.Fatal(err)
	}
	im["eks"] = []byte("keys")
	p.put(want, backends.B, im)
	if !bytes.Equal(r.onFile(), want) {
		t.Error("the flash does not hold the update")
	}
}

// What belongs to capsules is empty or a mistake.
func TestNothingIsStagedOrArmed(t *testing.T) {
	p := layoutOf(4<<10, 8)
	r := board(t, p, p.old(p.release(1)))
	ctx := context.Background()
	c, err := r.s.Open(ctx, bytes.NewReader(pack(t, p.release(2))))
	if err != nil {
		t.Fatal(err)
	}
	pending, err := r.s.Pending(ctx, nil)
	if err != nil || pending.Staged || pending.Armed || pending.Requested || len(pending.Foreign) > 0 {
		t.Errorf("%+v, %v", pending, err)
	}
	_, stage := c.Stage(ctx)
	_, write := c.(backends.Writer).Write(ctx)
	for name, err := range map[string]error{"arm": r.s.Arm(ctx, backends.Staged{}), "verify staged": r.s.Verify(ctx, backends.Staged{}), "stage": stage, "write before receive": write} {
		if fail.CodeOf(err) != fail.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"verify": c.Verify(ctx), "disarm": r.s.Disarm(ctx, backends.Staged{}, true), "discard": r.s.Discard(ctx, backends.Staged{}),
		"discard incomplete": r.s.DiscardIncomplete(ctx),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r.s.Method() != backends.ByMTD || len(c.Warnings()) != 1 {
		t.Errorf("%v, %q", r.s.Method(), c.Warnings())
	}
}
