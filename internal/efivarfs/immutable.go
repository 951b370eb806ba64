package efivarfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// immutableFlag is FS_IMMUTABLE_FL of linux/fs.h. The kernel sets it on every variable whose loss could brick a machine, which is
// each one with a vendor GUID: at mount, and right after creation.
const immutableFlag = 0x10

// withoutImmutable clears the immutable flag, runs change, and sets the flag again where it was set and the file still is.
// Programs that do the same at the same time set the flag in between, so EPERM is answered by trying again.
func withoutImmutable(host string, change func() error) error {
	wasSet := false
	var err error
	for i := 0; i < attempts; i++ {
		var cleared bool
		if cleared, err = setImmutable(host, false); err == nil || errors.Is(err, fs.ErrNotExist) {
			wasSet = wasSet || cleared
			err = change()
		}
		if !errors.Is(err, unix.EPERM) {
			break
		}
	}
	if wasSet {
		if _, restoreErr := setImmutable(host, true); restoreErr != nil && !errors.Is(restoreErr, fs.ErrNotExist) && err == nil {
			err = fmt.Errorf("cannot protect it again: %w", restoreErr)
		}
	}
	return err
}

// setImmutable sets or clears the flag and says whether that changed anything. File systems without flags (a plain folder on
// tmpfs, say) have nothing to clear and are no error.
func setImmutable(host string, on bool) (bool, error) {
	f, err := os.OpenFile(host, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if lacksFlags(err) {
		return false, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "FS_IOC_GETFLAGS", Path: host, Err: err}
	}
	want := flags &^ immutableFlag
	if on {
		want = flags | immutableFlag
	}
	if want == flags {
		return false, nil
	}
	err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(want))
	if lacksFlags(err) {
		return false, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "FS_IOC_SETFLAGS", Path: host, Err: err}
	}
	return true, nil
}

func lacksFlags(err error) bool {
	return errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS)
}
