package backends_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/nvbootctrl"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/engine"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// The r32_*_test.go files are about JetPack 4: Control with the real nvbootctrl backend and the real handler of nv_update_engine on
// the model of MB1 and cboot. NVIDIA's two programs run in this process, so that a cut comes inside their changes, too.

const (
	r32NX     = "p3668-0001" // Xavier NX: slot metadata in QSPI, erased before it is written
	r32AGX    = "p2888-0001" // AGX Xavier: eMMC
	r32TX2    = "p3310-1000" // T186
	r32OldL4T = "32.7.5"
	r32NewL4T = "32.7.6"
)

var r32Modules = []string{r32NX, r32AGX, r32TX2}

// r32Device is a virtual JetPack 4 device with tegra-ota on it.
type r32Device struct {
	*virtual.Orin
	temp     string
	payload  []byte
	images   map[string][]byte      // root file systems, by name
	split    bool                   // root file systems are selected in a view of their own
	programs virtual.ProgramOptions // of NVIDIA's, from the next verb on
	patience time.Duration          // for one verb; 0: no limit
	longest  time.Duration          // for one run of nv_update_engine; 0: no limit

	fails func(n int, call string) virtual.NVBootctrlFailure // of the n-th call of nvbootctrl in the next verbs; nil: as programs says
	watch func(call string)                                  // sees each call before it runs

	calls []string      // of NVIDIA's programs during the last verb, with their exit
	marks []int         // how many changes there were before each
	fault *device.Fault // of the last verb
	last  backends.Boot // what count or verify found last
}

// r32Verb is one call of a front end, in a process of its own.
type r32Verb func(ctx context.Context, d *r32Device, c *backends.Control, m *device.Machine) error

// newR32 makes a device in a folder of its own below temp. Its root file systems hold images by name.
func newR32(temp string, opts virtual.CreateOptions, images map[string][]byte) (*r32Device, error) {
	dir, err := os.MkdirTemp(temp, "r32-")
	if err != nil {
		return nil, err
	}
	opts.ImageSize, opts.Rotate = 256, true // our drop-in keeps nv_update_verifier from starting
	if opts.L4T == "" {
		opts.L4T = r32OldL4T
	}
	if opts.Module == "" {
		opts.Module = r32NX
	}
	o, err := virtual.Create(dir, opts)
	if err != nil {
		return nil, err
	}
	d := &r32Device{Orin: o, temp: temp, images: images, split: opts.Redundancy == virtual.RootfsOnly}
	if d.payload, err = virtual.BuildBUP(virtual.BUPOptions{Module: opts.Module, L4T: r32NewL4T, ImageSize: 256}); err != nil {
		return nil, err
	}
	for label, name := range map[string]string{"APP": "factory-a", "APP_b": "factory-b"} {
		if err := os.WriteFile(d.path("dev/disk/by-partlabel", label), images[name], 0o644); err != nil {
			return nil, err
		}
	}
	if err := os.Truncate(d.path("dev/mmcblk0"), 0); err != nil { // nobody reads the table; clones must not copy a disk
		return nil, err
	}
	return d, o.InstallPrograms("/nowhere") // what the backend looks for; functions of this process run instead
}

// newR32Rule makes a device of a module that runs from A, committed, for a test that runs beside others.
func newR32Rule(t *testing.T, change ...func(*virtual.CreateOptions)) *r32Device {
	t.Helper()
	const size = 64 << 10
	opts := virtual.CreateOptions{AppSize: size}
	for _, f := range change {
		f(&opts)
	}
	images := map[string][]byte{}
	for _, name := range []string{"factory-a", "factory-b", "one", "two", "again"} {
		images[name] = bytes.Repeat([]byte(name+" "), size)[:size]
	}
	d, err := newR32(r32Temp(t), opts, images)
	ruleMust(t, err)
	ruleMust(t, d.do(nil, r32Commit))
	return d
}

