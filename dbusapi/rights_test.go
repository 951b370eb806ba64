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

// nobodys is the number of the user and of the group.
const nobodys = 65534

// changing are the methods that change something; any of them would, on a device that runs from A.
var changing = [][]string{{"Activate", "other"}, {"Commit"}, {"Rollback"}, {"MarkGood", "B"}, {"MarkBad", "B"}}

// as calls a method of the manager as somebody: a user, a group, and supplementary groups.
func (r *rig) as(uid, gid int, groups []int, method string, args ...string) (answer, failure string) {
	r.t.Helper()
	all := append([]string{"call", "--system", "--timeout", "10", "--dest", dbusapi.BusName, "--object-path", manager, "--method"}, method)
	c := r.bus.CommandAs(uid, gid, "gdbus", append(all, args...)...)
	for _, g := range groups {
		c.SysProcAttr.Credential.Groups = append(c.SysProcAttr.Credential.Groups, uint32(g))
	}
	began := time.Now()
	defer func() {
		if took := time.Since(began); took > patience {
			r.t.Errorf("%s as %d took %v", method, uid, took)
		}
	}()
	return r.answer(c)
}

// gid is that of a group that the machine has anyway.
func gid(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile("/etc/group")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		var id int
		if f := strings.Split(line, ":"); len(f) == 4 && f[0] == name {
			for _, digit := range f[2] {
				id = 10*id + int(digit-'0')
			}
			return id
		}
	}
	t.Fatalf("this machine has no group %s", name)
	return 0
}

func (r *rig) configure(group string) {
	r.put("etc/tegra-ota/config.toml", "[dbus]\ngroup = \""+group+"\"\nswupdate_progress = []\n")
}

// with replaces the group's name in the shipped policy, as an integrator with another group does.
func with(group string) func(*bustest.Options) {
	return func(o *bustest.Options) {
		text, err := os.ReadFile(o.Policies[0])
		if err != nil {
			panic(err)
		}
		if !strings.Contains(string(text), `group="tegra-ota"`) {
			panic("the policy names no group tegra-ota")
		}
		dir, err := os.MkdirTemp(suite.dir, "policy")
		if err != nil {
			panic(err)
		}
		o.Policies[0] = filepath.Join(dir, filepath.Base(o.Policies[0]))
		_ = os.Chmod(dir, 0o755)
		changed := strings.ReplaceAll(string(text), `group="tegra-ota"`, `group="`+group+`"`)
		if err := os.WriteFile(o.Policies[0], []byte(changed), 0o644); err != nil {
			panic(err)
		}
	}
}

// Each of the two locks, the bus's policy and the service, keeps out who may not, and lets everybody read.
func TestRights(t *testing.T) {
	games, audio := gid(t, "games"), gid(t, "audio")
	for _, layer := range []struct {
		name   string
		change func(*bustest.Options)
		open   bool
	}{{"policy", with("games"), false}, {"service", openBus, true}} {
		for _, tt := range []struct {
			who    string
			group  string // configured
			gid    int
			groups []int
			may    bool
			passes bool // the bus's policy, which names the group games
		}{
			{"nobody", "games", nobodys, nil, false, false},
			{"a member of another group", "games", audio, []int{audio}, false, false},
			{"a member", "games", nobodys, []int{audio, games}, true, true},
			{"a member by the primary group", "games", games, nil, true, true},
			{"nobody, without a group", "", nobodys, nil, false, false},
			{"a former member", "", games, []int{games}, false, true},
			{"a member of root's group, without a group", "", 0, []int{0}, false, false},
			{"a group that does not exist", "no-such-group", games, []int{games}, false, true},
			{"a group's number is no name", "60", games, []int{games}, false, true},
		} {
			t.Run(layer.name+"/"+tt.who, func(t *testing.T) {
				r := newRig(t, layer.change)
				r.configure(tt.group)
				r.start()
				before := r.tree()
				sentence := "user 65534 may not change slots: that takes root"
				if !layer.open && !tt.passes {
					sentence = "Rejected send message" // by dbus-daemon
				}
				for _, c := range changing {
					_, failure := r.as(nobodys, tt.gid, tt.groups, dbusapi.BusName+"."+c[0], c[1:]...)
					if tt.may != (failure == "") || !tt.may && !(strings.Contains(failure, accessDenied) && strings.Contains(failure, sentence)) {
						t.Errorf("%s: failure %q, may: %v", c[0], failure, tt.may)
					}
				}
				if !tt.may {
					same(t, "the device", before, r.tree())
				}
				r.reads(nobodys, tt.gid)
			})
		}
	}
}

