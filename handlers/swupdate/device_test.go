package swupdate_test

import (
	"os/exec"
	"testing"
)

// TestDeviceCondition installs a good update on a device that is not in a state for one. Refused means that not a byte
// was written; once the cause is gone the same update works.
func TestDeviceCondition(t *testing.T) {
	for _, tt := range []struct {
		name    string
		create  []string
		prepare func(t *testing.T, o *orin)
		cure    func(t *testing.T, o *orin)
		says    string
		check   string // what tegra-bootctl check says of it beforehand
	}{
		{name: "BootNext present", prepare: func(t *testing.T, o *orin) { o.variable(t, "BootNext", globalGUID, 1, 0) },
			cure: func(t *testing.T, o *orin) { o.remove(t, "sys/firmware/efi/efivars/BootNext-"+globalGUID) },
			says: `tegra-image rootfs.img.zst: .*BootNext.*exit 69, unavailable`, check: "BootNext"},
		{name: "foreign switch pending", prepare: func(t *testing.T, o *orin) { o.variable(t, "BootChainFwNext", nvidiaGUID, 1, 0, 0, 0) },
			cure: func(t *testing.T, o *orin) { o.remove(t, "sys/firmware/efi/efivars/BootChainFwNext-"+nvidiaGUID) },
			says: `tegra-image rootfs.img.zst: .*BootChainFwNext.*exit 69, unavailable`, check: "BootChainFwNext"},
		{name: "redundancy 0", create: []string{"--redundancy", "0"}, says: `tegra-image rootfs.img.zst: .*RootfsRedundancyLevel.*exit 69, unavailable`, check: "RootfsRedundancyLevel"},
		{name: "redundancy absent", create: []string{"--redundancy", "absent"}, says: `tegra-image rootfs.img.zst: .*RootfsRedundancyLevel.*exit 69, unavailable`, check: "RootfsRedundancyLevel"},
		{name: "foreign capsule", prepare: func(t *testing.T, o *orin) {
			tool(t, "", "mkdir", "-p", o.path("boot/efi/EFI/UpdateCapsule"))
			write(t, o.path("boot/efi/EFI/UpdateCapsule/vendor.cap"), random(4096))
		}, cure: func(t *testing.T, o *orin) { o.remove(t, "boot/efi/EFI/UpdateCapsule/vendor.cap") },
			says: `tegra-bup TEGRA_BL.Cap: .*vendor.cap.*exit 69, unavailable`, check: "vendor.cap"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			o := newOrin(t, tt.create...)
			b := o.snapshot(t)
			if tt.prepare != nil {
				tt.prepare(t, o)
			}
			code, out, log := o.control(t, "tegra-bootctl", "check")
			if code != 69 {
				t.Errorf("tegra-bootctl check exits %d, want 69", code)
			}
			result{log: out + log}.says(t, tt.check)
			swu := o.good(t, o.image(t)).pack(t)

			// With the documented preupdatecmd SWUpdate stops before the first byte.
			o.args = []string{"-P", suite.libexec + "/tegra-bootctl check"}
			o.install(t, swu).want(t, 1)
			o.same(t, b)
			o.args = nil

			o.install(t, swu).want(t, 1).says(t, tt.says)
			o.untouched(t, b)
			if tt.name != "foreign capsule" { // found by the second part, when the first is written
				o.same(t, b)
			}
			if tt.cure == nil {
				o.mustBoot(t, b.slot)
				o.untouched(t, b)
				return
			}
			tt.cure(t, o)
			o.unharmed(t, b)
		})
	}
}

func (o *orin) remove(t *testing.T, path string) {
	t.Helper()
	tool(t, "", "rm", o.path(path))
}

// TestLeftOverStatus: a BootChainFwStatus that an earlier switch left behind would make the firmware drop the next one.
func TestLeftOverStatus(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.variable(t, "BootChainFwStatus", nvidiaGUID, 0, 0, 0, 0)
	if code, out, _ := o.control(t, "tegra-bootctl", "check"); code != 0 {
		t.Errorf("tegra-bootctl check exits %d for what is only worth a warning: %s", code, out)
	}
	o.updates(t)
}

// TestFullESP: a capsule that does not fit is refused, an update without one works, and so does the whole one on an ESP with room.
func TestFullESP(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	esp := o.path("boot/efi")
	tool(t, "", "cp", "-a", esp, esp+".kept")
	tool(t, "", "mount", "-t", "tmpfs", "-o", "size=256k", "esp", esp)
	mounted := true
	unmount := func() {
		if mounted {
			tool(t, "", "umount", esp)
			mounted = false
		}
	}
	t.Cleanup(unmount)
	tool(t, "", "cp", "-a", esp+".kept/.", esp)
	// What is left is enough for the journal, not for a capsule.
	fill := exec.Command("sh", "-c", `head -c $(($(stat -f -c '%a*%S' "$0") - 65536)) /dev/zero >"$0/filler"`, esp)
	if out, err := fill.CombinedOutput(); err != nil {
		t.Fatalf("cannot fill the ESP: %v: %s", err, out)
	}
	b := o.snapshot(t)
	o.install(t, o.good(t, o.image(t)).pack(t)).want(t, 1).says(t, `tegra-bup TEGRA_BL.Cap: .*exit 69, unavailable`)
	o.untouched(t, b)
	o.cannotBoot(t, other(b.slot))
	o.mustBoot(t, b.slot)

	image := o.image(t)
	o.install(t, update{members: []member{rootfs("2", image), activate("2")}}.pack(t)).want(t, 0)
	o.arrives(t, image)

	o.remove(t, "boot/efi/filler")
	tool(t, "", "mount", "-o", "remount,size=8m", esp)
	o.updates(t)
}
