package dbusapi_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/dbusapi"
	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// patience is the 2 s that a client waits at most, and what a loaded machine adds.
const patience = 2500 * time.Millisecond

// timed calls a method of the manager and holds it to its time, whether it fails or not.
func (r *rig) timed(method string, args ...any) (body []any, failure dbus.Error) {
	r.t.Helper()
	began := time.Now()
	call := r.object(manager).Call(dbusapi.BusName+"."+method, 0, args...)
	if took := time.Since(began); took > patience {
		r.t.Errorf("%s%v took %v", method, args, took)
	}
	if call.Err == nil {
		return call.Body, dbus.Error{}
	}
	e, ok := call.Err.(dbus.Error)
	if !ok {
		r.t.Fatalf("%s%v: %v", method, args, call.Err)
	}
	return nil, e
}

// answers is timed for a method that succeeds with an a{sv}.
func (r *rig) answers(method string, args ...any) map[string]any {
	r.t.Helper()
	body, e := r.timed(method, args...)
	if e.Name != "" {
		r.t.Fatalf("%s%v: %s: %v", method, args, e.Name, e.Body)
	}
	all := map[string]any{}
	for name, v := range body[0].(map[string]dbus.Variant) {
		all[name] = v.Value()
	}
	return all
}

// fails is timed for a method that fails with an error of ours and all of a sentence.
func (r *rig) fails(name, sentence, method string, args ...any) {
	r.t.Helper()
	_, e := r.timed(method, args...)
	if e.Name != dbusapi.BusName+".Error."+name || len(e.Body) != 1 || strings.TrimSpace(e.Error()) != sentence {
		r.t.Errorf("%s%v: %s %q, want %s %q", method, args, e.Name, e.Body, name, sentence)
	}
}

func (r *rig) status() orintest.Status {
	r.t.Helper()
	c := exec.Command(filepath.Join(suite.bin, "tegra-bootctl"), "status", "--json")
	c.Env = append(os.Environ(), "TEGRA_OTA_ROOT="+r.dir)
	return orintest.ReadStatus(r.t, c)
}

// says is the sentence that an executable ends with on stderr, without its name, next step and log.
func (r *rig) says(name string, args ...string) string {
	r.t.Helper()
	code, out, log := r.try(name, args...)
	if code == 0 {
		r.t.Fatalf("%s %v succeeds: %s", name, args, out)
	}
	lines := strings.Split(strings.TrimSpace(log), "\n")
	_, sentence, _ := strings.Cut(lines[len(lines)-1], ": ")
	return sentence
}

// image is a file with a root file system.
func (r *rig) image() string {
	r.t.Helper()
	file := filepath.Join(r.tmp, "app.img")
	if err := os.WriteFile(file, []byte(strings.Repeat("root file system", 1<<16)), 0o644); err != nil {
		r.t.Fatal(err)
	}
	return file
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: %s", what, d)
	}
}

// Check finds what tegra-bootctl check finds, before and after something is wrong.
func TestCheck(t *testing.T) {
	r := started(t)
	compare := func(least int) {
		t.Helper()
		body, e := r.timed("Check")
		if e.Name != "" {
			t.Fatalf("Check: %v", e)
		}
		got := []map[string]string{}
		for _, p := range body[0].([]map[string]dbus.Variant) {
			one := map[string]string{}
			for name, v := range p {
				one[name], _ = v.Value().(string)
			}
			got = append(got, one)
		}
		_, out, _ := r.try("tegra-bootctl", "check", "--json")
		var want struct{ Problems []map[string]string }
		if err := json.Unmarshal([]byte(out), &want); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		same(t, "Check", want.Problems, got)
		if len(got) < least {
			t.Errorf("%d findings", len(got))
		}
	}
	compare(0)
	r.run("tegra-bootctl", "activate", "b") // no update can begin ... until it is taken back
	r.put("sys/firmware/efi/efivars/BootNext-8be4df61-93ca-11d2-aa0d-00e098032b8c", "\x07\x00\x00\x00\x01\x00")
	compare(1)
	r.hold(func() { compare(2) }) // the lock, too
}

