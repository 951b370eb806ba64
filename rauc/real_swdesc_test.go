package rauc_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSwdesc: a bundle whose content swdesc made installs like the example's, and one whose condition is not met is refused by
// its hook before RAUC marks the slot.
func TestSwdesc(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.start(t)
	dir := t.TempDir()
	image := read(t, o.image(t))
	write(t, filepath.Join(dir, "rootfs.ext4"), image)
	l4t := o.nextVersion(t)
	write(t, filepath.Join(dir, "TEGRA_BL.Cap"), read(t, o.capsule(t, l4t)))
	write(t, o.path("etc/os-release"), []byte("VERSION_ID=1.4.0\n"))

	o.rauc(t, "install", o.swdesc(t, dir, `minimum_version = "1.5.0"`)).want(t, 1).says(t, "release 1.4.0 runs, and it needs 1.5.0 or newer")
	if bytes.HasPrefix(read(t, o.app("B")), image) {
		t.Fatal("slot B was written by a bundle that its hook refuses")
	}
	o.tells(t, truth{Booted: "A", Primary: "A", Good: "AB"})

	o.rauc(t, "install", o.swdesc(t, dir, `minimum_version = "1.4.0"`)).want(t, 0)
	o.holds(t, "B", image)
	o.arrives(t, "B", l4t)
}

// swdesc makes a bundle of the folder's files: its folder by swdesc, the bundle by rauc.
func (o *orin) swdesc(t *testing.T, dir, options string) string {
	t.Helper()
	o.bundles++
	write(t, filepath.Join(dir, "release.toml"), []byte(`version = "2.0"
`+options+`
allow = ["kernel-modules"]
hardware = { boards = ["p3767-0005"], compatible = "jetson-orin-nano-devkit" }
component = [{ type = "firmware", file = "TEGRA_BL.Cap" }, { type = "rootfs", file = "rootfs.ext4" }]
`))
	input, bundle := filepath.Join(t.TempDir(), "input"), filepath.Join(t.TempDir(), "update.raucb")
	c := exec.Command("go", "run", "./cmd/swdesc", "pack", filepath.Join(dir, "release.toml"), "-o", input, "--format", "rauc-dir",
		"--bundle-format", "plain")
	c.Dir = suite.source
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("swdesc: %v\n%s", err, out)
	}
	tool(t, "rauc", "bundle", "--cert", filepath.Join(suite.pki, "cert.pem"), "--key", filepath.Join(suite.pki, "key.pem"),
		"--signing-keyring", filepath.Join(suite.pki, "ca.cert.pem"), input, bundle)
	return bundle
}
