package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/engine"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

const (
	xavierNX, xavierAGX, tx2 = "p3668-0001", "p2888-0001", "p3310-1000"

	folder  = "/data/tegra-ota"
	fixed   = "opt/ota_package/bl_update_payload"
	updater = virtual.UpdateEnginePath
	control = virtual.NVBootctrlPath
)

var ctx = context.Background()

// rig is a JetPack 4 device on which every call of NVIDIA's programs is written down.
type rig struct {
	t     testing.TB
	o     *virtual.Orin
	m     *device.Machine
	chip  chip.Chip
	opts  engine.Options
	calls *[]string
}

// newRig makes a device whose slot A runs and whose programs are the model's.
func newRig(t testing.TB, dir, module string, programs virtual.ProgramOptions) *rig {
	t.Helper()
	o, err := virtual.Create(dir, virtual.CreateOptions{Module: module, L4T: "32.7.5", AppSize: 64 << 10, ImageSize: 256})
	must(t, err)
	r := &rig{t: t, o: o, m: device.New(o.Dir()), chip: chip.T194, calls: &[]string{}, opts: engine.Options{Timeout: time.Second}}
	if module == tx2 {
		r.chip = chip.T186
	}
	for path, run := range virtual.Programs(o, programs) {
		r.write(path, "#!/bin/false\n")
		must(t, os.Chmod(r.path(path), 0o755))
		r.program(path, run)
	}
	return r
}

func newNX(t testing.TB, programs virtual.ProgramOptions) *rig {
	return newRig(t, filepath.Join(ramFolder(t), "nx"), xavierNX, programs)
}

// program replaces one.
func (r *rig) program(path string, run device.Program) {
	r.m = r.m.WithProgram(path, func(ctx context.Context, m *device.Machine, c device.Command) (device.Result, error) {
		*r.calls = append(*r.calls, strings.Join(append([]string{filepath.Base(path)}, c.Args...), " "))
		return run(ctx, m, c)
	})
}

// answering is a program that always says the same.
func answering(res device.Result, err error) device.Program {
	return func(context.Context, *device.Machine, device.Command) (device.Result, error) { return res, err }
}

func (r *rig) path(p string) string { return filepath.Join(r.o.Dir(), p) }

func (r *rig) write(p, content string) {
	r.t.Helper()
	must(r.t, os.MkdirAll(filepath.Dir(r.path(p)), 0o755))
	must(r.t, os.WriteFile(r.path(p), []byte(content), 0o644))
}

func (r *rig) stager() *engine.Stager { return engine.New(r.m, r.chip, r.opts) }

// install does what Control does: the target is unbootable before it is written. The calls of that step are not recorded.
func (r *rig) install(raw []byte) (backends.Written, error) {
	s := r.stager()
	if err := s.DiscardIncomplete(ctx); err != nil {
		return backends.Written{}, err
	}
	c, err := s.Open(ctx, bytes.NewReader(raw))
	if err != nil {
		return backends.Written{}, err
	}
	w := c.(backends.Writer)
	if _, err := w.Receive(ctx, folder, backends.B); err != nil {
		return backends.Written{}, err
	}
	if _, stderr, exit := virtual.RunNVBootctrl(ctx, r.m, r.o, virtual.NVBootctrlOptions{}, "set-slot-as-unbootable", "1"); exit != 0 {
		return backends.Written{}, fmt.Errorf("set-slot-as-unbootable: exit %d, %s", exit, stderr) // a power cut, or what a sweep lets fail
	}
	written, err := w.Write(ctx)
	if discardErr := w.Discard(ctx); err == nil {
		err = discardErr
	}
	return written, err
}

// whole says that a chain holds one release and starts.
func (r *rig) whole(s virtual.Slot, version string) {
	r.t.Helper()
	c, err := r.o.Chain(s)
	must(r.t, err)
	if !c.Whole || c.VersionText != version {
		r.t.Errorf("chain %v: %+v, want a whole %s", s, c, version)
	}
}

// clean says that no file of ours is left.
func (r *rig) clean() {
	r.t.Helper()
	for _, f := range []string{folder, filepath.Dir(fixed)} {
		entries, err := os.ReadDir(r.path(f))
		if err != nil && !os.IsNotExist(err) {
			r.t.Fatal(err)
		}
		for _, e := range entries {
			r.t.Errorf("left over in %s: %s", f, e.Name())
		}
	}
}

// harmless says that nothing ran that enables redundancy, verifies, reboots or switches slots.
func (r *rig) harmless() {
	r.t.Helper()
	for _, c := range *r.calls {
		words := strings.Fields(c)
		for _, w := range words[1:] {
			switch w {
			case "-e", "--enable-ab", "-d", "--disable-ab", "-v", "--verify", "--check":
				r.t.Errorf("it ran %q", c)
			}
		}
		switch {
		case words[0] == "nvbootctrl" && words[1] != "get-current-slot" && words[1] != "dump-slots-info" && words[1] != "is-unified-enabled":
			r.t.Errorf("it ran %q, which is not for it to decide", c)
		case words[0] == "nv_update_engine" && words[1] != "-h" && !strings.HasSuffix(c, "no-reboot"):
			r.t.Errorf("it ran %q, which reboots", c)
		}
	}
	record, err := r.o.EngineRecord()
	must(r.t, err)
	if record.EnabledAB+record.DisabledAB+record.Reboots != 0 {
		r.t.Errorf("%+v", record)
	}
}

func build(t testing.TB, opts virtual.BUPOptions) []byte {
	t.Helper()
	if opts.Module == "" {
		opts.Module = xavierNX
	}
	if opts.L4T == "" {
		opts.L4T = "32.7.6"
	}
	opts.ImageSize = 256
	raw, err := virtual.BuildBUP(opts)
	must(t, err)
	return raw
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantFailure(t testing.TB, err error, code fail.Code, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("it was accepted; want %s: ...%s...", code, text)
	}
	if fail.CodeOf(err) != code || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %v; want %s: ...%s...", fail.CodeOf(err), err, code, text)
	}
}

func ptr[T any](v T) *T { return &v }

// ramFolder is a folder on a RAM disk where there is one: the power cuts are modelled, the host's storage has no part in them.
func ramFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "tegra-ota-engine-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
