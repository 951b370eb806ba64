package backends_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/efivar"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/handlers/firmware"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// readOnly mounts a file system of the device read-only.
func (d *ruleDevice) readOnly(point string) {
	d.t.Helper()
	d.mounts(func(l string) string {
		if strings.Contains(l, " "+point+" ") {
			return strings.Replace(l, " rw", " ro", 1)
		}
		return l
	})
}

const (
	ruleVariables = "/sys/firmware/efi/efivars"
	ruleTrust     = "/etc/trust.pem"
)

// logging is a Control whose configuration names a certificate, and whose log goes somewhere.
func (d *ruleDevice) logging(w io.Writer, trust string) *backends.Control {
	d.t.Helper()
	m, _ := d.control()
	log := logrus.New()
	log.SetOutput(w)
	stager := firmware.New(m, chip.T234, firmware.Options{CapsuleTrust: trust})
	return backends.New(m, efivar.New(m, chip.T234), stager, d.opts, logrus.NewEntry(log))
}

// What check finds is what install refuses, before anything is written: both ask the same list.
func TestCheckForeseesEveryRefusal(t *testing.T) {
	image := func(d *ruleDevice) error { return d.write("APP", "v") }
	stage := func(d *ruleDevice) error { _, err := d.stage("36.4.4", "v"); return err }
	look := func(d *ruleDevice) error {
		_, c := d.control()
		_, err := c.CheckFirmware(context.Background(), bytes.NewReader(d.capsule("36.4.4")))
		return err
	}
	activate := func(d *ruleDevice) error { _, err := d.activate(backends.None); return err }
	all := []func(*ruleDevice) error{image, stage, look, activate}
	for _, tt := range []struct {
		name  string
		spoil func(d *ruleDevice)
		acts  []func(*ruleDevice) error
		words string
	}{
		{"efivarfs read-only", func(d *ruleDevice) { d.readOnly(ruleVariables) }, all, "efivarfs is mounted read-only"},
		{"journal read-only", func(d *ruleDevice) { d.readOnly("/data") }, all, "/data/tegra-ota: .* read-only"},
		{"no journal", func(d *ruleDevice) { d.opts.JournalFolder = "/var/lib/tegra-ota" }, all, "it lies on the root file system"},
		{"target mounted", func(d *ruleDevice) {
			d.put("proc/self/mountinfo", d.text("proc/self/mountinfo")+"\n99 22 259:2 / /mnt rw - ext4 /dev/nvme0n1p2 rw\n")
		}, all[:1], "mounted at /mnt"},
		{"torn slot runs", func(d *ruleDevice) {
			ruleMust(d.t, d.abort())
			d.remark("A", "rootfs", "torn")
			d.remark("B", "rootfs", "whole")
		}, all[:3], "slot A runs, and its root file system may be half written"},
		{"no ESP", func(d *ruleDevice) {
			d.mounts(func(l string) string { return ruleWithout(l, "/boot/efi") })
		}, all[1:3], "EFI system partition"},
		{"foreign capsule", func(d *ruleDevice) { d.put(ruleArmed, "vendor") }, all[1:3], "TEGRA_BL.Cap .*not tegra-ota's"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			d.t = t
			d.install("36.4.3")
			tt.spoil(d)
			d.wantProblem(tt.words, backends.SeverityError, fail.Unavailable)
			if p := ruleProblem(d.status().Problems, tt.words); p == nil {
				t.Error("status shows no such problem")
			}
			before := d.snapshot()
			for i, act := range tt.acts {
				err := act(d)
				ruleRefused(t, err, fail.Unavailable, tt.words)
				if fail.NextOf(err) == "" {
					t.Errorf("refusal %d names no next step: %v", i, err)
				}
			}
			d.wantSame(before)
		})
	}
}

// A torn slot that runs and has no way back is cured by an update, so it is a warning.
func TestTornRunningSlotWithoutWayBackIsAWarning(t *testing.T) {
	d := newRule(t)
	d.install("")
	d.remark("A", "rootfs", "torn")
	d.wantProblem("slot A runs, and its root file system may be half written", backends.SeverityWarning, fail.OK)
	ruleMust(t, d.write("APP", "v"))
}

// A certificate that cannot be read is found before a capsule of 60 MiB is.
func TestCheckFindsAMissingCertificate(t *testing.T) {
	d := newRule(t)
	list, err := d.logging(io.Discard, ruleTrust).Check(context.Background(), backends.Scope{})
	ruleMust(t, err)
	p := ruleProblem(list, "certificate")
	if p == nil || p.Code() != fail.Unavailable || !ruleMatch(p.NextStep, "capsule_trust") || strings.Contains(p.Reason, p.NextStep) {
		t.Errorf("%+v", list)
	}
	raw := bytes.NewReader(d.capsule("36.4.3"))
	_, err = d.logging(io.Discard, ruleTrust).Stage(context.Background(), "u", raw, false)
	ruleRefused(t, err, fail.Unavailable, "certificate")
	if raw.Len() == 0 {
		t.Error("the whole capsule was read first")
	}
}

// Only whoever judged the boot knows: a target that came up is not half written, though nobody has cleared its mark yet.
func TestAppliedTargetIsNotShownHalfWritten(t *testing.T) {
	d := newRule(t)
	d.activated("36.4.3")
	d.bare(virtual.BootOptions{})
	st := d.status()
	b := st.Slots[backends.B]
	if st.Verdict.Outcome != backends.Applied || b.Bootable == nil || !*b.Bootable || b.FirmwareDirty {
		t.Errorf("verdict %s, slot B %+v", st.Verdict.Outcome, b)
	}
	if a := st.Slots[backends.A]; a.Bootable == nil || !*a.Bootable {
		t.Errorf("slot A %+v", a)
	}
}

// A health check that somebody forgot to make executable checks nothing, which nobody would notice.
func TestHealthCheckWithoutExecuteBitIsReported(t *testing.T) {
	d := newRule(t)
	d.put("etc/tegra-ota/health.d/10-net", "#!/bin/sh\nexit 1\n")
	d.wantProblem("10-net is not executable", backends.SeverityWarning, fail.OK)
	d.onTrial("")
	var log bytes.Buffer
	_, err := d.logging(&log, "").VerifyBoot(context.Background())
	ruleMust(t, err)
	if !ruleMatch(log.String(), "level=warning .*10-net is not executable") {
		t.Errorf("boot-verify says nothing of it:\n%s", log.String())
	}
}

func TestHealthCheckWithoutInterpreterSaysSo(t *testing.T) {
	d := newRule(t)
	d.health("10-net", "exit 0")
	d.put("etc/tegra-ota/health.d/10-net", "exit 0\n")
	d.onTrial("")
	b, err := d.verify()
	ruleMust(t, err)
	if len(b.Health) != 1 || !ruleMatch(b.Health[0].Reason, `exec format error \(needs a #! line\)`) {
		t.Errorf("%+v", b.Health)
	}
}
