package backends_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// A retry count that is left alone boots the slot after a warm reset, whatever its status says.
func TestUnbootableMeansStatusAndRetryCount(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.write("APP", "u"))
	d.wantMarks(ruleBootable, ruleUnbootable)
}

// A status of 0 alone revives nothing while the launcher's register is valid.
func TestBootableMeansStatusAndRetryCount(t *testing.T) {
	d := newRule(t)
	d.activated("")
	d.wantMarks(ruleBootable, ruleBootable)
}

// Full retries are RootfsRetryCountMax, not a number of ours.
func TestFullRetriesAreRootfsRetryCountMax(t *testing.T) {
	d := newRule(t)
	d.put(ruleVariable("RootfsRetryCountMax", rulePublic), "\x06\x00\x00\x00\x02\x00\x00\x00")
	d.activated("")
	d.wantMarks("0 0x2", "0 0x2")
}

// A status or count that does not hold what was written is an error, not a hope.
func TestMarksAreReadBack(t *testing.T) {
	d := newRule(t)
	for _, file := range []string{rulePMC + "rootfs_retry_count_b"} {
		d.remove(file)
		ruleMust(t, os.Symlink("/dev/null", d.path(file))) // takes every write and keeps none
	}
	err := d.write("APP", "u")
	ruleRefused(t, err, fail.IO, "retry count of slot B")
}

// Where the kernel has no file for the counts, NVIDIA's executable refills those of the running slot.
func TestOwnRetriesAreRefilledByNvbootctrlWithoutSysfs(t *testing.T) {
	d := newRule(t)
	d.remove(rulePMC)
	d.put("usr/sbin/nvbootctrl", "#!/bin/sh\necho \"$@\" >>"+d.path("called")+"\n")
	ruleMust(t, os.Chmod(d.path("usr/sbin/nvbootctrl"), 0o755))
	ruleMust(t, d.commit())
	if got := d.text("called"); got != "verify" {
		t.Errorf("nvbootctrl was called with %q, want verify", got)
	}
	d.remove("called")
	_, err := d.activate(backends.B)
	ruleMust(t, err)
	if d.has("called") {
		t.Error("nvbootctrl verify was called for the other slot, whose counts it does not know")
	}
}

// Counts that nobody can write are worth a warning, and a target whose count may be 0 boots only after a power cycle.
func TestUnwritableRetriesAreWarnedOf(t *testing.T) {
	d := newRule(t)
	d.remove(rulePMC)
	d.wantProblem("retry counts cannot be written", backends.SeverityWarning, fail.OK)
	a, err := d.activate(backends.B)
	ruleMust(t, err)
	if !ruleContains(a.Warnings, "power-cycle the device instead of rebooting") {
		t.Errorf("activate warns %q, not to power-cycle", a.Warnings)
	}
}

// The mark is older than the first byte, and it covers all three partitions.
func TestTornIsMarkedBeforeTheFirstByte(t *testing.T) {
	for _, part := range backends.PartitionNames {
		t.Run(part, func(t *testing.T) {
			d := newRule(t)
			d.activated("")
			d.arrive(backends.B) // both marks are known now
			ruleMust(t, d.write(part, "u"))
			d.wantOrder("marks-[01].json", "rename .*journal.json", "RootfsStatusSlotA", "rootfs_retry_count_a", "write .*nvme0n1p|write .*"+part)
			if got := d.journal().Marks["A"]["rootfs"]; got != "torn" {
				t.Errorf("after one image, without activation, the root file system is %s, want torn", got)
			}
		})
	}
}

// One image of two is not the update.
func TestWholeOnlyAfterEveryImageWasReadBack(t *testing.T) {
	d := newRule(t, ruleRoomy)
	ruleMust(t, d.write("APP", "u"))
	if err := d.writeFrom("kernel", "u", &ruleBroken{left: 3 << 19}, false); err == nil {
		t.Fatal("a broken stream was accepted")
	}
	_, err := d.activate(backends.None)
	ruleRefused(t, err, fail.Unavailable, "no update is in flight")
	if got := d.journal().Marks["B"]["rootfs"]; got != "torn" {
		t.Errorf("the root file system is %s, want torn", got)
	}
	_, err = d.activate(backends.B)
	ruleRefused(t, err, fail.Unavailable, "half written")
}

// A later update that brings only the root file system does not heal the kernel that an earlier one tore.
func TestTornKernelIsNotHealedByARootFileSystem(t *testing.T) {
	d := newRule(t, ruleRoomy)
	if err := d.writeFrom("kernel", "first", &ruleBroken{left: 3 << 19}, false); err == nil {
		t.Fatal("a broken stream was accepted")
	}
	ruleMust(t, d.write("APP", "second"))
	_, err := d.activate(backends.None)
	ruleRefused(t, err, fail.Unavailable, "kernel.*half written")
	d.wantMarks(ruleBootable, ruleUnbootable)
	ruleMust(t, d.write("kernel", "second"))
	_, err = d.activate(backends.None)
	ruleMust(t, err)
}

