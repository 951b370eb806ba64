package swupdate

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
)

// Bytes of real servers, however they are cut, give the events of the install that they tell of (testdata/README.md).
func TestRecordings(t *testing.T) {
	const first, last = "step 1 of 3: s.sh (shellscript)", "step 3 of 3: s.sh (shellscript)"
	installs := []install.Event{started(0, preparing), advanced(0, first), advanced(33, first)}
	for percent := uint64(33); percent <= 66; percent++ {
		installs = append(installs, advanced(int32(percent), "step 2 of 3: a.img (raw)"))
	}
	installs = append(installs, advanced(66, last), advanced(100, last), ended(""))
	fails := []install.Event{started(0, preparing), advanced(0, first), advanced(33, first),
		advanced(33, "step 2 of 3: s.sh (shellscript)"), advanced(66, "step 2 of 3: s.sh (shellscript)"), ended(untold)}
	for name, want := range map[string][]install.Event{
		"2025.05-installs": installs, "2025.05-fails": fails, "2026.05-installs": installs, "2026.05-fails": fails,
	} {
		all := recording(t, name)
		for _, size := range []int{1, 2400, 2408, 2416, 32 << 10} {
			var d decoder
			var tr tracker
			var got []install.Event
			for rest := all; len(rest) > 0; rest = rest[min(size, len(rest)):] {
				messages, err := d.feed(rest[:min(size, len(rest))])
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for _, m := range messages {
					got = append(got, tr.take(m)...)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %d bytes at a time:\n%s", name, size, diff)
			}
			if len(d.buf) > 0 {
				t.Errorf("%s: %d bytes are left", name, len(d.buf))
			}
		}
	}
}

func recording(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "swupdate-"+name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
