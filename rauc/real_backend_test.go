package rauc_test

import (
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
	"github.com/tegra-ota/tegra-ota/rauc"
)

// accepts reboots into an installed update. RAUC hears that it is good only when it is committed; the firmware then has the slot as
// its own, confirmed.
func (u *unit) accepts(t *testing.T, to, version string) {
	t.Helper()
	calls := u.traced(t, func() { u.mustBoot(t, to) })
	if !u.committed() || u.status(t).Update.State != "committed" {
		t.Fatalf("slot %s is not committed: %s", to, u.verdict())
	}
	if last := calls[len(calls)-1]; last != "set-state "+to+" good" {
		t.Errorf("the gate opened, and RAUC's last call is %q", last)
	}
	u.written(t, to, version)
	h := u.hardware(t)
	if h.Active != to {
		t.Errorf("chain %s is active, want %s", h.Active, to)
	}
	if m := h.Metadata; m != nil && m.Slots[strings.Index("AB", to)] != (slotRecord{15, u.tries, true}) {
		t.Errorf("slot %s is not confirmed: %+v", to, m)
	}
	u.tells(t, truth{Booted: to, Primary: to, Good: "AB"})
}

// TestBackendInstall goes A to B and back, root file system and firmware, with every backend.
func TestBackendInstall(t *testing.T) {
	eachKind(t, func(t *testing.T, u *unit) {
		u.tells(t, truth{Booted: "A", Primary: "A", Good: "AB"})
		for _, to := range []string{"B", "A"} {
			from := other(to)
			was := u.contents(t, from)
			bundle, image, version := u.release(t)
			calls := u.traced(t, func() { u.rauc(t, "install", bundle).want(t, 0) })
			if diff := cmp.Diff([]string{"set-state " + to + " bad", "set-primary " + to}, calls); diff != "" {
				t.Errorf("install calls (-want +got):\n%s", diff)
			}
			u.holds(t, to, image)
			u.tells(t, truth{Booted: from, Primary: to, Good: "AB"})
			u.accepts(t, to, version)
			u.untouched(t, from, was)
		}
	})
}

// TestBackendKernelDies: the kernel of a release never comes up. Its tries run out and the old slot boots; those that slot metadata
// count go on where a power cut stopped them.
func TestBackendKernelDies(t *testing.T) {
	eachKind(t, func(t *testing.T, u *unit) {
		was := u.contents(t, "A")
		bundle, _, _ := u.release(t)
		u.rauc(t, "install", bundle).want(t, 0)
		for left := u.tries - 1; left >= 0; left-- {
			power := "--warm"
			if u.metadata && left%2 == 0 {
				power = "--cold"
			}
			u.mustNotBoot(t, power, "--fail", "kernel")
			if m := u.hardware(t).Metadata; m != nil && m.Slots[1].Retry != left {
				t.Fatalf("slot B has %d tries, want %d", m.Slots[1].Retry, left)
			}
		}
		for i := 0; i < 2; i++ {
			u.mustBoot(t, "A")
			if s := u.status(t); s.Update.State != "rolled-back" && s.Update.State != "failed" || !u.committed() {
				t.Errorf("the update is %q, slot A committed %t: %s", s.Update.State, u.committed(), u.verdict())
			}
			u.tells(t, truth{Booted: "A", Primary: "A", Good: "A"})
			u.untouched(t, "A", was)
		}
		u.updates(t)
	})
}

// TestBackendInterrupted kills RAUC while it writes, and takes the power. The old slot boots, and the other one does not until an
// update has come through.
func TestBackendInterrupted(t *testing.T) {
	eachKind(t, func(t *testing.T, u *unit) {
		was := u.contents(t, "A")
		bundle, image, version := u.release(t)
		u.cut(t, bundle, [2]string{"set-primary", hold}, true)
		u.cannotBoot(t, "B")
		u.mustBoot(t, "A", "--cold")
		u.tells(t, truth{Booted: "A", Primary: "A", Good: "A"})
		u.torn(t, "B")
		u.untouched(t, "A", was)
		u.rauc(t, "install", bundle).want(t, 0)
		u.holds(t, "B", image)
		u.accepts(t, "B", version)
		u.untouched(t, "A", was)
	})
}