// Abort, starting over and commit leave the marks alone: they wrote no byte.
func TestAbortStartingOverAndCommitKeepTorn(t *testing.T) {
	for name, act := range map[string]func(d *ruleDevice) error{
		"abort":      (*ruleDevice).abort,
		"start over": func(d *ruleDevice) error { _, err := d.stage("36.4.3", "another"); return err },
		"commit":     (*ruleDevice).commit,
		"boot":       func(d *ruleDevice) error { d.arrive(backends.A); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.write("APP", "u"))
			ruleMust(t, act(d))
			if got := d.journal().Marks["B"]["rootfs"]; got != "torn" {
				t.Errorf("the root file system is %s, want torn", got)
			}
			d.wantMarks(ruleBootable, ruleUnbootable)
		})
	}
}

// Nobody selects a torn slot or makes it bootable, by any verb.
func TestTornSlotIsNeverSelected(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.write("APP", "u"))
	ruleMust(t, d.abort())
	before := d.snapshot()
	_, err := d.activate(backends.B)
	ruleRefused(t, err, fail.Unavailable, "root file system of slot B may be half written")
	d.wantSame(before)
	if b := d.status().Slots[backends.B].Bootable; b == nil || *b {
		t.Error("status calls the torn slot bootable")
	}
}

// A torn slot that came up by accident is not accepted: its 0xFF stays, and the whole one boots next.
func TestTornSlotThatRunsIsNotAccepted(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.write("APP", "u"))
	d.put(rulePMC+"rootfs_retry_count_b", "0x3\n") // as on a kernel that cannot set it
	d.set("BootChainFwNext", 1)                    // by somebody else's hand
	r := d.boot(virtual.BootOptions{})
	if r.Chain != virtual.B {
		t.Fatalf("chain %s runs; the test needs the torn one: %q", r.Chain, r.Timeline)
	}
	d.wantBoot(backends.B, false, true)
	if got := d.word("RootfsStatusSlotB"); got != 255 {
		t.Errorf("status of the torn slot is %d, want 255", got)
	}
	ruleRefused(t, d.write("APP", "u2"), fail.Unavailable, "half written")
	d.arrive(backends.A)
	if got := d.journal().Marks["B"]["rootfs"]; got != "torn" {
		t.Errorf("the root file system is %s, want torn", got)
	}
}

// A slot nobody wrote to counts as whole while the firmware calls it bootable.
func TestUnknownCountsAsWholeWhileTheStatusIsZero(t *testing.T) {
	d := newRule(t)
	d.set("RootfsStatusSlotB", 255)
	_, err := d.activate(backends.B)
	ruleRefused(t, err, fail.Unavailable, "slot B is not bootable")
	d.set("RootfsStatusSlotB", 0)
	_, err = d.activate(backends.B)
	ruleMust(t, err)
}

// With both at 0xFF the launcher boots recovery at once.
func TestBothSlotsAreNeverUnbootableByOurHand(t *testing.T) {
	d := newRule(t)
	d.set("RootfsStatusSlotA", 255) // by somebody else's hand; the slot runs
	_, c := d.control()
	if err := c.SetUnbootable(context.Background(), backends.B); err != nil {
		t.Fatal(err)
	}
	d.wantMarks(ruleBootable, ruleUnbootable)
	ruleRefused(t, func() error { _, c := d.control(); return c.SetUnbootable(context.Background(), backends.A) }(), fail.Unavailable, "it runs")
}

// The same when a half-written chain is kept from booting.
func TestProtectionFromADirtyChainKeepsTheRunningSlotBootable(t *testing.T) {
	d := newRule(t)
	d.cutCapsule(virtual.AfterCutBothCleared)
	d.set("RootfsStatusSlotA", 255)
	d.put(rulePMC+"rootfs_sr_magic", "0xface\n")
	d.put(rulePMC+"rootfs_retry_count_a", "0x2\n")
	d.boot(virtual.BootOptions{})
	d.wantMarks(ruleBootable, ruleUnbootable)
}

// ruleRoomy makes partitions that hold more than the image handler reads before it begins.
func ruleRoomy(o *virtual.CreateOptions) { o.AppSize = 2 << 20 }

// ruleBroken is a stream that ends with an error.
type ruleBroken struct{ left int }

func (b *ruleBroken) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the stream broke")
	}
	n := min(len(p), b.left)
	for i := range p[:n] {
		p[i] = 'x'
	}
	b.left -= n
	return n, nil
}

var _ io.Reader = (*ruleBroken)(nil)

func ruleContains(list []string, words string) bool {
	for _, s := range list {
		if ruleMatch(s, words) {
			return true
		}
	}
	return false
}
