package mtd

import (
	"fmt"
	"io"
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// node is a character device of the kernel's. The numbers of the ioctls and the layout of their arguments are the same on arm,
// arm64 and amd64 (include/uapi/mtd/mtd-abi.h).
type node struct {
	f    *os.File
	info Info
}

// kernel asks an open character device what it is; one that is no MTD device answers ENOTTY.
func kernel(f *os.File) (Driver, error) {
	var i unix.MtdInfo
	if _, err := ioctl(f, unix.MEMGETINFO, unsafe.Pointer(&i)); err != nil {
		return nil, fmt.Errorf("MEMGETINFO: %w", err)
	}
	return &node{f: f, info: Info{
		Type: i.Type, Flags: i.Flags, Size: int64(i.Size), EraseSize: int64(i.Erasesize), WriteSize: int64(i.Writesize),
	}}, nil
}

func (n *node) Info() Info { return n.info }

func (n *node) Close() error { return n.f.Close() }

func (n *node) ReadAt(p []byte, off int64) (int, error) {
	for done := 0; done < len(p); {
		got, err := again(func() (int, error) { return unix.Pread(int(n.f.Fd()), p[done:], off+int64(done)) })
		if err != nil {
			return done, err
		}
		if got <= 0 {
			return done, io.EOF
		}
		done += got
	}
	return len(p), nil
}

// WriteAt is one pwrite: os.File's would go on after a short count and then report that nothing was written.
func (n *node) WriteAt(p []byte, off int64) (int, error) {
	return again(func() (int, error) { return unix.Pwrite(int(n.f.Fd()), p, off) })
}

func (n *node) MemErase(off, length int64) error { return n.ranged(unix.MEMERASE, off, length) }

func (n *node) MemUnlock(off, length int64) error { return n.ranged(unix.MEMUNLOCK, off, length) }

// ranged calls an ioctl that takes a range of 32-bit numbers. MEMGETINFO's size is one as well.
func (n *node) ranged(request uint, off, length int64) error {
	if off < 0 || length < 0 || off > math.MaxUint32 || length > math.MaxUint32 {
		return unix.EINVAL
	}
	r := unix.EraseInfo{Start: uint32(off), Length: uint32(length)}
	_, err := again(func() (int, error) { return ioctl(n.f, request, unsafe.Pointer(&r)) })
	return err
}

func ioctl(f *os.File, request uint, argument unsafe.Pointer) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), uintptr(argument))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// again repeats what a signal interrupted before it did anything; the Go runtime sends itself signals. Erasing and programming the
// same once more does no harm to NOR flash.
func again(do func() (int, error)) (int, error) {
	for {
		n, err := do()
		if err != unix.EINTR {
			return n, err
		}
	}
}
