package device_test

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/device"
)

// The same bytes written again are seen in the count, not in the head; a read is seen in neither.
func TestWriteCount(t *testing.T) {
	image := bytes.Repeat([]byte{0xa5}, 1<<20)
	dev, _ := loop(t, int64(len(image)))
	root := t.TempDir()
	write(t, root, "/p", string(image))
	must(t, os.Chtimes(root+"/p", time.Time{}, time.Unix(1, 0)))
	must(t, os.Symlink(dev, root+"/b"))
	m := device.New(root)
	for _, tt := range []struct{ path, host string }{{"/p", root + "/p"}, {"/b", dev}} {
		put := func() {
			t.Helper()
			f, err := os.OpenFile(tt.host, os.O_WRONLY, 0)
			must(t, err)
			_, err = f.Write(image)
			must(t, err)
			must(t, f.Sync())
			must(t, f.Close())
		}
		look := func() (string, string) {
			t.Helper()
			head, err := m.ReadHead(tt.path, 4096)
			must(t, err)
			count, err := m.WriteCount(tt.path)
			must(t, err)
			if len(head) != 4096 || count == "" {
				t.Errorf("%s: a head of %d bytes, count %q", tt.path, len(head), count)
			}
			return string(head), count
		}
		if tt.path == "/b" {
			put() // the device's first content
		}
		head, count := look()
		if h, c := look(); h != head || c != count {
			t.Errorf("%s: reading changed the count from %q to %q", tt.path, count, c)
		}
		put()
		if h, c := look(); h != head || c == count {
			t.Errorf("%s: after a write of the same bytes the count is still %q", tt.path, c)
		}
	}
	for _, path := range []string{"/absent", "/"} {
		if head, err := m.ReadHead(path, 1); err == nil {
			t.Errorf("ReadHead(%s) = %x", path, head)
		}
	}
	if count, err := m.WriteCount("/absent"); err == nil {
		t.Errorf("WriteCount of nothing = %q", count)
	}
}
