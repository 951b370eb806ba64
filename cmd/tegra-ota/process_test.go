package main_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// device makes a virtual Orin.
func device(t *testing.T, options ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "orin")
	mustSucceed(t, nil, "virtual-orin", append([]string{"create", dir}, options...)...)
	return dir
}

// call is an executable that an updater feeds through a pipe.
type call struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  *os.File
	stderr bytes.Buffer
	done   chan error
}

func start(t *testing.T, root, name string, args ...string) *call {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &call{t: t, stdin: w, cmd: exec.Command(filepath.Join(bin, name), args...), done: make(chan error, 1)}
	c.cmd.Env = environment("TEGRA_OTA_ROOT=" + root)
	c.cmd.Stdin, c.cmd.Stderr = r, &c.stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = r.Close() // the call has the only reading end, so a call that stops reading breaks the pipe
	go func() { c.done <- c.cmd.Wait() }()
	t.Cleanup(func() {
		_ = w.Close()
		_ = c.cmd.Process.Kill()
	})
	return c
}

// feed writes like an updater that must not see a broken pipe.
func (c *call) feed(r io.Reader) {
	c.t.Helper()
	if _, err := io.Copy(c.stdin, r); err != nil {
		c.t.Errorf("the feeder: %v", err)
	}
}

// end waits for the call and returns its exit code; -1 when a signal ended it.
func (c *call) end() int {
	c.t.Helper()
	select {
	case err := <-c.done:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			c.t.Fatal(err)
		}
		return c.cmd.ProcessState.ExitCode()
	case <-time.After(30 * time.Second):
		c.t.Fatalf("the call does not end; stderr: %s", c.stderr.String())
		return -1
	}
}

// worker returns the process id of the call's child, which there is before long.
func (c *call) worker() int {
	c.t.Helper()
	children := fmt.Sprintf("/proc/%d/task", c.cmd.Process.Pid)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		tasks, err := filepath.Glob(children + "/*/children")
		if err != nil {
			c.t.Fatal(err)
		}
		for _, task := range tasks {
			var pid int
			b, _ := os.ReadFile(task)
			if _, err := fmt.Sscan(string(b), &pid); err != nil {
				continue
			}
			// Since Go 1.23 the first child of a process is none: os tries out pidfds with one that ends at once (checkPidfd).
			if words, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && strings.Contains(string(words), "\x00--worker\x00") {
				return pid
			}
		}
	}
	c.t.Fatal("the call has no worker")
	return 0
}

func digestOf(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// More than any pipe holds, so that a feeder whose reader stopped would be stuck or hit.
const plenty = 8 << 20

func TestStdinIsDrainedAfterAnEarlyError(t *testing.T) {
	orin := device(t, "--app-size", "4M")
	for _, tt := range []struct {
		name string
		args []string
		want int
	}{
		{"tegra-image", []string{"install", "--partition", "APP"}, 64},
		{"tegra-image", []string{"install", "--partition", "nothing", "-"}, 64},
		{"tegra-image", []string{"install", "--partition", "APP", "--size", "8388608", "--sha256", strings.Repeat("0", 64)}, 69},
		{"tegra-image", []string{"install", "--partition", "APP", "--size", "100", "--sha256", strings.Repeat("0", 64)}, 65},
		{"tegra-image", []string{"install", "--partition", "APP", "--config", "/absent.toml"}, 64},
		{"tegra-bup", []string{"install"}, 65},
		{"tegra-bup", []string{"install", "--root", "/nonexistent"}, 69},
		{"tegra-bup", []string{"install", "--update", "x", "-"}, 65},
	} {
		t.Run(tt.name+" "+strings.Join(tt.args, " "), func(t *testing.T) {
			c := start(t, orin, tt.name, tt.args...)
			c.feed(bytes.NewReader(make([]byte, plenty)))
			// The call ends with its input and not before.
			select {
			case <-c.done:
				t.Fatalf("it ended before its input did: %s", c.stderr.String())
			case <-time.After(300 * time.Millisecond):
			}
			_ = c.stdin.Close()
			if got := c.end(); got != tt.want {
				t.Errorf("exit %d, want %d: %s", got, tt.want, c.stderr.String())
			}
			if strings.Count(c.stderr.String(), "\n") != 1 {
				t.Errorf("stderr is not one line: %q", c.stderr.String())
			}
		})
	}
}

// SWUpdate's sockets are not close-on-exec. A call that keeps them keeps a truncated update from ever ending.
func TestInheritedDescriptorsAreClosed(t *testing.T) {
	orin := device(t, "--app-size", "4M")
	for _, stream := range []bool{true, false} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		args := []string{"install", "--partition", "APP", "--size", "1048576", "--sha256", strings.Repeat("0", 64)}
		file := filepath.Join(t.TempDir(), "fifo")
		if !stream { // a FIFO as FILE has no worker, and blocks the call as long as the test wants
			if err := unix.Mkfifo(file, 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, file)
		}
		cmd := exec.Command(filepath.Join(bin, "tegra-image"), args...)
		cmd.Env = environment("TEGRA_OTA_ROOT=" + orin)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.ExtraFiles = []*os.File{w, w} // descriptors 3 and 4, not close-on-exec in the child
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		ended := make(chan error, 1)
		go func() {
			_, err := r.Read(make([]byte, 1))
			ended <- err
		}()
		select {
		case err := <-ended:
			if !errors.Is(err, io.EOF) {
				t.Errorf("stream %t: %v, want the end of the file", stream, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("stream %t: the call keeps its caller's pipe open", stream)
		}
		_ = stdin.Close()
		if !stream {
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
		}
		_ = cmd.Wait()
	}
}
