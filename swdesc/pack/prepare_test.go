package pack_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/crypt"
	"github.com/tegra-ota/tegra-ota/swdesc/pack"
)

// Every way to store an image: what is said of it is what sha256sum, zstd and openssl say.
func TestStored(t *testing.T) {
	dir := t.TempDir()
	image := append(append(random(3<<20), make([]byte, 2<<20)...), random(77)...)
	write(t, filepath.Join(dir, "plain.img"), image)
	tool(t, "zstd", "-q", "-19", filepath.Join(dir, "plain.img"), "-o", filepath.Join(dir, "packed.img.zst"))
	packed := read(t, filepath.Join(dir, "packed.img.zst"))
	var key crypt.Key
	copy(key[:], random(len(key)))
	for _, tt := range []struct {
		name, file, options string
		zstd, encrypted     bool
		stored              []byte // nil: what zstd makes of it is the library's business
		member              string
	}{
		{"as it is", "plain.img", "", false, false, image, "plain.img"},
		{"compressed here", "plain.img", `compression = "zstd"`, true, false, nil, "plain.img.zst"},
		{"compressed before", "packed.img.zst", "", true, false, packed, "packed.img.zst"},
		{"compressed before, and said so", "packed.img.zst", `compression = "zstd"`, true, false, packed, "packed.img.zst"},
		{"named", "packed.img.zst", `name = "root"`, true, false, packed, "root"},
		{"encrypted", "plain.img", "encrypt = true", false, true, nil, "plain.img"},
		{"compressed, then encrypted", "plain.img", "encrypt = true\ncompression = \"zstd\"", true, true, nil, "plain.img.zst"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			work := t.TempDir()
			p := prepare(t, dir, head+component("rootfs", tt.file, tt.options), pack.PrepareOptions{EncryptionKey: &key, WorkFolder: work})
			part := p.Parts[0]
			if part.Plain.Hex() != digest(image) || part.Plain.Size != int64(len(image)) {
				t.Errorf("plain: %d bytes, %s", part.Plain.Size, part.Plain.Hex())
			}
			if part.Zstd != tt.zstd || (part.IV != nil) != tt.encrypted || part.Name != tt.member {
				t.Errorf("%+v", part)
			}
			if tt.stored != nil && (part.Stored.Hex() != digest(tt.stored) || part.Stored.Size != int64(len(tt.stored))) {
				t.Errorf("stored: %d bytes, %s", part.Stored.Size, part.Stored.Hex())
			}
			out := filepath.Join(t.TempDir(), "update.swu")
			write(t, out, writeSWU(t, p, pack.SWUOptions{}))
			got := member(t, out, tt.member)
			if digest(got) != part.Stored.Hex() || int64(len(got)) != part.Stored.Size {
				t.Errorf("the member has %d bytes, %s; said were %d, %s", len(got), digest(got), part.Stored.Size, part.Stored.Hex())
			}
			if digest(plain(t, got, part, key)) != digest(image) {
				t.Error("openssl and zstd do not get the image out of the member")
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			if left, _ := os.ReadDir(work); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.img"), random(100))
	write(t, filepath.Join(dir, "empty.img"), nil)
	write(t, filepath.Join(dir, "cut.zst"), append([]byte{0x28, 0xB5, 0x2F, 0xFD}, random(40)...))
	if err := os.Mkdir(filepath.Join(dir, "folder.img"), 0o755); err != nil {
		t.Fatal(err)
	}
	noRevision := strings.Replace(head, `revisions = ["1.0"]`, "", 1)
	noName := strings.Replace(head, `compatible = "jetson-orin-nano-devkit"`, "", 1)
	for _, tt := range []struct {
		name, text string
		format     pack.Format
		code       fail.Code
		want       string
	}{
		{"missing", head + component("rootfs", "b.img"), pack.SWU, fail.Data, "cannot read component b.img"},
		{"a folder", head + component("rootfs", "folder.img"), pack.SWU, fail.Data, "it is no regular file"},
		{"empty", head + component("rootfs", "empty.img"), pack.SWU, fail.Data, "cannot pack component empty.img: it is empty"},
		{"not zstd after all", head + component("rootfs", "cut.zst"), pack.SWU, fail.Data, "cannot decompress component cut.zst"},
		{"firmware that is none", head + component("firmware", "a.img"), pack.SWU, fail.Data, "a.img"},
		{"no key", head + component("rootfs", "a.img", "encrypt = true"), pack.SWU, fail.Usage, "name one with --encryption-key"},
		{"encrypted for RAUC", head + component("rootfs", "a.img", "encrypt = true"), pack.RAUC, fail.Data, "only SWUpdate decrypts"},
		{"a file for RAUC", head + component("file", "a.img", `path = "/data/a"`), pack.RAUC, fail.Data, "it has no place for a file"},
		{"a script for Mender", head + component("script", "a.img"), pack.Mender, fail.Data, "it has no place for a script"},
		{"no revision", noRevision + component("rootfs", "a.img"), pack.SWU, fail.Data, "set revisions in [hardware]"},
		{"no compatible", noName + component("rootfs", "a.img"), pack.RAUC, fail.Data, "set compatible in [hardware]"},
		{"no device type", noName + component("rootfs", "a.img"), pack.Mender, fail.Data, "set compatible in [hardware]"},
	} {
		work := t.TempDir()
		_, err := pack.Prepare(context.Background(), parse(t, dir, tt.text), pack.PrepareOptions{Format: tt.format, WorkFolder: work})
		if err == nil || fail.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v (exit %d), want %q (exit %d)", tt.name, err, fail.CodeOf(err), tt.want, tt.code)
		}
		if left, _ := os.ReadDir(work); len(left) > 0 {
			t.Errorf("%s: left behind: %v", tt.name, left)
		}
	}
}

// A file that changes between the two passes fails the pack: what was described is what is packed, or nothing.
func TestChangedWhilePacked(t *testing.T) {
	dir := t.TempDir()
	image := random(3 << 20)
	for name, change := range map[string]func([]byte) []byte{
		"a byte":  func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"shorter": func(b []byte) []byte { return b[:len(b)-1] },
		"longer":  func(b []byte) []byte { return append(b, 0) },
		// The sum of cpio's crc format does not see this one.
		"two bytes swapped": func(b []byte) []byte { b[7], b[8] = 1, 2; return b },
	} {
		for _, format := range []pack.Format{pack.SWU, pack.RAUC} {
			path := filepath.Join(dir, "a.img")
			before := append([]byte(nil), image...)
			before[7], before[8] = 2, 1
			write(t, path, before)
			p := prepare(t, dir, head+component("rootfs", "a.img"), pack.PrepareOptions{Format: format})
			write(t, path, change(append([]byte(nil), before...)))
			err := p.WriteRAUC(context.Background(), t.TempDir(), pack.RAUCOptions{})
			if format == pack.SWU {
				err = pack.Output(filepath.Join(dir, "out.swu"), swuWriter(p))
			}
			if err == nil || !strings.Contains(err.Error(), "changed while") {
				t.Errorf("%s, %s: %v", format, name, err)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Errorf("%s, %s: a broken update is left behind: %v", format, name, entries)
			}
		}
	}
}

// What the checks find ends up in the plan, and what the release allows is a warning.
func TestFindings(t *testing.T) {
	dir := t.TempDir()
	makeCapsule(t, filepath.Join(dir, "same.Cap"), "36.4.3")
	makeCapsule(t, filepath.Join(dir, "other.Cap"), "35.6.0")
	for name, change := range map[string]map[string]string{
		"good":    nil,
		"pinned":  {"boot/extlinux/extlinux.conf": "LABEL primary\n\tLINUX /boot/Image\n\tAPPEND root=/dev/nvme0n1p1 rw\n"},
		"modules": {"lib/modules/" + kernelRelease + "/modules.dep": "", "lib/modules/5.10.0/modules.dep": "\n"},
	} {
		ext4(t, filepath.Join(dir, name+".ext4"), content(t, change))
	}
	write(t, filepath.Join(dir, "raw.img"), append([]byte("nothing"), random(8192)...))
	write(t, filepath.Join(dir, "t234.dtb"), deviceTree())
	tool(t, "gzip", "-k", filepath.Join(dir, "good.ext4"))
	write(t, filepath.Join(dir, "Image"), append(make([]byte, 64), "Linux version 6.1.0-other (x@y)\x00"...))
	firmware := component("firmware", "same.Cap")
	floor := "warning firmware-floor"
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"good", component("rootfs", "good.ext4") + firmware, nil},
		{"root is pinned to a slot", component("rootfs", "pinned.ext4") + firmware, []string{"error extlinux-root"}},
		{"no modules for the kernel", component("rootfs", "modules.ext4") + firmware, []string{"error kernel-modules"}},
		{"another kernel's modules", component("rootfs", "good.ext4") + component("kernel", "Image") + firmware,
			[]string{"warning kernel-image", "error kernel-modules"}},
		{"firmware of another release", component("rootfs", "good.ext4") + component("firmware", "other.Cap"), []string{"error l4t-release"}},
		{"no file system", component("rootfs", "raw.img"), []string{"error rootfs"}},
		{"compressed, and not with zstd", component("rootfs", "good.ext4.gz"), []string{"error rootfs"}},
		{"no kernel", component("rootfs", "good.ext4") + component("kernel", "raw.img"), []string{"error kernel-image"}},
		{"no device tree", component("rootfs", "good.ext4") + component("kernel-dtb", "raw.img"), []string{"error device-tree"}},
		{"a device tree", component("rootfs", "good.ext4") + component("kernel-dtb", "t234.dtb"), nil},
		{"firmware alone", firmware, []string{"warning firmware-only"}},
		{"a kernel alone", component("kernel", "Image"), []string{"warning kernel-image", "warning kernel-only"}},
	} {
		got := relevant(checks(prepare(t, dir, head+tt.text, pack.PrepareOptions{}).Problems), floor)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	allowed := "allow = [\"extlinux-root\"]\n" + head + component("rootfs", "pinned.ext4") + firmware
	if p := prepare(t, dir, allowed, pack.PrepareOptions{}); p.Problems.Errors() > 0 {
		t.Errorf("allowed: %v", p.Problems)
	}
	board := strings.Replace(head, "p3767-0005", "p3701-0005", 1)
	p := prepare(t, dir, board+component("rootfs", "good.ext4")+firmware, pack.PrepareOptions{})
	if p.Problems.Errors() == 0 || p.Firmware == nil || p.Firmware.Boards[0].Resolves {
		t.Errorf("a capsule without the fleet's board: %v", p.Problems)
	}
}

// relevant leaves out what every capsule is warned of.
func relevant(list []string, floor string) []string {
	var out []string
	for _, s := range list {
		if s != floor && s != "warning firmware-step" {
			out = append(out, s)
		}
	}
	return out
}

func TestCancelled(t *testing.T) {
	dir, text := standard(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	work := t.TempDir()
	_, err := pack.Prepare(ctx, parse(t, dir, text), pack.PrepareOptions{Format: pack.SWU, WorkFolder: work})
	if !errors.Is(err, context.Canceled) || fail.CodeOf(err) != fail.IO {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(work); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Progress counts up to the total, in both passes.
func TestProgress(t *testing.T) {
	dir, text := standard(t)
	seen := map[string][2]int64{}
	report := func(step string, done, total int64) {
		if done < seen[step][0] || done > total {
			t.Errorf("%s: %d of %d after %d", step, done, total, seen[step][0])
		}
		seen[step] = [2]int64{done, total}
	}
	p := prepare(t, dir, text, pack.PrepareOptions{Progress: report})
	writeSWU(t, p, pack.SWUOptions{Progress: report})
	for _, step := range []string{"reading", "packing"} {
		if s := seen[step]; s[0] == 0 || s[0] != s[1] {
			t.Errorf("%s ends at %d of %d", step, s[0], s[1])
		}
	}
}
