package efivarfs_test

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// withoutCapabilities runs f in a thread that has given up its effective capabilities. The thread is not used again.
func withoutCapabilities(t *testing.T, f func() error) error {
	t.Helper()
	result := make(chan error)
	go func() {
		// Never unlocked: the runtime ends a thread whose goroutine ends locked.
		runtime.LockOSThread()
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&header, &data[0]); err != nil {
			t.Error(err)
		}
		data[0].Effective, data[1].Effective = 0, 0
		if err := unix.Capset(&header, &data[0]); err != nil {
			t.Error(err)
		}
		result <- f()
	}()
	return <-result
}
