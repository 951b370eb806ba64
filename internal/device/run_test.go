package device_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"golang.org/x/sys/unix"
)

// script makes a program below root.
func script(t *testing.T, root, path, body string) {
	t.Helper()
	write(t, root, path, "#!/bin/sh\n"+body)
	must(t, os.Chmod(filepath.Join(root, path), 0o755))
}

func TestRun(t *testing.T) {
	root := t.TempDir()
	script(t, root, "/usr/sbin/tool", `echo "out $1 $LC_ALL $HOME $EXTRA"; echo err >&2; exit 64`)
	t.Setenv("HOME", "must not leak")
	m := device.New(root)
	res, err := m.Run(context.Background(), device.Command{Path: "/usr/sbin/tool", Args: []string{"a b"}, Env: []string{"EXTRA=x"}})
	must(t, err)
	if res.Stdout != "out a b C  x\n" || res.Stderr != "err\n" || res.ExitCode != 64 {
		t.Errorf("%+v", res)
	}
	if _, err := m.Run(context.Background(), device.Command{Path: "/usr/sbin/absent"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent program: %v", err)
	}
}

func TestRunReportsASignal(t *testing.T) {
	root := t.TempDir()
	script(t, root, "/tool", `kill -9 $$`)
	res, err := device.New(root).Run(context.Background(), device.Command{Path: "/tool"})
	if err != nil || res.ExitCode != -1 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestRunKeepsTheEndOfLongOutput(t *testing.T) {
	root := t.TempDir()
	script(t, root, "/tool", `i=0; while [ $i -lt 3000 ]; do echo "line $i ........................................"; i=$((i+1)); done; echo last`)
	res, err := device.New(root).Run(context.Background(), device.Command{Path: "/tool"})
	must(t, err)
	if len(res.Stdout) != 64<<10 || !strings.HasSuffix(res.Stdout, "last\n") {
		t.Errorf("%d bytes, end %q", len(res.Stdout), res.Stdout[len(res.Stdout)-10:])
	}
}

// A timeout ends the program and what it started: a child that goes on writing firmware after its parent was given up on would
// race with the next attempt.
func TestRunTimeoutKillsTheGroup(t *testing.T) {
	root := t.TempDir()
	pidFile := filepath.Join(root, "pid")
	script(t, root, "/tool", `sleep 600 & echo $! > `+pidFile+`; echo started; wait`)
	start := time.Now()
	res, err := device.New(root).Run(context.Background(), device.Command{Path: "/tool", Timeout: 500 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "500ms") {
		t.Errorf("error %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	if res.Stdout != "started\n" {
		t.Errorf("output before the timeout: %q", res.Stdout)
	}
	text, err := os.ReadFile(pidFile)
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(t, err)
	// The child is an orphan now; whoever adopts it may take a moment to reap it, so a zombie counts as dead.
	for i := 0; ; i++ {
		if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			return
		}
		if stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil && strings.Contains(string(stat), ") Z ") {
			return
		}
		if i == 100 {
			t.Fatalf("child %d survived the timeout", pid)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	root := t.TempDir()
	script(t, root, "/tool", `exec sleep 600`)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(200*time.Millisecond, cancel)
	_, err := device.New(root).Run(ctx, device.Command{Path: "/tool"})
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "after 0s") {
		t.Error(err)
	}
}

// A daemon that the program leaves behind, with its output still open, does not hold Run up.
func TestRunDoesNotWaitForDaemons(t *testing.T) {
	root := t.TempDir()
	script(t, root, "/tool", `sleep 20 & echo $!`)
	start := time.Now()
	res, err := device.New(root).Run(context.Background(), device.Command{Path: "/tool"})
	if pid, perr := strconv.Atoi(strings.TrimSpace(res.Stdout)); perr == nil {
		defer func() { _ = unix.Kill(pid, unix.SIGKILL) }()
	}
	if err != nil || res.ExitCode != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}
