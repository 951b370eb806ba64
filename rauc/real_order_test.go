package rauc_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTwice: a second install before the reboot takes the place of the first, whatever each of them brings.
func TestTwice(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.start(t)
	first, _ := o.release(t)
	o.rauc(t, "install", first).want(t, 0)
	file := o.image(t)
	image := read(t, file)
	o.rauc(t, "install", o.bundle(t, file, "")).want(t, 0)
	o.tells(t, truth{Booted: "A", Primary: "B", Good: "AB"})
	o.arrives(t, "B", "36.4.0")
	o.holds(t, "B", image)
	o.updates(t)
}

// TestTakenBack: an installed update is taken back, and activated again, by RAUC's marks.
func TestTakenBack(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.start(t)
	was := o.contents(t, "A")
	install := func() {
		t.Helper()
		bundle, _ := o.release(t)
		o.rauc(t, "install", bundle).want(t, 0)
	}
	install()
	o.marks(t, mark{"mark-active", "booted", 0, truth{"A", "A", "AB"}}, mark{"mark-active", "other", 0, truth{"A", "B", "AB"}},
		mark{"mark-active", "booted", 0, truth{"A", "A", "AB"}})
	o.mustBoot(t, "A")
	o.tells(t, truth{"A", "A", "AB"})

	install()
	o.marks(t, mark{"mark-bad", "other", 0, truth{"A", "A", "A"}})
	o.mustBoot(t, "A")
	o.tells(t, truth{"A", "A", "A"})
	if got := o.status(t).Slots["B"].Firmware; got == nil || *got != "36.4.0" {
		t.Errorf("the firmware of a slot that was marked bad was installed: %v", got)
	}

	install()
	o.marks(t, mark{"mark-active", "booted", 0, truth{"A", "A", "AB"}}, mark{"mark-active", "other", 0, truth{"A", "B", "AB"}})
	o.arrives(t, "B", "36.4.3")
	o.untouched(t, "A", was)
}

// TestFirmwareAfter: a bundle with firmware alone, while another update waits for the reboot. It replaces that one's firmware and
// keeps its root file system, which is whole.
func TestFirmwareAfter(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.start(t)
	was := o.contents(t, "A")
	file := o.image(t)
	image := read(t, file)
	o.rauc(t, "install", o.bundle(t, file, o.capsule(t, "36.4.3"))).want(t, 0)
	for _, version := range []string{"36.4.4", "36.4.7"} {
		o.rauc(t, "install", o.bundle(t, "", o.capsule(t, version))).want(t, 0)
		o.tells(t, truth{"A", "B", "AB"})
	}
	o.arrives(t, "B", "36.4.7")
	o.holds(t, "B", image)
	o.untouched(t, "A", was)
}

// TestFirmwareCut: the power fails when firmware is staged and the post-install handler has not armed it.
func TestFirmwareCut(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	handler := o.path(libexec, "tegra-rauc-post-install")
	remove(t, handler)
	program(t, handler, "beside=${TEGRA_OTA_ROOT%/*}; "+hold)
	o.start(t)
	a, b := o.contents(t, "A"), o.contents(t, "B")
	o.cut(t, o.bundle(t, "", o.capsule(t, "36.4.3")), [2]string{"set-state", ""}, false)
	remove(t, handler)
	if err := os.Symlink("tegra-ota", handler); err != nil {
		t.Fatal(err)
	}
	o.mustBoot(t, "A", "--cold")
	if s := o.status(t); s.Update.State != "failed" {
		t.Errorf("the update is %q, want failed: %s", s.Update.State, o.verdict())
	}
	o.tells(t, truth{"A", "A", "AB"})
	o.untouched(t, "A", a)
	o.untouched(t, "B", b)
	o.updates(t)
}

// TestActivateLater: with activate-installed=false RAUC installs, and somebody makes the target active when it suits.
func TestActivateLater(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	conf := string(read(t, o.path("etc/rauc/system.conf")))
	write(t, o.path("etc/rauc/system.conf"), []byte(strings.Replace(conf, "[system]", "[system]\nactivate-installed=false", 1)))
	o.start(t)
	bundle, image := o.release(t)
	calls := o.traced(t, func() { o.rauc(t, "install", bundle).want(t, 0) })
	if diff := cmp.Diff([]string{"set-state B bad"}, calls); diff != "" {
		t.Errorf("install calls (-want +got):\n%s", diff)
	}
	o.tells(t, truth{"A", "A", "A"})
	o.marks(t, mark{"mark-good", "other", 0, truth{"A", "A", "AB"}}, mark{"mark-active", "other", 0, truth{"A", "B", "AB"}})
	o.arrives(t, "B", "36.4.3")
	o.holds(t, "B", image)

	firmware := o.bundle(t, "", o.capsule(t, "36.4.4"))
	if calls := o.traced(t, func() { o.rauc(t, "install", firmware).want(t, 0) }); len(calls) > 0 {
		t.Errorf("installing firmware calls %q", calls)
	}
	o.marks(t, mark{"mark-good", "booted", 0, truth{"B", "B", "AB"}}, mark{"mark-active", "other", 0, truth{"B", "A", "AB"}})
	o.arrives(t, "A", "36.4.4")
}

// TestBootnames: other names than A and B, as bootname= in system.conf and in our configuration.
func TestBootnames(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	rename := strings.NewReplacer("bootname=A\n", "bootname=_a\n", "bootname=B\n", "bootname=_b\n")
	conf := string(read(t, o.path("etc/rauc/system.conf")))
	write(t, o.path("etc/rauc/system.conf"), []byte(rename.Replace(conf)))
	write(t, o.path("etc/tegra-ota/config.toml"), []byte("[rauc]\nbootnames = [\"_a\", \"_b\"]\n"))
	o.start(t)
	o.tells(t, truth{"A", "A", "AB"})
	bundle, image := o.release(t)
	calls := o.traced(t, func() { o.rauc(t, "install", bundle).want(t, 0) })
	if diff := cmp.Diff([]string{"set-state _b bad", "set-primary _b"}, calls); diff != "" {
		t.Errorf("install calls (-want +got):\n%s", diff)
	}
	o.tells(t, truth{"A", "B", "AB"})
	o.arrives(t, "B", "36.4.3")
	o.holds(t, "B", image)
}

// TestSameFirmware: every release brings firmware, and often the same. The hook leaves a slot alone that provably holds it, and the
// chain is switched.
func TestSameFirmware(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.start(t)
	for i, to := range []string{"B", "A", "B"} {
		was := o.contents(t, to)
		file := o.image(t)
		image := read(t, file)
		o.rauc(t, "install", o.bundle(t, file, o.capsule(t, "36.4.3"))).want(t, 0)
		o.tells(t, truth{other(to), to, "AB"})
		o.arrives(t, to, "36.4.3")
		o.holds(t, to, image)
		if needed := strings.Count(o.log(t), "the capsule is not needed"); needed != i/2 {
			t.Errorf("after %d installs %d capsules were not needed", i+1, needed)
		}
		now := o.contents(t, to)
		was["APP"], now["APP"] = "", ""
		if i == 2 && !cmp.Equal(was, now) {
			t.Error("the chain was written again")
		}
	}
}
