package rauc_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// before is all that a refused update must leave as it was.
type before struct {
	slot           string
	running, other map[string]string
	status         orintest.Status
	truth          truth
}

func (o *orin) snapshot(t *testing.T) before {
	t.Helper()
	s := o.status(t)
	running, other := o.contents(t, s.Current), o.contents(t, other(s.Current))
	return before{slot: s.Current, running: running, other: other, status: s, truth: o.cliStatus(t)}
}

// same fails if anything changed: contents of both slots, marks, journal, what RAUC says.
func (o *orin) same(t *testing.T, b before) {
	t.Helper()
	o.untouched(t, b.slot, b.running)
	o.untouched(t, other(b.slot), b.other)
	if diff := cmp.Diff(b.status, o.status(t)); diff != "" {
		t.Errorf("the status changed (-before +after):\n%s", diff)
	}
	o.tells(t, b.truth)
}

// TestRefused: the pre-install handler stops what cannot succeed before RAUC marks the other slot bad. Nothing has changed then,
// and once the cause is gone an update works.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		create  []string
		prepare func(t *testing.T, o *orin)
		cure    func(t *testing.T, o *orin)
		bundle  func(t *testing.T, o *orin) string // instead of a good one
		code    int
		says    string
	}{
		{name: "on trial", prepare: func(t *testing.T, o *orin) {
			bundle, _ := o.release(t)
			o.rauc(t, "install", bundle).want(t, 0)
			o.userland = unjudged
			o.mustBoot(t, "B")
			if o.committed() {
				t.Error("a slot on trial is committed")
			}
		}, cure: func(t *testing.T, o *orin) {
			o.userland = userland
			o.mustBoot(t, "B")
		}, code: 75, says: "runs on trial"},
		{name: "redundancy 0", create: []string{"--redundancy", "0"}, code: 69, says: "RootfsRedundancyLevel"},
		{name: "redundancy absent", create: []string{"--redundancy", "absent"}, code: 69, says: "RootfsRedundancyLevel"},
		{name: "BootNext", prepare: func(t *testing.T, o *orin) { write(t, o.variable("BootNext", globalGUID), []byte{7, 0, 0, 0, 1, 0}) },
			cure: func(t *testing.T, o *orin) { remove(t, o.variable("BootNext", globalGUID)) }, code: 69, says: "BootNext"},
		{name: "foreign switch", prepare: func(t *testing.T, o *orin) {
			write(t, o.variable("BootChainFwNext", nvidiaGUID), []byte{7, 0, 0, 0, 1, 0, 0, 0})
		}, cure: func(t *testing.T, o *orin) { remove(t, o.variable("BootChainFwNext", nvidiaGUID)) }, code: 69, says: "BootChainFwNext"},
		{name: "foreign capsule", prepare: func(t *testing.T, o *orin) {
			if err := os.MkdirAll(o.path("boot/efi/EFI/UpdateCapsule"), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, o.path("boot/efi/EFI/UpdateCapsule/vendor.cap"), random(4096))
		}, cure: func(t *testing.T, o *orin) { remove(t, o.path("boot/efi/EFI/UpdateCapsule/vendor.cap")) }, code: 69, says: "vendor.cap"},
		{name: "another board", bundle: withFirmware("36.4.3", "--spec", "3701-500-0005-M.0-1-1-jetson-agx-orin-devkit-"),
			code: 65, says: "TEGRA_BL.Cap"},
		{name: "below the floor", bundle: withFirmware("36.3.0"), code: 65, says: "36.3.0"},
		{name: "lacks an image", bundle: withFirmware("36.4.3", "--omit", "mb1"), code: 65, says: "mb1"},
		// The capsule that is missing is the cure.
		{name: "half-written chain", prepare: func(t *testing.T, o *orin) {
			bundle, _ := o.release(t)
			o.rauc(t, "install", bundle).want(t, 0)
			o.mustNotBoot(t, "--cut-phase", "capsule-mb1", "--after-cut", "both-cleared")
			o.mustBoot(t, "A", "--cold")
		}, bundle: withoutFirmware, code: 69, says: "half written"},
		{name: "older chain", prepare: func(t *testing.T, o *orin) { o.updates(t) }, bundle: withoutFirmware, code: 69, says: "older"},
		// The capsule alone would start what somebody called bad.
		{name: "slot called bad", prepare: func(t *testing.T, o *orin) { o.rauc(t, "status", "mark-bad", "other").want(t, 0) },
			bundle: func(t *testing.T, o *orin) string { return o.bundle(t, "", o.capsule(t, "36.4.3")) }, code: 69, says: "root file system"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			o := newOrin(t, tt.create...)
			o.start(t)
			if tt.prepare != nil {
				tt.prepare(t, o)
			}
			bundle, _ := o.release(t)
			if tt.bundle != nil {
				bundle = tt.bundle(t, o)
			}
			b := o.snapshot(t)
			calls := o.traced(t, func() { o.rauc(t, "install", bundle).want(t, 1).says(t, "Pre-install handler error") })
			if len(calls) > 0 {
				t.Errorf("a refused install calls %q", calls)
			}
			if log := o.log(t); !strings.Contains(log, tt.says) {
				t.Errorf("the service's log does not say %q:\n%s", tt.says, log)
			}
			o.same(t, b)
			if code, reason := o.preInstall(t, bundle); code != tt.code || !strings.Contains(reason, tt.says) {
				t.Errorf("the pre-install handler exits %d with %q, want %d and %q", code, reason, tt.code, tt.says)
			}
			o.same(t, b)
			if tt.cure != nil {
				tt.cure(t, o)
			}
			if tt.create == nil {
				o.updates(t)
			}
		})
	}
}

