package efivarfs_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWrite(t *testing.T) {
	m, s := folder(t)
	must(t, s.Write(efivarfs.BootChainFwNext, all, []byte{1, 0, 0, 0}))
	if got := bytesOf(t, m, efivarfs.BootChainFwNext); got != "\x07\x00\x00\x00\x01\x00\x00\x00" {
		t.Errorf("%x", got)
	}
	must(t, s.Write(efivarfs.BootChainFwNext, all, []byte{0, 0, 0, 0, 9, 9}))
	must(t, s.Write(efivarfs.BootChainFwNext, all, []byte{2}))
	if got := bytesOf(t, m, efivarfs.BootChainFwNext); got != "\x07\x00\x00\x00\x02" {
		t.Errorf("a shorter value: %x", got)
	}
	must(t, s.Delete(efivarfs.BootChainFwNext))
	must(t, s.Delete(efivarfs.BootChainFwNext))
	if _, err := s.Read(efivarfs.BootChainFwNext); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// A power-cut test counts on this: each write is one change, whatever it takes, and an equal one is none.
func TestChangesAreCounted(t *testing.T) {
	m, _ := folder(t)
	fault := &device.Fault{}
	s := efivarfs.New(m.WithFault(fault))
	put(t, m, efivarfs.RootfsStatusSlotA.String(), "") // a phantom on the way is part of the write
	for i := 0; i < 3; i++ {
		must(t, s.Write(efivarfs.RootfsStatusSlotA, all, []byte{0xff, 0, 0, 0}))
	}
	must(t, s.Write(efivarfs.RootfsStatusSlotA, all, []byte{0, 0, 0, 0}))
	must(t, s.Delete(efivarfs.RootfsStatusSlotA))
	must(t, s.Delete(efivarfs.RootfsStatusSlotA))
	n := efivarfs.RootfsStatusSlotA.String()
	if d := cmp.Diff([]string{"write variable " + n, "write variable " + n, "delete variable " + n}, fault.Changes()); d != "" {
		t.Error(d)
	}
}

func TestCutLeavesOldOrNew(t *testing.T) {
	for _, loss := range device.Losses {
		for cut := 1; cut <= 3; cut++ {
			m, s := folder(t)
			must(t, s.Write(efivarfs.BootNext, all, []byte{1, 0}))
			cutting := efivarfs.New(m.WithFault(&device.Fault{CutAt: cut, Loss: loss}))
			writeErr := cutting.Write(efivarfs.BootNext, all, []byte{2, 0})
			deleteErr := cutting.Delete(efivarfs.BootNext)
			v, err := s.Read(efivarfs.BootNext)
			switch cut {
			case 1:
				if !errors.Is(writeErr, device.ErrPowerCut) || !errors.Is(deleteErr, device.ErrPowerCut) || err != nil || v.Data[0] != 1 {
					t.Errorf("%s, cut 1: %v, %v, %+v, %v", loss, writeErr, deleteErr, v, err)
				}
			case 2:
				if writeErr != nil || !errors.Is(deleteErr, device.ErrPowerCut) || err != nil || v.Data[0] != 2 {
					t.Errorf("%s, cut 2: %v, %v, %+v, %v", loss, writeErr, deleteErr, v, err)
				}
			case 3:
				if writeErr != nil || deleteErr != nil || !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s, no cut: %v, %v, %v", loss, writeErr, deleteErr, err)
				}
			}
		}
	}
}

func TestOtherAttributesAreRefused(t *testing.T) {
	m, s := folder(t)
	const locked = "\x06\x00\x00\x00\x03\x00\x00\x00"
	put(t, m, efivarfs.RootfsRetryCountMax.String(), locked)
	for _, data := range [][]byte{{3, 0, 0, 0}, {4, 0, 0, 0}} {
		err := s.Write(efivarfs.RootfsRetryCountMax, all, data)
		if fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "0x6") || !strings.Contains(err.Error(), "0x7") {
			t.Error(err)
		}
	}
	if got := bytesOf(t, m, efivarfs.RootfsRetryCountMax); got != locked {
		t.Errorf("%x", got)
	}
}

