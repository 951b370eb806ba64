package pack_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/swdesc/pack"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return b
}

// deviceTree is an empty one: header, no reservation, one node and the strings (Devicetree specification 0.4, section 5).
func deviceTree() []byte {
	b := make([]byte, 80)
	for i, v := range []uint32{0xd00dfeed, 80, 56, 72, 40, 17, 16, 0, 8, 16} {
		binary.BigEndian.PutUint32(b[4*i:], v)
	}
	for i, v := range []uint32{1, 0, 2, 9} {
		binary.BigEndian.PutUint32(b[56+4*i:], v)
	}
	copy(b[72:], "status\x00")
	return b
}

const kernelRelease = "5.15.148-tegra"

// content is a root file system of L4T 36.4.3, each time another one. Files may be added, or replaced by "".
func content(t *testing.T, change map[string]string) string {
	t.Helper()
	files := map[string]string{
		"etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n",
		"boot/Image":           strings.Repeat("\x00", 64) + "Linux version " + kernelRelease + " (builder@host) #1 SMP\x00",
		"lib/modules/" + kernelRelease + "/modules.dep": "\n",
		"boot/extlinux/extlinux.conf":                   "DEFAULT primary\nLABEL primary\n\tLINUX /boot/Image\n\tAPPEND console=ttyTCU0\n",
		"noise":                                         string(random(64 << 10)),
	}
	for name, text := range change {
		files[name] = text
	}
	dir := t.TempDir()
	for name, text := range files {
		if text != "" {
			write(t, filepath.Join(dir, name), []byte(text))
		}
	}
	return dir
}

// ext4 makes an image of a folder.
func ext4(t *testing.T, path, dir string) {
	t.Helper()
	tool(t, "mkfs.ext4", "-q", "-d", dir, path, "4096k")
}

// makeCapsule makes firmware for every Orin NX and Nano.
func makeCapsule(t *testing.T, path, l4t string) {
	t.Helper()
	raw, err := virtual.BuildCapsule(virtual.CapsuleOptions{L4T: l4t, ImageSize: 512})
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, raw)
}

const head = `version = "1.5.0"
[hardware]
boards = ["p3767-0005"]
compatible = "jetson-orin-nano-devkit"
revisions = ["1.0"]
`

// standard is a release of root file system and firmware, whose files are there.
func standard(t *testing.T) (dir, text string) {
	t.Helper()
	dir = t.TempDir()
	ext4(t, filepath.Join(dir, "rootfs.ext4"), content(t, nil))
	makeCapsule(t, filepath.Join(dir, "TEGRA_BL.Cap"), "36.4.3")
	return dir, head + component("rootfs", "rootfs.ext4", `compression = "zstd"`) + component("firmware", "TEGRA_BL.Cap")
}

func component(kind, file string, more ...string) string {
	return fmt.Sprintf("[[component]]\ntype = %q\nfile = %q\n%s\n", kind, file, strings.Join(more, "\n"))
}

func parse(t *testing.T, dir, text string) *release.Release {
	t.Helper()
	r, err := release.Parse(filepath.Join(dir, "release.toml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func prepare(t *testing.T, dir, text string, o pack.PrepareOptions) *pack.Plan {
	t.Helper()
	if o.Format == "" {
		o.Format = pack.SWU
	}
	p, err := pack.Prepare(context.Background(), parse(t, dir, text), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func writeSWU(t *testing.T, p *pack.Plan, o pack.SWUOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteSWU(context.Background(), &b, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// checks lists what was found, as "error CHECK" and "warning CHECK".
func checks(l problem.List) []string {
	var names []string
	for _, p := range l {
		names = append(names, string(p.Severity)+" "+p.Check)
	}
	return names
}
