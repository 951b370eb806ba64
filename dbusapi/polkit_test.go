package dbusapi_test

import (
	"os"
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
	polkit      = "org.freedesktop.PolicyKit1"
	interactive = errorFace + "InteractiveAuthorizationRequired"
)

// asked lets calls of everybody pass as examples/dbus/polkit.conf does, and polkit onto the bus as its own package does.
func asked(o *bustest.Options) {
	o.Policies = append(o.Policies, filepath.Join(suite.source, "examples/dbus/polkit.conf"), "/usr/share/dbus-1/system.d/"+polkit+".conf")
}

// polkitd runs polkit itself, with the actions that are shipped and one rule.
func (r *rig) polkitd(rule string) {
	r.t.Helper()
	actions, rules := filepath.Join(r.tmp, "actions"), filepath.Join(r.tmp, "rules")
	policy := filepath.Join(suite.source, "init/polkit/io.github.tegra-ota.policy")
	text, err := os.ReadFile(policy)
	if err != nil {
		r.t.Fatal(err)
	}
	for name, content := range map[string]string{
		filepath.Join(actions, filepath.Base(policy)): string(text), filepath.Join(rules, "10-test.rules"): rule,
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	c := r.bus.Command("unshare", "--mount", "sh", "-ec", `mount --bind "$0" /usr/share/polkit-1/actions
mount --bind "$1" /etc/polkit-1/rules.d
exec /usr/lib/polkit-1/polkitd`, actions, rules)
	var log orintest.Log
	c.Stdout, c.Stderr = &log, &log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
		if r.t.Failed() {
			r.t.Logf("polkitd says:\n%s", log.String())
		}
	})
	conn := r.bus.Connect(r.t)
	r.wait("polkitd", func() bool {
		return conn.BusObject().Call("org.freedesktop.DBus.GetNameOwner", 0, polkit).Err == nil
	})
}

// asNobody calls with busctl, which lets polkit ask for a password or not.
func (r *rig) asNobody(mayAsk string, method string, args ...string) string {
	r.t.Helper()
	all := []string{"--system", "--allow-interactive-authorization=" + mayAsk, "--timeout=20", "call",
		dbusapi.BusName, manager, dbusapi.BusName, method}
	if len(args) > 0 {
		all = append(all, strings.Repeat("s", len(args)))
	}
	c := r.bus.CommandAs(nobodys, nobodys, "busctl", append(all, args...)...)
	c.Env = append(c.Env, "SYSTEMD_LOG_LEVEL=debug") // for the error's name
	_, out, log := orintest.Run(r.t, c)
	return out + log
}

// polkit's word counts, for the action that it is about and no other; with what is shipped, and polkit itself.
func TestPolkit(t *testing.T) {
	r := newRig(t, asked)
	r.configure("")
	r.polkitd(`polkit.addRule(function(action, subject) {
    if (action.id == "io.github.tegra-ota.mark" && subject.user == "nobody") return polkit.Result.YES;
    if (action.id == "io.github.tegra-ota.rollback") return polkit.Result.NO;
});`)
	r.start()
	before := r.tree()
	for _, tt := range []struct {
		mayAsk string
		call   []string
		want   string
	}{
		{"no", []string{"Activate", "B"}, interactive},
		{"no", []string{"Commit"}, interactive},
		{"no", []string{"Rollback"}, accessDenied},
		{"yes", []string{"Activate", "B"}, accessDenied}, // nobody is there who would ask for a password
		{"yes", []string{"Rollback"}, accessDenied},
	} {
		if got := r.asNobody(tt.mayAsk, tt.call[0], tt.call[1:]...); !strings.Contains(got, tt.want) {
			t.Errorf("%v, may ask: %s: %s, want %s", tt.call, tt.mayAsk, got, tt.want)
		}
	}
	same(t, "the device", before, r.tree())
	for _, name := range []string{"MarkBad", "MarkGood"} {
		r.asNobody("no", name, "B")
		want := map[string]string{"MarkBad": `s "no"`, "MarkGood": `s "yes"`}[name]
		if got := r.property(slotB, slotFace, "Bootable"); got != want {
			t.Errorf("after %s: Bootable %s", name, got)
		}
	}
	r.answers("Activate", "B") // root, whatever polkit says
}

// Where there is no polkit nobody waits for it, and it is not called a failure.
func TestNoPolkit(t *testing.T) {
	r := started(t, asked)
	began := time.Now()
	_, failure := r.as(nobodys, nobodys, nil, dbusapi.BusName+".Commit")
	if took := time.Since(began); !strings.Contains(failure, accessDenied) || took > time.Second {
		t.Errorf("%q after %v", failure, took)
	}
	for _, word := range []string{"error", "polkit", "PolicyKit"} {
		if strings.Contains(r.log.String(), word) {
			t.Errorf("the log talks of an %s:\n%s", word, r.log.String())
		}
	}
}

// authority is a polkit that takes its time.
type authority struct{ takes time.Duration }

func (a authority) CheckAuthorization(struct {
	Kind    string
	Details map[string]dbus.Variant
}, string, map[string]string, uint32, string) (struct {
	Authorized, Challenge bool
	Details               map[string]string
}, *dbus.Error) {
	time.Sleep(a.takes)
	return struct {
		Authorized, Challenge bool
		Details               map[string]string
	}{true, false, map[string]string{}}, nil
}

func (r *rig) slowPolkit(takes time.Duration) {
	r.t.Helper()
	conn := r.bus.Connect(r.t)
	if err := conn.Export(authority{takes}, "/org/freedesktop/PolicyKit1/Authority", polkit+".Authority"); err != nil {
		r.t.Fatal(err)
	}
	if reply, err := conn.RequestName(polkit, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		r.t.Fatal(reply, err)
	}
}

// A polkit that does not answer in time has not said yes.
func TestStalledPolkit(t *testing.T) {
	r := started(t, openBus)
	r.slowPolkit(10 * time.Second)
	before := r.tree()
	if _, failure := r.as(nobodys, nobodys, nil, dbusapi.BusName+".Activate", "B"); !strings.Contains(failure, accessDenied) {
		t.Error(failure)
	}
	same(t, "the device", before, r.tree())
}

// The 2 s are the client's, for polkit and the verb together.
func TestSlowPolkitAndSlowVerb(t *testing.T) {
	r := newRig(t, openBus)
	fifo := r.fifo()
	r.oldKernel("exec cat " + fifo + " > /dev/null")
	r.slowPolkit(900 * time.Millisecond)
	r.start()
	if _, failure := r.as(nobodys, nobodys, nil, dbusapi.BusName+".Commit"); !strings.Contains(failure, unfinished) {
		t.Error(failure)
	}
}
