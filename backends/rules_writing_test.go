package backends_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/handlers/image"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/source"
)

func t0() context.Context { return context.Background() }

func ruleReplace(s string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(s) }

// The end of a stream proves nothing; a file knows its own size.
func TestStreamNeedsSizeAndDigest(t *testing.T) {
	data := []byte(strings.Repeat("image", 3000))
	sum := sha256.Sum256(data)
	digest, size := hex.EncodeToString(sum[:]), int64(len(data))
	wrong := hex.EncodeToString(make([]byte, 32))
	for _, tt := range []struct {
		name   string
		stream bool
		size   int64
		digest string
		code   fail.Code
	}{
		{"file", false, -1, "", fail.OK},
		{"file, both", false, size, digest, fail.OK},
		{"file, wrong size", false, size - 1, digest, fail.Data},
		{"file, wrong digest", false, -1, wrong, fail.Data},
		{"stream", true, size, strings.ToUpper(digest), fail.OK},
		{"stream without size", true, -1, digest, fail.Usage},
		{"stream without digest", true, size, "", fail.Usage},
		{"stream that is too short", true, size + 1, digest, fail.Data},
		{"stream that is too long", true, size - 1, digest, fail.Data},
		{"stream of another digest", true, size, wrong, fail.Data},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			name, stdin := "-", io.Reader(bytes.NewReader(data))
			if !tt.stream {
				name = filepath.Join(t.TempDir(), "image")
				ruleMust(t, os.WriteFile(name, data, 0o644))
			}
			src, err := source.Open(name, stdin)
			ruleMust(t, err)
			defer src.Close()
			m, c := d.control()
			_, err = image.Install(t0(), m, c, src, image.Options{Partition: "APP", Size: tt.size, SHA256: tt.digest, ID: "u"})
			if fail.CodeOf(err) != tt.code {
				t.Errorf("%v (exit %d), want exit %d", err, fail.CodeOf(err), tt.code)
			}
			if _, err := d.activate(backends.None); (err == nil) != (tt.code == fail.OK) {
				t.Errorf("activate answers %v", err)
			}
		})
	}
}

// flipper changes a byte in the backing store once the first chunk was written.
type flipper struct {
	io.Reader
	file string
	done bool
	t    *testing.T
}

func (f *flipper) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err == io.EOF && !f.done {
		f.done = true
		node, openErr := os.OpenFile(f.file, os.O_RDWR, 0)
		ruleMust(f.t, openErr)
		b := make([]byte, 1)
		_, _ = node.ReadAt(b, 4711)
		b[0] ^= 0x10
		_, writeErr := node.WriteAt(b, 4711)
		ruleMust(f.t, writeErr)
		ruleMust(f.t, node.Close())
	}
	return n, err
}

// What is called written is what the storage holds.
func TestAByteFlippedInTheStoreIsFound(t *testing.T) {
	d := newRule(t, ruleRoomy)
	r := &flipper{Reader: bytes.NewReader(make([]byte, 1<<20)), file: d.path("dev/nvme0n1p2"), t: t}
	ruleRefused(t, d.writeFrom("APP", "u", r, false), fail.IO, "cannot trust APP_b")
	_, err := d.activate(backends.B)
	ruleRefused(t, err, fail.Unavailable, "half written")
}

// A capsule is as long as it says, and what its signature covers is what was signed.
func TestCapsuleSizeAndDigestMustMatch(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"cut short":    func(b []byte) []byte { return b[:len(b)-1] },
		"longer":       func(b []byte) []byte { return append(b, 0) },
		"changed":      func(b []byte) []byte { b[len(b)-20] ^= 1; return b },
		"changed head": func(b []byte) []byte { b[24] ^= 1; return b },
	} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			_, err := d.stageRaw(spoil(d.capsule("36.4.3")), "u")
			ruleRefused(t, err, fail.Data, "")
			if d.has(ruleStaged) {
				t.Error("it is staged")
			}
			if _, err := d.activate(backends.None); err == nil {
				t.Error("it is activated")
			}
		})
	}
}

