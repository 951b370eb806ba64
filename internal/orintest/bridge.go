package orintest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Bridge runs tegra-slotd of a folder of executables on a bus, on the device below root, until the test ends, and a monitor that
// listens to it.
func Bridge(t *testing.T, libexec, root, bus string) *Monitor {
	t.Helper()
	command := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(libexec, name), args...)
		c.Env = append(os.Environ(), "TEGRA_OTA_ROOT="+root, "DBUS_SYSTEM_BUS_ADDRESS="+bus)
		return c
	}
	slotd := command("tegra-slotd")
	var log Log
	slotd.Stdout, slotd.Stderr = &log, &log
	if err := slotd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- slotd.Wait() }()
	t.Cleanup(func() {
		_ = slotd.Process.Signal(os.Interrupt)
		if err := <-ended; err != nil {
			t.Errorf("tegra-slotd ends: %v", err)
		}
		if t.Failed() {
			t.Logf("tegra-slotd says:\n%s", log.String())
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if exec.Command("busctl", "--address="+bus, "status", "io.github.tegra_ota.SlotManager").Run() == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("tegra-slotd does not come up:\n%s", log.String())
		}
	}
	return StartMonitor(t, command("tegra-bootctl", "monitor", "--json"))
}

// Passes says that got is want with some of the values in between left out: readings may miss a state that did not last. The first
// and the last are never missed.
func Passes(got, want []string) bool {
	if len(got) == 0 || got[0] != want[0] || got[len(got)-1] != want[len(want)-1] {
		return false
	}
	for _, w := range want {
		if len(got) > 0 && got[0] == w {
			got = got[1:]
		}
	}
	return len(got) == 0
}
