package engine_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Somebody else's payload at the fixed path is in the way and stays; the same content serves, and stays; what we left is removed.
func TestForeignPayloadIsKept(t *testing.T) {
	raw := build(t, virtual.BUPOptions{})
	for _, tt := range []struct {
		name, content string
		installs      bool
	}{{"another", "somebody's payload", false}, {"the same", string(raw), true}} {
		r := newNX(t, virtual.ProgramOptions{Payload: ptr(false)})
		r.write(fixed, tt.content)
		_, err := r.install(raw)
		if tt.installs {
			must(t, err)
			r.whole(virtual.B, "32.7.6")
		} else {
			wantFailure(t, err, fail.Unavailable, "a payload that is not tegra-ota's")
			r.whole(virtual.B, "32.7.5")
		}
		if got, err := os.ReadFile(r.path(fixed)); err != nil || string(got) != tt.content {
			t.Errorf("%s: it is gone or changed: %v", tt.name, err)
		}
		if entries, _ := os.ReadDir(r.path(filepath.Dir(fixed))); len(entries) != 1 {
			t.Errorf("%s: %v", tt.name, entries)
		}
	}
	// With --payload nobody reads that path, and a foreign file is none of our business.
	r := newNX(t, virtual.ProgramOptions{Payload: ptr(true)})
	r.write(fixed, "somebody's payload")
	_, err := r.install(raw)
	must(t, err)
	// A link is not followed: what it names is somebody else's.
	r = newNX(t, virtual.ProgramOptions{Payload: ptr(false)})
	must(t, os.MkdirAll(r.path(filepath.Dir(fixed)), 0o755))
	must(t, os.Symlink("elsewhere", r.path(fixed)))
	_, err = r.install(raw)
	wantFailure(t, err, fail.Unavailable, "a payload that is not tegra-ota's")
	if target, err := os.Readlink(r.path(fixed)); err != nil || target != "elsewhere" {
		t.Error(target, err)
	}
}

// A marker whose file was replaced by somebody does not make that file ours.
func TestMarkerMustFit(t *testing.T) {
	r := newNX(t, virtual.ProgramOptions{Payload: ptr(false)})
	r.write(fixed, "somebody's payload")
	r.write(fixed+".tegra-ota", "0123456789\n")
	r.write(fixed+".tegra-ota.tmp", "half of ours")
	must(t, r.stager().DiscardIncomplete(ctx))
	entries, err := os.ReadDir(r.path(filepath.Dir(fixed)))
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != "bl_update_payload" {
		t.Errorf("%v", entries)
	}
}

// sweep returns the changes of an install by number, and which of them are of files, which are ours.
func sweep(t *testing.T, dir string, byPayload bool, raw []byte) (numbers []int, ours map[int]bool) {
	t.Helper()
	r := newRig(t, dir, xavierNX, virtual.ProgramOptions{Payload: &byPayload})
	fault := &device.Fault{}
	r.m = r.m.WithFault(fault)
	_, err := r.install(raw)
	must(t, err)
	ours = map[int]bool{}
	for i, change := range fault.Changes() {
		ours[i+1] = strings.Contains(change, "/")
		numbers = append(numbers, i+1)
	}
	if len(numbers) < 15 {
		t.Fatalf("only %d changes: %q", len(numbers), fault.Changes())
	}
	return numbers, ours
}

// Every change of an install can be the last one before a power cut, with every loss; the same install afterwards writes the whole chain,
// and until then slot A is what it was.
func TestEveryCutIsRepeatable(t *testing.T) {
	t.Parallel()
	raw := build(t, virtual.BUPOptions{})
	base, count := ramFolder(t), 0
	for _, byPayload := range []bool{false, true} {
		numbers, ours := sweep(t, filepath.Join(base, fmt.Sprint(byPayload)), byPayload, raw)
		for _, loss := range device.Losses {
			for _, cut := range numbers {
				if !ours[cut] && loss != device.KeepUnsynced {
					continue // changes of the flash count as on storage at once
				}
				count++
				r := newRig(t, filepath.Join(base, fmt.Sprint(count)), xavierNX, virtual.ProgramOptions{Payload: &byPayload})
				r.opts.Folder = folder
				good := r.m
				fault := &device.Fault{CutAt: cut, Loss: loss}
				r.m = r.m.WithFault(fault)
				if _, err := r.install(raw); err == nil || !fault.WasCut() {
					t.Errorf("cut at %d of %q: %v", cut, fault.Changes(), err)
				}
				r.whole(virtual.A, "32.7.5")
				r.m = good
				if _, err := r.install(raw); err != nil {
					t.Fatalf("--payload %v, %s, cut at %d of %q: %v", byPayload, loss, cut, fault.Changes(), err)
				}
				r.whole(virtual.B, "32.7.6")
				r.harmless()
				r.clean()
				must(t, os.RemoveAll(r.o.Dir()))
			}
		}
	}
	t.Logf("%d cuts", count)
}

// Every change may fail: the install fails then, and the same install afterwards does it.
func TestEveryFailedChangeIsReported(t *testing.T) {
	t.Parallel()
	raw := build(t, virtual.BUPOptions{})
	base := ramFolder(t)
	numbers, _ := sweep(t, filepath.Join(base, "first"), false, raw)
	for _, n := range numbers {
		r := newRig(t, filepath.Join(base, fmt.Sprint(n)), xavierNX, virtual.ProgramOptions{Payload: ptr(false)})
		fault := &device.Fault{FailAt: n}
		good := r.m
		r.m = r.m.WithFault(fault)
		if _, err := r.install(raw); err == nil {
			t.Errorf("change %d of %q failed, and the install says nothing", n, fault.Changes())
		}
		r.m = good
		if _, err := r.install(raw); err != nil {
			t.Fatalf("after change %d failed: %v", n, err)
		}
		r.clean()
	}
}

// Discard before Write removes what Receive kept, and a new stager that knows the folder finds it, too.
func TestDiscard(t *testing.T) {
	raw := build(t, virtual.BUPOptions{})
	for _, restart := range []bool{false, true} {
		r := newNX(t, virtual.ProgramOptions{Payload: ptr(false)})
		r.opts.Folder = folder
		c, err := r.stager().Open(ctx, bytes.NewReader(raw))
		must(t, err)
		w := c.(backends.Writer)
		must(t, w.Discard(ctx))
		received, err := w.Receive(ctx, folder, backends.B)
		must(t, err)
		if received.Nothing || received.Size != int64(len(raw)) || w.Version().String() != "32.7.6" || received.Version != w.Version() {
			t.Errorf("%+v", received)
		}
		if restart {
			must(t, r.stager().Discard(ctx, received.Staged))
		} else {
			must(t, w.Discard(ctx))
		}
		r.clean()
		r.whole(virtual.B, "32.7.5")
	}
}
