package esp_test

import (
	"runtime"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/esp"
	"golang.org/x/sys/unix"
)

// withoutCapabilities runs f in a thread that has given up its effective capabilities, CAP_DAC_OVERRIDE among them. The thread
// is not used again.
func withoutCapabilities(t *testing.T, f func() (esp.ESP, error)) (found esp.ESP, err error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
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
		found, err = f()
	}()
	<-done
	return found, err
}
