package device

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Block is a partition opened for writing: a block device, or a regular file in a folder that stands in for one.
type Block struct {
	m      *Machine
	f      *os.File
	path   string
	size   int64
	device bool
}

// OpenBlock opens a partition exclusively. A block device that is mounted or otherwise in use answers EBUSY (open(2), O_EXCL).
func (m *Machine) OpenBlock(path string) (*Block, error) {
	host, err := m.Resolve(path)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(host)
	if err != nil {
		return nil, err
	}
	isDevice := st.Mode()&fs.ModeDevice != 0 && st.Mode()&fs.ModeCharDevice == 0
	if !isDevice && !st.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: unix.ENOTBLK}
	}
	flags := os.O_RDWR | unix.O_CLOEXEC
	if isDevice {
		flags |= unix.O_EXCL
	}
	f, err := os.OpenFile(host, flags, 0)
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &Block{m: m, f: f, path: path, size: size, device: isDevice}, nil
}

// ReadHead returns the first bytes of a partition, at most n of them, as anybody who reads it now sees them: what was written
// and is not on storage yet is among them.
func (m *Machine) ReadHead(path string, n int64) ([]byte, error) {
	host, err := m.Resolve(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(host, os.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, n))
}

// WriteCount returns a text that is another one after anything was written to a partition and has left the page cache, within
// one boot: the kernel's count of sectors written to a block device (Documentation/block/stat.rst), the time of change of a file
// that stands in for one.
func (m *Machine) WriteCount(path string) (string, error) {
	host, err := m.Resolve(path)
	if err != nil {
		return "", err
	}
	var st unix.Stat_t
	if err := unix.Stat(host, &st); err != nil {
		return "", &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return fmt.Sprintf("%d.%09d", st.Mtim.Sec, st.Mtim.Nsec), nil
	}
	// A node is this kernel's, whatever folder leads to it. A partition has its disk's queue.
	node := fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	for _, queue := range []string{node + "/queue", node + "/../queue"} {
		if counts, err := os.ReadFile(queue + "/iostats"); err == nil && strings.TrimSpace(string(counts)) == "0" {
			return "", &fs.PathError{Op: "count writes", Path: path, Err: unix.EOPNOTSUPP}
		}
	}
	text, err := os.ReadFile(node + "/stat")
	if err != nil {
		return "", err
	}
	const sectorsWritten = 6 // counted from 0
	if fields := strings.Fields(string(text)); len(fields) > sectorsWritten {
		return fields[sectorsWritten], nil
	}
	return "", &fs.PathError{Op: "count writes", Path: path, Err: unix.EINVAL}
}

// Size returns the partition's size in bytes.
func (b *Block) Size() int64 { return b.size }

// WriteAt writes within the partition; it never makes a stand-in file longer, as a real partition cannot grow either.
func (b *Block) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || int64(len(p)) > b.size-off {
		return 0, &fs.PathError{Op: "write", Path: b.path, Err: unix.ENOSPC}
	}
	n := 0
	err := b.m.change(fmt.Sprintf("write %s at %d", b.path, off), func() (*undo, error) {
		var old []byte
		if b.m.tracks() {
			old = make([]byte, len(p))
			if _, err := b.f.ReadAt(old, off); err != nil && !errors.Is(err, io.EOF) {
				return nil, err
			}
		}
		var err error
		n, err = b.f.WriteAt(p, off)
		if !b.m.tracks() {
			return nil, err
		}
		return &undo{file: b.f, block: true, path: b.path, back: func(Loss) { _, _ = b.f.WriteAt(old, off) }}, err
	})
	return n, err
}

// ReadAt reads from the partition.
func (b *Block) ReadAt(p []byte, off int64) (int, error) { return b.f.ReadAt(p, off) }

// Sync puts what was written on storage.
func (b *Block) Sync() error {
	err := b.m.Change("sync "+b.path, b.f.Sync)
	if err == nil {
		b.m.synced(func(u *undo) bool { return u.file == b.f })
	}
	return err
}

// DropCache makes the next reads come from the storage instead of the page cache, so that a read-back compares what a
// reboot would see. Call it after Sync: dirty pages cannot be dropped.
func (b *Block) DropCache() error {
	if b.device {
		// BLKFLSBUF also invalidates the buffer cache (ioctl_blk); FADV_DONTNEED alone is only advice there.
		if err := unix.IoctlSetInt(int(b.f.Fd()), unix.BLKFLSBUF, 0); err != nil {
			return &fs.PathError{Op: "BLKFLSBUF", Path: b.path, Err: err}
		}
	}
	if err := unix.Fadvise(int(b.f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return &fs.PathError{Op: "fadvise", Path: b.path, Err: err}
	}
	return nil
}

// Close releases the partition. With a fault the descriptor stays open, because a later cut has to reach the bytes.
func (b *Block) Close() error {
	if b.m.tracks() {
		return nil
	}
	return b.f.Close()
}

// SameDevice says whether two resolved paths are one storage: the same file, or block nodes with the same numbers.
func SameDevice(a, b string) bool {
	sa, errA := os.Stat(a)
	sb, errB := os.Stat(b)
	if errA != nil || errB != nil {
		return false
	}
	if os.SameFile(sa, sb) {
		return true
	}
	var ua, ub unix.Stat_t
	if unix.Stat(a, &ua) != nil || unix.Stat(b, &ub) != nil {
		return false
	}
	return ua.Mode&unix.S_IFMT == unix.S_IFBLK && ub.Mode&unix.S_IFMT == unix.S_IFBLK && ua.Rdev == ub.Rdev
}