// TestBackendMarks sets marks by hand, and boots what RAUC says.
func TestBackendMarks(t *testing.T) {
	eachKind(t, func(t *testing.T, u *unit) {
		a, b := u.contents(t, "A"), u.contents(t, "B")
		all, onlyA, toB := truth{"A", "A", "AB"}, truth{"A", "A", "A"}, truth{"A", "B", "AB"}
		u.marks(t,
			mark{"mark-bad", "other", 0, onlyA}, mark{"mark-good", "other", 0, all},
			mark{"mark-active", "other", 0, toB}, mark{"mark-good", "booted", 0, toB}, // does not take the switch back
			mark{"mark-active", "booted", 0, all}, mark{"mark-active", "other", 0, toB},
			mark{"mark-bad", "other", 0, onlyA},  // takes it back
			mark{"mark-active", "other", 0, toB}, // makes it bootable, too
		)
		u.mustBoot(t, "B", "--cold")
		u.tells(t, truth{"B", "B", "AB"})
		if h := u.hardware(t); h.Active != "B" {
			t.Errorf("chain %s is active", h.Active)
		}
		u.rauc(t, "status", "mark-bad", "booted").want(t, 0)
		if got := u.cliStatus(t); got.Good != "A" {
			t.Errorf("the running slot is marked bad, and RAUC says %+v", got)
		}
		u.mustBoot(t, "A")
		u.tells(t, truth{"A", "A", "A"})
		u.rauc(t, "status", "mark-good", "other").want(t, 0)
		u.tells(t, all)
		u.untouched(t, "A", a)
		u.untouched(t, "B", b)
		u.updates(t)
	})
}

// TestBUPAlone: a bundle of firmware alone for nv_update_engine. It is in the chain when RAUC is done, and the other slot boots next.
func TestBUPAlone(t *testing.T) {
	parallel(t)
	u := newUnit(t, jetPack4)
	for _, to := range []string{"B", "A"} {
		u.rauc(t, "install", u.bundle(t, "", u.payload(t, "32.7.6"))).want(t, 0)
		u.written(t, to, "32.7.6")
		u.tells(t, truth{other(to), to, "AB"})
		u.accepts(t, to, "32.7.6")
	}
}

// TestBUPRefused: the pre-install handler sees a BUP that cannot be installed before RAUC marks the other slot bad.
func TestBUPRefused(t *testing.T) {
	parallel(t)
	u := newUnit(t, jetPack4)
	b := u.snapshot(t)
	file := u.path("../firmware")
	for _, options := range []string{"--module p2888-0001", "--module p3668-0001 --omit mb1", "--module p3668-0001 --damage cut"} {
		tool(t, suite.orin, append([]string{"bup", "-o", file, "--l4t", "32.7.6"}, strings.Fields(options)...)...)
		bundle := u.bundle(t, u.image(t), file)
		if calls := u.traced(t, func() { u.rauc(t, "install", bundle).want(t, 1) }); len(calls) > 0 {
			t.Errorf("%s: the install calls %q", options, calls)
		}
		u.same(t, b)
	}
	u.updates(t)
}

// TestEngineDies: nv_update_engine ends half-way. The slot is not used, and the same bundle is the cure, also after a reboot.
func TestEngineDies(t *testing.T) {
	parallel(t)
	u := newUnit(t, jetPack4)
	was := u.contents(t, "A")
	tool(t, suite.orin, "programs", u.dir, "--engine-fail", "dies")
	bundle, image, version := u.release(t)
	u.rauc(t, "install", bundle).want(t, 1)
	if h := u.hardware(t); h.Chains["B"].Whole || h.Active != "A" {
		t.Errorf("the engine died half-way, and the device holds %+v", h)
	}
	u.tells(t, truth{"A", "A", "A"})
	u.torn(t, "B")
	u.mustBoot(t, "A", "--cold")
	u.tells(t, truth{"A", "A", "A"})
	u.untouched(t, "A", was)
	tool(t, suite.orin, "programs", u.dir, "--engine-fail", "")
	u.rauc(t, "install", bundle).want(t, 0)
	u.holds(t, "B", image)
	u.accepts(t, "B", version)
}

