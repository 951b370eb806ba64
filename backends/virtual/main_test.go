package virtual_test

import (
	"os"
	"testing"
)

// TestMain moves the devices to memory where the host has a tmpfs: making files is most of the time of these tests.
func TestMain(m *testing.M) {
	const memory = "/dev/shm"
	if dir, err := os.MkdirTemp(memory, "virtual-orin-"); err == nil {
		os.Remove(dir)
		os.Setenv("TMPDIR", memory)
	}
	os.Exit(m.Run())
}
