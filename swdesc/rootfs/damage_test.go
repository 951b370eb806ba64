package rootfs_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/rootfs"
)

// patched is a copy of an image with other bytes at an offset.
func patched(t *testing.T, img string, at int, bytes ...byte) string {
	t.Helper()
	b, err := os.ReadFile(img)
	must(t, err)
	copy(b[at:], bytes)
	return file(t, string(b))
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.img")
	must(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func wantError(t *testing.T, path string, code fail.Code, text string) error {
	t.Helper()
	img, err := rootfs.Look(context.Background(), path)
	if err == nil || img != nil || fail.CodeOf(err) != code || !strings.Contains(err.Error(), text) {
		t.Errorf("got %+v and (%d) %v, want (%d) %s", img, fail.CodeOf(err), err, code, text)
	}
	return err
}

func TestLookAtOtherFiles(t *testing.T) {
	zeros := strings.Repeat("\x00", 4096)
	for name, tt := range map[string]struct{ content, text string }{
		"empty":    {"", "ext4"},
		"zeros":    {zeros, "not an ext2, ext3 or ext4 file system"},
		"text":     {"hello", "ext4"},
		"squashfs": {"hsqs" + zeros, "squashfs"},
		"zstd":     {"\x28\xb5\x2f\xfd" + zeros, "compressed with zstd"},
		"erofs":    {zeros[:1024] + "\xe2\xe1\xf5\xe0" + zeros, "EROFS"},
		"sparse":   {"\x3a\xff\x26\xed" + zeros, "Android sparse"},
		"disk":     {zeros[:510] + "\x55\xaa" + zeros, "whole disk"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := wantError(t, file(t, tt.content), fail.Data, tt.text); !errors.Is(err, rootfs.ErrNotExt4) {
				t.Errorf("not ErrNotExt4: %v", err)
			}
		})
	}
	wantError(t, "/nonexistent/x", fail.IO, "/nonexistent/x")
	wantError(t, t.TempDir(), fail.Usage, "not a regular file")
	pipe := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	wantError(t, pipe, fail.Usage, "not a regular file")
}

func TestLookAtDamage(t *testing.T) {
	img := mkfs(t, stock(), "-t", "ext4", "-b", "1024", "-O", "^flex_bg")
	whole, err := os.ReadFile(img)
	must(t, err)
	for _, n := range []int{1100, 2047, 4096, len(whole) / 2, len(whole) - 1} {
		if err := wantError(t, file(t, string(whole[:n])), fail.Data, "cut off"); errors.Is(err, rootfs.ErrNotExt4) {
			t.Errorf("%d bytes: a damaged ext4 is called another file system: %v", n, err)
		}
	}
	wantError(t, patched(t, img, 1024+24, 7), fail.Data, "block size")
	wantError(t, patched(t, img, 1024+1020, 1, 2, 3, 4), fail.Data, "checksum")
	wantError(t, patched(t, img, 1024+200, 1, 2, 3), fail.Data, "checksum")
	large := mkfs(t, stock(), "-t", "ext4", "-O", "64bit,^metadata_csum")
	wantError(t, patched(t, large, 1024+336, 0xFF), fail.Data, "cut off")
	// The bitmaps' checksums tell damage that a kernel would meet later.
	bitmap := int(binary.LittleEndian.Uint32(whole[2048:])) * 1024
	wantError(t, patched(t, img, bitmap, 0, 0, 0), fail.Data, "debugfs: ")
	// An inode table of noise.
	table := int(binary.LittleEndian.Uint32(whole[2048+8:])) * 1024
	wantError(t, patched(t, img, table, bytes.Repeat([]byte{0xA5}, 4096)...), fail.Data, "debugfs: ")
	// A feature of the future is not the image's fault.
	plain := mkfs(t, stock(), "-t", "ext2")
	err = wantError(t, patched(t, plain, 1024+96+3, 0x40), fail.Unavailable, "unsupported feature")
	if !strings.Contains(fail.NextOf(err), "e2fsprogs") {
		t.Errorf("no next step: %v", err)
	}
}

// Noise anywhere is an error or an answer, never a panic or a hang.
func TestLookAtNoise(t *testing.T) {
	img := mkfs(t, stock(), "-t", "ext2", "-b", "1024")
	for at := 1024; at < 300<<10; at += 37 << 10 {
		_, err := rootfs.Look(context.Background(), patched(t, img, at+60, bytes.Repeat([]byte{0xFF}, 700)...))
		if err != nil && fail.CodeOf(err) != fail.Data && fail.CodeOf(err) != fail.Unavailable {
			t.Errorf("noise at %d: (%d) %v", at, fail.CodeOf(err), err)
		}
	}
}

func TestLookRefusesTooMuch(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(tree)
		text   string
	}{
		"extlinux.conf": {func(f tree) { f["boot/extlinux/extlinux.conf"] = strings.Repeat("#", 1<<20+1) }, "more than 1048576 bytes"},
		"labels": {func(f tree) {
			f["boot/extlinux/extlinux.conf"] = strings.Repeat("LABEL a\n", 65)
		}, "extlinux.conf:65: more than 64 labels"},
		"modules": {func(f tree) {
			for i := 0; i < 65; i++ {
				f[fmt.Sprintf("lib/modules/6.%d/", i)] = ""
			}
		}, "more than 64 folders"},
		"damaged kernel": {func(f tree) { f["boot/Image"] = "\x1f\x8b\x08\x00cut" }, `"/boot/Image": cannot decompress kernel`},
	} {
		t.Run(name, func(t *testing.T) {
			files := stock()
			tt.change(files)
			wantError(t, mkfs(t, files), fail.Data, tt.text)
		})
	}
	// 1 TiB that takes no room.
	files, dir := stock(), t.TempDir()
	delete(files, "boot/Image")
	must(t, os.WriteFile(dir+"/Image", nil, 0o600))
	must(t, os.Truncate(dir+"/Image", 1<<34))
	img := mkfs(t, files)
	debugfs(t, img, "write "+dir+"/Image boot/Image")
	wantError(t, img, fail.Data, "more than 536870912 bytes")
}

