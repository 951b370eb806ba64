package backends_test

import (
	"os"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Warnings forbid nothing; errors are what an update would run into.
func TestCheckExitsOnErrorsOnly(t *testing.T) {
	for _, tt := range []struct {
		name     string
		spoil    func(d *ruleDevice)
		words    string
		severity backends.Severity
		code     fail.Code
	}{
		{"dirty target", func(d *ruleDevice) { d.cutCapsule(virtual.AfterCutBothCleared); d.boot(virtual.BootOptions{}) }, "firmware of slot B may be half written", backends.SeverityWarning, fail.OK},
		{"torn target", func(d *ruleDevice) { ruleMust(d.t, d.write("APP", "u")) }, "root file system of slot B may be half written", backends.SeverityWarning, fail.OK},
		{"target 0xFF", func(d *ruleDevice) { d.set("RootfsStatusSlotB", 255) }, "slot B is not bootable", backends.SeverityWarning, fail.OK},
		{"left-over status", func(d *ruleDevice) { d.set("BootChainFwStatus", 3) }, "BootChainFwStatus is left over", backends.SeverityWarning, fail.OK},
		{"one retry", func(d *ruleDevice) { d.put(rulePMC+"rootfs_retry_count_a", "0x1\n") }, "slot A has 1 boots left", backends.SeverityWarning, fail.OK},
		{"no retry", func(d *ruleDevice) { d.put(rulePMC+"rootfs_retry_count_a", "0x0\n") }, "slot A has 0 boots left", backends.SeverityWarning, fail.OK},
		{"no support for capsules", func(d *ruleDevice) {
			d.put(ruleVariable("OsIndicationsSupported", ruleGlobal), "\x06\x00\x00\x00\x43\x00\x00\x00\x00\x00\x00\x00")
		}, "OsIndicationsSupported lacks bit 2", backends.SeverityWarning, fail.OK},
		{"redundancy 0", func(d *ruleDevice) { d.set("RootfsRedundancyLevel", 0) }, "RootfsRedundancyLevel is 0", backends.SeverityError, fail.Unavailable},
		{"no ESP", func(d *ruleDevice) { d.mounts(func(l string) string { return ruleWithout(l, "/boot/efi") }) }, "EFI system partition", backends.SeverityError, fail.Unavailable},
		{"two ESPs that cannot be told apart", func(d *ruleDevice) {
			d.remove(ruleVariable("BootCurrent", ruleGlobal))
			d.secondESP()
		}, "cannot tell which EFI system partition", backends.SeverityError, fail.Unavailable},
		{"on trial", func(d *ruleDevice) { d.onTrial("") }, "runs on trial", backends.SeverityError, fail.Busy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			if p := ruleProblem(d.problems(), tt.words); p != nil {
				t.Fatalf("a fresh device has the problem: %+v", p)
			}
			tt.spoil(d)
			d.wantProblem(tt.words, tt.severity, tt.code)
			for _, p := range d.problems() {
				if tt.severity == backends.SeverityWarning && p.Severity == backends.SeverityError {
					t.Errorf("there is an error, too: %+v", p)
				}
			}
		})
	}
}

// secondESP mounts another disk's ESP, as after a rescue from a USB stick.
func (d *ruleDevice) secondESP() {
	d.t.Helper()
	for from, to := range map[string]string{"nvme0n1": "sda", "nvme0n1p7": "sda7"} {
		for _, file := range []string{"uevent", "size", "partition", "start"} {
			p := "sys/class/block/" + from + "/" + file
			if d.has(p) {
				d.put("sys/class/block/"+to+"/"+file, ruleReplace(d.rawText(p), "MAJOR=259", "MAJOR=8", from, to))
			}
		}
		ruleMust(d.t, os.Symlink(from, d.path("dev/"+to)))
	}
	d.put("proc/self/mountinfo", d.text("proc/self/mountinfo")+"\n98 22 8:7 / /efi rw - vfat /dev/sda7 rw\n")
}

// Another process at work is busy, not broken.
func TestCheckSaysBusyWhileAnotherVerbWorks(t *testing.T) {
	d := newRule(t)
	lock, err := device.New(d.Dir()).Lock(t0(), "/run/tegra-ota/lock", 0)
	ruleMust(t, err)
	d.wantProblem("another update or slot change is at work", backends.SeverityError, fail.Busy)
	ruleMust(t, lock.Unlock())
	if p := ruleProblem(d.problems(), "at work"); p != nil {
		t.Errorf("%+v", p)
	}
}

// The launcher is one for both slots and no part of an update; status says which it is.
func TestStatusShowsTheLauncher(t *testing.T) {
	d := newRule(t)
	st := d.status()
	if st.Launcher == nil || *st.Launcher != "/boot/efi/EFI/BOOT/BOOTAA64.efi" || st.Slots[backends.A].Firmware == nil {
		t.Errorf("launcher %v, firmware %v", st.Launcher, st.Slots[backends.A].Firmware)
	}
}

// Where chain and root file system disagree, the usual cause is a root= in the image.
func TestDisagreementNamesExtlinux(t *testing.T) {
	d := newRule(t)
	d.onTrial("")
	d.mounts(func(l string) string {
		return ruleReplace(l, "259:2 / / ", "259:1 / / ", "/dev/nvme0n1p2 ", "/dev/nvme0n1p1 ")
	})
	v := d.verdict()
	if v.Outcome != backends.FellBack || !ruleMatch(v.Reason, "chain B runs with the root file system of slot A; .*root= in /boot/extlinux/extlinux.conf") {
		t.Errorf("verdict %+v", v)
	}
	ruleRefused(t, d.commit(), fail.Unavailable, "extlinux.conf")
	_, err := d.verify()
	ruleMust(t, err)
	d.wantBoot(backends.B, false, true)
}
