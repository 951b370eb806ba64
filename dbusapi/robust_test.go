package dbusapi_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/dbusapi"
	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// Files of the device.
const (
	bootChainNext = "sys/firmware/efi/efivars/BootChainFwNext-781e084c-a330-417c-b678-38e696380cb9"
	retriesB      = "sys/devices/platform/bus@0/c360000.pmc/rootfs_retry_count_b"
	journalFile   = "data/tegra-ota/journal.json"
)

// The bus goes, for a while, and comes back: so does the service, with what changed meanwhile, and it tells what changes later.
func TestBusRestart(t *testing.T) {
	for _, tt := range []struct {
		name  string
		pause time.Duration
	}{{"at once", 0}, {"after a while", 3 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			r := started(t)
			r.is("NextSlot", `s "A"`)
			r.bus.Stop()
			r.run("tegra-bootctl", "activate", "b")
			time.Sleep(tt.pause)
			r.bus.Restart(t)
			began := time.Now()
			r.named()
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("the service came back after %v", took)
			}
			if got := r.property(manager, dbusapi.BusName, "NextSlot"); got != `s "B"` && tt.pause > 0 { // with its name it has its values
				t.Errorf("NextSlot %s", got)
			}
			r.is("NextSlot", `s "B"`)
			rec := r.record()
			r.run("tegra-bootctl", "activate", "a")
			r.is("NextSlot", `s "A"`)
			if all := strings.Join(texts(rec.news()), "\n"); !strings.Contains(all, "SlotSwitched[A]") {
				t.Errorf("after the restart it tells\n%s", all)
			}
			r.answers("Commit")
		})
	}
}

// The service is killed and started again; who watches the name sees that.
func TestServiceRestart(t *testing.T) {
	r := started(t)
	c := r.bus.Command("gdbus", "monitor", "--system", "--dest", dbusapi.BusName)
	var out orintest.Log
	c.Stdout = &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	r.wait("gdbus monitor", func() bool { return strings.Contains(out.String(), "is owned by") })
	r.kill()
	r.wait("its end", func() bool { return strings.Contains(out.String(), "does not have an owner") })
	r.run("tegra-bootctl", "activate", "b")
	r.start()
	if got := r.property(manager, dbusapi.BusName, "NextSlot"); got != `s "B"` {
		t.Errorf("NextSlot %s", got)
	}
	r.wait("its start", func() bool { return strings.Count(out.String(), "is owned by") == 2 })
}

// slotdExits runs tegra-slotd where it cannot serve.
func (r *rig) slotdExits(code int, sentence string) {
	r.t.Helper()
	c := r.bus.Command("timeout", "20", filepath.Join(suite.bin, "tegra-slotd"), "--root", r.dir)
	got, out, log := orintest.Run(r.t, c)
	if got != code || out != "" || !strings.Contains(log, sentence) {
		r.t.Errorf("exit %d, want %d with %q: %s%s", got, code, sentence, out, log)
	}
}

// What keeps it from serving it says, with an exit code.
func TestCannotServe(t *testing.T) {
	r := started(t)
	r.slotdExits(75, "cannot take the name "+dbusapi.BusName+" on the bus: another tegra-slotd has it")
	r.answers("Commit") // the first one goes on
	r.kill()
	config := r.read("etc/tegra-ota/config.toml")
	r.put("etc/tegra-ota/config.toml", "[dbus\n")
	r.slotdExits(64, "/etc/tegra-ota/config.toml")
	r.put("etc/tegra-ota/config.toml", "[dbus]\ngroups = \"x\"\n")
	r.slotdExits(64, "groups")
	r.put("etc/tegra-ota/config.toml", config)
	r.bus.Stop()
	r.slotdExits(69, "cannot reach the system bus")
}

