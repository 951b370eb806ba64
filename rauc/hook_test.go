package rauc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/rauc"
)

// hookFor is the hook of an image in a bundle whose manifest says content.
func hookFor(bundle, image, content string) rauc.SlotHook {
	return rauc.SlotHook{Bundle: bundle, Image: image, Digest: sum(content), Slot: "bootloader.1", Bootname: "B", State: "inactive"}
}

func TestReadSlotHook(t *testing.T) {
	h, err := rauc.ReadSlotHook(slotEnvironment(nil))
	want := rauc.SlotHook{
		Bundle: "/run/rauc/bundle", Image: "/run/rauc/bundle/TEGRA_BL.Cap", Digest: sum("x"), Slot: "bootloader.1",
		Bootname: "B", State: "inactive",
	}
	if err != nil || h != want {
		t.Errorf("%+v, %v; want %+v", h, err, want)
	}
	for _, name := range []string{
		"RAUC_BUNDLE_MOUNT_POINT", "RAUC_IMAGE_NAME", "RAUC_IMAGE_DIGEST", "RAUC_SLOT_NAME", "RAUC_SLOT_BOOTNAME", "RAUC_SLOT_STATE",
	} {
		_, err := rauc.ReadSlotHook(slotEnvironment(map[string]string{name: ""}))
		if fail.CodeOf(err) != fail.Usage || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("without %s: %v; want a usage error of one line that names it", name, err)
		}
	}
	if _, err := rauc.ReadSlotHook(func(string) string { return "" }); fail.CodeOf(err) != fail.Usage {
		t.Errorf("without all of them: %v", err)
	}
}

func TestSlotHookCheck(t *testing.T) {
	for _, tt := range []struct {
		name     string
		bootname string
		state    string
		booted   backends.Slot
		refused  bool
	}{
		{"the inactive slot", "B", "inactive", backends.A, false},
		{"the inactive slot from B", "A", "inactive", backends.B, false},
		{"by another name", "rootfs.1", "inactive", backends.A, false},
		{"an active slot", "B", "active", backends.A, true},
		{"a booted slot", "B", "booted", backends.A, true},
		{"an unknown state", "B", "Inactive", backends.A, true},
		{"no state", "B", "", backends.A, true},
		{"the running slot", "A", "inactive", backends.A, true},
		{"the running slot, as RAUC knows", "A", "booted", backends.A, true},
		{"the running slot by another name", "rootfs.0", "inactive", backends.A, true},
		{"an unknown bootname", "system1", "inactive", backends.A, true},
		{"a bootname with a newline", "B\nA", "inactive", backends.A, true},
		{"no bootname", "", "inactive", backends.A, true},
	} {
		h := rauc.SlotHook{Slot: "bootloader.1", Bootname: tt.bootname, State: tt.state}
		err := h.Check(defaultNames(t), tt.booted)
		explained := fail.CodeOf(err) == fail.Unavailable && fail.NextOf(err) != ""
		switch {
		case !tt.refused && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.refused && (!explained || !strings.Contains(err.Error(), "slot bootloader.1")):
			t.Errorf("%s: %v; want exit 69 that names the slot and the next step", tt.name, err)
		}
	}
}

func TestSlotHookOpens(t *testing.T) {
	dir := t.TempDir()
	bundle := mountTemp(t, filepath.Join(dir, "bundle"))
	const content = "a capsule"
	image := filepath.Join(bundle, "TEGRA_BL.Cap")
	must(t, os.WriteFile(image, []byte(content), 0o644), os.Mkdir(filepath.Join(bundle, "deep"), 0o755),
		os.WriteFile(filepath.Join(bundle, "deep", "er.Cap"), []byte(content), 0o644), os.WriteFile(filepath.Join(bundle, "empty"), nil, 0o644),
		os.Symlink("TEGRA_BL.Cap", filepath.Join(bundle, "link")), os.Symlink(image, filepath.Join(bundle, "absolute")),
		os.Symlink("deep", filepath.Join(bundle, "folder")), os.Symlink(bundle, filepath.Join(dir, "named")))
	upper := hookFor(bundle, image, content)
	upper.Digest = strings.ToUpper(upper.Digest)
	for _, tt := range []struct {
		name string
		hook rauc.SlotHook
		want string
	}{
		{"an absolute name", hookFor(bundle, image, content), content},
		{"a relative name", hookFor(bundle, "TEGRA_BL.Cap", content), content},
		{"a folder in the bundle", hookFor(bundle, "deep/er.Cap", content), content},
		{"there and back", hookFor(bundle, bundle+"/deep/../TEGRA_BL.Cap", content), content},
		{"out and in again", hookFor(bundle, "../bundle/TEGRA_BL.Cap", content), content},
		{"a link", hookFor(bundle, bundle+"/link", content), content},
		{"an absolute link", hookFor(bundle, bundle+"/absolute", content), content},
		{"a linked folder", hookFor(bundle, bundle+"/folder/er.Cap", content), content},
		{"a mount point with a slash", hookFor(bundle+"/", image, content), content},
		// /var/run is a link on most systems.
		{"a mount point by a link", hookFor(dir+"/named", dir+"/named/TEGRA_BL.Cap", content), content},
		{"a digest in capitals", upper, content},
		{"an empty image", hookFor(bundle, "empty", ""), ""},
	} {
		f, err := tt.hook.Open()
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got, err := io.ReadAll(f)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
		must(t, f.Close())
	}
}

