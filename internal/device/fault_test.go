package device_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// write puts a file into a test's folder without the Machine.
func write(t *testing.T, root, path, content string) {
	t.Helper()
	host := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(host, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tree returns the files of a folder with their content.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(root, p)
		files["/"+rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFaultCountsAndNamesChanges(t *testing.T) {
	root := t.TempDir()
	fault := &device.Fault{}
	m := device.New(root).WithFault(fault)
	must(t, m.ReplaceFile("/state", []byte("x"), 0o644))
	must(t, m.Remove("/state"))
	must(t, m.Remove("/absent"))
	want := []string{
		"create /state.tmp", "write /state.tmp at 0", "sync /state.tmp", "rename /state.tmp to /state", "sync folder /", "remove /state",
	}
	if d := cmp.Diff(want, fault.Changes()); d != "" {
		t.Error(d)
	}
	if fault.Count() != len(want) || fault.WasCut() {
		t.Errorf("count %d, cut %v", fault.Count(), fault.WasCut())
	}
}

func TestFailAtFailsOneChangeOnly(t *testing.T) {
	m := device.New(t.TempDir()).WithFault(&device.Fault{FailAt: 2})
	ran := 0
	do := func() error { ran++; return nil }
	must(t, m.Change("first", do))
	if err := m.Change("second", do); !errors.Is(err, device.ErrFault) {
		t.Errorf("second: %v", err)
	}
	must(t, m.Change("third", do))
	if ran != 2 {
		t.Errorf("%d changes ran, want 2", ran)
	}
}

func TestAfterACutNothingChanges(t *testing.T) {
	root := t.TempDir()
	write(t, root, "/kept", "old")
	fault := &device.Fault{CutAt: 1}
	m := device.New(root).WithFault(fault)
	for name, call := range map[string]func() error{
		"create":    func() error { _, err := m.Create("/new", 0o644); return err },
		"rename":    func() error { return m.Rename("/kept", "/other") },
		"remove":    func() error { return m.Remove("/kept") },
		"folder":    func() error { return m.MkdirAll("/a/b", 0o755) },
		"sync":      func() error { return m.SyncDir("/") },
		"syncfs":    func() error { return m.SyncFS("/") },
		"attribute": func() error { return m.WriteAttribute("/kept", "1") },
		"volatile":  func() error { return m.ReplaceVolatile("/run/x", []byte("x"), 0o644) },
	} {
		// The first call is the cut one; which that is does not matter, for "volatile" is not counted.
		_ = m.Change("the cut", func() error { t.Error("a change ran at the cut"); return nil })
		if err := call(); !errors.Is(err, device.ErrPowerCut) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d := cmp.Diff(map[string]string{"/kept": "old"}, tree(t, root)); d != "" {
		t.Error(d)
	}
	if !fault.WasCut() || fault.Count() != 1 {
		t.Errorf("cut %v, count %d", fault.WasCut(), fault.Count())
	}
}

// What each outcome makes of one unsynced change of every kind, in a folder that holds "old" in /f.
func TestLosses(t *testing.T) {
	old := map[string]string{"/f": "old"}
	tests := []struct {
		name   string
		change func(m *device.Machine) error
		want   map[device.Loss]map[string]string
	}{
		{"create", func(m *device.Machine) error { _, err := m.Create("/n", 0o644); return err }, map[device.Loss]map[string]string{
			device.KeepUnsynced: {"/f": "old", "/n": ""}, device.LoseUnsynced: old, device.RenameBoth: old, device.RenameNeither: old,
		}},
		{"remove", func(m *device.Machine) error { return m.Remove("/f") }, map[device.Loss]map[string]string{
			device.KeepUnsynced: {}, device.LoseUnsynced: old, device.RenameBoth: old, device.RenameNeither: old,
		}},
		{"rename", func(m *device.Machine) error { return m.Rename("/f", "/g") }, map[device.Loss]map[string]string{
			device.KeepUnsynced: {"/g": "old"}, device.LoseUnsynced: old,
			device.RenameBoth: {"/f": "old", "/g": "old"}, device.RenameNeither: {},
		}},
		{"write of a named file", func(m *device.Machine) error {
			f, err := m.Create("/n", 0o644)
			if err != nil {
				return err
			}
			if err := m.SyncDir("/"); err != nil {
				return err
			}
			_, err = f.Write([]byte("0123456789"))
			return errors.Join(err, f.Close())
		}, map[device.Loss]map[string]string{
			device.KeepUnsynced: {"/f": "old", "/n": "0123456789"}, device.LoseUnsynced: {"/f": "old", "/n": "01234"},
			device.RenameBoth: {"/f": "old", "/n": "01234"}, device.RenameNeither: {"/f": "old", "/n": "01234"},
		}},
		{"create over a file", func(m *device.Machine) error {
			f, err := m.Create("/f", 0o644)
			if err != nil {
				return err
			}
			_, err = f.Write([]byte("ab"))
			return errors.Join(err, f.Close())
		}, map[device.Loss]map[string]string{
			device.KeepUnsynced: {"/f": "ab"}, device.LoseUnsynced: {"/f": "a"}, device.RenameBoth: {"/f": "a"}, device.RenameNeither: {"/f": "a"},
		}},
		{"partition", func(m *device.Machine) error {
			b, err := m.OpenBlock("/f")
			if err != nil {
				return err
			}
			_, err = b.WriteAt([]byte("NE"), 1)
			return errors.Join(err, b.Close())
		}, map[device.Loss]map[string]string{
			device.KeepUnsynced: {"/f": "oNE"}, device.LoseUnsynced: old, device.RenameBoth: old, device.RenameNeither: old,
		}},
		{"file system synced", func(m *device.Machine) error {
			return errors.Join(m.Rename("/f", "/g"), m.SyncFS("/"))
		}, map[device.Loss]map[string]string{
			device.KeepUnsynced: {"/g": "old"}, device.LoseUnsynced: {"/g": "old"}, device.RenameBoth: {"/g": "old"}, device.RenameNeither: {"/g": "old"},
		}},
		{"a file system's sync leaves partitions alone", func(m *device.Machine) error {
			b, err := m.OpenBlock("/f")
			if err != nil {
				return err
			}
			_, err = b.WriteAt([]byte("NEW"), 0)
			return errors.Join(err, m.SyncFS("/"))
		}, map[device.Loss]map[string]string{
			device.KeepUnsynced: {"/f": "NEW"}, device.LoseUnsynced: old, device.RenameBoth: old, device.RenameNeither: old,
		}},
	}
	for _, tt := range tests {
		for _, loss := range device.Losses {
			t.Run(tt.name+"/"+loss.String(), func(t *testing.T) {
				root := t.TempDir()
				write(t, root, "/f", "old")
				fault := &device.Fault{Loss: loss}
				must(t, tt.change(device.New(root).WithFault(fault)))
				fault.Cut()
				if d := cmp.Diff(tt.want[loss], tree(t, root)); d != "" {
					t.Error(d)
				}
			})
		}
	}
}

// ReplaceFile promises old or new after a cut anywhere, on a file system whose rename is atomic. On FAT a cut between rename and
// sync may also leave neither; a whole file that is left is still old or new.
func TestReplaceFileSweep(t *testing.T) {
	count := &device.Fault{}
	root := t.TempDir()
	write(t, root, "/f", "old content")
	must(t, device.New(root).WithFault(count).ReplaceFile("/f", []byte("new content"), 0o644))

	for _, loss := range device.Losses {
		missing, both := 0, 0
		for cut := 1; cut <= count.Count()+1; cut++ {
			t.Run(fmt.Sprintf("%s/%d", loss, cut), func(t *testing.T) {
				root := t.TempDir()
				write(t, root, "/f", "old content")
				fault := &device.Fault{CutAt: cut, Loss: loss}
				err := device.New(root).WithFault(fault).ReplaceFile("/f", []byte("new content"), 0o644)
				if fault.WasCut() != errors.Is(err, device.ErrPowerCut) {
					t.Fatalf("cut %v, but error %v", fault.WasCut(), err)
				}
				files := tree(t, root)
				content, ok := files["/f"]
				switch {
				case !ok:
					missing++
				case err == nil && content != "new content":
					t.Errorf("reported success, but holds %q", content)
				case content != "old content" && content != "new content":
					t.Errorf("holds %q", content)
				case content == "new content" && files["/f.tmp"] == "new content":
					both++
				}
			})
		}
		if got, want := missing, map[device.Loss]int{device.RenameNeither: 1}[loss]; got != want {
			t.Errorf("%s: the file was gone after %d cuts, want %d", loss, got, want)
		}
		if got, want := both, map[device.Loss]int{device.RenameBoth: 1}[loss]; got != want {
			t.Errorf("%s: both names were there after %d cuts, want %d", loss, got, want)
		}
	}
}

// A rename across folders is on storage when both were synced; in between the order decides.
func TestRenameAcrossFolders(t *testing.T) {
	from, to := map[string]string{"/a/x": "c"}, map[string]string{"/b/x": "c"}
	tests := []struct {
		name  string
		syncs []string
		loss  device.Loss
		want  map[string]string
	}{
		{"nothing synced", nil, device.LoseUnsynced, from},
		{"nothing synced, both", nil, device.RenameBoth, map[string]string{"/a/x": "c", "/b/x": "c"}},
		{"nothing synced, neither", nil, device.RenameNeither, map[string]string{}},
		{"new folder synced", []string{"/b"}, device.LoseUnsynced, map[string]string{"/a/x": "c", "/b/x": "c"}},
		{"new folder synced, neither is impossible", []string{"/b"}, device.RenameNeither, to},
		{"old folder synced", []string{"/a"}, device.LoseUnsynced, map[string]string{}},
		{"old folder synced, both is impossible", []string{"/a"}, device.RenameBoth, to},
		{"both synced", []string{"/b", "/a/"}, device.LoseUnsynced, to},
		{"both synced, both", []string{"/a", "/b"}, device.RenameBoth, to},
		{"another folder synced", []string{"/"}, device.LoseUnsynced, from},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, "/a/x", "c")
			must(t, os.Mkdir(filepath.Join(root, "b"), 0o755))
			fault := &device.Fault{Loss: tt.loss}
			m := device.New(root).WithFault(fault)
			must(t, m.Rename("/a/x", "/b/x"))
			for _, dir := range tt.syncs {
				must(t, m.SyncDir(dir))
			}
			fault.Cut()
			if d := cmp.Diff(tt.want, tree(t, root)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRenameOverAFileComesBack(t *testing.T) {
	root := t.TempDir()
	write(t, root, "/new", "new")
	write(t, root, "/f", "old")
	fault := &device.Fault{Loss: device.LoseUnsynced}
	must(t, device.New(root).WithFault(fault).Rename("/new", "/f"))
	fault.Cut()
	if d := cmp.Diff(map[string]string{"/new": "new", "/f": "old"}, tree(t, root)); d != "" {
		t.Error(d)
	}
}

// Syncfs covers the whole file system, wherever below its mount point it is asked for, and no other.
func TestSyncFSByMount(t *testing.T) {
	root := t.TempDir()
	write(t, root, "/proc/self/mountinfo", "1 0 259:1 / / rw - ext4 /dev/nvme0n1p1 rw\n2 1 259:7 / /boot/efi rw - vfat /dev/nvme0n1p7 rw\n")
	write(t, root, "/boot/efi/EFI/a", "a")
	write(t, root, "/etc/b", "b")
	fault := &device.Fault{Loss: device.LoseUnsynced}
	m := device.New(root).WithFault(fault)
	must(t, m.Remove("/boot/efi/EFI/a"))
	must(t, m.Remove("/etc/b"))
	must(t, m.MkdirAll("/boot/efi/x", 0o755))
	must(t, m.SyncFS("/boot/efi/x"))
	fault.Cut()
	files := tree(t, root)
	if _, ok := files["/boot/efi/EFI/a"]; ok {
		t.Error("a removal on the synced file system came back")
	}
	if _, ok := files["/etc/b"]; !ok {
		t.Error("a removal on another file system was taken for synced")
	}
}

func TestRemovedFolderComesBackAsFolder(t *testing.T) {
	root := t.TempDir()
	must(t, os.Mkdir(filepath.Join(root, "d"), 0o700))
	fault := &device.Fault{Loss: device.LoseUnsynced}
	must(t, device.New(root).WithFault(fault).Remove("/d"))
	fault.Cut()
	if st, err := os.Stat(filepath.Join(root, "d")); err != nil || !st.IsDir() {
		t.Errorf("%v, %v", st, err)
	}
}
