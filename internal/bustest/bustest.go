// Package bustest gives a test a D-Bus of its own: a real dbus-daemon on a private socket.
package bustest

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// startup is what a loaded machine is given until dbus-daemon listens.
const startup = 20 * time.Second

// Options say what the bus is to be.
type Options struct {
	Policies    []string // policy files, and folders of them, as in /usr/share/dbus-1/system.d
	ServiceDirs []string // folders of activation files
	Open        bool     // everybody may do everything; else the rules are those of Debian's system bus
}

// Bus is a running dbus-daemon.
type Bus struct {
	Address string // unix:path=...

	dir    string
	daemon *exec.Cmd // nil while it is stopped
}

// Start starts a bus, which ends with the test.
func Start(t *testing.T, o Options) *Bus {
	t.Helper()
	// Not t.TempDir: a socket's path must be shorter than 108 bytes.
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // other users connect as well
		t.Fatal(err)
	}
	b := &Bus{Address: "unix:path=" + filepath.Join(dir, "socket"), dir: dir}
	conf, err := configuration(o, b.Address)
	if err != nil {
		t.Fatalf("cannot configure a bus: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bus.conf"), conf, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Stop()
		if said, err := os.ReadFile(filepath.Join(dir, "log")); err == nil && t.Failed() {
			t.Logf("dbus-daemon says:\n%s", said)
		}
	})
	b.Restart(t)
	return b
}

// Stop kills the bus, and what it activated.
func (b *Bus) Stop() {
	if b.daemon == nil {
		return
	}
	_ = syscall.Kill(-b.daemon.Process.Pid, syscall.SIGKILL) // its group: a service that it activated need not watch the bus
	_ = b.daemon.Wait()
	b.daemon = nil
}

// Restart starts a new bus at the same address, once the old one is gone.
func (b *Bus) Restart(t *testing.T) {
	t.Helper()
	b.Stop()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Fatalf("no dbus-daemon on this machine (package dbus): %v", err)
	}
	log, err := os.OpenFile(filepath.Join(b.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ready, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	// It prints its address when it listens. A configuration that it does not understand ends it.
	c := exec.Command(program, "--nofork", "--nopidfile", "--nosyslog", "--print-address=3",
		"--config-file="+filepath.Join(b.dir, "bus.conf"))
	c.Stderr, c.ExtraFiles = log, []*os.File{out}
	// It ends with the test, also with one that panics or runs out of time, where no Cleanup runs.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err = c.Start()
	_ = out.Close()
	if err != nil {
		t.Fatalf("cannot start a bus: %v", err)
	}
	b.daemon = c
	if err := listens(ready); err != nil {
		b.Stop()
		said, _ := os.ReadFile(filepath.Join(b.dir, "log"))
		t.Fatalf("the bus does not start: %v\n%s", err, said)
	}
}

// listens waits for the line with the address.
func listens(ready *os.File) error {
	if err := ready.SetReadDeadline(time.Now().Add(startup)); err != nil {
		return err
	}
	b := make([]byte, 512)
	n, err := ready.Read(b)
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("dbus-daemon ended")
	case err != nil:
		return err
	case !strings.HasPrefix(string(b[:n]), "unix:path="):
		return errors.New("dbus-daemon says " + string(b[:n]))
	}
	return nil
}

// Connect returns a connection that delivers signals in order. It is closed when the test ends.
func (b *Bus) Connect(t *testing.T) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(b.Address, dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	if err != nil {
		t.Fatalf("cannot connect to the bus: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Command is a program for which this is the system's bus and the session's.
func (b *Bus) Command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+b.Address, "DBUS_SESSION_BUS_ADDRESS="+b.Address)
	return c
}

// CommandAs is the same, run by another user; it takes root. Nobody is 65534, and can run what lies in /usr, but not a test's own
// executable, which the go command puts into a private folder.
func (b *Bus) CommandAs(uid, gid int, name string, args ...string) *exec.Cmd {
	c := b.Command(name, args...)
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return c
}
