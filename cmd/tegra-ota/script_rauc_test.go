package main_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// answers WORD ARGS...: tegra-boot-handler writes that word and a newline, nothing at all for "", in one write, and nothing to
// stderr. RAUC gives it no environment and its command line runs it as whoever calls that, so it is asked as root and as nobody.
func answers(ts *testscript.TestScript, _ bool, args []string) {
	var want []string
	if args[0] != "" {
		want = []string{args[0] + "\n"}
	}
	for _, user := range []uint32{0, 65534} {
		got, err := packets(ts.Getenv("TEGRA_OTA_ROOT"), user, args[1:])
		if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			ts.Fatalf("user %d: writes %q, %v; want %q", user, got, err, want)
		}
	}
}

// packets returns what the boot handler writes, write by write: a pipe with O_DIRECT keeps them apart (pipe(2)).
func packets(root string, user uint32, args []string) (list []string, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_DIRECT); err != nil {
		return nil, err
	}
	r, w := os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe")
	defer r.Close()
	var stderr strings.Builder
	cmd := exec.Command(filepath.Join(bin, "tegra-boot-handler"), args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = []string{"TEGRA_OTA_ROOT=" + root}, "/", w, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	err = cmd.Run()
	_ = w.Close()
	if err != nil || stderr.Len() > 0 {
		return nil, fmt.Errorf("%v: %w: %s", args, err, stderr.String())
	}
	for b := make([]byte, 4096); ; {
		n, err := r.Read(b)
		if errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		list = append(list, string(b[:n]))
	}
}

// bundle DIR: mounts a file system of its own there, as RAUC does for a bundle; it goes with the script.
func bundle(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m,mode=755"); err != nil {
		ts.Fatalf("missing: the right to mount a tmpfs: %v", err)
	}
	ts.Defer(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// installing ROOT: a squashfs is mounted where RAUC mounts a bundle while it installs it.
func installing(ts *testscript.TestScript, _ bool, args []string) {
	dir, image := filepath.Join(ts.MkAbs(args[0]), "run/rauc/mnt/bundle"), ts.MkAbs(args[0]+".raucb")
	ts.Check(os.MkdirAll(dir, 0o755))
	for _, c := range [][]string{{"mksquashfs", dir, image, "-quiet", "-no-progress", "-noappend"}, {"mount", "-t", "squashfs", "-o", "loop,ro", image, dir}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			ts.Fatalf("missing: the right or the program to mount a squashfs: %v: %v: %s", c, err, out)
		}
	}
	ts.Defer(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// installed ROOT: the bundle is taken down.
func installed(ts *testscript.TestScript, _ bool, args []string) {
	dir := filepath.Join(ts.MkAbs(args[0]), "run/rauc/mnt/bundle")
	if err := unix.Unmount(dir, 0); err != nil {
		ts.Fatalf("cannot unmount %s: %v", dir, err)
	}
}
