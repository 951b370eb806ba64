package rauc

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/bustest"
	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// machine is what the real rauc runs on: two slots, a boot backend of a few lines, and a bus.
type machine struct {
	dir    string
	bus    *bustest.Bus
	bundle string
	log    string
	rauc   *exec.Cmd
	done   chan struct{} // closed when the service has ended
}

// systemConf is RAUC's. Bundles are plain, because not every kernel that runs tests has dm-verity.
const systemConf = `[system]
compatible=test
bootloader=custom
mountprefix=%[1]s/mnt
statusfile=%[1]s/status
[keyring]
path=%[1]s/cert.pem
[handlers]
bootloader-custom-backend=%[1]s/backend
[slot.rootfs.0]
device=%[1]s/slot0
type=raw
bootname=A
[slot.rootfs.1]
device=%[2]s
type=raw
bootname=B
`

// backend is the boot backend. A gate, where there is one, holds set-state, which is called before the slot is written.
const backend = `#!/bin/sh
d=${0%/*}
case $1 in
get-primary) echo A ;;
get-state) echo good ;;
set-state)
	: >"$d/at-gate"
	while [ -e "$d/gate" ]; do sleep 0.02; done
	[ ! -e "$d/broken" ] ;;
esac
`

// newMachine lays out a machine and starts rauc's service. The second slot is a loop device: RAUC asks its size of the kernel.
func newMachine(t *testing.T) *machine {
	t.Helper()
	if err := orintest.Refuse(orintest.Missing("rauc", "dbus-daemon", "mksquashfs", "openssl", "losetup", "unshare")); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "rauc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &machine{dir: dir, bundle: filepath.Join(dir, "bundle.raucb"), log: filepath.Join(dir, "service.log")}
	for _, slot := range []string{"slot0", "slot1"} {
		m.write(t, slot, string(make([]byte, 1<<20)), 0o644)
	}
	node := strings.TrimSpace(m.tool(t, "losetup", "-f", "--show", m.path("slot1")))
	t.Cleanup(func() { m.tool(t, "losetup", "-d", node) })
	m.write(t, "system.conf", fmt.Sprintf(systemConf, dir, node), 0o644)
	m.write(t, "backend", backend, 0o755)
	m.tool(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-keyout", m.path("key.pem"),
		"-out", m.path("cert.pem"))
	for _, sub := range []string{"mnt", "in"} {
		if err := os.Mkdir(m.path(sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	image := make([]byte, 256<<10)
	_, _ = rand.Read(image)
	m.write(t, "in/rootfs.img", string(image), 0o644)
	m.write(t, "in/manifest.raucm", "[update]\ncompatible=test\n[image.rootfs]\nfilename=rootfs.img\n", 0o644)
	m.tool(t, "rauc", "--cert="+m.path("cert.pem"), "--key="+m.path("key.pem"), "bundle", m.path("in"), m.bundle)
	m.bus = bustest.Start(t, bustest.Options{Open: true})
	m.start(t)
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(m.path(name), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(m.path(name)); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// start runs the service, in a mount namespace of its own: what it mounted goes when it does.
func (m *machine) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c := m.bus.Command("unshare", "--mount", "--propagation", "slave", "rauc", "--conf="+m.path("system.conf"), "service",
		"--override-boot-slot=A")
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = c.Wait()
		close(done)
	}()
	m.rauc, m.done = c, done
	t.Cleanup(m.kill)
	t.Cleanup(func() {
		if said, err := os.ReadFile(m.log); err == nil && t.Failed() {
			t.Logf("rauc service says:\n%s", said)
		}
	})
	conn := m.bus.Connect(t)
	m.wait(t, "rauc service", func() bool {
		var owned bool
		return conn.BusObject().Call(bus+".NameHasOwner", 0, service).Store(&owned) == nil && owned
	})
}

// kill takes the power from the service and all that it started.
func (m *machine) kill() {
	_ = syscall.Kill(-m.rauc.Process.Pid, syscall.SIGKILL)
	<-m.done
}

func (m *machine) wait(t *testing.T, what string, come func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !come(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// client is rauc's command line.
func (m *machine) client(args ...string) *exec.Cmd {
	return m.bus.Command("rauc", append([]string{"--conf=" + m.path("system.conf")}, args...)...)
}

// runs fails unless rauc's command line exits with code.
func (m *machine) runs(t *testing.T, code int, args ...string) string {
	t.Helper()
	got, stdout, stderr := orintest.Run(t, m.client(args...))
	if got != code {
		t.Fatalf("rauc %v exits %d, want %d:\n%s%s", args, got, code, stdout, stderr)
	}
	return stdout + stderr
}

// halfway starts an install that waits before it writes.
func (m *machine) halfway(t *testing.T) *exec.Cmd {
	t.Helper()
	_ = os.Remove(m.path("at-gate"))
	m.write(t, "gate", "", 0o644)
	c := m.client("install", m.bundle)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	m.wait(t, "set-state", func() bool {
		_, err := os.Stat(m.path("at-gate"))
		return err == nil
	})
	return c
}