// reads is everything that everybody may do.
func (r *rig) reads(uid, gid int) {
	r.t.Helper()
	for _, c := range [][]string{
		{dbusapi.BusName + ".Check"}, {dbusapi.BusName + ".Refresh"}, {propertiesFace + ".Get", dbusapi.BusName, "CurrentSlot"},
		{propertiesFace + ".GetAll", dbusapi.BusName}, {"org.freedesktop.DBus.ObjectManager.GetManagedObjects"},
		{"org.freedesktop.DBus.Introspectable.Introspect"}, {"org.freedesktop.DBus.Peer.Ping"},
	} {
		if _, failure := r.as(uid, gid, nil, c[0], c[1:]...); failure != "" {
			r.t.Errorf("%s: %s", c[0], failure)
		}
	}
	if _, failure := r.as(uid, gid, nil, propertiesFace+".Set", dbusapi.BusName, "CurrentSlot", "<'B'>"); failure == "" {
		r.t.Error("a property can be set")
	}
	// busctl and its table, too.
	out, err := r.bus.CommandAs(uid, gid, "busctl", "--system", "introspect", dbusapi.BusName, slotB).CombinedOutput()
	if err != nil || !strings.Contains(string(out), ".Name ") {
		r.t.Errorf("busctl introspect: %v\n%s", err, out)
	}
}

// Signals reach everybody.
func TestEverybodyHears(t *testing.T) {
	r := started(t)
	c := r.bus.CommandAs(nobodys, nobodys, "gdbus", "monitor", "--system", "--dest", dbusapi.BusName)
	var out orintest.Log
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	r.wait("gdbus monitor", func() bool { return strings.Contains(out.String(), "is owned by") })
	r.answers("Activate", "B")
	for _, want := range []string{manager + ": " + dbusapi.BusName + ".SlotSwitched ('B',)", "'NextSlot': <'B'>", "'Next': <true>"} {
		r.wait(want, func() bool { return strings.Contains(out.String(), want) })
	}
}

// Who is gone by the time the service asks who it was has no rights.
func TestVanishedCaller(t *testing.T) {
	r := started(t, openBus)
	before := r.tree()
	pid := r.slotd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for _, c := range changing { // by root, who does not wait for an answer
		args := []string{"--system", "--dest=" + dbusapi.BusName, "--type=method_call", manager, dbusapi.BusName + "." + c[0]}
		for _, a := range c[1:] {
			args = append(args, "string:"+a)
		}
		r.must(r.bus.Command("dbus-send", args...))
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r.wait("five refusals", func() bool { return strings.Count(r.log.String(), "cannot tell who calls") == len(changing) })
	same(t, "the device", before, r.tree())
	r.answers("Activate", "B")
}

// Nobody else can take the service's name.
func TestNameIsRoots(t *testing.T) {
	r := newRig(t)
	c := r.bus.CommandAs(nobodys, nobodys, filepath.Join(suite.bin, "tegra-slotd"), "--root", r.dir)
	var exit *exec.ExitError
	out, err := c.CombinedOutput()
	if exit, _ = err.(*exec.ExitError); exit == nil || exit.ExitCode() != 77 || !strings.Contains(string(out), "cannot take the name") {
		t.Errorf("tegra-slotd as nobody: %v\n%s", err, out)
	}
	if err := r.bus.Connect(t).BusObject().Call("org.freedesktop.DBus.GetNameOwner", 0, dbusapi.BusName).Err; err == nil {
		t.Error("the name is taken")
	} else if e, ok := err.(dbus.Error); !ok || e.Name != errorFace+"NameHasNoOwner" {
		t.Error(err)
	}
}