// A bundle is signed, and its hook runs as root anyway; still nothing but the bundle's image may reach the firmware.
func TestSlotHookRefusesImages(t *testing.T) {
	dir := t.TempDir()
	bundle := mountTemp(t, filepath.Join(dir, "bundle"))
	elsewhere := mountTemp(t, filepath.Join(dir, "elsewhere"))
	const content = "a capsule"
	in := func(elem ...string) string { return filepath.Join(append([]string{bundle}, elem...)...) }
	for _, folder := range []string{dir, bundle, elsewhere, dir + "/bundle-evil", dir + "/plain"} {
		must(t, os.MkdirAll(folder, 0o755), os.WriteFile(folder+"/TEGRA_BL.Cap", []byte(content), 0o644))
	}
	must(t, os.Mkdir(in("folder"), 0o755), unix.Mkfifo(in("fifo"), 0o644), unix.Mknod(in("null"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))),
		unix.Mknod(in("loop"), unix.S_IFBLK|0o644, int(unix.Mkdev(7, 0))), os.Symlink(dir+"/TEGRA_BL.Cap", in("out")),
		os.Symlink("../TEGRA_BL.Cap", in("relative")), os.Symlink("out", in("twice")), os.Symlink(dir, in("away")), os.Symlink("..", in("up")),
		os.Symlink("absent", in("dangling")), os.Symlink("loops", in("loops")), os.Symlink("fifo", in("to-fifo")),
		os.WriteFile(in("bound"), nil, 0o644), os.Mkdir(in("inner"), 0o755))
	// A file and a folder of another file system, mounted into the bundle; and the bundle's, mounted a second time.
	must(t, os.Mkdir(dir+"/bundle-again", 0o755))
	for from, to := range map[string]string{elsewhere + "/TEGRA_BL.Cap": in("bound"), elsewhere: in("inner"), bundle: dir + "/bundle-again"} {
		if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
			t.Fatalf("missing: the right to mount: %v", err)
		}
		t.Cleanup(func() { must(t, unix.Unmount(to, 0)) })
	}
	digest := func(text string) rauc.SlotHook {
		h := hookFor(bundle, "TEGRA_BL.Cap", content)
		h.Digest = text
		return h
	}
	good := sum(content)
	for _, tt := range []struct {
		name string
		hook rauc.SlotHook
		code fail.Code
	}{
		{"outside", hookFor(bundle, dir+"/TEGRA_BL.Cap", content), fail.Data},
		{"outside by ..", hookFor(bundle, bundle+"/../TEGRA_BL.Cap", content), fail.Data},
		{"outside by a relative ..", hookFor(bundle, "../TEGRA_BL.Cap", content), fail.Data},
		{"a folder that begins with the bundle's name", hookFor(bundle, dir+"/bundle-evil/TEGRA_BL.Cap", content), fail.Data},
		{"the same file system elsewhere", hookFor(bundle, dir+"/bundle-again/TEGRA_BL.Cap", content), fail.Data},
		{"a link out", hookFor(bundle, "out", content), fail.Data},
		{"a relative link out", hookFor(bundle, "relative", content), fail.Data},
		{"a link to a link out", hookFor(bundle, "twice", content), fail.Data},
		{"a linked folder out", hookFor(bundle, "away/TEGRA_BL.Cap", content), fail.Data},
		{"a relative linked folder out", hookFor(bundle, "up/TEGRA_BL.Cap", content), fail.Data},
		{"a link to nothing", hookFor(bundle, "dangling", content), fail.Data},
		{"a link to itself", hookFor(bundle, "loops", content), fail.Data},
		{"nothing", hookFor(bundle, "absent", content), fail.Data},
		{"a FIFO", hookFor(bundle, "fifo", ""), fail.Data},
		{"a link to a FIFO", hookFor(bundle, "to-fifo", ""), fail.Data},
		{"a folder", hookFor(bundle, "folder", ""), fail.Data},
		{"the bundle itself", hookFor(bundle, bundle, ""), fail.Data},
		{"the bundle itself, relative", hookFor(bundle, ".", ""), fail.Data},
		{"a character device", hookFor(bundle, "null", ""), fail.Data},
		{"a block device", hookFor(bundle, "loop", ""), fail.Data},
		{"a file of another file system", hookFor(bundle, "bound", content), fail.Data},
		{"a folder of another file system", hookFor(bundle, "inner/TEGRA_BL.Cap", content), fail.Data},
		{"a folder where nothing is mounted", hookFor(dir+"/plain", "TEGRA_BL.Cap", content), fail.Usage},
		{"a folder in the bundle", hookFor(in("folder"), "x", content), fail.Usage},
		{"the root of everything", hookFor("/", strings.TrimPrefix(bundle, "/")+"/TEGRA_BL.Cap", content), fail.Usage},
		{"a bundle that is not there", hookFor(dir+"/absent", "TEGRA_BL.Cap", content), fail.Data},
		{"another digest", digest(sum("another")), fail.Data},
		{"a short digest", digest(good[:62]), fail.Usage},
		{"half a byte less", digest(good[:63]), fail.Usage},
		{"a long digest", digest(good + "00"), fail.Usage},
		{"no digest", digest(""), fail.Usage},
		{"no hexadecimal digest", digest(strings.Repeat("zz", 32)), fail.Usage},
		{"a digest with a newline", digest(good + "\n"), fail.Usage},
		{"a digest with its algorithm", digest("sha256:" + good), fail.Usage},
	} {
		f, err := tt.hook.Open()
		if err == nil {
			got, _ := io.ReadAll(f)
			t.Errorf("%s: opened, and %q read", tt.name, got)
			_ = f.Close()
			continue
		}
		if fail.CodeOf(err) != tt.code || !strings.HasPrefix(err.Error(), "cannot ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %s: %v; want %s in one line", tt.name, fail.CodeOf(err), err, tt.code)
		}
	}
}