// withFirmware makes a bundle whose capsule has these options, withoutFirmware one with a root file system alone.
func withFirmware(l4t string, options ...string) func(*testing.T, *orin) string {
	return func(t *testing.T, o *orin) string {
		t.Helper()
		return o.bundle(t, o.image(t), o.capsule(t, l4t, options...))
	}
}

func withoutFirmware(t *testing.T, o *orin) string { t.Helper(); return o.bundle(t, o.image(t), "") }

// preInstall runs the handler as RAUC does, with the bundle mounted and its content in the environment: RAUC tells nobody the
// exit code by its name.
func (o *orin) preInstall(t *testing.T, bundle string) (code int, reason string) {
	t.Helper()
	mounted := o.path("run/rauc/mnt/bundle")
	if err := os.MkdirAll(mounted, 0o755); err != nil {
		t.Fatal(err)
	}
	slot := other(o.status(t).Current)
	c := exec.Command("unshare", "--mount", "sh", "-c",
		`mount -t squashfs -o ro,loop "$1" "$RAUC_BUNDLE_MOUNT_POINT" || exit
n=1
for image in rootfs.ext4 TEGRA_BL.Cap; do
	if [ -e "$RAUC_BUNDLE_MOUNT_POINT/$image" ]; then
		export "RAUC_IMAGE_NAME_$n=$image" "RAUC_IMAGE_DIGEST_$n=$(sha256sum <"$RAUC_BUNDLE_MOUNT_POINT/$image" | cut -d' ' -f1)"
	fi
	n=$((n + 1))
done
exec "$2"`, "sh", bundle, o.path(libexec, "tegra-rauc-pre-install"))
	c.Env = append(o.env(), "RAUC_BUNDLE_MOUNT_POINT="+mounted, "RAUC_SYSTEM_CONFIG="+o.path("etc/rauc/system.conf"),
		"RAUC_SLOTS=1 2", "RAUC_TARGET_SLOTS=1 2", "RAUC_SLOT_CLASS_1=rootfs", "RAUC_SLOT_BOOTNAME_1="+slot, "RAUC_SLOT_CLASS_2=bootloader")
	code, _, log := o.runs(t, c)
	for _, line := range strings.Split(strings.TrimSuffix(log, "\n"), "\n") {
		if strings.Contains(line, ": warning: ") {
			continue
		}
		if reason != "" {
			t.Errorf("the pre-install handler gives more than one reason:\n%s", log)
		}
		reason = line
	}
	return code, reason
}

func remove(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}
