package rauc_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAgain: the same bundle once more, in the same boot, when the service was killed in front of set-primary, or while it wrote.
func TestAgain(t *testing.T) {
	for _, early := range []bool{false, true} {
		t.Run(fmt.Sprintf("early %t", early), func(t *testing.T) {
			parallel(t)
			o := newOrin(t)
			o.start(t)
			was := o.contents(t, "B")
			bundle, image := o.release(t)
			o.cut(t, bundle, [2]string{"set-primary", hold}, early)
			o.start(t)
			o.tells(t, truth{Booted: "A", Primary: "A", Good: "A"})
			if !cmp.Equal(was, o.contents(t, "B")) {
				o.torn(t, "B")
			}
			o.rauc(t, "install", bundle).want(t, 0)
			o.holds(t, "B", image)
			o.arrives(t, "B", "36.4.3")
		})
	}
}

// TestHalfInstalled: RAUC did not say that its install succeeded, and in the same boot somebody makes the target active. RAUC asks
// for that in the words in which it ends an install.
func TestHalfInstalled(t *testing.T) {
	for _, tt := range []struct {
		name string
		half func(t *testing.T, o *orin, bundle string)
	}{
		{"the service was killed while it wrote", func(t *testing.T, o *orin, bundle string) {
			o.cut(t, bundle, [2]string{"set-state", `"$real" "$@" || exit; ` + hold}, false)
			device, err := os.OpenFile(o.app("B"), os.O_WRONLY, 0)
			if err == nil {
				_, err = device.Write(random(1 << 20))
				err = errors.Join(err, device.Sync(), device.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
			o.start(t)
		}},
		{"the hook failed", func(t *testing.T, o *orin, bundle string) {
			o.at(t, "set-state", `"$real" "$@" && `+bootNext+`; exit $?`)
			o.rauc(t, "install", bundle).want(t, 1)
			o.undisturbed(t, "set-state")
			remove(t, o.variable("BootNext", globalGUID))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			o := newOrin(t)
			o.start(t)
			was := o.contents(t, "A")
			bundle, _ := o.release(t)
			tt.half(t, o, bundle)
			o.torn(t, "B")
			if r := o.rauc(t, "status", "mark-active", "other"); r.code != 1 {
				t.Errorf("a slot that is half installed becomes the primary: %s%s", r.stdout, r.stderr)
			}
			o.tells(t, truth{Booted: "A", Primary: "A", Good: "A"})
			o.mustBoot(t, "A")
			o.untouched(t, "A", was)
			o.updates(t)
		})
	}
}

// TestHookForgotten: a manifest without hooks=install makes RAUC write the firmware itself. The slot's device is a folder: that
// fails, by the file's ending or, if that says what RAUC writes raw, by the folder.
func TestHookForgotten(t *testing.T) {
	for _, tt := range []struct{ name, file, says string }{
		{"capsule", "TEGRA_BL.Cap", "Unsupported image"},
		{"image", "TEGRA_BL.img", "Is a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			o := newOrin(t)
			folder := o.path("../examples")
			tool(t, "cp", "-r", o.path(examples), folder)
			tool(t, "sed", "-i", "/^hooks=install$/d; s/TEGRA_BL.Cap/"+tt.file+"/", folder+"/manifest.raucm")
			bundle := o.path("../forgotten.raucb")
			tool(t, folder+"/bundle.sh", "--format", "plain", "--demo-ca", suite.pki, "--version", "1", "--rootfs", o.image(t),
				"--firmware", o.capsule(t, "36.4.3"), bundle)
			o.start(t)
			was := o.contents(t, "A")
			o.rauc(t, "install", bundle).want(t, 1)
			if log := o.log(t); !strings.Contains(log, tt.says) {
				t.Errorf("the service's log does not say %q:\n%s", tt.says, log)
			}
			o.untouched(t, "A", was)
			if got := o.cliStatus(t); got.Primary != "A" {
				t.Errorf("the primary is %q", got.Primary)
			}
			o.mustBoot(t, "A")
			o.updates(t)
		})
	}
}