// r32Temp is a folder on a RAM disk where there is one: the power cuts are modelled, the host's storage has no part in them.
func r32Temp(t *testing.T) string {
	t.Helper()
	temp, err := os.MkdirTemp("/dev/shm", "tegra-ota-r32-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	return temp
}

func r32Of(module string) func(*virtual.CreateOptions) {
	return func(o *virtual.CreateOptions) { o.Module = module }
}

func (d *r32Device) path(elem ...string) string {
	return filepath.Join(append([]string{d.Dir()}, elem...)...)
}

func (d *r32Device) drop() { _ = os.RemoveAll(d.Dir()) }

// clone is the same device in a folder of its own.
func (d *r32Device) clone() (*r32Device, error) {
	dir, err := os.MkdirTemp(d.temp, "r32-")
	if err != nil {
		return nil, err
	}
	c := *d
	c.watch, c.fails, c.calls, c.marks = nil, nil, nil, nil
	c.Orin, err = cloneDevice(d.Dir(), dir, 0)
	return &c, err
}

// do calls a verb, with a fault or without one.
func (d *r32Device) do(f *device.Fault, v r32Verb) error {
	if f == nil {
		f = &device.Fault{}
	}
	d.fault, d.calls, d.marks = f, nil, nil
	m := device.New(d.Dir()).WithFault(f)
	for path := range virtual.Programs(d.Orin, d.programs) {
		m = m.WithProgram(path, d.program)
	}
	c, err := chip.Detect(m)
	if err != nil {
		return err
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx := context.Background()
	if d.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.patience)
		defer cancel()
	}
	control := backends.New(m, nvbootctrl.New(m, c, nvbootctrl.Options{}), engine.New(m, c, engine.Options{Timeout: d.longest}),
		backends.Options{Tries: 3, HealthFolder: sweepHealth, HealthTimeout: 10 * time.Second}, logrus.NewEntry(log))
	return v(ctx, d, control, m)
}

// program runs one of NVIDIA's programs and remembers the call.
func (d *r32Device) program(ctx context.Context, m *device.Machine, c device.Command) (device.Result, error) {
	call := filepath.Base(c.Path) + " " + strings.Join(c.Args, " ")
	if d.watch != nil {
		d.watch(call)
	}
	if err := ctx.Err(); err != nil {
		return device.Result{ExitCode: -1}, fmt.Errorf("cannot run %s: %w", c.Path, err)
	}
	at, opts := len(d.calls), d.programs
	d.calls, d.marks = append(d.calls, call), append(d.marks, d.fault.Count())
	if d.fails != nil && strings.HasPrefix(call, "nvbootctrl") {
		opts.Failure = d.fails(at, call)
	}
	res, err := virtual.Programs(d.Orin, opts)[c.Path](ctx, m, c)
	d.calls[at] += fmt.Sprintf(": exit %d", res.ExitCode)
	return res, err
}

// changing are the calls of the last verb that may have changed something, the others only ask.
func (d *r32Device) changing() []string {
	var list []string
	for _, c := range d.calls {
		for _, word := range []string{"set-active-boot-slot", "mark-boot-successful", "set-slot-as-unbootable", "nv_update_engine -i", "nv_update_engine --install"} {
			if strings.Contains(c, word) {
				list = append(list, c)
				break
			}
		}
	}
	return list
}

// boot is one attempt of the firmware; what a tmpfs held is gone.
func (d *r32Device) boot(o virtual.BootOptions) (virtual.BootReport, error) {
	r, err := d.Boot(context.Background(), o)
	if err != nil {
		return r, err
	}
	return r, os.RemoveAll(d.path("run"))
}

// userspace is what systemd runs in each boot.
func (d *r32Device) userspace() (backends.Boot, error) {
	err := d.do(nil, r32Count)
	if err != nil || d.last.Reboot {
		return d.last, err
	}
	return d.last, d.do(nil, r32Verify)
}