// A file's name is not a device with options to libext2fs, and no option to debugfs.
func TestLookAtOddFileNames(t *testing.T) {
	img := mkfs(t, stock())
	want := look(t, img)
	old, err := os.Getwd()
	must(t, err)
	must(t, os.Chdir(filepath.Dir(img)))
	defer func() { must(t, os.Chdir(old)) }()
	for _, name := range []string{"-w", "x?offset=4096", "a b; \"c", "-R quit"} {
		must(t, os.Link(img, name))
		if diff := cmp.Diff(want, look(t, name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestLookChangesNothing(t *testing.T) {
	img := mkfs(t, stock())
	before, err := os.ReadFile(img)
	must(t, err)
	look(t, img)
	after, err := os.ReadFile(img)
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("the image was written to")
	}
}

func TestLookWithoutDebugfs(t *testing.T) {
	img := mkfs(t, stock())
	t.Setenv("PATH", t.TempDir())
	look(t, img) // in /usr/sbin, as on Debian
	defer rootfs.SetSbin()()
	err := wantError(t, img, fail.Unavailable, "debugfs is missing")
	if fail.NextOf(err) != "install e2fsprogs" {
		t.Errorf("next step: %v", err)
	}
}

// fake puts a debugfs of one's own first.
func fake(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/debugfs", []byte("#!/bin/sh\n"+script), 0o700))
	t.Setenv("PATH", dir)
}

func TestLookEnds(t *testing.T) {
	img := mkfs(t, stock())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := rootfs.Look(ctx, img); !errors.Is(err, context.Canceled) || fail.CodeOf(err) != fail.IO {
		t.Errorf("a canceled context: %v", err)
	}
	fake(t, "exec /bin/sleep 60")
	ctx, cancel = context.WithTimeout(context.Background(), 50_000_000)
	defer cancel()
	if _, err := rootfs.Look(ctx, img); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a debugfs that hangs: %v", err)
	}
	fake(t, "echo oops >&2; exit 3")
	wantError(t, img, fail.Data, "debugfs: oops")
	fake(t, "exit 3")
	wantError(t, img, fail.Data, "exit status 3")
	fake(t, "while echo /1/040755/0/0/filler//; do :; done | /usr/bin/tr -d '\\n'")
	wantError(t, img, fail.Data, "too large")
}
