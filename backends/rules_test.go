package backends_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/efivar"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/handlers/firmware"
	"github.com/tegra-ota/tegra-ota/handlers/image"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/source"
)

// The rules_*_test.go files hold one test for each rule of the update flow, named after it: a device is brought into
// the state that the rule is about, and must not do what the rule forbids. The device is the firmware model with the
// real efivar backend and the real handlers.

// ruleDevice is a virtual Orin with Control on it.
type ruleDevice struct {
	*virtual.Orin
	t      *testing.T
	opts   backends.Options
	trace  *device.Fault                                 // of the last verb
	failAt int                                           // fail the N-th change of the next verb
	cutAt  int                                           // cut the power before the N-th change of the next verb
	stager func(*device.Machine) backends.FirmwareStager // nil is the capsule's
	last   backends.Boot                                 // what boot-verify found in the last boot
	err    error                                         // what it answered
}

const (
	rulePublic = "781e084c-a330-417c-b678-38e696380cb9"
	ruleGlobal = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
	rulePMC    = "sys/devices/platform/bus@0/c360000.pmc/"
	ruleESRT   = "sys/firmware/efi/esrt/entries/entry0/"
	ruleArmed  = "boot/efi/EFI/UpdateCapsule/TEGRA_BL.Cap"
	ruleStaged = "boot/efi/EFI/tegra-ota/staged.cap"
)

// newRule makes a device that runs from A, with partitions that cost nothing, for a test that runs beside others.
func newRule(t *testing.T, change ...func(*virtual.CreateOptions)) *ruleDevice {
	t.Helper()
	t.Parallel()
	return makeRule(t, change...)
}

// makeRule is newRule for a test that needs several devices.
func makeRule(t *testing.T, change ...func(*virtual.CreateOptions)) *ruleDevice {
	t.Helper()
	opts := virtual.CreateOptions{AppSize: 64 << 10, ImageSize: 256}
	for _, f := range change {
		f(&opts)
	}
	o, err := virtual.Create(filepath.Join(t.TempDir(), "orin"), opts)
	if err != nil {
		t.Fatal(err)
	}
	return &ruleDevice{Orin: o, t: t, opts: backends.Options{Tries: 3, HealthFolder: "/etc/tegra-ota/health.d", HealthTimeout: 10 * time.Second}}
}