// It ends when it is told to: at once, with exit 0, whatever the bus does meanwhile.
func TestTermination(t *testing.T) {
	for _, tt := range []struct {
		name   string
		signal syscall.Signal
		before func(r *rig)
		within time.Duration
	}{
		{"SIGTERM", syscall.SIGTERM, func(*rig) {}, time.Second},
		{"SIGINT", syscall.SIGINT, func(*rig) {}, time.Second},
		{"without a bus", syscall.SIGTERM, func(r *rig) { r.bus.Stop(); time.Sleep(500 * time.Millisecond) }, time.Second},
		{"with a bus that stands still", syscall.SIGTERM, func(r *rig) { r.freeze() }, 4 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := started(t)
			tt.before(r)
			began := time.Now()
			if err := r.slotd.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-r.ended:
				r.ended <- err // for kill
				if err != nil || time.Since(began) > tt.within {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			case <-time.After(20 * time.Second):
				t.Error("it does not end")
			}
			if tt.name == "SIGTERM" && r.bus.Command("busctl", "--system", "status", dbusapi.BusName).Run() == nil {
				t.Error("the name is still taken")
			}
		})
	}
}

// freeze stops this test's dbus-daemon, which is killed in the end all the same.
func (r *rig) freeze() {
	r.t.Helper()
	var pid uint32
	const bus = "org.freedesktop.DBus"
	if err := r.bus.Connect(r.t).BusObject().Call(bus+".GetConnectionUnixProcessID", 0, bus).Store(&pid); err != nil {
		r.t.Fatal(err)
	}
	if err := syscall.Kill(int(pid), syscall.SIGSTOP); err != nil {
		r.t.Fatal(err)
	}
}

// What changes is noticed, whoever changed it, and nobody had to ask for it.
func TestNotices(t *testing.T) {
	r := started(t)
	verify := filepath.Join(suite.bin, "tegra-boot-verify")
	journal := ""
	for _, tt := range []struct {
		what             string
		change           func()
		path, name, want string
	}{
		{"a variable, by hand", func() { r.put(bootChainNext, "\x07\x00\x00\x00\x01\x00\x00\x00") }, manager, "NextSlot", `s "B"`},
		{"its end", func() { r.remove(bootChainNext) }, manager, "NextSlot", `s "A"`},
		{"a count of the kernel's", func() { r.put(retriesB, "1\n") }, slotB, "Retries", "i 1"},
		{"the stamp's end", func() { r.remove("run/tegra-ota/committed") }, manager, "Committed", "b false"},
		{"the stamp", func() { r.put("run/tegra-ota/committed", "") }, manager, "Committed", "b true"},
		{"activate", func() { r.run("tegra-bootctl", "activate", "b") }, manager, "UpdateState", `s "activated"`},
		{"rollback", func() { journal = r.read(journalFile); r.run("tegra-bootctl", "rollback") }, manager, "UpdateState", `s "failed"`},
		{"a journal, by rename", func() {
			r.put("data/other", journal)
			if err := os.Rename(r.path("data/other"), r.path(journalFile)); err != nil {
				t.Error(err)
			}
		}, manager, "UpdateState", `s "activated"`},
		{"rollback again", func() { r.run("tegra-bootctl", "rollback") }, manager, "UpdateState", `s "failed"`},
		{"an install", func() { r.run("tegra-bup", "install", r.capsule("36.4.3")) }, manager, "UpdateState", `s "staged"`},
		{"its end", func() { r.run("tegra-bup", "abort") }, manager, "UpdateState", `s "failed"`},
		{"its reason", func() {}, manager, "LastError", `s "` + "aborted" + `"`},
		{"another switch", func() { r.run("tegra-bootctl", "activate", "b") }, manager, "NextSlot", `s "B"`},
		{"a boot", func() { r.run("virtual-orin", "boot", r.dir, "--userspace", verify+" count") }, manager, "CurrentSlot", `s "B"`},
		{"a commit", func() { r.run("tegra-bootctl", "commit") }, manager, "UpdateState", `s "committed"`},
	} {
		tt.change()
		face := map[bool]string{true: dbusapi.BusName, false: slotFace}[tt.path == manager]
		began, got := time.Now(), ""
		for time.Since(began) < 1500*time.Millisecond { // 1 s, and what a loaded machine adds
			if got = r.property(tt.path, face, tt.name); got == tt.want {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if got != tt.want {
			t.Errorf("%s: %s is %s, want %s", tt.what, tt.name, got, tt.want)
		}
	}
}

func (r *rig) remove(p string) {
	r.t.Helper()
	if err := os.RemoveAll(r.path(p)); err != nil {
		r.t.Fatal(err)
	}
}
