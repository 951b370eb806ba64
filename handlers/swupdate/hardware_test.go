package swupdate_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// hardware is what the flash and the firmware's memory hold, seen past Linux and past tegra-ota.
type hardware struct {
	Active string // the slot that the next boot starts, all being well
	Chains map[string]struct {
		Whole     bool
		Startable bool
		Version   string
		Problems  []string
	}
	Variables []struct{ Name, Value string }
	Capsules  []string
	SMD       *struct { // JetPack 4 alone
		Slots []struct {
			Priority, Retry int
			Successful      bool
		}
		Torn []string
	} `json:"slot_metadata"`
}

func (o *orin) hardware(t *testing.T) hardware {
	t.Helper()
	var h hardware
	if err := json.Unmarshal([]byte(tool(t, "", suite.orin, "status", o.dir, "--json")), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

// chosen fails unless the firmware would start a slot next. A capsule's slot is known when the firmware has applied it.
func (o *orin) chosen(t *testing.T, slot string) {
	t.Helper()
	h := o.hardware(t)
	next := h.Active
	for _, v := range h.Variables {
		if v.Name == "BootChainFwNext" {
			next = v.Value
		}
	}
	if len(h.Capsules) > 0 {
		next = other(next)
	}
	if next != slot {
		t.Errorf("the firmware would start slot %s, want %s: %+v", next, slot, h)
	}
}

// chain fails unless a slot's boot chain is whole and of a version.
func (o *orin) chain(t *testing.T, slot, version string) {
	t.Helper()
	if c := o.hardware(t).Chains[slot]; !c.Whole || !c.Startable || c.Version != version {
		t.Errorf("chain %s: %+v, want a whole one of %s", slot, c, version)
	}
}

// backend is the name that status gives to who controls the slots, and why.
func (o *orin) backend(t *testing.T) (name, reason string) {
	t.Helper()
	code, out, log := o.control(t, "tegra-bootctl", "status", "--json")
	var s struct {
		Backend       string
		BackendReason string `json:"backend_reason"`
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 {
		t.Fatalf("tegra-bootctl status exits %d: %v: %s%s", code, err, out, log)
	}
	return s.Backend, s.BackendReason
}

// engineRecord is what nv_update_engine was asked, kept where the device does not see it.
type engineRecord struct {
	Calls      [][]string
	EnabledAB  int `json:"enabled_ab"`
	DisabledAB int `json:"disabled_ab"`
	Reboots    int
}

func (o *orin) engine(t *testing.T) (r engineRecord) {
	t.Helper()
	raw, err := os.ReadFile(o.path("qspi/nv_update_engine.json"))
	if os.IsNotExist(err) {
		return r
	}
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// neverEnabled fails if nv_update_engine was called with an option that changes more than the chain it writes, or to reboot.
func (o *orin) neverEnabled(t *testing.T) {
	t.Helper()
	r := o.engine(t)
	if r.EnabledAB+r.DisabledAB+r.Reboots > 0 {
		t.Errorf("nv_update_engine changed the redundancy or rebooted: %+v", r)
	}
	for _, call := range r.Calls {
		for _, word := range []string{"-e", "--enable-ab", "-d", "--disable-ab", "-v", "--verify"} {
			if slices.Contains(call, word) {
				t.Errorf("nv_update_engine was called with %s: %q", word, call)
			}
		}
	}
}