// control wires what cmd wires. Each call is a process of its own.
func (d *ruleDevice) control() (*device.Machine, *backends.Control) {
	d.t.Helper()
	d.trace = &device.Fault{FailAt: d.failAt, CutAt: d.cutAt}
	d.failAt, d.cutAt = 0, 0
	m := device.New(d.Dir()).WithFault(d.trace)
	c, err := chip.Detect(m)
	if err != nil {
		d.t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	stager := backends.FirmwareStager(firmware.New(m, c, firmware.Options{ESPMountPoint: d.opts.ESPMountPoint}))
	if d.stager != nil {
		stager = d.stager(m)
	}
	return m, backends.New(m, efivar.New(m, c), stager, d.opts, logrus.NewEntry(log))
}

// write installs an image of a partition as part of the update id.
func (d *ruleDevice) write(part, id string) error {
	return d.writeFrom(part, id, strings.NewReader(strings.Repeat(part+id, 4000)), false)
}

func (d *ruleDevice) writeFrom(part, id string, r io.Reader, unconfirmed bool) error {
	d.t.Helper()
	m, c := d.control()
	_, err := image.Install(context.Background(), m, c, &source.Source{Reader: r, Size: -1}, image.Options{Partition: part, Size: -1, ID: id, Unconfirmed: unconfirmed})
	return err
}

func (d *ruleDevice) capsule(l4t string, change ...func(*virtual.CapsuleOptions)) []byte {
	d.t.Helper()
	opts := virtual.CapsuleOptions{L4T: l4t, Lowest: "36.0.0", ImageSize: 256}
	for _, f := range change {
		f(&opts)
	}
	raw, err := virtual.BuildCapsule(opts)
	if err != nil {
		d.t.Fatal(err)
	}
	return raw
}

// stage stages firmware of a version as part of the update id.
func (d *ruleDevice) stage(l4t, id string) (backends.Stage, error) {
	d.t.Helper()
	return d.stageRaw(d.capsule(l4t), id)
}

func (d *ruleDevice) stageRaw(raw []byte, id string) (backends.Stage, error) {
	d.t.Helper()
	_, c := d.control()
	return c.Stage(context.Background(), id, bytes.NewReader(raw), false)
}

func (d *ruleDevice) activate(slot backends.Slot) (backends.Activation, error) {
	d.t.Helper()
	_, c := d.control()
	return c.Activate(context.Background(), "", slot)
}

func (d *ruleDevice) abort() error { _, c := d.control(); return c.Abort(context.Background()) }
func (d *ruleDevice) commit() error {
	_, c := d.control()
	_, err := c.Commit(context.Background())
	return err
}
func (d *ruleDevice) count() (backends.Boot, error) {
	_, c := d.control()
	return c.CountBoot(context.Background())
}

func (d *ruleDevice) rollback() (bool, error) {
	_, c := d.control()
	reboot, _, err := c.Rollback(context.Background())
	return reboot, err
}

// verify is tegra-boot-verify run.
func (d *ruleDevice) verify() (backends.Boot, error) {
	_, c := d.control()
	d.last, d.err = c.VerifyBoot(context.Background())
	return d.last, d.err
}

func (d *ruleDevice) status() backends.Status {
	d.t.Helper()
	_, c := d.control()
	st, err := c.Status(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	if n := d.trace.Count(); n != 0 {
		d.t.Errorf("status changed the device: %q", d.trace.Changes())
	}
	return st
}

func (d *ruleDevice) verdict() backends.Verdict {
	d.t.Helper()
	_, c := d.control()
	v, err := c.Verdict(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	return v
}

func (d *ruleDevice) problems() []backends.Problem {
	d.t.Helper()
	_, c := d.control()
	list, err := c.Check(context.Background(), backends.Scope{})
	if err != nil {
		d.t.Fatal(err)
	}
	if n := d.trace.Count(); n != 0 {
		d.t.Errorf("check changed the device: %q", d.trace.Changes())
	}
	return list
}

// bare plays one attempt to boot in which tegra-ota does not run.
func (d *ruleDevice) bare(opts virtual.BootOptions) virtual.BootReport {
	d.t.Helper()
	r, err := d.Boot(context.Background(), opts)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

// boot plays one attempt with both of tegra-ota's units; a hanging userspace reaches only the early one.
func (d *ruleDevice) boot(opts virtual.BootOptions) virtual.BootReport {
	d.t.Helper()
	d.last, d.err = backends.Boot{}, errors.New("boot-verify did not run")
	opts.Userspace = func(stage string) error {
		if _, err := d.count(); err != nil {
			return err
		}
		if stage == virtual.StageEarly {
			return nil
		}
		_, err := d.verify()
		return err
	}
	return d.bare(opts)
}

// arrive boots and wants a slot to run, committed.
func (d *ruleDevice) arrive(slot backends.Slot) {
	d.t.Helper()
	d.boot(virtual.BootOptions{})
	d.wantBoot(slot, true, false)
}

func (d *ruleDevice) wantBoot(slot backends.Slot, committed, reboot bool) {
	d.t.Helper()
	if d.err != nil {
		d.t.Fatalf("boot-verify: %v", d.err)
	}
	if d.last.Slot != slot || d.last.Committed != committed || d.last.Reboot != reboot {
		d.t.Fatalf("boot-verify says slot %s, committed %t, reboot %t (%s: %s); want %s, %t, %t",
			d.last.Slot, d.last.Committed, d.last.Reboot, d.last.State, d.last.Message, slot, committed, reboot)
	}
}

// clone is the same device in a folder of its own.
func (d *ruleDevice) clone(t *testing.T) *ruleDevice {
	t.Helper()
	o, err := virtual.Clone(d.Dir(), filepath.Join(t.TempDir(), "orin"))
	ruleMust(t, err)
	return &ruleDevice{Orin: o, t: t, opts: d.opts, stager: d.stager}
}

// health adds a health check, a line of shell.
func (d *ruleDevice) health(name, script string) {
	d.t.Helper()
	p := "etc/tegra-ota/health.d/" + name
	d.put(p, "#!/bin/sh\n"+script+"\n")
	ruleMust(d.t, os.Chmod(d.path(p), 0o755))
}

// install brings a root file system, and firmware unless l4t is "", up to but without activation.
func (d *ruleDevice) install(l4t string) {
	d.t.Helper()
	ruleMust(d.t, d.write("APP", "u"))
	if l4t != "" {
		_, err := d.stage(l4t, "u")
		ruleMust(d.t, err)
	}
}

// activated is install with activation.
func (d *ruleDevice) activated(l4t string) {
	d.t.Helper()
	d.install(l4t)
	_, err := d.activate(backends.None)
	ruleMust(d.t, err)
}

// cutCapsule leaves chain B half written: the power is cut while its images are written, and nobody has judged the boot since.
func (d *ruleDevice) cutCapsule(after virtual.AfterCut) {
	d.t.Helper()
	d.activated("36.4.3")
	r := d.bare(virtual.BootOptions{CutPhase: "capsule-mb1", AfterCut: after})
	if r.Outcome != virtual.OutcomePowerCut {
		d.t.Fatalf("no power cut: %q", r.Timeline)
	}
	if c, err := d.Chain(virtual.B); err != nil || c.Whole {
		d.t.Fatalf("chain B is whole: %v", err)
	}
}

const (
	ruleBootable   = "0 0x3"
	ruleUnbootable = "255 0x0"
)