// On FAT a cut inside a rename leaves both names or neither; the journal's digest tells what is ours.
func TestCapsulesAreKnownByTheirDigest(t *testing.T) {
	t.Run("both names", func(t *testing.T) {
		d := newRule(t)
		d.install("36.4.3")
		d.put(ruleArmed, d.rawText(ruleStaged))
		_, err := d.activate(backends.None)
		ruleMust(t, err)
		if d.has(ruleStaged) || !d.has(ruleArmed) || !d.requested() {
			t.Error("want the armed one alone")
		}
		d.arrive(backends.B)
	})
	t.Run("under another name", func(t *testing.T) {
		d := newRule(t)
		d.activated("36.4.3")
		ruleMust(t, os.Rename(d.path(ruleArmed), d.path("boot/efi/EFI/UpdateCapsule/other.cap")))
		ruleMust(t, d.abort())
		if d.has("boot/efi/EFI/UpdateCapsule/other.cap") || d.requested() {
			t.Error("our own capsule stays armed")
		}
	})
	t.Run("neither", func(t *testing.T) {
		d := newRule(t)
		d.install("36.4.3")
		d.remove(ruleStaged)
		_, err := d.activate(backends.None)
		ruleRefused(t, err, fail.Unavailable, "gone from the ESP")
		if u := d.status().Update; u.State != backends.Failed || !ruleMatch(u.Reason, "gone from the ESP") {
			t.Errorf("the update is %s: %s; want failed with the reason", u.State, u.Reason)
		}
	})
}

// Floors refuse; what is merely doubtful warns.
func TestCapsuleVersions(t *testing.T) {
	for _, tt := range []struct {
		name, running, lowest, capsule string
		code                           fail.Code
		words                          string
	}{
		{"below the floor", "36.4.3", "36.4.0", "36.3.0", fail.Data, "below the lowest supported version 36.4.0"},
		{"R36 on firmware that is too old", "35.4.1", "35.1.0", "36.4.0", fail.Data, "install 35.5.0 or newer first"},
		{"R36 on 35.5.0", "35.5.0", "35.1.0", "36.4.0", fail.OK, ""},
		{"R35 on R35", "35.4.1", "35.1.0", "35.5.0", fail.OK, ""},
		{"older, above the floor", "36.4.3", "36.3.0", "36.4.0", fail.OK, "36.4.0 is older than the running firmware 36.4.3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t, func(o *virtual.CreateOptions) { o.L4T, o.Lowest = tt.running, tt.lowest })
			r, err := d.stageRaw(d.capsule(tt.capsule, func(o *virtual.CapsuleOptions) { o.Lowest = tt.lowest }), "u")
			if tt.code != fail.OK {
				ruleRefused(t, err, tt.code, tt.words)
				return
			}
			ruleMust(t, err)
			if tt.words != "" && !ruleContains(r.Warnings, tt.words) || tt.words == "" && len(r.Warnings) != 0 {
				t.Errorf("warnings %q, want %q", r.Warnings, tt.words)
			}
		})
	}
}

// A firmware that does not announce capsules on the ESP may ignore them.
func TestMissingCapsuleSupportWarns(t *testing.T) {
	d := newRule(t)
	d.put(ruleVariable("OsIndicationsSupported", ruleGlobal), "\x06\x00\x00\x00\x43\x00\x00\x00\x00\x00\x00\x00")
	r, err := d.stage("36.4.3", "u")
	ruleMust(t, err)
	if !ruleContains(r.Warnings, "lacks bit 2") {
		t.Errorf("warnings %q", r.Warnings)
	}
}

// The request keeps the other bits of OsIndications.
func TestArmingKeepsOtherIndications(t *testing.T) {
	d := newRule(t)
	d.request(1)
	d.activated("36.4.3")
	if got := d.rawText(ruleVariable("OsIndications", ruleGlobal))[4]; got != 5 {
		t.Errorf("OsIndications is %#x, want 0x5", got)
	}
	ruleMust(t, d.abort())
	if got := d.rawText(ruleVariable("OsIndications", ruleGlobal))[4]; got != 1 {
		t.Errorf("after abort OsIndications is %#x, want 0x1", got)
	}
}
