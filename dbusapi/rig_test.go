package dbusapi_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/dbusapi"
	"github.com/tegra-ota/tegra-ota/internal/bustest"
	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

const (
	manager      = "/io/github/tegra_ota/SlotManager"
	slotA, slotB = manager + "/slot/A", manager + "/slot/B"
	slotFace     = "io.github.tegra_ota.Slot"
	accessDenied = "org.freedesktop.DBus.Error.AccessDenied"
)

// rig is a virtual Orin with tegra-slotd on a bus.
type rig struct {
	t   *testing.T
	tmp string
	dir string // the device
	bus *bustest.Bus

	slotd *exec.Cmd // nil while it does not run
	ended chan error
	log   orintest.Log
}

// newRig makes a device that runs from slot A, committed, and a bus with the policy that is installed. tegra-slotd does not run yet.
func newRig(t *testing.T, change ...func(*bustest.Options)) *rig {
	t.Helper()
	t.Parallel()
	programs(t)
	tmp, err := os.MkdirTemp("", "slotd") // not t.TempDir: sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	if err := os.Chmod(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	o := bustest.Options{Policies: []string{filepath.Join(suite.source, "init/dbus/io.github.tegra_ota.SlotManager.conf")}}
	for _, c := range change {
		c(&o)
	}
	r := &rig{t: t, tmp: tmp, dir: filepath.Join(tmp, "orin"), bus: bustest.Start(t, o)}
	r.run("virtual-orin", "create", r.dir)
	r.run("tegra-bootctl", "commit")
	// SWUpdate of this machine is none of the device's.
	r.put("etc/tegra-ota/config.toml", "[dbus]\nswupdate_progress = [\"/run/swupdate/swupdateprog\"]\n")
	return r
}

func openBus(o *bustest.Options) { o.Open = true }

// started is newRig with tegra-slotd running.
func started(t *testing.T, change ...func(*bustest.Options)) *rig {
	t.Helper()
	r := newRig(t, change...)
	r.start()
	return r
}

// start runs tegra-slotd and waits until it has its name.
func (r *rig) start(wrapper ...string) {
	r.t.Helper()
	args := append(wrapper, filepath.Join(suite.bin, "tegra-slotd"), "--root", r.dir, "--log-level", "debug")
	r.slotd = r.bus.Command(args[0], args[1:]...)
	r.slotd.Stdout, r.slotd.Stderr = &r.log, &r.log
	r.slotd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.slotd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	r.ended = ended
	go func(c *exec.Cmd) { ended <- c.Wait() }(r.slotd)
	r.t.Cleanup(func() {
		r.kill()
		if r.t.Failed() {
			r.t.Logf("tegra-slotd says:\n%s", r.log.String())
		}
	})
	r.named()
}

// named waits until the service has its name.
func (r *rig) named() {
	r.t.Helper()
	r.wait("the service", func() bool {
		select {
		case err := <-r.ended:
			r.t.Fatalf("tegra-slotd ends: %v\n%s", err, r.log.String())
		default:
		}
		return r.bus.Command("busctl", "--system", "status", dbusapi.BusName).Run() == nil
	})
}

// kill takes the power from the service.
func (r *rig) kill() {
	if r.slotd != nil {
		_ = syscall.Kill(-r.slotd.Process.Pid, syscall.SIGKILL)
		<-r.ended
		r.slotd = nil
	}
}

// run runs an executable on the device and returns its stdout.
func (r *rig) run(name string, args ...string) string {
	r.t.Helper()
	code, out, log := r.try(name, args...)
	if code != 0 {
		r.t.Fatalf("%s %v exits %d: %s%s", name, args, code, out, log)
	}
	return out
}

// try is run for a program that may fail.
func (r *rig) try(name string, args ...string) (code int, stdout, stderr string) {
	r.t.Helper()
	c := exec.Command(filepath.Join(suite.bin, name), args...)
	c.Env = append(os.Environ(), "TEGRA_OTA_ROOT="+r.dir)
	return orintest.Run(r.t, c)
}

func (r *rig) path(p string) string { return filepath.Join(r.dir, p) }

func (r *rig) put(p, text string) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Dir(r.path(p)), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(r.path(p), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// capsule makes firmware and returns its file.
func (r *rig) capsule(l4t string) string {
	r.t.Helper()
	file := filepath.Join(r.tmp, l4t+".Cap")
	r.run("virtual-orin", "capsule", "-o", file, "--l4t", l4t)
	return file
}

// boot plays one boot with both of tegra-ota's units.
func (r *rig) boot(args ...string) {
	r.t.Helper()
	verify := filepath.Join(suite.bin, "tegra-boot-verify")
	r.run("virtual-orin", append([]string{"boot", r.dir, "--userspace", verify + " count && " + verify + " run"}, args...)...)
}

// wait fails if something does not come true within 20 s.
func (r *rig) wait(what string, come func() bool) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); !come(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// property reads one with busctl, in its notation: `s "A"`.
func (r *rig) property(path, face, name string) string {
	r.t.Helper()
	code, out, log := orintest.Run(r.t, r.bus.Command("busctl", "--system", "get-property", dbusapi.BusName, path, face, name))
	if code != 0 {
		return "error: " + log
	}
	return strings.TrimSpace(out)
}

// is waits until a property of the manager has a value.
func (r *rig) is(name, want string) {
	r.t.Helper()
	got := ""
	defer func() {
		if got != want {
			r.t.Logf("%s is %s", name, got)
		}
	}()
	r.wait(name+" "+want, func() bool {
		got = r.property(manager, dbusapi.BusName, name)
		return got == want
	})
}

// call calls a method of the manager with busctl and returns its answer, or the error's name and text.
func (r *rig) call(method string, args ...string) (answer, failure string) {
	r.t.Helper()
	return r.answer(r.bus.Command("gdbus", append([]string{"call", "--system", "--timeout", "10", "--dest", dbusapi.BusName,
		"--object-path", manager, "--method", dbusapi.BusName + "." + method}, args...)...))
}

func (r *rig) answer(c *exec.Cmd) (answer, failure string) {
	r.t.Helper()
	code, out, log := orintest.Run(r.t, c)
	if code != 0 {
		return "", strings.TrimSpace(log + out)
	}
	return strings.TrimSpace(out), ""
}

// done is call for a method that has to succeed.
func (r *rig) done(method string, args ...string) string {
	r.t.Helper()
	answer, failure := r.call(method, args...)
	if failure != "" {
		r.t.Fatalf("%s %v: %s", method, args, failure)
	}
	return answer
}

// refused is call for a method that has to fail with an error of ours, and a sentence.
func (r *rig) refused(name, text, method string, args ...string) {
	r.t.Helper()
	answer, failure := r.call(method, args...)
	if !strings.Contains(failure, dbusapi.BusName+".Error."+name) || !strings.Contains(failure, text) {
		r.t.Errorf("%s %v: answer %q, failure %q; want Error.%s: ...%s...", method, args, answer, failure, name, text)
	}
}

// object is the service's object for godbus.
func (r *rig) object(path string) dbus.BusObject {
	r.t.Helper()
	return r.bus.Connect(r.t).Object(dbusapi.BusName, dbus.ObjectPath(path))
}