// hold runs something while another process has the lock.
func (r *rig) hold(while func()) {
	r.t.Helper()
	c := exec.Command("flock", r.path("run/tegra-ota/lock"), "sh", "-c", "echo held; cat")
	in, err := c.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	var out orintest.Log
	c.Stdout = &out
	if err := c.Start(); err != nil {
		r.t.Fatal(err)
	}
	defer func() {
		_ = in.Close()
		_ = c.Wait()
	}()
	r.wait("flock", func() bool { return out.String() == "held\n" })
	while()
}

// A slot is chosen by each of its names, and what is answered is what the device then does.
func TestActivate(t *testing.T) {
	r := started(t)
	for _, tt := range []struct{ slot, next string }{
		{"B", "B"}, {"current", "A"}, {"other", "B"}, {"A", "A"}, {"b", "B"}, {"a", "A"},
	} {
		want := map[string]any{"next": tt.next, "nothing_to_do": false, "warnings": []string{}}
		same(t, "Activate "+tt.slot, want, r.answers("Activate", tt.slot))
		if got := r.property(manager, dbusapi.BusName, "NextSlot"); got != `s "`+tt.next+`"` { // whoever is answered reads it
			t.Errorf("after Activate %s: NextSlot %s", tt.slot, got)
		}
		if got := r.status().Next; got == nil || *got != tt.next {
			t.Errorf("after Activate %s: the device's next slot is %v", tt.slot, got)
		}
	}
	r.boot()
	if st := r.status(); st.Current != "A" {
		t.Errorf("slot %s runs", st.Current)
	}
	r.answers("Activate", "other")
	r.boot()
	if st := r.status(); st.Current != "B" || st.Update.State != "committed" {
		t.Errorf("slot %s runs, update %s", st.Current, st.Update.State)
	}
	r.is("CurrentSlot", `s "B"`)
}

// An update that was installed is activated with its firmware: the next boot installs it.
func TestActivateTheUpdate(t *testing.T) {
	r := started(t)
	r.run("tegra-image", "install", "--partition", "APP", "--update", "one", r.image())
	r.run("tegra-bup", "install", "--update", "one", r.capsule("36.4.3"))
	want := map[string]any{"next": "B", "firmware": "36.4.3", "nothing_to_do": false, "warnings": []string{}}
	same(t, "Activate", want, r.answers("Activate", ""))
	if st := r.status(); st.Update.State != "activated" || *st.Next != "B" || !st.Slots["B"].FirmwareDirty {
		t.Errorf("%+v", st)
	}
	if _, err := os.Stat(r.path("boot/efi/EFI/UpdateCapsule/TEGRA_BL.Cap")); err != nil {
		t.Errorf("no capsule is armed: %v", err)
	}
	pending := r.property(manager, dbusapi.BusName, "PendingUpdate")
	for _, want := range []string{`"state" s "activated"`, `"target" s "B"`, `"firmware" s "36.4.3"`, `"boots" u 0`, `"id" s "one"`} {
		if !strings.Contains(pending, want) {
			t.Errorf("PendingUpdate %s, want %s", pending, want)
		}
	}
	r.boot("--cold")
	r.is("CurrentSlot", `s "B"`)
	r.is("UpdateState", `s "committed"`)
	if got := r.property(slotB, slotFace, "FirmwareVersion"); got != `s "36.4.3"` {
		t.Errorf("FirmwareVersion %s", got)
	}
	// The same for A, and then for B again, which has that firmware: there is nothing to do.
	r.run("tegra-bup", "install", filepath.Join(r.tmp, "36.4.3.Cap"))
	r.answers("Activate", "")
	r.boot("--cold")
	r.run("tegra-bup", "install", filepath.Join(r.tmp, "36.4.3.Cap"))
	same(t, "Activate again", map[string]any{"next": "A", "nothing_to_do": true, "warnings": []string{}}, r.answers("Activate", ""))
}
