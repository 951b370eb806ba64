package backends_test

import (
	"context"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/efivar"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/handlers/firmware"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// The sweep's device is as small as it can be and still be torn: a root file system is one chunk of the image handler
// and a bit of the next, so that a cut between the two leaves half of it.
const (
	sweepAppSize = 1<<20 + 32<<10
	sweepTries   = 3
	sweepOldL4T  = "36.4.0"
	sweepNewL4T  = "36.4.3"
	sweepHealth  = "/etc/tegra-ota/health.d"
)

// sweepRig holds what every device of one test shares.
type sweepRig struct {
	temp     string
	images   map[string][]byte // whole root file systems, by name
	capsule  []byte
	unsigned []byte // a capsule that we accept and the firmware refuses, before it erases anything

	mu   sync.Mutex
	seen map[sweepKey]bool
}

// sweepKey is a device and what is judged about it.
type sweepKey struct {
	device  uint64
	judging string
}

// fresh says whether a device is judged for the first time.
func (r *sweepRig) fresh(d *sweepDevice, judging string, exact bool) (bool, error) {
	f, err := d.fingerprint(exact)
	if err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := sweepKey{f, judging}
	known := r.seen[key]
	r.seen[key] = true
	return !known || *sweepFull, nil
}

// newSweepRig makes it on a RAM disk where there is one: the power cuts are modelled, the host's storage has no part in them.
func newSweepRig(t testing.TB) *sweepRig {
	t.Helper()
	temp, err := os.MkdirTemp("/dev/shm", "tegra-ota-sweep-")
	if err != nil {
		temp = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	r := &sweepRig{temp: temp, images: map[string][]byte{}, seen: map[sweepKey]bool{}}
	for i, name := range []string{"factory-a", "factory-b", "one", "two", "three", "again"} {
		r.images[name] = make([]byte, sweepAppSize)
		_, _ = rand.New(rand.NewSource(int64(i + 1))).Read(r.images[name])
	}
	spec, err := virtual.CapsuleSpec(virtual.DefaultModule)
	if err != nil {
		t.Fatal(err)
	}
	options := virtual.CapsuleOptions{L4T: sweepNewL4T, Lowest: "36.3.0", Specs: []string{spec}, ImageSize: 512}
	if r.capsule, err = virtual.BuildCapsule(options); err != nil {
		t.Fatal(err)
	}
	options.Unsigned = true
	if r.unsigned, err = virtual.BuildCapsule(options); err != nil {
		t.Fatal(err)
	}
	return r
}

// sweepDevice is one device. onESP takes /data away, so that the journal lies on the ESP.
type sweepDevice struct {
	rig        *sweepRig
	orin       *virtual.Orin
	onESP      bool
	redundancy virtual.Redundancy
}

func (r *sweepRig) newDevice(redundancy virtual.Redundancy, onESP bool) (*sweepDevice, error) {
	dir, err := os.MkdirTemp(r.temp, "device-")
	if err != nil {
		return nil, err
	}
	o, err := virtual.Create(dir, virtual.CreateOptions{
		L4T: sweepOldL4T, Redundancy: redundancy, AppSize: sweepAppSize, ImageSize: 512, Lowest: "36.3.0",
	})
	if err != nil {
		return nil, err
	}
	d := &sweepDevice{rig: r, orin: o, onESP: onESP, redundancy: redundancy}
	for label, name := range map[string]string{"APP": "factory-a", "APP_b": "factory-b"} {
		if err := os.WriteFile(d.path("dev/disk/by-partlabel", label), r.images[name], 0o644); err != nil {
			return nil, err
		}
	}
	return d, d.unmountData()
}

// used is a device that was booted once with tegra-ota on it, so that it has a journal.
func (r *sweepRig) used(redundancy virtual.Redundancy, onESP bool) (*sweepDevice, error) {
	d, err := r.newDevice(redundancy, onESP)
	if err == nil {
		_, err = d.userspace()
	}
	return d, err
}

func (d *sweepDevice) clone() (*sweepDevice, error) { return d.cloneSharing(0) }

// cloneSharing makes a copy that shares what nothing that is done to it writes.
func (d *sweepDevice) cloneSharing(share int) (*sweepDevice, error) {
	dir, err := os.MkdirTemp(d.rig.temp, "device-")
	if err != nil {
		return nil, err
	}
	c := *d
	c.orin, err = cloneDevice(d.orin.Dir(), dir, share)
	return &c, err
}

func (d *sweepDevice) drop() { _ = os.RemoveAll(d.orin.Dir()) }

func (d *sweepDevice) path(elem ...string) string {
	return filepath.Join(append([]string{d.orin.Dir()}, elem...)...)
}

// unmountData takes /data out of the mounts, as on a device that has no such partition.
func (d *sweepDevice) unmountData() error {
	if !d.onESP {
		return nil
	}
	file := d.path("proc/self/mountinfo")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var kept []string
	for _, line := range strings.SplitAfter(string(text), "\n") {
		if !strings.Contains(line, " /data ") {
			kept = append(kept, line)
		}
	}
	return os.WriteFile(file, []byte(strings.Join(kept, "")), 0o644)
}

// boot is one attempt of the firmware; what a tmpfs held is gone.
func (d *sweepDevice) boot(o virtual.BootOptions) (virtual.BootReport, error) {
	report, err := d.orin.Boot(context.Background(), o)
	if err != nil {
		return report, err
	}
	if err := os.RemoveAll(d.path("run")); err != nil {
		return report, err
	}
	return report, d.unmountData()
}

func (d *sweepDevice) control(f *device.Fault) (*backends.Control, *device.Machine) {
	m := device.New(d.orin.Dir())
	if f != nil {
		m = m.WithFault(f)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	return backends.New(m, efivar.New(m, chip.T234), firmware.New(m, chip.T234, firmware.Options{}), backends.Options{
		Tries: sweepTries, AllowWithoutFallback: d.redundancy == virtual.NoVariables, HealthFolder: sweepHealth, HealthTimeout: 10 * time.Second,
	}, logrus.NewEntry(log)), m
}

// userspace is what systemd runs in each boot. It reports whether a reboot is asked for.
func (d *sweepDevice) userspace() (backends.Boot, error) {
	c, _ := d.control(nil)
	b, err := c.CountBoot(context.Background())
	if err != nil {
		return b, fmt.Errorf("CountBoot: %w", err)
	}
	if b.Reboot {
		return b, nil
	}
	if b, err = c.VerifyBoot(context.Background()); err != nil {
		return b, fmt.Errorf("VerifyBoot: %w", err)
	}
	return b, nil
}
