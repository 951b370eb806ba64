package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// A reader that goes away, or somebody who interrupts, leaves no temporary file and no half an update behind.
func TestNothingIsLeftBehind(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(t *testing.T, c *exec.Cmd)
		args []string
	}{
		"stdout is closed":     {args: []string{"--key", suite.key, "--cert", suite.cert}},
		"interrupted, signing": {end: interrupt, args: []string{"--sign-command", "touch $READY; exec sleep 60", "--cert", suite.cert}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, tmp := releaseFolder(t, "36.4.3", ""), t.TempDir()
			before, _ := os.ReadDir(dir)
			out := filepath.Join(dir, "update.swu")
			c := exec.Command(filepath.Join(suite.bin, "swdesc"), append([]string{"pack", filepath.Join(dir, "release.toml"), "-o", out}, tt.args...)...)
			c.Env = append(os.Environ(), "TMPDIR="+tmp, "READY="+filepath.Join(t.TempDir(), "ready"))
			var log bytes.Buffer
			c.Stderr = &log
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			c.Stdout = w
			_ = r.Close()
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			_ = w.Close()
			if tt.end != nil {
				tt.end(t, c)
			}
			_ = c.Wait()
			if code := c.ProcessState.ExitCode(); code != 74 && code != 69 || strings.Count(log.String(), "\n") != 1 {
				t.Errorf("exit %d: %s", code, log.String())
			}
			if left, _ := os.ReadDir(tmp); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			after, _ := os.ReadDir(dir)
			if want := len(before); tt.end == nil && len(after) != want+1 || tt.end != nil && len(after) != want {
				t.Errorf("%d files before, now %v", want, after)
			}
		})
	}
}

// interrupt waits until the command that signs runs, and interrupts swdesc.
func interrupt(t *testing.T, c *exec.Cmd) {
	t.Helper()
	var ready string
	for _, e := range c.Env {
		if v, ok := strings.CutPrefix(e, "READY="); ok {
			ready = v
		}
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody was asked to sign")
		}
	}
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// A FIFO that nobody writes to is waited for, and the second signal ends the wait.
func TestSecondSignalKills(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "key.pem")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(filepath.Join(suite.bin, "swdesc"), "verify", "x", "--cert", fifo)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = c.Wait(); close(done) }()
	for deadline := time.Now().Add(time.Minute); ; {
		_ = c.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
			return
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("swdesc does not end")
		}
	}
}

// Process substitution hands over a FIFO that somebody does write to.
func TestKeyFromFIFO(t *testing.T) {
	dir := releaseFolder(t, "36.4.3", "")
	c := exec.Command("bash", "-c", `swdesc pack release.toml -o update.swu --key <(cat "$KEY") --cert <(cat "$CERT")`)
	c.Dir, c.Env = dir, append(os.Environ(), "PATH="+suite.bin+":"+os.Getenv("PATH"), "KEY="+suite.key, "CERT="+suite.cert)
	if code, out, log := orintest.Run(t, c); code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, log)
	}
}
