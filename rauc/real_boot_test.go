package rauc_test

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// unjudged is a boot that nobody has judged yet.
const unjudged = `set -e
PATH=$TEGRA_OTA_ROOT/usr/libexec/tegra-ota:$PATH
tegra-boot-verify count
systemd-tmpfiles --root="$TEGRA_OTA_ROOT" --create tegra-ota.conf
`

// userland is what systemd runs on a device; the last verdict is kept for the test to read.
const userland = unjudged + `[ "$VIRTUAL_ORIN_STAGE" = early ] || tegra-boot-verify run --json >"$TEGRA_OTA_ROOT/verify.json"`

// boot plays one attempt, from the end of everything that runs, and says whether Linux came up.
func (o *orin) boot(t *testing.T, options ...string) (up bool, timeline string) {
	t.Helper()
	o.off()
	// A tmpfs; what must outlive a boot lies elsewhere.
	if err := errors.Join(os.RemoveAll(o.path("run")), os.Mkdir(o.path("run"), 0o755)); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(o.path("verify.json"))
	c := exec.Command(suite.orin, append([]string{"boot", o.dir, "--json", "--userspace", o.userland}, options...)...)
	return orintest.Boot(t, c)
}

// mustBoot fails unless Linux comes up on the slot. RAUC's service starts then, and once the slot is committed, our unit
// calls it good.
func (o *orin) mustBoot(t *testing.T, slot string, options ...string) {
	t.Helper()
	up, timeline := o.boot(t, options...)
	if !up {
		t.Fatalf("the device does not come up:\n%s", timeline)
	}
	if s := o.status(t); s.Current != slot {
		t.Fatalf("slot %s runs, want %s:\n%s\nverify: %s", s.Current, slot, timeline, o.verdict())
	}
	o.start(t)
	if o.committed() {
		o.markGood(t)
	}
}

// markGood does what tegra-rauc-mark-good.service does behind tegra-ota-committed.target.
func (o *orin) markGood(t *testing.T) {
	t.Helper()
	c := exec.Command("sh", "-c", o.execStart(t, o.path(markGood)))
	c.Env = o.env()
	if code, out, log := o.runs(t, c); code != 0 {
		t.Errorf("tegra-rauc-mark-good.service exits %d: %s%s", code, out, log)
	}
}

// mustNotBoot fails if Linux comes up.
func (o *orin) mustNotBoot(t *testing.T, options ...string) {
	t.Helper()
	if up, timeline := o.boot(t, options...); up {
		t.Fatalf("virtual-orin boot %v came up:\n%s", options, timeline)
	}
}

// verdict is what tegra-boot-verify run printed last.
func (o *orin) verdict() string {
	b, err := os.ReadFile(o.path("verify.json"))
	if err != nil {
		return "did not run"
	}
	return string(b)
}

// committed says whether the stamp for tegra-ota-committed.target exists.
func (o *orin) committed() bool {
	_, err := os.Stat(o.path("run/tegra-ota/committed"))
	return err == nil
}