const kernelManifest = "[update]\ncompatible=jetson-orin-nano-devkit\nversion=1\n\n[bundle]\nformat=plain\n\n" +
	"[image.rootfs]\nfilename=rootfs.ext4\n\n[image.kernel]\nfilename=boot.img\n"

// TestJetPack4Kernel: RAUC writes a kernel partition as the slot of a root file system's child, and that of the other slot stays.
func TestJetPack4Kernel(t *testing.T) {
	parallel(t)
	u := newUnit(t, jetPack4)
	u.off()
	conf := string(read(t, u.path("etc/rauc/system.conf")))
	for i, slot := range []string{"A", "B"} {
		conf += fmt.Sprintf("\n[slot.kernel.%d]\ndevice=%s\ntype=raw\nparent=rootfs.%d\n", i, u.labelled(slot, "kernel"), i)
	}
	write(t, u.path("etc/rauc/system.conf"), []byte(conf))
	u.start(t)
	was := u.contents(t, "A")
	content, kernel := u.path("../kernel"), random(512<<10)
	tool(t, "mkdir", content)
	for name, is := range map[string][]byte{"boot.img": kernel, "rootfs.ext4": read(t, u.image(t)), "manifest.raucm": []byte(kernelManifest)} {
		write(t, filepath.Join(content, name), is)
	}
	tool(t, "rauc", "bundle", "--cert="+suite.pki+"/cert.pem", "--key="+suite.pki+"/key.pem",
		"--signing-keyring="+suite.pki+"/ca.cert.pem", content, content+".raucb")
	u.rauc(t, "install", content+".raucb").want(t, 0)
	if got := read(t, u.labelled("B", "kernel")); string(got[:len(kernel)]) != string(kernel) {
		t.Error("kernel_b does not hold the kernel")
	}
	u.untouched(t, "A", was)
	u.mustBoot(t, "B")
}

// TestJetPack4Timing measures every call of RAUC's where each answer takes several runs of nvbootctrl, and counts those: of the
// time that a call has, NVIDIA's program may take its part so often.
func TestJetPack4Timing(t *testing.T) {
	u := newUnit(t, jetPack4)
	nvbootctrl, log := u.path("usr/sbin/nvbootctrl"), u.path("../runs")
	tool(t, "mv", nvbootctrl, nvbootctrl+"-nvidia")
	program(t, nvbootctrl, `echo "$*" >>"${0%/usr/sbin/*}/../runs"; exec "$0-nvidia" "$@"`)
	calls := []string{"get-current", "get-primary", "get-state B", "set-state A good", "set-state B bad", "set-state B good", "set-primary B",
		"set-primary A"}
	took, runs := map[string][]time.Duration{}, map[string]int{}
	for i := 0; i < 5*len(calls); i++ { // in turn, so that each has something to change
		call := calls[i%len(calls)]
		remove(t, log)
		begin := time.Now()
		if code, _, log := u.backend(t, strings.Fields(call)...); code != 0 {
			t.Fatalf("%s exits %d: %s", call, code, log)
		}
		took[call] = append(took[call], time.Since(begin))
		runs[call] = max(runs[call], strings.Count(string(read(t, log)), "\n"))
	}
	text := t.Name() + ": median and most of 5, runs of nvbootctrl, and how long one may take\n"
	for _, call := range calls {
		all := took[call]
		sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
		if all[4] > 10*time.Second {
			t.Errorf("%s takes %v; RAUC's main loop stands still meanwhile", call, all[4])
		}
		text += fmt.Sprintf("  tegra-boot-handler %-17s %9s %9s  %2d runs  %s\n", call, millis(all[2]), millis(all[4]), runs[call],
			millis(rauc.Patience/time.Duration(runs[call])))
	}
	orintest.Publish(t, "rauc-timing-jetpack4", text)
}
