package payload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/payload"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Bare or wrapped, what is kept is the BUP, byte for byte, and its images come back.
func TestKeepsTheBUP(t *testing.T) {
	v2, v3 := buildBUP(t, bup.V2, nv4("32.7.5")), buildBUP(t, bup.V3, nv4("36.4.0"))
	for _, tt := range []struct {
		name    string
		raw     []byte
		bup     []byte
		version string
	}{
		{"V2", v2, v2, "32.7.5"},
		{"V3", v3, v3, "36.4.0"},
		{"capsule", buildCapsule(t, v3, nil), v3, "36.4.3"},
		{"unsigned capsule", buildCapsule(t, v3, func(o *capsule.BuildOptions) { o.Unsigned = true }), v3, "36.4.3"},
	} {
		root := t.TempDir()
		m := device.New(root)
		p, err := keep(m, tt.raw)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		kept, err := m.ReadFile(p.File)
		must(t, err)
		if !bytes.Equal(kept, tt.bup) || p.Size != int64(len(tt.bup)) || p.SHA256 != fmt.Sprintf("%x", sha256.Sum256(tt.bup)) {
			t.Errorf("%s: %d bytes kept, want %d", tt.name, len(kept), len(tt.bup))
		}
		if got := p.Version().String(); got != tt.version {
			t.Errorf("%s: version %s, want %s", tt.name, got, tt.version)
		}
		for i, e := range p.Package.Entries {
			image, err := io.ReadAll(p.Image(i))
			if err != nil || sha256.Sum256(image) != e.SHA256 {
				t.Errorf("%s: image %s differs: %v", tt.name, e.Name, err)
			}
		}
		must(t, p.Remove())
		must(t, p.Remove())
		if names := left(t, root); names != nil {
			t.Errorf("%s: left over %v", tt.name, names)
		}
	}
}

// What is no payload is refused at its head; what turns out to be short, long or changed leaves nothing behind.
func TestMalformedIsRefused(t *testing.T) {
	raw := buildBUP(t, bup.V2, "")
	wrapped := buildCapsule(t, buildBUP(t, bup.V3, ""), nil)
	changed := bytes.Clone(wrapped)
	changed[len(changed)-10] ^= 1
	splash, err := bup.BuildBytes(bup.BuildOptions{Format: bup.V2, Type: bup.TypeBMP, Images: []bup.Image{{Name: "BMP"}}})
	must(t, err)
	for _, tt := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"empty", nil, "it is empty"},
		{"text", []byte("hello, this is no firmware"), "neither a BUP nor a UEFI capsule"},
		{"a few bytes", []byte("NVIDIA"), "neither a BUP"},
		{"half a table", raw[:100], "the file ends here"},
		{"splash screens", splash, "its type is 1"},
		{"truncated", raw[:len(raw)-1], "1 bytes early"},
		{"longer", append(bytes.Clone(raw), 0), "the file goes on"},
		{"truncated capsule", wrapped[:len(wrapped)-3], "early"},
		{"longer capsule", append(bytes.Clone(wrapped), 0), "the file goes on"},
		{"changed capsule", changed, "was signed"},
	} {
		root := t.TempDir()
		_, err := keep(device.New(root), tt.raw)
		wantFailure(t, err, fail.Data, tt.want)
		if names := left(t, root); names != nil {
			t.Errorf("%s: left over %v", tt.name, names)
		}
		if h, err := payload.Open(bytes.NewReader(tt.raw)); err == nil {
			wantFailure(t, h.Drain(), fail.Data, tt.want)
		}
	}
}

// An input that fails is not the file's fault, and a context ends the reading.
func TestInputErrorsArePassedOn(t *testing.T) {
	raw, broken := buildBUP(t, bup.V2, ""), errors.New("broken pipe")
	for _, n := range []int{0, 8, 60, len(raw) - 3} {
		h, err := payload.Open(io.MultiReader(bytes.NewReader(raw[:n]), iotest.ErrReader(broken)))
		if err == nil {
			err = h.Drain()
		}
		if !errors.Is(err, broken) || fail.CodeOf(err) == fail.Data {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	h, err := payload.Open(bytes.NewReader(raw))
	must(t, err)
	if err := h.WithContext(ended).Drain(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Every change can be the last one before a power cut, with every loss; the same call afterwards does it.
func TestEveryCutIsRepeatable(t *testing.T) {
	raw := buildCapsule(t, buildBUP(t, bup.V3, nv4("36.4.0")), nil)
	count := 0
	for _, loss := range device.Losses {
		for cut := 1; ; cut++ {
			root := t.TempDir()
			fault := &device.Fault{CutAt: cut, Loss: loss}
			p, err := keep(device.New(root).WithFault(fault), raw)
			if !fault.WasCut() {
				must(t, err)
				must(t, p.Close())
				break
			}
			count++
			m := device.New(root)
			if p, err = keep(m, raw); err != nil {
				t.Fatalf("%s, cut at %d of %q: %v", loss, cut, fault.Changes(), err)
			}
			must(t, p.Close())
			must(t, payload.Clean(m, folder))
			if names := left(t, root); names != nil {
				t.Errorf("%s, cut at %d: left over %v", loss, cut, names)
			}
		}
	}
	if count < 20 {
		t.Errorf("only %d cuts", count)
	}
}

// Every change may fail: nothing is taken for kept then.
func TestEveryFailureIsReported(t *testing.T) {
	raw := buildBUP(t, bup.V2, "")
	for n := 1; ; n++ {
		fault := &device.Fault{FailAt: n}
		_, err := keep(device.New(t.TempDir()).WithFault(fault), raw)
		if fault.Count() < n {
			must(t, err)
			return
		}
		if !errors.Is(err, device.ErrFault) {
			t.Errorf("change %d of %q failed, and Keep says %v", n, fault.Changes(), err)
		}
	}
}
