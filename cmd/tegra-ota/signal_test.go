package main_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWorkerThatDiesIsAnInternalError(t *testing.T) {
	orin := device(t, "--app-size", "16M")
	image := bytes.Repeat([]byte("0123456789abcdef"), plenty/16)
	c := start(t, orin, "tegra-image", "install", "--partition", "APP", "--size", fmt.Sprint(len(image)), "--sha256", digestOf(image))
	c.feed(bytes.NewReader(image[:len(image)/2]))
	if err := unix.Kill(c.worker(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.feed(bytes.NewReader(image[len(image)/2:]))
	_ = c.stdin.Close()
	if got := c.end(); got != 70 {
		t.Errorf("exit %d, want 70: %s", got, c.stderr.String())
	}
	if want := "tegra-image: cannot finish: the worker died: signal: killed\n"; c.stderr.String() != want {
		t.Errorf("stderr %q, want %q", c.stderr.String(), want)
	}
	// The target is marked, and the next install is the cure, without an abort.
	if s := mustSucceed(t, []string{"TEGRA_OTA_ROOT=" + orin}, "tegra-bootctl", "status"); !strings.Contains(s, "may be half written") {
		t.Errorf("status says nothing of the torn slot:\n%s", s)
	}
	file := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(file, image, 0o644); err != nil {
		t.Fatal(err)
	}
	mustSucceed(t, []string{"TEGRA_OTA_ROOT=" + orin}, "tegra-image", "install", "--partition", "APP", file)
	mustSucceed(t, []string{"TEGRA_OTA_ROOT=" + orin}, "tegra-bootctl", "activate")
}

// The feeder stalls while the call is told to end: the worker must not wait for input that does not come.
func TestSIGTERMEndsTheWorkerToo(t *testing.T) {
	capsule := filepath.Join(t.TempDir(), "new.Cap")
	mustSucceed(t, nil, "virtual-orin", "capsule", "-o", capsule, "--l4t", "36.4.3", "--size-per-image", "128K")
	firmware, err := os.ReadFile(capsule)
	if err != nil {
		t.Fatal(err)
	}
	image := bytes.Repeat([]byte("0123456789abcdef"), plenty/16)
	for _, tt := range []struct {
		name  string
		input []byte
		part  float64
		args  []string
	}{
		{"tegra-image", image, 0.5, []string{"install", "--partition", "APP", "--size", fmt.Sprint(len(image)), "--sha256", digestOf(image)}},
		{"tegra-image", image, 0, []string{"install", "--partition", "APP", "--size", fmt.Sprint(len(image)), "--sha256", digestOf(image)}},
		{"tegra-bup", firmware, 0.5, []string{"install"}},
		{"tegra-bup", firmware, 0, []string{"install"}},
	} {
		for _, whom := range []string{"the call", "the feeder by SIGKILL"} {
			t.Run(fmt.Sprintf("%s at %.1f, %s", tt.name, tt.part, whom), func(t *testing.T) {
				orin := device(t, "--app-size", "16M")
				c := start(t, orin, tt.name, tt.args...)
				c.feed(bytes.NewReader(tt.input[:int(float64(len(tt.input))*tt.part)]))
				worker := c.worker()
				time.Sleep(200 * time.Millisecond) // let it come to where it waits
				sig := unix.SIGTERM
				if whom != "the call" {
					sig = unix.SIGKILL
				}
				if err := c.cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				if got := c.end(); sig == unix.SIGTERM && got != 74 {
					t.Errorf("exit %d, want 74: %s", got, c.stderr.String())
				}
				for deadline := time.Now().Add(10 * time.Second); unix.Kill(worker, 0) == nil; time.Sleep(10 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatal("the worker lives on")
					}
				}
				env := []string{"TEGRA_OTA_ROOT=" + orin}
				// Neither lock nor half a capsule is left, and the update works at once.
				if _, err := os.Stat(filepath.Join(orin, "boot/efi/EFI/tegra-ota/incoming.tmp")); err == nil && sig == unix.SIGTERM {
					t.Error("half a capsule is left on the ESP")
				}
				mustSucceed(t, env, "tegra-bootctl", "check")
				mustSucceed(t, env, "tegra-bup", "install", capsule)
				mustSucceed(t, env, "tegra-bootctl", "abort")
			})
		}
	}
}

// A file needs no second process.
func TestFileNeedsNoWorker(t *testing.T) {
	orin := device(t, "--app-size", "4M")
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, orin, "tegra-bup", "install", fifo)
	time.Sleep(300 * time.Millisecond)
	if tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", c.cmd.Process.Pid)); len(tasks) == 0 {
		t.Error("the call is not running")
	} else {
		for _, task := range tasks {
			if b, _ := os.ReadFile(task); len(bytes.TrimSpace(b)) > 0 {
				t.Errorf("it has a child: %s", b)
			}
		}
	}
	f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if got := c.end(); got != 65 {
		t.Errorf("exit %d, want 65: %s", got, c.stderr.String())
	}
}
