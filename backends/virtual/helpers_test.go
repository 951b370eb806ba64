package virtual_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

const (
	public = "781e084c-a330-417c-b678-38e696380cb9"
	global = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
)

// small is a device whose partitions cost nothing.
func small() virtual.CreateOptions {
	return virtual.CreateOptions{AppSize: 64 << 10, ImageSize: 256}
}

func create(t testing.TB, opts virtual.CreateOptions) *virtual.Orin {
	t.Helper()
	o, err := virtual.Create(filepath.Join(t.TempDir(), "orin"), opts)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func clone(t testing.TB, o *virtual.Orin) *virtual.Orin {
	t.Helper()
	c, err := virtual.Clone(o.Dir(), filepath.Join(t.TempDir(), "clone"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func boot(t testing.TB, o *virtual.Orin, opts virtual.BootOptions) virtual.BootReport {
	t.Helper()
	r, err := o.Boot(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func variablePath(o *virtual.Orin, name, vendor string) string {
	return filepath.Join(o.Dir(), "sys/firmware/efi/efivars", name+"-"+vendor)
}

// set writes a variable as Linux does.
func set(t testing.TB, o *virtual.Orin, name, vendor string, data ...byte) {
	t.Helper()
	raw := append([]byte{7, 0, 0, 0}, data...)
	if err := os.WriteFile(variablePath(o, name, vendor), raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

func set32(t testing.TB, o *virtual.Orin, name string, value uint32) {
	t.Helper()
	set(t, o, name, public, binary.LittleEndian.AppendUint32(nil, value)...)
}

func unset(t testing.TB, o *virtual.Orin, name, vendor string) {
	t.Helper()
	if err := os.Remove(variablePath(o, name, vendor)); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

// words reads 32 bit variables; "-" stands for one that is absent.
func words(t testing.TB, o *virtual.Orin, names ...string) string {
	t.Helper()
	var out []string
	for _, name := range names {
		raw, err := os.ReadFile(variablePath(o, name, public))
		switch {
		case os.IsNotExist(err):
			out = append(out, "-")
		case err != nil || len(raw) != 8:
			t.Fatalf("variable %s: % x, %v", name, raw, err)
		default:
			out = append(out, fmt.Sprint(binary.LittleEndian.Uint32(raw[4:])))
		}
	}
	return strings.Join(out, " ")
}

// arm places a capsule and asks for it.
func arm(t testing.TB, o *virtual.Orin, raw []byte) {
	t.Helper()
	put(t, o, "boot/efi/EFI/UpdateCapsule/TEGRA_BL.Cap", string(raw))
	set(t, o, "OsIndications", global, 4, 0, 0, 0, 0, 0, 0, 0)
}

func capsuleOf(t testing.TB, opts virtual.CapsuleOptions) []byte {
	t.Helper()
	if opts.ImageSize == 0 {
		opts.ImageSize = 256
	}
	raw, err := virtual.BuildCapsule(opts)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func put(t testing.TB, o *virtual.Orin, path, text string) {
	t.Helper()
	full := filepath.Join(o.Dir(), path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, o *virtual.Orin, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(o.Dir(), path))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

const pmc = "sys/devices/platform/bus@0/c360000.pmc/"

func retries(t testing.TB, o *virtual.Orin) string {
	t.Helper()
	return strings.TrimSpace(read(t, o, pmc+"rootfs_retry_count_a")) + " " + strings.TrimSpace(read(t, o, pmc+"rootfs_retry_count_b"))
}

func setRetries(t testing.TB, o *virtual.Orin, a, b string) {
	t.Helper()
	put(t, o, pmc+"rootfs_retry_count_a", a)
	put(t, o, pmc+"rootfs_retry_count_b", b)
}

// where is the short form of a report: outcome, chain and root.
func where(r virtual.BootReport) string {
	if !r.KernelStarted() {
		return string(r.Outcome) + " " + r.Chain.String()
	}
	return fmt.Sprintf("%s %s%s", r.Outcome, r.Chain, r.Rootfs)
}

func esrt(t testing.TB, o *virtual.Orin, field string) string {
	t.Helper()
	return strings.TrimSpace(read(t, o, "sys/firmware/efi/esrt/entries/entry0/"+field))
}
