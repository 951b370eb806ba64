package device_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/device"
)

const holderEnv = "TEGRA_OTA_TEST_HOLD_LOCK"

// TestMain makes the test binary a second process that holds a lock until its standard input ends.
func TestMain(m *testing.M) {
	root := os.Getenv(holderEnv)
	if root == "" {
		os.Exit(m.Run())
	}
	if _, err := device.New(root).Lock(context.Background(), "/run/lock/tegra-ota", 0); err != nil {
		println(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString("locked\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// hold starts the other process and returns how to let it go; it does not unlock, it just ends.
func hold(t *testing.T, root string) (release func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holderEnv+"="+root)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the other process: %q, %v", line, err)
	}
	return func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}
}

func TestLockAcrossProcesses(t *testing.T) {
	root := t.TempDir()
	m := device.New(root)
	release := hold(t, root)

	start := time.Now()
	if _, err := m.Lock(context.Background(), "/run/lock/tegra-ota", 300*time.Millisecond); !errors.Is(err, device.ErrLocked) {
		t.Errorf("held by another: %v", err)
	}
	if took := time.Since(start); took < 300*time.Millisecond || took > 5*time.Second {
		t.Errorf("waited %s", took)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := m.Lock(ctx, "/run/lock/tegra-ota", time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with an ended context: %v", err)
	}

	time.AfterFunc(200*time.Millisecond, release)
	l, err := m.Lock(context.Background(), "/run/lock/tegra-ota", 10*time.Second)
	if err != nil {
		t.Fatalf("after the other ended: %v", err)
	}
	must(t, l.Unlock())
	l, err = m.Lock(context.Background(), "/run/lock/tegra-ota", 0)
	must(t, err)
	must(t, l.Unlock())
}

func TestLockFollowsNoLink(t *testing.T) {
	root := t.TempDir()
	write(t, root, "/victim", "")
	must(t, os.Symlink(root+"/victim", root+"/lock"))
	if l, err := device.New(root).Lock(context.Background(), "/lock", 0); err == nil {
		_ = l.Unlock()
		t.Error("a lock that is a link was followed")
	}
}

// Asking whether the lock is held must not look like holding it: a check that meets another check would call the device busy.
func TestLockedIsNoLock(t *testing.T) {
	root := t.TempDir()
	m := device.New(root)
	if m.Locked("/run/lock/tegra-ota") {
		t.Error("locked before there is a lock")
	}
	release := hold(t, root)
	if !m.Locked("/run/lock/tegra-ota") {
		t.Error("held by another process, and not seen")
	}
	release()
	ask := func(stop <-chan struct{}, seen chan<- int) {
		for n := 0; ; {
			select {
			case <-stop:
				seen <- n
				return
			default:
				if m.Locked("/run/lock/tegra-ota") {
					n++
				}
			}
		}
	}
	stop, seen := make(chan struct{}), make(chan int)
	go ask(stop, seen)
	go ask(stop, seen)
	time.Sleep(200 * time.Millisecond)
	close(stop)
	if n := <-seen + <-seen; n > 0 {
		t.Errorf("those who ask took each other for a holder %d times", n)
	}
	stop = make(chan struct{})
	go ask(stop, seen)
	for i := 0; i < 3; i++ { // one who asks all the time does not keep out one who takes it
		l, err := m.Lock(context.Background(), "/run/lock/tegra-ota", 5*time.Second)
		must(t, err)
		must(t, l.Unlock())
	}
	close(stop)
	<-seen
}