func TestMisuse(t *testing.T) {
	_, s := folder(t)
	for name, err := range map[string]error{
		"no data":  s.Write(efivarfs.BootNext, all, nil),
		"append":   s.Write(efivarfs.BootNext, all|0x40, []byte{1}),
		"no name":  s.Write(efivarfs.Name{GUID: efivarfs.Global}, all, []byte{1}),
		"a path":   s.Write(efivarfs.Name{Name: "../x", GUID: efivarfs.Global}, all, []byte{1}),
		"deletion": s.Delete(efivarfs.Name{Name: "a/b", GUID: efivarfs.Global}),
	} {
		if fail.CodeOf(err) != fail.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Read(efivarfs.Name{Name: "..\x00"}); fail.CodeOf(err) != fail.Internal {
		t.Error(err)
	}
}

func TestPhantomIsReplacedAndDeleted(t *testing.T) {
	m, s := folder(t)
	put(t, m, efivarfs.BootNext.String(), "\x07\x00\x00")
	must(t, s.Write(efivarfs.BootNext, all, []byte{1, 0}))
	if got := bytesOf(t, m, efivarfs.BootNext); got != "\x07\x00\x00\x00\x01\x00" {
		t.Errorf("%x", got)
	}
	put(t, m, efivarfs.BootChainFwStatus.String(), "")
	must(t, s.Delete(efivarfs.BootChainFwStatus))
	if m.Exists(efivarfs.Dir + "/" + efivarfs.BootChainFwStatus.String()) {
		t.Error("the phantom is still there")
	}
}

// A creation that the kernel accepts and the firmware refuses leaves an empty file behind; Write takes it away. A full file
// system shows the same: the file is made, the write fails.
func TestFailedCreationLeavesNoPhantom(t *testing.T) {
	m, s := folder(t)
	dir := m.Path(efivarfs.Dir)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8k"); err != nil {
		t.Fatalf("this test needs root: mount: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	put(t, m, "filler", strings.Repeat("x", 8<<10))
	err := s.Write(efivarfs.BootChainFwNext, all, []byte{1, 0, 0, 0})
	if !errors.Is(err, unix.ENOSPC) || fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "store is full") {
		t.Error(err)
	}
	if m.Exists(efivarfs.Dir + "/" + efivarfs.BootChainFwNext.String()) {
		t.Error("a phantom is left")
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(efivarfs.BootChainFwNext, all, []byte{1, 0, 0, 0}); !errors.Is(err, unix.EROFS) || fail.CodeOf(err) != fail.Unavailable {
		t.Error(err)
	}
}

// immutable sets the flag as the kernel does on a variable, or skips where TMPDIR's file system has no such flag.
func immutable(t *testing.T, host string) {
	t.Helper()
	var st unix.Statfs_t
	must(t, unix.Statfs(filepath.Dir(host), &st))
	if uint32(st.Type) == unix.TMPFS_MAGIC {
		t.Skip("TMPDIR is a tmpfs, which may lack the immutable flag; set TMPDIR to a folder on ext4")
	}
	if out, err := exec.Command("chattr", "+i", host).CombinedOutput(); err != nil {
		t.Fatalf("this test needs root and a file system with the immutable flag: chattr: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("chattr", "-i", host).Run() })
}

func isImmutable(t *testing.T, host string) bool {
	t.Helper()
	f, err := os.Open(host)
	must(t, err)
	defer f.Close()
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	must(t, err)
	return flags&0x10 != 0
}

func TestImmutableFlag(t *testing.T) {
	m, s := folder(t)
	host := put(t, m, efivarfs.RootfsStatusSlotB.String(), "\x07\x00\x00\x00\xff\x00\x00\x00")
	immutable(t, host)
	if err := os.WriteFile(host, nil, 0o644); !errors.Is(err, unix.EPERM) {
		t.Fatalf("the flag does not protect: %v", err)
	}
	must(t, s.Write(efivarfs.RootfsStatusSlotB, all, []byte{0, 0, 0, 0}))
	if got := bytesOf(t, m, efivarfs.RootfsStatusSlotB); got != "\x07\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("%x", got)
	}
	if !isImmutable(t, host) {
		t.Error("the flag was not set again")
	}
	must(t, s.Delete(efivarfs.RootfsStatusSlotB))
	if _, err := os.Lstat(host); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}

	host = put(t, m, efivarfs.BootNext.String(), "")
	immutable(t, host)
	must(t, s.Write(efivarfs.BootNext, all, []byte{1, 0}))

	host = put(t, m, efivarfs.OsIndications.String(), "\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	must(t, s.Write(efivarfs.OsIndications, all, []byte{4, 0, 0, 0, 0, 0, 0, 0}))
	if isImmutable(t, host) {
		t.Error("a flag that was not set before was set")
	}
}

// Other programs (nvbootctrl, efibootmgr, systemd) write variables as well and set the flag again at any moment.
func TestAnotherProgramSetsTheFlag(t *testing.T) {
	m, s := folder(t)
	host := put(t, m, efivarfs.RootfsStatusSlotA.String(), "\x07\x00\x00\x00\x00\x00\x00\x00")
	immutable(t, host)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-stop:
				return
			default:
				_ = exec.Command("chattr", "+i", host).Run()
			}
		}
	}()
	for i := 0; i < 100; i++ {
		if err := s.Write(efivarfs.RootfsStatusSlotA, all, []byte{byte(i + 1), 0, 0, 0}); err != nil {
			t.Errorf("write %d: %v", i, err)
			break
		}
	}
	close(stop)
	wg.Wait()
	if !isImmutable(t, host) {
		t.Error("the flag was lost")
	}
}

// Without the privilege the flag stays, the error is "permission", and the value is the old one.
func TestWithoutPrivilege(t *testing.T) {
	m, s := folder(t)
	host := put(t, m, efivarfs.BootNext.String(), "\x07\x00\x00\x00\x01\x00")
	immutable(t, host)
	err := withoutCapabilities(t, func() error { return s.Write(efivarfs.BootNext, all, []byte{2, 0}) })
	if fail.CodeOf(err) != fail.Permission {
		t.Error(err)
	}
	if err := withoutCapabilities(t, func() error { return s.Delete(efivarfs.BootNext) }); fail.CodeOf(err) != fail.Permission {
		t.Error(err)
	}
	if got := bytesOf(t, m, efivarfs.BootNext); got != "\x07\x00\x00\x00\x01\x00" || !isImmutable(t, host) {
		t.Errorf("%x", got)
	}
}