// The payload of a plain bundle can change after it was checked: what is staged is then not what the manifest says.
func TestImageThatChangesIsNotStaged(t *testing.T) {
	raw, err := virtual.BuildCapsule(virtual.CapsuleOptions{L4T: "36.4.3", Lowest: "36.0.0", ImageSize: 256})
	must(t, err)
	flipped := func(at int) []byte {
		b := bytes.Clone(raw)
		b[at] ^= 1
		return b
	}
	other, err := virtual.BuildCapsule(virtual.CapsuleOptions{L4T: "36.4.4", Lowest: "36.0.0", ImageSize: 256})
	must(t, err)
	for _, tt := range []struct {
		name string
		then []byte // nil: it stays
	}{
		{"it stays", nil},
		{"the last byte", flipped(len(raw) - 1)},
		{"a byte in the middle", flipped(len(raw) / 2)},
		{"a byte of the head", flipped(len(raw) / 100)},
		{"one byte less", raw[:len(raw)-1]},
		{"one byte more", append(bytes.Clone(raw), 0)},
		{"another capsule that is right", other},
		{"nothing", []byte{}},
	} {
		d := newBackendDevice(t)
		bundle := mountTemp(t, filepath.Join(t.TempDir(), "bundle"))
		image := filepath.Join(bundle, "TEGRA_BL.Cap")
		must(t, os.WriteFile(image, raw, 0o644))
		h := hookFor(bundle, image, string(raw))
		f, err := h.Open()
		must(t, err)
		if tt.then != nil {
			must(t, os.WriteFile(image, tt.then, 0o644)) // the same file, which is open
		}
		_, err = d.control().Stage(context.Background(), rauc.UpdateID, f, false)
		must(t, f.Close())
		staged := filepath.Join(d.Dir(), "boot/efi/EFI/tegra-ota/staged.cap")
		_, there := os.Stat(staged)
		if tt.then == nil {
			if err != nil || there != nil {
				t.Errorf("%s: %v, %v", tt.name, err, there)
			}
			continue
		}
		if fail.CodeOf(err) != fail.Data {
			t.Errorf("%s: %s: %v; want bad data", tt.name, fail.CodeOf(err), err)
		}
		for _, name := range []string{"staged.cap", "incoming.tmp"} {
			if _, err := os.Stat(filepath.Join(filepath.Dir(staged), name)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s is left (%v)", tt.name, name, err)
			}
		}
		if _, done, err := d.control().ActivateFirmwareOnly(context.Background(), rauc.UpdateID); done {
			t.Errorf("%s: it was armed, %v", tt.name, err)
		}
		if st, err := d.control().Status(context.Background()); err != nil || st.Next == nil || *st.Next != backends.A {
			t.Errorf("%s: the next boot is %v, %v; want slot A", tt.name, st.Next, err)
		}
	}
}
