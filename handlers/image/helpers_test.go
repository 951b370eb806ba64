package image_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/efivar"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/handlers/firmware"
	"github.com/tegra-ota/tegra-ota/handlers/image"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/source"
)

const (
	mib     = 1 << 20
	appSize = 4 * mib
)

// orin is a virtual device running from slot A.
type orin struct {
	t   testing.TB
	dir string
	m   *device.Machine
}

func newOrin(t testing.TB) orin {
	t.Helper()
	o, err := virtual.Create(filepath.Join(t.TempDir(), "orin"), virtual.CreateOptions{AppSize: appSize, ImageSize: 256})
	if err != nil {
		t.Fatal(err)
	}
	return orin{t, o.Dir(), device.New(o.Dir())}
}

func (o orin) control() *backends.Control {
	log := logrus.New()
	log.SetOutput(io.Discard)
	stager := firmware.New(o.m, chip.T234, firmware.Options{})
	return backends.New(o.m, efivar.New(o.m, chip.T234), stager, backends.Options{Tries: 3}, logrus.NewEntry(log))
}

// node is where a label leads to on this host.
func (o orin) node(label string) string { return filepath.Join(o.dir, "dev/disk/by-partlabel", label) }

func (o orin) content(label string) []byte {
	o.t.Helper()
	b, err := os.ReadFile(o.node(label))
	if err != nil {
		o.t.Fatal(err)
	}
	return b
}

func (o orin) status() backends.Status {
	o.t.Helper()
	st, err := o.control().Status(context.Background())
	if err != nil {
		o.t.Fatal(err)
	}
	return st
}

// file installs a regular file's bytes.
func (o orin) file(content []byte, opts image.Options) (image.Result, error) {
	o.t.Helper()
	name := filepath.Join(o.t.TempDir(), "image")
	if err := os.WriteFile(name, content, 0o644); err != nil {
		o.t.Fatal(err)
	}
	src, err := source.Open(name, nil)
	if err != nil {
		return image.Result{}, err
	}
	defer src.Close()
	return o.install(src, opts)
}

// stream installs what comes from stdin.
func (o orin) stream(r io.Reader, opts image.Options) (image.Result, error) {
	o.t.Helper()
	src, err := source.Open("-", r)
	if err != nil {
		return image.Result{}, err
	}
	defer src.Close()
	return o.install(src, opts)
}

func (o orin) install(src *source.Source, opts image.Options) (image.Result, error) {
	if opts.Partition == "" {
		opts.Partition = "APP"
	}
	return image.Install(context.Background(), o.m, o.control(), src, opts)
}

// unknown announces nothing.
func unknown() image.Options { return image.Options{Size: -1} }

// announced announces what an image is.
func announced(plain []byte) image.Options {
	return image.Options{Size: int64(len(plain)), SHA256: digest(plain)}
}

// wantFailure checks exit code and message of an install that must fail.
func wantFailure(t *testing.T, err error, code fail.Code, text string) {
	t.Helper()
	if err == nil {
		t.Fatal("it was accepted")
	}
	if fail.CodeOf(err) != code || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %v; want %s: ...%s...", fail.CodeOf(err), err, code, text)
	}
}

func digest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// noise returns n bytes that differ everywhere.
func noise(n int, seed string) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		sum := sha256.Sum256([]byte(fmt.Sprint(seed, i)))
		b.Write(sum[:])
	}
	return b.Bytes()[:n]
}

func compress(t *testing.T, plain []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(plain, nil)
}

// loop puts a label on a loop device of this host and returns the device and the file behind it.
func (o orin) loop(label string, size int64) (dev, backing string) {
	o.t.Helper()
	backing = filepath.Join(o.t.TempDir(), "backing")
	f, err := os.Create(backing)
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		o.t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", backing).CombinedOutput()
	if err != nil {
		o.t.Fatalf("this test needs root and loop devices: losetup: %v: %s", err, out)
	}
	dev = strings.TrimSpace(string(out))
	o.t.Cleanup(func() { tool(o.t, "losetup", "--detach", dev) })
	if err := os.Remove(o.node(label)); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Symlink(dev, o.node(label)); err != nil {
		o.t.Fatal(err)
	}
	return dev, backing
}

func tool(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}
